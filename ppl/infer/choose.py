"""``guide="auto"``: fits the guides that make sense for a program, compares them, and keeps the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppl.diagnostics import InferenceError
from ppl.infer.result import Fit

Array = NDArray[Any]

PLAIN, FLOW = "meanfield", "flow"
FULL = 60  # latents up to which all their covariances are fitted; beyond, those along a few directions
COUPLED = 0.2  # rank correlation of neighbours under the prior from which an array is taken for a time series
WORTH = 0.1  # nats: a richer guide has to bring more than this, and than twice the error of the difference


def fit_best(fit_one: Callable[[str, Fit | None], Fit], own: str | None = None) -> Fit:
    """The best of the fits ``fit_one(guide, start)``, with the comparison in its `guides` and `choice`.

    The mean-field guide comes first, then the program's `own`; all others start where the first ended. Where both
    dependence and a flow are worth it, there is one with both, from where the dependent one ended. Raises
    :class:`InferenceError` if the first fails.
    """
    plain = fit_one(PLAIN, None)
    fits, failed = [plain], list[dict[str, Any]]()

    def attempt(guide: str, start: Fit) -> None:
        try:
            fits.append(fit_one(guide, start))
        except InferenceError as error:
            failed.append({"guide": guide, "failed": error.diagnostics[0].message})

    for guide in ([] if own is None else [own]) + richer(plain):
        attempt(guide, plain)
    dependent = best_of([f for f in fits if f.settings.guide not in (FLOW, own)])
    if dependent is not plain and any(f.settings.guide == FLOW and clearly(f, plain) for f in fits):
        attempt(f"{FLOW}:{dependent.settings.guide}", dependent)
    best = best_of(fits)
    rows = [
        {
            "guide": f.settings.guide, "elbo": f.elbo, "elbo_se": f.elbo_se, "khat": f.khat, "converged": f.converged,
            "steps": f.steps, "seconds": f.seconds, "chosen": f is best,
        }
        for f in fits
    ]  # fmt: skip
    return replace(
        best,
        guides=(*rows, *failed),
        choice=in_words(fits, best),
        seconds=sum(f.seconds for f in fits),
        compile_seconds=sum(f.compile_seconds for f in fits),
    )


def richer(plain: Fit) -> list[str]:
    """The guides that a program is fitted with beside the mean-field one, of which `plain` is the fit: a flow, the
    chain for arrays whose neighbours depend on each other under the prior, and full or low rank by the number of
    latents."""
    count = sum(int(np.size(x)) for x in plain.params["loc"].values())
    guides = [FLOW] if count else []
    if count < 2:
        return guides
    guides += ["chain"] if any(abs(c) > COUPLED for c in _couplings(plain)) else []
    return [*guides, "fullrank" if count <= FULL else "lowrank"]


def _couplings(plain: Fit) -> Iterator[float]:
    """For every array of continuous latents the rank correlation of its neighbours under the prior, the median one."""
    for name in plain.params["loc"]:
        draws = np.asarray(plain.prior.get(name, np.zeros((0,))), np.float64)
        if draws.ndim < 2 or draws.shape[1] < 2:
            continue
        before, after = (x.reshape(len(draws), -1) for x in (draws[:, :-1], draws[:, 1:]))
        pairs = [_rank_correlation(a, b) for a, b in zip(before.T, after.T, strict=True)]
        known = [c for c in pairs if np.isfinite(c)]
        if known:
            yield float(np.median(known))


def _rank_correlation(a: Array, b: Array) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 10:
        return float("nan")
    ranks = [np.argsort(np.argsort(x[both])).astype(float) for x in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def best_of(fits: Sequence[Fit]) -> Fit:
    """The fit with the highest ELBO, or an earlier, simpler one if that is as good. One that has converged goes before
    one that has not."""
    settled = [f for f in fits if f.converged] or list(fits)
    best = settled[0]
    for other in settled[1:]:
        if clearly(other, best):
            best = other
    return best


def clearly(fit: Fit, other: Fit) -> bool:
    """Whether the ELBO of the first is higher by more than what is not worth it."""
    gain, error = gain_of(fit, other)
    return gain > max(WORTH, 2 * error)


def gain_of(fit: Fit, other: Fit) -> tuple[float, float]:
    """How much higher the ELBO of the first is, and the standard error of that."""
    return fit.elbo - other.elbo, float(np.hypot(fit.elbo_se, other.elbo_se))


def in_words(fits: Sequence[Fit], best: Fit) -> str:
    """Why the guide of `best` was chosen."""
    name = best.settings.guide
    others = [(f.settings.guide, *gain_of(best, f)) for f in fits if f is not best]
    if not others:
        return f"{name}: there is nothing to compare it with"
    why = "the highest ELBO" if all(gain >= 0 for _, gain, _ in others) else "the simplest that none beats clearly"
    return f"{name}, {why}: {', '.join(f'{gain:+.2f} +- {error:.2f} on {other}' for other, gain, error in others)}"
