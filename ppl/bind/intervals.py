"""Intervals of numbers, one for each iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl.bind.functions import Array, apply
from ppl.core.extent import Extent
from ppl.core.functions import KNOWN
from ppl.language.functions import FUNCTIONS

INF = np.inf


@dataclass(frozen=True)
class Interval:
    """One interval per iteration; `lo_open`, `hi_open`: that end is not reached."""

    lo: Array
    hi: Array
    lo_open: bool = False
    hi_open: bool = False


def known(v: Array) -> Interval:
    x = v.reshape(v.shape[0], -1).astype(float)
    return Interval(x.min(axis=1), x.max(axis=1)) if x.size else ANY


ANY = Interval(np.array([-INF]), np.array([INF]))
NONE = Interval(np.array([INF]), np.array([-INF]))  # of no values


def floor(x: Interval) -> Interval:
    return Interval(np.floor(x.lo), np.ceil(x.hi) - 1.0 if x.hi_open else np.floor(x.hi))


def clipped(x: Interval, op: str, y: Interval) -> Interval:
    """What of `x` compares so with something in `y`, of whole numbers."""
    lo, hi = x.lo, x.hi
    if op in ("lt", "le", "eq"):
        hi = np.minimum(hi, y.hi - (op == "lt"))
    if op in ("gt", "ge", "eq"):
        lo = np.maximum(lo, y.lo + (op == "gt"))
    return Interval(lo, hi)


def is_empty(x: Interval) -> bool:
    return bool(np.all(x.lo > x.hi))


def overall(x: Interval) -> Interval:
    """One interval for all iterations."""
    return Interval(x.lo.min(keepdims=True), x.hi.max(keepdims=True), x.lo_open, x.hi_open)


def union(x: Interval, y: Interval) -> Interval:
    return Interval(np.minimum(x.lo, y.lo), np.maximum(x.hi, y.hi), x.lo_open and y.lo_open, x.hi_open and y.hi_open)


def chosen(may: Array, may_not: Array, x: Interval, y: Interval) -> Interval:
    """`x` where a condition holds, `y` where it does not, and both where latents decide."""
    both = union(x, y)
    lo = np.where(may & may_not, both.lo, np.where(may, x.lo, y.lo))
    hi = np.where(may & may_not, both.hi, np.where(may, x.hi, y.hi))
    return Interval(lo, hi, both.lo_open, both.hi_open)


def settles(x: Interval) -> Array:
    """Where ``value > 0`` has one outcome, but for a set of probability zero, for a value in `x`."""
    return (x.lo > 0) | ((x.lo == 0) & x.lo_open) | (x.hi <= 0)


def products(op: str, x: Interval, y: Interval) -> Interval:
    """Of a product or quotient, by the four corners; ends that one side leaves open stay so for a positive factor."""
    if op == "div":
        if np.any((y.lo <= 0) & (y.hi >= 0)):
            return ANY
        y = Interval(1.0 / y.hi, 1.0 / y.lo)
    corners = [np.nan_to_num(a * b, nan=0.0, posinf=INF, neginf=-INF) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    x, y = (y, x) if op == "mul" and np.all(x.lo == x.hi) else (x, y)
    positive = bool(np.all(y.lo > 0) and np.all(y.lo == y.hi))
    lo = np.minimum.reduce(np.broadcast_arrays(*corners))
    hi = np.maximum.reduce(np.broadcast_arrays(*corners))
    return Interval(lo, hi, positive and x.lo_open, positive and x.hi_open)


def monotone(op: str, x: Interval) -> Interval:
    within = KNOWN[op].values if op in KNOWN else Extent()
    lo, hi = within.lo, within.hi
    if FUNCTIONS[op].monotone > 0:
        found = [apply(op, [end], "real") for end in (x.lo, x.hi)]
        if not any(np.isnan(v).any() for v in found):
            reached = [bool(np.all(v == end)) for v, end in zip(found, (lo, hi), strict=True)]
            lo_open, hi_open = reached[0] and within.lo_open, reached[1] and within.hi_open
            return Interval(found[0], found[1], x.lo_open or lo_open, x.hi_open or hi_open)
    return Interval(np.array([lo]), np.array([hi]), within.lo_open, within.hi_open)
