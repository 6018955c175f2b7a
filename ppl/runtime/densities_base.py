# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the log densities share: the class that holds one, truncation, and logarithms with finite gradients at zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime.functions import log1m_exp, real

Tails = Callable[..., tuple[Array, Array]]
Safe = tuple[float | tuple[float, ...], ...]


@dataclass(frozen=True)
class Density:
    """An elementwise log density.

    `logpdf(x, *args)` computes it. `safe` is ``(value, *args)`` at which it and its gradient are finite. `tails` gives
    the log probabilities on both sides of a value, as in ``tails.py``.
    """

    name: str
    logpdf: Callable[..., Array]
    safe: Safe
    tails: Tails
    discrete: bool = False

    def __call__(self, x: ArrayLike, *args: ArrayLike) -> Array:
        return self.logpdf(x, *args)

    def masked(self, mask: ArrayLike, x: ArrayLike, *args: ArrayLike) -> Array:
        """The log density where `mask` holds, 0 elsewhere. `mask` broadcasts with `x` and the arguments."""
        return masked(self.logpdf, self.safe, mask, x, *args)

    @property
    def lcdf(self) -> Density:
        """``log P(X <= x)``"""
        return Density(f"{self.name}.lcdf", partial(_tail, self.tails, 0), self.safe, self.tails)

    @property
    def lccdf(self) -> Density:
        """``log P(X > x)``"""
        return Density(f"{self.name}.lccdf", partial(_tail, self.tails, 1), self.safe, self.tails)

    @property
    def ordered(self) -> Ordered:
        """Of a vector of independent draws in increasing order."""
        return Ordered(f"{self.name}.ordered", partial(_ordered, self), self.safe, self.tails, False, self)

    @property
    def above(self) -> Truncated:
        """Cut off below its last argument."""
        return Truncated.of(self, "above")

    @property
    def below(self) -> Truncated:
        """Cut off above its last argument."""
        return Truncated.of(self, "below")

    @property
    def within(self) -> Truncated:
        """Cut off outside its last two arguments."""
        return Truncated.of(self, "within")


def _tail(tails: Tails, side: int, x: ArrayLike, *args: ArrayLike) -> Array:
    return tails(x, *args)[side]


def masked(f: Callable[..., Array], safe: Safe, mask: ArrayLike, *operands: ArrayLike) -> Array:
    """``f(*operands)`` where `mask` holds, 0 elsewhere; what the operands hold elsewhere has no effect."""
    mask = jnp.asarray(mask)
    clean: list[ArrayLike] = []
    for operand, stand_in in zip(operands, safe, strict=True):
        if isinstance(operand, int | float):  # the program says it, so it has no derivative
            clean.append(operand)
            continue
        vector = isinstance(stand_in, tuple)  # an argument with one event dimension
        inside = mask[..., None] if vector else mask
        size = jnp.shape(operand)[-1] if vector else 1
        clean.append(jnp.where(inside, real(operand), jnp.full((size,), 1.0 / size) if vector else stand_in))
    return jnp.where(mask, f(*clean), 0.0)


@dataclass(frozen=True, eq=False)
class Custom:
    """A distribution that functions of the program make, of whose value and arguments these are the dimensions of one
    draw. Its density is a term of the program like any other. ``sampler(data, size, key, dtype, *args)``, if there is
    one, draws one value and says whether it is defined."""

    name: str
    event: int
    events: tuple[int, ...]
    sampler: Callable[..., tuple[Array, Array]] | None = None
    data: Mapping[str, Any] | None = None
    size: Mapping[str, int] | None = None


# A probability that is the difference of two that agree in all but this part of them is integrated instead.
_NARROW = 0.02
_NODES, _WEIGHTS = (np.asarray(x) for x in np.polynomial.legendre.leggauss(6))
_FEW = 8  # outcomes that are summed one by one


