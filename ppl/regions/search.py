"""Lines for guards that are not affine in any latent alone: where the boundary is searched for, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from ppl.core import ir, poly
from ppl.language.distributions import named
from ppl.regions.lines import latent_of
from ppl.regions.model import Latent, Search
from ppl.regions.monotone import direction, moves, saturates
from ppl.regions.scope import Scope

MAX_DEGREE = 8


@dataclass
class Leaves:
    """What a guard's value reads in the end: coordinates of latents, whole array sites, and what is opaque (state that
    loops carry, sums, arrays filled by assignments)."""

    coordinates: dict[Latent, None] = field(default_factory=dict[Latent, None])
    whole: dict[str, None] = field(default_factory=dict[str, None])
    opaque: dict[ir.Expr, None] = field(default_factory=dict[ir.Expr, None])


def searches(scope: Scope, guard: ir.Guard, normal: poly.Poly) -> list[tuple[Latent, Search]]:
    """The lines that together cross all of a guard's boundary; none if no latent moves it smoothly."""
    found = leaves(scope, guard.value)
    movable = [s for s in sorted(scope.flow.of(guard.value).smooth) if can_move(scope, s)]
    if not movable:
        return []
    local = arguments(scope, found)
    state = any(scope.flow.of(x).smooth.intersection(movable) for x in found.opaque)
    if local is not None and state and not any(moves(scope, normal, a) for a in local):
        local = None  # where data leave these without a slope, what moves the state moves the guard
    if local is None:
        steady = next((s for s in movable if is_steady(scope, normal, s)), None)
        lines = movable if steady is None else [steady]
        return [line for name in lines for line in of_model(scope, name, tuple(lines))]
    single = {
        a: saturates(scope, normal, a)
        for a in (*local, *joint_coordinates(scope, normal))
        if not is_whole(scope, a) and direction(scope, normal, a) and scope.has_value_along(guard.index, a)
    }
    alone = next((a for a, flat in single.items() if not flat or len(local) == 1), None)
    if alone is not None:
        return [(alone, Search("monotone", (alone,), ()))]
    out: list[tuple[Latent, Search]] = []
    for a in local:
        if is_whole(scope, a):
            line, element = elements(scope, a.site)
            out.append((line, Search("smooth", local, (), (), element)))
        elif a in single:
            out.append((a, Search("monotone", local, ())))
        else:
            c = coefficients(scope, normal, a)
            out.append((a, Search("polynomial" if c else "smooth", local, (), c)))
    return out


def joint_coordinates(scope: Scope, normal: poly.Poly) -> list[Latent]:
    """The single coordinates, in a normal form, of vectors whose elements do not vary freely."""
    found: dict[Latent, None] = {}
    for a in poly.atoms(normal):
        for x in ir.walk(a):
            if isinstance(x, ir.Cell) and any(s.joint and s.name == x.array for s in scope.program.sites):
                found.setdefault(Latent(x.array, x.indices))
    return list(found)


def is_steady(scope: Scope, normal: poly.Poly, site: str) -> bool:
    """Whether a guard moves along a scalar latent at a constant rate, except for what guards decide: a line along it
    crosses every part of the boundary, and none of them tangentially, so no other line is needed."""
    for a in poly.atoms(normal):
        if isinstance(a, ir.Var) and a.name == site and not a.type.dims:
            slope, rest = poly.split_affine(normal, a) or ({}, {})
            moving = scope.flow.many(poly.atoms(rest)).smooth
            return poly.is_constant(slope) and poly.value(slope) != 0 and site not in moving
    return False


def of_model(scope: Scope, name: str, sites: tuple[str, ...]) -> list[tuple[Latent, Search]]:
    line, element = elements(scope, name)
    return [(line, Search("smooth", (), sites, (), element))]


def elements(scope: Scope, site: str) -> tuple[Latent, tuple[ir.LoopVar, ...]]:
    """The line of one element of a site, and the indices that run over them all."""
    dims = scope.site(site).type.dims
    element = tuple(ir.LoopVar(f"element_{k}") for k in range(len(dims)))
    return Latent(site, element), element


