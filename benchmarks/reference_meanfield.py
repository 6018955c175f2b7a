"""The exact ELBO of a mean-field Gaussian guide for every program in ``programs/``, and its maximum.

Under independent Gaussians u = loc + exp(log_scale) eps, every expectation of these models has a closed form: guards
test one latent, so their probabilities are normal distribution functions, and the rest is quadratic or exponential in
u. The exception, the Jacobian of the logistic map of `change`, is a trapezoid sum that is exact to rounding. Hence no
Monte Carlo: optima come from Newton steps in a trust region, and what is left of the gradient is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.special import gammaln, ndtr
from jax.scipy.stats import norm
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtri

Params = dict[str, dict[str, jax.Array]]
Elbo = Callable[[Params], jax.Array]

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
_EPS = np.arange(-10.0, 10.0001, 0.05)  # trapezoid nodes for expectations over one standard normal
_WEIGHT = np.exp(-0.5 * _EPS**2) / np.sum(np.exp(-0.5 * _EPS**2))


def expected_normal(mean_square: Any, sd: Any) -> Any:
    """E log Normal(x; mean, sd), given the mean square of x - mean."""
    return -HALF_LOG_2PI - jnp.log(sd) - 0.5 * mean_square / sd**2


def entropy(params: Params) -> jax.Array:
    scales = jax.tree.leaves(params["log_scale"])
    return sum((jnp.sum(s) + s.size * (HALF_LOG_2PI + 0.5) for s in scales), jnp.zeros(()))


def elbo_one_if(params: Params, data: Mapping[str, Any]) -> jax.Array:
    loc, scale = params["loc"]["z"], jnp.exp(params["log_scale"]["z"])
    above = ndtr(loc / scale)
    prior = expected_normal(loc**2 + scale**2, 1.0)
    seen = expected_normal(above * 1.0 + (1 - above) * 4.0, 1.0)
    return prior + seen + entropy(params)


def log_normal_prior(loc: Any, scale: Any, mu: float, sigma: float) -> Any:
    """E of the LogNormal(mu, sigma) log density times the Jacobian exp(u)."""
    return expected_normal((loc - mu) ** 2 + scale**2, sigma)


def exponential_prior(loc: Any, scale: Any, rate: float) -> Any:
    return jnp.log(rate) + loc - rate * jnp.exp(loc + scale**2 / 2)


def elbo_changepoint(params: Params, data: Mapping[str, Any], rate_prior: Callable[[Any, Any], Any]) -> jax.Array:
    """`textmsg` and `coal`; the interval of `change` enters through the thresholds logit(day / n) alone."""
    loc, scale = params["loc"], jax.tree.map(jnp.exp, params["log_scale"])
    count = jnp.asarray(data["count"], float)
    n = len(count)
    prior = rate_prior(loc["early"], scale["early"]) + rate_prior(loc["late"], scale["late"])
    u = loc["change"] + scale["change"] * _EPS
    jacobian = jnp.sum(_WEIGHT * (jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)))
    threshold = logit(np.arange(1, n) / n)
    late = jnp.concatenate([jnp.zeros(1), ndtr((threshold - loc["change"]) / scale["change"])])

    def poisson(site: str) -> jax.Array:
        return count * loc[site] - jnp.exp(loc[site] + scale[site] ** 2 / 2) - gammaln(count + 1)

    seen = jnp.sum((1 - late) * poisson("early") + late * poisson("late"))
    return prior + jacobian + seen + entropy(params)


def _truncated_moments(loc: Any, scale: Any, low: float, high: float) -> tuple[Any, Any, Any]:
    """E[1], E[x], E[x^2] over low < x < high for Gaussian x; infinite bounds allowed."""

    def edge(bound: float) -> tuple[Any, Any, Any]:  # Phi(z), phi(z) and z phi(z); no infinity may enter a gradient
        if np.isinf(bound):
            return float(bound > 0), 0.0, 0.0
        z = (bound - loc) / scale
        return ndtr(z), norm.pdf(z), z * norm.pdf(z)

    (c_low, p_low, zp_low), (c_high, p_high, zp_high) = edge(low), edge(high)
    mass = c_high - c_low
    first = loc * mass + scale * (p_low - p_high)
    second = loc**2 * mass + 2 * loc * scale * (p_low - p_high) + scale**2 * (mass + zp_low - zp_high)
    return mass, first, second


def elbo_temperature(params: Params, data: Mapping[str, Any], first_mode: float = 0.0) -> jax.Array:
    """The mode before step t depends on temperatures 0 .. t-2 only, so it is independent of temp[t-1] under q."""
    loc, scale = params["loc"]["temp"], jnp.exp(params["log_scale"]["temp"])
    reading = jnp.asarray(data["reading"])
    bounds = [(-np.inf, 18.0), (18.0, 22.0), (22.0, np.inf)]
    below, between, above = (_truncated_moments(loc[:-1], scale[:-1], *b) for b in bounds)

    def carry(cooling: Any, p: Any) -> tuple[Any, Any]:
        p_between, p_above = p
        return p_above + p_between * cooling, cooling

    _, before = jax.lax.scan(carry, jnp.asarray(first_mode, float), (between[0], above[0]))
    total = expected_normal((loc[0] - 20) ** 2 + scale[0] ** 2, 0.5)
    total += jnp.sum(expected_normal((reading - loc) ** 2 + scale**2, 1.0))
    for mode, sd in ((0.0, 0.2), (1.0, 0.22)):
        outer = above if mode else below
        weight = before if mode else 1 - before
        mass, first, second = (o + weight * b for o, b in zip(outer, between, strict=True))
        # temp[t] - 14/15 temp[t-1] - shift, squared, on the paths that take this mode
        shift, slope = (32 - 21 * mode) / 15, 14 / 15
        rest = loc[1:] - shift
        square = (rest**2 + scale[1:] ** 2) * mass - 2 * slope * rest * first + slope**2 * second
        sd = sd * np.sqrt(2)
        total += jnp.sum(-(HALF_LOG_2PI + np.log(sd)) * mass - 0.5 * square / sd**2)
    return total + entropy(params)


def _influenza_maps(months: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a = A v and c = c0 + C w: lower triangular matrices from the two recursions."""
    a_map, c_map, c_mean = np.zeros((months, months)), np.zeros((months, months)), np.zeros(months)
    for t in range(months):
        if t > 0:
            a_map[t] = 1.406 * a_map[t - 1] - (0.622 * a_map[t - 2] if t > 1 else 0)
            c_map[t] = -0.312 * c_map[t - 1]
            c_mean[t] = -0.312 * c_mean[t - 1]
        a_map[t, t] += 1
        c_map[t, t] += 1
        c_mean[t] += 0.210
    return a_map, c_map, c_mean


