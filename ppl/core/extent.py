"""Intervals of numbers that tell which signs a value can have, and their arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ppl.record import record

INF = math.inf


@record
class Extent:
    """An interval; `lo_open`, `hi_open`: that end is reached with probability zero and, between other values, nowhere.

    So an infinite end is closed if there may be a pole at which the value is infinite, and 0 is closed in what is
    divided by such a value.
    """

    lo: float = -INF
    hi: float = INF
    lo_open: bool = True
    hi_open: bool = True

    @property
    def positive(self) -> bool:
        return self.lo > 0 or (self.lo == 0 and self.lo_open)

    @property
    def negative(self) -> bool:
        return self.hi < 0 or (self.hi == 0 and self.hi_open)

    @property
    def one_sided(self) -> bool:
        """Whether it lies on one side of zero, which it may touch."""
        return self.lo >= 0 or self.hi <= 0

    def __or__(self, other: Extent) -> Extent:
        lo, hi, both = min(self.lo, other.lo), max(self.hi, other.hi), (self, other)
        return Extent(lo, hi, all(x.lo_open for x in both if x.lo == lo), all(x.hi_open for x in both if x.hi == hi))

    def __and__(self, other: Extent) -> Extent:
        lo, hi, both = max(self.lo, other.lo), min(self.hi, other.hi), (self, other)
        out = Extent(lo, hi, any(x.lo_open for x in both if x.lo == lo), any(x.hi_open for x in both if x.hi == hi))
        empty = lo > hi or (lo == hi and (out.lo_open or out.hi_open))
        return self if empty else out  # where the one holds the other does not: never

    def __neg__(self) -> Extent:
        return Extent(-self.hi, -self.lo, self.hi_open, self.lo_open)


ANY, POSITIVE, NONNEGATIVE, ZERO = Extent(), Extent(0.0), Extent(0.0, INF, False), Extent(0.0, 0.0, False, False)


def point(x: float) -> Extent:
    return Extent(x, x, False, False)


def union(items: Iterable[Extent]) -> Extent:
    out: Extent | None = None
    for x in items:
        out = x if out is None else out | x
    return ANY if out is None else out


def infinite(x: Extent) -> bool:
    """Whether there may be a pole."""
    return (x.lo == -INF and not x.lo_open) or (x.hi == INF and not x.hi_open)


def above(lo: float, *operands: Extent, open: bool = False) -> Extent:
    """All numbers from `lo` on; infinite only where an operand is."""
    return Extent(lo, INF, open, not any(infinite(x) for x in operands))


def add(x: Extent, y: Extent) -> Extent:
    lo, hi = x.lo + y.lo, x.hi + y.hi
    lows, highs = ((x.lo, x.lo_open), (y.lo, y.lo_open)), ((x.hi, x.hi_open), (y.hi, y.hi_open))
    return Extent(lo, hi, _missed(lo, lows), _missed(hi, highs))


def _missed(end: float, operands: Iterable[tuple[float, bool]]) -> bool:
    """Whether a sum or product does not reach an end: one that is finite takes all operands there, infinity one."""
    if math.isinf(end):
        return all(is_open for x, is_open in operands if math.isinf(x))
    return any(is_open for _, is_open in operands)


def larger(x: Extent, y: Extent) -> Extent:
    top, hi = x if x.lo > y.lo else y, max(x.hi, y.hi)
    return Extent(top.lo, hi, x.lo_open and y.lo_open, all(z.hi_open for z in (x, y) if z.hi == hi))


def mul(x: Extent, y: Extent) -> Extent:
    if ZERO in (x, y):
        return ZERO
    if x.hi <= 0 and x.lo < 0:
        return -mul(-x, y)
    if y.hi <= 0 and y.lo < 0:
        return -mul(x, -y)
    if x.lo >= 0 and y.lo >= 0:
        lo, hi = _times(x.lo, y.lo), _times(x.hi, y.hi)
        reached = (x.lo == 0 and not x.lo_open) or (y.lo == 0 and not y.lo_open)
        opens = not reached and (x.lo_open or y.lo_open)
        return Extent(lo, hi, opens, _missed(hi, ((x.hi, x.hi_open), (y.hi, y.hi_open))))
    corners = [_times(a, b) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    finite = not infinite(x) and not infinite(y)
    lo, hi = min(corners), max(corners)
    return Extent(lo, hi, finite and lo == -INF, finite and hi == INF)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def inverse(x: Extent) -> Extent:
    if x.lo < 0 and x.hi <= 0:
        return -inverse(-x)
    if x.lo < 0:
        return Extent(-INF, INF, False, False)
    at_zero = x.lo == 0
    return Extent(1 / x.hi if x.hi > 0 else 0.0, INF if at_zero else 1 / x.lo, x.hi_open, x.lo_open)


def total(x: Extent, some: bool) -> Extent:
    """Of a sum of such numbers; of `some`, or perhaps of none, which is 0."""
    lo, hi = x.lo if x.lo >= 0 else -INF, x.hi if x.hi <= 0 else INF
    out = Extent(lo, hi, x.lo_open or (lo < x.lo and not infinite(x)), x.hi_open or (hi > x.hi and not infinite(x)))
    return out if some else out | ZERO


def rising(function: Callable[[float], float], within: Extent, start: float | None, x: Extent) -> Extent:
    """Of a function that rises strictly, with values `within` these limits; at `start` it is minus infinity."""
    ends: list[tuple[float, bool]] = []
    for end, limit, is_open in ((x.lo, within.lo, x.lo_open), (x.hi, within.hi, x.hi_open)):
        try:
            value = float(function(end))
            # A limit that no finite number reaches is one of rounding.
            ends.append((value, is_open or (value == limit and within.lo_open and not math.isinf(end))))
        except ValueError:  # out of the domain, or at an end of it
            ends.append((limit, is_open and end == start))
        except OverflowError:
            ends.append((limit, True))
    return Extent(ends[0][0], ends[1][0], ends[0][1], ends[1][1])


def floor(x: float) -> float:
    return x if math.isinf(x) else float(math.floor(x))


def widened(old: Extent, new: Extent) -> Extent:
    """Both; an end that moves goes on to the next of 1, 0, -1 and infinity, so that it moves a few times at most."""
    both = old | new
    low = old if (both.lo, both.lo_open) == (old.lo, old.lo_open) else _lowered(both)
    high = old if (both.hi, both.hi_open) == (old.hi, old.hi_open) else -_lowered(-both)
    return Extent(low.lo, high.hi, low.lo_open, high.hi_open)


def _lowered(x: Extent) -> Extent:
    for bound in (1.0, 0.0, -1.0):
        if x.lo >= bound:
            return Extent(bound, x.hi, x.lo > bound or x.lo_open, x.hi_open)
    return Extent(-INF, x.hi, x.lo > -INF or x.lo_open, x.hi_open)


def sign_of(x: Extent) -> int:
    """The sign of what is not zero, else 0."""
    return 1 if x.positive else -1 if x.negative else 0
