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
        out.append(Chunk(elbo, mean, ((iterates - mean) ** 2).sum(0), np.ones((2, 3))))
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
    assert stopping.judge(stage(0.5, 1.0, chunks=stopping.MAX_CHUNKS)).settled


def test_one_terrible_step_does_not_hide_a_rise() -> None:
    chunks = stage(0, 1.0)
    for chunk in chunks:
        chunk.elbo[7, 0] = -1e7
    assert not stopping.judge(chunks).settled


def test_the_best_start_is_the_highest_and_never_one_without_finite_steps() -> None:
    chunks = stage(0, 0)
    assert stopping.best_start(chunks) == 0
    for chunk in chunks:
        chunk.elbo[:, 0] = np.nan
    assert stopping.best_start(chunks) == 1


def test_an_average_weighs_chunks_by_their_length() -> None:
    def chunk(steps: int, value: float) -> Chunk:
        return Chunk(np.zeros((steps, 1)), np.full((1, 1), value), np.zeros((1, 1)), np.ones((1, 1)))

    assert stopping.average([chunk(300, 1.0), chunk(100, 5.0)]) == pytest.approx(2.0)
