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
from ppl.infer.generations import GENERATIONS, WORTH, next_generation
from ppl.infer.layout import Layout, flatten
from ppl.infer.loop import CHUNK, LoopState, initial_state, new_chunk
from ppl.infer.stopping import Chunk, Floats, Verdict

Params = Any


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is carried out with: compiled functions, the layout of params, the random streams.

    `chunk` is :func:`ppl.infer.loop.make_chunk` compiled, `draw` makes a fixed number of posterior draws. `log_weights`
    maps one start's params to the log weights of draws that always use the same noise, so that two sets of params can
    be compared draw by draw.
    """

    chunk: Callable[..., tuple[LoopState, jax.Array]]
    draw: Callable[[Params, jax.Array], Any]
    log_weights: Callable[[Params], Floats]
    layout: Layout
    steps_key: jax.Array
    starts_key: jax.Array

    def evaluate(self, rows: Floats) -> Floats:
        """Log weights (starts, draws) of flat params (starts, parameters)."""
        return np.stack([self.log_weights(self.layout.unflatten(row)) for row in rows])


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
    exploring: bool = True  # whether starts may still be replaced, see ppl.infer.generations
    generation: int = 0
    champion: float = float("-inf")  # best ELBO of the generations so far

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
    loop, elbo = machine.chunk(run.loop, machine.steps_key, *loop_arguments(run, todo))
    run = replace(run, loop=loop, step=run.step + todo, trace=(*run.trace, np.asarray(elbo)[:todo]))
    return run if run.step % CHUNK else _close_chunk(run, machine)


def loop_arguments(run: Run, todo: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """First step, number of steps and learning rate, typed so that every call fits the one compiled program."""
    dtype = jax.tree.leaves(run.loop.params)[0].dtype
    return jnp.asarray(run.step, jnp.int32), jnp.asarray(todo, jnp.int32), jnp.asarray(run.lr, dtype)


def _open_chunk(run: Run, machine: Machine) -> Chunk:
    mean = flatten(run.loop.mean)
    return Chunk(run.last_rows(int(run.loop.seen)), mean, flatten(run.loop.m2), machine.layout.scales(mean))


def _close_chunk(run: Run, machine: Machine) -> Run:
    run = replace(run, stage=(*run.stage, _open_chunk(run, machine)), loop=new_chunk(run.loop))
    verdict = stopping.judge(list(run.stage))
    run = replace(run, rhat=verdict.rhat) if np.isfinite(verdict.rhat) else run
    return _end_stage(run, verdict, machine) if verdict.settled and run.stages < stopping.STAGES else run


def _end_stage(run: Run, verdict: Verdict, machine: Machine) -> Run:
    """Averages the settled stage; then another generation of starts, or a lower learning rate.

    A stage at a lower learning rate that is no better than the one before it means convergence.
    """
    averaged = stopping.average(stopping.window(list(run.stage)))
    if run.exploring:
        log_weights = machine.evaluate(averaged)
        elbos = log_weights.mean(axis=1)
        best = float(elbos[best_row(log_weights)])
        if run.generation < GENERATIONS and not best < run.champion + WORTH:
            key = jax.random.fold_in(machine.starts_key, run.generation)
            rows = next_generation(averaged, elbos, machine.layout, key)
            loop = initial_state(machine.layout.unflatten_all(rows))._replace(skipped=run.loop.skipped)
            return replace(run, loop=loop, averaged=averaged, stage=(), generation=run.generation + 1, champion=best)
        run = replace(run, exploring=False, averaged=None)
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
