"""What importance weights say of a fit: how far they move its means and widths, other optima included.

A guide shows one optimum, and no draw from it reaches another one. But starts that ended elsewhere are guides too. Each
gives an importance sampling estimate of the moments and of the evidence of its own region, and regions that do not
overlap add up to a mixture, weighted by their evidence (as in the stacking of stuck chains of Yao, Vehtari & Gelman
2022, with evidences for weights). Where regions overlap, their share is counted more than once: the result is a rough
estimate, to judge the fit by and not to report as a posterior.

A posterior of several pieces may have a single optimum for the guide, which no start misses: then weights know nothing
of the pieces that no draw comes to. The guide made wider along one latent comes to those that lie along it, and its
weights are an estimate of the whole posterior once more. Everything here is arithmetic on draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppl.infer.psis import effective_draws, smooth

Array = NDArray[Any]

SHIFT = 0.25  # standard deviations between two means: more, and a reader would be misled
SPREAD = 1.25  # ratio of standard deviations, either way
FEWEST = 25  # draws in which an element has to exist for its moments to say anything
SAME = 1.0  # standard deviations: optima whose means are all this close are copies of one
ENOUGH = 200  # effective draws: fewer, and importance weights cannot tell means that are SHIFT apart
WIDER = 4.0  # times its width is a guide given along a latent: its draws go ten standard deviations out


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
    deviations, and the one whose width changes most, `stretched`, to `stretch` times what the guide has. `beyond` is a
    latent along which a wider guide finds more than the fit's own draws, which these are then taken from; "" if none.
    """

    effective_draws: float
    others: int
    share: float
    shifted: str
    shift: float
    stretched: str
    stretch: float
    beyond: str = ""

    @property
    def moved(self) -> bool:
        """Whether a reader of the fit alone would be misled."""
        return self.shift > SHIFT or not 1 / SPREAD < self.stretch < SPREAD

    def exceeds(self, other: Weighing) -> bool:
        """Whether this one would mislead a reader of the fit, and says clearly more than `other`: twice as clearly if
        that would too. Both are estimates from some hundred effective draws."""
        margin = 1.0 if other.moved else 0.5
        ratio = abs(np.log(self.stretch)) - abs(np.log(other.stretch))
        return self.moved and bool(self.shift - other.shift > margin * SHIFT or ratio > margin * np.log(SPREAD))


def weigh(draws: Mapping[str, Array], log_weight: Array, others: Sequence[Moments] = ()) -> Weighing:
    """`draws` (n, *shape) of a fit's latents and reports by name, NaN where one does not exist, with their log weights;
    `others` are optima as :func:`distinct` gives them, of the same quantities."""
    names, values = _flat(draws)
    weights, _ = smooth(log_weight)
    own = moments(values, np.ones(len(values)))
    level = _log_mean_exp(log_weight)
    parts = [_at(moments(values, np.exp(weights)), level), *others]
    outside = np.logaddexp.reduce([-np.inf, *(o.log_weight for o in others)])
    share = float(np.exp(outside - np.logaddexp(outside, level)))
    enough = np.sum(~np.isnan(values), axis=0) >= FEWEST
    return _compared(effective_draws(weights), len(others), share, names, own, mixture(parts), enough)


def look_beyond(found: Weighing, draws: Mapping[str, Array], wider: Regions, along: Sequence[str]) -> Weighing:
    """`found`, or what one of the `wider` guides has beyond it; each is the fit's, made wider along the latent that
    `along` names, and counts if enough of its draws are effective. `draws` are those of the fit."""
    names, values = _flat(draws)
    own = moments(values, np.ones(len(values)))
    enough = np.sum(~np.isnan(values), axis=0) >= FEWEST
    best = found
    for k, effective, whole in wider.estimates():
        if effective >= ENOUGH:
            seen = _compared(found.effective_draws, found.others, found.share, names, own, whole, enough)
            if seen.exceeds(best):
                best = replace(seen, beyond=along[k])
    return best


def _compared(
    effective: float, others: int, share: float, names: Sequence[str], own: Moments, whole: Moments, which: Array
) -> Weighing:
    """What changes from the guide's `own` moments to the `whole`, over `which` of the elements."""
    with np.errstate(all="ignore"):
        shift = np.abs(whole.mean - own.mean) / np.sqrt(whole.var)
        stretch = np.sqrt(whole.var / own.var)
    shift = np.where(which & np.isfinite(shift), shift, 0.0)
    stretch = np.where(which & np.isfinite(stretch) & (stretch > 0), stretch, 1.0)
    far, wide = _largest(shift), _largest(np.abs(np.log(stretch)))
    if not names:
        return Weighing(effective, others, share, "", 0.0, "", 1.0)
    return Weighing(effective, others, share, names[far], float(shift[far]), names[wide], float(stretch[wide]))


def moments(values: Array, weights: Array) -> Moments:
    """Of draws (n, elements), each as much as its weight (n,) says, over those that exist. Its own total is 1."""
    there = ~np.isnan(values)
    share = weights[:, None] * there
    total = share.sum(axis=0)
    mean, var = _mean_and_variance(values, np.zeros_like(values), share)
    return Moments(0.0, total / weights.sum(), mean, var)


def _mean_and_variance(means: Array, variances: Array, share: Array) -> tuple[Array, Array]:
    """Of a mixture of rows (n, elements), each as much as its share (n, elements) says. They are looked at from one of
    the means, so that the variance of what is constant is zero and not that of its last digit."""
    there = share > 0
    start = np.take_along_axis(means, np.argmax(there, axis=0)[None], axis=0)[0]
    total = share.sum(axis=0)

    def over(x: Array) -> Array:
        return np.where(there, share * x, 0.0).sum(axis=0) / total

    with np.errstate(invalid="ignore"):
        gap = means - start
        centre = over(gap)
        return start + centre, over(variances + (gap - centre) ** 2)


def mixture(parts: Sequence[Moments]) -> Moments:
    """All `parts` together."""
    level = np.array([p.log_weight for p in parts])
    whole = float(np.logaddexp.reduce(level))
    weight = np.exp(level - whole)[:, None]
    mean, var = (np.stack([getattr(p, f) for p in parts]) for f in ("mean", "var"))
    share = weight * np.stack([p.exists for p in parts])
    share = np.where(share > 0, share, 0.0)
    return Moments(whole, share.sum(axis=0), *_mean_and_variance(mean, var, share))


class Regions:
    """The optima of a run, weighed block of draws by block, so that no more than one block is held at a time."""

    def __init__(self, log_weights: Array) -> None:
        """`log_weights` (optima, draws), whose columns the blocks will come in the order of. Rows without a finite one
        are no optima."""
        self._usable = ~np.any(np.isnan(log_weights) | np.isposinf(log_weights), axis=1)
        self._usable &= np.any(np.isfinite(log_weights), axis=1)
        with_use = list(zip(log_weights, self._usable.tolist(), strict=True))
        self._level = [_log_mean_exp(w) if ok else -np.inf for w, ok in with_use]
        smoothed = [smooth(w)[0] if ok else np.full(w.size, -np.inf) for w, ok in with_use]
        self._effective = [effective_draws(w) if ok else 0.0 for w, ok in zip(smoothed, self._usable, strict=True)]
        self._weights: list[Array] = [np.exp(w) for w in smoothed]
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

    def estimates(self) -> Iterator[tuple[int, float, Moments]]:
        """Of each that has a density: its number, its effective draws, and the moments by its weights."""
        for k in np.flatnonzero(self._usable).tolist():
            if self._weighted[k]:
                yield k, self._effective[k], mixture(self._weighted[k])

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
