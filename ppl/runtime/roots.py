# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Zeros of a guard along a line of standard normal noise, for guards that no formula solves.

A line is searched where its noise has mass: up to `reach` standard deviations, beyond which lies 2e-19 of it in float64
and 8e-11 in float32. All functions are for one line and are vmapped over draws and instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

Along = Callable[[Array], Array]

CELLS = 64


class Roots(NamedTuple):
    """Candidate zeros (k,): where, whether it is one, and the inverse of the probability that it was looked at."""

    s: Array
    ok: Array
    weight: Array


def reach(dtype: DTypeLike) -> float:
    """How far out a line is searched, in standard deviations."""
    return 9.0 if jnp.finfo(dtype).bits == 64 else 6.5


def delta(dtype: DTypeLike) -> float:
    """The distance in standard deviations at which the two sides of a zero are told apart."""
    return 1e-6 if jnp.finfo(dtype).bits == 64 else 1e-3


def derivative(f: Along, s: Array) -> tuple[Array, Array]:
    """``f(s), f'(s)``"""
    return jax.jvp(f, (s,), (jnp.ones_like(s),))


def monotone(f: Along, dtype: DTypeLike) -> Roots:
    """The only zero of a monotone function."""
    edge = jnp.asarray(reach(dtype), dtype)
    s, ok = refine(f, -edge, edge, 60)
    return Roots(s[None], ok[None], jnp.ones((1,), dtype))


def isolated(f: Along, most: int, dtype: DTypeLike, chance: ArrayLike = 0.5) -> Roots:
    """The zeros of a smooth function, at most `most` of them; of more, a subset that is unbiased under its weights.

    The range is cut into CELLS cells (of 0.28 standard deviations in float64, 0.20 in float32), and a cell in which
    the function turns towards zero and away again is cut at the turning point of its cubic interpolant. What is
    missed: a pair of zeros in a part of a cell in which the function turns more often than that. Where there are
    too many zeros, every one has the same chance: they are taken at equal steps from a random start, for which
    `chance` is uniform on (0, 1).
    """
    edge = reach(dtype)
    grid = jnp.linspace(-edge, edge, CELLS + 1, dtype=dtype)
    value, slope = jax.vmap(lambda s: derivative(f, s))(grid)
    middle = _turning_points(f, grid, value, slope)
    points = jnp.stack([grid[:-1], middle], axis=1).reshape(-1)
    values = jnp.stack([value[:-1], jax.vmap(f)(middle)], axis=1).reshape(-1)
    points, values = jnp.append(points, grid[-1]), jnp.append(values, value[-1])
    change = ((values[:-1] > 0) != (values[1:] > 0)) & ~(jnp.isnan(values[:-1]) | jnp.isnan(values[1:]))
    count = jnp.sum(change)
    stride = jnp.maximum(count / most, 1.0)
    wanted = jnp.floor((jnp.arange(most) + jnp.asarray(chance)) * stride).astype(count.dtype)
    wanted = jnp.where(count > most, wanted, jnp.arange(most))
    rank = jnp.cumsum(change) - 1
    place = jnp.argmax((rank[None, :] == wanted[:, None]) & change[None, :], axis=1)
    present = wanted < count
    s, ok = jax.vmap(lambda a, b: refine(f, a, b, 14))(points[place], points[place + 1])
    return Roots(jnp.where(present, s, 0.0), ok & present, jnp.full((most,), stride, dtype))


def _turning_points(f: Along, grid: Array, value: Array, slope: Array) -> Array:
    """Per cell the point at which to cut it: where the function turns before it reaches zero, else the middle."""
    left, width = grid[:-1], grid[1] - grid[0]
    a, b = grid[:-1], grid[1:]
    va, vb, da, db = value[:-1], value[1:], slope[:-1], slope[1:]
    turns = ((va > 0) == (vb > 0)) & (va * da < 0) & (vb * db > 0)
    middle = left + 0.5 * width
    for _ in range(2):
        h = b - a
        p, q, r = 3 * (2 * (va - vb) + h * (da + db)), 2 * (3 * (vb - va) - h * (2 * da + db)), h * da
        root = jnp.sqrt(jnp.maximum(q * q - 4 * p * r, 0.0))
        t = -2 * r / (q + jnp.where(r > 0, -root, root))  # the turn is where the derivative has changed its sign
        t = jnp.where((t > 0) & (t < 1), t, 0.5)
        middle = jnp.where(turns, a + t * h, middle)
        v, d = jax.vmap(lambda s: derivative(f, s))(middle)
        before = va * d < 0  # still on its way to zero
        a, va, da = (jnp.where(before, x, y) for x, y in ((middle, a), (v, va), (d, da)))
        b, vb, db = (jnp.where(before, x, y) for x, y in ((b, middle), (vb, v), (db, d)))
        turns &= (v > 0) == (value[:-1] > 0)  # past it, there are two zeros, one on either side
    return middle


