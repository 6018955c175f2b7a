"""What sizes alone decide: shapes, whether sizes agree, how often loops run. Mostly without numpy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ppl.bind.blame import Findings
from ppl.bind.model import MAX_ITERATIONS, Extent, Measured, TooLong
from ppl.bind.numbers import Numbers, Unknown
from ppl.core import ir
from ppl.core.show import show
from ppl.elaborate.context import SameSize
from ppl.record import record
from ppl.regions import GuardInfo, Regions


@record
class Known:
    """Sizes as the data have them, see `ppl.regions.work.Sizes`."""

    extents: Mapping[int, Extent]
    numbers: Numbers

    def iterations(self, nest: tuple[int, ...]) -> float:
        return float(self.extents[nest[-1]].total) if nest else 1.0

    def length(self, dim: ir.Expr) -> float:
        """One where it differs between iterations."""
        try:
            return max(0.0, float(self.numbers.scalar(dim)))
        except Unknown:
            from ppl.bind.iterate import ragged  # imports numpy

            found = None if ragged(dim, self.numbers.definitions) else self.numbers.number(dim)
            return 1.0 if found is None else max(0.0, float(found))


def measure(regions: Regions, sizes: Sequence[SameSize], numbers: Numbers, findings: Findings) -> Measured:
    """The program with the data of `numbers`. Raises DataError or PplError where sizes disagree or are too large."""
    program = regions.program
    shapes = shapes_of(program, numbers, findings)
    same_sizes(sizes, numbers, findings)
    findings.raise_if_any()
    try:
        found = extents(program.body, numbers)
    except TooLong as e:
        message = f"this loop has {e.total} iterations in all; the limit is 10^8"
        findings.add("PPL701", message, e.loop.span, (e.loop.lo, e.loop.hi))
        findings.raise_if_any()
        raise AssertionError("unreachable") from None
    values = {s.name: numbers.dims(s.value.type) or () for s in program.sites if s.value is not None}
    return Measured(shapes, {**shapes, **values}, found, {i.guard.index: count(i, found) for i in regions.guards})


def shapes_of(program: ir.Program, numbers: Numbers, findings: Findings) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {}
    for x in (*program.sites, *program.arrays):
        for d in x.type.dims:
            n = numbers.number(d)
            if n is not None and n < 0:
                findings.add("PPL509", f"`{x.name}` has a negative size, {show(d)} = {n}", x.span, (d,), sizes=True)
        shape = numbers.dims(x.type)
        assert shape is not None, "sizes come from data"
        if math.prod(shape) > MAX_ITERATIONS:
            message = f"`{x.name}` has {' x '.join(map(str, shape))} elements; the limit is 10^8"
            findings.add("PPL701", message, x.span, x.type.dims, sizes=True)
        out[x.name] = shape
    return out


def same_sizes(sizes: Sequence[SameSize], numbers: Numbers, findings: Findings) -> None:
    for s in sizes:
        a, b = numbers.number(s.a), numbers.number(s.b)
        if a is None or b is None or max(a, 0) == max(b, 0):
            continue
        message = f"{s.what} needs equal sizes, but {_with_value(s.a, a)} and {_with_value(s.b, b)}"
        findings.add("PPL506", message, s.span, (s.a, s.b), sizes=True)


def _with_value(e: ir.Expr, value: float) -> str:
    return f"one is {value}" if isinstance(e, ir.Lit) else f"`{show(e)}` is {value}"


def extents(body: tuple[ir.Statement, ...], numbers: Numbers) -> dict[int, Extent]:
    """How often every loop runs, by its number. Raises TooLong."""
    try:
        return dict(_alike(body, numbers, 1))
    except Unknown:  # a bound that differs between iterations, or is looked up in data
        from ppl.bind.extents import varying_extents  # imports numpy

        return varying_extents(body, numbers.evaluator)


def _alike(body: tuple[ir.Statement, ...], numbers: Numbers, weight: int) -> Iterator[tuple[int, Extent]]:
    """The extents of loops that are the same in each of the `weight` iterations around them. Raises Unknown."""
    for s in body:
        if not isinstance(s, ir.Loop):
            continue
        n = 0
        if weight and (s.mask is None or numbers.truth(s.mask)[0]):
            n = max(0, int(numbers.scalar(s.hi)) - int(numbers.scalar(s.lo)))
        if weight * n > MAX_ITERATIONS:
            raise TooLong(s, weight * n)
        yield s.id, Extent(n, weight * n, weight if n else 0)
        yield from _alike(s.body, numbers, weight * n)


def count(info: GuardInfo, found: Mapping[int, Extent]) -> int:
    """The instances of a guard that its boundaries answer for; all of them if it has none."""
    if not info.loops:
        return 1
    extent = found[info.loops[-1]]
    if not info.boundaries or info.boundaries[0].search is not None:
        return extent.total
    each = {"all": extent.total, "first": extent.runs, "rest": extent.total - extent.runs}
    return sum(each[b.part] for b in info.boundaries)
