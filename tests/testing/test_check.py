"""`check_gradient`: right estimators pass, wrong ones do not, and it says what it cannot see.

Everything here is statistical with fixed seeds. A right estimator is called wrong with a probability below 0.001.
"""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from one_if_by_hand import ONE_IF, gradient, params

import ppl
from ppl.testing import check_gradient, compare_estimators, starting_params
from ppl.testing.batches import batch_fn, batch_means
from ppl.testing.reference import differences_batch, make_reference, score_batch
from ppl.testing.statistics import Estimate, compare, holm

DRAWS = 20_000


@pytest.fixture(scope="module")
def problem() -> ppl.Problem:
    return ppl.compile(ONE_IF).bind()


# ---------------------------------------------------------------------------------------------------------- references


@pytest.mark.parametrize("method", [score_batch, differences_batch])
def test_references_are_unbiased(problem: ppl.Problem, method: Any) -> None:
    more = ([0],) if method is differences_batch else ()
    means = batch_means(batch_fn(method(problem, "meanfield", 200, *more), params()), jax.random.key(1), 400)
    found = Estimate.of(means[:, :2])
    assert np.all(np.abs(found.mean - gradient()) < 4 * found.se), (found, gradient())
    assert np.all(found.se < 0.01), "the test has no power"


def test_references_are_unbiased_where_latents_may_not_exist_and_noise_is_drawn() -> None:
    """Both references, and the combined estimator, agree on a program in which the path decides which latents exist."""
    source = """
noise e ~ Normal(0, 0.5)
x ~ Normal(0, 1)
if x > e { y ~ LogNormal(x, 0.5) } else { y = 0.1 }
observe 0.8 ~ Normal(y, 0.6)
"""
    problem = ppl.compile(source).bind()
    at, n = problem.init_params(), 200
    combined = problem.elbo_and_grad(samples=n)
    functions = [
        score_batch(problem, "meanfield", n),
        differences_batch(problem, "meanfield", n, [0, 1]),
        lambda p, k: ravel_pytree(combined(p, k)[1])[0],
    ]
    means = [batch_means(batch_fn(f, at), jax.random.key(i), 300)[:, :4] for i, f in enumerate(functions)]
    score, differences, estimate = (Estimate.of(m) for m in means)
    for a, b in ((score, differences), (differences, estimate)):
        assert np.all(np.abs(a.mean - b.mean) < 4 * np.hypot(a.se, b.se)), (a, b)
    assert np.all(differences.se < score.se)


def test_latents_that_are_too_many_for_differences_get_the_score() -> None:
    problem = ppl.compile("w: real[30] ~ Normal(0, 1)\nobserve 1 ~ Normal(if w[3] > 0 then 1 else 0, 1)\n").bind()
    at, units = problem.init_params(), np.ones(60)
    few = make_reference(problem, "meanfield", at, 64, 0, jax.random.key(0), units)
    assert 0 < np.sum(few.method == "differences") <= 2 * 5
    assert set(few.draws) == {"score", "differences"}
    assert few.estimate(jax.random.key(1)).mean.shape == (60,)
    many = make_reference(problem, "meanfield", at, 10_000, 0, jax.random.key(0), units)
    assert np.all(many.method == "differences")


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_combined_agrees_and_plain_ad_does_not(problem: ppl.Problem) -> None:
    combined, interior = compare_estimators(problem, params(), draws=DRAWS)
    assert combined.ok and not combined.undecided
    assert [c.name for c in combined.components] == ["z.loc", "z.log_scale"]
    for c, exact in zip(combined.components, gradient(), strict=True):
        assert abs(c.estimate - exact) < 4 * c.se + 1e-6  # pairs leave nothing but rounding in some components
        assert abs(c.reference - exact) < 4 * c.reference_se
        assert abs(c.z) <= abs(c.estimate - c.reference) / np.hypot(c.se, c.reference_se)
        assert c.visible < 0.2
    assert not interior.ok
    assert interior.wrong[0].name == "z.loc"
    assert interior.wrong[0].z < -20
    # Without the boundary, the gradient is that of two standard normals.
    assert interior.components[0].estimate == pytest.approx(-0.4, abs=0.03)
    assert interior.relative_error > 0.8
    combined.assert_ok()
    with pytest.raises(AssertionError, match=r"Plain automatic differentiation is biased in 2 of 2[^$]*z\.log_scale"):
        interior.assert_ok()


def test_a_right_estimator_is_suspected_as_rarely_as_promised(problem: ppl.Problem) -> None:
    """At level 0.01, in 100 checks: one suspicion expected, and that would still have to be confirmed."""
    reference = make_reference(problem, "meanfield", params(), 1000, 0, jax.random.key(0), np.ones(2))
    combined = problem.elbo_and_grad(samples=4)
    fn = batch_fn(lambda p, k: ravel_pytree(combined(p, k)[1])[0], params())
    suspicions = 0
    for seed in range(100):
        one, other = jax.random.split(jax.random.key(seed))
        estimate = Estimate.of(batch_means(fn, one, 64))
        suspicions += bool(np.any(holm(compare(estimate, reference.estimate(other)).p) < 0.01))
    assert suspicions <= 4