def elbo_influenza(params: Params, data: Mapping[str, Any]) -> jax.Array:
    loc, scale = params["loc"], jax.tree.map(jnp.exp, params["log_scale"])
    deaths = jnp.asarray(data["mortality"])
    a_map, c_map, c_mean = _influenza_maps(len(deaths))
    a, a_var = a_map @ loc["v"], a_map**2 @ scale["v"] ** 2
    c, c_var = c_mean + c_map @ loc["w"], c_map**2 @ scale["w"] ** 2
    quiet = ndtr(loc["f"] / scale["f"])
    total = expected_normal(loc["f"][0] ** 2 + scale["f"][0] ** 2, 1.0)
    jump = quiet[:-1] * (loc["f"][1:] - 0.67) ** 2 + (1 - quiet[:-1]) * (loc["f"][1:] + 0.67) ** 2
    total += jnp.sum(expected_normal(jump + scale["f"][1:] ** 2, 1.0))
    for site, sd in (("v", 0.023), ("w", 0.112)):
        total += jnp.sum(expected_normal(loc[site] ** 2 + scale[site] ** 2, sd))
    p = quiet[1:]
    square = p * ((deaths - a) ** 2 + a_var) + (1 - p) * ((deaths - a - c) ** 2 + a_var + c_var)
    return total + jnp.sum(expected_normal(square, 0.002)) + entropy(params)


