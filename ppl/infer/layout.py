# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Params as flat rows, for arithmetic that does not care which site a number belongs to.

The one module of this package that knows how a guide names its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ppl.infer.stopping import Floats

Params = Any
Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one start's params lie in a row.

    Entry ``log_scale[i]`` is the log scale of location ``loc[i]``. `position` (parameters,) says where in its site an
    entry belongs, from 0 to 1 along the site's first axis, NaN for scalars; `name` its site; `longest` is the length of
    the longest first axis. `unit` (parameters,) is the length that counts as one in each entry: the prior's spread of a
    location, see :mod:`ppl.infer.start`.
    """

    like: Params
    loc: Index
    log_scale: Index
    position: Floats
    name: tuple[str, ...]
    longest: int
    unit: Floats

    @staticmethod
    def of(like: Params) -> Layout:
        leaves, structure = jax.tree.flatten(like)
        ends = np.cumsum([leaf.size for leaf in leaves])
        where = jax.tree.unflatten(structure, np.split(np.arange(ends[-1]), ends[:-1]))
        names = sorted(set(where["loc"]) & set(where.get("log_scale", {})))
        sites = {part: {site: site for site in values} for part, values in like.items()}
        return Layout(
            like=like,
            loc=_joined([where["loc"][name] for name in names]),
            log_scale=_joined([where["log_scale"][name] for name in names]),
            position=np.concatenate([_position(leaf.shape) for leaf in leaves]),
            name=tuple(np.repeat(jax.tree.leaves(sites), [leaf.size for leaf in leaves]).tolist()),
            longest=max(leaf.shape[0] if leaf.shape else 1 for leaf in leaves),
            unit=np.ones(int(ends[-1])),
        )

    def unflatten(self, row: Any) -> Params:
        """One start's params from its row, an array of numpy or jax."""
        leaves, structure = jax.tree.flatten(self.like)
        ends = np.cumsum([leaf.size for leaf in leaves]).tolist()
        starts = [0, *ends[:-1]]
        new = [jnp.asarray(row[a:b].reshape(x.shape), x.dtype) for x, a, b in zip(leaves, starts, ends, strict=True)]
        return jax.tree.unflatten(structure, new)

    def scales(self, rows: Floats) -> Floats:
        """The length that matters in each entry of `rows` (starts, parameters): see `Chunk.scale`."""
        out = np.repeat(self.unit[None], len(rows), axis=0)
        out[:, self.loc] = np.exp(rows[:, self.log_scale])
        out[:, self.log_scale] = 1.0
        return out

    def step_length(self, rows: jax.Array, unit: jax.Array) -> jax.Array:
        """The length that counts as one in a step from each of `rows` (lanes, parameters).

        Half way, in logarithms, between the prior's spread and the guide's present scale: a guide much narrower than
        the prior is moved in steps that it can feel, and yet has not become so slow that it stays where it is.
        """
        scale = jnp.minimum(jnp.exp(self._beside(rows)), unit)
        return jnp.where(self._among(self.loc), jnp.sqrt(unit * scale), unit)

    def heat(self, rows: jax.Array, grad: jax.Array, temperature: jax.Array, unit: jax.Array) -> jax.Array:
        """The gradient of E[log p] / temperature + entropy from that of the ELBO, see :mod:`ppl.infer.search`.

        The entropy's gradient in a log scale is 1. A scale beyond the prior's gets none of it: a hot guide may become
        as wide as the prior, not wider. (For latents that exist on some paths only, 1 is too much; heat is a detour
        that no result depends on.)
        """
        temperature = temperature[:, None]
        room = self._among(self.log_scale) & (rows < jnp.log(self._beside(unit)))
        return grad / temperature + jnp.where(room, 1.0 - 1.0 / temperature, 0.0)

    # All entries at once, as XLA takes long to compile what writes some of them.

    def _among(self, places: Index) -> NDArray[np.bool_]:
        """Which entries are at `places`; (parameters,)."""
        return np.isin(np.arange(len(self.unit)), places)

    def _beside(self, rows: jax.Array) -> jax.Array:
        """At each location the entry of its log scale and the other way around; all others as they are."""
        other = np.arange(len(self.unit))
        other[self.loc], other[self.log_scale] = self.log_scale, self.loc
        return jnp.take(rows, other, axis=-1, mode="clip")


def row_of(params: Params) -> jax.Array:
    """One start's params as a vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)])


def rows_of(params: Params) -> jax.Array:
    """(starts, parameters) from params whose leaves have a leading axis of starts."""
    leaves = jax.tree.leaves(params)
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def _joined(parts: Sequence[Index]) -> Index:
    return np.concatenate([np.zeros(0, np.intp), *parts])


def _position(shape: tuple[int, ...]) -> Floats:
    if not shape:
        return np.full(1, np.nan)
    along = (np.arange(shape[0]) + 0.5) / max(shape[0], 1)
    return np.repeat(along, int(np.prod(shape[1:])))
