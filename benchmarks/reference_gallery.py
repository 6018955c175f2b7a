"""Log densities of the gallery written out by hand, in the latents themselves (no Jacobian), and their supports.

Sites may have leading batch axes, so that a sampler can evaluate many points at once. Tests compare these densities
with the compiled programs; ``reference_posteriors.py`` has those of the first five.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_posteriors import normal_lpdf, poisson_lpmf
from reference_regression import half_normal_lpdf, standardised
from scipy.special import betaln, gammaln, xlog1py, xlogy

Array = NDArray[np.float64]
Data = Mapping[str, Any]
Z = Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    shape: tuple[int, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    centre: float = 0.0  # where test points lie, in units of the latent; between low and high
    spread: float = 1.0
    values: int = 0  # of a discrete site


def log_normal_lpdf(x: Any, mu: Any, sigma: Any) -> Any:
    return normal_lpdf(np.log(x), mu, sigma) - np.log(x)


def beta_lpdf(x: Any, a: float, b: float) -> Any:
    return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)


def bernoulli_lpmf(y: Any, p: Any) -> Any:
    return xlogy(y, p) + xlog1py(1 - y, -p)


def negative_binomial_lpmf(y: Any, mean: Any, dispersion: Any) -> Any:
    counts = gammaln(y + dispersion) - gammaln(dispersion) - gammaln(y + 1.0)
    total = mean + dispersion
    return counts + dispersion * np.log(dispersion / total) + y * np.log(mean / total)


def last(x: Any) -> Any:
    """A scalar site beside an axis of observations."""
    return np.asarray(x)[..., None]


def total(x: Any) -> Any:
    return np.sum(x, axis=-1)


def nile(z: Z, d: Data) -> Any:
    prior = normal_lpdf(z["early"], 1000, 300) + normal_lpdf(z["late"], 1000, 300) + half_normal_lpdf(z["sd"], 200)
    level = np.where(np.arange(d["n"]) < last(z["early_years"]), last(z["early"]), last(z["late"]))
    return prior - np.log(d["n"]) + total(normal_lpdf(d["flow"], level, last(z["sd"])))


def lynx(z: Z, d: Data) -> Any:
    prior = normal_lpdf(z["threshold"], 3, 0.3) + total(normal_lpdf(z["level"], 3, 0.5))
    prior = prior + total(normal_lpdf(z["last"], 1, 0.5) + normal_lpdf(z["older"], -0.5, 0.5))
    prior = prior + total(half_normal_lpdf(z["sd"], 0.5))
    y = np.log10(d["trapped"])
    rich = (y[:-2] > last(z["threshold"])).astype(int)
    level, slope, older, sd = (
        np.take_along_axis(np.asarray(z[k]), rich, axis=-1) for k in ("level", "last", "older", "sd")
    )
    mean = level + slope * (y[1:-1] - 3) + older * (y[:-2] - 3)
    return prior + total(normal_lpdf(y[2:], mean, sd))


def iris(z: Z, d: Data) -> Any:
    prior = beta_lpdf(z["purity"], 9, 1) - np.log(21.0)
    leaf = np.where(d["petal_length"] < last(z["long"]), 0, np.where(d["petal_width"] < last(z["wide"]), 1, 2))
    p = last(z["purity"])
    return prior + total(np.log(np.where(leaf == d["species"], p, (1 - p) / 2)))


def theoph(z: Z, d: Data) -> Any:
    prior = np.log(2) - 2 * z["lag"] + log_normal_lpdf(z["volume"], -0.7, 0.3) + half_normal_lpdf(z["sd"], 1)
    prior = prior + log_normal_lpdf(z["elimination"], -2.5, 0.5) + log_normal_lpdf(z["excess"], 0, 0.7)
    absorption = z["elimination"] + z["excess"]
    since = np.maximum(d["hour"] - last(z["lag"]), 0)
    curve = np.exp(-last(z["elimination"]) * since) - np.exp(-last(absorption) * since)
    mean = last(d["dose"] * absorption / (z["volume"] * z["excess"])) * curve
    return prior + total(normal_lpdf(d["conc"], mean, last(z["sd"])))


def stagnant(z: Z, d: Data) -> Any:
    prior = sum(normal_lpdf(z[k], 0, 1) for k in ("height", "before", "after"))
    prior = prior + half_normal_lpdf(z["sd"], 0.2) - np.log(2.4)
    past = d["x"] - last(z["knot"])
    mean = last(z["height"]) + np.where(past < 0, last(z["before"]), last(z["after"])) * past
    return prior + total(normal_lpdf(d["y"], mean, last(z["sd"])))


def stackloss(z: Z, d: Data) -> Any:
    """An effect that does not exist has no density and may be NaN."""
    used = np.asarray(z["used"]) == 1
    effect = np.where(used, z["effect"], 0.0)
    prior = normal_lpdf(z["base"], 15, 10) + half_normal_lpdf(z["sd"], 5) + used.shape[-1] * np.log(0.5)
    prior = prior + total(np.where(used, normal_lpdf(effect, 0, 5), 0.0))
    mean = last(z["base"]) + effect @ standardised(np.asarray(d["x"], float)).T
    return prior + total(normal_lpdf(d["loss"], mean, last(z["sd"])))


def pedestrian(z: Z, d: Data) -> Any:
    """One walk at a time; steps after the way home do not exist and may be NaN."""
    position, walked, density = float(z["start"]), 0.0, -np.log(3.0)
    for step in z["step"]:
        if position <= 0:
            break
        position, walked, density = position + step, walked + abs(step), density - np.log(2.0)
    return density + normal_lpdf(d["remembered"], walked, 0.1)


def school_flu(z: Z, d: Data) -> Any:
    prior = log_normal_lpdf(z["contact"], 0.5, 0.5) + beta_lpdf(z["leave"], 2, 2) + beta_lpdf(z["cut"], 2, 2)
    prior = prior + log_normal_lpdf(z["first"], 1, 0.5) + log_normal_lpdf(z["spread"], 3, 1) - np.log(300)
    ill = z["first"]
    healthy = d["boys"] - ill
    for seen in d["in_bed"]:
        prior = prior + negative_binomial_lpmf(seen, ill, z["spread"])
        rate = z["contact"] * np.where(ill > z["alarm"], 1 - z["cut"], 1.0)
        new = -healthy * np.expm1(-rate * ill / d["boys"])
        healthy, ill = healthy - new, ill + new - z["leave"] * ill
    return prior


def inventory(z: Z, d: Data) -> Any:
    """One path at a time, with the noise given."""
    stock, cost = d["shelf"], 0.0
    for demand in z["demand"]:
        if stock < z["reorder"]:
            stock, cost = d["shelf"], cost + d["order_cost"]
        cost += d["loss_cost"] * max(demand - stock, 0)
        stock = max(stock - demand, 0)
        cost += d["hold_cost"] * stock
    return -np.log(d["shelf"]) - cost / d["scale"]


def sids(z: Z, d: Data) -> Any:
    prior = normal_lpdf(z["x"], 0, 200) + normal_lpdf(z["y"], 0, 80) + log_normal_lpdf(z["radius"], 4.3, 0.3)
    prior = prior + log_normal_lpdf(z["rate"], 0.7, 0.5) + log_normal_lpdf(z["excess"], -0.5, 0.7)
    distance = np.hypot(d["east"] - last(z["x"]), d["north"] - last(z["y"]))
    rate = last(z["rate"]) * np.where(distance < last(z["radius"]), 1 + last(z["excess"]), 1.0)
    return prior + total(poisson_lpmf(d["deaths"], d["births"] / 1000 * rate))


def leading(z: Z, d: Data) -> Any:
    prior = normal_lpdf(z["drift"], 0, 1) + normal_lpdf(z["keep"], 0, 1) + normal_lpdf(z["gain"], 0, 5)
    prior = prior + half_normal_lpdf(z["sd"], 2) - np.log(d["most"])
    change, push = np.diff(d["sales"]), np.diff(d["indicator"])
    t = np.arange(d["most"] + 1, d["n"]) - 1
    lag = last(np.floor(z["lag"]).astype(int))
    mean = last(z["drift"]) + last(z["keep"]) * change[t - 1] + last(z["gain"]) * push[t - lag]
    return prior + total(normal_lpdf(change[t], mean, last(z["sd"])))


def benefit(z: Z, d: Data) -> Any:
    a, b = np.asarray(z["a"]), np.asarray(z["b"])
    prior = beta_lpdf(z["uptake"], 2, 2) + beta_lpdf(z["leak"], 1, 9)
    incomes = log_normal_lpdf(a, 3, 0.5) + log_normal_lpdf(b, 2.5, 0.5)
    reports = log_normal_lpdf(d["his"], np.log(a), 0.2) + log_normal_lpdf(d["hers"], np.log(b), 0.2)
    chance = np.where(a + b < d["limit"], last(z["uptake"]), last(z["leak"]))
    return prior + total(incomes + reports + bernoulli_lpmf(d["receives"], chance))


def discount(z: Z, d: Data) -> Any:
    prior = log_normal_lpdf(z["rate"], -2, 1) + beta_lpdf(z["slip"], 1, 9)
    worth = total(np.exp(-last(z["rate"]) * np.arange(1, 4)))
    slip = last(z["slip"])
    return prior + total(bernoulli_lpmf(d["bought"], np.where(last(worth) > d["price"], 1 - slip, slip)))


def orings(z: Z, d: Data) -> Any:
    prior = normal_lpdf(z["limit"], 65, 10) + beta_lpdf(z["cold"], 1, 1) + beta_lpdf(z["warm"], 1, 1)
    chance = np.where(d["temperature"] < last(z["limit"]), last(z["cold"]), last(z["warm"]))
    return prior + total(bernoulli_lpmf(d["damaged"], chance))


def discoveries(z: Z, d: Data) -> Any:
    """`change` is sorted: each pair stands for two."""
    change, rate = np.asarray(z["change"]), np.asarray(z["rate"])
    prior = np.log(2) - 2 * np.log(d["n"]) + total(2 * np.log(0.5) + np.log(rate) - 0.5 * rate)
    era = np.sum(np.arange(d["n"]) >= change[..., None], axis=-2)
    return prior + total(poisson_lpmf(d["count"], np.take_along_axis(rate, era, axis=-1)))


LOG_JOINT: dict[str, Callable[[Z, Data], Any]] = {
    f.__name__: f
    for f in (nile, lynx, iris, theoph, stagnant, stackloss, pedestrian, school_flu, inventory, sids, leading, benefit)
} | {"discount": discount, "orings": orings, "discoveries": discoveries}

UNIT = Site((), 0, 1, 0.5, 0.3)
SITES: dict[str, dict[str, Site]] = {
    "nile": {
        "early": Site((), centre=1050, spread=50),
        "late": Site((), centre=900, spread=50),
        "sd": Site((), 0, centre=140, spread=30),
        "early_years": Site((), values=100),
    },
    "lynx": {
        "threshold": Site((), centre=3, spread=0.3),
        "level": Site((2,), centre=3, spread=0.2),
        "last": Site((2,), centre=1, spread=0.2),
        "older": Site((2,), centre=-0.5, spread=0.2),
        "sd": Site((2,), 0, centre=0.3, spread=0.1),
    },
    "iris": {"long": Site((), 0, 7, 3, 1), "wide": Site((), 0, 3, 1.5, 0.5), "purity": UNIT},
    "theoph": {
        "lag": Site((), 0, centre=0.4, spread=0.3),
        "volume": Site((), 0, centre=0.5, spread=0.2),
        "elimination": Site((), 0, centre=0.1, spread=0.05),
        "excess": Site((), 0, centre=1, spread=0.5),
        "sd": Site((), 0, centre=0.8, spread=0.3),
    },
    "stagnant": {
        "knot": Site((), -1.3, 1.1, 0, 0.4),
        "height": Site((), centre=0.5, spread=0.3),
        "before": Site((), centre=-0.5, spread=0.3),
        "after": Site((), centre=-1, spread=0.3),
        "sd": Site((), 0, centre=0.2, spread=0.1),
    },
    "stackloss": {
        "base": Site((), centre=17, spread=2),
        "sd": Site((), 0, centre=4, spread=1),
        "used": Site((3,), values=2),
        "effect": Site((3,), centre=2, spread=3),
    },
    "pedestrian": {"start": Site((), 0, 3, 0.6, 0.4), "step": Site((6,), -1, 1, -0.1, 0.4)},
    "school_flu": {
        "contact": Site((), 0, centre=2, spread=0.3),
        "leave": UNIT,
        "first": Site((), 0, centre=3, spread=1),
        "alarm": Site((), 0, 300, 100, 60),
        "cut": UNIT,
        "spread": Site((), 0, centre=10, spread=4),
    },
    "inventory": {"reorder": Site((), 0, 100, 40, 20)},
    "sids": {
        "x": Site((), centre=100, spread=150),
        "y": Site((), centre=0, spread=80),
        "radius": Site((), 0, centre=100, spread=40),
        "rate": Site((), 0, centre=2, spread=0.5),
        "excess": Site((), 0, centre=0.7, spread=0.3),
    },
    "leading": {
        "lag": Site((), 0, 8, 4, 2),
        "drift": Site((), centre=0, spread=0.3),
        "keep": Site((), centre=0.5, spread=0.3),
        "gain": Site((), centre=3, spread=2),
        "sd": Site((), 0, centre=1, spread=0.4),
    },
    "benefit": {
        "uptake": UNIT,
        "leak": UNIT,
        "a": Site((24,), 0, centre=20, spread=6),
        "b": Site((24,), 0, centre=12, spread=4),
    },
    "discount": {"rate": Site((), 0, centre=0.3, spread=0.2), "slip": UNIT},
    "orings": {"limit": Site((), centre=65, spread=6), "cold": UNIT, "warm": UNIT},
    "discoveries": {
        "change": Site((2,), 0, 100, 50, 20),
        "rate": Site((3,), 0, centre=3, spread=1),
    },
}
