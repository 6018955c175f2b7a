"""Densities as functions, ``Normal_lpdf(y, mean, sd)``, and distributions made by a function of the program.

A function ``NAME_lpdf(y: real, ...)`` or ``NAME_lpmf(y: int, ...)`` makes NAME a distribution. It is no law of the
tables but a summand of the density; a latent from it is drawn from nothing and ranges over the reals.
"""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Span, counted
from ppl.elaborate import arrays, expressions, laws, logits, statements
from ppl.elaborate.context import ERROR, Context, Local
from ppl.language.distributions import DISTRIBUTIONS, PARTS, DensityFunction
from ppl.record import record
from ppl.syntax import ast

# ------------------------------------------------------------------ of the tables


def call(ctx: Context, f: DensityFunction, args: list[ir.Expr], e: ast.Call) -> ir.Expr:
    """``NAME_lpdf(y, ...)`` and its like, elementwise."""
    d = f.distribution
    signature = f"{e.name}(y, {', '.join(p.name for p in d.params)})"
    for a in e.args:
        if a.name is not None:
            return ctx.error("PPL112", f"`{e.name}` has no named arguments", a.span, signature)
    if any(a is ERROR for a in args):
        return ERROR
    if len(args) != len(d.params) + 1:
        return ctx.error("PPL203", f"`{e.name}` takes {counted(len(d.params) + 1, 'argument')}, got {len(args)}",
                         e.span, signature)  # fmt: skip
    y, *rest = args
    if not expressions.numeric(ctx, y, e.args[0].span, f"`{e.name}`"):
        return ERROR
    if d.discrete and y.type.base != "int":
        what = expressions.describe(y.type)
        return ctx.error("PPL201", f"`{e.name}` is of an int, this is {what}", e.args[0].span)
    if not all(laws.argument(ctx, d, p, a, n.span) for p, a, n in zip(d.params, rest, e.args[1:], strict=True)):
        return ERROR
    types = [y.type, *(ir.Type(a.type.base, a.type.dims[: len(a.type.dims) - p.ndim])
                       for p, a in zip(d.params, rest, strict=True))]  # fmt: skip
    dims = arrays.broadcast(ctx, types, e.span, f"`{e.name}`")
    if dims is None:
        return ERROR
    name = e.name
    logit = logits.log_odds(ctx, rest[0]) if name == "Bernoulli_lpmf" else None
    if logit is not None:
        name, rest = "BernoulliLogit_lpmf", [logit]
    value = ir.Op(name, (y, *rest), ir.Type("real", dims), any(a.random for a in args), e.span)
    return inside_support(ctx, f, y, tuple(rest), value, e)


def inside_support(
    ctx: Context, f: DensityFunction, y: ir.Expr, args: tuple[ir.Expr, ...], value: ir.Op, e: ast.Call
) -> ir.Expr:
    """A density ends where its support does, which is a guard if a latent can reach it."""
    d = f.distribution
    if f.part != "lpdf" or d.support.kind == "real":
        return value
    low, high = laws.own_ends(d, args)
    ends = [(op, end) for op, end in (("<", low), (">", high)) if end is not None and (y.random or end.random)]
    if not ends or is_from(ctx, y, d.support.kind, tuple(x for x in (low, high) if x is not None)):
        return value
    if not value.type.scalar:
        message = f"`{e.name}` ends at the edge of its support: where that depends on a latent, it is of one number"
        return ctx.error("PPL205", message, e.span, "use a comprehension")
    outside: ir.Expr | None = None
    for op, end in ends:
        one = expressions.compare_pair(ctx, op, y, end, e.span)
        outside = one if outside is None else ir.negate(_both(ir.negate(outside), ir.negate(one)))
    assert outside is not None
    beyond = ctx.let("case", outside, e.span)
    return expressions.select(ctx, beyond, ir.literal(float("-inf")), value, e.span)


def _both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    found = ir.conjunction(a, b)
    return ir.TRUE if found is None else found


