"""Expressions: types, shapes, guards."""

from __future__ import annotations

from contextlib import nullcontext

from ppl.core import ir, poly
from ppl.core.rewrite import rebuild
from ppl.core.show import show
from ppl.diagnostics import Span
from ppl.elaborate import arrays, calls, logits, sides, signs
from ppl.elaborate.context import (
    ERROR,
    ArrayBinding,
    Context,
    DataBinding,
    Local,
    LoopBinding,
    Partial,
    SiteBinding,
)
from ppl.syntax import ast

ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "^": "pow"}
COMPARISON = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
MAX_PARTS_OF_POLE = 6  # of the sign of a denominator: beyond, it is one guard, which is searched for
MAX_DEPTH = 60  # deeper expressions are cut into variables, so that no later pass recurses deeply


def expression(ctx: Context, e: ast.Expr | ast.Truncated) -> ir.Expr:
    """The core expression for `e`; ERROR if it was reported as wrong."""
    match e:
        case ast.Truncated():
            return ctx.error(
                "PPL103", "a distribution is not a value", e.span, "draw from it: `x ~ D(...) in (lo, hi)`"
            )
        case ast.Number():
            return number(ctx, e)
        case ast.Boolean():
            return ir.literal(e.value)
        case ast.Constant():
            return ir.literal(3.141592653589793 if e.name == "pi" else float("inf"))
        case ast.Name():
            return name(ctx, e)
        case ast.Unary():
            return unary(ctx, e)
        case ast.Binary(op="and" | "or"):
            return logical(ctx, e)
        case ast.Binary():
            return binary(ctx, e)
        case ast.Compare():
            return compare(ctx, e)
        case ast.IfExpr():
            return if_expression(ctx, e)
        case ast.Call():
            return calls.call(ctx, e)
        case ast.Index():
            return arrays.index(ctx, e)
        case ast.ArrayLiteral():
            return arrays.literal(ctx, e)
        case ast.Comprehension():
            return arrays.comprehension(ctx, e)


def number(ctx: Context, e: ast.Number) -> ir.Expr:
    if isinstance(e.value, int) and not -(2**63) <= e.value < 2**63:
        return ctx.error("PPL006", "this integer does not fit into 64 bits", e.span, "write it as a real: 1.0e20")
    return ir.literal(e.value)


def name(ctx: Context, e: ast.Name) -> ir.Expr:
    match ctx.env.get(e.name):
        case None:
            return ctx.unknown_name(e.name, e.span)
        case DataBinding(ref=ref):
            return ref
        case LoopBinding(var=var):
            return var
        case SiteBinding(var=var):
            return var
        case Local(value=value):
            return value
        case ArrayBinding() as b:
            return ir.Var(b.name, b.type, True)
        case Partial() as p:
            return ctx.error(
                "PPL109",
                f"`{e.name}` has a value on some paths only",
                e.span,
                f"it is assigned in a branch or loop at line {p.span.line}; give it a value before, or on every path",
            )


# ----------------------------------------------------------------- arithmetic


def numeric(ctx: Context, value: ir.Expr, span: Span, what: str) -> bool:
    if value.type.base == "bool":
        ctx.error("PPL201", f"{what} needs a number, not a bool", span, "write `if c then 1 else 0`")
        return False
    return value.type.base != "error"


def unary(ctx: Context, e: ast.Unary) -> ir.Expr:
    value = expression(ctx, e.operand)
    if e.op == "not":
        if not condition_type(ctx, value, e.operand.span):
            return ERROR
        return ir.negate(value)
    if not numeric(ctx, value, e.operand.span, f"`{e.op}`"):
        return ERROR
    if e.op == "+":
        return value
    if isinstance(value, ir.Lit):
        return ir.literal(-value.value)
    return ir.Op("neg", (value,), value.type, value.random, e.span)


