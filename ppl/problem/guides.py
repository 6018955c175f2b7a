# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Guides: the variational families. Each draws unconstrained latents and says how one coordinate moves alone.

Latents in branches: on a path only some latents exist, and log q there is the density of these alone. So a latent that
some path lacks never has a descendant that exists without it. Then log q is a sum over latents, each of which counts
where it exists, and the sum over those of a path is the marginal of the guide: see `Latents.may_depend`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, nn
from jax.scipy import special
from jax.typing import DTypeLike
from numpy.typing import NDArray

from ppl.problem.existence import ALWAYS, NEVER, Groups
from ppl.runtime.densities import normal
from ppl.runtime.point import Point

Params = dict[str, dict[str, Array]]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Latents:
    """The latents of a problem: shapes of all, the number of outcomes of the discrete ones, and on which paths each
    element exists (see ppl.problem.existence; without it, all always do).
    """

    shapes: Mapping[str, Shape]
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    groups: Groups = field(default_factory=Groups)

    @property
    def continuous(self) -> dict[str, Shape]:
        return {k: s for k, s in self.shapes.items() if k not in self.outcomes}

    def restricted(self, sites: Sequence[str]) -> Latents:
        """Some of the continuous latents."""
        groups = {k: self.groups[k] for k in sites if k in self.groups}
        return Latents({k: self.shapes[k] for k in sites}, {}, groups)

    def group(self, site: str) -> NDArray[np.int64]:
        return self.groups.get(site, np.full(self.shapes[site], ALWAYS))

    @property
    def varies(self) -> bool:
        """Whether some path lacks a latent that another one has."""
        return any(bool(np.any(g > 0)) for g in self.groups.values())

    @staticmethod
    def may_depend(child: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether elements of the group `child` may depend on some of `parent`, which always exist where they do."""
        return ((parent == ALWAYS) | (parent == child)) & (parent != NEVER) & (child != NEVER)


@dataclass(frozen=True)
class Guide(ABC):
    """A family of distributions of unconstrained latents. Discrete latents are independent in all of them.

    Parameters are arrays by part and site: ``params["loc"]["x"]``. All families have `loc` and `log_scale` with the
    shapes of the sites, and `logits` for discrete latents: of a site with two outcomes the log odds of outcome 1, in
    the site's shape; of one with more the logarithms of all probabilities up to a constant, along a last axis.
    """

    latents: Latents

    def init(self, dtype: DTypeLike) -> Params:
        """Standard normal in every coordinate, equal probabilities for the outcomes of a discrete site."""
        sites, outcomes = self.latents.continuous, self.latents.outcomes
        out = {part: {k: zeros(s, dtype) for k, s in sites.items()} for part in ("loc", "log_scale")}
        out |= self.more(dtype)
        if outcomes:
            sizes = {k: () if n == 2 else (n,) for k, n in outcomes.items()}
            out["logits"] = {k: zeros((*self.latents.shapes[k], *size), dtype) for k, size in sizes.items()}
        return out

    def more(self, dtype: DTypeLike) -> Params:
        """Further parts of the parameters."""
        del dtype
        return {}

    def noise(self) -> dict[str, Shape]:
        """The shapes of the standard normal noise behind one draw."""
        return dict(self.latents.shapes)

    def scales(self, params: Params) -> Params:
        """The length that matters in each parameter: a location's is the scale, all others have no unit."""
        out = {part: {k: jnp.ones_like(x) for k, x in sites.items()} for part, sites in params.items()}
        out["loc"] = {k: jnp.exp(x) for k, x in params["log_scale"].items()}
        return out

    def point(self, params: Params, eps: Mapping[str, Array], stl: bool = False) -> Point:
        """The point that noise `eps` stands for, differentiable in the parameters at fixed noise.

        With `stl`, the guide's density there depends on the parameters through the point alone.
        """
        point = self.real_point(params, eps)
        if stl:
            point = replace(point, log_q=self.log_density(lax.stop_gradient(params), point.u))
        table = self.tables(params)
        drawn = {k: _outcome(eps[k], t) for k, t in table.items()}
        log_q = {**point.log_q, **{k: _picked(t, drawn[k]) for k, t in table.items()}}
        return replace(point, u={**point.u, **drawn}, log_q=log_q, log_probabilities=table)

    def at(self, params: Params, u: Mapping[str, Array]) -> Point:
        """The point `u`, through which no line can be laid; only the guide's density depends on the parameters."""
        table = self.tables(params)
        log_q = self.log_density(params, {k: u[k] for k in params["loc"]})
        log_q |= {k: _picked(t, jnp.asarray(u[k])) for k, t in table.items()}
        return Point(u, log_q=log_q, log_probabilities=table)

    @abstractmethod
    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        """As `point`, for the continuous latents."""

    @abstractmethod
    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        """log q of the continuous latents, spread over elements so that the sum over those of a path is that path's."""

    def independent(self, site: str) -> bool:
        """Whether the unconstrained elements of a site are independent of each other and of all other latents, with the
        distribution of the point's `coordinate`, perhaps given noise that moves nothing alone: then they may be
        integrated out."""
        del site
        return False

    def conditional(self, site: str) -> bool:
        """Whether each of them has the distribution of the point's `conditional`, given all others: then one of them
        may be integrated out of a term that jumps nowhere else."""
        return self.independent(site)

    def tables(self, params: Params) -> dict[str, Array]:
        """The log probabilities of the outcomes of every discrete site, last axis the outcomes."""
        out: dict[str, Array] = {}
        for k, n in self.latents.outcomes.items():
            logits = params["logits"][k]
            whole = jnp.stack([jnp.zeros_like(logits), logits], axis=-1) if n == 2 else logits
            out[k] = nn.log_softmax(whole, axis=-1)
        return out


@dataclass(frozen=True)
class MeanField(Guide):
    """Independent Gaussians, ``u = loc + exp(log_scale) * eps`` for every coordinate."""

    def independent(self, site: str) -> bool:
        del site
        return True

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        loc, scale = params["loc"], scales(params)
        u = {k: loc[k] + scale[k] * eps[k] for k in loc}
        # At fixed noise the density in its own units does not depend on the parameters.
        log_q = {k: standard(eps[k]) - params["log_scale"][k] for k in loc}
        return Point(u, loc, scale, log_q)

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        loc, scale = params["loc"], scales(params)
        return {k: normal(x, loc[k], scale[k]) for k, x in u.items()}


def zeros(shape: Shape, dtype: DTypeLike) -> Array:
    """Zeros, without a program of XLA's for their shape."""
    return jax.device_put(np.zeros(shape, dtype))  # pyright: ignore[reportUnknownMemberType]


def standard(eps: Array) -> Array:
    """The log density of standard normal noise."""
    return -0.5 * eps * eps - 0.5 * math.log(2.0 * math.pi)


def scales(params: Params) -> dict[str, Array]:
    return {k: jnp.exp(v) for k, v in params["log_scale"].items()}


def _picked(table: Array, outcome: Array) -> Array:
    return jnp.take_along_axis(table, outcome[..., None], -1)[..., 0]


def _outcome(eps: Array, table: Array) -> Array:
    """The outcome at standard normal noise, by the distribution function: more noise, larger outcome."""
    passed = special.ndtr(eps)[..., None] > jnp.cumsum(jnp.exp(table), axis=-1)[..., :-1]
    return jnp.sum(passed, axis=-1).astype(jnp.result_type(int))
