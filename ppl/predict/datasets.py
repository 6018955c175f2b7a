# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false
"""Draws as xarray datasets in ArviZ's schema, dims (chain, draw, name_dim_0, ...), and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray

from ppl.diagnostics import Diagnostic, PplError

T = TypeVar("T")


def read(path: str | Path, header: str, form: str, build: Callable[[dict[str, Any], xarray.DataTree], T]) -> T:
    """``build(header, tree)`` of a saved file, whose attribute `header` is JSON with ``"format": form``.

    Raises OSError if `path` cannot be opened, :class:`ppl.PplError` (PPL804) if it is something else or damaged.
    """
    path = Path(path)
    with path.open("rb"):
        pass  # so that a missing or forbidden file says so, whatever the netCDF library makes of it
    try:
        tree = xarray.open_datatree(path, engine="h5netcdf")
        with tree:
            tree.load()
        found = json.loads(tree.attrs[header])
        if found["format"] != form:
            raise ValueError(found["format"])
        return build(found, tree)
    except (OSError, KeyError, ValueError, TypeError) as error:
        message = f"{path} is not a fit saved by this program, or it is damaged"
        raise PplError([Diagnostic("PPL804", message)]) from error


def draws(values: Mapping[str, Any], chains: bool = False) -> xarray.Dataset:
    """Arrays with a leading axis of draws (with `chains`, of chains and draws)."""
    whole = {k: np.asarray(v) if chains else np.asarray(v)[None] for k, v in values.items()}
    return _numbered(xarray.Dataset({k: (("chain", "draw", *dims(k, v.ndim - 2)), v) for k, v in whole.items()}))


def arrays(values: Mapping[str, Any]) -> xarray.Dataset:
    return _numbered(xarray.Dataset({k: (dims(k, np.ndim(v)), np.asarray(v)) for k, v in values.items()}))


def _numbered(dataset: xarray.Dataset) -> xarray.Dataset:
    """With numbers from 0 as the coordinates of every dimension: ArviZ selects chains and elements by them."""
    return dataset.assign_coords({dim: np.arange(size) for dim, size in dataset.sizes.items()})


def dims(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_dim_{i}" for i in range(count))


def data(values: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, xarray.Dataset]:
    """The groups ``observed_data`` and ``constant_data`` of all data, those that are observed given."""
    rest = {k: v for k, v in values.items() if k not in observed}
    return {"observed_data": arrays(observed), "constant_data": arrays(rest)}
