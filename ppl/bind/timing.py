"""When statements are executed, as numbers that increase in the order of execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ppl.bind.extents import Extent
from ppl.core import ir

_TOO_LONG = 2**62


@dataclass
class Timing:
    """`offset` of each statement (by its id()) within an iteration of the loop around it, and the `duration` of one
    iteration of each loop (by its number). A program too long for 64 bits is not `ordered`, and all happens at once."""

    offset: dict[int, int] = field(default_factory=dict[int, int])
    duration: dict[int, int] = field(default_factory=dict[int, int])
    ordered: bool = True

    def of(self, s: ir.Statement) -> int:
        return self.offset[id(s)] if self.ordered else 0

    def iteration(self, loop: ir.Loop) -> int:
        return self.duration[loop.id] if self.ordered else 0

    def end(self, loop: ir.Loop) -> int:
        """The end of an iteration, counted from its start."""
        return self.duration[loop.id] - 1 if self.ordered else 0

    def fill(self, s: ir.Statement) -> int:
        """As `of`, for statements that fill: without an order they come before all that read."""
        return self.offset[id(s)] if self.ordered else -1


def timing(body: tuple[ir.Statement, ...], found: Mapping[int, Extent]) -> Timing:
    out = Timing()
    out.ordered = _block(body, found, out) < _TOO_LONG
    return out


def _block(body: tuple[ir.Statement, ...], found: Mapping[int, Extent], out: Timing) -> int:
    """Enters the statements of a block; how long it takes, with one more unit for its end."""
    now = 0
    for s in body:
        out.offset[id(s)] = now
        now += 1
        if isinstance(s, ir.Loop):
            out.duration[s.id] = _block(s.body, found, out)
            now += found[s.id].longest * out.duration[s.id]
    return now + 1
