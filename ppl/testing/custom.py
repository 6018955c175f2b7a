# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""`check_estimator`: estimators from anywhere, of which nothing is known but what they return.

No density, no guide: the one thing to compare with is the ELBO at other parameters. Finite differences have an error
that depends on the step, so what is compared is a segment instead of a point. For every step h, smooth or not,

    (ELBO(theta + h e_k) - ELBO(theta - h e_k)) / 2h  =  the mean of d ELBO / d theta_k over theta_k +- h,

the fundamental theorem of calculus. The left side is estimated with the same key on both ends, the right side with the
estimator at a random place on the segment for each draw. Both are free of bias if the estimator is, and a large h keeps
the left side's noise down, which grows as 1/h where densities jump.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from ppl.infer import SettingsError
from ppl.testing.batches import Params, Plan, batch_fn, batch_means, chosen, flat, labels
from ppl.testing.check import DRAWS, Estimator, precision
from ppl.testing.judge import AGAIN, components, follow_up
from ppl.testing.result import GradientCheck
from ppl.testing.statistics import MIN_BATCHES, Estimate, rounding

SEGMENT = "segment"
EFFORT = 64  # draws of the estimator, over all components, for each draw asked for
FEWEST = 1024  # draws behind a component; if that is too expensive for all, some are drawn with the seed


def check_estimator(
    fn: Estimator,
    params: Params,
    elbo: Callable[[Params, Array], Array] | None = None,
    *,
    step: float = 0.5,
    draws: int = DRAWS,
    seed: int = 0,
    name: str = "estimator",
) -> GradientCheck:
    """Whether ``fn(params, key) -> (elbo, grad)`` is unbiased: `grad` on average the gradient of `elbo` on average.

    `params` is any tree of floating arrays and `grad` has its structure; `fn` must be a pure jax function, of one draw
    or several. ``elbo(params, key)`` is what `fn` returns first unless it is given; equal keys should mean equal base
    draws, or the check has little power. Each component is averaged over a segment of `step` to either side (see the
    module); choose it so that the distribution moves by some of its own width. `draws` is the number of calls of `fn`
    per component, less if there are many parameters; if there are very many, only some are checked.

    Raises :class:`ppl.infer.SettingsError`, a ValueError, for arguments that make no sense.
    """
    if not step > 0:
        raise SettingsError(f"step must be positive, not {step}")
    params = jax.tree.map(jnp.asarray, params)
    names = labels(params)
    if not names:
        raise SettingsError("there are no parameters")
    total = len(names)
    kept = chosen(range(total), max(EFFORT * draws // FEWEST, 1), seed)
    plan = Plan.of(max(min(draws, EFFORT * draws // len(kept)), min(draws, MIN_BATCHES)))
    value = elbo if elbo is not None else lambda p, k: fn(p, k)[0]
    run = batch_fn(_batch(fn, value, step, jnp.asarray(kept), plan.size), params)
    key, count = jax.random.key(seed), len(kept)
    tiny = rounding(precision(params), float(jnp.max(jnp.abs(value(params, key)))) / step)

    def estimates(key: Array, times: int) -> tuple[Estimate, Estimate, Estimate]:
        """Estimate, reference and ELBO."""
        parts = np.split(batch_means(run, key, times * plan.count), [count, 2 * count], axis=1)
        return (
            Estimate.of(parts[0]),
            Estimate.of(parts[1], np.maximum(2 / (times * plan.draws), tiny)),
            Estimate.of(parts[2]),
        )

    found, ends, level = estimates(jax.random.fold_in(key, 0), 1)
    again = jax.random.fold_in(key, 1)
    estimate, reference, suspected = follow_up(found, ends, lambda: estimates(again, AGAIN)[:2])
    names, methods = [names[k] for k in kept], [SEGMENT] * count
    return GradientCheck(
        program=name,
        estimator="custom",
        components=components(names, estimate, reference, np.ones(count), methods, suspected),
        draws=plan.draws,
        reference_draws={SEGMENT: plan.draws},
        seed=seed,
        elbo=float(level.mean[0]),
        elbo_se=float(level.se[0]),
        repeated=int(suspected.sum()),
        of=total,
    )


def _batch(
    fn: Estimator, value: Callable[[Params, Array], Array], step: float, kept: Array, n: int
) -> Callable[[Params, Array], Array]:
    """Batch means, in one vector: the estimates of the components `kept`, their references, the ELBO at the params."""

    def batch(params: Params, key: Array) -> Array:
        theta, unravel = ravel_pytree(params)
        k_components, k_level = jax.random.split(key)

        def component(job: tuple[Array, Array]) -> tuple[Array, Array]:
            k, key = job
            k_place, k_estimate, k_ends = jax.random.split(key, 3)
            # One place in each n-th part of the segment: any of them is uniform, together they vary less.
            places = step * (2 * (jnp.arange(n) + jax.random.uniform(k_place, (n,), theta.dtype)) / n - 1)

            def estimate(place: Array, key: Array) -> Array:
                return flat(fn(unravel(theta.at[k].add(place)), key)[1])[k]

            def ends(key: Array) -> Array:
                high, low = (value(unravel(theta.at[k].add(s)), key) for s in (step, -step))
                return (high - low) / (2 * step)

            estimates = jax.vmap(estimate)(places, jax.random.split(k_estimate, n))
            return jnp.mean(estimates), jnp.mean(jax.vmap(ends)(jax.random.split(k_ends, n)))

        found, references = lax.map(component, (kept, jax.random.split(k_components, len(kept))))
        level = jnp.mean(jax.vmap(lambda k: value(params, k))(jax.random.split(k_level, n)))
        return jnp.concatenate([found, references, level[None]])

    return batch
