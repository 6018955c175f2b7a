# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Boundaries that are hyperplanes, crossed along their normal in the space of the noise.

Let a guard's value be ``L = sum_j a_j u_j + rest``, where ``u_j = loc_j + scale_j * eps_j`` are independent Gaussians
that `rest` does not depend on, and the a_j depend on data alone. With ``b_j = a_j * scale_j`` and ``n = b / |b|``, the
noise along n is ``s = n . eps``, standard normal and independent of what is orthogonal to n, and ``dL/ds = |b|``. n
depends on the parameters and not on the noise, so the boundary term is (Lee, Yu & Yang 2018, theorem 1)

    E[ N(s*; 0, 1) * (h_true - h_false) * (dL/dtheta) / |b| ]   at   eps* = eps + (s* - s) n,   s* = s - L / |b|

with h and dL/dtheta at the point and the noise eps*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime.densities import normal as normal_density
from ppl.runtime.elements import element
from ppl.runtime.on_boundary import OnBoundary
from ppl.runtime.point import Point

Sites = Mapping[str, Array]

MOST_COEFFICIENTS = 2**22  # of all instances in all coordinates; beyond, guards keep their coordinate lines


def apply(at: Point, sites: Sequence[str], instances: int = 1) -> bool:
    """Whether these sites are independent Gaussians, and few enough: a property of the guide and the sizes."""
    free = all(k in at.scale and k not in at.lines and k not in at.warps for k in sites)
    return free and instances * sum(at.u[k].size for k in sites) <= MOST_COEFFICIENTS


@dataclass(frozen=True)
class Normals:
    """The normals of all instances of a guard, each of whose parts has the axes of the instances first, then those of a
    site. `slopes`: the a_j by site, through which no gradient flows; `scaled`: the b_j, likewise, and `square` the sum
    of their squares, 1 where it is 0 and not `ok`. `density`: of a standard normal at the nearest point of the
    boundary. `value`: L, differentiable. `spread`: the sum of a_j b_j scale_j, which is `square`, differentiable in the
    scales."""

    at: Point
    slopes: Sites
    scaled: Sites
    square: Array
    ok: Array
    density: Array
    value: Array
    spread: Array

    def root(self, *instance: ArrayLike) -> NormalRoot:
        at = self.at.still()
        b = {k: element(x, *instance) for k, x in self.scaled.items()}
        square, ok, density = (element(x, *instance) for x in (self.square, self.ok, self.density))
        value = element(self.value, *instance)
        norm, step = jnp.sqrt(square), lax.stop_gradient(value) / square
        eps = {k: (at.u[k] - at.loc[k]) / at.scale[k] - step * x for k, x in b.items()}
        u = {k: at.u[k] - step * (x * at.scale[k]) for k, x in b.items()}
        # L at the noise eps: what it is at the draw, less how far that is from here at each scale.
        moved = value - step * _picked(self.spread, instance)
        return NormalRoot(at, u, eps, b, ok, density, density, norm, moved / norm)


def _picked(table: Array, index: Sequence[ArrayLike]) -> Array:
    """``table[index]`` as a product, of which the derivative, a sum over draws, is a product too."""
    if not index:
        return table
    places = jnp.ravel_multi_index(tuple(jnp.asarray(i) for i in index), table.shape, mode="clip")
    return (jnp.arange(table.size) == places).astype(table.dtype) @ table.ravel()


