# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Terms with a latent integrated out: expectations over the outcomes of the guards on it.

A guard ``slope * z + rest > 0`` splits the line of the latent z at its threshold ``-rest / slope``. Under the guide
z is ``T(loc + scale * eps)`` with standard normal eps, or has a warp below T, so the outcomes of all guards on z have
the probabilities of the intervals between thresholds: without a warp, differences of
``Phi((T^-1(threshold) - loc) / scale)``. These are differentiable in the parameters and in whatever moves a threshold.
The expectation of a term is the sum of its values in the intervals, each times its probability: the Rao-Blackwell form
of the term.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy import special
from jax.typing import ArrayLike

from ppl.runtime import functions as fn
from ppl.runtime import samplers, surface
from ppl.runtime.control import Guard
from ppl.runtime.densities import Density, normal
from ppl.runtime.point import Point
from ppl.runtime.records import Draw, Index
from ppl.runtime.supports import Transform

Threshold = tuple[ArrayLike, ArrayLike]  # slope and rest of a guard
Regions = tuple[tuple[Array, ...], list[tuple[Array, ...]]]  # edges, and the outcomes of guards between them
NEGLIGIBLE = 1e-4  # a relative error of a probability that is lost in the noise of any estimate
RAREST = 1e-12  # the probability below which an infinite term is left out of an expectation over counts


class Variable(Protocol):
    """A latent or noise with a known distribution function."""

    @property
    def at(self) -> Point: ...

    def standard(self, t: ArrayLike) -> Array:
        """The d with ``P(z < t) = Phi(d)``, increasing in t; infinite where t is not inside the support."""
        ...


@dataclass(frozen=True, init=False)
class Latent:
    """A coordinate of a latent, given all others."""

    at: Point
    site: str
    transform: Transform
    bounds: tuple[ArrayLike, ...]
    index: Index

    def __init__(self, at: Point, site: str, transform: Transform, *bounds: ArrayLike, index: Index = ()) -> None:
        for name, value in (("at", at), ("site", site), ("transform", transform), ("bounds", bounds), ("index", index)):
            object.__setattr__(self, name, value)

    def median(self) -> Array:
        """No gradient flows to the guide's parameters."""
        u = lax.stop_gradient(self.at.conditional(self.site, self.index).median())
        return self.transform.forward(u, *self.bounds)

    def standard(self, t: ArrayLike) -> Array:
        on = self.at.conditional(self.site, self.index)
        t = jnp.asarray(t, on.dtype)
        u, ok = self.transform.inverse_or(t, *self.bounds)
        d = self.transform.direction * on.noise(u)
        beyond = jnp.where(t > self.median(), jnp.inf, -jnp.inf)
        return jnp.where(ok, d, lax.stop_gradient(beyond))


@dataclass(frozen=True, init=False)
class Noise:
    """A noise, drawn from its own distribution."""

    at: Point
    density: Density
    args: tuple[ArrayLike, ...]

    def __init__(self, at: Point, density: Density, *args: ArrayLike) -> None:
        for name, value in (("at", at), ("density", density), ("args", args)):
            object.__setattr__(self, name, value)

    def standard(self, t: ArrayLike) -> Array:
        dtype, name = self.at.dtype, self.density.name
        t = jnp.asarray(t, dtype)
        args = tuple(jnp.asarray(a, dtype) for a in self.args)
        median = samplers.from_normal(name, jnp.zeros((), dtype), *args)
        ok = jnp.isfinite(lax.stop_gradient(self.density(t, *args)))
        inside = lax.stop_gradient(jnp.where(ok, t, median))
        d = lax.stop_gradient(samplers.to_normal(name, inside, *args))
        ok = ok & jnp.isfinite(d)
        d = jnp.where(ok, d, 0.0)
        # With z = F^-1(Phi(d)): dd = (dt - dz at fixed d) * density(t) / phi(d).
        log_ratio = self.density(inside, *args) + 0.5 * d * d + 0.5 * float(np.log(2 * np.pi))
        steep = lax.stop_gradient(jnp.where(ok, jnp.exp(log_ratio), 0.0))
        moved = jnp.where(ok, t, 0.0) - samplers.from_normal(name, d, *args)
        d = d + steep * (moved - lax.stop_gradient(moved))
        return jnp.where(ok, d, lax.stop_gradient(jnp.where(t > median, jnp.inf, -jnp.inf)))


