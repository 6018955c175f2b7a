"""Values that jump although no comparison decides them: at a pole of a quotient, a negative power, tan or digamma, and
at the cut of atan2.

``tanh(1 / x)`` jumps at ``x = 0``. So the sign of x becomes a guard there, and the quotient reads ``beside(x, guard)``:
x, on the side of zero that the guard says. That is x itself, except where a path decides otherwise than the value, and
there it is next to nothing with the other sign: the one-sided limit. Between which multiples of pi the argument of a
tangent lies is such a guard with levels.

Whether an operand can be zero is known only when the whole program is: `look` finds out what an elaboration lacks, and
in the next one `sided` puts it there.
"""

from __future__ import annotations

import math

from ppl.core import ir, poly
from ppl.core.reads import leaf_sites, live_expressions
from ppl.core.rewrite import rebuild
from ppl.elaborate import expressions
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extent, Extents, Literal

WATCHED = ("div", "inv", "pow", "atan2", "tan", "digamma")
SIGN = 0  # the key of a denominator that changes sign; factors of one that does not have the keys from 1
MATRICES = ("solve", "solve_lower", "inverse")


# ------------------------------------------------------------------- what is lacking


def look(ctx: Context) -> None:
    """Tells `ctx.facts` of all operations in the program that may jump at a pole or cut, and warns of matrices whose
    determinant may be zero."""
    body = tuple(ctx.block)
    watched = (*WATCHED, *MATRICES)
    found = [
        (e, mask) for e, mask in live_expressions(body, ctx.guards)
        if any(isinstance(x, ir.Op) and x.random and x.op in watched for x in ir.walk(e))
    ]  # fmt: skip
    if not found:
        return
    extents = Extents(ctx)
    extents.settle(body)
    for e, mask in found:
        _visit(ctx, extents, e, extents.conditions(mask))


def _visit(ctx: Context, extents: Extents, e: ir.Expr, given: tuple[Literal, ...]) -> None:
    match e:
        case ir.Select():
            _visit(ctx, extents, e.condition, given)
            _visit(ctx, extents, e.then, (*given, *extents.conditions(e.condition)))
            _visit(ctx, extents, e.orelse, (*given, *extents.conditions(ir.negate(e.condition))))
            return
        case ir.Op(op="and" | "or", args=(a, b)):
            _visit(ctx, extents, a, given)
            _visit(ctx, extents, b, (*given, *extents.conditions(a if e.op == "and" else ir.negate(a))))
            return
        case ir.Op() if e.random and e.span is not None and e.op in WATCHED:
            for key in _lacking(ctx, extents, e, given):
                ctx.facts.pole(e.span, key)
        case ir.Op() if e.random and e.span is not None and e.op in MATRICES and not _regular(ctx, extents, e.args[0]):
            ctx.sink.warn(
                "PPL404",
                f"`{e.op}` jumps where the determinant of this matrix, which depends on a latent, is zero: no boundary "
                "is taken there",
                e.span,
                "where it is positive definite, factor it: `solve_lower(cholesky(m), b)`",
            )
        case _:
            pass
    for x in ir.children(e):
        _visit(ctx, extents, x, given)


def _lacking(ctx: Context, extents: Extents, e: ir.Op, given: tuple[Literal, ...]) -> list[int]:
    """The keys of what must become a guard for this operation."""
    u = e.args[0]
    if e.op in ("tan", "digamma"):
        x = extents.at(u, given)
        inside = x.positive if e.op == "digamma" else -math.pi / 2 <= x.lo and x.hi <= math.pi / 2
        return [SIGN] if u.random and not inside and not _has(u, "within") else []
    below = denominator(e)
    if below is None or not below.random or below.type.base == "int" or _has(below, "beside"):
        return []
    if e.op == "atan2" and _away(extents.at(e.args[1], given)) > 0:
        return []
    x = extents.at(below, given)
    if not x.one_sided:
        return [SIGN]
    if _away(x) or e.op == "atan2" or e.op != "div":
        return []
    own = leaf_sites(e.args[0], ctx.definitions, ctx.guards)  # what is above must vanish there too
    return [
        k for k, factor in enumerate(_factors(ctx, below), start=1)
        if not _away(extents.at(factor, given)) and leaf_sites(factor, ctx.definitions, ctx.guards) & own
    ]  # fmt: skip


def denominator(e: ir.Op) -> ir.Expr | None:
    """The operand at whose zeros an operation has a pole (or, of atan2, a cut) that tells its sides apart."""
    match e:
        case ir.Op(op="div", args=(_, b)):
            return b
        case ir.Op(op="inv", args=(b,)) | ir.Op(op="atan2", args=(b, _)):
            return b
        case ir.Op(op="pow", args=(b, ir.Lit(value=n))):
            return b if n < 0 and float(n) % 2 == 1 else None
        case ir.Op(op="pow", args=(b, n)) if n.type.base == "int" and not n.random:
            return b
        case _:
            return None


def _away(x: Extent) -> int:
    """The sign of what is not zero, else 0."""
    return 1 if x.positive else -1 if x.negative else 0


def _has(e: ir.Expr, op: str) -> bool:
    return isinstance(e, ir.Op) and e.op == op


