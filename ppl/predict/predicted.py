# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What a program makes of draws of its latents: values, replicated observations, pointwise log likelihoods."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ppl.diagnostics import Diagnostic, PplError, Span, render

if TYPE_CHECKING:
    import jax

    from ppl.problem import Replay

Array = NDArray[Any]


class SiteLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def support(self) -> str: ...
    @property
    def free(self) -> tuple[int, ...]: ...
    @property
    def noise(self) -> bool: ...
    @property
    def span(self) -> Span | None: ...


class Replayable(Protocol):
    """What is needed of a problem; `ppl.problem.Problem` is one."""

    @property
    def sites(self) -> Sequence[SiteLike]: ...
    @property
    def observed(self) -> tuple[str, ...]: ...
    @property
    def observed_lines(self) -> Mapping[str, tuple[Span, ...]]: ...
    @property
    def unreplicated(self) -> Mapping[str, tuple[tuple[str, Span], ...]]: ...
    @property
    def priors_by_functions(self) -> tuple[tuple[str, Span], ...]: ...
    @property
    def read_elsewhere(self) -> Mapping[str, Span]: ...
    @property
    def reports(self) -> tuple[str, ...]: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def sizes(self) -> Mapping[str, int]: ...
    @property
    def sources(self) -> Mapping[str, str]: ...

    def replays(self, u: Mapping[str, Any], n: int, key: jax.Array | None = None) -> Replay: ...
    def known_prior(self) -> None: ...
    def prior_draws(self, key: jax.Array, n: int) -> dict[str, jax.Array]: ...


@dataclass(frozen=True, slots=True)
class Predicted:
    """Everything in program order. Leading axis n everywhere, except in `observed`, the values that were observed.

    `latents` and `reports` as in a fit. `observations`: draws in the shape of the data field, ints for a field of ints;
    NaN (and then reals) where a path does not observe an element, or where its distribution is not defined there, as
    after an overflow; without those that `problem.unreplicated` names. `log_likelihood`: one entry per element, or per
    vector observed as one; 0 where the path does not observe it, NaN if no path does. `undefined`: the share of
    replicates that are NaN although they are observed.
    """

    latents: dict[str, Array]
    reports: dict[str, Array]
    observations: dict[str, Array]
    log_likelihood: dict[str, Array]
    observed: dict[str, Array]
    undefined: float


def predict(problem: Replayable, u: Mapping[str, Any], n: int, key: jax.Array | None) -> Predicted:
    """What `problem` makes of `n` draws of all sites, unconstrained. Without `key` it draws no observations.

    Observations from a distribution without a sampler are left out, see `notes_on`. Raises PplError if the same element
    is observed twice on one path, so that it has no one replicate.
    """
    found = problem.replays(u, n, key)
    names = problem.observed
    parts = {name: found.observations[name] for name in names}
    times = {name: np.asarray(parts[name].times) for name in names}
    if key is not None:
        _once(problem, {k: v for k, v in times.items() if k not in problem.unreplicated})
    observations: dict[str, Array] = {}
    missing = total = 0
    for name in names:
        replicate = parts[name].replicate
        if replicate is None:
            continue
        values, present = np.asarray(replicate), times[name] > 0
        missing += int(np.sum(np.isnan(values) & present))
        total += int(np.sum(present))
        observations[name] = _as(values, _kind(problem, name))
    likelihood = {name: _likelihood(np.asarray(parts[name].log_likelihood), times[name]) for name in names}
    return Predicted(
        {s.name: np.asarray(found.latents[s.name]) for s in problem.sites if not s.noise},
        {k: np.asarray(found.reports[k]) for k in problem.reports},
        observations,
        likelihood,
        {name: _observed(problem, name, np.asarray(parts[name].value)) for name in names},
        missing / total if total else 0.0,
    )


def predict_prior(problem: Replayable, key: jax.Array, n: int, *, replicate: bool = True) -> Predicted:
    """`predict` for `n` draws from the prior. Raises PplError where it cannot be drawn from."""
    import jax

    problem.known_prior()

    k_prior, k_data = jax.random.split(key)
    return predict(problem, problem.prior_draws(k_prior, n), n, k_data if replicate else None)


def notes_on(problem: Replayable) -> tuple[Diagnostic, ...]:
    """What a reader of replicated data has to know: which observations have no replicates, and which replicates are
    drawn given data that were observed."""
    given = (
        Diagnostic(
            "PPL812",
            f"`{name}` is also read here, as it was observed: its replicates are drawn given these values",
            span,
            "they are predictions of each element from the data around it, not simulations of a new data set",
            "note",
        )
        for name, span in problem.read_elsewhere.items() if name not in problem.unreplicated
    )  # fmt: skip
    return (*without_replicates(problem), *given)


def without_replicates(problem: Replayable) -> tuple[Diagnostic, ...]:
    """A warning for each statement that keeps an observation from having replicates."""
    return tuple(
        Diagnostic(
            "PPL811",
            f"`{name}` has no replicates: `{law}` is a density of the program, with no way to draw from it",
            span,
            f"write `fn {law}_rng(...)`, which draws from it",
            "warning",
        )
        for name, found in problem.unreplicated.items() for law, span in found
    )  # fmt: skip


def warn_of(problem: Replayable) -> None:
    """As a warning of Python, for those who ask for replicates from there."""
    found = without_replicates(problem)
    if found:
        warnings.warn(render(found, problem.sources, False), stacklevel=3)


def _once(problem: Replayable, times: Mapping[str, Array]) -> None:
    for name, count in times.items():
        if count.size and count.max() > 1:
            lines = sorted({s.line for s in problem.observed_lines[name]})
            where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines))}"
            text = f"an element of `{name}` is observed more than once on one path ({where}): it has no one replicate"
            hint = "observe a copy of the data under another name"
            span = problem.observed_lines[name][0]
            raise PplError([Diagnostic("PPL811", text, span, hint)], problem.sources)


def _likelihood(values: Array, times: Array) -> Array:
    """NaN for what no path observes."""
    never = times.max(axis=0, initial=0) == 0
    never = never.all(axis=tuple(range(values.ndim - 1, never.ndim)))  # an entry for a vector has several times
    return np.where(never, np.nan, values)


def _observed(problem: Replayable, name: str, values: Array) -> Array:
    """The data, or what was computed from them: the same on every path that observes it."""
    if name in problem.data or name in problem.sizes:
        return np.asarray(problem.data.get(name, problem.sizes.get(name)))
    out = values[0]
    for row in values[1:]:
        if not np.isnan(out).any():
            break
        out = np.where(np.isnan(out), row, out)
    return np.asarray(out)


def _kind(problem: Replayable, name: str) -> str:
    known = problem.data.get(name, problem.sizes.get(name, 0.0))  # else it is computed
    return np.asarray(known).dtype.kind


def _as(values: Array, kind: str) -> Array:
    return values.astype(np.int64) if kind in "iub" and np.all(np.isfinite(values)) else values
