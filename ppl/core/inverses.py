"""The inverses of increasing functions of one number."""

from __future__ import annotations

import math


def normal_quantile(p: float) -> float:
    from statistics import NormalDist  # only here: it is slow to load

    return NormalDist().inv_cdf(p)


def inverse_erf(t: float) -> float:
    """By Newton's method, from the tail where that has digits."""
    rest, scale = 1 - abs(t), 0.5 * math.sqrt(math.pi)  # the latter is 1 / the slope at zero
    u = scale * abs(t) if rest > 0.9 else -normal_quantile(0.5 * rest) / math.sqrt(2)
    for _ in range(3):
        off = math.erf(u) - abs(t) if rest > 0.5 else rest - math.erfc(u)
        u -= off * scale * math.exp(u * u)
    return math.copysign(u, t)


def inverse(f: str, t: float) -> float | None:
    """The u with ``f(u) = t`` for an increasing function; -inf or inf where f is always above or below t."""
    inf = math.inf
    try:
        match f:
            case "exp":
                return math.log(t) if t > 0 else -inf
            case "expm1":
                return math.log1p(t) if t > -1 else -inf
            case "log":
                return math.exp(t)
            case "log1p":
                return math.expm1(t)
            case "log2":
                return 2.0**t
            case "log10":
                return 10.0**t
            case "sqrt":
                return t * t if t >= 0 else -inf
            case "inv_logit":
                return -inf if t <= 0 else inf if t >= 1 else math.log(t) - math.log1p(-t)
            case "logit":
                return 1 / (1 + math.exp(-t)) if t > 0 else math.exp(t) / (1 + math.exp(t))
            case "tanh":
                return -inf if t <= -1 else inf if t >= 1 else math.atanh(t)
            case "atan":
                return -inf if t <= -math.pi / 2 else inf if t >= math.pi / 2 else math.tan(t)
            case "sinh":
                return math.asinh(t)
            case "asinh":
                return math.sinh(t)
            case "log1p_exp":
                return -inf if t <= 0 else t + math.log(-math.expm1(-t))
            case "log_inv_logit":
                return inf if t >= 0 else t - math.log(-math.expm1(t))
            case "Phi":
                return -inf if t <= 0 else inf if t >= 1 else normal_quantile(t)
            case "erf":
                return -inf if t <= -1 else inf if t >= 1 else inverse_erf(t)
            case _:
                return None
    except OverflowError:
        return math.copysign(inf, t)
