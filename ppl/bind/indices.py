"""Indices that leave their arrays, or can, whatever the data: found when a program is checked, as binding would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ppl.bind.states import states_of
from ppl.bind.sums import sums_of
from ppl.core import ir, poly
from ppl.core.reads import expressions_of, handed_on, reached
from ppl.diagnostics import Diagnostics
from ppl.language.distributions import named


def check_indices(program: ir.Program, definitions: Mapping[str, ir.Expr], sink: Diagnostics) -> None:
    """Reports to `sink` the indices of arrays of constant size that loops with constant bounds take outside, or that
    depend on a latent and are not certain to stay inside.

    What data decide is left to binding. Most programs have nothing else; then there is nothing to import.
    """
    decided = Decided(program, definitions)
    found = frozenset(
        id(s) for around, s in ir.blocks(program.body)
        if any(decided.within(e, (*around, s) if isinstance(s, ir.Loop) else around) for e in own(s, program.guards))
        or decided.fills_outside(s, around)
    )  # fmt: skip
    if found:
        from ppl.bind.leaving import check

        check(program, definitions, decided, found, sink)


def check_divisors(program: ir.Program, definitions: Mapping[str, ir.Expr], sink: Diagnostics) -> None:
    """Reports to `sink` the divisors that whole numbers can make zero whatever the data."""
    certain = [d for d in program.divisors if not d.reads_data]
    if certain:
        from ppl.bind.leaving import check_without_data

        check_without_data(program, definitions, certain, sink)


def own(s: ir.Statement, guards: tuple[ir.Guard, ...]) -> Iterable[ir.Expr]:
    """What a statement evaluates, without the statements in it."""
    if isinstance(s, ir.Loop):
        return handed_on(s)
    return expressions_of(s, guards)


class Decided:
    """Which indices lie between numbers that no data change."""

    def __init__(self, program: ir.Program, definitions: Mapping[str, ir.Expr]) -> None:
        self.guards, self.definitions = program.guards, definitions
        self.draws = {s.site: s for _, s in ir.blocks(program.body) if isinstance(s, ir.Sample)}
        self.made = {**sums_of(program), **states_of(program)}
        self.types = {s.name: s.type for s in program.sites} | {a.name: a.type for a in program.arrays}

    def within(self, e: ir.Expr, around: Sequence[ir.Loop]) -> bool:
        """Whether `e` has an element of an array of constant size at such an index, or at one that certainly leaves it
        in the loops `around`, unless a condition keeps it from being read."""
        for x in ir.walk(e):
            if not isinstance(x, ir.Cell | ir.Index):
                continue
            t = self.types.get(x.array) if isinstance(x, ir.Cell) else x.base.type
            if any(i.random and self.index(i) for i in x.indices) and (t is None or all(map(self.index, t.dims))):
                return True
            if t is None and isinstance(x, ir.Cell) and x.array in self.definitions:
                t = self.definitions[x.array].type
            if t is not None and any(self.leaves(i, n, around) for i, n in zip(x.indices, t.dims, strict=False)):
                return True
        return False

    def fills_outside(self, s: ir.Statement, around: Sequence[ir.Loop]) -> bool:
        """The same for the element that a statement fills."""
        if not isinstance(s, ir.Fill | ir.Sample) or not s.indices:
            return False
        t = self.types.get(s.array if isinstance(s, ir.Fill) else s.site)
        return t is not None and any(self.leaves(i, n, around) for i, n in zip(s.indices, t.dims, strict=True))

    def leaves(self, i: ir.Expr, size: ir.Expr, around: Sequence[ir.Loop]) -> bool:
        """Whether an index, affine in variables of loops with constant bounds, leaves an array of constant size."""
        if i.random or not isinstance(size, ir.Lit):
            return False
        lo = hi = 0.0
        loops = {x.var.name: x for x in around}
        for monomial, c in poly.to_poly(i, self.expand).items():
            ends = [1.0, 1.0]
            for e, power in monomial:
                loop = loops.get(e.name) if isinstance(e, ir.LoopVar) and power == 1 and len(monomial) == 1 else None
                if loop is None or not isinstance(loop.lo, ir.Lit) or not isinstance(loop.hi, ir.Lit):
                    return False
                ends = [float(loop.lo.value), float(loop.hi.value) - 1]
                if ends[0] > ends[1]:
                    return False
            lo, hi = lo + min(c * x for x in ends), hi + max(c * x for x in ends)
        return lo < 0 or hi >= size.value

    def expand(self, v: ir.Var | ir.Index) -> ir.Expr | None:
        return self.definitions.get(v.name) if isinstance(v, ir.Var) else None

    def index(self, e: ir.Expr) -> bool:
        """Whether `Ranges.of` finds the same for `e` whatever the data."""
        return all(map(self._decided, reached((e,), self.behind)))

    def behind(self, x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        match x:
            case ir.GuardRef():
                return f"guard {x.index}", (self.guards[x.index].value,)
            case ir.Outcome():
                return x.site, self.ends(x.site)
            case ir.Var() | ir.Cell():
                name = x.array if isinstance(x, ir.Cell) else x.name
                if name in self.made and name not in self.definitions:
                    return name, self.made[name].parts
                return name, (self.definitions[name],) if name in self.definitions else self.ends(name)
            case _:
                return None

    def _decided(self, x: ir.Expr) -> bool:
        """Not so data, and what a loop makes of data or filled in."""
        if isinstance(x, ir.Var | ir.Cell) and not x.random:
            found = self.behind(x)
            return found is not None and bool(found[1])
        return not isinstance(x, ir.DataRef)

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
