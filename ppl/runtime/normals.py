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

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime.densities import normal as normal_density
from ppl.runtime.point import Point

Sites = Mapping[str, Array]

MOST_COEFFICIENTS = 2**22  # of all instances in all coordinates; beyond, guards keep their coordinate lines


def apply(at: Point, sites: Sequence[str], instances: int = 1) -> bool:
    """Whether these sites are independent Gaussians, and few enough: a property of the guide and the sizes."""
    free = all(k in at.scale and k not in at.lines and k not in at.warps for k in sites)
    return free and instances * sum(at.u[k].size for k in sites) <= MOST_COEFFICIENTS


@dataclass(frozen=True)
class Normals:
    """The normals of all instances of a guard. `slopes`: the a_j by site, after the axes of the instances those of the
    site, through which no gradient flows. `rest`: L without what the sites add to it, differentiable."""

    at: Point
    slopes: Sites
    rest: Array

    def root(self, *instance: ArrayLike) -> NormalRoot:
        at = self.at.still()
        a = {k: s[instance] if instance else s for k, s in self.slopes.items()}
        rest = self.rest[instance] if instance else self.rest
        b = {k: a[k] * at.scale[k] for k in a}
        square = _sum({k: b[k] ** 2 for k in a})
        ok = square > 0
        square = jnp.where(ok, square, 1.0)
        norm, here = jnp.sqrt(square), lax.stop_gradient(rest) + _sum({k: a[k] * at.u[k] for k in a})
        eps = {k: (at.u[k] - at.loc[k]) / at.scale[k] for k in a}
        s = (_sum({k: b[k] * eps[k] for k in a}) - here) / norm
        there = {k: eps[k] - here / square * b[k] for k in a}
        live = {k: self.at.loc[k] + self.at.scale[k] * there[k] for k in a}
        u = lax.stop_gradient(live)
        value = (rest + _sum({k: a[k] * live[k] for k in a})) / norm
        direction = {k: b[k] / norm * at.scale[k] for k in a}
        size = _sum({k: jnp.abs(a[k] * u[k]) for k in a}) / norm
        density = jnp.exp(normal_density(s, 0.0, 1.0))
        return NormalRoot(at, u, direction, size, ok, density, density, norm, value)


@dataclass(frozen=True)
class NormalRoot:
    """The point on a boundary where its normal through the draw meets it, as `ppl.runtime.point.Root`. `slope`: of the
    guard along the normal; `value`: the distance to the boundary, 0, differentiable at the noise of this point."""

    start: Point
    u: Sites
    direction: Sites
    size: Array
    ok: Array
    density: Array
    height: Array
    slope: Array
    value: Array

    def point(self, side: ArrayLike = 0, rows: int | None = None) -> Point:
        """The point on the boundary, or a little beside it where the guard is positive (side +1) or negative (-1)."""
        info = jnp.finfo(self.density.dtype)
        delta = jnp.maximum(1e-6 if info.bits == 64 else 1e-3, 64 * info.eps * self.size)
        u = {k: x + side * delta * self.direction[k] for k, x in self.u.items()}
        start = self.start
        log_q = {k: normal_density(x, start.loc[k], start.scale[k]) for k, x in u.items()}
        return replace(start, u={**start.u, **u}, log_q={**start.log_q, **log_q}, rows=rows)


def of(
    at: Point, sites: Sequence[str], values: Callable[[Point], Array], value: Array | None = None, alone: bool = False
) -> Normals:
    """The normals of a boundary whose guard has these values, of all instances, at a point. `value`: those at `at`, if
    they are known. `alone`: nothing else that is random is in them."""
    rest, found = affine(at, sites, values)
    if not alone:
        here = values(at) if value is None else jnp.asarray(value)
        axes = {k: at.u[k].ndim for k in sites}
        rest = here - sum(jnp.tensordot(found[k], at.u[k], axes[k]) for k in sites)
    return Normals(at, found, lax.stop_gradient(rest) if alone else rest)


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


def _sum(parts: Mapping[str, Array]) -> Array:
    return jnp.asarray(sum(jnp.sum(x) for x in parts.values()))
