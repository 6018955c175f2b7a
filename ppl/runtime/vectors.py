# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Transforms of coordinates that all vary freely to vectors and matrices whose elements do not.

`simplex`: K positive shares that sum to 1, of K - 1 coordinates, by Stan's stick breaking (Stan Reference Manual,
"Unit simplex"): share k takes the part ``logistic(u[k] - log(K - k - 1))`` of what the shares before it left, so that
u = 0 is the even simplex. `ordered`: increasing numbers, the first ``u[0]``, each other ``exp(u[k])`` above the one
before it; `ordered_interval` maps these numbers to a support, as the elementwise transform does. So does
`ordered_lower`, whose gaps are ``log(1 + exp(u[k]))``: an element is ``1 + exp(u[k])`` times as far above the lower end
as the one before it, and has finite moments under a Gaussian, where exponentials of exponentials have none. Bounds are
scalars. `cholesky_corr`: d x d Cholesky factors of correlation matrices, of d (d - 1) / 2 coordinates, row
by row: an element below the diagonal is ``tanh(u)`` of the length that its row has left (Stan Reference Manual,
"Cholesky factors of correlation matrices").

The Jacobians are triangular: `log_det` has the logarithm of the k-th element of the diagonal at k, so that its sum is
the log determinant.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, nn
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ppl.runtime import functions as fn
from ppl.runtime.running import running_sum
from ppl.runtime.supports import Transform, above, capped_exp, interval, lower, real, smallest


