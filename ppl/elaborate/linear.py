"""Shapes of the functions of linear algebra: what they take, and what comes out."""

from __future__ import annotations

from ppl.core import ir
from ppl.elaborate import expressions, sides
from ppl.elaborate.context import Context
from ppl.language.functions import Builtin
from ppl.syntax import ast

# What each argument is: a vector (v), a matrix (m) or either (e).
TAKES = {
    "matmul": "ee", "outer": "vv", "solve": "me", "solve_lower": "me", "transpose": "m", "diag": "v", "diagonal": "m",
    "cholesky": "m", "inverse": "m", "log_det": "m",
}  # fmt: skip
WORDS = {"v": "a vector", "m": "a matrix", "e": "a vector or a matrix"}
SQUARE = ("solve", "solve_lower", "diagonal", "cholesky", "inverse", "log_det")


def call(ctx: Context, f: Builtin, args: list[ir.Expr], e: ast.Call) -> ir.Expr:
    """A function of matrices and vectors; always real."""
    for a, node, kind in zip(args, e.args, TAKES[f.name], strict=True):
        allowed = {"v": (1,), "m": (2,), "e": (1, 2)}[kind]
        if len(a.type.dims) not in allowed:
            what = expressions.describe(a.type)
            return ctx.error("PPL202", f"`{f.name}` takes {WORDS[kind]} here, got {what}", node.span)
    dims = [a.type.dims for a in args]
    pairs: list[tuple[ir.Expr, ir.Expr]] = []
    if f.name in SQUARE:
        pairs.append((dims[0][0], dims[0][1]))
    if f.name in ("solve", "solve_lower"):
        pairs.append((dims[0][0], dims[1][0]))
    if f.name == "matmul":
        pairs.append((dims[0][-1], dims[1][0]))
    for a, b in pairs:
        if not ctx.same_size(a, b, e.span, f"`{f.name}`"):
            shapes = " and ".join(expressions.describe(a.type) for a in args)
            wanted = "a square matrix" if len(args) == 1 else "sizes that agree"
            return ctx.error("PPL202", f"`{f.name}` needs {wanted}, got {shapes}", e.span)
    t = ir.Type("real", result(f.name, dims))
    return sides.sided(ctx, ir.Op(f.name, tuple(args), t, any(a.random for a in args), e.span))


def result(name: str, dims: list[tuple[ir.Expr, ...]]) -> tuple[ir.Expr, ...]:
    match name:
        case "matmul":
            return (*dims[0][:-1], *dims[1][1:])
        case "outer":
            return (dims[0][0], dims[1][0])
        case "transpose":
            return (dims[0][1], dims[0][0])
        case "diag":
            return (dims[0][0], dims[0][0])
        case "diagonal":
            return (dims[0][0],)
        case "solve" | "solve_lower":
            return dims[1]
        case "log_det":
            return ()
        case _:
            return dims[0]
