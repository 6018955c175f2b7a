"""Pareto smoothed importance sampling: how far a guide may be trusted, and how far its draws can be corrected.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling; the tail is fitted as in Zhang &
Stephens (2009), A new and efficient estimation method for the generalized Pareto distribution. Written here in a few
lines because the library that has it takes a second to import, longer than a small model takes to fit; the tests hold
it against that library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GOOD, BAD = 0.5, 0.7
FEWEST = 25  # draws below which nothing can be said

Floats = NDArray[np.floating[Any]]


def pareto_khat(log_weight: Floats) -> float:
    """k-hat of log weights log p - log q: the shape of a generalised Pareto distribution fitted to the largest.

    NaN where undefined: fewer than FEWEST draws, or weights that are all equal, as when the guide is the posterior.
    0 where only the largest are: weights with a bound that the draws reach.
    """
    return smooth(log_weight)[1]


def smooth(log_weight: Floats) -> tuple[Floats, float]:
    """Normalised log weights with a smoothed tail, in the order given, and k-hat.

    Takes log weights as they are, log p - log q: large means too few draws there. Where k-hat is undefined the weights
    come back normalised only.
    """
    weights = np.asarray(log_weight, dtype=np.float64)
    if weights.size < FEWEST or not np.all(np.isfinite(weights)) or np.ptp(weights) < 1e-9:
        return _normalised(weights), float("nan")
    shifted = weights - weights.max()
    count = int(min(shifted.size / 5, 3 * np.sqrt(shifted.size)))
    order = np.argsort(shifted, kind="stable")
    tail, cutoff = order[-count:], shifted[order[-count - 1]]
    if cutoff < np.log(
        np.finfo(float).tiny
    ):  # weights that underflow: the estimator of Hill (1975) needs no more than logs
        return _normalised(weights), float(shifted[tail].mean() - cutoff)
    excess = np.exp(shifted[tail]) - np.exp(cutoff)
    if excess[-1] <= 0:  # a flat top: no weight is larger than those seen
        return _normalised(weights), 0.0
    k, scale = fit_pareto(np.maximum(excess, np.finfo(float).tiny))
    probability = (np.arange(count) + 0.5) / count
    if np.isfinite(k):
        with np.errstate(over="ignore"):  # an infinite quantile is cut at the largest weight
            quantile = -scale * np.log1p(-probability) if k == 0 else scale * np.expm1(-k * np.log1p(-probability)) / k
        shifted = shifted.copy()
        shifted[tail] = np.minimum(np.log(quantile + np.exp(cutoff)), 0.0)
    return _normalised(shifted), float(k)


def fit_pareto(excess: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution of `excess` (ascending, positive): Zhang & Stephens (2009).

    The shape is drawn towards 0.5 by a weak prior worth ten observations, as PSIS does.
    """
    n = excess.size
    candidates = 30 + int(np.sqrt(n))
    grid = 1 - np.sqrt(candidates / (np.arange(1, candidates + 1) - 0.5))
    grid = grid / (3 * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    shapes = np.mean(np.log1p(-grid[:, None] * excess), axis=1)
    level = n * (np.log(-grid / shapes) - shapes - 1)
    weight = np.exp(level - level.max())
    weight /= weight.sum()
    keep = weight >= 10 * np.finfo(float).eps
    theta = float(np.sum(grid[keep] * weight[keep]) / np.sum(weight[keep]))
    k = float(np.mean(np.log1p(-theta * excess)))
    return k * n / (n + 10) + 10 * 0.5 / (n + 10), -k / theta


def effective_draws(log_weight: Floats) -> float:
    """How many independent draws normalised log weights are worth: 1 / sum of their squares."""
    return float(1 / np.sum(np.exp(2 * log_weight)))


def worth(log_weight: Floats) -> float:
    """Effective draws for each draw, by weights log p - log q as they are: smoothing hides single large ones."""
    return effective_draws(_normalised(log_weight.astype(np.float64))) / log_weight.size


def resample(log_weight: Floats) -> NDArray[np.intp]:
    """Indices of as many draws as there are weights (normalised logarithms), each about as often as its weight says.

    Systematic resampling: no randomness beyond that of the draws.
    """
    count = log_weight.size
    passed = np.cumsum(np.exp(log_weight))
    return np.searchsorted(passed / passed[-1], (np.arange(count) + 0.5) / count)


def _normalised(weights: Floats) -> Floats:
    top = np.max(weights) if weights.size else 0.0
    with np.errstate(invalid="ignore"):
        return weights - (top + np.log(np.sum(np.exp(weights - top))))
