"""Linear algebra of numbers, with what rounding leaves of zero taken for zero: a matrix that is singular but for
rounding has infinite solutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

SNAP, CANCELLED = 1e-9, 1e-11  # what is taken for zero: at a pole, and of the terms of a sum
Vector = Sequence[Any]  # of numbers
Matrix = Sequence[Sequence[Any]]  # of numbers, by rows


def add(a: float, b: float) -> float:
    out = a + b
    return 0.0 if abs(out) <= CANCELLED * (abs(a) + abs(b)) < math.inf else out


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def transpose(a: Matrix) -> list[list[Any]]:
    return [list(column) for column in zip(*a, strict=True)]


def matmul(a: Any, b: Any) -> Any:
    """A product of matrices, or of a matrix and a vector."""
    if isinstance(a[0], list):
        return [matmul(row, b) for row in a]
    return [dot(a, column) for column in transpose(b)] if isinstance(b[0], list) else dot(a, b)


def determinant(rows: Matrix) -> float:
    """By elimination; 0 for a matrix that is singular but for rounding."""
    out = 1.0
    left = [list(row) for row in rows]
    while left:
        k = max(range(len(left)), key=lambda i: abs(left[i][0]))
        pivot = left.pop(k)
        if pivot[0] == 0:
            return 0.0
        out *= pivot[0] * (-1) ** k
        left = [[add(x, -row[0] / pivot[0] * y) for x, y in zip(row[1:], pivot[1:], strict=True)] for row in left]
    return out


def cholesky(a: Matrix) -> list[list[float]]:
    """The lower factor; not a number where the matrix has no such factor."""
    out: list[list[float]] = []
    for i, row in enumerate(a):
        new: list[float] = []
        for j in range(i):
            left = add(row[j], -dot(new, out[j][:j]))
            new.append(left / out[j][j] if out[j][j] != 0 else 0.0 if left == 0 else math.nan)
        square = row[i] - dot(new, new)
        square = 0.0 if abs(square) < SNAP * abs(row[i]) else square
        out.append([*new, math.sqrt(square) if square >= 0 else math.nan, *[0.0] * (len(a) - 1 - i)])
    return out


def solve(a: Matrix, b: Any) -> Any:
    """The x with ``a x = b``, for a vector or the columns of a matrix; infinite for a singular one."""
    if isinstance(b[0], list):
        return transpose([solve(a, column) for column in transpose(b)])
    left = [[*row, x] for row, x in zip(a, b, strict=True)]
    size = max((abs(x) for row in a for x in row), default=0.0)
    for k in range(len(left)):
        best = max(range(k, len(left)), key=lambda i: abs(left[i][k]))
        left[k], left[best] = left[best], left[k]
        if abs(left[k][k]) <= SNAP * size:
            return [math.inf] * len(left)
        left[k] = [x / left[k][k] for x in left[k]]
        for i, row in enumerate(left):
            if i != k:
                left[i] = [add(x, -row[k] * y) for x, y in zip(row, left[k], strict=True)]
    return [row[-1] for row in left]


def solve_lower(a: Matrix, b: Any) -> Any:
    """`solve`, with what is below the diagonal of `a` and on it."""
    return solve([[x if j <= i else 0.0 for j, x in enumerate(row)] for i, row in enumerate(a)], b)


def inverse(a: Matrix) -> Any:
    return solve(a, diag([1.0] * len(a)))


def diag(a: Vector) -> list[list[Any]]:
    return [[x if i == j else 0.0 for j in range(len(a))] for i, x in enumerate(a)]


def diagonal(a: Matrix) -> list[Any]:
    return [row[i] for i, row in enumerate(a)]


def outer(a: Vector, b: Vector) -> list[list[Any]]:
    return [[x * y for y in b] for x in a]


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType({
    f.__name__: f for f in (matmul, transpose, outer, diag, diagonal, cholesky, inverse, solve, solve_lower)
})  # fmt: skip
