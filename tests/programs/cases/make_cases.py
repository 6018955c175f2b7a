"""Writes ``cases.json``: exact ELBOs and gradients for the small programs here and for those in ``programs/``.

Small programs: nested Gauss-Legendre quadrature of a density written by hand, cut at every jump and kink, and a
five-point difference of the result for the gradient. Shipped programs: the closed-form ELBOs of
``benchmarks/reference_meanfield.py`` and their derivatives, at parameters some way off the optimum.

    python tests/programs/cases/make_cases.py
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "benchmarks"))

import reference_meanfield as exact  # noqa: E402
import reference_posteriors as reference  # noqa: E402

NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
REACH = 9.0  # standard deviations


@dataclass(frozen=True)
class Case:
    """`density` maps unconstrained values (arrays of one shape) to log p(data, z) + log |dT/du|.

    `cuts` gives, per latent, where the density jumps or bends in it; for the second latent, given the first.
    """

    tags: list[str]
    sites: list[str]
    loc: list[float]
    log_scale: list[float]
    density: Callable[..., Any]
    cuts: Sequence[Any]
    data: dict[str, Any] = field(default_factory=dict)


def panels(loc: float, scale: float, cuts: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights over loc +- REACH scales, in panels half a scale wide with an edge at every cut."""
    low, high = loc - REACH * scale, loc + REACH * scale
    edges = np.unique([*np.linspace(low, high, 37), *(c for c in cuts if low < c < high)])
    half = np.diff(edges) / 2
    middle = (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * WEIGHTS).ravel()


def elbo(case: Case, theta: np.ndarray) -> float:
    """`theta` is loc followed by log_scale."""
    dims = len(case.sites)
    loc, scale = theta[:dims], np.exp(theta[dims:])
    x, wx = panels(loc[0], scale[0], case.cuts[0])
    log_q = stats.norm.logpdf(x, loc[0], scale[0])
    if dims == 1:
        return float(wx @ (np.exp(log_q) * (case.density(x) - log_q)))
    total = 0.0
    for x_i, w_i, q_i in zip(x, wx, log_q, strict=True):
        y, wy = panels(loc[1], scale[1], case.cuts[1](x_i))
        q = q_i + stats.norm.logpdf(y, loc[1], scale[1])
        total += w_i * float(wy @ (np.exp(q) * (case.density(np.full_like(y, x_i), y) - q)))
    return total


def gradient(case: Case, theta: np.ndarray, step: float = 2e-3) -> np.ndarray:
    out = np.zeros_like(theta)
    for i in range(len(theta)):
        at = [elbo(case, theta + k * step * np.eye(len(theta))[i]) for k in (-2, -1, 1, 2)]
        out[i] = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
    return out


normal, poisson = stats.norm.logpdf, stats.poisson.logpmf
T, Y = np.array([0.0, 0.7, 1.5, 2.2]), np.array([1.3, 0.8, 1.9, 1.2])
LEVEL = np.array([-0.4, 0.9, 0.2])


def counter(x: Any) -> Any:
    hits = np.cumsum(x > LEVEL[:, None], axis=0)
    return normal(x) - 0.2 * hits.sum(axis=0) + normal(1.0, hits[-1], 1.5)


def logic(x: Any, y: Any) -> Any:
    taken = ((x > 0) & ~(y > 0.5)) | (x < -1)
    return normal(x) + normal(y, 0.3, 1.2) + np.where(taken, -0.9, 0.4 * x) + normal(0.6, y, 1)


def else_if(x: Any) -> Any:
    branches = [np.full_like(x, poisson(2, 1.5)), np.full_like(x, stats.binom.logpmf(2, 6, 0.2)), normal(0.3, x, 0.5)]
    return normal(x, 0.1, 1) + np.select([x < -0.6, x < 0.4, x < 1.1], branches, -1.3 * x)


