# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Draws from the language's distributions, by `Distribution.function` of ``ppl/language/distributions.py``.

`sample` draws from any of them. For those whose quantile function is explicit, `from_normal` maps standard normal noise
to a variate, ``F^-1(Phi(eps))``, differentiably in the noise and in the arguments, and `to_normal` maps it back. Both
work from the nearer tail, so they are accurate in both. The noise is used up to a size of 12 in float32 and 37 in
float64, where its tail probability is close to the smallest number (1e-33, 1e-300); beyond, they are constant.
`normal`, `lognormal` and `uniform` have no such limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, nn, random
from jax.scipy import special
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime import functions as fn
from ppl.runtime.densities import (
    Custom,
    Density,
    Mixture,
    Ordered,
    Truncated,
    cauchy,
    exponential,
    flat,
    halfcauchy,
    halfnormal,
    laplace,
    lkjcholesky,
    logistic,
    normal,
)

_LOG_2 = math.log(2.0)


def sample(function: str, key: Array, args: Sequence[ArrayLike], shape: Sequence[int], dtype: DTypeLike) -> Array:
    """Independent draws.

    Args:
        function: the distribution, e.g. ``"normal"``.
        key: a jax random key, either style.
        args: its arguments; they broadcast to `shape` (after the event dimension of a vector argument).
        shape: shape of the result.
        dtype: floating dtype in which to draw. A discrete distribution returns ints of jax's default width.
    """
    shape = tuple(shape)
    values = [jnp.asarray(a, dtype) for a in args]
    if function in _FROM_NORMAL:
        return jnp.broadcast_to(from_normal(function, random.normal(key, shape, dtype), *values), shape)
    return _SAMPLERS[function](key, shape, dtype, *values)


def draw(
    density: Density | Custom, key: Array, args: Sequence[ArrayLike], shape: Sequence[int], dtype: DTypeLike
) -> Array:
    """As `sample`, from any density of ``densities.py``, a truncated one too. Of a `Custom`, reals, not a number
    where a draw is not defined."""
    if isinstance(density, Custom):
        return _custom(density, key, args, tuple(shape), dtype)
    if isinstance(density, Truncated):
        values = [jnp.asarray(a, dtype) for a in args]
        return _truncated(density, key, tuple(values), tuple(shape), dtype)
    if isinstance(density, Ordered) and density.base is not None:
        return jnp.sort(draw(density.base, key, args, shape, dtype))
    if isinstance(density, Mixture):
        return _mixed(density, key, args, tuple(shape), dtype)
    if density is flat:  # nothing can be drawn from it: not a number, which does not pass for one
        return jnp.full(tuple(shape), jnp.nan, dtype)
    return sample(density.name, key, args, shape, dtype)


def attempt(
    density: Density, key: Array, args: Sequence[ArrayLike], shape: Sequence[int], dtype: DTypeLike,
    mask: ArrayLike = True,
) -> tuple[Array, Array]:  # fmt: skip
    """A draw in a function that draws, and whether all of it is defined; where `mask` does not hold it need not be.

    Samplers that reject proposals may never accept one where an argument is not finite: they are given others.
    """
    shape = tuple(shape)
    events = [1 if isinstance(s, tuple) else 0 for s in density.safe[1:]]
    values = [jnp.asarray(a, dtype) for a in args]
    whole = isinstance(density.safe[0], tuple) or density is lkjcholesky  # not element by element
    batch = () if whole else shape
    fine = jnp.ones(batch, bool)
    for a, n in zip(values, events, strict=True):
        fine &= jnp.all(jnp.isfinite(a), axis=None if whole else tuple(range(a.ndim - n, a.ndim)))
    safe: list[Array] = []
    for a, n, s in zip(values, events, density.safe[1:], strict=True):
        stand_in = 1.0 / max(a.shape[-1], 1) if isinstance(s, tuple) else s
        wide = jnp.reshape(fine, (*fine.shape, *[1] * n))
        safe.append(jnp.where(wide, a, stand_in))
    drawn = draw(density, key, safe, shape, dtype)
    fine &= ~jnp.isnan(density(drawn, *safe))  # an argument outside its domain
    if jnp.issubdtype(drawn.dtype, jnp.integer):
        fine &= (drawn >= 0) & (drawn < jnp.iinfo(drawn.dtype).max)
    return drawn, jnp.all(fine) | ~jnp.asarray(mask)


