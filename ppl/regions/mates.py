"""Boundaries that may coincide without being twins: equal thresholds in the data, or in two statements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.regions.lines import at_iteration, is_decided, is_made_in, latent_of
from ppl.regions.model import Boundary, GuardInfo, Latent
from ppl.regions.monotone import is_rarely_zero, moves
from ppl.regions.scope import Scope

Parts = Mapping[poly.Monomial, poly.Poly]  # products of random atoms, each with the data that it is multiplied by
Pattern = tuple[tuple[tuple[str, int], int], ...]  # a product of latents: site, element as far as told apart, and power


def may_move(scope: Scope, info: GuardInfo, b: Boundary) -> bool:
    """Whether the line of a boundary may move the value of an instance of a guard that its jump evaluates."""
    if b.effect == "global" and info.loops:  # that of any iteration, on any element
        return b.line.site in scope.flow.of(info.guard.value).sites
    return not scope.independent(ir.GuardRef(info.guard.index), b.line)


def may_coincide(scope: Scope, a: GuardInfo, b: GuardInfo, effect: str) -> bool:
    """Whether an instance of `b` (another one, if it is the same guard) may flip exactly where one of `a` does.

    They may, unless it is ruled out for all data: data can make two factors equal, or zero, and two elements one.
    """
    if a.guard.index == b.guard.index:
        return bool(a.loops) and effect == "global" and not _has_own_coordinate(scope, a)
    if _piecewise(scope, a) or _piecewise(scope, b):  # they may coincide on some paths only
        return bool(scope.flow.of(a.guard.value).smooth & scope.flow.of(b.guard.value).smooth)
    together = a.loops == b.loops and (not a.loops or effect != "global")
    if together and _differ_by_number(a.normal, b.normal):
        return False
    p, q = parts(a.normal), parts(b.normal)
    if any(latent_of(scope, x) is None for m in (*p, *q) for x, _ in m):
        sites = _sites(scope, p), _sites(scope, q)
        return bool(sites[0] & sites[1]) and _moving(scope, p) <= sites[1] and _moving(scope, q) <= sites[0]
    return _may_be_multiples(scope, a.normal, b.normal, together)


def _piecewise(scope: Scope, info: GuardInfo) -> bool:
    """Whether a guard's value is not one polynomial: outcomes decide some of it, as in `x > t[k]` with a random index
    k, or it is searched for along its line."""
    return (
        info.guard.levels
        or any(b.search is not None for b in info.boundaries)
        or any(x.random and is_decided(scope, x) for x in poly.atoms(info.normal))
    )


def parts(normal: poly.Poly) -> Parts:
    """A value without what the data alone decide."""
    out: dict[poly.Monomial, dict[poly.Monomial, float]] = {}
    for m, c in normal.items():
        out.setdefault(tuple(x for x in m if x[0].random), {})[tuple(x for x in m if not x[0].random)] = c
    return {m: c for m, c in out.items() if m}


# ---------------------------------------------------------- instances of one guard


def _has_own_coordinate(scope: Scope, info: GuardInfo) -> bool:
    """Whether the value moves in each iteration with an element with which no other iteration's moves alike."""
    if len(info.loops) != 1:
        return False
    loop = scope.loops[info.loops[0]]
    through = [b for b in info.boundaries if b.through]
    if through and all(_carries_own(scope, info, b, loop) for b in through):
        return True
    if info.guard.levels or any(b.search is not None for b in info.boundaries):
        return False
    value, decided = parts(info.normal), _piecewise(scope, info)
    for atom in poly.atoms(info.normal):
        line = latent_of(scope, atom)
        if line is None or not _differs_by_iteration(scope, line, loop):
            continue
        moved = [m for m in value if any(x == atom for x, _ in m)]
        split = poly.split_affine(info.normal, atom)
        steady = moves(scope, info.normal, line) or (split is not None and is_rarely_zero(scope, split[0]))
        alone = moved == [((atom, 1),)] and steady  # whatever outcomes make of the rest, they do not change the slope
        others = {x for m in value for x, _ in m} - {atom}
        enough = alone if decided else steady or len(moved) == len(value)
        if enough and all(scope.independent(x, line) for x in others) and _one_sided(scope, line, loop):
            return True
    return False


def _carries_own(scope: Scope, info: GuardInfo, b: Boundary, loop: ir.Loop) -> bool:
    """Whether an iteration's own element is the one that it reads through the state that the last iteration left."""
    if not _differs_by_iteration(scope, b.line, loop) or is_made_in(scope, b.line, loop):
        return False
    # The state also has what the last iteration compared: its guard's value itself must not read the site anew.
    anew = (x for x in poly.atoms(info.normal) if not (isinstance(x, ir.Var) and scope.entries.get(x.name) is loop))
    if b.line.site in scope.flow.many(anew).smooth:
        return False
    here = poly.add(poly.atom(loop.var), poly.constant(1.0))
    left = Latent(b.line.site, tuple(at_iteration(i, loop.var, here) for i in b.line.indices))
    return _one_sided(scope, left, loop) and all(scope.independent(c.init, left) for c in loop.carries)


def _one_sided(scope: Scope, own: Latent, loop: ir.Loop) -> bool:
    """Whether iterations read the elements that others have for their own on one side only, and that before if they
    carry state: ``x[t] > x[t + 1]`` in one and ``x[t] > x[t - 1]`` in the next have one boundary."""
    here, found = scope.offset(own.indices[0], loop), set[float]()
    assert here is not None
    for e in expressions_of(loop, scope.program.guards):
        for x in ir.walk(e):
            if isinstance(x, ir.Var) and x.name == own.site:
                return False
            if isinstance(x, ir.Cell) and x.array == own.site:
                offset = scope.offset(x.indices[0], loop)
                if offset is None:
                    return False
                found.add(offset - here)
    return all(r <= 0 for r in found) or (not loop.carries and all(r >= 0 for r in found))


