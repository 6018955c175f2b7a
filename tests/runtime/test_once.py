"""Functions without equal and without unused operations."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.runtime.once import once

X = jnp.linspace(-1.0, 2.0, 7)


def operations(fn: Callable[..., Any], *args: Any) -> Counter[str]:
    return Counter(eqn.primitive.name for eqn in jax.make_jaxpr(fn)(*args).jaxpr.eqns)


def test_equal_operations_are_one_and_unused_ones_none():
    def fn(x):
        jnp.exp(x)
        return jnp.sin(x[1:4]) * jnp.cos(x[1:4]) + jnp.sin(x[1:4])

    lean = operations(once(fn), X)
    assert (lean["slice"], lean["sin"], lean["cos"], lean["exp"]) == (1, 1, 1, 0)
    np.testing.assert_array_equal(once(fn)(X), fn(X))


def test_what_differs_stays():
    """In the numbers of a literal, in its type, in the parameters of an operation, in what it is done to."""

    def fn(x):
        return x + 1.0, x + 2.0, x[1:3], x[2:4], jnp.sum(x), jnp.max(x), x.astype(jnp.int32) + 1, -x, -(x + 1.0)

    jax.tree.map(np.testing.assert_array_equal, once(fn)(X), fn(X))


def test_results_that_are_literals_arguments_or_the_same():
    fn = lambda x, y: (x, 1.0, x, jnp.sin(x), jnp.sin(x), {"y": y})  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, once(fn)(X, 3), fn(X, 3))


def test_small_inner_functions_are_taken_apart():
    @jax.jit
    def inner(x, y):
        return jnp.sin(x) + y, x

    def fn(x):
        (a, b), (c, d) = inner(x, 1.0), inner(x, 2.0)
        return a * c + inner(a, d)[0] + b

    lean = operations(once(fn), X)
    assert (lean["sin"], lean["jit"]) == (2, 0)  # of x, and of a
    np.testing.assert_allclose(once(fn)(X), fn(X), rtol=1e-6)


def test_large_inner_functions_stay_and_are_called_once():
    @jax.jit
    def inner(x):
        for _ in range(9):
            x = jnp.sin(x)
        return x

    assert operations(once(lambda x: inner(x) + inner(x) * inner(-x)), X)["jit"] == 2


def test_equal_operations_in_different_contexts_stay():
    def fn(key):
        with jax.threefry_partitionable(False):
            before = jax.random.bits(key, (7,))
        with jax.threefry_partitionable(True):
            return before, jax.random.bits(key, (7,))

    key = jax.random.key(0)
    jax.tree.map(np.testing.assert_array_equal, once(fn)(key), fn(key))


def test_effects_stay():
    seen: list[float] = []

    def fn(x):
        for _ in range(2):
            jax.debug.callback(lambda v: seen.append(float(v)), x[0])
        return x[1]

    jax.block_until_ready(jax.jit(once(fn))(X))
    jax.effects_barrier()
    assert seen == [-1.0, -1.0]


@pytest.mark.parametrize("order", ["jit", "grad", "vmap"])
def test_transformations(order):
    def fn(x):
        y = jnp.where(x > 0, x, 0.0)
        return jnp.sum(jnp.where(x > 0, x, 0.0) * y * jnp.exp(y))

    by = {"jit": jax.jit, "grad": jax.grad, "vmap": lambda f: jax.vmap(lambda k: f(k * X))}[order]
    given = jnp.arange(3.0) if order == "vmap" else X
    np.testing.assert_allclose(by(once(fn))(given), by(fn)(given), rtol=1e-6)


def test_arguments_without_arrays():
    np.testing.assert_array_equal(once(lambda x, none: x["a"] * 2)({"a": X, "b": None}, None), X * 2)
