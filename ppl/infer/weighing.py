"""What importance weights say of a fit: how far they move its means and widths, other optima included.

A guide shows one optimum, and no draw from it reaches another one. But starts that ended elsewhere are guides too. Each
gives an importance sampling estimate of the moments and of the evidence of its own region, and regions that do not
overlap add up to a mixture, weighted by their evidence (as in the stacking of stuck chains of Yao, Vehtari & Gelman
2022, with evidences for weights). Where regions overlap, their share is counted more than once: the result is a rough
estimate, to judge the fit by and not to report as a posterior. Everything here is arithmetic on draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppl.infer.psis import effective_draws, smooth

Array = NDArray[Any]

SHIFT = 0.25  # standard deviations between two means: more, and a reader would be misled
SPREAD = 1.25  # ratio of standard deviations, either way
FEWEST = 25  # draws in which an element has to exist for its moments to say anything
SAME = 1.0  # standard deviations: optima whose means are all this close are copies of one


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and variances of all elements of all quantities, in a row, with the total weight behind them.

    `log_weight` is the logarithm of the total; `exists` the share of it under which an element exists.
    """

    log_weight: float
    exists: Array
    mean: Array
    var: Array


@dataclass(frozen=True, slots=True)
class Weighing:
    """`effective_draws` of the fit's own weights; the number of `others`, distinct optima, and their estimated `share`
    of the posterior; the quantity whose mean would move furthest, `shifted`, by `shift` of its estimated standard
    deviations, and the one whose width changes most, `stretched`, to `stretch` times what the guide has.
    """

    effective_draws: float
    others: int
    share: float
    shifted: str
    shift: float
    stretched: str
    stretch: float


def weigh(draws: Mapping[str, Array], log_weight: Array, others: Sequence[Moments] = ()) -> Weighing:
    """`draws` (n, *shape) of a fit's latents and reports by name, NaN where one does not exist, with their log weights;
    `others` are optima as :func:`distinct` gives them, of the same quantities."""
    names, values = _flat(draws)
    weights, _ = smooth(log_weight)
    own = moments(values, np.ones(len(values)))
    level = _log_mean_exp(log_weight)
    parts = [_at(moments(values, np.exp(weights)), level), *others]
    whole = mixture(parts)
    enough = np.sum(~np.isnan(values), axis=0) >= FEWEST
    with np.errstate(all="ignore"):
        shift = np.abs(whole.mean - own.mean) / np.sqrt(whole.var)
        stretch = np.sqrt(whole.var / own.var)
    shift = np.where(enough & np.isfinite(shift), shift, 0.0)
    stretch = np.where(enough & np.isfinite(stretch) & (stretch > 0), stretch, 1.0)
    far, wide = _largest(shift), _largest(np.abs(np.log(stretch)))
    outside = np.logaddexp.reduce([-np.inf, *(o.log_weight for o in others)])
    return Weighing(
        effective_draws=effective_draws(weights),
        others=len(others),
        share=float(np.exp(outside - np.logaddexp(outside, level))),
        shifted=names[far] if names else "",
        shift=float(shift[far]) if names else 0.0,
        stretched=names[wide] if names else "",
        stretch=float(stretch[wide]) if names else 1.0,
    )


