# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""`fit`: from a bound problem to a :class:`~ppl.infer.result.Fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.diagnostics import Diagnostic, InferenceError
from ppl.infer import stopping
from ppl.infer.advice import apart
from ppl.infer.beside import weigh_beside
from ppl.infer.blame import BLAMED, not_finite
from ppl.infer.boundaries import Boundaries, measure
from ppl.infer.checkpoint import refuse
from ppl.infer.choose import PLAIN, fit_best
from ppl.infer.devices import Devices, Given, share
from ppl.infer.hosts import Hosts
from ppl.infer.initial import Init, name_of
from ppl.infer.layout import row_of
from ppl.infer.loop import CHUNK
from ppl.infer.machine import BLOCK, gradient_of, prepare
from ppl.infer.problem import DrawsLike, ProblemLike
from ppl.infer.result import Fit, Posterior
from ppl.infer.run import Machine, Run, advance
from ppl.infer.saved_run import ONLY, Checkpoint, RunFile
from ppl.infer.settings import DRAWS, MAX_STEPS, Progress, Settings, SettingsError
from ppl.infer.stopping import Floats
from ppl.infer.streams import lane_keys
from ppl.language.budget import BOUNDARY_BUDGET, Budget
from ppl.language.guides import PROGRAM

ELBO_ERROR = 0.02  # nats: while its standard error is larger, the ELBO is evaluated on further draws,
ELBO_DRAWS = 40_000  # up to so many


def fit(
    problem: ProblemLike,
    *,
    guide: str | None = None,
    estimator: str = "combined",
    seed: int = 0,
    steps: int | None = None,
    samples: int | None = None,
    lr: float | None = None,
    starts: int | None = None,
    noise: str = "antithetic",
    stl: bool = False,
    marginalise: bool = True,
    init: Init = "prior",
    minibatch: int | None = None,
    boundary_budget: Budget = BOUNDARY_BUDGET,
    draws: int = DRAWS,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    require_converged: bool = False,
    devices: Given = None,
) -> Fit:
    """Fits the guide to the posterior of `problem` by stochastic ascent on the ELBO.

    Without a `guide` it is the program's own, if that has a `guide` block ("program" names it), else "meanfield".
    "auto" fits the ones that make sense for the program and keeps the best (:mod:`ppl.infer.choose`). `starts`
    optimisations run side by side, the best is kept. With `steps`, exactly that many are made; without, the stop rule
    of :mod:`ppl.infer.stopping` decides, within MAX_STEPS. `samples` is the number of draws behind each gradient,
    `noise` how these depend on each other, `stl` whether sticking the landing is used and `marginalise` whether latents
    are integrated out of terms (see `Problem.elbo_loss`), `lr` the length of a first step in prior standard deviations.
    `init` says where the starts are: "prior" (one at the median, the others at draws), "median", or one place for all,
    as values of the latents by name or a :class:`Fit`, or draws of :func:`ppl.sample.sample`, or a file with any of
    these. With `minibatch`, each draw behind a
    gradient sees so many iterations of the loops that allow it (`Problem.elbo_loss`); which of the starts and stages is
    best, the ELBO and the posterior are decided on all of the data. `boundary_budget` bounds how often a gradient
    evaluates the program anew for one guard (`Problem.elbo_loss`); None is without a bound. `draws` is the size of the
    posterior sample, whose draws are independent. Equal arguments give equal results. With `checkpoint`, the run is
    saved there as it goes; with `resume` it is continued from there, and the result is that of a run that was never
    interrupted.

    `devices` share the starts and samples: how many of each process, or which ones; None is all of them, or the device
    that `jax.default_device` names. The result is that of one device up to rounding. In a program of several processes
    (`jax.distributed.initialize`) all have to call this with equal arguments, unless `devices` are those of one; the
    first one reads and writes the checkpoint, and all of them get the result.

    Raises :class:`ppl.InferenceError` if the ELBO is not finite (or, under `require_converged`, if the run ends
    before it converged), :class:`CheckpointError` for an unusable checkpoint, :class:`SettingsError` for arguments
    that make no sense, :class:`ppl.PplError` for initial values that do not belong to the program and for devices that
    cannot share the work, and OSError for a file of initial values that cannot be opened.
    """
    chosen: dict[str, Any] = {"samples": samples, "lr": lr, "starts": starts, "noise": noise, "stl": stl,
                              "marginalise": marginalise, "init": name_of(init), "minibatch": minibatch}  # fmt: skip
    guide = guide_for(problem, guide)
    given = {k: v for k, v in chosen.items() if v is not None}
    settings = Settings(guide, estimator, seed, boundary_budget=boundary_budget, **given)
    if steps is not None and steps < 1:
        raise SettingsError(f"steps must be at least 1, not {steps}")
    if draws < 1:
        raise SettingsError(f"draws must be at least 1, not {draws}")
    if resume and checkpoint is None:
        raise SettingsError("to resume, say from which checkpoint")
    shared = share(devices, settings.starts, settings.samples)
    hosts = Hosts() if shared is None else shared.hosts
    hosts.same(
        "was given another program, other data or other options", *_identity(problem, settings), steps, draws, resume
    )
    many = guide == "auto"
    saved = None if checkpoint is None else Checkpoint.open(checkpoint, hosts, resume, many)
    request = _Request(problem, steps, draws, progress, shared, hosts, saved)
    if not many:
        return _checked(_fit(request, settings, init), require_converged)

    def fit_one(name: str, start: Fit | None) -> Fit:
        where = init if start is None else start
        return _fit(request, replace(settings, guide=name, init=name_of(where)), where, name)

    return _checked(fit_best(fit_one, problem.own_guide), require_converged)


