"""The jump of a discrete latent that reaches a few iterations: the slice of each, in one function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ppl.core import ir
from ppl.emit.printer import Moved
from ppl.emit.slices import Slice, iteration_slice
from ppl.emit.statements import Emitter
from ppl.emit.writer import tuple_text
from ppl.regions.model import NOWHERE, Boundary, Element, GuardInfo, Iteration, Latent, Regions
from ppl.regions.scope import Scope

if TYPE_CHECKING:
    from ppl.emit.boundaries import BoundaryEmitter


def parts_of(regions: Regions, scope: Scope, info: GuardInfo, b: Boundary) -> list[Slice]:
    """What each of the iterations evaluates."""
    out: list[Slice] = []
    for k, x in enumerate(b.nearby):
        made = [value_of(regions, scope, x, e.array, indices) for e, indices in x.fills]
        out.append(iteration_slice(regions, scope, x, b, made, info.loops, own=not k))
    return out


def value_of(regions: Regions, scope: Scope, x: Iteration, array: str, indices: tuple[ir.Expr, ...]) -> ir.Expr:
    """What an iteration assigns to an element, on all of its branches."""
    fills = [s for s in regions.loops[x.nest[-1]].body
             if isinstance(s, ir.Fill) and s.array == array and scope.same_element(s.indices, indices)]  # fmt: skip
    t = fills[0].value.type
    value: ir.Expr = ir.Cell(array, indices, t, True)
    for s in fills:
        value = s.value if s.mask is None else ir.Select(s.mask, s.value, value, t, True)
    return value


def write(e: BoundaryEmitter, info: GuardInfo, b: Boundary) -> None:
    """The function ``evaluate``, of an outcome of the guard."""
    _Writer(e, info, b).write()


@dataclass
class _Writer:
    e: BoundaryEmitter
    info: GuardInfo
    b: Boundary

    def write(self) -> None:
        elements = dict.fromkeys(x for it in self.b.nearby for x, _ in it.fills)
        self.new = {x: f"{self.e.names[x.array]}_new_{k}" for k, x in enumerate(elements)}
        parts = parts_of(self.e.facts.regions, self.e.scope, self.info, self.b)
        with self.e.w.block("def evaluate(side, path):"):
            self.iteration(self.b.nearby[0], parts[0])
            sums: list[str] = []
            for k, (x, part) in enumerate(zip(self.b.nearby[1:], parts[1:], strict=True), 1):
                variables = [self.e.names[self.e.scope.loops[n].var.name] for n in x.nest]
                with self.e.w.block(f"def near_{k}({', '.join(variables)}):"):
                    self.e.w.line("path = None")
                    self.iteration(x, part)
                    made = [self.new[f] for f, _ in x.fills]
                    terms = tuple_text([f'"t{t}"' for t in x.terms if t in self.b.terms])
                    sum_of = f"jnp.where({self.exists(x)}, surface.log_density(out, {terms}), 0.0)"
                    self.e.w.line(f"return {', '.join([sum_of, *made])}")
                made = [self.new[f] for f, _ in x.fills]
                sums.append(f"sum_{k}")
                at = ", ".join(self.e.printer().place(i) for i in x.at)
                self.e.w.line(f"{', '.join([sums[-1], *made])} = near_{k}({at})")
            self.e.w.line(f'out["nearby"] = {" + ".join(sums)}')
            self.e.w.line("return out")

    def iteration(self, x: Iteration, part: Slice) -> None:
        """The statements of one iteration, and new values of elements that others read."""
        e = self.e
        position = e.position([e.scope.loops[n] for n in x.nest])
        e.imports(part, NOWHERE, position)
        printer = replace(e.printer(), moved=tuple(self.moved(*cell) for cell in x.reads))
        emitter = Emitter(e.facts, printer, e.w, point="at.still()", bare=e.bare(self.b), w_loops=x.nest)
        e.w.line("out = {}")
        for s in part.recomputed:
            emitter.statement(s)
        emitter.block(part.body)
        for element, indices in x.fills:
            value = value_of(e.facts.regions, e.scope, x, element.array, indices)
            e.w.line(f"{self.new[element]} = {printer.expr(value)}")

    def moved(self, element: Element, indices: tuple[ir.Expr, ...]) -> Moved:
        """Every index that reads an element in the iteration is among its `reads`."""
        same = self.e.scope.same_element
        return Moved(Latent(element.array, indices), self.new[element], lambda i: same(i, indices), lambda _: True)

    def exists(self, x: Iteration) -> str:
        """Whether there is such an iteration."""
        emitter = Emitter(self.e.facts, self.e.printer(), self.e.w)
        out: list[str] = []
        for loop in (self.e.scope.loops[n] for n in x.nest):
            (first, extent), var = emitter.range(loop), self.e.names[loop.var.name]
            end = extent if loop.lo == ir.literal(0) else f"{first} + {extent}"
            out.append(f"({first} <= {var}) & ({var} < {end})")
        return " & ".join(out)
