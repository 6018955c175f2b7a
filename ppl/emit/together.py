"""The guards that may flip where another one has its boundary, as arguments of `surface.jump`."""

from __future__ import annotations

from collections.abc import Iterable

from ppl.core import ir
from ppl.emit.writer import tuple_text
from ppl.regions.model import Boundary, Regions
from ppl.regions.modes import Modes, Reach, modes_of, reach
from ppl.regions.scope import Scope


def members_of(regions: Regions, guard: int) -> frozenset[int]:
    """The guards for which one boundary stands."""
    return frozenset(i.guard.index for i in regions.guards if i.representative == guard)


def in_iteration(regions: Regions, scope: Scope, b: Boundary, loop: ir.Loop, modes: Modes) -> Reach:
    """What a boundary reaches in its own iteration."""
    own = reach(scope, loop, modes, members_of(regions, b.guard))
    return Reach(tuple(t for t in own.terms if t in b.terms), own.state)


def mates_of(regions: Regions, scope: Scope, b: Boundary) -> str:
    """The mates with the terms they reach, from anywhere or inside an iteration."""
    anywhere: dict[int, list[str]] = {}
    inside: dict[int, list[str]] = {}
    for m in b.mates:
        other = regions.guards[m]
        stays = all(x.effect in ("local", "incremental") for x in other.boundaries)
        own = other.loops if stays else ()
        for t in other.boundaries[0].terms:
            if t in b.terms:
                within = bool(own) and scope.flow.term_loops[t][: len(own)] == own
                (inside if within else anywhere).setdefault(m, []).append(f'"t{t}"')
    return _argument(anywhere) + _argument(inside, "inside=")


def mates_in_iteration(regions: Regions, scope: Scope, b: Boundary, loop: ir.Loop, decided: Iterable[int]) -> str:
    """As `mates_of`, where the slice is an iteration and what follows it, in which the guards `decided` are."""
    modes, found = modes_of(scope, loop), dict[int, list[str]]()
    assert modes is not None
    own = in_iteration(regions, scope, b, loop, modes)
    for m in b.mates:
        if m in decided:
            r = reach(scope, loop, modes, members_of(regions, m))
            found[m] = [f'"t{t}"' for t in own.terms if t in r.terms] + ['"rest"'] * (own.state and r.state)
    return _argument(found)


def follows(regions: Regions, scope: Scope, b: Boundary) -> str:
    """Which of a boundary's guards read the sides of poles that others tell.

    Guards that read each other through carried state must not follow each other: then a pole leads what is none, and
    of two poles the one that is decided first.
    """
    members = {m: members_of(regions, m) for m in (b.guard, *b.mates)}
    reads = {m: scope.flow.of(ir.GuardRef(m)).guards for m in members}
    poles = [m for m, ks in members.items() if any(regions.guards[k].guard.pole for k in ks)]
    order = {k: i for i, k in enumerate(scope.decided)}

    def leads(p: int, m: int) -> bool:
        mutual = m in poles and bool(members[m] & reads[p])
        return p != m and bool(members[p] & reads[m]) and (not mutual or order[p] < order[m])

    found = {m: [f'"g{p}"' for p in poles if leads(p, m)] for m in members}
    return _argument({m: leaders for m, leaders in found.items() if leaders}, "follows=")


def _argument(found: dict[int, list[str]], name: str = "") -> str:
    items = ", ".join(f'"g{m}": {tuple_text(texts)}' for m, texts in found.items())
    return f", {name}{{{items}}}" if found else ""
