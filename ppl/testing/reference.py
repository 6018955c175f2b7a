# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""References: estimates of the ELBO's gradient from values of the log density alone.

Both are unbiased for any density, jumps or not, without a step size; neither sees guards or boundaries, so they share
nothing with the estimators that they judge but the density.

score        ``(h - b) * grad log q`` with the mean `b` of the other draws as baseline. All components at the cost of
             one density per draw, and as noisy as `h` is wide.
differences  one latent coordinate at a time. For a normal coordinate u = m + s * e the derivatives of its density are
             differences of two densities, so those of an expectation are differences of two expectations:
             ``d/dm E f = E[f(m + s W) - f(m - s W)] / (s sqrt(2 pi))`` with W Rayleigh distributed, and
             ``d/dlog s E f = E[f(m + s M)] - E[f(m + s e)]`` where M has the density m^2 phi(m); M is drawn given e as
             ``sign(e) * sqrt(e^2 + W^2)``. All other coordinates stay as they are, so their noise cancels. Three
             densities per draw and coordinate. (Weak or measure-valued derivatives: Pflug, Optimization of Stochastic
             Models, 1996; Mohamed, Rosca, Figurnov and Mnih, JMLR 21, 2020, section 6.)

`f` is ``log p + log |dT/du| - log q`` with q kept at the given parameters: its own dependence on them has mean zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from ppl.problem import Problem
from ppl.problem.guides import Params
from ppl.testing.batches import PILOT, BatchFn, Plan, batch_fn, batch_means, chosen, flat
from ppl.testing.statistics import MIN_BATCHES, Estimate, Floats

EFFORT = 64  # densities that `differences` may evaluate for each draw asked for
FEWEST = 256  # draws of `differences`; where that is too expensive in all coordinates, some are left to the score
DIFFERENCES, SCORE = "differences", "score"


@dataclass(frozen=True, slots=True)
class Source:
    """A compiled reference: `fn` returns batch means and then, as many again, the largest absolute values of a draw.

    `floor` (components,) is the least size that an effect no draw has shown may have: that of a jump of one nat.
    """

    fn: BatchFn
    plan: Plan
    floor: Floats

    def estimate(self, key: Array, times: int = 1) -> Estimate:
        """From `times` the planned draws.

        What none of N draws has shown may still have a probability of some 1/N. How large its effect could be nobody
        knows; the largest one seen along the coordinate is the best guess.
        """
        means, largest = np.split(batch_means(self.fn, key, times * self.plan.count), 2, axis=1)
        size = np.maximum(np.nan_to_num(largest.max(axis=0)), self.floor)
        return Estimate.of(means, 2 * size / (times * self.plan.draws))

    def pilot(self, key: Array) -> Floats:
        """The standard errors to expect from the planned draws. The draws behind this are not used again."""
        few = Estimate.of(batch_means(self.fn, key, PILOT))
        return few.se[: len(self.floor)] * math.sqrt(PILOT / self.plan.count)


@dataclass(frozen=True, slots=True)
class Reference:
    """How the reference of each component is computed: `method` (components,) names one of `sources`."""

    sources: Mapping[str, Source]
    method: NDArray[np.str_]

    def estimate(self, key: Array, times: int = 1) -> Estimate:
        """The reference of every component from `times` the planned draws."""
        keys = jax.random.split(key, len(self.sources))
        parts = {name: s.estimate(k, times) for k, (name, s) in zip(keys, self.sources.items(), strict=True)}
        found = next(iter(parts.values()))
        for name, part in parts.items():
            found = part.where(self.method == name, found)
        return found

    @property
    def draws(self) -> dict[str, int]:
        """Draws behind each method."""
        return {name: s.plan.draws for name, s in self.sources.items()}


