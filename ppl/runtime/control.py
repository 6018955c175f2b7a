# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Guards and loops of an emitted program.

A path is a mapping from guard names to outcomes; in a loop each entry has one outcome per iteration. An entry is a bool
array (decided), or an int8 array with 1 for true, -1 for false and 0 for "by its value". The outcome of a guard with
levels is an integer, with `by_value` for "by its value". Guards that a path does not mention, and all where the path is
None, are decided by their value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.typing import ArrayLike, DTypeLike

from ppl.runtime import functions as fn
from ppl.runtime.blocks import Outputs
from ppl.runtime.blocks import added as added  # emitted modules call it here
from ppl.runtime.elements import places

Path = Mapping[str, Array] | None

SHORT = 32  # operations of an iteration, of which two make a turn of a loop


class Guard(NamedTuple):
    """A guard's value, positive where it holds, and its outcome on this path."""

    value: Array
    on: Array


def by_value(dtype: DTypeLike) -> int:
    """Of ints of this type the one that is no level, see `floor_of`."""
    return int(jnp.iinfo(dtype).min)


class Filled(NamedTuple):
    """Elements of an array assigned in a loop, where `mask` holds (None: always)."""

    where: tuple[ArrayLike, ...]
    value: ArrayLike
    mask: Array | None


def decide(value: ArrayLike, path: Path, name: str) -> Guard:
    """The outcome of a guard: what the path says, else whether its value is positive."""
    value = jnp.asarray(value)
    given = None if path is None else path.get(name)
    if given is None:
        return Guard(value, value > 0)
    given = jnp.asarray(given)
    if given.dtype == jnp.bool_:
        return Guard(value, given)
    return Guard(value, jnp.where(given == 0, value > 0, given > 0))


def level(value: ArrayLike, path: Path, name: str) -> Guard:
    """The outcome of a guard with levels: what the path says, else the floor of its value."""
    value = jnp.asarray(value)
    given = None if path is None else path.get(name)
    own = floor_of(value)
    return Guard(value, own if given is None else chosen(given, own))


def chosen(given: ArrayLike, own: Array) -> Array:
    """The outcome of a guard with levels that a path gives, `own` where that is by the value."""
    given = jnp.asarray(given)
    return jnp.where(given == by_value(given.dtype), own, given)


def floor_of(value: Array) -> Array:
    """The floor as an int, held at the ends of ints; 0 for NaN."""
    ints = jnp.dtype(jnp.result_type(int))
    value = fn.real(value)
    limit = 2.0 ** (jnp.iinfo(ints).bits - 1) * (1.0 - float(jnp.finfo(value.dtype).epsneg))
    return jnp.clip(jnp.floor(jnp.where(jnp.isnan(value), 0.0, value)), -limit, limit).astype(ints)


def piece(out: Mapping[str, Any], name: str | None = None, position: tuple[ArrayLike, ...] = ()) -> Array:
    """A number that differs (almost surely) between two evaluations in which a guard has another outcome.

    Not counted are the outcomes of guard `name` itself from its instance at `position` on.
    """
    total = jnp.zeros((), jnp.uint32)
    odd = 0x9E3779B1
    for k, (key, guard) in enumerate(sorted((k, v) for k, v in out.items() if isinstance(v, Guard))):
        if key == name and not position:
            continue
        on = jnp.ravel(guard.on).astype(jnp.uint32)
        if key == name:
            shape = guard.on.shape
            instance = jnp.ravel_multi_index(tuple(jnp.asarray(p) for p in position), shape, mode="clip")
            on = jnp.where(jnp.arange(on.size) < instance, on, 0)
        factors = (np.arange(1, on.size + 1, dtype=np.uint64) * odd * (2 * k + 1) ^ 0x85EBCA6B) * 0xC2B2AE35
        factors = (factors ^ (factors >> np.uint64(15))).astype(np.uint32) | np.uint32(1)
        total += jnp.sum(on * factors, dtype=jnp.uint32)
    return total


def rows(path: Path, *names: str) -> Path:
    """The part of a path that a loop with these guards decides, to be handed out iteration by iteration."""
    return None if path is None else {n: path[n] for n in names if n in path}


def indices(lo: ArrayLike, extent: int) -> Array:
    return places(lo, max(extent, 0))


def window(x: Any, first: ArrayLike, extent: int) -> Array:
    """``x[first], x[first + 1], ...``: `extent` of them, what an index outside of `x` would give included."""
    x = jnp.asarray(x)
    if isinstance(first, int) and first >= 0 and first + extent <= x.shape[0]:
        return x[first : first + extent]
    return x[places(first, max(extent, 0))]


def each(body: Callable[..., Outputs], lo: ArrayLike, extent: int, path: Path, *rows: Outputs) -> Outputs:
    """``body(i, path of i)`` for the `extent` independent iterations from `lo`, outputs stacked.

    `rows` are outputs of an earlier part of the loop: the body gets those of its iteration.
    """
    if extent <= 0:
        return _empty(body, *rows)
    return jax.vmap(body)(indices(lo, extent), path, *rows)


