"""Guards that several latents move together in proportion: crossed along the normal of their boundary.

Where a guard's value is ``sum_j a_j * u_j + rest``, with numbers or data ``a_j``, over unconstrained latents that
`rest` does not see, through guards or otherwise, its boundary is a hyperplane for given values of all else. Any line
through it gives the same surface integral. A coordinate has to move far if it moves the guard little; the normal is the
line on which the boundary is nearest.

State of a loop that stops counts: where its test is reached, every test before let the loop go on. On the path on which
all do, the test's value is such a sum, of latents of all iterations before. The jump is evaluated at the root with the
other tests decided by their values there: if one of them stops the loop first, the test is not reached, and nothing
jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ppl.core import ir, poly
from ppl.regions.choice import NORMAL, name_of
from ppl.regions.frozen import Known, known_before, resolve, tested_again
from ppl.regions.lines import latent_of
from ppl.regions.model import NOWHERE, Boundary, GuardInfo, Normal
from ppl.regions.scope import Scope

Takes = Callable[[GuardInfo, Boundary, Normal], bool]  # whether a boundary that has a normal is crossed along it


def with_normals(scope: Scope, infos: tuple[GuardInfo, ...], takes: Takes) -> tuple[GuardInfo, ...]:
    """Lays the lines of boundaries along normals, for the reasons in `ppl.regions.choice`. A jump along a normal
    evaluates the program: a slice for one coordinate would not do for several.

    What is known of almost every root on a coordinate line, such as which guards flip with this one, holds on the
    normal: both kinds of root have a density on the boundary.
    """
    return tuple(_along(scope, info, takes) if info.boundaries else info for info in infos)


def _along(scope: Scope, info: GuardInfo, takes: Takes) -> GuardInfo:
    """A guard with the normals that it has, and with the lines that it could have."""
    several = len(info.boundaries) > 1
    found = [normal_for(scope, info, b, several) for b in info.boundaries]
    pairs = zip(info.boundaries, found, strict=True)
    new = tuple(replace(b, normal=n if n is not None and takes(info, b, n) else None) for b, n in pairs)
    last = new[-1]
    single = last.search is None or not several
    names = [name_of(x) for x in (last.line, *last.others)] if single and last.line != NOWHERE else []
    if any(found):
        names = [NORMAL, *names] if any(b.normal for b in new) else [*names, NORMAL]
    sites = last.normal.sites if last.normal is not None else ()
    direction = f"the normal in {', '.join(sites)}" if sites else info.direction
    return replace(info, boundaries=new, direction=direction, lines=tuple(names))


def normal_for(scope: Scope, info: GuardInfo, b: Boundary, several: bool) -> Normal | None:
    """The normal along which a boundary, one of `several` of its guard, could be crossed."""
    if b.search is not None or (b.part == "all" and several):
        return None
    found = normal_of(scope, info.guard, info.normal, info.loops, b.part)
    return found if found is not None and b.line.site in found.sites else None


def normal_of(scope: Scope, guard: ir.Guard, normal: poly.Poly, loops: tuple[int, ...], part: str) -> Normal | None:
    """The normal along which a part of the instances of a guard can be crossed; None if there is none, or if it is one
    coordinate."""
    if "normals" not in scope.optimize or guard.levels or guard.outcomes is not None:
        return None
    if part == "all":
        masks = [ir.GuardRef(k) for k in scope.flow.guard_values[guard.index].masks]
        sites = moving(scope, [normal], masks)
        several = sites and sum(_coordinates(scope, a, sites) for a in poly.atoms(normal)) > 1
        return Normal(sites, alone(scope, [normal], sites), (), None) if several else None
    found = through_loop(scope, guard, normal, loops) if part == "rest" else None
    if part == "last":
        found = next((_stopped(scope, normal, t.loop, t.final, t.state, t.known, t.going)
                      for t in tested_again(scope, normal)), None)  # fmt: skip
    return found


def through_loop(scope: Scope, guard: ir.Guard, normal: poly.Poly, loops: tuple[int, ...]) -> Normal | None:
    """That of a guard that reads the state of its loop, which is where the previous iteration left it."""
    for p in poly.atoms(normal):
        loop = scope.entries.get(p.name) if isinstance(p, ir.Var) else None
        if loop is None or loops != (loop.id,):
            continue
        carry = next(c for c in loop.carries if c.entry == p)
        known = known_before(scope, guard.mask, loop)
        return _stopped(scope, normal, loop, p, resolve(scope, carry.out, known), known, None)
    return None


def _stopped(
    scope: Scope, normal: poly.Poly, loop: ir.Loop, read: ir.Expr, state: ir.Expr, known: Known, going: ir.Var | None
) -> Normal | None:
    """Of a guard with this normal form that reads the state of a loop as `read`, and on whose path `known` holds in
    all iterations, so that each makes `state` of it."""
    path = path_of(scope, loop, known)
    if loop.mask is not None and loop.mask.random:
        return None
    carry = next(c for c in loop.carries if read in (c.entry, c.final))
    out, init = scope.normal(state), scope.normal(carry.init)
    steps = [poly.split_affine(normal, read), poly.split_affine(out, carry.entry)]
    if path is None or any(s is None or any(a.random for a in poly.atoms(s[0])) for s in steps):
        return None
    parts = [*(s[1] for s in steps if s is not None), init]
    sites = moving(scope, parts, ())
    return Normal(sites, alone(scope, parts, sites), path, going) if sites else None


def path_of(scope: Scope, loop: ir.Loop, known: Known) -> tuple[tuple[int, bool], ...] | None:
    """The outcomes of guards in every iteration under which `known` holds in all; None if it takes more than guards.

    A condition of the loop's state holds if it does at the start, which data decide, and if each iteration keeps it, as
    `known` says. If it does not at the start, the guard is not reached at all.
    """
    out: dict[int, bool] = {}
    kept = {c.entry for c in loop.carries if c.out in known and not c.init.random}
    for e in known:
        inner, holds = (e.args[0], False) if isinstance(e, ir.Op) and e.op == "not" else (e, True)
        if isinstance(inner, ir.GuardRef) and scope.decided.get(inner.index) == (loop.id,) and inner.type == ir.BOOL:
            if out.setdefault(inner.index, holds) != holds:
                return None
            continue
        composed = (isinstance(e, ir.Op) and e.op == "and") or (isinstance(e, ir.Var) and e.name in scope.definitions)
        if e.random and not composed and e not in kept:
            return None
    return tuple(sorted(out.items())) if out else None


def moving(scope: Scope, parts: Sequence[poly.Poly], masks: Iterable[ir.Expr]) -> tuple[str, ...]:
    """The sites in which all of `parts` are affine with coefficients that no latent moves, and that nothing else in
    them, nor any of `masks`, sees."""
    sites = {s for p in parts for a in poly.atoms(p) for s in _linear(scope, a)}
    masked = frozenset[str]().union(*(scope.flow.of(e).sites for e in masks))
    sites -= masked
    while True:
        seen = {s for p in parts for m in p for s in _seen(scope, m, frozenset(sites))}
        if not seen & sites:
            return tuple(sorted(sites))
        sites -= seen


def alone(scope: Scope, parts: Sequence[poly.Poly], sites: tuple[str, ...]) -> bool:
    """Whether nothing in `parts` is random but these sites."""
    return not any(a.random and not set(_linear(scope, a)) & set(sites) for p in parts for a in poly.atoms(p))


def _seen(scope: Scope, m: poly.Monomial, sites: frozenset[str]) -> Iterator[str]:
    """What a monomial depends on, unless it is one of `sites` times what no latent moves."""
    random = [(a, power) for a, power in m if a.random]
    if len(random) == 1 and random[0][1] == 1:
        linear = _linear(scope, random[0][0])
        if linear and set(linear) <= sites:
            return
    for a, _ in random:
        yield from scope.flow.of(a).sites


def _linear(scope: Scope, a: ir.Expr) -> tuple[str, ...]:
    """The sites in which an atom is linear: the one it is a coordinate of, or the one it sums up."""
    if isinstance(a, ir.Op) and a.op in ("dot", "sum"):
        moved = [x for x in a.args if x.random]
        whole = len(moved) == 1 and isinstance(moved[0], ir.Var) and len(moved[0].type.dims) == 1
        return (moved[0].name,) if whole and isinstance(moved[0], ir.Var) and _free(scope, moved[0].name) else ()
    latent = latent_of(scope, a)
    return (latent.site,) if latent is not None and _free(scope, latent.site) else ()


def _free(scope: Scope, name: str) -> bool:
    """Whether a site is a latent whose value is its unconstrained coordinate, in all of its elements."""
    site = next((s for s in scope.program.sites if s.name == name), None)
    if site is None or site.noise or site.joint or site.support != "real":
        return False
    return not any(isinstance(s, ir.Fill) and s.array == name for _, s in ir.blocks(scope.program.body))


def _coordinates(scope: Scope, a: ir.Expr, sites: tuple[str, ...]) -> int:
    linear = _linear(scope, a)
    if not linear or linear[0] not in sites:
        return 0
    return 2 if isinstance(a, ir.Op) else 1
