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
MOST_PIECES = 40
MOST_TURNS = 16
HALVINGS = 22  # of a cell, to find where a piece begins


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


class Sample(NamedTuple):
    """A function along a line at ordered places: `s`, `value` and `slope` there, whether a jump `ends` at the place."""

    s: Array
    value: Array
    slope: Array
    ends: Array


def sample(f: Along, dtype: DTypeLike, *, pieces: bool = False) -> Sample:
    """`f` at the edges of CELLS cells (of 0.28 standard deviations in float64, 0.20 in float32).

    With `pieces`, `f` returns its value and a number that tells the pieces apart on which it is smooth. Then the places
    at which a piece begins (at most MOST_PIECES) are found by bisection and `f` is taken on either side of them too.
    What is missed: a piece that begins and ends inside one cell, if the one on either side of it is the same.
    """
    edge = reach(dtype)
    grid = jnp.linspace(-edge, edge, CELLS + 1, dtype=dtype)
    if not pieces:
        value, slope = jax.vmap(lambda s: derivative(f, s))(grid)
        return Sample(grid, value, slope, jnp.zeros(grid.shape, bool))
    piece = jax.vmap(lambda s: f(s)[1])(grid)
    before, after = _begins(lambda s: f(s)[1], grid, piece)
    s = jnp.concatenate([grid, before, after])
    ends = jnp.repeat(
        jnp.array([False, True]), jnp.array([grid.size + before.size, after.size]), total_repeat_length=s.size
    )
    order = jnp.argsort(s)
    s, ends = s[order], ends[order] & (s[order] < edge)
    value, slope = jax.vmap(lambda s: derivative(lambda s: f(s)[0], s))(s)
    return Sample(s, value, slope, ends)


