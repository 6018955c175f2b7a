# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Terms of loops as sums over ranges of iterations that are sorted by a number of the data, their key.

Guards that compare the key with bounds split the sorted iterations into ranges. In each range the term observes with
the same arguments, so what it adds is ``sum_k coefficient_k(args) * (sum of statistic_k over the range)``, with sums
from a table that the data alone decide (`tables`). A draw then costs one search for each bound, whatever the number of
iterations.

The sum S as a function of one latent z, with all else as drawn, jumps at the thresholds of the iterations. Its average
under the guide has two parts. Of the thresholds next to the guide's centre (`NEAR`) each has its probability, as in
``marginal.py``: that is all of S, where the guide is narrow. What S does beyond them is averaged over evenly spaced
places that start at a random one (systematic sampling; Cochran 1977, chapter 8), with

    grad E[S(z)] = E[S(z) * grad log q(z)]

for the parameters of z. That has the boundary terms of all iterations in it: it is the sum of all jumps, each times the
density of z there, summed by parts. It is unbiased, and of little variance, since S changes little from one place to
the next, where single jumps may be anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy import special
from jax.typing import ArrayLike, DTypeLike
from numpy.typing import NDArray

from ppl.runtime.control import Guard
from ppl.runtime.families import Family
from ppl.runtime.functions import real
from ppl.runtime.marginal import Latent, ndtr, weighted
from ppl.runtime.point import Point

KEY = "?"  # where the data have the tables: no name of a field
POINTS = 64  # quantiles at which the average along a latent is taken, of one latent for all draws together
POINTS_EACH = 16  # for each draw, where there are several latents or others move its distribution
WIDE = 2.0  # their spread, in standard deviations of the guide
BRANCHES = 16  # of a search
NEAR, NEAR_EACH = 128, 32  # thresholds that are given their probabilities
SPREAD = {4: 30.0, 8: 1e8}  # by the bytes of a number: how much more statistics may differ in all than side by side

Row = Callable[..., tuple[ArrayLike, ArrayLike, tuple[ArrayLike, ...], ArrayLike]]


class Table(NamedTuple):
    """Of a term: the `keys` of its iterations, sorted; the `sums` of each statistic over the first 0, 1, 2, ... of
    them, axis 1 the rounded sum and what rounding took from it; and the `centre` of the statistics."""

    keys: Array
    sums: Array
    centre: Array


def tables(rows: Mapping[str, tuple[Any, ...]], dtype: DTypeLike) -> dict[str, Table]:
    """The tables of those terms that are worth it, each given as (fewest, row, family, first index, iterations).

    ``row(i)`` is the key of an iteration, the observed value, those arguments that are data, and whether the data let
    it observe; of a term without a loop, given as (fewest, row, family), ``row()`` has the values of all elements. A
    term gets no table where there are fewer than `fewest` iterations, where a value lies outside of the support, or
    where neighbours in the order of the keys are so much more alike than all iterations together that sums over ranges
    would lose the digits that matter.
    """
    found = {name: _table(dtype, *given) for name, given in rows.items()}
    return {name: t for name, t in found.items() if t is not None}


def _table(
    dtype: DTypeLike, fewest: int, row: Row, family: Family, lo: ArrayLike = 0, extent: int | None = None
) -> Table | None:
    if extent is not None and extent < fewest:
        return None
    # As one function: each operation of jax outside of one is compiled for itself.
    rows = row if extent is None else lambda: jax.jit(jax.vmap(row))(np.asarray(lo) + np.arange(extent))
    key, value, known, there = rows()
    shape = np.shape(np.asarray(value))
    kept = np.broadcast_to(np.asarray(there, bool), shape)
    keys, x, *more = (np.broadcast_to(np.asarray(a), shape)[kept].astype(np.float64) for a in (key, value, *known))
    if x.size < fewest or not np.all(np.isfinite(keys)):
        return None
    kind = np.dtype(jnp.dtype(dtype))
    order = np.argsort(keys, kind="stable")
    keys, x, more = keys[order], x[order], [a[order] for a in more]
    centre = float(kind.type(family.centre(x, *more)))
    columns = np.stack(family.statistics(centre, x, *more), axis=1)
    if not np.all(np.isfinite(columns)) or not _even(columns[:, :-1], keys, SPREAD[kind.itemsize]):
        return None
    sums = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    high = sums.astype(kind)
    low = (sums - high.astype(np.float64)).astype(kind)
    return Table(*(jax.device_put(a) for a in (keys.astype(kind), np.stack([high, low], axis=1), kind.type(centre))))


