"""Latents whose elements do not vary freely: a simplex, an ordered vector, a factor of a correlation matrix.

Such a site stands for real coordinates, as many as vary, and a variable has the elements that they are transformed to.
So every later phase sees a vector of unbounded latents that move alone, and an expression of them.
"""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.elaborate import arrays, densities, draws, expressions, laws, statements
from ppl.elaborate.context import ERROR, Context, Local, SiteBinding
from ppl.language.distributions import JOINT, OF_VECTORS, Distribution, ordered
from ppl.syntax import ast

TYPES = frozenset({"simplex", "ordered"})


def is_joint(s: ast.Sample) -> bool:
    """Whether a statement draws a vector whose elements do not vary freely."""
    declared = s.type is not None and s.type.base in TYPES
    return declared or (isinstance(s.distribution, ast.Call) and s.distribution.name in OF_VECTORS)


def sample(ctx: Context, s: ast.Sample) -> None:
    """Enters the site, and the variable with its elements."""
    name, span = s.target.name, s.target.span
    if not as_a_whole(ctx, s):
        ctx.env.setdefault(name, Local(ERROR, span, (span,)))
        return
    if not draws.new_name(ctx, name, span):
        return
    t = None if s.type is None else statements.type_of(ctx, s.type)
    if t is not None:
        t = t.with_base("real" if t.base in TYPES else t.base)
    found = law(ctx, s) if s.type is None or t is not None else None
    whole = None if found is None else elements(ctx, s, found[0], found[1], t)
    if found is None or whole is None:
        ctx.env[name] = Local(ERROR, span, (span,))
        return
    d, args = found
    free = ir.Type("real", coordinates(d, whole.dims))
    if not draws.register(ctx, name, free, d, args, s, array=False):
        ctx.env[name] = Local(ERROR, span, (span,))
        return
    ctx.counters[name] = max(ctx.counters.get(name, 0), 1)
    own = ir.Var(name, free, True)
    ctx.block.append(ir.Sample(ctx.new_id(), name, own, (), d.name, args, ctx.mask, False, s.span))
    ctx.env[name] = SiteBinding(value_of(ctx, own, d, args, whole, s.span), span)


def value_of(
    ctx: Context, own: ir.Var, d: Distribution, args: tuple[ir.Expr, ...], whole: ir.Type, span: Span
) -> ir.Var:
    """The variable with the elements: one for all draws of a site."""
    site = ctx.sites[own.name]
    if site.value is not None:
        return site.value
    kind, limits = laws.support_of(d, args)
    value = ir.Op(f"{ir.TRANSFORM}{kind}", (own, *limits), whole, True, span)
    variable = ir.Var(ctx.fresh(f"{own.name}_{JOINT[kind]}"), whole, True)
    ctx.definitions[variable.name] = value
    ctx.block.append(ir.Let(variable, value, None, span))  # the same on every path, so without a mask
    ctx.sites[own.name] = ir.Site(site.name, site.type, site.support, False, False, d.name, site.span, kind, variable)
    return variable


def as_a_whole(ctx: Context, s: ast.Sample) -> bool:
    """Whether the statement draws one vector; reports it otherwise."""
    name, what = s.target.name, s.distribution.name
    if s.noise:
        ctx.error("PPL605", f"noise from `{what}` is not supported", s.span, "declare a latent, without `noise`")
    elif s.target.indices:
        message = f"`{name}` is filled element by element, but `{what}` draws a whole vector"
        ctx.error("PPL606", message, s.span, "draw vectors with names of their own, outside loops")
    elif ctx.loops:
        message = f"`{name}` is one latent, but it is sampled in a loop"
        ctx.error("PPL302", message, s.span, "draw vectors with names of their own, outside loops")
    else:
        return True
    return False


def law(ctx: Context, s: ast.Sample) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """The distribution of the vector with its arguments; None if reported."""
    declared = "" if s.type is None else s.type.base
    if isinstance(s.distribution, ast.Call) and s.distribution.name in OF_VECTORS:
        d = OF_VECTORS[s.distribution.name]
        if declared in TYPES and declared != JOINT[d.support.kind]:
            message = f"`{d.name}` draws a {JOINT[d.support.kind]}, `{s.target.name}` is {declared}"
            ctx.error("PPL201", message, s.span)
            return None
        args = laws.arguments(ctx, d, s.distribution)
        return None if args is None else (d, args)
    if declared == "simplex":
        ctx.error("PPL606", f"a simplex from `{s.distribution.name}` is not supported", s.distribution.span,
                  "draw it from `Dirichlet(alpha)`, and correct with a `factor`")  # fmt: skip
        return None
    return ordered_law(ctx, s)