def _begins(piece: Callable[[Array], Array], grid: Array, pieces: Array) -> tuple[Array, Array]:
    """The places just before and just after those at which a piece begins; the end of the grid for those that lack."""
    last = grid[-1]
    spots = jnp.arange(grid.size)

    def unfinished(state: tuple[Array, ...]) -> Array:
        count, at, mine = state[:3]
        return (count < MOST_PIECES) & jnp.any((spots >= at) & (pieces != mine))

    def following(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, at, mine, here, before, after = state
        k = jnp.argmax((spots >= at) & (pieces != mine))  # the first node in another piece
        lo, hi = jnp.maximum(here, grid[jnp.maximum(k - 1, 0)]), grid[k]

        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            lo, hi = ends
            middle = 0.5 * (lo + hi)
            same = piece(middle) == mine
            return jnp.where(same, middle, lo), jnp.where(same, hi, middle)

        lo, hi = lax.fori_loop(0, HALVINGS, halve, (lo, hi))
        return count + 1, k, piece(hi), hi, before.at[count].set(lo), after.at[count].set(hi)

    none = jnp.full((MOST_PIECES,), last)
    start = (jnp.zeros((), int), jnp.zeros((), spots.dtype), pieces[0], grid[0], none, none)
    *_, before, after = lax.while_loop(unfinished, following, start)
    return before, after


def isolated(f: Along, at: Sample, most: int, chance: ArrayLike = 0.5) -> Roots:
    """The zeros of a function, at most `most` of them; of more, a subset that is unbiased under its weights.

    `at` is the function at places between which it is smooth. Between two of them at which it has the same sign and
    turns towards zero and away again, it is cut at the turning point of its cubic interpolant (in at most MOST_TURNS
    places). What is missed: a pair of zeros where the function turns more often than that. Where there are too many
    zeros, every one has the same chance: they are taken at equal steps from a random start, for which `chance` is
    uniform on (0, 1).
    """
    a, b = _cut(f, at)
    start, end = a.value, b.value
    change = ((start > 0) != (end > 0)) & ~(jnp.isnan(start) | jnp.isnan(end))
    # The two sides of a place at which a piece begins: a zero only if the value goes on there.
    steep = jnp.maximum(jnp.abs(a.slope), jnp.abs(b.slope)) * (b.s - a.s)
    rounding = 32 * jnp.finfo(a.s.dtype).eps * (jnp.abs(start) + jnp.abs(end))
    change &= ~b.ends | (jnp.abs(end - start) <= 4 * steep + rounding)
    count = jnp.sum(change)
    stride = jnp.maximum(count / most, 1.0)
    wanted = jnp.floor((jnp.arange(most) + jnp.asarray(chance)) * stride).astype(count.dtype)
    wanted = jnp.where(count > most, wanted, jnp.arange(most))
    rank = jnp.cumsum(change) - 1
    place = jnp.argmax((rank[None, :] == wanted[:, None]) & change[None, :], axis=1)
    present = wanted < count
    s, ok = jax.vmap(lambda a, b: refine(f, a, b, 14))(a.s[place], b.s[place])
    return Roots(jnp.where(present, s, 0.0), ok & present, jnp.full((most,), stride, a.s.dtype))


def _cut(f: Along, at: Sample) -> tuple[Sample, Sample]:
    """Left and right ends of the cells, those cut in which the function turns before it reaches zero."""
    a, b = (Sample(*(x[k] for x in at)) for k in (slice(None, -1), slice(1, None)))
    turns = ((a.value > 0) == (b.value > 0)) & (a.value * a.slope < 0) & (b.value * b.slope > 0) & ~b.ends
    rank = jnp.cumsum(turns) - 1
    wanted = jnp.arange(MOST_TURNS)
    cell = jnp.argmax((rank[None, :] == wanted[:, None]) & turns[None, :], axis=1)
    found = wanted < jnp.sum(turns)
    left, right = (Sample(*(x[cell] for x in side)) for side in (a, b))
    lo, hi, middle, done = left, right, left, ~found
    for _ in range(2):
        s = jnp.where(done, middle.s, _turning_point(lo, hi))
        value, slope = jax.vmap(lambda s: derivative(f, s))(s)
        middle = Sample(s, value, slope, jnp.zeros(s.shape, bool))
        before = lo.value * slope < 0  # still on its way to zero
        done |= (value > 0) != (left.value > 0)  # past it: there are two zeros, one on either side
        lo = jax.tree.map(lambda new, old, on=before: jnp.where(on, new, old), middle, lo)
        hi = jax.tree.map(lambda new, old, on=before: jnp.where(on, old, new), middle, hi)
    # The left part stays where its cell was, the right part is added at the end.
    keep = jnp.where(found, cell, a.s.size)
    first = jax.tree.map(lambda old, new: old.at[keep].set(new, mode="drop"), b, middle)
    nothing = jax.tree.map(lambda x, y: jnp.where(found, x, y), middle, right)
    return (jax.tree.map(lambda x, y: jnp.concatenate([x, y]), a, nothing),
            jax.tree.map(lambda x, y: jnp.concatenate([x, y]), first, right))  # fmt: skip


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
    va, vb = f(a), f(b)
    s, v, d = _closest(f, a, b, va > 0, steps)
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


def _closest(f: Along, a: Array, b: Array, left: Array, steps: int) -> tuple[Array, Array, Array]:
    """Where `f` comes closest to zero in a search between a, at which it is positive if `left`, and b: the place, value
    and slope.

    The closest place, not the last: once the search has arrived, rounding sends it back to the middle every other step.
    """

    def step(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, b, s, *best = state
        v, d = derivative(f, s)
        better = jnp.abs(v) < jnp.abs(best[1])
        best = (jnp.where(better, new, old) for new, old in zip((s, v, d), best, strict=True))
        same = (v > 0) == left
        a, b = jnp.where(same, s, a), jnp.where(same, b, s)
        return a, b, _next(a, b, s, v, d), *best

    middle = 0.5 * (a + b)
    start = (a, b, middle, middle, jnp.full_like(middle, jnp.inf), jnp.zeros_like(middle))
    return lax.fori_loop(0, steps, step, start)[3:]


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
    s, _, _ = _closest(value, a, b, start, 48)
    found = start != end
    return jnp.where(found, s, b), found
