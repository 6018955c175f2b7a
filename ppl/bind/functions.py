# The lambdas of the table have no parameter types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
"""The built-in functions and operators on numpy arrays, for expressions of data alone.

Arguments have a leading axis for iterations and then the axes of their type, already aligned. What is undefined
gives NaN, as it does when the program runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def _each(f: Callable[[float], float]) -> Callable[[Array], Array]:
    """`f` of each element; NaN where it is undefined, infinity where it overflows."""

    def one(x: float) -> float:
        try:
            return f(x)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    def all_(x: Array) -> Array:
        return np.fromiter((one(float(v)) for v in x.flat), np.float64, x.size).reshape(x.shape)

    return all_


def _lgamma(x: float) -> float:
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def _digamma(x: float) -> float:
    """By recurrence up to 10, then the asymptotic series (Abramowitz & Stegun 6.3.18); by reflection below 0."""
    if x <= 0:
        return math.nan if x == math.floor(x) else _digamma(1 - x) - math.pi / math.tan(math.pi * x)
    shift = 0.0
    while x < 10:
        shift -= 1 / x
        x += 1
    r = 1 / (x * x)
    return shift + math.log(x) - 0.5 / x - r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r / 132))))


def _inv_phi(p: float) -> float:
    if p in (0.0, 1.0):
        return -math.inf if p == 0 else math.inf
    return NormalDist().inv_cdf(p) if 0 < p < 1 else math.nan


def _integer(x: Array) -> Array:
    return x if x.dtype.kind == "i" else x.astype(np.int64)


def _inner(x: Array) -> tuple[int, ...]:
    return tuple(range(1, x.ndim))


def _log1m_exp(x: Array) -> Array:
    return np.where(x > -math.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def _extreme(reduce: Callable[..., Any], pair: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Without elements, which is reported, any value will do."""

    def f(x: Array, y: Array | None = None) -> Array:
        if y is not None:
            return pair(x, y)
        return np.asarray(reduce(x, axis=_inner(x))) if x.size else np.zeros(x.shape[:1], x.dtype)

    return f


def _log_sum_exp(x: Array, y: Array | None = None) -> Array:
    return np.logaddexp(x, y) if y is not None else np.asarray(np.logaddexp.reduce(x.reshape(x.shape[0], -1), axis=1))


def _power(x: Array, y: Array) -> Array:
    return np.power(x.astype(np.float64), y.astype(np.float64))


def _lbeta(a: Array, b: Array) -> Array:
    lgamma = _each(_lgamma)
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _lchoose(n: Array, k: Array) -> Array:
    lgamma = _each(_lgamma)
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)


def _remainder(x: Array, y: Array) -> Array:
    return np.mod(x, y)


def _floor_divide(x: Array, y: Array) -> Array:
    return np.floor_divide(x, y) if x.dtype.kind == y.dtype.kind == "i" else _integer(np.floor(x / y))


def _linear(f: Callable[..., Any]) -> Callable[..., Array]:
    """A function of matrices, NaN where one is singular; of a vector as the one column of a matrix."""

    def solved(a: Array, b: Array | None = None) -> Array:
        try:
            if b is None:
                return np.asarray(f(a))
            column = b.ndim < a.ndim
            out = np.asarray(f(a, b[..., None] if column else b))
            return out[..., 0] if column else out
        except np.linalg.LinAlgError:
            like = a if b is None else b
            return np.full(like.shape, np.nan)

    return solved


def _log_det(a: Array) -> Array:
    return np.linalg.slogdet(a)[1]


def _diagonal(a: Array) -> Array:
    return np.diagonal(a, axis1=1, axis2=2)


def _matmul(a: Array, b: Array) -> Array:
    left, right = a[:, None, :] if a.ndim == 2 else a, b[..., None] if b.ndim == 2 else b
    out = np.matmul(left, right)
    out = out[:, 0] if a.ndim == 2 else out
    return out[..., 0] if b.ndim == 2 else out


