"""What ranks of simulation-based calibration say: uniform, symmetric, too narrow or too wide.

A rank is the number of posterior draws below the value from which the data were simulated. If the draws are independent
and from the posterior itself, ranks among L draws are uniform on 0..L (Talts, Betancourt, Simpson, Vehtari & Gelman
2018, theorem 1), whatever the model. Importing this file needs numpy and scipy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Ranks = NDArray[np.int64]
BINS = 20
BARS = " ▁▂▃▄▅▆▇█"


def rank_of(truth: float, draws: NDArray[Any], rng: np.random.Generator) -> int:
    """The rank of `truth` among `draws`, at random among those equal to it, as counts may be."""
    equal = int(np.sum(draws == truth))
    return int(np.sum(draws < truth)) + int(rng.integers(equal + 1))


def histogram(ranks: Ranks, draws: int, bins: int = BINS) -> Ranks:
    """Counts of `ranks` among so many draws; their number plus one has to divide into the bins."""
    if (draws + 1) % bins:
        raise ValueError(f"{draws + 1} ranks do not divide into {bins} bins")
    return np.bincount(np.asarray(ranks) * bins // (draws + 1), minlength=bins)


def uniform_p(ranks: Ranks, draws: int, bins: int = BINS) -> float:
    """The p value of Pearson's chi-square test that ranks are uniform."""
    return float(stats.chisquare(histogram(ranks, draws, bins)).pvalue)


def symmetric_p(ranks: Ranks, draws: int, bins: int = BINS) -> float:
    """The p value of the chi-square test that a histogram equals its mirror image, whatever its shape: bins i and
    `bins` - 1 - i share their ranks evenly (Bowker's test of symmetry). Too narrow or wide a posterior alone passes.
    """
    counts = histogram(ranks, draws, bins)
    left, right = counts[: bins // 2], counts[::-1][: bins // 2]
    seen = left + right > 0
    value = np.sum((left - right)[seen] ** 2 / (left + right)[seen])
    return float(stats.chi2.sf(value, np.sum(seen)))


def shift(ranks: Ranks, draws: int) -> tuple[float, float]:
    """The mean of the ranks as shares from 0 to 1, less a half, and its standard error from their own spread.

    Above 0: posteriors lie too low. It is zero for every symmetric histogram.
    """
    share = (np.asarray(ranks) + 0.5) / (draws + 1)
    return float(np.mean(share) - 0.5), float(np.std(share, ddof=1) / np.sqrt(share.size))


def shift_p(ranks: Ranks, draws: int) -> float:
    """The p value of a mean rank that far from the middle."""
    mean, error = shift(ranks, draws)
    return float(2 * stats.norm.sf(abs(mean) / error))


def coverage(ranks: Ranks, draws: int, inside: float = 0.9) -> float:
    """How often the central interval that should hold a share `inside` of the posterior holds the truth."""
    share = (np.asarray(ranks) + 0.5) / (draws + 1)
    return float(np.mean(np.abs(share - 0.5) < inside / 2))


def bars(ranks: Ranks, draws: int, bins: int = BINS) -> str:
    """The histogram as text. A uniform one is half a line high; what is above twice that is cut."""
    counts = histogram(ranks, draws, bins)
    height = counts / (len(ranks) / bins) * 4
    return "".join(BARS[int(np.clip(np.round(h), 0, 8))] for h in height)
