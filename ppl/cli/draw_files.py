# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false
"""Predictive draws as files: netCDF in ArviZ's schema, CSV with a row per draw, JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl.cli.tables import label
from ppl.infer.checkpoint import replacing
from ppl.infer.summary import plain
from ppl.predict.predicted import Array, Predicted


def write(drawn: Predicted, data: Mapping[str, Any], path: Path, prior: bool) -> None:
    """Writes the draws in the format that the suffix of `path` names, .nc, .csv or .json. Replaces atomically.

    Raises OSError if `path` cannot be written, ValueError for another suffix.
    """
    writers = {".nc": _netcdf, ".csv": _csv, ".json": _json}
    if path.suffix not in writers:
        raise ValueError(f"{path.name} ends in none of {', '.join(writers)}")
    with replacing(path) as temporary:
        writers[path.suffix](drawn, data, temporary, prior)


def _netcdf(drawn: Predicted, data: Mapping[str, Any], path: Path, prior: bool) -> None:
    import xarray

    from ppl.predict import datasets

    kind = "prior" if prior else "posterior"
    seen = datasets.observed_elements(drawn.log_likelihood)
    groups = {kind: datasets.draws({**drawn.latents, **drawn.reports}), **datasets.data(data, drawn.observed, seen)}
    if drawn.observations:
        groups[f"{kind}_predictive"] = datasets.draws_of(drawn.observations, seen)
    if not prior and drawn.log_likelihood:
        groups["log_likelihood"] = datasets.draws_of(drawn.log_likelihood, seen)
    root = xarray.Dataset(attrs={"inference_library": "pplc", "sample_dims": ["chain", "draw"]})
    datasets.write(xarray.DataTree.from_dict({"/": root, **groups}), path)


def _csv(drawn: Predicted, data: Mapping[str, Any], path: Path, prior: bool) -> None:
    """Columns are called as in tables, ``w[0, 1]``; what is not a number is left empty."""
    del data, prior
    columns: dict[str, Array] = {}
    for name, values in _quantities(drawn):
        for index in np.ndindex(values.shape[1:]):
            columns[label(name, index)] = values[(slice(None), *index)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        lists = [c.tolist() for c in columns.values()]
        writer.writerows(["" if v != v else repr(v) for v in row] for row in zip(*lists, strict=True))


def _json(drawn: Predicted, data: Mapping[str, Any], path: Path, prior: bool) -> None:
    """``{name: [draw, ...]}``, null for what is not a finite number."""
    del data, prior
    values = {name: plain(x) for name, x in _quantities(drawn)}
    path.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")


def _quantities(drawn: Predicted) -> Iterator[tuple[str, Array]]:
    """Latents and reports, then observations; a report that has the name of a latent comes as ``report NAME``."""
    yield from drawn.latents.items()
    taken = {*drawn.latents, *drawn.observations}
    for name, values in drawn.reports.items():
        yield (f"report {name}" if name in taken else name), values
    yield from drawn.observations.items()
