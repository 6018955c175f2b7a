"""From estimates to verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ppl.testing.batches import Label
from ppl.testing.result import AGREES, BIASED, NOT_FINITE, UNDECIDED, Component
from ppl.testing.statistics import Comparison, Estimate, Floats, compare, holm, normal_quantile

LEVEL = 0.001  # the chance that a check of an unbiased estimator finds fault is below this
SCREEN = 0.01  # what is less probable than this is estimated once more before it is called wrong
AGAIN = 10  # times the draws, for that
_POWER = 2.0  # normal quantile of 0.977: the bias this far beyond the threshold would be seen that often


def follow_up(
    estimate: Estimate, reference: Estimate, again: Callable[[], tuple[Estimate, Estimate]]
) -> tuple[Estimate, Estimate, NDArray[np.bool_]]:
    """Estimate and reference, where they differ at level SCREEN replaced by those of `again`; and where that is."""
    suspected = holm(compare(estimate, reference).p) < SCREEN
    if np.any(suspected):
        fresh = again()
        estimate, reference = fresh[0].where(suspected, estimate), fresh[1].where(suspected, reference)
    return estimate, reference, suspected


def components(
    labels: Sequence[Label],
    estimate: Estimate,
    reference: Estimate,
    units: Floats,
    methods: Sequence[str],
    among: NDArray[np.bool_] | None = None,
) -> tuple[Component, ...]:
    """The verdicts. With `among`, only these components can be called biased: the others have passed already."""
    c = compare(estimate, reference)
    p = holm(c.p)
    if among is not None:
        p = np.where(among, holm(np.where(among, c.p, np.nan)), np.maximum(p, SCREEN))
    visible = (normal_quantile(SCREEN, len(labels)) + _POWER) * c.error
    verdicts = _verdicts(estimate, reference, c, p, visible, units)
    return tuple(
        Component(
            label.site, label.kind, label.index,
            float(estimate.mean[i]), float(estimate.se[i]), float(reference.mean[i]), float(reference.se[i]),
            float(c.z[i]), float(p[i]), float(visible[i]), float(units[i]), str(methods[i]), verdicts[i],
        )
        for i, label in enumerate(labels)
    )  # fmt: skip


def _verdicts(e: Estimate, r: Estimate, c: Comparison, p: Floats, visible: Floats, units: Floats) -> list[str]:
    # Noise that could hide the whole gradient says nothing, unless it is small: a gradient of zero has no size.
    noisy = (visible > np.fmax(np.abs(e.mean), np.abs(r.mean))) & (visible * units > 1)
    return [
        NOT_FINITE if not np.isfinite(e.mean[i])
        else UNDECIDED if not np.isfinite(c.z[i])
        else BIASED if p[i] < LEVEL
        else UNDECIDED if noisy[i]
        else AGREES
        for i in range(len(p))
    ]  # fmt: skip
