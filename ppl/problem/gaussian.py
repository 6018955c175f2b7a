# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Gaussian guides with dependence between latents.

All are written for standardised coordinates ``v = (u - loc) / exp(log_scale)``, so that their other parameters have no
unit. With ``v = R eps``, R unit triangular, log q is ``sum_j log N(eps_j; 0, 1) - log_scale_j``. Given all other
coordinates, v_k is normal with precision ``p = |R^-1 e_k|^2`` around ``v_k - (R^-T eps)_k / p``: moving along the line
``eps + t R^-1 e_k`` changes u_k alone. But it changes several coordinates of the noise, so what the other latents'
values depend on the parameters *at fixed noise* is not the same at the root as at the draw: `Lines.follow`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import solve_triangular
from jax.typing import DTypeLike
from numpy.typing import NDArray

from ppl.problem.existence import ALWAYS, NEVER
from ppl.problem.guides import Guide, Latents, Params, Shape, scales, zeros
from ppl.runtime.densities import normal
from ppl.runtime.point import Point
from ppl.runtime.records import Index, Lines

still = lax.stop_gradient


def standardised(params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
    scale = scales(params)
    return {k: (x - params["loc"][k]) / scale[k] for k, x in u.items()}


def _log_q(eps: Array, log_scale: Array) -> Array:
    return normal(eps, 0.0, 1.0) - log_scale


# -------------------------------------------------------------------- full rank


@dataclass(frozen=True)
class FullRank(Guide):
    """A Gaussian with any covariance: ``u = loc + exp(log_scale) * (R eps)`` with R lower triangular, ones on its
    diagonal, and below it ``params["tril"]["latents"]``, row by row.

    Rows are the elements of all continuous latents, in program order but those that some path lacks last. Entries that
    `Latents.may_depend` forbids do not exist in `tril`. `key` stands for all of them there.
    """

    key: str = "latents"

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The place in the concatenation of all sites of each row."""
        groups = self._groups
        return np.argsort(np.where(groups == ALWAYS, 0, np.where(groups == NEVER, 2, 1)), kind="stable")

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        parts = [self.latents.group(k).ravel() for k in self.latents.continuous]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column of each number in `tril`."""
        groups = self._groups[self.order]
        row, column = np.nonzero(np.tril(self.latents.may_depend(groups[:, None], groups[None]), -1))
        return row, column

    @cached_property
    def rows(self) -> dict[str, NDArray[np.intp]]:
        """The rows of each site's elements, in the shape of the site."""
        row = np.argsort(self.order)
        out: dict[str, NDArray[np.intp]] = {}
        start = 0
        for k, shape in self.latents.continuous.items():
            size = math.prod(shape)
            out[k] = row[start : start + size].reshape(shape)
            start += size
        return out

    def conditional(self, site: str) -> bool:
        return not self.latents.varies

    def more(self, dtype: DTypeLike) -> Params:
        return {"tril": {self.key: zeros((len(self.entries[0]),), dtype)}}

    def triangle(self, params: Params) -> Array:
        """R."""
        given = params["tril"][self.key]
        return jnp.eye(len(self.order), dtype=given.dtype).at[self.entries].set(given)

    def flat(self, sites: Mapping[str, Array]) -> Array:
        """Values by site as one vector of rows."""
        return jnp.concatenate([jnp.ravel(sites[k]) for k in self.latents.continuous])[self.order]

    def split(self, flat: Array) -> dict[str, Array]:
        return {k: flat[rows] for k, rows in self.rows.items()}

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        if not self.rows:
            return Point({})
        loc, log_scale = self.flat(params["loc"]), self.flat(params["log_scale"])
        triangle, noise = self.triangle(params), self.flat(eps)
        scale = jnp.exp(log_scale)
        u = loc + scale * (triangle @ noise)
        back = solve_triangular(triangle, jnp.eye(len(loc), dtype=loc.dtype), lower=True, unit_diagonal=True)
        precision = jnp.sum(back**2, axis=0)
        centre, spread = self.split(u - scale * (noise @ back) / precision), self.split(scale / jnp.sqrt(precision))
        lines = DenseLines(self, u, noise, scale, still(back), triangle @ still(back))
        log_q = _log_q(noise, log_scale)
        return Point(
            self.split(u),
            still(centre),
            still(spread),
            self.split(log_q),
            lines=dict.fromkeys(self.rows, lines),
            given={k: (centre[k], spread[k]) for k in self.rows},
        )

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        if not self.rows:
            return {}
        v = self.flat(standardised(params, u))
        eps = solve_triangular(self.triangle(params), v, lower=True, unit_diagonal=True)
        return self.split(_log_q(eps, self.flat(params["log_scale"])))


@dataclass(frozen=True)
class DenseLines(Lines):
    """`back` is the inverse of R, without gradient; `answer` is R @ back: the identity, with the gradient of R."""

    guide: FullRank
    u: Array
    eps: Array
    scale: Array
    back: Array
    answer: Array

    @property
    def varies(self) -> bool:
        return self.guide.latents.varies

    def row(self, site: str, index: Index) -> Array:
        return jnp.asarray(self.guide.rows[site])[index]

    def own(self, site: str, index: Index, distance: Array) -> Array:
        k = self.row(site, index)
        return self.u[k] + self.scale[k] * still(distance / self.scale[k])

    def follow(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        k = self.row(site, index)
        return self.guide.split(self.u + self.scale * (self.answer[:, k] * still(distance / self.scale[k])))

    def log_q(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        k = self.row(site, index)
        eps = self.eps + self.back[:, k] * (distance / self.scale[k])
        return self.guide.split(_log_q(eps, jnp.log(self.scale)))


# ------------------------------------------------------------------------ chain


@dataclass(frozen=True)
class Chain(Guide):
    """A Markov chain along the first axis of every array site: ``v[t] = eps[t] + coupling[t - 1] * v[t - 1]``.

    ``params["coupling"][site]`` has the site's shape but one less along its first axis. Scalar sites are independent.
    Neighbours that `Latents.may_depend` forbids are not coupled, whatever `coupling` says.
    """

    @cached_property
    def chained(self) -> dict[str, Shape]:
        return {k: s for k, s in self.latents.continuous.items() if s and s[0] > 1}

    @cached_property
    def allowed(self) -> dict[str, NDArray[np.bool_]]:
        groups = {k: self.latents.group(k) for k in self.chained}
        return {k: self.latents.may_depend(g[1:], g[:-1]) for k, g in groups.items()}

    def independent(self, site: str) -> bool:
        return site not in self.chained

    def conditional(self, site: str) -> bool:
        return site not in self.chained or not self.latents.varies

    def more(self, dtype: DTypeLike) -> Params:
        return {"coupling": {k: zeros((s[0] - 1, *s[1:]), dtype) for k, s in self.chained.items()}}

    def couplings(self, params: Params) -> dict[str, Array]:
        """How much of the element before each element has: the first has none."""
        out: dict[str, Array] = {}
        for k, shape in self.latents.continuous.items():
            loc = params["loc"][k]
            if k not in self.chained:
                out[k] = jnp.zeros(shape, loc.dtype)
                continue
            given = jnp.where(self.allowed[k], params["coupling"][k], 0.0)
            out[k] = jnp.concatenate([jnp.zeros((1, *shape[1:]), loc.dtype), given])
        return out

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        loc, scale, coupling = params["loc"], scales(params), self.couplings(params)
        u, centre, spread, log_q = ({} for _ in range(4))
        for k in loc:
            v, after, noise_after = recursion(coupling[k], eps[k]), _next(coupling[k]), _next(eps[k])
            precision = 1 + after**2
            u[k] = loc[k] + scale[k] * v
            centre[k] = u[k] - scale[k] * (eps[k] - after * noise_after) / precision
            spread[k] = scale[k] / jnp.sqrt(precision)
            log_q[k] = _log_q(eps[k], params["log_scale"][k])
        for k in loc.keys() - self.chained.keys():  # nothing depends on these, nor they on anything
            centre[k], spread[k] = loc[k], scale[k]
        lines = ChainLines(self.latents, loc, scale, coupling, u, {k: eps[k] for k in loc})
        given = {k: (centre[k], spread[k]) for k in self.chained}
        centre, spread = ({k: still(x) if k in given else x for k, x in m.items()} for m in (centre, spread))
        return Point(u, centre, spread, log_q, lines=dict.fromkeys(self.chained, lines), given=given)

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        coupling, v = self.couplings(params), standardised(params, u)
        eps = {k: x - coupling[k] * _before(x) for k, x in v.items()}
        return {k: _log_q(e, params["log_scale"][k]) for k, e in eps.items()}


def recursion(coupling: Array, eps: Array) -> Array:
    """The v with ``v[t] = eps[t] + coupling[t] * v[t - 1]`` along axis 0."""
    if eps.ndim == 0 or eps.shape[0] < 2:
        return eps

    def after(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    return lax.associative_scan(after, (coupling, eps))[1]


def _before(x: Array) -> Array:
    return x if x.ndim == 0 else jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])


def _next(x: Array) -> Array:
    return jnp.zeros_like(x) if x.ndim == 0 else jnp.concatenate([x[1:], jnp.zeros_like(x[:1])])


@dataclass(frozen=True)
class ChainLines(Lines):
    """Moving an element changes its own noise and that of the next element."""

    latents: Latents
    loc: Mapping[str, Array]
    scale: Mapping[str, Array]
    coupling: Mapping[str, Array]
    u: Mapping[str, Array]
    eps: Mapping[str, Array]

    @property
    def varies(self) -> bool:
        return self.latents.varies

    def own(self, site: str, index: Index, distance: Array) -> Array:
        u, scale = (x[site][index] if index else x[site] for x in (self.u, self.scale))
        return u + scale * still(distance / scale)

    def _noise(self, site: str, index: Index, distance: Array) -> Array:
        """The noise of the whole site at the place moved to."""
        eps, scale, coupling = self.eps[site], self.scale[site], self.coupling[site]
        if not index:
            return still(eps + distance / scale)
        step = distance / scale[index]
        after = (jnp.asarray(index[0]) + 1, *index[1:])
        # What would be past the end is dropped; reading there gives any finite number.
        return still(eps.at[index].add(step).at[after].add(-coupling[after] * step, mode="drop"))

    def follow(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        v = recursion(self.coupling[site], self._noise(site, index, distance))
        return {site: self.loc[site] + self.scale[site] * v}

    def log_q(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        return {site: _log_q(self._noise(site, index, distance), jnp.log(self.scale[site]))}


# --------------------------------------------------------------------- low rank


@dataclass(frozen=True)
class LowRank(Guide):
    """Independent noise and a few factors: ``v = eps + F xi``, with F in ``params["factor"]``, an axis for the factors
    last. The covariance of v is ``1 + F F^T``.

    Lines run along eps, so that latents move alone and everything else, xi included, keeps its noise. Latents that some
    path lacks have no factors, whatever F says.
    """

    rank: int = 0

    START = 0.1  # of entries of F, because F = 0 is a saddle of the ELBO

    def more(self, dtype: DTypeLike) -> Params:
        sites = self.latents.continuous
        keys = jax.random.split(jax.random.key(0), max(len(sites), 1))
        start = {
            k: self.START * jax.random.normal(key, (*s, self.rank), dtype)
            for key, (k, s) in zip(keys, sites.items(), strict=False)
        }
        return {"factor": start}

    def independent(self, site: str) -> bool:
        """They are, given the factors' noise."""
        return True

    def noise(self) -> dict[str, Shape]:
        return {**self.latents.shapes, "*": (self.rank,)}

    def factors(self, params: Params) -> dict[str, Array]:
        masks = {k: (self.latents.group(k) == ALWAYS)[..., None] for k in params["loc"]}
        return {k: jnp.where(masks[k], f, 0.0) for k, f in params["factor"].items()}

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        loc, scale, factor = params["loc"], scales(params), self.factors(params)
        shared = {k: f @ eps["*"] for k, f in factor.items()}
        v = {k: eps[k] + shared[k] for k in loc}
        u = {k: loc[k] + scale[k] * v[k] for k in loc}
        centre = {k: loc[k] + scale[k] * shared[k] for k in loc}
        given = {k: (centre[k], scale[k]) for k in loc}
        return Point(u, centre, scale, self._log_q(params, v), given=given)

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        return self._log_q(params, standardised(params, u))

    def _log_q(self, params: Params, v: Mapping[str, Array]) -> dict[str, Array]:
        """By Woodbury's identity: the precision of v is ``1 - F (1 + F^T F)^-1 F^T``."""
        factor = self.factors(params)
        flat = jnp.concatenate([f.reshape(-1, self.rank) for f in factor.values()])
        values = jnp.concatenate([jnp.ravel(v[k]) for k in factor])
        inner = jnp.linalg.cholesky(jnp.eye(self.rank, dtype=flat.dtype) + flat.T @ flat)
        projected = solve_triangular(inner, flat.T @ values, lower=True)
        pull = solve_triangular(inner, projected, lower=True, trans=1)
        always = {k: self.latents.group(k) == ALWAYS for k in factor}
        share = jnp.sum(jnp.log(jnp.diagonal(inner))) / max(sum(int(a.sum()) for a in always.values()), 1)
        return {
            k: normal(v[k], 0.0, 1.0) + 0.5 * v[k] * (factor[k] @ pull) - params["log_scale"][k]
            - jnp.where(always[k], share, 0.0)
            for k in factor
        }  # fmt: skip


def default_rank(size: int) -> int:
    return max(1, round(math.sqrt(size)))
