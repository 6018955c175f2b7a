# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Terms of long loops as sums over ranges of iterations that are sorted by a number of the data, their key.

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
from ppl.runtime.densities import normal
from ppl.runtime.families import Family
from ppl.runtime.functions import real
from ppl.runtime.marginal import Latent, weighted
from ppl.runtime.point import Point

KEY = "?"  # where the data have the tables: no name of a field
POINTS = 64  # quantiles at which the average along a latent is taken, of one latent for all draws together
POINTS_EACH = 16  # for each draw, where there are several latents
WIDE = 2.0  # their spread, in standard deviations of the guide
NEAR, NEAR_EACH = 128, 32  # thresholds that are given their probabilities
SPREAD = {4: 30.0, 8: 1e8}  # by the bytes of a number: how much more statistics may differ in all than side by side

Row = Callable[[Array], tuple[ArrayLike, ArrayLike, tuple[ArrayLike, ...], ArrayLike]]


class Table(NamedTuple):
    """Of a term: the `keys` of its iterations, sorted; the sums of each statistic over the first 0, 1, 2, ... of them,
    as `high` + `low` with `low` what rounding took from `high`; and the centre of the statistics."""

    keys: Array
    high: Array
    low: Array
    centre: Array


def tables(rows: Mapping[str, tuple[Row, Family, ArrayLike, int]], dtype: DTypeLike, fewest: int) -> dict[str, Table]:
    """The tables of terms, each given as (row, family, first index, number of iterations); those that are worth it.

    ``row(i)`` is the key of an iteration, the observed value, those arguments that are data, and whether the data let
    it observe. A term gets no table where that are fewer than `fewest` iterations, where a value lies outside of the
    support, or where neighbours in the order of the keys are so much more alike than all iterations together that sums
    over ranges would lose the digits that matter.
    """
    found = {name: _table(*given, dtype, fewest) for name, given in rows.items()}
    return {name: t for name, t in found.items() if t is not None}


