"""Replicated observations and pointwise log likelihoods against closed forms."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
import xarray
from scipy import stats

import ppl
from ppl.infer import Posterior, Settings
from ppl.predict import datasets, notes_on, predict, predict_prior
from ppl.runtime import samplers
from ppl.runtime.densities import DENSITIES

DRAWS = 40_000

BRANCHED = """
data y: real[2]
data k: int
z ~ Normal(0, 1)
noise e ~ Normal(0, 0.5)
for i in 0..2 {
    if z > 0.5 { observe y[i] ~ Normal(2 * z + i, 1) } else { observe y[i] ~ Uniform(-3 - i, 2) }
}
if z < 0 { observe k ~ Poisson(3) } else { observe k ~ Binomial(4, 0.25) }
observe exp(y[0] / 10) ~ Normal(z + e, 2)
"""


@pytest.fixture(autouse=True)
def double() -> object:
    with jax.enable_x64(True):
        yield


def branched() -> ppl.Problem:
    return ppl.compile(BRANCHED).bind({"y": [0.3, -1.0], "k": 2})


def z_score(values: np.ndarray, exact: float) -> float:
    return (values.mean() - exact) / (values.std() / math.sqrt(values.size))


def test_moments_under_the_prior_of_what_branches_observe() -> None:
    drawn = predict_prior(branched(), jax.random.key(1), DRAWS)
    y, k = drawn.observations["y"], drawn.observations["k"]
    p, tail = stats.norm.sf(0.5), stats.norm.pdf(0.5)  # P(z > 0.5) and E[z; z > 0.5]
    square = p + 0.5 * tail  # E[z^2; z > 0.5]
    for i in (0, 1):
        mean = 2 * tail + i * p + (1 - p) * (-1 - i) / 2
        second = 4 * square + 4 * i * tail + i * i * p + p + (1 - p) * stats.uniform(-3 - i, 5 + i).moment(2)
        assert abs(z_score(y[:, i], mean)) < 4
        assert abs(z_score(y[:, i] ** 2, second)) < 4
    assert k.dtype == np.int64
    assert abs(z_score(k, 0.5 * 3 + 0.5 * 1)) < 4
    assert abs(z_score(k**2, 0.5 * (3 + 9) + 0.5 * (0.75 + 1))) < 4
    computed = drawn.observations["observe_10"]
    assert abs(z_score(computed, 0)) < 4
    assert abs(z_score(computed**2, 1 + 0.25 + 4)) < 4
    # The replicate belongs to the draw beside it.
    high = drawn.latents["z"] > 0.5
    residual = (y[:, 1] - 2 * drawn.latents["z"] - 1)[high]
    assert abs(z_score(residual, 0)) < 4 and abs(z_score(residual**2, 1)) < 4
    assert y[~high].min() > -4 and y[~high].max() < 2


def test_a_chain_is_drawn_from_the_prior_to_its_end() -> None:
    source = "var z: real[300]\nfor t in 0..300 { z[t] ~ Normal(if t == 0 then 0 else z[t - 1], 1) }\n"
    z = np.asarray(ppl.compile(source).bind().prior(jax.random.key(0), 2000)["z"])
    np.testing.assert_allclose(z.std(axis=0)[[99, 199, 299]], np.sqrt([100, 200, 300]), rtol=0.08)
    steps = np.diff(z, axis=1)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=0.08)


def test_two_elements_are_replicated_independently() -> None:
    drawn = predict_prior(ppl.compile("data y: real[2]\nobserve y ~ Normal(0, 1)").bind({"y": [0.0, 0.0]}),
                          jax.random.key(0), DRAWS)  # fmt: skip
    a, b = drawn.observations["y"].T
    assert abs(z_score(a * b, 0)) < 4 and abs(z_score(a**2, 1)) < 4


def exact_fit(mean: float, sd: float, y: np.ndarray) -> ppl.Fit:
    """A fit of the mean of `y` whose guide is the posterior given: no error of an optimiser is in what follows."""
    source = "data n: int\ndata y: real[n]\nmu ~ Normal(0, 3)\nfor i in 0..n { observe y[i] ~ Normal(mu, 1) }"
    problem = ppl.compile(source).bind({"y": y})
    params = {"loc": {"mu": np.array(mean)}, "log_scale": {"mu": np.array(math.log(sd))}}
    draws = jax.tree.map(np.asarray, problem.draw(params, jax.random.key(5), DRAWS))
    return ppl.Fit(
        name="mean", latents=("mu",), settings=Settings(), params=params, posterior=Posterior(*draws), elbo=0.0,
        elbo_se=0.0, trace=np.zeros(1), starts=(0.0,), steps=1, rhat=1.0, nonfinite_steps=0, converged=True,
        stop_reason="", notes=(), seconds=0.0, compile_seconds=0.0, observed=problem.data, problem=problem,
    )  # fmt: skip


def test_posterior_predictive_and_loo_of_a_conjugate_model() -> None:
    """elpd_loo = sum of log N(y_i; m_-i, 1 + v_-i), with the posterior of the others in closed form."""
    from arviz_stats.loo import loo

    y = np.random.default_rng(3).normal(1.0, 1.0, 12)
    v = 1 / (1 / 9 + 12)
    fit = exact_fit(v * y.sum(), math.sqrt(v), y)
    replicated = fit.predictive(0, DRAWS)["y"]
    assert replicated.shape == (DRAWS, 12)
    assert abs(z_score(replicated[:, 0], v * y.sum())) < 4
    assert abs(z_score((replicated[:, 0] - v * y.sum()) ** 2, 1 + v)) < 4
    ours, exact = fit.log_likelihood()["y"], stats.norm(fit.draws["mu"][:, None], 1).logpdf(y)
    np.testing.assert_allclose(ours, exact, rtol=1e-9)
    tree = fit.to_inference_data(predictive=True)
    assert tree["posterior_predictive"]["y"].shape == (1, DRAWS, 12) == tree["log_likelihood"]["y"].shape
    assert set(tree["observed_data"]) == {"y"} and set(tree["prior_predictive"]) == {"y"} and "mu" in tree["prior"]
    v = 1 / (1 / 9 + 11)
    known = sum(stats.norm(v * (y.sum() - x), math.sqrt(1 + v)).logpdf(x) for x in y)
    assert loo(tree).elpd == pytest.approx(known, abs=0.08)  # within the sample it is -24.16


AROUND = """
data n: int
data y: real[n]
data w: real[2, 3]
data seen: int[2, 3]
mu ~ Normal(0, 3)
for t in 1..n { observe y[t] ~ Normal(mu + 0.5 * y[t - 1], 1) }
for i in 0..2 { for j in 0..3 { if seen[i, j] > 0 { observe w[i, j] ~ Normal(mu, 1) } } }
"""


def test_trees_have_what_is_observed_alone() -> None:
    """What no path observes is NaN in `log_likelihood`, and its loo would be NaN with it. The rest has its indices."""
    from arviz_stats.loo import loo

    y, w = [0.4, 1.0, 0.2, 0.9], [[0.4, 7.0, 8.0], [9.0, 0.7, 0.9]]
    problem = ppl.compile(AROUND).bind({"y": y, "w": w, "seen": [[1, 0, 0], [0, 1, 1]]})
    fit = ppl.infer.fit(problem, starts=2, draws=2000)
    whole = fit.log_likelihood()
    assert np.isnan(whole["y"][:, 0]).all() and whole["w"].shape == (2000, 2, 3)
    tree = fit.to_inference_data(predictive=True)
    for group in ("log_likelihood", "posterior_predictive", "prior_predictive"):
        found = tree[group]
        assert found["y"].dims == ("chain", "draw", "y_dim_0") and found["y"].y_dim_0.values.tolist() == [1, 2, 3]
        assert found["w"].dims == ("chain", "draw", "w_observed")
        assert found["w"].w_dim_0.values.tolist() == [0, 1, 1] and found["w"].w_dim_1.values.tolist() == [0, 1, 2]
        assert np.isfinite(found["y"]).all() and np.isfinite(found["w"]).all()
    np.testing.assert_array_equal(tree["log_likelihood"]["w"][0, :, 1], whole["w"][:, 1, 1])
    np.testing.assert_array_equal(tree["observed_data"]["w"], [0.4, 0.7, 0.9])
    np.testing.assert_array_equal(tree["observed_data"]["y"], y[1:])
    np.testing.assert_array_equal(tree["constant_data"]["y"], y)
    assert np.isfinite(loo(tree, var_name="y").elpd) and np.isfinite(loo(tree, var_name="w").elpd)


def test_names_of_dimensions_are_renamed_in_all_groups_alike() -> None:
    """Those that the elements of `y` lie along too, which are not on a grid."""
    y = np.arange(12.0).reshape(3, 2, 2)
    seen = {"y": np.array([[True, False], [False, True]])}
    values = {"chain": np.zeros((3, 2)), "y": y, "y_observed": np.ones(3), "y_dim_0": np.full(3, 2.0)}
    found = datasets.draws_of(values, seen)
    assert set(found.data_vars) == {"chain_", "y", "y_observed_", "y_dim_0_"}
    assert found["chain_"].dims == ("chain", "draw", "chain_dim_0")
    assert found["y"].y_dim_0.values.tolist() == [0, 1]
    observed = datasets.data({}, {k: v[0] for k, v in values.items()}, seen)["observed_data"]
    assert set(observed.data_vars) == set(found.data_vars)
    tree = xarray.DataTree.from_dict({"drawn": found})
    assert {k: v.shape for k, v in datasets.values(tree, "drawn").items()} == {
        "chain": (1, 3, 2), "y": (1, 3, 2), "y_observed": (1, 3), "y_dim_0": (1, 3)
    }  # fmt: skip


def test_pointwise_log_likelihoods_sum_to_the_log_joint() -> None:
    """In branches, ragged loops, slices, wholes, and where an element is observed twice."""
    source = """