_SQRT2 = math.sqrt(2)
_erfc = _each(math.erfc)

# Names of core operators and of built-in functions.
TABLE: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": lambda x, y: np.true_divide(x, y),
        "floordiv": _floor_divide,
        "mod": _remainder,
        "neg": np.negative,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
        "eq": np.equal,
        "ne": np.not_equal,
        "to_real": lambda x: x.astype(np.float64),
        "to_int": lambda x: x.astype(np.int64),
        "pow": _power,
        "exp": np.exp,
        "expm1": np.expm1,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "atan2": np.arctan2,
        "hypot": np.hypot,
        "log": np.log,
        "log2": np.log2,
        "log10": np.log10,
        "log1p": np.log1p,
        "log1m": lambda x: np.log1p(-x),
        "log1p_exp": lambda x: np.logaddexp(x, 0.0),
        "log1m_exp": _log1m_exp,
        "log_sum_exp": _log_sum_exp,
        "log_diff_exp": lambda x, y: x + _log1m_exp(np.subtract(y, x, dtype=np.float64)),
        "inv_logit": lambda x: np.exp(-np.logaddexp(0.0, -x)),
        "log_inv_logit": lambda x: -np.logaddexp(0.0, -x),
        "logit": lambda x: np.log(x) - np.log1p(-x),
        "sqrt": np.sqrt,
        "square": lambda x: np.square(x.astype(np.float64)),
        "inv": lambda x: 1.0 / x,
        "over_zero": lambda x: x / 0.0,
        "erf": _each(math.erf),
        "erfc": _erfc,
        "Phi": lambda x: 0.5 * _erfc(-x / _SQRT2),
        "inv_Phi": _each(_inv_phi),
        "lgamma": _each(_lgamma),
        "digamma": _each(_digamma),
        "lbeta": _lbeta,
        "lchoose": _lchoose,
        "abs": np.abs,
        "relu": lambda x: np.where(x > 0, x, np.zeros_like(x)),
        "min": _extreme(np.min, np.minimum),
        "max": _extreme(np.max, np.maximum),
        "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high),
        "floor": lambda x: _integer(np.floor(x)),
        "ceil": lambda x: _integer(np.ceil(x)),
        "round": lambda x: _integer(np.rint(x)),
        "sign": lambda x: _integer(np.sign(x)),
        "step": lambda x: (x > 0).astype(np.int64),
        "sum": lambda x: np.sum(x, axis=_inner(x)),
        "prod": lambda x: np.prod(x, axis=_inner(x)),
        "mean": lambda x: np.sum(x, axis=_inner(x)) / np.float64(math.prod(x.shape[1:])),
        "cumsum": lambda x: np.cumsum(x, axis=1),
        "matmul": _matmul,
        "outer": lambda x, y: x[:, :, None] * y[:, None, :],
        "transpose": lambda x: np.swapaxes(x, 1, 2),
        "diag": lambda x: x[:, :, None] * np.eye(x.shape[1]),
        "diagonal": _diagonal,
        "cholesky": _linear(np.linalg.cholesky),
        "solve": _linear(np.linalg.solve),
        "solve_lower": _linear(lambda a, b: np.linalg.solve(np.tril(a), b)),
        "inverse": _linear(np.linalg.inv),
        "log_det": _log_det,
        "dot": lambda x, y: np.sum(x * y, axis=1),
        "largest": lambda x: np.argmax(np.abs(x), axis=1),
    }
)


def apply(op: str, args: list[Array], base: str) -> Array:
    """`op` of aligned arguments, as int64 or float64 as its type says."""
    if op == "pow" and base == "int":
        return np.power(args[0], np.maximum(args[1], 0))
    with np.errstate(all="ignore"):
        out = np.asarray(TABLE[op](*args))
    if base == "real" and out.dtype != np.float64:
        return out.astype(np.float64)
    return out.astype(np.int64) if base == "int" and out.dtype != np.int64 else out
