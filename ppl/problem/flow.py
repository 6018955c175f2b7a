# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Guides whose latents are skewed and have tails of their own: a Gaussian guide, and a warp of each coordinate.

The Gaussian guide is one of standardised coordinates v, of any dependence, and each latent is ``u = warp(v)`` of its
own v. So a latent moves alone where its v does, along the line of the Gaussian guide, and log q is that of v less
the logarithm of each slope: over the latents of a path that is again a marginal (a Gaussian copula).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ppl.problem.guides import Guide, Params, Shape, zeros
from ppl.runtime.coordinates import SinhArcsinh
from ppl.runtime.point import Point


@dataclass(frozen=True)
class Flow(Guide):
    """The sinh-arcsinh transformation of each coordinate of `base`, with ``params["skew"]`` and ``params["log_tail"]``
    in the shapes of the sites. Where these are zero it is `base`.
    """

    base: Guide

    def independent(self, site: str) -> bool:
        return self.base.independent(site)

    def conditional(self, site: str) -> bool:
        return self.base.conditional(site)

    def more(self, dtype: DTypeLike) -> Params:
        zero = {k: zeros(s, dtype) for k, s in self.latents.continuous.items()}
        return {**self.base.more(dtype), "skew": zero, "log_tail": dict(zero)}

    def noise(self) -> dict[str, Shape]:
        return self.base.noise()

    def warps(self, params: Params) -> dict[str, SinhArcsinh]:
        loc, log_scale, skew, log_tail = (params[k] for k in ("loc", "log_scale", "skew", "log_tail"))
        return {k: SinhArcsinh(loc[k], log_scale[k], skew[k], log_tail[k]) for k in loc}

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        at, warps = self.base.real_point(_standard(params), eps), self.warps(params)
        u = {k: warps[k].forward(v) for k, v in at.u.items()}
        log_q = {k: at.log_q[k] - warps[k].log_slope(v) for k, v in at.u.items()}
        return replace(at, u=u, log_q=log_q, warps=warps)

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        warps = self.warps(params)
        v = {k: warps[k].inverse(x) for k, x in u.items()}
        log_q = self.base.log_density(_standard(params), v)
        return {k: log_q[k] - warps[k].log_slope(x) for k, x in v.items()}


def _standard(params: Params) -> Params:
    """Parameters of the guide of standardised coordinates."""
    zero = {k: jnp.zeros_like(x) for k, x in params["loc"].items()}
    return {**params, "loc": zero, "log_scale": zero}
