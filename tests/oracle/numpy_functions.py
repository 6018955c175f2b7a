"""The built-in functions of the language in NumPy and scipy, for the interpreter alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

A = np.ndarray

ELEMENTWISE: dict[str, Callable[..., A]] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "expm1": np.expm1, "erf": special.erf, "erfc": special.erfc, "Phi": special.ndtr, "inv_Phi": special.ndtri,
    "inv_logit": special.expit, "logit": special.logit, "log_inv_logit": special.log_expit,
    "lgamma": special.gammaln, "digamma": special.digamma, "inv": lambda x: 1 / (x + 0), "square": lambda x: x * x,
    "log1m": lambda x: np.log1p(-x), "log1m_exp": lambda x: np.log(-np.expm1(x)),
    "log1p_exp": lambda x: np.logaddexp(0.0, x), "atan2": lambda y, x: np.arctan2(y + 0, x + 0), "hypot": np.hypot,
    "pow": lambda a, b: np.power(a.astype(float) + 0, b), "lbeta": special.betaln,
    "log_diff_exp": lambda a, b: a + np.log(-np.expm1(b - a)),
    "lchoose": lambda n, k: special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1),
}  # fmt: skip


def reduce_axes(name: str, args: list[A]) -> A:
    """Reductions over everything but the batch axis, and the functions of vectors."""
    x = args[0]
    axes = tuple(range(1, x.ndim))
    match name:
        case "sum":
            return x.sum(axis=axes)
        case "prod":
            return x.prod(axis=axes)
        case "mean":
            return x.mean(axis=axes)
        case "cumsum":
            return x.cumsum(axis=1)
        case "dot":
            return (x * args[1]).sum(axis=1)
        case "log_sum_exp" if len(args) == 2:
            return np.logaddexp(*args)
        case "log_sum_exp":
            return special.logsumexp(x, axis=axes)
        case _:
            raise NotImplementedError(name)
