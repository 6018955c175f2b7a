# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Searching among optima: which starts to try next, once the first ones have settled in different places.

A density with many branches has optima that differ in a few decisions: one switch of a thermostat, some months of an
epidemic. Two searches follow each other, and every result of either competes with what is known already.

*Annealing*: fresh starts, half of them with the log density divided by a temperature that falls to 1 (deterministic
annealing: Katahira, Watanabe & Okada 2008; Mandt et al. 2016). A hot guide is wide, averages over decisions and takes
them in the order of how much the data care; a cold one finds narrow optima that a wide one smooths away.

*Crossing*: copies of a good start take over a stretch of another one, or of a prior draw. A stretch is a range of
positions along the first axes of all arrays (or of one), as sites that share a time axis decide together.
"""

from __future__ import annotations

import math

import numpy as np

from ppl.infer.layout import Layout
from ppl.infer.stopping import Floats

TEMPERATURES = (100.0, 32.0, 10.0, 3.2, 1.0)
HOT_CHUNKS = 2  # fewest at one temperature
CROSSINGS = 12
CROSSING_CHUNKS = (4, 5)
CROSSING_LR = 0.25  # of the first learning rate
DONATED = 0.6  # of the crossings; the others take their stretch from a prior draw
THROWN = (0.3, 0.1, 0.03)  # at most this many prior standard deviations wide are places taken from a prior draw
WORTH = 0.1  # nats: a crossing that brings less has failed
SAME = 0.05  # nats: starts this close are taken for one optimum, and one of them is kept


def temperatures(level: int, lanes: int) -> Floats:
    """The temperature of each lane at a level of annealing."""
    return np.where(np.arange(lanes) % 4 < 2, TEMPERATURES[level], 1.0)


def hot_lr(lr: float, temperature: float) -> float:
    """The learning rate at a temperature: `lr` at the highest, 0.4 of it at 1."""
    return lr * (temperature / TEMPERATURES[0]) ** 0.2


def hot_chunks(latents: int) -> tuple[int, int]:
    """The fewest and the most chunks at one temperature."""
    return HOT_CHUNKS, round(HOT_CHUNKS + 2.4 * math.log10(max(latents, 1)))


def patience(latents: int) -> int:
    """How many crossings in a row may fail: more where there is more to decide."""
    return 1 + int(math.log10(max(latents, 1)))


def agree(elbos: Floats, errors: Floats) -> bool:
    """Whether all starts ended at the same ELBO; `errors` are those of their distances to the best."""
    best = np.max(elbos)
    return bool(np.all(best - elbos < WORTH + 2 * errors)) if np.isfinite(best) else False


def select(rows: Floats, elbos: Floats, count: int) -> tuple[Floats, Floats]:
    """The best `count` of `rows` by `elbos`, best first; of those closer than SAME only one, while there are others."""
    order = np.argsort(-np.where(np.isfinite(elbos), elbos, -np.inf), kind="stable").tolist()
    distinct: list[int] = []
    for i in order:
        if np.isfinite(elbos[i]) and all(abs(elbos[i] - elbos[j]) >= SAME for j in distinct):
            distinct.append(i)
    rest = [i for i in order if i not in distinct]
    chosen = (distinct + rest)[:count]
    return rows[chosen], elbos[chosen]


def cross(rows: Floats, prior: Floats, layout: Layout, rng: np.random.Generator) -> Floats:
    """As many new rows, each a copy of one of `rows` (the best first) with a stretch from elsewhere.

    `prior` (draws, parameters) has places drawn from the prior; what comes from there keeps the copy's scale, or a
    smaller one, so that it is not undone before the rest has adapted to it.
    """
    new = rows.copy()
    count = len(rows)
    for i in range(count):
        base = 0 if i % 2 == 0 else i
        new[i] = rows[base]
        stretch = _stretch(layout, rng)
        if rng.random() < DONATED and count > 1:
            donor = int(rng.choice([j for j in range(count) if j != base]))
            new[i, stretch] = rows[donor, stretch]
        else:
            drawn = prior[rng.integers(len(prior))]
            moved = stretch[layout.loc]
            loc, scale = layout.loc[moved], layout.log_scale[moved]
            new[i, loc] = drawn[loc]
            new[i, scale] = np.minimum(new[i, scale], np.log(rng.choice(THROWN) * layout.unit[loc]))
    return new


def _stretch(layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """A mask (parameters,): one range of positions along arrays, and each scalar with probability one half."""
    names = sorted(set(layout.name))
    finest = min(1.0, 2 / max(layout.longest, 1))
    length = np.exp(rng.uniform(np.log(finest), np.log(0.5))) if finest < 0.5 else 0.5
    first = rng.uniform(-length / 2, 1 - length / 2)
    inside = (layout.position >= first) & (layout.position < first + length)
    taken = {name: bool(rng.random() < 0.5) for name in names}
    scalar = np.array([taken[name] for name in layout.name])
    mask = np.where(np.isnan(layout.position), scalar, inside)
    if rng.random() < 0.5:
        mask &= np.array(layout.name) == names[int(rng.integers(len(names)))]
    return mask
