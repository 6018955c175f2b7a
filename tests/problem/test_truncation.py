"""Truncated latents and observations: densities, and exact gradients by quadrature and summation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import one_latent
import pytest
from scipy import stats

import ppl

QUICK = {"xla_backend_optimization_level": 0}


def average(problem: Any, params: Any, keys: int = 60, samples: int = 500) -> tuple[Any, Any]:
    fn = problem.elbo_and_grad(samples=samples)
    run = jax.jit(lambda p, ks: jax.lax.map(lambda k: fn(p, k), ks), compiler_options=QUICK)
    return run(params, jax.random.split(jax.random.key(5), keys))


def agrees(draws: Any, want: float) -> bool:
    x = np.asarray(draws, float)
    se = x.std(ddof=1) / np.sqrt(len(x))
    assert se < 0.05 * (1 + abs(want))
    return bool(abs(x.mean() - want) < 5 * se + 1e-4 * (1 + abs(want)))


LATENT = """
x ~ Normal(0.3, 1.2) in (-0.5, inf)
if x > 0.4 { observe 0.9 ~ Normal(x, 0.6) in (0, 2) } else { observe 0.9 ~ Normal(-x, 1) in (0, inf) }
"""


def test_gradient_of_a_guard_on_a_truncated_latent() -> None:
    def log_joint(u: float) -> float:
        x = -0.5 + np.exp(u)
        value = stats.norm.logpdf(x, 0.3, 1.2) - stats.norm.logsf(-0.5, 0.3, 1.2) + u
        if x > 0.4:
            top, bottom = stats.norm.logcdf((2.0, 0.0), x, 0.6)
            return float(value + stats.norm.logpdf(0.9, x, 0.6) - top - np.log1p(-np.exp(bottom - top)))
        return float(value + stats.norm.logpdf(0.9, -x, 1) - stats.norm.logsf(0, -x, 1))

    problem = ppl.compile(LATENT).bind()
    np.testing.assert_allclose(problem.log_density({"x": 0.7}), log_joint(0.7), rtol=1e-5)
    np.testing.assert_allclose(problem.log_density({"x": -0.9}), log_joint(-0.9), rtol=1e-5)
    params = {"loc": {"x": jnp.asarray(-0.2)}, "log_scale": {"x": jnp.asarray(-0.4)}}
    cut = float(np.log(0.9))
    elbo, grad = average(problem, params)
    want = one_latent.gradient(log_joint, -0.2, -0.4, (cut,))
    assert agrees(elbo, one_latent.elbo(log_joint, -0.2, -0.4, (cut,)))
    assert agrees(grad["loc"]["x"], want[0]) and agrees(grad["log_scale"]["x"], want[1])
    fn = problem.elbo_and_grad(estimator="interior", samples=20000)
    assert abs(float(fn(params, jax.random.key(1))[1]["loc"]["x"]) - want[0]) > 0.1  # the boundary term matters


COUNTS = """
data cap: int = 6
k ~ Poisson(2.5) in (1, cap)
var j: int[2]
for i in 0..2 { j[i] ~ Geometric(0.4) in (2, 4) }
observe 3.5 ~ Normal(k + 0.5 * j[0] * j[1], 1.5)
"""


def test_a_truncated_count_is_a_latent_with_finitely_many_outcomes() -> None:
    problem = ppl.compile(COUNTS).bind()
    shapes = jax.tree.map(jnp.shape, problem.init_params())
    assert shapes["logits"] == {"k": (6,), "j": (2, 3)}
    prior_k = stats.poisson.pmf(range(1, 7), 2.5)
    prior_j = stats.geom.pmf(range(3, 6), 0.4)
    prior_k, prior_j = prior_k / prior_k.sum(), prior_j / prior_j.sum()
    log_joint = jax.jit(problem.log_joint)
    assert log_joint({"k": 7, "j": np.array([2, 3])}) == -np.inf
    joint = log_joint({"k": 3, "j": np.array([2, 4])})
    want = np.log(prior_k[2] * prior_j[0] * prior_j[2]) + stats.norm.logpdf(3.5, 7, 1.5)
    np.testing.assert_allclose(joint, want, rtol=1e-5)
    u = jax.jit(problem.unconstrain)({"k": 3, "j": np.array([2, 4])})
    assert int(u["k"]) == 2 and list(u["j"]) == [0, 2]
    np.testing.assert_allclose(jax.jit(problem.log_density)(u), joint, rtol=1e-6)
    back = jax.jit(problem.constrain)(u)
    assert int(back["k"]) == 3 and list(back["j"]) == [2, 4]

    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda x: x + 0.5 * rng.normal(size=x.shape), problem.init_params())

    def exact(p: Any) -> Any:
        q_k, q_j = jax.nn.log_softmax(p["logits"]["k"]), jax.nn.log_softmax(p["logits"]["j"], axis=-1)
        total = jnp.zeros(())
        for k in range(6):
            for a in range(3):
                for b in range(3):
                    log_q = q_k[k] + q_j[0, a] + q_j[1, b]
                    log_p = np.log(prior_k[k] * prior_j[a] * prior_j[b])
                    log_p += stats.norm.logpdf(3.5, k + 1 + 0.5 * (a + 2) * (b + 2), 1.5)
                    total += jnp.exp(log_q) * (log_p - log_q)
        return total

    value, slope = jax.jit(jax.value_and_grad(exact))(params)
    elbo, grad = average(problem, params, 60, 200)
    assert agrees(elbo, float(value))
    for got, truth in zip(jax.tree.leaves(grad), jax.tree.leaves(slope), strict=True):
        got = np.asarray(got).reshape(60, -1)
        assert all(agrees(got[:, i], float(t)) for i, t in enumerate(np.ravel(truth)))
    draws = jax.jit(lambda key: problem.draw(params, key, 2000))(jax.random.key(0))
    assert set(np.unique(draws.latents["k"])) == set(range(1, 7))
    prior = np.asarray(jax.jit(lambda key: problem.prior(key, 4000))(jax.random.key(0))["k"])
    np.testing.assert_allclose(np.bincount(prior, minlength=6) / 4000, prior_k, atol=0.04)


def test_ends_may_come_from_data_and_from_earlier_latents() -> None:
    source = "data lo: real\na ~ Exponential(1)\nx ~ Normal(a, 2) in (lo, a)\ny ~ Gamma(2, 1) in (lo, 3)\n"
    problem = ppl.compile(source).bind({"lo": -0.5})
    got = problem.log_joint({"a": 1.2, "x": 0.4, "y": 1.0})
    want = -1.2 + stats.norm.logpdf(0.4, 1.2, 2) - np.log(0.5 - stats.norm.cdf(-0.5, 1.2, 2))
    want += stats.gamma.logpdf(1.0, 2) - stats.gamma.logcdf(3.0, 2)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    z = {"a": 1.2, "x": 0.4, "y": 1.0}
    there_and_back = problem.constrain(problem.unconstrain(z))
    for name, value in z.items():
        np.testing.assert_allclose(there_and_back[name], value, rtol=1e-5)


@pytest.mark.parametrize(
    ("source", "data", "code"),
    [
        ("data c: real\nx ~ Normal(0, 1) in (c, 2)\n", {"c": 2.0}, "PPL301"),
        ("data c: int\nk ~ Poisson(3) in (c, 2)\n", {"c": 3}, "PPL301"),
        ("data n: int\nk ~ Poisson(3) in (0, n)\n", {"n": 1000}, "PPL701"),
        ("data y: real\nm ~ Normal(0, 1)\nobserve y ~ Normal(m, 1) in (0, inf)\n", {"y": -0.1}, "PPL308"),
        ("data y: int\nm ~ Gamma(2, 1)\nobserve y ~ Poisson(m) in (1, inf)\n", {"y": 0}, "PPL308"),
    ],
)
def test_what_the_data_show_to_be_wrong(source: str, data: dict[str, Any], code: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(source).bind(data)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_replicates_of_truncated_counts_beyond_single_precision() -> None:
    with jax.enable_x64(True):
        problem = ppl.compile("observe 100000000 ~ NegativeBinomial(100000000, 2) in (1, inf)").bind()
        (drawn,) = problem.prior_predictive(jax.random.key(0), 300).observations.values()
    law = stats.nbinom(2, 2 / (2 + 1e8))
    assert stats.kstest(np.asarray(drawn.replicate, float), law.cdf).pvalue > 1e-3
