"""Reference answers for the programs in ``programs/``, made without the compiler.

Independent pieces, one file each:

- here: the log densities of the first five programs written out by hand in numpy, and posterior marginals by
  deterministic quadrature wherever the model allows it (`one_if`, `textmsg`, `coal`, `temperature`);
- ``reference_switching.py``: the posterior of `influenza`, by collapsed Gibbs sampling;
- ``reference_meanfield.py``: the exact ELBO of a mean-field Gaussian for these five, and its maximum;
- ``reference_gallery.py``: the log densities of the others, written out by hand;
- ``reference_regression.py``, ``reference_enumeration.py``, ``reference_mcmc.py``: their posteriors, exact or by
  quadrature wherever the model allows it.

``python benchmarks/reference_posteriors.py`` rewrites ``docs/reference_posteriors.json`` (a few minutes). Importing
this file needs numpy and scipy only and does no work; tests compare `LOG_DENSITY` with the compiled programs.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, ndtri

Array = NDArray[np.float64]
Data = Mapping[str, Any]
Marginal = dict[str, Any]  # mean, sd, q5, q50, q95

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = (0.05, 0.5, 0.95)


def load_data(name: str) -> dict[str, Any]:
    """The fields of ``programs/NAME.data.json``, arrays as numpy; empty for a program without data."""
    path = ROOT / "programs" / f"{name}.data.json"
    if not path.exists():
        return {}
    fields = json.loads(path.read_text())
    return {k: np.asarray(v) if isinstance(v, list) else v for k, v in fields.items() if k != "source"}


# ---- log densities in unconstrained coordinates, log |dT/du| included ------------------------------------------------


def normal_lpdf(x: Any, mean: Any, sd: Any) -> Any:
    return -0.5 * np.log(2 * np.pi) - np.log(sd) - 0.5 * ((x - mean) / sd) ** 2


def poisson_lpmf(count: Any, rate: Any) -> Any:
    return count * np.log(rate) - rate - gammaln(count + 1.0)


def log_density_one_if(u: Mapping[str, Any], data: Data) -> float:
    z = u["z"]
    return float(normal_lpdf(z, 0, 1) + normal_lpdf(0.0, 1.0 if z > 0 else -2.0, 1))


def _interval_log_jacobian(u: Any) -> Any:
    """log of d logistic(u) / du; the width of the interval cancels against the density of the uniform."""
    return -np.logaddexp(0, u) - np.logaddexp(0, -u)


def _changepoint_log_likelihood(u: Mapping[str, Any], count: Array) -> float:
    days_before = len(count) / (1 + np.exp(-u["change"]))
    rate = np.where(np.arange(len(count)) < days_before, np.exp(u["early"]), np.exp(u["late"]))
    return float(np.sum(poisson_lpmf(count, rate)))


def log_density_textmsg(u: Mapping[str, Any], data: Data) -> float:
    prior = normal_lpdf(u["early"], 2.6, 0.8) + normal_lpdf(u["late"], 2.6, 0.8)  # LogNormal times exp(u)
    return float(prior + _interval_log_jacobian(u["change"]) + _changepoint_log_likelihood(u, data["count"]))


def log_density_coal(u: Mapping[str, Any], data: Data) -> float:
    prior = sum(u[k] - np.exp(u[k]) for k in ("early", "late"))  # Exponential(1) times exp(u)
    return float(prior + _interval_log_jacobian(u["change"]) + _changepoint_log_likelihood(u, data["count"]))


def thermostat_modes(temp: Array, first: float = 0.0) -> Array:
    """`cooling` in each of the steps 1 .. T-1."""
    modes, mode = [], first
    for before in temp[:-1]:
        mode = 0.0 if before < 18 else 1.0 if before > 22 else mode
        modes.append(mode)
    return np.array(modes)


def log_density_temperature(u: Mapping[str, Any], data: Data) -> float:
    temp = np.asarray(u["temp"])
    cooling = thermostat_modes(temp)
    mean = temp[:-1] + (32 - temp[:-1] - 21 * cooling) / 15
    sd = np.where(cooling > 0.5, 0.22, 0.2) * np.sqrt(2)
    steps = np.sum(normal_lpdf(temp[1:], mean, sd))
    return float(normal_lpdf(temp[0], 20, 0.5) + steps + np.sum(normal_lpdf(data["reading"], temp, 1)))


def log_density_influenza(u: Mapping[str, Any], data: Data) -> float:
    f, v, w = (np.asarray(u[k]) for k in "fvw")
    a = b = c = 0.0
    total = normal_lpdf(f[0], 0, 1) + np.sum(normal_lpdf(v, 0, 0.023)) + np.sum(normal_lpdf(w, 0, 0.112))
    for t, deaths in enumerate(data["mortality"]):
        a, b = 1.406 * a - 0.622 * b + v[t], a
        c = -0.312 * c + 0.210 + w[t]
        total += normal_lpdf(f[t + 1], 0.67 if f[t] > 0 else -0.67, 1)
        total += normal_lpdf(deaths, a if f[t + 1] > 0 else a + c, 0.002)
    return float(total)


LOG_DENSITY: dict[str, Callable[[Mapping[str, Any], Data], float]] = {
    "one_if": log_density_one_if,
    "textmsg": log_density_textmsg,
    "coal": log_density_coal,
    "temperature": log_density_temperature,
    "influenza": log_density_influenza,
}

# ---- posterior marginals by quadrature -------------------------------------------------------------------------------


def marginal(mean: Any, sd: Any, quantiles: Any) -> Marginal:
    q5, q50, q95 = quantiles
    return {"mean": mean, "sd": sd, "q5": q5, "q50": q50, "q95": q95}


def from_cells(edges: Array, mass: Array, points: Array) -> Marginal:
    """Summary of a distribution with `mass` in the cells between `edges`, and moments taken at `points`."""
    mean = float(mass @ points)
    cdf = np.concatenate([[0.0], np.cumsum(mass)])
    return marginal(mean, float(np.sqrt(mass @ (points - mean) ** 2)), np.interp(LEVELS, cdf, edges))


def from_counts(mass: Array) -> Marginal:
    """Summary of a distribution over 0, 1, 2, ...; a quantile is the smallest value that reaches the level."""
    values = np.arange(len(mass))
    mean = float(mass @ values)
    quantiles = [float(np.searchsorted(np.cumsum(mass), level)) for level in LEVELS]
    return marginal(mean, float(np.sqrt(mass @ (values - mean) ** 2)), quantiles)


def posterior_one_if() -> dict[str, Any]:
    """Closed form: a standard normal whose halves are reweighted by the two likelihoods."""
    like = np.exp(normal_lpdf(0.0, np.array([-2.0, 1.0]), 1.0))  # z <= 0, z > 0
    below, above = like / like.sum()
    half = np.sqrt(2 / np.pi)  # mean of the half normal
    mean = float((above - below) * half)

    def quantile(p: float) -> float:
        return float(ndtri(p / (2 * below)) if p < below else -ndtri((1 - p) / (2 * above)))

    z = marginal(mean, float(np.sqrt(1 - mean**2)), [quantile(p) for p in LEVELS])
    return {
        "method": "closed form: two half normals, weighted by the likelihood of each side",
        "log_evidence": float(np.log(like.mean())),
        "probability_z_above_0": float(above),
        "latents": {"z": z},
        "reports": {},
    }


def _segment(log_prior: Array, x: Array, total: Array, days: Array) -> tuple[Array, Array]:
    """Posterior of x = log rate for each k, shape (k, grid) as cell masses, and the log evidence, shape (k,).

    Segment k has `total[k]` events in `days[k]` days; factorials are left to the caller.
    """
    log_joint = log_prior + total[:, None] * x - days[:, None] * np.exp(x) + np.log(x[1] - x[0])
    evidence = logsumexp(log_joint, axis=1)
    return np.exp(log_joint - evidence[:, None]), evidence


def posterior_changepoint(name: str, data: Data, step: float = 0.002) -> dict[str, Any]:
    """Exact up to quadrature: given the number k of early days the two rates are independent.

    `change` is uniform between k - 1 and k (times are days since the start; `coal` adds its first year). A trapezoid
    rule in log rate converges faster than any power of `step` for these integrands.
    """
    count = np.asarray(data["count"], float)
    n = len(count)
    x = np.arange(-7.0, 6.0, step)
    # Densities of log rate: LogNormal(2.6, 0.8) and Exponential(1), each with its Jacobian.
    log_prior = normal_lpdf(x, 2.6, 0.8) if name == "textmsg" else x - np.exp(x)
    k = np.arange(1, n + 1)
    before = np.cumsum(count)
    early, log_early = _segment(log_prior, x, before, k)
    late, log_late = _segment(log_prior, x, before[-1] - before, n - k)
    log_weight = log_early + log_late - np.log(n)
    log_evidence = logsumexp(log_weight)
    weight = np.exp(log_weight - log_evidence)

    edges = np.append(x, x[-1] + step) - step / 2
    latents = {}
    for site, given_k in (("early", early), ("late", late)):
        latents[site] = _positive(from_cells(np.exp(edges), weight @ given_k, np.exp(x)))
    start = data.get("first_year", 0)
    change = from_cells(start + np.arange(n + 1.0), weight, start + k - 0.5)
    change["sd"] = float(np.sqrt(change["sd"] ** 2 + 1 / 12))  # spread within a cell
    latents["change"] = change

    ratio = _ratio(weight, early, late, x, step)
    drop = marginal(1 - ratio["mean"], ratio["sd"], [1 - ratio[q] for q in ("q95", "q50", "q5")])
    return {
        "method": f"quadrature: sum over the {n} cells of `change`, trapezoid rule in log rate with step {step}",
        "log_evidence": float(log_evidence - np.sum(gammaln(count + 1))),
        "latents": latents,
        "reports": {"ratio": ratio} if name == "textmsg" else {"drop": drop},
    }


def _positive(m: Marginal) -> Marginal:
    assert m["q5"] > 0
    return m


def _ratio(weight: Array, early: Array, late: Array, x: Array, step: float) -> Marginal:
    """late / early: log of it is a difference of independent variables given k, so a correlation of their grids.

    Moments come from those of late and 1 / early: the far tails of a Fourier transform are rounding noise.
    """
    mass = np.zeros(2 * len(x) - 1)
    for w, e, g in zip(weight, early, late, strict=True):
        if w > 1e-15:
            mass += w * _convolve(g, e[::-1])
    log_ratio = (np.arange(len(mass)) - (len(x) - 1)) * step
    edges = np.append(log_ratio, log_ratio[-1] + step) - step / 2
    summary = _positive(from_cells(np.exp(edges), mass, np.exp(log_ratio)))
    first, second = (float(weight @ ((late @ np.exp(p * x)) * (early @ np.exp(-p * x)))) for p in (1, 2))
    return summary | {"mean": first, "sd": float(np.sqrt(second - first**2))}


def _convolve(a: Array, b: Array) -> Array:
    size = len(a) + len(b) - 1
    return np.maximum(np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size), size), 0.0)


def posterior_temperature(data: Data, step: float = 0.01) -> dict[str, Any]:
    """Forward-backward on a grid: (temperature, cooling so far, steps cooled) is a Markov chain.

    Midpoint rule on [10, 30] with cell edges at 18 and 22, so no cell straddles a threshold.
    """
    reading = np.asarray(data["reading"])
    steps = len(reading)
    edges = np.linspace(10, 30, round(20 / step) + 1)
    x = (edges[:-1] + edges[1:]) / 2
    kernel = [
        step * np.exp(normal_lpdf(x[:, None], x + (32 - x - 21 * m) / 15, s * np.sqrt(2)))
        for m, s in ((0, 0.2), (1, 0.22))
    ]  # [mode][to, from]
    like = np.exp(normal_lpdf(reading[:, None], x, 1))
    low, high = x < 18, x > 22

    # forward[t][mode, :, c]: joint mass of x[t], the mode used to reach it, c steps cooled so far, and readings 0..t
    start = np.zeros((2, len(x), steps))
    start[0, :, 0] = step * np.exp(normal_lpdf(x, 20, 0.5)) * like[0]
    forward = [start]
    for t in range(1, steps):
        off, on = forward[-1]
        to_off = np.where(low[:, None], off + on, np.where(high[:, None], 0, off))
        to_on = np.where(high[:, None], off + on, np.where(low[:, None], 0, on))
        to_on = np.concatenate([np.zeros((len(x), 1)), to_on[:, :-1]], axis=1)
        forward.append(np.stack([kernel[0] @ to_off, kernel[1] @ to_on]) * like[t][:, None])
    backward = np.ones((2, len(x)))  # [mode, x]: readings after t, given x[t] and the mode so far
    evidence = forward[-1].sum()
    summaries = []
    for t in range(steps - 1, -1, -1):
        mass = (forward[t].sum(axis=2) * backward).sum(axis=0) / evidence
        summaries.append(from_cells(edges, mass, x))
        if t:
            after = [kernel[m].T @ (like[t] * backward[m]) for m in (0, 1)]
            backward = np.stack([np.where(low, after[0], np.where(high, after[1], after[m])) for m in (0, 1)])
    summaries.reverse()
    temp = {key: [s[key] for s in summaries] for key in summaries[0]}
    return {
        "method": f"forward-backward recursion on a grid of temperatures, midpoint rule with step {step}",
        "log_evidence": float(np.log(evidence)),
        "latents": {"temp": temp},
        "reports": {"cooling_steps": from_counts(forward[-1].sum(axis=(0, 1)) / evidence)},
    }


def rounded(value: Any, digits: int = 7) -> Any:
    """`value` with floats cut to `digits` significant digits and numpy turned into plain lists."""
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v, digits) for v in value]
    if hasattr(value, "tolist"):  # arrays and scalars of numpy and jax
        return rounded(value.tolist(), digits)
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    return value


def compact(value: Any) -> str:
    """JSON with objects indented and arrays of numbers on one line."""

    def write(v: Any, depth: int) -> str:
        pad = " " * depth
        if isinstance(v, dict) and v:
            fields = (f"{pad} {json.dumps(k)}: {write(x, depth + 1)}" for k, x in v.items())
            return "{\n" + ",\n".join(fields) + f"\n{pad}}}"
        if isinstance(v, list) and any(isinstance(x, dict) for x in v):
            return "[\n" + ",\n".join(f"{pad} {write(x, depth + 1)}" for x in v) + f"\n{pad}]"
        return json.dumps(v, allow_nan=False)

    return write(value, 0) + "\n"


def gallery() -> dict[str, Callable[[Data], dict[str, Any]]]:
    """The programs whose posteriors are computed in files of their own, without a best guide."""
    import reference_enumeration
    import reference_mcmc
    import reference_regression

    return {**reference_regression.POSTERIOR, **reference_enumeration.POSTERIOR, **reference_mcmc.POSTERIOR}


def reference(name: str) -> dict[str, Any]:
    data = load_data(name)
    if name not in LOG_DENSITY:
        return {"posterior": gallery()[name](data)}
    import reference_meanfield
    import reference_switching

    if name == "one_if":
        posterior = posterior_one_if()
    elif name == "temperature":
        posterior = posterior_temperature(data)
    elif name == "influenza":
        posterior = reference_switching.posterior_influenza(data)
    else:
        posterior = posterior_changepoint(name, data)
    return {"posterior": posterior, "meanfield": reference_meanfield.best(name, data, posterior)}


def main() -> None:
    names = [*LOG_DENSITY, *gallery()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "reference_posteriors.json")
    parser.add_argument("--only", nargs="*", choices=names, help="recompute these, keep the others")
    args = parser.parse_args()
    result = json.loads(args.out.read_text()) if args.only else {}
    for name in names:
        if not args.only or name in args.only:
            result[name] = rounded(reference(name))
            print(f"{name}: {result[name]['posterior']['method']}", flush=True)
    args.out.write_text(compact({name: result[name] for name in names if name in result}))


if __name__ == "__main__":
    main()