def is_whole(scope: Scope, a: Latent) -> bool:
    return not a.indices and bool(scope.site(a.site).type.dims)


def can_move(scope: Scope, site: str) -> bool:
    """Whether a line can run along a site: its draws have a standard normal behind them."""
    s = scope.site(site)
    return s.support != "int" and not (s.noise and named(s.distribution).noise == "sampler")


def leaves(scope: Scope, value: ir.Expr) -> Leaves:
    out = Leaves()
    seen: set[str] = set()
    queue = [value]
    sites = {s.name: s for s in scope.program.sites}
    while queue:
        for x in ir.walk(queue.pop()):
            match x:
                case ir.GuardRef():
                    if f"guard {x.index}" not in seen:
                        seen.add(f"guard {x.index}")
                        g = scope.program.guards[x.index]
                        queue.extend((g.value, *(() if g.mask is None else (g.mask,))))
                case ir.Var() if x.name in sites:
                    if x.type.dims:
                        out.whole.setdefault(x.name)
                    else:
                        out.coordinates.setdefault(Latent(x.name, ()))
                case ir.Var() if x.name in scope.definitions:
                    if x.name not in seen:
                        seen.add(x.name)
                        queue.append(scope.definitions[x.name])
                case ir.Var() if x.random:
                    out.opaque.setdefault(x)
                case ir.Cell() if x.random:
                    latent = latent_of(scope, x)
                    if latent is None:
                        out.opaque.setdefault(x)
                    else:
                        out.coordinates.setdefault(latent)
                case _:
                    pass
    return out


def arguments(scope: Scope, found: Leaves) -> tuple[Latent, ...] | None:
    """The latents that a guard's value can be re-evaluated for by itself; None if that takes the whole program."""
    whole = [Latent(w, ()) for w in found.whole]
    single = [c for c in found.coordinates if c.site not in found.whole]
    out = [a for a in (*single, *whole) if can_move(scope, a.site)]
    sites = {a.site for a in (*single, *whole)}
    if not out or any(scope.flow.of(ir.Var(a, ir.REAL, True)).sites & sites - {a} for a in sites):
        return None  # the support of one of them moves with another
    filled = {s.array for _, s in ir.blocks(scope.program.body) if isinstance(s, ir.Fill)}
    if sites & filled:
        return None
    for a in out:
        for b in out:
            if a != b and a.site == b.site and not scope.different_element(a.indices, b.indices):
                return None
    lines = [elements(scope, a.site)[0] if is_whole(scope, a) else a for a in out]
    if not all(scope.independent(x, line) for x in found.opaque for line in lines):
        return None
    return tuple(out)


def coefficients(scope: Scope, normal: poly.Poly, latent: Latent) -> tuple[ir.Expr, ...]:
    """The coefficients of a guard as a polynomial in one latent, the constant first; () if it is none."""
    mine = [a for a in poly.atoms(normal) if latent_of(scope, a) is not None and is_at(scope, a, latent)]
    if len(mine) != 1:
        return ()
    parts: dict[int, dict[poly.Monomial, float]] = {}
    for m, c in normal.items():
        power = dict(m).get(mine[0], 0)
        parts.setdefault(power, {})[tuple(x for x in m if x[0] != mine[0])] = c
    if max(parts) > MAX_DEGREE:
        return ()
    if not all(scope.independent(x, latent) for p in parts.values() for x in poly.atoms(p)):
        return ()
    return tuple(poly.to_expr(parts.get(k, {})) for k in range(max(parts) + 1))


def is_at(scope: Scope, e: ir.Expr, latent: Latent) -> bool:
    if isinstance(e, ir.Var):
        return e.name == latent.site and not latent.indices
    return isinstance(e, ir.Cell) and e.array == latent.site and scope.same_element(e.indices, latent.indices)
