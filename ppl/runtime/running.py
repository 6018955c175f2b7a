"""Running sums."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax


def running_sum(x: Array, axis: int = 0) -> Array:
    """The sums of the first elements along an axis, of the shape of `x`.

    Not `jax.numpy.cumsum`: of it, XLA for CPUs (jaxlib 0.10.2) compiles a wrong gradient. The gradient of ``z[2] -
    cumsum(z)[1]`` has a 0 for ``z[2]``, as the padding of one cotangent is folded into the window of the other.
    """
    return lax.associative_scan(jnp.add, x, axis=axis)  # pyright: ignore[reportUnknownMemberType]
