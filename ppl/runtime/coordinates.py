# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""How a coordinate of a latent is distributed where it moves alone: a Gaussian, or one that is warped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime.densities import normal
from ppl.runtime.elements import element


class Warp(Protocol):
    """An increasing map of a standardised coordinate v, elementwise: ``u = forward(v)``. Differentiable in its
    parameters as well."""

    def forward(self, v: ArrayLike) -> Array: ...

    def inverse(self, u: ArrayLike) -> Array: ...

    def log_slope(self, v: ArrayLike) -> Array:
        """``log du/dv``"""
        ...

    def still(self) -> Warp:
        """The same, through which no gradient flows."""
        ...

    def __getitem__(self, index: Any) -> Warp:
        """That of one element."""
        ...


MOST_SKEW = 0.99
MOST_TAIL = math.log(2.0)


@dataclass(frozen=True)
class SinhArcsinh:
    """The sinh-arcsinh transformation (Jones & Pewsey, Biometrika 96(4), 2009), with its median and slope there fixed:

        u = loc + exp(log_scale) * w(v),    w(v) = (sinh(x) + c * (cosh(x) - 1)) / t,    x = t * arcsinh(v)

    so that ``w(0) = 0``, ``w'(0) = 1``, and w is the identity for c = 0 and t = 1. In their terms ``1 / t`` is delta,
    and ``artanh(c) / t`` epsilon. On one side w rises (1 + c) / (1 - c) times as fast as on the other: c is
    ``MOST_SKEW * tanh(skew)``. Far out w grows like ``|v|^t``. The logarithm of t is ``MOST_TAIL * tanh(log_tail /
    MOST_TAIL)``, so that t stays between 1/2 and 2: for a normal v all moments of exp(u) are finite then, as they are
    without a warp. All four arrays have one shape.
    """

    loc: Array
    log_scale: Array
    skew: Array
    log_tail: Array

    def _sides(self) -> tuple[Array, Array, Array]:
        """``1 + c, 1 - c, t``"""
        c = MOST_SKEW * jnp.tanh(self.skew)
        return 1 + c, 1 - c, jnp.exp(MOST_TAIL * jnp.tanh(self.log_tail / MOST_TAIL))

    def forward(self, v: ArrayLike) -> Array:
        right, left, t = self._sides()
        x = t * jnp.arcsinh(v)
        # Both terms have the sign of v: nothing cancels.
        w = (right * jnp.expm1(x) - left * jnp.expm1(-x)) / (2 * t)
        return self.loc + jnp.exp(self.log_scale) * w

    def inverse(self, u: ArrayLike) -> Array:
        right, left, t = self._sides()
        w = (jnp.asarray(u) - self.loc) / jnp.exp(self.log_scale)
        shift = 0.5 * (right - left)
        x = jnp.arcsinh((shift + t * w) * lax.rsqrt(right * left)) - jnp.arctanh(shift)
        return jnp.sinh(x / t)

    def log_slope(self, v: ArrayLike) -> Array:
        right, left, t = self._sides()
        v = jnp.asarray(v)
        x = t * jnp.arcsinh(v)
        rise = 0.5 * (right * jnp.exp(x) + left * jnp.exp(-x))
        return self.log_scale + jnp.log(rise) - 0.5 * jnp.log1p(v * v)

    def still(self) -> SinhArcsinh:
        return SinhArcsinh(*lax.stop_gradient((self.loc, self.log_scale, self.skew, self.log_tail)))

    def __getitem__(self, index: Any) -> SinhArcsinh:
        return SinhArcsinh(*(element(x, *index) for x in (self.loc, self.log_scale, self.skew, self.log_tail)))


@dataclass(frozen=True)
class Coordinate:
    """A coordinate while it moves alone: ``u = warp(centre + spread * s)`` with standard normal noise s; no warp is the
    identity. Or all of a site's, elementwise."""

    centre: Array
    spread: Array
    warp: Warp | None = None

    @property
    def dtype(self) -> DTypeLike:
        return self.centre.dtype

    def standardised(self, u: Array) -> Array:
        """The coordinate before its warp."""
        return u if self.warp is None else self.warp.inverse(u)

    def place(self, s: ArrayLike) -> Array:
        """Where it is at noise `s`."""
        v = self.centre + self.spread * s
        return v if self.warp is None else self.warp.forward(v)

    def median(self) -> Array:
        return self.centre if self.warp is None else self.warp.forward(self.centre)

    def noise(self, u: Array) -> Array:
        """The s at which it is at `u`."""
        return (self.standardised(u) - self.centre) / self.spread

    def rate(self, s: ArrayLike) -> Array:
        """``du/ds``"""
        if self.warp is None:
            return self.spread
        return self.spread * jnp.exp(self.warp.log_slope(self.centre + self.spread * s))

    def log_density(self, u: Array) -> Array:
        """The log density of u, given what does not move with it."""
        if self.warp is None:
            return normal(u, self.centre, self.spread)
        v = self.warp.inverse(u)
        return normal(v, self.centre, self.spread) - self.warp.log_slope(v)

    def still(self) -> Coordinate:
        centre, spread = jax.tree.map(lax.stop_gradient, (self.centre, self.spread))
        return Coordinate(centre, spread, None if self.warp is None else self.warp.still())