def defined(out: Mapping[str, Array]) -> Array:
    """Whether all draws of a function are."""
    return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(v) for v in out.values() if v.dtype == jnp.bool_)]))


def _custom(law: Custom, key: Array, args: Sequence[ArrayLike], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """One draw for each place of the axes before those of a single value."""
    sampler, batch = law.sampler, shape[: len(shape) - law.event]
    if sampler is None:  # not a number, which does not pass for a draw
        return jnp.full(shape, jnp.nan, dtype)

    def one(key: Array, *own: Array) -> Array:
        value, fine = sampler(law.data, law.size, key, dtype, *own)
        value = jnp.asarray(value)
        fine &= jnp.all(jnp.isfinite(value))
        return jnp.where(fine, jnp.asarray(value, dtype), jnp.nan)

    values = [a if jnp.issubdtype(a.dtype, jnp.integer) else a.astype(dtype) for a in (jnp.asarray(x) for x in args)]
    if not batch:
        return one(key, *values)
    count = math.prod(batch)
    own = [jnp.reshape(jnp.broadcast_to(a, (*batch, *a.shape[a.ndim - n :])), (count, *a.shape[a.ndim - n :]))
           for a, n in zip(values, law.events, strict=True)]  # fmt: skip
    if count == 0:
        return jnp.zeros(shape, dtype)
    return jnp.reshape(jax.vmap(one)(random.split(key, count), *own), shape)


def can_sample(density: Density | Custom) -> bool:
    """Whether `draw` knows the distribution."""
    if isinstance(density, Custom):
        return density.sampler is not None
    if isinstance(density, Truncated) and density.base is not None:
        return can_sample(density.base)
    if isinstance(density, Mixture):
        return all(can_sample(part) for part in density.parts)
    name = density.name
    return name in _FROM_NORMAL or name in _SAMPLERS


def from_normal(function: str, eps: ArrayLike, *args: ArrayLike) -> Array:
    """The variate whose distribution function equals that of standard normal `eps`: increasing in `eps`."""
    return _FROM_NORMAL[function](fn.real(eps), *(fn.real(a) for a in args))


def to_normal(function: str, z: ArrayLike, *args: ArrayLike) -> Array:
    """The inverse of `from_normal`. An edge of the support, and what lies beyond it, gives the largest noise used."""
    return _TO_NORMAL[function](fn.real(z), *(fn.real(a) for a in args))


# From noise to the variate.


def _reach(x: Array) -> float:
    return 37.0 if jnp.finfo(x.dtype).bits == 64 else 12.0


def _quantile(value: Callable[[Array], Array], density: Density, *args: float) -> Callable[[Array], Array]:
    """``eps -> value(eps)`` held at the reach, with the derivative ``phi(eps) / density(z)`` taken in logarithms.

    Differentiating `value` itself would square a tail probability, which underflows.
    """

    @jax.custom_jvp
    def quantile(eps: Array) -> Array:
        return value(eps)

    @quantile.defjvp
    def jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (eps,), (tangent,) = primals, tangents
        z = quantile(eps)
        return z, tangent * jnp.exp(normal(eps, 0.0, 1.0) - density(z, *args))

    del jvp
    return lambda eps: quantile(jnp.clip(eps, -_reach(eps), _reach(eps)))


def _nearer(eps: Array) -> tuple[Array, Array]:
    """``(left, tail)``: whether eps < 0, and the probability on its own side."""
    return eps < 0, special.ndtr(-jnp.abs(eps))


def _exponential_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    return -jnp.where(left, jnp.log1p(-tail), jnp.log(tail))


def _halfnormal_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    return jnp.where(left, math.sqrt(2.0) * special.erfinv(tail), -special.ndtri(0.5 * tail))


def _cauchy_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    distance = 1.0 / jnp.tan(jnp.pi * tail)
    return jnp.where(left, -distance, distance)


def _halfcauchy_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    ratio = jnp.tan(0.5 * jnp.pi * tail)
    return jnp.where(left, ratio, 1.0 / ratio)


def _laplace_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    distance = -jnp.log(2.0 * tail)
    return jnp.where(left, -distance, distance)


def _logistic_quantile(eps: Array) -> Array:
    left, tail = _nearer(eps)
    distance = jnp.log1p(-tail) - jnp.log(tail)
    return jnp.where(left, -distance, distance)


_unit_exponential = _quantile(_exponential_quantile, exponential, 1.0)
_unit_halfnormal = _quantile(_halfnormal_quantile, halfnormal, 1.0)
_unit_cauchy = _quantile(_cauchy_quantile, cauchy, 0.0, 1.0)
_unit_halfcauchy = _quantile(_halfcauchy_quantile, halfcauchy, 1.0)
_unit_laplace = _quantile(_laplace_quantile, laplace, 0.0, 1.0)
_unit_logistic = _quantile(_logistic_quantile, logistic, 0.0, 1.0)


def _uniform(eps: Array, lo: Array, hi: Array) -> Array:
    left = eps < 0
    part = (hi - lo) * special.ndtr(jnp.where(left, eps, -eps))
    return jnp.where(left, lo + part, hi - part)


def _normal(eps: Array, mean: Array, sd: Array) -> Array:
    return mean + sd * eps


def _lognormal(eps: Array, mu: Array, sigma: Array) -> Array:
    return jnp.exp(mu + sigma * eps)


def _halfnormal(eps: Array, sd: Array) -> Array:
    return sd * _unit_halfnormal(eps)


def _exponential(eps: Array, rate: Array) -> Array:
    return _unit_exponential(eps) / rate


def _cauchy(eps: Array, loc: Array, scale: Array) -> Array:
    return loc + scale * _unit_cauchy(eps)


def _halfcauchy(eps: Array, scale: Array) -> Array:
    return scale * _unit_halfcauchy(eps)


def _laplace(eps: Array, loc: Array, scale: Array) -> Array:
    return loc + scale * _unit_laplace(eps)


def _logistic(eps: Array, loc: Array, scale: Array) -> Array:
    return loc + scale * _unit_logistic(eps)


def _weibull(eps: Array, shape: Array, scale: Array) -> Array:
    return scale * jnp.exp(jnp.log(_unit_exponential(eps)) / shape)


def _pareto(eps: Array, scale: Array, shape: Array) -> Array:
    return scale * jnp.exp(_unit_exponential(eps) / shape)


_FROM_NORMAL: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "normal": _normal,
        "lognormal": _lognormal,
        "halfnormal": _halfnormal,
        "uniform": _uniform,
        "exponential": _exponential,
        "cauchy": _cauchy,
        "halfcauchy": _halfcauchy,
        "laplace": _laplace,
        "logistic": _logistic,
        "weibull": _weibull,
        "pareto": _pareto,
    }
)


