"""Intervals of numbers that tell which signs a value can have, and their arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from ppl.record import record

INF = math.inf


@record
class Extent:
    """An interval; `lo_open`, `hi_open`: that end is reached with probability zero."""

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
# Functions that rise strictly: how to compute them, and the values they stay between whatever their argument.
RISING: Mapping[str, tuple[Callable[[float], float] | None, Extent]] = {
    "exp": (math.exp, POSITIVE), "expm1": (math.expm1, Extent(-1.0)), "log": (math.log, ANY),
    "log1p": (math.log1p, ANY), "sqrt": (math.sqrt, NONNEGATIVE), "sinh": (math.sinh, ANY), "asinh": (math.asinh, ANY),
    "tanh": (math.tanh, Extent(-1.0, 1.0)), "atan": (math.atan, Extent(-math.pi / 2, math.pi / 2)),
    "erf": (math.erf, Extent(-1.0, 1.0)), "log2": (math.log2, ANY), "log10": (math.log10, ANY),
    "inv_logit": (None, Extent(0.0, 1.0)), "Phi": (None, Extent(0.0, 1.0)), "log1p_exp": (None, POSITIVE),
}  # fmt: skip
FIXED: Mapping[str, Extent] = {
    "cosh": Extent(1.0, INF, False), "erfc": Extent(0.0, 2.0), "sin": Extent(-1.0, 1.0, False, False),
    "cos": Extent(-1.0, 1.0, False, False), "asin": Extent(-math.pi / 2, math.pi / 2, False, False),
    "acos": Extent(0.0, math.pi, False, False),
    "hypot": NONNEGATIVE, "log_inv_logit": Extent(-INF, 0.0), "acosh": NONNEGATIVE,
}  # fmt: skip


def point(x: float) -> Extent:
    return Extent(x, x, False, False)


def union(items: Iterable[Extent]) -> Extent:
    out: Extent | None = None
    for x in items:
        out = x if out is None else out | x
    return ANY if out is None else out


def add(x: Extent, y: Extent) -> Extent:
    return Extent(x.lo + y.lo, x.hi + y.hi, x.lo_open or y.lo_open, x.hi_open or y.hi_open)


def larger(x: Extent, y: Extent) -> Extent:
    top = x if x.lo > y.lo else y
    return Extent(top.lo, max(x.hi, y.hi), x.lo_open and y.lo_open, x.hi_open and y.hi_open)


def mul(x: Extent, y: Extent) -> Extent:
    if ZERO in (x, y):
        return ZERO
    if x.hi <= 0 and x.lo < 0:
        return -mul(-x, y)
    if y.hi <= 0 and y.lo < 0:
        return -mul(x, -y)
    if x.lo >= 0 and y.lo >= 0:
        reached = (x.lo == 0 and not x.lo_open) or (y.lo == 0 and not y.lo_open)
        opens = (not reached and (x.lo_open or y.lo_open), x.hi_open or y.hi_open)
        return Extent(_times(x.lo, y.lo), _times(x.hi, y.hi), *opens)
    corners = [_times(a, b) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    return Extent(min(corners), max(corners), False, False)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def inverse(x: Extent) -> Extent:
    if x.negative:
        return -inverse(-x)
    if not x.positive:
        return NONNEGATIVE if x.lo >= 0 else -NONNEGATIVE if x.hi <= 0 else ANY
    return Extent(1 / x.hi, 1 / x.lo if x.lo > 0 else INF, x.hi_open, x.lo_open)


def total(x: Extent) -> Extent:
    """Of a sum of such numbers; of none of them, which is 0 whatever the latents are, nothing need be known."""
    return Extent(x.lo if x.lo >= 0 else -INF, x.hi if x.hi <= 0 else INF, x.lo_open, x.hi_open)


def rising(op: str, x: Extent) -> Extent:
    function, within = RISING[op]
    if function is None:
        return within
    ends: list[tuple[float, bool]] = []
    for end, limit, is_open in ((x.lo, within.lo, x.lo_open), (x.hi, within.hi, x.hi_open)):
        try:
            ends.append((float(function(end)), is_open))
        except (ValueError, OverflowError):  # out of the domain, or too large
            ends.append((limit, False))
    return Extent(ends[0][0], ends[1][0], ends[0][1], ends[1][1]) & within


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
    return Extent(-INF, x.hi, True, x.hi_open)
