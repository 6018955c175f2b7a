# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Boundary terms of guards that are not affine along a line: every zero on every line, each with its share.

Where one line does not cross all of a boundary well (a circle along one coordinate), the coordinates share it: the
zeros on line i count with the weight ``(dG/ds_i)^2 / sum_j (dG/ds_j)^2``. The weights of the lines through a point of
the boundary sum to one there, and a line that only touches the boundary has weight zero, so the sum is exact and no
term grows without bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime import roots
from ppl.runtime.densities import normal as normal_density
from ppl.runtime.point import Index, Noise, Point, Root
from ppl.runtime.roots import Along, Roots
from ppl.runtime.supports import Transform

Across = Callable[[Root, Array], Array]
__all__ = ["Line", "Noise", "all_roots", "line", "only_root", "polynomial_roots", "total", "total_of_model"]


@dataclass(frozen=True)
class Line:
    """One coordinate of the noise (or, with several values, all those of a site), everything else as it was drawn."""

    start: Point
    site: str
    index: Index
    centre: Array
    spread: Array
    transform: Transform | Noise
    bounds: tuple[Array, ...]

    @property
    def dtype(self) -> jnp.dtype:
        return self.centre.dtype

    def _still(self) -> tuple[Array, Array, tuple[Array, ...]]:
        return jax.tree.map(lax.stop_gradient, (self.centre, self.spread, self.bounds))

    def u(self) -> Array:
        return self.start.u[self.site][self.index] if self.index else self.start.u[self.site]

    def here(self) -> Array:
        """The latent's value at the draw, differentiable in the parameters."""
        return self.transform.forward(self.u(), *self.bounds)

    def z(self, s: ArrayLike) -> Array:
        """The latent's value at noise `s`."""
        centre, spread, bounds = self._still()
        return self.transform.forward(centre + spread * s, *bounds)

    def live(self, s: ArrayLike) -> Array:
        """The same, differentiable in the parameters at fixed noise."""
        return self.transform.forward(self.centre + self.spread * s, *self.bounds)

    def point(self, s: ArrayLike) -> Point:
        """The whole point at noise `s`, through which no gradient flows."""
        centre, spread, _ = self._still()
        return self.start.still().moved(self.site, self.index, centre + spread * s)

    def live_point(self, s: ArrayLike) -> Point:
        return self.start.moved(self.site, self.index, self.centre + self.spread * s)

    def noise(self) -> Array:
        centre, spread, _ = self._still()
        return (lax.stop_gradient(self.u()) - centre) / spread

    def rate(self, s: ArrayLike) -> Array:
        """``dz/ds``"""
        s = jnp.asarray(s, self.dtype)
        return jax.jvp(self.z, (s,), (jnp.ones_like(s),))[1]

    def root(self, s: Array, ok: Array) -> Root:
        centre, spread, bounds = self._still()
        density = jnp.exp(normal_density(s, 0.0, 1.0))
        one = jnp.ones((), self.dtype)
        return Root(self.start.still(), self.site, self.index, centre + spread * s, spread, one, ok, density,
                    self.live(s), self.transform, bounds)  # fmt: skip


def line(at: Point, site: str, transform: Transform | Noise, *bounds: ArrayLike, index: Index = ()) -> Line:
    """The line of a latent's coordinate, or of a noise's that moves with its arguments (`bounds` are those, then)."""
    u = at.u[site][index] if index else at.u[site]
    if site in at.loc:
        centre, spread = (x[site][index] if index else x[site] for x in (at.loc, at.scale))
    else:
        centre, spread = jnp.zeros_like(u), jnp.ones_like(u)
    return Line(at, site, index, centre, spread, transform, tuple(jnp.asarray(b, u.dtype) for b in bounds))


# ------------------------------------------------------------------- searches

Search = Callable[[Line, Along], Roots]


def only_root(on: Line, along: Along) -> Roots:
    """For a guard that is monotone along the line."""
    return roots.monotone(along, on.dtype)


def all_roots(most: int) -> Search:
    """For a smooth guard."""

    def search(on: Line, along: Along) -> Roots:
        return roots.isolated(along, most, on.dtype, lax.stop_gradient(on.start.u["?"]))

    return search