@dataclass(frozen=True, slots=True)
class _Request:
    """What fits of one problem have in common."""

    problem: ProblemLike
    steps: int | None
    draws: int
    progress: Callable[[Progress], None] | None
    devices: Devices | None
    hosts: Hosts
    saved: Checkpoint | None


def _fit(request: _Request, settings: Settings, init: Init, name: str = ONLY) -> Fit:
    """The fit of one guide; `name` is that of its run in the checkpoint."""
    began, hosts, steps = time.perf_counter(), request.hosts, request.steps
    machine, run, compile_seconds = prepare(request.problem, settings, init, request.devices)
    hosts.same("starts elsewhere", np.asarray(run.loop.rows).tobytes())
    file, earlier = None, 0.0
    if request.saved is not None:
        mark = machine.evaluate(np.asarray(run.loop.rows)[:1])[0]
        file = RunFile(request.saved, name, settings, mark)
        run, earlier = file.load(run) or (run, 0.0)
        if steps is not None and run.step > steps:
            message = f"the checkpoint is at step {run.step}, past the {steps} steps asked for"
            raise refuse(message, "ask for more steps, or start afresh without --resume")
    clock = _Clock(began, earlier)
    run = _optimise(request, settings, run, machine, file, clock)
    return _finish(request, settings, machine, run, clock, compile_seconds)


def _identity(problem: ProblemLike, settings: Settings) -> Iterator[Any]:
    """What has to be the same in all processes of a run."""
    yield from (jax.__version__, jnp.result_type(float), settings, problem.name, sorted(problem.sources.items()))
    for name, value in sorted(problem.data.items()):
        yield name
        yield np.asarray(value).tobytes()


def guide_for(problem: ProblemLike, guide: str | None) -> str:
    """The guide as `Settings` have it: what the program says of its own guide is part of what a run depends on."""
    own = problem.own_guide
    if guide is None:
        return own or PLAIN
    return own if guide == PROGRAM and own is not None else guide


def _checked(result: Fit, require_converged: bool) -> Fit:
    if require_converged:
        check_converged(result)
    return result


def check_converged(result: Fit) -> None:
    """Raises :class:`ppl.InferenceError` for a fit whose run ended before it converged."""
    if not result.converged:
        hint = "ask for more steps, or leave their number to the stop rule; a run with a checkpoint can be resumed"
        raise InferenceError([Diagnostic("PPL802", f"the fit did not converge: {result.stop_reason}", hint=hint)])


@dataclass(frozen=True, slots=True)
class _Clock:
    began: float
    earlier: float  # seconds of the runs that this one continues

    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.began


def _optimise(
    request: _Request, settings: Settings, run: Run, machine: Machine, file: RunFile | None, clock: _Clock
) -> Run:
    """Advances until the steps are made or the stop rule ends the run. Saves on the way, and when interrupted."""
    steps, hosts = request.steps, request.hosts
    limit = MAX_STEPS if steps is None else steps
    try:
        _check_alive(request.problem, settings, run, machine)
        with hosts.holding_interrupts() as meet_interrupts:
            while run.step < limit and not (steps is None and _settled(run)):
                run = advance(run, machine, limit)
                _check_alive(request.problem, settings, run, machine)
                with hosts.together():
                    meet_interrupts()
                    if request.progress is not None:
                        level, se = stopping.elbo_level(run.trace[-1])
                        request.progress(Progress(run.step, steps, level, se, run.lr, clock.seconds()))
                    if file is not None:
                        file.save_if_due(run, clock.seconds())
    except BaseException:
        if file is not None:
            file.save(run, clock.seconds())
        raise
    with hosts.together():
        if file is not None:
            file.save(run, clock.seconds())
    return run


