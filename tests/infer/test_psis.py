"""k-hat and smoothed weights, against weights whose tail is known and against ArviZ."""

from __future__ import annotations

import numpy as np
import pytest

from ppl.infer.advice import khat_in_words
from ppl.infer.psis import effective_draws, pareto_khat, resample, smooth


def pareto_log_weights(k: float, n: int = 20_000) -> np.ndarray:
    """Log weights with P(w > x) = x^(-1/k): their k-hat is k."""
    return -k * np.log1p(-(np.arange(n) + 0.5) / n)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.7, 1.0])
def test_a_known_tail_is_recovered(k: float) -> None:
    assert pareto_khat(pareto_log_weights(k)) == pytest.approx(k, abs=0.06)


@pytest.mark.parametrize(("k", "n"), [(0.1, 4000), (0.6, 4000), (1.3, 1000), (0.4, 200), (0.4, 30)])
def test_weights_and_khat_are_those_of_arviz(k: float, n: int) -> None:
    from arviz_stats.base.array import array_stats

    rng = np.random.default_rng(n)
    log_weight = -k * np.log(rng.random(n)) + 0.1 * rng.normal(size=n) - 300
    ours, khat = smooth(log_weight)
    theirs, reference = array_stats.psislw(-log_weight)  # it takes log likelihoods, and negates them
    assert khat == pytest.approx(float(reference), abs=1e-9)
    np.testing.assert_allclose(ours, theirs - np.log(np.sum(np.exp(theirs))), atol=1e-9)


def test_smoothed_weights_give_the_moments_of_the_target() -> None:
    """Draws from Normal(0, 1) reweighted to Normal(0.5, 0.8), where the importance ratio is bounded."""
    x = np.random.default_rng(0).normal(size=40_000)
    log_weight = -0.5 * ((x - 0.5) / 0.8) ** 2 + 0.5 * x**2
    weights, khat = smooth(log_weight)
    assert khat < 0.5
    assert np.exp(weights).sum() == pytest.approx(1)
    assert 0.4 < effective_draws(weights) / len(x) < 0.9
    resampled = x[resample(weights)]
    assert len(resampled) == len(x)
    assert resampled.mean() == pytest.approx(0.5, abs=0.02)
    assert resampled.std() == pytest.approx(0.8, abs=0.02)


def test_a_shift_of_the_log_weights_changes_nothing() -> None:
    weights = pareto_log_weights(0.4)
    assert pareto_khat(weights - 300) == pytest.approx(pareto_khat(weights), abs=1e-6)


@pytest.mark.parametrize("weights", [np.zeros(1000), np.linspace(0, 1, 10), np.array([0.0] * 99 + [-np.inf])])
def test_undefined_is_not_a_number(weights: np.ndarray) -> None:
    assert np.isnan(pareto_khat(weights))


def test_a_flat_top_is_no_tail() -> None:
    """Weights of discrete latents: the largest are all equal, and no larger ones are to come."""
    weights, khat = smooth(np.log(np.repeat([1.0, 6.0], 500)))
    assert khat == 0
    np.testing.assert_allclose(np.exp(weights).sum(), 1)
    np.testing.assert_allclose(np.exp(weights[-1]) / np.exp(weights[0]), 6)


@pytest.mark.parametrize("spread", [300.0, 3000.0])
def test_weights_that_underflow_are_as_uneven_as_can_be(spread: float) -> None:
    """Few draws have all the weight: a fit that is far off, not one whose k-hat is undefined."""
    log_weight = np.random.default_rng(3).exponential(spread, 4000) - 1e5
    assert pareto_khat(log_weight) == pytest.approx(spread, rel=0.3)


def test_words_follow_the_thresholds() -> None:
    words = [khat_in_words(k).split(":")[0] for k in (0.1, 0.6, 0.9, float("nan"))]
    assert words == ["good", "usable", "poor", "not defined here"]
