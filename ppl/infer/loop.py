# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""The optimisation loop as one compiled function: Adam ascent on the ELBO in several lanes at once.

A *lane* is one vector of parameters with its own noise. Lanes are grouped in *teams*, whose members share a vector and
step by the mean of their gradients: while a run explores every lane is a team of its own, and once it has chosen an
optimum all lanes work on that one, with as many times less noise, in the same compiled program.

The function runs a *chunk* of steps whose number is an argument, so a fit compiles it once. A step is a pure function
of the state and of its own index (the key of step t is ``fold_in(key, t)``), so a run that is cut anywhere and
continued later takes exactly the steps an uninterrupted one takes.

Parameters are flat here, one row per lane: an optimiser that acts on each number alike needs no tree, and the program
that XLA compiles is several times smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ppl.infer.devices import Devices
from ppl.infer.layout import Layout, row_of
from ppl.infer.streams import lane_keys

Rows = jax.Array  # (lanes, parameters)
ElboAndGrad = Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]]

CHUNK = 100  # steps between two looks at the run, and the unit of the stop rule's statistics
BATCH = 10  # steps whose mean counts as one observation where the iterates' autocorrelation matters
# B2 is below the usual 0.999: gradients at a start drawn from the prior can be 1e10 times those near the optimum, and
# the running square has to forget them within hundreds of steps, not tens of thousands.
B1, B2, EPS = 0.9, 0.99, 1e-8
CLIP = 10.0  # a gradient entry counts at most this many times its own running root mean square


class Moments(NamedTuple):
    """Welford sums of a chunk, each (lanes, parameters): of its `seen` iterates, and of the means of its full batches.

    `m2` and `batch_m2` are summed squared deviations from the mean; `part` is the sum of the batch in progress.
    """

    seen: jax.Array
    mean: Rows
    m2: Rows
    part: Rows
    batch_mean: Rows
    batch_m2: Rows


class Failure(NamedTuple):
    """Where the first step that was not finite happened: its index (-1: nowhere), lane and parameters."""

    step: jax.Array
    lane: jax.Array
    row: jax.Array


class Adam(NamedTuple):
    """Of each lane its `steps`, (lanes,), and the running means of its gradients and of their squares (Kingma &
    Ba, "Adam: a method for stochastic optimization", ICLR 2015)."""

    steps: jax.Array
    mean: Rows
    square: Rows


class LoopState(NamedTuple):
    """Everything a step reads and writes; `skipped` counts the steps of each lane that were not finite."""

    rows: Rows
    adam: Adam
    moments: Moments
    skipped: jax.Array
    failure: Failure


def initial_state(rows: Any) -> LoopState:
    # By NumPy: each operation of jax outside of a compiled function is compiled for itself.
    zeros, none = _zeros(rows.shape, rows.dtype), _zeros((), np.int32)
    return LoopState(
        rows=rows,
        adam=Adam(_zeros(len(zeros), np.int32), zeros, zeros),
        moments=no_moments(rows),
        skipped=_zeros(len(zeros), np.int32),
        failure=Failure(none - np.int32(1), none, zeros[0]),
    )


def no_moments(rows: Any) -> Moments:
    zeros = _zeros(rows.shape, rows.dtype)
    return Moments(_zeros((), np.int32), zeros, zeros, zeros, zeros, zeros)


def _zeros(shape: Any, dtype: Any) -> Any:
    return np.zeros(shape, dtype)


class Stage(NamedTuple):
    """What stays the same for a stage of a run: the learning rate, the temperature of each lane, and teams (lanes,
    lanes), 1 where two lanes belong together. `boundaries` weights the part of a gradient that comes from boundaries;
    with `measuring` 1 the moments are those of the gradients instead of the iterates."""

    lr: Any
    temperature: Any
    teams: Any
    boundaries: Any
    measuring: Any


