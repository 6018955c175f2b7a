"""The stop rule: when a learning rate has given what it can, and when the fit has.

A fit runs in stages. A stage has *settled* when the ELBO of its last window no longer rises beyond its Monte Carlo
error and the iterates look stationary: R-hat of the window's halves, as Dhaka et al. (NeurIPS 2020) propose for
variational inference. The iterates of the window are then averaged, once the Monte Carlo error of that average is small
enough not to be seen in the ELBO (Welandawe et al. 2022 stop by that error too). The fit has *converged* when a stage's
average is no better than that of the stage before, at a larger learning rate. Everything here is arithmetic on recorded
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

MIN_CHUNKS = 4
MAX_CHUNKS = 20  # a stage not settled by then is noise-bound: a smaller learning rate helps, more steps do not
PATIENCE = 4
RHAT_SETTLED = 1.2
DECAY = 0.25
STAGES = 6
DRIFT = 0.1  # guide scales: iterates that move less than this do not change the posterior, however steady they are
TOLERANCE = 0.01  # nats: a gain smaller than this is not worth a stage, an error smaller than this not a step


@dataclass(frozen=True, slots=True)
class Chunk:
    """Statistics of one chunk of iterates: `elbo` (steps, starts), the others (starts, parameters).

    `mean` and `m2` are the mean of the iterates and their summed squared deviations from it; `batch_m2` the summed
    squared deviations of `batches` means of consecutive iterates from their mean; `scale` is the length that matters in
    each parameter: the guide's own scale for a location, 1 for a log scale.
    """

    elbo: Floats
    mean: Floats
    m2: Floats
    batch_m2: Floats
    batches: int
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
    loss: float  # nats that the Monte Carlo error of the window's average costs, see `averaging_loss`


def window(stage: list[Chunk]) -> list[Chunk]:
    """The chunks that a verdict and an average are about: the last half of the stage, and an even number of them."""
    size = max(MIN_CHUNKS, len(stage) // 2)
    return stage[-(size - size % 2) :]


def judge(stage: list[Chunk], fewest: int = MIN_CHUNKS, most: int = MAX_CHUNKS, exact: bool = True) -> Verdict:
    """Whether the stage has settled: never before `fewest` chunks; after `most` if the ELBO does not rise, and always
    after `PATIENCE` times as many.

    Where no average will be taken for an answer (not `exact`), its Monte Carlo error does not matter.
    """
    if len(stage) < max(fewest, 2):
        return Verdict(False, *[float("nan")] * 4)
    tail = window(stage)[-(len(stage) - len(stage) % 2) :]
    half = len(tail) // 2
    start = best_start(tail)
    before, after = (_level(np.concatenate([c.elbo[:, start] for c in part])) for part in (tail[:half], tail[half:]))
    gain, gain_se = after[0] - before[0], float(np.hypot(after[1], before[1]))
    rhat, loss = split_rhat(tail, start), averaging_loss(tail, start)
    flat = gain < max(2 * gain_se, TOLERANCE)
    settled = flat and rhat < RHAT_SETTLED and (loss < TOLERANCE or not exact)
    over = len(stage) >= (most if flat or not exact else PATIENCE * most)
    return Verdict(settled or over, gain, gain_se, rhat, loss)


def rising(stage: list[Chunk]) -> float:
    """The share of starts whose ELBO still rises, beyond its Monte Carlo error, in the stage's window."""
    tail = window(stage)
    half = len(tail) // 2
    before, after = (np.concatenate([c.elbo for c in part]) for part in (tail[:half], tail[half:]))
    count = 0
    for start in range(before.shape[1]):
        (low, low_se), (high, high_se) = _level(before[:, start]), _level(after[:, start])
        count += bool(high - low > max(2 * np.hypot(low_se, high_se), TOLERANCE))
    return count / before.shape[1]


def best_start(chunks: list[Chunk]) -> int:
    """The start with the highest median ELBO; one that was not finite throughout is never the best."""
    return best_column(np.concatenate([c.elbo for c in chunks]))


