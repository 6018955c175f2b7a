"""The stop rule: when a learning rate has given what it can, and when the fit has.

A fit runs in stages of falling learning rate. A stage has *settled* when the ELBO of its last window no longer rises
beyond its Monte Carlo error and the iterates look stationary (R-hat of the window's halves, as Dhaka et al., NeurIPS
2020, propose for variational inference). The iterates of the window are then averaged; the fit has *converged* when a
stage's average is no better than the previous stage's. Everything here is arithmetic on recorded numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

MIN_CHUNKS = 4
MAX_CHUNKS = 8  # a stage that has not settled by then is noise-bound: a smaller learning rate helps, more steps do not
RHAT_SETTLED = 1.2
DECAY = 0.25
STAGES = 8
DRIFT = 0.1  # guide scales: iterates that move less than this do not change the posterior, however steady they are
TOLERANCE = 0.01  # nats: a gain smaller than this is not worth a stage


@dataclass(frozen=True, slots=True)
class Chunk:
    """Statistics of one chunk of iterates: `elbo` (steps, starts), the others (starts, parameters).

    `mean` and `m2` are the mean of the iterates and their summed squared deviations from it; `scale` is the length
    that matters in each parameter: the guide's own scale for a location, 1 for a log scale.
    """

    elbo: Floats
    mean: Floats
    m2: Floats
    scale: Floats

    @property
    def steps(self) -> int:
        return len(self.elbo)


@dataclass(frozen=True, slots=True)
class Verdict:
    settled: bool
    gain: float  # ELBO of the window's second half minus the first, for the best start, in nats
    gain_se: float
    rhat: float  # largest over parameters, for the best start


def window(stage: list[Chunk]) -> list[Chunk]:
    """The chunks that a verdict and an average are about: the last half of the stage, and an even number of them."""
    size = max(MIN_CHUNKS, len(stage) // 2)
    return stage[-(size - size % 2) :]


def judge(stage: list[Chunk]) -> Verdict:
    """Whether the stage has settled. Needs MIN_CHUNKS chunks; before that it has not."""
    if len(stage) < MIN_CHUNKS:
        return Verdict(False, float("nan"), float("nan"), float("nan"))
    tail = window(stage)
    half = len(tail) // 2
    start = best_start(tail)
    before, after = (_level(np.concatenate([c.elbo[:, start] for c in part])) for part in (tail[:half], tail[half:]))
    gain, gain_se = after[0] - before[0], float(np.hypot(after[1], before[1]))
    rhat = split_rhat(tail, start)
    flat = gain < max(2 * gain_se, TOLERANCE)
    return Verdict((flat and rhat < RHAT_SETTLED) or len(stage) >= MAX_CHUNKS, gain, gain_se, rhat)


def best_start(chunks: list[Chunk]) -> int:
    """The start with the highest median ELBO; one that was not finite throughout is never the best."""
    return _best_column(np.concatenate([c.elbo for c in chunks]))


def elbo_level(elbo: Floats) -> tuple[float, float]:
    """ELBO of the best start over some steps (steps, starts), and its standard error, for showing progress."""
    return _level(elbo[:, _best_column(elbo)])


def split_rhat(chunks: list[Chunk], start: int) -> float:
    """R-hat of the iterates between the two halves of `chunks`, largest over parameters.

    Movements below DRIFT guide scales are counted as noise: at a small learning rate iterates are so quiet that any
    drift would look large beside it, though it changes nothing that a user sees.
    """
    half = len(chunks) // 2
    parts = [_pool(chunks[:half], start), _pool(chunks[half:], start)]
    steps = min(p[2] for p in parts)
    within = (parts[0][1] + parts[1][1]) / 2
    between = np.var([parts[0][0], parts[1][0]], axis=0, ddof=1)
    noise = within + (DRIFT * chunks[-1].scale[start]) ** 2
    return float(np.sqrt(np.max((steps - 1) / steps + between / noise)))


def average(chunks: list[Chunk]) -> Floats:
    """Mean iterate over `chunks`, (starts, parameters)."""
    weights = np.array([c.steps for c in chunks], dtype=float)
    return np.average(np.stack([c.mean for c in chunks]), axis=0, weights=weights)


def _pool(chunks: list[Chunk], start: int) -> tuple[Floats, Floats, int]:
    """Mean, variance and number of the iterates of several chunks, for one start."""
    steps = np.array([c.steps for c in chunks], dtype=float)[:, None]
    means = np.stack([c.mean[start] for c in chunks])
    total = steps.sum()
    mean = (steps * means).sum(0) / total
    m2 = sum(c.m2[start] for c in chunks) + (steps * (means - mean) ** 2).sum(0)
    return mean, np.asarray(m2 / (total - 1)), int(total)


def _best_column(elbo: Floats) -> int:
    return max(range(elbo.shape[1]), key=lambda start: _level(elbo[:, start], -np.inf)[0])


def _level(elbo: Floats, nothing: float = np.nan) -> tuple[float, float]:
    """Median of the finite values and its standard error; `nothing` if there are none.

    Medians, because one step in the far tail of a boundary can be -1e5 and says nothing about the others.
    """
    values = elbo[np.isfinite(elbo)]
    if not values.size:
        return nothing, np.nan
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, 1.2533 * spread / float(np.sqrt(values.size))
