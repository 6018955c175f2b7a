# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Estimators of the ELBO's gradient, each as a scalar whose value is an ELBO sample and whose gradient is the estimate.

combined  the reparameterisation gradient inside the regions plus the boundary terms: unbiased. Terms behind a branch
          that is unbounded at its own guard, where no boundary term exists, take the score estimator instead
interior  the former alone, which is what plain automatic differentiation gives: biased if a guard moves
score     ``h * grad log q`` (REINFORCE): unbiased and noisy
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from jax import Array, lax

from ppl.problem.guides import MeanField, Params
from ppl.runtime.surface import log_density

ESTIMATORS = ("combined", "interior", "score")


def surrogate(
    code: ModuleType,
    guide: MeanField,
    estimator: str,
    params: Params,
    eps: Mapping[str, Array],
    noise: Mapping[str, Array],
    data: Mapping[str, Any],
    size: Mapping[str, int],
) -> Array:
    """One sample of the ELBO, with the gradient of `estimator`."""
    point = guide.point(params, eps)
    if estimator == "score":
        return score(code, guide, code.TERMS, params, point.u, noise, data, size)
    at = _with(point, noise)
    # The gradient of -log q in the probabilities of a discrete latent is zero on average: noise, left out.
    fixed = {k: lax.stop_gradient(v) for k, v in at.log_probabilities.items()}
    main = code.model(replace(at, log_probabilities=fixed), data, size)
    h = log_density(main, code.TERMS)
    if estimator == "interior":
        return h
    surface = code.boundary(at, data, size, main)
    scored: tuple[str, ...] = getattr(code, "SCORED", ())
    if scored:
        smooth = log_density(main, tuple(t for t in code.TERMS if t not in scored))
        h = smooth + score(code, guide, scored, params, point.u, noise, data, size)
    return h + surface - lax.stop_gradient(surface)


def score(
    code: ModuleType, guide: MeanField, terms: tuple[str, ...], params: Params, u: Mapping[str, Array],
    noise: Mapping[str, Array], data: Mapping[str, Any], size: Mapping[str, int],
) -> Array:  # fmt: skip
    """The sum of `terms` at the draw `u`, with the gradient of the score function estimator."""
    point = guide.at(params, {k: lax.stop_gradient(v) for k, v in u.items()})
    out = code.model(_with(point, noise), data, size)
    # log q enters the density with a minus sign, where the path draws it and nowhere else.
    minus_log_q = log_density(out, code.TERMS)
    h = lax.stop_gradient(log_density(out, terms))
    return h - h * (minus_log_q - lax.stop_gradient(minus_log_q))


def _with(point: Any, noise: Mapping[str, Array]) -> Any:
    return replace(point, u={**point.u, **noise})
