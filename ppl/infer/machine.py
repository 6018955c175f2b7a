# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Getting ready for a run: what is compiled, and the rows that it starts from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.diagnostics import Diagnostic, PplError
from ppl.infer.devices import Devices
from ppl.infer.hoist import FAST, QUICK, Compiling, Function
from ppl.infer.initial import Init, known_of, place
from ppl.infer.kept import Shelf
from ppl.infer.layout import Layout, rows_of
from ppl.infer.loop import CHUNK, initial_state, make_chunk
from ppl.infer.problem import ProblemLike
from ppl.infer.run import Machine, Run, begin, loop_arguments
from ppl.infer.settings import Settings, SettingsError
from ppl.infer.start import PRIOR_DRAWS, place_starts, start_draws
from ppl.infer.streams import any_keys, streams_of

BLOCK = 256  # draws from each lane per call of the one compiled drawing function


def prepare(
    problem: ProblemLike, settings: Settings, init: Init = "prior", devices: Devices | None = None
) -> tuple[Machine, Run, float]:
    """The compiled machine, the run before its first step, and the seconds that compiling took.

    With `devices` (:func:`ppl.infer.devices.share`) these share the work.

    Raises :class:`SettingsError` for a guide that is not known, PplError for a program without latents, for one without
    loops to take minibatches of, and for initial values that do not belong to it.
    """
    if all(site.noise for site in problem.sites):
        raise PplError([Diagnostic("PPL805", "the program has no latents: there is nothing to infer")])
    try:
        like = problem.init_params(settings.guide)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    known = known_of(problem, init)
    lanes, layout = settings.starts, Layout.of(like)
    row = np.concatenate([np.ravel(np.asarray(x)) for x in jax.tree.leaves(like)])
    rows, key, keys = np.repeat(row[None], lanes, axis=0), any_keys(), any_keys(lanes)
    began = time.perf_counter()
    with Compiling(devices, _shelf(problem, settings)) as compiling:
        # First what takes XLA longest: that goes on while the others are traced.
        arguments = (initial_state(rows), key, *loop_arguments(begin(rows, settings.lr), layout, CHUNK))
        steps = lambda: make_chunk(gradient_of(problem, settings, devices), layout, devices)  # noqa: E731
        chunk = compiling.add("chunk", steps, *arguments, level=FAST)
        start = compiling.add("start", lambda: _starts(problem, settings), key, level=QUICK)
        drawing = lambda: _drawing(problem, settings.guide, layout, devices)  # noqa: E731
        draw = compiling.add("draw", drawing, rows, keys, level=QUICK)
    split = lambda number: streams_of(settings.seed, lanes, number)  # noqa: E731
    own = split(0)
    first, unit, taken, latents = jax.tree.map(np.asarray, start.result()(own.start))
    layout = replace(layout, unit=np.asarray(unit[0], np.float64))
    machine = Machine(
        chunk=chunk.result(),
        draw=lambda rows, keys: draw.result()(np.asarray(rows, unit.dtype), keys),
        fresh=lambda number: np.asarray(start.result()(split(number).search)[0])[1:],
        layout=layout,
        lanes=lanes,
        lr=settings.lr,
        latents=sum(int(np.prod(site.free)) for site in problem.sites if not site.noise),
        seed=settings.seed,
        streams=own,
        draw_keys=lambda number: split(number).draws,
        prior_branches={k: float(v) for k, v in taken.items()},
        prior=latents,
    )
    rows = place(first[:-1], layout, init, known)
    return machine, begin(np.asarray(rows, first.dtype), settings.lr), time.perf_counter() - began


def _shelf(problem: ProblemLike, s: Settings) -> Shelf | None:
    """Where the functions for this problem and these settings are kept."""
    if not problem.digest:
        return None
    traced = (s.guide, s.estimator, s.samples, s.starts, s.noise, s.stl, s.marginalise, s.minibatch, s.boundary_budget)
    return Shelf.of(problem.digest, dict(problem.data), *traced)


def gradient_of(problem: ProblemLike, s: Settings, devices: Devices | None = None) -> Callable[..., Any]:
    """``(params, key) -> (elbo, gradient)``, the estimator that a request asks for; of a part of the samples on each of
    `devices`."""
    axis = None if devices is None else devices.samples_axis
    return problem.elbo_and_grad(
        s.guide, s.estimator, s.samples, s.noise, s.stl, s.marginalise, s.minibatch, s.boundary_budget, axis
    )


def _starts(problem: ProblemLike, settings: Settings) -> Function:
    """``key -> (rows, unit, branches, latents)``: one row at the prior median, then one for each lane at a prior draw.

    `branches`: how often the condition of each of the problem's branches holds under the prior; `latents`: PRIOR_DRAWS
    draws of the latents from it, NaN where one does not exist.
    """

    def start(key: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
        drawn = start_draws(problem, key, settings.starts + 1)
        params, unit = place_starts(problem.init_params(settings.guide), drawn, settings.starts + 1)
        latents, taken = problem.prior_path({k: u[:PRIOR_DRAWS] for k, u in drawn.items()})
        units = rows_of(jax.tree.map(lambda x: x[None], unit))
        return rows_of(params), units, jax.tree.map(jnp.mean, taken), latents

    return start


def _drawing(problem: ProblemLike, guide: str, layout: Layout, devices: Devices | None) -> Function:
    """``(rows, keys) -> draws``, BLOCK from each row with its key; one row at a time, so that memory stays bounded."""

    def draw(rows: jax.Array, keys: jax.Array) -> Any:
        return jax.lax.map(lambda at: problem.draw(layout.unflatten(at[0]), at[1], BLOCK, guide), (rows, keys))

    if devices is None:
        return draw
    return lambda rows, keys: devices.joined(draw(devices.own(rows), devices.own(keys)))
