"""Sizes, bounds and conditions on data that are single numbers, in plain Python: most programs need no more to be
measured. What takes arrays is left to the numpy evaluator, which is imported when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ppl.core import ir
from ppl.data import arithmetic
from ppl.data.grid import Value, plain

if TYPE_CHECKING:
    from ppl.bind.evaluate import Evaluator

Scalar = int | float | bool


class Unknown(Exception):
    """The value is not one number, or takes more than arithmetic on numbers to compute."""


_BINARY: Mapping[str, str] = MappingProxyType(
    {"add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "pow": "^"}
)
_COMPARE: Mapping[str, str] = MappingProxyType({"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="})
_CALLS = frozenset({"min", "max", "abs", "floor", "ceil"})


class Numbers:
    """Evaluates expressions that are the same in all iterations of a program with the data `values`."""

    def __init__(self, program: ir.Program, definitions: Mapping[str, ir.Expr], values: Mapping[str, Value]) -> None:
        self.program, self.definitions, self.values = program, definitions, values
        self._known: dict[str, Scalar] = {}

    @cached_property
    def evaluator(self) -> Evaluator:
        """The same for any expression. Imports numpy."""
        from ppl.bind.evaluate import Evaluator, array_types, batched, top

        data = {name: plain(value) for name, value in self.values.items()}
        return Evaluator(batched(data), self.definitions, array_types(self.program), top())

    def number(self, e: ir.Expr) -> Scalar | None:
        """The value of a scalar; None if it is not known from data."""
        try:
            return self.scalar(e)
        except Unknown:
            return self.evaluator.number(e)

    def dims(self, t: ir.Type) -> tuple[int, ...] | None:
        """The shape of a type; the size of an empty range is 0."""
        sizes = [self.number(d) for d in t.dims]
        return None if None in sizes else tuple(max(0, int(n)) for n in sizes if n is not None)

    def scalar(self, e: ir.Expr) -> Scalar:
        """Raises Unknown."""
        match e:
            case ir.Lit():
                return e.value
            case ir.DataRef():
                return _only_scalar(self.values.get(e.name))
            case ir.Var() if e.name in self.definitions and not e.random:
                if e.name not in self._known:
                    self._known[e.name] = self.scalar(self.definitions[e.name])
                return self._known[e.name]
            case ir.Op() if not e.random:
                return self._operation(e)
            case ir.Select() if not e.random:
                return self.scalar(e.then if self.scalar(e.condition) else e.orelse)
            case _:
                raise Unknown

    def _operation(self, e: ir.Op) -> Scalar:
        if e.op == "not":
            return not self.scalar(e.args[0])
        if e.op in ("and", "or"):
            first = self.scalar(e.args[0])
            return self.scalar(e.args[1]) if first is (e.op == "and") else first
        args = [self.scalar(a) for a in e.args]
        if e.op == "to_real":
            return float(args[0])
        try:
            return _only_scalar(_apply(e.op, args))
        except arithmetic.Fault:  # such as a division by zero, which is reported elsewhere
            raise Unknown from None

    def truth(self, e: ir.Expr) -> tuple[bool, bool]:
        """Whether a condition may be true, and whether it may be false; both if it depends on a latent.

        Raises Unknown.
        """
        match e:
            case ir.Op(op="not", args=(a,)):
                t, f = self.truth(a)
                return f, t
            case ir.Op(op="and" | "or", args=(a, b)) if e.random:
                (t, f), (t2, f2) = self.truth(a), self.truth(b)
                return (t and t2, f or f2) if e.op == "and" else (t or t2, f and f2)
            case ir.Var() if e.random and e.name in self.definitions:
                return self.truth(self.definitions[e.name])
            case _ if e.random:
                return True, True
            case _:
                holds = bool(self.scalar(e))
                return holds, not holds


def _apply(op: str, args: list[Scalar]) -> Value:
    if op in _BINARY:
        return arithmetic.binary(_BINARY[op], args[0], args[1])
    if op in _COMPARE:
        return arithmetic.compare(_COMPARE[op], args[0], args[1])
    if op == "neg":
        return arithmetic.negate(args[0])
    if op in _CALLS:
        return arithmetic.call(op, list(args))
    raise Unknown


def _only_scalar(value: Value | None) -> Scalar:
    if isinstance(value, (int, float)):
        return value
    raise Unknown
