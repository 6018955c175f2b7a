# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""Sites put together from the draws of their elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl.runtime.records import Draw


def exists(out: Mapping[str, Any], terms: Sequence[str], shape: tuple[int, ...]) -> Array:
    """Whether each element of a site is drawn on the path of an evaluation; shape of the site."""
    found = jnp.zeros(shape, bool)
    for t in terms:
        d: Draw = out[t]
        drawn = jnp.asarray(True) if d.exists is None else d.exists
        found = _place(found, d, drawn, drawn)
    return found


def values(out: Mapping[str, Any], terms: Sequence[str], shape: tuple[int, ...], field: str) -> Array:
    """A field of the draws of a site, 0 for elements that are not drawn."""
    first: Draw = out[terms[0]]
    array = jnp.zeros(shape, getattr(first, field).dtype)
    for t in terms:
        d: Draw = out[t]
        array = _place(array, d, getattr(d, field), jnp.asarray(True) if d.exists is None else d.exists)
    return array


def _place(array: Array, d: Draw, value: Array, drawn: Array) -> Array:
    if not d.element:
        return jnp.where(drawn, value, array)
    index = tuple(jnp.asarray(i) for i in d.element)
    # Elements that are not drawn go to an index past the end, which `drop` ignores.
    index = tuple(jnp.where(drawn, i, n) for i, n in zip(index, array.shape, strict=True))
    return array.at[index].set(value, mode="drop")
