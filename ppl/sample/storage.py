# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Samples as netCDF files that ArviZ reads, in the schema of saved fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray

from ppl.predict import datasets
from ppl.sample.result import Samples

if TYPE_CHECKING:
    from ppl.problem import Problem

HEADER, FORMAT = datasets.SAMPLES
_HEADER = ("name", "method", "seed", "warmup", "seconds")


def to_tree(samples: Samples) -> xarray.DataTree:
    """The samples as a DataTree in ArviZ's schema; dims are (chain, draw, name_dim_0, ...)."""
    seen = samples.problem.observed if samples.problem is not None else ()
    groups = {
        "posterior": datasets.draws({**samples.values, **samples.report_values}, chains=True),
        "unconstrained_posterior": datasets.draws(samples.unconstrained, chains=True),
        "sample_stats": datasets.draws(samples.stats, chains=True),
        **datasets.data(samples.observed, {k: v for k, v in samples.observed.items() if k in seen}),
    }
    header = {
        "format": FORMAT, "latents": list(samples.latents), "reports": list(samples.report_values),
        "log_evidence": list(samples.log_evidence), **{k: getattr(samples, k) for k in _HEADER},
    }  # fmt: skip
    root = xarray.Dataset(attrs={
        "inference_library": "pplc", "sample_dims": ["chain", "draw"],
        HEADER: json.dumps(header, sort_keys=True),
    })  # fmt: skip
    return xarray.DataTree.from_dict({"/": root, **groups}, name=samples.name)


def load_samples(path: str | Path, problem: Problem | None = None) -> Samples:
    """Samples that :meth:`Samples.save` wrote. Give the bound `problem` to be able to predict with them.

    Raises OSError if `path` cannot be opened, :class:`ppl.PplError` if it is not such a file.
    """

    def build(header: dict[str, Any], tree: xarray.DataTree) -> Samples:
        posterior = datasets.values(tree, "posterior")
        return Samples(
            latents=tuple(header["latents"]),
            values={k: posterior[k] for k in header["latents"]},
            report_values={k: posterior[k] for k in header["reports"]},
            unconstrained=datasets.values(tree, "unconstrained_posterior"),
            stats=datasets.values(tree, "sample_stats"),
            log_evidence=tuple(header["log_evidence"]),
            observed={**datasets.values(tree, "observed_data"), **datasets.values(tree, "constant_data")},
            problem=problem,
            **{k: header[k] for k in _HEADER},
        )

    return datasets.read(path, HEADER, FORMAT, build)
