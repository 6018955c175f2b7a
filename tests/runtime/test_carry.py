"""Loops whose state each iteration hands on: two short iterations make a turn."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.runtime.control import carry


def turns(jaxpr: Any) -> Iterator[int]:
    """The iterations in a turn of each loop, from the outside in."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "scan":
            yield eqn.params["unroll"]
        inner = eqn.params.get("jaxpr")
        yield from turns(inner.jaxpr) if hasattr(inner, "jaxpr") else ()


def oscillator(state: Any, i: Any, path: Any) -> tuple[Any, dict[str, Any]]:
    a, b = state
    return (1.4 * a - 0.6 * b + i, a), {"a": a}


def nested(depth: int) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A body with `depth` loops around each other in it."""

    def body(state: Any, i: Any, path: Any) -> tuple[Any, dict[str, Any]]:
        (a, b), _ = carry(nested(depth - 1) if depth > 1 else oscillator, state, 0, 4, None)
        return (a + i, b), {"a": a}

    return body


def long(state: Any, i: Any, path: Any) -> tuple[Any, dict[str, Any]]:
    a, b = state
    for _ in range(20):
        a = jnp.sin(a) + b
    return (a, b), {"a": a}


@pytest.mark.parametrize(
    ("body", "start", "expected"),
    [
        (oscillator, (1.0, 0.5), [2]),
        (lambda state, i, path: ((0.9 * state[0] + i,), {}), (1.0,), [1]),
        (long, (1.0, 0.5), [1]),
        (nested(3), (1.0, 0.5), [1, 1, 1, 2]),
    ],
)
def test_iterations_in_a_turn(body: Any, start: Any, expected: list[int]) -> None:
    assert list(turns(jax.make_jaxpr(lambda: carry(body, start, 0, 6, None))().jaxpr)) == expected


@pytest.mark.parametrize("extent", [0, 1, 2, 5])
def test_any_number_of_iterations(extent: int) -> None:
    (a, b), out = carry(oscillator, (1.0, 0.5), 3, extent, None)
    x, y, seen = 1.0, 0.5, []
    for i in range(3, 3 + extent):
        seen.append(x)
        x, y = 1.4 * x - 0.6 * y + i, x
    np.testing.assert_allclose([a, b], [x, y], rtol=1e-5)
    np.testing.assert_allclose(out["a"], seen, rtol=1e-5)
