"""Exact posteriors of models that are linear regressions once a few quantities are known.

Given where a change, a knot, a threshold or a lag lies, which predictors take part and the standard deviation of the
errors, the coefficients of `nile`, `lynx`, `stagnant`, `stackloss` and `leading` have a normal prior and likelihood:
posterior and evidence in closed form (Gelman et al., Bayesian Data Analysis, section 14.8). What remains is a sum over
the cases and a trapezoid rule in the log of the standard deviation; every marginal is a mixture of normals.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_posteriors import LEVELS, Marginal, from_cells, from_counts, load_data, marginal, normal_lpdf
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr

Array = NDArray[np.float64]
GRID = 161  # values of log sd


@dataclass(frozen=True)
class Normals:
    """One component per value of the standard deviation: log weight (with the evidence), means and covariances."""

    sd: Array  # (k,)
    log_weight: Array  # (k,)
    mean: Array  # (k, d)
    cov: Array  # (k, d, d)


def half_normal_lpdf(x: Any, sd: float) -> Any:
    return np.log(2) + normal_lpdf(x, 0, sd)


def regression(
    x: Array, y: Array, prior_mean: Array, prior_sd: Array, scale: float, span: tuple[float, float], points: int = GRID
) -> Normals:
    """y ~ Normal(x b, s), b ~ Normal(prior_mean, prior_sd), s ~ HalfNormal(scale), by a grid in log s over `span`."""
    u = np.linspace(*np.log(span), points)
    sd = np.exp(u)
    precision = np.diag(prior_sd**-2.0)
    a = x.T @ x / sd[:, None, None] ** 2 + precision
    b = (x.T @ y) / sd[:, None] ** 2 + precision @ prior_mean
    cov = np.linalg.inv(a)
    mean = np.einsum("kij,kj->ki", cov, b)
    fit = np.einsum("ki,ki->k", b, mean) - y @ y / sd**2 - prior_mean @ precision @ prior_mean
    evidence = -len(y) * (np.log(sd) + 0.5 * np.log(2 * np.pi)) + 0.5 * fit
    evidence += 0.5 * (np.log(np.linalg.det(precision)) - np.linalg.slogdet(a)[1])
    return Normals(sd, evidence + half_normal_lpdf(sd, scale) + u + np.log(u[1] - u[0]), mean, cov)


def mixture(weight: Array, mean: Array, sd: Array) -> Marginal:
    """Summary of a mixture of normals; components below 1e-13 are left out."""
    keep = weight > 1e-13
    w, m, s = weight[keep], mean[keep], sd[keep]
    centre = float(w @ m)
    spread = float(np.sqrt(w @ (s**2 + (m - centre) ** 2)))
    low, high = float(np.min(m - 9 * s)), float(np.max(m + 9 * s))

    def excess(v: float, level: float) -> float:
        return float(w @ ndtr((v - m) / s)) - level

    return marginal(centre, spread, [float(brentq(excess, low, high, args=(p,))) for p in LEVELS])


@dataclass(frozen=True)
class Cases:
    """A posterior over cases (a change, a set of predictors, ...), each with its own `Normals`."""

    log_prior: Array  # (cases,)
    normals: list[Normals]

    @property
    def log_case(self) -> Array:
        return self.log_prior + np.array([logsumexp(n.log_weight) for n in self.normals])

    @property
    def log_evidence(self) -> float:
        return float(logsumexp(self.log_case))

    @property
    def probability(self) -> Array:
        return np.exp(self.log_case - self.log_evidence)

    def weights(self, cases: list[int]) -> Array:
        total = [self.log_prior[c] + self.normals[c].log_weight for c in cases]
        return np.exp(np.concatenate(total) - self.log_evidence)

    def combination(self, direction: Array, cases: list[int] | None = None) -> Marginal:
        """Marginal of a linear combination of the coefficients, given that the case is one of `cases`."""
        chosen = list(range(len(self.normals))) if cases is None else cases
        w = self.weights(chosen)
        mean = np.concatenate([self.normals[c].mean @ direction for c in chosen])
        var = np.concatenate([np.einsum("i,kij,j->k", direction, self.normals[c].cov, direction) for c in chosen])
        return mixture(w / w.sum(), mean, np.sqrt(var))

    def sd(self) -> Marginal:
        grid = self.normals[0].sd
        mass = self.weights(list(range(len(self.normals)))).reshape(len(self.normals), -1).sum(axis=0)
        step = np.log(grid[1] / grid[0])
        return from_cells(np.exp(np.append(np.log(grid) - step / 2, np.log(grid[-1]) + step / 2)), mass, grid)


def joined(marginals: list[Marginal]) -> Marginal:
    return {k: [m[k] for m in marginals] for k in marginals[0]}


def result(method: str, cases: Cases, latents: dict[str, Marginal], reports: dict[str, Marginal]) -> dict[str, Any]:
    return {"method": method, "log_evidence": cases.log_evidence, "latents": latents, "reports": reports}


def shifted(m: Marginal, by: float) -> Marginal:
    return {k: v if k == "sd" else v + by for k, v in m.items()}


# ---- the models ------------------------------------------------------------------------------------------------------


def nile(data: Mapping[str, Any], points: int = GRID) -> dict[str, Any]:
    y, n = np.asarray(data["flow"], float), int(data["n"])
    prior = np.full(2, 1000.0), np.full(2, 300.0)
    design = [np.stack([np.arange(n) < k, np.arange(n) >= k], axis=1).astype(float) for k in range(n)]
    cases = Cases(np.full(n, -np.log(n)), [regression(x, y, *prior, 200.0, (80, 260), points) for x in design])
    early_years = from_counts(cases.probability)
    return result(
        f"exact: sum over the {n} years, normal levels in closed form, trapezoid rule in log sd",
        cases,
        {
            "early": cases.combination(np.array([1.0, 0])),
            "late": cases.combination(np.array([0, 1.0])),
            "sd": cases.sd(),
            "early_years": early_years,
        },
        {
            "first_late_year": shifted(early_years, data["first_year"]),
            "loss": cases.combination(np.array([1.0, -1.0])),
        },
    )


def lynx(data: Mapping[str, Any], points: int = 81) -> dict[str, Any]:
    """Given the threshold, lean and rich years are two separate regressions: the evidence is a product."""
    y = np.log10(np.asarray(data["trapped"], float))
    now, last, older = y[2:], y[1:-1] - 3, y[:-2] - 3
    design = np.stack([np.ones_like(now), last, older], axis=1)
    prior = np.array([3.0, 1.0, -0.5]), np.full(3, 0.5)
    edges = np.concatenate([[0.0], np.unique(y[:-2]), [6.0]])  # the threshold lies in one of these cells
    mass = np.diff(ndtr((edges - 3) / 0.3))
    lean, rich = [], []
    for top in edges[:-1]:
        inside = y[:-2] <= top
        for part, into in ((inside, lean), (~inside, rich)):
            into.append(regression(design[part], now[part], *prior, 0.5, (0.03, 3.0), points))
    log_prior = np.log(mass)
    log_other = {id(part): np.array([logsumexp(n.log_weight) for n in part]) for part in (lean, rich)}
    by_regime = [Cases(log_prior + log_other[id(other)], part) for part, other in ((lean, rich), (rich, lean))]
    threshold = _normal_cells(edges, mass, by_regime[0].probability, 3.0, 0.3)
    unit = np.eye(3)
    latents = {"threshold": threshold} | {
        name: joined([c.combination(unit[k]) for c in by_regime]) for k, name in enumerate(("level", "last", "older"))
    }
    fine, weight = refine(edges, by_regime[0].probability, 3.0, 0.3)
    return result(
        "exact: sum over the cells of the threshold, normal coefficients in closed form, trapezoid rule in log sd",
        by_regime[0],
        latents | {"sd": joined([c.sd() for c in by_regime])},
        {"threshold_catch": from_cells(10**fine, weight, 10 ** ((fine[1:] + fine[:-1]) / 2))},
    )


def refine(edges: Array, probability: Array, mean: float, sd: float, parts: int = 200) -> tuple[Array, Array]:
    """Cells cut into `parts`, with the mass of a normal inside each cell scaled to the cell's probability."""
    fine = np.concatenate([np.linspace(a, b, parts + 1)[:-1] for a, b in itertools.pairwise(edges)])
    fine = np.append(fine, edges[-1])
    mass = np.diff(ndtr((fine - mean) / sd)).reshape(len(probability), parts)
    return fine, (mass / mass.sum(axis=1, keepdims=True) * probability[:, None]).ravel()


