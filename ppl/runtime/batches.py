# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Random subsets of the iterations of a loop that stand for all of them.

The iterations are cut into as many ranges of almost equal length as the subset is to have, and one iteration of each is
drawn: it stands for its range, with the length as its weight. So a sum over all iterations is estimated without bias,
and with at most the variance that iterations drawn one by one, each with the same probability, would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike


@partial(jax.tree_util.register_dataclass, data_fields=["rows", "weights"], meta_fields=[])
@dataclass(frozen=True)
class Batch:
    """`rows`: iterations by their number from 0; `weights`: how many each stands for. Both (count,)."""

    rows: Array
    weights: Array

    @property
    def count(self) -> int:
        return self.rows.shape[0]

    def each(self, body: Callable[..., dict[str, Any]], lo: ArrayLike, path: Any) -> dict[str, Any]:
        """``body(i, path of i)`` for the iterations of the batch, outputs stacked and terms weighted."""
        out = jax.vmap(body)(lo + self.rows, path)
        return {k: jax.tree.map(self._weighted, v) if k.startswith("t") else v for k, v in out.items()}

    def _weighted(self, term: Array) -> Array:
        return term * self.weights.reshape(-1, *[1] * (term.ndim - 1)).astype(term.dtype)


def draw(key: Array, extent: int, count: int, dtype: DTypeLike) -> Batch:
    """`count` of `extent` iterations, one from each of as many ranges."""
    ends = np.arange(count + 1, dtype=np.int64) * extent // count
    sizes = np.diff(ends).astype(np.int32)
    rows = jnp.asarray(ends[:-1], jnp.int32) + jax.random.randint(key, (count,), 0, sizes)
    return Batch(rows, jnp.asarray(sizes, dtype))
