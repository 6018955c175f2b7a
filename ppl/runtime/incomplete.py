# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Logarithms of the incomplete gamma and beta functions, both tails at once.

Each tail is computed where it is small, as a prefactor in logarithms times a series or a continued fraction near 1, so
neither underflows; the other one follows. jax has the functions themselves, but not far out in the tails, and not the
derivatives of the beta one in its parameters. Derivatives in the argument are the integrand, those in the parameters
come from the recurrences. Sources: Abramowitz & Stegun 6.5.29, 6.5.31 and 26.5.8; the fractions by the method of Lentz
(1976), modified by Thompson & Barnett (1986).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl.runtime.functions import log1m_exp, log1p_exp, stirling_error

MOST_STEPS = 20_000  # enough for parameters up to 10^7


def _tiny(x: Array) -> float:
    return float(jnp.finfo(x.dtype).tiny) * 1e6


def _iterate(step: Callable[[Array, Any], Any], state: Any, moving: Callable[[Any], Array]) -> Any:
    """`state` after steps 1, 2, ... while any element is `moving`, at most MOST_STEPS."""

    def go(carry: tuple[Array, Any]) -> Array:
        return (carry[0] < MOST_STEPS) & jnp.any(moving(carry[1]))

    def body(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        return carry[0] + 1, step(carry[0].astype(jax.tree.leaves(carry[1])[0].dtype), carry[1])

    return lax.while_loop(go, body, (jnp.ones((), jnp.int32), state))[1]


def _with_slopes(raw: Callable[..., tuple[Array, Array]], in_argument: Callable[..., Array]) -> Callable[..., Any]:
    """`raw`, whose derivative in its first argument is ``exp(in_argument - tail)`` (minus it, for the upper tail), and
    in the others is taken forwards, so that no step of a loop is stored."""
    f = jax.custom_jvp(raw)

    @f.defjvp
    def jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Any, Any]:
        lower, upper = raw(*primals)
        log_rate = in_argument(*primals)
        zero = jnp.zeros_like(lower)
        below, above = zero, zero
        rates = [(jnp.exp(jnp.where(lower > -jnp.inf, log_rate - lower, -jnp.inf)),
                  -jnp.exp(jnp.where(upper > -jnp.inf, log_rate - upper, -jnp.inf)))]  # fmt: skip
        for k in range(1, len(primals)):

            def along(a: Array, k: int = k) -> tuple[Array, Array]:
                return raw(*primals[:k], a, *primals[k + 1 :])

            low, high = jax.jvp(along, (primals[k],), (jnp.ones_like(primals[k]),))[1]
            rates.append((jnp.where(jnp.isfinite(low), low, 0.0), jnp.where(jnp.isfinite(high), high, 0.0)))
        for (low, high), tangent in zip(rates, tangents, strict=True):
            below, above = below + low * tangent, above + high * tangent
        return (lower, upper), (below, above)

    del jvp

    def call(*operands: Array) -> tuple[Array, Array]:
        dtype = jnp.result_type(*operands)
        return f(*(jnp.asarray(x, dtype) for x in jnp.broadcast_arrays(*operands)))

    return call


# ----------------------------------------------------------------------- gamma


def _gamma_kernel(x: Array, a: Array) -> Array:
    """``a log(x) - x - lgamma(a)``, its large terms paired."""
    return a * (jnp.log(x) - jnp.log(a)) + (a - x) - stirling_error(a) + jnp.log(a)


