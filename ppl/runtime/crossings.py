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
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy import special
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime import roots
from ppl.runtime.coordinates import Coordinate
from ppl.runtime.densities import normal as normal_density
from ppl.runtime.elements import element
from ppl.runtime.lines import DIVISIONS, Along, Cells, Sample, cells, derivative, reach, sample
from ppl.runtime.on_boundary import Noise, Root
from ppl.runtime.point import Point
from ppl.runtime.records import Index
from ppl.runtime.roots import Roots
from ppl.runtime.running import running_sum
from ppl.runtime.subsets import CHANCE, mixed
from ppl.runtime.supports import Transform
from ppl.runtime.surface import size, still

__all__ = ["Line", "Noise", "all_roots", "line", "only_root", "polynomial_roots", "total", "total_of_model"]


@dataclass(frozen=True)
class Line:
    """One coordinate of the noise (or, with several values, all those of a site), everything else as it was drawn."""

    start: Point
    site: str
    index: Index
    coordinate: Coordinate
    transform: Transform | Noise
    bounds: tuple[Array, ...]

    @property
    def dtype(self) -> DTypeLike:
        return self.coordinate.dtype

    def _bounds(self) -> tuple[Array, ...]:
        return jax.tree.map(lax.stop_gradient, self.bounds)

    def u(self) -> Array:
        return self.start.u[self.site][self.index] if self.index else self.start.u[self.site]

    def here(self) -> Array:
        """The latent's value at the draw, differentiable in the parameters."""
        return self.transform.forward(self.u(), *self.bounds)

    def among(self, out: Mapping[str, Any]) -> Array:
        """The latent's value in an evaluation."""
        joint: Mapping[str, Array] = out.get("u", {})
        z = joint[self.site] if self.site in joint else out["z"][self.site]
        return z[self.index] if self.index else z

    def z(self, s: ArrayLike) -> Array:
        """The latent's value at noise `s`."""
        return self.transform.forward(self.place(s), *self._bounds())

    def live(self, s: ArrayLike) -> Array:
        """The same, differentiable in the parameters at the noise of that place."""
        return self.transform.forward(self._live(s), *self.bounds)

    def _live(self, s: ArrayLike) -> Array:
        if self.site not in self.start.loc:
            return jnp.asarray(s, self.dtype)
        return self.start.live(self.site, self.index, self.place(s))

    def place(self, s: ArrayLike) -> Array:
        """The unconstrained latent at noise `s`."""
        return self.coordinate.still().place(s)

    def point(self, s: ArrayLike) -> Point:
        """The whole point at noise `s`, through which no gradient flows."""
        return self.start.still().moved(self.site, self.index, self.place(s))

    def live_point(self, s: ArrayLike) -> Point:
        return self.start.live_point(self.site, self.index, self.place(s))

    def noise(self) -> Array:
        return lax.stop_gradient(self.coordinate.noise(self.u()))

    def chance(self) -> Array:
        """Uniform on (0, 1)."""
        return lax.stop_gradient(self.start.u[CHANCE])

    def rate(self, s: ArrayLike) -> Array:
        """``dz/ds``"""
        s = jnp.asarray(s, self.dtype)
        return jax.jvp(self.z, (s,), (jnp.ones_like(s),))[1]

    def root(self, s: Array, ok: Array) -> Root:
        density = jnp.exp(normal_density(s, 0.0, 1.0))
        one = jnp.ones((), self.dtype)
        return Root(self.start, self.site, self.index, self.place(s), self.coordinate.still().rate(s), one, ok, density,
                    density, self.live(s), self.transform, self._bounds())  # fmt: skip


def line(at: Point, site: str, transform: Transform | Noise, *bounds: ArrayLike, index: Index = ()) -> Line:
    """The line of a latent's coordinate, or of a noise's that moves with its arguments (`bounds` are those, then)."""
    u = element(at.u[site], *index)
    on = at.coordinate(site, index) if site in at.loc else Coordinate(jnp.zeros_like(u), jnp.ones_like(u))
    return Line(at, site, index, on, transform, tuple(jnp.asarray(b, u.dtype) for b in bounds))


# ------------------------------------------------------------------- searches


Finder = Callable[[ArrayLike], Roots]


class Search(Protocol):
    """How the places are found at which ``along(s) = level``. `monotone`: there is at most one of them."""

    @property
    def monotone(self) -> bool: ...

    @property
    def pieces(self) -> bool:
        """Whether ``along(s)`` is a value and the number of the piece on which it is smooth, instead of a value."""
        ...

    def finder(self, on: Line, along: Callable[[Array], Any], levels: bool) -> tuple[Finder, Cells | None]:
        """The search on one line: for level 0 alone, or with `levels` for any. And the cells it looks at, if any."""
        ...