def make_chunk(
    fn: ElboAndGrad, layout: Layout, devices: Devices | None = None
) -> Callable[..., tuple[LoopState, jax.Array]]:
    """``chunk(state, key, first, steps, stage, unit) -> (state, elbo)``; `elbo` is (CHUNK, lanes), NaN past `steps`.

    `fn` maps params of one lane, a key and the weight of boundaries to an ELBO and its gradient. A step moves a
    parameter by at most about ``lr`` of the lengths that `layout.step_length` gives. With `devices` the function runs
    on all of them, each of which evaluates gradients of its own lanes.
    """

    def lane(row: jax.Array, key: jax.Array, boundaries: jax.Array) -> tuple[jax.Array, jax.Array]:
        elbo, grad = fn(layout.unflatten(row), key, boundaries)
        return elbo, row_of(grad)

    def gradients(rows: Rows, keys: jax.Array, boundaries: jax.Array) -> tuple[jax.Array, Rows]:
        over = jax.vmap(lane, (0, 0, None))
        if devices is None:
            return over(rows, keys, boundaries)
        return devices.joined(devices.averaged(over(devices.own(rows), devices.own(keys), boundaries)))

    def chunk(
        state: LoopState, key: jax.Array, first: jax.Array, steps: jax.Array, stage: Stage, unit: jax.Array
    ) -> tuple[LoopState, jax.Array]:
        lanes = state.rows.shape[0]
        dtype = state.rows.dtype

        def body(i: jax.Array, carry: tuple[LoopState, jax.Array]) -> tuple[LoopState, jax.Array]:
            state, trace = carry
            keys = lane_keys(key, first + i, lanes)
            elbo, grad = gradients(state.rows, keys, stage.boundaries)
            ok = jnp.isfinite(elbo) & jnp.all(jnp.isfinite(grad), axis=1)
            failure = _first_failure(state, ok, first + i)
            share = stage.teams * ok
            weight = share / jnp.maximum(jnp.sum(share, axis=1, keepdims=True), 1.0)
            grad = weight @ jnp.where(ok[:, None], grad, 0.0)
            grad = layout.heat(state.rows, grad, stage.temperature, unit)
            length = stage.lr * layout.step_length(state.rows, unit)
            rows, moved = _step(state, grad, jnp.sum(share, axis=1) > 0, length)
            seen = _seen(state.moments, jnp.where(stage.measuring > 0, grad, rows))
            state = LoopState(rows, moved, seen, state.skipped + ~ok, failure)
            return state, trace.at[i].set(elbo)

        return lax.fori_loop(0, steps, body, (state, jnp.full((CHUNK, lanes), jnp.nan, dtype)))

    return chunk


def _step(state: LoopState, grad: Rows, ok: jax.Array, length: Rows) -> tuple[Rows, Adam]:
    """One Adam step of every lane; where no lane of the team had a finite gradient nothing changes."""
    old, grad = state.adam, _clip(grad, state.adam)
    mean, square = (1.0 - B1) * grad + B1 * old.mean, (1.0 - B2) * grad**2 + B2 * old.square
    count = (old.steps + 1)[:, None].astype(grad.dtype)
    direction = mean / (1.0 - B1**count) / (jnp.sqrt(square / (1.0 - B2**count)) + EPS)
    keep = lambda new, old: jnp.where(ok[:, None], new, old)  # noqa: E731
    moved = Adam(old.steps + ok, keep(mean, old.mean), keep(square, old.square))
    return keep(state.rows + length * direction, state.rows), moved


def _clip(grad: Rows, adam: Adam) -> Rows:
    """Entries beyond CLIP running root mean squares are cut to that: a rare flip of a boundary with a jump of 1e6 must
    neither throw the iterate nor blind Adam to the steps after it. A lasting change of scale passes within steps."""
    count = adam.steps[:, None]
    seen = 1.0 - B2 ** count.astype(grad.dtype)
    limit = CLIP * jnp.sqrt(adam.square / jnp.maximum(seen, 1.0 - B2))
    limit = jnp.where((count > 0) & (limit > 0), limit, jnp.inf)  # an entry that never moved has no scale yet
    return jnp.clip(grad, -limit, limit)


def _seen(old: Moments, rows: Rows) -> Moments:
    """`old` with one more iterate."""
    seen = old.seen + 1
    mean = old.mean + (rows - old.mean) / seen
    m2 = old.m2 + (rows - old.mean) * (rows - mean)
    part, full = old.part + rows, seen % BATCH == 0
    batch = part / BATCH
    batch_mean = jnp.where(full, old.batch_mean + (batch - old.batch_mean) * BATCH / seen, old.batch_mean)
    batch_m2 = jnp.where(full, old.batch_m2 + (batch - old.batch_mean) * (batch - batch_mean), old.batch_m2)
    return Moments(seen, mean, m2, jnp.where(full, 0.0, part), batch_mean, batch_m2)


def _first_failure(state: LoopState, ok: jax.Array, step: jax.Array) -> Failure:
    old, lanes = state.failure, len(ok)
    lane = jnp.min(jnp.where(ok, lanes, lax.iota(jnp.int32, lanes)))  # the first that failed, or else `lanes`
    new = (old.step < 0) & (lane < lanes)
    return Failure(
        jnp.where(new, step, old.step), jnp.where(new, lane, old.lane), jnp.where(new, state.rows[lane], old.row)
    )
