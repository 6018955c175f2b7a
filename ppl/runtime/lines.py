# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""A function along a line of standard normal noise, taken at places between which it has few turns.

A line is searched where its noise has mass: up to `reach` standard deviations, beyond which lies 2e-19 of it in float64
and 8e-11 in float32. All functions are for one line and are vmapped over draws and instances.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime.densities import normal as normal_density
from ppl.runtime.enclosures import Span, between, enclose
from ppl.runtime.running import running_sum
from ppl.runtime.subsets import mixed

Along = Callable[[Array], Array]

CELLS = 64
MOST_PIECES = 40
HALVINGS = 22  # of a cell, to find where a piece begins
MOST_DOUBTFUL = 8  # cells that are divided at a time, into PARTS
PARTS = 4
DIVISIONS = 6  # how often a cell is divided at most, so into PARTS ** DIVISIONS
DOUBT = 0.5  # relative error in the slope of a parabola from which on a cell is divided
WEIGHT = 6  # the column of a row for a cell: place, value and slope at the left end, the same at the right end, weight
FURTHEST = 6.5  # standard deviations, beyond which cells are not divided: 8e-11 of the noise lies there


def reach(dtype: DTypeLike) -> float:
    """How far out a line is searched, in standard deviations."""
    return 9.0 if jnp.finfo(dtype).bits == 64 else 6.5


def delta(dtype: DTypeLike) -> float:
    """The distance in standard deviations at which the two sides of a zero are told apart."""
    return 1e-6 if jnp.finfo(dtype).bits == 64 else 1e-3


def derivative(f: Along, s: Array) -> tuple[Array, Array]:
    """``f(s), f'(s)``"""
    return jax.jvp(f, (s,), (jnp.ones_like(s),))


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


class Cells(NamedTuple):
    """Parts of a line: the function at the left ends `a` and the right ends `b`, and with which weight a cell counts.

    A cell of which not all parts are known has parts that were each taken with a probability p. These have the weight
    1/p, and the cell itself stays with 1 - 1/p for each: it is not sure to show what is in it, but most often does.
    """

    a: Sample
    b: Sample
    weight: Array


