"""Posteriors of `iris`, `orings`, `discoveries`, `discount`, `inventory`, `benefit`, `sids` and `pedestrian` by sums
and small quadratures.

What guards decide takes few values in these models (a leaf count, a set of counties, an order), so that the rest has a
closed form or is an integral over one or two quantities. `sids` and `pedestrian` draw the others, and weigh the draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_gallery import beta_lpdf, log_normal_lpdf
from reference_posteriors import LEVELS, Marginal, from_cells, from_counts, marginal, normal_lpdf
from reference_regression import joined, refine, shifted
from scipy.special import betainc, betaln, expit, gammainc, gammaln, logsumexp, ndtr, ndtri
from scipy.stats import qmc

Array = NDArray[np.float64]
Data = Mapping[str, Any]


def weighted(values: Array, weight: Array) -> Marginal:
    """Summary of a weighted sample."""
    w = weight / weight.sum()
    mean = float(w @ values)
    order = np.argsort(values)
    cdf = np.cumsum(w[order])
    quantiles = [float(values[order][min(np.searchsorted(cdf, p), len(cdf) - 1)]) for p in LEVELS]
    return marginal(mean, float(np.sqrt(w @ (values - mean) ** 2)), quantiles)


def effective(weight: Array) -> float:
    return float(weight.sum() ** 2 / np.sum(weight**2))


def beta_mixture(weight: Array, a: Array, b: Array) -> Marginal:
    """Summary of a mixture of beta distributions."""
    mean = float(weight @ (a / (a + b)))
    second = float(weight @ (a * (a + 1) / ((a + b) * (a + b + 1))))
    edges = expit(np.linspace(-14, 14, 8001))
    cdf = np.zeros_like(edges)
    for w, p, q in zip(weight, a, b, strict=True):
        if w > 1e-14:
            cdf += w * betainc(p, q, edges)
    return marginal(mean, float(np.sqrt(second - mean**2)), np.interp(LEVELS, cdf, edges))


def iris(data: Data) -> dict[str, Any]:
    """Between observed sizes nothing changes; given the number of hits the purity has a beta distribution."""
    length, width, species = (np.asarray(data[k]) for k in ("petal_length", "petal_width", "species"))
    long = np.concatenate([[0.0], np.unique(length), [7.0]])
    wide = np.concatenate([[0.0], np.unique(width), [3.0]])
    # A threshold inside the cell (e[k], e[k + 1]) leaves the sizes up to e[k] below it.
    leaf = np.where(
        length <= long[:-1, None, None], 0, np.where(width <= wide[:-1, None], 1, 2)
    )  # cells of long, cells of wide, flowers
    hits = np.sum(leaf == species, axis=-1)
    misses = len(species) - hits
    evidence = betaln(9 + hits, 1 + misses) - betaln(9, 1) - misses * np.log(2)
    area = np.diff(long)[:, None] * np.diff(wide) / 21
    log_weight = evidence + np.log(area)
    log_evidence = logsumexp(log_weight)
    weight = np.exp(log_weight - log_evidence)
    counts = np.bincount(hits.ravel(), weights=weight.ravel(), minlength=len(species) + 1)
    k = np.arange(len(counts))
    return {
        "method": f"exact: sum over {weight.size} pairs of cells of the splits, purity in closed form",
        "log_evidence": float(log_evidence),
        "latents": {
            "long": uniform_cells(long, weight.sum(axis=1)),
            "wide": uniform_cells(wide, weight.sum(axis=0)),
            "purity": beta_mixture(counts, 9.0 + k, 1.0 + len(species) - k),
        },
        "reports": {},
    }


def uniform_cells(edges: Array, mass: Array) -> Marginal:
    """Summary of a density that is constant on each cell."""
    out = from_cells(edges, mass, (edges[1:] + edges[:-1]) / 2)
    out["sd"] = float(np.sqrt(out["sd"] ** 2 + mass @ np.diff(edges) ** 2 / 12))
    return out


def discount(data: Data) -> dict[str, Any]:
    """A fine grid of rates; given the rate the share of errors has a beta distribution."""
    price, bought = np.asarray(data["price"]), np.asarray(data["bought"])
    log_rate = np.linspace(-9, 4, 200_001)
    middle = (log_rate[1:] + log_rate[:-1]) / 2
    mass = np.diff(ndtr(log_rate + 2))
    rate = np.exp(middle)
    worth = np.exp(-rate) + np.exp(-2 * rate) + np.exp(-3 * rate)
    slips = np.zeros(len(rate), int)
    for p, taken in zip(price, bought, strict=True):
        slips += (worth > p) != (taken == 1)
    log_weight = np.log(mass) + betaln(1 + slips, 9 + len(price) - slips) - betaln(1, 9)
    log_evidence = logsumexp(log_weight)
    weight = np.exp(log_weight - log_evidence)
    counts = np.bincount(slips, weights=weight, minlength=len(price) + 1)
    k = np.arange(len(counts))
    edges = np.exp(log_rate)
    return {
        "method": "quadrature: 200,000 cells of the rate, share of errors in closed form",
        "log_evidence": float(log_evidence),
        "latents": {
            "rate": from_cells(edges, weight, rate),
            "slip": beta_mixture(counts, 1.0 + k, 9.0 + len(price) - k),
        },
        "reports": {"a_year_from_now": from_cells(np.exp(-edges[::-1]), weight[::-1], np.exp(-rate[::-1]))},
    }


def inventory_costs(data: Data) -> Array:
    """Expected cost of ordering when fewer than r units are left, for r = 1, ..., shelf."""
    shelf, weeks = int(data["shelf"]), int(data["weeks"])
    k = np.arange(shelf + 400)
    log_p = k * np.log(data["demand_per_week"]) - data["demand_per_week"]
    demand = np.exp(log_p - np.concatenate([[0.0], np.cumsum(np.log(k[1:]))]))
    stock = np.arange(shelf + 1)
    after = np.zeros((shelf + 1, shelf + 1))  # from the stock before to the stock after a week's demand
    lost = np.zeros(shelf + 1)
    for s in stock:
        after[s, s - k[:s]] = demand[:s]
        after[s, 0] = demand[s:].sum()
        lost[s] = demand[s:] @ (k[s:] - s)
    costs = []
    for reorder in range(1, shelf + 1):
        p = np.zeros(shelf + 1)
        p[shelf] = 1
        cost = 0.0
        for _ in range(weeks):
            ordered = p[:reorder].sum()
            cost += data["order_cost"] * ordered
            p[:reorder] = 0
            p[shelf] += ordered
            cost += data["loss_cost"] * (p @ lost)
            p = p @ after
            cost += data["hold_cost"] * (p @ stock)
        costs.append(cost)
    return np.array(costs)


def inventory(data: Data) -> dict[str, Any]:
    """Between whole numbers the policy is the same, so the density is constant there."""
    shelf = int(data["shelf"])
    log_weight = -inventory_costs(data) / data["scale"] - np.log(shelf)
    log_evidence = logsumexp(log_weight)
    mass = np.exp(log_weight - log_evidence)
    return {
        "method": f"exact: expected costs of the {shelf} policies by a forward recursion over the stock",
        "log_evidence": float(log_evidence),
        "latents": {"reorder": uniform_cells(np.arange(shelf + 1.0), mass)},
        "reports": {},
    }


def benefit(data: Data, points: int = 2001, cells: int = 400) -> dict[str, Any]:
    """Given both shares the couples are independent: two lognormal incomes each, cut by one curve."""
    his, hers, receives = (np.asarray(data[k], float) for k in ("his", "hers", "receives"))

    def income(mu: float, seen: Array) -> tuple[Array, Array, Array]:
        """Posterior of the log of an income given its report alone, and the density of the report."""
        precision = 0.5**-2 + 0.2**-2
        mean = (mu / 0.5**2 + np.log(seen) / 0.2**2) / precision
        return mean, np.full(len(seen), precision**-0.5), log_normal_lpdf(seen, mu, np.hypot(0.5, 0.2))

    (m_a, s_a, log_a), (m_b, s_b, log_b) = income(3.0, his), income(2.5, hers)
    eps = np.linspace(-8, 8, points)
    base = np.exp(normal_lpdf(eps, 0, 1)) * (eps[1] - eps[0])

    def below(mean: Array, sd: Array, other: Array, other_sd: Array) -> tuple[Array, Array]:
        """Values of one income, and for each the probability that the other leaves room under the limit."""
        value = np.exp(mean[:, None] + sd[:, None] * eps)
        room = np.log(np.maximum(data["limit"] - value, 1e-300))
        return value, ndtr((room - other[:, None]) / other_sd[:, None])

    value_a, under_a = below(m_a, s_a, m_b, s_b)
    value_b, under_b = below(m_b, s_b, m_a, s_a)
    entitled = under_a @ base

    x = np.linspace(-9, 9, cells)  # log odds of the two shares
    share = expit(x)
    prior_u, prior_l = (np.exp(beta_lpdf(share, *ab)) * share * (1 - share) for ab in ((2, 2), (1, 9)))
    step = x[1] - x[0]
    u, leak = share[:, None, None], share[:, None]
    inside = np.where(receives == 1, u, 1 - u)  # (uptake, 1, couples)
    outside = np.where(receives == 1, leak, 1 - leak)  # (leak, couples)
    chance = entitled * inside + (1 - entitled) * outside
    log_weight = np.sum(np.log(chance), axis=-1) + np.log(prior_u * step)[:, None] + np.log(prior_l * step)
    log_mass = logsumexp(log_weight)
    weight = np.exp(log_weight - log_mass)
    is_entitled = np.einsum("ul,ulc->c", weight, entitled * inside / chance)
    # Incomes: the part below the curve and the part above it keep their shapes.
    latents: dict[str, Marginal] = {}
    for name, value, under in (("a", value_a, under_a), ("b", value_b, under_b)):
        inner, outer = is_entitled / entitled, (1 - is_entitled) / (1 - entitled)
        mass = base * (under * inner[:, None] + (1 - under) * outer[:, None])
        latents[name] = joined([_on_grid(v, m) for v, m in zip(value, mass, strict=True)])
    grid = expit(np.append(x - step / 2, x[-1] + step / 2))
    # The number of entitled couples: one convolution per couple for each pair of shares, then averaged.
    p = entitled * inside / chance
    state = np.zeros((*weight.shape, len(his) + 1))
    state[..., 0] = weight
    for c in range(len(his)):
        shifted = np.concatenate([np.zeros((*weight.shape, 1)), state[..., :-1]], axis=-1)
        state = state * (1 - p[..., c, None]) + shifted * p[..., c, None]
    count = state.sum(axis=(0, 1))
    return {
        "method": f"quadrature: {cells} by {cells} values of the two shares, {points} values of each income",
        "log_evidence": float(log_mass + np.sum(log_a + log_b)),
        "latents": {
            "uptake": from_cells(grid, weight.sum(axis=1), share),
            "leak": from_cells(grid, weight.sum(axis=0), share),
            **latents,
        },
        "reports": {"entitled_couples": from_counts(count)},
    }


def _on_grid(value: Array, mass: Array) -> Marginal:
    edges = np.concatenate([[value[0]], np.sqrt(value[1:] * value[:-1]), [value[-1]]])
    return from_cells(edges, mass / mass.sum(), value)


def sids(data: Data, points: int = 2**16, rounds: int = 6, kernels: int = 400, seed: int = 1) -> dict[str, Any]:
    """Population Monte Carlo (Cappe et al., 2004) over the disc: a round draws around the last one's points.

    Nine tenths of a round come from normals around `kernels` resampled points, the rest from the prior, in units in
    which the prior is standard normal; a disc weighs its evidence, both rates integrated out by a trapezoid rule.
    """
    rng = np.random.default_rng(seed)
    log_rate, log_excess = np.linspace(0.0, 1.4, 36), np.linspace(-4.0, 2.0, 61)
    births, deaths = np.asarray(data["births"]) / 1000, np.asarray(data["deaths"])
    rate, excess = np.exp(log_rate)[:, None], np.exp(log_excess)
    flat = normal_lpdf(log_rate, 0.7, 0.5)[:, None] + normal_lpdf(log_excess, -0.5, 0.7)
    flat += np.log((log_rate[1] - log_rate[0]) * (log_excess[1] - log_excess[0]))
    flat += deaths.sum() * log_rate[:, None] - births.sum() * rate

    def log_joint(inside: Array) -> Array:
        """Log density of both log rates with the data, for [births, deaths] inside the disc."""
        return flat + inside[1] * np.log1p(excess) - inside[0] / 1000 * rate * excess

    def discs(u: Array) -> tuple[Array, Array, Array]:
        return 200 * u[:, 0], 80 * u[:, 1], np.exp(4.3 + 0.3 * u[:, 2])

    def sets_of(u: Array) -> tuple[Array, Array]:
        x, y, radius = discs(u)
        inside = np.zeros((len(u), 2))
        for east, north, b, d in zip(data["east"], data["north"], data["births"], deaths, strict=True):
            inside += ((east - x) ** 2 + (north - y) ** 2 < radius**2)[:, None] * [b, d]
        sets, index = np.unique(inside, axis=0, return_inverse=True)
        return sets, index.ravel()

    u = ndtri(qmc.Sobol(3, scramble=True, rng=rng).random_base2(int(np.log2(points))))
    log_proposal = normal_lpdf(u, 0, 1).sum(axis=1)
    for r in range(rounds):
        sets, index = sets_of(u)
        evidence = np.array([logsumexp(log_joint(s)) for s in sets])
        log_weight = normal_lpdf(u, 0, 1).sum(axis=1) + evidence[index] - log_proposal
        weight = np.exp(log_weight - log_weight.max())
        if r == rounds - 1:
            break
        centre = u[rng.choice(len(u), kernels, p=weight / weight.sum())]
        width = 0.5 / 2 ** min(r, 2) * np.array([0.3, 0.5, 0.5])
        own = rng.random(points) < 0.1
        u = np.where(
            own[:, None],
            rng.standard_normal((points, 3)),
            centre[rng.integers(kernels, size=points)] + width * rng.standard_normal((points, 3)),
        )
        density = sum(np.exp(-0.5 * np.sum(((u - c) / width) ** 2, axis=1)) for c in centre) / kernels
        density = density / np.prod(width) / (2 * np.pi) ** 1.5
        log_proposal = np.log(0.1 * np.exp(normal_lpdf(u, 0, 1).sum(axis=1)) + 0.9 * density)
    per_set = np.bincount(index, weights=weight)
    joint = np.zeros_like(flat)
    for k in np.flatnonzero(per_set > 1e-7 * per_set.sum()):
        joint += per_set[k] * np.exp(log_joint(sets[k]) - evidence[k])
    joint /= joint.sum()

    def edges(grid: Array) -> Array:
        half = (grid[1] - grid[0]) / 2
        return np.exp(np.append(grid - half, grid[-1] + half))

    x, y, radius = discs(u)
    constant = np.sum(deaths * np.log(births) - gammaln(deaths + 1.0))
    return {
        "method": f"population Monte Carlo over the disc, {rounds} rounds of {points} points; "
        "trapezoid rule in both log rates",
        "effective_sample_size": round(effective(weight)),
        "log_evidence": float(logsumexp(log_weight) - np.log(points) + constant),
        "latents": {
            "x": weighted(x, weight),
            "y": weighted(y, weight),
            "radius": weighted(radius, weight),
            "rate": from_cells(edges(log_rate), joint.sum(axis=1), np.exp(log_rate)),
            "excess": from_cells(edges(log_excess), joint.sum(axis=0), np.exp(log_excess)),
        },
        "reports": {},
    }


def pedestrian(data: Data, draws: int = 20_000_000, chunk: int = 1_000_000, seed: int = 2) -> dict[str, Any]:
    """Walks from the prior, weighted by the likelihood."""
    rng = np.random.default_rng(seed)
    kept: list[tuple[Array, Array, Array]] = []
    for _ in range(draws // chunk):
        start = rng.uniform(0, 3, chunk)
        position, walked, steps = start.copy(), np.zeros(chunk), np.zeros(chunk)
        for _ in range(int(data["most"])):
            on = position > 0
            step = np.where(on, rng.uniform(-1, 1, chunk), 0.0)
            position, walked, steps = position + step, walked + np.abs(step), steps + on
        weight = np.exp(normal_lpdf(data["remembered"], walked, 0.1))
        near = weight > 1e-9
        kept.append((start[near], steps[near], weight[near]))
    start, steps, weight = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return {
        "method": f"{draws:,} walks drawn from the prior, weighted by the likelihood",
        "effective_sample_size": round(effective(weight)),
        "log_evidence": float(np.log(weight.sum() / draws)),
        "latents": {"start": weighted(start, weight)},
        "reports": {"number_of_steps": from_counts(np.bincount(steps.astype(int), weights=weight) / weight.sum())},
    }


def orings(data: Data) -> dict[str, Any]:
    """Between observed temperatures nothing changes; given who is below the limit the probabilities are beta."""
    temperature, damaged = np.asarray(data["temperature"], float), np.asarray(data["damaged"])
    edges = np.concatenate([[-np.inf, data["launch"]], np.unique(temperature), [np.inf]])
    # A limit inside the cell (e[k], e[k + 1]) has the flights at up to e[k] below it.
    below = temperature <= edges[:-1, None]
    mass = np.diff(ndtr((edges - 65) / 10))

    def side(inside: Array) -> tuple[Array, Array]:
        hits = np.sum(inside * damaged, axis=1)
        return 1.0 + hits, 1.0 + inside.sum(axis=1) - hits

    cold, warm = side(below), side(~below)
    log_weight = np.log(mass) + betaln(*cold) + betaln(*warm)
    weight = np.exp(log_weight - logsumexp(log_weight))
    fine, spread = refine(np.clip(edges, 65 - 80, 65 + 80), weight, 65.0, 10.0)
    risky = np.arange(len(weight)) > 0  # the limit is above the launch
    risk = [np.where(risky, c, w) for c, w in zip(cold, warm, strict=True)]
    return {
        "method": f"exact: sum over {len(weight)} cells of the limit, probabilities in closed form",
        "log_evidence": float(logsumexp(log_weight)),
        "latents": {
            "limit": from_cells(fine, spread, (fine[1:] + fine[:-1]) / 2),
            "cold": beta_mixture(weight, *cold),
            "warm": beta_mixture(weight, *warm),
        },
        "reports": {"risk": beta_mixture(weight, *risk)},
    }


def discoveries(data: Data, parts: int = 20) -> dict[str, Any]:
    """Given in which years the changes lie the three rates have gamma distributions.

    A change between k - 1 and k leaves k years before it. Inside one year the two changes are a sorted pair.
    """
    count, n = np.asarray(data["count"], float), int(data["n"])
    before = np.concatenate([[0.0], np.cumsum(count)])
    first, second = (k.ravel() for k in np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1), indexing="ij"))
    keep = first <= second
    first, second = first[keep], second[keep]
    ends = np.stack([np.zeros_like(first), first, second, np.full_like(first, n)])
    shape = 2 + before[ends[1:]] - before[ends[:-1]]
    rate = 0.5 + ends[1:] - ends[:-1]
    log_weight = np.sum(gammaln(shape) - shape * np.log(rate) + 2 * np.log(0.5), axis=0)
    log_weight += np.log(np.where(first == second, 1.0, 2.0) / n**2)
    evidence = float(logsumexp(log_weight))
    weight = np.exp(log_weight - evidence)
    x = np.linspace(0, 1, parts + 1)
    apart, smaller, larger = np.diff(x), np.diff(1 - (1 - x) ** 2), np.diff(x**2)
    edges = np.linspace(0, n, n * parts + 1)
    same = first == second
    changes = []
    for years, together in ((first, smaller), (second, larger)):
        mass = np.zeros((n, parts))
        np.add.at(mass, years[~same] - 1, weight[~same, None] * apart)
        np.add.at(mass, years[same] - 1, weight[same, None] * together)
        changes.append(from_cells(edges, mass.ravel(), (edges[1:] + edges[:-1]) / 2))
    return {
        "method": f"exact: sum over {len(weight)} pairs of years, rates in closed form",
        "log_evidence": evidence - float(np.sum(gammaln(count + 1))),
        "latents": {
            "change": joined(changes),
            "rate": joined([gamma_mixture(weight, a, b) for a, b in zip(shape, rate, strict=True)]),
        },
        "reports": {
            name: shifted(m, float(data["first_year"])) for name, m in zip(("rise", "fall"), changes, strict=True)
        },
    }


def gamma_mixture(weight: Array, shape: Array, rate: Array) -> Marginal:
    """Summary of a mixture of gamma distributions; components below 1e-12 are left out."""
    keep = weight > 1e-12
    w, a, b = weight[keep] / weight[keep].sum(), shape[keep], rate[keep]
    mean, second = float(w @ (a / b)), float(w @ (a * (a + 1) / b**2))
    grid = np.linspace(0, 20, 4001)
    cdf = sum(p * gammainc(s, r * grid) for p, s, r in zip(w, a, b, strict=True))
    return marginal(mean, float(np.sqrt(second - mean**2)), np.interp(LEVELS, cdf, grid))


POSTERIOR = {
    "iris": iris,
    "discount": discount,
    "inventory": inventory,
    "benefit": benefit,
    "sids": sids,
    "pedestrian": pedestrian,
    "orings": orings,
    "discoveries": discoveries,
}

if __name__ == "__main__":
    import sys
    import time

    from reference_posteriors import compact, load_data, rounded

    for name in sys.argv[1:] or POSTERIOR:
        begin = time.monotonic()
        print(name, compact(rounded(POSTERIOR[name](load_data(name)), 5)), f"{time.monotonic() - begin:.1f} s")
