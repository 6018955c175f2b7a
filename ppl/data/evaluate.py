"""The value of a size or of a default: an expression over literals and data declared earlier.

:func:`evaluate` works on the syntax tree, before there is a core program, because the sizes of data have to be known
to bind the data. It never raises anything but :class:`EvaluationError` and :class:`Unavailable`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

from ppl.data.arithmetic import Fault, binary, call, checked_int, compare, function, negate, stack
from ppl.data.grid import Grid, Value, is_array, kind_of
from ppl.diagnostics import Diagnostic, Span
from ppl.record import record
from ppl.syntax import ast

MAX_ELEMENTS = 10**8


class EvaluationError(Exception):
    """An expression without a value. Carries the diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.headline())
        self.diagnostic = diagnostic


class Unavailable(Exception):
    """The expression needs a name whose own value has failed already; there is nothing new to report."""


@record
class Scope:
    """What an expression may refer to: values, and the names whose values failed."""

    values: Mapping[str, Value]
    failed: Collection[str] = ()

    def with_value(self, name: str, value: Value) -> Scope:
        return Scope({**self.values, name: value}, [f for f in self.failed if f != name])


def evaluate(expr: ast.Expr | ast.Truncated, scope: Scope) -> Value:
    """The value of `expr`. Raises EvaluationError where it has none, Unavailable where a failed name is needed."""
    try:
        match expr:
            case ast.Number():
                return checked_int(expr.value) if isinstance(expr.value, int) else expr.value
            case ast.Boolean():
                return expr.value
            case ast.Constant():
                return math.pi if expr.name == "pi" else math.inf
            case ast.Truncated():
                raise _error("PPL103", "a distribution is not a value", expr.span)
            case ast.Name():
                return _name(expr, scope)
            case ast.Unary():
                return _unary(expr, scope)
            case ast.Binary():
                return _binary(expr, scope)
            case ast.Compare():
                return _compare(expr, scope)
            case ast.IfExpr():
                return evaluate(expr.then if _condition(expr.condition, scope) else expr.orelse, scope)
            case ast.Call():
                return _call(expr, scope)
            case ast.Index():
                return _index(expr, scope)
            case ast.ArrayLiteral():
                return stack([evaluate(item, scope) for item in expr.items])
            case ast.Comprehension():
                return _comprehension(expr, scope)
    except Fault as fault:
        raise _error(fault.code, fault.message, expr.span, fault.hint) from None


def names_in(node: object) -> Iterator[str]:
    """Every name that occurs in an expression (of variables, not of functions)."""
    return (x.name for x in _nodes_in(node) if isinstance(x, ast.Name))


def calls_in(node: object) -> Iterator[ast.Call]:
    """Every call of a function in an expression."""
    return (x for x in _nodes_in(node) if isinstance(x, ast.Call))


def _nodes_in(node: object) -> Iterator[ast.Node]:
    stack_: list[object] = [node]
    while stack_:
        item = stack_.pop()
        if isinstance(item, tuple):
            stack_.extend(item)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(item, ast.Node):
            yield item
            stack_.extend(getattr(item, f.name) for f in fields(item) if f.name not in ("span", "name_span"))


def size(expr: ast.Expr, scope: Scope) -> int:
    """One dimension: a non-negative int."""
    value = evaluate(expr, scope)
    if not isinstance(value, int) or isinstance(value, bool):
        what = "an array" if is_array(value) else f"a {kind_of(value)}"
        raise _error("PPL207", f"a size must be an int, and this is {what}", expr.span)
    if value < 0:
        raise _error("PPL211", f"a size must not be negative, and this is {value}", expr.span)
    return value


def too_many(dims: tuple[int | None, ...]) -> bool:
    """Whether an array of these sizes passes the limit of 10^8 elements (unknown sizes count as one)."""
    return math.prod(1 if d is None else d for d in dims) > MAX_ELEMENTS


def _error(code: str, message: str, span: Span, hint: str | None = None) -> EvaluationError:
    return EvaluationError(Diagnostic(code, message, span, hint))