def expectation(
    given: Callable[..., Any], *variables: tuple[Variable, tuple[Threshold, ...]], finite: bool = False
) -> Array:
    """The mean of a term over independent variables, each with the guards that are thresholds on it.

    ``given(guard, ...)`` is the term under given outcomes of all guards, in order. Where it is not known to be `finite`
    under all of them, a place without probability counts for nothing, whatever the density is there.
    """
    spaces = [regions(z, thresholds) for z, thresholds in variables]

    def over(rest: Sequence[Regions], found: tuple[Array, ...]) -> Array:
        if not rest:
            term = given(*(Guard(on, on) for on in found))
            # A whole number has no derivative that could be added up.
            return fn.real(jnp.sum(term.log_density if isinstance(term, Draw) else term))
        (edges, choices), *inner = rest
        return mean(edges, tuple(over(inner, found + ons) for ons in choices), finite)

    return over(spaces, ())


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def mean(edges: tuple[Array, ...], values: tuple[Array, ...], finite: bool) -> Array:
    """The mean of what has these `values` in the intervals between increasing `edges`, under Phi.

    As probabilities add up to one, an edge moves the mean by what jumps there: ``phi(edge) * (left - right)``, one
    number for each edge in place of one for each interval. What is not known to be `finite` counts for nothing where
    it has no probability.
    """
    p = intervals(edges)
    return jnp.asarray(sum(q * h for q, h in zip(p, _counting(p, values, finite), strict=True)))


@mean.defjvp
def _(
    finite: bool, primals: tuple[tuple[Array, ...], tuple[Array, ...]],
    tangents: tuple[tuple[Array, ...], tuple[Array, ...]],
) -> tuple[Array, Array]:  # fmt: skip
    edges, values = primals
    moved, changed = tangents
    p = intervals(edges)
    h, changed = _counting(p, values, finite), _counting(p, changed, finite)
    # What is the same for all draws is multiplied first.
    across = (
        (left - right) * (jnp.exp(normal(e, 0.0, 1.0)) * by)
        for e, by, left, right in zip(edges, moved, h[:-1], h[1:], strict=True)
    )
    within = (q * x for q, x in zip(p, changed, strict=True))
    value = sum(q * x for q, x in zip(p, h, strict=True))
    return jnp.asarray(value), jnp.asarray(sum((*within, *across)))


def _counting(p: Sequence[Array], values: Sequence[Array], finite: bool) -> Sequence[Array]:
    """`values`, 0 where they have no probability unless they are known to be `finite`."""
    return values if finite else [jnp.where(q > 0, h, 0.0) for q, h in zip(p, values, strict=True)]


def chance(
    holds: Callable[..., Any], *variables: tuple[Variable, tuple[Threshold, ...]]
) -> tuple[Array, Array]:  # fmt: skip
    """The probabilities that a condition holds and that it does not, over independent variables as in `expectation`.

    Each is a sum of its own, so that the smaller one is as precise as the other.
    """
    spaces = [regions(z, thresholds) for z, thresholds in variables]
    yes, no = jnp.asarray(0.0), jnp.asarray(0.0)
    for choice in itertools.product(*(zip(intervals(edges), found, strict=True) for edges, found in spaces)):
        p = math.prod((q for q, _ in choice), start=jnp.asarray(1.0))
        found = holds(*(Guard(on, on) for _, ons in choice for on in ons))
        yes, no = yes + jnp.where(found, p, 0.0), no + jnp.where(found, 0.0, p)
    return yes, no


