# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Log densities of whole vectors and matrices; conventions as in ``densities.py``. The result is one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln
from jax.typing import ArrayLike

from ppl.runtime.densities_base import Density, xlogy
from ppl.runtime.functions import real


def _dirichlet(x: ArrayLike, alpha: ArrayLike) -> Array:
    """`alpha`, above 0, has the shape of `x`, whose elements are positive shares that sum to 1 up to rounding."""
    x, alpha = real(x), real(alpha)
    slack = 1e-6 if jnp.finfo(x.dtype).bits == 64 else 1e-4
    outside = jnp.any(x < 0) | (jnp.abs(jnp.sum(x) - 1.0) > slack)
    safe = jnp.where(outside, 1.0 / max(x.shape[0], 1), x)
    value = gammaln(jnp.sum(alpha)) - jnp.sum(gammaln(alpha)) + jnp.sum(xlogy(alpha - 1.0, safe))
    return jnp.where(outside, -jnp.inf, value)


@dataclass(frozen=True)
class Lkj(Density):
    """Of Cholesky factors of d x d correlation matrices R: proportional to ``det(R)^(eta - 1)`` in R.

    Lewandowski, Kurowicka and Joe (2009), "Generating random correlation matrices based on vines and extended onion
    method", eq. 16; with respect to the elements of the factor below its diagonal.
    """

    def masked(self, mask: ArrayLike, x: ArrayLike, *args: ArrayLike) -> Array:
        clean = jnp.where(mask, real(x), jnp.eye(jnp.shape(x)[0]))
        return jnp.where(mask, self.logpdf(clean, *(jnp.where(mask, real(a), 1.0) for a in args)), 0.0)


def _lkjcholesky(x: ArrayLike, d: ArrayLike, eta: ArrayLike) -> Array:
    x, eta = real(x), real(eta)
    size = x.shape[0]
    slack = 1e-6 if jnp.finfo(x.dtype).bits == 64 else 1e-3
    rows = jnp.sum(jnp.square(x), axis=1)
    diagonal = jnp.diagonal(x)
    outside = jnp.any(jnp.abs(rows - 1.0) > slack) | jnp.any(diagonal <= 0) | jnp.any(jnp.triu(x, 1) != 0)
    safe = jnp.where(outside, 1.0, diagonal)
    powers = np.arange(size - 1, -1, -1) + 2.0 * (eta - 1.0)
    # Row k, given those above it, has the square of its length before the diagonal from Beta(k / 2, rest).
    k = np.arange(1, size)
    rest = eta + 0.5 * (size - 1 - k)
    constant = jnp.sum(gammaln(rest + 0.5 * k) - gammaln(rest) - 0.5 * k * math.log(math.pi))
    return jnp.where(outside, -jnp.inf, jnp.sum((powers * jnp.log(safe))[1:]) + constant)


def _no_tails(x: ArrayLike, *args: ArrayLike) -> tuple[Array, Array]:
    raise TypeError("vectors have no lower and upper tail")


dirichlet = Density("dirichlet", _dirichlet, ((0.5, 0.5), (0.5, 0.5)), _no_tails)
lkjcholesky = Lkj("lkjcholesky", _lkjcholesky, (1.0, 1.0, 1.0), _no_tails)
