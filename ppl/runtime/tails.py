# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Log probabilities on both sides of a value, for every univariate distribution.

``normal(x, mean, sd)`` is ``(log P(X <= x), log P(X > x))``, elementwise, in the dtype of its inputs, at any x: also
outside the support, and at -inf and inf. Each tail keeps its relative precision, and its gradient, as far out as its
logarithm can be written. For truncation, censoring, and the functions ``NAME_lcdf`` and ``NAME_lccdf``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.scipy import special
from jax.typing import ArrayLike

from ppl.runtime.functions import log1m_exp, log1p_exp, real
from ppl.runtime.incomplete import beta_tails, gamma_tails, student_tails

Pair = tuple[Array, Array]
_LOG_2, _LOG_PI = math.log(2.0), math.log(math.pi)


def between(x: Array, low: ArrayLike, high: ArrayLike, inside: Callable[[Array], Pair], stand_in: ArrayLike) -> Pair:
    """`inside` where x lies between the ends of the support; `stand_in` is a harmless place there. NaN shows."""
    under, over = x <= low, x >= high
    below, above = inside(jnp.where(under | over, stand_in, x))
    return (
        jnp.where(under, -jnp.inf, jnp.where(over, 0.0, below)),
        jnp.where(under, 0.0, jnp.where(over, -jnp.inf, above)),
    )


def _positive(x: ArrayLike, inside: Callable[[Array], Pair], stand_in: ArrayLike = 1.0) -> Pair:
    return between(real(x), 0.0, jnp.inf, inside, stand_in)


def _from_upper(upper: Array) -> Pair:
    """Both, where the upper one has a formula."""
    return log1m_exp(upper), upper


