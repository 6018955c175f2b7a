# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Random subsets of the instances of a guard that stand for all of them.

Every instance i has a boundary term g_i and a size s_i >= 0, both functions of the draw, with s_i > 0 wherever g_i may
differ from zero. Instance i is taken with a probability p_i that follows from the sizes, p_i > 0 where s_i > 0, and
counts 1/p_i times. Given the draw, the only thing random is where systematic sampling starts, so

    E[ sum over i taken of g_i / p_i | draw ] = sum over i with s_i > 0 of g_i = sum_i g_i

whatever the sizes are, and whether or not instances are taken independently of each other (Horvitz & Thompson 1952).
The variance is small where p_i is about proportional to the length of g_i, and where neighbours are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime import threefry
from ppl.runtime.running import running_sum

FLOOR = 0.2  # the part of the probability that is spread evenly: no weight is larger than count / (FLOOR * most)
ROUNDS = 12  # in which what is above certainty is handed to the rest; where they are not enough, fewer are taken
FINEST = 2**22
GOLDEN = 0.6180339887498949
CHANCE = "?"  # where the noise of a draw has its start; no site's name
FEW_ADDED = 32  # instances, whose probabilities are summed as a table of all pairs
FEW = 256  # comparisons, up to which each place is compared with all instances


@dataclass(frozen=True)
class Subset:
    """How many instances of a family are evaluated at most, None for all, and a number uniform on (0, 1)."""

    most: int | None
    chance: Array


def choose(size: Array, most: int, chance: ArrayLike) -> tuple[Array, Array]:
    """(places, weights), (most,) each: which instances are taken and how many times each counts, 0 for a place unused.

    All with a size other than zero, once each, if there are no more than `most` of them. Else instance i has the
    probability ``p_i = min(1, c * r_i)`` with ``r_i`` its share in the sizes, mixed with an equal share for all, and c
    such that the sum is at most `most`. Systematic sampling takes i if one of the numbers ``chance + 0, 1, 2, ...``
    falls into ``[p_0 + ... + p_{i-1}, p_0 + ... + p_i)``, which has the length p_i <= 1: that is so with probability
    p_i, never twice. Probabilities are whole multiples of 1/unit, so that their sums are exact in any precision. (Where
    that is too coarse for the least of them, with a million instances for each taken, a few more are taken.) A size
    that is not finite makes all weights NaN.
    """
    count, dtype = size.shape[0], size.dtype
    most = max(most, math.ceil(count / (FLOOR * FINEST)))
    unit = min(FINEST, 2 ** (30 - most.bit_length()))
    chosen = size > 0
    number = jnp.sum(chosen)
    share = (1 - FLOOR) * size / _positive(jnp.sum(size)) + FLOOR * chosen / jnp.maximum(number, 1).astype(dtype)
    room = jnp.asarray(most * (1 - 1e-4), dtype)  # so that no rounding makes the sum exceed `most`

    def raise_rest(_: int, scale: Array) -> Array:
        sure = scale * share >= 1
        rest = jnp.sum(jnp.where(sure, 0.0, share))
        # With fewer than that sure the sum of min(1, scale * share) stays within `room`, so `scale` never falls.
        return jnp.where(rest > 0, jnp.maximum((room - jnp.sum(sure)) / _positive(rest), scale), scale)

    scale = lax.fori_loop(0, ROUNDS, raise_rest, room)
    parts = jnp.clip(scale * share * unit, 1, unit).astype(jnp.int32)
    parts = jnp.where(number <= most, unit, parts)
    upto = _totals(jnp.where(chosen, parts, 0))
    start = jnp.minimum(jnp.floor(jnp.asarray(chance) * unit).astype(jnp.int32), unit - 1)
    slots = start + unit * jnp.arange(most, dtype=jnp.int32)
    used = slots < upto[-1]
    method = "compare_all" if count * most <= FEW else "scan"
    place = jnp.minimum(jnp.searchsorted(upto, slots, side="right", method=method), count - 1)
    place = jnp.where(used, place, place[0])
    weight = jnp.where(used, unit / parts[place].astype(dtype), 0.0)
    return place, lax.stop_gradient(weight + 0 * jnp.sum(size))


def chances(key: Array, n: int, dtype: DTypeLike) -> Array:
    """Where the systematic sampling of `n` draws starts: each uniform on (0, 1), and all of them evenly spaced, so that
    together they take every instance about as often as they should."""
    return _round(threefry.uniform(key, dtype) + jnp.arange(n, dtype=dtype) / n)


def shifted(chance: ArrayLike, stream: int) -> Array:
    """`chance`, moved round the circle, so that not all choices start at the same place."""
    return _round(jnp.asarray(chance) + stream * GOLDEN % 1.0)


def mixed(chance: ArrayLike, stream: int) -> Array:
    """A number in (0, 1) from one, for choices that must not depend on each other: one for each stream."""
    chance = jnp.asarray(chance)
    bits = (chance * 2.0**24).astype(jnp.uint32) + jnp.uint32(stream * 0x9E3779B1 % 2**32)
    for factor in (0x7FEB352D, 0x846CA68B):  # an integer hash: every bit depends on all others
        bits = (bits ^ (bits >> 16)) * jnp.uint32(factor)
    bits ^= bits >> 16
    return ((bits >> 8).astype(chance.dtype) + 0.5) * 2.0**-24


def _round(x: Array) -> Array:
    """A place from 0 to below 2, on a circle of length 1."""
    return jnp.where(x >= 1, x - 1, x)


def _totals(parts: Array) -> Array:
    """The running sum of (n,). A few are added up at once, as each step of `running_sum` is an operation of its own."""
    count = parts.shape[0]
    if count > FEW_ADDED:
        return running_sum(parts)
    upto = np.tri(count, dtype=bool)
    return jnp.sum(jnp.where(upto, parts, 0), axis=1)


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x, 1.0)
