"""Gradient estimators of the literature for the models of ``models.py``, under a mean-field Gaussian.

``gradient(model)`` takes params ``{"loc": (latents,), "log_scale": (latents,)}`` and a batch of noise, and returns the
mean ELBO estimate and gradient.

interior   plain automatic differentiation through the branches: biased
score      the score function estimator (Ranganath, Gerrish & Blei, AISTATS 2014)
lyy18      Lee, Yu & Yang (NeurIPS 2018): the interior plus one random guard's boundary term, for which the whole model
           is evaluated on both sides; the velocity is taken at the projected point
smoothed   Wagner, Khajwal & Ong (AISTATS 2024): every branch blended by a sigmoid of its guard over a temperature
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.stats import norm

from peers.models import Branch, Model

Params = dict[str, Array]
Sample = Callable[[Params, Array, Array, Array], Array]  # params, eps, program noise, a uniform -> surrogate


def hard(family: str, value: Array, above: Any, below: Any) -> Array:
    """The branch as written."""
    return jnp.where(value > 0, above, below)


def smooth(temperature: Array | float) -> Branch:
    """Branches blended by ``sigmoid(value / temperature)``."""

    def branch(family: str, value: Array, above: Any, below: Any) -> Array:
        weight = jax.nn.sigmoid(value / temperature)
        return weight * above + (1 - weight) * below

    return branch


def draw(params: Params, eps: Array) -> tuple[Array, Array]:
    """The latents at noise `eps`, and log q of each."""
    scale = jnp.exp(params["log_scale"])
    u = params["loc"] + scale * eps
    return u, norm.logpdf(u, params["loc"], scale)


def interior(model: Model) -> Sample:
    def sample(params: Params, eps: Array, e: Array, choice: Array) -> Array:
        u, log_q = draw(params, eps)
        return model.h(u, e, log_q, hard)

    return sample


def smoothed(model: Model, temperature: Array | float) -> Sample:
    def sample(params: Params, eps: Array, e: Array, choice: Array) -> Array:
        u, log_q = draw(params, eps)
        return model.h(u, e, log_q, smooth(temperature))

    return sample


def score(model: Model) -> Sample:
    def sample(params: Params, eps: Array, e: Array, choice: Array) -> Array:
        u = lax.stop_gradient(draw(params, eps)[0])
        log_q = norm.logpdf(u, params["loc"], jnp.exp(params["log_scale"]))
        h = model.h(u, e, log_q, hard)
        # d/dlog_q of h is minus whether a latent exists: only those contribute log q to the score.
        exists = -lax.stop_gradient(jax.grad(lambda q: model.h(u, e, q, hard))(log_q))
        total = jnp.sum(exists * log_q)
        value = lax.stop_gradient(h)
        return value + value * (total - lax.stop_gradient(total)) + (h - value)

    return sample


def lyy18(model: Model) -> Sample:
    counts = [len(p.coordinate) for p in model.planes]
    starts = np.concatenate([[0], np.cumsum(counts)])
    plain = interior(model)

    def sample(params: Params, eps: Array, e: Array, choice: Array) -> Array:
        inside = plain(params, eps, e, choice)
        u, _ = draw(params, eps)
        still = lax.stop_gradient(u)
        k = jnp.minimum((choice * starts[-1]).astype(int), starts[-1] - 1)
        coordinates = jnp.asarray(np.concatenate([p.coordinate for p in model.planes]))
        roots = jnp.concatenate([p.root(still, e) for p in model.planes])
        j, root = coordinates[k], roots[k]
        loc, scale = params["loc"], jnp.exp(params["log_scale"])
        eps_star = lax.stop_gradient(eps.at[j].set((root - loc[j]) / scale[j]))

        def side(above: bool) -> Array:
            """h at the projected point, the chosen guard as it is just above or below its root."""
            at = lax.stop_gradient(loc + scale * eps_star)
            log_q = lax.stop_gradient(norm.logpdf(at, loc, scale))

            def branch(name: str, value: Array, on: Any, off: Any) -> Array:
                outcome = value > 0
                for p, first in zip(model.planes, starts, strict=False):
                    if p.family == name:
                        here = jnp.arange(value.shape[0]) == k - first
                        outcome = jnp.where(here, above == (p.rising > 0), outcome)
                return jnp.where(outcome, on, off)

            return model.h(at, e, log_q, branch)

        jump = lax.stop_gradient(side(True) - side(False))
        density = lax.stop_gradient(norm.pdf(eps_star[j]) / scale[j])
        moving = loc + scale * eps_star  # at the projected point; its gradient is the velocity
        gap = moving[j] - jnp.concatenate([p.root(moving, e) for p in model.planes])[k]
        surface = starts[-1] * density * jump * gap
        return inside + surface - lax.stop_gradient(surface)

    return sample


def gradient(sample: Sample) -> Callable[..., tuple[Array, Params]]:
    """``fn(params, eps (n, latents), e (n, noise), choice (n,))``: the mean estimate and its gradient."""

    def mean(params: Params, eps: Array, e: Array, choice: Array) -> Array:
        return jnp.mean(jax.vmap(sample, (None, 0, 0, 0))(params, eps, e, choice))

    return jax.value_and_grad(mean)


def noise(model: Model, key: Array, n: int, dtype: Any) -> tuple[Array, Array, Array]:
    """A batch of what `gradient` takes."""
    k_eps, k_choice = jax.random.split(key)
    both = jax.random.normal(k_eps, (n, model.size + model.noise), dtype)
    return both[:, : model.size], both[:, model.size :], jax.random.uniform(k_choice, (n,), dtype)
