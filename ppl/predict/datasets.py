# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false
"""Draws as xarray datasets in ArviZ's schema, dims (chain, draw, name_dim_0, ...), and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray

from ppl.diagnostics import Diagnostic, PplError

T = TypeVar("T")

SAMPLES = "pplc_samples", "pplc-samples-1"  # header and format of the draws of a sampler


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


@dataclass(frozen=True, slots=True)
class SavedDraws:
    """The draws of a sampler in a file: of the `latents` by name, (n, *shape), and the same `unconstrained`, (chains,
    draws, *free shape)."""

    name: str
    latents: tuple[str, ...]
    draws: dict[str, Any]
    unconstrained: dict[str, Any]


def read_draws(path: str | Path) -> SavedDraws | None:
    """The draws that `infer --method --out` saved, None if the file is something else. Raises OSError as `read`."""

    def build(header: dict[str, Any], tree: xarray.DataTree) -> SavedDraws:
        def values(group: str) -> dict[str, Any]:
            return {str(k): v.values for k, v in tree[group].data_vars.items()}

        latents, posterior = tuple(header["latents"]), values("posterior")
        draws = {k: np.concatenate(posterior[k]) for k in latents}
        free = values("unconstrained_posterior")
        return SavedDraws(header["name"], latents, draws, {k: free[k] for k in latents})

    try:
        return read(path, *SAMPLES, build)
    except PplError:
        return None


def write(tree: xarray.DataTree, path: Path) -> None:
    """Writes `tree` as netCDF. Raises OSError if `path` cannot be written.

    The file is made in memory: HDF5 cannot close one on a disk that is full, and complains for as long as it lives.
    """
    path.write_bytes(tree.to_netcdf(engine="h5netcdf"))


def draws(values: Mapping[str, Any], chains: bool = False) -> xarray.Dataset:
    """Arrays with a leading axis of draws (with `chains`, of chains and draws)."""
    whole = {k: _numbers(v) if chains else _numbers(v)[None] for k, v in values.items()}
    return _numbered(xarray.Dataset({k: (("chain", "draw", *dims(k, v.ndim - 2)), v) for k, v in whole.items()}))


def observed_elements(log_likelihood: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `Predicted.log_likelihood` has, (n, *shape): the elements that some path observes, bools (*shape), for
    those names of which there are others."""
    seen = {name: ~np.all(np.isnan(x), axis=0) for name, x in log_likelihood.items()}
    return {name: x for name, x in seen.items() if not x.all()}


def draws_of(values: Mapping[str, Any], seen: Mapping[str, Any]) -> xarray.Dataset:
    """As `draws`, of the elements that are `seen` (see `observed_elements`) alone: ArviZ's loo adds up all that are
    there."""
    return _merged([_some(name, _numbers(x)[None], seen.get(name), ("chain", "draw")) for name, x in values.items()])


def _merged(parts: list[xarray.Dataset]) -> xarray.Dataset:
    return xarray.merge(parts, join="exact", compat="no_conflicts")


def _some(name: str, value: Any, seen: Any, lead: tuple[str, ...]) -> xarray.Dataset:
    """One variable with the axes `lead`, and of the others the elements that are `seen`, by its first axes; all where
    that is None. They keep their indices as coordinates; where they do not lie on a grid, they lie along one dimension
    ``NAME_observed``, along which ``NAME_dim_0``, ... are coordinates.
    """
    axes = dims(name, value.ndim - len(lead))
    if seen is None:
        return _numbered(xarray.Dataset({name: ((*lead, *axes), value)}))
    if not seen.any():
        return xarray.Dataset()
    everything, own = (slice(None),) * len(lead), axes[: seen.ndim]
    indices = [np.flatnonzero(seen.any(axis=tuple(a for a in range(seen.ndim) if a != k))) for k in range(seen.ndim)]
    grid = np.ix_(*indices)
    if seen[grid].all():
        kept = _numbered(xarray.Dataset({name: ((*lead, *axes), value[(*everything, *grid)])}))
        return kept.assign_coords(dict(zip(own, indices, strict=True)))
    along = f"{name}_observed"
    kept = _numbered(xarray.Dataset({name: ((*lead, along, *axes[seen.ndim :]), value[(*everything, seen)])}))
    return kept.assign_coords({a: (along, i) for a, i in zip(own, np.nonzero(seen), strict=True)})


def arrays(values: Mapping[str, Any]) -> xarray.Dataset:
    return _numbered(xarray.Dataset({k: (dims(k, np.ndim(v)), _numbers(v)) for k, v in values.items()}))


def _numbers(value: Any) -> Any:
    """As an array, of 0 and 1 for truth values: ArviZ subtracts what it summarises."""
    array = np.asarray(value)
    return array.astype(np.int64) if array.dtype == np.bool_ else array


def _numbered(dataset: xarray.Dataset) -> xarray.Dataset:
    """With numbers from 0 as the coordinates of every dimension: ArviZ selects chains and elements by them."""
    return dataset.assign_coords({dim: np.arange(size) for dim, size in dataset.sizes.items()})


def dims(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_dim_{i}" for i in range(count))


def data(
    values: Mapping[str, Any], observed: Mapping[str, Any], seen: Mapping[str, Any] | None = None
) -> dict[str, xarray.Dataset]:
    """The groups ``observed_data`` and ``constant_data`` of all data, those that are observed given. Of a field with
    elements that are not `seen` (see `observed_elements`) the former has the others and the latter all."""
    seen = seen or {}
    rest = {k: v for k, v in values.items() if k not in observed or k in seen}
    parts = [_some(name, _numbers(x), seen.get(name), ()) for name, x in observed.items()]
    return {"observed_data": _merged(parts), "constant_data": arrays(rest)}
