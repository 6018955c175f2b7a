# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Zeros of a guard along a line of standard normal noise, for guards that no formula solves.

All functions are for one line and are vmapped over draws and instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime.densities import normal as normal_density
from ppl.runtime.lines import Along, Cells, Sample, delta, derivative, first, reach, some

MOST_TURNS = 16


class Roots(NamedTuple):
    """Candidate zeros (k,): where, whether it is one, and the inverse of the probability that it was looked at."""

    s: Array
    ok: Array
    weight: Array


def monotone(f: Along, dtype: DTypeLike) -> Roots:
    """The only zero of a monotone function."""
    edge = jnp.asarray(reach(dtype), dtype)
    s, ok = refine(f, -edge, edge, 60)
    return Roots(s[None], ok[None], jnp.ones((1,), dtype))


def isolated(f: Along, at: Cells, most: int, chance: ArrayLike = 0.5) -> Roots:
    """The zeros of a function, at most `most` of them; of more, a subset that is unbiased under its weights.

    `at` are cells in which the function is smooth. Those at both ends of which it has the same sign, and in which it
    turns towards zero and away again, are cut at the turning point of its cubic interpolant (in at most MOST_TURNS
    places). What is missed: a pair of zeros where the function turns more often than that. Where there are too many
    zeros, those near the middle of the noise are taken more often; for that `chance` is uniform on (0, 1).
    """
    a, b, weight = _cut(f, at)
    start, end = a.value, b.value
    change = ((start > 0) != (end > 0)) & ~(jnp.isnan(start) | jnp.isnan(end)) & (weight > 0)
    # The two sides of a place at which a piece begins: a zero only if the value goes on there.
    steep = jnp.maximum(jnp.abs(a.slope), jnp.abs(b.slope)) * (b.s - a.s)
    rounding = 32 * jnp.finfo(a.s.dtype).eps * (jnp.abs(start) + jnp.abs(end))
    goes_on = (jnp.abs(end - start) <= 4 * steep + rounding) & _along(end - start, a.slope, b.slope)
    change &= ~b.ends | goes_on | (jnp.abs(end - start) <= rounding)
    size = weight * jnp.exp(normal_density(0.5 * (a.s + b.s), 0.0, 1.0))
    place, present, more = some(change, size, most, chance)
    s, ok = jax.vmap(lambda a, b: refine(f, a, b, 14))(a.s[place], b.s[place])
    return Roots(jnp.where(present, s, 0.0), ok & present, jnp.where(present, weight[place] * more, 1.0))


def _cut(f: Along, at: Cells) -> Cells:
    """Cells of which those are cut in which the function turns before it reaches zero."""
    a, b, weight = at
    turns = ((a.value > 0) == (b.value > 0)) & (a.value * a.slope < 0) & (b.value * b.slope > 0)
    turns &= ~b.ends & (weight > 0)
    cell, found = first(turns, MOST_TURNS), jnp.arange(MOST_TURNS) < jnp.sum(turns)
    left, right = (Sample(*(x[cell] for x in side)) for side in (a, b))

    def towards(_: int, state: tuple[Sample, Sample, Sample, Array]) -> tuple[Sample, Sample, Sample, Array]:
        lo, hi, middle, done = state
        s = jnp.where(done, middle.s, _turning_point(lo, hi))
        value, slope = jax.vmap(lambda s: derivative(f, s))(s)
        middle = Sample(s, value, slope, jnp.zeros(s.shape, bool))
        before = lo.value * slope < 0  # still on its way to zero
        done |= (value > 0) != (left.value > 0)  # past it: there are two zeros, one on either side
        lo = jax.tree.map(lambda new, old: jnp.where(before, new, old), middle, lo)
        hi = jax.tree.map(lambda new, old: jnp.where(before, old, new), middle, hi)
        return lo, hi, middle, done

    middle = lax.fori_loop(0, 2, towards, (left, right, left, ~found))[2]
    # The left part stays where its cell was, the right part is added at the end.
    keep = jnp.where(found, cell, a.s.size)
    earlier = jax.tree.map(lambda old, new: old.at[keep].set(new, mode="drop"), b, middle)
    nothing = jax.tree.map(lambda x, y: jnp.where(found, x, y), middle, right)
    return Cells(
        jax.tree.map(lambda x, y: jnp.concatenate([x, y]), a, nothing),
        jax.tree.map(lambda x, y: jnp.concatenate([x, y]), earlier, right),
        jnp.concatenate([weight, jnp.where(found, weight[cell], 0.0)]),
    )


