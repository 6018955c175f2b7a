"""Boundaries on which one guard flips and no other can: there the jump takes no look at either side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from ppl.core import ir, poly
from ppl.regions.frozen import tested_again
from ppl.regions.lines import latent_of
from ppl.regions.model import Boundary, GuardInfo, Latent
from ppl.regions.modes import modes_of
from ppl.regions.scope import Scope
from ppl.regions.values import Values, values_of


def flips_with(
    scope: Scope, infos: tuple[GuardInfo, ...], info: GuardInfo, b: Boundary, decided: Iterable[int]
) -> dict[int, tuple[bool, bool]] | None:
    """For a guard on carried state: the guards that flip with it, each with the outcome of `b.guard` under which it
    does, and whether it then takes the opposite outcome. None if others may flip on the boundary too.

    Unless they are mates, each instance of such a guard sees a coordinate of its own, so no two are zero at once.
    """
    out: dict[int, tuple[bool, bool]] = {}
    if info.representative != b.guard or info.guard.levels or b.search is not None or b.guard in b.mates:
        return None
    if b.part == "last":
        stoppers = {t.stopper for t in tested_again(scope, info.normal)}
        return out if all(k == b.guard or k in stoppers for k in decided) else None
    if b.part not in ("first", "rest") or not any(x.through for x in info.boundaries):
        return None
    for k in decided:
        if k != b.guard:
            found = next((t for t in tested_again(scope, infos[k].normal) if t.stopper == b.guard), None)
            if found is None or infos[k].guard.loops or infos[k].representative != k or infos[k].guard.levels:
                return None
            out[k] = found.stops, found.opposite
    return out


def flips_alone(scope: Scope, infos: tuple[GuardInfo, ...], b: Boundary, decided: Iterable[int]) -> bool:
    """Whether, on boundary `b`, every guard in `decided` other than its own has a value that is not zero almost surely.

    Then the outcomes just beside the boundary are those at it, with guard `b.guard` decided either way.
    """
    if b.mates:
        return False
    root = _root(scope, b)
    state = {c.entry.name: frozenset(v) for x in infos[b.guard].loops if (m := modes_of(scope, scope.loops[x]))
             for c, v in zip(m.carries, m.values, strict=True)}  # fmt: skip
    return all(k == b.guard or _away_from_zero(scope, infos[k], b.line, root, state) for k in decided)


def _root(scope: Scope, b: Boundary) -> dict[ir.Expr, poly.Poly] | None:
    """The moved coordinate on the boundary, as an expression, where its slope is a number."""
    slope = scope.normal(b.slope)
    if b.search is not None or b.rest is None or not slope or not poly.is_constant(slope):
        return None
    rest = scope.normal(b.rest)
    moved = b.line.expr(ir.REAL)
    return {moved: {m: -c / poly.value(slope) for m, c in rest.items()}}


def _away_from_zero(
    scope: Scope, info: GuardInfo, line: Latent, root: dict[ir.Expr, poly.Poly] | None, state: Mapping[str, Values]
) -> bool:
    few = values_of(scope, info.value, state)
    if few is not None:
        return 0 not in few
    if root is None or info.guard.levels or info.guard.outcomes is not None:
        return False
    at_root = poly.substitute(info.normal, root)
    if poly.is_constant(at_root):
        scale = max((abs(c) for c in info.normal.values()), default=0.0)
        return bool(at_root) and abs(poly.value(at_root)) > 1e-9 * scale
    random = [a for a in poly.atoms(at_root) if a.random]
    latents = [latent_of(scope, a) for a in random]
    if any(x is None or not scope.independent(a, line) for a, x in zip(random, latents, strict=True)):
        return False  # branched, or another element that may be the moved one
    if any(not _distinct(scope, x, y) for x, y in itertools.combinations(latents, 2) if x and y):
        return False
    # A polynomial in independent coordinates that has a coefficient which is a number is zero on a null set only.
    return any(m and all(a.random for a, _ in m) for m in _pure(at_root))


def _pure(p: poly.Poly) -> list[poly.Monomial]:
    """Monomials in latents whose coefficient is a number alone."""
    parts: dict[poly.Monomial, list[poly.Monomial]] = {}
    for m in p:
        parts.setdefault(tuple(x for x in m if x[0].random), []).append(m)
    return [key for key, monomials in parts.items() if monomials == [key]]


def _distinct(scope: Scope, x: Latent, y: Latent) -> bool:
    if x.site != y.site:
        supports = (
            scope.flow.of(ir.Var(x.site, ir.REAL, True)).sites,
            scope.flow.of(ir.Var(y.site, ir.REAL, True)).sites,
        )
        return y.site not in supports[0] and x.site not in supports[1]
    return scope.different_element(x.indices, y.indices)
