# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Estimators of the ELBO's gradient, each as a scalar whose value is an ELBO sample and whose gradient is the estimate.

combined  the reparameterisation gradient inside the regions plus the boundary terms: unbiased. Terms behind a branch
          that is unbounded at its own guard, where no boundary term exists, take the score estimator instead. Terms
          that use a latent through guards alone may have it integrated out: then nothing jumps in them
interior  the former alone, which is what plain automatic differentiation gives: biased if a guard moves
score     ``h * grad log q`` (REINFORCE): unbiased and noisy

Sticking the landing (`stl`; Roeder, Wu & Duvenaud 2017) drops from the first two what the density of the guide depends
on the parameters by itself, at a fixed point: ``grad_theta log q(u; theta)``, which is zero on average. That holds with
latents in branches too, where log q on a path is the guide's marginal over the latents E that exist there. Whether a
path is taken is decided by latents that exist on it (and by noise), so R_E, the points u with that path, restricts u_E
alone, and

    E[grad log q_E(u_E)] = sum_E int_{R_E} grad q_E(u_E) du_E = grad sum_E Q(R_E) = grad 1 = 0

with R_E held fixed: the sets R_E are a partition of space, and q_E integrates over R_E to its probability because q_E
is the marginal of q. What depends on the parameters through u, jumps of log q included, stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, ModuleType
from typing import Any

import jax
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.problem.guides import Guide, Params
from ppl.runtime import blocks, prefix
from ppl.runtime.batches import Batch
from ppl.runtime.point import Point
from ppl.runtime.records import Draw
from ppl.runtime.surface import gradient_alone, log_density, outcomes, still

ESTIMATORS = ("combined", "interior", "score")
NO_BATCHES: Mapping[int, Batch] = MappingProxyType({})


def surrogate(
    code: ModuleType,
    guide: Guide,
    estimator: str,
    params: Params,
    eps: Mapping[str, Array],
    noise: Mapping[str, Array],
    data: Mapping[str, Any],
    size: Mapping[str, int],
    stl: bool = False,
    marginalise: bool = True,
    boundaries: ArrayLike | None = None,
    rows: int | None = None,
    offset: Array | None = None,
    batches: Mapping[int, Batch] = NO_BATCHES,
    budgets: Sequence[int | None] = (),
) -> Array:
    """One sample of the ELBO, with the gradient of `estimator`. The score estimator has nothing that `stl` drops;
    `marginalise` concerns the combined one, and so does `boundaries`, the weight of all that comes from boundaries (1
    if None). With 0 the gradient is on average that of the interior estimator, but for terms that take the score.
    `rows`: how many iterations of a long loop to evaluate at a time, if not all. `offset`: uniform on (0, 1), the same
    for all draws of a batch. `batches`: of which loops a subset of the iterations stands for all; they are drawn
    independently of all else, so that every estimator, a sum over the iterations in its terms, keeps its mean.
    `budgets`: how many instances of each boundary are evaluated of which each evaluates the program anew, None for all
    of them; all of all where it is empty."""
    point = replace(
        guide.point(params, eps, stl), rows=rows, offset=offset, batches=batches, budgets=budgets, program_rows=rows
    )
    if estimator == "score":
        return score(code, guide, code.TERMS, params, point, noise, data, size)
    at = _with(point, noise)
    # The gradient of -log q in the probabilities of a discrete latent is zero on average: noise, left out.
    fixed = {k: lax.stop_gradient(v) for k, v in at.log_probabilities.items()}
    inside = replace(at, log_probabilities=fixed)
    main = code.model(inside, data, size)
    if estimator == "interior":
        return density(code, code.TERMS, inside, main, data, size)
    integrated = integrable(code, guide) if marginalise else frozenset[str]()
    at = replace(at, rows=blocks.unless_moving(main, rows))
    surface = code.boundary(_evaluating(code, at, main, data, size), data, size, main, integrated)
    scored: tuple[str, ...] = getattr(code, "SCORED", ())
    h = density(code, [t for t in code.TERMS if t not in scored and t not in integrated], inside, main, data, size)
    if integrated:
        h = h + code.expected(replace(inside, boundaries=boundaries, rows=at.rows), data, size, main, integrated)
    if scored:
        h = h + score(code, guide, scored, params, point, noise, data, size)
    crossing = gradient_alone(surface)
    return h + (crossing if boundaries is None else boundaries * crossing)


def density(
    code: ModuleType, terms: Sequence[str], at: Point, main: Mapping[str, Any], data: Mapping[str, Any],
    size: Mapping[str, int],
) -> Array:  # fmt: skip
    """The sum of `terms`, from prefix sums of the data where these were made."""
    made = frozenset(t for t in getattr(code, "SUMMED", ()) if t in terms and prefix.has(data, t))
    h = log_density(main, tuple(t for t in terms if t not in made))
    return h + code.summed(at, data, size, main, made) if made else h


def integrable(code: ModuleType, guide: Guide) -> frozenset[str]:
    """The terms of which latents can be integrated out under this guide."""
    found: Mapping[str, tuple[str, ...]] = getattr(code, "INTEGRABLE", {})
    alone: tuple[str, ...] = getattr(code, "ALONE", ())

    def can(term: str, site: str) -> bool:
        return site not in code.SITES or (guide.conditional if term in alone else guide.independent)(site)

    return frozenset(t for t, sites in found.items() if all(can(t, s) for s in sites))


def unread(code: ModuleType, guide: Guide, estimator: str, marginalise: bool) -> frozenset[str]:
    """Noise that nothing in an estimate reads: it is integrated out of all that it decides."""
    if estimator != "combined" or not marginalise:
        return frozenset()
    integrated, found = integrable(code, guide), getattr(code, "NOISE", {})
    return frozenset(name for name, terms in found.items() if integrated.issuperset(terms))


def score(
    code: ModuleType, guide: Guide, terms: tuple[str, ...], params: Params, drawn: Point,
    noise: Mapping[str, Array], data: Mapping[str, Any], size: Mapping[str, int],
) -> Array:  # fmt: skip
    """The sum of `terms` at the draw of a point, with the gradient of the score function estimator."""
    fixed = guide.at(params, {k: lax.stop_gradient(v) for k, v in drawn.u.items()})
    point = replace(fixed, rows=drawn.rows, batches=drawn.batches)
    out = code.model(_with(point, noise), data, size)
    # log q enters the density with a minus sign, where the path draws it and nowhere else.
    minus_log_q = density(code, code.TERMS, point, out, data, size)
    h = lax.stop_gradient(density(code, terms, point, out, data, size))
    return h - h * (minus_log_q - lax.stop_gradient(minus_log_q))


def _with(point: Point, noise: Mapping[str, Array]) -> Point:
    return replace(point, u={**point.u, **noise})


def _evaluating(
    code: ModuleType, at: Point, main: Mapping[str, Any], data: Mapping[str, Any], size: Mapping[str, int]
) -> Point:
    """`at`, able to evaluate the program at other values on the path of `main`."""
    if not at.lines:
        return at
    path = still(outcomes(main))

    @jax.jit  # traced once, not for every boundary
    def model(u: Mapping[str, Array]) -> dict[str, Any]:
        out = code.model(replace(at.still(), u=u), data, size, path)
        return {k: v for k, v in out.items() if not isinstance(v, Draw)}

    return replace(at, model=model)
