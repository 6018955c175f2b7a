# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""What the log densities share: the class that holds one, and logarithms whose gradients are finite at zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ppl.runtime.functions import real


@dataclass(frozen=True)
class Density:
    """An elementwise log density.

    `logpdf(x, *args)` computes it. `safe` is ``(value, *args)`` at which it and its gradient are finite.
    """

    name: str
    logpdf: Callable[..., Array]
    safe: tuple[float | tuple[float, ...], ...]

    def __call__(self, x: ArrayLike, *args: ArrayLike) -> Array:
        return self.logpdf(x, *args)

    def masked(self, mask: ArrayLike, x: ArrayLike, *args: ArrayLike) -> Array:
        """The log density where `mask` holds, 0 elsewhere. `mask` broadcasts with `x` and the arguments."""
        mask = jnp.asarray(mask)
        operands: list[Array] = []
        for operand, safe in zip((x, *args), self.safe, strict=True):
            inside = mask[..., None] if isinstance(safe, tuple) else mask  # a vector argument has one event dimension
            stand_in = (
                jnp.full(jnp.shape(operand)[-1:], 1.0 / jnp.shape(operand)[-1]) if isinstance(safe, tuple) else safe
            )
            operands.append(jnp.where(inside, real(operand), stand_in))
        return jnp.where(mask, self.logpdf(*operands), 0.0)


def xlogy(x: Array, y: Array) -> Array:
    """``x * log(y)``, with 0 * log(0) = 0. Where y = 0 the gradient is 0; y < 0 gives NaN."""
    zero = y == 0
    at_zero = jnp.where(x == 0, 0.0, -jnp.inf * jnp.sign(x))
    return jnp.where(zero, at_zero, x * jnp.log(jnp.where(zero, 1.0, y)))


def xlog1m(x: Array, y: Array) -> Array:
    """``x * log(1 - y)``, with 0 * log(0) = 0. Where y = 1 the gradient is 0; y > 1 gives NaN."""
    one = y == 1
    at_one = jnp.where(x == 0, 0.0, -jnp.inf * jnp.sign(x))
    return jnp.where(one, at_one, x * jnp.log1p(-jnp.where(one, 0.0, y)))


def above(
    x: Array, bound: ArrayLike, strict: bool, logpdf: Callable[[Array], Array], stand_in: ArrayLike = 1.0
) -> Array:
    """`logpdf(x)` where x lies above `bound`, -inf elsewhere; NaN counts as inside, so that it shows."""
    outside = x <= bound if strict else x < bound
    return jnp.where(outside, -jnp.inf, logpdf(jnp.where(outside, stand_in, x)))
