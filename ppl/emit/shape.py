"""Facts about a program that the emitters share: where arrays are filled, what loops carry, which sizes are ints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.diagnostics import Diagnostic, PplError
from ppl.regions.model import Regions

MAX_INLINED = 200  # nodes


@dataclass(frozen=True)
class Facts:
    """`carried`: array -> ids of the loops that hand it on, because they read what they fill. `deferred`: array -> its
    fills in loops that do not, assigned after the loop."""

    regions: Regions
    carried: dict[str, frozenset[int]]
    static: frozenset[str]
    weights: dict[str, int] = field(default_factory=dict[str, int])

    def weight(self, e: ir.Expr) -> int:
        """The number of nodes of `inline(e)`, without building it."""
        total = 0
        for x in ir.walk(e):
            if isinstance(x, ir.Var) and x.name in self.regions.definitions:
                if x.name not in self.weights:
                    self.weights[x.name] = self.weight(self.regions.definitions[x.name])
                total += self.weights[x.name]
            else:
                total += 1
        return total

    def inline(self, e: ir.Expr) -> ir.Expr:
        """A data-only expression without variables of the program. Raises PplError if it would be very large."""
        if self.weight(e) > MAX_INLINED:
            raise PplError([Diagnostic("PPL703", "the size of an array or support is too long an expression")])
        return self._inline(e)

    def _inline(self, e: ir.Expr) -> ir.Expr:
        match e:
            case ir.Var() if e.name in self.regions.definitions:
                return self._inline(self.regions.definitions[e.name])
            case ir.Op():
                return ir.Op(e.op, tuple(self._inline(a) for a in e.args), e.type, e.random)
            case ir.Index():
                return ir.Index(self._inline(e.base), tuple(self._inline(a) for a in e.indices), e.type, e.random)
            case ir.Select():
                return ir.Select(
                    self._inline(e.condition), self._inline(e.then), self._inline(e.orelse), e.type, e.random
                )
            case _:
                return e

    def is_static(self, e: ir.Expr) -> bool:
        """Whether an int expression is a Python int when jax compiles: literals and sizes."""
        return self.weight(e) <= MAX_INLINED and all(
            isinstance(x, ir.Lit) or (isinstance(x, ir.DataRef) and x.name in self.static)
            or (isinstance(x, ir.Op) and x.op in ("add", "sub", "mul", "floordiv", "mod", "neg"))
            for x in ir.walk(self.inline(e))
        )  # fmt: skip

    def guards_in(self, body: tuple[ir.Statement, ...]) -> list[int]:
        """Representatives decided in a body, inner loops included, in order."""
        return [s.index for _, s in ir.blocks(body) if isinstance(s, ir.Decide) and self.emits(s.index)]

    def emits(self, guard: int) -> bool:
        return self.regions.guards[guard].representative == guard

    def arrays_of(self, loop: ir.Loop) -> list[str]:
        return [a for a, loops in self.carried.items() if loop.id in loops]


def facts_of(regions: Regions) -> Facts:
    static = frozenset(d.name for d in regions.program.data if d.static)
    return Facts(regions, dict(_carried(regions)), static)


def _carried(regions: Regions) -> Iterator[tuple[str, frozenset[int]]]:
    for a in regions.program.arrays:
        loops: set[int] = set()
        for s in regions.body:
            if not isinstance(s, ir.Loop):
                continue
            nest = [(around, x) for around, x in ir.blocks((s,)) if isinstance(x, ir.Fill) and x.array == a.name]
            if nest and reads(s, a.name, regions.program.guards):
                for around, _ in nest:
                    loops.update(x.id for x in around)
        if loops:
            yield a.name, frozenset(loops)


def reads(loop: ir.Loop, array: str, guards: tuple[ir.Guard, ...]) -> bool:
    return any(
        (isinstance(x, ir.Cell) and x.array == array) or (isinstance(x, ir.Var) and x.name == array)
        for e in expressions_of(loop, guards)
        for x in ir.walk(e)
    )
