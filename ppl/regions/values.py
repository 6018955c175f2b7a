"""Expressions that take few values: chosen by branches among constants, whatever the latents are."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.regions.scope import Scope

MAX_VALUES = 64

Constant = int | float | bool
Values = frozenset[Constant]


def values_of(scope: Scope, e: ir.Expr, state: Mapping[str, Values] | None = None) -> Values | None:
    """Every value `e` can take, in no order; None if they are not few constants.

    `state`: the values of carried variables at the start of an iteration, where they are known.
    """
    return _Finder(scope, state or {}).of(e)


class _Finder:
    def __init__(self, scope: Scope, state: Mapping[str, Values]) -> None:
        self.scope, self.state = scope, state
        self.memo: dict[str, Values | None] = {}

    def of(self, e: ir.Expr) -> Values | None:
        match e:
            case ir.Lit():
                return frozenset((e.value,))
            case ir.Select():
                then, orelse = self.of(e.then), self.of(e.orelse)
                return None if then is None or orelse is None else _few(then | orelse)
            case _ if e.type.base == "bool" and e.type.scalar:
                return frozenset((False, True))
            case ir.Var():
                if e.name not in self.memo:
                    self.memo[e.name] = None  # what refers to itself does not have few values that are known
                    self.memo[e.name] = self._variable(e)
                return self.memo[e.name]
            case ir.Op(op="to_real", args=(a,)):
                inner = self.of(a)
                return None if inner is None else frozenset(float(x) for x in inner)
            case ir.Op(op="to_int", args=(a,)):
                return frozenset((0, 1)) if a.type.base == "bool" else None
            case ir.Op(op="neg", args=(a,)):
                inner = self.of(a)
                return None if inner is None else frozenset(-x for x in inner)
            case ir.Op(op="add" | "sub" | "mul", args=(a, b)):
                left, right = self.of(a), self.of(b)
                if left is None or right is None:
                    return None
                return _few(frozenset(_ARITHMETIC[e.op](x, y) for x in left for y in right))
            case _:
                return None

    def _variable(self, v: ir.Var) -> Values | None:
        if v.name in self.state:
            return self.state[v.name]
        definition = self.scope.definitions.get(v.name)
        return None if definition is None else self.of(definition)


def _few(values: Values) -> Values | None:
    return values if len(values) <= MAX_VALUES else None


def _add(x: Constant, y: Constant) -> Constant:
    return x + y


def _sub(x: Constant, y: Constant) -> Constant:
    return x - y


def _mul(x: Constant, y: Constant) -> Constant:
    return x * y


_ARITHMETIC = {"add": _add, "sub": _sub, "mul": _mul}
