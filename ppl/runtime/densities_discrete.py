# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Log densities of the discrete distributions; conventions as in ``densities.py``.

A value that is not a whole number is outside the support. Where a probability of exactly 0 or 1 meets counts that it
allows, its term is 0 (``0 * log 0``).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ppl.runtime import tails
from ppl.runtime.densities_base import Density, xlog1m, xlogy
from ppl.runtime.functions import log1p_exp, real, stirling_error


def _not_a_count(k: Array, top: ArrayLike = jnp.inf) -> Array:
    return (k < 0) | (k > top) | (jnp.floor(k) < k)


def _poisson(x: ArrayLike, rate: ArrayLike) -> Array:
    k, rate = real(x), real(rate)
    outside = _not_a_count(k)
    k = jnp.where(outside, 0.0, k)
    # k*log(rate) - rate - log(k!), with log(k!) = k*log(k) - k + error: what remains is small near the mode.
    # log(rate) by itself, because one rate may serve many counts.
    value = xlogy(k, rate, below=jnp.where(k == 0, 1.0, k)) + (k - rate) - stirling_error(k)
    return jnp.where(outside, -jnp.inf, value)


def _bernoulli(x: ArrayLike, p: ArrayLike) -> Array:
    k, p = real(x), real(p)
    outside = _not_a_count(k, 1.0)
    k = jnp.where(outside, 0.0, k)
    return jnp.where(outside, -jnp.inf, xlogy(k, p) + xlog1m(1.0 - k, p))


def _bernoullilogit(x: ArrayLike, logit: ArrayLike) -> Array:
    k, logit = real(x), real(logit)
    outside = _not_a_count(k, 1.0)
    k = jnp.where(outside, 0.0, k)
    return jnp.where(outside, -jnp.inf, -log1p_exp((1.0 - 2.0 * k) * logit))


def _binomial(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    k, n, p = real(x), real(n), real(p)
    outside = _not_a_count(k, n)
    k = jnp.where(outside, 0.0, k)
    total = jnp.where(outside, 1.0, n)
    rest = total - k
    # Each count is paired with the matching term of log(n choose k), as for Poisson: k*log(n*p/k), and for the rest
    # (n-k)*(log(1-p) + log(n/(n-k))).
    hits = xlogy(k, p * (total / jnp.where(k == 0, 1.0, k)))
    misses = xlog1m(rest, p) + rest * jnp.log1p(k / jnp.where(rest == 0, 1.0, rest))
    value = hits + misses + (stirling_error(total) - stirling_error(k) - stirling_error(rest))
    return jnp.where(outside, jnp.where(n < 0, jnp.nan, -jnp.inf), value)


def _negativebinomial(x: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> Array:
    k, mean, r = real(x), real(mean), real(dispersion)
    outside = _not_a_count(k)
    k = jnp.where(outside, 0.0, k)
    # (r+k)*log((r+k)/(r+mean)) and k*log(mean/k) hold all that grows; for large r the first ratio is near 1.
    excess = (k - mean) / (r + mean)
    near = jnp.abs(excess) < 0.5
    far_ratio = jnp.where(near, 1.0, (r + k) / (r + mean))
    log_ratio = jnp.where(near, jnp.log1p(jnp.where(near, excess, 0.0)), jnp.log(far_ratio))
    errors = stirling_error(r + k) - stirling_error(r) - stirling_error(k) - jnp.log1p(k / r)
    value = (r + k) * log_ratio + xlogy(k, mean / jnp.where(k == 0, 1.0, k)) + errors
    return jnp.where(outside, -jnp.inf, value)


def _geometric(x: ArrayLike, p: ArrayLike) -> Array:
    k, p = real(x), real(p)
    outside = _not_a_count(k)
    k = jnp.where(outside, 0.0, k)
    return jnp.where(outside, -jnp.inf, xlog1m(k, p) + xlogy(jnp.ones_like(k), p))


def _categorical(x: ArrayLike, probs: ArrayLike) -> Array:
    """`probs` has one trailing event dimension and is taken as normalised; its other dimensions broadcast with x."""
    k, probs = real(x), real(probs)
    categories = probs.shape[-1]
    outside = _not_a_count(k, categories - 1.0)
    index = jnp.where(outside | jnp.isnan(k), 0.0, k).astype(int)
    shape = jnp.broadcast_shapes(index.shape, probs.shape[:-1])
    table = jnp.broadcast_to(probs, (*shape, categories))
    p = jnp.take_along_axis(table, jnp.broadcast_to(index, shape)[..., None], axis=-1)[..., 0]
    return jnp.where(outside, -jnp.inf, jnp.where(jnp.isnan(k), jnp.nan, xlogy(jnp.ones_like(p), p)))


poisson = Density("poisson", _poisson, (0.0, 1.0), tails.poisson, True)
bernoulli = Density("bernoulli", _bernoulli, (0.0, 0.5), tails.bernoulli, True)
bernoullilogit = Density("bernoullilogit", _bernoullilogit, (0.0, 0.0), tails.bernoullilogit, True)
binomial = Density("binomial", _binomial, (0.0, 1.0, 0.5), tails.binomial, True)
negativebinomial = Density("negativebinomial", _negativebinomial, (0.0, 1.0, 1.0), tails.negativebinomial, True)
geometric = Density("geometric", _geometric, (0.0, 0.5), tails.geometric, True)
categorical = Density("categorical", _categorical, (0.0, (0.5, 0.5)), tails.categorical, True)