def _factors(ctx: Context, d: ir.Expr) -> list[ir.Expr]:
    """What is zero where `d` is, in a fixed order; empty where that is on no surface as far as the form of `d` says."""
    match d:
        case ir.Op(op="neg" | "to_real" | "abs" | "square" | "sqrt" | "beside", args=(a, *_)):
            return _factors(ctx, a) or [a]
        case ir.Op(op="div", args=(a, _)):
            return _factors(ctx, a) or [a]
        case ir.Op(op="mul", args=(a, b)):
            return [f for x in (a, b) if x.random for f in (_factors(ctx, x) or [x])]
        case ir.Op(op="pow", args=(a, ir.Lit(value=n))) if n > 0:
            return _factors(ctx, a) or [a]
        case ir.Op(op="add" | "hypot", args=(a, b)):
            mine, other = ([*_factors(ctx, x)] or [x] for x in (a, b))
            return [f for f in mine if f in other]
        case ir.Var() if d.name in ctx.definitions and not d.type.dims:
            return _factors(ctx, ctx.definitions[d.name])
        case _:
            return []


def _regular(ctx: Context, extents: Extents, m: ir.Expr) -> bool:
    """Whether a matrix certainly has an inverse (or comes from data alone)."""
    match m:
        case _ if not m.random:
            return True
        case ir.Var() if m.name in ctx.definitions:
            return _regular(ctx, extents, ctx.definitions[m.name])
        case ir.Op(op="cholesky") | ir.Op(op="transform_cholesky_corr"):
            return True
        case ir.Op(op="inverse" | "transpose", args=(a,)):
            return _regular(ctx, extents, a)
        case ir.Op(op="diag", args=(a,)):
            return bool(_away(extents.of(a)))
        case ir.Op(op="matmul", args=(a, b)) if len(a.type.dims) == len(b.type.dims) == 2:
            return _regular(ctx, extents, a) and _regular(ctx, extents, b)
        case _:
            return False


# ------------------------------------------------------------------- putting it there


def sided(ctx: Context, e: ir.Op) -> ir.Expr:
    """`e` with the guards that an earlier elaboration found lacking."""
    keys = ctx.facts.poles.get(e.span, frozenset()) if e.span is not None and e.random else frozenset[int]()
    below = denominator(e)
    if not keys or e.span is None:
        return e
    if not e.type.scalar:
        return ctx.error(
            "PPL205", f"`{ctx.text(e.span)}` jumps where an element of it has a pole, which depends on a latent",
            e.span, "use a comprehension, such as `[a[i] / b[i] for i in 0..n]`",
        )  # fmt: skip
    if below is None:
        return _between(ctx, e)
    sides: dict[ir.Expr, ir.Expr] = {}
    if SIGN in keys:
        sides[below] = side(ctx, below, e)
        return _replaced(e, sides)
    factors = _factors(ctx, below)
    for k in sorted(keys):
        if k <= len(factors):
            sides[factors[k - 1]] = side(ctx, factors[k - 1], e)
    return _replaced(ir.Op(e.op, (e.args[0], _opened(ctx, below)), e.type, e.random, e.span), sides)


def _replaced(e: ir.Op, sides: dict[ir.Expr, ir.Expr]) -> ir.Expr:
    return ir.Op(e.op, tuple(rebuild(a, sides.get) for a in e.args), e.type, e.random, e.span)


def _opened(ctx: Context, d: ir.Expr) -> ir.Expr:
    """`d` with the variables written out in which `_factors` looked."""
    match d:
        case ir.Var() if d.name in ctx.definitions and not d.type.dims and _factors(ctx, d):
            return _opened(ctx, ctx.definitions[d.name])
        case ir.Op(op="neg" | "to_real" | "abs" | "square" | "sqrt" | "div" | "mul" | "pow" | "add" | "hypot"):
            return ir.Op(d.op, tuple(_opened(ctx, a) for a in d.args), d.type, d.random, d.span)
        case _:
            return d


def side(ctx: Context, u: ir.Expr, e: ir.Op) -> ir.Expr:
    """`u`, on the side of zero that a guard says."""
    assert e.span is not None
    above = positive(ctx, u, e)
    if isinstance(above, ir.Lit):
        return u
    real = u if u.type.base == "real" else ir.Op("to_real", (u,), ir.REAL, u.random)
    return ir.Op("beside", (real, above), ir.REAL, True, e.span)


def positive(ctx: Context, u: ir.Expr, e: ir.Op) -> ir.Expr:
    """Whether ``u > 0``; asked once for all operations in one place."""
    assert e.span is not None
    key = (tuple(poly.ordered(ctx.normal(u))), ctx.loops, ctx.mask)
    if key not in ctx.sides:
        found = expressions.new_guard(ctx, ">", u, ir.literal(0), e.span, pole=True)
        ctx.sides[key] = ctx.let("side", found, e.span)
    return ctx.sides[key]


def _between(ctx: Context, e: ir.Op) -> ir.Expr:
    """`tan` or `digamma` of its argument, between the two poles that a guard with levels says."""
    assert e.span is not None
    u, one = e.args[0], ir.literal(1)
    width, shift = (math.pi, 0.5) if e.op == "tan" else (1.0, 0.0)

    def scaled(x: ir.Expr, factor: float, add: float) -> ir.Expr:
        product = ir.Op("mul", (x, ir.literal(factor)), ir.REAL, True)
        return ir.Op("add", (product, ir.literal(add)), ir.REAL, True)

    key = (tuple(poly.ordered(ctx.normal(u))), ctx.loops, ctx.mask, e.op)
    if key not in ctx.sides:
        place = scaled(u, 1 / width, shift)
        ctx.sides[key] = expressions.floor(ctx, place, f"poles of {ctx.text(e.span)}", e.span, pole=True)
    level = ctx.sides[key]
    above = ir.Op("add", (level, one), ir.INT, True)
    ends = [scaled(k, width, -shift * width) for k in (level, above)]
    return ir.Op(e.op, (ir.Op("within", (u, *ends), ir.REAL, True, e.span),), e.type, True, e.span)
