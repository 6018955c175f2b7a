"""Reading arrays at the place of a loop's variable: values and derivatives of an index, as slices where it can be."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.runtime.control import carry, each, window
from ppl.runtime.elements import element, places, shift

X = jnp.asarray(np.random.default_rng(0).normal(size=7))
TABLE = jnp.asarray(np.random.default_rng(1).normal(size=(7, 5)))


def total(x: jax.Array, lo: int, extent: int, by: int, read: Callable[..., jax.Array]) -> jax.Array:
    """A loop whose iterations read two elements, by `read` or by an index."""

    def body(i: jax.Array, path: None) -> dict[str, jax.Array]:
        del path
        return {"t": jnp.sin(read(x, i)) * read(x, i, by)}

    return jnp.sum(each(body, lo, extent, None)["t"])


def by_window(x: jax.Array, i: jax.Array, by: int = 0) -> jax.Array:
    return element(x, shift(i, by))


def by_index(x: jax.Array, i: jax.Array, by: int = 0) -> jax.Array:
    return x[i + by]


def primitives(f: Callable[..., jax.Array], *args: jax.Array) -> set[str]:
    return {str(e.primitive) for e in jax.make_jaxpr(f)(*args).jaxpr.eqns}


@pytest.mark.parametrize(("lo", "extent", "by"), [(0, 7, 0), (1, 6, -1), (2, 3, 2), (0, 6, 1)])
def test_a_window_is_a_slice_with_the_values_and_derivatives_of_an_index(lo: int, extent: int, by: int) -> None:
    grads = [jax.value_and_grad(lambda x, r=r: total(x, lo, extent, by, r))(X) for r in (by_window, by_index)]
    np.testing.assert_allclose(grads[0][0], grads[1][0], rtol=1e-6)
    np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=1e-6)
    found = primitives(jax.grad(lambda x: total(x, lo, extent, by, by_window)), X)
    assert not {"gather", "scatter-add", "dynamic_slice", "element"} & found
    assert "gather" in primitives(lambda x: total(x, lo, extent, by, by_index), X)


@pytest.mark.parametrize(("lo", "by"), [(0, -1), (3, 2)])
def test_a_window_that_leaves_the_array_is_what_the_index_is(lo: int, by: int) -> None:
    got, want = (total(X, lo, 4, by, r) for r in (by_window, by_index))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_draws_around_the_loop_leave_the_window_a_slice() -> None:
    batch = jnp.stack([X, 2 * X, -X])
    f = jax.vmap(lambda x: total(x, 1, 6, -1, by_window))
    np.testing.assert_allclose(f(batch), [total(x, 1, 6, -1, by_index) for x in batch], rtol=1e-6)
    assert "gather" not in primitives(f, batch)


def test_batches_inside_the_loop_leave_it_one_too() -> None:
    """What varies inside an iteration, the two sides of a guard for example, is not read by its variable."""

    def sides(table: jax.Array) -> jax.Array:
        return jax.vmap(lambda i: jax.vmap(lambda x: element(x, shift(i, 1)), in_axes=1)(table))(places(0, 4))

    np.testing.assert_allclose(sides(TABLE), TABLE[1:5])
    assert "gather" not in primitives(sides, TABLE)


def test_indices_of_two_loops() -> None:
    def both(table: jax.Array) -> jax.Array:
        return jax.vmap(lambda i: jax.vmap(lambda j: element(table, shift(i, 1), j))(places(0, 4)))(places(2, 3))

    np.testing.assert_allclose(both(TABLE), TABLE[3:6, :4])
    np.testing.assert_allclose(jax.grad(lambda t: jnp.sum(both(t) ** 2))(TABLE)[3:6, :4], 2 * TABLE[3:6, :4], rtol=1e-6)
    assert "gather" not in primitives(both, TABLE)


def test_places_that_are_not_known_are_indices() -> None:
    picked = jnp.asarray([5, 0, 3])
    read = jax.vmap(lambda i: element(X, shift(i, 1)))
    np.testing.assert_allclose(read(picked), X[picked + 1])
    each_its_own = jax.vmap(lambda x, i: element(x, i))(TABLE[:3], picked % 5)
    np.testing.assert_allclose(each_its_own, [TABLE[0, 0], TABLE[1, 0], TABLE[2, 3]])
    slope = jax.jit(jax.grad(lambda x, i: element(x, i) ** 2))(X, jnp.asarray(2))
    np.testing.assert_allclose(slope, jnp.zeros(7).at[2].set(2 * X[2]), rtol=1e-6)
    tangent = jax.jvp(lambda x: element(x, jnp.asarray(2)), (X,), (jnp.arange(7.0),))[1]
    assert tangent == 2.0


@pytest.mark.parametrize("first", [0, 2, -1, 5])
def test_rows_of_state_are_those_of_the_index(first: int) -> None:
    """A window that leaves the array has what an index gives there."""
    want = jnp.stack([X[jnp.asarray(first + k)] for k in range(4)])
    np.testing.assert_allclose(window(X, first, 4), want)
    rows = {"x": window(X, first, 4)}
    _, out = carry(lambda s, i, path, row: (s + row["x"], {"s": s + 0 * i}), 0.0, 0, 4, None, rows)
    np.testing.assert_allclose(out["s"], jnp.concatenate([jnp.zeros(1), jnp.cumsum(want)[:-1]]), rtol=1e-6)
