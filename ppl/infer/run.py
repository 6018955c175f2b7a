# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""One run of the optimiser from its first step to its last, as a value that can be saved between any two steps.

A run goes through phases. It *explores* from all starts. If these end in different places it searches among them,
*annealing* and then *crossing* (:mod:`ppl.infer.search`). In the end it *polishes* the best: all lanes work on it, in
stages of falling learning rate, until the stop rule (:mod:`ppl.infer.stopping`) is met.

How many steps are asked for decides only where a run ends, never which steps it takes: 500 steps are the first half
of 1000 with the same settings. Phases, learning rates and averages depend on the steps taken so far alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ppl.infer import search, stopping
from ppl.infer.layout import Layout
from ppl.infer.loop import BATCH, CHUNK, LoopState, Stage, initial_state, no_moments
from ppl.infer.stopping import Chunk, Floats, Verdict
from ppl.infer.streams import Streams

PHASES = EXPLORE, ANNEAL, CROSS, POLISH = "explore", "anneal", "cross", "polish"
STRAGGLERS = 0.25  # of the starts may still be on their way when exploring ends


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is carried out with: compiled functions, the layout of params, the random streams.

    `chunk` is :func:`ppl.infer.loop.make_chunk` compiled. ``draw(rows, keys)`` makes a block of draws from each of as
    many rows as there are lanes; ``draw_keys(number)`` are the keys of a block of the posterior's.
    ``fresh(number)`` gives rows at prior draws. `prior_branches` has how often the condition
    of each of the problem's branches holds under the prior, `prior` draws of the latents from it.
    """

    chunk: Callable[..., tuple[LoopState, jax.Array]]
    draw: Callable[[Any, jax.Array], Any]
    fresh: Callable[[int], Floats]
    layout: Layout
    lanes: int
    lr: float
    latents: int
    seed: int
    streams: Streams
    draw_keys: Callable[[int], jax.Array]
    prior_branches: Mapping[str, float]
    prior: Mapping[str, Any]

    def evaluate(self, rows: Floats) -> Floats:
        """Log weights (rows, draws); the draws use the same noise in every row and call, so rows compare in pairs."""
        blocks = [self._evaluate(rows[i : i + self.lanes]) for i in range(0, len(rows), self.lanes)]
        return np.concatenate(blocks)

    def blocks(self, rows: Floats) -> Iterator[Any]:
        """The draws whose log weights `evaluate` gives, of as many rows as there are lanes, a block at a time."""
        for keys in self.streams.compare:
            yield self.draw(rows, keys)

    def filled(self, rows: Floats) -> Floats:
        """`rows`, at most as many as there are lanes, and the first again for every lane without one."""
        return np.concatenate([rows, np.repeat(rows[:1], self.lanes - len(rows), axis=0)])

    def _evaluate(self, rows: Floats) -> Floats:
        columns = [np.asarray(drawn.log_weight) for drawn in self.blocks(self.filled(rows))]
        return np.concatenate(columns, axis=1)[: len(rows)]


@dataclass(frozen=True, slots=True)
class Run:
    """The state of a run after `step` steps.

    `trace` is (step, lanes); `stage` holds the full chunks of the present stage. `rows` and `elbos` are the optima
    known after exploring, best first; `starts` the ELBO that each start reached by itself. `averaged` (1, parameters)
    is the average iterate of the last polishing stage, `gain` what that stage brought in nats.
    """

    loop: LoopState
    lr: float
    phase: str = EXPLORE
    step: int = 0
    level: int = 0  # of the temperatures, while annealing
    crossings: int = 0
    failed: int = 0  # crossings since one brought something
    stages: int = 0  # of polishing, that have ended
    trace: tuple[Floats, ...] = ()
    stage: tuple[Chunk, ...] = ()
    rows: Floats | None = None
    elbos: Floats | None = None
    starts: Floats | None = None
    averaged: Floats | None = None
    gain: float = float("nan")
    rhat: float = float("nan")
    loss: float = float("nan")
    starts_rhat: float = float("nan")
    converged_at: int | None = None

    @property
    def pooled(self) -> bool:
        """Whether all lanes hold the same row."""
        return self.phase == POLISH

    def temperatures(self, lanes: int) -> Floats:
        return search.temperatures(self.level, lanes) if self.phase == ANNEAL else np.ones(lanes)

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


def begin(rows: Any, lr: float) -> Run:
    """A run before its first step."""
    return Run(loop=initial_state(rows), lr=lr)


def advance(run: Run, machine: Machine, limit: int) -> Run:
    """Steps to the end of the present chunk, or to `limit` if that comes first."""
    todo = min(CHUNK - run.step % CHUNK, limit - run.step)
    loop, elbo = machine.chunk(run.loop, machine.streams.steps, *loop_arguments(run, machine.layout, todo))
    run = replace(run, loop=loop, step=run.step + todo, trace=(*run.trace, np.asarray(elbo)[:todo]))
    return run if run.step % CHUNK else _close_chunk(run, machine)


def loop_arguments(run: Run, layout: Layout, todo: int) -> tuple[Any, ...]:
    """First step, number of steps, stage and unit, typed so that every call fits the one compiled program."""
    lanes, dtype = run.loop.rows.shape[0], run.loop.rows.dtype
    teams = np.ones((lanes, lanes)) if run.pooled else np.eye(lanes)
    stage = Stage(*(np.asarray(x, dtype) for x in (run.lr, run.temperatures(lanes), teams, 1.0, 0.0)))
    return np.asarray(run.step, np.int32), np.asarray(todo, np.int32), stage, np.asarray(layout.unit, dtype)


def pooled(elbo: Floats) -> Floats:
    """The mean over lanes of those that are finite, (steps, 1)."""
    ok = np.isfinite(elbo)
    total = np.where(ok, elbo, 0.0).sum(axis=1, keepdims=True)
    count = ok.sum(axis=1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _open_chunk(run: Run, machine: Machine) -> Chunk:
    moments = run.loop.moments
    lanes = slice(0, 1) if run.pooled else slice(None)
    elbo = run.last_rows(int(moments.seen))
    mean, m2, batch_m2 = (np.asarray(x)[lanes] for x in (moments.mean, moments.m2, moments.batch_m2))
    batches = int(moments.seen) // BATCH
    return Chunk(pooled(elbo) if run.pooled else elbo, mean, m2, batch_m2, batches, machine.layout.scales(mean))


def _close_chunk(run: Run, machine: Machine) -> Run:
    stage = (*run.stage, _open_chunk(run, machine))
    run = replace(run, stage=stage, loop=run.loop._replace(moments=no_moments(run.loop.rows)))
    verdict = _judge(run, machine)
    if np.isfinite(verdict.rhat):
        run = replace(run, rhat=verdict.rhat, loss=verdict.loss)
    if not verdict.settled or run.stages >= stopping.STAGES:
        return run
    averaged = stopping.average(stopping.window(list(stage)))
    ends = {EXPLORE: _end_exploring, ANNEAL: _end_annealing, CROSS: _end_crossing, POLISH: _end_polishing}
    return replace(ends[run.phase](run, verdict, machine, averaged), stage=())


def _judge(run: Run, machine: Machine) -> Verdict:
    limits = {ANNEAL: search.hot_chunks(machine.latents), CROSS: search.CROSSING_CHUNKS}
    fewest, most = limits.get(run.phase, (stopping.MIN_CHUNKS, stopping.MAX_CHUNKS))
    verdict = stopping.judge(list(run.stage), fewest, most, exact=run.phase == POLISH)
    waiting = run.phase == EXPLORE and verdict.settled and len(run.stage) < most
    if waiting and stopping.rising(list(run.stage)) > STRAGGLERS:
        return replace(verdict, settled=False)
    return verdict


def _end_exploring(run: Run, verdict: Verdict, machine: Machine, averaged: Floats) -> Run:
    log_weights = machine.evaluate(averaged)
    elbos = log_weights.mean(axis=1)
    best = best_row(log_weights)
    errors = _errors(log_weights - log_weights[best])
    near = [i for i in range(len(elbos)) if elbos[best] - elbos[i] < search.WORTH + 2 * errors[i]]
    rhat = stopping.between_rhat(stopping.window(list(run.stage)), near)
    rows, kept = search.select(averaged, elbos, machine.lanes)
    run = replace(run, rows=rows, elbos=kept, starts=elbos, starts_rhat=rhat)
    if search.agree(elbos, errors):
        return _polish(run, machine)
    return _hot(run, machine, 0, machine.fresh(0))


def _hot(run: Run, machine: Machine, level: int, rows: Any = None) -> Run:
    run = replace(run, phase=ANNEAL, level=level, lr=search.hot_lr(machine.lr, search.TEMPERATURES[level]))
    return run if rows is None else _restart(run, rows)


def _restart(run: Run, rows: Any) -> Run:
    fresh = initial_state(np.asarray(rows, run.loop.rows.dtype))
    return replace(run, loop=fresh._replace(skipped=run.loop.skipped, failure=run.loop.failure))


def _end_annealing(run: Run, verdict: Verdict, machine: Machine, averaged: Floats) -> Run:
    if run.level + 1 < len(search.TEMPERATURES):
        return _hot(run, machine, run.level + 1)
    run, elbos = _merge(run, machine, averaged)
    assert run.starts is not None
    return _cross(replace(run, starts=np.fmax(run.starts, elbos)), machine)


def _end_crossing(run: Run, verdict: Verdict, machine: Machine, averaged: Floats) -> Run:
    assert run.elbos is not None
    before = run.elbos[0]
    run, _ = _merge(run, machine, averaged)
    assert run.elbos is not None
    failed = 0 if run.elbos[0] > before + search.WORTH else run.failed + 1
    return _cross(replace(run, failed=failed), machine)


def _merge(run: Run, machine: Machine, averaged: Floats) -> tuple[Run, Floats]:
    """The run with the best of the optima known and of `averaged`, and the ELBOs of the latter."""
    assert run.rows is not None and run.elbos is not None
    elbos = machine.evaluate(averaged).mean(axis=1)
    rows, kept = search.select(np.concatenate([run.rows, averaged]), np.concatenate([run.elbos, elbos]), machine.lanes)
    return replace(run, rows=rows, elbos=kept), elbos


def _cross(run: Run, machine: Machine) -> Run:
    """The next crossing, or polishing if crossings have brought what they can."""
    assert run.rows is not None
    if run.crossings >= search.CROSSINGS or run.failed >= search.patience(machine.latents):
        return _polish(run, machine)
    number = run.crossings + 1
    prior = machine.fresh(number)
    rows = search.cross(run.rows, prior, machine.layout, np.random.default_rng((machine.seed, number)))
    lr = machine.lr * search.CROSSING_LR
    return _restart(replace(run, phase=CROSS, crossings=number, lr=lr), rows)


def _polish(run: Run, machine: Machine) -> Run:
    assert run.rows is not None
    rows = np.repeat(run.rows[:1], machine.lanes, axis=0)
    return _restart(replace(run, phase=POLISH, lr=machine.lr * stopping.DECAY, averaged=run.rows[:1]), rows)


def _end_polishing(run: Run, verdict: Verdict, machine: Machine, averaged: Floats) -> Run:
    """A lower learning rate next. A stage that is no better than the one before it means convergence."""
    gain, converged = float("nan"), False
    if run.averaged is not None:
        gain, gain_se = _gain(machine.evaluate(np.concatenate([run.averaged, averaged])))
        steady = verdict.rhat < stopping.RHAT_SETTLED and verdict.loss < stopping.TOLERANCE
        converged = gain < max(stopping.TOLERANCE, 2 * gain_se) and steady
    return replace(
        run,
        averaged=averaged,
        gain=gain,
        stages=run.stages + 1,
        lr=run.lr * stopping.DECAY,
        converged_at=run.converged_at or (run.step if converged else None),
    )


def _gain(log_weights: Floats) -> tuple[float, float]:
    """ELBO of the second row minus that of the first, and its standard error; the draws are paired."""
    with np.errstate(invalid="ignore"):  # -inf minus -inf: not a gain that means convergence
        difference = log_weights[1] - log_weights[0]
        return float(difference.mean()), float(_errors(difference[None])[0])


def _errors(values: Floats) -> Floats:
    """Standard errors of the means of rows."""
    with np.errstate(invalid="ignore"):
        return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])


def best_row(log_weights: Floats) -> int:
    """The row of (rows, draws) with the highest mean; rows that are not finite come last."""
    mean = log_weights.mean(axis=1)
    return int(np.argmax(np.where(np.isfinite(mean), mean, -np.inf)))
