"""Linear algebra against numpy: values, gradients, masks, and the compiler's own evaluation of data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.bind.functions import apply
from ppl.language.functions import FUNCTIONS
from ppl.runtime import functions as fn

RNG = np.random.default_rng(5)
A, B, V, U = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 2)), RNG.normal(size=3), RNG.normal(size=2)
S = A @ A.T + np.eye(3)
CASES: list[tuple[str, tuple[np.ndarray, ...], Callable[..., Any]]] = [
    ("matmul", (A, B), np.matmul),
    ("matmul", (A, V), np.matmul),
    ("matmul", (V, B), np.matmul),
    ("matmul", (V, V), np.dot),
    ("outer", (V, U), np.outer),
    ("transpose", (B,), np.transpose),
    ("diag", (V,), np.diag),
    ("diagonal", (A,), np.diagonal),
    ("cholesky", (S,), np.linalg.cholesky),
    ("solve", (S, V), np.linalg.solve),
    ("solve", (S, B), np.linalg.solve),
    ("solve_lower", (S, V), lambda a, b: np.linalg.solve(np.tril(a), b)),
    ("solve_lower", (S, B), lambda a, b: np.linalg.solve(np.tril(a), b)),
    ("inverse", (S,), np.linalg.inv),
    ("log_det", (A,), lambda a: np.log(np.abs(np.linalg.det(a)))),
]


def test_every_function_is_here() -> None:
    assert {name for name, f in FUNCTIONS.items() if f.kind == "linear"} == {name for name, *_ in CASES}


@pytest.mark.parametrize(("name", "operands", "reference"), CASES)
def test_values_and_gradients(name: str, operands: tuple[np.ndarray, ...], reference: Callable[..., Any]) -> None:
    want = reference(*operands)
    np.testing.assert_allclose(apply(name, [x[None] for x in operands], "real")[0], want, rtol=1e-10, atol=1e-12)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in operands]
        np.testing.assert_allclose(getattr(fn, name)(*arrays), want, rtol=1e-10, atol=1e-12)
        weight = RNG.normal(size=np.shape(want))
        slopes = jax.grad(lambda *a: jnp.sum(weight * getattr(fn, name)(*a)), tuple(range(len(arrays))))(*arrays)
        away = [RNG.normal(size=x.shape) for x in operands]
        if name == "cholesky":
            away = [d + d.T for d in away]  # the factor is one of a symmetric matrix
        step = 1e-6
        moved = [reference(*(x + s * step * d for x, d in zip(operands, away, strict=True))) for s in (1, -1)]
        difference = np.sum(weight * (moved[0] - moved[1])) / (2 * step)
        along = sum(float(jnp.sum(g * d)) for g, d in zip(slopes, away, strict=True))
        np.testing.assert_allclose(along, difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", fn.OF_MATRIX)
def test_a_masked_matrix_cannot_poison(name: str) -> None:
    operands = (
        (jnp.zeros((3, 3)),) if name not in ("solve", "solve_lower") else (jnp.zeros((3, 3)), jnp.full(3, jnp.inf))
    )
    value, slopes = jax.value_and_grad(lambda *a: jnp.sum(fn.masked(False, name, *a)), tuple(range(len(operands))))(
        *operands
    )
    assert jnp.isfinite(value) and all(bool(jnp.all(g == 0)) for g in slopes)


def test_a_singular_matrix_of_data_is_not_a_number() -> None:
    assert np.isnan(apply("inverse", [np.zeros((1, 2, 2))], "real")).all()
