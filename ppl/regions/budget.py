"""Boundaries of which every instance evaluates the program, or loops of it, anew: beyond a budget a random subset of
the instances stands for all, see `ppl.runtime.subsets`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.regions.model import Boundary, GuardInfo, Regions
from ppl.regions.scope import Scope


def with_repeats(scope: Scope, infos: tuple[GuardInfo, ...]) -> tuple[GuardInfo, ...]:
    """Marks these boundaries."""
    out: list[GuardInfo] = []
    for info in infos:
        members = frozenset(i.guard.index for i in infos if i.representative == info.guard.index)
        new = tuple(replace(b, repeats=repeats(scope, info, b, members)) for b in info.boundaries)
        out.append(replace(info, boundaries=new) if new else info)
    return tuple(out)


def repeats(scope: Scope, info: GuardInfo, b: Boundary, members: frozenset[int]) -> bool:
    """Whether a boundary has several instances, of which each evaluates more than its own iteration."""
    if not info.loops:
        return b.search is not None and bool(b.search.element)
    if b.part == "first" and len(info.loops) == 1:
        return False
    return b.effect == "global" or (b.effect == "incremental" and _reaches_loops(scope, info, members))


def _reaches_loops(scope: Scope, info: GuardInfo, members: frozenset[int]) -> bool:
    """Whether something in another loop, or made of whole arrays, depends on a guard's outcome."""
    for around, s in ir.blocks(scope.program.body):
        loops = {*(x.id for x in around), *((s.id,) if isinstance(s, ir.Loop) else ())}
        if loops and loops <= set(info.loops):
            continue
        for e in expressions_of(s, scope.program.guards):
            if members & scope.flow.of(e).guards and (loops or any(x.type.dims for x in ir.walk(e))):
                return True
    return False


def families(regions: Regions) -> tuple[tuple[GuardInfo, Boundary], ...]:
    """The boundaries of which a subset may be evaluated, each with its guard, in the order that budgets have."""
    return tuple((i, b) for i in regions.guards for b in i.boundaries if b.repeats)


def taken_in_part(
    regions: Regions, info: GuardInfo, count: int, shapes: Mapping[str, tuple[int, ...]],
    budgets: Sequence[int | None],
) -> int | None:  # fmt: skip
    """How many boundaries of a guard with `count` instances are evaluated if that is a random subset, else None;
    `shapes`: of sites."""
    if info.status not in ("boundary", "marginalised"):
        return None
    own = [(b, k) for (i, b), k in zip(families(regions), budgets, strict=True) if i is info]
    return max((k for b, k in own if k is not None and count * elements(b, shapes) > k), default=None)


def elements(b: Boundary, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many lines a boundary has for each instance of its guard."""
    return math.prod(shapes[b.line.site]) if b.search is not None and b.search.element else 1