@dataclass(frozen=True)
class OnlyRoot:
    """For a guard that is monotone along the line."""

    monotone: bool = True
    pieces: bool = False

    def finder(self, on: Line, along: Callable[[Array], Any], levels: bool) -> tuple[Finder, Cells | None]:
        return lambda level: roots.monotone(lambda s: along(s) - level, on.dtype, levels), None


@dataclass(frozen=True)
class AllRoots:
    """For a guard that is smooth, or smooth in pieces."""

    most: int
    pieces: bool = False
    monotone: bool = False

    def finder(self, on: Line, along: Callable[[Array], Any], levels: bool) -> tuple[Finder, Cells | None]:
        smooth = _first(along) if self.pieces else along
        at = cells(smooth, sample(along, on.dtype, pieces=self.pieces), on.chance(), levels=levels)

        def find(level: ArrayLike) -> Roots:
            a, b = (x._replace(value=x.value - level) for x in (at.a, at.b))
            below = at._replace(a=a, b=b)
            return roots.isolated(lambda s: smooth(s) - level, below, self.most, on.chance(), levels)

        return find, at


@dataclass(frozen=True)
class PolynomialRoots:
    """For a guard that is a polynomial in the latent, coefficients from the constant on."""

    coefficients: tuple[Array, ...]
    pieces: bool = False

    @property
    def monotone(self) -> bool:
        return len(self.coefficients) == 2

    def finder(self, on: Line, along: Callable[[Array], Any], levels: bool) -> tuple[Finder, Cells | None]:
        edge = jnp.asarray(reach(on.dtype), on.dtype)
        ends = on.z(-edge), on.z(edge)
        places, ok = roots.turns(self.coefficients, jnp.minimum(*ends), jnp.maximum(*ends))
        u, inside = on.transform.inverse_or(places, *jax.tree.map(lax.stop_gradient, on.bounds))
        turns = jnp.where(ok & inside, jnp.clip(on.coordinate.still().noise(u), -edge, edge), edge)
        cut = jnp.concatenate([-edge[None], jnp.sort(turns), edge[None]])

        def find(level: ArrayLike) -> Roots:
            # By the value as it is written: coefficients that were multiplied out lose digits.
            return roots.between(lambda s: along(s) - level, cut, 48, levels)

        return find, None


only_root = OnlyRoot()
all_roots = AllRoots


def polynomial_roots(*coefficients: ArrayLike) -> PolynomialRoots:
    return PolynomialRoots(tuple(lax.stop_gradient(jnp.asarray(c)) for c in coefficients))


# --------------------------------------------------------------------- levels

MOST_LEVELS = 32


def _distinct(values: Array) -> Array:
    """Values, held where whole numbers can still be told apart."""
    end = 2.0 / float(jnp.finfo(values.dtype).eps)
    return jnp.clip(values, -end, end)


def attainable(
    on: Line, along: Along, find: Finder, monotone: bool, at: Cells | None = None
) -> tuple[Array, Array, Array]:
    """The integers that a value passes on its line: (levels, whether, inverse of the expected number of times), (32,).
    `at`: the cells in which they are searched.

    All of them, if there are at most MOST_LEVELS. Else a random choice, unbiased under its weights: levels are taken as
    often as the noise comes near them, by systematic sampling from the normal distribution. Between the ends of a cell
    the value need not be monotone, so there it is taken for a straight line when a level is chosen; that the weights
    are those of just this choice makes it unbiased all the same.
    """
    most = MOST_LEVELS
    slots, chance = jnp.arange(most), mixed(on.chance(), DIVISIONS + 1)
    values, draw = _of_monotone(on, along, find) if monotone else _of_cells(_reached(on, along, at))
    lo, hi = _distinct(jnp.nanmin(values)), _distinct(jnp.nanmax(values))
    first, count = jnp.floor(lo) + 1, jnp.maximum(jnp.floor(hi) - jnp.floor(lo), 0)
    fits = count <= most
    some, mass = draw((slots + chance) / most)
    inside = (some >= first) & (some < first + count)
    levels = jnp.where(fits, first + slots, some)
    inside &= mass > 0  # it is not where levels are too close together to be told apart in this precision
    weight = 1.0 / (most * jnp.where(mass > 0, mass, 1.0))
    return levels, jnp.where(fits, slots < count, inside), jnp.where(fits, 1.0, jnp.where(inside, weight, 0.0))


# Of places uniform on (0, 1): the levels there, and their probabilities.
Draw = Callable[[Array], tuple[Array, Array]]


