"""Where a polynomial in one unknown changes its sign, exactly: its coefficients are the numbers that floats are.

Roots are told apart by Sturm's theorem (Basu, Pollack & Roy, Algorithms in Real Algebraic Geometry, 2.2.2) and then
looked for between floats, so two roots that lie close together far from zero are neither lost nor taken for one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

Integers = list[int]  # coefficients, lowest power first


def sign_changes(coefficients: Sequence[float]) -> list[float] | None:
    """The places at which a polynomial (lowest power first) changes its sign, in order, each rounded to a float.

    None if they may lie beyond all floats, or a coefficient does.
    """
    if not all(math.isfinite(c) for c in coefficients):
        return None
    p = _integers(coefficients)
    if len(p) < 2:
        return []
    try:
        bound = math.ldexp(1.0, 1 + max(_bits(c) - _bits(p[-1]) + 1 for c in p))  # Cauchy's, and a power of two
    except OverflowError:
        return None
    if math.isinf(2 * bound):
        return None
    chain = _chain(p)
    if len(chain[-1]) > 1:  # each root once
        chain = _chain(_quotient(p, chain[-1]))
    out: list[float] = []
    todo = [(-bound, bound)]
    while todo:
        a, b = todo.pop()
        count = _variations(chain, a) - _variations(chain, b)  # of roots above a, up to b
        middle = 0.5 * a + 0.5 * b
        if count > 1 and a < middle < b:
            todo += [(middle, b), (a, middle)]
        elif count and _beyond(p, a) != _beyond(p, b):
            out.append(_crossing(p, a, b))
    return out


def _crossing(p: Integers, a: float, b: float) -> float:
    """The only place above a, up to b, where the sign changes."""
    above = _beyond(p, b)
    while _at(p, b):
        middle = 0.5 * a + 0.5 * b
        if not a < middle < b:
            return a if abs(_fraction(p, a)) < abs(_fraction(p, b)) else b
        if _beyond(p, middle) == above:
            b = middle
        else:
            a = middle
    return b


def _integers(coefficients: Sequence[float]) -> Integers:
    exact = [Fraction(c) for c in coefficients]
    while exact and not exact[-1]:
        exact.pop()
    scale = math.lcm(*(c.denominator for c in exact))
    return [int(c * scale) for c in exact]


def _bits(c: int) -> int:
    return abs(c).bit_length()


def _derivative(p: Integers) -> Integers:
    return [k * c for k, c in enumerate(p)][1:]


def _chain(p: Integers) -> list[Integers]:
    """Sturm's sequence, in positive multiples of its members."""
    chain = [p, _derivative(p)]
    while len(chain[-1]) > 1:
        rest, by = list(chain[-2]), chain[-1]
        while len(rest) >= len(by):
            top, shift = rest[-1], len(rest) - len(by)
            rest = [abs(by[-1]) * c for c in rest]
            for k, c in enumerate(by):
                rest[shift + k] -= (top if by[-1] > 0 else -top) * c
            rest.pop()
        while rest and not rest[-1]:
            rest.pop()
        if not rest:
            break  # a repeated root: the last member divides all others
        common = math.gcd(*rest)
        chain.append([-c // common for c in rest])
    return chain


def _quotient(p: Integers, q: Integers) -> Integers:
    """``p / q``, which has no remainder, times a number."""
    rest, out = [Fraction(c) for c in p], [Fraction(0)] * (len(p) - len(q) + 1)
    for k in reversed(range(len(out))):
        out[k] = rest[k + len(q) - 1] / q[-1]
        for i, c in enumerate(q):
            rest[k + i] -= out[k] * c
    scale = math.lcm(*(c.denominator for c in out))
    return [int(c * scale) for c in out]


def _fraction(p: Integers, x: float) -> Fraction:
    n, d = x.as_integer_ratio()
    return Fraction(_at(p, x), d ** (len(p) - 1)) if n else Fraction(p[0])


def _at(p: Integers, x: float) -> int:
    """The value at a place, times a positive number."""
    n, d = x.as_integer_ratio()
    out, power = 0, 1
    for c in reversed(p):
        out = out * n + c * power
        power *= d
    return out


def _beyond(p: Integers, x: float) -> int:
    """The sign just above a place."""
    while p:
        value = _at(p, x)
        if value:
            return 1 if value > 0 else -1
        p = _derivative(p)
    return 0


def _variations(chain: list[Integers], x: float) -> int:
    signs = [v > 0 for p in chain if (v := _at(p, x))]
    return sum(a != b for a, b in pairwise(signs))
