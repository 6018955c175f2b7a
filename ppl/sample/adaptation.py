# jax and blackjax leave some of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false
"""Step sizes for a density that jumps.

Stan's warmup lowers the step size until most of a trajectory is accepted. Where the density jumps, part of every
trajectory is rejected however small the steps, so it lowers it until the longest trajectory no longer reaches a jump,
and the chain crawls. What the step size has to fit is the smooth part of the density. There, the potential difference
is the work that the gradient does along the way; a jump does no work. So warmup is told the acceptance rate with work
in place of the potential difference, on a short trajectory of its own. Afterwards the acceptance step meets the jumps,
as ever, and the draws are right for any step size.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

STEPS = 8  # leapfrog steps of the trajectory on which the rate is found
LEAST = 0.01  # of real trajectories: if less is accepted, crossing jumps leads nowhere, and smaller steps are better
TARGET = 0.8


def for_jumps() -> Any:
    """BlackJAX's NUTS, as ``window_adaptation`` takes it, whose acceptance rate is that of the smooth part."""
    import blackjax

    def build_kernel(integrator: Any) -> Callable[..., Any]:
        nuts = blackjax.nuts.build_kernel(integrator)

        def kernel(key: Array, state: Any, log_density: Any, step_size: Any, inverse_mass_matrix: Array) -> Any:
            k_step, k_rate = jax.random.split(key)
            new, info = nuts(k_step, state, log_density, step_size, inverse_mass_matrix)
            rate = smooth_rate(k_rate, state, log_density, step_size, inverse_mass_matrix)
            rate = jnp.minimum(rate, info.acceptance_rate * (TARGET / LEAST))
            return new, info._replace(acceptance_rate=rate)

        return kernel

    return SimpleNamespace(init=blackjax.nuts.init, build_kernel=build_kernel)


def smooth_rate(key: Array, state: Any, log_density: Any, step_size: Any, inverse_mass_matrix: Array) -> Array:
    """The mean acceptance probability over a trajectory of STEPS leapfrog steps from `state`, of a density without the
    jumps of `log_density`. The work along each step is found by Simpson's rule: an error of order 5 in the step size,
    where that of leapfrog is of order 3. `inverse_mass_matrix` is the diagonal.
    """
    first, unravel = ravel_pytree(state.position)
    slope, _ = ravel_pytree(state.logdensity_grad)

    def gradient(x: Array) -> Array:
        return ravel_pytree(jax.grad(log_density)(unravel(x)))[0]

    def kinetic(p: Array) -> Array:
        return 0.5 * jnp.sum(inverse_mass_matrix * p**2)

    def step(carry: tuple[Array, Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array, Array], Array]:
        x, p, g, work = carry
        p = p + 0.5 * step_size * g
        new = x + step_size * inverse_mass_matrix * p
        middle, end = gradient(0.5 * (x + new)), gradient(new)
        p = p + 0.5 * step_size * end
        work += jnp.dot(new - x, g + 4 * middle + end) / 6
        return (new, p, end, work), work - kinetic(p)

    p = jax.random.normal(key, first.shape, first.dtype) / jnp.sqrt(inverse_mass_matrix)
    _, gain = jax.lax.scan(step, (first, p, slope, jnp.zeros((), first.dtype)), None, STEPS)
    accepted = jnp.exp(jnp.minimum(gain + kinetic(p), 0.0))
    return jnp.mean(jnp.where(jnp.isnan(accepted), 0.0, accepted))
