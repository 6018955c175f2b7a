"""Compiled gradients of functions of vectors are those of the same code without compilation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.runtime import functions as fn
from ppl.runtime import supports, vectors
from ppl.runtime.running import running_sum

U = jnp.asarray([0.1, -0.2, 0.3, 0.25])
MAKERS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "cumsum": fn.cumsum,
    "ordered": lambda u: vectors.ordered.forward(u),
    "simplex": lambda u: vectors.simplex.forward(u),
    "sum": lambda u: jnp.stack([fn.real(jnp.sum(u))] * 4),
    "mean": lambda u: jnp.stack([fn.mean(u)] * 4),
    "prod": lambda u: jnp.stack([fn.prod(u)] * 4),
    "log_sum_exp": lambda u: jnp.stack([fn.log_sum_exp(u)] * 4),
    "lower": lambda u: supports.lower.forward(u, 0.0),
}


@pytest.mark.parametrize("name", MAKERS)
def test_compiled_gradients_beside_another_read(name: str) -> None:
    """XLA folded the padding of one cotangent into the running sum of another."""

    def f(u: jax.Array, k: int, j: int) -> jax.Array:
        return jnp.square(0.4 - (u[k] - MAKERS[name](u)[j])).sum()

    for k in range(4):
        for j in range(3):
            one = jax.grad(f)(U, k, j)
            compiled = jax.jit(jax.vmap(jax.grad(f), (0, None, None)), static_argnums=(1, 2))(jnp.stack([U, U]), k, j)
            np.testing.assert_allclose(compiled, jnp.stack([one, one]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (3, 4), (0, 3)])
@pytest.mark.parametrize("axis", [0, -1])
def test_running_sums(shape: tuple[int, ...], axis: int) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_allclose(running_sum(jnp.asarray(x), axis), np.cumsum(x, axis))