def _table(row: Row, family: Family, lo: ArrayLike, extent: int, dtype: DTypeLike, fewest: int) -> Table | None:
    if extent < fewest:
        return None
    key, value, known, there = jax.vmap(row)(jnp.asarray(lo) + jnp.arange(extent))
    kept = np.asarray(there, bool)
    keys, x, *more = (np.asarray(a)[kept].astype(np.float64) for a in (key, value, *known))
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
    return Table(*(jnp.asarray(a) for a in (keys.astype(kind), high, low, kind.type(centre))))


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
        return self.combined(self.coefficients(self.taken(ends)), self.sums(self.subsets(ends)))

    def expectation(self, at: Point) -> Array:
        """Averaged along each of the lines with the others as drawn, with the gradient of that average."""
        parts = [self.along(j, at) for j in range(len(self.lines))]
        taken = jnp.any(jnp.stack([t for t, _ in parts]), axis=0)
        return self.combined(self.coefficients(taken), sum((x for _, x in parts[1:]), start=parts[0][1]))

    def along(self, j: int, at: Point) -> tuple[Array, Array]:
        """Averaged along line `j`: which patterns occur there, and this line's share in the average of the sums. All of
        the gradient in the parameters of its latent is with it."""
        assert at.offset is not None
        alone, share = len(self.lines) == 1, 1.0 / len(self.lines)
        latent = self.lines[j].latent
        loc, scale = at.loc[latent.site], at.scale[latent.site]
        e, weight = spaced(at.offset, POINTS if alone else POINTS_EACH)
        u = lax.stop_gradient(loc + scale * e)
        here = self.ends_at(j, lax.stop_gradient(loc))
        there = jax.vmap(lambda u: self.ends_at(j, u))(u)
        taken = self.taken(tuple(jnp.append(b, a) for a, b in zip(here, there, strict=True)))
        log_q = normal(u, loc, scale)
        middle, around = self.subsets(here), self.subsets(there)
        total = share * self.sums(middle)
        start = [jnp.broadcast_to(m, u.shape) for m in middle]
        if self.lines[j].cut is not None:
            near, first, last = self.near(j, here, min(NEAR if alone else NEAR_EACH, self.size), at.boundaries)
            total = total + _moving(near, share)
            cut = self.lines[j].cut
            held = tuple(jnp.clip(x, first, last) if i == cut else x for i, x in enumerate(there))
            start = self.subsets(held)
        moving = log_q - lax.stop_gradient(log_q)
        moving = moving if at.boundaries is None else at.boundaries * moving
        # Of close numbers the difference first, so that their rounding cancels.
        far = jnp.mean(self.difference(around, start) * (weight * (share + moving))[:, None], axis=1)
        return taken, total + far

    def near(
        self, j: int, here: tuple[Array, ...], number: int, weight: ArrayLike | None
    ) -> tuple[Array, Array, Array]:
        """How much the average of the sums differs from what is at the centre of line `j`, as far as thresholds in a
        window about it make the difference; and the ends of the window, in iterations."""
        latent, cut = self.lines[j].latent, self.lines[j].cut
        assert cut is not None
        centre = latent.transform.forward(lax.stop_gradient(latent.at.loc[latent.site]), *latent.bounds)

        def bound(z: Array) -> Array:
            return jnp.asarray(
                self.cuts(*(z if i == j else x.draw for i, x in enumerate(self.lines)))[cut].bound, z.dtype
            )

        value, slope = jax.jvp(bound, (centre,), (jnp.ones_like(centre),))
        value, slope = lax.stop_gradient((value, slope))
        first = jnp.clip(here[cut] - number // 2, 0, self.size - number)
        keys = lax.dynamic_slice_in_dim(self.table.keys, first, number)
        steep = jnp.where(slope == 0, 1.0, slope)
        d = weighted(latent.standard(centre + (keys - value) / steep), weight)
        # An iteration is before the bound with the probability that the bound is beyond its key.
        beyond = jnp.where(slope > 0, -d, d)
        k = first + jnp.arange(number)
        inside = k < here[cut]
        change = jnp.where(inside, -special.ndtr(-beyond), special.ndtr(beyond))
        change = jnp.where(slope == 0, 0.0, change)
        high, low = (lax.dynamic_slice_in_dim(x, first, number + 1) for x in (self.table.high, self.table.low))
        own = jnp.diff(high, axis=0) + jnp.diff(low, axis=0)
        out: list[Array] = []
        for pattern in self.patterns(len(here)):
            others = [x for i, (x, on) in enumerate(zip(here, pattern, strict=True)) if on and i != cut]
            counts = jnp.stack([k < x for x in others]).all(axis=0) if others else jnp.asarray(True)
            out.append(jnp.where(counts, change, 0.0) @ own if pattern[cut] else jnp.zeros(own.shape[1], own.dtype))
        return jnp.stack(out), first, first + number

    def ends_at(self, j: int, u: Array) -> tuple[Array, ...]:
        """`ends` where the latent of line `j` is at `u`, unconstrained, and all others are as drawn."""
        latent = self.lines[j].latent
        z = latent.transform.forward(u, *latent.bounds)
        return self.ends(*(z if i == j else line.draw for i, line in enumerate(self.lines)))

    # ------------------------------------------------------------------- ranges

    def ends(self, *z: ArrayLike) -> tuple[Array, ...]:
        """For each guard, how many iterations are before its bound: below it, or not above it."""
        keys = self.table.keys
        out: list[Array] = []
        for bound, below in self.cuts(*z):
            b = lax.stop_gradient(jnp.asarray(bound, keys.dtype))
            b = jnp.where(jnp.isnan(b), -jnp.inf if below else jnp.inf, b)  # such a guard does not hold
            out.append(jnp.searchsorted(keys, b, side="left" if below else "right", method="scan_unrolled"))
        return tuple(out)

    @property
    def size(self) -> int:
        return self.table.keys.shape[0]

    def patterns(self, number: int) -> list[tuple[bool, ...]]:
        """Of an iteration, which of so many bounds it is before."""
        return list(itertools.product((False, True), repeat=number))

    def taken(self, ends: Sequence[Array]) -> Array:
        """For each pattern, whether an iteration has it, at one of the places where there are several."""
        out: list[Array] = []
        for pattern in self.patterns(len(ends)):
            first = jnp.zeros((), int)
            last = jnp.asarray(self.size)
            for end, before in zip(ends, pattern, strict=True):
                first, last = (first, jnp.minimum(last, end)) if before else (jnp.maximum(first, end), last)
            out.append(jnp.any(first < last))
        return jnp.stack(out)

    def subsets(self, ends: Sequence[Array]) -> list[Array]:
        """For each subset of the bounds, how many iterations are before all of them."""
        out: list[Array] = []
        for pattern in self.patterns(len(ends)):
            inside = [end for end, on in zip(ends, pattern, strict=True) if on]
            whole = jnp.full(jnp.shape(ends[0]) if ends else (), self.size)
            for end in inside:
                whole = jnp.minimum(whole, end)
            out.append(whole)
        return out

    # --------------------------------------------------------------------- sums

    def sums(self, counts: Sequence[Array]) -> Array:
        """The sums of all statistics over the first iterations, as many as each of `counts`; (counts, statistics)."""
        return jnp.stack([self.table.high[n] + self.table.low[n] for n in counts])

    def difference(self, a: Sequence[Array], b: Sequence[Array]) -> Array:
        high, low = self.table.high, self.table.low
        return jnp.stack([(high[m] - high[n]) + (low[m] - low[n]) for m, n in zip(a, b, strict=True)])

    def coefficients(self, taken: Array) -> Array:
        """The factors of `sums` by subset: alternating sums of what iterations with each pattern are multiplied by."""
        cuts = self.cuts(*(line.draw for line in self.lines))
        patterns = self.patterns(len(cuts))
        by_pattern: dict[tuple[bool, ...], Array] = {}
        for k, pattern in enumerate(patterns):
            on = [jnp.asarray(before == cut.below) for before, cut in zip(pattern, cuts, strict=True)]
            args, mask = self.given(taken[k], *(Guard(x, x) for x in on))
            ok = taken[k] & jnp.asarray(mask)
            clean = (jnp.where(ok, real(a), s) for a, s in zip(args, self.family.safe, strict=True))
            own = self.family.coefficients(self.table.centre, *clean)
            row = jnp.stack(
                [*(jnp.asarray(c, self.table.high.dtype) for c in own), jnp.ones((), self.table.high.dtype)]
            )
            by_pattern[pattern] = jnp.where(ok, row, 0.0)
        out: list[Array] = []
        for subset in patterns:
            total = jnp.zeros_like(by_pattern[subset])
            for pattern in patterns:
                if all(s or not p for s, p in zip(subset, pattern, strict=True)):
                    odd = (sum(subset) - sum(pattern)) % 2
                    total = total - by_pattern[pattern] if odd else total + by_pattern[pattern]
            out.append(total)
        return jnp.stack(out)

    def combined(self, coefficients: Array, sums: Array) -> Array:
        return jnp.sum(coefficients * sums)


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
