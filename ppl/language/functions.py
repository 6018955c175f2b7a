"""The built-in functions: arity, how types and shapes go through them, and how they behave at a guard.

`kind`
  elementwise  applied to each element; result real
  kink         elementwise, continuous but not smooth (abs, min, max, clamp, relu)
  jump         elementwise, with jumps (floor, ceil, round, sign, step); returns ints
  reduce       array to scalar; keeps the type (sum, prod, min, max) or returns real (mean)
  shape        depends on the argument's shape alone (length)
  array        array to array of the same shape (cumsum)
  dot          two vectors to a scalar
  linear       of matrices and vectors; the shape of the result is in ``ppl/elaborate/linear.py``
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ppl.record import record


@record
class Builtin:
    name: str
    arity: tuple[int, ...]
    kind: str
    keeps_int: bool = False  # int arguments give an int (abs, min, max, sum...)
    monotone: int = 0  # +1 / -1 where the function is strictly monotone on its domain (one argument)
    singular: bool = False  # may be infinite or undefined at finite arguments


def _elementwise(names: str, **kw: bool | int) -> tuple[Builtin, ...]:
    return tuple(Builtin(n, (1,), "elementwise", **kw) for n in names.split())  # type: ignore[arg-type]


_TABLE = (
    *_elementwise("exp sinh expm1 erf Phi inv_logit tanh atan asinh log1p_exp", monotone=1),
    *_elementwise("log log2 log10 log1p logit sqrt asin atanh inv_Phi", monotone=1, singular=True),
    *_elementwise("acos", monotone=-1, singular=True),
    *_elementwise("sin cos square log_inv_logit cosh erfc"),
    *_elementwise("tan lgamma digamma inv log1m log1m_exp acosh", singular=True),
    Builtin("pow", (2,), "elementwise", singular=True),
    Builtin("atan2", (2,), "elementwise", singular=True),
    Builtin("hypot", (2,), "elementwise"),
    Builtin("log_sum_exp", (1, 2), "elementwise"),
    Builtin("log_diff_exp", (2,), "elementwise", singular=True),
    Builtin("lbeta", (2,), "elementwise", singular=True),
    Builtin("lchoose", (2,), "elementwise", singular=True),
    Builtin("abs", (1,), "kink", keeps_int=True),
    Builtin("relu", (1,), "kink", keeps_int=True),
    Builtin("min", (1, 2), "kink", keeps_int=True),
    Builtin("max", (1, 2), "kink", keeps_int=True),
    Builtin("clamp", (3,), "kink", keeps_int=True),
    *(Builtin(n, (1,), "jump", keeps_int=True) for n in ("floor", "ceil", "round", "sign", "step")),
    Builtin("sum", (1,), "reduce", keeps_int=True),
    Builtin("prod", (1,), "reduce", keeps_int=True),
    Builtin("mean", (1,), "reduce"),
    Builtin("length", (1,), "shape"),
    Builtin("cumsum", (1,), "array", keeps_int=True),
    Builtin("dot", (2,), "dot"),
    *(Builtin(n, (2,), "linear") for n in ("matmul", "outer", "solve", "solve_lower")),
    *(Builtin(n, (1,), "linear") for n in ("transpose", "diag", "diagonal", "cholesky", "inverse", "log_det")),
)

FUNCTIONS: Mapping[str, Builtin] = MappingProxyType({f.name: f for f in _TABLE})

# Functions that may be infinite or undefined at finite operands.
PARTIAL = frozenset(n for n, f in FUNCTIONS.items() if f.singular) | {
    "cholesky", "solve", "solve_lower", "inverse", "log_det"
}  # fmt: skip

# Functions that may be so, or overflow, at operands that a branch not taken can have: there they are evaluated at other
# operands, so that no NaN reaches a gradient.
GUARDED = PARTIAL | {"exp", "expm1", "sinh", "cosh", "square", "hypot", "log_sum_exp", "prod", "dot"}

# Functions that are finite at the ends of their domain and undefined beyond: on a boundary, which is rounded, they are
# taken at the nearest point of it.
BOUNDED = frozenset({"sqrt", "asin", "acos", "acosh", "pow"})

# Functions of an array that mean nothing without elements. (The sum of nothing is 0, the product 1, log_sum_exp -inf.)
NEED_ELEMENTS = frozenset(("min", "max", "mean"))
