"""Loops with carried state, in parts: what the state needs runs in sequence, the rest for all iterations at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.core.rewrite import rebuild
from ppl.emit.printer import element, of_loops
from ppl.emit.writer import tuple_text
from ppl.regions.state import Split, defined, guard_name, names_in, split

if TYPE_CHECKING:
    from ppl.emit.statements import Emitter


def parts_of(emitter: Emitter, s: ir.Loop) -> Split | None:
    """The parts of a loop; None if it is to stay in one piece."""
    regions = emitter.facts.regions
    if not emitter.split or not s.carries or emitter.facts.arrays_of(s) or "split" not in regions.optimize:
        return None
    guards = [replace(i.guard, value=i.value) for i in regions.guards]
    parts = split(s, guards, lambda k: regions.resolve(k)[0])
    return parts if parts.after or s.reductions or s.collects or not parts.recursive else None


def write(emitter: Emitter, s: ir.Loop, parts: Split) -> None:
    """The functions of the parts and their calls; the final state takes its names, the outputs go to `out`."""
    _Writer(emitter, s, parts).write()


class _Writer:
    def __init__(self, emitter: Emitter, s: ir.Loop, parts: Split) -> None:
        self.e, self.s, self.parts = emitter, s, parts
        self.w, self.printer = emitter.w, emitter.printer
        self.guards = [replace(i.guard, value=i.value) for i in emitter.facts.regions.guards]
        self.lo, self.extent = emitter.range(s)
        self.var = self.printer.name(s.var.name)
        self.outs = [c.out for c in s.carries]

    def write(self) -> None:
        s, parts = self.s, self.parts
        ends = [*(r.delta for r in s.reductions), *(c.element for c in s.collects)]
        state = {c.entry.name for c in s.carries}
        early = self.defined(parts.before)
        for_state = self.read(parts.state, self.outs) & early
        for_after = self.read(parts.after, ends) & (early | state | self.defined(parts.state))
        outer, self.e.w_loops = self.e.w_loops, (*self.e.w_loops, s.id)
        if not parts.recursive:
            self.lag(for_after)
        else:
            if parts.before:
                with self.function("before", "", self.source(": what the state needs")):
                    self.body(parts.before, for_state | for_after)
                    self.w.line("return out")
                self.w.line(f"row = control.each(before_{s.id}, {self.call(parts.before)})")
            self.state(for_state, for_after)
        self.w.line("out |= row")
        if parts.after or ends:
            with self.function("loop", ", row" if for_after else "", self.source("")):
                self.unpack(for_after)
                self.body(parts.after, set())
                self.e.summands(s)
                self.w.line("return out")
            row = ", row" if for_after else ""
            self.w.line(f"out |= control.each(loop_{s.id}, {self.call(parts.after)}{row})")
        self.e.w_loops = outer

    def lag(self, for_after: set[str]) -> None:
        """The next state does not depend on the state, so it is that of the iteration before, one step later."""
        with self.function("before", "", self.source(": the next state")):
            self.body(self.parts.before, for_after)
            self.w.line(f"return {self.next()}, out")
        entries = tuple_text([f'"v_{c.entry.name}"' for c in self.s.carries])
        args = f"before_{self.s.id}, {self.init()}, {entries}, {self.call(self.parts.before)}"
        self.w.line(f"{self.final()}, row = control.lag({args})")

    def state(self, for_state: set[str], for_after: set[str]) -> None:
        before = bool(self.parts.before)
        names = tuple_text([self.printer.name(c.entry.name) for c in self.s.carries])
        read = self.windows()
        with self.w.block(f"def state_{self.s.id}(state, {self.var}, path{', row' if for_state or read else ''}):",
                          self.source(": the state")):  # fmt: skip
            self.w.line(f"{names} = state")
            self.unpack(for_state)
            for name, _ in read.values():
                self.w.line(f'{name} = row["{name}"]')
            self.w.line("out = {}")
            for c in self.s.carries:
                if c.entry.name in self.e.keep | for_after:
                    self.w.line(f'out["v_{c.entry.name}"] = {self.printer.name(c.entry.name)}')
            self.e.printer = replace(self.printer, read={x: name for x, (name, _) in read.items()})
            self.statements(self.parts.state, for_after)
            self.w.line(f"return {self.next()}, out")
            self.e.printer = self.printer
        windows = f"{{{', '.join(f'{chr(34)}{name}{chr(34)}: {window}' for name, window in read.values())}}}"
        row = " | ".join((*(("row",) if for_state else ()), *((windows,) if read else ())))
        row = f", {row}" if row else ""
        args = f"state_{self.s.id}, {self.init()}, {self.call(self.parts.state)}{row}"
        self.w.line(f"{self.final()}, {'more' if before else 'row'} = control.carry({args})")
        if before:
            self.w.line("row |= more")

    def windows(self) -> dict[ir.Expr, tuple[str, str]]:
        """The elements of arrays that the state reads at a fixed distance from the variable of the loop, each with a
        name and its values in all iterations: handed out one by one, they cost an iteration no more than itself."""
        if not self.printer.windows:
            return {}
        filled = {s.array for _, s in ir.blocks(self.s.body) if isinstance(s, ir.Fill)}
        own = {self.s.var.name, *(s.var.name for _, s in ir.blocks(self.s.body) if isinstance(s, ir.Loop))}
        out: dict[ir.Expr, tuple[str, str]] = {}
        for x in (x for s in self.parts.state for e in expressions_of(s, self.guards) for x in ir.walk(e)):
            if not isinstance(x, ir.Cell | ir.Index) or x in out or not of_loops(x.indices):
                continue
            array = x.array if isinstance(x, ir.Cell) else getattr(x.base, "name", None)
            variables = [i.name for e in x.indices for i in ir.walk(e) if isinstance(i, ir.LoopVar)]
            if array is None or array in filled or variables[-1] != self.s.var.name or own & set(variables[:-1]):
                continue
            name, whole = f"{self.printer.names[array]}_at_{len(out)}", self.printer.name(array)
            rows = element(whole, [self.printer.place(i) for i in x.indices[:-1]])
            first = self.printer.expr(rebuild(x.indices[-1], lambda e: self.s.lo if e == self.s.var else None))
            out[x] = (name, f"control.window({rows}, {first}, {self.extent})")
        return out

    # ------------------------------------------------------------------ pieces

    def function(self, kind: str, row: str, comment: str):
        return self.w.block(f"def {kind}_{self.s.id}({self.var}, path{row}):", comment)

    def body(self, statements: tuple[ir.Statement, ...], also: set[str]) -> None:
        self.w.line("out = {}")
        self.statements(statements, also)

    def statements(self, statements: tuple[ir.Statement, ...], also: set[str]) -> None:
        keep, self.e.keep = self.e.keep, self.e.keep | also
        self.e.block(statements)
        self.e.keep = keep

    def unpack(self, names: set[str]) -> None:
        for s in (*self.parts.before, *self.parts.state):
            for name in sorted(defined(s, self.resolve) & names):
                if isinstance(s, ir.Decide):
                    self.w.line(f'g{s.index} = row["g{s.index}"]')
                else:
                    self.w.line(f'{self.printer.name(name)} = row["v_{name}"]')
        for c in self.s.carries:
            if c.entry.name in names:
                self.w.line(f'{self.printer.name(c.entry.name)} = row["v_{c.entry.name}"]')

    def init(self) -> str:
        return tuple_text([self.printer.expr(c.init) for c in self.s.carries])

    def next(self) -> str:
        return tuple_text([self.printer.expr(c.out) for c in self.s.carries])

    def final(self) -> str:
        return tuple_text([self.printer.name(c.final.name) for c in self.s.carries])

    def call(self, statements: tuple[ir.Statement, ...]) -> str:
        """The arguments of a loop: first index, number, path."""
        rows = "".join(f', "g{k}"' for k in self.e.facts.guards_in(statements))
        return f"{self.lo}, {self.extent}, {f'control.rows(path{rows})' if rows else 'None'}"

    def source(self, what: str) -> str:
        return f":{self.s.span.line}  {self.e.source_of(self.s)}{what}"

    def resolve(self, k: int) -> int:
        return self.e.facts.regions.resolve(k)[0]

    def defined(self, statements: Iterable[ir.Statement]) -> set[str]:
        return {name for s in statements for name in defined(s, self.resolve)}

    def read(self, statements: Iterable[ir.Statement], more: Iterable[ir.Expr]) -> set[str]:
        own = (x for s in statements for x in expressions_of(s, self.guards))
        return names_in((*own, *more), self.resolve)


__all__ = ["guard_name", "parts_of", "write"]
