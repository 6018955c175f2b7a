"""Lines whose slope is a datum: where it is zero, the line crosses nothing, and other latents may still move the guard.

One line cannot cross a guard's boundary in all instances then. All of its coordinates can, which share it: the share of
one that does not move the guard is zero. That costs as many searches as there are coordinates, so it is done for the
guards for which data ask it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir, poly
from ppl.regions.lines import by_outcomes, element
from ppl.regions.mates import parts
from ppl.regions.model import NOWHERE, Boundary, GuardInfo, Regions
from ppl.regions.score import SCORE


def asks_data(regions: Regions, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether values of data may say more of guards, `Learned`, at these shapes of sites. Most programs ask nothing."""
    boundaries = [b for i in regions.guards for b in i.boundaries if b.line != NOWHERE]
    asked = any(i.edges or asks_outcome(i) for i in regions.guards)
    return asked or any(slope_of(b) or 0 in shapes[b.line.site] for b in boundaries)


def asks_outcome(info: GuardInfo) -> bool:
    """Whether it matters that data may keep a guard from changing: it costs terms their boundaries, or may do so."""
    return (info.status == SCORE or bool(info.edges)) and not info.guard.levels and info.guard.outcomes is None


def slope_of(b: Boundary) -> tuple[tuple[ir.Expr, ...], ...]:
    """Data that make the slope of a guard along the one line that crosses it zero, where latents move the rest: if all
    of one alternative are zero. There is one for each way in which outcomes choose the slope."""
    slope, rest = b.slope, b.rest
    if b.search is not None:
        if len(b.search.arguments) > 1 or len(b.search.coefficients) != 2:
            return ()
        rest, slope = b.search.coefficients
    if isinstance(slope, ir.Lit) or (rest is not None and not rest.random):
        return ()
    if not slope.random:
        return ((slope,),)
    out: dict[tuple[ir.Expr, ...], None] = {}
    for p in by_outcomes(poly.to_poly(slope)):
        given = {m: c for m, c in p.items() if not any(a.random for a, _ in m)}
        coefficients = [*parts(p).values(), *([given] if given else [])]
        if p and not any(map(poly.is_constant, coefficients)):
            out.setdefault(tuple(map(poly.to_expr, coefficients)))
    return tuple(out)


def factors(normal: poly.Poly) -> tuple[ir.Expr, ...]:
    """Values of data: a guard with this normal form is moved by no latent where all of them are zero."""
    out: list[ir.Expr] = []
    for product, coefficient in parts(normal).items():
        factor = poly.to_expr(coefficient)
        match product:
            case ((ir.Op("dot", (a, b)), 1),) if a.random != b.random:
                given = b if a.random else a
                largest = element(given, ir.Op("largest", (given,), ir.INT, False))
                factor = ir.Op("mul", (factor, largest), ir.REAL, False)
            case _:
                pass
        out.append(factor)
    return tuple(out)
