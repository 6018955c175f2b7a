# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The random streams of a run, all split off its seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from ppl.runtime import threefry

START, STEPS, COMPARE, DRAWS, SEARCH, MEASURE = range(6)  # what is folded into the seed's key
COMPARED = 4  # blocks of draws behind a comparison of ELBOs


class Streams(NamedTuple):
    """Keys: of the starts, the steps and the measurement of the boundary part; for each lane the one key of each block
    of draws that ELBOs are compared on. Of what goes on, with a number: of the starts of one search among optima, and
    for each lane of one block of the posterior's draws."""

    start: jax.Array
    steps: jax.Array
    measure: jax.Array
    compare: tuple[jax.Array, ...]  # (lanes,) each
    search: jax.Array
    draws: jax.Array  # (lanes,)


class Source(NamedTuple):
    """How keys are made: of a seed, of a key with a number, and several of a key."""

    key: Callable[[Any], Any]
    fold_in: Callable[[Any, Any], Any]
    split: Callable[[Any, int], Any]


ON_HOST = Source(threefry.seeded, threefry.folded, threefry.parted)
BY_JAX = Source(jax.random.key, threefry.fold_in, threefry.split)


def streams_of(seed: int, lanes: int, number: int) -> Streams:
    """The streams of a run with so many lanes, those that go on at their `number`.

    Without a compiled function where NumPy can make jax's keys.
    """
    if threefry.is_default():
        raw = _streams(ON_HOST, seed, lanes, number)
    else:
        raw = _traced(np.uint32(seed), lanes, np.uint32(number))
    raw = raw._replace(compare=tuple(np.repeat(np.asarray(k)[None], lanes, axis=0) for k in raw.compare))
    return jax.tree.map(jax.random.wrap_key_data, raw)


@partial(jax.jit, static_argnames="lanes")  # each operation outside of a compiled function is compiled for itself
def _traced(seed: Any, lanes: int, number: Any) -> Streams:
    return jax.tree.map(jax.random.key_data, _streams(BY_JAX, seed, lanes, number))


def _streams(source: Source, seed: Any, lanes: int, number: Any) -> Streams:
    """The streams, with one key of each block of `compare`."""
    key = source.key(seed)
    of = [source.fold_in(key, k) for k in range(MEASURE + 1)]
    compare = tuple(source.split(of[COMPARE], COMPARED))
    search, draws = source.fold_in(of[SEARCH], number), source.split(source.fold_in(of[DRAWS], number), lanes)
    return Streams(of[START], of[STEPS], of[MEASURE], compare, search, draws)


def any_keys(*shape: int) -> jax.Array:
    """Keys of a shape, for tracing."""
    raw = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    return jax.random.wrap_key_data(jax.device_put(np.zeros((*shape, *raw.shape), raw.dtype)))


def lane_keys(key: jax.Array, step: Any, lanes: int) -> jax.Array:
    """The keys of one step's, or one block's, lanes."""
    return threefry.split(threefry.fold_in(key, step), lanes)