def _normal_cells(edges: Array, mass: Array, probability: Array, mean: float, sd: float) -> Marginal:
    fine, weight = refine(edges, probability, mean, sd)
    return from_cells(fine, weight, (fine[1:] + fine[:-1]) / 2)


def stagnant(data: Mapping[str, Any], cells: int = 480, points: int = 81) -> dict[str, Any]:
    x, y = np.asarray(data["x"]), np.asarray(data["y"])
    edges = np.linspace(-1.3, 1.1, cells + 1)
    knots = (edges[1:] + edges[:-1]) / 2
    prior = np.zeros(3), np.ones(3)
    fits = [
        regression(
            np.stack([np.ones_like(x), np.minimum(x - k, 0), np.maximum(x - k, 0)], axis=1),
            y,
            *prior,
            0.2,
            (0.008, 0.6),
            points,
        )
        for k in knots
    ]
    cases = Cases(np.full(cells, -np.log(cells)), fits)
    unit = np.eye(3)
    names = ("height", "before", "after")
    return result(
        f"quadrature: {cells} values of the knot, normal coefficients in closed form, trapezoid rule in log sd",
        cases,
        {"knot": from_cells(edges, cases.probability, knots)}
        | {name: cases.combination(unit[k]) for k, name in enumerate(names)}
        | {"sd": cases.sd()},
        {},
    )


