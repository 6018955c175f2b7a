"""The estimators against exact gradients. Such a statement is statistical: mean, standard error, power."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_latent import elbo, gradient
from scipy.stats import norm

import ppl

ONE_IF = "z ~ Normal(0, 1)\nobserve 0 ~ Normal(if z > 0 then 1 else -2, 1)\n"
PARAMS = {"loc": {"z": 0.4}, "log_scale": {"z": -0.3}}


def one_if_log_joint(z: float) -> float:
    return float(norm.logpdf(z) + norm.logpdf(0, 1 if z > 0 else -2, 1))


def z_scores(problem: ppl.Problem, estimator: str, exact: dict[str, float], keys: int = 100, samples: int = 2000):
    """(mean - exact) / standard error of each component of the gradient of a one-latent problem, and the errors."""
    fn = problem.elbo_and_grad(estimator=estimator, samples=samples)
    params = jax.tree.map(jnp.asarray, PARAMS)
    value, grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(
        jax.random.split(jax.random.key(7), keys)
    )
    rows = {"elbo": value, "loc": grad["loc"]["z"], "log_scale": grad["log_scale"]["z"]}
    scores, errors = {}, {}
    for name, x in rows.items():
        x = np.asarray(x, dtype=float)
        errors[name] = x.std(ddof=1) / np.sqrt(keys)
        # 1e-5 covers the finite differences behind the exact values
        scores[name] = (x.mean() - exact[name]) / (errors[name] + 1e-5)
    return scores, errors


@pytest.fixture(scope="module")
def exact() -> dict[str, float]:
    d_loc, d_scale = gradient(one_if_log_joint, 0.4, -0.3, (0.0,))
    return {"elbo": elbo(one_if_log_joint, 0.4, -0.3, (0.0,)), "loc": d_loc, "log_scale": d_scale}


@pytest.mark.parametrize("estimator", ["combined", "score"])
def test_unbiased_estimators_agree_with_the_exact_gradient(estimator: str, exact: dict[str, float]) -> None:
    scores, errors = z_scores(ppl.compile(ONE_IF).bind(), estimator, exact)
    assert max(map(abs, scores.values())) < 5, scores
    assert max(errors.values()) < 0.02, "the test has no power"


def test_interior_fails_the_same_test(exact: dict[str, float]) -> None:
    scores, _ = z_scores(ppl.compile(ONE_IF).bind(), "interior", exact)
    assert abs(scores["elbo"]) < 5
    assert abs(scores["loc"]) > 20, "plain automatic differentiation does not see the boundary"


def test_combined_has_far_less_variance_than_score(exact: dict[str, float]) -> None:
    problem = ppl.compile(ONE_IF).bind()
    _, combined = z_scores(problem, "combined", exact)
    _, score = z_scores(problem, "score", exact)
    assert combined["loc"] < 0.6 * score["loc"]


def test_gradient_of_the_loss_is_the_estimator() -> None:
    problem = ppl.compile(ONE_IF).bind()
    params, key = jax.tree.map(jnp.asarray, PARAMS), jax.random.key(3)
    for estimator in ("combined", "interior", "score"):
        value, grad = problem.elbo_and_grad(estimator=estimator, samples=4)(params, key)
        loss, g = jax.value_and_grad(problem.elbo_loss(estimator=estimator, samples=4))(params, key)
        np.testing.assert_allclose(loss, -value, rtol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, rtol=1e-5), g, grad)


def test_precision_follows_the_parameters_and_keys_batch() -> None:
    problem = ppl.compile(ONE_IF).bind()
    fn = problem.elbo_and_grad(samples=2)
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            params = jax.tree.map(lambda x: jnp.asarray(x, dtype), PARAMS)  # noqa: B023
            value, grad = fn(params, jax.random.key(0))
            assert value.dtype == dtype
            assert grad["loc"]["z"].dtype == dtype
    batched = jax.vmap(fn, in_axes=(None, 0))(jax.tree.map(jnp.asarray, PARAMS), jax.random.split(jax.random.key(1), 3))
    assert batched[0].shape == (3,)


def test_an_unknown_estimator_or_guide_is_refused() -> None:
    problem = ppl.compile(ONE_IF).bind()
    with pytest.raises(ValueError, match="no estimator 'naive'"):
        problem.elbo_loss(estimator="naive")
    with pytest.raises(ValueError, match="no guide 'dense'"):
        problem.init_params("dense")


@pytest.mark.parametrize(
    "source",
    [
        "x ~ Normal(0, 1)\nobserve 1.0 ~ Normal(x, 1)\n",
        "data k: int = 3\nx ~ Normal(0, 1)\nm = if k > 2 then x else 0\nobserve 1.0 ~ Normal(m, 1)\n",
    ],
)
def test_programs_whose_branches_do_not_depend_on_latents_have_no_boundaries(source: str) -> None:
    model = ppl.compile(source)
    problem = model.bind()
    assert all(g.status == "data-only" for g in problem.guards)
    assert "def boundary_" not in model.source_code
    assert not model.diagnostics
    params, key = problem.init_params(), jax.random.key(0)
    combined = problem.elbo_and_grad(estimator="combined", samples=4)(params, key)
    interior = problem.elbo_and_grad(estimator="interior", samples=4)(params, key)
    jax.tree.map(np.testing.assert_array_equal, combined, interior)


@pytest.mark.parametrize("loc", [-30.0, -3.0, 0.2, 0.2000001, 3.0, 80.0])
def test_branches_not_taken_never_poison_value_or_gradient(loc: float) -> None:
    source = """
x ~ Normal(0, 1)
m = if x > 0.2 then sqrt(x) + log(x) + 1 / x + lgamma(x) + x^0.5 else if x < -2 then exp(x * 20) * 0 + x else 0.5 * x
if x > 1 { observe 1.0 ~ Gamma(x, x) } else { observe 0.4 ~ Normal(m, 1) }
"""
    problem = ppl.compile(source).bind()
    params = {"loc": {"x": jnp.asarray(loc)}, "log_scale": {"x": jnp.asarray(-9.0)}}
    for estimator in ("combined", "interior", "score"):
        value, grad = problem.elbo_and_grad(estimator=estimator, samples=8)(params, jax.random.key(0))
        assert np.isfinite(value), estimator
        assert all(np.isfinite(g) for g in jax.tree.leaves(grad)), estimator
