# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""One run of the optimiser from its first step to its last, as a value that can be saved between any two steps.

How many steps are asked for decides only where a run ends, never which steps it takes: 500 steps are the first half
of 1000 with the same settings. Stages, learning rates and averages depend on the steps taken so far alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.infer import stopping
from ppl.infer.loop import CHUNK, LoopState, new_chunk
from ppl.infer.stopping import Chunk, Floats, Verdict

Params = Any


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is carried out with: compiled functions and the layout of params.

    `chunk` is :func:`ppl.infer.loop.make_chunk` compiled, `draw` makes a fixed number of posterior draws. `log_weights`
    maps one start's params to the log weights of draws that always use the same noise, so that two sets of params can
    be compared draw by draw.
    """

    chunk: Callable[..., tuple[LoopState, jax.Array]]
    draw: Callable[[Params, jax.Array], Any]
    log_weights: Callable[[Params], Floats]
    key: jax.Array
    like: Params  # one start's params
    unit: Params  # of the same structure: prior standard deviations, see ppl.infer.start

    def unflatten(self, row: Floats) -> Params:
        """One start's params from a flat vector of them."""
        leaves, structure = jax.tree.flatten(self.like)
        ends = np.cumsum([leaf.size for leaf in leaves])
        parts = np.split(row, ends[:-1])
        new = [jnp.asarray(p.reshape(leaf.shape), leaf.dtype) for p, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, new)

    def scales(self, rows: Floats) -> Floats:
        """The length that matters in each parameter of `rows` (starts, parameters): see `Chunk.scale`."""
        return np.stack([self._scales(self.unflatten(row)) for row in rows])

    def _scales(self, params: Params) -> Floats:
        log_scale = params.get("log_scale", {})
        lengths = {part: jax.tree.map(np.ones_like, sites) for part, sites in params.items()}
        for name, unit in self.unit["loc"].items():
            lengths["loc"][name] = np.exp(log_scale[name]) if name in log_scale else unit
        return flatten(jax.tree.map(lambda x: np.asarray(x)[None], lengths))[0]

    def evaluate(self, rows: Floats) -> Floats:
        """Log weights (starts, draws) of flat params (starts, parameters)."""
        return np.stack([self.log_weights(self.unflatten(row)) for row in rows])


def flatten(params: Params) -> Floats:
    """(starts, parameters) from params whose leaves have a leading axis of starts."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


@dataclass(frozen=True, slots=True)
class Run:
    """The state of a run after `step` steps.

    `trace` is (step, starts); `stage` holds the full chunks at the present learning rate; `averaged` is the average
    iterate of the last settled stage (starts, parameters), `gain` what that stage brought in nats.
    """

    loop: LoopState
    lr: float
    step: int = 0
    stages: int = 0
    trace: tuple[Floats, ...] = ()
    stage: tuple[Chunk, ...] = ()
    averaged: Floats | None = None
    gain: float = float("nan")
    rhat: float = float("nan")
    converged_at: int | None = None

    def last_rows(self, count: int) -> Floats:
        """The trace of the last `count` steps."""
        rows = self.trace[-1:]
        while sum(len(r) for r in rows) < count:
            rows = self.trace[-len(rows) - 1 :]
        return np.concatenate(rows)[-count:]

    def tail(self, machine: Machine) -> list[Chunk]:
        """The chunks an average is taken over now: the stage's window, with the chunk in progress if there is one."""
        chunks = list(self.stage)
        if self.step % CHUNK:
            chunks.append(_open_chunk(self, machine))
        return stopping.window(chunks)


def advance(run: Run, machine: Machine, limit: int) -> Run:
    """Steps to the end of the present chunk, or to `limit` if that comes first."""
    todo = min(CHUNK - run.step % CHUNK, limit - run.step)
    loop, elbo = machine.chunk(run.loop, machine.key, *loop_arguments(run, todo))
    run = replace(run, loop=loop, step=run.step + todo, trace=(*run.trace, np.asarray(elbo)[:todo]))
    return run if run.step % CHUNK else _close_chunk(run, machine)


def loop_arguments(run: Run, todo: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """First step, number of steps and learning rate, typed so that every call fits the one compiled program."""
    dtype = jax.tree.leaves(run.loop.params)[0].dtype
    return jnp.asarray(run.step, jnp.int32), jnp.asarray(todo, jnp.int32), jnp.asarray(run.lr, dtype)


def _open_chunk(run: Run, machine: Machine) -> Chunk:
    mean = flatten(run.loop.mean)
    return Chunk(run.last_rows(int(run.loop.seen)), mean, flatten(run.loop.m2), machine.scales(mean))


def _close_chunk(run: Run, machine: Machine) -> Run:
    run = replace(run, stage=(*run.stage, _open_chunk(run, machine)), loop=new_chunk(run.loop))
    verdict = stopping.judge(list(run.stage))
    run = replace(run, rhat=verdict.rhat) if np.isfinite(verdict.rhat) else run
    return _end_stage(run, verdict, machine) if verdict.settled and run.stages < stopping.STAGES else run


def _end_stage(run: Run, verdict: Verdict, machine: Machine) -> Run:
    """Averages the settled stage, says whether it was any better than the one before, and lowers the learning rate."""
    averaged = stopping.average(stopping.window(list(run.stage)))
    gain, converged = float("nan"), False
    if run.averaged is not None:
        gain, gain_se = _gain(machine.evaluate(run.averaged), machine.evaluate(averaged))
        converged = gain < max(stopping.TOLERANCE, 2 * gain_se) and verdict.rhat < stopping.RHAT_SETTLED
    return replace(
        run,
        averaged=averaged,
        gain=gain,
        stages=run.stages + 1,
        lr=run.lr * stopping.DECAY,
        stage=(),
        converged_at=run.converged_at or (run.step if converged else None),
    )


def _gain(before: Floats, after: Floats) -> tuple[float, float]:
    """Best ELBO after minus best before and its standard error; the draws are paired."""
    with np.errstate(invalid="ignore"):  # -inf minus -inf: not a gain that means convergence
        difference = after[best_row(after)] - before[best_row(before)]
        return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(difference.size))


def best_row(log_weights: Floats) -> int:
    """The row of (rows, draws) with the highest mean; rows that are not finite come last."""
    mean = log_weights.mean(axis=1)
    return int(np.argmax(np.where(np.isfinite(mean), mean, -np.inf)))
