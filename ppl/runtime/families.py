# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Distributions as exponential families: ``log density = base(x) + sum_k statistic_k(x) * coefficient_k(args)``.

Of many values with the same arguments only the sums of the statistics matter, and these depend on the data alone. All
statistics are taken about a centre of the data, and coefficients are differences from what is at the centre, so that
what is large cancels before it is summed: a level of 1000 with a standard deviation of 1 leaves small numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ppl.runtime.functions import log1p_exp, real, stirling_error

Floats = NDArray[np.float64]
_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Family:
    """One form of a distribution.

    ``centre(x, *known)`` is a number near the values; ``statistics(centre, x, *known)`` are the statistics and, last,
    the base, not finite outside of the support; ``coefficients(centre, *args)`` those of the statistics, that of the
    base being 1. `known` are arguments that are data, `args` the others, `safe` values for these.
    """

    centre: Callable[..., float]
    statistics: Callable[..., tuple[Floats, ...]]
    coefficients: Callable[..., tuple[Array, ...]]
    safe: tuple[float, ...]


def _mean(x: Floats, *_: Floats) -> float:
    return float(np.mean(x))


def _zero(x: Floats, *_: Floats) -> float:
    return 0.0


def _outside(x: Floats, ok: NDArray[np.bool_]) -> Floats:
    """A base of 0, -inf where the value is outside of the support."""
    return np.where(ok, np.zeros_like(x), -np.inf)


def _is_count(x: Floats, top: Floats | float = np.inf) -> NDArray[np.bool_]:
    return (x >= 0) & (x <= top) & (np.floor(x) == x)


def _log_ratio(a: Array, divisor: ArrayLike) -> Array:
    """``log(a / divisor)``, exact near 0. Where a underflowed it is that of the smallest normal number; NaN below 0, as
    the density."""
    b = jnp.asarray(divisor)
    a = jnp.where(a < 0, jnp.nan, jnp.maximum(a, float(np.finfo(a.dtype).tiny)))
    excess = (a - b) / b
    near = jnp.abs(excess) < 0.5
    far = jnp.log(jnp.where(near, 1.0, a)) - jnp.log(jnp.where(near, 1.0, b))
    return jnp.where(near, jnp.log1p(jnp.where(near, excess, 0.0)), far)


# -------------------------------------------------------------------------------------------------------------- normal


def _normal(c: float, x: Floats) -> tuple[Floats, ...]:
    t = x - c
    return t, t * t, np.ones_like(t), np.full_like(t, -0.5 * _LOG_2PI)


def _normal_coefficients(c: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> tuple[Array, ...]:
    m, sd = real(mean) - c, real(sd)
    precision = 1.0 / (sd * sd)
    return m * precision, -0.5 * precision, -0.5 * m * m * precision - jnp.log(sd)


def _normal_of_known_sd(c: float, x: Floats, sd: Floats) -> tuple[Floats, ...]:
    t, precision = x - c, 1.0 / (sd * sd)
    log_sd = np.where(sd > 0, np.log(np.where(sd > 0, sd, 1.0)), np.nan)
    return t * precision, precision, -0.5 * t * t * precision - log_sd - 0.5 * _LOG_2PI


def _normal_of_known_sd_coefficients(c: ArrayLike, mean: ArrayLike) -> tuple[Array, ...]:
    m = real(mean) - c
    return m, -0.5 * m * m


def _log(x: Floats) -> Floats:
    """0 where there is no logarithm."""
    return np.log(np.where(x > 0, x, 1.0))


def _mean_log(x: Floats, *_: Floats) -> float:
    return float(np.mean(_log(x)))


def _lognormal(c: float, x: Floats) -> tuple[Floats, ...]:
    *statistics, base = _normal(c, _log(x))
    return (*statistics, base - _log(x) + _outside(x, x > 0))


def _lognormal_of_known_sigma(c: float, x: Floats, sigma: Floats) -> tuple[Floats, ...]:
    *statistics, base = _normal_of_known_sd(c, _log(x), sigma)
    return (*statistics, base - _log(x) + _outside(x, x > 0))


def _halfnormal(c: float, x: Floats) -> tuple[Floats, ...]:
    return x * x, np.ones_like(x), _outside(x, x >= 0) + 0.5 * math.log(2.0 / math.pi)


def _halfnormal_coefficients(c: ArrayLike, sd: ArrayLike) -> tuple[Array, ...]:
    sd = real(sd)
    return -0.5 / (sd * sd), -jnp.log(sd)


# --------------------------------------------------------------------------------------------------- times and amounts


def _exponential(c: float, x: Floats) -> tuple[Floats, ...]:
    return x, np.ones_like(x), _outside(x, x >= 0)


def _exponential_coefficients(c: ArrayLike, rate: ArrayLike) -> tuple[Array, ...]:
    rate = real(rate)
    return -rate, jnp.log(rate)


def _gamma(c: float, x: Floats) -> tuple[Floats, ...]:
    log_t, excess = _log(x) - math.log(c), x / c - 1.0
    return log_t - excess, excess, np.ones_like(x), _outside(x, x > 0) - _log(x)


def _gamma_coefficients(c: ArrayLike, shape: ArrayLike, rate: ArrayLike) -> tuple[Array, ...]:
    """With t = x / c and r = rate * c / shape, as in the density: ``shape * (log(r * t) + 1 - r * t)`` and what does
    not depend on x."""
    shape, rate = real(shape), real(rate)
    excess = (rate * c - shape) / shape
    constant = shape * (_log_ratio(rate * c, shape) - excess) - stirling_error(shape) + jnp.log(shape)
    return shape, -shape * excess, constant


# --------------------------------------------------------------------------------------------------------------- counts


def _positive_mean(x: Floats, *_: Floats) -> float:
    return max(float(np.mean(x)), 1e-3)


def _log_factorial(counts: Floats) -> Floats:
    """Once for each count that there is: scipy's takes a tenth of a fit's start to import."""
    values, place = np.unique(counts, return_inverse=True)
    return np.array([math.lgamma(v + 1.0) for v in values])[place].reshape(counts.shape)


def _poisson(c: float, x: Floats) -> tuple[Floats, ...]:
    ok = _is_count(x)
    k = np.where(ok, x, 0.0)
    base = np.asarray(k * math.log(c) - c - _log_factorial(k))
    return k - c, np.ones_like(k), base + _outside(x, ok)


def _poisson_coefficients(c: ArrayLike, rate: ArrayLike) -> tuple[Array, ...]:
    rate, c = real(rate), jnp.asarray(c)
    ratio = _log_ratio(rate, c)
    return ratio, c * ratio - (rate - c)


def _share(hits: Floats, n: Floats | float) -> float:
    total = float(np.sum(np.broadcast_to(n, hits.shape)))
    return min(max(float(np.sum(hits)) / max(total, 1.0), 1e-3), 1.0 - 1e-3)


def _bernoulli_share(x: Floats) -> float:
    return _share(x, 1.0)


def _bernoulli(c: float, x: Floats) -> tuple[Floats, ...]:
    return _trials(c, x, 1.0 - x, np.zeros_like(x), _is_count(x, 1.0))


def _binomial(c: float, x: Floats, n: Floats) -> tuple[Floats, ...]:
    ok = _is_count(x, n)
    k, n = np.where(ok, x, 0.0), np.where(ok, n, 0.0)
    choose = _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)
    return _trials(c, k, n - k, np.asarray(choose), ok)


