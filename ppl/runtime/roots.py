# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Zeros of a guard along a line of standard normal noise, for guards that no formula solves.

All functions are for one line and are vmapped over draws and instances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime.densities import normal as normal_density
from ppl.runtime.lines import Along, Cells, Sample, delta, derivative, first, reach, some

MOST_TURNS = 16
STEPS = 40  # at most, in a cell
FAR = 200  # steps at most, through values that range over a hundred powers of ten


class Zero(NamedTuple):
    """A zero at which a function changes its sign: where, whether it is one, and how far `away` from it a derivative
    tells how it moves, on which `side` (-1 or 1; 0: on either).

    That is 0 but where the function has no slope at its zero, as ``(x - y)^3`` has none. By the implicit function
    theorem for ``sign(G) * abs(G)^(1/m)``, which has one, ``-(dG/dtheta) / (dG/ds)`` beside a zero of odd order m goes
    to the velocity of the zero, with an error that is odd in the distance to the first order. A function that is zero
    all along one side has a slope on the other: at the zero itself rounding decides which of them is seen.
    """

    s: Array
    ok: Array
    away: Array
    side: Array


class Roots(NamedTuple):
    """Candidate zeros (k,), as `Zero`, and the inverse of the probability that each was looked at."""

    s: Array
    ok: Array
    weight: Array
    away: Array
    side: Array


def holds(value: Array, level: bool) -> Array:
    """The side of a boundary: a guard holds above zero, and a floor has its level from there on."""
    return value >= 0 if level else value > 0


def monotone(f: Along, dtype: DTypeLike, level: bool = False) -> Roots:
    """The only zero of a monotone function."""
    edge = jnp.asarray(reach(dtype), dtype)
    found = refine(f, -edge, edge, 60, level)
    return Roots(found.s[None], found.ok[None], jnp.ones((1,), dtype), found.away[None], found.side[None])


def isolated(f: Along, at: Cells, most: int, chance: ArrayLike = 0.5, level: bool = False) -> Roots:
    """The zeros of a function, at most `most` of them; of more, a subset that is unbiased under its weights. With
    `level`, where it reaches zero on a region it has its boundary where that begins.

    `at` are cells in which the function is smooth. Those at both ends of which it has the same sign, and in which it
    turns towards zero and away again, are cut at the turning point of its cubic interpolant (in at most MOST_TURNS
    places). What is missed: a pair of zeros where the function turns more often than that. Where there are too many
    zeros, those near the middle of the noise are taken more often; for that `chance` is uniform on (0, 1).
    """
    a, b, weight = _cut(f, at)
    start, end = a.value, b.value
    change = (holds(start, level) != holds(end, level)) & ~(jnp.isnan(start) | jnp.isnan(end)) & (weight != 0)
    # The two sides of a place at which a piece begins: a zero only if the value goes on there.
    steep = jnp.maximum(jnp.abs(a.slope), jnp.abs(b.slope)) * (b.s - a.s)
    rounding = 32 * jnp.finfo(a.s.dtype).eps * (jnp.abs(start) + jnp.abs(end))
    goes_on = (jnp.abs(end - start) <= 4 * steep + rounding) & _along(end - start, a.slope, b.slope)
    change &= ~b.ends | goes_on | (jnp.abs(end - start) <= rounding)
    size = jnp.abs(weight) * jnp.exp(normal_density(0.5 * (a.s + b.s), 0.0, 1.0))
    place, present, more = some(change, size, most, chance)
    found = jax.vmap(lambda a, b: refine(f, a, b, STEPS, level))(a.s[place], b.s[place])
    ok = once(found._replace(ok=found.ok & present), a.s[place], b.s[place])  # a cell may have been taken twice
    times = jnp.where(present, weight[place] * more, 1.0)
    return Roots(jnp.where(present, found.s, 0.0), ok, times, found.away, found.side)


def once(found: Zero, start: Array, end: Array) -> Array:
    """Which of some zeros there are, each counted once: next to a flat one, or to one where a piece begins, rounding
    makes several changes of sign, in cells from `start` to `end` of which none is in another. What lies as near as the
    places that tell whether a zero is one is the change that these see."""
    s, ok, away, _ = found
    away = jnp.maximum(away, delta(s.dtype))
    apart = (end <= start[:, None]) | (start >= end[:, None])
    before = apart & ((s < s[:, None]) | ((s == s[:, None]) & (start < start[:, None])))
    close = jnp.abs(s - s[:, None]) < jnp.maximum(away, away[:, None])
    return ok & ~jnp.any(before & close & ok, axis=1)


def _cut(f: Along, at: Cells) -> Cells:
    """Cells of which those are cut in which the function turns before it reaches zero."""
    a, b, weight = at
    turns = ((a.value > 0) == (b.value > 0)) & (a.value * a.slope < 0) & (b.value * b.slope > 0)
    turns &= ~b.ends & (weight != 0)
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


RUNG, FURTHEST = 8.0, 0.07  # how distances from a zero grow, and the largest
ORDER = 64  # of zeros, at most