def _name(expr: ast.Name, scope: Scope) -> Value:
    if expr.name in scope.failed:
        raise Unavailable(expr.name)
    if expr.name not in scope.values:
        hint = "a size or a default may use data declared above it, and literals"
        raise Fault(f"`{expr.name}` has no value here", "PPL101", hint)
    return scope.values[expr.name]


def _unary(expr: ast.Unary, scope: Scope) -> Value:
    if expr.op == "not":
        return not _condition(expr.operand, scope)
    value = evaluate(expr.operand, scope)
    return negate(value) if expr.op == "-" else binary("+", 0, value)


def _binary(expr: ast.Binary, scope: Scope) -> Value:
    if expr.op == "and":
        return _condition(expr.left, scope) and _condition(expr.right, scope)
    if expr.op == "or":
        return _condition(expr.left, scope) or _condition(expr.right, scope)
    # A long sum is a tree as deep as it is long, along its left edge; walk that edge without recursion.
    spine: list[ast.Binary] = []
    node: ast.Expr = expr
    while isinstance(node, ast.Binary) and node.op not in ("and", "or"):
        spine.append(node)
        node = node.left
    value = evaluate(node, scope)
    for parent in reversed(spine):
        right = evaluate(parent.right, scope)
        try:
            value = binary(parent.op, value, right)
        except Fault as fault:
            raise _error(fault.code, fault.message, parent.span, fault.hint) from None
    return value


def _condition(expr: ast.Expr, scope: Scope) -> bool:
    value = evaluate(expr, scope)
    if not isinstance(value, bool):
        raise _error("PPL204", "a condition must be a bool", expr.span)
    return value


def _compare(expr: ast.Compare, scope: Scope) -> bool:
    left = evaluate(expr.operands[0], scope)
    for op, operand in zip(expr.ops, expr.operands[1:], strict=True):
        right = evaluate(operand, scope)
        if not compare(op, left, right):
            return False
        left = right
    return True


def check_call(expr: ast.Call) -> None:
    """Raises EvaluationError unless the function may be used here, with as many arguments."""
    try:
        if any(argument.name is not None for argument in expr.args):
            raise Fault(f"`{expr.name}` takes no named arguments", "PPL112")
        function(expr.name, len(expr.args))
    except Fault as fault:
        raise _error(fault.code, fault.message, expr.span, fault.hint) from None


def _call(expr: ast.Call, scope: Scope) -> Value:
    check_call(expr)
    return call(expr.name, [evaluate(argument.value, scope) for argument in expr.args])


def _int(expr: ast.Expr, scope: Scope, code: str = "PPL206") -> int:
    value = evaluate(expr, scope)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _error(code, "this must be an int", expr.span)
    return value


def _index(expr: ast.Index, scope: Scope) -> Value:
    base = evaluate(expr.base, scope)
    if not is_array(base) or len(expr.items) > len(base.shape):
        raise Fault("too many indices", "PPL206")
    key: list[int | slice] = []
    for item, length in zip(expr.items, base.shape, strict=False):
        key.append(_range(item, length, scope) if isinstance(item, ast.Range) else _position(item, length, scope))
    if isinstance(base, Grid):
        return base.part(key)
    result: Any = base[tuple(key)]
    return result if result.shape else result.item()


def _position(item: ast.Expr, length: int, scope: Scope) -> int:
    index = _int(item, scope)
    if not 0 <= index < length:
        raise _error("PPL208", f"index {index} is outside an array of length {length}", item.span)
    return index


def _range(item: ast.Range, length: int, scope: Scope) -> slice:
    lo, hi = _int(item.lo, scope), _int(item.hi, scope)
    if lo < hi and not (lo >= 0 and hi <= length):
        raise _error("PPL208", f"slice {lo}..{hi} is outside an array of length {length}", item.span)
    return slice(lo, hi) if lo < hi else slice(0, 0)


def _comprehension(expr: ast.Comprehension, scope: Scope) -> Grid:
    lo, hi = _int(expr.range.lo, scope, "PPL207"), _int(expr.range.hi, scope, "PPL207")
    if hi - lo > MAX_ELEMENTS:
        raise Fault(f"{hi - lo} iterations; the limit is 10^8", "PPL701")
    return stack([evaluate(expr.element, scope.with_value(expr.variable, i)) for i in range(lo, hi)])