def ordered_law(ctx: Context, s: ast.Sample) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """Independent draws from a distribution, in increasing order."""
    where = s.distribution.span
    if densities.of_program(ctx, s.distribution.name) is not None:
        ctx.error("PPL606", f"`{s.distribution.name}`, a density of the program, cannot order its draws", where,
                  "draw from a distribution of the tables and correct it with a `factor`")  # fmt: skip
        return None
    found = laws.law(ctx, s.distribution)
    if found is None:
        return None
    d, args = found
    if d.discrete or d.uneven:
        ctx.error("PPL606", f"an ordered vector from `{d.family}` is not supported", where,
                  "draw it from a continuous distribution with one support")  # fmt: skip
        return None
    several = next((p for p, a in zip(d.params, args, strict=True) if len(a.type.dims) > p.ndim), None)
    if several is not None:
        ctx.error("PPL202", f"`{several.name}` of `{d.family}` differs between the elements of an ordered vector",
                  where, "its elements are draws from one distribution, sorted: give one number")  # fmt: skip
        return None
    out = ordered(d)
    if out is None:
        ctx.error("PPL606", f"an ordered vector from `{d.family}` with an upper end alone is not supported",
                  where, "give it a lower end too, or draw the negative")  # fmt: skip
        return None
    return out, args


def elements(
    ctx: Context, s: ast.Sample, d: Distribution, args: tuple[ir.Expr, ...], t: ir.Type | None
) -> ir.Type | None:
    """The type of the value; None if reported."""
    matrix = d.support.kind == "cholesky_corr"
    if t is not None and (t.base != "real" or len(t.dims) != 1 + matrix):
        what, kind = expressions.describe(t), "matrix" if matrix else "vector"
        ctx.error("PPL201", f"`{s.distribution.name}` draws a {kind} here, `{s.target.name}` is {what}", s.span,
                  f"write `{s.target.name} ~ ...`" if matrix else
                  f"write `{s.target.name}: {JOINT[d.support.kind]}[n] ~ ...`")  # fmt: skip
        return None
    if d.name not in OF_VECTORS:
        assert t is not None, "an ordered vector is declared"
        return t
    whole = size_of(ctx, s, d, args)
    if whole is None:
        return None
    ctx.mark_static(whole.dims[0])
    if t is not None and not all(
        ctx.same_size(a, b, s.span, f"`{s.target.name}`") for a, b in zip(t.dims, whole.dims, strict=True)
    ):
        ctx.error("PPL202", f"`{s.target.name}` is {expressions.describe(t)}, `{d.name}` draws "
                  f"{expressions.describe(whole)}", s.span)  # fmt: skip
        return None
    return whole


def size_of(ctx: Context, s: ast.Sample, d: Distribution, args: tuple[ir.Expr, ...]) -> ir.Type | None:
    """The type that the arguments of a distribution of vectors give its values; None if reported."""
    first = args[0]
    if d.support.kind == "simplex":
        if len(first.type.dims) == 1:
            return first.type.with_base("real")
        ctx.error("PPL202", f"`alpha` of `{d.name}` is a vector, got {expressions.describe(first.type)}", s.span)
        return None
    array = next((p for p, a in zip(d.params, args, strict=True) if not a.type.scalar), None)
    if array is not None:
        ctx.error("PPL202", f"`{array.name}` of `{d.name}` is one number", s.span)
        return None
    if first.random or not arrays.known_at_bind(ctx, first) or arrays.depends_on_loop(ctx, first):
        ctx.error("PPL207", "a size must come from data and literals", s.distribution.span)
        return None
    return ir.Type("real", (first, first))


def coordinates(d: Distribution, dims: tuple[ir.Expr, ...]) -> tuple[ir.Expr, ...]:
    """The shape of the coordinates of a value of this shape."""
    n, one = dims[0], ir.literal(1)
    match d.support.kind:
        case "simplex":
            return (ir.literal(int(n.value) - 1),) if isinstance(n, ir.Lit) else (_int("sub", n, one),)
        case "cholesky_corr":
            if isinstance(n, ir.Lit):
                return (ir.literal(int(n.value) * (int(n.value) - 1) // 2),)
            return (_int("floordiv", _int("mul", n, _int("sub", n, one)), ir.literal(2)),)
        case _:
            return dims


def _int(op: str, a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Op(op, (a, b), ir.INT, False)
