"""k-hat against weights whose tail is known."""

from __future__ import annotations

import numpy as np
import pytest

from ppl.infer.khat import khat_in_words, pareto_khat


def pareto_log_weights(k: float, n: int = 20_000) -> np.ndarray:
    """Log weights with P(w > x) = x^(-1/k): their k-hat is k."""
    return -k * np.log1p(-(np.arange(n) + 0.5) / n)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.7, 1.0])
def test_a_known_tail_is_recovered(k: float) -> None:
    assert pareto_khat(pareto_log_weights(k)) == pytest.approx(k, abs=0.06)


def test_a_shift_of_the_log_weights_changes_nothing() -> None:
    weights = pareto_log_weights(0.4)
    assert pareto_khat(weights - 300) == pytest.approx(pareto_khat(weights), abs=1e-6)


@pytest.mark.parametrize("weights", [np.zeros(1000), np.linspace(0, 1, 10), np.array([0.0] * 99 + [-np.inf])])
def test_undefined_is_not_a_number(weights: np.ndarray) -> None:
    assert np.isnan(pareto_khat(weights))


def test_words_follow_the_thresholds() -> None:
    words = [khat_in_words(k).split(":")[0] for k in (0.1, 0.6, 0.9, float("nan"))]
    assert words == ["good", "usable", "poor", "not defined here"]