def is_from(ctx: Context, y: ir.Expr, kind: str, limits: tuple[ir.Expr, ...]) -> bool:
    """Whether `y` is a latent with this very support."""
    site = ctx.latent(y)
    return site is not None and site.support == kind and ctx.site_bounds[site.name] == limits


# ------------------------------------------------------------------ of the program


def of_program(ctx: Context, name: str) -> ast.Function | None:
    """The function that makes `name` a distribution."""
    if name in DISTRIBUTIONS:
        return None
    return ctx.functions.get(f"{name}_lpdf") or ctx.functions.get(f"{name}_lpmf")


def check_signature(ctx: Context, f: ast.Function) -> None:
    """Reports a function whose name makes a distribution and whose type does not."""
    base, _, part = f.name.rpartition("_")
    if part not in PARTS or not base:
        return
    wanted = "int" if part == "lpmf" else "real"
    form = f"`fn {f.name}(y: {wanted}, ...) -> real`"
    if part in ("lpdf", "lpmf") and base in DISTRIBUTIONS:
        ctx.error("PPL102", f"the distribution `{base}` is built in", f.name_span, "use another name")
    elif part == "lpmf" and f"{base}_lpdf" in ctx.functions:
        ctx.error("PPL102", f"`{base}` has a density already, `{base}_lpdf`", f.name_span, "remove one of them")
    elif part in ("lpdf", "lpmf") and not f.parameters:
        ctx.error("PPL203", f"`{f.name}` is a density, so it has a first parameter, its value", f.name_span, form)
    elif part in ("lpdf", "lpmf") and f.parameters[0].type.base != wanted:
        first = f.parameters[0]
        ctx.error("PPL201", f"the value of `{f.name}` is of type {wanted}", first.type.span, form)
    elif f.result.base != "real" or f.result.dims:
        ctx.error("PPL201", f"`{f.name}` is a logarithm, so it returns a real", f.result.span, form)


@record
class Applied:
    """A distribution that a function makes, applied to `args`; `operands` are hidden variables that hold them."""

    function: ast.Function
    call: ast.Call
    args: tuple[ir.Expr, ...]
    operands: tuple[ast.Name, ...]

    @property
    def name(self) -> str:
        return self.call.name


def applied(ctx: Context, f: ast.Function, call: ast.Call) -> Applied | None:
    """Evaluates the arguments; None if reported."""
    name, params = call.name, f.parameters[1:]
    signature = f"{name}({', '.join(p.name for p in params)})"
    named = next((a for a in call.args if a.name is not None), None)
    if named is not None:
        ctx.error("PPL112", f"`{name}` has arguments in order, without names", named.span, signature)
        return None
    if len(call.args) != len(params):
        given = f"`{name}` takes {counted(len(params), 'argument')}, got {len(call.args)}"
        ctx.error("PPL203", given, call.span, signature)
        return None
    args: list[ir.Expr] = []
    operands: list[ast.Name] = []
    for k, (a, p) in enumerate(zip(call.args, params, strict=True)):
        if isinstance(a.value, ast.Truncated):
            ctx.error("PPL104", f"a distribution is no argument of `{name}`", a.span, signature)
            return None
        value = expressions.expression(ctx, a.value)
        if value is ERROR:
            return None
        args.append(ctx.let(p.name, value, a.span))
        # Names made up here start with an underscore, as no name in a program does.
        operands.append(ast.Name(a.span, f"_argument_{call.span.line}_{call.span.column}_{k}"))
    if not ctx.drawing:
        ctx.customs.setdefault(name, ir.Custom(name, dims(f.parameters[0]), tuple(dims(p) for p in params)))
    return Applied(f, call, tuple(args), tuple(operands))


def dims(p: ast.Parameter) -> int:
    return len(p.type.dims)


