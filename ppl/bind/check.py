"""Every statement, in all its iterations: what can only be checked once data is bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ppl.bind import domains
from ppl.bind.blame import Findings, place
from ppl.bind.evaluate import Evaluator, Mask
from ppl.bind.fills import Filled
from ppl.bind.functions import Array
from ppl.bind.intervals import Interval, settles
from ppl.bind.iterate import Range, pieces, range_of
from ppl.bind.model import Wide
from ppl.bind.ranges import Ranges
from ppl.bind.walk import Walk
from ppl.bind.watch import Watch
from ppl.bind.widths import Widths
from ppl.core import ir, poly
from ppl.core.reads import assigned, reached
from ppl.core.rewrite import rebuild
from ppl.core.show import show
from ppl.elaborate.discrete import MAX_OUTCOMES
from ppl.regions import Regions
from ppl.regions.choice import COORDINATE
from ppl.regions.model import NOWHERE, Learned
from ppl.regions.vanishing import asks_outcome, factors, slope_of

SMALL, TINY = 1e-6, 1e-12  # of what a slope is made of, and at all: taken for zero, which costs work and is never wrong
MAX_DOUBLED = 30  # times that a whole number may double in 32 bits
MAX_WRITTEN = 40  # parts of an expression in a message


@dataclass
class Checker:
    regions: Regions
    walk: Walk
    filled: Mapping[str, Filled]
    findings: Findings
    ranges: Ranges
    widths: Widths
    shared: set[int] = field(default_factory=set[int])  # guards that their one line does not cross in all instances
    unbounded: set[int] = field(default_factory=set[int])  # guards at which data make a branch unbounded
    moving: set[int] = field(default_factory=set[int])  # guards that supports and data do not keep from changing

    def learned(self) -> Learned:
        """What the data say of guards, once all statements are looked at."""
        guards = self.regions.guards
        asked = {i.representative for i in guards if asks_outcome(i)}
        moving = {guards[k].representative for k in self.moving}
        return Learned(frozenset(self.shared), frozenset(self.unbounded), frozenset(asked - moving))

    def block(self, body: tuple[ir.Statement, ...], ev: Evaluator) -> None:
        for s in body:
            self.statement(s, ev.at(ev.space, self.watch(s, ev, self.walk.timing.of(s))))

    def watch(self, s: ir.Statement, ev: Evaluator, when: int) -> Watch:
        return Watch(
            ev.types, self.filled, self.findings, s.span, ev.space, ev.space.time + when, self.ranges, ev.quiet(),
            self.widths,
        )  # fmt: skip

    def statement(self, s: ir.Statement, ev: Evaluator) -> None:
        active = None if isinstance(s, ir.Report) else ev.mask(s.mask)
        match s:
            case ir.Let():
                ev.space.known[s.var.name] = ev.value(s.value, active)
            case ir.Decide():
                ev.value(self.regions.program.guards[s.index].value, active)
                self.slopes(s, ev, active)
                self.edges(s, ev, active)
                self.outcome(s, ev, active)
                if self.regions.program.guards[s.index].levels:
                    level = ir.GuardRef(s.index, ir.INT)
                    self.findings.latent_number(level, self.widths, ev.quiet(), active, s.span)
            case ir.Sample():
                if s.outcome is None:  # else the assignment of its value fills it
                    self.target(s.site, s.indices, ev, active)
                else:
                    self.outcomes(s, ev)
                domains.arguments(s, ev, active, self.findings, self.ranges)
            case ir.Fill():
                self.target(s.array, s.indices, ev, active)
                ev.value(s.value, active)
            case ir.Term():
                self.term(s, ev, active)
            case ir.Loop():
                self.loop(s, ev)
            case ir.Report():
                ev.value(s.value)

    def outcomes(self, s: ir.Sample, ev: Evaluator) -> None:
        """The number of outcomes of a discrete latent."""
        assert isinstance(s.outcome, ir.GuardRef)
        count = self.regions.program.guards[s.outcome.index].outcomes
        n = None if count is None else ev.quiet().number(count)
        if count is not None and n is not None and n > MAX_OUTCOMES:
            self.findings.add("PPL701", f"{n} outcomes are more than {MAX_OUTCOMES}", s.span, (count,), key=s.site)

    def target(self, name: str, indices: tuple[ir.Expr, ...], ev: Evaluator, active: Mask) -> None:
        """The indices of an element that is filled."""
        if indices:
            values = [ev.value(i, active) for i in indices]
            text = f"{name}[{', '.join(show(i) for i in indices)}]"
            watcher = ev.watcher
            assert isinstance(watcher, Watch)
            watcher.bounds(text, indices, values, list(self.filled[name].shape), ev.types[name], active)

    def term(self, s: ir.Term, ev: Evaluator, active: Mask) -> None:
        if s.distribution is None:
            ev.value(s.value, active)
            domains.factor(s, ev, active, self.findings)
            return
        args = domains.arguments(s, ev, active, self.findings, self.ranges)
        domains.observation(s, args, ev, active, self.findings)

    def slopes(self, s: ir.Decide, ev: Evaluator, active: Mask) -> None:
        """A boundary ``slope * z + rest = 0`` is lost where the slope, a value from the data, is zero, unless nothing
        else moves the guard there either."""
        info = self.regions.guards[self.regions.guards[s.index].representative]
        for b in info.boundaries:
            if b.line == NOWHERE:
                continue  # of a discrete latent
            if ev.is_empty(ev.types[b.line.site]):  # then it moves nothing, but others may
                if len(factors(info.normal)) > 1 and info.asked in ("", COORDINATE):
                    self.shared.add(info.guard.index)
                continue
            ways = slope_of(b)
            if not ways:
                continue
            flat = np.any(np.broadcast_arrays(*(self.vanish(slope, ev) for slope in ways)), axis=0)
            if domains.worst(flat, active) is None:
                continue
            others = [ev.quiet().value(e) for e in factors(info.normal)]
            moved = np.any(np.broadcast_arrays(*(True if x is None else x != 0 for x in others)), axis=0)
            found = domains.worst(flat & moved, active)
            if found is None:
                continue
            if info.asked in ("", COORDINATE):
                self.shared.add(info.guard.index)
                continue
            line, factor = show(b.line.expr(ir.REAL)), self.written(ways[0][0])
            where = f"in `{info.guard.text}`{place(ev.space, found[0])}"
            message = f"{where} the factor `{factor}` of `{line}` is 0, so the line asked for crosses no boundary there"
            hint = "leave the choice of the line to the compiler, which takes several here"
            self.findings.add("PPL402", message, info.guard.span, ways[0], key=show(ways[0][0]), hint=hint)

    def edges(self, s: ir.Decide, ev: Evaluator, active: Mask) -> None:
        """A branch such as ``log(x - a)`` is unbounded at the guard ``x > c`` where the data have ``a = c``."""
        info = self.regions.guards[self.regions.guards[s.index].representative]
        for e in info.edges:
            v = ev.quiet().value(e)
            if v is not None and domains.worst(np.abs(v) <= TINY, active) is not None:
                self.unbounded.add(info.guard.index)

    def outcome(self, s: ir.Decide, ev: Evaluator, active: Mask) -> None:
        """Whether supports and data leave a guard one outcome in each iteration that asks it: ``paid[i] + d > 0`` where
        all of these are positive."""
        info = self.regions.guards[self.regions.guards[s.index].representative]
        if not asks_outcome(info) or s.index in self.moving:
            return
        one = settles(self.ranges.once(self.regions.program.guards[s.index].value, ev.quiet()))
        if domains.worst(~one, active) is not None:
            self.moving.add(s.index)

    def growth(self, c: ir.Carry, loop: ir.Loop, ev: Evaluator) -> None:
        """Whole numbers that a loop multiplies over and over grow beyond any size, as far as can be told."""
        if c.entry.type.base != "int" or c.entry.type.dims or self.findings.wide is not None:
            return
        behind = assigned(self.regions.definitions)
        for x in reached((c.out,), behind):
            if not (isinstance(x, ir.Op) and x.op in ("mul", "pow") and x.type.base == "int"):
                continue
            again = [a for a in x.args if any(y == c.entry for y in reached((a,), behind))]
            others = [self.ranges.of(a, ev.quiet()) for a in x.args if a not in again]
            factor = max((float(np.max(np.maximum(-o.lo, o.hi))) for o in others), default=np.inf)
            if again and (
                len(again) > 1 or self.walk.extents[loop.id].longest * np.log2(max(factor, 1.0)) > MAX_DOUBLED
            ):
                text = f"`{self.findings.in_source(show(x))}` grows with each iteration, perhaps to more than 2^31"
                self.findings.wide = Wide(text, loop.span)

    def vanish(self, values: tuple[ir.Expr, ...], ev: Evaluator) -> Array:
        """Where all of some values are zero but for rounding, or are not known, as data that a loop carries."""
        return np.all(np.broadcast_arrays(*(_is_nearly_zero(e, ev.quiet()) for e in values)), axis=0)

    def written(self, slope: ir.Expr) -> str:
        """A factor as the source would have it."""
        for _ in range(MAX_WRITTEN):
            further = rebuild(slope, lambda x: self.regions.definitions.get(x.name) if isinstance(x, ir.Var) else None)
            if further == slope or sum(1 for _ in ir.walk(further)) > MAX_WRITTEN:
                break
            slope = further
        return show(slope)

    # ------------------------------------------------------------------ loops

    def loop(self, s: ir.Loop, ev: Evaluator) -> None:
        r = range_of(s, ev)
        begins = [ev.value(x.init, ev.mask(s.mask)) for x in s.carries]
        inits = [ev.value(x.init, ev.mask(s.mask)) for x in s.reductions]
        if r is None:
            return
        if self.walk.too_much(s, ev):
            message = f"its iterations compute {self.walk.work(s, ev)} numbers from data; the limit is 2 * 10^9"
            hint = "compute once, before the loop, what is the same in all its iterations"
            self.findings.add("PPL701", message, s.span, (s.lo, s.hi), sizes=True, hint=hint)
            return
        sums = [_Sum(s, x, init, r, ev) for x, init in zip(s.reductions, inits, strict=True)]
        counts = [_Count(x, ev, self.widths) for x in s.reductions if x.final.random and x.final.type == ir.INT]
        collected: list[list[Array] | None] = [None if x.final.random else [] for x in s.collects]
        self.first(s, r, begins, ev)
        start, each = self.walk.timing.of(s) + 1, self.walk.timing.iteration(s)
        for space in pieces(s, r, ev.space, self.walk.width(s, ev), start, each):
            inner = ev.at(space)
            self.block(s.body, inner)
            inner = inner.at(space, self.watch(s, inner, self.walk.timing.end(s)))
            active = inner.mask(s.mask)
            for c in s.carries:
                inner.value(c.out, active)
                self.growth(c, s, inner)
            for total in sums:
                total.add(inner, active)
            for count in counts:
                count.add(inner, active)
            for k, c in enumerate(s.collects):
                v, rows = inner.value(c.element, active), collected[k]
                if v is None:
                    collected[k] = None
                elif rows is not None:
                    rows.append(np.broadcast_to(v, (space.size, *v.shape[1:])))
        for total in sums:
            ev.space.known[total.name] = total.value
            if total.value is not None and total.value.dtype.kind == "i":
                self.findings.whole_numbers(total.name, total.value, s.span)
        for count in counts:
            self.widths.bounded.totals[count.final.name] = count.interval
            self.findings.latent_number(count.final, self.widths, ev.quiet(), None, s.span)
        for c, rows in zip(s.collects, collected, strict=True):
            ev.space.known[c.final.name] = _array(rows, r)

    def first(self, s: ir.Loop, r: Range, begins: Sequence[Array | None], ev: Evaluator) -> None:
        """The densities in first iterations, where what a loop carries is what it begins with: a count is often 0."""
        known = [(c.entry.name, v) for c, v in zip(s.carries, begins, strict=True) if v is not None]
        densities = [x for x in s.body if isinstance(x, ir.Term | ir.Sample) and x.distribution is not None]
        if not known or not densities:
            return
        for space in pieces(s, replace(r, extent=np.minimum(r.extent, 1)), ev.space, self.walk.width(s, ev), 0, 1):
            space.known.update((name, v if v.shape[0] == 1 else v[space.back]) for name, v in known)
            inner = replace(ev.at(space), certain=True)
            for x in densities:
                domains.arguments(x, inner, inner.mask(x.mask), self.findings, self.ranges)


def _is_nearly_zero(e: ir.Expr, ev: Evaluator) -> Array | bool:
    """Whether a value may be zero, compared with the parts that it is a sum of: the last digits of ``x[i] - mean(x)``
    are no slope. True where it is not known."""
    v = ev.value(e)
    parts = [ev.value(poly.to_expr({m: c})) for m, c in poly.to_poly(e).items()]
    if v is None or any(x is None for x in parts):
        return True
    return np.abs(v) <= TINY + SMALL * sum(np.abs(x) for x in parts if x is not None)


class _Sum:
    """A sum over iterations, if it is data."""

    def __init__(self, loop: ir.Loop, r: ir.Reduction, init: Array | None, extent: Range, ev: Evaluator) -> None:
        self.reduction, self.name = r, r.final.name
        dtype = np.int64 if r.final.type.base == "int" else np.float64
        self.value: Array | None = None
        if init is not None and not r.final.random:
            self.value = np.array(np.broadcast_to(init, (ev.space.size,)), dtype)

    def add(self, ev: Evaluator, active: Mask) -> None:
        v, back = ev.value(self.reduction.delta, active), ev.space.back
        if v is None or self.value is None or back is None:
            self.value = None
            return
        np.add.at(self.value, back, np.broadcast_to(v, (ev.space.size,)).astype(self.value.dtype))


class _Count:
    """The interval of a sum over iterations that latents decide."""

    def __init__(self, r: ir.Reduction, ev: Evaluator, widths: Widths) -> None:
        self.reduction, self.final, self.widths = r, r.final, widths
        x = widths.bounded.of(r.init, ev.quiet())
        self.lo, self.hi = (np.array(np.broadcast_to(end, (ev.space.size,))) for end in (x.lo, x.hi))

    def add(self, ev: Evaluator, active: Mask) -> None:
        x, back, size = self.widths.bounded.of(self.reduction.delta, ev.quiet()), ev.space.back, ev.space.size
        assert back is not None
        on = True if active is None else active
        np.add.at(self.lo, back, np.broadcast_to(np.where(on, np.minimum(x.lo, 0.0), 0.0), (size,)))
        np.add.at(self.hi, back, np.broadcast_to(np.where(on, np.maximum(x.hi, 0.0), 0.0), (size,)))

    @property
    def interval(self) -> Interval:
        return Interval(self.lo.min(keepdims=True), self.hi.max(keepdims=True))


def _array(rows: list[Array] | None, r: Range) -> Array | None:
    """A comprehension's value, one row for each iteration around it; None if it is not data or its length varies."""
    n = r.longest
    if rows is None or not rows or not bool(np.all(r.extent == n)):
        return None
    flat = np.concatenate(rows)
    return flat.reshape(len(r.extent), n, *flat.shape[1:])