def make_reference(
    problem: Problem, guide: str, params: Params, draws: int, seed: int, key: Array, units: Floats
) -> Reference:
    """Compiles the references that are needed: for each component the sharper one.

    Differences, if they can afford as many draws as the score has, in all coordinates. Otherwise a pilot run compares
    the two at the draws that each will have; deciding that by the draws that are then judged would bias them.
    """
    plan = Plan.of(draws)
    coordinates = _coordinates(params, draws, seed) if guide == "meanfield" else []
    affordable = min(draws, EFFORT * draws // (3 * len(coordinates) + 1))
    covered = _covered(params, coordinates)
    sources: dict[str, Source] = {}
    if coordinates:
        few = Plan.of(max(affordable, MIN_BATCHES))
        fn = batch_fn(differences_batch(problem, guide, few.size, coordinates), params)
        sources[DIFFERENCES] = Source(fn, few, 1 / units)
        if np.all(covered) and affordable == draws:
            return Reference(sources, np.full(units.shape, DIFFERENCES))
    score = Source(batch_fn(score_batch(problem, guide, plan.size), params), plan, 1 / units)
    method = np.full(units.shape, SCORE)
    if coordinates:
        sharper = sources[DIFFERENCES].pilot(key) <= score.pilot(jax.random.fold_in(key, 1))
        method = np.where(covered & sharper, DIFFERENCES, SCORE)
    sources[SCORE] = score
    return Reference({name: s for name, s in sources.items() if np.any(method == name)}, method)


def _coordinates(params: Params, draws: int, seed: int) -> list[int]:
    """The latent coordinates that `differences` covers: all, or as many, drawn with the seed, as it can afford."""
    size = sum(int(np.size(x)) for x in params["loc"].values())
    return chosen(range(size), EFFORT * draws // (3 * FEWEST), seed)


def _covered(params: Params, coordinates: Sequence[int]) -> NDArray[np.bool_]:
    """Which components of a flat gradient belong to `coordinates`."""
    size = sum(int(np.size(x)) for x in params["loc"].values())
    one = np.isin(np.arange(size), coordinates)
    # Flat parameters are all of loc, then all of log_scale, then those of discrete latents.
    return np.concatenate([one, one, np.zeros(logits_of(params), bool)])


def logits_of(params: Params) -> int:
    """The number of parameters of discrete latents."""
    return sum(int(np.size(x)) for x in params.get("logits", {}).values())


def score_batch(problem: Problem, guide: str, n: int) -> Callable[[Params, Array], Array]:
    """The score function estimator from `n` draws (at least two), with the mean of the others as the baseline of each.

    The batch function returns the means and then, as many again, the largest absolute values of a draw.
    """
    family, m = problem.guide(guide), max(n, 2)

    def log_q(params: Params, u: dict[str, Array]) -> Array:
        return sum((jnp.sum(x) for x in family.at(params, u).log_q.values()), start=jnp.zeros(()))

    def batch(params: Params, key: Array) -> Array:
        u = problem.unconstrained_draws(params, key, m, guide)
        h = jax.vmap(lambda at: problem.log_weight(params, at, guide))(u)
        latents = {k: u[k] for k in (*params["loc"], *params.get("logits", {}))}
        score = jax.vmap(lambda at: flat(jax.grad(log_q)(params, at)))(latents)
        others = (jnp.sum(h) - h) / (m - 1)
        each = (h - others)[:, None] * score
        return jnp.concatenate([jnp.mean(each, axis=0), jnp.max(jnp.abs(each), axis=0)])

    return batch


def differences_batch(
    problem: Problem, guide: str, n: int, coordinates: Sequence[int]
) -> Callable[[Params, Array], Array]:
    """Coordinatewise differences from `n` draws; 0 in components of coordinates that are not among `coordinates`.

    Returns what the function of :func:`score_batch` does. A jump close to the middle of the guide is between `up` and
    `down` in every draw, but between `out` and the draw itself in few: for a scale, the largest value is that of both.
    """
    at_coordinates = jnp.asarray(coordinates)
    discrete = logits_of(problem.init_params(guide))

    def batch(params: Params, key: Array) -> Array:
        k_draws, k_widths = jax.random.split(key)
        u = problem.unconstrained_draws(params, k_draws, n, guide)
        loc, unravel = ravel_pytree(params["loc"])
        scale = jnp.exp(flat(params["log_scale"]))
        z = jax.vmap(lambda at: flat({k: at[k] for k in params["loc"]}))(u)
        noise = {k: v for k, v in u.items() if k not in params["loc"]}
        rayleigh = jnp.sqrt(2 * jax.random.exponential(k_widths, (n, len(coordinates)), loc.dtype))

        def f(rows: Array) -> Array:
            return jax.vmap(lambda row, e: problem.log_weight(params, {**e, **unravel(row)}, guide))(rows, noise)

        base = f(z)

        def coordinate(job: tuple[Array, Array]) -> Array:
            k, w = job
            e = (z[:, k] - loc[k]) / scale[k]
            wide = jnp.sign(e) * jnp.sqrt(e**2 + w**2)
            up, down, out = jax.vmap(lambda x: f(z.at[:, k].set(loc[k] + scale[k] * x)))(jnp.stack([w, -w, wide]))
            d_loc, d_scale = (up - down) / (scale[k] * math.sqrt(2 * math.pi)), out - base
            across, outward = jnp.max(jnp.abs(d_loc)), jnp.max(jnp.abs(d_scale))
            most = jnp.maximum(outward, across * scale[k] * math.sqrt(2 * math.pi))
            return jnp.stack([jnp.mean(d_loc), jnp.mean(d_scale), across, most])

        found = lax.map(coordinate, (at_coordinates, rayleigh.T))
        parts = jnp.zeros((4, loc.size), loc.dtype).at[:, at_coordinates].set(found.T)
        others = jnp.zeros(discrete, loc.dtype)  # the differences move no discrete latent
        return jnp.concatenate([parts[0], parts[1], others, parts[2], parts[3], others])

    return batch
