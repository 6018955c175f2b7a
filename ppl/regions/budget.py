"""Boundaries of which every instance evaluates the program, or loops of it, anew: beyond a budget a random subset of
the instances stands for all, see `ppl.runtime.subsets`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.regions.model import Boundary, GuardInfo
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


def taken_in_part(info: GuardInfo, count: int, shapes: Mapping[str, tuple[int, ...]], budget: int | None) -> bool:
    """Whether a random subset of the boundaries of a guard with `count` instances is evaluated; `shapes`: of sites."""
    if budget is None or info.status not in ("boundary", "marginalised"):
        return False
    return any(b.repeats and count * elements(b, shapes) > budget for b in info.boundaries)


def elements(b: Boundary, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many lines a boundary has for each instance of its guard."""
    return math.prod(shapes[b.line.site]) if b.search is not None and b.search.element else 1