FAULTS = {
    "right": (lambda g, _: g, "agrees"),
    "doubled": (lambda g, _: 2 * g, "biased"),
    "mirrored": (lambda g, _: -g, "biased"),
    "dropped": (lambda _, interior: interior, "biased"),
    "shifted": (lambda g, _: g + 0.06, "biased"),
    "broken": (lambda g, _: jnp.where(g > 1, jnp.nan, g), "not finite"),
}


@pytest.mark.parametrize("seed", range(2))
def test_planted_faults_are_found_and_nothing_else(seed: int) -> None:
    """One latent for each fault: what is wrong with one component is not blamed on another."""
    source = "".join(f"{name} ~ Normal(0, 1)\nfactor if {name} > 0.1 then 1 else 0\n" for name in FAULTS)
    problem = ppl.compile(source).bind()
    combined, interior = (problem.elbo_and_grad(samples=1, estimator=e) for e in ("combined", "interior"))

    def fn(params: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        (elbo, whole), (_, inside) = combined(params, key), interior(params, key)
        loc = {k: how(whole["loc"][k], inside["loc"][k]) for k, (how, _) in FAULTS.items()}
        return elbo, {**whole, "loc": loc}

    at = problem.init_params()
    check = check_gradient(problem, at, fn, draws=DRAWS // 2, seed=seed)
    assert {c.site: c.verdict for c in check.components if c.kind == "loc"} == {k: v for k, (_, v) in FAULTS.items()}
    assert {c.verdict for c in check.components if c.kind == "log_scale"} == {"agrees"}
    assert check.repeated >= 4
    assert "The estimator is biased or not finite in 5 of 12 gradients." in check.summary()


def test_a_program_without_boundaries_has_nothing_to_correct() -> None:
    problem = ppl.compile("x ~ Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\n").bind()
    combined, interior = compare_estimators(problem, problem.init_params(), draws=2000)
    assert combined.ok and interior.ok
    assert combined.components == interior.components


def test_an_event_too_rare_for_the_reference_is_no_fault_of_the_estimator() -> None:
    """The jump is almost in the middle of the guide: a wider draw of its size rarely lands on the other side."""
    problem = ppl.compile("x ~ Normal(0, 1)\nfactor if x > 0.0005 then 3000 else 0\n").bind()
    at = problem.init_params()
    for seed in range(2):
        assert check_gradient(problem, at, draws=1000, seed=seed).ok


def test_noise_that_hides_the_gradient_is_not_called_agreement() -> None:
    problem = ppl.compile("x ~ Normal(0, 1)\nobserve 3 ~ Normal(exp(4 * x), 0.1)\nobserve 0 ~ Normal(x, 1)\n").bind()
    check = check_gradient(problem, problem.init_params(), draws=500)
    assert check.ok
    assert len(check.undecided) == 2
    assert check.summary().startswith("Nothing can be said about the combined estimator")
    assert "more draws help" in check.summary()


# ------------------------------------------------------------------------------------------------------- what is asked


def test_equal_arguments_give_equal_results(problem: ppl.Problem) -> None:
    a, b = (check_gradient(problem, params(), draws=1000, seed=3) for _ in range(2))
    assert a == b
    found = a.to_json()
    json.dumps(found, allow_nan=False)
    assert {"components", "ok", "summary", "draws", "reference_draws", "elbo"} <= set(found)
    assert found["components"][0]["name"] == "z.loc"


def test_without_params_it_is_where_a_fit_starts() -> None:
    problem = ppl.compile("t ~ Normal(20, 0.01)\nobserve 1 ~ Normal(if t > 20 then 1 else 0, 1)\n").bind()
    start = starting_params(problem)
    assert float(start["loc"]["t"]) == pytest.approx(20, abs=0.01)
    combined, interior = compare_estimators(problem, draws=2000)
    assert combined.ok and not interior.ok  # a guide around 0 would never see the guard
    assert combined.components[0].unit == pytest.approx(0.01, rel=0.3)


def test_requests_that_make_no_sense_are_refused(problem: ppl.Problem) -> None:
    with pytest.raises(ValueError, match="draws must be at least 64"):
        check_gradient(problem, draws=63)
    with pytest.raises(ValueError, match="params do not fit the problem"):
        check_gradient(problem, {"loc": {"z": jnp.zeros(2)}, "log_scale": {"z": jnp.zeros(2)}})
    with pytest.raises(ValueError, match="no guide 'dense'"):
        check_gradient(problem, guide="dense")
    with pytest.raises(ValueError, match="no estimator 'naive'"):
        check_gradient(problem, estimator="naive")


def test_a_density_that_is_not_finite_is_an_error_with_its_line(problem: ppl.Problem) -> None:
    problem = ppl.compile("x ~ Normal(0, 1)\nfactor log(x + 2.5)\n").bind()
    with pytest.raises(ppl.InferenceError) as caught:
        check_gradient(problem, problem.init_params(), draws=1000)
    (d,) = caught.value.diagnostics
    assert d.code == "PPL801"
    assert d.span is not None and d.span.line == 2


def test_a_program_without_latents_is_refused() -> None:
    problem = ppl.compile("noise e ~ Normal(0, 1)\nobserve 1 ~ Normal(e, 1)\n").bind()
    with pytest.raises(ppl.PplError) as caught:
        check_gradient(problem)
    assert [d.code for d in caught.value.diagnostics] == ["PPL805"]
