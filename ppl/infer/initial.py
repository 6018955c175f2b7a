# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Starts where the user wants them: at the prior's median, at given values, or at a fit that was saved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from ppl.diagnostics import Diagnostic, PplError, did_you_mean
from ppl.infer.layout import Layout, row_of
from ppl.infer.problem import ProblemLike
from ppl.infer.result import Fit
from ppl.infer.settings import INIT
from ppl.infer.stopping import Floats

Params = Any


class Sampled(Protocol):
    """The draws of a sampler, :class:`ppl.sample.Samples`: `draws` of the latents by name, (n, *shape), not a number
    where one does not exist, and the same `unconstrained`, (chains, draws, *free shape)."""

    @property
    def name(self) -> str: ...
    @property
    def latents(self) -> tuple[str, ...]: ...
    @property
    def draws(self) -> Mapping[str, Any]: ...
    @property
    def unconstrained(self) -> Mapping[str, Any]: ...


Init = str | Path | Mapping[str, Any] | Fit | Sampled

LOG_ODDS = 2.0  # of the outcome that is given for a discrete latent, against all others together
SHARED = ("loc", "logits")  # parts that every start takes over; the first one takes the others as well


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of where starts are. `params`, by part and site: of the first one, and those in SHARED of all.
    `places` are for the others in turn, if these are to lie in different places, with an axis of places in front.
    Not a number where nothing is known."""

    params: Params
    places: Mapping[str, Any] = field(default_factory=dict[str, Any])


def name_of(init: Init) -> str:
    """What `Settings.init` says of it: "prior", "median", or where the values come from."""
    if isinstance(init, Fit):
        return "fit"
    if isinstance(init, Mapping):
        return "values"
    return os.fspath(init) if isinstance(init, str | Path) else "samples"


def known_of(problem: ProblemLike, init: Init) -> Known | None:
    """What `init` knows; None for the prior and its median.

    Raises OSError for a file that cannot be opened, PplError if it does not belong to the problem.
    """
    if isinstance(init, Fit):
        return Known(_of_fit(problem, init, "the fit"))
    if isinstance(init, Mapping):
        return Known(_of_values(problem, init))
    if not isinstance(init, str | Path):
        return _of_samples(problem, init, "the draws")
    if init in INIT:
        return None
    path = os.fspath(init)
    if path.lower().endswith(".json"):
        from ppl.data.files import load_file

        with open(path, "rb"):
            pass  # a file that is not there is wrong usage, not wrong data
        return Known(_of_values(problem, load_file(path)))
    from ppl.infer.storage import load_fit

    try:
        saved = load_fit(path)
    except PplError as neither:
        from ppl.predict.datasets import read_draws

        samples = read_draws(path)
        if samples is None:
            raise neither
        return _of_samples(problem, samples, path)
    return Known(_of_fit(problem, saved, path))


def place(rows: Floats, layout: Layout, init: Init, known: Known | None) -> Floats:
    """`rows` (starts, parameters), of which the first is at the prior's median and the others at prior draws, moved to
    where `init` wants them. Their widths stay different, so that they find different things from one place."""
    if init == "prior":
        return rows
    rows = rows.copy()
    if known is None:
        rows[:, layout.loc] = rows[0, layout.loc]
        return rows
    given, shared = (_row(layout, p) for p in (known.params, {k: known.params.get(k, {}) for k in SHARED}))
    rows[1:] = np.where(np.isnan(shared), rows[1:], shared)
    rows[0] = np.where(np.isnan(given), rows[0], given)
    for k in range(1, len(rows)):
        at = {site: x[k * len(x) // len(rows)] for site, x in known.places.items()}
        own = _row(layout, {"loc": at})
        rows[k] = np.where(np.isnan(own), rows[k], own)
    return rows


def _row(layout: Layout, known: Params) -> Floats:
    """`known` as a row, not a number where it has nothing of the right shape."""

    def found(part: str, site: str, like: Any) -> Any:
        value = np.asarray(known.get(part, {}).get(site, np.nan), np.float64)
        return value if value.shape == like.shape else np.full(like.shape, np.nan)

    tree = {part: {k: found(part, k, x) for k, x in sites.items()} for part, sites in layout.like.items()}
    return np.asarray(row_of(tree), np.float64)


# ------------------------------------------------------------- fits and draws of samplers


def differing(problem: ProblemLike, found: Fit | Sampled) -> list[str]:
    """The latents that a fit, or draws, and a problem do not have in common, or in other shapes."""
    mine = {s.name: tuple(s.shape) for s in problem.sites if not s.noise}
    theirs = {name: found.draws[name].shape[1:] for name in found.latents}
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def _belongs(problem: ProblemLike, found: Fit | Sampled, what: str) -> None:
    """Raises PplError if the latents of a fit, or of draws, are not those of the problem."""
    differs = differing(problem, found)
    if differs:
        names = ", ".join(f"`{name}`" for name in differs)
        raise _refused(
            f"{what} of {found.name}, whose latents differ from those of this program with this data: {names}"
        )


def _of_fit(problem: ProblemLike, fit: Fit, where: str) -> Params:
    _belongs(problem, fit, f"{where} is a fit")
    return fit.params


def _of_samples(problem: ProblemLike, samples: Sampled, where: str) -> Known:
    """The first start has the moments of the draws; the others lie at draws, so that each mode has some."""
    _belongs(problem, samples, f"{where} has draws")
    params: dict[str, dict[str, Any]] = {"loc": {}, "log_scale": {}, "logits": {}}
    places: dict[str, Any] = {}
    for site in problem.sites:
        if site.noise:
            continue
        u = np.asarray(samples.unconstrained[site.name], np.float64)
        u = u.reshape(u.shape[0] * u.shape[1], *u.shape[2:])
        there = ~np.isnan(np.asarray(samples.draws[site.name], np.float64))
        if site.name in problem.outcomes:
            params["logits"][site.name] = _frequencies(u, there, problem.outcomes[site.name])
            continue
        if site.free != site.shape:  # drawn as a whole, or not at all
            whole = there.reshape(len(u), -1).all(axis=1)
            there = np.broadcast_to(whole.reshape(-1, *[1] * len(site.free)), u.shape)
        places[site.name] = x = np.where(there, u, np.nan)
        with warnings.catch_warnings():  # one that exists in no draw, or in one: not a number is the answer
            warnings.simplefilter("ignore", RuntimeWarning)
            spread = np.nanstd(x, axis=0, ddof=1)
            params["loc"][site.name] = np.nanmean(x, axis=0)
        params["log_scale"][site.name] = np.log(np.where(spread > 0, spread, np.nan))
    return Known(params, places)


def _frequencies(outcome: Any, there: Any, count: int) -> Any:
    """Parameters under which outcomes are as frequent as in the draws, with half a draw more of each."""
    seen = np.stack([np.sum(there & (outcome == k), axis=0) for k in range(count)], axis=-1) + 0.5
    logs = np.where(there.any(axis=0)[..., None], np.log(seen / seen.sum(axis=-1, keepdims=True)), np.nan)
    return logs[..., 1] - logs[..., 0] if count == 2 else logs


# -------------------------------------------------------------------- given values


def _of_values(problem: ProblemLike, given: Mapping[str, Any]) -> Params:
    """The places and logits that stand for values of the latents."""
    sites = {s.name: s for s in problem.sites if not s.noise}
    for name in given:
        if name not in sites:
            hint = did_you_mean(name, sites) or f"the latents are {', '.join(sites)}"
            raise _refused(f"`{name}` has an initial value and is no latent of this program", hint=hint)
    values = {name: _array(problem, sites[name], given[name]) for name in sites if name in given}
    absent = {name: np.isnan(values[name]) if name in values else np.ones(s.shape, bool) for name, s in sites.items()}
    outcomes = problem.outcomes
    filled = {name: _filled(v, name in outcomes) for name, v in values.items()}
    located = problem.locate(filled)
    for name, site in sites.items():
        if np.any(absent[name] & np.asarray(located.exists[name])):
            message = f"`{name}` has no initial value, and the values of the others lead to it"
            hint = "give every latent a value; null is for one that does not exist with these values"
            raise _refused(message, site.span, problem, hint)
        u = np.asarray(located.u[name])
        here = np.asarray(located.exists[name]) & ~absent[name]
        count = outcomes.get(name)
        fits = bool(located.inside[name]) and (count is None or bool(np.all((u >= 0) & (u < count) | ~here)))
        if not fits:
            value = values[name]
            shown = np.array2string(value, threshold=6, separator=", ") if value.ndim else f"{float(value):g}"
            what = f"the initial value of `{name}`, {shown}, is outside its support or has no density there"
            raise _refused(what, site.span, problem, _support_in_words(site.support))
    params: dict[str, dict[str, Any]] = {"loc": {}, "logits": {}}
    for name in sites:
        u, there = np.asarray(located.u[name]), np.asarray(located.exists[name])
        if name in outcomes:
            params["logits"][name] = _logits(u, there, outcomes[name])
        else:
            whole = sites[name].free != sites[name].shape  # then it is drawn as a whole
            params["loc"][name] = np.where(np.all(there) if whole else there, u, np.nan)
    return params


def _array(problem: ProblemLike, site: Any, value: Any) -> Floats:
    """A value as an array of numbers, not a number for null."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or np.asarray(value).dtype.kind in "SU":
        message = f"the initial value of `{site.name}` is not made of numbers"
        raise _refused(
            message, site.span, problem, "write a number, or nested lists of them in the shape of the latent"
        )
    if array.shape != tuple(site.shape):
        shapes = [f"of shape {list(s)}" if s else "a single number" for s in (array.shape, tuple(site.shape))]
        raise _refused(
            f"the initial value of `{site.name}` is {shapes[0]}; the latent is {shapes[1]}", site.span, problem
        )
    if site.support == "int" and np.any(array[np.isfinite(array)] % 1):
        raise _refused(f"the initial value of `{site.name}` is not an integer", site.span, problem)
    return array