def refine(f: Along, a: ArrayLike, b: ArrayLike, steps: int) -> tuple[Array, Array]:
    """The zero between a and b, at which `f` has different signs: Newton's method, with bisection where that leaves.

    Also whether it is one: `f` changes its sign there and is continuous (a jump of `f` is the boundary of the guard
    that makes it jump, and is not counted again).
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    va, vb = f(a), f(b)
    left = va > 0

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        a, b, s = state
        v, d = derivative(f, s)
        same = (v > 0) == left
        a, b = jnp.where(same, s, a), jnp.where(same, b, s)
        return a, b, _next(a, b, s, v, d)

    s = lax.fori_loop(0, steps, step, (a, b, 0.5 * (a + b)))[2]
    v, d = derivative(f, s)
    gap = delta(s.dtype)
    rounding = 32 * jnp.finfo(s.dtype).eps * jnp.where(
        jnp.isfinite(va) & jnp.isfinite(vb), jnp.abs(va) + jnp.abs(vb), jnp.abs(v)
    )  # fmt: skip
    small = jnp.abs(v) <= 0.1 * gap * jnp.abs(d) + rounding
    sides = [derivative(f, s - gap), derivative(f, s + gap)]
    for beside, slope in sides:
        small &= jnp.abs(beside) <= 2 * gap * jnp.abs(slope) + rounding
    crosses = (sides[0][0] > 0) != (sides[1][0] > 0)
    differs = ((va > 0) != (vb > 0)) & ~(jnp.isnan(va) | jnp.isnan(vb))
    ok = small & crosses & differs & (d != 0)
    return jnp.where(ok, s, 0.0), ok


def _next(a: Array, b: Array, s: Array, v: Array, d: Array) -> Array:
    """Newton's next point, held inside [a, b]; the middle where it leaves that by far, or stands still at an end."""
    newton = s - v / jnp.where(d == 0, 1.0, d)
    held = jnp.clip(newton, a, b)
    good = (d != 0) & (jnp.abs(newton - held) <= 0.5 * (b - a)) & ((held == newton) | (held != s))
    return jnp.where(v == 0, s, jnp.where(good, held, 0.5 * (a + b)))


def polynomial(coefficients: Sequence[ArrayLike], lo: Array, hi: Array) -> tuple[Array, Array]:
    """The zeros in (lo, hi) at which ``sum_k coefficients[k] * x^k`` changes its sign, all of them: where, and whether
    there is one; both (degree,).

    Between neighbouring zeros of the derivative, and the ends of the range, a polynomial is monotone: so the zeros of
    each derivative bracket those of the one before.
    """
    derivatives = [[jnp.asarray(c, lo.dtype) for c in coefficients]]
    if len(coefficients) == 2:
        (constant, slope), steep = derivatives[0], derivatives[0][1] != 0
        place = -constant / jnp.where(steep, slope, 1.0)
        ok = steep & (place > lo) & (place < hi)
        return jnp.where(ok, place, lo)[None], ok[None]
    while len(derivatives[-1]) > 2:
        derivatives.append([k * c for k, c in enumerate(derivatives[-1])][1:])
    points = jnp.stack([lo, hi])
    ok = jnp.zeros((1,), bool)
    for c in reversed(derivatives):
        a, b = points[:-1], points[1:]
        places, ok = jax.vmap(lambda a, b, c=c: _bisect(c, a, b))(a, b)
        points = jnp.concatenate([lo[None], places, hi[None]])
    return points[1:-1], ok


def _bisect(c: list[Array], a: Array, b: Array) -> tuple[Array, Array]:
    """The zero of a monotone piece; its upper end, and false, if it has none."""

    def value(x: Array) -> Array:
        total = c[-1]
        for k in reversed(c[:-1]):
            total = total * x + k
        return total

    start, end = value(a) > 0, value(b) > 0

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        a, b, s = state
        v, d = derivative(value, s)
        same = (v > 0) == start
        a, b = jnp.where(same, s, a), jnp.where(same, b, s)
        return a, b, _next(a, b, s, v, d)

    s = lax.fori_loop(0, 48, step, (a, b, 0.5 * (a + b)))[2]
    found = start != end
    return jnp.where(found, s, b), found