def _differs_by_iteration(scope: Scope, latent: Latent, loop: ir.Loop) -> bool:
    return len(latent.indices) == 1 and scope.offset(latent.indices[0], loop) is not None


# ------------------------------------------------------------------------ two guards


def _differ_by_number(a: poly.Poly, b: poly.Poly) -> bool:
    """Whether one value, in the same iteration, is a multiple of the other and a number more."""
    p, q = ({m: c for m, c in x.items() if any(e.random for e, _ in m)} for x in (a, b))
    if not p or set(p) != set(q):
        return False
    ratio = next(iter(p.values())) / q[next(iter(p))]
    rest, other = ({m: c for m, c in x.items() if m not in p} for x in (a, b))
    return all(abs(p[m] - ratio * q[m]) <= 1e-9 * abs(p[m]) for m in p) and _apart(rest, other, ratio)


def _apart(rest: poly.Poly, other: poly.Poly, ratio: float) -> bool:
    """Whether ``rest - ratio * other`` is a number other than zero."""
    difference = poly.add(rest, other, -ratio)
    scale = max((abs(c) for c in rest.values()), default=0.0)
    return poly.is_constant(difference) and abs(poly.value(difference)) > 1e-9 * scale


def _sites(scope: Scope, p: Parts) -> frozenset[str]:
    """The sites that may move a value."""
    return scope.flow.many(x for m in p for x, _ in m).smooth


def _moving(scope: Scope, p: Parts) -> frozenset[str]:
    """Sites that do, whatever the data are."""
    out: set[str] = set()
    for m, c in p.items():
        ((atom, power), *more) = m
        latent = latent_of(scope, atom)
        others = scope.flow.many(x for n in p if n != m for x, _ in n)  # with the same atom, they might cancel
        if latent is not None and power == 1 and not more and poly.is_constant(c) and latent.site not in others.smooth:
            out.add(latent.site)
    return frozenset(out)


def _may_be_multiples(scope: Scope, a: poly.Poly, b: poly.Poly, together: bool) -> bool:
    """Whether two polynomials in latents may be proportional; `together`: in the same iteration."""
    numbers = _numbered(scope, [*poly.atoms(a), *poly.atoms(b)]) if together else {}
    p, q = (_by_pattern(scope, parts(x), numbers) for x in (a, b))
    if not p.keys() & q.keys() or _certain(scope, p) - q.keys() or _certain(scope, q) - p.keys():
        return False
    if p.keys() != q.keys() or not all(_single(x) for y in (p, q) for x in y.values()):
        return True
    factors = {k: _number(p[k]) / _number(q[k]) for k in p}
    ratio = next(iter(factors.values()))
    if any(abs(f - ratio) > 1e-9 * abs(ratio) for f in factors.values()):
        return False
    rest, other = ({m: c for m, c in x.items() if not any(e.random for e, _ in m)} for x in (a, b))
    return not (poly.is_constant(rest) and poly.is_constant(other) and _apart(rest, other, ratio))


def _numbered(scope: Scope, atoms: list[ir.Expr]) -> dict[ir.Expr, int]:
    """A number for each element of the arrays of which all elements are known to be the same or to differ."""
    out: dict[ir.Expr, int] = {}
    cells = [x for x in atoms if isinstance(x, ir.Cell) and x.random]
    for array in dict.fromkeys(c.array for c in cells):
        found = [c for c in cells if c.array == array]
        pairs = itertools.combinations(found, 2)
        if all(scope.same_element(x.indices, y.indices) or scope.different_element(x.indices, y.indices)
               for x, y in pairs):  # fmt: skip
            for c in found:
                out[c] = next(k for k, x in enumerate(found) if scope.same_element(x.indices, c.indices))
    return out


def _by_pattern(scope: Scope, p: Parts, numbers: Mapping[ir.Expr, int]) -> Mapping[Pattern, Parts]:
    out: dict[Pattern, dict[poly.Monomial, poly.Poly]] = {}
    for m, c in p.items():
        powers: dict[tuple[str, int], int] = {}
        for x, k in m:
            latent = latent_of(scope, x)
            assert latent is not None
            key = latent.site, numbers.get(x, -1)
            powers[key] = powers.get(key, 0) + k
        out.setdefault(tuple(sorted(powers.items())), {})[m] = c
    return out


def _number(monomials: Parts) -> float:
    (c,) = monomials.values()
    return poly.value(c)


def _single(monomials: Parts) -> bool:
    """Whether a pattern is that of one product, times a number."""
    return len(monomials) == 1 and all(poly.is_constant(c) for c in monomials.values())


def _certain(scope: Scope, p: Mapping[Pattern, Parts]) -> set[Pattern]:
    """Patterns that are there whatever the data are: of one product, or of single elements that differ."""

    def differ(m: poly.Monomial, n: poly.Monomial) -> bool:
        cells = [x for k in (m, n) for x, power in k if isinstance(x, ir.Cell) and power == 1]
        return len(m) == len(n) == 1 and len(cells) == 2 and scope.different_element(*(c.indices for c in cells))

    return {
        k
        for k, x in p.items()
        if all(poly.is_constant(c) for c in x.values()) and all(differ(*y) for y in itertools.combinations(x, 2))
    }
