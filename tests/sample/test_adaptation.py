"""Step sizes of NUTS on densities that jump."""

from __future__ import annotations

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from scipy import stats

import ppl
from ppl.sample import sample
from ppl.sample.adaptation import STEPS, smooth_rate
from ppl.sample.target import Target

SD = {"x": 1.0, "y": 0.5}


@pytest.fixture(autouse=True)
def double() -> object:
    with jax.enable_x64(True):
        yield


def smooth(at: dict[str, Array]) -> Array:
    return -0.5 * sum((at[k] / sd) ** 2 for k, sd in SD.items()) - 0.1 * at["x"] ** 4


def jumping(at: dict[str, Array]) -> Array:
    return smooth(at) - 7.0 * jnp.floor(at["x"] / 0.3) + jnp.where(at["x"] > at["y"], 100.0, 0.0)


def rate_by_hand(key: Array, start: dict[str, float], step: float, inverse_mass: np.ndarray) -> float:
    """Of the smooth density, whose potential can be evaluated, with the same momentum."""
    x = np.array([start["x"], start["y"]])
    p = np.asarray(jax.random.normal(key, (2,))) / np.sqrt(inverse_mass)

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.array([-x[0] - 0.4 * x[0] ** 3, -4 * x[1]])

    def energy(x: np.ndarray, p: np.ndarray) -> float:
        return 0.5 * x[0] ** 2 + 0.1 * x[0] ** 4 + 2 * x[1] ** 2 + 0.5 * np.sum(inverse_mass * p**2)

    first, rates = energy(x, p), []
    for _ in range(STEPS):
        p = p + 0.5 * step * gradient(x)
        x = x + step * inverse_mass * p
        p = p + 0.5 * step * gradient(x)
        rates.append(min(1.0, np.exp(first - energy(x, p))))
    return float(np.mean(rates))


@pytest.mark.parametrize("step", [0.05, 0.3, 0.7])
def test_the_rate_is_that_of_the_density_without_its_jumps(step: float) -> None:
    start, inverse_mass = {"x": 0.4, "y": -0.2}, np.array([0.8, 0.3])
    position = {k: jnp.asarray(v) for k, v in start.items()}
    rates = []
    for density in (smooth, jumping):
        state = blackjax.nuts.init(position, density)
        one = jax.jit(lambda key, state=state, density=density: smooth_rate(key, state, density, step, inverse_mass))
        rates.append([float(one(jax.random.key(k))) for k in range(20)])
    np.testing.assert_allclose(rates[0], rates[1])
    by_hand = [rate_by_hand(jax.random.key(k), start, step, inverse_mass) for k in range(20)]
    np.testing.assert_allclose(rates[0], by_hand, atol=0.3 * step**4 + 1e-6)
    assert step < 0.5 or min(by_hand) < 0.9  # there is something to tell apart


CHANGE = """
data y: real[12]
change ~ Uniform(0, 12)
level ~ Normal(0, 1)
for i in 0..12 { observe y[i] ~ Normal(if i < change then level else level + 2.5, 1) }
"""


@pytest.mark.slow
def test_a_change_point_is_crossed_in_few_steps() -> None:
    """With steps that make the jumps pass, a trajectory takes a thousand, and the chain stays where it is."""
    y = np.where(np.arange(12) < 5, 0.3, 2.6) + np.array([-0.4, 0.8, 0.1, 1.2, 1.1, -0.9, 0, 0.5, 0.2, -1, 0.4, 0.3])
    # Given the cell of the change, all y are jointly normal.
    means = [np.where(np.arange(12) < cell + 1, 0.0, 2.5) for cell in range(12)]
    weight = np.array([stats.multivariate_normal(m, np.eye(12) + 1).pdf(y) for m in means])
    weight /= weight.sum()
    found = sample(ppl.compile(CHANGE).bind({"y": y}), seed=2, chains=4, warmup=400, draws=1000)
    assert found.stats["n_steps"].mean() < 40 and found.stats["step_size"].min() > 0.1
    assert found.diagnostics["rhat"] < 1.02 and found.diagnostics["ess"] > 400
    cells = np.bincount(found.draws["change"].astype(int), minlength=12) / 4000
    np.testing.assert_allclose(cells, weight, atol=0.05)
    assert np.sort(weight)[-3:].min() > 0.05  # several cells matter


@pytest.mark.parametrize(
    ("source", "jumps"),
    [
        ("x ~ Normal(0, 1)\nobserve 1 ~ Normal(if x > 0 then 1 else 0, 1)", True),
        ("x ~ Normal(0, 1)\nobserve 1 ~ Normal(if x > 0 then x else 0, 1)", False),
        ("k ~ Bernoulli(0.5)\nx ~ Normal(0, 1)\nobserve 1 ~ Normal(if k == 1 then x else 0, 1)", False),
        ("x ~ Normal(0, 1)\nobserve 1 ~ Normal(floor(x), 1)", True),
    ],
)
def test_where_jumps_are_expected(source: str, jumps: bool) -> None:
    assert Target.of(ppl.compile(source).bind()).jumps is jumps
