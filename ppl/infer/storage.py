# xarray leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Fits as netCDF files that ArviZ reads: an `xarray.DataTree` with one group per kind of draw.

Numbers that are not draws travel as one JSON attribute of the root, so that nothing of them depends on what netCDF
attributes can hold; params and the trace have a group of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from ppl.infer.boundaries import Boundaries
from ppl.infer.checkpoint import replacing
from ppl.infer.problem import ProblemLike
from ppl.infer.result import Fit, Posterior
from ppl.infer.settings import Settings
from ppl.infer.weighing import Weighing
from ppl.predict import datasets, predict_prior, warn_of

FORMAT = "pplc-fit-1"
_SCALARS = ("name", "elbo", "elbo_se", "steps", "rhat", "nonfinite_steps", "converged", "stop_reason", "seconds")
_MORE = ("compile_seconds", "starts_rhat", "averaging_loss", "nonfinite_where")


def to_tree(fit: Fit) -> xarray.DataTree:
    """The fit as a DataTree in ArviZ's schema; dims are (chain, draw, name_dim_0, ...), one chain."""
    p = fit.posterior
    stats = {"lp": p.log_weight + p.log_q, "log_q": p.log_q, "log_weight": p.log_weight}
    groups = {
        "posterior": datasets.draws({**fit.draws, **fit.reports}),
        "unconstrained_posterior": datasets.draws(p.unconstrained),
        "sample_stats": datasets.draws(stats),
        "constant_data": datasets.arrays({k: v for k, v in fit.observed.items() if np.ndim(v) == 0}),
        "observed_data": datasets.arrays({k: v for k, v in fit.observed.items() if np.ndim(v) > 0}),
        "guide": datasets.arrays(_flat(fit.params)),
        "prior": datasets.draws(fit.prior),
        "optimisation": xarray.Dataset({"trace": ("step", fit.trace), "elbo": ("start", np.asarray(fit.starts))}),
    }
    if fit.boundaries is not None:
        groups["boundary_slopes"] = datasets.arrays(_flat(fit.boundaries.slopes))
        groups["boundary_errors"] = datasets.arrays(_flat(fit.boundaries.errors))
    from ppl import __version__

    root = xarray.Dataset(attrs={
        "inference_library": "pplc",
        "inference_library_version": __version__,
        "sample_dims": ["chain", "draw"],
        "pplc_fit": json.dumps(_header(fit), sort_keys=True),
    })  # fmt: skip
    return xarray.DataTree.from_dict({"/": root, **groups}, name=fit.name)


def _flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{name}": v for part, sites in params.items() for name, v in sites.items()}


def _params(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    params: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        part, _, site = name.partition(".")
        params.setdefault(part, {})[site] = value
    return params


DRAWN = "posterior_predictive", "prior_predictive", "log_likelihood"  # groups that are left out where they are empty


def with_predictions(fit: Fit, tree: xarray.DataTree, seed: int) -> xarray.DataTree:
    """`tree` with what the program predicts and how well, under the posterior draws, and under the prior where that can
    be drawn from.

    Raises as :meth:`Fit.predict`.
    """
    import jax

    if fit.problem is None:
        raise ValueError("a fit read from a file has no model to predict with; pass load_fit(path, problem=...)")
    warn_of(fit.problem)
    k_prior, k_posterior = jax.random.split(jax.random.key(seed))
    posterior = fit.predict(k_posterior)
    seen = datasets.observed_elements(posterior.log_likelihood)
    groups = {
        "posterior_predictive": datasets.draws_of(posterior.observations, seen),
        "log_likelihood": datasets.draws_of(posterior.log_likelihood, seen),
        **datasets.data(fit.observed, posterior.observed, seen),
    }
    if not fit.problem.priors_by_functions:
        prior = predict_prior(fit.problem, k_prior, int(fit.log_weight.shape[0]))
        groups["prior"] = datasets.draws({**prior.latents, **prior.reports})
        groups["prior_predictive"] = datasets.draws_of(prior.observations, seen)
    return tree.assign({k: xarray.DataTree(v, name=k) for k, v in groups.items() if v.data_vars or k not in DRAWN})


def _header(fit: Fit) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **{name: getattr(fit, name) for name in (*_SCALARS, *_MORE)},
        "settings": asdict(fit.settings),
        "latents": list(fit.latents),
        "reports": list(fit.reports),
        "notes": list(fit.notes),
        "branches": [dict(b) for b in fit.branches],
        "guides": [dict(g) for g in fit.guides],
        "choice": fit.choice,
        "devices": fit.devices,
        "weighing": None if fit.weighing is None else asdict(fit.weighing),
        "boundary_noise": None if fit.boundaries is None else list(fit.boundaries.noise),
    }


def save(fit: Fit, path: Path) -> None:
    """Raises OSError if `path` cannot be written; an existing file stays whole in that case."""
    with replacing(path) as temporary:
        datasets.write(to_tree(fit), temporary)


def load_fit(path: str | Path, problem: ProblemLike | None = None) -> Fit:
    """A fit that :meth:`Fit.save` wrote. Give the bound `problem` to be able to call `sample` on it.

    Raises OSError if `path` cannot be opened, :class:`ppl.PplError` if it is not such a file.
    """
    return datasets.read(path, "pplc_fit", FORMAT, lambda header, tree: _fit(header, tree, problem))


def _fit(header: dict[str, Any], tree: xarray.DataTree, problem: ProblemLike | None) -> Fit:
    def values(group: str, index: Any = ()) -> dict[str, Any]:
        return {k: v[index] for k, v in datasets.values(tree, group).items()}

    posterior, stats = values("posterior", 0), values("sample_stats", 0)
    latents, reports = tuple(header["latents"]), tuple(header["reports"])
    path = values("optimisation")
    boundaries = None
    if header.get("boundary_noise") is not None:
        whole, inside = header["boundary_noise"]
        boundaries = Boundaries(_params(values("boundary_slopes")), _params(values("boundary_errors")), (whole, inside))
    return Fit(
        latents=latents,
        settings=Settings(**header["settings"]),
        params=_params(values("guide")),
        posterior=Posterior(
            {k: posterior[k] for k in latents},
            {k: posterior[k] for k in reports},
            values("unconstrained_posterior", 0),
            stats["log_weight"],
            stats["log_q"],
        ),
        trace=path["trace"],
        starts=tuple(path["elbo"].tolist()),
        notes=tuple(header["notes"]),
        branches=tuple(header["branches"]),
        guides=tuple(header.get("guides", ())),
        choice=header.get("choice", ""),
        devices=header.get("devices", 1),
        boundaries=boundaries,
        weighing=Weighing(**header["weighing"]) if header.get("weighing") else None,
        prior=values("prior", 0) if "prior" in tree else {},
        observed={**values("observed_data"), **values("constant_data")},
        problem=problem,
        **{name: header[name] for name in (*_SCALARS, *_MORE)},
    )
