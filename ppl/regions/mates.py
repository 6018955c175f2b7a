"""Boundaries that may coincide without being twins: equal thresholds in the data, or in two statements."""

from __future__ import annotations

from ppl.core import ir, poly
from ppl.core.show import show
from ppl.regions.model import GuardInfo
from ppl.regions.scope import Scope


def may_coincide(scope: Scope, a: GuardInfo, b: GuardInfo, effect: str) -> bool:
    """Whether an instance of `b` (another one, if it is the same guard) may flip exactly where one of `a` does.

    Two affine guards coincide only if their latent parts are proportional, so distinct latents, or equal parts
    with different constants, rule it out.
    """
    if a.guard.index == b.guard.index:
        if not a.loops or effect != "global":
            return False
        return _piecewise(a) or not any(_own_coordinate(scope, x, a) for x in poly.atoms(a.normal))
    mine, other = (scope.flow.of(x.guard.value).smooth for x in (a, b))
    if _piecewise(a) or _piecewise(b):
        return bool(mine & other)  # they may coincide on some paths only
    if mine != other:
        return False
    if a.loops == b.loops:
        return _proportional(a, b)
    return _shape(a) == _shape(b) or any(x.through for i in (a, b) for x in i.boundaries)


def _piecewise(info: GuardInfo) -> bool:
    """Whether a guard's value is not one polynomial: branches decide it, or it is searched for along its line."""
    return (
        info.guard.levels
        or any(b.search is not None for b in info.boundaries)
        or any(isinstance(x, ir.Select) and x.random for x in poly.atoms(info.normal))
    )


def _own_coordinate(scope: Scope, atom: ir.Expr, info: GuardInfo) -> bool:
    """Whether an atom is an element, or state, that differs from iteration to iteration."""
    if isinstance(atom, ir.Cell) and atom.random:
        return all(len(atom.indices) == 1 and scope.offset(atom.indices[0], scope.loops[x]) is not None
                   for x in info.loops)  # fmt: skip
    return isinstance(atom, ir.Var) and atom.name in scope.entries


def _random_part(info: GuardInfo) -> dict[poly.Monomial, float]:
    return {m: c for m, c in info.normal.items() if any(e.random for e, _ in m)}


def _proportional(a: GuardInfo, b: GuardInfo) -> bool:
    """Two guards of one iteration: parallel, and not with constants that differ."""
    p, q = _random_part(a), _random_part(b)
    if not p or set(p) != set(q):
        return False
    ratio = next(iter(p.values())) / q[next(iter(p))]
    if any(abs(p[m] - ratio * q[m]) > 1e-9 * abs(p[m]) for m in p):
        return False
    difference = poly.add(
        {m: c for m, c in a.normal.items() if m not in p}, {m: c for m, c in b.normal.items() if m not in q}, -ratio
    )
    scale = max((abs(c) for m, c in a.normal.items() if m not in p), default=0.0)
    return not (poly.is_constant(difference) and abs(poly.value(difference)) > 1e-9 * scale)


def _shape(info: GuardInfo) -> tuple[str, ...]:
    """The latent part with indices left out."""
    atoms = [x for m in _random_part(info) for x, _ in m]
    return tuple(sorted({x.array if isinstance(x, ir.Cell) else show(x) for x in atoms}))