def _filled(value: Floats, discrete: bool) -> Any:
    """`value` without what is not a number, in a type that the program takes."""
    whole = np.where(np.isnan(value), 0.0 if discrete else 0.5, value)
    return jnp.asarray(np.clip(whole, -(2**31), 2**31 - 1).astype(np.int64) if discrete else whole)


def _logits(outcome: Any, exists: Any, count: int) -> Any:
    """Parameters under which `outcome` has the log odds LOG_ODDS; as the guide stores them, see `Guide`."""
    if count == 2:
        return np.where(exists, LOG_ODDS * (2 * outcome - 1), np.nan)
    chosen = np.arange(count) == outcome[..., None]
    return np.where(exists[..., None], chosen * (LOG_ODDS + np.log(count - 1)), np.nan)


def _support_in_words(support: str) -> str | None:
    words = {"lower": "it is bounded below", "upper": "it is bounded above", "interval": "it lies in an interval"}
    if support in words:
        return f"{words[support]}, and its bounds do not belong to it"
    if support == "simplex":
        return "its elements are positive and sum to 1"
    if support == "cholesky_corr":
        return "it is lower triangular, its diagonal is positive and each row has length 1"
    return "its elements increase, inside their support" if support.startswith("ordered") else None


def _refused(message: str, span: Any = None, problem: ProblemLike | None = None, hint: str | None = None) -> PplError:
    return PplError([Diagnostic("PPL806", message, span, hint)], problem.sources if problem is not None else {})