# From the variate back to noise.


def _noise(left: Array, tail: Array) -> Array:
    """The noise with probability `tail` (at most 1/2) to its left or right; a tail below the reach is raised to it."""
    floor = special.ndtr(jnp.asarray(-_reach(tail), tail.dtype))
    eps = special.ndtri(jnp.maximum(tail, floor))
    return jnp.where(left, eps, -eps)


def _from_unit_exponential(e: Array) -> Array:
    left = e < _LOG_2
    return _noise(left, jnp.where(left, -jnp.expm1(-e), jnp.exp(-e)))


def _from_halfnormal(z: Array, sd: Array) -> Array:
    t = z / sd * math.sqrt(0.5)
    lower = special.erf(t)
    left = lower < 0.5
    return _noise(left, jnp.where(left, lower, special.erfc(t)))


def _from_uniform(z: Array, lo: Array, hi: Array) -> Array:
    width = hi - lo
    left = z - lo < hi - z
    return _noise(left, jnp.where(left, z - lo, hi - z) / width)


def _from_cauchy(z: Array, loc: Array, scale: Array) -> Array:
    t = (z - loc) / scale
    left = t < 0
    return _noise(left, jnp.arctan2(1.0, jnp.where(left, -t, t)) / jnp.pi)


def _from_halfcauchy(z: Array, scale: Array) -> Array:
    t = z / scale
    left = t < 1.0
    return _noise(left, jnp.where(left, jnp.arctan2(t, 1.0), jnp.arctan2(1.0, t)) * (2.0 / jnp.pi))


def _from_laplace(z: Array, loc: Array, scale: Array) -> Array:
    t = (z - loc) / scale
    left = t < 0
    return _noise(left, 0.5 * jnp.exp(jnp.where(left, t, -t)))