def normal(x: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = (x - real(mean)) / real(sd)
        return special.log_ndtr(t), special.log_ndtr(-t)

    return between(real(x), -jnp.inf, jnp.inf, inside, real(mean))


def lognormal(x: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Pair:
    return _positive(x, lambda x: normal(jnp.log(x), mu, sigma), jnp.exp(real(mu)))


def halfnormal(x: ArrayLike, sd: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = x / real(sd)
        upper = _LOG_2 + special.log_ndtr(-t)
        near = t < 0.5
        close = jnp.log(special.erf(jnp.where(near, t, 0.25) * math.sqrt(0.5)))
        return jnp.where(near, close, log1m_exp(jnp.where(near, -1.0, upper))), upper

    return _positive(x, inside, real(sd))


def uniform(x: ArrayLike, lo: ArrayLike, hi: ArrayLike) -> Pair:
    lo, hi = real(lo), real(hi)

    def inside(x: Array) -> Pair:
        width = jnp.log(hi - lo)
        return jnp.log(x - lo) - width, jnp.log(hi - x) - width

    return between(real(x), lo, hi, inside, 0.5 * (lo + hi))


def exponential(x: ArrayLike, rate: ArrayLike) -> Pair:
    return _positive(x, lambda x: _from_upper(-real(rate) * x), 1.0 / real(rate))


def gamma(x: ArrayLike, shape: ArrayLike, rate: ArrayLike) -> Pair:
    return _positive(x, lambda x: gamma_tails(real(rate) * x, real(shape)), real(shape) / real(rate))


def inversegamma(x: ArrayLike, shape: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        below, above = gamma_tails(real(scale) / x, real(shape))
        return above, below

    return _positive(x, inside, real(scale) / real(shape))


def beta(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        return beta_tails(jnp.log(x) - jnp.log1p(-x), real(a), real(b))

    return between(real(x), 0.0, 1.0, inside, 0.5)


def cauchy(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = (x - real(loc)) / real(scale)
        one = jnp.ones_like(t)
        return jnp.log(jnp.arctan2(one, -t)) - _LOG_PI, jnp.log(jnp.arctan2(one, t)) - _LOG_PI

    return between(real(x), -jnp.inf, jnp.inf, inside, real(loc))


def halfcauchy(x: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = x / real(scale)
        one = jnp.ones_like(t)
        both = jnp.log(jnp.arctan2(t, one)), jnp.log(jnp.arctan2(one, t))
        return both[0] + (_LOG_2 - _LOG_PI), both[1] + (_LOG_2 - _LOG_PI)

    return _positive(x, inside, real(scale))


def studentt(x: ArrayLike, df: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        return student_tails((x - real(loc)) / real(scale), real(df))

    return between(real(x), -jnp.inf, jnp.inf, inside, real(loc))


def laplace(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = (x - real(loc)) / real(scale)
        tail = -jnp.abs(t) - _LOG_2
        rest = jnp.log1p(-jnp.exp(tail))
        return jnp.where(t < 0, tail, rest), jnp.where(t < 0, rest, tail)

    return between(real(x), -jnp.inf, jnp.inf, inside, real(loc))


def logistic(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> Pair:
    def inside(x: Array) -> Pair:
        t = (x - real(loc)) / real(scale)
        return -log1p_exp(-t), -log1p_exp(t)

    return between(real(x), -jnp.inf, jnp.inf, inside, real(loc))


def weibull(x: ArrayLike, shape: ArrayLike, scale: ArrayLike) -> Pair:
    scale = real(scale)
    return _positive(x, lambda x: _from_upper(-jnp.exp(real(shape) * (jnp.log(x) - jnp.log(scale)))), scale)


def pareto(x: ArrayLike, scale: ArrayLike, shape: ArrayLike) -> Pair:
    scale = real(scale)

    def inside(x: Array) -> Pair:
        return _from_upper(-real(shape) * (jnp.log(x) - jnp.log(scale)))

    return between(real(x), scale, jnp.inf, inside, 2.0 * scale)


# -------------------------------------------------------------------- discrete


def _of_count(x: ArrayLike, top: ArrayLike, inside: Callable[[Array], Pair]) -> Pair:
    """`inside` at the whole numbers 0 <= k < top."""
    return between(jnp.floor(real(x)), -1.0, top, inside, 0.0)


def poisson(x: ArrayLike, rate: ArrayLike) -> Pair:
    def inside(k: Array) -> Pair:
        rate_ = real(rate)
        none = rate_ == 0
        below, above = gamma_tails(jnp.where(none, 1.0, rate_), k + 1.0)
        return jnp.where(none, 0.0, above), jnp.where(none, -jnp.inf, below)

    return _of_count(x, jnp.inf, inside)


def bernoulli(x: ArrayLike, p: ArrayLike) -> Pair:
    def inside(k: Array) -> Pair:
        p_ = real(p) + 0.0 * k
        return _log1m(p_), _log(p_)

    return _of_count(x, 1.0, inside)


def bernoullilogit(x: ArrayLike, logit: ArrayLike) -> Pair:
    def inside(k: Array) -> Pair:
        logit_ = real(logit) + 0.0 * k
        return -log1p_exp(logit_), -log1p_exp(-logit_)

    return _of_count(x, 1.0, inside)


def binomial(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Pair:
    n = real(n)

    def inside(k: Array) -> Pair:
        p_ = real(p)
        never, always = p_ == 0, p_ == 1
        q = jnp.where(never | always, 0.5, p_)
        below, above = beta_tails(jnp.log(q) - jnp.log1p(-q), k + 1.0, jnp.maximum(n - k, 1.0))
        return (
            jnp.where(never, 0.0, jnp.where(always, -jnp.inf, above)),
            jnp.where(never, -jnp.inf, jnp.where(always, 0.0, below)),
        )

    return _of_count(x, n, inside)


def negativebinomial(x: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> Pair:
    mean, r = real(mean), real(dispersion)
    return _of_count(x, jnp.inf, lambda k: beta_tails(jnp.log(r) - jnp.log(mean), r, k + 1.0))


def geometric(x: ArrayLike, p: ArrayLike) -> Pair:
    def inside(k: Array) -> Pair:
        upper = (k + 1.0) * _log1m(real(p))
        sure, never = real(p) == 1, real(p) == 0
        low = log1m_exp(jnp.where(sure | never, -1.0, upper))
        return jnp.where(sure, 0.0, jnp.where(never, -jnp.inf, low)), jnp.where(sure, -jnp.inf, upper)

    return _of_count(x, jnp.inf, inside)


def categorical(x: ArrayLike, probs: ArrayLike) -> Pair:
    """`probs` has one trailing event dimension."""
    probs = real(probs)
    categories = probs.shape[-1]
    places = jnp.arange(categories, dtype=probs.dtype)

    def inside(k: Array) -> Pair:
        left = places <= k[..., None]
        unknown = jnp.where(jnp.isnan(k), jnp.nan, 0.0)
        below, above = (jnp.sum(jnp.where(on, probs, 0.0), -1) for on in (left, ~left))
        return _log(below) + unknown, _log(above) + unknown

    return _of_count(x, categories - 1.0, inside)


def _log(p: Array) -> Array:
    """``log(p)``, -inf with zero gradient at 0."""
    zero = p == 0
    return jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, p)))


def _log1m(p: Array) -> Array:
    one = p == 1
    return jnp.where(one, -jnp.inf, jnp.log1p(-jnp.where(one, 0.0, p)))
