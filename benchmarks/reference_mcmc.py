"""Posteriors of `theoph` and `school_flu` by differential evolution chains (ter Braak, Stat. Comput. 16, 2006).

A proposal moves a chain by the difference of two other chains of its population, so it adapts to correlated and jumping
densities and needs no gradient. Several populations run apart from each other; split R-hat (Vehtari et al., Bayesian
Analysis 16, 2021, without ranks) is taken over all chains, and the error of a mean from batches of whole populations.
The evidence comes from importance sampling around the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_gallery import LOG_JOINT, SITES, Site
from reference_posteriors import LEVELS, Marginal, from_counts, marginal
from scipy.special import expit, gammaln

Array = NDArray[np.float64]
Data = Mapping[str, Any]


def constrain(u: Array, site: Site) -> tuple[Array, Array]:
    """A scalar latent from the real line, and the log of its derivative."""
    if not np.isfinite(site.low):
        return u, np.zeros_like(u)
    if not np.isfinite(site.high):
        return site.low + np.exp(u), u
    width = site.high - site.low
    return site.low + width * expit(u), np.log(width) - np.logaddexp(0, u) - np.logaddexp(0, -u)


def unconstrain(z: float, site: Site) -> float:
    if not np.isfinite(site.low):
        return z
    if not np.isfinite(site.high):
        return float(np.log(z - site.low))
    p = (z - site.low) / (site.high - site.low)
    return float(np.log(p / (1 - p)))


def log_density(name: str, data: Data) -> Callable[[Array], Array]:
    """On the real line, for points of shape (..., latents); scalar latents only."""
    sites = SITES[name]

    def density(u: Array) -> Array:
        z: dict[str, Array] = {}
        jacobian = np.zeros(u.shape[:-1])
        for k, (site, spec) in enumerate(sites.items()):
            z[site], slope = constrain(u[..., k], spec)
            jacobian = jacobian + slope
        with np.errstate(all="ignore"):
            value = LOG_JOINT[name](z, data) + jacobian
        return np.where(np.isfinite(value), value, -np.inf)

    return density


def sample(density: Callable[[Array], Array], start: Array, warmup: int, kept: int, thin: int, seed: int) -> Array:
    """Draws of shape (populations, chains, kept, latents) from starts of shape (populations, chains, latents)."""
    rng = np.random.default_rng(seed)
    u, now = start, density(start)
    populations, chains, latents = start.shape
    own = np.arange(chains)
    draws = []
    for step in range(warmup + kept * thin):
        # Two different chains, neither of them the one that moves.
        first = (own + rng.integers(1, chains, (populations, chains))) % chains
        second = (own + rng.integers(1, chains, (populations, chains))) % chains
        p = np.arange(populations)[:, None]
        scale = 1.0 if step % 10 == 0 else 2.38 / np.sqrt(2 * latents) * rng.uniform(0.5, 1.0)
        proposal = u + scale * (u[p, first] - u[p, second]) + 1e-4 * rng.standard_normal(u.shape)
        after = density(proposal)
        take = np.log(rng.random(now.shape)) < after - now
        u, now = np.where(take[..., None], proposal, u), np.where(take, after, now)
        if step >= warmup and (step - warmup) % thin == thin - 1:
            draws.append(u)
    return np.moveaxis(np.stack(draws), 0, 2)


def split_rhat(x: Array) -> float:
    """Over the halves of each sequence of x, shape (sequences, draws)."""
    half = x.shape[1] // 2
    parts = np.concatenate([x[:, :half], x[:, half : 2 * half]])
    within = np.mean(np.var(parts, axis=1, ddof=1))
    return float(np.sqrt((half - 1) / half + np.var(parts.mean(axis=1), ddof=1) / within))


def effective_size(x: Array) -> float:
    """How many independent draws would know the mean as well: x has shape (populations, chains, draws).

    The error of the mean comes from the means of 20 batches of each population, all its chains together.
    """
    size = x.shape[2] // 20
    batches = x[..., : 20 * size].reshape(*x.shape[:2], 20, size).mean(axis=(1, 3))
    return float(np.var(x) * batches.size / np.var(batches, ddof=1))


def log_evidence(density: Callable[[Array], Array], draws: Array, size: int, seed: int) -> tuple[float, float]:
    """Importance sampling from a Student t with 5 degrees of freedom shaped like the draws, and its standard error."""
    flat = draws.reshape(-1, draws.shape[-1])
    d, df = flat.shape[1], 5.0
    root = np.linalg.cholesky(1.2 * np.cov(flat.T))
    rng = np.random.default_rng(seed)
    eps = rng.standard_normal((size, d)) / np.sqrt(rng.chisquare(df, (size, 1)) / df)
    constant = gammaln((df + d) / 2) - gammaln(df / 2) - d / 2 * np.log(df * np.pi) - np.log(np.diag(root)).sum()
    log_q = constant - (df + d) / 2 * np.log1p(np.sum(eps**2, axis=1) / df)
    log_weight = density(flat.mean(axis=0) + eps @ root.T) - log_q
    weight = np.exp(log_weight - log_weight.max())
    return float(np.log(weight.mean()) + log_weight.max()), float(weight.std() / weight.mean() / np.sqrt(size))


def summary(x: Array) -> Marginal:
    return marginal(float(x.mean()), float(x.std()), np.quantile(x, LEVELS))


def posterior(name: str, data: Data, warmup: int, kept: int, thin: int) -> dict[str, Any]:
    populations, chains = 4, 24
    sites = SITES[name]
    rng = np.random.default_rng(8)
    centre = np.array([unconstrain(s.centre, s) for s in sites.values()])
    start = centre + 0.3 * rng.standard_normal((populations, chains, len(centre)))
    density = log_density(name, data)
    draws = sample(density, start, warmup, kept, thin, seed=9)
    evidence, error = log_evidence(density, draws, 200_000, seed=10)
    latents = {site: constrain(draws[..., k], spec)[0] for k, (site, spec) in enumerate(sites.items())}
    reports = REPORTS[name](latents, data)
    every = [*(draws[..., k] for k in range(len(centre))), *reports.values()]
    rhat = max(split_rhat(x.reshape(-1, x.shape[-1])) for x in every)
    size = min(effective_size(np.asarray(x, float)) for x in every)
    whole = {k: from_counts(np.bincount(v.ravel()) / v.size) for k, v in reports.items() if v.dtype == int}
    return {
        "method": f"differential evolution chains: {populations} populations of {chains} chains, {warmup} steps of "
        f"warmup, {kept} draws of each, one in {thin} steps",
        "max_split_rhat": rhat,
        "min_effective_sample_size": round(size),
        "log_evidence": evidence,
        "log_evidence_se": error,
        "latents": {k: summary(v) for k, v in latents.items()},
        "reports": {k: summary(v) for k, v in reports.items() if k not in whole} | whole,
    }


def half_life(z: Mapping[str, Array], data: Data) -> dict[str, Array]:
    return {"half_life": np.log(2) / z["elimination"]}


def days_of_reaction(z: Mapping[str, Array], data: Data) -> dict[str, NDArray[Any]]:
    ill, count = z["first"], np.zeros(z["first"].shape, int)
    healthy = data["boys"] - ill
    for _ in data["in_bed"]:
        above = ill > z["alarm"]
        count = count + above
        new = -healthy * np.expm1(-z["contact"] * np.where(above, 1 - z["cut"], 1.0) * ill / data["boys"])
        healthy, ill = healthy - new, ill + new - z["leave"] * ill
    return {"days_of_reaction": count}


REPORTS: dict[str, Callable[[Mapping[str, Array], Data], dict[str, NDArray[Any]]]] = {
    "theoph": half_life,
    "school_flu": days_of_reaction,
}
POSTERIOR: dict[str, Callable[[Data], dict[str, Any]]] = {
    "theoph": lambda data: posterior("theoph", data, 4000, 1500, 10),
    "school_flu": lambda data: posterior("school_flu", data, 6000, 2000, 20),
}

if __name__ == "__main__":
    import sys
    import time

    from reference_posteriors import compact, load_data, rounded

    for name in sys.argv[1:] or POSTERIOR:
        begin = time.monotonic()
        print(name, compact(rounded(POSTERIOR[name](load_data(name)), 5)), f"{time.monotonic() - begin:.1f} s")
