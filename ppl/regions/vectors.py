"""Elements of vectors whose elements do not vary freely, as expressions of the coordinates.

Where that is short, a guard on an element can be seen to be affine or monotone along a coordinate.
"""

from __future__ import annotations

import math

from ppl.core import ir

MOST_TERMS = 6  # beyond, an element is known by the vector alone


def element(value: ir.Expr | None, indices: tuple[ir.Expr, ...]) -> ir.Expr | None:
    """An element of a vector defined by `value`, if that is a list or transform of which it can be written down."""
    if isinstance(value, ir.Array) and len(indices) == 1 and isinstance(indices[0], ir.Lit):
        k = int(indices[0].value)
        return value.items[k] if k < len(value.items) else None
    if not isinstance(value, ir.Op) or not value.op.startswith(ir.TRANSFORM):
        return None
    own, *limits = value.args
    if not isinstance(own, ir.Var):
        return None
    index = indices[0]
    match value.op.removeprefix(ir.TRANSFORM):
        case "cholesky_corr":
            return below_diagonal(own, indices)
        case "simplex":
            return share(own, index)
        case "ordered" as kind:
            return increasing(own, index, kind)
        case "ordered_lower" | "ordered_interval" as kind:
            on = kind.removeprefix("ordered_")
            return ir.Op(f"{ir.ELEMENT}{on}", (increasing(own, index, kind), *limits), ir.REAL, True)
        case _:
            return None


def coordinate(own: ir.Var, index: int) -> ir.Expr:
    return ir.Cell(own.name, (ir.literal(index),), ir.REAL, True)


def share(own: ir.Var, index: ir.Expr) -> ir.Expr | None:
    """Share k of a simplex: a part of what those before it left, the last one all of it."""
    (free,) = own.type.dims
    if not isinstance(index, ir.Lit) or not isinstance(free, ir.Lit) or index.value >= MOST_TERMS:
        return None
    last, k = int(free.value), int(index.value)
    factors = [_call("inv_logit", _op("neg", stick(own, j, last))) for j in range(min(k, last))]
    if k < last:
        factors.append(_call("inv_logit", stick(own, k, last)))
    out = factors[0] if factors else ir.literal(1.0)
    for x in factors[1:]:
        out = _op("mul", out, x)
    return out


def below_diagonal(own: ir.Var, indices: tuple[ir.Expr, ...]) -> ir.Expr | None:
    """An element of a factor of a correlation matrix: a part, with its sign, of the length that its row has left."""
    row, column = (int(i.value) if isinstance(i, ir.Lit) else MOST_TERMS for i in indices)
    if not column < row < MOST_TERMS:
        return None
    first = row * (row - 1) // 2
    out = _call("tanh", coordinate(own, first + column))
    for k in range(column):
        out = _op("mul", out, _call("inv", _call("cosh", coordinate(own, first + k))))
    return out


def stick(own: ir.Var, k: int, free: int) -> ir.Expr:
    """The logit of the part that share k takes."""
    return _op("sub", coordinate(own, k), ir.literal(math.log(free - k)))


def increasing(own: ir.Var, index: ir.Expr, kind: str) -> ir.Expr:
    """An element of an ordered vector before the transform to its support: the first coordinate, and how far above."""
    first = coordinate(own, 0)
    if isinstance(index, ir.Lit) and index.value < MOST_TERMS:
        out = first
        for k in range(1, int(index.value) + 1):
            out = _add(out, _call("log1p_exp" if kind == "ordered_lower" else "exp", coordinate(own, k)))
        return out
    (size,) = own.type.dims
    gaps = ir.Slice(own, ir.literal(1), size, ir.Type("real", (_op("sub", size, ir.literal(1), ir.INT),)), True)
    above = ir.Op(f"{ir.OFFSETS}{kind}", (gaps,), own.type, True)
    return _add(first, ir.Index(above, (index,), ir.REAL, True))


def _call(name: str, x: ir.Expr) -> ir.Expr:
    return ir.Op(name, (x,), ir.REAL, x.random)


def _add(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return b if a == ir.literal(0.0) else _op("add", a, b)


def _op(op: str, a: ir.Expr, b: ir.Expr | None = None, t: ir.Type = ir.REAL) -> ir.Expr:
    args = (a,) if b is None else (a, b)
    return ir.Op(op, args, t, any(x.random for x in args))
