# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What an evaluation records of draws and observations, and what a guide whose latents share noise has to say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import jax
from jax import Array
from jax.typing import ArrayLike

from ppl.runtime.densities import Custom, Density

Index = tuple[ArrayLike, ...]


class Draw(NamedTuple):
    """What one draw contributes. All of it is stacked by loops like any other output.

    `log_density`: prior + log |dT/du| - log q, summed over the draw, 0 where it does not exist.
    `element`: the indices of the element drawn, () for a whole site.
    `exists`: whether this path draws it, None for always.
    `prior`: a draw from the prior given everything before it, where one was asked for (unconstrained).
    `unconstrained`: the inverse transform of the value, where the point is given on the support; NaN outside of it.
    """

    log_density: Array
    element: Index
    exists: Array | None
    prior: Array | None = None
    unconstrained: Array | None = None


@partial(jax.tree_util.register_dataclass, data_fields=["log_density", "value", "args", "places", "exists"],
         meta_fields=["density"])  # fmt: skip
@dataclass(frozen=True)
class Observation:
    """An observation in full, where a point asks for them. All but `density` is stacked by loops.

    `log_density`: of each independent part of `value`, 0 where it is not made.
    `value`: what was observed.
    `args`: the arguments on this path, in the shape of `value` up to event dimensions. Where it is not made, they are
    safe for a density of the tables, and anything for a `Custom`.
    `places`: the indices of the value in its data field, () for the whole; None if it is computed from data.
    `exists`: whether this path makes it.
    """

    density: Density | Custom
    log_density: Array
    value: Array
    args: tuple[Array, ...]
    places: tuple[Array, ...] | None
    exists: Array


class Lines(Protocol):
    """What moves with one coordinate, of a guide whose latents share noise.

    A coordinate moves alone by `distance`, everything else staying where it is. If that takes a change of several
    coordinates of the noise, all that they reach depends on the guide's parameters differently from there on.
    All coordinates are those before their warps.
    """

    @property
    def varies(self) -> bool:
        """Whether some path lacks a latent that another one has."""
        ...

    def own(self, site: str, index: Index, distance: Array) -> Array:
        """The coordinate itself, differentiable in the parameters at the noise of the place moved to."""
        ...

    def follow(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        """The same of all latents; those of sites that are not mentioned keep their derivative."""
        ...

    def log_q(self, site: str, index: Index, distance: Array) -> dict[str, Array]:
        """The guide's log density there, elementwise."""
        ...
