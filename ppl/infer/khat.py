"""Pareto k-hat of importance weights: how far a guide may be trusted as a stand-in for the posterior."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

GOOD, BAD = 0.5, 0.7


def pareto_khat(log_weight: NDArray[np.floating[Any]]) -> float:
    """k-hat of log weights log p - log q (Vehtari et al., Pareto smoothed importance sampling); NaN where undefined.

    Undefined: fewer than 25 draws, or weights that are all equal, as when the guide is the posterior itself.
    """
    weights = np.asarray(log_weight, dtype=np.float64)
    if weights.size < 25 or not np.all(np.isfinite(weights)) or np.ptp(weights) < 1e-9:
        return float("nan")
    from arviz_stats.base.array import array_stats  # here: it takes a second to import

    # psislw takes log likelihoods and negates them: given log weights as they are, it finds every fit perfect.
    smoothed = cast(Any, array_stats).psislw(-weights)  # its own annotations do not say what comes back
    return float(smoothed[1])


def khat_in_words(khat: float) -> str:
    """What a k-hat means for the user, in one clause."""
    if np.isnan(khat):
        return "not defined here"
    if khat < GOOD:
        return "good: the guide is close to the posterior"
    if khat < BAD:
        return "usable: the guide is narrower than the posterior in places"
    return "poor: the guide misses part of the posterior; its intervals are too narrow"