def moments(values: Array, weights: Array) -> Moments:
    """Of draws (n, elements), each as much as its weight (n,) says, over those that exist. Its own total is 1."""
    there = ~np.isnan(values)
    share = weights[:, None] * there
    total = share.sum(axis=0)
    filled = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore"):
        mean = (share * filled).sum(axis=0) / total
        var = (share * np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / total
    return Moments(0.0, total / weights.sum(), mean, var)


def mixture(parts: Sequence[Moments]) -> Moments:
    """All `parts` together."""
    level = np.array([p.log_weight for p in parts])
    whole = float(np.logaddexp.reduce(level))
    weight = np.exp(level - whole)[:, None]
    mean, var = (np.stack([getattr(p, f) for p in parts]) for f in ("mean", "var"))
    share = weight * np.stack([p.exists for p in parts])
    share = np.where(share > 0, share, 0.0)
    total = share.sum(axis=0)

    def over(x: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.where(share > 0, share * x, 0.0).sum(axis=0) / total

    centre = over(mean)
    return Moments(whole, total, centre, over(var + (mean - centre) ** 2))


class Regions:
    """The optima of a run, weighed block of draws by block, so that no more than one block is held at a time."""

    def __init__(self, log_weights: Array) -> None:
        """`log_weights` (optima, draws), whose columns the blocks will come in the order of. Rows without a finite one
        are no optima."""
        self._usable = ~np.any(np.isnan(log_weights) | np.isposinf(log_weights), axis=1)
        self._usable &= np.any(np.isfinite(log_weights), axis=1)
        with_use = list(zip(log_weights, self._usable.tolist(), strict=True))
        self._level = [_log_mean_exp(w) if ok else -np.inf for w, ok in with_use]
        self._weights: list[Array] = [np.exp(smooth(w)[0]) if ok else np.zeros(w.size) for w, ok in with_use]
        self._seen = 0
        self._plain: list[list[Moments]] = [[] for _ in log_weights]
        self._weighted: list[list[Moments]] = [[] for _ in log_weights]

    def add(self, draws: Mapping[str, Array]) -> None:
        """The next block: (optima, draws, *shape) by name."""
        size: int = next(iter(draws.values())).shape[1]
        for k in np.flatnonzero(self._usable).tolist():
            _, values = _flat({name: v[k] for name, v in draws.items()})
            weights: Array = self._weights[k][self._seen : self._seen + size]
            self._plain[k].append(moments(values, np.ones(size)))
            total = weights.sum()
            if total > 0:
                part = moments(values, weights)
                self._weighted[k].append(_at(part, self._level[k] + float(np.log(total))))
        self._seen += size

    def distinct(self, fitted: Mapping[str, Array]) -> list[Moments]:
        """The optima that are copies neither of each other, the first ones first, nor of the fit with draws `fitted`.

        A copy is one whose own means, or those that its weights give its region, are those of another: a start that
        stopped on its way has the latter.
        """
        _, values = _flat(fitted)
        kept = [(moments(values, np.ones(len(values))),) * 2]
        out: list[Moments] = []
        for k in np.flatnonzero(self._usable).tolist():
            if not self._weighted[k]:
                continue
            found = mixture(self._plain[k]), mixture(self._weighted[k])
            if all(min(_distance(a, b) for a, b in zip(found, one, strict=True)) > SAME for one in kept):
                kept.append(found)
                out.append(found[1])
        return out


def _distance(a: Moments, b: Moments) -> float:
    """Between the means, in the larger of the standard deviations; infinite where one has what the other has not."""
    apart = np.abs(a.mean - b.mean)
    with np.errstate(all="ignore"):
        far = np.where(apart > 0, apart / np.sqrt(np.maximum(a.var, b.var)), 0.0)
    far = np.where(np.isnan(far), 0.0, far)
    return float(np.max(np.where(np.abs(a.exists - b.exists) > 0.5, np.inf, far), initial=0.0))


def _at(part: Moments, log_weight: float) -> Moments:
    return Moments(log_weight, part.exists, part.mean, part.var)


def _log_mean_exp(log_weight: Array) -> float:
    return float(np.logaddexp.reduce(log_weight.astype(np.float64)) - np.log(log_weight.size))


def _largest(x: Array) -> int:
    return int(np.argmax(x)) if x.size else 0


def _flat(draws: Mapping[str, Array]) -> tuple[list[str], Array]:
    """Names of all elements, and their draws (n, elements)."""
    names: list[str] = []
    columns: list[Array] = []
    for name, values in sorted(draws.items()):
        names += [name + (f"[{', '.join(map(str, i))}]" if i else "") for i in np.ndindex(values.shape[1:])]
        columns.append(values.reshape(len(values), -1).astype(np.float64))
    return names, np.concatenate(columns, axis=1)
