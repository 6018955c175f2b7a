# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Log densities of the continuous distributions; conventions as in ``densities.py``.

An edge of the support at which the density is finite belongs to it (``Exponential`` at 0, ``Uniform`` at both ends).
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ppl.runtime import tails
from ppl.runtime.densities_base import Density, above, xlog1m, xlogy
from ppl.runtime.functions import log1p_exp, real, stirling_error

_LOG_2, _LOG_PI, _LOG_2PI = math.log(2.0), math.log(math.pi), math.log(2.0 * math.pi)
_SQUARE_FROM = 1e9  # beyond it 1 + t^2 is t^2 in float64, and t^2 still fits in float32


def _log1p_square(t: Array) -> Array:
    """``log(1 + t^2)`` without overflow."""
    large = jnp.abs(t) > _SQUARE_FROM
    tail = 2.0 * jnp.log(jnp.abs(jnp.where(large, t, 1.0)))
    return jnp.where(large, tail, jnp.log1p(jnp.square(jnp.where(large, 0.0, t))))


def _normal(x: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Array:
    x, mean, sd = real(x), real(mean), real(sd)
    return -0.5 * jnp.square((x - mean) / sd) - jnp.log(sd) - 0.5 * _LOG_2PI


def _lognormal(x: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    def inside(x: Array) -> Array:
        log_x = jnp.log(x)
        return _normal(log_x, mu, sigma) - log_x

    return above(real(x), 0.0, True, inside)


def _halfnormal(x: ArrayLike, sd: ArrayLike) -> Array:
    return above(real(x), 0.0, False, lambda x: _normal(x, 0.0, sd) + _LOG_2)


def _uniform(x: ArrayLike, lo: ArrayLike, hi: ArrayLike) -> Array:
    x, lo, hi = real(x), real(lo), real(hi)
    valid = lo < hi
    inside = valid & (x >= lo) & (x <= hi)
    fill = jnp.where(jnp.isnan(x) | ~valid, jnp.nan, -jnp.inf)
    return jnp.where(inside, -jnp.log(jnp.where(inside, hi - lo, 1.0)), fill)


def _exponential(x: ArrayLike, rate: ArrayLike) -> Array:
    rate = real(rate)
    return above(real(x), 0.0, False, lambda x: jnp.log(rate) - rate * x)


def _log_product(x: Array, y: Array) -> Array:
    """``log(x * y)`` for positive x, y: of the product, which is the more exact, unless it over- or underflows."""
    product = x * y
    plain = (product > 1e-30) & (product < 1e30)
    return jnp.where(plain, jnp.log(jnp.where(plain, product, 1.0)), jnp.log(x) + jnp.log(y))


def _log_gamma_kernel(shape: Array, log_ratio: Array, mass: Array) -> Array:
    """``shape*log(mass) - mass - lgamma(shape)`` with its large terms paired; `log_ratio` is ``log(mass / shape)``."""
    return shape * log_ratio + (shape - mass) - stirling_error(shape) + jnp.log(shape)


def _gamma(x: ArrayLike, shape: ArrayLike, rate: ArrayLike) -> Array:
    shape, rate = real(shape), real(rate)

    def inside(x: Array) -> Array:
        zero = x == 0
        x = jnp.where(zero, 1.0, x)
        value = _log_gamma_kernel(shape, _log_product(rate / shape, x), rate * x) - jnp.log(x)
        at_zero = jnp.where(shape > 1, -jnp.inf, jnp.where(shape < 1, jnp.inf, jnp.log(rate)))
        return jnp.where(zero, at_zero, value)

    return above(real(x), 0.0, False, inside)


def _inversegamma(x: ArrayLike, shape: ArrayLike, scale: ArrayLike) -> Array:
    shape, scale = real(shape), real(scale)

    def inside(x: Array) -> Array:
        return _log_gamma_kernel(shape, _log_product(scale / shape, 1.0 / x), scale / x) - jnp.log(x)

    return above(real(x), 0.0, True, inside)


def _beta(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    x, a, b = real(x), real(a), real(b)
    outside = (x < 0) | (x > 1)
    x = jnp.where(outside, 0.5, x)
    total = a + b
    gap = stirling_error(total) - stirling_error(a) - stirling_error(b) + jnp.log(a) + jnp.log(b) - jnp.log(total)
    value = xlogy(a - 1.0, x) + a * jnp.log1p(b / a) + xlog1m(b - 1.0, x) + b * jnp.log1p(a / b) + gap
    return jnp.where(outside, -jnp.inf, value)


def _cauchy(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Array:
    scale = real(scale)
    return -_log1p_square((real(x) - loc) / scale) - jnp.log(scale) - _LOG_PI


def _halfcauchy(x: ArrayLike, scale: ArrayLike) -> Array:
    return above(real(x), 0.0, False, lambda x: _cauchy(x, 0.0, scale) + _LOG_2)


def _studentt(x: ArrayLike, df: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Array:
    df, scale = real(df), real(scale)
    half, upper = 0.5 * df, 0.5 * df + 0.5
    # lgamma(upper) - lgamma(half) - log(df * pi) / 2: their large terms cancel exactly, what is left is paired here.
    gap = stirling_error(upper) - stirling_error(half) - 0.5 * _LOG_2PI - 0.5
    constant = gap + (upper - 1.0) * jnp.log1p(0.5 / half)
    t = (real(x) - loc) / scale
    return constant - jnp.log(scale) - upper * _log1p_square(t / jnp.sqrt(df))


def _laplace(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Array:
    scale = real(scale)
    return -jnp.abs((real(x) - loc) / scale) - jnp.log(scale) - _LOG_2


def _logistic(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Array:
    scale = real(scale)
    t = (real(x) - loc) / scale
    return -log1p_exp(t) - log1p_exp(-t) - jnp.log(scale)


def _weibull(x: ArrayLike, shape: ArrayLike, scale: ArrayLike) -> Array:
    shape, scale = real(shape), real(scale)

    def inside(x: Array) -> Array:
        zero = x == 0
        log_ratio = jnp.log(jnp.where(zero, 1.0, x)) - jnp.log(scale)
        value = (shape - 1.0) * log_ratio - jnp.exp(shape * log_ratio) + jnp.log(shape / scale)
        at_zero = jnp.where(shape > 1, -jnp.inf, jnp.where(shape < 1, jnp.inf, -jnp.log(scale)))
        return jnp.where(zero, at_zero, value)

    return above(real(x), 0.0, False, inside)


def _pareto(x: ArrayLike, scale: ArrayLike, shape: ArrayLike) -> Array:
    scale, shape = real(scale), real(shape)

    def inside(x: Array) -> Array:
        log_x = jnp.log(x)
        return jnp.log(shape) - log_x - shape * (log_x - jnp.log(scale))

    return above(real(x), scale, False, inside)


normal = Density("normal", _normal, (0.0, 0.0, 1.0), tails.normal)
lognormal = Density("lognormal", _lognormal, (1.0, 0.0, 1.0), tails.lognormal)
halfnormal = Density("halfnormal", _halfnormal, (1.0, 1.0), tails.halfnormal)
uniform = Density("uniform", _uniform, (0.5, 0.0, 1.0), tails.uniform)
exponential = Density("exponential", _exponential, (1.0, 1.0), tails.exponential)
gamma = Density("gamma", _gamma, (1.0, 1.0, 1.0), tails.gamma)
inversegamma = Density("inversegamma", _inversegamma, (1.0, 1.0, 1.0), tails.inversegamma)
beta = Density("beta", _beta, (0.5, 1.0, 1.0), tails.beta)
cauchy = Density("cauchy", _cauchy, (0.0, 0.0, 1.0), tails.cauchy)
halfcauchy = Density("halfcauchy", _halfcauchy, (1.0, 1.0), tails.halfcauchy)
studentt = Density("studentt", _studentt, (0.0, 1.0, 0.0, 1.0), tails.studentt)
laplace = Density("laplace", _laplace, (0.0, 0.0, 1.0), tails.laplace)
logistic = Density("logistic", _logistic, (0.0, 0.0, 1.0), tails.logistic)
weibull = Density("weibull", _weibull, (1.0, 1.0, 1.0), tails.weibull)
pareto = Density("pareto", _pareto, (2.0, 1.0, 1.0), tails.pareto)
