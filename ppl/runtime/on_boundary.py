# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Points on boundaries: one coordinate moved along its line to where a guard is zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ppl.runtime import samplers
from ppl.runtime.records import Index
from ppl.runtime.supports import Transform

if TYPE_CHECKING:
    from ppl.runtime.point import Point


@dataclass(frozen=True)
class Noise:
    """The quantile transform of a noise, with the interface of a support's transform that a line needs."""

    name: str

    def forward(self, u: ArrayLike, *args: ArrayLike) -> Array:
        return samplers.from_normal(self.name, u, *args)

    def inverse_or(self, z: ArrayLike, *args: ArrayLike) -> tuple[Array, Array]:
        """``(u, ok)``: the inverse where it is finite, and u = 0 elsewhere."""
        u = samplers.to_normal(self.name, z, *args)
        ok = jnp.isfinite(u)
        return jnp.where(ok, u, 0.0), ok


class OnBoundary(Protocol):
    """A point on a boundary, on some line through the draw: what `ppl.runtime.surface` and emitted code read of it.

    `density`: of the line's coordinate there, under the guide; `height`: of the standard normal noise behind it.
    `value`: that coordinate, differentiable in the parameters at fixed noise. `ok`: whether the line meets the boundary
    at all; where it does not, everything else is finite.
    """

    @property
    def ok(self) -> Array: ...
    @property
    def density(self) -> Array: ...
    @property
    def height(self) -> Array: ...
    @property
    def value(self) -> Array: ...

    def point(self, side: ArrayLike = 0, rows: int | None = None) -> Point:
        """The point itself (side 0), or one a little beside it on the line."""
        ...


@dataclass(frozen=True)
class Root:
    """A point on a boundary (`OnBoundary`): one coordinate moved along its line to where the guard is zero.

    `u`: the coordinate there, and `spread` how far the guide moves it; `sign`: whether the latent grows with it.
    """

    start: Point
    site: str
    index: Index
    u: Array
    spread: Array
    sign: Array
    ok: Array
    density: Array
    height: Array
    value: Array
    transform: Transform | Noise | None
    args: tuple[Array, ...]

    def shifted(self, side: ArrayLike) -> Array:
        """u on the boundary (side 0), or a little beside it, where the latent is larger (+1) or smaller (-1)."""
        info = jnp.finfo(self.u.dtype)
        step = 1e-6 if info.bits == 64 else 1e-3
        delta = jnp.maximum(step * self.spread, 64 * info.eps * jnp.abs(self.u))
        return self.u + side * self.sign * delta

    def point(self, side: ArrayLike = 0, rows: int | None = None) -> Point:
        return self.start.still(rows).moved(self.site, self.index, self.shifted(side))

    def near(self, main: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the guard reads of the evaluation `main`, as it depends on the parameters on the boundary."""
        return self.start.near(self.site, self.index, self.u, main)

    def z(self, side: ArrayLike = 0) -> Array:
        """The value of the coordinate on its support."""
        u = self.shifted(side)
        return u if self.transform is None else self.transform.forward(u, *self.args)
