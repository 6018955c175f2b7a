# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Observations put together from the statements that make them: replicated data and pointwise log likelihoods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ppl.runtime import samplers
from ppl.runtime.densities import Density
from ppl.runtime.records import Observation


class Observed(NamedTuple):
    """What one path observes under one name, in the shape of the data field: one entry per element.

    `value`: what was observed. `replicate`: a draw from the distribution of the statement, on this path and with its
    arguments there; NaN where nothing is observed, or where the distribution is not defined; None if no draw was asked
    for, or one of the distributions has no sampler. `log_likelihood`: the log density of what was observed, the sum if
    it is observed several times and 0 where it is not; for vectors that are observed as one, one entry each. `times`:
    how often it is observed.
    """

    value: Array
    replicate: Array | None
    log_likelihood: Array
    times: Array


def observed(
    out: Mapping[str, Any], terms: Sequence[str], shape: tuple[int, ...], key: Array | None, dtype: DTypeLike
) -> Observed:
    """The observations of one field of this shape, by the terms that make them. Without a key nothing is drawn."""
    if not all(samplers.can_sample(out[t].density) for t in terms):
        key = None
    parts = [_one(out[t], shape, None if key is None else jax.random.fold_in(key, k), dtype)
             for k, t in enumerate(terms)]  # fmt: skip
    # Where one statement observes vectors and another their elements, an entry is of a vector.
    entry = min(p.log_likelihood.ndim for p in parts)
    value, replicate, log_likelihood, times = parts[0]
    log_likelihood = _totals(log_likelihood, entry)
    for p in parts[1:]:
        value = jnp.where(p.times > 0, p.value, value)
        if replicate is not None and p.replicate is not None:
            replicate = jnp.where(p.times > 0, p.replicate, replicate)
        log_likelihood, times = log_likelihood + _totals(p.log_likelihood, entry), times + p.times
    return Observed(value, replicate, log_likelihood, times)


def _totals(x: Array, ndim: int) -> Array:
    """The sums over all axes but the first ones."""
    return jnp.sum(x, axis=tuple(range(ndim, x.ndim)))


def _one(o: Observation, shape: tuple[int, ...], key: Array | None, dtype: DTypeLike) -> Observed:
    value = jnp.asarray(o.value, dtype)
    drawn = None if key is None else _replicate(o, key, dtype)
    loops = o.exists.ndim
    if o.places is None:  # computed from data: one entry per iteration of the loops around it
        made = _wide(o.exists, value.ndim)
        times = jnp.broadcast_to(made, value.shape).astype(int)
        blank = jnp.full(value.shape, jnp.nan, dtype)
        return Observed(
            jnp.where(made, value, blank), None if drawn is None else jnp.where(made, drawn, blank),
            jnp.asarray(o.log_density, dtype), times,
        )  # fmt: skip
    if not o.places:  # the whole field; inside loops, once per iteration
        return _whole(o, value, drawn, loops, dtype)
    axes = o.places[0].ndim
    made = jnp.broadcast_to(_wide(o.exists, axes), o.places[0].shape)
    # What is not observed goes to an index past the end, which `drop` ignores.
    where = tuple(jnp.where(made, i, n) for i, n in zip(o.places, shape, strict=False))
    known = shape[: len(where)]

    def put(x: Array) -> Array:
        return jnp.full((*known, *x.shape[axes:]), jnp.nan, dtype).at[where].set(x, mode="drop")

    log_density = jnp.asarray(o.log_density, dtype)
    total = jnp.zeros((*known, *log_density.shape[axes:]), dtype).at[where].add(log_density, mode="drop")
    count = jnp.zeros((*known, *value.shape[axes:]), int).at[where].add(1, mode="drop")
    return Observed(put(value), None if drawn is None else put(drawn), total, count)


def _whole(o: Observation, value: Array, drawn: Array | None, loops: int, dtype: DTypeLike) -> Observed:
    axes = tuple(range(loops))
    made = _wide(o.exists, value.ndim)
    times = jnp.sum(jnp.broadcast_to(made, value.shape), axis=axes).astype(int)

    def only(x: Array) -> Array:
        """The value that was made; that of the last iteration, if several made one."""
        kept = jnp.where(made, x, jnp.nan).reshape(-1, *x.shape[loops:])
        last = jnp.max(jnp.where(o.exists.reshape(-1), jnp.arange(kept.shape[0]), 0)) if kept.shape[0] else 0
        return kept[last] if kept.shape[0] else jnp.full(x.shape[loops:], jnp.nan, dtype)

    total = jnp.sum(jnp.asarray(o.log_density, dtype), axis=axes)
    return Observed(only(value), None if drawn is None else only(drawn), total, times)


def _replicate(o: Observation, key: Array, dtype: DTypeLike) -> Array:
    """A draw in the place of each observed value; NaN where the arguments allow none, or it is too large for an int."""
    if not isinstance(o.density, Density):
        drawn = samplers.draw(o.density, key, o.args, o.value.shape, dtype)
        return jnp.where(_wide(jnp.isnan(o.log_density), o.value.ndim), jnp.nan, drawn)
    events = [1 if isinstance(s, tuple) else 0 for s in o.density.safe[1:]]
    # Samplers that reject proposals may never accept one where an argument is infinite: they are given others.
    fine = ~jnp.isnan(_wide(o.log_density, o.value.ndim))
    for a, n in zip(o.args, events, strict=True):
        fine &= jnp.all(jnp.isfinite(a), axis=tuple(range(a.ndim - n, a.ndim)))
    args: list[Array] = []
    for a, n, safe in zip(o.args, events, o.density.safe[1:], strict=True):
        stand_in = 1.0 / a.shape[-1] if isinstance(safe, tuple) else safe
        args.append(jnp.where(_wide(fine, fine.ndim + n), a, stand_in))
    drawn = samplers.draw(o.density, key, args, o.value.shape, dtype)
    if jnp.issubdtype(drawn.dtype, jnp.integer):
        fine &= (drawn >= 0) & (drawn < jnp.iinfo(drawn.dtype).max)
    return jnp.where(fine, jnp.asarray(drawn, dtype), jnp.nan)


def _wide(x: Array, ndim: int) -> Array:
    """`x` with axes of length 1 behind its own."""
    return jnp.reshape(x, (*jnp.shape(x), *[1] * (ndim - jnp.ndim(x))))
