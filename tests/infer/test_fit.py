"""Fits of hand-written problems: convergence, starts, stop reasons, reproducibility, failures."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import ppl
from ppl.diagnostics import InferenceError
from ppl.infer import Progress, SettingsError, fit

from .stand_in import SPAN, Site, StandIn, branch, change_point, gaussian, normal_prior

COUNT = [4, 5, 4, 6, 3, 4, 5, 1, 0, 1, 2, 0, 1, 1]


def test_a_gaussian_target_is_found_exactly() -> None:
    result = fit(gaussian([3.0, -1.0], [0.05, 2.0], prior_sd=4.0), seed=3)
    assert result.converged
    assert result.stop_reason.startswith("converged:")
    assert abs(result.elbo) < 0.01
    np.testing.assert_allclose(result.params["loc"]["x"], [3.0, -1.0], atol=0.1)
    np.testing.assert_allclose(np.exp(result.params["log_scale"]["x"]), [0.05, 2.0], rtol=0.1)


@pytest.mark.parametrize(("center", "width"), [(20.0, 1e-3), (0.0, 1e3)])
def test_steps_are_measured_in_prior_standard_deviations(center: float, width: float) -> None:
    target = gaussian([center + 0.5 * width], [0.1 * width])
    target = dataclasses.replace(target, prior_draw=normal_prior([center], [width]))
    with jax.enable_x64(True):
        result = fit(target, starts=2)
    assert abs(result.elbo) < 0.01


def test_the_change_point_is_found_and_reported() -> None:
    result = fit(change_point(COUNT))
    assert result.converged
    assert 6 < np.median(result.draws["change"]) < 8
    assert result.draws["early"].shape == (4000,)
    np.testing.assert_allclose(result.reports["ratio"], result.draws["early"] / result.draws["late"], rtol=1e-5)
    assert result.elbo == pytest.approx(result.log_weight.mean(), abs=1e-3)


def two_modes(distance: float = 6.0) -> StandIn:
    """Two Gaussians, too far apart for one guide to see both; the one on the right has 95% of the mass."""

    def density(u, guards):
        left = jnp.log(0.05) + norm.logpdf(u[0], -distance, 0.3)
        return jnp.logaddexp(left, jnp.log(0.95) + norm.logpdf(u[0], distance, 0.3))

    return StandIn("two_modes", (Site("x"),), density, normal_prior([-distance], [distance]))


def test_several_starts_find_the_better_optimum() -> None:
    result = fit(two_modes(), starts=8)
    assert result.elbo == pytest.approx(np.log(0.95), abs=0.05)
    assert len(result.starts) == 8
    assert max(result.starts) == pytest.approx(np.log(0.95), abs=0.1)
    assert min(result.starts) == pytest.approx(np.log(0.05), abs=0.1)  # there is another one, and it was seen


def test_equal_seeds_give_equal_results_and_other_seeds_do_not() -> None:
    first, second, other = (fit(gaussian([1.0], [0.5]), seed=s, steps=300, starts=2) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.draws["x"], second.draws["x"])
    np.testing.assert_array_equal(first.trace, second.trace)
    assert first.elbo == second.elbo
    assert first.elbo != other.elbo


@pytest.mark.parametrize("steps", [1, 617])
def test_steps_makes_exactly_that_many(steps: int) -> None:
    seen: list[Progress] = []
    result = fit(gaussian([1.0], [0.5]), steps=steps, starts=2, progress=seen.append)
    assert result.steps == steps
    assert result.trace.shape == (steps,)
    assert result.stop_reason.startswith(f"steps: made the {steps} steps")
    assert not result.converged
    assert [p.step for p in seen] == [*range(100, steps, 100), steps]
    assert all(p.total == steps and np.isfinite(p.elbo) for p in seen)


def test_fewer_steps_are_the_first_part_of_more() -> None:
    short, long = (fit(gaussian([1.0], [0.5]), steps=n, starts=1) for n in (300, 700))
    np.testing.assert_array_equal(short.trace, long.trace[:300])


def test_the_chunk_is_compiled_once() -> None:
    traced = []
    problem = gaussian([1.0], [0.5])

    class Counting(StandIn):
        def elbo_and_grad(self, guide, estimator, *rest):
            fn = StandIn.elbo_and_grad(self, guide, estimator, *rest)

            def counted(params, key, boundaries):
                traced.append(1)
                return fn(params, key, boundaries)

            return counted

    fields = {f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)}
    result = fit(Counting(**fields), steps=1100, starts=2)
    assert len(traced) <= 2  # once for its dtype, once in the loop
    assert 0 < result.compile_seconds < result.seconds


def spiky(probability: float) -> StandIn:
    """A Gaussian whose density is not a number in the far left of what the prior reaches."""

    def density(u, guards):
        return jnp.where(u[0] < norm.ppf(probability), jnp.nan, norm.logpdf(u[0], 1.5, 0.2))

    return StandIn("spiky", (Site("x"),), density, normal_prior([0.0], [1.0]))


def test_steps_that_are_not_finite_are_skipped_and_counted() -> None:
    result = fit(spiky(0.2), starts=1)
    assert result.nonfinite_steps > 0
    assert abs(result.elbo) < 0.01
    assert result.diagnostics["nonfinite_steps"] == result.nonfinite_steps


def test_the_first_step_that_was_not_finite_is_named_by_the_line_of_its_density() -> None:
    """exp(exp(x)) overflows beyond x = 4.5 in single precision, where some of the starts are and no posterior is."""
    text = "x ~ Normal(0, 3)\n\nfactor -exp(exp(x))\n"
    result = ppl.compile(text).infer({}, steps=300, starts=8, draws=500)
    assert result.nonfinite_steps > 0
    assert re.fullmatch(r"first at step \d+, in the density of line 3", result.nonfinite_where)
    assert result.diagnostics["nonfinite_where"] == result.nonfinite_where
    said = " ".join(result.advice)
    assert f"{result.nonfinite_steps} gradients were not finite and left out: {result.nonfinite_where}." in said


def test_a_gradient_that_is_not_finite_is_named_by_its_latents() -> None:
    """The ELBO is finite, and so are the gradients of all latents but one."""

    class Broken(StandIn):
        def elbo_and_grad(self, guide, estimator, *rest):
            fn = StandIn.elbo_and_grad(self, guide, estimator, *rest)

            def broken(params, key, boundaries=None):
                elbo, grad = fn(params, key, boundaries)
                loc = grad["loc"] | {"y": jnp.where(params["loc"]["y"] > 1.0, jnp.nan, grad["loc"]["y"])}
                return elbo, grad | {"loc": loc}

            return broken

    sites = (Site("x"), Site("y", span=SPAN))
    target = Broken("broken", sites, lambda u, g: jnp.sum(norm.logpdf(u, -2.0)), normal_prior([0, 0], [1, 1]))
    result = fit(target, steps=200, starts=8, draws=300)
    assert result.nonfinite_steps > 0
    assert re.fullmatch(r"first at step \d+, in the gradient of `y` \(line 3\)", result.nonfinite_where)
    assert np.isfinite(result.elbo)


def test_one_huge_gradient_does_not_throw_the_fit() -> None:
    def density(u, guards):
        return norm.logpdf(u[0], 1.0, 0.5) - 1e6 * jax.nn.relu(u[0] - 3.2)  # 4.4 guide scales away

    problem = StandIn("wall", (Site("x"),), density, normal_prior([0.0], [1.0]))
    result = fit(problem, starts=2)
    assert result.params["loc"]["x"] == pytest.approx(1.0, abs=0.4)


def test_a_density_that_is_zero_where_the_guide_reaches_is_an_error() -> None:
    def density(u, guards):
        return jnp.where(u[0] > 0, norm.logpdf(u[0]), -jnp.inf)

    problem = StandIn("half", (Site("x"),), density, normal_prior([0.0], [1.0]))
    with pytest.raises(InferenceError) as info:
        fit(problem, steps=500)
    assert info.value.diagnostics[0].code == "PPL801"


def test_a_density_that_is_never_finite_stops_early() -> None:
    problem = StandIn("nan", (Site("x"),), lambda u, g: u[0] * jnp.nan, normal_prior([0.0], [1.0]))
    seen: list[Progress] = []
    with pytest.raises(InferenceError, match="none of 100 steps from 16 starts"):
        fit(problem, progress=seen.append)
    assert not seen


def test_require_converged_turns_an_early_end_into_an_error() -> None:
    with pytest.raises(InferenceError) as info:
        fit(gaussian([1.0], [0.5]), steps=300, require_converged=True)
    assert info.value.diagnostics[0].code == "PPL802"
    assert fit(gaussian([1.0], [0.5]), require_converged=True).converged


def test_latents_that_do_not_exist_are_nan_and_left_out_of_the_summary() -> None:
    result = fit(branch())
    y, x = result.draws["y"], result.draws["x"]
    np.testing.assert_array_equal(np.isnan(y), x <= 0)
    row = result.summary()["latents"]["y"]
    assert row["exists"] == pytest.approx(np.mean(x > 0))
    assert 0.05 < row["exists"] < 0.95
    assert row["mean"] == pytest.approx(np.nanmean(y))
    assert result.summary()["latents"]["x"]["exists"] == 1


def test_the_interior_estimator_is_available_and_biased() -> None:
    combined, interior = (fit(change_point(COUNT), estimator=e, starts=2) for e in ("combined", "interior"))
    assert combined.elbo > interior.elbo + 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimator": "best"},
        {"steps": 0},
        {"samples": 0},
        {"starts": 0},
        {"draws": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"seed": -1},
        {"resume": True},
    ],
)
def test_requests_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(SettingsError):
        fit(gaussian([1.0], [0.5]), **wrong)
