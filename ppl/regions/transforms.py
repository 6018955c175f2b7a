"""Numbers of the supports of latents, of real coordinates: as `ppl.runtime.supports` and `ppl.runtime.vectors` have
them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ppl.core import ir

Vector = Sequence[float]


def lower(u: float, lo: float) -> float:
    return lo + math.exp(u)


def upper(u: float, hi: float) -> float:
    return hi - math.exp(u)


def interval(u: float, lo: float, hi: float) -> float:
    return lo + (hi - lo) / (1 + math.exp(-u))


def above_first(gaps: Vector) -> list[float]:
    """How far elements of an ordered vector are above the first."""
    return list(itertools.accumulate(map(math.exp, gaps), initial=0.0))


def above_first_lower(gaps: Vector) -> list[float]:
    return list(itertools.accumulate((math.log1p(math.exp(x)) for x in gaps), initial=0.0))


def simplex(u: Vector) -> list[float]:
    """By stick breaking."""
    out: list[float] = []
    left = 1.0
    for k, x in enumerate(u):
        out.append(left / (1 + (len(u) - k) * math.exp(-x)))
        left -= out[-1]
    return [*out, left]


def ordered(u: Vector) -> list[float]:
    return [u[0] + x for x in above_first(u[1:])]


def ordered_lower(u: Vector, lo: float) -> list[float]:
    return [lower(u[0] + x, lo) for x in above_first_lower(u[1:])]


def ordered_interval(u: Vector, lo: float, hi: float) -> list[float]:
    return [interval(x, lo, hi) for x in ordered(u)]


def cholesky_corr(u: Vector) -> list[list[float]]:
    out: list[list[float]] = []
    rest = iter(u)
    n = round((1 + math.sqrt(1 + 8 * len(u))) / 2)
    for i in range(n):
        row: list[float] = []
        length = 1.0
        for x in (next(rest) for _ in range(i)):
            row.append(length * math.tanh(x))
            length /= math.cosh(x)
        out.append([*row, length, *[0.0] * (n - 1 - i)])
    return out


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType({  # by their operations
    **{f"{ir.ELEMENT}{f.__name__}": f for f in (lower, upper, interval)},
    **{f"{ir.TRANSFORM}{f.__name__}": f for f in (simplex, ordered, ordered_lower, ordered_interval, cholesky_corr)},
    **{f"{ir.OFFSETS}{kind}": above_first for kind in ("ordered", "ordered_interval")},
    f"{ir.OFFSETS}ordered_lower": above_first_lower,
})  # fmt: skip
