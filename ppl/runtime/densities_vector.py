# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Log densities of whole vectors; conventions as in ``densities.py``. The value has one event dimension, the result is
one number."""

from __future__ import annotations

import jax.numpy as jnp
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


def _no_tails(x: ArrayLike, *args: ArrayLike) -> tuple[Array, Array]:
    raise TypeError("vectors have no lower and upper tail")


dirichlet = Density("dirichlet", _dirichlet, ((0.5, 0.5), (0.5, 0.5)), _no_tails)
