"""Hand-written problems with the interface of `ppl.problem.Problem`, so that inference is tested without the compiler.

A stand-in is a log density whose only jumps are threshold guards ``u[index] > level`` on single unconstrained
latents. That is enough for an exact combined estimator in a few lines: the jump at a root is the density with that
guard forced true minus the density with it forced false.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jax.scipy.stats import norm

from ppl.diagnostics import Span

Array = Any
SPAN = Span("stand_in.ppl", 3, 1, 3, 2)
Params = dict[str, dict[str, Array]]


@dataclass(frozen=True)
class Site:
    name: str
    shape: tuple[int, ...] = ()
    support: str = "real"
    noise: bool = False
    span: object = None

    @property
    def free(self) -> tuple[int, ...]:
        return self.shape


class Draws(NamedTuple):
    latents: dict[str, Array]
    reports: dict[str, Array]
    unconstrained: dict[str, Array]
    log_weight: Array
    log_q: Array
    branches: dict[str, Array]


@dataclass(frozen=True)
class StandIn:
    """`density(u, guards)`: log p(data, z) + log |dT/du| for a flat `u`, given the outcome of each guard.

    `exists(u)` maps a site to whether it exists; `constrain(u)` maps flat `u` to the latents by name.
    """

    name: str
    sites: tuple[Site, ...]
    density: Callable[[Array, Array], Array]
    prior_draw: Callable[[Array], Array]
    guard_index: tuple[int, ...] = ()
    guard_level: tuple[float, ...] = ()
    constrain: Callable[[Array], dict[str, Array]] | None = None
    exists: Callable[[Array], dict[str, Array]] = lambda u: {}
    report: Callable[[dict[str, Array]], dict[str, Array]] = lambda z: {}
    reports: tuple[str, ...] = ()
    diagnostics: tuple[Any, ...] = ()
    guards: tuple[Any, ...] = ()
    digest: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def _split(self, flat: Array) -> dict[str, Array]:
        out: dict[str, Array] = {}
        start = 0
        for site in self.sites:
            size = int(np.prod(site.shape))
            out[site.name] = flat[..., start : start + size].reshape((*flat.shape[:-1], *site.shape))
            start += size
        return out

    def _join(self, tree: dict[str, Array]) -> Array:
        return jnp.concatenate([jnp.ravel(tree[s.name]) for s in self.sites])

    @property
    def own_guide(self) -> str | None:
        return None

    def init_params(self, guide: str = "meanfield", dtype: Any = None) -> Params:
        dtype = dtype or jnp.zeros(()).dtype
        zeros = {s.name: jnp.zeros(s.shape, dtype) for s in self.sites}
        return {"loc": dict(zeros), "log_scale": dict(zeros)}

    def _guards(self, u: Array) -> Array:
        return u[jnp.array(self.guard_index, int)] > jnp.array(self.guard_level, u.dtype)

    def _sample(self, loc: Array, log_scale: Array, eps: Array) -> tuple[Array, Array]:
        """One sample of h and of the boundary surrogate."""
        u = loc + jnp.exp(log_scale) * eps
        log_q = jnp.sum(jnp.where(self._present(u), norm.logpdf(u, loc, jnp.exp(log_scale)), 0.0))
        h = self.density(u, self._guards(u)) - log_q
        index, level = jnp.array(self.guard_index, int), jnp.array(self.guard_level, u.dtype)

        def weighted(k: Array, i: Array, at: Array) -> Array:
            there = u.at[i].set(at)
            on, off = (self.density(there, self._guards(there).at[k].set(side)) for side in (True, False))
            scale = jnp.exp(log_scale[i])
            return norm.pdf((at - loc[i]) / scale) * (on - off) / scale

        if not self.guard_index:
            return h, jnp.zeros_like(h)
        weight = jax.lax.stop_gradient(jax.vmap(weighted)(jnp.arange(len(index)), index, level))
        scale = jnp.exp(log_scale[index])
        moved = loc[index] + scale * jax.lax.stop_gradient((level - loc[index]) / scale) - level
        boundary = jnp.sum(weight * moved)
        return h, boundary

    def _present(self, u: Array) -> Array:
        there = self.exists(u)
        return jnp.concatenate([jnp.broadcast_to(there.get(s.name, True), s.shape).ravel() for s in self.sites])

    def elbo_loss(self, guide: str, estimator: str, samples: int) -> Callable[[Params, Array], Array]:
        assert guide == "meanfield"
        size = sum(int(np.prod(s.shape)) for s in self.sites)

        def loss(params: Params, key: Array, boundaries: Any = None) -> Array:
            loc, log_scale = self._join(params["loc"]), self._join(params["log_scale"])
            eps = jax.random.normal(key, (samples, size), loc.dtype)
            h, boundary = jax.vmap(lambda e: self._sample(loc, log_scale, e))(eps)
            weight = 1.0 if boundaries is None else boundaries
            keep = weight if estimator == "combined" else 0.0
            return -jnp.mean(h + keep * (boundary - jax.lax.stop_gradient(boundary)))

        return loss

    def elbo_and_grad(
        self,
        guide: str,
        estimator: str,
        samples: int,
        noise: str = "",
        stl: bool = False,
        marginalise: bool = True,
        minibatch: int | None = None,
        boundary_budget: int | None = None,
        samples_axis: str | None = None,
    ) -> Callable[[Params, Array], Any]:
        value_and_grad = jax.value_and_grad(self.elbo_loss(guide, estimator, samples))

        def fn(params: Params, key: Array, boundaries: Any = None) -> Any:
            value, grad = value_and_grad(params, key, boundaries)
            return -value, jax.tree.map(jnp.negative, grad)

        return fn

    def draw(self, params: Params, key: Array, n: int, guide: str = "meanfield") -> Draws:
        loc, log_scale = self._join(params["loc"]), self._join(params["log_scale"])
        eps = jax.random.normal(key, (n, len(loc)), loc.dtype)

        def one(e: Array) -> Draws:
            u = loc + jnp.exp(log_scale) * e
            log_q = jnp.sum(jnp.where(self._present(u), norm.logpdf(u, loc, jnp.exp(log_scale)), 0.0))
            z = self.constrain(u) if self.constrain else self._split(u)
            there = self.exists(u)
            z = {k: jnp.where(there.get(k, True), v, jnp.nan) for k, v in z.items()}
            return Draws(
                z, self.report(z), self._split(u), self.density(u, self._guards(u)) - log_q, log_q, self._taken(u)
            )

        return jax.vmap(one)(eps)

    def not_finite_at(self, params: Params, key: Array, n: int, guide: str) -> tuple[Any, ...]:
        return ()

    def steep_at(self, params: Params, key: Array, n: int, guide: str) -> None:
        return None

    @property
    def branches(self) -> dict[str, Any]:
        return {f"g{k}": (f"u[{i}] > {self.guard_level[k]}", SPAN) for k, i in enumerate(self.guard_index)}

    def _taken(self, u: Array) -> dict[str, Array]:
        return {f"g{k}": on.astype(float) for k, on in enumerate(self._guards(u))}

    def prior_path(self, u: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        def one(at: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
            flat = self._join(at)
            there = self.exists(flat)
            z = self.constrain(flat) if self.constrain else at
            return {k: jnp.where(there.get(k, True), v, jnp.nan) for k, v in z.items()}, self._taken(flat)

        return jax.vmap(one)(u)

    def prior_draws(self, key: Array, n: int, *, sweeps: int | None = None) -> dict[str, Array]:
        return self.prior(key, n)

    def prior(self, key: Array, n: int) -> dict[str, Array]:
        return self._split(jax.vmap(self.prior_draw)(jax.random.split(key, n)))


def normal_prior(mean: Any, sd: Any) -> Callable[[Array], Array]:
    mean, sd = np.atleast_1d(mean).astype(float), np.atleast_1d(sd).astype(float)
    return lambda key: jnp.asarray(mean) + jnp.asarray(sd) * jax.random.normal(key, mean.shape, jnp.zeros(()).dtype)


def gaussian(mean: Any, sd: Any, prior_sd: float = 1.0, name: str = "gaussian") -> StandIn:
    """A target that is a normalised Gaussian: the best ELBO is 0, with loc = mean and log_scale = log(sd)."""
    mean, sd = np.atleast_1d(mean).astype(float), np.atleast_1d(sd).astype(float)
    return StandIn(
        name,
        (Site("x", mean.shape),),
        lambda u, g: jnp.sum(norm.logpdf(u, jnp.asarray(mean, u.dtype), jnp.asarray(sd, u.dtype))),
        normal_prior(0 * mean, prior_sd + 0 * mean),
    )


def change_point(count: Any, name: str = "change_point") -> StandIn:
    """Two Poisson rates and a change point, as in the README: 3 latents, len(count) - 1 boundaries."""
    count = np.asarray(count)
    n = len(count)
    day = np.arange(n)
    levels = np.log(day[1:] / n) - np.log1p(-day[1:] / n)

    def density(u: Array, guards: Array) -> Array:
        prior = norm.logpdf(u[0], 1.5, 0.8) + norm.logpdf(u[1], 1.5, 0.8)
        prior += jax.nn.log_sigmoid(u[2]) + jax.nn.log_sigmoid(-u[2])
        before = jnp.concatenate([jnp.array([True]), guards])
        log_rate = jnp.where(before, u[0], u[1])
        return prior + jnp.sum(count * log_rate - jnp.exp(log_rate) - gammaln(count + 1.0))

    def constrain(u: Array) -> dict[str, Array]:
        return {"early": jnp.exp(u[0]), "late": jnp.exp(u[1]), "change": n * jax.nn.sigmoid(u[2])}

    def prior_draw(key: Array) -> Array:
        eps = jax.random.normal(key, (2,), jnp.zeros(()).dtype)
        logistic = jax.random.logistic(jax.random.fold_in(key, 1), (1,), jnp.zeros(()).dtype)
        return jnp.concatenate([1.5 + 0.8 * eps, logistic])

    sites = (Site("early", (), "lower"), Site("late", (), "lower"), Site("change", (), "interval"))
    return StandIn(
        name, sites, density, prior_draw, (2,) * (n - 1), tuple(levels.tolist()), constrain,
        report=lambda z: {"ratio": z["early"] / z["late"]}, reports=("ratio",), data={"count": count, "n": n},
    )  # fmt: skip


def text_messages(count: Any, cut: Any) -> StandIn:
    """Change point on a standard normal with wide rates: the posterior has a second, worse optimum."""
    count, cut = np.asarray(count), np.asarray(cut)

    def density(u: Array, guards: Array) -> Array:
        prior = norm.logpdf(u[0], 2.6362, 0.8326) + norm.logpdf(u[1], 2.6362, 0.8326) + norm.logpdf(u[2])
        log_rate = jnp.where(guards, u[0], u[1])
        return prior + jnp.sum(count * log_rate - jnp.exp(log_rate) - gammaln(count + 1.0))

    sites = (Site("x0"), Site("x1"), Site("z"))
    prior = normal_prior([2.6362, 2.6362, 0.0], [0.8326, 0.8326, 1.0])
    return StandIn("text_messages", sites, density, prior, (2,) * len(cut), tuple(cut.tolist()))


def branch(name: str = "branch") -> StandIn:
    """``x ~ Normal(0, 1); if x > 0 { y ~ Normal(2, 0.5) }``: y exists where x is positive."""

    def density(u: Array, guards: Array) -> Array:
        inside = norm.logpdf(u[1], 2.0, 0.5) + norm.logpdf(1.1, u[1], 1.0)
        return norm.logpdf(u[0]) + jnp.where(guards[0], inside, norm.logpdf(1.1, -1.0, 1.0))

    return StandIn(
        name, (Site("x"), Site("y")), density, normal_prior([0.0, 2.0], [1.0, 0.5]), (0,), (0.0,),
        exists=lambda u: {"y": u[0] > 0},
    )  # fmt: skip