data n: int
data y: real[n]
data b: bool[n]
x ~ Normal(0, 1)
w: real[2] ~ Normal(0, 1)
for i in 1..n {
    if x < y[i] { observe y[i] ~ Normal(x, 2) } else {
        observe y[i] ~ Laplace(w[0], 1)
        observe b[i] ~ Bernoulli(0.25)
    }
}
for i in 0..n { for j in 0..i { observe log(abs(y[i]) + 1) ~ Gamma(2, 1) } }
observe y[0..2] ~ Cauchy(w[1], 1)
observe n ~ Poisson(3)
"""
    y = [0.1, 0.2, -0.3, 1.0]
    problem = ppl.compile(source).bind({"y": y, "b": [True, False, True, False]})
    for seed in range(3):
        u = {k: v[0] for k, v in problem.prior_draws(jax.random.key(seed), 1).items()}
        replay = problem.replay(u)
        whole = sum(float(np.sum(o.log_likelihood)) for o in replay.observations.values())
        prior = stats.norm.logpdf(u["x"]) + stats.norm.logpdf(u["w"]).sum()
        assert whole == pytest.approx(float(problem.log_joint(problem.constrain(u))) - prior)
        first = stats.norm(u["x"], 2) if u["x"] < 0.2 else stats.laplace(u["w"][0], 1)
        expected = first.logpdf(0.2) + stats.cauchy(u["w"][1], 1).logpdf(0.2)
        assert float(replay.observations["y"].log_likelihood[1]) == pytest.approx(expected)
        assert replay.observations["y"].times.tolist() == [1, 2, 1, 1]
        assert replay.observations["observe_13"].times.tolist() == [[0] * 3, [1, 0, 0], [1, 1, 0], [1] * 3]
    with pytest.raises(ppl.PplError, match=r"element of `y` is observed more than once .* \(lines 8, 9, 14\)"):
        predict_prior(problem, jax.random.key(0), 3)
    drawn = predict_prior(problem, jax.random.key(0), 200, replicate=False)
    assert drawn.observations == {}
    assert np.isnan(drawn.log_likelihood["b"]).tolist() == [[True, False, False, False]] * 200
    assert (drawn.log_likelihood["b"][:, 1:] == 0).any() and (drawn.log_likelihood["b"][:, 1:] < 0).any()
    np.testing.assert_allclose(drawn.observed["observe_13"][3], math.log(2))


def test_what_is_not_observed_or_not_defined_is_not_a_number() -> None:
    source = "data k: int[3]\na ~ Normal(0, 1)\nfor i in 0..2 { if a > 0 { observe k[i] ~ Poisson(exp(1e3 * a)) } }"
    problem = ppl.compile(source).bind({"k": [1, 2, 3]})
    u = {"a": np.array([-1.0, 0.001, 2.0, 0.035])}
    drawn = predict(problem, u, 4, jax.random.key(0))
    k = drawn.observations["k"]
    assert np.isnan(k).tolist() == [[True] * 3, [False, False, True], [True] * 3, [False, False, True]]
    assert k[3, :2] == pytest.approx(math.exp(35), rel=1e-3)
    assert drawn.undefined == pytest.approx(2 / 6)


def test_a_program_without_latents() -> None:
    problem = ppl.compile("data k: int = 2\nobserve k ~ Categorical([0.2, 0.3, 0.5])").bind()
    k = predict_prior(problem, jax.random.key(2), DRAWS).observations["k"]
    assert k.shape == (DRAWS,)
    np.testing.assert_allclose(np.bincount(k) / DRAWS, [0.2, 0.3, 0.5], atol=0.01)


def test_empty_data() -> None:
    source = "data n: int\ndata y: real[n]\nx ~ Normal(0, 1)\nfor i in 0..n { observe y[i] ~ Normal(x, 1) }"
    drawn = predict_prior(ppl.compile(source).bind({"y": []}), jax.random.key(2), 5)
    assert drawn.observations["y"].shape == drawn.log_likelihood["y"].shape == (5, 0)


def test_replicates_given_the_data_are_announced() -> None:
    source = """
