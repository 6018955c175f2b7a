# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The random streams of a run, all split off its seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


def make_streams(lanes: int) -> Callable[[Any, Any], Streams]:
    """``(seed, number) -> streams``, with raw keys. One function, as each operation of jax outside of a compiled
    function is compiled for itself."""

    def streams(seed: jax.Array, number: jax.Array) -> Streams:
        key = jax.random.key(seed)
        of = [jax.random.fold_in(key, k) for k in range(MEASURE + 1)]
        compare = [jnp.repeat(k[None], lanes, axis=0) for k in jax.random.split(of[COMPARE], COMPARED)]
        search, draws = jax.random.fold_in(of[SEARCH], number), lane_keys(of[DRAWS], number, lanes)
        keys = Streams(of[START], of[STEPS], of[MEASURE], tuple(compare), search, draws)
        return jax.tree.map(jax.random.key_data, keys)

    return streams


def typed(raw: Streams) -> Streams:
    """The streams of raw keys."""
    return jax.tree.map(jax.random.wrap_key_data, raw)


def any_keys(*shape: int) -> jax.Array:
    """Keys of a shape, for tracing."""
    raw = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    return jax.random.wrap_key_data(jax.device_put(np.zeros((*shape, *raw.shape), raw.dtype)))


def lane_keys(key: jax.Array, step: Any, lanes: int) -> jax.Array:
    """The keys of one step's, or one block's, lanes."""
    return threefry.split(threefry.fold_in(key, step), lanes)