def _check_alive(problem: ProblemLike, settings: Settings, run: Run, machine: Machine) -> None:
    """A run that has not had one finite step in any start will never have one: params only move on finite steps."""
    if run.step >= CHUNK and bool(np.all(np.asarray(run.loop.skipped) >= run.step)):
        first_lacking = "gradient" if np.isfinite(np.concatenate(run.trace)).any() else "ELBO"
        made = f"none of {run.step} steps from {settings.starts} starts had a finite {first_lacking}"
        params = machine.layout.unflatten(run.loop.failure.row)
        raise not_finite(problem, params, jax.random.key(settings.seed), settings.guide, made)


def _settled(run: Run) -> bool:
    return run.converged_at is not None or run.stages >= stopping.STAGES


def _finish(
    request: _Request, settings: Settings, machine: Machine, run: Run, clock: _Clock, compile_seconds: float
) -> Fit:
    """Picks the best params that the run offers and draws from them."""
    problem, draws = request.problem, request.draws
    row, starts = _best(machine, run)
    params = machine.layout.unflatten(row)
    posterior = _posterior(machine, row, draws)
    elbo, elbo_se = _elbo(machine, row, posterior.log_weight)
    trace = _leading(run)
    if not np.isfinite(elbo) or np.any(np.isneginf(trace[-CHUNK:])):
        bad = float(np.mean(~np.isfinite(posterior.log_weight)))
        message = f"{bad:.2%} of the draws of the fitted guide have no finite log density"
        raise not_finite(problem, params, jax.random.key(settings.seed), settings.guide, message)
    names = tuple(s.name for s in problem.sites if not s.noise)
    posterior = posterior.cut(draws)
    return Fit(
        name=problem.name,
        latents=names,
        settings=settings,
        params=jax.tree.map(np.asarray, params),
        posterior=posterior,
        elbo=elbo,
        elbo_se=elbo_se,
        trace=trace,
        starts=tuple(float(e) for e in starts),
        steps=run.step,
        rhat=_rhat(run, machine),
        nonfinite_steps=int(np.sum(np.asarray(run.loop.skipped))),
        converged=run.converged_at is not None,
        stop_reason=_stop_reason(run, request.steps),
        notes=tuple(str(getattr(d, "message", d)) for d in problem.diagnostics),
        seconds=clock.seconds(),
        compile_seconds=compile_seconds,
        starts_rhat=run.starts_rhat,
        averaging_loss=run.loss,
        nonfinite_where=_blame(problem, settings, machine, run),
        branches=_branches(problem, machine, posterior),
        prior={name: machine.prior[name] for name in names},
        boundaries=_boundaries(problem, settings, machine, row),
        weighing=weigh_beside(machine, run, names, posterior, row, apart(starts, elbo, run.starts_rhat)),
        observed=dict(problem.data),
        devices=1 if request.devices is None else request.devices.mesh.size,
        problem=problem,
    )


def _boundaries(problem: ProblemLike, settings: Settings, machine: Machine, row: Floats) -> Boundaries | None:
    """Not known where the estimator leaves boundaries out, or takes the score, which does not tell the parts apart."""
    if settings.estimator != "combined" or any(g.status == "score" for g in problem.guards):
        return None
    return measure(machine, row)


def _branches(problem: ProblemLike, machine: Machine, posterior: Posterior) -> tuple[dict[str, Any], ...]:
    """How often each condition holds, before and after."""
    return tuple(
        {
            "text": text,
            "file": span.file,
            "line": span.line,
            "prior": machine.prior_branches[name],
            "posterior": float(np.mean(posterior.branches[name])),
        }
        for name, (text, span) in problem.branches.items()
        if name in machine.prior_branches
    )


def _blame(problem: ProblemLike, settings: Settings, machine: Machine, run: Run) -> str:
    """Where the first gradient that was not finite came from: lines whose density was not, else sites; "" if none."""
    failure = run.loop.failure
    if int(failure.step) < 0:
        return ""
    key = lane_keys(machine.streams.steps, failure.step, machine.lanes)[int(failure.lane)]
    params = machine.layout.unflatten(failure.row)
    when = f"first at step {int(failure.step) + 1}"
    fn = gradient_of(problem, settings)
    elbo, grad = fn(params, key)
    spans = () if np.isfinite(elbo) else problem.not_finite_at(params, key, BLAMED, settings.guide)
    if spans:
        return f"{when}, in the density of line {', '.join(str(line) for line in sorted({s.line for s in spans}))}"
    bad = ~np.isfinite(np.asarray(row_of(grad)))
    names = sorted({name for name, is_bad in zip(machine.layout.name, bad, strict=True) if is_bad})
    lines = {site.name: site.span.line for site in problem.sites if site.span is not None}
    places = [f"`{name}` (line {lines[name]})" if name in lines else f"`{name}`" for name in names]
    return f"{when}, in the gradient of {', '.join(places)}" if names else when


