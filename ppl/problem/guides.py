# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Guides: the variational families. Each draws unconstrained latents and says how one coordinate moves alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ppl.runtime.densities import normal
from ppl.runtime.point import Point

Params = dict[str, dict[str, Array]]


class MeanField:
    """Independent Gaussians: ``u = loc + exp(log_scale) * eps`` for every coordinate."""

    name = "meanfield"

    def init(self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> Params:
        """Standard normal everywhere."""
        return {
            "loc": {k: jnp.zeros(s, dtype) for k, s in shapes.items()},
            "log_scale": {k: jnp.zeros(s, dtype) for k, s in shapes.items()},
        }

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
        u = {k: loc[k] + scale[k] * e for k, e in eps.items()}
        return Point(u, loc, scale, {k: normal(u[k], loc[k], scale[k]) for k in u})

    def at(self, params: Params, u: Mapping[str, Array]) -> Point:
        """The point `u`; only the guide's density depends on the parameters."""
        loc, scale = params["loc"], {k: jnp.exp(v) for k, v in params["log_scale"].items()}
        return Point(u, loc, scale, {k: normal(u[k], loc[k], scale[k]) for k in u})


GUIDES = {"meanfield": MeanField}
