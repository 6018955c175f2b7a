# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Arrays without elements, for data of size zero.

A loop over such data has no iterations, but jax traces its body once, where an element is read. A plain array refuses
that; this one answers with zeros, which no iteration ever sees.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_pytree_node_class


@register_pytree_node_class
class Empty:
    """An array with an axis of length zero; in arithmetic it is that array."""

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def size(self) -> int:
        return 0

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def __jax_array__(self) -> Array:
        return self.array

    def __getitem__(self, index: Any) -> Array:
        items: tuple[Any, ...] = tuple(index) if isinstance(index, tuple) else (index,)
        if any(isinstance(i, slice) for i in items):
            return self.array[index]
        return jnp.zeros(self.array.shape[len(items) :], self.array.dtype)

    def __add__(self, other: Any) -> Array:
        return self.array + other

    __radd__ = __add__

    def __mul__(self, other: Any) -> Array:
        return self.array * other

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Array:
        return self.array - other

    def __rsub__(self, other: Any) -> Array:
        return other - self.array

    def __truediv__(self, other: Any) -> Array:
        return self.array / other

    def __rtruediv__(self, other: Any) -> Array:
        return other / self.array

    def __neg__(self) -> Array:
        return -self.array

    def tree_flatten(self) -> tuple[tuple[Array], None]:
        return (self.array,), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: tuple[Array]) -> Empty:
        del aux
        out = object.__new__(cls)
        out.array = children[0]
        return out


def wrap(array: Array) -> Any:
    """`array`, or its stand-in if it has no elements."""
    return Empty(array) if 0 in array.shape else array
