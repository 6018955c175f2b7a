"""The type that a size or a default has, whatever the values in it."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.syntax import ast

Type = tuple[str, int]  # real, int or bool, and the number of dimensions

_REAL = frozenset({"exp", "log", "sqrt"})
_INT = frozenset({"floor", "ceil"})
_SCALAR = frozenset({"sum", "prod", "min", "max"})


def type_of(e: ast.Expr | ast.Truncated, types: Mapping[str, Type]) -> Type | None:
    """The type of `e`, where `types` are those of names; None where it is not certain, or `e` is wrong."""
    match e:
        case ast.Number():
            return ("int" if isinstance(e.value, int) else "real"), 0
        case ast.Boolean() | ast.Compare() | ast.Binary(op="and" | "or") | ast.Unary(op="not"):
            return "bool", 0
        case ast.Constant():
            return "real", 0
        case ast.Truncated():
            return None
        case ast.Name():
            return types.get(e.name)
        case ast.Unary():
            return type_of(e.operand, types)
        case ast.Binary():
            both = _joined(type_of(e.left, types), type_of(e.right, types))
            return both and ({"/": "real", "//": "int"}.get(e.op, both[0]), both[1])
        case ast.IfExpr():
            then, orelse = type_of(e.then, types), type_of(e.orelse, types)
            return then if then == orelse else None
        case ast.Call():
            return _call(e.name, [type_of(a.value, types) for a in e.args])
        case ast.Index():
            base = type_of(e.base, types)
            rank = 0 if base is None else base[1] - sum(not isinstance(i, ast.Range) for i in e.items)
            return None if base is None or len(e.items) > base[1] else (base[0], rank)
        case ast.ArrayLiteral():
            return _literal([type_of(x, types) for x in e.items])
        case ast.Comprehension():
            element = type_of(e.element, {**types, e.variable: ("int", 0)})
            return element and (element[0], element[1] + 1)


def _joined(a: Type | None, b: Type | None) -> Type | None:
    """The type of arithmetic: the wider base, and the shape of the array if one is."""
    if a is None or b is None or "bool" in (a[0], b[0]) or (0 not in (a[1], b[1]) and a[1] != b[1]):
        return None
    return ("int" if a[0] == b[0] == "int" else "real"), max(a[1], b[1])


def _call(name: str, args: list[Type | None]) -> Type | None:
    if name == "length":
        return "int", 0
    if name == "mean":
        return "real", 0
    first = args[0] if args else None
    if first is None:
        return None
    if name in ("min", "max") and len(args) == 2:
        return _joined(first, args[1])
    if name in _SCALAR:
        return first[0], 0
    if name in _REAL or name in _INT:
        return ("real" if name in _REAL else "int"), first[1]
    return first if name == "abs" else None


def _literal(items: list[Type | None]) -> Type | None:
    known = [t for t in items if t is not None]
    if not known or len(known) < len(items) or len({rank for _, rank in known}) > 1:
        return None
    bases = {base for base, _ in known}
    return ("real" if bases == {"int", "real"} else known[0][0]), known[0][1] + 1
