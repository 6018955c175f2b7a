"""Which levels a boundary has in reach and, where they are too many, that those taken stand for all."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.runtime import control, crossings
from ppl.runtime.lines import Along, cells, sample


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def attainable(along: Along, chance: Any) -> tuple[Any, Any, Any]:
    line: Any = SimpleNamespace(dtype=jnp.dtype(float), chance=lambda: chance)
    at = cells(along, sample(along, line.dtype), chance, levels=True)
    return crossings.attainable(
        line, along, lambda level: crossings.roots.Roots(level, level, level, level, level), False, at
    )


CURVES: dict[str, Along] = {
    "both sides": lambda s: jnp.exp(1.5 * s) + jnp.exp(-s),
    "waves": lambda s: 90 * jnp.sin(2 * s) + s,
    "unbounded": lambda s: jnp.exp(jnp.exp(s) + jnp.exp(-2 * s)),
}


@pytest.mark.parametrize("name", CURVES)
def test_levels_taken_stand_for_all(name: str) -> None:
    along = CURVES[name]
    lowest = {"both sides": 2, "waves": -98, "unbounded": 7}[name]  # 98: the line ends at 9
    exact = sum(np.exp(-0.5 * np.log(abs(k) + 1) ** 2) for k in range(lowest, 100_000 if name != "waves" else 99))

    def estimate(chance: Any) -> Any:
        levels, present, weight = attainable(along, chance)
        return jnp.sum(jnp.where(present, weight * jnp.exp(-0.5 * jnp.log(jnp.abs(levels) + 1) ** 2), 0.0))

    found = np.asarray(jax.jit(jax.vmap(estimate))(jax.random.uniform(jax.random.key(0), (20_000,))))
    error = found.std() / np.sqrt(found.size)
    assert error < 0.01 * exact
    assert abs(found.mean() - exact) < 4 * error


def test_few_levels_are_all_taken_once() -> None:
    levels, present, weight = attainable(lambda s: 9.7 * jnp.sin(s) + 0.4, 0.3)
    np.testing.assert_array_equal(levels[present], np.arange(-9, 11))
    np.testing.assert_array_equal(weight[present], 1.0)


def test_levels_as_far_as_whole_numbers_can_be_told_apart() -> None:
    @jax.jit
    def found(start: Any, slope: Any) -> tuple[Any, Any]:
        line: Any = SimpleNamespace(dtype=jnp.dtype(float), chance=lambda: 0.3)
        root = lambda level: crossings.roots.Roots(*[jnp.reshape((level - start) / slope, (1,))] * 5)  # noqa: E731
        levels, present, _ = crossings.attainable(line, lambda s: start + slope * s, root, True)
        return levels - start, present

    near, _ = found(0.4, 1.0)
    for start in (-1.7e9, 1.7e12):
        far, present = found(start + 0.4, 1.0)
        assert np.sum(present) > 10
        np.testing.assert_allclose(far, near, atol=1e-3)
    assert not np.any(found(2.0**60, 1000.0)[1])


@pytest.mark.parametrize(("wide", "end"), [(False, 2**31 - 128), (True, 2**63 - 1024)])
def test_floors_up_to_the_ends_of_ints(wide: bool, end: int) -> None:
    with jax.enable_x64(wide):
        values = np.array([-np.inf, -end - 0.0, -1.5, np.nan, end, np.inf], float)
        found = control.level(jnp.asarray(values), {}, "g").on
        assert found.dtype == jnp.result_type(int)
        np.testing.assert_array_equal(found, np.array([-end, -end, -2, 0, end, end]))
        path = {"g": jnp.full(6, control.by_value(found.dtype))}
        np.testing.assert_array_equal(control.level(jnp.asarray(values), path, "g").on, found)
        np.testing.assert_array_equal(control.level(jnp.asarray(values), {"g": jnp.full(6, -end)}, "g").on, -end)


def test_levels_of_a_monotone_function_have_their_weights_in_single_precision() -> None:
    def one(chance: Any) -> Any:
        line: Any = SimpleNamespace(dtype=jnp.dtype(jnp.float32), chance=lambda: chance)
        levels, present, weight = crossings.attainable(line, lambda s: 2000 * s, root, True)
        return jnp.where(present, weight * jnp.exp(-0.5 * (levels / 2000) ** 2), 0.0)

    def root(level: Any) -> Any:
        s = jnp.reshape(level / 2000, (1,)).astype(jnp.float32)
        return crossings.roots.Roots(s, jnp.abs(s) < 6.5, jnp.ones_like(s), jnp.zeros_like(s), jnp.zeros_like(s))

    terms = np.asarray(jax.jit(jax.vmap(one))(jax.random.uniform(jax.random.key(0), (20_000,), jnp.float32)))
    exact = 2000 * np.sqrt(2 * np.pi)
    assert np.all(terms < 0.2 * exact)  # each of 32 is about a 32nd of it
    np.testing.assert_allclose(terms.sum(axis=1).mean(), exact, rtol=1e-3)
