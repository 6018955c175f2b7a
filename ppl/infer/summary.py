"""Posterior summaries: moments and quantiles of draws, over the draws in which a quantity exists."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
COLUMNS = ("mean", "sd", "q5", "q50", "q95", "exists")


def summarise(draws: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """``{name: {mean, sd, q5, q50, q95, exists}}``, each an array of the quantity's shape, NaN where it never exists.

    Draws have shape (n, *shape) and are NaN where the quantity does not exist; `exists` is the share that are not.
    """
    return {name: _summary(np.asarray(values, dtype=np.float64)) for name, values in draws.items()}


def _summary(values: Array) -> dict[str, Array]:
    with warnings.catch_warnings():  # an element that exists in no draw, or in one: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        # Of nothing, NumPy's quantile forgets how many were asked for.
        quantiles = (
            np.nanquantile(values, [0.05, 0.5, 0.95], axis=0) if values.size else np.empty((3, *values.shape[1:]))
        )
        low, middle, high = quantiles
        mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    exists = np.mean(~np.isnan(values), axis=0)
    return dict(zip(COLUMNS, map(np.asarray, (mean, sd, low, middle, high, exists)), strict=True))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays as nested lists, what is not a finite number as None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in sorted(cast(dict[str, Any], value).items())}
    if isinstance(value, np.ndarray):
        return plain(cast(Array, value).tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast(list[Any], value)]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
