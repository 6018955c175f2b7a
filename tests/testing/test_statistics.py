"""Batch means, Welch's test and Holm's correction against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ppl.testing.batches import Plan, chosen, labels
from ppl.testing.statistics import Estimate, compare, holm, normal_quantile

RNG = np.random.default_rng(20181202)


def without_slack(batches: np.ndarray) -> Estimate:
    found = Estimate.of(batches)
    return Estimate(found.mean, found.se, found.batches, np.zeros_like(found.slack))


def test_comparison_is_welchs() -> None:
    a, b = RNG.normal(0.0, 1.0, (80, 5)), RNG.normal(0.2, 3.0, (200, 5))
    mine = compare(without_slack(a), without_slack(b))
    z, p = stats.ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose(mine.z, z, rtol=1e-12)
    np.testing.assert_allclose(mine.p, p, rtol=1e-9)


def test_slack_only_weakens() -> None:
    a, b = Estimate.of(RNG.normal(0.0, 1.0, (80, 5))), Estimate.of(RNG.normal(0.2, 3.0, (200, 5)))
    plain = compare(without_slack(RNG.normal(size=(80, 5))), without_slack(RNG.normal(size=(80, 5))))
    assert np.all(plain.error > 0)
    assert np.all(compare(a, b).error > np.hypot(a.se, b.se))
    assert np.all(compare(a, b).error < 1.2 * np.hypot(a.se, b.se))
    assert np.all(Estimate.of(RNG.normal(size=(80, 2)), unseen=np.array([7.0, 0.0])).slack[0] == 7)


def test_a_rare_large_value_is_not_taken_for_certain() -> None:
    batches = RNG.normal(0.0, 1e-3, (400, 1))
    batches[17] = 10.0
    other = Estimate.of(RNG.normal(0.0, 1e-3, (400, 1)))
    assert compare(Estimate.of(batches), other).p[0] > 0.1


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Of 4000 families of six true hypotheses, at level 0.01 no more than expected, 40, and twice its spread."""
    alarms = 0
    for _ in range(4000):
        a, b = (Estimate.of(RNG.normal(size=(64, 6))) for _ in range(2))
        alarms += bool(np.any(holm(compare(a, b).p) < 0.01))
    assert alarms < 40 + 2 * np.sqrt(40)


def test_values_that_are_not_finite_are_nobodys_agreement() -> None:
    batches = RNG.normal(size=(64, 3))
    batches[5, 1] = np.inf
    found = Estimate.of(batches)
    assert np.isnan(found.mean[1]) and np.isfinite(found.mean[[0, 2]]).all()
    c = compare(found, Estimate.of(RNG.normal(size=(64, 3))))
    assert np.isnan(c.z[1]) and np.isnan(c.p[1]) and np.isfinite(c.p[[0, 2]]).all()


def test_constants_agree_exactly_or_not_at_all() -> None:
    one, same, other = (Estimate.of(np.full((64, 1), v)) for v in (1.5, 1.5, 1.6))
    assert compare(one, same).p[0] == 1
    assert compare(one, other).p[0] == 0


def test_holm_by_hand() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(holm(p), [0.04, np.nan, 0.09, 0.09, 0.5])


def test_quantile() -> None:
    assert normal_quantile(0.05, 1) == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.05, 10) == pytest.approx(stats.norm.isf(0.0025))


def test_plans_cover_the_draws_with_enough_batches() -> None:
    for draws in (64, 100, 1000, 10_000, 1_000_000):
        plan = Plan.of(draws)
        assert plan.count >= 64
        assert draws <= plan.draws < draws + plan.size


def test_labels_follow_the_flat_order() -> None:
    tree = {"loc": {"x": np.zeros((2, 1)), "a": np.zeros(())}, "log_scale": {"a": np.zeros(())}}
    assert [str(n) for n in labels(tree)] == ["a.loc", "x[0, 0].loc", "x[1, 0].loc", "a.log_scale"]
    assert [str(n) for n in labels({"auto_loc": np.zeros(2)})] == ["auto_loc[0]", "auto_loc[1]"]
    assert [str(n) for n in labels(np.zeros(()))] == ["params"]


def test_a_choice_depends_on_the_seed_alone() -> None:
    assert chosen(range(5), 9, 0) == list(range(5))
    assert chosen(range(50), 9, 1) == chosen(range(50), 9, 1) != chosen(range(50), 9, 2)
    assert len(set(chosen(range(50), 9, 1))) == 9