def counted(
    given: Callable[[Array], Array], probabilities: tuple[Array, Array], n: int, then: float, orelse: float,
    rows: int | None,
) -> Array:  # fmt: skip
    """The mean of a term that reads a sum of `n` numbers, each `then` or `orelse`, independently, with `probabilities`.

    ``given(sum)`` is the term. `rows`: how many sums of a long range to evaluate at a time. A count that is rarer than
    RAREST, and at which the term is infinite, counts for nothing: no number of draws that can be drawn would meet it.
    """
    n = max(n, 0)  # a range may end before it begins
    counts = np.arange(n + 1)
    sums = jnp.asarray(then * counts + orelse * (n - counts))
    infinite = lax.stop_gradient(lax.map(_infinite_at(given), sums, batch_size=rows))
    stand_in = sums[jnp.argmin(infinite)]
    weigh = binomial(n, *probabilities)

    def one(k: Array) -> Array:
        weight = weigh(k)
        value = jnp.sum(given(jnp.where(infinite[k], stand_in, sums[k])))  # the same for all draws, if the term is
        beyond = jnp.where(weight < RAREST, 0.0, lax.stop_gradient(jnp.sum(given(sums[k]))))
        return jnp.where(infinite[k], beyond, weight * value)

    return surface.total(one, (0, n + 1), rows=rows)


