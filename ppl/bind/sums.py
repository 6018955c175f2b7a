"""Values that loops add up, as counts do."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.record import record


@record
class Sum:
    """``init`` and one `delta` for each iteration of a loop."""

    init: ir.Expr
    delta: ir.Expr
    loop: ir.Loop

    @property
    def parts(self) -> tuple[ir.Expr, ...]:
        """All that it depends on."""
        mask = () if self.loop.mask is None else (self.loop.mask,)
        return (self.init, self.delta, self.loop.lo, self.loop.hi, *mask)


def sums_of(program: ir.Program) -> Mapping[str, Sum]:
    """By the variable that holds the sum or, of a comprehension, the array whose sum it is."""
    found: dict[str, Sum] = {}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Loop):
            found |= {r.final.name: Sum(r.init, r.delta, s) for r in s.reductions}
            found |= {c.final.name: Sum(ir.literal(0), c.element, s) for c in s.collects if c.element.type.scalar}
    return found


def summed(e: ir.Expr) -> str:
    """The variable by which `sums_of` knows a value; "" if there is none."""
    match e:
        case ir.Var() if e.type.scalar:
            return e.name
        case ir.Op(op="sum", args=(ir.Var() as v,)):
            return v.name
        case _:
            return ""