def _from_logistic(z: Array, loc: Array, scale: Array) -> Array:
    t = (z - loc) / scale
    left = t < 0
    return _noise(left, nn.sigmoid(jnp.where(left, t, -t)))


def _from_normal(z: Array, mean: Array, sd: Array) -> Array:
    return (z - mean) / sd


def _from_lognormal(z: Array, mu: Array, sigma: Array) -> Array:
    return (jnp.log(z) - mu) / sigma


def _from_exponential(z: Array, rate: Array) -> Array:
    return _from_unit_exponential(z * rate)


def _from_weibull(z: Array, shape: Array, scale: Array) -> Array:
    return _from_unit_exponential(jnp.exp(shape * jnp.log(z / scale)))


def _from_pareto(z: Array, scale: Array, shape: Array) -> Array:
    return _from_unit_exponential(shape * jnp.log(z / scale))


_TO_NORMAL: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "normal": _from_normal,
        "lognormal": _from_lognormal,
        "halfnormal": _from_halfnormal,
        "uniform": _from_uniform,
        "exponential": _from_exponential,
        "cauchy": _from_cauchy,
        "halfcauchy": _from_halfcauchy,
        "laplace": _from_laplace,
        "logistic": _from_logistic,
        "weibull": _from_weibull,
        "pareto": _from_pareto,
    }
)


# Truncated distributions, by bisection of the probability that lies between the value and an end.


