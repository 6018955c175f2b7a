"""Boundaries that are searched for, compiled as users compile them, in both precisions, against exact gradients."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax
import numpy as np
import pytest

import ppl

REGRESSIONS = pathlib.Path(__file__).parents[1] / "oracle" / "regressions"
VALUES = json.loads((REGRESSIONS / "values.json").read_text())
FAR = "x ~ Normal(1000, 1)\ny ~ Normal(1000, 1)\nif GUARD { factor 1 }\n"


def gradients(text: str, data: dict[str, Any], params: dict[str, Any], dtype: type, draws: int) -> np.ndarray:
    """d/dloc x of each draw."""
    with jax.enable_x64(dtype is np.float64):
        typed = jax.tree.map(lambda x: np.asarray(x, dtype), params)
        fn = ppl.compile(text).bind(data).elbo_and_grad(samples=1)
        keys = jax.random.split(jax.random.key(3), draws)
        return np.asarray(jax.jit(jax.vmap(fn, (None, 0)))(typed, keys)[1]["loc"]["x"], np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["level_only_touched", "no_slope_at_level", "no_slope_by_data"])
def test_no_term_is_made_of_rounding(name: str, dtype: type) -> None:
    """Optimised code rounds other than the code of the oracle's comparison, and so does single precision."""
    case = VALUES[name]
    params = {part: case[part] for part in ("loc", "log_scale")}
    found = gradients((REGRESSIONS / f"{name}.ppl").read_text(), case["data"], params, dtype, 20_000)
    assert np.abs(found).max() < 100
    exact, error = case["grad_loc"]["x"]
    assert abs(found.mean() - exact) < 5 * np.hypot(found.std() / np.sqrt(found.size), error) + 1e-3
    assert found.std() / np.sqrt(found.size) < 0.03


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("guard", ["(x - 1000) * (y - 1000) > 0.1", "((x - 1000) - (y - 1000.2))^2 < 0.01"])
def test_digits_of_values_far_from_zero(guard: str, dtype: type) -> None:
    """Coefficients of the polynomial multiplied out, 1e6 and more, would lose the boundary in single precision."""
    loc, scale = (0.3, 0.1), (1.0, np.exp(-0.2))
    params = {"loc": {"x": 1000 + loc[0], "y": 1000 + loc[1]}, "log_scale": {"x": 0.0, "y": -0.2}}
    found = gradients(FAR.replace("GUARD", guard), {}, params, dtype, 40_000)
    v = np.linspace(-9, 9, 200_001)
    y, density = loc[1] + scale[1] * v, np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi)

    def normal(x: np.ndarray) -> np.ndarray:
        return np.exp(-((x - loc[0]) ** 2) / 2) / np.sqrt(2 * np.pi)

    product = np.sign(y) * normal(0.1 / np.where(y == 0, 1e-12, y))  # beyond 0.1 / y for y > 0, below it for y < 0
    edge = product if "*" in guard else normal(y - 0.3) - normal(y - 0.1)
    want = np.trapezoid(edge * density, v) - loc[0]  # the prior's own part: -(x - 1000) on average
    error = found.std() / np.sqrt(found.size)
    assert error < 0.01
    assert abs(found.mean() - want) < 5 * error + 5e-4