class Joint(ABC):
    """A map from vectors of real coordinates onto a set of vectors, one to one."""

    @abstractmethod
    def shape(self, free: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the value of coordinates of shape `free`."""

    @abstractmethod
    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        """``T(u)``, inside the support."""

    @abstractmethod
    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        """What each coordinate adds to ``log |dT/du|``; shape of `u`."""

    @abstractmethod
    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        """``(u, ok)``: the inverse, and whether z is inside the support; where not, u is finite all the same."""

    def inverse(self, z: ArrayLike, *bounds: ArrayLike) -> Array:
        """The u with ``T(u) = z``; the nearest finite coordinates for a z on the edge of the support."""
        return self.inverse_or(z, *bounds)[0]


@dataclass(frozen=True)
class Simplex(Joint):
    """Positive shares that sum to 1; no bounds."""

    def shape(self, free: tuple[int, ...]) -> tuple[int, ...]:
        return (free[0] + 1,)

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        v, left = self._sticks(fn.real(u))
        share = jnp.exp(jnp.concatenate([nn.log_sigmoid(v), jnp.zeros((1,), v.dtype)]) + left)
        return above(share, 0.0)

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        v, left = self._sticks(fn.real(u))
        return nn.log_sigmoid(v) + nn.log_sigmoid(-v) + left[:-1]

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        z = fn.real(z)
        tiny = smallest(z)
        rest = jnp.flip(running_sum(jnp.flip(z)))[1:]  # what is left after each share but the last
        ok = jnp.all((z >= tiny) & (z < jnp.inf))
        safe = (jnp.log(jnp.clip(x, tiny, 1.0)) for x in (z[:-1], rest))
        share, left = safe
        return share - left - self._even(z.shape[0] - 1, z.dtype), ok

    @staticmethod
    def _even(free: int, dtype: jnp.dtype) -> Array:
        """What is added to the coordinates so that zeros are the even simplex."""
        return -jnp.log(jnp.arange(free, 0, -1).astype(dtype))

    def _sticks(self, u: Array) -> tuple[Array, Array]:
        """The logit of each part that is taken, and the logarithm of what is left before each share."""
        v = u + self._even(u.shape[0], u.dtype)
        return v, jnp.concatenate([jnp.zeros((1,), u.dtype), running_sum(nn.log_sigmoid(-v))])


class Gap(NamedTuple):
    """A map of a coordinate to a positive gap, the logarithm of its slope, and its inverse."""

    forward: Callable[[Array], Array]
    log_slope: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


def _log_expm1(gap: Array) -> Array:
    return gap + jnp.log(-jnp.expm1(-gap))


exponential = Gap(capped_exp, fn.real, jnp.log)
softplus = Gap(fn.log1p_exp, nn.log_sigmoid, _log_expm1)


@dataclass(frozen=True)
class Ordered(Joint):
    """Increasing elements, each on the support of an increasing elementwise transform."""

    each: Transform
    gap: Gap = exponential

    def shape(self, free: tuple[int, ...]) -> tuple[int, ...]:
        return free

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        return self.each.forward(self._line(fn.real(u)), *bounds)

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u = fn.real(u)
        gaps = jnp.concatenate([jnp.zeros_like(u[:1]), self.gap.log_slope(u[1:])])
        return self.each.log_det(self._line(u), *bounds) + gaps

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        line, ok = self.each.inverse_or(z, *bounds)
        gaps = line[1:] - line[:-1]
        rising = gaps >= smallest(line)
        u = jnp.concatenate([line[:1], self.gap.inverse(jnp.where(rising, gaps, smallest(line)))])
        return u, jnp.all(ok) & jnp.all(rising)

    def _line(self, u: Array) -> Array:
        """The ordered numbers before they are mapped to the support."""
        return u[:1] + self.offsets(u[1:]) if u.shape[0] else u

    def offsets(self, u: ArrayLike) -> Array:
        """How far each of these numbers is above the first: 0, then sums of the gaps of coordinates `u`."""
        u = fn.real(u)
        return jnp.concatenate([jnp.zeros((1,), u.dtype), running_sum(self.gap.forward(u))])


@dataclass(frozen=True)
class CholeskyCorr(Joint):
    """Cholesky factors of correlation matrices, lower triangular with rows of length one."""

    def shape(self, free: tuple[int, ...]) -> tuple[int, ...]:
        d = (1 + math.isqrt(1 + 8 * free[0])) // 2
        return (d, d)

    def forward(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u = fn.real(u)
        below, left = self._rows(u)
        value = jnp.zeros(left.shape, u.dtype).at[below].set(jnp.tanh(u)) + jnp.eye(left.shape[0], dtype=u.dtype)
        factor = jnp.tril(value * jnp.exp(left))
        return jnp.where(jnp.eye(left.shape[0], dtype=bool), above(factor, 0.0), factor)

    def log_det(self, u: ArrayLike, *bounds: ArrayLike) -> Array:
        u = fn.real(u)
        below, left = self._rows(u)
        return 2.0 * _log_sech(u) + left[below]

    def inverse_or(self, z: ArrayLike, *bounds: ArrayLike) -> tuple[Array, Array]:
        z = fn.real(z)
        size, tiny = z.shape[0], smallest(z)
        below = np.tril_indices(size, -1)
        squares = jnp.flip(running_sum(jnp.flip(jnp.square(jnp.tril(z)), 1), 1), 1)
        rest = jnp.sqrt(jnp.maximum(squares[:, 1:][below[0], below[1]], tiny))  # what a row has right of an element
        slack = 1e-6 if jnp.finfo(z.dtype).bits == 64 else 1e-3
        ok = jnp.all(jnp.abs(squares[:, 0] - 1.0) < slack) & jnp.all(jnp.diagonal(z) >= tiny)
        return jnp.arcsinh(z[below] / rest), ok & jnp.all(jnp.triu(z, 1) == 0)

    def _rows(self, u: Array) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Array]:
        """The places below the diagonal, row by row, and the log of the length that each row has left at each place."""
        size = self.shape(u.shape)[0]
        below = np.tril_indices(size, -1)
        taken = jnp.zeros((size, size), u.dtype).at[below].set(_log_sech(u))
        return below, running_sum(taken, axis=1) - taken


def _log_sech(u: Array) -> Array:
    size = jnp.abs(u)
    return math.log(2.0) - size - jnp.log1p(jnp.exp(-2.0 * size))


simplex = Simplex()
ordered = Ordered(real)
ordered_lower = Ordered(lower, softplus)
ordered_interval = Ordered(interval)
cholesky_corr = CholeskyCorr()

__all__ = ["Joint", "cholesky_corr", "ordered", "ordered_interval", "ordered_lower", "simplex"]
