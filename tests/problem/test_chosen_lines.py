"""Every line that a guard can be crossed along gives the same gradient on average: the exact one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtr

import ppl

X, Y = [0.5, -1.0, 2.0, 0.3], [0.3, -0.4, 1.1, 0.8]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# A family of guards, each in an iteration, that two latents move; what a branch is worth moves with one of them or not.
ROWS = f"""
data x: real[4] = {X}
data y: real[4] = {Y}
a ~ Normal(0, 1)
b ~ Normal(0.5, 1)
c ~ Normal(0, 1)
for i in 0..4 {{ observe y[i] ~ Normal(if a + b * x[i] > 0.2 then 1 + c else -c, 1) }}
"""
# As randomised response: a sum of outcomes, each moved by a latent and by a noise of its own.
ANSWERS = """
t ~ Normal(0, 1)
noise e: real[6] ~ Normal(0, 1)
yes = 0
for i in 0..6 { yes = yes + (if e[i] > t then 1 else 0) }
factor 0.3 * yes
"""

Params = dict[str, dict[str, jax.Array]]


def rows(p: Params) -> jax.Array:
    """The ELBO of ROWS but for a constant."""
    loc, var = p["loc"], {k: jnp.exp(2 * v) for k, v in p["log_scale"].items()}
    x, y = jnp.asarray(X), jnp.asarray(Y)
    holds = ndtr((loc["a"] + loc["b"] * x - 0.2) / jnp.sqrt(var["a"] + var["b"] * x**2))
    then, other = ((y - 1 - loc["c"]) ** 2 + var["c"]), ((y + loc["c"]) ** 2 + var["c"])
    prior = sum(-0.5 * ((loc[k] - m) ** 2 + var[k]) + p["log_scale"][k] for k, m in (("a", 0), ("b", 0.5), ("c", 0)))
    return prior - 0.5 * jnp.sum(holds * then + (1 - holds) * other)


def answers(p: Params) -> jax.Array:
    loc, log_scale = p["loc"]["t"], p["log_scale"]["t"]
    holds = ndtr(-loc / jnp.sqrt(1 + jnp.exp(2 * log_scale)))
    return -0.5 * (loc**2 + jnp.exp(2 * log_scale)) + log_scale + 0.3 * 6 * holds


def estimate(source: str, lines: Any, p: Params, **options: Any) -> np.ndarray:
    """The means over 500 draws of every component, for each of 150 keys."""
    fn = ppl.compile(source, lines=lines).bind().elbo_and_grad(
        samples=500, noise="independent", marginalise=False, **options
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(8), 150)
    found = jax.jit(lambda ks: jax.lax.map(lambda k: fn(p, k)[1], ks))(keys)
    return np.stack([np.asarray(x) for x in jax.tree.leaves(found)], axis=1)


CASES: list[tuple[str, Callable[[Params], jax.Array], Any, dict[str, Any]]] = [
    (ROWS, rows, None, {}),
    (ROWS, rows, {"7:42": "b"}, {}),
    (ROWS, rows, {"7": "normal"}, {}),
    (ROWS, rows, {"7": "normal"}, {"boundary_budget": 2}),
    (ANSWERS, answers, None, {}),
    (ANSWERS, answers, {"5:33": "t"}, {}),
]


@pytest.mark.parametrize(("source", "elbo", "lines", "options"), CASES)
def test_each_line_gives_the_exact_gradient(
    source: str, elbo: Callable[[Params], jax.Array], lines: Any, options: dict[str, Any]
) -> None:
    names = ("a", "b", "c") if source == ROWS else ("t",)
    p: Params = {
        "loc": {k: jnp.asarray(0.3 + 0.2 * j) for j, k in enumerate(names)},
        "log_scale": {k: jnp.asarray(0.2 * j - 0.1) for j, k in enumerate(names)},
    }
    exact = np.stack([np.asarray(x) for x in jax.tree.leaves(jax.grad(elbo)(p))])
    draws = estimate(source, lines, p, **options)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.max(np.abs(draws.mean(axis=0) - exact) / error) < 4.5
    interior = ppl.compile(source).bind().elbo_and_grad(estimator="interior", samples=100_000, marginalise=False)
    blind = interior(p, jax.random.key(1))[1]
    lost = np.abs(np.stack([np.asarray(x) for x in jax.tree.leaves(blind)]) - exact)
    assert np.max(lost / error) > 25  # without the boundary it would be seen


def test_a_guide_without_the_normal_takes_the_coordinate() -> None:
    """The same draws, the same lines: only how the jump is evaluated differs."""
    found: list[np.ndarray] = []
    for lines in ("normal", "coordinate"):
        problem = ppl.compile(ROWS, lines=lines).bind()
        params = problem.init_params("fullrank", dtype=jnp.float64)
        grad = problem.elbo_and_grad("fullrank", samples=20)(params, jax.random.key(0))[1]
        found.append(np.concatenate([np.ravel(x) for x in jax.tree.leaves(grad)]))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


# Guards in loops that are no family of their own iterations along a coordinate: state of few values, and a sum.
SWITCHED = """
var z: real[5]
var u: real[5]
on = 0
for t in 0..5 {
  z[t] ~ Normal(0, 1)
  u[t] ~ Normal(0, 1)
  on = if z[t] + 0.5 * u[t] > 0.2 then 1 else (if z[t] < -0.7 then 0 else on)
  observe 0.5 ~ Normal(if on > 0.5 then 1 else -1, 1)
}
"""
COUNTED = """
data x: real[5] = [0.5, -1, 2, 0.3, 1.5]
a ~ Normal(0, 1)
b ~ Normal(0.5, 1)
w: real[5] ~ Normal(0, 1)
total = 0
for i in 0..5 { if a + b * x[i] + w[i] > 0.2 { total = total + 1 } }
factor -0.2 * total ^ 2
"""


@pytest.mark.parametrize("source", [SWITCHED, COUNTED])
def test_a_normal_asked_for_gives_the_same_gradient(source: str) -> None:
    p = ppl.compile(source).bind().init_params(dtype=jnp.float64)
    means: list[tuple[np.ndarray, np.ndarray]] = []
    for lines, estimator in (("coordinate", "combined"), ("normal", "combined"), (None, "interior")):
        fn = ppl.compile(source, lines=lines).bind().elbo_and_grad(
            estimator=estimator, samples=300, noise="independent", marginalise=False
        )  # fmt: skip
        keys = jax.random.split(jax.random.key(len(means)), 100)
        grads = jax.jit(lambda ks, fn=fn: jax.lax.map(lambda k: fn(p, k)[1], ks))(keys)
        draws = np.concatenate([np.reshape(x, (100, -1)) for x in jax.tree.leaves(grads)], axis=1)
        means.append((draws.mean(axis=0), draws.var(axis=0, ddof=1) / 100))
    (apart, v), (along, w), (blind, _) = means
    error = np.sqrt(v + w)
    assert np.max(np.abs(along - apart) / error) < 4.5
    assert np.max(np.abs(blind - apart) / error) > 25