def cells(f: Along, at: Sample, chance: ArrayLike = 0.5, *, levels: bool = False) -> Cells:
    """The cells between the places `at`, divided where zeros of the function are not sure to be seen from their ends.

    They are where `enclose` proves that there is none (with `levels`, that the function passes no whole number), or one
    at most. They are not sure to be seen, too, where it proves that the function turns once at most, if a parabola
    through the ends and one slope is far off the other slope: it is not known well where. Where there are no bounds,
    what is far off is divided if with such slopes the function may be zero there, and its neighbours with it.

    If too many are to be divided, it is a random few of them, cells with much noise more often: unbiased under the
    weights, for a `chance` uniform on (0, 1). What stays undivided: cells further out than FURTHEST, and what DIVISIONS
    are not enough for.
    """
    a, b = (Sample(*(x[k] for x in at)) for k in (slice(None, -1), slice(1, None)))
    base = jnp.stack([a.s, a.value, a.slope, b.s, b.value, b.slope, jnp.ones_like(a.s)], axis=-1)
    chances = [mixed(chance, k) for k in range(DIVISIONS + 1)]
    known = jax.vmap(partial(_known, f, levels=levels))
    turning = _doubtful(base, levels) & ~b.ends
    doubt = _unsure(base, turning | _beside(turning), *known(base)) & ~b.ends
    base, few = _chosen(base, doubt, chances[0])

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        return (state[0] < DIVISIONS) & jnp.any(state[1][:, WEIGHT] > 0)

    def divide(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        k, few, found = state
        parts = _divided(f, few)
        turning = jnp.any(_doubtful(parts, levels).reshape(-1, PARTS), axis=1).repeat(PARTS)
        doubt = _unsure(parts, turning, *known(parts)) & (parts[:, WEIGHT] > 0) & (k + 1 < DIVISIONS)
        parts, few = _chosen(parts, doubt, jnp.stack(chances)[k + 1])
        return k + 1, few, found.at[k].set(parts)

    found = jnp.zeros((DIVISIONS, MOST_DOUBTFUL * PARTS, base.shape[-1]), base.dtype)
    found = lax.while_loop(unfinished, divide, (jnp.zeros((), int), few, found))[2]
    every = jnp.concatenate([base, found.reshape(-1, base.shape[-1])])
    smooth = jnp.zeros(every.shape[0] - base.shape[0], bool)
    left, right = (jnp.concatenate([x.ends, smooth]) for x in (a, b))
    s, value, slope = (every[:, k : k + 4 : 3] for k in range(3))
    a, b = (Sample(s[:, k], value[:, k], slope[:, k], ends) for k, ends in enumerate((left, right)))
    return Cells(a, b, every[:, WEIGHT])


def _known(f: Along, c: Array, levels: bool) -> tuple[Array, Array, Array]:
    """Of a cell: whether `f` has bounds in it, whether one zero at most is proved, and whether one turn at most is."""
    (s, end), (start, stop), (before, after) = (c[k : k + 4 : 3] for k in range(3))
    value, slope, bend = enclose(f, s, end)
    lo, hi = between(before, after, end - s, bend)
    slope = slope._replace(lo=jnp.maximum(slope.lo, lo), hi=jnp.minimum(slope.hi, hi))
    lo, hi = between(start, stop, end - s, slope)
    lo, hi = jnp.maximum(value.lo, lo), jnp.minimum(value.hi, hi)
    none = (lo > 0) | (hi < 0) if not levels else jnp.floor(hi) < lo
    bounded = ~value.jumps | (jnp.isfinite(lo) & jnp.isfinite(hi))  # infinite by overflow, they get narrower
    return bounded, none | _one_sign(slope), _one_sign(bend)


def _one_sign(x: Span) -> Array:
    return (x.lo > 0) | (x.hi < 0)


def _unsure(c: Array, turning: Array, bounded: Array, one: Array, turns_once: Array) -> Array:
    """Whether cells are to be divided."""
    inside = (c[:, 3] > c[:, 0]) & jnp.all(jnp.abs(c[:, :4:3]) < FURTHEST, axis=1)
    return inside & jnp.where(bounded, ~one & (turning | ~turns_once), turning)


def _doubtful(c: Array, levels: bool) -> Array:
    s, value, slope = (c[:, k : k + 4 : 3] for k in range(3))  # at both ends
    width = s[:, 1] - s[:, 0]
    secant = (value[:, 1] - value[:, 0]) / jnp.where(width > 0, width, 1.0)
    steep = jnp.max(jnp.abs(slope), axis=1)
    off = jnp.abs(slope[:, 0] + slope[:, 1] - 2 * secant) > DOUBT * jnp.maximum(steep, jnp.abs(secant))
    if not levels:
        off &= jnp.min(jnp.abs(value), axis=1) <= 2 * width * steep
    return off & (width > 0)


def _beside(doubt: Array) -> Array:
    """The cells next to doubtful ones."""
    no = jnp.zeros(1, bool)
    return jnp.concatenate([no, doubt[:-1]]) | jnp.concatenate([doubt[1:], no])


def _chosen(c: Array, doubt: Array, chance: Array) -> tuple[Array, Array]:
    """The cells with what is left of their weight, and MOST_DOUBTFUL of the doubtful ones with what these take."""
    noise = (c[:, 3] - c[:, 0]) * jnp.exp(normal_density(0.5 * (c[:, 0] + c[:, 3]), 0.0, 1.0))  # about that in a cell
    place, present, more = some(doubt, c[:, WEIGHT] * noise, MOST_DOUBTFUL, chance)
    weight = jnp.where(present, c[place, WEIGHT] * more, 0.0)
    return c.at[place, WEIGHT].add(-weight), c[place].at[:, WEIGHT].set(weight)


def _divided(f: Along, c: Array) -> Array:
    """Each cell in PARTS."""
    inside = jnp.arange(1, PARTS, dtype=c.dtype) / PARTS
    s = c[:, :1] + (c[:, 3:4] - c[:, :1]) * inside
    value, slope = jax.vmap(lambda s: derivative(f, s))(s.ravel())
    within = jnp.stack([s, value.reshape(s.shape), slope.reshape(s.shape)], axis=-1)
    ends = jnp.concatenate([c[:, None, :3], within, c[:, None, 3:6]], axis=1)
    weight = jnp.broadcast_to(c[:, None, WEIGHT:], (*ends[:, 1:, :1].shape,))
    return jnp.concatenate([ends[:, :-1], ends[:, 1:], weight], axis=-1).reshape(-1, c.shape[-1])


def some(which: Array, size: Array, most: int, chance: ArrayLike) -> tuple[Array, Array, Array]:
    """At most `most` of the items in a mask: (their places, whether there is one, the inverse of how often one is
    expected), all (most,). All of them, in order, if there are not more; else by systematic sampling in proportion to
    `size`, for which `chance` is uniform on (0, 1).
    """
    slots, count = jnp.arange(most), jnp.sum(which)
    size = jnp.where(which, jnp.maximum(size, jnp.finfo(size.dtype).tiny), 0.0)
    upto = running_sum(size)
    drawn = jnp.searchsorted(upto, (slots + chance) / most * upto[-1], side="right", method="compare_all")
    drawn = jnp.minimum(drawn, which.size - 1)
    all_fit = count <= most
    place = jnp.where(all_fit, first(which, most), drawn)
    present = jnp.where(all_fit, slots < count, which[drawn])
    inverse = upto[-1] / (most * jnp.where(present, size[place], 1.0))
    return place, present, jnp.where(all_fit, 1.0, inverse)


def first(which: Array, most: int) -> Array:
    """The places of the first `most` items in a mask; some place where there are fewer."""
    place = jnp.searchsorted(running_sum(which.astype(jnp.int32)), jnp.arange(1, most + 1), method="compare_all")
    return jnp.minimum(place, which.size - 1)
