"""Failing programs made small: statements are dropped and expressions replaced by their parts while the fault stays."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import printer
from density import read
from generator import Program

from ppl.diagnostics import Span
from ppl.syntax import ast

NOWHERE = Span("model.ppl", 1, 1, 1, 1)
EXPRESSIONS = (ast.Number, ast.Boolean, ast.Constant, ast.Name, ast.Unary, ast.Binary, ast.Compare, ast.IfExpr,
               ast.Call, ast.Index, ast.ArrayLiteral, ast.Comprehension)  # fmt: skip


def shrink(program: Program, fails: Callable[[Program], bool], seconds: float = 300.0) -> Program:
    """A smaller program for which `fails` still holds. `fails` is asked of many programs that do not even compile."""
    stop = time.monotonic() + seconds
    best = dataclasses.replace(program, text=printer.program(read(program.text)))
    if not fails(best):
        return program
    position, tried = 0, 0
    while time.monotonic() < stop:
        # Go on where the last success was: earlier candidates have just failed and will mostly fail again.
        ahead = list(candidates(best))
        found = None
        while tried < len(ahead) and time.monotonic() < stop:
            position = position % len(ahead)
            tried += 1
            if fails(ahead[position]):
                found = ahead[position]
                break
            position += 1
        if found is None:
            break
        best, tried = found, 0
    return best


def candidates(program: Program) -> Iterator[Program]:
    """Programs one step smaller, the largest steps first."""
    module = read(program.text)
    for stmts in fewer_statements(module.statements):
        yield with_statements(program, stmts)
    n = program.data.get("n", 0)
    if n > 1:
        data = {k: v[: n - 1] if isinstance(v, list) else v for k, v in program.data.items()}
        yield dataclasses.replace(program, data={**data, "n": n - 1})
    smaller = [dataclasses.replace(module, statements=s) for s in simpler(module.statements)]
    for m in sorted(smaller, key=lambda m: len(printer.program(m))):
        yield with_statements(program, m.statements)


def with_statements(program: Program, stmts: tuple[ast.Statement, ...]) -> Program:
    return dataclasses.replace(program, text=printer.block(stmts, 0))


def fewer_statements(stmts: tuple[ast.Statement, ...]) -> Iterator[tuple[ast.Statement, ...]]:
    for size in (4, 2, 1):
        for k in range(0, max(len(stmts) - size + 1, 0)):
            yield stmts[:k] + stmts[k + size :]
    for k, s in enumerate(stmts):
        if isinstance(s, ast.If):
            for inner in (s.then, s.orelse):
                yield stmts[:k] + inner + stmts[k + 1 :]
        for f in ("then", "orelse", "body"):
            if not hasattr(s, f):
                continue
            for inner in fewer_statements(getattr(s, f)):
                if inner or f == "orelse":
                    yield (*stmts[:k], dataclasses.replace(s, **{f: inner}), *stmts[k + 1 :])


def simpler(node: Any) -> Iterator[Any]:
    """Trees with one expression replaced."""
    if isinstance(node, tuple):
        for k, x in enumerate(node):
            for y in simpler(x):
                yield (*node[:k], y, *node[k + 1 :])
    elif isinstance(node, EXPRESSIONS):
        yield from smaller_expressions(node)
        yield from inside(node)
    elif isinstance(node, ast.Node) and not isinstance(node, ast.Data | ast.TypeExpr):
        yield from inside(node)


def inside(node: ast.Node) -> Iterator[ast.Node]:
    for f in dataclasses.fields(node):
        value = getattr(node, f.name)
        if isinstance(value, tuple | ast.Node):
            for new in simpler(value):
                if not (f.name == "distribution" and not isinstance(new, ast.Call)):
                    yield dataclasses.replace(node, **{f.name: new})


def smaller_expressions(e: ast.Expr) -> Iterator[ast.Expr]:
    match e:
        case ast.Unary():
            yield e.operand
        case ast.Binary():
            yield from (e.left, e.right)
        case ast.IfExpr():
            yield from (e.then, e.orelse)
        case ast.Compare() if len(e.ops) > 1:
            yield dataclasses.replace(e, operands=e.operands[:2], ops=e.ops[:1])
            yield dataclasses.replace(e, operands=e.operands[1:], ops=e.ops[1:])
        case ast.Call():
            yield from (a.value for a in e.args)
            if e.name not in ("Normal", "Uniform") and e.name[0].isupper():
                args = tuple(ast.Argument(NOWHERE, None, ast.Number(NOWHERE, v)) for v in (0.0, 1.0))
                yield ast.Call(NOWHERE, "Normal", args, NOWHERE)
        case _:
            pass
    if not isinstance(e, ast.Number | ast.Boolean | ast.Compare):
        yield ast.Number(NOWHERE, 1.0)
    if isinstance(e, ast.Number) and isinstance(e.value, float) and e.value not in (0.0, 0.5, 1.0):
        yield ast.Number(NOWHERE, 0.5)
        yield ast.Number(NOWHERE, 1.0)
