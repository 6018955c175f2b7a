"""The stop rule on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest

from ppl.infer import stopping
from ppl.infer.stopping import Chunk

STEPS = 250


def stage(drift: float, rise: float, chunks: int = 6, seed: int = 0, noise: float = 0.1) -> list[Chunk]:
    """Chunks of a run with two starts: iterates that drift and an ELBO that rises by so much per chunk."""
    rng = np.random.default_rng(seed)
    out: list[Chunk] = []
    for i in range(chunks):
        iterates = drift * i + noise * rng.normal(size=(STEPS, 2, 3))
        elbo = rise * i + rng.normal(size=(STEPS, 2)) - np.array([0.0, 50.0])
        mean = iterates.mean(0)
        batches = iterates.reshape(-1, 10, 2, 3).mean(1)
        spread, batch_m2 = ((iterates - mean) ** 2).sum(0), ((batches - mean) ** 2).sum(0)
        out.append(Chunk(elbo, mean, spread, batch_m2, len(batches), np.ones((2, 3))))
    return out


def test_a_stage_needs_a_few_chunks() -> None:
    assert not stopping.judge(stage(0, 0, chunks=stopping.MIN_CHUNKS - 1)).settled
    assert stopping.judge(stage(0, 0, chunks=stopping.MIN_CHUNKS)).settled


def test_a_rising_elbo_is_not_settled() -> None:
    verdict = stopping.judge(stage(0, 1.0))
    assert not verdict.settled
    assert verdict.gain == pytest.approx(2.0, abs=0.3)  # four chunks in the window, two between the middles


def test_drifting_iterates_are_not_settled() -> None:
    verdict = stopping.judge(stage(0.5, 0))
    assert not verdict.settled
    assert verdict.rhat > 2


def test_a_drift_far_below_the_guides_scale_does_not_matter() -> None:
    assert stopping.judge(stage(0.01, 0, noise=1e-4)).settled


def test_a_stage_does_not_last_for_ever() -> None:
    assert stopping.judge(stage(0.5, 0, chunks=stopping.MAX_CHUNKS)).settled
    rising = stage(0.5, 1.0, chunks=stopping.PATIENCE * stopping.MAX_CHUNKS)
    assert not stopping.judge(rising[: stopping.MAX_CHUNKS]).settled
    assert stopping.judge(rising).settled


def test_a_stage_goes_on_until_its_average_is_exact() -> None:
    noisy = stage(0, 0, noise=6.0)
    assert stopping.judge(noisy, exact=False).settled
    verdict = stopping.judge(noisy)
    assert not verdict.settled
    assert verdict.loss > stopping.TOLERANCE


def test_the_loss_of_averaging_is_what_the_error_of_the_mean_costs() -> None:
    """Independent iterates with sd 0.1 of the guide's scale: each of 3 parameters is off by 0.1 / sqrt(steps)."""
    chunks = stage(0, 0, chunks=40)
    exact = 3 * 0.5 * 0.1**2 / (40 * STEPS)
    assert stopping.averaging_loss(chunks, 0) == pytest.approx(exact, rel=0.15)


def test_the_loss_of_averaging_sees_autocorrelation() -> None:
    """Iterates that repeat ten times each carry a tenth of the information."""
    rng = np.random.default_rng(1)
    iterates = np.repeat(rng.normal(size=(400, 1, 1)), 10, axis=0)
    mean, batches = iterates.mean(0), iterates.reshape(-1, 10, 1, 1).mean(1)
    spread, batch_m2 = ((iterates - mean) ** 2).sum(0), ((batches - mean) ** 2).sum(0)
    chunk = Chunk(np.zeros((4000, 1)), mean, spread, batch_m2, len(batches), np.ones((1, 1)))
    assert stopping.averaging_loss([chunk], 0) == pytest.approx(0.5 / 400, rel=0.2)


def test_starts_in_different_places_have_a_large_rhat() -> None:
    chunks = stage(0, 0)
    assert stopping.between_rhat(chunks, [0, 1]) < 1.05
    for chunk in chunks:
        chunk.mean[1] += 3.0
    assert stopping.between_rhat(chunks, [0, 1]) > 5
    assert np.isnan(stopping.between_rhat(chunks, [0]))


def test_one_terrible_step_does_not_hide_a_rise() -> None:
    chunks = stage(0, 1.0)
    for chunk in chunks:
        chunk.elbo[7, 0] = -1e7
    assert not stopping.judge(chunks).settled


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
def test_the_best_column_is_that_of_the_highest_median(steps: int) -> None:
    rng = np.random.default_rng(steps)
    for _ in range(50):
        elbo = rng.normal(size=(steps, 5))
        elbo[rng.random(elbo.shape) < 0.4] = rng.choice([np.nan, np.inf, -np.inf])
        medians = [np.median(x[np.isfinite(x)]) if np.isfinite(x).any() else -np.inf for x in elbo.T]
        assert stopping.best_column(elbo) == np.argmax(medians)


def test_the_best_start_is_the_highest_and_never_one_without_finite_steps() -> None:
    chunks = stage(0, 0)
    assert stopping.best_start(chunks) == 0
    for chunk in chunks:
        chunk.elbo[:, 0] = np.nan
    assert stopping.best_start(chunks) == 1


def test_an_average_weighs_chunks_by_their_length() -> None:
    def chunk(steps: int, value: float) -> Chunk:
        zero = np.zeros((1, 1))
        return Chunk(np.zeros((steps, 1)), np.full((1, 1), value), zero, zero, steps // 10, np.ones((1, 1)))

    assert stopping.average([chunk(300, 1.0), chunk(100, 5.0)]) == pytest.approx(2.0)