def _geometric_share(x: Floats) -> float:
    return _share(np.ones_like(x), x + 1.0)


def _geometric(c: float, x: Floats) -> tuple[Floats, ...]:
    return _trials(c, np.ones_like(x), x, np.zeros_like(x), _is_count(x))


def _trials(c: float, hits: Floats, misses: Floats, base: Floats, ok: NDArray[np.bool_]) -> tuple[Floats, ...]:
    base = base + hits * math.log(c) + misses * math.log1p(-c)
    return hits, misses, np.where(ok, base, -np.inf)


def _trials_coefficients(c: ArrayLike, p: ArrayLike) -> tuple[Array, ...]:
    p = real(p)
    q = jnp.where(p > 1, jnp.nan, jnp.maximum(1.0 - p, 0.5 * float(np.finfo(p.dtype).eps)))
    return _log_ratio(p, c), _log_ratio(q, 1.0 - jnp.asarray(c))


def _bernoullilogit(c: float, x: Floats) -> tuple[Floats, ...]:
    return x, np.ones_like(x), _outside(x, _is_count(x, 1.0))


def _bernoullilogit_coefficients(c: ArrayLike, logit: ArrayLike) -> tuple[Array, ...]:
    logit = real(logit)
    return logit, -log1p_exp(logit)


normal = Family(_mean, _normal, _normal_coefficients, (0.0, 1.0))
normal_of_known_sd = Family(_mean, _normal_of_known_sd, _normal_of_known_sd_coefficients, (0.0,))
lognormal = Family(_mean_log, _lognormal, _normal_coefficients, (0.0, 1.0))
lognormal_of_known_sigma = Family(_mean_log, _lognormal_of_known_sigma, _normal_of_known_sd_coefficients, (0.0,))
halfnormal = Family(_zero, _halfnormal, _halfnormal_coefficients, (1.0,))
exponential = Family(_zero, _exponential, _exponential_coefficients, (1.0,))
gamma = Family(_positive_mean, _gamma, _gamma_coefficients, (1.0, 1.0))
poisson = Family(_positive_mean, _poisson, _poisson_coefficients, (1.0,))
bernoulli = Family(_bernoulli_share, _bernoulli, _trials_coefficients, (0.5,))
bernoullilogit = Family(_zero, _bernoullilogit, _bernoullilogit_coefficients, (0.0,))
binomial = Family(_share, _binomial, _trials_coefficients, (0.5,))
geometric = Family(_geometric_share, _geometric, _trials_coefficients, (0.5,))

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "normal": normal, "normal_of_known_sd": normal_of_known_sd, "lognormal": lognormal,
        "lognormal_of_known_sigma": lognormal_of_known_sigma, "halfnormal": halfnormal, "exponential": exponential,
        "gamma": gamma, "poisson": poisson, "bernoulli": bernoulli, "bernoullilogit": bernoullilogit,
        "binomial": binomial, "geometric": geometric,
    }
)  # fmt: skip
