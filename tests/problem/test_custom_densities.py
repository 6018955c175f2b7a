"""Densities as functions, distributions that a program defines, and mixtures: against scipy, and exact gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import one_latent
import pytest
from scipy import stats
from scipy.special import logsumexp
from test_truncation import agrees, average

import ppl
from ppl.predict import predict_prior
from ppl.sample import sample


def test_functions_of_the_tables() -> None:
    source = "data k: int = 4\nx ~ Normal(0, 1)\nfactor 0.5 * Normal_lpdf(x, 1, 2) + Poisson_lpmf(k, exp(x))\n"
    source += "factor Gamma_lccdf(exp(x), 2, 0.5) - StudentT_lcdf(x, 3, 0, 1) + Binomial_lcdf(k, 9, inv_logit(x))\n"
    source += "factor sum(Normal_lccdf([0.1, 0.2], x, [1, 2])) + Categorical_lpmf(1, [0.2, 0.3, 0.5])\n"
    problem = ppl.compile(source).bind()
    for x in (-0.7, 0.4):
        want = stats.norm.logpdf(x) + 0.5 * stats.norm.logpdf(x, 1, 2) + stats.poisson.logpmf(4, np.exp(x))
        want += stats.gamma.logsf(np.exp(x), 2, scale=2) - stats.t.logcdf(x, 3)
        want += stats.binom.logcdf(4, 9, 1 / (1 + np.exp(-x))) + np.log(0.3)
        want += stats.norm.logsf(0.1, x, 1) + stats.norm.logsf(0.2, x, 2)
        np.testing.assert_allclose(problem.log_joint({"x": x}), want, rtol=1e-5)
    slope = jax.grad(lambda x: problem.log_joint({"x": x}))(0.4)
    step = (problem.log_joint({"x": 0.41}) - problem.log_joint({"x": 0.39})) / 0.02
    np.testing.assert_allclose(slope, step, rtol=1e-2)


SKEWED = """
fn Skew_lpdf(y: real, m: real, a: real) -> real {
    return if y < m then Normal_lpdf(y, m, 1) else Normal_lpdf(y, m, a)
}
data y: real[2] = [0.3, 1.1]
x ~ Skew(0.2, 2.5)
observe y ~ Skew(x, [0.5, 0.8])
"""


def skew(y: float, m: float, a: float) -> float:
    return float(stats.norm.logpdf(y, m, 1 if y < m else a))


MIXED = """
x ~ Normal(0.2, 1)
w = if x > 0.1 then [0.2, 0.8] else [0.7, 0.3]
observe 0.4 ~ Mixture(w, Normal(x, 0.5), StudentT(3, 1, 2) in (0, inf))
factor log_sum_exp(log(2) + Uniform_lpdf(x, -0.5, 1), Normal_lpdf(x, 0, 1))
"""


def mixed(x: float) -> float:
    w = (0.2, 0.8) if x > 0.1 else (0.7, 0.3)
    second = stats.t.logpdf(0.4, 3, 1, 2) - stats.t.logsf(0, 3, 1, 2)
    value = stats.norm.logpdf(x, 0.2) + logsumexp([stats.norm.logpdf(0.4, x, 0.5), second], b=w)
    inside = np.log(2 / 1.5) if -0.5 <= x <= 1 else -np.inf
    return float(value + np.logaddexp(inside, stats.norm.logpdf(x)))


@pytest.mark.parametrize(
    ("source", "log_joint", "cuts"),
    [
        (SKEWED, lambda x: skew(x, 0.2, 2.5) + skew(0.3, x, 0.5) + skew(1.1, x, 0.8), (0.2, 0.3, 1.1)),
        (MIXED, mixed, (-0.5, 0.1, 1.0)),
    ],
    ids=["defined", "mixed"],
)
def test_guards_inside_are_boundaries(source: str, log_joint: Callable[[float], float], cuts: Any) -> None:
    problem = ppl.compile(source).bind()
    for x in (-0.8, 0.0, 0.25, 0.7, 1.4):
        np.testing.assert_allclose(problem.log_joint({"x": x}), log_joint(x), rtol=1e-5)
    params = {"loc": {"x": jnp.asarray(0.3)}, "log_scale": {"x": jnp.asarray(-0.3)}}
    elbo, grad = average(problem, params)
    want = one_latent.gradient(log_joint, 0.3, -0.3, cuts)
    assert agrees(elbo, one_latent.elbo(log_joint, 0.3, -0.3, cuts))
    assert agrees(grad["loc"]["x"], want[0]) and agrees(grad["log_scale"]["x"], want[1])
    plain = problem.elbo_and_grad(estimator="interior", samples=20000)(params, jax.random.key(1))[1]
    assert abs(float(plain["loc"]["x"]) - want[0]) > 0.05


@pytest.mark.parametrize(
    ("source", "log_joint"),
    [
        (
            "x ~ Normal(0.2, 1)\nfactor log(0.2 + exp(Pareto_lpdf(2.3 + x, exp(0.7 * x), 1.5)))\n",
            lambda x: np.log(0.2 + (1.5 * np.exp(1.05 * x) / (2.3 + x) ** 2.5 if 2.3 + x > np.exp(0.7 * x) else 0.0)),
        ),
        (
            "x ~ Normal(0.2, 1)\nfactor log(0.2 + exp(Uniform_lpdf(x ^ 3, 0.3 * x - 0.4, 0.1 * x + 1.7)))\n",
            lambda x: np.log(0.2 + (1 / (2.1 - 0.2 * x) if 0.3 * x - 0.4 < x**3 < 0.1 * x + 1.7 else 0.0)),
        ),
    ],
    ids=["pareto", "uniform"],
)
def test_an_edge_that_rounding_has_on_either_side(source: str, log_joint: Callable[[float], float]) -> None:
    """The root of a curved edge lies outside of the support about half of the time, and the density is zero there."""

    def whole(x: float) -> float:
        return float(log_joint(x) + stats.norm.logpdf(x, 0.2))

    grid = np.linspace(-6, 6, 200_001)
    jumps = np.flatnonzero(np.abs(np.diff([log_joint(x) for x in grid])) > 0.1)
    cuts = tuple(float(grid[k : k + 2].mean()) for k in jumps)
    assert cuts
    problem = ppl.compile(source).bind()
    params = {"loc": {"x": jnp.asarray(0.3)}, "log_scale": {"x": jnp.asarray(-0.3)}}
    _, grad = average(problem, params)
    want = one_latent.gradient(whole, 0.3, -0.3, cuts)
    assert agrees(grad["loc"]["x"], want[0]) and agrees(grad["log_scale"]["x"], want[1])
    plain = problem.elbo_and_grad(estimator="interior", samples=20000)(params, jax.random.key(1))[1]
    assert max(abs(float(plain[k]["x"]) - w) for k, w in zip(("loc", "log_scale"), want, strict=True)) > 0.05


def test_elements_that_are_assigned_are_no_draws() -> None:
    """What reaches beyond the support of the elements that are drawn."""
    source = "x ~ Normal(0.2, 1)\nvar z: real[2]\nz[0] ~ Exponential(1)\nz[1] = x\n"
    model = ppl.compile(source + "for i in 0..2 { factor log(0.3 + exp(Exponential_lpdf(z[i], 1))) }\n")
    assert [g["status"] for g in model.explain()["guards"]] == ["boundary"]
    assert model.bind().log_joint({"x": -0.5, "z": jnp.asarray([0.4, -0.5])}) == pytest.approx(
        stats.norm.logpdf(-0.5, 0.2) - 0.4 + np.log(0.3 + np.exp(-0.4)) + np.log(0.3), abs=1e-5
    )


def test_a_density_of_a_whole_vector_and_of_elements() -> None:
    source = "fn Pair_lpdf(y: real[], m: real) -> real { return -sum(square(y - m)) }\n"
    source += "fn One_lpdf(y: real, m: real) -> real { return -abs(y - m) }\n"
    source += "w: real[2] ~ Pair(0.5)\nv: real[2] ~ One([0.1, 0.2])\nvar z: real[2]\nz[0] ~ One(0)\nz[1] ~ One(z[0])\n"
    problem = ppl.compile(source).bind()
    z = {"w": jnp.asarray([1.0, 0.0]), "v": jnp.asarray([0.4, 0.9]), "z": jnp.asarray([0.7, 0.3])}
    np.testing.assert_allclose(problem.log_joint(z), -0.5 - 0.3 - 0.7 - 0.7 - 0.4, rtol=1e-6)


def test_mixtures() -> None:
    source = "data y: int[3] = [0, 2, 5]\nw ~ Beta(1, 1)\nr: real[3] ~ Exponential(1)\n"
    source += "x ~ Mixture([w, 1 - w], Normal(-1, 1), Laplace(2, 0.5))\n"
    source += "k ~ Mixture([0.5, 0.5], Poisson(1), Geometric(0.3)) in (1, 4)\n"
    source += "observe y ~ Mixture([w, 1 - w], Poisson(r), NegativeBinomial(r + 1, 2))\n"
    problem = ppl.compile(source).bind()
    w, r, x, k = 0.3, np.array([0.5, 1.0, 2.0]), 0.4, 2
    y, counts = np.array([0, 2, 5]), np.arange(1, 5)
    want = -r.sum() + np.log(w * stats.norm.pdf(x, -1) + (1 - w) * stats.laplace.pdf(x, 2, 0.5))
    p = 0.5 * stats.poisson.pmf(counts, 1) + 0.5 * stats.geom.pmf(counts + 1, 0.3)
    want += np.log(p[k - 1] / p.sum())
    want += np.log(w * stats.poisson.pmf(y, r) + (1 - w) * stats.nbinom.pmf(y, 2, 2 / (3 + r))).sum()
    z = {"w": w, "r": r, "x": x, "k": k}
    np.testing.assert_allclose(jax.jit(problem.log_joint)(z), want, rtol=1e-5)
    assert all(np.isfinite(v).all() for v in jax.jit(jax.grad(problem.log_joint, allow_int=True))(
        {"w": w, "r": jnp.asarray(r), "x": x, "k": jnp.asarray(2)}).values() if v.dtype == jnp.float32)  # fmt: skip
    prior = jax.jit(lambda key: problem.prior(key, 4000))(jax.random.key(2))
    np.testing.assert_allclose(np.bincount(np.asarray(prior["k"]), minlength=4) / 4000, p / p.sum(), atol=0.035)
    share = np.mean(np.asarray(prior["x"]) > 1)
    np.testing.assert_allclose(share, 0.5 * stats.norm.sf(1, -1) + 0.5 * stats.laplace.sf(1, 2, 0.5), atol=0.035)


@pytest.mark.parametrize(
    ("law", "value", "want"),
    [
        ("Mixture([0.5, 0.5], Poisson(1), Poisson(200)) in (60, 80)", "70", -10.2545),
        ("Mixture([0.004, 0.496, 0.5], Normal(0, 0.1), Normal(-6, 1), Normal(6, 1)) in (-2, 2)", "0.01", 1.3708),
        ("Mixture([0.5, 0.5], Normal(-20, 1), Normal(20, 1)) in (-5, 5)", "4.9", 0.5140),
    ],
    ids=["counts", "narrow", "valley"],
)
def test_a_mixture_on_an_interval_between_its_components(law: str, value: str, want: float) -> None:
    """Where the whole mixture has no mass in either tail, one component has."""
    problem = ppl.compile(f"x ~ Normal(0, 1)\nobserve {value} ~ {law}\n").bind()
    np.testing.assert_allclose(problem.log_joint({"x": 0.0}) - stats.norm.logpdf(0), want, atol=2e-3)


def test_the_edge_of_a_density_of_an_array_with_assigned_elements() -> None:
    source = "x ~ Normal(0, 1)\nvar z: real[2]\nz[0] ~ Exponential(1)\nz[1] = x\nfactor sum(Exponential_lpdf(z, 1))\n"
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(source)
    assert [d.code for d in caught.value.diagnostics] == ["PPL205"]


def test_a_fit_of_a_density_of_the_program() -> None:
    source = "fn Pull_lpdf(y: real, m: real) -> real { return -2 * square(y - m) }\nx ~ Pull(1.5)\n"
    fit = ppl.compile(source).infer(seed=0)
    np.testing.assert_allclose(fit.params["loc"]["x"], 1.5, atol=0.05)
    np.testing.assert_allclose(np.exp(fit.params["log_scale"]["x"]), 0.5, atol=0.05)


def test_the_prior_of_a_latent_with_such_a_density_is_not_made_up() -> None:
    source = "fn Pull_lpdf(y: real, m: real) -> real { return -2 * square(y - m) }\nx ~ Pull(1.5)\n"
    source += "observe 1 ~ Normal(if x > 1 then x else 0, 1)\n"
    problem = ppl.compile(source).bind()
    key = jax.random.key(0)
    for refused in (problem.prior, problem.prior_predictive, lambda k, n: predict_prior(problem, k, n)):
        with pytest.raises(ppl.PplError, match="no way to draw from it") as caught:
            refused(key, 10)
        assert caught.value.diagnostics[0].code == "PPL813" and caught.value.diagnostics[0].span.line == 2
    with pytest.raises(ppl.PplError, match="PPL813"):
        sample(problem, "smc", chains=1, draws=20)
    fit = ppl.compile(source).infer(steps=100, seed=0)
    assert np.all(np.isnan(fit.prior["x"])) and np.isnan(fit.branches[0]["prior"])
    assert 0 < fit.branches[0]["posterior"] < 1
    groups = fit.to_inference_data(predictive=True)
    assert "posterior_predictive" in groups and "prior_predictive" not in groups