def _infinite_at(given: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def infinite(total: Array) -> Array:
        return ~jnp.isfinite(jnp.sum(given(total)))

    return infinite


def binomial(n: int, p: Array, q: Array) -> Callable[[Array], Array]:
    """The probability of k out of `n`, as a function of k, with the chance p of each and q = 1 - p.

    Of many it is computed in proportion to its value at ``p = k / n`` (Loader 2000, Fast and accurate computation of
    binomial probabilities): there, ``k log p + (n - k) log q`` is so large that its rounding would show.
    """
    dtype = p.dtype
    tiny = jnp.finfo(dtype).tiny
    k, log = np.arange(n + 1.0), np.log
    choose = np.concatenate([[0.0], np.cumsum(log((n - k[:-1]) / k[1:]))])
    if n * float(jnp.finfo(dtype).eps) < NEGLIGIBLE:
        log_p, log_q = jnp.log(jnp.maximum(p, tiny)), jnp.log(jnp.maximum(q, tiny))
        constant = jnp.asarray(choose, dtype)
        return lambda k: jnp.exp(constant[k] + k * log_p + (n - k) * log_q)
    constant = jnp.asarray(choose + k * log(np.maximum(k, 1) / n) + (n - k) * log(np.maximum(n - k, 1) / n), dtype)

    def many(k: Array) -> Array:
        hits, others = jnp.asarray(k, dtype), jnp.asarray(n - k, dtype)
        beyond = jnp.where(p < q, n * p - hits, others - n * q)  # n p - k, from the smaller of the two
        return jnp.exp(constant[k] + of(hits, p, beyond) + of(others, q, -beyond))

    def of(m: Array, chance: Array, more: Array) -> Array:
        """``m log(n chance / m)``, where `more` is ``n chance - m``."""
        most = jnp.maximum(m, 1.0)
        near = jnp.abs(more) < 0.5 * most
        small = jnp.log1p(jnp.where(near, more, 0.0) / most)
        large = jnp.log(n * jnp.maximum(chance, tiny) / most)
        return jnp.where(m > 0, m * jnp.where(near, small, large), 0.0)

    return many


@jax.custom_jvp
def ndtr(e: Array) -> Array:
    """``Phi(e)``, with its density for a derivative: that of jax.scipy is put together of three branches."""
    return special.ndtr(e)


@ndtr.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (e,), (moved,) = primals, tangents
    return ndtr(e), moved * jnp.exp(normal(e, 0.0, 1.0))


@jax.custom_jvp
def sides(e: Array) -> tuple[Array, Array]:
    """``Phi(e), Phi(-e)``, both precise where they are small, in a form that XLA computes once where it is the same
    for all draws.

    XLA computes cheap operations again wherever their result is read, and the end of Phi is cheap: a polynomial, for
    every draw. It does not do so with what it counts as expensive, so two functions that cancel are put behind it.
    """
    small = jnp.exp(jnp.log(special.ndtr(-jnp.abs(e))))
    return jnp.where(e > 0, 1.0 - small, small), jnp.where(e > 0, small, 1.0 - small)


@sides.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (e,), (moved,) = primals, tangents
    change = moved * jnp.exp(normal(e, 0.0, 1.0))
    return sides(e), (change, -change)


def regions(z: Variable, thresholds: Sequence[Threshold]) -> Regions:
    """The edges between which guards on one variable have the same outcomes, increasing and under Phi, and for each
    interval, from the lowest, these outcomes."""
    at, rising = zip(*(place(slope, rest) for slope, rest in thresholds), strict=True)
    d = [weighted(z.standard(t), z.at.boundaries) for t in at]
    if len(d) == 1:
        (up,) = rising
        edge = (d[0] if up else -d[0]) if isinstance(up, bool) else jnp.where(up, d[0], -d[0])
        return (edge,), [(jnp.asarray(False),), (jnp.asarray(True),)]
    if all(isinstance(t, int | float) and np.isfinite(t) for t in at):
        order = sorted(range(len(at)), key=lambda k: at[k])
        ranks: Sequence[ArrayLike] = [order.index(k) for k in range(len(at))]
        edges = tuple(d[k] for k in order)
    else:
        places: Any = at  # the order is known at run time only
        # Of equal thresholds the first comes first.
        ranks = [
            sum(places[j] <= places[k] if j < k else places[j] < places[k] for j in range(len(at)) if j != k)
            for k in range(len(at))
        ]
        edges = tuple(jnp.sort(jnp.stack(d)))
    return edges, [
        tuple(jnp.asarray((j > r) == up) for r, up in zip(ranks, rising, strict=True)) for j in range(len(edges) + 1)
    ]


def intervals(edges: Sequence[Array]) -> list[Array]:
    """The probabilities of the intervals between increasing `edges` under Phi, without loss in either tail."""
    below, above = zip(*(sides(e) for e in edges), strict=True)
    inner = [jnp.where(edges[j] > 0, above[j] - above[j + 1], below[j + 1] - below[j]) for j in range(len(edges) - 1)]
    return [below[0], *inner, above[-1]]


def weighted(d: Array, weight: ArrayLike | None) -> Array:
    """`d` with its gradient times `weight`: all that moves probability across a threshold comes from a boundary."""
    if weight is None:
        return d
    inside = jnp.isfinite(d)
    moves = jnp.where(inside, d, 0.0)
    return jnp.where(inside, lax.stop_gradient(moves) + weight * (moves - lax.stop_gradient(moves)), d)


def place(slope: ArrayLike, rest: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    """The threshold of a guard ``slope * z + rest > 0``, and whether it holds above it.

    Infinite where the guard has one outcome for all z; a guard whose value is not a number does not hold.
    """
    if isinstance(slope, int | float) and isinstance(rest, int | float) and slope != 0:
        return -rest / slope, slope > 0
    up = jnp.asarray(slope) >= 0
    flat = jnp.asarray(slope) == 0
    never = jnp.where(up, jnp.inf, -jnp.inf)
    t = -jnp.asarray(rest) / jnp.where(flat, 1.0, slope)
    t = jnp.where(flat, jnp.where(jnp.asarray(rest) > 0, -never, never), t)
    return jnp.where(jnp.isnan(t), never, t), up


def without(terms: tuple[str, ...], integrated: frozenset[str]) -> tuple[str, ...]:
    """The terms that are not integrated."""
    return tuple(t for t in terms if t not in integrated)


def total(functions: Mapping[str, Callable[..., Array]], integrated: frozenset[str], *args: Any) -> Array:
    """The sum of the expectations of the terms that are `integrated`."""
    return jnp.asarray(sum((f(*args) for t, f in functions.items() if t in integrated), start=0.0))