def elbo_level(elbo: Floats) -> tuple[float, float]:
    """ELBO of the best start over some steps (steps, starts), and its standard error, for showing progress."""
    return _level(elbo[:, best_column(elbo)])


def split_rhat(chunks: list[Chunk], start: int) -> float:
    """R-hat of the iterates between the two halves of `chunks`, largest over parameters.

    Movements below DRIFT guide scales are counted as noise: at a small learning rate iterates are so quiet that any
    drift would look large beside it, though it changes nothing that a user sees.
    """
    half = len(chunks) // 2
    parts = [_pool(chunks[:half], start), _pool(chunks[half:], start)]
    return _rhat(parts, chunks[-1].scale[start])


def between_rhat(chunks: list[Chunk], starts: list[int]) -> float:
    """R-hat of the iterates over several starts, largest over parameters; NaN for fewer than two.

    Near 1 if they have found the same optimum; starts of equal ELBO with a large R-hat have found different ones.
    """
    if len(starts) < 2:
        return float("nan")
    return _rhat([_pool(chunks, start) for start in starts], chunks[-1].scale[starts].mean(axis=0))


def averaging_loss(chunks: list[Chunk], start: int) -> float:
    """Nats of ELBO that the Monte Carlo error of the mean iterate costs, to second order.

    The error of each parameter is estimated from the means of batches of steps, whose spread contains the iterates'
    autocorrelation. Near its maximum the ELBO falls by half the squared distance in guide scales for a location, and by
    the squared distance for a log scale; the sum over parameters ignores their correlations in the posterior.
    """
    batches = np.array([c.batches for c in chunks])
    if batches.sum() < 4:
        return float("nan")
    means = np.stack([c.mean[start] for c in chunks])
    middle = np.average(means, axis=0, weights=batches)
    m2 = sum(c.batch_m2[start] for c in chunks) + (batches[:, None] * (means - middle) ** 2).sum(axis=0)
    variance = m2 / (batches.sum() - 1) / batches.sum()
    return float(np.sum(0.5 * variance / chunks[-1].scale[start] ** 2))


def average(chunks: list[Chunk]) -> Floats:
    """Mean iterate over `chunks`, (starts, parameters)."""
    weights = np.array([c.steps for c in chunks], dtype=float)
    return np.average(np.stack([c.mean for c in chunks]), axis=0, weights=weights)


def _rhat(parts: list[tuple[Floats, Floats, int]], scale: Floats) -> float:
    steps = min(p[2] for p in parts)
    within = np.mean([p[1] for p in parts], axis=0)
    between = np.var([p[0] for p in parts], axis=0, ddof=1)
    noise = within + (DRIFT * scale) ** 2
    return float(np.sqrt(np.max((steps - 1) / steps + between / noise)))


def _pool(chunks: list[Chunk], start: int) -> tuple[Floats, Floats, int]:
    """Mean, variance and number of the iterates of several chunks, for one start."""
    steps = np.array([c.steps for c in chunks], dtype=float)[:, None]
    means = np.stack([c.mean[start] for c in chunks])
    total = steps.sum()
    mean = (steps * means).sum(0) / total
    m2 = sum(c.m2[start] for c in chunks) + (steps * (means - mean) ** 2).sum(0)
    return mean, np.asarray(m2 / (total - 1)), int(total)


def best_column(elbo: Floats) -> int:
    """The column of (steps, starts) with the highest median of finite values; one without any comes last."""
    finite = np.isfinite(elbo)
    count, ordered = finite.sum(axis=0), np.sort(np.where(finite, elbo, np.inf), axis=0)
    low, high = (np.take_along_axis(ordered, k[None], axis=0)[0] for k in ((count - 1) // 2, count // 2))
    return int(np.argmax(np.where(count > 0, low + high, -np.inf)))


def _level(elbo: Floats) -> tuple[float, float]:
    """Median of the finite values and its standard error, not numbers if there are none.

    Medians, because one step in the far tail of a boundary can be -1e5 and says nothing about the others.
    """
    values = elbo[np.isfinite(elbo)]
    if not values.size:
        return np.nan, np.nan
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, 1.2533 * spread / float(np.sqrt(values.size))
