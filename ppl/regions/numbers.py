"""Arithmetic of numbers and lists of numbers, with what rounding leaves of zero taken for zero.

What is infinite at a pole is so here within `SNAP` of it; what is undefined or overflows is no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from ppl.core.functions import KNOWN
from ppl.core.inverses import normal_quantile
from ppl.language.distributions import DENSITY_FUNCTIONS
from ppl.regions import matrices
from ppl.regions.matrices import SNAP, add

# Where the density of a distribution may be zero or infinite in an argument.
EDGES: Mapping[str, tuple[float, ...]] = MappingProxyType({"positive": (0.0,), "unit": (0.0, 1.0), "simplex": (0.0,)})
INFINITE_AT_ENDS = ("LogNormal", "Gamma", "InverseGamma", "Beta", "Weibull")  # log densities, at ends of the support
# Where a function of one argument is infinite, and with which sign.
POLES: Mapping[str, Mapping[float, float]] = MappingProxyType({
    **{name: {0.0: -math.inf} for name in ("log", "log2", "log10", "digamma", "log1m_exp")}, "inv": {0.0: math.inf},
    "logit": {0.0: -math.inf, 1.0: math.inf}, "inv_Phi": {0.0: -math.inf, 1.0: math.inf}, "log1p": {-1.0: -math.inf},
    "log1m": {1.0: -math.inf}, "atanh": {-1.0: -math.inf, 1.0: math.inf},
})  # fmt: skip
ENDS: Mapping[str, tuple[float, ...]] = MappingProxyType({  # of domains, where a function is finite
    "sqrt": (0.0,), "asin": (-1.0, 1.0), "acos": (-1.0, 1.0), "acosh": (1.0,),
})  # fmt: skip

Number = Any  # a float or bool, or a list of them


def items_of(x: Number) -> list[Number] | None:
    return cast("list[Number]", x) if isinstance(x, list) else None


class Unknown(Exception):
    """There is no number for an expression."""


def _divide(a: float, b: float) -> float:
    if abs(b) < SNAP:
        return math.nan if math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _multiply(a: float, b: float) -> float:
    out = a * b
    return out if out == out or not (a == 0 or b == 0) else math.inf  # 0 times what is infinite is no number either


def _power(a: float, b: float) -> float:
    if abs(a) < SNAP:
        return _divide(1.0, a if b % 2 == 1 else abs(a)) if b < 0 else 0.0 if b > 0 else 1.0
    return a**b if a > 0 or b == int(b) else math.nan


def _lgamma(x: float) -> float:
    return math.inf if x < SNAP and abs(x - round(x)) < SNAP else math.lgamma(x)


def _log_sum(*x: float) -> float:
    top = max(x)
    return top if math.isinf(top) else top + math.log(sum(math.exp(v - top) for v in x))


ONE: Mapping[str, Callable[[float], Number]] = MappingProxyType({
    "neg": lambda x: -x, "square": lambda x: x * x, "relu": lambda x: max(x, 0.0), "sign": lambda x: (x > 0) - (x < 0),
    "step": lambda x: x > 0, "floor": math.floor, "ceil": math.ceil, "round": lambda x: math.floor(x + 0.5),
    "lgamma": _lgamma, "digamma": lambda x: math.log(abs(x)), "log1m": lambda x: math.log1p(-x),
    "logit": lambda x: math.log(x) - math.log1p(-x), "inv_Phi": normal_quantile, "atanh": math.atanh,
    "log1m_exp": lambda x: math.log(-math.expm1(x)), "to_real": float, "to_int": int, "not": lambda x: not x,
    "over_zero": lambda x: _divide(x, 0.0),
})  # fmt: skip
TWO: Mapping[str, Callable[[Any, Any], Number]] = MappingProxyType({
    "add": add, "sub": lambda a, b: add(a, -b), "mul": _multiply, "div": _divide, "pow": _power,
    "max": max, "min": min, "hypot": math.hypot, "atan2": math.atan2, "log_sum_exp": _log_sum,
    "mod": lambda a, b: a % b, "floordiv": lambda a, b: a // b,
    "log_diff_exp": lambda a, b: a + math.log(-math.expm1(b - a)) if b - a < -SNAP else -math.inf,
    "lbeta": lambda a, b: _lgamma(a) + _lgamma(b) - _lgamma(a + b),
    "lchoose": lambda n, k: _lgamma(n + 1) - _lgamma(k + 1) - _lgamma(n - k + 1),
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "and": lambda a, b: a and b, "or": lambda a, b: a or b,
})  # fmt: skip
ALL: Mapping[str, Callable[[Sequence[float]], Number]] = MappingProxyType({
    "sum": math.fsum, "prod": math.prod, "mean": lambda x: math.fsum(x) / len(x), "min": min, "max": max,
    "log_sum_exp": lambda x: _log_sum(*x), "length": len,
})  # fmt: skip


def is_elementwise(op: str, count: int) -> bool:
    """Whether an operation of so many arguments makes an element of its value of their elements in the same place."""
    return op in TWO if count == 2 else count == 1 and (op in POLES or op in ONE or op in KNOWN)


def apply(op: str, args: list[Number]) -> Number:
    """The value of an operation; raises Unknown if it has none here."""
    if len(args) == 2 and op in TWO and not (isinstance(args[0], list) or isinstance(args[1], list)):
        return TWO[op](args[0], args[1])
    items = [items_of(a) for a in args]
    match op, items:
        case _, [list() as a] if op in ALL:
            return ALL[op](a)
        case "dot", [list() as a, list() as b]:
            return math.fsum(x * y for x, y in zip(a, b, strict=True))
        case "cumsum", [list() as a]:
            return [math.fsum(a[: k + 1]) for k in range(len(a))]
        case "log_det", [list() as a]:
            return _of_one("log", abs(matrices.determinant(a)))
        case _, _ if op in matrices.FUNCTIONS:
            return matrices.FUNCTIONS[op](*args)
        case "clamp", [_, _, _]:
            return each(_clamp, args)
        case _ if is_elementwise(op, len(args)):
            return each(TWO[op] if len(args) == 2 else partial(_of_one, op), args)
        case _:
            raise Unknown


def _clamp(x: float, lo: float, hi: float) -> float:
    return min(max(x, lo), hi)


def _of_one(op: str, x: float) -> Number:
    if op == "inv":
        return _divide(1.0, x)
    for pole, there in POLES.get(op, {}).items():
        if abs(x - pole) < SNAP:
            return there
    for end in ENDS.get(op, ()):  # which rounding may have passed
        x = end if abs(x - end) < SNAP else x
    try:
        return ONE[op](x) if op in ONE else KNOWN[op].at(x)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.nan


def each(f: Callable[..., Number], args: Sequence[Number]) -> Number:
    """A function element by element."""
    items = [items_of(a) for a in args]
    sizes = [len(x) for x in items if x is not None]
    if not sizes:
        return f(*args)
    return [each(f, [a if x is None else x[k] for a, x in zip(args, items, strict=True)]) for k in range(min(sizes))]


def density(name: str, *args: float) -> float:
    """Some number, or infinity where the density has it."""
    return math.inf if _is_at_edge(name, args) else -1.0


def _is_at_edge(name: str, args: Sequence[float]) -> bool:
    """Whether a log density, or the log of a tail, is infinite at these numbers."""
    f = DENSITY_FUNCTIONS[name]
    params = dict(zip((p.name for p in f.distribution.params), args[1:], strict=True))
    domains = {p.name: p.domain for p in f.distribution.params}
    if any(abs(x - edge) < SNAP for p, x in params.items() for edge in EDGES.get(domains[p], ())):
        return True
    if f.part == "lpdf" and f.distribution.name not in INFINITE_AT_ENDS:
        return False
    ends = (params[b] if isinstance(b, str) else b for b in f.distribution.support.bounds)
    return any(abs(args[0] - b) < SNAP for b in ends)


def flat(x: Number) -> list[float]:
    """The numbers of a value and of its elements."""
    items = items_of(x)
    return [float(x)] if items is None else [v for item in items for v in flat(item)]
