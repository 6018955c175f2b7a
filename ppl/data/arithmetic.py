"""Operators and functions on data values: what a size or a default may compute.

Ints are exact and stay within 64 bits; reals follow the language (``/`` is real, ``//`` and ``%`` floor). What has no
value (division by zero, overflow, shapes that do not agree) raises :class:`Fault`, which knows no source position.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from ppl.data.grid import Grid, Value, elements, is_array, kind_of, shape_of
from ppl.diagnostics import counted

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Fault(Exception):
    """An operation without a value; `code` is the diagnostic it becomes."""

    def __init__(self, message: str, code: str = "PPL211", hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.hint = message, code, hint


def checked_int(value: int) -> int:
    """`value` if it fits in 64 bits, as every int of the language must."""
    if not INT_MIN <= value <= INT_MAX:
        raise Fault("an int beyond 64 bits")
    return value


def stack(items: list[Value]) -> Grid:
    """An array literal's value: equal shapes, and the widest of the element types (bool never widens)."""
    if not items:
        return Grid("int", (0,), ())
    first = shape_of(items[0])
    for k, item in enumerate(items):
        if shape_of(item) != first:
            raise Fault(f"element {k} has shape {list(shape_of(item))}, element 0 has {list(first)}", "PPL202")
    kinds = {kind_of(item) for item in items}
    if "bool" in kinds and len(kinds) > 1:
        raise Fault("an array mixes bools and numbers", "PPL201")
    base = "real" if "real" in kinds else kinds.pop()
    leaves = [leaf for item in items for leaf in elements(item)]
    return Grid(base, (len(items), *first), list(map(float, leaves)) if base == "real" else leaves)


# ------------------------------------------------------------------ operators


def _int_power(a: int, b: int) -> int:
    if b < 0:
        raise Fault(f"an int to the negative power {b}", hint="write a real base, such as `2.0 ^ -1`")
    if abs(a) > 1 and b > 63:  # beyond 64 bits for certain, and maybe too large to compute
        raise Fault("an int beyond 64 bits")
    return a**b


def _real_power(a: float, b: float) -> float:
    try:
        result: float | complex = a**b
    except OverflowError:
        return math.inf
    if isinstance(result, complex):
        raise Fault(f"{a!r} ^ {b!r} is not a real number")
    return result


_INT: Mapping[str, Callable[[int, int], int]] = MappingProxyType(
    {
        "+": int.__add__,
        "-": int.__sub__,
        "*": int.__mul__,
        "//": int.__floordiv__,
        "%": int.__mod__,
        "^": _int_power,
    }
)
_REAL: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {
        "+": float.__add__,
        "-": float.__sub__,
        "*": float.__mul__,
        "/": float.__truediv__,
        "//": lambda a, b: _to_int(a // b),
        "%": float.__mod__,
        "^": _real_power,
    }
)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
)


def _to_int(value: float) -> int:
    if not math.isfinite(value):
        raise Fault("an int beyond 64 bits")
    return checked_int(int(value))


def binary(op: str, left: Value, right: Value) -> Value:
    """``left op right`` for an arithmetic operator; elementwise on equal shapes or with a scalar."""
    kinds = (kind_of(left), kind_of(right))
    if "bool" in kinds:
        raise Fault(f"`{op}` needs numbers, not bools", "PPL201")
    shapes = (shape_of(left), shape_of(right))
    if () not in shapes and shapes[0] != shapes[1]:
        raise Fault(f"`{op}` of shapes {list(shapes[0])} and {list(shapes[1])}", "PPL202")
    whole = kinds == ("int", "int") and op != "/"
    result_is_int = whole or op == "//"
    return _each(partial(_scalar_binary, op, whole), result_is_int, left, right)


def _scalar_binary(op: str, whole: bool, a: Any, b: Any) -> int | float:
    try:
        if whole:
            return checked_int(_INT[op](int(a), int(b)))
        return _REAL[op](float(a), float(b))
    except ZeroDivisionError:
        raise Fault("a division by zero") from None


def _each(function: Callable[..., int | float], whole: bool, *args: Value) -> Value:
    """`function` on scalars, or elementwise if any argument is an array; `whole`: it returns ints."""
    shape = next((a.shape for a in args if is_array(a)), None)
    if shape is None:
        return function(*args)
    columns = [elements(a) if is_array(a) else [a] * math.prod(shape) for a in args]
    return Grid("int" if whole else "real", shape, [function(*row) for row in zip(*columns, strict=True)])


def negate(value: Value) -> Value:
    return binary("-", 0, value) if kind_of(value) != "real" else binary("*", -1.0, value)