def _best(machine: Machine, run: Run) -> tuple[Floats, Floats]:
    """The best row that the run offers, and the ELBO of each start.

    On offer are the last iterates, the average over the present stage and over the stage before, and the optima known
    from exploring. An average removes the noise of the steps; the last iterate wins where a stage was on its way.
    """
    lanes = slice(0, 1) if run.pooled else slice(None)
    offers = [np.asarray(run.loop.rows)[lanes]]
    tail = run.tail(machine)
    offers += [stopping.average(tail)] if tail else []
    offers += [run.averaged] if run.averaged is not None else []
    elbos = [machine.evaluate(rows).mean(axis=1) for rows in offers]
    starts = run.starts
    if starts is None:
        starts = np.max(np.where(np.isfinite(elbos), elbos, -np.inf), axis=0)
    if run.rows is not None and run.elbos is not None and not run.pooled:
        offers.append(run.rows)
        elbos.append(run.elbos)
    best = int(np.argmax(np.where(np.isfinite(flat := np.concatenate(elbos)), flat, -np.inf)))
    return np.concatenate(offers)[best], starts


def _leading(run: Run) -> Floats:
    """The ELBO of each step: in every chunk of the best lane, or of all lanes together where they are one team."""
    trace = np.concatenate(run.trace)
    chunks = [trace[i : i + CHUNK] for i in range(0, len(trace), CHUNK)]
    return np.concatenate([rows[:, stopping.best_column(rows)] for rows in chunks])


def _rhat(run: Run, machine: Machine) -> float:
    tail = run.tail(machine)
    if len(tail) < 2:
        return run.rhat
    return stopping.split_rhat(tail, stopping.best_start(tail))


def _posterior(machine: Machine, row: Floats, draws: int) -> Posterior:
    """At least `draws` draws and their log weights, in blocks of the one compiled size."""
    blocks: list[DrawsLike] = []
    while not blocks or len(blocks) * blocks[0].log_weight.size < draws:
        blocks.append(_block(machine, row, len(blocks)))

    def joined(field: str) -> Any:
        def join(*parts: Any) -> Any:
            return np.concatenate([row for p in parts for row in np.asarray(p)])

        return jax.tree.map(join, *[getattr(b, field) for b in blocks])

    return Posterior(*(joined(field) for field in Posterior.FIELDS))


def _block(machine: Machine, row: Floats, number: int) -> DrawsLike:
    return machine.draw(np.repeat(row[None], machine.lanes, axis=0), machine.draw_keys(number))


def _elbo(machine: Machine, row: Floats, log_weight: Floats) -> tuple[float, float]:
    """The ELBO and its standard error, from the blocks of draws in `log_weight` and the further ones that it takes."""
    weights = [log_weight]
    size = machine.lanes * BLOCK
    while True:
        seen = np.concatenate(weights)
        elbo, error = _mean_and_error(seen)
        if not error > ELBO_ERROR or seen.size >= ELBO_DRAWS:
            return elbo, error
        weights.append(np.ravel(_block(machine, row, seen.size // size).log_weight))


def _mean_and_error(log_weight: Floats) -> tuple[float, float]:
    wide = log_weight.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(wide.mean()), float(wide.std(ddof=1) / np.sqrt(wide.size))


def _stop_reason(run: Run, steps: int | None) -> str:
    """In words, why the run ended where it did."""
    rhat, gain = f"R-hat {run.rhat:.2f}", f"the last stage brought {run.gain:+.3f} nats"
    state = "not converged" if run.converged_at is None else f"converged at step {run.converged_at}"
    if steps is not None:
        return f"steps: made the {steps} steps asked for; {state}"
    if run.converged_at is not None:
        return f"converged: a smaller learning rate no longer helps ({gain}, {rhat})"
    if run.stages >= stopping.STAGES:
        return f"learning rate: at its smallest and still moving ({gain}, {rhat})"
    return f"steps: reached the limit of {MAX_STEPS} while still improving ({rhat})"
