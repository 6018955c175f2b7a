"""Putting in what an operation lacks beside a pole or cut (see `poles`): the side of zero that a guard says."""

from __future__ import annotations

import math

from ppl.core import ir, poly
from ppl.diagnostics import PplError, Span, in_source_order
from ppl.elaborate import expressions, zeros
from ppl.elaborate.context import Context
from ppl.elaborate.signs import both

# What an operation needs a guard for: the sign of an operand by its place, or the poles between which its argument is.
FIRST, SECOND, PLACE = 0, 1, 2
ZERO = {FIRST: 3, SECOND: 4}  # or whether an operand, by its place, is zero: it may be so on a region
MOST_CORNERS, MAX_POLES = 16, 200
EVEN = ("abs", "square", "sqrt", "relu")


def sided(ctx: Context, e: ir.Op) -> ir.Expr:
    """`e` with the guards that an earlier elaboration found lacking."""
    zeros.note(ctx, e)
    keys = ctx.facts.poles.get(e.span, frozenset()) if e.span is not None and e.random else frozenset[int]()
    if not keys or e.span is None:
        return e
    if not all(x.type.scalar for x in (e, *e.args)):
        hints = {"dot": "write it as a sum, `sum([a[i] * b[i] for i in 0..n])`", "prod": "multiply in a loop"}
        return ctx.error(
            "PPL205", f"`{ctx.text(e.span)}` jumps where an element of it has a pole, which depends on a latent",
            e.span, hints.get(e.op, "use a comprehension, such as `[a[i] / b[i] for i in 0..n]`"),
        )  # fmt: skip
    if PLACE in keys:
        return _between(ctx, e) if e.args[0].random else e
    sides = frozenset[int]() if e.op in ("add", "sub") else keys
    args = tuple(side(ctx, a, e) if k in sides and a.random else a for k, a in enumerate(e.args))
    at_zero = tuple(k for k, key in ZERO.items() if key in keys and e.args[k].random)
    out = _where_zero(ctx, ir.Op(e.op, args, e.type, e.random, e.span), e, at_zero)
    both = FIRST in keys and e.op in ("div", "mul", "atan2", "add", "sub")
    corners = [u for a in e.args for u in _corners(ctx, a)] if both else []
    signs = [x for x in dict.fromkeys(positive(ctx, u, e) for u in corners) if not isinstance(x, ir.Lit)]
    return ir.Op("sided", (out, *signs), e.type, True, e.span) if signs else out


def _where_zero(ctx: Context, out: ir.Expr, e: ir.Op, zeros: tuple[int, ...]) -> ir.Expr:
    """`out`, which stands for `e`, with cases of their own where operands are zero, and be it on a region: what they
    read moves nothing there."""
    if not zeros or not isinstance(out, ir.Op):
        return out
    assert e.span is not None
    k, *others = zeros
    minus = ir.Op("neg", (e.args[k],), ir.REAL, True)
    is_zero = both(*(ir.negate(positive(ctx, u, e)) for u in (e.args[k], minus)))
    if isinstance(is_zero, ir.Lit):
        return _where_zero(ctx, out, e, tuple(others))
    is_zero = ctx.let("zero", is_zero, e.span)
    zero = ir.Op("to_real", (ir.literal(0),), ir.REAL, False)
    match e.op:
        case "div":
            there: ir.Expr = ir.Op("over_zero", (out.args[0],), ir.REAL, True, e.span)
        case "inv" | "pow":
            there = ir.Op("over_zero", (ir.literal(1),), ir.REAL, True, e.span)
        case _:
            args = (*out.args[:k], zero, *out.args[k + 1 :])
            there = _where_zero(ctx, ir.Op(e.op, args, e.type, e.random, e.span), e, tuple(others))
    return ir.Select(is_zero, there, _where_zero(ctx, out, e, tuple(others)), e.type, True)


def _corners(ctx: Context, e: ir.Expr) -> list[ir.Expr]:
    """Where a number may have a corner, or a double zero, as expressions that are zero there; the first few of them."""
    out: list[ir.Expr] = []
    seen: set[str] = set()
    queue = [e]
    while queue and len(out) < MOST_CORNERS:
        d = queue.pop(0)
        if not d.random or d.type.dims:
            continue
        match d:
            case ir.Op(args=(a,)) if d.op in EVEN:
                out.append(a)
            case ir.Op(op="max" | "min", args=(a, b)):
                out.append(ir.Op("sub", (a, b), ir.REAL, True))
            case ir.Op(op="mul", args=(a, b)) if a == b:
                out.append(a)
            case ir.Op(op="pow", args=(a, ir.Lit())):
                out.append(a)
            case _:
                pass
        if isinstance(d, ir.Var) and d.name in ctx.definitions and d.name not in seen:
            seen.add(d.name)
            queue.append(ctx.definitions[d.name])
        elif isinstance(d, ir.Op):
            queue += d.args
    return list(dict.fromkeys(out))


def side(ctx: Context, u: ir.Expr, e: ir.Op) -> ir.Expr:
    """`u`, on the side of zero that a guard says."""
    assert e.span is not None
    above = positive(ctx, u, e)
    if isinstance(above, ir.Lit) or (isinstance(u, ir.Op) and u.op == "beside"):
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


def count(ctx: Context, span: Span) -> None:
    """Refuses a program with more poles than could be looked at in reasonable time."""
    if len(ctx.sides) > MAX_POLES:
        ctx.sink.error(
            "PPL703", f"more than {MAX_POLES} values of the program may have a pole", span,
            "where a denominator stays away from zero, say so: `max(d, 0.001)`",
        )  # fmt: skip
        raise PplError(in_source_order(ctx.sink.items), ctx.sink.sources)


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
