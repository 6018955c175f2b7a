"""Reference posterior of ``programs/influenza.ppl`` by collapsed Gibbs sampling.

Given which months have f > 0 the program is linear and Gaussian in the shocks v and w, so these are integrated out
exactly and only the 132 signs are sampled, a few neighbouring months at a time. A backward information filter makes a
sweep linear in the number of months (the idea of Gerlach, Carter & Kohn, JASA 2000). Kept sweeps then draw f, v and w
given the signs, exactly. All chains advance together as one numpy batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

# The state is (a, a of the month before, c): state' = STEP state + SHIFT + NOISE (v, w) / sd.
STEP = np.array([[1.406, -0.622, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -0.312]])
SHIFT = np.array([0.0, 0.0, 0.210])
NOISE = np.array([[0.023, 0.0], [0.0, 0.0], [0.0, 0.112]])
SHOCK_SD = (0.023, 0.112)
OBSERVE = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # by sign: 0 means a + c, 1 means a alone
VARIANCE = 0.002**2
STAY = float(ndtr(0.67))  # probability that f keeps its sign
LOG_SIGN = np.log(np.array([[STAY, 1 - STAY], [1 - STAY, STAY]]))


def information(signs: NDArray[np.int64], deaths: Array) -> tuple[Array, Array]:
    """Backward filter: log p(deaths after month t | state t = x) = -x'Qx/2 + r'x + const.

    `signs` has shape (T, chains); Q and r have shapes (T + 1, chains, 3, 3) and (T + 1, chains, 3).
    """
    months, chains = len(deaths), signs.shape[1]
    q = np.zeros((months + 1, chains, 3, 3))
    r = np.zeros((months + 1, chains, 3))
    for t in range(months - 1, -1, -1):
        seen_q, seen_r = observed(q[t + 1], r[t + 1], signs[t], deaths[t])
        gain = seen_q @ NOISE @ np.linalg.inv(np.eye(2) + NOISE.T @ seen_q @ NOISE) @ NOISE.T
        before_q = seen_q - gain @ seen_q
        before_r = seen_r - matvec(gain, seen_r) - before_q @ SHIFT
        q[t] = STEP.T @ (before_q + before_q.transpose(0, 2, 1)) @ STEP / 2
        r[t] = before_r @ STEP
    return q, r


def observed(q: Array, r: Array, sign: NDArray[np.int64], deaths: float) -> tuple[Array, Array]:
    """Information with the observation of one month added."""
    h = OBSERVE[sign]
    return q + h[:, :, None] * h[:, None, :] / VARIANCE, r + h * deaths / VARIANCE


def matvec(a: Array, x: Array) -> Array:
    return np.einsum("...ij,...j->...i", a, x)


def kalman(mean: Array, cov: Array, sign: NDArray[np.int64], deaths: float) -> tuple[Array, Array, Array]:
    """One month: predict and condition. Returns mean, covariance and log p(deaths), for any batch shape."""
    mean = mean @ STEP.T + SHIFT
    cov = STEP @ cov @ STEP.T + NOISE @ NOISE.T
    h = OBSERVE[sign]
    cov_h = matvec(cov, h)
    var = np.sum(h * cov_h, axis=-1) + VARIANCE
    error = deaths - np.sum(h * mean, axis=-1)
    gain = cov_h / var[..., None]
    log_p = -0.5 * (np.log(2 * np.pi * var) + error**2 / var)
    return mean + gain * error[..., None], cov - gain[..., :, None] * cov_h[..., None, :], log_p


def expected_future(mean: Array, cov: Array, q: Array, r: Array) -> Array:
    """log of the integral of N(x; mean, cov) exp(-x'Qx/2 + r'x)."""
    slope = r - matvec(q, mean)
    system = np.eye(3) + q @ cov
    _, log_det = np.linalg.slogdet(system)
    solved = matvec(cov, np.linalg.solve(system, slope[..., None])[..., 0])
    flat = np.sum(r * mean, axis=-1) - 0.5 * np.sum(mean * matvec(q, mean), axis=-1)
    return flat - 0.5 * log_det + 0.5 * np.sum(slope * solved, axis=-1)


def blocks(months: int, rng: np.random.Generator, narrow: int = 3, wide: int = 8) -> list[int]:
    """Boundaries of the blocks of one sweep, at random: one wide block, narrow ones around it.

    In this series months 4 to 11 change sign together or not at all, which narrow blocks alone take long to do; every
    other sweep, on average, puts the wide block there.
    """
    start = min(4, months) if rng.random() < 0.5 else int(rng.integers(0, months))
    before = range(start, 0, -narrow)
    after = range(min(start + wide, months), months, narrow)
    return sorted({0, *before, *after, months})


def sweep(signs: NDArray[np.int64], deaths: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """One Gibbs pass over all months, block by block; signs have shape (T, chains)."""
    months, chains = signs.shape
    signs = signs.copy()
    q, r = information(signs, deaths)
    mean, cov = np.zeros((chains, 3)), np.zeros((chains, 3, 3))
    for start, end in itertools.pairwise(blocks(months, rng)):
        options = np.array(list(itertools.product((0, 1), repeat=end - start)))  # (options, months of the block)
        m = np.broadcast_to(mean, (len(options), chains, 3))
        c = np.broadcast_to(cov, (len(options), chains, 3, 3))
        score = np.zeros((len(options), chains))
        for j, t in enumerate(range(start, end)):
            chosen = np.broadcast_to(options[:, j, None], (len(options), chains))
            m, c, log_p = kalman(m, c, chosen, deaths[t])
            if t > 0:
                score += LOG_SIGN[options[:, j - 1, None] if j else signs[t - 1], chosen]
            score += log_p
        if end < months:
            score += LOG_SIGN[options[:, -1, None], signs[end]] + expected_future(m, c, q[end], r[end])
        pick = np.argmax(score + rng.gumbel(size=score.shape), axis=0)
        signs[start:end] = options[pick].T
        mean, cov = m[pick, np.arange(chains)], c[pick, np.arange(chains)]
    return signs


def draw_latents(signs: NDArray[np.int64], deaths: Array, rng: np.random.Generator) -> dict[str, Array]:
    """f, v and w given the signs of f[1:], exactly; shapes (chains, T+1), (chains, T), (chains, T)."""
    months, chains = signs.shape
    q, r = information(signs, deaths)
    state = np.zeros((chains, 3))
    shocks = np.empty((months, chains, 2))
    for t in range(months):
        seen_q, seen_r = observed(q[t + 1], r[t + 1], signs[t], deaths[t])
        state = state @ STEP.T + SHIFT
        precision = np.eye(2) + NOISE.T @ seen_q @ NOISE
        slope = (seen_r - matvec(seen_q, state)) @ NOISE
        root = np.linalg.cholesky(precision)
        eps = rng.standard_normal((chains, 2, 1)) + np.linalg.solve(root, slope[..., None])
        shocks[t] = np.linalg.solve(root.transpose(0, 2, 1), eps)[..., 0]
        state = state + shocks[t] @ NOISE.T
    first = np.where(rng.random(chains) < STAY, signs[0], 1 - signs[0])
    every = np.vstack([first, signs])
    means = np.vstack([np.zeros(chains), np.where(every[:-1] == 1, 0.67, -0.67)])
    side = 2 * every - 1  # a normal truncated to one side of zero, by its inverse distribution function
    f = side * (side * means - ndtri(rng.random(every.shape) * ndtr(side * means)))
    return {"f": f.T, "v": shocks[..., 0].T * SHOCK_SD[0], "w": shocks[..., 1].T * SHOCK_SD[1]}


def sample(deaths: Array, chains: int, warmup: int, kept: int, thin: int, seed: int) -> dict[str, Array]:
    """Draws with leading shape (chains, kept), from independent random signs; adds `raised_months`."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(len(deaths), chains))
    for _ in range(warmup):
        signs = sweep(signs, deaths, rng)
    out: list[dict[str, Array]] = []
    for _ in range(kept):
        for _ in range(thin):
            signs = sweep(signs, deaths, rng)
        latents = draw_latents(signs, deaths, rng)
        out.append(latents | {"raised_months": np.sum(signs == 0, axis=0).astype(float)})
    return {k: np.stack([draw[k] for draw in out], axis=1) for k in out[0]}