def carry(
    body: Callable[..., tuple[Any, Outputs]], init: Any, lo: ArrayLike, extent: int, path: Path, *rows: Outputs
) -> tuple[Any, Outputs]:
    """``state, out = body(state, i, path of i)`` for `extent` iterations from `lo`: the last state, outputs stacked.

    `rows` as in `each`.
    """
    first = jnp.asarray(lo)
    row = jax.tree.map(lambda v: v[0] if extent > 0 else jnp.zeros(v.shape[1:], v.dtype), (path, *rows))
    start = jax.tree.map(jnp.asarray, init)
    traced, shapes = jax.make_jaxpr(body, return_shape=True)(start, first, *row)
    start = widened(start, shapes[0])
    if extent <= 0:
        return start, _empty(lambda i, *p: body(start, i, *p)[1], *rows)

    def step(state: Any, item: tuple[Any, ...]) -> tuple[Any, Outputs]:
        new, out = body(state, *item)
        return jax.tree.map(lambda a, b: jnp.asarray(a).astype(b.dtype), new, state), out

    # Two iterations a turn: XLA for CPUs copies a state of several numbers in each, which costs as much as they do. Not
    # of long iterations, of which the code would be twice as long, nor of loops around others, where it doubles again.
    turns = 2 if len(jax.tree.leaves(start)) > 1 and _operations(traced.jaxpr) <= SHORT else 1
    return lax.scan(step, start, (indices(lo, extent), path, *rows), unroll=turns)


def _operations(jaxpr: Jaxpr) -> float:
    """How many operations a function takes, any number where it has loops or branches."""
    inner = [(e.primitive.name, e.params.get("jaxpr")) for e in jaxpr.eqns]
    if any(name in ("scan", "while", "cond") for name, _ in inner):
        return math.inf
    return sum(_operations(x.jaxpr) if isinstance(x, ClosedJaxpr) else 1 for _, x in inner)


def lag(
    body: Callable[[Array, Path], tuple[tuple[Any, ...], Outputs]],
    init: tuple[Any, ...],
    names: tuple[str, ...],
    lo: ArrayLike,
    extent: int,
    path: Path,
) -> tuple[tuple[Any, ...], Outputs]:
    """As `carry`, where the next state does not depend on the state: ``state, out = body(i, path of i)``.

    All iterations at once. The state that enters each of them is among the outputs, under `names`.
    """
    start = tuple(jnp.asarray(x) for x in init)
    if extent <= 0:
        shapes, _ = jax.eval_shape(lambda i: body(i, None), jnp.asarray(0))
        final = widened(start, shapes)
        return final, _empty(lambda i, p: {**body(i, p)[1], **dict(zip(names, final, strict=True))})
    new, out = jax.vmap(body)(indices(lo, extent), path)
    first = widened(start, new)
    new = tuple(x.astype(a.dtype) for x, a in zip(new, first, strict=True))
    entering = (jnp.concatenate([a[None], x[:-1]]) for a, x in zip(first, new, strict=True))
    return tuple(x[-1] for x in new), out | dict(zip(names, entering, strict=True))


def widened(start: Any, new: Any) -> Any:
    """The first state in the types that it is to have: a counter may start as an int and end as a real, or start in
    another precision."""
    return jax.tree.map(lambda a, b: a.astype(jnp.result_type(a, b)), start, new)


def _empty(body: Callable[..., Outputs], *rows: Outputs) -> Outputs:
    """The outputs of a loop without iterations: nothing of each, in the right shapes."""
    row = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), rows)
    shapes = jax.eval_shape(lambda i: body(i, None, *row), jnp.asarray(0))
    return jax.tree.map(lambda s: jnp.zeros((0, *s.shape), s.dtype), shapes)


def fill(array: Array, index: tuple[ArrayLike, ...], value: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """`array` with one element assigned."""
    if mask is not None:
        value = jnp.where(mask, value, array[index])
    return array.at[index].set(value)


def scatter(array: Array, filled: Filled) -> Array:
    """`array` with the elements that a loop assigned. What its mask excludes stays."""
    if not array.size:
        return array
    index = tuple(jnp.asarray(i) for i in filled.where)
    if filled.mask is not None:
        # Elements that are masked go to an index past the end, which `drop` ignores.
        index = tuple(jnp.where(filled.mask, i, n) for i, n in zip(index, array.shape, strict=True))
    return array.at[index].set(jnp.asarray(filled.value, array.dtype), mode="drop")


def stack(*items: ArrayLike) -> Array:
    """An array literal."""
    return jnp.stack([jnp.asarray(x) for x in items])


def largest(x: ArrayLike) -> Array:
    """The place of the element of a vector with the largest absolute value."""
    return jnp.argmax(jnp.abs(jnp.asarray(x)))
