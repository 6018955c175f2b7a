"""Densities and transforms of a bound problem against values worked out by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

import ppl
from ppl.infer.start import PRIOR_DRAWS, place_starts

SPIKE = """
s ~ Normal(0, 1)
if s > 0.3 { b ~ LogNormal(1, 0.5) } else { b = 0 }
observe 0.8 ~ Normal(b, 0.6)
"""


def test_log_joint_counts_a_latent_only_where_it_exists() -> None:
    problem = ppl.compile(SPIKE).bind()
    slab = stats.norm.logpdf(0.5) + stats.lognorm.logpdf(1.5, 0.5, scale=np.e) + stats.norm.logpdf(0.8, 1.5, 0.6)
    spike = stats.norm.logpdf(-0.5) + stats.norm.logpdf(0.8, 0, 0.6)
    np.testing.assert_allclose(problem.log_joint({"s": 0.5, "b": 1.5}), slab, rtol=1e-5)
    np.testing.assert_allclose(problem.log_joint({"s": -0.5, "b": 1.5}), spike, rtol=1e-5)
    np.testing.assert_allclose(problem.log_joint({"s": -0.5}), spike, rtol=1e-5)
    with pytest.raises(ValueError, match="`b` exists on this path but has no value"):
        problem.log_joint({"s": 0.5})
    with pytest.raises(ValueError, match="no site `q`"):
        problem.log_joint({"s": 0.5, "q": 1.0})


def test_log_density_has_the_jacobian_and_a_pseudo_prior() -> None:
    problem = ppl.compile(SPIKE).bind()
    u = {"s": 0.5, "b": 0.2}
    z = float(np.exp(0.2))
    there = problem.log_joint({"s": 0.5, "b": z}) + 0.2
    np.testing.assert_allclose(problem.log_density(u), there, rtol=1e-5)
    absent = problem.log_joint({"s": -0.5}) + stats.norm.logpdf(0.2)
    np.testing.assert_allclose(problem.log_density({"s": -0.5, "b": 0.2}), absent, rtol=1e-5)


def test_constrain_and_unconstrain_are_inverse() -> None:
    source = """
