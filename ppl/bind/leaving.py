"""The statements with an index that data do not change, in all their iterations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ppl.bind import divisors
from ppl.bind.blame import Findings
from ppl.bind.evaluate import Evaluator, Mask, array_types, top
from ppl.bind.indices import Decided, own
from ppl.bind.iterate import pieces, range_of, width_of
from ppl.bind.ranges import Ranges, ranges_of
from ppl.bind.watch import Watch
from ppl.bind.widths import widths_of
from ppl.core import ir
from ppl.core.show import show
from ppl.diagnostics import Diagnostics

MAX_WORK = 10**6  # elements computed for one loop; beyond, it is left to binding


def check(
    program: ir.Program, definitions: Mapping[str, ir.Expr], decided: Decided, found: frozenset[int], sink: Diagnostics
) -> None:
    """Reports to `sink` what can leave its array in the statements with these id()s."""
    findings = Findings(program, definitions, sink)
    walk = _Walk(program, decided, found, findings, ranges_of(program))
    walk.block(program.body, Evaluator({}, definitions, array_types(program), top(), certain=True))


def check_without_data(
    program: ir.Program, definitions: Mapping[str, ir.Expr], found: Iterable[ir.Divisor], sink: Diagnostics
) -> None:
    """Reports to `sink` the divisors that may be zero, of those that read no data."""
    ev = Evaluator({}, definitions, array_types(program), top())
    divisors.check(found, ranges_of(program), ev, Findings(program, definitions, sink))


@dataclass
class _Watch(Watch):
    """Data are not known, so indices that they move are passed over."""

    decided: Decided

    def may_leave(self, text: str, i: ir.Expr, n: int, active: Mask) -> None:
        if self.decided.index(i):
            super().may_leave(text, i, n, active)


@dataclass
class _Walk:
    program: ir.Program
    decided: Decided
    found: frozenset[int]
    findings: Findings
    ranges: Ranges

    def block(self, body: tuple[ir.Statement, ...], ev: Evaluator) -> None:
        for s in body:
            if isinstance(s, ir.Loop):
                self.loop(s, ev)
            elif id(s) in self.found:
                self.look(s, ev)

    def look(self, s: ir.Statement, ev: Evaluator) -> None:
        active = None if isinstance(s, ir.Report) else ev.mask(s.mask)
        watch = _Watch(
            ev.types, {}, self.findings, s.span, ev.space, ev.space.time, self.ranges, ev.quiet(),
            widths_of(self.ranges), self.decided,
        )  # fmt: skip
        for e in own(s, self.program.guards):
            ev.at(ev.space, watch).value(e, active)
        if isinstance(s, ir.Fill | ir.Sample) and s.indices:
            self.target(s.array if isinstance(s, ir.Fill) else s.site, s.indices, ev, watch, active)

    def target(self, name: str, indices: tuple[ir.Expr, ...], ev: Evaluator, watch: _Watch, active: Mask) -> None:
        sizes = ev.dims(ev.types[name])
        if sizes is not None:
            text = f"{name}[{', '.join(show(i) for i in indices)}]"
            watch.bounds(text, indices, [ev.value(i, active) for i in indices], list(sizes), ev.types[name], active)

    def loop(self, s: ir.Loop, ev: Evaluator) -> None:
        if not any(id(x) in self.found for _, x in ir.blocks((s,))):
            return
        r, width = range_of(s, ev), width_of(s, ev, self.program.guards)
        if r is None or r.total * width > MAX_WORK:
            return
        for space in pieces(s, r, ev.space, width, 0, 0):
            inner = ev.at(space)
            self.block(s.body, inner)
            if id(s) in self.found:
                self.look(s, inner)
