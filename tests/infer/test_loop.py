"""Single steps of the loop: Adam, lengths of steps, heat, and where a run failed first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ppl.infer import loop
from ppl.infer.layout import Layout
from ppl.infer.loop import B1, B2, LoopState, initial_state, make_chunk
from ppl.infer.run import begin, loop_arguments

LANES = 3


def layout() -> Layout:
    """Two locations with log scales, in this order the other way around, and logits, which have none."""
    like = {"loc": {"a": jnp.zeros(2), "b": jnp.zeros(())}, "log_scale": {"b": jnp.zeros(()), "a": jnp.zeros(2)}}
    made = Layout.of({**like, "logits": {"k": jnp.zeros(2)}})
    return replace(made, unit=np.linspace(0.5, 2.0, len(made.unit)))


def run(gradient: Any, steps: int, rows: np.ndarray) -> LoopState:
    """The state after `steps` steps with ``gradient(row, key)``, at parameters that are all locations."""
    place = Layout.of({"loc": {"a": jnp.zeros(rows.shape[1])}})

    def fn(params: Any, key: jax.Array, _: Any) -> Any:
        elbo, grad = gradient(params["loc"]["a"], key)
        return elbo, {"loc": {"a": grad}}

    arguments = (initial_state(rows), jax.random.key(0), *loop_arguments(begin(rows, 0.1), place, steps))
    return jax.jit(make_chunk(fn, place))(*arguments)[0]


def test_steps_are_those_of_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CLIP", np.inf)
    rows = np.linspace(-1.0, 1.0, 2 * LANES).reshape(LANES, 2).astype(np.float32)
    gradient = lambda x: -x - jnp.sin(3 * x)  # noqa: E731
    steps = 7
    state = run(lambda x, _: (jnp.sum(x), gradient(x)), steps, rows)
    adam = optax.adam(0.1, b1=B1, b2=B2)
    expected, moments = jnp.asarray(rows), adam.init(jnp.asarray(rows))
    for _ in range(steps):
        updates, moments = adam.update(-gradient(expected), moments)
        expected = optax.apply_updates(expected, updates)
    np.testing.assert_allclose(state.rows, expected, rtol=1e-5, atol=1e-6)
    assert state.adam.steps.tolist() == [steps] * LANES


def test_a_step_that_is_not_finite_moves_nothing_and_the_first_is_remembered() -> None:
    rows = np.asarray([[1.0], [np.nan], [np.nan]], np.float32)
    state = run(lambda x, _: (jnp.sum(x), -x), 4, rows)
    assert state.adam.steps.tolist() == [4, 0, 0] and state.skipped.tolist() == [0, 4, 4]
    assert float(state.rows[0, 0]) < 1.0 and np.isnan(np.asarray(state.rows[1:])).all()
    assert (int(state.failure.step), int(state.failure.lane)) == (0, 1) and np.isnan(
        np.asarray(state.failure.row)
    ).all()
    fine = run(lambda x, _: (jnp.sum(x), -x), 4, np.ones((LANES, 1), np.float32))
    assert int(fine.failure.step) == -1


def test_lengths_of_steps_and_heat_by_entry() -> None:
    place = layout()
    rng = np.random.default_rng(0)
    rows, grad = (rng.normal(size=(LANES, len(place.unit))) for _ in range(2))
    temperature, unit = np.asarray([1.0, 2.0, 5.0]), place.unit
    length, heated = np.repeat(unit[None], LANES, axis=0), grad / temperature[:, None]
    for loc, scale in zip(place.loc, place.log_scale, strict=True):
        length[:, loc] = np.sqrt(unit[loc] * np.minimum(np.exp(rows[:, scale]), unit[loc]))
        heated[:, scale] += np.where(rows[:, scale] < np.log(unit[loc]), 1 - 1 / temperature, 0)
    assert place.loc.size == 3
    given = (jnp.asarray(rows), jnp.asarray(unit))
    np.testing.assert_allclose(place.step_length(*given), length, rtol=1e-5)
    found = place.heat(given[0], jnp.asarray(grad), jnp.asarray(temperature), given[1])
    np.testing.assert_allclose(found, heated, rtol=1e-5)


def test_nothing_is_scattered() -> None:
    """XLA takes long to compile that."""
    place, rows = layout(), jnp.zeros((LANES, 8))
    text = str(jax.make_jaxpr(place.step_length)(rows, rows[0]))
    text += str(jax.make_jaxpr(place.heat)(rows, rows, rows[:, 0], rows[0]))
    assert "scatter" not in text
