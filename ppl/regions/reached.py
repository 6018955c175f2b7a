"""Where data alone say whether a guard of a loop is reached."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.core.rewrite import rebuild
from ppl.regions.extract import conjuncts
from ppl.regions.model import Regions

DEEPEST, LARGEST = 16, 500  # assignments behind a condition, and parts of it, that are looked through


def where_reached(regions: Regions, guard: int) -> ir.Expr | None:
    """A condition on data and loop variables without which neither a guard nor a twin that it stands for is reached;
    None if there is none.

    Where it does not hold, the guard may be one of an element beyond its array, which reads as another element.
    """
    loops = regions.guards[guard].loops
    if not loops or regions.program.guards[guard].mask is None:
        return None
    members = [i.guard.index for i in regions.guards if i.representative == guard]
    known = [_of_data(regions, regions.program.guards[k].mask, loops) for k in members]
    out: ir.Expr | None = None
    for c in known[0]:
        if all(c in others for others in known[1:]):
            out = ir.conjunction(out, c)
    return out


def _of_data(regions: Regions, mask: ir.Expr | None, loops: tuple[int, ...]) -> list[ir.Expr]:
    """The parts of a mask that data and the variables of `loops` decide, written in these."""
    if mask is None:
        return []
    names = {d.name for d in regions.program.data}
    variables = {regions.loops[k].var for k in loops}
    out: list[ir.Expr] = []
    for c in conjuncts(mask):
        settled = None if c.random else _settled(c, regions.definitions, DEEPEST)
        leaves = (
            [] if settled is None else [x for x in ir.walk(settled) if isinstance(x, ir.Var | ir.LoopVar | ir.Cell)]
        )
        if settled is not None and all(
            x in variables if isinstance(x, ir.LoopVar) else isinstance(x, ir.Var) and x.name in names for x in leaves
        ):
            out.append(settled)
    return out


def _settled(e: ir.Expr, definitions: Mapping[str, ir.Expr], depth: int) -> ir.Expr | None:
    """An expression with its variables replaced by what they are assigned; None beyond a depth or size."""

    def rule(x: ir.Expr) -> ir.Expr | None:
        return definitions.get(x.name) if isinstance(x, ir.Var) else None

    if not any(rule(x) for x in ir.walk(e)):
        return e
    large = sum(1 for _ in ir.walk(e)) > LARGEST
    return None if large or depth == 0 else _settled(rebuild(e, rule), definitions, depth - 1)