def binary(ctx: Context, e: ast.Binary) -> ir.Expr:
    """A chain ``a + b - c`` of any length, without recursion on its left spine."""
    spine: list[ast.Binary] = []
    left: ast.Expr = e
    while isinstance(left, ast.Binary) and left.op not in ("and", "or"):
        spine.append(left)
        left = left.left
    value, span = expression(ctx, left), left.span
    for depth, node in enumerate(reversed(spine)):
        right = expression(ctx, node.right)
        value = arithmetic(ctx, node.op, value, right, span, node.right.span, node.span)
        if depth % MAX_DEPTH == MAX_DEPTH - 1:
            value = ctx.let("partial", value, node.span)
        span = node.span
    return value


def arithmetic(ctx: Context, op: str, a: ir.Expr, b: ir.Expr, a_span: Span, b_span: Span, span: Span) -> ir.Expr:
    ok = numeric(ctx, a, a_span, f"`{op}`") & numeric(ctx, b, b_span, f"`{op}`")
    if not ok or a is ERROR or b is ERROR:
        return ERROR
    random = a.random or b.random
    ints = a.type.base == b.type.base == "int"
    if op in ("//", "%") and random and not ints:
        return floored(ctx, op, a, b, b_span, span)
    dims = arrays.broadcast(ctx, (a.type, b.type), span, f"`{op}`")
    if dims is None:
        return ERROR
    base = "int" if ints and op != "/" else "real"
    if op == "//":
        base = "int"
    if op == "^" and ints and not (isinstance(b, ir.Lit) and b.value >= 0):
        base = "real"
    if op in ("/", "//", "%") and isinstance(b, ir.Lit) and b.value == 0:
        return ctx.error("PPL201", "division by zero", span)
    out = ir.Op(ARITHMETIC[op], (a, b), ir.Type(base, dims), random, span)
    if op in ("//", "%") and random:
        ctx.decided(out, span)
    return sides.sided(ctx, logits.of_quotient(ctx, out) or out)


def floored(ctx: Context, op: str, a: ir.Expr, b: ir.Expr, b_span: Span, span: Span) -> ir.Expr:
    """``a // b`` or ``a % b`` where it jumps: every multiple of b is a boundary."""
    if not (a.type.scalar and b.type.scalar):
        return ctx.error("PPL205", f"`{op}` of an array that depends on a latent jumps", span, "use a comprehension")
    if b.random:
        return ctx.error(
            "PPL602", f"the divisor of `{op}` depends on a latent: where it is zero, infinitely many boundaries meet",
            b_span, "divide by something that comes from data",
        )  # fmt: skip
    if isinstance(b, ir.Lit) and b.value == 0:
        return ctx.error("PPL201", "division by zero", span)
    ratio = ir.Op("div", (a, b), ir.REAL, True, span)
    quotient = floor(ctx, ratio, ctx.text(span), span)
    if op == "//":
        return quotient
    return ir.Op("sub", (a, ir.Op("mul", (b, quotient), ir.REAL, True)), ir.REAL, True, span)


def floor(ctx: Context, x: ir.Expr, text: str, span: Span, pole: bool = False) -> ir.Expr:
    """The floor of a value that depends on a latent; of data if its latents cancel."""
    normal = ctx.normal(x)
    if not any(a.random for a in poly.atoms(normal)):
        out = ir.Op("floor", (poly.to_expr(normal),), ir.INT, False, span)
        ctx.decided(out, span)
        return out
    guard = ir.Guard(len(ctx.guards), x, text, ctx.loops, ctx.mask, span, levels=True, pole=pole)
    ctx.guards.append(guard)
    ctx.block.append(ir.Decide(guard.index, ctx.mask, span))
    return ir.GuardRef(guard.index, ir.INT)


# ----------------------------------------------------------------- conditions


