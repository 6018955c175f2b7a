"""What is known of the functions of one number: how to compute them, and between which numbers their values lie.

What the language says of them, arguments and types, is in `ppl/language/functions.py`. This is their mathematics, for
proofs about expressions: extents, poles, continuity, roots without a slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ppl.core.extent import ANY, INF, NONNEGATIVE, POSITIVE, Extent
from ppl.record import record


@record
class Function:
    """`at` computes it, and raises ArithmeticError or ValueError where it is undefined or overflows. `values`: all that
    it can be, whatever its argument. `rises`: strictly, wherever it is defined. `start`: where its domain begins, at
    minus infinity."""

    at: Callable[[float], float]
    values: Extent = ANY
    rises: bool = False
    start: float | None = None

    @property
    def bounded(self) -> bool:
        return self.values.lo > -INF and self.values.hi < INF


def _log1p_exp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _inv_logit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


_UNIT, _ONE = Extent(0.0, 1.0), Extent(-1.0, 1.0)

KNOWN: Mapping[str, Function] = MappingProxyType({
    "exp": Function(math.exp, POSITIVE, True),
    "expm1": Function(math.expm1, Extent(-1.0), True),
    "log": Function(math.log, ANY, True, 0.0),
    "log1p": Function(math.log1p, ANY, True, -1.0),
    "log2": Function(math.log2, ANY, True, 0.0),
    "log10": Function(math.log10, ANY, True, 0.0),
    "sqrt": Function(math.sqrt, NONNEGATIVE, True),
    "log1p_exp": Function(_log1p_exp, POSITIVE, True),
    "inv_logit": Function(_inv_logit, _UNIT, True),
    "log_inv_logit": Function(lambda x: -_log1p_exp(-x), Extent(-INF, 0.0), True),
    "Phi": Function(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), _UNIT, True),
    "erf": Function(math.erf, _ONE, True),
    "erfc": Function(math.erfc, Extent(0.0, 2.0)),
    "sin": Function(math.sin, Extent(-1.0, 1.0, False, False)),
    "cos": Function(math.cos, Extent(-1.0, 1.0, False, False)),
    "tan": Function(math.tan),
    "asin": Function(math.asin, Extent(-math.pi / 2, math.pi / 2, False, False)),
    "acos": Function(math.acos, Extent(0.0, math.pi, False, False)),
    "atan": Function(math.atan, Extent(-math.pi / 2, math.pi / 2), True),
    "sinh": Function(math.sinh, ANY, True),
    "cosh": Function(math.cosh, Extent(1.0, INF, False)),
    "tanh": Function(math.tanh, _ONE, True),
    "asinh": Function(math.asinh, ANY, True),
    "acosh": Function(math.acosh, NONNEGATIVE),
    "abs": Function(abs, NONNEGATIVE),
    "inv": Function(lambda x: 1 / x),
})  # fmt: skip