@dataclass(frozen=True)
class Ordered(Density):
    """The order statistics of independent draws: K! times the product of their densities, 0 where the elements do not
    increase, up to rounding. The value is a vector, arguments are scalars, the result is one number."""

    base: Density | None = None

    def masked(self, mask: ArrayLike, x: ArrayLike, *args: ArrayLike) -> Array:
        assert self.base is not None
        return jnp.sum(self.base.masked(mask, x, *args)) + jnp.where(mask, _orders(real(x)), 0.0)


def _ordered(base: Density, x: ArrayLike, *args: ArrayLike) -> Array:
    return jnp.sum(base(x, *args)) + _orders(real(x))


def _orders(x: Array) -> Array:
    """The logarithm of the number of orders of a vector; -inf if it is in none of the increasing ones."""
    slack = 8 * jnp.finfo(x.dtype).eps * jnp.abs(x[1:])
    falls = jnp.any(x[1:] - x[:-1] < -slack)
    return jnp.where(falls, -jnp.inf, jnp.asarray(math.lgamma(x.shape[0] + 1.0), x.dtype))


@dataclass(frozen=True)
class Truncated(Density):
    """A distribution given that its value is not below `lower` (form "above"), not above `upper` ("below"), or neither
    ("within"). Of a discrete one both ends belong to it."""

    base: Density | None = None
    form: str = ""

    @staticmethod
    def of(base: Density, form: str) -> Truncated:
        centre = _number(base.safe[0])
        ends = {"above": (centre - 1.0,), "below": (centre + 1.0,), "within": (centre - 1.0, centre + 1.0)}[form]
        logpdf, tails = partial(_cut_density, base, form), partial(_cut_tails, base, form)
        return Truncated(f"{base.name}.{form}", logpdf, (*base.safe, *ends), tails, base.discrete, base, form)

    def split(self, args: tuple[ArrayLike, ...]) -> tuple[tuple[ArrayLike, ...], Array, Array]:
        """(arguments of the base, lower end, upper end)."""
        return _split(self.form, args)

    def log_mass(self, lower: ArrayLike, upper: ArrayLike, args: tuple[ArrayLike, ...]) -> Array:
        """The log probability of [lower, upper] under the base."""
        assert self.base is not None
        return _log_mass(self.base, real(lower), real(upper), args)


def _number(x: float | tuple[float, ...]) -> float:
    assert isinstance(x, float)
    return x


def _split(form: str, args: tuple[ArrayLike, ...]) -> tuple[tuple[ArrayLike, ...], Array, Array]:
    if form == "within":
        return args[:-2], real(args[-2]), real(args[-1])
    end = real(args[-1])
    return (args[:-1], end, jnp.full_like(end, jnp.inf)) if form == "above" else (
        args[:-1], jnp.full_like(end, -jnp.inf), end)  # fmt: skip


def _mass(base: Density, form: str, lower: Array, upper: Array, args: tuple[ArrayLike, ...]) -> Array:
    if form == "below":
        return base.tails(upper, *args)[0]
    if form == "above":
        return base.tails(jnp.ceil(lower) - 1.0 if base.discrete else lower, *args)[1]
    return _log_mass(base, lower, upper, args)


def _inside(base: Density, form: str, lower: Array, upper: Array) -> Array:
    """A value between the ends."""
    if form == "within":
        return lower if base.discrete else 0.5 * (lower + upper)
    step = 0.0 if base.discrete else 1.0
    return lower + step if form == "above" else upper - step


def _cut_density(base: Density, form: str, x: ArrayLike, *args: ArrayLike) -> Array:
    own, lower, upper = _split(form, args)
    x = real(x)
    outside = (x < lower) | (x > upper)
    value = base(jnp.where(outside, _inside(base, form, lower, upper), x), *own) - _mass(base, form, lower, upper, own)
    return jnp.where(outside, -jnp.inf, value)