def posterior_influenza(
    data: Mapping[str, Any], chains: int = 32, warmup: int = 100, kept: int = 500, thin: int = 2, seed: int = 1968
) -> dict[str, Any]:
    """Marginals of all 397 latents with the worst split R-hat and the smallest effective sample size among them."""
    from blackjax.diagnostics import effective_sample_size, potential_scale_reduction

    draws = sample(np.asarray(data["mortality"]), chains, warmup, kept, thin, seed)
    worst, smallest = 0.0, np.inf
    for values in draws.values():
        half = values.reshape(chains * 2, kept // 2, -1)
        worst = max(worst, float(np.max(potential_scale_reduction(half, chain_axis=0, sample_axis=1))))
        smallest = min(smallest, float(np.min(effective_sample_size(values.reshape(chains, kept, -1), 0, 1))))
    latents = {site: summary(draws[site]) for site in "fvw"}
    latents["f"]["probability_above_0"] = np.mean(draws["f"] > 0, axis=(0, 1))
    return {
        "method": f"collapsed Gibbs over the signs of f, {chains} chains from random signs, {warmup} warm-up sweeps, "
        f"{kept} draws kept every {thin} sweeps",
        "seed": seed,
        "max_split_rhat": worst,
        "min_effective_sample_size": round(smallest),
        "latents": latents,
        "reports": {"raised_months": summary(draws["raised_months"])},
    }


def summary(draws: Array) -> dict[str, Any]:
    q5, q50, q95 = np.quantile(draws, [0.05, 0.5, 0.95], axis=(0, 1))
    return {"mean": draws.mean(axis=(0, 1)), "sd": draws.std(axis=(0, 1), ddof=1), "q5": q5, "q50": q50, "q95": q95}