def standardised(x: Array) -> Array:
    return (x - x.mean(axis=0)) / np.sqrt(np.mean((x - x.mean(axis=0)) ** 2, axis=0))


def stackloss(data: Mapping[str, Any], points: int = GRID) -> dict[str, Any]:
    x, y = standardised(np.asarray(data["x"], float)), np.asarray(data["loss"], float)
    p = x.shape[1]
    sets = [[j for j in range(p) if code >> j & 1] for code in range(2**p)]
    prior = np.append(15.0, np.zeros(p)), np.append(10.0, np.full(p, 5.0))
    fits: list[Normals] = []
    for chosen in sets:
        # A column of zeros keeps its prior: an effect that does not exist integrates to one.
        used = x * np.isin(np.arange(p), chosen)
        fits.append(regression(np.column_stack([np.ones(len(y)), used]), y, *prior, 5.0, (0.8, 20.0), points))
    cases = Cases(np.full(2**p, -p * np.log(2)), fits)
    unit = np.eye(p + 1)
    prob = cases.probability
    used = [float(sum(prob[c] for c, s in enumerate(sets) if j in s)) for j in range(p)]
    effect = [cases.combination(unit[j + 1], [c for c, s in enumerate(sets) if j in s]) for j in range(p)]
    size = np.array([sum(prob[c] for c, s in enumerate(sets) if len(s) == k) for k in range(p + 1)])
    return result(
        f"exact: sum over the {2**p} sets of conditions, normal effects in closed form, trapezoid rule in log sd",
        cases,
        {
            "base": cases.combination(unit[0]),
            "sd": cases.sd(),
            "used": joined([from_counts(np.array([1 - u, u])) for u in used]),
            "effect": joined(effect),
        },
        {"conditions": from_counts(size)},
    )


def leading(data: Mapping[str, Any], points: int = GRID) -> dict[str, Any]:
    sales, indicator, most = np.asarray(data["sales"]), np.asarray(data["indicator"]), int(data["most"])
    change, push = np.diff(sales), np.diff(indicator)  # change[t - 1] = sales[t] - sales[t - 1]
    t = np.arange(most + 1, int(data["n"])) - 1
    prior = np.zeros(3), np.array([1.0, 1.0, 5.0])
    design = [np.stack([np.ones(len(t)), change[t - 1], push[t - lag]], axis=1) for lag in range(most)]
    fits = [regression(x, change[t], *prior, 2.0, (0.25, 3.0), points) for x in design]
    cases = Cases(np.full(most, -np.log(most)), fits)
    prob = cases.probability
    lag = from_cells(np.arange(most + 1.0), prob, np.arange(most) + 0.5)
    lag["sd"] = float(np.sqrt(lag["sd"] ** 2 + 1 / 12))  # spread within a cell
    unit = np.eye(3)
    return result(
        f"exact: sum over the {most} whole lags, normal coefficients in closed form, trapezoid rule in log sd",
        cases,
        {"lag": lag}
        | {name: cases.combination(unit[k]) for k, name in enumerate(("drift", "keep", "gain"))}
        | {"sd": cases.sd()},
        {"whole_lag": from_counts(prob)},
    )


POSTERIOR = {"nile": nile, "lynx": lynx, "stagnant": stagnant, "stackloss": stackloss, "leading": leading}


if __name__ == "__main__":
    import time

    for name, posterior in POSTERIOR.items():
        start = time.monotonic()
        print(name, posterior(load_data(name)), f"{time.monotonic() - start:.1f} s")
