"""Discrete latents, against ELBOs with the outcomes summed out by hand and the Gaussian integrals in closed form."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

Y = (0.3, -1.2, 2.0)
CARRIED = """
data n: int = 3
data y: real[n] = [0.3, -1.2, 2.0]
a ~ Normal(0, 1)
var k: int[n]
s = 0
for i in 0..n {
    k[i] ~ Bernoulli(0.4)
    s = s + k[i]
    observe y[i] ~ Normal(a * k[i] + (if s > 1 then 0.5 else 0), 0.7)
}
factor -0.3 * s
"""
MIXTURE = """
data n: int = 3
data y: real[n] = [0.3, -1.2, 2.0]
a ~ Normal(0, 1)
var k: int[n]
for i in 0..n {
    k[i] ~ Categorical([0.3, 0.5, 0.2])
    observe y[i] ~ Normal(if k[i] == 2 then -1 else a * k[i], 0.7)
}
"""

CHAIN = """
data n: int = 3
data y: real[n] = [0.3, -1.2, 2.0]
a ~ Normal(0, 1)
var k: int[n]
for i in 0..n {
    k[i] ~ Bernoulli(if i == 0 then 0.4 else if k[i - 1] == 1 then 0.8 else 0.3)
    observe y[i] ~ Normal(a * k[i] + (if i > 0 then 0.5 * k[i - 1] else 0), 0.7)
}
"""


def expected_normal(y: Any, slope: Any, shift: Any, sd: float, m: Any, s: Any) -> Any:
    """E log N(y; slope * a + shift, sd) for a ~ N(m, s)."""
    square = (y - shift - slope * m) ** 2 + (slope * s) ** 2
    return -0.5 * square / sd**2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)


def gaussian_part(m: Any, s: Any) -> Any:
    """E log N(a; 0, 1) - log q(a)."""
    return -0.5 * (m**2 + s**2) + 0.5 + jnp.log(s)


def carried(p: Any) -> Any:
    m, s = p["loc"]["a"], jnp.exp(p["log_scale"]["a"])
    one = jax.nn.sigmoid(p["logits"]["k"])
    total = gaussian_part(m, s)
    for k in itertools.product((0, 1), repeat=3):
        weight = jnp.prod(jnp.stack([one[i] if k[i] else 1 - one[i] for i in range(3)]))
        value = -0.3 * sum(k) - jnp.log(weight)
        for i in range(3):
            shift = 0.5 if sum(k[: i + 1]) > 1 else 0.0
            value += jnp.log(0.4 if k[i] else 0.6) + expected_normal(Y[i], k[i], shift, 0.7, m, s)
        total += weight * value
    return total


def chain(p: Any) -> Any:
    m, s = p["loc"]["a"], jnp.exp(p["log_scale"]["a"])
    one = jax.nn.sigmoid(p["logits"]["k"])
    total = gaussian_part(m, s)
    for k in itertools.product((0, 1), repeat=3):
        weight = jnp.prod(jnp.stack([one[i] if k[i] else 1 - one[i] for i in range(3)]))
        value = -jnp.log(weight)
        for i in range(3):
            before = k[i - 1] if i else 0
            rate = (0.8 if before else 0.3) if i else 0.4
            value += jnp.log(rate if k[i] else 1 - rate) + expected_normal(Y[i], k[i], 0.5 * before, 0.7, m, s)
        total += weight * value
    return total


def mixture(p: Any) -> Any:
    m, s = p["loc"]["a"], jnp.exp(p["log_scale"]["a"])
    total = gaussian_part(m, s)
    for i, weights in enumerate(jax.nn.softmax(p["logits"]["k"], axis=-1)):
        for k, prior in enumerate((0.3, 0.5, 0.2)):
            slope, shift = (0.0, -1.0) if k == 2 else (float(k), 0.0)
            value = jnp.log(prior) - jnp.log(weights[k]) + expected_normal(Y[i], slope, shift, 0.7, m, s)
            total += weights[k] * value
    return total


def shaken(problem: Any) -> Any:
    rng = np.random.default_rng(4)
    return jax.tree.map(lambda x: x + 0.4 * rng.normal(size=x.shape), problem.init_params())


@pytest.mark.parametrize(("source", "exact", "effect"), [
    (CARRIED, carried, "global"), (MIXTURE, mixture, "local"), (CHAIN, chain, "nearby"),
])  # fmt: skip
@pytest.mark.parametrize("estimator", ["combined", "score"])
def test_gradient_is_that_of_the_sum_over_outcomes(source: str, exact: Any, effect: str, estimator: str) -> None:
    with jax.enable_x64(True):
        problem = ppl.compile(source).bind()
        assert [g.effect for g in problem.guards if g.kind == "discrete"] == [effect]
        params = shaken(problem)
        want_value, want = jax.value_and_grad(exact)(params)
        fn = problem.elbo_and_grad(estimator=estimator, samples=500)
        values, grads = jax.lax.map(lambda k: fn(params, k), jax.random.split(jax.random.key(1), 120))
    found, truths = (values, *jax.tree.leaves(grads)), (want_value, *jax.tree.leaves(want))
    for got, truth in zip(map(np.asarray, found), map(np.asarray, truths), strict=True):
        mean, se = np.mean(got, axis=0), np.std(got, axis=0, ddof=1) / np.sqrt(120)
        assert np.all(np.abs(mean - truth) <= 5 * se + 1e-9), (mean, truth, se)


def test_interior_does_not_see_discrete_latents() -> None:
    with jax.enable_x64(True):
        problem = ppl.compile(MIXTURE).bind()
        _, grad = problem.elbo_and_grad(estimator="interior", samples=10)(shaken(problem), jax.random.key(0))
    np.testing.assert_array_equal(grad["logits"]["k"], 0.0)


def test_densities_and_parameters() -> None:
    source = "b: int[2] ~ BernoulliLogit(0.4)\nk ~ Binomial(3, 0.4)\nx ~ Normal(0, 1)\n"
    problem = ppl.compile(source + "observe 0.7 ~ Normal(x + k - b[0] * b[1], 1)\n").bind()
    shapes = jax.tree.map(jnp.shape, problem.init_params())
    assert shapes["logits"] == {"b": (2,), "k": (4,)}
    assert set(shapes["loc"]) == {"x"}
    got = problem.log_joint({"b": [1, 1], "k": 2, "x": 0.3})
    want = 2 * np.log(1 / (1 + np.exp(-0.4))) + np.log(3 * 0.4**2 * 0.6)
    want += -0.5 * 0.3**2 - 0.5 * (0.7 - 0.3 - 2 + 1) ** 2 - np.log(2 * np.pi)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    draws = problem.draw(problem.init_params(), jax.random.key(0), 4000)
    np.testing.assert_allclose(np.mean(draws.latents["k"]), 1.5, atol=0.08)
    assert set(np.unique(draws.latents["b"])) == {0.0, 1.0}


def test_a_latent_in_a_branch_counts_where_it_exists() -> None:
    source = "x ~ Normal(0, 1)\nif x > 0 {\n  q ~ Bernoulli(0.3)\n  observe 1.0 ~ Normal(q, 1)\n}\n"
    problem = ppl.compile(source).bind()
    there = problem.log_joint({"x": 0.5, "q": 1}) - problem.log_joint({"x": 0.5, "q": 0})
    np.testing.assert_allclose(there, np.log(0.3 / 0.7) + 0.5, rtol=1e-5)
    assert problem.log_joint({"x": -0.5, "q": 1}) == problem.log_joint({"x": -0.5, "q": 0})


def test_a_fit_finds_the_classes() -> None:
    source = "data y: real[6] = [-2.1, -1.9, -2.0, 3.1, 2.9, 3.0]\nm: real[2] ~ Normal(0, 3)\nvar k: int[6]\n"
    source += "for i in 0..6 { k[i] ~ Bernoulli(0.5)\n observe y[i] ~ Normal(m[k[i]], 0.3) }\n"
    fit = ppl.compile(source).infer(seed=1, steps=1500, starts=8)
    labels = np.mean(fit.draws["k"], axis=0) > 0.5
    assert len(set(labels[:3])) == len(set(labels[3:])) == 1 and labels[0] != labels[3]