def refine(f: Along, a: ArrayLike, b: ArrayLike, steps: int, level: bool = False) -> Zero:
    """The zero between a and b, at which `f` has different signs: Newton's method, with bisection where that leaves.

    Whether it is one: `f` changes its sign there and is continuous (a jump of `f` is the boundary of the guard that
    makes it jump, and is not counted again).
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    va, vb = jax.vmap(f)(jnp.stack([a, b]))  # one copy of the function in compiled code, here and below
    differs = (holds(va, level) != holds(vb, level)) & ~(jnp.isnan(va) | jnp.isnan(vb))
    s, v, d = _closest(f, a, b, holds(va, level), differs, steps, level)
    rounding = 32 * jnp.finfo(s.dtype).eps * jnp.where(
        jnp.isfinite(va) & jnp.isfinite(vb), jnp.abs(va) + jnp.abs(vb), jnp.abs(v)
    )  # fmt: skip
    ok, away, side = _crosses(f, s, v, d, differs, rounding, level)
    return Zero(jnp.where(ok, s, 0.0), ok, jnp.where(ok, away, 0.0), jnp.where(ok, side, 0.0))


def _crosses(
    f: Along, s: Array, v: Array, d: Array, may: Array, rounding: Array, level: bool
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Whether `f`, with value `v` and derivative `d` at `s`, changes its sign there if it `may`, and how far `away` it
    has a slope, on which `side`.

    Two places beside `s` tell, if values and slopes there fit each other: at distance x a zero of order m has the value
    ``slope * x / m``. If not, what is seen is rounding, of coefficients that were multiplied out, say, and places
    further off are taken, where it is steeper.
    """
    gap = delta(s.dtype)
    rungs = 1 + int(math.log(FURTHEST / gap, RUNG))
    small = jnp.abs(v) <= 0.1 * gap * jnp.abs(d) + rounding

    def unsettled(state: tuple[Array, ...]) -> Array:
        k, settled = state[:2]
        return (k < rungs) & ~settled

    def further(state: tuple[Array, ...]) -> tuple[Array, ...]:
        k, _, ok, away, side, x, steep, touches = state
        beside, slopes = jax.vmap(lambda s: derivative(f, s))(jnp.stack([s - x, s + x]))
        rise = beside[1] - beside[0]
        crosses = (holds(beside[0], level) != holds(beside[1], level)) & _along(rise, slopes[0], slopes[1])
        expected = jnp.stack([-x, x]) * slopes
        fits = (jnp.abs(beside) <= 2 * jnp.abs(expected)) & (ORDER * jnp.abs(beside) >= jnp.abs(expected))
        flat = (beside == 0) & (slopes == 0)
        clear = jnp.all(fits & (beside * expected > 0) | flat)
        # A jump is small too against what is further off, but the slope there is the same.
        steepest = jnp.max(jnp.abs(slopes))
        clear &= (k == 0) | (steepest > 4 * steep)
        # Next to another bend the values need not fit the slopes.
        near = jnp.all(jnp.abs(beside) <= 2 * jnp.abs(expected) + rounding) & (d != 0) & small & (k == 0)
        sloping = 4 * x * jnp.abs(d) >= jnp.abs(rise)
        new = jnp.where(clear, crosses, ok | (crosses & near & sloping))
        settled = clear & (crosses | touches)  # that it only touches zero may be rounding once
        lean = flat[0].astype(s.dtype) - flat[1]
        side = jnp.where(clear | (k == 0), lean, side)
        away = jnp.where((clear & ~sloping) | ((lean != 0) & (clear | (k == 0))), x, away)
        return k + 1, settled, new, away, side, RUNG * x, jnp.where(k == 0, steepest, steep), clear

    no, none = jnp.zeros((), bool), jnp.zeros_like(s)
    start = (jnp.zeros((), int), ~may, no, none, none, jnp.full_like(s, gap), none, no)
    _, _, ok, away, side, *_ = lax.while_loop(unsettled, further, start)
    return ok, away, side


def _along(rise: Array, before: Array, after: Array) -> Array:
    """Whether a slope has the sign of a difference, as between two places next to each other one must; through a pole
    it has the other one on both sides."""
    return (rise * before > 0) | (rise * after > 0)