def condition_type(ctx: Context, value: ir.Expr, span: Span) -> bool:
    """Whether `value` can be a condition; reports it otherwise."""
    if value.type.base == "error":
        return False
    if value.type.base != "bool":
        ctx.error("PPL204", f"a condition is a bool, this is {describe(value.type)}", span, "compare it: `x > 0`")
        return False
    if not value.type.scalar:
        ctx.error("PPL205", "a condition is one bool, this is an array", span, "use a loop or a comprehension")
        return False
    return True


def condition(ctx: Context, e: ast.Expr) -> ir.Expr:
    value = expression(ctx, e)
    return value if condition_type(ctx, value, e.span) else ERROR


def logical(ctx: Context, e: ast.Binary) -> ir.Expr:
    a = condition(ctx, e.left)
    if a is ERROR:
        expression(ctx, e.right)
        return ERROR
    # The right operand is evaluated only where the left one leaves the result open.
    with ctx.under(a if e.op == "and" else ir.negate(a)):
        b = condition(ctx, e.right)
    if b is ERROR:
        return ERROR
    return ir.Op(e.op, (a, b), ir.BOOL, a.random or b.random, e.span)


def compare(ctx: Context, e: ast.Compare) -> ir.Expr:
    operands = [expression(ctx, x) for x in e.operands]
    if any(x is ERROR for x in operands):
        return ERROR
    out: ir.Expr | None = None
    for k, op in enumerate(e.ops):
        span = e.operands[k].span.to(e.operands[k + 1].span)
        one = compare_pair(ctx, op, operands[k], operands[k + 1], span)
        if one is ERROR:
            return ERROR
        out = one if out is None else ir.Op("and", (out, one), ir.BOOL, out.random or one.random, e.span)
    return ERROR if out is None else out


def compare_pair(ctx: Context, op: str, a: ir.Expr, b: ir.Expr, span: Span) -> ir.Expr:
    bools = (a.type.base == "bool") + (b.type.base == "bool")
    if bools == 1 or (bools == 2 and op not in ("==", "!=")):
        hint = "a bool is a condition by itself: `if b` or `if not b`" if bools == 1 else None
        return ctx.error("PPL201", f"`{op}` compares {describe(a.type)} with {describe(b.type)}", span, hint)
    if not (a.type.scalar and b.type.scalar):
        return ctx.error(
            "PPL205", "comparisons are of scalars, one side is an array", span, "compare its elements in a loop"
        )
    random = a.random or b.random
    real = "real" in (a.type.base, b.type.base)
    if op in ("==", "!=") and random and real:
        return ctx.error(
            "PPL209",
            f"`{op}` on reals that depend on a latent has probability zero or one, so no gradient can see it",
            span,
            "compare with a tolerance, `abs(a - b) < 0.1`, or use `<`",
        )
    if not random or not real:
        out = ir.Op(COMPARISON[op], (a, b), ir.BOOL, random, span)
        ctx.decided(out, span)
        return out
    return new_guard(ctx, op, a, b, span)


def new_guard(ctx: Context, op: str, a: ir.Expr, b: ir.Expr, span: Span, pole: bool = False) -> ir.Expr:
    """The condition ``a op b``. A guard is strict, so ``a <= b`` is ``not a > b``: a branch can make them equal.

    `pole`: the comparison is not in the program, but tells the sides of a pole of what `span` has.
    """
    if op in ("<=", ">="):
        opposite = new_guard(ctx, ">" if op == "<=" else "<", a, b, span)
        return ir.negate(opposite)
    hi, lo = (b, a) if op == "<" else (a, b)
    value = hi if lo == ir.literal(0) else ir.Op("sub", (hi, lo), ir.REAL, True, span)
    if pole:
        sides.count(ctx, span)
    parts = signs.parts_of(ctx, value, MAX_PARTS_OF_POLE if pole else signs.MAX_PARTS)
    if parts is None:
        text = f"{written(ctx, value)} > 0, a pole of {ctx.text(span)}" if pole else ctx.text(span)
        return register_guard(ctx, value, text, span, pole)

    def guarded(e: ir.Expr) -> ir.Expr | None:
        if isinstance(e, ir.Op) and e.op == signs.POSITIVE:
            of = f"{'a pole ' * pole}of {ctx.text(span)}"
            masks = e.args[2:]
            with ctx.under(masks[0]) if masks else nullcontext():
                return register_guard(ctx, e.args[0], f"{written(ctx, e.args[0])} > 0, {of}", span, pole)
        return None

    before = len(ctx.guards)
    out = rebuild(parts, guarded)
    if len(ctx.guards) == before and not pole:
        ctx.decided(value, span)
    return ctx.let("holds", out, span)  # named, because a condition is written once for each use