def add(ctx: Context, own: Applied, value: ast.Expr, t: ir.Type, span: Span, site: str = "") -> None:
    """Adds the density of `value`, of type `t`, element by element if the function takes one number. It is that of the
    latent `site`, or of what is observed."""
    f, call = own.function, own.call
    loops = len(t.dims) - dims(f.parameters[0])
    if loops < 0:
        what = expressions.describe(t)
        ctx.error("PPL202", f"the value of `{own.name}` has {counted(-loops, 'dimension')} more than {what}", span)
        return
    outside = dict(ctx.env)
    indices, operands = each(ctx, own, loops, span)
    one = ast.Index(value.span, value, indices) if loops else value
    named = (ast.Argument(value.span, None, one), *operands)
    body: ast.Statement = ast.Scored(span, ast.Call(call.span, f.name, named, call.name_span), site)
    for k in reversed(range(loops)):
        ctx.mark_static(t.dims[k])
        extent = up_to(ctx, t.dims[k], k, span)
        body = ast.For(span, indices[k].name, extent, None, (body,), span)
    statements.statement(ctx, body)
    ctx.env = outside


def each(ctx: Context, own: Applied, loops: int, span: Span) -> tuple[tuple[ast.Name, ...], tuple[ast.Argument, ...]]:
    """The indices of an element of an array with `loops` dimensions more than a single value, and the arguments there.
    The arguments are given hidden names in the environment."""
    indices = tuple(ast.Name(span, f"_element_{span.line}_{span.column}_{k}") for k in range(loops))
    out: list[ast.Argument] = []
    for local, a, p in zip(own.operands, own.args, own.function.parameters[1:], strict=True):
        ctx.env[local.name] = Local(a, local.span, (local.span,))
        differs = loops and len(a.type.dims) > dims(p)
        out.append(ast.Argument(local.span, None, ast.Index(local.span, local, indices) if differs else local))
    return indices, tuple(out)


def up_to(ctx: Context, size: ir.Expr, k: int, span: Span) -> ast.Range:
    """The range of axis `k`, whose size gets a hidden name."""
    name = ast.Name(span, f"_size_{span.line}_{span.column}_{k}")
    ctx.env[name.name] = Local(size, span, (span,))
    return ast.Range(span, ast.Number(span, 0), name)


def scored(ctx: Context, s: ast.Scored) -> None:
    """The term that a density of the program adds."""
    value = expressions.expression(ctx, s.density)
    if value is ERROR:
        return
    observed, *args = (expressions.expression(ctx, a.value) for a in s.density.args)
    law = ir.CustomLaw(s.density.name.rpartition("_")[0], tuple(args), None if s.site else observed, s.site)
    ctx.block.append(ir.Term(ctx.new_id(), None, value, (), ctx.mask, s.span, law))


def observe(ctx: Context, f: ast.Function, law: ast.Call, s: ast.Observe, value: ir.Expr) -> None:
    """``observe y ~ NAME(...)`` with a density of the program."""
    wanted = f.parameters[0].type.base
    if value.type.base != wanted and not (value.type.base == "int" and wanted == "real"):
        what, kind = expressions.describe(value.type), "ints" if wanted == "int" else "numbers"
        hint = "declare the data as int" if wanted == "int" and value.type.base == "real" else None
        ctx.error("PPL305", f"`{law.name}` observes {kind}, this is {what}", s.value.span, hint)
        return
    own = applied(ctx, f, law)
    if own is not None:
        add(ctx, own, s.value, value.type, s.span)


def latent(ctx: Context, f: ast.Function, law: ast.Call, s: ast.Sample) -> bool:
    """Whether a latent may have the density of a function; reports it otherwise."""
    if s.noise:
        ctx.error("PPL605", f"noise from `{law.name}`, which functions of the program make, is not supported", s.span,
                  "compute it from noise of a known law, `noise u ~ Uniform(0, 1)`, or declare a latent")  # fmt: skip
        return False
    if f.name.endswith("_lpmf"):
        ctx.error("PPL604", f"`{law.name}` is discrete: the guide cannot list the outcomes of a latent from it", s.span,
                  "draw from a bounded law, and put this one in its place: `k ~ Binomial(n, 0.5)`, then `factor "
                  f"{f.name}(k, ...) - Binomial_lpmf(k, n, 0.5)`")  # fmt: skip
        return False
    return True
