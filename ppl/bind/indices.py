"""Indices that can leave their arrays whatever the data: found when a program is checked, as binding would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.diagnostics import Diagnostics
from ppl.language.distributions import named


def check_indices(program: ir.Program, definitions: Mapping[str, ir.Expr], sink: Diagnostics) -> None:
    """Reports to `sink` the indices that depend on a latent and are not certain to stay inside arrays of constant size.

    What data decide is left to binding. Most programs have nothing else; then there is nothing to import.
    """
    decided = Decided(program, definitions)
    found = frozenset(id(s) for _, s in ir.blocks(program.body) if any(map(decided.within, own(s, program.guards))))
    if found:
        from ppl.bind.leaving import check

        check(program, definitions, decided, found, sink)


def own(s: ir.Statement, guards: tuple[ir.Guard, ...]) -> Iterable[ir.Expr]:
    """What a statement evaluates, without the statements in it."""
    if isinstance(s, ir.Loop):
        return (*(c.out for c in s.carries), *(r.delta for r in s.reductions), *(c.element for c in s.collects))
    return expressions_of(s, guards)


class Decided:
    """Which indices lie between numbers that no data change."""

    def __init__(self, program: ir.Program, definitions: Mapping[str, ir.Expr]) -> None:
        self.guards, self.definitions = program.guards, definitions
        self.draws = {s.site: s for _, s in ir.blocks(program.body) if isinstance(s, ir.Sample)}
        self.types = {s.name: s.type for s in program.sites} | {a.name: a.type for a in program.arrays}

    def within(self, e: ir.Expr) -> bool:
        """Whether `e` has an element of an array of constant size at such an index."""
        for x in ir.walk(e):
            if isinstance(x, ir.Cell | ir.Index) and any(i.random and self.index(i) for i in x.indices):
                t = self.types.get(x.array) if isinstance(x, ir.Cell) else x.base.type
                if t is None or all(map(self.index, t.dims)):
                    return True
        return False

    def index(self, e: ir.Expr) -> bool:
        """Whether `Ranges.of` finds the same for `e` whatever the data."""
        seen: set[str] = set()
        queue = [e]
        while queue:
            for x in ir.walk(queue.pop()):
                match x:
                    case ir.DataRef():
                        return False
                    case ir.GuardRef():
                        name, more = f"guard {x.index}", (self.guards[x.index].value,)
                    case ir.Outcome():
                        name, more = x.site, self.ends(x.site)
                    case ir.Var() | ir.Cell():
                        name = x.array if isinstance(x, ir.Cell) else x.name
                        more = (self.definitions[name],) if name in self.definitions else self.ends(name)
                        if not x.random and not more:  # what a loop makes of data, or filled in
                            return False
                    case _:
                        continue
                if name not in seen:
                    seen.add(name)
                    queue.extend(more)
        return True

    def ends(self, site: str) -> tuple[ir.Expr, ...]:
        """What the ends of a draw's support depend on; nothing of what is not drawn."""
        s = self.draws.get(site)
        if s is None:
            return ()
        d = named(s.distribution)
        if d.support.kind == "categories":
            return s.args[0].type.dims[-1:]
        names = [p.name for p in d.params]
        return tuple(s.args[names.index(b)] for b in d.support.bounds if isinstance(b, str))
