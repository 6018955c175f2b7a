"""Functions of the program: each call is replaced by the body, under the caller's mask."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import counted
from ppl.elaborate import expressions, statements
from ppl.elaborate.context import ERROR, Binding, Context, Local
from ppl.language.distributions import SAMPLER
from ppl.syntax import ast

MAX_CALL_DEPTH = 60


def inline(ctx: Context, f: ast.Function, e: ast.Call) -> ir.Expr:
    """The value of a call of `f`."""
    args = [expressions.expression(ctx, a.value) for a in e.args]
    if f.name in ctx.calls or len(ctx.calls) >= MAX_CALL_DEPTH:
        chain = " -> ".join([*ctx.calls[ctx.calls.index(f.name) :], f.name]) if f.name in ctx.calls else f.name
        return ctx.error(
            "PPL106", f"functions are inlined, so they cannot be recursive: {chain}", e.span, "use a `for` loop"
        )
    if any(a.name is not None for a in e.args):
        return ctx.error("PPL112", f"`{f.name}` is called with arguments in order, without names", e.span)
    if len(args) != len(f.parameters):
        return ctx.error(
            "PPL203",
            f"`{f.name}` takes {counted(len(f.parameters), 'argument')}, got {len(args)}",
            e.span,
            f"it is declared at line {f.span.line}",
        )
    if any(a is ERROR for a in args):
        return ERROR
    env: dict[str, Binding] = {}
    for p, a, node in zip(f.parameters, args, e.args, strict=True):
        if not fits(a.type, p.type):
            wanted = p.type.base + (f"[{', '.join([''] * len(p.type.dims))}]" if p.type.dims else "")
            return ctx.error(
                "PPL201",
                f"argument `{p.name}` of `{f.name}` is {wanted}, got {expressions.describe(a.type)}",
                node.span,
            )
        value = ctx.let(p.name, widen(a, p.type.base), node.span)
        env[p.name] = Local(value, p.span, (p.span,))
    return run(ctx, f, env, e)


def run(ctx: Context, f: ast.Function, env: dict[str, Binding], e: ast.Call) -> ir.Expr:
    outer = ctx.env
    # Data are visible in the functions of a program; latents and locals of the caller are not.
    ctx.env = {k: b for k, b in outer.items() if statements.is_data(b) and f.name not in ctx.library} | env
    ctx.calls = (*ctx.calls, f.name)
    value = body(ctx, f, f.body)
    ctx.env, ctx.calls = outer, ctx.calls[:-1]
    if value is None:
        return ctx.error("PPL110", f"`{f.name}` has a path without `return`", f.name_span)
    if value is ERROR:
        return ERROR
    if not fits(value.type, f.result):
        return ctx.error(
            "PPL201", f"`{f.name}` returns {expressions.describe(value.type)}, declared {f.result.base}", f.result.span
        )
    return ctx.let(f.name, widen(value, f.result.base), e.span)


def body(ctx: Context, f: ast.Function, stmts: tuple[ast.Statement, ...]) -> ir.Expr | None:
    """The returned value of a statement list; None if some path does not return."""
    for k, s in enumerate(stmts):
        ctx.count_statement(s.span)
        match s:
            case ast.Return():
                value = expressions.expression(ctx, s.value)
                if k + 1 < len(stmts):
                    ctx.error("PPL110", "nothing after `return` is reached", stmts[k + 1].span, "remove it")
                return value
            case ast.If() if returns(s):
                return branch(ctx, f, s, stmts[k + 1 :])
            case ast.Assign() | ast.If() | ast.For() | ast.While():
                statements.statement(ctx, s)
            case ast.Sample() if ctx.drawing and f.name.endswith(SAMPLER):
                statements.statement(ctx, s)
            case ast.Var() | ast.Sample() | ast.Observe() | ast.Factor() | ast.Report():
                hint = "a function `NAME_rng` draws from the distribution NAME" if isinstance(s, ast.Sample) else None
                message = "a function is pure: it computes with assignments, `if`, `for` and `return`"
                ctx.error("PPL111", message, s.span, None if ctx.drawing else hint)
                if isinstance(s, ast.Sample):  # its name is known, so that uses are not reported as well
                    ctx.env[s.target.name] = Local(ERROR, s.span, (s.span,))
            case _:
                ctx.error("PPL111", "this statement is allowed at the top level only", s.span)
    return None


def branch(ctx: Context, f: ast.Function, s: ast.If, rest: tuple[ast.Statement, ...]) -> ir.Expr | None:
    """An `if` that returns on some path: what follows belongs to the paths that do not."""
    ctx.count_statement(s.span)
    c = expressions.condition(ctx, s.condition)
    c = ir.TRUE if c is ERROR else c
    values: list[ir.Expr | None] = []
    for arm, condition in ((s.then, c), (s.orelse, ir.negate(c))):
        env = ctx.env
        ctx.env = dict(env)
        with ctx.under(condition):
            values.append(body(ctx, f, arm if always_returns(arm) else (*arm, *rest)))
        ctx.env = env
    then, orelse = values
    if then is None or orelse is None:
        return None
    return expressions.select(ctx, c, then, orelse, s.span)


def returns(s: ast.Statement) -> bool:
    """Whether some path through `s` returns."""
    if isinstance(s, ast.If):
        return any(returns(x) for x in (*s.then, *s.orelse))
    return isinstance(s, ast.Return)


def always_returns(stmts: tuple[ast.Statement, ...]) -> bool:
    if not stmts:
        return False
    last = stmts[-1]
    if isinstance(last, ast.If):
        return always_returns(last.then) and always_returns(last.orelse)
    return isinstance(last, ast.Return)


def fits(t: ir.Type, declared: ast.TypeExpr) -> bool:
    base = t.base == declared.base or (t.base == "int" and declared.base == "real")
    return base and len(t.dims) == len(declared.dims)


def widen(value: ir.Expr, base: str) -> ir.Expr:
    """An int handed to a real parameter becomes a real."""
    if base == "real" and value.type.base == "int":
        if isinstance(value, ir.Lit):
            return ir.literal(float(value.value))
        return ir.Op("to_real", (value,), value.type.with_base("real"), value.random)
    return value