ELBO: dict[str, Callable[[Params, Mapping[str, Any]], jax.Array]] = {
    "one_if": elbo_one_if,
    "textmsg": partial(elbo_changepoint, rate_prior=lambda m, s: log_normal_prior(m, s, 2.6, 0.8)),
    "coal": partial(elbo_changepoint, rate_prior=lambda m, s: exponential_prior(m, s, 1.0)),
    "temperature": elbo_temperature,
    "influenza": elbo_influenza,
}

# ---- starting points -------------------------------------------------------------------------------------------------


def random_start(name: str, data: Mapping[str, Any], rng: np.random.Generator) -> Params:
    """Locations drawn from the prior (for `temperature`, around its mean 20), scales 0.1 to 1 of a typical spread."""
    if name == "one_if":
        centre = {"z": (0.0, 1.0, ())}
    elif name == "textmsg":
        centre = {"early": (2.6, 0.8, ()), "late": (2.6, 0.8, ()), "change": (0.0, 1.8, ())}
    elif name == "coal":
        centre = {"early": (-0.6, 1.3, ()), "late": (-0.6, 1.3, ()), "change": (0.0, 1.8, ())}
    elif name == "temperature":
        centre = {"temp": (20.0, 2.0, (data["T"],))}
    else:
        months = data["T"]
        centre = {"f": (0.0, 1.0, (months + 1,)), "v": (0.0, 0.023, (months,)), "w": (0.0, 0.112, (months,))}
    loc = {k: jnp.asarray(m + s * rng.standard_normal(shape)) for k, (m, s, shape) in centre.items()}
    log_scale = {k: jnp.asarray(np.log(s * rng.uniform(0.1, 1.0, shape))) for k, (_, s, shape) in centre.items()}
    return {"loc": loc, "log_scale": log_scale}


def posterior_start(name: str, data: Mapping[str, Any], posterior: Mapping[str, Any], noise: Any = None) -> Params:
    """Mean and spread of the reference posterior, mapped to unconstrained space; `noise` moves each mean by its sd."""
    loc, log_scale = {}, {}
    for site, summary in posterior["latents"].items():
        mean, sd = np.asarray(summary["mean"]), np.asarray(summary["sd"])
        if site in ("early", "late"):
            mean, sd = np.log(mean), sd / mean
        elif site == "change":
            width = len(data["count"])
            share = (mean - data.get("first_year", 0)) / width
            mean, sd = logit(share), sd / width / (share * (1 - share))
        jitter = 0.0 if noise is None else sd * noise.standard_normal(np.shape(sd))
        loc[site], log_scale[site] = jnp.asarray(mean + jitter), jnp.asarray(np.log(sd))
    return {"loc": loc, "log_scale": log_scale}


# ---- optimisation ----------------------------------------------------------------------------------------------------


