# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Transforms ``z = T(u)`` from the real line to the support of a latent.

`real`: identity. `lower` (bound a): ``a + exp(u)``. `upper` (bound b): ``b - exp(u)``. `interval` (bounds a < b):
``a + (b - a) * logistic(u)``. The bounds may depend on other latents, so every method takes them and is differentiable
in them. All methods are elementwise and broadcast.

`forward` stays strictly inside the support in floating point, where a density may be infinite or a later
``log(z - a)`` undefined: a result that rounds onto a bound is moved to the next representable number. That
move is invisible to differentiation (the derivative remains that of the formula), and only ``|u|`` beyond about 16 in
float32 or 36 in float64 is affected, except where a bound is large compared with the distance to it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax, nn
from jax.typing import ArrayLike

from ppl.runtime import functions as fn


class Transform(ABC):
    """An elementwise increasing or decreasing map from the real line onto a support given by bounds."""

    @property
    def direction(self) -> int:
        """1 if it increases, -1 if it decreases."""
        return 1

    @abstractmethod
    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        """``T(u)``, strictly inside the support."""

    @abstractmethod
    def inverse(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        """The u with ``T(u) = z``; NaN or infinite where z is not inside the support."""

    @abstractmethod
    def nearest(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        """The number inside the support, finite and with room to move, that is nearest to z; NaN of NaN."""

    @abstractmethod
    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        """``log |dT/du|``."""

    @abstractmethod
    def slope(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        """``dT/du``, with its sign."""

    @abstractmethod
    def contains(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        """Whether z is finite and strictly inside, by at least the smallest normal number."""

    @abstractmethod
    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        """``(u, ok)``: the inverse where ``ok = contains(z)``, and u = 0 with zero gradient elsewhere."""


def smallest(x: Array) -> float:
    """The smallest normal number of a dtype."""
    return _limits(x)[0]


def _limits(x: Array) -> tuple[float, float]:
    """The smallest normal and the largest finite number of a dtype."""
    info = np.finfo(x.dtype)
    return float(info.tiny), float(info.max)


def _distance_ok(distance: Array) -> Array:
    return (distance >= _limits(distance)[0]) & (distance < jnp.inf)


def capped_exp(u: Array) -> Array:
    """``exp(u)``, held at the largest power of e that is finite."""
    return jnp.exp(jnp.minimum(u, math.floor(math.log(_limits(u)[1]))))


def _shifted(value: Array, target: Array) -> Array:
    """`target` in value, `value` in derivative."""
    return value + lax.stop_gradient(target - value)


def _next_above(a: Array) -> Array:
    return jnp.maximum(jnp.nextafter(a, jnp.asarray(jnp.inf, a.dtype)), a + _limits(a)[0])


def _at_least(z: Array, a: ArrayLike) -> Array:
    """`z`, where it is not above `a` the next number that is."""
    return jnp.maximum(z, _next_above(lax.stop_gradient(jnp.asarray(a, z.dtype))))


def _at_most(z: Array, b: ArrayLike) -> Array:
    return -_at_least(-z, -fn.real(b))


def above(z: Array, a: ArrayLike) -> Array:
    """`z`, where it is not above `a` the next number that is, with the derivative of `z`."""
    return _shifted(z, _at_least(z, a))


def _below(z: Array, b: ArrayLike) -> Array:
    return _shifted(z, _at_most(z, b))


@dataclass(frozen=True)
class Real(Transform):
    """The whole line; no bounds."""

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return fn.real(u)

    def inverse(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        return fn.real(z)

    def nearest(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        z = fn.real(z)
        return jnp.clip(z, -_limits(z)[1], _limits(z)[1])

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return jnp.zeros_like(fn.real(u))

    def slope(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return jnp.ones_like(fn.real(u))

    def contains(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        return jnp.isfinite(fn.real(z))

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        ok = self.contains(z)
        return jnp.where(ok, fn.real(z), 0.0), ok


@dataclass(frozen=True)
class HalfLine(Transform):
    """``bound + sign * exp(u)``: above its bound for sign 1, below it for sign -1."""

    sign: int

    @property
    def direction(self) -> int:
        return self.sign

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        (bound,) = bounds
        z = fn.real(bound) + self.sign * capped_exp(fn.real(u))
        return above(z, bound) if self.sign > 0 else _below(z, bound)

    def inverse(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        return jnp.log(self._distance(z, *bounds))

    def nearest(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        # Beyond the largest finite number `forward` stands still while `log_det` grows: guides are to start below it.
        z = fn.real(z)
        most = float(np.finfo(z.dtype).eps) * _limits(z)[1]
        return _at_least(jnp.minimum(z, most), *bounds) if self.sign > 0 else _at_most(jnp.maximum(z, -most), *bounds)

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return jnp.broadcast_to(fn.real(u), jnp.broadcast_shapes(jnp.shape(u), *map(jnp.shape, bounds)))

    def slope(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return self.sign * jnp.exp(self.log_det(u, *bounds))

    def contains(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        return _distance_ok(self._distance(z, *bounds))

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        distance = self._distance(z, *bounds)
        ok = _distance_ok(distance)
        return jnp.log(jnp.where(ok, distance, 1.0)), ok

    def _distance(self, z: ArrayLike, bound: ArrayLike) -> Array:
        return self.sign * (fn.real(z) - fn.real(bound))


@dataclass(frozen=True)
class Interval(Transform):
    """``a + (b - a) * logistic(u)``, evaluated from the nearer bound so that it is exact close to both."""

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u, a, b = fn.real(u), fn.real(bounds[0]), fn.real(bounds[1])
        left = u < 0
        part = (b - a) * nn.sigmoid(jnp.where(left, u, -u))
        return _below(above(jnp.where(left, a + part, b - part), a), b)

    def inverse(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        z = fn.real(z)
        return jnp.log(z - fn.real(bounds[0])) - jnp.log(fn.real(bounds[1]) - z)

    def nearest(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        return _at_most(_at_least(fn.real(z), bounds[0]), bounds[1])

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u = fn.real(u)
        return jnp.log(fn.real(bounds[1]) - fn.real(bounds[0])) - fn.log1p_exp(u) - fn.log1p_exp(-u)

    def slope(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u = fn.real(u)
        return (fn.real(bounds[1]) - fn.real(bounds[0])) * nn.sigmoid(u) * nn.sigmoid(-u)

    def contains(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        z = fn.real(z)
        return _distance_ok(z - fn.real(bounds[0])) & _distance_ok(fn.real(bounds[1]) - z)

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        z, a, b = fn.real(z), fn.real(bounds[0]), fn.real(bounds[1])
        ok = self.contains(z, a, b)
        return jnp.log(jnp.where(ok, z - a, 1.0)) - jnp.log(jnp.where(ok, b - z, 1.0)), ok


real = Real()
lower = HalfLine(1)
upper = HalfLine(-1)
interval = Interval()