def _cut_tails(base: Density, form: str, x: ArrayLike, *args: ArrayLike) -> tuple[Array, Array]:
    own, lower, upper = _split(form, args)
    x = jnp.floor(real(x)) if base.discrete else real(x)
    under, over = x < lower, x >= upper
    if not base.discrete:
        under |= x == lower
    at = jnp.where(under | over, _inside(base, form, lower, upper), x)
    next_up = at + 1.0 if base.discrete else at
    left = _mass(base, "below" if form == "below" else "within", lower, at, own)
    right = _mass(base, "above" if form == "above" else "within", next_up, upper, own)
    total = _mass(base, form, lower, upper, own)
    return (
        jnp.where(under, -jnp.inf, jnp.where(over, 0.0, left - total)),
        jnp.where(under, 0.0, jnp.where(over, -jnp.inf, right - total)),
    )


def _log_mass(base: Density, lower: Array, upper: Array, args: tuple[ArrayLike, ...]) -> Array:
    """The difference of two tails, those on the side where they are smaller; integrated or summed where that cancels.

    NaN where `upper` is below `lower`.
    """
    if isinstance(base, Mixture):  # an interval in the tail of one component may be in the middle of another
        weights, *own = args
        each = zip(base.parts, _by_component(base.parts, tuple(own)), strict=True)
        return _mixed(weights, [_log_mass(d, lower, upper, a) for d, a in each])
    whole = jnp.ceil(lower) - 1.0 if base.discrete else lower
    vectors = [isinstance(s, tuple) for s in base.safe[1:]]
    shapes = [jnp.shape(a)[:-1] if v else jnp.shape(a) for a, v in zip(args, vectors, strict=True)]
    shape = jnp.broadcast_shapes(jnp.shape(lower), jnp.shape(upper), *shapes)
    both = jnp.stack([jnp.broadcast_to(x, shape) for x in jnp.broadcast_arrays(whole, upper)])
    (below_lower, below_upper), (above_lower, above_upper) = base.tails(both, *args)  # at once, to compile it once
    left = below_upper < above_lower
    large, small = jnp.where(left, below_upper, above_lower), jnp.where(left, below_lower, above_upper)
    ratio = jnp.where(jnp.isfinite(large), small - jnp.where(jnp.isfinite(large), large, 0.0), -jnp.inf)
    if base.discrete:
        few = upper - lower < _FEW
        direct = large + log1m_exp(jnp.where(few | (ratio >= 0), -1.0, ratio))
        first = jnp.ceil(lower)
        terms = [base(first + k, *args) for k in range(_FEW)]
        present = [first + k <= upper for k in range(_FEW)]
        kept = jnp.stack([jnp.where(on & (t > -jnp.inf), t, -jnp.inf) for t, on in zip(terms, present, strict=True)])
        near = _log_sum(kept)
    else:
        few = ratio > math.log1p(-_NARROW)
        direct = large + log1m_exp(jnp.where(few, -1.0, ratio))
        width = upper - lower
        centre, half = 0.5 * (lower + upper), 0.5 * width
        centre, half = jnp.where(few, centre, _number(base.safe[0])), jnp.where(few, half, 0.0)
        terms = [
            base(centre + half * float(t), *args) + math.log(0.5 * w) for t, w in zip(_NODES, _WEIGHTS, strict=True)
        ]
        near = _log_sum(jnp.stack(terms)) + jnp.log(jnp.where(few, width, 1.0))
    return jnp.where(upper < lower, jnp.nan, jnp.where(few, near, direct))


@dataclass(frozen=True)
class Mixture(Density):
    """A mixture. The weights are a vector, taken as normalised; then come the arguments of each component."""

    parts: tuple[Density, ...] = ()

    def split(self, args: tuple[ArrayLike, ...]) -> list[tuple[ArrayLike, ...]]:
        """The arguments, without the weights, by component."""
        return _by_component(self.parts, args)