def polynomial_roots(*coefficients: ArrayLike) -> Search:
    """For a guard that is a polynomial in the latent, coefficients from the constant on."""
    still = tuple(lax.stop_gradient(jnp.asarray(c)) for c in coefficients)

    def search(on: Line, along: Along) -> Roots:
        del along
        edge = roots.reach(on.dtype)
        ends = on.z(-edge), on.z(edge)
        places, ok = roots.polynomial(still, jnp.minimum(*ends), jnp.maximum(*ends))
        u, inside = on.transform.inverse_or(places, *jax.tree.map(lax.stop_gradient, on.bounds))
        centre, spread = lax.stop_gradient((on.centre, on.spread))
        ok &= inside
        return Roots(jnp.where(ok, (u - centre) / spread, 0.0), ok, jnp.ones_like(places))

    return search


# ------------------------------------------------------------- boundary terms


def total(
    value: Callable[..., Array],
    main: Mapping[str, Any],
    on: Line,
    place: int,
    arguments: Sequence[Line],
    search: Search,
    across: Across,
) -> Array:
    """The boundary terms of one instance of a guard on one line, as a scalar of which only the gradient has a meaning.

    ``value(main, *z)`` is the guard's value at values `z` of the latents `arguments`, all else read from the evaluation
    `main`. The line `on` moves argument number `place`, or one element of it. ``across(root, slope)`` is the jump.
    """
    still = jax.tree.map(lax.stop_gradient, main)
    here = [lax.stop_gradient(a.here()) for a in arguments]
    live = [a.here() for a in arguments]

    def moved(values: list[Array], z: Array) -> list[Array]:
        new = z if arguments[place].index == on.index else values[place].at[on.index].set(z)
        return [*values[:place], new, *values[place + 1 :]]

    def along(s: Array) -> Array:
        return value(still, *moved(here, on.z(s)))

    def one(s: Array, ok: Array, weight: Array) -> Array:
        _, slope = roots.derivative(along, s)
        share = jnp.ones_like(slope)
        if len(arguments) > 1 or arguments[0].index != on.index:
            at_root = moved(here, on.z(s))
            slopes = jax.grad(lambda zs: value(still, *zs))(at_root)
            rates = [a.rate(a.noise()) for a in arguments]
            rates = moved(rates, on.rate(s))
            share = slope**2 / _positive(sum(jnp.sum((d * r) ** 2) for d, r in zip(slopes, rates, strict=True)))
        root = on.root(s, ok)
        return _term(root, weight * share, slope, across(root, slope), value(main, *moved(live, root.value)))

    return jnp.sum(jax.vmap(one)(*search(on, along)))


def total_of_model(
    value: Callable[[Point], Array], on: Line, sites: Sequence[str], search: Search, across: Across
) -> Array:
    """As `total`, for a guard whose value is that of the whole program at a point; all coordinates of `sites` share."""

    def along(s: Array) -> Array:
        return value(on.point(s))

    def one(s: Array, ok: Array, weight: Array) -> Array:
        _, slope = roots.derivative(along, s)
        at = on.point(s)

        def of(u: dict[str, Array]) -> Array:
            return value(replace(at, u={**at.u, **u}))

        slopes = jax.grad(of)({k: at.u[k] for k in sites})
        squares = sum(jnp.sum((slopes[k] * at.scale.get(k, jnp.ones(()))) ** 2) for k in sites)
        root = on.root(s, ok)
        share = slope**2 / _positive(squares)
        return _term(root, weight * share, slope, across(root, slope), value(on.live_point(s)))

    return jnp.sum(jax.vmap(one)(*search(on, along)))


def _positive(x: Any) -> Array:
    x = jnp.asarray(x)
    return jnp.where(x > 0, x, 1.0)


def _term(root: Root, weight: Array, slope: Array, gap: Array, value: Array) -> Array:
    ok = root.ok & (slope != 0)
    steep = jnp.where(ok, jnp.abs(slope), 1.0)
    weight = jnp.where(ok, weight * root.density * lax.stop_gradient(gap) / steep, 0.0)
    return lax.stop_gradient(weight) * value
