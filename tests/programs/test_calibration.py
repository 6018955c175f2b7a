"""Ranks of simulation-based calibration: they find planted errors, and the page shows what is stored."""

from __future__ import annotations

import calibration
import jax
import numpy as np
import pytest
import rank_statistics as rank

import ppl

CONJUGATE = "data y: real[3]\nm ~ Normal(0, 1)\nobserve y ~ Normal(m, 2)"


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """200 draws of `m`, and data under each, as the study makes them."""
    with jax.enable_x64(True):
        problem = ppl.compile(CONJUGATE).bind({"y": np.zeros(3)})
        keys = jax.numpy.stack([calibration.key_of(k) for k in range(200)])
        u, y = jax.jit(jax.vmap(lambda key: calibration.simulate(problem, "y", key)))(keys)
        return np.asarray(u["m"]), np.asarray(y)


def ranks(simulated: tuple[np.ndarray, np.ndarray], mean: float = 0.0, narrow: float = 1.0) -> np.ndarray:
    """Ranks among draws of the exact posterior under a prior of this mean, with its standard deviation divided."""
    truth, y = simulated
    rng = np.random.default_rng(5)
    precision = 1 + y.shape[1] / 4
    centre = (mean + y.sum(axis=1) / 4) / precision
    draws = centre[:, None] + rng.normal(size=(len(y), 99)) / np.sqrt(precision) / narrow
    return np.array([rank.rank_of(t, d, rng) for t, d in zip(truth, draws, strict=True)])


def test_exact_posteriors_pass(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    found = ranks(simulated)
    assert rank.uniform_p(found, 99) > 0.05 and rank.symmetric_p(found, 99) > 0.05 and rank.shift_p(found, 99) > 0.05
    assert rank.coverage(found, 99) == pytest.approx(0.9, abs=0.06)


def test_a_prior_that_is_off_is_found_with_100_data_sets(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    found = ranks(simulated, mean=-1.5)[:100]
    assert rank.uniform_p(found, 99, bins=10) < 1e-3
    assert rank.symmetric_p(found, 99, bins=10) < 1e-3 and rank.shift_p(found, 99) < 1e-5
    assert rank.shift(found, 99)[0] > 0.1  # posteriors that lie too low


def test_too_narrow_is_not_uniform_and_still_symmetric(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    found = ranks(simulated, narrow=2.0)
    assert rank.uniform_p(found, 99) < 1e-6
    assert rank.symmetric_p(found, 99) > 0.01 and rank.shift_p(found, 99) > 0.01
    assert rank.coverage(found, 99) < 0.75
    shape = rank.histogram(found, 99, bins=4)
    assert shape[0] > 1.3 * shape[1] and shape[3] > 1.3 * shape[2]


def test_ties_are_broken_evenly() -> None:
    rng = np.random.default_rng(0)
    found = np.array([rank.rank_of(1.0, np.ones(9), rng) for _ in range(2000)])
    assert rank.uniform_p(found, 9, bins=10) > 0.01
    assert rank.rank_of(2.0, np.array([1.0, 2.5, 0.0]), rng) == 2


def test_bins_have_to_divide_the_ranks() -> None:
    with pytest.raises(ValueError, match="100 ranks do not divide into 7 bins"):
        rank.histogram(np.arange(10), 99, bins=7)
    assert rank.histogram(np.array([0, 4, 5, 99]), 99).tolist() == [2, 1, *[0] * 17, 1]


def test_bars_show_counts() -> None:
    assert rank.bars(np.arange(100), 99, bins=4) == "▄▄▄▄"
    assert rank.bars(np.zeros(8, int), 99, bins=4) == "█   "


def test_records_are_joined() -> None:
    one, two = ({"ranks": {"a": k, "b": 2}, "ess": k} for k in (1, 2))
    stored = calibration.joined(calibration.joined({}, [one]), [two])
    assert stored == {"ranks": {"a": [1, 2], "b": [2, 2]}, "ess": [1, 2]}


def test_page_shows_what_is_stored() -> None:
    """`python benchmarks/calibration.py page` would change nothing."""
    text = calibration.PAGE.read_text()
    assert calibration.render(text) == text
    assert all(
        f"<!-- table {name} -->" in text and f"<!-- program {name} -->" in text for name in calibration.studies()
    )


def test_stored_ranks_of_nuts_are_uniform() -> None:
    for name, found in calibration.json.loads(calibration.RESULTS.read_text()).items():
        for quantity, of_nuts in found["nuts"]["ranks"].items():
            assert len(of_nuts) >= 200 and rank.uniform_p(np.array(of_nuts), 99) > 0.001, (name, quantity)