def _turning_point(a: Sample, b: Sample) -> Array:
    """Where the cubic through values and slopes at both ends turns; the middle if nowhere."""
    h = b.s - a.s
    p, q = (
        3 * (2 * (a.value - b.value) + h * (a.slope + b.slope)),
        2 * (3 * (b.value - a.value) - h * (2 * a.slope + b.slope)),
    )
    r = h * a.slope
    root = jnp.sqrt(jnp.maximum(q * q - 4 * p * r, 0.0))
    below = q + jnp.where(r > 0, -root, root)
    t = -2 * r / jnp.where(below == 0, 1.0, below)  # the turn is where the derivative has changed its sign
    return a.s + h * jnp.where((t > 0) & (t < 1) & (below != 0), t, 0.5)


def refine(f: Along, a: ArrayLike, b: ArrayLike, steps: int) -> tuple[Array, Array]:
    """The zero between a and b, at which `f` has different signs: Newton's method, with bisection where that leaves.

    Also whether it is one: `f` changes its sign there and is continuous (a jump of `f` is the boundary of the guard
    that makes it jump, and is not counted again).
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    va, vb = jax.vmap(f)(jnp.stack([a, b]))  # one copy of the function in compiled code, here and below
    s, v, d = _closest(f, a, b, va > 0, steps)
    gap = delta(s.dtype)
    rounding = 32 * jnp.finfo(s.dtype).eps * jnp.where(
        jnp.isfinite(va) & jnp.isfinite(vb), jnp.abs(va) + jnp.abs(vb), jnp.abs(v)
    )  # fmt: skip
    small = jnp.abs(v) <= 0.1 * gap * jnp.abs(d) + rounding
    beside, slopes = jax.vmap(lambda s: derivative(f, s))(jnp.stack([s - gap, s + gap]))
    small &= jnp.all(jnp.abs(beside) <= 2 * gap * jnp.abs(slopes) + rounding)
    crosses = ((beside[0] > 0) != (beside[1] > 0)) & _along(beside[1] - beside[0], slopes[0], slopes[1])
    differs = ((va > 0) != (vb > 0)) & ~(jnp.isnan(va) | jnp.isnan(vb))
    ok = small & crosses & differs & (d != 0)
    return jnp.where(ok, s, 0.0), ok


def _along(rise: Array, before: Array, after: Array) -> Array:
    """Whether a slope has the sign of a difference, as between two places next to each other one must; through a pole
    it has the other one on both sides."""
    return (rise * before > 0) | (rise * after > 0)


def _closest(f: Along, a: Array, b: Array, left: Array, steps: int) -> tuple[Array, Array, Array]:
    """Where `f` comes closest to zero in a search between a, at which it is positive if `left`, and b: the place, value
    and slope.

    The closest place, not the last: once the search has arrived, rounding sends it back to the middle every other step.
    """

    def step(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, b, s, *best = state
        v, d = derivative(f, s)
        flat = (v == 0) & (d == 0)  # zero on a region, which ends further on
        better = (jnp.abs(v) < jnp.abs(best[1])) & ~flat
        best = (jnp.where(better, new, old) for new, old in zip((s, v, d), best, strict=True))
        same = (v > 0) == left
        a, b = jnp.where(same, s, a), jnp.where(same, b, s)
        return a, b, _next(a, b, s, v, d), *best

    middle = 0.5 * (a + b)
    start = (a, b, middle, middle, jnp.full_like(middle, jnp.inf), jnp.zeros_like(middle))
    return lax.fori_loop(0, steps, step, start)[3:]


def _next(a: Array, b: Array, s: Array, v: Array, d: Array) -> Array:
    """Newton's next point, held inside [a, b]; the middle where it leaves that by far, or stands still at an end."""
    # A little short of it, to end where the function moves if it is zero on one side.
    short = 1 - jnp.sqrt(jnp.finfo(s.dtype).eps) / 8
    newton = s - short * v / jnp.where(d == 0, 1.0, d)
    held = jnp.clip(newton, a, b)
    good = (d != 0) & (jnp.abs(newton - held) <= 0.5 * (b - a)) & ((held == newton) | (held != s))
    return jnp.where((v == 0) & (d != 0), s, jnp.where(good, held, 0.5 * (a + b)))


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
    s, _, _ = _closest(value, a, b, start, 48)
    found = start != end
    return jnp.where(found, s, b), found
