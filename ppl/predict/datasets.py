# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false
"""Draws as xarray datasets in ArviZ's schema: dims are (chain, draw, name_dim_0, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray


def draws(values: Mapping[str, Any], chains: bool = False) -> xarray.Dataset:
    """Arrays with a leading axis of draws (with `chains`, of chains and draws)."""
    whole = {k: np.asarray(v) if chains else np.asarray(v)[None] for k, v in values.items()}
    return xarray.Dataset({k: (("chain", "draw", *dims(k, v.ndim - 2)), v) for k, v in whole.items()})


def arrays(values: Mapping[str, Any]) -> xarray.Dataset:
    return xarray.Dataset({k: (dims(k, np.ndim(v)), np.asarray(v)) for k, v in values.items()})


def dims(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_dim_{i}" for i in range(count))


def data(values: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, xarray.Dataset]:
    """The groups ``observed_data`` and ``constant_data`` of all data, those that are observed given."""
    rest = {k: v for k, v in values.items() if k not in observed}
    return {"observed_data": arrays(observed), "constant_data": arrays(rest)}
