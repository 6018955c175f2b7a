"""Expressions of the interpreter: see interpreter.py for what a value is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy_functions import ELEMENTWISE, reduce_axes

from ppl.syntax import ast

A = np.ndarray
HASH = np.uint64(0x9E3779B97F4A7C15)
LEVELS: dict[str, Callable[[A], A]] = {
    "floor": np.floor, "ceil": np.ceil, "round": lambda x: np.floor(x + 0.5)
}  # fmt: skip


class Rejected(Exception):
    """The program does something at run time that the language forbids."""


def align(*values: A) -> tuple[A, ...]:
    """Scalars beside arrays: unit axes after the batch axis."""
    most = max(v.ndim for v in values)
    return tuple(v.reshape(v.shape + (1,) * (most - v.ndim)) for v in values)


def as_value(x: Any) -> A:
    return np.asarray(x)[None]


@dataclass
class Expressions:
    """Evaluates expressions under masks, and notes every decision in `path`."""

    n: int
    data: Mapping[str, Any]
    values: Mapping[str, A]
    constrained: bool
    env: dict[str, A] = field(default_factory=dict)
    functions: dict[str, ast.Function] = field(default_factory=dict)
    globals: dict[str, A] = field(default_factory=dict)
    arrays: set[str] = field(default_factory=set)
    exists: dict[str, A] = field(default_factory=dict)
    z: dict[str, A] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_joint = np.zeros(self.n)
        self.log_jacobian = np.zeros(self.n)
        self.noise_density = np.zeros(self.n)
        self.path = np.zeros(self.n, np.uint64)

    def dims(self, t: ast.TypeExpr) -> tuple[int, ...]:
        return tuple(self.static(d) for d in t.dims if d is not None)

    def static(self, e: ast.Expr) -> int:
        value = self.expression(e, np.ones(1, bool))
        if value.shape != (1,):
            raise Rejected("a size or bound depends on a latent")
        return int(value[0])

    def user_call(self, f: ast.Function, args: list[A], mask: A) -> A:
        raise NotImplementedError

    def decide(self, code: A, mask: A) -> None:
        """Enters a decision into the path; `code` is a small int per point."""
        if len(code) == 1 and len(mask) == 1:
            return
        reached = np.where(mask, code.astype(np.int64) + 3, 1).astype(np.uint64)
        with np.errstate(over="ignore"):
            mixed = (self.path ^ reached) * HASH
            self.path = mixed ^ (mixed >> np.uint64(29))

    def expression(self, e: ast.Expr, mask: A) -> A:
        match e:
            case ast.Number() | ast.Boolean():
                return as_value(e.value)
            case ast.Constant():
                return as_value(np.pi if e.name == "pi" else np.inf)
            case ast.Name():
                return self.env[e.name]
            case ast.Unary():
                x = self.expression(e.operand, mask)
                return ~x if e.op == "not" else -x if e.op == "-" else x
            case ast.Binary(op="and" | "or"):
                return self.logical(e, mask)
            case ast.Binary():
                return self.arithmetic(e.op, self.expression(e.left, mask), self.expression(e.right, mask), mask)
            case ast.Compare():
                return self.compare(e, mask)
            case ast.IfExpr():
                return self.choice(e, mask)
            case ast.Call():
                return self.call(e, mask)
            case ast.Index():
                return self.index(e, mask)
            case ast.ArrayLiteral():
                return self.stack([self.expression(x, mask) for x in e.items])
            case ast.Comprehension():
                return self.comprehension(e, mask)

    def stack(self, items: list[A]) -> A:
        rows = max(len(x) for x in items)
        return np.stack([np.broadcast_to(x, (rows, *x.shape[1:])) for x in items], axis=1)

    def logical(self, e: ast.Binary, mask: A) -> A:
        left = self.expression(e.left, mask)
        if len(left) == 1 and bool(left[0]) == (e.op == "or"):
            return left
        open_ = left if e.op == "and" else ~left
        right = self.expression(e.right, mask & open_)
        return left & right if e.op == "and" else left | right

    def arithmetic(self, op: str, a: A, b: A, mask: A) -> A:
        a, b = align(a, b)
        match op:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "/":
                return a / (b + 0)  # zero has no sign
            case "^":
                power = np.power(a.astype(float) + 0, b.astype(float))
                ints = a.dtype.kind == b.dtype.kind == "i" and np.all(b >= 0)
                return power.astype(np.int64) if ints else power
            case "//":
                out = np.floor_divide(a, b).astype(np.int64)
                self.decide(out.reshape(len(out), -1).sum(axis=1), mask)
                return out
            case _:
                self.decide(np.nan_to_num(np.floor_divide(a, b)).reshape(max(len(a), len(b)), -1).sum(axis=1), mask)
                return np.mod(a, b)

    def compare(self, e: ast.Compare, mask: A) -> A:
        values = [self.expression(x, mask) for x in e.operands]
        out = np.ones(1, bool)
        for op, a, b in zip(e.ops, values[:-1], values[1:], strict=True):
            one = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
                   "!=": np.not_equal}[op](a, b)  # fmt: skip
            self.decide(one, mask & out)
            out = out & one
        return out

    def choice(self, e: ast.IfExpr, mask: A) -> A:
        c = self.expression(e.condition, mask)
        if len(c) == 1:
            return self.expression(e.then if c[0] else e.orelse, mask)
        m, a, b = align(c, self.expression(e.then, mask & c), self.expression(e.orelse, mask & ~c))
        return np.where(m, a, b)

    def index(self, e: ast.Index, mask: A) -> A:
        base = self.expression(e.base, mask)
        items: list[Any] = []
        moving = False
        for i in e.items:
            if isinstance(i, ast.Range):
                items.append(slice(self.static(i.lo), self.static(i.hi)))
                continue
            k = self.expression(i, mask)
            moving |= len(k) > 1
            items.append(k if len(k) > 1 else int(k[0]))
        if not moving:
            return base[(slice(None), *items)]
        rows = np.arange(self.n) if len(base) > 1 else np.zeros(self.n, int)
        for k in items:
            if not isinstance(k, slice):
                self.decide(np.broadcast_to(k, (self.n,)), mask)
        return base[(rows, *(np.where(mask, k, 0) if isinstance(k, np.ndarray) else k for k in items))]

    def comprehension(self, e: ast.Comprehension, mask: A) -> A:
        outer, items = self.env.get(e.variable), []
        for i in range(self.static(e.range.lo), self.static(e.range.hi)):
            self.env[e.variable] = as_value(i)
            items.append(self.expression(e.element, mask))
        self.env.pop(e.variable, None)
        if outer is not None:
            self.env[e.variable] = outer
        return self.stack(items) if items else np.zeros((1, 0))

    # ------------------------------------------------------------------ calls

    def call(self, e: ast.Call, mask: A) -> A:
        first = e.args[0].value if e.args else None
        held = e.name in ("min", "max", "clamp") and len(e.args) > 1 and isinstance(first, ast.Call)
        if held and first.name in LEVELS and first.name not in self.functions:
            return self.held(e, first, mask)
        args = [self.expression(a.value, mask) for a in e.args]
        if e.name in self.functions:
            return self.user_call(self.functions[e.name], args, mask)
        if e.name in ELEMENTWISE:
            return ELEMENTWISE[e.name](*align(*args))
        if e.name in ("min", "max", "abs", "relu", "clamp", "floor", "ceil", "round", "sign", "step"):
            return self.kink_or_jump(e.name, args, mask)
        if e.name == "length":
            return as_value(args[0].shape[1])
        return reduce_axes(e.name, args)

    def held(self, e: ast.Call, level: ast.Call, mask: A) -> A:
        """``clamp(floor(x), 0, 3)``: of the levels, those that can be told apart."""
        x = LEVELS[level.name](self.expression(level.args[0].value, mask))
        x = np.nan_to_num(np.clip(x, -(2.0**30), 2.0**30)).astype(np.int64)
        args = align(x, *(self.expression(a.value, mask) for a in e.args[1:]))
        out = {"min": np.minimum, "max": np.maximum, "clamp": lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi)}
        value = out[e.name](*args)
        flat = value.reshape(len(value), -1).astype(float).view(np.int64)
        for column in range(flat.shape[1]):
            self.decide(flat[:, column], mask)
        return value

    def kink_or_jump(self, name: str, args: list[A], mask: A) -> A:
        if name in ("min", "max") and len(args) == 1:
            flat = args[0].reshape(len(args[0]), -1)
            self.decide(flat.argmax(axis=1) if name == "max" else flat.argmin(axis=1), mask)
            return flat.max(axis=1) if name == "max" else flat.min(axis=1)
        args = list(align(*args))
        x = args[0]
        zero = np.zeros((), x.dtype)
        out, sides = {
            "min": lambda: (np.minimum(*args), [args[0] < args[-1]]),
            "max": lambda: (np.maximum(*args), [args[0] < args[-1]]),
            "abs": lambda: (np.abs(x), [x > 0]),
            "relu": lambda: (np.maximum(x, zero), [x > 0]),
            "clamp": lambda: (np.minimum(np.maximum(x, args[1]), args[-1]), [x < args[1], x > args[-1]]),
            **{k: lambda level=level: (level(x), [level(x)]) for k, level in LEVELS.items()},
            "sign": lambda: (np.sign(x), [np.sign(x)]),
            "step": lambda: (x > 0, [x > 0]),
        }[name]()
        for side in sides:
            flat = side.reshape(len(side), -1)
            for column in range(flat.shape[1]):
                self.decide(flat[:, column], mask)
        return out.astype(np.int64) if name in ("floor", "ceil", "round", "sign", "step") else out
