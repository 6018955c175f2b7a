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
from ppl.runtime.point import OnBoundary, Point

Sites = Mapping[str, Array]

MOST_COEFFICIENTS = 2**22  # of all instances in all coordinates; beyond, guards keep their coordinate lines


def apply(at: Point, sites: Sequence[str], instances: int = 1) -> bool:
    """Whether these sites are independent Gaussians, and few enough: a property of the guide and the sizes."""
    free = all(k in at.scale and k not in at.lines and k not in at.warps for k in sites)
    return free and instances * sum(at.u[k].size for k in sites) <= MOST_COEFFICIENTS


@dataclass(frozen=True)
class Normals:
    """The normals of all instances of a guard. `slopes`: the a_j by site, after the axes of the instances those of the
    site, through which no gradient flows. `value`: L, differentiable. `centre`: L where all u_j are at their loc."""

    at: Point
    slopes: Sites
    value: Array
    centre: Array

    def root(self, *instance: ArrayLike) -> NormalRoot:
        at = self.at.still()
        a = {k: element(s, *instance) for k, s in self.slopes.items()}
        value, centre = element(self.value, *instance), element(self.centre, *instance)
        b = {k: a[k] * at.scale[k] for k in a}
        square = _sum({k: b[k] ** 2 for k in a})
        ok = square > 0
        square = jnp.where(ok, square, 1.0)
        norm, step = jnp.sqrt(square), lax.stop_gradient(value) / square
        eps = {k: (at.u[k] - at.loc[k]) / at.scale[k] - step * b[k] for k in a}
        u = {k: at.u[k] - step * (b[k] * at.scale[k]) for k in a}
        # L at the noise eps: what it is at the draw, less how far that is from here at each scale.
        moved = value - step * _sum({k: a[k] * b[k] * self.at.scale[k] for k in a})
        density = jnp.exp(normal_density(lax.stop_gradient(centre) / norm, 0.0, 1.0))
        return NormalRoot(at, u, eps, a, b, ok, density, density, norm, moved / norm)


@dataclass(frozen=True)
class NormalRoot:
    """The point on a boundary (`OnBoundary`) where its normal through the draw meets it. `slope`: of the guard along
    the normal; `value`: the distance to the boundary, 0, differentiable at the noise of this point."""

    start: Point
    u: Sites
    eps: Sites
    slopes: Sites
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
            size = _sum({k: jnp.abs(self.slopes[k] * x) for k, x in u.items()}) / self.slope
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
    rest, found = affine(at, sites, values)
    still = at.still()
    if alone:
        return Normals(at, found, rest + _along(found, at.u), rest + _along(found, still.loc))
    here = values(at) if value is None else jnp.asarray(value)
    off = {k: still.u[k] - still.loc[k] for k in sites}
    return Normals(at, found, here, lax.stop_gradient(here) - _along(found, off))


def affine(at: Point, sites: Sequence[str], values: Callable[[Point], Array]) -> tuple[Array, Sites]:
    """A guard's values, of all instances, where all that is drawn is zero, and their derivatives in the unconstrained
    elements of some sites. These depend on data alone, so that they are the same everywhere."""
    still = at.still()
    zero = {k: jnp.zeros_like(x) for k, x in still.u.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    origin = replace(still, u={**still.u, **zero})

    def along(u: Sites) -> Array:
        return values(replace(origin, u={**origin.u, **u}))

    moved = {k: origin.u[k] for k in sites}
    instances = math.prod(jax.eval_shape(along, moved).shape)
    jacobian = jax.jacfwd if sum(x.size for x in moved.values()) <= instances else jax.jacrev
    return lax.stop_gradient((along(moved), jacobian(along)(moved)))


def _along(slopes: Sites, u: Sites) -> Array:
    """How much of a guard's value, of all instances, the sites make."""
    return jnp.asarray(sum(jnp.tensordot(a, u[k], u[k].ndim) for k, a in slopes.items()))


def _sum(parts: Mapping[str, Array]) -> Array:
    return jnp.asarray(sum(jnp.sum(x) for x in parts.values()))
