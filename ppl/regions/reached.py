"""Where data alone say whether a guard is reached."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.core.rewrite import rebuild
from ppl.regions.model import Regions

DEEPEST, LARGEST = 200, 20_000  # assignments behind a condition, and parts of it, that are looked through


def where_reached(regions: Regions, guard: int) -> ir.Expr | None:
    """A condition on data and loop variables without which neither a guard nor a twin that it stands for is reached;
    None if there is none.

    Where it does not hold, the guard may be one of an element beyond its array, which reads as another element.
    """
    if regions.program.guards[guard].mask is None:
        return None
    names = frozenset(d.name for d in regions.program.data) | _of_loops(regions.program)
    variables = frozenset(regions.loops[k].var for k in regions.guards[guard].loops)
    needed: list[ir.Expr] = []
    for i in regions.guards:
        if i.representative != guard:
            continue
        mask = regions.program.guards[i.guard.index].mask
        found = None if mask is None else _Reader(regions.definitions, names, variables).needed(mask, True, DEEPEST)
        if found is None:
            return None
        if found not in needed:
            needed.append(found)
    out = needed[0]
    for x in needed[1:]:
        out = ir.Op("or", (out, x), ir.BOOL, False)
    return out


def _of_loops(program: ir.Program) -> frozenset[str]:
    """What loops leave behind that depends on data alone: a count of them, say."""
    outer = [s for s in program.body if isinstance(s, ir.Loop)]
    finals = [x.final for s in outer for x in (*s.carries, *s.reductions, *s.collects)]
    return frozenset(v.name for v in finals if not v.random)


class _Reader:
    """Reads conditions, up to LARGEST parts of them, for what they say of data and the variables of loops."""

    def __init__(
        self, definitions: Mapping[str, ir.Expr], data: frozenset[str], variables: frozenset[ir.LoopVar]
    ) -> None:
        self.definitions, self.data, self.variables = definitions, data, variables
        self.left = LARGEST

    def needed(self, e: ir.Expr, holds: bool, depth: int) -> ir.Expr | None:
        """A condition that is true wherever `e` is, or is not if it `holds` not; None if there is none."""
        self.left -= 1
        if self.left < 0 or depth == 0:
            return None
        if not e.random:
            settled = self.settled(e, depth)
            if settled is not None:
                return settled if holds else ir.negate(settled)
        match e:
            case ir.Var() if e.name in self.definitions:
                return self.needed(self.definitions[e.name], holds, depth - 1)
            case ir.Op("not", (inner,)):
                return self.needed(inner, not holds, depth)
            case ir.Op("and" | "or", (a, b)):
                parts = self.needed(a, holds, depth), self.needed(b, holds, depth)
                return ir.conjunction(*parts) if (e.op == "and") == holds else _either(*parts)
            case ir.Select():
                on = ir.conjunction(self.needed(e.condition, True, depth), self.needed(e.then, holds, depth))
                off = ir.conjunction(self.needed(e.condition, False, depth), self.needed(e.orelse, holds, depth))
                return _either(on, off)
            case _:
                return None

    def settled(self, e: ir.Expr, depth: int) -> ir.Expr | None:
        """An expression written in data and loop variables; None if it has others, or is too large."""

        def rule(x: ir.Expr) -> ir.Expr | None:
            return self.definitions.get(x.name) if isinstance(x, ir.Var) else None

        parts = list(ir.walk(e))
        self.left -= len(parts)
        if self.left < 0:
            return None
        if any(rule(x) for x in parts):
            return self.settled(rebuild(e, rule), depth - 1) if depth else None
        leaves = (x for x in parts if isinstance(x, ir.Var | ir.LoopVar | ir.Cell))
        known = all(
            x in self.variables if isinstance(x, ir.LoopVar) else isinstance(x, ir.Var) and x.name in self.data
            for x in leaves
        )
        return e if known else None


def _either(a: ir.Expr | None, b: ir.Expr | None) -> ir.Expr | None:
    if a is None or b is None:
        return None
    return a if a == b else ir.Op("or", (a, b), ir.BOOL, False)