def _even(columns: NDArray[np.float64], keys: NDArray[np.float64], most: float) -> bool:
    """Whether all columns differ in the whole no more than `most` times as much as between neighbours."""
    if keys[0] == keys[-1]:
        return True
    whole = np.var(columns, axis=0)
    beside = 0.5 * np.mean(np.diff(columns, axis=0) ** 2, axis=0)
    return bool(np.all(whole <= most * beside))


class Cut(NamedTuple):
    """A guard on the key: it holds where the key is `below` the bound, or else above it."""

    bound: ArrayLike
    below: bool


def below(bound: ArrayLike) -> Cut:
    return Cut(bound, True)


def above(bound: ArrayLike) -> Cut:
    return Cut(bound, False)


class Line(NamedTuple):
    """A latent along which a sum can be averaged: its draw, its distribution under the guide, and the number of the
    guard that it moves, None if these are several."""

    draw: Array
    latent: Latent
    cut: int | None


@dataclass(frozen=True)
class Sum:
    """A term, summed over the iterations of its loop.

    ``given(there, guard, ...)`` are the arguments of the distribution that are no data, and whether the term takes
    place, for given outcomes, which some iteration has if `there` holds. ``cuts(z, ...)`` are the guards, in order,
    where the latents of `lines` have the values z.
    """

    table: Table
    family: Family
    given: Callable[..., tuple[tuple[ArrayLike, ...], ArrayLike]]
    cuts: Callable[..., tuple[Cut, ...]]
    lines: tuple[Line, ...] = ()

    def value(self) -> Array:
        """At the draw; no gradient flows to what moves a bound."""
        ends = self.ends(*(line.draw for line in self.lines))
        return jnp.sum(self.coefficients(self.taken(ends)) * self.sums(ends))

    def expectation(self, at: Point) -> Array:
        """Averaged along each of the lines with the others as drawn, with the gradient of that average."""
        parts = [self.along(j, at) for j in range(len(self.lines))]
        taken = jnp.any(jnp.stack([t for t, _ in parts]), axis=0)
        return jnp.sum(self.coefficients(taken) * sum((x for _, x in parts[1:]), start=parts[0][1]))

    def along(self, j: int, at: Point) -> tuple[Array, Array]:
        """Averaged along line `j`: which patterns occur there, and this line's share in the average of the sums. All of
        the gradient in the parameters of its latent is with it."""
        assert at.offset is not None
        share = 1.0 / len(self.lines)
        _, latent, cut = self.lines[j]
        alone = len(self.lines) == 1 and latent.site not in at.given  # the same average for all draws
        on = at.conditional(latent.site, latent.index)
        number = NEAR if alone else NEAR_EACH
        if cut is not None and self.size <= number:  # the window has all thresholds, and nothing is beyond it
            here = tuple(x[-1] for x in self.ends_at(j, lax.stop_gradient(on.place(jnp.zeros(1, at.dtype)))))
            # That iterations count which are before the bound need not start from the centre.
            here = tuple(jnp.zeros_like(x) if i == cut else x for i, x in enumerate(here))
            near, window = self.near(j, cut, here, number, at.boundaries)
            ends = tuple(jnp.stack(window) if i == cut else jnp.stack((h, h)) for i, h in enumerate(here))
            return self.taken(ends), share * self.sums(here) + _moving(near, share)
        e, weight = spaced(at.offset, POINTS if alone else POINTS_EACH)
        u = lax.stop_gradient(on.place(jnp.append(e, 0.0)))
        ends = self.ends_at(j, u)
        here, there = tuple(x[-1] for x in ends), tuple(x[:-1] for x in ends)
        total, start = share * self.sums(here), here
        if cut is not None:
            near, window = self.near(j, cut, here, number, at.boundaries)
            total = total + _moving(near, share)
            start = tuple(jnp.clip(x, *window) if i == cut else x for i, x in enumerate(there))
            ends = tuple(jnp.append(x, jnp.stack(window if i == cut else (h, h)))
                         for i, (x, h) in enumerate(zip(ends, here, strict=True)))  # fmt: skip
        log_q = on.log_density(u[:-1])
        moving = log_q - lax.stop_gradient(log_q)
        moving = moving if at.boundaries is None else at.boundaries * moving
        far = jnp.tensordot(weight * (share + moving), self.difference(there, start), axes=(0, 1)) / e.size
        return self.taken(ends), total + far

    def near(
        self, j: int, cut: int, here: tuple[Array, ...], number: int, weight: ArrayLike | None
    ) -> tuple[Array, tuple[Array, Array]]:
        """How much the average of the sums differs from what is at the centre of line `j`, as far as thresholds in a
        window about it make the difference; and the ends of the window, in iterations."""
        latent, number = self.lines[j].latent, min(number, self.size)
        centre = latent.median()

        def bound(z: Array) -> Array:
            return jnp.asarray(self.cuts(*self.moved(j, z))[cut].bound, z.dtype)

        value, slope = lax.stop_gradient(jax.jvp(bound, (centre,), (jnp.ones_like(centre),)))
        first = jnp.clip(here[cut] - number // 2, 0, self.size - number)
        keys = lax.dynamic_slice_in_dim(self.table.keys, first, number)
        sums = lax.dynamic_slice_in_dim(self.table.sums, first, number + 1)
        own = jnp.sum(jnp.diff(sums, axis=0), axis=1)
        # An iteration is before the bound with the probability that the bound is beyond its key.
        d = weighted(latent.standard(centre + (keys - value) / jnp.where(slope == 0, 1.0, slope)), weight)
        beyond = jnp.where(slope > 0, -d, d)
        k = first + jnp.arange(number)
        side = jnp.where(k < here[cut], -1.0, 1.0)
        change = jnp.where(slope == 0, 0.0, side * ndtr(side * beyond))
        out: list[Array] = []
        for subset in patterns(len(here)):
            others = [k < x for i, (x, on) in enumerate(zip(here, subset, strict=True)) if on and i != cut]
            counted = jnp.where(jnp.all(jnp.stack(others), axis=0), change, 0.0) if others else change
            out.append(counted @ own if subset[cut] else jnp.zeros_like(own[0]))
        return jnp.stack(out), (first, first + number)

    def moved(self, j: int, z: Array) -> tuple[Array, ...]:
        """The latents, that of line `j` at `z`, all others as drawn."""
        return tuple(z if i == j else line.draw for i, line in enumerate(self.lines))

    def ends_at(self, j: int, u: Array) -> tuple[Array, ...]:
        """`ends` where the latent of line `j` is at each of `u`, unconstrained."""
        latent = self.lines[j].latent
        z = latent.transform.forward(u, *latent.bounds)
        return tuple(jnp.broadcast_to(x, u.shape) for x in self.ends(*self.moved(j, z)))

    # ------------------------------------------------------------------- ranges

    def ends(self, *z: ArrayLike) -> tuple[Array, ...]:
        """For each guard, how many iterations are before its bound: below it, or not above it."""
        keys = self.table.keys
        out: list[Array] = []
        for bound, below in self.cuts(*z):
            b = lax.stop_gradient(jnp.asarray(bound, keys.dtype))
            b = jnp.where(jnp.isnan(b), -jnp.inf if below else jnp.inf, b)  # such a guard does not hold
            out.append(count_below(keys, b, strictly=below))
        return tuple(out)

    @property
    def size(self) -> int:
        return self.table.keys.shape[0]

    def taken(self, ends: Sequence[Array]) -> Array:
        """For each pattern, whether an iteration has it, at one of the places where there are several."""
        out: list[Array] = []
        for pattern in patterns(len(ends)):
            first, last = jnp.zeros((), int), jnp.asarray(self.size)
            for end, before in zip(ends, pattern, strict=True):
                first, last = (first, jnp.minimum(last, end)) if before else (jnp.maximum(first, end), last)
            out.append(jnp.any(first < last))
        return jnp.stack(out)

    def counts(self, ends: Sequence[Array]) -> list[Array]:
        """For each subset of the bounds but the empty one, how many iterations are before all of them."""
        out: list[Array] = []
        for subset in patterns(len(ends))[1:]:
            first, *others = (end for end, on in zip(ends, subset, strict=True) if on)
            for end in others:
                first = jnp.minimum(first, end)
            out.append(first)
        return out

    # --------------------------------------------------------------------- sums

    def sums(self, ends: Sequence[Array]) -> Array:
        """The sums of all statistics over the iterations before all bounds of each subset; (subsets, statistics)."""
        return jnp.stack([jnp.sum(self.table.sums[n], axis=0) for n in (self.size, *self.counts(ends))])

    def difference(self, a: Sequence[Array], b: Sequence[Array]) -> Array:
        """That at bounds `a` without that at bounds `b`, of which `a` has several; (subsets, places, statistics).

        Of close numbers the difference first, so that their rounding cancels.
        """
        sums = self.table.sums
        out = [jnp.sum(sums[m] - sums[n], axis=-2) for m, n in zip(self.counts(a), self.counts(b), strict=True)]
        return jnp.stack([jnp.zeros_like(out[0]), *out])

    def coefficients(self, taken: Array) -> Array:
        """The factors of `sums` by subset: alternating sums of what iterations with each pattern are multiplied by."""
        cuts = self.cuts(*(line.draw for line in self.lines))
        subsets = patterns(len(cuts))
        by_pattern: dict[tuple[bool, ...], Array] = {}
        for k, pattern in enumerate(subsets):
            on = [jnp.asarray(before == cut.below) for before, cut in zip(pattern, cuts, strict=True)]
            args, mask = self.given(taken[k], *(Guard(x, x) for x in on))
            ok = taken[k] & jnp.asarray(mask)
            clean = (jnp.where(ok, real(a), s) for a, s in zip(args, self.family.safe, strict=True))
            own = self.family.coefficients(self.table.centre, *clean)
            row = jnp.stack(
                [*(jnp.asarray(c, self.table.sums.dtype) for c in own), jnp.ones((), self.table.sums.dtype)]
            )
            by_pattern[pattern] = jnp.where(ok, row, 0.0)
        out: list[Array] = []
        for subset in subsets:
            total = jnp.zeros_like(by_pattern[subset])
            for pattern in subsets:
                if all(s or not p for s, p in zip(subset, pattern, strict=True)):
                    odd = (sum(subset) - sum(pattern)) % 2
                    total = total - by_pattern[pattern] if odd else total + by_pattern[pattern]
            out.append(total)
        return jnp.stack(out)


def patterns(number: int) -> list[tuple[bool, ...]]:
    """All subsets of so many bounds: those that an iteration is before. The empty one is the first."""
    return list(itertools.product((False, True), repeat=number))


def count_below(keys: Array, bounds: Array, strictly: bool) -> Array:
    """How many of the sorted `keys` are below each of the bounds, or not above it.

    By comparison with `BRANCHES` keys at a time: fewer steps than in bisection, each of which is a pass over memory.
    """
    size = keys.shape[0]
    found = jnp.zeros(bounds.shape, int)
    step = 1
    while step * BRANCHES < size:
        step *= BRANCHES
    while step:
        last = found[..., None] + step * jnp.arange(1, BRANCHES + 1) - 1
        key = keys[jnp.minimum(last, size - 1)]
        passed = (key < bounds[..., None]) if strictly else (key <= bounds[..., None])
        found = found + step * jnp.sum(passed & (last < size), axis=-1)
        step //= BRANCHES
    return found


def _moving(x: Array, share: float) -> Array:
    """``share * x`` with the gradient of `x`."""
    return x - (1.0 - share) * lax.stop_gradient(x)


def spaced(offset: Array, number: int) -> tuple[Array, Array]:
    """Places on the real line and weights: a function's mean under the standard normal is that of its weighted values.

    They are evenly spaced quantiles of a normal distribution of standard deviation `WIDE` and their opposites, `number`
    in all; each alone has that distribution if `offset` is uniform. What is smooth and vanishes at both ends, as all
    weighted values do, is then summed nearly without error.
    """
    half = number // 2
    k = jnp.arange(half, dtype=offset.dtype)
    tail = jnp.where(k < half / 2, k + offset, (half - 1 - k) + (1.0 - offset)) / half
    e = WIDE * special.ndtri(tail)
    weight = WIDE * jnp.exp(-0.5 * (1.0 - WIDE**-2) * e * e)
    return jnp.concatenate([e, -e]), jnp.concatenate([weight, weight])


def has(data: Mapping[str, Any], term: str) -> bool:
    """Whether there is a table for a term."""
    return term in data.get(KEY, {})


def total(
    functions: Mapping[str, Callable[..., Sum]], terms: frozenset[str], at: Point, data: Mapping[str, Any],
    size: Mapping[str, int], main: Mapping[str, Any],
) -> Array:  # fmt: skip
    """The sum of the `terms` at the draw."""
    return jnp.asarray(sum((f(at, data, size, main).value() for t, f in functions.items() if t in terms), start=0.0))