a ~ Uniform(-1, 3)
b ~ Pareto(2, 1.5)
c ~ Uniform(a, a + 2)
w: real[3] ~ Gamma(2, 1)
var z: real[2]
for t in 0..2 { z[t] ~ Normal(a, 1) }
observe 1.0 ~ Normal(a + b + c + sum(w) + z[0], 1)
"""
    problem = ppl.compile(source).bind()
    u = {"a": 0.3, "b": -0.4, "c": 1.1, "w": jnp.array([0.1, -0.5, 2.0]), "z": jnp.array([0.3, -0.2])}
    z = problem.constrain(u)
    assert -1 < z["a"] < 3
    assert z["b"] > 2
    assert z["a"] < z["c"] < z["a"] + 2
    back = problem.unconstrain(z)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), back, jax.tree.map(jnp.asarray, u)
    )


def test_draws_are_nan_where_a_latent_does_not_exist() -> None:
    problem = ppl.compile(SPIKE).bind()
    draws = problem.draw(problem.init_params(), jax.random.key(0), 400)
    exists = np.asarray(draws.latents["s"]) > 0.3
    assert 50 < exists.sum() < 350
    np.testing.assert_array_equal(np.isnan(draws.latents["b"]), ~exists)
    assert np.all(np.isfinite(draws.log_weight))


def test_prior_draws_follow_the_program_through_a_chain() -> None:
    source = "var z: real[6]\nz[0] ~ Normal(2, 0.5)\nfor t in 1..6 { z[t] ~ Normal(0.9 * z[t - 1], 0.1) }\nfactor 0\n"
    problem = ppl.compile(source).bind()
    z = np.asarray(problem.prior(jax.random.key(0), 20000)["z"])
    mean, var = 2.0, 0.25
    for t in range(6):
        assert abs(z[:, t].mean() - mean) < 5 * np.sqrt(var / 20000)
        assert abs(z[:, t].var() / var - 1) < 0.06
        mean, var = 0.9 * mean, 0.81 * var + 0.01


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(("prior", "law"), [
    ("Normal(330000000, 1000000)", stats.norm(3.3e8, 1e6)),
    ("Normal(1700000000, 1000)", stats.norm(1.7e9, 1e3)),
    ("LogNormal(69.8, 0.5)", stats.lognorm(0.5, scale=np.exp(69.8))),
    ("HalfNormal(1e-33)", stats.halfnorm(scale=1e-33)),
])  # fmt: skip
def test_prior_draws_of_any_size(prior: str, law: Any, wide: bool) -> None:
    with jax.enable_x64(wide):
        problem = ppl.compile(f"t ~ {prior}\nfactor 0").bind()
        u = problem.prior_draws(jax.random.key(0), PRIOR_DRAWS + 16)
        places = place_starts(problem.init_params(), u, 16)[0]["loc"]["t"]
        both = jnp.concatenate([u["t"], places])
        z, starts = np.split(np.asarray(jax.jit(jax.vmap(problem.constrain))({"t": both})["t"], np.float64), [-16])
    assert stats.kstest(z, law.cdf).pvalue > 1e-3
    assert np.all((law.cdf(starts) > 1e-4) & (law.cdf(starts) < 1 - 1e-4))


def test_prior_draws_of_ordered_places_of_any_size() -> None:
    problem = ppl.compile("c: ordered[2] ~ Normal(330000000, 1000000)\nfactor 0").bind()
    c = np.asarray(jax.vmap(problem.constrain)(problem.prior(jax.random.key(0), 2000))["c"], np.float64)
    assert stats.kstest(c.mean(axis=1), stats.norm(3.3e8, 1e6 / np.sqrt(2)).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("x", "mean"), [
    ("1700000000 + 2 * t", "floor(x) - 1700000000"),  # a Unix time
    ("1700000000000 + 4000 * t", "(x % 1000) / 1000 + x // 1000 - 1700000000"),  # in milliseconds
    ("-4000000000000000 - 2 * t", "floor(x) + 4000000000000003"),
])  # fmt: skip
def test_whole_numbers_that_32_bits_cannot_hold(x: str, mean: str) -> None:
    t = 0.75
    with jax.enable_x64(True):
        found = ppl.compile(f"t ~ Normal(0, 1)\nx = {x}\nobserve 0.3 ~ Normal({mean}, 1)").bind().log_joint({"t": t})
    at = 1.0 if "2 * t" in x else 3.0
    np.testing.assert_allclose(found, stats.norm.logpdf(t) + stats.norm.logpdf(0.3, at), rtol=1e-12)


def test_noise_moves_with_its_arguments_and_adds_nothing_to_the_density() -> None:
    source = "x ~ Normal(0, 1)\nnoise e ~ Normal(x, 2)\nobserve 1.0 ~ Normal(e, 1)\n"
    problem = ppl.compile(source).bind()
    given = problem.log_joint({"x": 0.5, "e": 1.5})
    np.testing.assert_allclose(given, stats.norm.logpdf(0.5) + stats.norm.logpdf(1.0, 1.5, 1), rtol=1e-5)
    np.testing.assert_allclose(problem.constrain({"x": 0.5, "e": 0.25})["e"], 1.0, rtol=1e-6)


def test_a_vector_that_is_one_argument_is_not_taken_for_one_of_each_observation() -> None:
    text = """
        data n: int = 3
        data z: int[n] = [0, 2, 1]
        a ~ Normal(0, 1)
        p = [exp(a * k) / (1 + exp(a) + exp(2 * a)) for k in 0..n]
        observe z ~ Categorical(p)
    """
    p = softmax(0.5 * np.arange(3))
    value = ppl.compile(text).bind().log_joint({"a": 0.5})
    np.testing.assert_allclose(value, stats.norm.logpdf(0.5) + np.sum(np.log(p)), rtol=1e-6)


def test_data_of_size_zero_is_allowed() -> None:
    source = """
data n: int
data y: real[n]
a ~ Normal(0, 1)
t = 0
for i in 0..n {
    t = t + (if a > y[i] then 1 else 0)
    observe y[i] ~ Normal(a, 1)
}
observe 1.0 ~ Normal(t, 1)
"""
    problem = ppl.compile(source).bind({"y": []})
    value, grad = problem.elbo_and_grad(samples=4)(problem.init_params(), jax.random.key(0))
    assert np.isfinite(value)
    assert np.isfinite(grad["loc"]["a"])


def test_log_weight_is_the_weight_of_the_draws_that_the_same_key_gives() -> None:
    source = "noise e ~ Normal(1, 2)\nx ~ LogNormal(0, 1)\nif x > e { y ~ Normal(x, 1) }\nobserve 0.5 ~ Normal(x, 1)\n"
    problem = ppl.compile(source).bind()
    params, key = problem.init_params(), jax.random.key(5)
    u = problem.unconstrained_draws(params, key, 50)
    drawn = problem.draw(params, key, 50)
    assert set(u) == {"e", "x", "y"}
    np.testing.assert_array_equal(u["y"], drawn.unconstrained["y"])
    weights = jax.vmap(lambda at: problem.log_weight(params, at))(u)
    np.testing.assert_allclose(weights, drawn.log_weight, rtol=1e-6)