def _closest(
    f: Along, a: Array, b: Array, left: Array, there: Array, steps: int, level: bool = False
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Where `f` comes closest to zero in a search between a, at which it `holds` if `left`, and b, if there is a zero:
    the place, value and slope.

    The closest place, not the last: once the search has arrived, rounding sends it back to the middle every other step.
    """

    def unfinished(state: tuple[Any, ...]) -> Array:
        return (state[0] < steps) & ~state[1].done

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        k, at, *best = state
        v, d = derivative(f, at.s)
        flat = (v == 0) & (d == 0)  # zero on a region, which ends further on
        better = (jnp.abs(v) < jnp.abs(best[1])) & ~flat
        best = (jnp.where(better, new, old) for new, old in zip((at.s, v, d), best, strict=True))
        same = holds(v, level) == left
        a, b = jnp.where(same, at.s, at.a), jnp.where(same, at.b, at.s)
        return k + 1, _next(at, a, b, v, d), *best

    middle = 0.5 * (a + b)
    none = jnp.zeros_like(middle)
    at = _Search(a, b, middle, none, none, jnp.ones_like(middle), ~there)
    first = (jnp.zeros((), int), at, middle, jnp.full_like(middle, jnp.inf), none)
    return lax.while_loop(unfinished, step, first)[2:]


class _Search(NamedTuple):
    """A bracket, the place in it to look at next, the place before and Newton's step from there, the order that the
    zero seemed to have, and whether there is no more to find."""

    a: Array
    b: Array
    s: Array
    before: Array
    newton: Array
    order: Array
    done: Array


def _next(at: _Search, a: Array, b: Array, v: Array, d: Array) -> _Search:
    """Newton's next point, held inside [a, b]; the middle where it leaves that by far, stands still at an end, goes
    back to the one that it came from, or gets on by steps that are all alike, as far out on ``exp(5 * s)``.

    At a zero of order m Newton's steps are an m-th of the way. So once they get slowly shorter, m is taken from two of
    them (which is the secant method for ``f / f'``, whose zeros are simple).
    """
    s, eps = at.s, jnp.finfo(at.s.dtype).eps
    newton = v / jnp.where(d == 0, 1.0, d)
    change = newton - at.newton
    order = (s - at.before) / jnp.where(change == 0, 1.0, change)
    slow = (newton * at.newton > 0) & (jnp.abs(newton) > 0.4 * jnp.abs(at.newton))
    alike = slow & ((change == 0) | (order < 0) | (order > ORDER))
    order = jnp.where((slow | (at.order > 1)) & (change != 0) & (d != 0), jnp.clip(order, 1.0, ORDER), 1.0)
    order = jnp.where((s - order * newton > a) & (s - order * newton < b), order, 1.0)
    # A little short of it, to end where the function moves if it is zero on one side.
    short = 1 - jnp.sqrt(eps) / 8
    there = s - short * order * newton
    held = jnp.clip(there, a, b)
    good = (d != 0) & ~alike & (jnp.abs(there - held) <= 0.5 * (b - a))
    good &= (held == there) | ((held != s) & (held != at.before))
    hit = (v == 0) & (d != 0)
    new = jnp.where(hit, s, jnp.where(good, held, 0.5 * (a + b)))
    # Newton's last step was so short that this is the zero but for rounding.
    close = (at.order == 1) & (order == 1) & (jnp.abs(s - at.before) <= jnp.sqrt(eps) / 100) & good
    close &= jnp.abs(new - s) <= jnp.abs(s - at.before)
    done = hit | close | (b - a <= 2 * eps * jnp.abs(s))
    return _Search(a, b, new, s, newton, order, done)


def turns(coefficients: Sequence[ArrayLike], lo: Array, hi: Array) -> tuple[Array, Array]:
    """Where in (lo, hi) the polynomial ``sum_k coefficients[k] * x^k`` turns: in order, and whether there is a place;
    both (degree - 1,).

    Between neighbouring zeros of the derivative, and the ends of the range, a polynomial is monotone: so the zeros of
    each derivative bracket those of the one before.
    """
    derivatives = [_derived([jnp.asarray(c, lo.dtype) for c in coefficients])]
    while len(derivatives[-1]) > 2:
        derivatives.append(_derived(derivatives[-1]))
    points, ok = jnp.stack([lo, hi]), jnp.zeros((0,), bool)
    for c in reversed(derivatives):
        if len(c) == 2:
            places, ok = (x[None] for x in _of_line(c[0], c[1], lo, hi))
        elif len(c) > 2:
            places, ok = jax.vmap(lambda a, b, c=c: _bisect(c, a, b))(points[:-1], points[1:])
        else:
            continue
        points = jnp.concatenate([lo[None], places, hi[None]])
    return points[1:-1], ok


def _derived(c: list[Array]) -> list[Array]:
    return [k * x for k, x in enumerate(c)][1:]


def _of_line(rest: Array, slope: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    steep = slope != 0
    place = -rest / jnp.where(steep, slope, 1.0)
    ok = steep & (place > lo) & (place < hi)
    return jnp.where(ok, place, lo), ok


def _bisect(c: list[Array], a: Array, b: Array) -> tuple[Array, Array]:
    """The zero of a monotone piece; its upper end, and false, if it has none."""

    def value(x: Array) -> Array:
        total = c[-1]
        for k in reversed(c[:-1]):
            total = total * x + k
        return total

    start, end = value(a) > 0, value(b) > 0
    found = start != end
    s, _, _ = _closest(value, a, b, start, found, FAR)
    return jnp.where(found, s, b), found


def between(f: Along, places: Array, steps: int, level: bool = False) -> Roots:
    """The zeros of a function that is monotone between neighbouring `places`."""
    found = jax.vmap(lambda a, b: refine(f, a, b, steps, level))(places[:-1], places[1:])
    return Roots(found.s, once(found, places[:-1], places[1:]), jnp.ones_like(found.s), found.away, found.side)