def _mixed(density: Mixture, key: Array, args: Sequence[ArrayLike], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A draw from every component, and a choice among them."""
    weights, *rest = args
    key, key_choice = random.split(key)
    keys = random.split(key, len(density.parts))
    choice = random.categorical(key_choice, jnp.log(jnp.asarray(weights, dtype)), axis=-1, shape=shape)
    out = [draw(d, k, a, shape, dtype) for d, k, a in zip(density.parts, keys, density.split(tuple(rest)), strict=True)]
    return jnp.select([choice == k for k in range(len(out))], out)


def _truncated(
    density: Truncated, key: Array, args: tuple[Array, ...], shape: tuple[int, ...], dtype: DTypeLike
) -> Array:
    own, lower, upper = density.split(args)
    base, form = density.base, density.form
    assert base is not None
    lower, upper = jnp.broadcast_to(lower, shape), jnp.broadcast_to(upper, shape)
    first = jnp.ceil(lower) - 1.0 if base.discrete else lower
    surprise = random.exponential(key, shape, dtype)
    if form == "above":
        goal = base.tails(first, *own)[1] - surprise
    else:
        goal = (base.tails(upper, *own)[0] if form == "below" else density.log_mass(lower, upper, own)) - surprise

    def passed(z: Array) -> Array:
        if form == "above":
            return base.tails(z, *own)[1] <= goal
        return (base.tails(z, *own)[0] if form == "below" else density.log_mass(lower, z, own)) >= goal

    if base.discrete:
        start = jnp.full(shape, -1.0, dtype) if form == "below" else first
        most = 2.0 / float(np.finfo(surprise.dtype).eps)  # whole numbers up to it are exact
        stop = jnp.broadcast_to(start + most if form == "above" else jnp.floor(upper), shape)
        _, found = _bisect(passed, start, stop, lambda a, b: jnp.floor(0.5 * (a + b)), round(math.log2(most)) + 2)
        return found.astype(int)

    def place(v: Array) -> Array:
        if form == "above":
            return lower + jnp.exp(v)
        return upper - jnp.exp(-v) if form == "below" else lower + (upper - lower) * nn.sigmoid(v)

    ends = jnp.full(shape, -80.0, dtype), jnp.full(shape, 80.0, dtype)
    left, right = _bisect(lambda v: passed(place(v)), *ends, lambda a, b: 0.5 * (a + b), 50)
    return place(0.5 * (left + right))


def _bisect(
    passed: Callable[[Array], Array], a: Array, b: Array, middle: Callable[[Array, Array], Array], steps: int
) -> tuple[Array, Array]:
    """(a, b) drawn together around the place from which on `passed` holds."""

    def step(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = ends
        m = middle(a, b)
        on = passed(m)
        return jnp.where(on, a, m), jnp.where(on, m, b)

    return jax.lax.fori_loop(0, steps, step, (a, b))


# Distributions without an explicit quantile function.

_Shape = tuple[int, ...]


def _draw_gamma(key: Array, shape: _Shape, dtype: DTypeLike, a: Array, rate: Array) -> Array:
    return random.gamma(key, a, shape, dtype) / rate


def _draw_inversegamma(key: Array, shape: _Shape, dtype: DTypeLike, a: Array, scale: Array) -> Array:
    # In logarithms: for a small shape the gamma variate itself underflows.
    return jnp.exp(jnp.log(scale) - random.loggamma(key, a, shape, dtype))


def _draw_dirichlet(key: Array, shape: _Shape, dtype: DTypeLike, alpha: Array) -> Array:
    # In logarithms: of small concentrations all gamma variates may underflow.
    return nn.softmax(random.loggamma(key, jnp.broadcast_to(alpha, shape), shape, dtype), axis=-1)


def _draw_lkjcholesky(key: Array, shape: _Shape, dtype: DTypeLike, d: Array, eta: Array) -> Array:
    """The onion method: each row has a random direction, and a length before the diagonal from a beta distribution."""
    size = shape[0]
    k_length, k_direction = random.split(key)
    k = jnp.arange(1, size, dtype=dtype)
    length = random.beta(k_length, 0.5 * k, eta + 0.5 * (size - 1 - k), (size - 1,), dtype)
    direction = jnp.tril(random.normal(k_direction, (size, size), dtype), -1)[1:]
    direction = direction / jnp.sqrt(jnp.sum(jnp.square(direction), axis=1, keepdims=True))
    below = jnp.sqrt(length)[:, None] * direction
    return jnp.diag(jnp.sqrt(1.0 - jnp.pad(length, (1, 0)))) + jnp.pad(below, ((1, 0), (0, 0)))


def _draw_beta(key: Array, shape: _Shape, dtype: DTypeLike, a: Array, b: Array) -> Array:
    return random.beta(key, a, b, shape, dtype)


def _draw_studentt(key: Array, shape: _Shape, dtype: DTypeLike, df: Array, loc: Array, scale: Array) -> Array:
    key_normal, key_gamma = random.split(key)
    half = 0.5 * df
    log_precision = random.loggamma(key_gamma, half, shape, dtype) - jnp.log(half)
    return loc + scale * random.normal(key_normal, shape, dtype) * jnp.exp(-0.5 * log_precision)


def _draw_poisson(key: Array, shape: _Shape, dtype: DTypeLike, rate: Array) -> Array:
    return random.poisson(key, jnp.broadcast_to(rate, shape), shape, int)


def _draw_bernoulli(key: Array, shape: _Shape, dtype: DTypeLike, p: Array) -> Array:
    return (random.uniform(key, shape, dtype) < p).astype(int)


def _draw_bernoullilogit(key: Array, shape: _Shape, dtype: DTypeLike, logit: Array) -> Array:
    return (random.logistic(key, shape, dtype) < logit).astype(int)


def _draw_binomial(key: Array, shape: _Shape, dtype: DTypeLike, n: Array, p: Array) -> Array:
    return random.binomial(key, n, p, shape, dtype).astype(int)


def _draw_negativebinomial(key: Array, shape: _Shape, dtype: DTypeLike, mean: Array, dispersion: Array) -> Array:
    key_rate, key_count = random.split(key)
    rate = random.gamma(key_rate, dispersion, shape, dtype) / dispersion * mean
    return random.poisson(key_count, rate, shape, int)


def _draw_geometric(key: Array, shape: _Shape, dtype: DTypeLike, p: Array) -> Array:
    return jnp.floor(random.exponential(key, shape, dtype) / -jnp.log1p(-p)).astype(int)


def _draw_categorical(key: Array, shape: _Shape, dtype: DTypeLike, probs: Array) -> Array:
    return random.categorical(key, jnp.log(probs), axis=-1, shape=shape).astype(int)


_SAMPLERS: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "gamma": _draw_gamma,
        "inversegamma": _draw_inversegamma,
        "beta": _draw_beta,
        "studentt": _draw_studentt,
        "poisson": _draw_poisson,
        "bernoulli": _draw_bernoulli,
        "bernoullilogit": _draw_bernoullilogit,
        "binomial": _draw_binomial,
        "negativebinomial": _draw_negativebinomial,
        "geometric": _draw_geometric,
        "categorical": _draw_categorical,
        "dirichlet": _draw_dirichlet,
        "lkjcholesky": _draw_lkjcholesky,
    }
)
