# SciPy's special functions come without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Means with standard errors from batches, and the tests that compare two of them in many components at once.

A batch mean averages many draws, so it is close to normal where a single draw is not; the spread of independent batch
means gives the standard error without a formula for the variance of a draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
MIN_BATCHES = 64  # fewer, and the standard errors themselves are too uncertain for probabilities of 1e-5


@dataclass(frozen=True, slots=True)
class Estimate:
    """Independent estimates of several components: means, their standard errors, the batches behind each.

    `slack` is what the standard error may miss: a part of the distribution that hardly any draw has shown.
    """

    mean: Floats
    se: Floats
    batches: NDArray[np.int64]
    slack: Floats

    @staticmethod
    def of(batches: Floats, unseen: Floats | float = 0.0) -> Estimate:
        """From batch means, (batches, components). A component is NaN if one of its batches is not finite.

        Its slack is twice the share of the mean that one batch like the most extreme one has: without it, a rare large
        value that turns up once, or not at all, makes two good estimates differ by many standard errors. `unseen` is
        a slack known otherwise; the larger one counts.
        """
        finite = np.all(np.isfinite(batches), axis=0)
        safe, count = np.where(finite, batches, 0.0), len(batches)
        mean, se = safe.mean(axis=0), safe.std(axis=0, ddof=1) / np.sqrt(count)
        slack = np.maximum(2 * np.max(np.abs(safe - mean), axis=0) / count, unseen)
        mean, se = np.where(finite, mean, np.nan), np.where(finite, se, np.nan)
        return Estimate(mean, se, np.full(mean.shape, count), slack)

    def where(self, mask: NDArray[np.bool_], other: Estimate) -> Estimate:
        """This estimate in the components of `mask`, `other` elsewhere."""
        pairs = ((self.mean, other.mean), (self.se, other.se), (self.batches, other.batches), (self.slack, other.slack))
        mean, se, batches, slack = (np.where(mask, a, b) for a, b in pairs)
        return Estimate(mean, se, batches, slack)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two estimates of one thing. `p` is two-sided and not corrected; NaN where either is not finite.

    `error` is the standard error of the difference with both estimates' slack.
    """

    z: Floats
    p: Floats
    error: Floats


def compare(a: Estimate, b: Estimate) -> Comparison:
    """Welch's test of ``a.mean == b.mean`` per component, with the slack added in quadrature.

    Degrees of freedom: B. L. Welch, Biometrika 34 (1947).
    """
    va, vb = a.se**2, b.se**2
    error = np.sqrt(va + vb + a.slack**2 + b.slack**2)
    spread = va**2 / (a.batches - 1) + vb**2 / (b.batches - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(a.mean == b.mean, 0.0, (a.mean - b.mean) / error)
        freedom = np.where(spread > 0, (va + vb) ** 2 / spread, np.inf)
    return Comparison(z, 2 * _t_tail(np.abs(z), freedom), error)


def _t_tail(t: Floats, freedom: Floats) -> Floats:
    """P(T > t) of Student's t, normal where `freedom` is infinite."""
    return np.where(np.isinf(freedom), special.ndtr(-t), special.stdtr(np.minimum(freedom, 1e9), -t))


def holm(p: Floats) -> Floats:
    """`p` corrected for testing all of them: rejecting where it is below a level keeps the chance of *any* false
    rejection below that level (S. Holm, Scand. J. Statist. 6, 1979). NaN, for no test, stays NaN.
    """
    out = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested])]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out


def normal_quantile(level: float, tests: int) -> float:
    """The |z| at which one of `tests` two-sided tests rejects at family-wise `level` (Bonferroni)."""
    return float(-special.ndtri(level / (2 * max(tests, 1))))


def rounding(dtype: Any, *sizes: Floats | float) -> Floats:
    """A bound for the rounding error of sums and differences of numbers as large as `sizes`."""
    return np.asarray(16 * np.finfo(dtype).eps * (1 + sum(np.abs(np.nan_to_num(s)) for s in sizes)))