data n: int
data y: real[n]
data x: real[n]
a ~ Normal(0, 1)
for t in 1..n { observe y[t] ~ Normal(a * y[t - 1] + x[t], 1) }
"""
    problem = ppl.compile(source).bind({"y": [1.0, 2.0, 3.0], "x": [0.0, 0.0, 0.0]})
    (note,) = notes_on(problem)
    assert note.severity == "note" and note.code == "PPL812" and "`y`" in note.message
    assert note.span is not None and note.span.line == 6
    assert not notes_on(branched())


def test_every_distribution_can_be_replicated() -> None:
    assert not [d.name for d in DENSITIES.values() if not samplers.can_sample(d)]


def test_truncated_observations() -> None:
    source = "data y: real\ndata k: int\nz ~ Normal(0, 1)\n"
    source += "observe y ~ Normal(if z > 0 then 1 else -1, 2) in (0, 3)\nobserve k ~ Poisson(2) in (1, 3)"
    drawn = predict_prior(ppl.compile(source).bind({"y": 1.0, "k": 2}), jax.random.key(0), DRAWS)
    high = drawn.latents["z"] > 0
    for at, mean in ((high, 1), (~high, -1)):
        exact = stats.truncnorm(-mean / 2, (3 - mean) / 2, mean, 2)
        assert abs(z_score(drawn.observations["y"][at], exact.mean())) < 4
        assert abs(z_score(drawn.observations["y"][at] ** 2, exact.moment(2))) < 4
    weights = stats.poisson(2).pmf([1, 2, 3])
    np.testing.assert_allclose(np.bincount(drawn.observations["k"])[1:] / DRAWS, weights / weights.sum(), atol=0.01)


def test_equal_keys_give_equal_draws() -> None:
    a, b, c = (predict_prior(branched(), jax.random.key(k), 10).observations["y"] for k in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