def _of_monotone(on: Line, along: Along, find: Finder) -> tuple[Array, Draw]:
    """The values at both ends of a line, and levels at the values of normal draws."""
    edge = reach(on.dtype)
    values = jax.vmap(along)(jnp.linspace(-edge, edge, 2, dtype=on.dtype))
    rises, hi = values[1] > values[0], _distinct(jnp.nanmax(values))

    def place(level: Array) -> Array:
        found = find(level)
        outside = jnp.where((level > hi) == rises, 40.0, -40.0)
        return jnp.where(found.ok[0], found.s[0], outside)

    def draw(places: Array) -> tuple[Array, Array]:
        some = jnp.round(jax.vmap(along)(jnp.clip(special.ndtri(places), -edge, edge)))
        return some, _mass(jax.vmap(place)(some - 0.5), jax.vmap(place)(some + 0.5))

    return values, draw


def _of_cells(at: tuple[Array, Array, Array]) -> tuple[Array, Draw]:
    """The values in all cells, and levels at values uniform in a cell; cells as often as the noise is there."""
    lo, hi, mass = at
    upto = running_sum(mass)

    def draw(places: Array) -> tuple[Array, Array]:
        spot = places * upto[-1]
        k = jnp.minimum(jnp.searchsorted(upto, spot, side="right", method="compare_all"), mass.size - 1)
        part = (spot - (upto[k] - mass[k])) / jnp.where(mass[k] > 0, mass[k], 1.0)
        some = jnp.round(lo[k] + jnp.clip(part, 0.0, 1.0) * (hi[k] - lo[k]))
        return some, jax.vmap(probability)(some)

    def probability(level: Array) -> Array:
        width = hi - lo
        overlap = jnp.minimum(hi, level + 0.5) - jnp.maximum(lo, level - 0.5)
        of_cell = jnp.where(width > 0, jnp.maximum(overlap, 0.0) / jnp.where(width > 0, width, 1.0), overlap >= 0)
        return jnp.sum(mass * of_cell) / upto[-1]

    return jnp.where(mass > 0, jnp.stack([lo, hi]), jnp.nan), draw


def _reached(on: Line, along: Along, at: Cells | None) -> tuple[Array, Array, Array]:
    """Values between which a function stays in each of its cells, where it turns too, and the noise there: a parabola
    comes no further than the tangent at an end of the cell does in half of it."""
    if at is None:
        grid = sample(along, on.dtype)
        a, b = (Sample(*(x[k] for x in grid)) for k in (slice(None, -1), slice(1, None)))
        at = Cells(a, b, jnp.ones_like(a.s))
    a, b, weight = at
    half = jnp.where((a.slope * b.slope < 0) & ~b.ends, 0.5 * (b.s - a.s), 0.0)
    values = jnp.stack([a.value, b.value, a.value + half * a.slope, b.value - half * b.slope])
    some = (weight != 0) & (b.s > a.s) & jnp.any(jnp.isfinite(values), axis=0)
    values = jnp.where(some, _distinct(values), 0.0)
    return jnp.nanmin(values, axis=0), jnp.nanmax(values, axis=0), jnp.where(some, _mass(a.s, b.s), 0.0)


def _mass(a: Array, b: Array) -> Array:
    """The noise between two places, by the tail in which that has digits."""
    side = jnp.where(jnp.minimum(a, b) > 0, -1.0, 1.0)
    return jnp.abs(special.ndtr(side * b) - special.ndtr(side * a))


# ------------------------------------------------------------- boundary terms


def total(
    value: Callable[..., Any],
    main: Mapping[str, Any],
    on: Line,
    place: int,
    arguments: Sequence[Line],
    search: Search,
    across: Callable[..., Array],
    levels: bool = False,
    sizing: bool = False,
) -> Array:
    """The boundary terms of one instance of a guard on one line, as a scalar of which only the gradient has a meaning.

    ``value(main, *z)`` is the guard's value at values `z` of the latents `arguments`, all else read from the evaluation
    `main`. The line `on` moves argument number `place`, or one element of it. ``across(root, slope)`` is the jump, of a
    guard with `levels` ``across(root, slope, level)``. Where `search` has `pieces`, the value comes with the number of
    its piece (`control.piece`). With `sizing` it is the size of the terms instead, without `across`, as `surface.size`.
    """
    fixed = still(main)
    here = [lax.stop_gradient(a.here()) for a in arguments]
    live = [a.here() for a in arguments]

    def moved(values: list[Array], z: Array) -> list[Array]:
        new = z if arguments[place].index == on.index else values[place].at[on.index].set(z)
        return [*values[:place], new, *values[place + 1 :]]

    @jax.jit  # traced once, not at every use
    def along(s: Array) -> Any:
        return value(fixed, *moved(here, on.z(s)))

    smooth = _first(value) if search.pieces else value

    def one(s: Array, ok: Array, weight: Array, away: Array, side: Array, *level: Array) -> Array:
        at = _beside(on, s, jnp.maximum(away, _least(on, s) if search.pieces else 0.0), side)
        _, slope = derivative(_first(along) if search.pieces else along, at)
        share = jnp.ones_like(slope)
        if len(arguments) > 1 or arguments[0].index != on.index:
            at_root = moved(here, on.z(at))
            slopes = jax.grad(lambda zs: smooth(fixed, *zs))(at_root)
            rates = [a.rate(a.noise()) for a in arguments]
            rates = moved(rates, on.rate(at))
            share = slope**2 / _positive(sum(jnp.sum((d * r) ** 2) for d, r in zip(slopes, rates, strict=True)))
        root = on.root(s, ok)
        if sizing:
            return size(root, slope, weight * share)
        beside = on.root(at, ok)
        near = beside.near(main)
        # At the root, whatever shares noise with the moved latent depends on the parameters in another way.
        there = moved(live, beside.value) if near is main else [a.among(near) for a in arguments]
        return _term(root, weight * share, slope, across(root, slope, *level), smooth(near, *there))

    return _sum(on, along, search, one, levels)


