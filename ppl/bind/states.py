"""Whole numbers that loops carry, as places in arrays do."""

from __future__ import annotations

from ppl.core import ir
from ppl.record import record


@record
class State:
    """A whole number that a loop carries: `entry` at the start of an iteration, `out` at its end. `carried`: the names
    of all that the loop carries, in it and after it."""

    loop: ir.Loop
    entry: str
    init: ir.Expr
    out: ir.Expr
    carried: frozenset[str]

    @property
    def parts(self) -> tuple[ir.Expr, ...]:
        """All that it depends on."""
        return (self.init, self.out, self.loop.lo, self.loop.hi)


def states_of(program: ir.Program) -> dict[str, State]:
    """By their names in the loop and after it."""
    out: dict[str, State] = {}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Loop):
            carried = frozenset(v.name for c in s.carries for v in (c.entry, c.final))
            for c in s.carries:
                if c.entry.type == ir.INT:
                    out[c.entry.name] = out[c.final.name] = State(s, c.entry.name, c.init, c.out, carried)
    return out
