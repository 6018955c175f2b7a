# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Batch means of compiled functions, and parameters as flat vectors with a name for every number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ppl.infer import SettingsError
from ppl.infer.hoist import compiled
from ppl.testing.statistics import MIN_BATCHES, Floats

Params = Any
BatchFn = Callable[[Array], Array]  # key -> a vector of batch means

PILOT = 32  # batches that decide how the rest is spent; their draws are used for nothing else
_WANTED = 256  # batches, if there are draws enough
_LARGEST = 256  # draws in a batch: enough to keep a processor busy, few enough to fit its caches


@dataclass(frozen=True, slots=True)
class Plan:
    """How a number of draws is cut into batches: `count` batches of `size` draws."""

    size: int
    count: int

    @staticmethod
    def of(draws: int) -> Plan:
        """Raises SettingsError for fewer draws than a standard error needs."""
        if draws < MIN_BATCHES:
            raise SettingsError(f"draws must be at least {MIN_BATCHES}, not {draws}")
        size = min(max(draws // _WANTED, 1), _LARGEST)
        return Plan(size, -(-draws // size))

    @property
    def draws(self) -> int:
        return self.size * self.count


def batch_fn(fn: Callable[[Params, Array], Array], params: Params) -> BatchFn:
    """``fn(params, key)`` compiled for these parameters."""
    run = compiled(fn, params, jax.random.key(0))
    return lambda key: run(params, key)


def batch_means(fn: BatchFn, key: Array, count: int) -> Floats:
    """(count, components) in double precision, whatever the precision of `fn`."""
    return np.stack([np.asarray(fn(k), np.float64) for k in jax.random.split(key, count)])


def flat(tree: Params) -> Array:
    """All numbers of `tree` in one vector, in the order of :func:`labels`."""
    return ravel_pytree(tree)[0]


@dataclass(frozen=True, slots=True)
class Label:
    """The name of one number in a tree of parameters: ``{"loc": {"x": [1., 2.]}}`` has ``x[0].loc`` and ``x[1].loc``.

    `site` is the last key on the way, `kind` those before it.
    """

    site: str
    kind: str
    index: tuple[int, ...]

    def __str__(self) -> str:
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.site}{index}" + (f".{self.kind}" if self.kind else "")


def labels(tree: Params) -> list[Label]:
    """A label for every number of `tree`, in the order of :func:`flat`."""
    out: list[Label] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        *kind, site = [_key_name(k) for k in path] or ["params"]
        out += [Label(site, ".".join(kind), tuple(map(int, i))) for i in np.ndindex(jnp.shape(leaf))]
    return out


def _key_name(key: Any) -> str:
    """The name in one step of a jax key path: a mapping's key, an attribute's name or a position."""
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def chosen(keys: Sequence[int], count: int, seed: int) -> list[int]:
    """All of `keys`, or `count` of them drawn with `seed`, in order."""
    if len(keys) <= count:
        return list(keys)
    picked = np.random.default_rng(seed).choice(len(keys), count, replace=False)
    return [keys[i] for i in sorted(picked)]
