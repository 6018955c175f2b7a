"""Visiting the statements of a program, each with all iterations of the loops around it, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ppl.bind.evaluate import Evaluator
from ppl.bind.extents import Extent
from ppl.bind.iterate import pieces, range_of, width_of
from ppl.bind.timing import Timing
from ppl.core import ir

MAX_WORK = 2 * 10**9  # elements computed for one loop; beyond, it cannot be checked, and is refused


@dataclass
class Walk:
    extents: Mapping[int, Extent]
    timing: Timing
    guards: Sequence[ir.Guard]
    widths: dict[int, int] = field(default_factory=dict[int, int])

    def width(self, loop: ir.Loop, ev: Evaluator) -> int:
        if loop.id not in self.widths:
            self.widths[loop.id] = width_of(loop, ev, self.guards)
        return self.widths[loop.id]

    def work(self, loop: ir.Loop, ev: Evaluator) -> int:
        return self.extents[loop.id].total * self.width(loop, ev)

    def too_much(self, loop: ir.Loop, ev: Evaluator) -> bool:
        return self.work(loop, ev) > MAX_WORK

    def run(
        self,
        body: tuple[ir.Statement, ...],
        ev: Evaluator,
        visit: Callable[[ir.Statement, Evaluator], None],
        skip: Callable[[ir.Loop], None],
        wanted: Callable[[ir.Loop], bool],
    ) -> None:
        """Calls `visit` for every statement in loops that are `wanted`, and `skip` for loops that are too much work."""
        for s in body:
            if not isinstance(s, ir.Loop):
                visit(s, ev)
                continue
            if not wanted(s):
                continue
            r = None if self.too_much(s, ev) else range_of(s, ev)
            if r is None:
                skip(s)
                continue
            start, each = self.timing.of(s) + 1, self.timing.iteration(s)
            for space in pieces(s, r, ev.space, self.width(s, ev), start, each):
                self.run(s.body, ev.at(space), visit, skip, wanted)
