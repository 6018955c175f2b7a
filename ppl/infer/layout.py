# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Params as flat vectors, for arithmetic outside jax that does not care which site a number belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ppl.infer.stopping import Floats

Params = Any


@dataclass(frozen=True, slots=True)
class Layout:
    """How one start's params lie in a vector: entry ``log_scale[i]`` is the log scale of location ``loc[i]``.

    `like` is one start's params; `unit` (parameters,) the prior's spread of each location, see ppl.infer.start.
    """

    like: Params
    unit: Floats
    loc: NDArray[np.intp]
    log_scale: NDArray[np.intp]

    @staticmethod
    def of(like: Params, unit: Params) -> Layout:
        leaves, structure = jax.tree.flatten(like)
        ends = np.cumsum([leaf.size for leaf in leaves])
        parts = np.split(np.arange(ends[-1]), ends[:-1])
        where = jax.tree.unflatten(structure, parts)
        names = sorted(set(where["loc"]) & set(where.get("log_scale", {})))
        nothing = [np.zeros(0, np.intp)]
        loc = np.concatenate(nothing + [where["loc"][name] for name in names])
        log_scale = np.concatenate(nothing + [where["log_scale"][name] for name in names])
        return Layout(like, flatten(jax.tree.map(lambda x: x[None], unit))[0], loc, log_scale)

    def unflatten(self, row: Floats) -> Params:
        """One start's params from its vector."""
        leaves, structure = jax.tree.flatten(self.like)
        ends = np.cumsum([leaf.size for leaf in leaves])
        parts = np.split(row, ends[:-1])
        new = [jnp.asarray(p.reshape(leaf.shape), leaf.dtype) for p, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, new)

    def unflatten_all(self, rows: Floats) -> Params:
        """Params with a leading axis of starts from (starts, parameters)."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[self.unflatten(row) for row in rows])

    def scales(self, rows: Floats) -> Floats:
        """The length that matters in each entry of `rows` (starts, parameters): see `Chunk.scale`."""
        out = np.repeat(self.unit[None], len(rows), axis=0)
        out[:, self.loc] = np.exp(rows[:, self.log_scale])
        out[:, self.log_scale] = 1.0
        return out


def flatten(params: Params) -> Floats:
    """(starts, parameters) from params whose leaves have a leading axis of starts."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)