def maximiser(elbo: Elbo, units: Params) -> Callable[[Params], tuple[float, Params, float]]:
    """A function from a start to a local maximum: value, parameters, largest gradient component (in `units`).

    Up to 50 parameters a trust region with the exact Hessian does all the work; above, L-BFGS comes first.
    """
    step, unravel = ravel_pytree(units)

    @jax.jit
    def value_and_grad(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, grad = jax.value_and_grad(lambda z: -elbo(unravel(z * step)))(x)
        ok = jnp.isfinite(value) & jnp.all(jnp.isfinite(grad))
        return jnp.where(ok, value, 1e300), jnp.where(ok, grad, 0.0)  # overflow far out: a step that is refused

    def evaluate(x: Any) -> tuple[float, np.ndarray]:
        value, grad = value_and_grad(x)
        return float(value), np.asarray(grad)

    hessian = jax.jit(jax.hessian(lambda z: -elbo(unravel(z * step))))

    def maximise(start: Params) -> tuple[float, Params, float]:
        x = np.asarray(ravel_pytree(start)[0] / step)
        if x.size > 50:
            options = {"maxiter": 20000, "maxfun": 40000, "gtol": 1e-6, "ftol": 1e-15, "maxcor": 50}
            x = minimize(evaluate, x, jac=True, method="L-BFGS-B", options=options).x
        x = minimize(
            evaluate,
            x,
            jac=True,
            hess=lambda z: np.asarray(hessian(z)),
            method="trust-exact",
            options={"gtol": 1e-9, "maxiter": 1000 if x.size <= 50 else 30},
        ).x
        value, grad = evaluate(x)
        return -value, unravel(jnp.asarray(x) * step), float(np.max(np.abs(grad)))

    return maximise


def units(name: str, data: Mapping[str, Any]) -> Params:
    """Natural units of the parameters, so that quasi-Newton steps start well scaled."""
    like = random_start(name, data, np.random.default_rng(0))
    scale = {"v": 0.023, "w": 0.112}
    return {
        "loc": {k: jnp.full_like(v, scale.get(k, 1.0)) for k, v in like["loc"].items()},
        "log_scale": {k: jnp.ones_like(v) for k, v in like["log_scale"].items()},
    }


def distinct(found: Sequence[tuple[float, Params]]) -> list[tuple[float, Params, int]]:
    """Optima by falling ELBO, equal ones merged, with how many starts reached each."""
    out: list[tuple[float, Params, int]] = []
    for value, params in sorted(found, key=lambda item: -item[0]):
        if out and abs(out[-1][0] - value) < 1e-5 * (1 + abs(value)):
            out[-1] = (*out[-1][:2], out[-1][2] + 1)
        else:
            out.append((value, params, 1))
    return out


def latent_marginals(name: str, data: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Marginals of the constrained latents under the guide."""
    out = {}
    for site in params["loc"]:
        loc, scale = np.asarray(params["loc"][site]), np.exp(np.asarray(params["log_scale"][site]))
        nodes = loc[..., None] + scale[..., None] * _EPS
        quantiles = [loc + scale * ndtri(level) for level in (0.05, 0.5, 0.95)]
        if site in ("early", "late"):
            nodes, quantiles = np.exp(nodes), [np.exp(q) for q in quantiles]
        elif site == "change":
            first, n = data.get("first_year", 0), len(data["count"])
            nodes, quantiles = first + n * expit(nodes), [first + n * expit(q) for q in quantiles]
        mean = nodes @ _WEIGHT
        sd = np.sqrt((nodes - mean[..., None]) ** 2 @ _WEIGHT)
        out[site] = {"mean": mean, "sd": sd, "q5": quantiles[0], "q50": quantiles[1], "q95": quantiles[2]}
    return out


def best(name: str, data: Mapping[str, Any], posterior: Mapping[str, Any], seed: int = 2018) -> dict[str, Any]:
    """The best mean-field Gaussian found: from random points (200, or 20 for many latents) and around the posterior."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        maximise = maximiser(partial(ELBO[name], data=data), units(name, data))
        small = name in ("one_if", "textmsg", "coal")
        blind = [maximise(random_start(name, data, rng)) for _ in range(200 if small else 20)]
        near = [posterior_start(name, data, posterior, rng if i else None) for i in range(1 if small else 20)]
        informed = [maximise(start) for start in near]
        optima = distinct([(value, params) for value, params, _ in blind + informed])
        value, params, _ = optima[0]
        method = "L-BFGS, then trust-region Newton" if name == "influenza" else "trust-region Newton"
        around = "one at the moments of the reference posterior" + ("" if small else ", and 19 around it")
        return {
            "method": f"exact ELBO, {method}; {len(blind)} random starts, {around}",
            "seed": seed,
            "largest_gradient": max(slope for _, _, slope in blind + informed),
            "elbo": value,
            "best_of_random_starts": max(v for v, _, _ in blind),
            "optima": [{"elbo": v, "starts": n} | (dict(p) if small else {}) for v, p, n in optima],
            "params": params,
            "latents": latent_marginals(name, data, params),
        }
