"""Multivariate distributions of the library: against NumPyro in value and gradient, and a guard on an element."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

import ppl
from ppl.language.distributions import IN_LIBRARY

SOURCE = """
use multivariate
m: real[3] ~ Normal(0, 1)
s: real[3] ~ Exponential(1)
r ~ Uniform(-0.4, 0.9)
cov = [[if i == j then s[i] else sqrt(s[i] * s[j]) * r for j in 0..3] for i in 0..3]
p = s / sum(s)
{observed}
"""
CASES = {
    "observe [0.4, -1, 2] ~ MvNormal(m, cov)": lambda z: npd.MultivariateNormal(z["m"], covariance(z)).log_prob(
        jnp.asarray([0.4, -1, 2])
    ),
    "observe [0.4, -1, 2] ~ MvNormalCholesky(m, cholesky(cov))": lambda z: npd.MultivariateNormal(
        z["m"], scale_tril=jnp.linalg.cholesky(covariance(z))
    ).log_prob(jnp.asarray([0.4, -1, 2])),
    "observe [0.2, 0.3, 0.5] ~ Dirichlet(1 + s)": lambda z: npd.Dirichlet(1 + z["s"]).log_prob(
        jnp.asarray([0.2, 0.3, 0.5])
    ),
    "observe [3, 0, 2] ~ Multinomial(5, p)": lambda z: npd.MultinomialProbs(
        z["s"] / jnp.sum(z["s"]), total_count=5
    ).log_prob(jnp.asarray([3, 0, 2])),
    "observe [0, 1, 3, 2] ~ OrderedLogistic(m[0], m[1] + cumsum(s))": lambda z: jnp.sum(
        npd.OrderedLogistic(z["m"][0], z["m"][1] + jnp.cumsum(z["s"])).log_prob(jnp.asarray([0, 1, 3, 2]))
    ),
}


def covariance(z: Any) -> Any:
    root = jnp.sqrt(z["s"])
    return jnp.outer(root, root) * (z["r"] + (1 - z["r"]) * jnp.eye(3))


@pytest.mark.parametrize("observed", CASES)
def test_values_and_gradients_are_those_of_numpyro(observed: str) -> None:
    with jax.enable_x64(True):
        problem = ppl.compile(SOURCE.format(observed=observed)).bind()
        prior = ppl.compile(SOURCE.format(observed="")).bind()
        z = {"m": jnp.asarray([0.3, -0.5, 0.8]), "s": jnp.asarray([0.6, 1.4, 0.9]), "r": jnp.asarray(0.25)}
        got = jax.value_and_grad(lambda z: problem.log_joint(z) - prior.log_joint(z))(z)
        want = jax.value_and_grad(CASES[observed])(z)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_a_guard_on_an_element_of_a_normal_vector() -> None:
    """Against the closed form of a Gaussian guide's ELBO."""
    source = "use multivariate\nb: real[2] ~ MvNormal([0.2, -0.1], [[1, 0.6], [0.6, 2]])\n"
    source += "if b[0] > 0.3 { factor 1.5 }\nif b[0] + b[1] > 0 { factor -0.7 }\n"
    problem = ppl.compile(source).bind()
    precision = jnp.linalg.inv(jnp.asarray([[1, 0.6], [0.6, 2]]))

    def exact(p: Any) -> Any:
        loc, scale = p["loc"]["b"], jnp.exp(p["log_scale"]["b"])
        off = loc - jnp.asarray([0.2, -0.1])
        expected = -0.5 * (off @ precision @ off + jnp.sum(jnp.diagonal(precision) * scale**2))
        expected += 0.5 * jnp.linalg.slogdet(precision)[1] + 1 + jnp.sum(jnp.log(scale))
        first = jax.scipy.special.ndtr((loc[0] - 0.3) / scale[0])
        second = jax.scipy.special.ndtr(jnp.sum(loc) / jnp.sqrt(jnp.sum(scale**2)))
        return expected + 1.5 * first - 0.7 * second

    params = {"loc": {"b": jnp.asarray([0.1, 0.3])}, "log_scale": {"b": jnp.asarray([-0.3, 0.2])}}
    value, slope = jax.value_and_grad(exact)(params)
    fn = problem.elbo_and_grad(samples=1000)
    values, grads = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(
        jax.random.split(jax.random.key(3), 40)
    )
    for got, truth in zip((values, *jax.tree.leaves(grads)), (value, *jax.tree.leaves(slope)), strict=True):
        mean, se = np.mean(got, axis=0), np.std(got, axis=0, ddof=1) / np.sqrt(40)
        assert np.all(se < 0.03) and np.all(np.abs(mean - truth) < 5 * se + 1e-4)
    plain = problem.elbo_and_grad(estimator="interior", samples=20000)(params, jax.random.key(0))[1]
    assert abs(float(plain["loc"]["b"][0] - slope["loc"]["b"][0])) > 0.2


@pytest.mark.parametrize("name", IN_LIBRARY)
def test_a_distribution_of_the_library_is_found_by_its_hint(name: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(f"x ~ Normal(0, 1)\nobserve 1 ~ {name}(x)\n")
    (found,) = caught.value.diagnostics
    assert found.code == "PPL104" and f"use {IN_LIBRARY[name]}" in str(found.hint)
    with pytest.raises(ppl.PplError) as caught:  # with it the name is known, and these arguments are wrong
        ppl.compile(f"use {IN_LIBRARY[name]}\nx ~ Normal(0, 1)\nobserve 1.5 ~ {name}(x)\n")
    assert "PPL104" not in [d.code for d in caught.value.diagnostics]