def log_guard(u: Any) -> Any:
    rate = np.exp(u)
    return normal(u, 0.2, 0.7) + np.where(2 * u > 0.5, poisson(3, rate + 1), poisson(3, 2 * rate))


def order(u: Any, v: Any) -> Any:
    a, b = np.exp(u), np.exp(v)
    prior = stats.expon.logpdf(a) + u + stats.gamma.logpdf(b, 2, scale=1 / 1.5) + v
    return prior + poisson(2, np.where(a < b, a + 1, 2 * b))


def bounded(x: Any, v: Any) -> Any:
    y = -1 + 3 * expit(v)
    prior = stats.t.logpdf(x, 4, 0.5, 1.2) - np.logaddexp(0, v) - np.logaddexp(0, -v)
    return prior + normal(0.4, np.where(y < 0.3, x, 0.5 * y - x), 1.1)


def sd_jump(u: Any) -> Any:
    s = np.exp(u)
    return stats.halfnorm.logpdf(s) + u + normal(0.7, 0, np.where(s < 0.8, s + 0.1, 2 * s))


CASES = {
    "chained": Case(
        ["affine"],
        ["x"],
        [0.4],
        [-0.2],
        lambda x: normal(x) + normal(0.8, np.where((x > -0.5) & (x < 1.2), 1.5, -0.3), 0.9),
        [[-0.5, 1.2]],
    ),
    "two_roots": Case(
        ["polynomial"],
        ["x"],
        [0.1],
        [-0.1],
        lambda x: normal(x, 0.2, 1) + normal(1, np.where(x**2 - x < 0.75, x, 2), 0.8),
        [[-0.5, 1.5]],
    ),
    "log_guard": Case(["transform"], ["rate"], [0.4], [-0.5], log_guard, [[0.25]]),
    "logic": Case(["nested"], ["x", "y"], [-0.2, 0.4], [-0.1, 0.1], logic, [[-1, 0], lambda x: [0.5]]),
    "fn_level": Case(
        ["family"],
        ["knot"],
        [1.2],
        [-0.3],
        lambda k: (
            normal(k, 1, 1) + normal(Y[:, None], np.where(T[:, None] < k, 1, 2.5 - 0.5 * T[:, None]), 0.8).sum(axis=0)
        ),
        [T],
        {"n": 4, "t": T.tolist(), "y": Y.tolist()},
    ),
    "elements": Case(
        ["affine"],
        ["w[0]", "w[1]"],
        [0.3, -0.1],
        [-0.2, 0.0],
        lambda a, b: normal(a) + normal(b) + normal(0.5, np.where(a + b > 0.4, a * b, 1), 0.9),
        [[], lambda a: [0.4 - a]],
    ),
    "sd_jump": Case(["transform"], ["s"], [-0.3], [-0.4], sd_jump, [[np.log(0.8)]]),
    "counter": Case(
        ["family", "sequential"], ["x"], [0.2], [-0.1], counter, [LEVEL], {"n": 3, "level": LEVEL.tolist()}
    ),
    "order": Case(["transform"], ["a", "b"], [-0.1, 0.2], [-0.4, -0.3], order, [[], lambda u: [u]]),
    "bounded": Case(["transform"], ["x", "y"], [0.6, -0.4], [0.1, 0.2], bounded, [[], lambda x: [logit(1.3 / 3)]]),
    "else_if": Case(["branch"], ["x"], [0.3], [0.0], else_if, [[-0.6, 0.4, 1.1]]),
    "same_to_rounding": Case(
        ["coincident"],
        ["x"],
        [0.2],
        [-0.2],
        lambda x: normal(x) + normal(0.9, np.where(x > 0.4, 1.4, -0.5), 1),
        [[0.4]],
    ),
    "clamped": Case(
        ["kink"],
        ["x"],
        [0.5],
        [0.1],
        lambda x: normal(x, 0.4, 1) + normal(0.7, np.clip(x, -0.5, 0.9) + np.minimum(x, 0.2), 0.6),
        [[-0.5, 0.2, 0.9]],
    ),
    "abs_guard": Case(
        ["kink"],
        ["x"],
        [0.1],
        [-0.2],
        lambda x: normal(x) + normal(1.2, np.where(np.abs(x - 0.3) < 0.5, 1, -x), 0.8),
        [[-0.2, 0.8]],
    ),
    "floored": Case(
        ["jumping"],
        ["x"],
        [0.7],
        [-0.1],
        lambda x: normal(x, 0.5, 1) + normal(1, 0.6 * np.floor(x), 1),
        [range(-12, 13)],
    ),
}