def mixture(*parts: Density) -> Mixture:
    """The mixture of distributions, all continuous or all discrete."""
    safe = (parts[0].safe[0], (1.0 / len(parts),) * len(parts), *(s for d in parts for s in d.safe[1:]))
    name = f"mixture({', '.join(d.name for d in parts)})"
    logpdf, tails = partial(_mixed_density, parts), partial(_mixed_tails, parts)
    return Mixture(name, logpdf, safe, tails, parts[0].discrete, parts)


def _by_component(parts: tuple[Density, ...], args: tuple[ArrayLike, ...]) -> list[tuple[ArrayLike, ...]]:
    out: list[tuple[ArrayLike, ...]] = []
    for d in parts:
        n = len(d.safe) - 1
        out.append(args[:n])
        args = args[n:]
    return out


def _mixed(weights: ArrayLike, logs: list[Array]) -> Array:
    w = real(weights)
    zero = w == 0
    log_w = jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, w)))
    return _log_sum(jnp.stack(jnp.broadcast_arrays(*(log_w[..., k] + v for k, v in enumerate(logs)))))


def _mixed_density(parts: tuple[Density, ...], x: ArrayLike, weights: ArrayLike, *args: ArrayLike) -> Array:
    return _mixed(weights, [d(x, *a) for d, a in zip(parts, _by_component(parts, args), strict=True)])


def _mixed_tails(parts: tuple[Density, ...], x: ArrayLike, weights: ArrayLike, *args: ArrayLike) -> tuple[Array, Array]:
    both = [d.tails(x, *a) for d, a in zip(parts, _by_component(parts, args), strict=True)]
    return _mixed(weights, [b[0] for b in both]), _mixed(weights, [b[1] for b in both])


def _flat(x: ArrayLike) -> Array:
    return 0.0 * real(x)


def _no_tails(x: ArrayLike) -> tuple[Array, Array]:
    return jnp.full_like(real(x), jnp.nan), jnp.full_like(real(x), jnp.nan)


flat = Density("flat", _flat, (0.0,), _no_tails)
"""The improper density 1 of a latent whose density the program adds as a term."""


def _log_sum(x: Array) -> Array:
    """Over axis 0; -inf, with zero gradient, where all are."""
    top = lax.stop_gradient(jnp.max(x, axis=0))
    none = top == -jnp.inf
    total = jnp.sum(jnp.where(none, 1.0, jnp.exp(x - jnp.where(none, 0.0, top))), axis=0)
    return jnp.where(none, -jnp.inf, top + jnp.log(total))


def xlogy(x: Array, y: Array, below: ArrayLike = 1.0) -> Array:
    """``x * (log(y) - log(below))``, with 0 * log(0) = 0. Where y = 0 the gradient is 0; y < 0 gives NaN.

    The logarithms are taken apart, because one y may serve many `below`, or be the same for all draws.
    """
    zero = y == 0
    at_zero = jnp.where(x == 0, 0.0, -jnp.inf * jnp.sign(x))
    return jnp.where(zero, at_zero, x * (jnp.log(jnp.where(zero, 1.0, y)) - jnp.log(below)))


def xlog1m(x: Array, y: Array) -> Array:
    """``x * log(1 - y)``, with 0 * log(0) = 0. Where y = 1 the gradient is 0; y > 1 gives NaN."""
    one = y == 1
    at_one = jnp.where(x == 0, 0.0, -jnp.inf * jnp.sign(x))
    return jnp.where(one, at_one, x * jnp.log1p(-jnp.where(one, 0.0, y)))


def above(
    x: Array, bound: ArrayLike, strict: bool, logpdf: Callable[[Array], Array], stand_in: ArrayLike = 1.0
) -> Array:
    """`logpdf(x)` where x lies above `bound`, -inf elsewhere; NaN counts as inside, so that it shows."""
    outside = x <= bound if strict else x < bound
    return jnp.where(outside, -jnp.inf, logpdf(jnp.where(outside, stand_in, x)))