@dataclass(frozen=True)
class NormalRoot:
    """The point on a boundary (`OnBoundary`) where its normal through the draw meets it. `slope`: of the guard along
    the normal; `value`: the distance to the boundary, 0, differentiable at the noise of this point."""

    start: Point
    u: Sites
    eps: Sites
    scaled: Sites
    ok: Array
    density: Array
    height: Array
    slope: Array
    value: Array

    def point(self, side: ArrayLike = 0, rows: int | None = None) -> Point:
        """The point on the boundary, or a little beside it where the guard is positive (side +1) or negative (-1)."""
        start, u, eps = self.start, self.u, self.eps
        if not isinstance(side, int) or side:
            size = _sum({k: jnp.abs(self.scaled[k] * x / start.scale[k]) for k, x in u.items()}) / self.slope
            info = jnp.finfo(self.density.dtype)
            delta = jnp.maximum(1e-6 if info.bits == 64 else 1e-3, 64 * info.eps * size)
            step = side * delta / self.slope
            eps = {k: x + step * self.scaled[k] for k, x in eps.items()}
            u = {k: x + step * (self.scaled[k] * start.scale[k]) for k, x in u.items()}
        log_q = {k: normal_density(x, 0.0, 1.0) - jnp.log(start.scale[k]) for k, x in eps.items()}
        return replace(start, u={**start.u, **u}, log_q={**start.log_q, **log_q}, rows=rows)


if TYPE_CHECKING:
    _: type[OnBoundary] = NormalRoot  # emitted code, which nobody checks, gives it to `surface`


def of(
    at: Point, sites: Sequence[str], values: Callable[[Point], Array], value: Array | None = None, alone: bool = False
) -> Normals:
    """The normals of a boundary whose guard has these values, of all instances, at a point. `value`: those at `at`, if
    they are known. `alone`: nothing else that is random is in them."""
    rest, slopes = affine(at, sites, values)
    still = at.still()
    scaled = {k: a * still.scale[k] for k, a in slopes.items()}
    square = _over(scaled, scaled, rest.ndim)
    ok = square > 0
    square = jnp.where(ok, square, 1.0)
    spread = _over({k: a * scaled[k] for k, a in slopes.items()}, at.scale, rest.ndim)
    if alone:
        here, centre = rest + _along(slopes, at.u), rest + _along(slopes, still.loc)
    else:
        here = values(at) if value is None else jnp.asarray(value)
        centre = lax.stop_gradient(here) - _along(slopes, {k: still.u[k] - still.loc[k] for k in sites})
    density = jnp.exp(normal_density(lax.stop_gradient(centre) / jnp.sqrt(square), 0.0, 1.0))
    return Normals(at, slopes, scaled, square, ok, density, here, spread)


def affine(at: Point, sites: Sequence[str], values: Callable[[Point], Array]) -> tuple[Array, Sites]:
    """A guard's values, of all instances, where all that is drawn is zero, and their derivatives in the unconstrained
    elements of some sites. These depend on data alone, so that they are the same everywhere."""
    still = at.still()

    def along(u: Sites) -> Array:
        return values(replace(origin, u={**origin.u, **u}))

    def found(u: Sites) -> tuple[Array, Sites]:
        instances = math.prod(jax.eval_shape(along, u).shape)
        jacobian = jax.jacfwd if sum(x.size for x in u.values()) <= instances else jax.jacrev
        return along(u), jacobian(along)(u)

    def zeros(sites: Mapping[str, Array]) -> dict[str, Array]:
        real = jnp.floating
        return {k: jnp.zeros(x.shape, x.dtype) if jnp.issubdtype(x.dtype, real) else x for k, x in sites.items()}

    with jax.ensure_compile_time_eval():  # once, where it does not wait for data; log q has no part in it
        origin = replace(still, u=zeros(still.u), log_q=zeros(still.log_q))
        return lax.stop_gradient(jax.jit(found)({k: origin.u[k] for k in sites}))


def _along(slopes: Sites, u: Sites) -> Array:
    """How much of a guard's value, of all instances, the sites make."""
    axes = {k: (list(range(u[k].ndim)), list(range(a.ndim - u[k].ndim, a.ndim))) for k, a in slopes.items()}
    return jnp.asarray(sum(jnp.tensordot(u[k], a, axes[k]) for k, a in slopes.items()))


def _over(a: Sites, b: Sites, axes: int) -> Array:
    """The sums of ``a * b`` over all but the first `axes` axes, of all sites."""
    return jnp.asarray(sum(jnp.sum(x * b[k], axis=tuple(range(axes, x.ndim))) for k, x in a.items()))


def _sum(parts: Mapping[str, Array]) -> Array:
    return jnp.asarray(sum(jnp.sum(x) for x in parts.values()))
