"""The five models of the literature written by hand in JAX, as vectorised as their structure allows.

Each is one function of a flat vector of latents in which every comparison goes through `branch`, so that the same text
serves plain automatic differentiation, forced outcomes (LYY18) and smoothing (DSGD). The programs in
``benchmarks/literature`` are the same densities; ``performance.py`` compares the two at random points first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln, xlog1py, xlogy
from jax.scipy.stats import norm
from scipy.special import ndtri

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"

# branch(family, value, above, below): `above` where value > 0. `family` names the guards for those who force one.
Branch = Callable[[str, Array, Any, Any], Array]


@dataclass(frozen=True)
class Planes:
    """A family of guards, each affine in one latent: guard i flips where latent `coordinate[i]` is at `root(u, e)[i]`.

    `rising`: +1 if the guard holds above its root, -1 if below.
    """

    family: str
    coordinate: np.ndarray
    root: Callable[[Array, Array], Array]
    rising: float


@dataclass(frozen=True)
class Model:
    """`h(u, e, log_q, branch)`: log p(data, u) - log q(u) over the latents that the path draws.

    `u` (latents,), `e` (noise,), `log_q` (latents,). `sites`: names and sizes of the latents, in the order of `u`.
    """

    name: str
    data: dict[str, Any]
    sites: tuple[tuple[str, int], ...]
    noise: int
    h: Callable[[Array, Array, Array, Branch], Array]
    planes: tuple[Planes, ...]
    inert: tuple[int, ...] = ()  # elements that are no latents

    @property
    def size(self) -> int:
        return sum(size for _, size in self.sites)


def shipped(name: str) -> dict[str, Any]:
    """The data of a shipped program."""
    return json.loads((PROGRAMS / f"{name}.data.json").read_text())


def textmsg() -> Model:
    count = np.asarray(shipped("textmsg")["count"][1::2])
    cut = ndtri(2 * np.arange(1, 38) / 75)
    log_factorial = np.asarray(gammaln(count + 1.0))

    def h(u: Array, e: Array, log_q: Array, branch: Branch) -> Array:
        x0, x1, z = u[0], u[1], u[2]
        prior = norm.logpdf(x0, 2.6362, 0.8326) + norm.logpdf(x1, 2.6362, 0.8326) + norm.logpdf(z)
        term = branch("cut", z - cut, count * x0 - jnp.exp(x0), count * x1 - jnp.exp(x1)) - log_factorial
        return prior + jnp.sum(term) - jnp.sum(log_q)

    planes = Planes("cut", np.full(37, 2), lambda u, e: jnp.asarray(cut, u.dtype), 1.0)
    data = {"count": count.tolist(), "cut": cut.tolist()}
    return Model("textmsg37", data, (("x0", 1), ("x1", 1), ("z", 1)), 0, h, (planes,))


def influenza() -> Model:
    T = 12
    y = np.asarray(shipped("influenza")["mortality"][:T])
    # a and c are linear in their shocks: impulse responses in place of the recursion.
    response, decay = np.zeros(T), (-0.312) ** np.arange(T)
    response[0], response[1] = 1.0, 1.406
    for t in range(2, T):
        response[t] = 1.406 * response[t - 1] - 0.622 * response[t - 2]
    lower = np.subtract.outer(np.arange(T), np.arange(T))
    A = np.where(lower >= 0, response[np.maximum(lower, 0)], 0.0)
    C = np.where(lower >= 0, decay[np.maximum(lower, 0)], 0.0)
    c0 = C @ np.full(T, 0.210)

    def h(u: Array, e: Array, log_q: Array, branch: Branch) -> Array:
        f, v, w = u[: T + 1], u[T + 1 : 2 * T + 1], u[2 * T + 1 :]
        a, c = A.astype(u.dtype) @ v, C.astype(u.dtype) @ w + c0
        prior = norm.logpdf(f[0]) + jnp.sum(norm.logpdf(v, 0, 0.023)) + jnp.sum(norm.logpdf(w, 0, 0.112))
        prior += jnp.sum(norm.logpdf(f[1:], branch("regime", f[:-1], 0.67, -0.67), 1))
        return prior + jnp.sum(norm.logpdf(y, branch("level", f[1:], a, a + c), 0.002)) - jnp.sum(log_q)

    zero = lambda u, e: jnp.zeros(T, u.dtype)  # noqa: E731
    planes = (Planes("regime", np.arange(T), zero, 1.0), Planes("level", np.arange(1, T + 1), zero, 1.0))
    return Model("influenza12", {"mortality": y.tolist()}, (("f", T + 1), ("v", T), ("w", T)), 0, h, planes)


def temperature() -> Model:
    T = 21
    y = np.asarray(shipped("temperature")["reading"])

    def h(u: Array, e: Array, log_q: Array, branch: Branch) -> Array:
        temp, switch = u[:T], u[T + 1 :]  # switch[0] is no latent
        on = branch("on", switch - 0.5, 1.0, 0.0)
        before = jnp.concatenate([jnp.zeros(1, u.dtype), on[:-1]])
        sigma = branch("sigma", switch - 0.5, 0.22, 0.2)
        wanted = branch("low", 18 - temp[:-1], 0.0, branch("high", temp[:-1] - 22, 1.0, before))
        out = norm.logpdf(temp[0], 20, 0.001) + jnp.sum(norm.logpdf(switch, wanted, 0.001))
        out += jnp.sum(norm.logpdf(temp[1:], temp[:-1] + (32 - temp[:-1] - 21 * on) / 15, sigma * 2))
        return out + jnp.sum(norm.logpdf(y, temp, 1)) - jnp.sum(log_q[:T]) - jnp.sum(log_q[T + 1 :])

    at = lambda level: lambda u, e: jnp.full(T - 1, level, u.dtype)  # noqa: E731
    planes = (
        Planes("low", np.arange(T - 1), at(18.0), -1.0), Planes("high", np.arange(T - 1), at(22.0), 1.0),
        Planes("on", np.arange(T + 1, 2 * T), at(0.5), 1.0), Planes("sigma", np.arange(T + 1, 2 * T), at(0.5), 1.0),
    )  # fmt: skip
    return Model("temperature41", {"reading": y.tolist()}, (("temp", T), ("switch", T)), 0, h, planes, (T,))


def walk() -> Model:
    S = 15

    def h(u: Array, e: Array, log_q: Array, branch: Branch) -> Array:
        start, z = u[0], u[1:]
        position = start + jnp.concatenate([jnp.zeros(1, u.dtype), jnp.cumsum(z)])
        outside = jnp.cumprod(branch("home", position, 1.0, 0.0))  # still on the way after so many steps
        walking = outside[:-1]
        walked = jnp.sum(walking * branch("abs", z, z, -z))
        steps = jnp.sum(walking * (norm.logpdf(z) - log_q[1:]))
        end = outside[-1] * -490000.0 + (1 - outside[-1]) * norm.logpdf(3.75, walked, 1)
        return norm.logpdf(start, 3, 1) - log_q[0] + steps + end

    def home(u: Array, e: Array) -> Array:
        return -jnp.concatenate([jnp.zeros(1, u.dtype), jnp.cumsum(u[1:])])

    planes = (
        Planes("home", np.zeros(S + 1, int), home, 1.0),
        Planes("abs", np.arange(1, S + 1), lambda u, e: jnp.zeros(S, u.dtype), 1.0),
    )
    return Model("walk15", {}, (("start", 1), ("z", S)), 0, h, planes)


def cheating() -> Model:
    n, k = 100, 35
    log_choose = float(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))

    def h(u: Array, e: Array, log_q: Array, branch: Branch) -> Array:
        score, first, second = e[:n], e[n : 2 * n], e[2 * n :]
        honest = branch("cheated", score - u[0], 1.0, 0.0)
        coin = jnp.where(second > 0, 1.0, 0.0).astype(u.dtype)
        p = jnp.mean(jnp.where(first > 0, honest, coin))
        return norm.logpdf(u[0], 0, 10) - log_q[0] + log_choose + xlogy(float(k), p) + xlog1py(float(n - k), -p)

    planes = (Planes("cheated", np.zeros(n, int), lambda u, e: e[:n], -1.0),)
    return Model("cheating100", {}, (("thr", 1),), 3 * n, h, planes)


MODELS = {"textmsg37": textmsg, "influenza12": influenza, "temperature41": temperature, "walk15": walk,
          "cheating100": cheating}  # fmt: skip