def written(ctx: Context, e: ir.Expr) -> str:
    """An expression as text, with its guards in the words of the program."""

    def named(x: ir.Expr) -> ir.Expr | None:
        if not isinstance(x, ir.GuardRef):
            return None
        g = ctx.guards[x.index]
        return ir.Var(g.text if g.outcomes is None else show(g.value), x.type, True)

    return show(rebuild(e, named))


def register_guard(ctx: Context, value: ir.Expr, text: str, span: Span, pole: bool) -> ir.Expr:
    guard = ir.Guard(len(ctx.guards), value, text, ctx.loops, ctx.mask, span, pole=pole)
    ctx.guards.append(guard)
    ctx.block.append(ir.Decide(guard.index, ctx.mask, span))
    return ir.GuardRef(guard.index)


# ---------------------------------------------------------------- if, joining


def if_expression(ctx: Context, e: ast.IfExpr) -> ir.Expr:
    """A chain of else-ifs of any length, without recursion along it."""
    arms: list[tuple[ir.Expr, ir.Expr]] = []
    saved = ctx.mask
    node: ast.Expr = e
    failed = False
    while isinstance(node, ast.IfExpr):
        c = condition(ctx, node.condition)
        failed |= c is ERROR
        c = ir.TRUE if c is ERROR else ctx.let("case", c, node.condition.span)
        with ctx.under(c):
            arms.append((c, expression(ctx, node.then)))
        ctx.mask = ir.conjunction(ctx.mask, ir.negate(c))
        node = node.orelse
    value = expression(ctx, node)
    ctx.mask = saved
    if failed:
        return ERROR
    for c, then in reversed(arms):
        value = select(ctx, c, then, value, e.span)
    return value


def select(ctx: Context, c: ir.Expr, then: ir.Expr, orelse: ir.Expr, span: Span) -> ir.Expr:
    """``if c then .. else ..`` of two values that must agree in kind and shape."""
    if then is ERROR or orelse is ERROR:
        return ERROR
    base = join(then.type.base, orelse.type.base)
    if base is None:
        return ctx.error(
            "PPL201",
            f"the branches are {describe(then.type)} and {describe(orelse.type)}",
            span,
            "both must be numbers, or both bools",
        )
    if len(then.type.dims) != len(orelse.type.dims) or not all(
        ctx.same_size(a, b, span, "the branches") for a, b in zip(then.type.dims, orelse.type.dims, strict=True)
    ):
        return ctx.error(
            "PPL202",
            f"the branches are {describe(then.type)} and {describe(orelse.type)}",
            span,
            "both must have the same shape",
        )
    if isinstance(c, ir.Lit):
        return then if c.value else orelse
    if then == orelse:
        return then
    random = c.random or then.random or orelse.random
    return ir.Select(c, then, orelse, ir.Type(base, then.type.dims), random)


def join(a: str, b: str) -> str | None:
    """The widest of two base types; a bool never widens."""
    if a == b:
        return a
    return "real" if {a, b} == {"int", "real"} else None


def describe(t: ir.Type) -> str:
    from ppl.core.show import show

    return t.base if t.scalar else f"{t.base}[{', '.join(show(d) for d in t.dims)}]"


def show_size(e: ir.Expr) -> str:
    from ppl.core.show import show

    return show(e)
