# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Guides: the variational families. Each draws unconstrained latents and says how one coordinate moves alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array, nn
from jax.scipy import special
from jax.typing import DTypeLike

from ppl.runtime.densities import normal
from ppl.runtime.point import Point

Params = dict[str, dict[str, Array]]


@dataclass(frozen=True)
class MeanField:
    """Independent Gaussians, ``u = loc + exp(log_scale) * eps`` for every coordinate, and independent discrete latents.

    `outcomes`: the number of outcomes of every discrete site.
    """

    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])

    def init(self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> Params:
        """Standard normal everywhere, equal probabilities for the outcomes of a discrete site.

        Of a site with two outcomes `logits` has the log odds of outcome 1, in the site's shape; of one with more the
        logarithms of all probabilities up to a constant, along a last axis.
        """
        out = {
            "loc": {k: jnp.zeros(s, dtype) for k, s in shapes.items() if k not in self.outcomes},
            "log_scale": {k: jnp.zeros(s, dtype) for k, s in shapes.items() if k not in self.outcomes},
        }
        if self.outcomes:
            sizes = {k: () if n == 2 else (n,) for k, n in self.outcomes.items()}
            out["logits"] = {k: jnp.zeros((*shapes[k], *size), dtype) for k, size in sizes.items()}
        return out

    def noise(self, key: Array, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike, n: int) -> dict[str, Array]:
        """`n` standard normal draws of every coordinate, axis 0 the draws; one call of the generator for all sites."""
        sizes = [math.prod(s) for s in shapes.values()]
        flat = jax.random.normal(key, (n, sum(sizes)), dtype)
        out: dict[str, Array] = {}
        start = 0
        for (name, shape), size in zip(shapes.items(), sizes, strict=True):
            out[name] = flat[:, start : start + size].reshape((n, *shape))
            start += size
        return out

    def point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        """The point that `eps` stands for, differentiable in the parameters at fixed `eps`."""
        loc, scale = params["loc"], {k: jnp.exp(v) for k, v in params["log_scale"].items()}
        u = {k: loc[k] + scale[k] * e for k, e in eps.items() if k in loc}
        log_q = {k: normal(u[k], loc[k], scale[k]) for k in u}
        table = self.tables(params)
        drawn = {k: _outcome(eps[k], t) for k, t in table.items()}
        log_q |= {k: _picked(t, drawn[k]) for k, t in table.items()}
        return Point(u | drawn, loc, scale, log_q, table)

    def at(self, params: Params, u: Mapping[str, Array]) -> Point:
        """The point `u`; only the guide's density depends on the parameters."""
        loc, scale = params["loc"], {k: jnp.exp(v) for k, v in params["log_scale"].items()}
        table = self.tables(params)
        log_q = {k: normal(u[k], loc[k], scale[k]) for k in u if k in loc}
        log_q |= {k: _picked(t, jnp.asarray(u[k])) for k, t in table.items() if k in u}
        return Point(u, loc, scale, log_q, table)

    def tables(self, params: Params) -> dict[str, Array]:
        """The log probabilities of the outcomes of every discrete site, last axis the outcomes."""
        out: dict[str, Array] = {}
        for k, n in self.outcomes.items():
            logits = params["logits"][k]
            whole = jnp.stack([jnp.zeros_like(logits), logits], axis=-1) if n == 2 else logits
            out[k] = nn.log_softmax(whole, axis=-1)
        return out


def _picked(table: Array, outcome: Array) -> Array:
    return jnp.take_along_axis(table, outcome[..., None], -1)[..., 0]


def _outcome(eps: Array, table: Array) -> Array:
    """The outcome at standard normal noise, by the distribution function: more noise, larger outcome."""
    passed = special.ndtr(eps)[..., None] > jnp.cumsum(jnp.exp(table), axis=-1)[..., :-1]
    return jnp.sum(passed, axis=-1).astype(jnp.result_type(int))


GUIDES = {"meanfield": MeanField}
