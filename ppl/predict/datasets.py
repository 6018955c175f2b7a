# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false
"""Draws as xarray datasets in ArviZ's schema, dims (chain, draw, name_dim_0, ...), and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray

from ppl.diagnostics import Diagnostic, PplError

T = TypeVar("T")

LEAD = "chain", "draw"
NAME = "program_name"  # attribute of a variable that goes by another name in the file
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
        latents, posterior = tuple(header["latents"]), values(tree, "posterior")
        draws = {k: np.concatenate(posterior[k]) for k in latents}
        free = values(tree, "unconstrained_posterior")
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


def values(tree: xarray.DataTree, group: str) -> dict[str, Any]:
    """The arrays of a group, by their names in the program."""
    return {str(v.attrs.get(NAME, k)): v.values for k, v in tree[group].data_vars.items()}


def _dataset(variables: Mapping[str, tuple[tuple[str, ...], Any]], stored: Mapping[str, str]) -> xarray.Dataset:
    """Arrays with their dimensions, under the names that `_stored` gives them."""
    attrs = {k: {} if stored[k] == k else {NAME: k} for k in variables}
    return _numbered(xarray.Dataset({stored[k]: (*v, attrs[k]) for k, v in variables.items()}))


def _stored(names: Iterable[str], dimensions: Iterable[str]) -> dict[str, str]:
    """The names of variables in a dataset: their own, longer by underscores where a dimension has that name."""
    found = {name: name for name in names}
    reserved = {*LEAD, *dimensions}
    for name in [name for name in found if name in reserved]:
        other = name
        while other in {*reserved, *found, *found.values()}:
            other += "_"
        found[name] = other
    return found


def draws(values: Mapping[str, Any], chains: bool = False) -> xarray.Dataset:
    """Arrays with a leading axis of draws (with `chains`, of chains and draws)."""
    whole = {k: _numbers(v) if chains else _numbers(v)[None] for k, v in values.items()}
    return _whole(whole, LEAD)


def _whole(arrays: Mapping[str, Any], lead: tuple[str, ...] = ()) -> xarray.Dataset:
    variables = {k: ((*lead, *dims(k, np.ndim(v) - len(lead))), v) for k, v in arrays.items()}
    return _dataset(variables, _stored(variables, (d for axes, _ in variables.values() for d in axes)))


def observed_elements(log_likelihood: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `Predicted.log_likelihood` has, (n, *shape): the elements that some path observes, bools (*shape), for
    those names of which there are others."""
    seen = {name: ~np.all(np.isnan(x), axis=0) for name, x in log_likelihood.items()}
    return {name: x for name, x in seen.items() if not x.all()}


def draws_of(values: Mapping[str, Any], seen: Mapping[str, Any]) -> xarray.Dataset:
    """As `draws`, of the elements that are `seen` (see `observed_elements`) alone: ArviZ's loo adds up all that are
    there."""
    return _elements({k: _numbers(x)[None] for k, x in values.items()}, seen, LEAD)


def _elements(arrays: Mapping[str, Any], seen: Mapping[str, Any], lead: tuple[str, ...] = ()) -> xarray.Dataset:
    axes = {d for k, x in arrays.items() for d in dims(k, x.ndim - len(lead))}
    stored = _stored(arrays, {*axes, *map(_along, seen)})
    return _merged([_some(k, x, seen.get(k), lead, stored) for k, x in arrays.items()])


def _along(name: str) -> str:
    return f"{name}_observed"


def _merged(parts: list[xarray.Dataset]) -> xarray.Dataset:
    return xarray.merge(parts, join="exact", compat="no_conflicts")


def _some(name: str, value: Any, seen: Any, lead: tuple[str, ...], stored: Mapping[str, str]) -> xarray.Dataset:
    """One variable with the axes `lead`, and of the others the elements that are `seen`, by its first axes; all where
    that is None. They keep their indices as coordinates; where they do not lie on a grid, they lie along one dimension
    ``NAME_observed``, along which ``NAME_dim_0``, ... are coordinates.
    """
    axes = dims(name, value.ndim - len(lead))
    if seen is None:
        return _dataset({name: ((*lead, *axes), value)}, stored)
    if not seen.any():
        return xarray.Dataset()
    everything, own = (slice(None),) * len(lead), axes[: seen.ndim]
    indices = [np.flatnonzero(seen.any(axis=tuple(a for a in range(seen.ndim) if a != k))) for k in range(seen.ndim)]
    grid = np.ix_(*indices)
    if seen[grid].all():
        kept = _dataset({name: ((*lead, *axes), value[(*everything, *grid)])}, stored)
        return kept.assign_coords(dict(zip(own, indices, strict=True)))
    along = _along(name)
    kept = _dataset({name: ((*lead, along, *axes[seen.ndim :]), value[(*everything, seen)])}, stored)
    return kept.assign_coords({a: (along, i) for a, i in zip(own, np.nonzero(seen), strict=True)})


def arrays(values: Mapping[str, Any]) -> xarray.Dataset:
    return _whole({k: _numbers(v) for k, v in values.items()})


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
    return {
        "observed_data": _elements({k: _numbers(x) for k, x in observed.items()}, seen),
        "constant_data": arrays(rest),
    }