def compare(op: str, left: Value, right: Value) -> bool:
    """``left op right`` on scalars; bools compare with bools only."""
    if shape_of(left) or shape_of(right):
        raise Fault("a comparison of arrays", "PPL205")
    if (kind_of(left) == "bool") != (kind_of(right) == "bool"):
        raise Fault("a comparison of a bool and a number", "PPL201")
    return bool(_COMPARE[op](left, right))  # type: ignore[arg-type]


# ------------------------------------------------------------------ functions


def _length(x: Value) -> Value:
    if not is_array(x):
        raise Fault("`length` of a single value", "PPL201", "`length` takes an array")
    return int(x.shape[0])


def _reduce(name: str, function: Callable[[list[Any]], Any], x: Value) -> Value:
    if not is_array(x):
        raise Fault(f"`{name}` of a single value", "PPL201", f"`{name}` takes an array")
    if kind_of(x) == "bool":
        raise Fault(f"`{name}` needs numbers, not bools", "PPL201")
    items = elements(x)
    if not items and name not in ("sum", "prod"):
        raise Fault(f"`{name}` of an array without elements")
    result = function(items)
    return checked_int(result) if isinstance(result, int) else float(result)


def _extreme(name: str, function: Callable[..., Any], *args: Value) -> Value:
    if len(args) == 1:
        return _reduce(name, function, args[0])
    whole = kind_of(args[0]) == kind_of(args[1]) == "int"
    binary("+", _zero_like(args[0]), _zero_like(args[1]))  # the same demands on types and shapes

    def pick(a: Any, b: Any) -> int | float:
        return int(function(a, b)) if whole else float(function(a, b))

    return _each(pick, whole, *args)


def _zero_like(value: Value) -> Value:
    """The same type and shape, all zeros."""
    zero = 0 if kind_of(value) == "int" else 0.0 if kind_of(value) == "real" else False
    return Grid(kind_of(value), shape_of(value), [zero] * math.prod(shape_of(value))) if is_array(value) else zero


def _elementwise(name: str, function: Callable[[Any], Any], x: Value, whole: bool = False) -> Value:
    if kind_of(x) == "bool":
        raise Fault(f"`{name}` needs numbers, not bools", "PPL201")

    def apply(element: Any) -> int | float:
        try:
            return function(element)
        except (ValueError, OverflowError):
            raise Fault(f"`{name}({element!r})` has no finite value") from None

    return _each(apply, whole, x)


def _product(items: list[Any]) -> Any:
    result = 1
    for item in items:  # not math.prod: an int is stopped as soon as it passes 64 bits
        result = result * item
        if isinstance(result, int):
            checked_int(result)
    return result


def _absolute(x: Value) -> Value:
    if kind_of(x) == "int":
        return _elementwise("abs", _whole(abs), x, whole=True)
    return _elementwise("abs", abs, x)


def _mean(items: list[Any]) -> float:
    return math.fsum(items) / len(items)


def _whole(function: Callable[[Any], int]) -> Callable[[Any], int]:
    return lambda element: checked_int(function(element))


_CALLS: Mapping[str, tuple[tuple[int, ...], Callable[..., Value]]] = MappingProxyType(
    {
        "length": ((1,), _length),
        "sum": ((1,), partial(_reduce, "sum", sum)),
        "prod": ((1,), partial(_reduce, "prod", _product)),
        "mean": ((1,), partial(_reduce, "mean", _mean)),
        "min": ((1, 2), partial(_extreme, "min", min)),
        "max": ((1, 2), partial(_extreme, "max", max)),
        "abs": ((1,), _absolute),
        "floor": ((1,), partial(_elementwise, "floor", _whole(math.floor), whole=True)),
        "ceil": ((1,), partial(_elementwise, "ceil", _whole(math.ceil), whole=True)),
        "exp": ((1,), partial(_elementwise, "exp", math.exp)),
        "log": ((1,), partial(_elementwise, "log", math.log)),
        "sqrt": ((1,), partial(_elementwise, "sqrt", math.sqrt)),
    }
)


def function(name: str, arguments: int) -> Callable[..., Value]:
    """A built-in function of data. Only those in the table may be used in a size or a default."""
    if name not in _CALLS:
        raise Fault(
            f"`{name}` cannot be used in a size or a default", "PPL606", f"these can: {', '.join(sorted(_CALLS))}"
        )
    arity, found = _CALLS[name]
    if arguments not in arity:
        raise Fault(f"`{name}` with {counted(arguments, 'argument')}", "PPL203")
    return found


def call(name: str, args: list[Value]) -> Value:
    """The value of a function of the table. Raises Fault where it has none."""
    return function(name, len(args))(*args)