def _gamma_tails(x: Array, a: Array) -> tuple[Array, Array]:
    series = x < a + 1.0
    eps = jnp.finfo(x.dtype).eps
    # The lower tail: sum of x^n / ((a + 1) ... (a + n)).
    xs = jnp.where(series, x, a)

    def term(n: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        last = state[1] * xs / (a + n)
        return state[0] + last, last

    total, _ = _iterate(term, (jnp.ones_like(x), jnp.ones_like(x)), lambda s: s[1] > 0.1 * eps * s[0])
    kernel = _gamma_kernel(x, a)
    lower = kernel - jnp.log(a) + jnp.log(total)
    # The upper tail: 1 / (x + 1 - a - 1(1 - a) / (x + 3 - a - 2(2 - a) / ...)).
    xf = jnp.where(series, a + 1.0, x)
    tiny = _tiny(x)
    start = xf + 1.0 - a

    def fraction(n: Array, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        h, c, d, _ = state
        top, bottom = -n * (n - a), start + 2.0 * n
        d = bottom + top * d
        d = 1.0 / jnp.where(jnp.abs(d) < tiny, tiny, d)
        c = bottom + top / c
        c = jnp.where(jnp.abs(c) < tiny, tiny, c)
        return h * c * d, c, d, c * d

    first = 1.0 / start
    state = first, jnp.full_like(x, 1.0 / tiny), first, jnp.full_like(x, 2.0)
    h = _iterate(fraction, state, lambda s: jnp.abs(s[3] - 1.0) > 2 * eps)[0]
    upper = kernel + jnp.log(h)
    low, high = jnp.where(series, lower, -1.0), jnp.where(series, -1.0, upper)
    low, high = jnp.minimum(low, -eps), jnp.minimum(high, -eps)  # rounding must not make a probability of 1 or more
    return jnp.where(series, low, log1m_exp(high)), jnp.where(series, log1m_exp(low), high)


gamma_tails = _with_slopes(_gamma_tails, lambda x, a: _gamma_kernel(x, a) - jnp.log(x))
"""``(log P(a, x), log Q(a, x))`` for finite x > 0 and a > 0: a gamma variate of shape a below and above x."""


# ------------------------------------------------------------------------ beta


def _beta_kernel(logit: Array, a: Array, b: Array) -> Array:
    """``a log(x) + b log(1 - x) - lbeta(a, b)`` at x = inv_logit(logit)."""
    total = a + b
    gap = stirling_error(total) - stirling_error(a) - stirling_error(b) + jnp.log(a) + jnp.log(b) - jnp.log(total)
    return a * (jnp.log1p(b / a) - log1p_exp(-logit)) + b * (jnp.log1p(a / b) - log1p_exp(logit)) + gap


def _beta_tails(logit: Array, a: Array, b: Array) -> tuple[Array, Array]:
    swapped = jax.nn.sigmoid(logit) > (a + 1.0) / (a + b + 2.0)
    p, q = jnp.where(swapped, b, a), jnp.where(swapped, a, b)
    x = jax.nn.sigmoid(jnp.where(swapped, -logit, logit))
    eps, tiny = jnp.finfo(x.dtype).eps, _tiny(x)

    def away(v: Array) -> Array:
        return jnp.where(jnp.abs(v) < tiny, tiny, v)

    def pair(n: Array, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        h, c, d, _ = state
        even = n * (q - n) * x / ((p + 2.0 * n - 1.0) * (p + 2.0 * n))
        d, c = 1.0 / away(1.0 + even * d), away(1.0 + even / c)
        h = h * d * c
        odd = -(p + n) * (p + q + n) * x / ((p + 2.0 * n) * (p + 2.0 * n + 1.0))
        d, c = 1.0 / away(1.0 + odd * d), away(1.0 + odd / c)
        return h * d * c, c, d, d * c

    first = 1.0 / away(1.0 - (p + q) * x / (p + 1.0))
    state = first, jnp.ones_like(x), first, jnp.full_like(x, 2.0)
    h = _iterate(pair, state, lambda s: jnp.abs(s[3] - 1.0) > 2 * eps)[0]
    small = jnp.minimum(_beta_kernel(logit, a, b) - jnp.log(p) + jnp.log(h), -eps)
    rest = log1m_exp(small)
    return jnp.where(swapped, rest, small), jnp.where(swapped, small, rest)


beta_tails = _with_slopes(_beta_tails, _beta_kernel)
"""``(log I_x(a, b), log(1 - I_x(a, b)))`` for x = inv_logit(logit), as a function of ``(logit, a, b)``."""


# -------------------------------------------------------------------- Student's


def _student_tails(t: Array, df: Array) -> tuple[Array, Array]:
    """Both tails of Student's distribution: ``2 P(T > |t|) = I_x(df / 2, 1 / 2)`` with ``x = df / (df + t^2)``."""
    size = jnp.maximum(jnp.abs(t), _tiny(t))
    logit = jnp.log(df) - 2.0 * jnp.log(size)
    half = jnp.full_like(t, 0.5)
    outer, _ = _beta_tails(logit, 0.5 * df, half)
    tail = jnp.log(0.5) + outer
    rest = log1m_exp(tail)
    return jnp.where(t < 0, tail, rest), jnp.where(t < 0, rest, tail)


def _student_log_density(t: Array, df: Array) -> Array:
    half, upper = 0.5 * df, 0.5 * df + 0.5
    gap = stirling_error(upper) - stirling_error(half) - 0.5 * jnp.log(2.0 * jnp.pi) - 0.5
    square = 2.0 * jnp.log(jnp.abs(jnp.where(t == 0, 1.0, t)))
    log_term = jnp.where(t == 0, 0.0, log1p_exp(square - jnp.log(df)))
    return gap + (upper - 1.0) * jnp.log1p(0.5 / half) - upper * log_term


student_tails = _with_slopes(_student_tails, _student_log_density)
"""``(log P(T <= t), log P(T > t))`` for Student's T with `df` degrees of freedom, as a function of ``(t, df)``."""
