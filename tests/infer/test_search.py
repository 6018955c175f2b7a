"""Searching among optima: selection, crossing, temperatures."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from ppl.infer import search
from ppl.infer.layout import Layout


def layout() -> Layout:
    """A scalar, and two arrays of 8 that share an axis."""
    sites = {"a": jnp.zeros(()), "x": jnp.zeros(8), "y": jnp.zeros(8)}
    made = Layout.of({"loc": sites, "log_scale": sites})
    return replace(made, unit=np.where(np.isin(np.arange(34), made.loc), 2.0, 0.3))


def test_selection_keeps_one_of_each_optimum_before_any_second() -> None:
    rows = np.arange(5.0)[:, None]
    chosen, elbos = search.select(rows, np.array([-3.0, -1.0, -1.01, np.nan, -2.0]), 4)
    assert chosen[:, 0].tolist() == [1, 4, 0, 2]
    assert elbos.tolist() == [-1.0, -2.0, -3.0, -1.01]


def test_a_crossing_is_a_copy_with_one_stretch_from_elsewhere() -> None:
    place = layout()
    rows = np.repeat(np.arange(6.0)[:, None], 34, axis=1)
    prior = np.full((3, 34), 100.0)
    rng = np.random.default_rng(0)
    donated = thrown = 0
    for _ in range(50):
        for i, row in enumerate(search.cross(rows, prior, place, rng)):
            base = 0 if i % 2 == 0 else i
            changed = row != base
            for part in (place.loc, place.log_scale):
                for site in ("x", "y"):
                    where = [j for j in part if place.name[j] == site and changed[j]]
                    assert not where or where == list(range(where[0], where[-1] + 1))  # one stretch
            sources = set(row[place.loc][changed[place.loc]].tolist())
            assert len(sources) <= 1
            thrown += sources == {100.0}
            donated += bool(sources) and sources != {100.0}
            if sources == {100.0}:  # narrow enough not to be undone at once
                assert np.all(row[place.log_scale] <= np.maximum(base, np.log(0.3 * 2.0)))
    assert donated > 50
    assert thrown > 50


def test_half_the_lanes_are_hot_and_all_are_cold_in_the_end() -> None:
    hot = search.temperatures(0, 16)
    assert np.sum(hot == 100) == 8
    assert np.sum(hot == 1) == 8
    assert np.all(search.temperatures(len(search.TEMPERATURES) - 1, 16) == 1)


def test_heat_divides_the_gradient_and_adds_entropy_up_to_the_width_of_the_prior() -> None:
    place = layout()
    rows = jnp.zeros((2, 34)).at[1, place.log_scale].set(5.0)
    grad = jnp.full((2, 34), 8.0)
    heated = np.asarray(place.heat(rows, grad, jnp.asarray([4.0, 4.0]), jnp.asarray(place.unit)))
    np.testing.assert_allclose(heated[:, place.loc], 2.0)
    np.testing.assert_allclose(heated[0, place.log_scale], 2.75)
    np.testing.assert_allclose(heated[1, place.log_scale], 2.0)
    cold = place.heat(rows, grad, jnp.ones(2), jnp.asarray(place.unit))
    np.testing.assert_array_equal(np.asarray(cold), np.asarray(grad))
