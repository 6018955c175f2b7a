# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Elements of arrays at the place of a loop's variable, or a few places from it.

All iterations of a loop at once read ``x[i - 1]`` as a window of x. As an index that would be a gather, and its
derivative a scatter; as a slice both are copies, which XLA fuses with what is around them. To see that it is a slice,
the values of the variable have to be known when jax traces: `places` gives them as an array of NumPy, `shift` keeps
them one, and `element` looks at them when the loop is batched. Where they are not known, it is an index like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.typing import ArrayLike


def places(lo: ArrayLike, extent: int) -> Any:
    """The `extent` ints from `lo`, known when jax traces if `lo` is."""
    if isinstance(lo, int | np.integer):
        return np.arange(lo, lo + extent, dtype=jnp.result_type(int))
    return jnp.asarray(lo) + jnp.arange(extent)


def shift(i: ArrayLike, by: int) -> Any:
    """``i + by``"""
    return shift_p.bind(i, by=by) if isinstance(i, Array) else i + by


def element(x: Any, *index: ArrayLike) -> Any:
    """``x[index]``, an int for each of the first axes."""
    for i in index:
        x = element_p.bind(x, i, axis=0) if isinstance(x, Array) and isinstance(i, Array) else x[i]
    return x


def replaced(x: Array, index: Sequence[ArrayLike], value: ArrayLike) -> Array:
    """`x` with another value of the element at `index`, an int for each axis: chosen where the place is the one meant,
    which XLA fuses with what is around it, unlike a scatter."""
    if not index:
        return jnp.asarray(value)
    if len(index) != x.ndim or not any(isinstance(i, Array) for i in index):
        return x.at[tuple(index)].set(value)
    there = jnp.asarray(True)
    for axis, (i, n) in enumerate(zip(index, x.shape, strict=True)):
        place = jnp.where(jnp.asarray(i) < 0, jnp.asarray(i) + n, i)
        here = jnp.arange(n, dtype=place.dtype) == place
        there = there & here.reshape(-1, *[1] * (x.ndim - 1 - axis))
    # The barrier keeps XLA from computing the value once for every element.
    return jnp.where(there, lax.optimization_barrier(jnp.asarray(value)), x)


def _window(values: Any, extent: int) -> tuple[int, int] | None:
    """The first and the end of consecutive places inside an axis, if they are known."""
    if not isinstance(values, np.ndarray) or not values.size:
        return None
    lo, hi = int(values[0]), int(values[-1]) + 1
    inside = lo >= 0 and hi <= extent and hi - lo == values.size
    return (lo, hi) if inside and bool(np.all(np.diff(values) == 1)) else None


def _index(i: Any, axis: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, i)


# ------------------------------------------------- x[i], or of a batch of arrays x[:, i]

element_p = Primitive("element")


def _read(x: Array, i: Array, *, axis: int) -> Array:
    return x[_index(i, axis)]


def _aval(x: Any, i: Any, *, axis: int) -> Any:
    del i
    return x.update(shape=(*x.shape[:axis], *x.shape[axis + 1 :]), weak_type=False)


def _element_batched(args: Sequence[Any], axes: Sequence[int | None], *, axis: int) -> tuple[Array, int]:
    (x, i), (of_x, of_i) = args, axes
    if of_x is None:
        window = _window(i, x.shape[axis])
        return (lax.slice_in_dim(x, *window, axis=axis) if window else _read(x, i, axis=axis)), axis
    if of_i is None:
        further = axis if axis < of_x else axis + 1
        return element_p.bind(x, i, axis=further), of_x if of_x < further else of_x - 1
    return jax.vmap(partial(_read, axis=axis), (of_x, of_i))(x, jnp.asarray(i)), 0


def _element_moved(moved: Array, x: Array, i: Array, *, axis: int) -> Any:
    del x
    return element_p.bind(moved, i, axis=axis)


def _element_back(cotangent: Any, x: Any, i: Any, *, axis: int) -> list[Any]:
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(x.aval), None]
    return [jnp.zeros(x.aval.shape, x.aval.dtype).at[_index(i, axis)].add(cotangent), None]


element_p.def_impl(_read)
element_p.def_abstract_eval(_aval)
batching.primitive_batchers[element_p] = _element_batched
ad.defjvp(element_p, _element_moved, None)
ad.primitive_transposes[element_p] = _element_back
mlir.register_lowering(element_p, mlir.lower_fun(_read, multiple_results=False))

# -------------------------------------------------------------------------------- i + by

shift_p = Primitive("shift")


def _shifted(i: Any, *, by: int) -> Any:
    return i + by


def _shift_batched(args: Sequence[Any], axes: Sequence[int | None], *, by: int) -> tuple[Any, int | None]:
    (i,), (axis,) = args, axes
    return (i + i.dtype.type(by) if isinstance(i, np.ndarray) else shift_p.bind(i, by=by)), axis


def _same(i: Any, *, by: int) -> Any:
    del by
    return i.update(weak_type=False)


shift_p.def_impl(_shifted)
shift_p.def_abstract_eval(_same)
batching.primitive_batchers[shift_p] = _shift_batched
ad.defjvp(shift_p, None)
mlir.register_lowering(shift_p, mlir.lower_fun(_shifted, multiple_results=False))
