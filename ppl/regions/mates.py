"""Boundaries that may coincide without being twins: equal thresholds in the data, or in two statements."""

from __future__ import annotations

from ppl.core import ir, poly
from ppl.core.show import show
from ppl.regions.lines import is_decided
from ppl.regions.model import Boundary, GuardInfo
from ppl.regions.scope import Scope


def may_move(scope: Scope, info: GuardInfo, b: Boundary) -> bool:
    """Whether the line of a boundary may move the value of an instance of a guard that its jump evaluates."""
    if b.effect == "global" and info.loops:  # that of any iteration, on any element
        return b.line.site in scope.flow.of(info.guard.value).sites
    return not scope.independent(ir.GuardRef(info.guard.index), b.line)


def may_coincide(scope: Scope, a: GuardInfo, b: GuardInfo, effect: str) -> bool:
    """Whether an instance of `b` (another one, if it is the same guard) may flip exactly where one of `a` does.

    Two affine guards coincide only if their latent parts are proportional, so distinct latents, or equal parts
    with different constants, rule it out.
    """
    if a.guard.index == b.guard.index:
        if not a.loops or effect != "global":
            return False
        return _piecewise(scope, a) or not any(_own_coordinate(scope, x, a) for x in poly.atoms(a.normal))
    mine, other = (scope.flow.of(x.guard.value).smooth for x in (a, b))
    if _piecewise(scope, a) or _piecewise(scope, b):
        return bool(mine & other)  # they may coincide on some paths only
    if mine != other:
        return False
    if a.loops == b.loops and (not a.loops or effect != "global"):
        return _proportional(a, b)
    if _through_state(scope, a) or _through_state(scope, b):
        return True
    # One element may be read by several iterations: `x[t]` by the next one as `x[t - 1]`.
    return _shape(a) == _shape(b) and not _apart(a, b)


def _piecewise(scope: Scope, info: GuardInfo) -> bool:
    """Whether a guard's value is not one polynomial: outcomes decide some of it, as in `x > t[k]` with a random index
    k, or it is searched for along its line."""
    return (
        info.guard.levels
        or any(b.search is not None for b in info.boundaries)
        or any(x.random and is_decided(scope, x) for x in poly.atoms(info.normal))
    )


def _own_coordinate(scope: Scope, atom: ir.Expr, info: GuardInfo) -> bool:
    """Whether an atom is an element, or state, that differs from iteration to iteration."""
    if isinstance(atom, ir.Cell) and atom.random:
        return all(len(atom.indices) == 1 and scope.offset(atom.indices[0], scope.loops[x]) is not None
                   for x in info.loops)  # fmt: skip
    return isinstance(atom, ir.Var) and atom.name in scope.entries


def _through_state(scope: Scope, info: GuardInfo) -> bool:
    """Whether a guard reads what a loop carries or leaves, in which other iterations may have left the same."""
    sites = {s.name for s in scope.program.sites}
    return any(x.through for x in info.boundaries) or any(
        isinstance(x, ir.Var) and x.random and x.name not in sites for x in poly.atoms(info.normal)
    )


def _apart(a: GuardInfo, b: GuardInfo) -> bool:
    """Whether both compare one latent with a number, and these differ."""
    roots = [_number(x) for x in (a, b)]
    if roots[0] is None or roots[1] is None:
        return False
    return abs(roots[0] - roots[1]) > 1e-9 * max(abs(roots[0]), abs(roots[1]))


def _number(info: GuardInfo) -> float | None:
    """The c of ``latent > c``, if the guard is of that form."""
    (moving,) = _random_part(info).items() if len(_random_part(info)) == 1 else ((None, 0.0),)
    rest = {m: c for m, c in info.normal.items() if not any(e.random for e, _ in m)}
    if moving[0] is None or len(moving[0]) != 1 or moving[0][0][1] != 1 or not poly.is_constant(rest):
        return None
    return -(poly.value(rest) if rest else 0.0) / moving[1]


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
