"""Divisors that whole numbers may make zero (`ir.Divisor`): every outcome of these is tried."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppl.bind.blame import Findings, place
from ppl.bind.evaluate import Evaluator, Space, top
from ppl.bind.functions import Array
from ppl.bind.intervals import INF
from ppl.bind.iterate import pieces, range_of
from ppl.bind.ranges import Ranges
from ppl.core import ir, poly
from ppl.core.extent import ANY, Extent
from ppl.core.reads import reached

MAX_CASES = 1024
MAX_WORK = 10**8  # cases in all iterations: beyond, nothing is ruled out
TINY = 1e-12  # what rounding leaves of zero
PHRASES: Mapping[str, str] = {"pow": "is a negative power of"}  # else: divides by


def check(divisors: Iterable[ir.Divisor], ranges: Ranges, ev: Evaluator, findings: Findings) -> None:
    """Reports the divisors that may be zero with the data of `ev`."""
    for d in divisors:
        own = Evaluator(ev.data, dict(d.definitions), ev.types, top())
        found = _Zeros(d, {g.index: g for g in d.guards}, ranges).first(own)
        if found is None:
            continue
        text = findings.text(d.span)
        what = "a whole number that" if d.value.type.base == "int" else "a value that whole numbers decide, which"
        message = f"`{text}` {PHRASES.get(d.op, 'divides by')} {what} can be 0{place(*found)}"
        findings.add(
            "PPL407", message, d.span, (), key=text,
            hint="keep it away from 0, for example with `max(n, 1)`, or by a condition: `if n > 0 then s / n else 0`",
        )  # fmt: skip


@dataclass(frozen=True)
class _Zeros:
    d: ir.Divisor
    guards: Mapping[int, ir.Guard]
    ranges: Ranges

    def first(self, ev: Evaluator) -> tuple[Space, int] | None:
        """Where it may be zero first."""
        for space in self.spaces(self.d.loops, ev):
            bad = np.broadcast_to(self.zero(ev.at(space)), (space.size,))
            if bad.any():
                return space, int(bad.argmax())
        return None

    def spaces(self, loops: Sequence[ir.Loop], ev: Evaluator) -> Iterator[Space]:
        if not loops:
            yield ev.space
            return
        r = range_of(loops[0], ev)
        for space in () if r is None else pieces(loops[0], r, ev.space, 1, 0, 0):
            yield from self.spaces(loops[1:], ev.at(space))

    def zero(self, ev: Evaluator) -> Array:
        """In which iterations all parts can be zero at once, where the mask may hold."""
        known, unknown = self.outcomes(self.d.parts, ev)
        parts = [self.with_slack(p, unknown, ev) for p in self.d.parts]
        if self.d.mask is not None:  # what it compares counts as far as that can be tried too
            more, _ = self.outcomes((self.d.mask,), ev)
            if _cases({**known, **more}) <= MAX_CASES:
                known = {**known, **more}
        if any(p is None for p in parts) or _cases(known) > MAX_CASES or _cases(known) * ev.space.size > MAX_WORK:
            known, parts = {}, []
        found = np.zeros(1, bool)
        for case in itertools.product(*known.values()):
            here = self.assuming(ev, dict(zip(known, case, strict=True)))
            holds = np.ones(1, bool) if self.d.mask is None else here.truth(self.d.mask)[0]
            for p in parts:
                assert p is not None
                holds = holds & _reaches_zero(p, here)
            found = found | holds
        return found

    def assuming(self, ev: Evaluator, case: dict[ir.Expr, Array]) -> Evaluator:
        """The evaluator with these outcomes, and those of the guards that follow from them."""
        space = replace(ev.space, parent=None, back=None, known={}, truths={})
        here = replace(ev, space=space, assumed=case)
        for index, g in self.guards.items():
            ref = ir.GuardRef(index)
            if not g.levels and g.outcomes is None and ref not in case:
                v = here.value(g.value)
                if v is not None:
                    case[ref] = v > 0
        return replace(here, space=replace(space, known={}, truths={}))

    def outcomes(self, parts: Iterable[ir.Expr], ev: Evaluator) -> tuple[dict[ir.Expr, list[Array]], set[ir.Expr]]:
        """What decides `parts`, with all that it can be, and what can be too much."""
        known: dict[ir.Expr, list[Array]] = {}
        unknown: set[ir.Expr] = set()
        for x in reached(parts, self.behind):
            if not x.random or not isinstance(x, ir.GuardRef | ir.Var | ir.Cell) or self.behind(x) is not None:
                continue
            within = self.guards[x.index].value if isinstance(x, ir.GuardRef) and x.type.base == "bool" else None
            decided, free = ({}, {x}) if within is None else self.outcomes((within,), ev)
            if decided and not free:  # the guard follows from these, see `assuming`
                known.update(decided)
                continue
            values = self.values(x, ev)
            if values is None:
                unknown.add(x)
            else:
                known[x] = values
        return known, unknown

    def behind(self, x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        definitions = dict(self.d.definitions)
        return (x.name, (definitions[x.name],)) if isinstance(x, ir.Var) and x.name in definitions else None

    def values(self, x: ir.GuardRef | ir.Var | ir.Cell, ev: Evaluator) -> list[Array] | None:
        if x.type.base == "bool":
            return [np.zeros(1, bool), np.ones(1, bool)]
        guard = self.guards.get(x.index) if isinstance(x, ir.GuardRef) else None
        if guard is not None and guard.outcomes is not None:
            n = ev.number(guard.outcomes)
            return None if n is None else [np.full(1, k) for k in range(int(n))]
        if x.type.base != "int":
            return None
        within, reach = self.ranges.of(x, ev), self.reach(x)
        lo, hi = np.maximum(within.lo, reach.lo), np.minimum(within.hi, reach.hi)
        count = np.max(hi - lo, initial=0.0) + 1
        if not count <= MAX_CASES:
            return None
        return [np.minimum(lo + k, hi) for k in range(int(count))]

    def reach(self, x: ir.Expr) -> Extent:
        return dict(self.d.reach).get(x, ANY)

    def with_slack(self, part: ir.Expr, unknown: set[ir.Expr], ev: Evaluator) -> _Part | None:
        """`part` without the terms of what can be too much to be tried, and between which numbers these lie; None if
        it is not the sum of both."""
        definitions = dict(self.d.definitions)
        p = poly.to_poly(part, lambda v: definitions.get(v.name) if isinstance(v, ir.Var) else None)
        lo = hi = 0.0
        for x in unknown:
            split = poly.split_affine(p, x)
            if split is None or not poly.is_constant(split[0]):
                return None
            slope, p = poly.value(split[0]), split[1]
            ends = self.reach(x)
            low, high = (slope * e if slope else 0.0 for e in ((ends.lo, ends.hi) if slope > 0 else (ends.hi, ends.lo)))
            lo, hi = lo + low, hi + high
        rest = poly.to_expr(p) if unknown else part
        return None if any(x in unknown for x in reached((rest,), self.behind)) else _Part(rest, lo, hi)


@dataclass(frozen=True)
class _Part:
    """Zero is reached where `rest` plus a number from `lo` to `hi` may be zero."""

    rest: ir.Expr
    lo: float = 0.0
    hi: float = 0.0


def _reaches_zero(p: _Part, ev: Evaluator) -> Array:
    v = ev.value(p.rest)
    if v is None:
        return np.ones(1, bool)
    with np.errstate(invalid="ignore"):
        zero: Array = (v + p.lo <= TINY) & (v + p.hi >= -TINY)
    return zero.reshape(v.shape[0], math.prod(v.shape[1:])).max(axis=1, initial=False)


def _cases(known: Mapping[ir.Expr, Sequence[Array]]) -> float:
    out = 1.0
    for values in known.values():
        out *= len(values)
    return out if out < INF else INF