def total_of_model(
    value: Callable[[Point], Any], on: Line, sites: Sequence[str], search: Search, across: Callable[..., Array],
    levels: bool = False, poles: bool = False,
) -> Array:  # fmt: skip
    """As `total`, for a guard whose value is that of the whole program at a point; all coordinates of `sites` share.
    Where the program has `poles`, derivatives are taken next to the root: it may be one, at which other values of the
    program, ``tanh(1 / x)`` in later state, have none. So they are where the value has pieces: one may begin at the
    root, where rounding would have one derivative from either side of it."""

    @jax.jit  # traced once, not at every use
    def along(s: Array) -> Any:
        return value(on.point(s))

    smooth = _first(value) if search.pieces else value

    def one(s: Array, ok: Array, weight: Array, away: Array, side: Array, *level: Array) -> Array:
        beside = _beside(on, s, jnp.maximum(away, _least(on, s) if poles or search.pieces else 0.0), side)
        _, slope = derivative(_first(along) if search.pieces else along, beside)
        at = on.point(beside)

        def of(u: dict[str, Array]) -> Array:
            return smooth(replace(at, u={**at.u, **u}))

        slopes = jax.grad(of)({k: at.u[k] for k in sites})
        squares = sum(jnp.sum((slopes[k] * at.rate(k)) ** 2) for k in sites)
        root = on.root(s, ok)
        share = slope**2 / _positive(squares)
        return _term(root, weight * share, slope, across(root, slope, *level), smooth(on.live_point(beside)))

    return _sum(on, along, search, one, levels)


def _least(on: Line, s: Array) -> Array:
    """The distance at which what begins at a zero is told from it."""
    return jnp.sqrt(jnp.finfo(on.dtype).eps) * (1 + jnp.abs(s))


def _beside(on: Line, s: Array, away: Array, side: Array) -> Array:
    """The place at which derivatives are taken: on either side of a zero without a slope, so that errors odd in the
    distance cancel on average, unless it has a slope on one `side` only. The noise drawn for the line, on which nothing
    else here depends, chooses."""
    return s + away * jnp.where(side != 0, side, jnp.where(on.noise() < 0, -1.0, 1.0))


def _first(f: Callable[..., Any]) -> Callable[..., Array]:
    return lambda *args: f(*args)[0]


def _sum(on: Line, along: Callable[[Array], Any], search: Search, one: Callable[..., Array], levels: bool) -> Array:
    """The sum of ``one(s, ok, weight, away, side)`` over the zeros, or, with a level after these, over those of all
    levels."""
    find, at = search.finder(on, along, levels)
    if not levels:
        return jnp.sum(jax.vmap(one)(*find(0.0)))

    def at_level(level: Array, present: Array, weight: Array) -> Array:
        whole = level.astype(jnp.result_type(int))
        return jnp.sum(jax.vmap(lambda s, ok, w, *x: one(s, ok & present, w * weight, *x, whole))(*find(level)))

    smooth = _first(along) if search.pieces else along
    return jnp.sum(jax.vmap(at_level)(*attainable(on, smooth, find, search.monotone, at)))


def _positive(x: Any) -> Array:
    x = jnp.asarray(x)
    return jnp.where(x > 0, x, 1.0)


def _term(root: Root, weight: Array, slope: Array, gap: Array, value: Array) -> Array:
    ok = root.ok & (slope != 0)
    steep = jnp.where(ok, jnp.abs(slope), 1.0)
    weight = jnp.where(ok, weight * root.density * lax.stop_gradient(gap) / steep, 0.0)
    return lax.stop_gradient(weight) * value
