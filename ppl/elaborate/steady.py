"""Guards that the supports of what they read keep from changing, as ``5 + d > 0`` where d is positive."""

from __future__ import annotations

from dataclasses import replace

from ppl.core import ir, poly
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extents


def with_steady(ctx: Context) -> tuple[ir.Guard, ...]:
    """The guards of a program, those marked whose outcome is the same for all latents and data."""
    if not any(map(_is_comparison, ctx.guards)):
        return tuple(ctx.guards)
    # Without what conditions say: where a jump is evaluated, x is 0 and `x > 0` is taken to hold.
    extents = Extents(ctx, conditional=False)
    extents.settle(ctx.block)
    return tuple(replace(g, steady=_is_comparison(g) and _is_steady(ctx, extents, g.value)) for g in ctx.guards)


def _is_comparison(g: ir.Guard) -> bool:
    return not g.levels and g.outcomes is None


def _is_steady(ctx: Context, extents: Extents, value: ir.Expr) -> bool:
    """Whether ``value > 0`` holds always, but for a set of probability zero, or never, as written or in normal form."""
    found = (extents.of(e) for e in (value, poly.to_expr(ctx.normal(value))))
    return any(x.positive or x.hi <= 0 for x in found)
