"""Loops as spaces of iterations, in pieces of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ppl.bind.evaluate import Evaluator, Space
from ppl.bind.functions import Array
from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.record import record

CHUNK = 2**18  # iterations (times the widest array expression in the loop) evaluated at once


@record
class Range:
    """The first index and the number of iterations of a loop, for every iteration around it."""

    lo: Array
    extent: Array

    @property
    def total(self) -> int:
        return int(self.extent.sum())

    @property
    def longest(self) -> int:
        return int(self.extent.max(initial=0))


def range_of(loop: ir.Loop, ev: Evaluator) -> Range | None:
    """None if a bound is unknown, which elaboration rules out but for limits on work."""
    active = ev.mask(loop.mask)
    lo, hi = ev.value(loop.lo, active), ev.value(loop.hi, active)
    if lo is None or hi is None:
        return None
    extent = np.maximum(hi - lo, 0)
    if active is not None:
        extent = np.where(active, extent, 0)
    size = ev.space.size
    return Range(np.broadcast_to(lo, (size,)), np.broadcast_to(extent, (size,)))


def pieces(loop: ir.Loop, r: Range, around: Space, width: int, offset: int, duration: int) -> Iterator[Space]:
    """The iterations of `loop` in all iterations of `around`, in order, some at a time.

    `offset` is when the loop starts within an iteration of `around`, `duration` how long one of its own takes.
    """
    ends = np.cumsum(r.extent)
    total, step = int(ends[-1]), max(1, CHUNK // max(1, width))
    for start in range(0, total, step):
        flat = np.arange(start, min(total, start + step))
        back = np.searchsorted(ends, flat, side="right") if around.size > 1 else np.zeros(len(flat), np.int64)
        k = flat - (ends - r.extent)[back]
        variables = {name: (v if v.shape[0] == 1 else v[back]) for name, v in around.variables.items()}
        variables[loop.var.name] = r.lo[back] + k
        time = around.time[back] + offset + k * duration
        yield Space((*around.loops, loop), len(flat), variables, time, around, back)


def width_of(loop: ir.Loop, ev: Evaluator, guards: Sequence[ir.Guard]) -> int:
    """The most elements of any array that a loop computes from data anew in each iteration."""
    widest = 1
    for e in expressions_of(loop, guards):
        for x in ir.walk(e):
            if not x.type.dims or x.random or isinstance(x, ir.DataRef) or not ragged(x, ev.definitions):
                continue
            shape = ev.dims(x.type)
            widest = max(widest, 1 if shape is None else math.prod(shape))
    return widest


def ragged(e: ir.Expr, definitions: Mapping[str, ir.Expr]) -> bool:
    """Whether `e` depends on a loop variable."""
    seen: set[str] = set()
    queue = [e]
    while queue:
        for x in ir.walk(queue.pop()):
            if isinstance(x, ir.LoopVar):
                return True
            if isinstance(x, ir.Var) and x.name in definitions and x.name not in seen:
                seen.add(x.name)
                queue.append(definitions[x.name])
    return False