def small(case: Case) -> dict[str, Any]:
    dims = len(case.sites)
    theta = np.array([*case.loc, *case.log_scale])
    grad = gradient(case, theta)

    def named(values: Sequence[float]) -> dict[str, float]:
        return {site: float(v) for site, v in zip(case.sites, values, strict=True)}

    return {
        "tags": case.tags,
        "data": case.data,
        "loc": named(case.loc),
        "log_scale": named(case.log_scale),
        "elbo": elbo(case, theta),
        "grad_loc": named(grad[:dims]),
        "grad_log_scale": named(grad[dims:]),
    }


def flat(tree: dict[str, Any]) -> dict[str, float]:
    """Arrays spelled out: z becomes z[0], z[1], ..."""
    out: dict[str, float] = {}
    for site, value in tree.items():
        value = np.asarray(value, float)
        named = {site: value} if value.ndim == 0 else {f"{site}[{i}]": v for i, v in enumerate(value)}
        out |= {k: float(f"{v:.10g}") for k, v in named.items()}
    return out


def shipped(name: str, rng: np.random.Generator) -> dict[str, Any]:
    """A shipped program with its data (`influenza`: 6 months), near its best guide but off it.

    The scales are kept where 30,000 draws tell a wrong gradient from a right one.
    """
    import jax

    data = reference.load_data(name)
    if name == "influenza":
        data = {"T": 6, "mortality": data["mortality"][:6]}
    objective = lambda p: exact.ELBO[name](p, data)  # noqa: E731
    maximise = exact.maximiser(objective, exact.units(name, data))
    starts = [exact.random_start(name, data, rng) for _ in range(4)]
    _, best, _ = max((maximise(s) for s in starts), key=lambda found: found[0])
    shrink = {"f": 0.35, "v": 0.35, "w": 0.35, "early": 0.2, "late": 0.2}  # the others keep their scale
    offset = {k: 1.5 if k in shrink else 0.4 for k in best["loc"]}
    scale = {k: np.clip(np.exp(v), 0.1, 0.12) if k == "temp" else np.exp(v) for k, v in best["log_scale"].items()}
    noise = {k: rng.standard_normal((2, *np.shape(v))) for k, v in best["loc"].items()}
    params = {
        "loc": {k: np.round(v + offset[k] * scale[k] * noise[k][0], 5) for k, v in best["loc"].items()},
        "log_scale": {k: np.round(np.log(shrink.get(k, 1.0) * scale[k]) + 0.3 * noise[k][1], 3) for k in best["loc"]},
    }
    value, grad = jax.value_and_grad(objective)(params)
    return {
        "tags": ["shipped"],
        "data": {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in data.items()},
        "loc": flat(params["loc"]),
        "log_scale": flat(params["log_scale"]),
        "elbo": float(value),
        "grad_loc": flat(grad["loc"]),
        "grad_log_scale": flat(grad["log_scale"]),
    }


def main() -> None:
    import jax

    table = {name: small(case) for name, case in CASES.items()}
    with jax.enable_x64(True):
        table |= {name: shipped(name, np.random.default_rng(7)) for name in reference.LOG_DENSITY}
    (HERE / "cases.json").write_text(reference.compact(table))


if __name__ == "__main__":
    main()
