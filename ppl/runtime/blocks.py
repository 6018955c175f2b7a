# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Long loops in blocks: of independent iterations so many at a time that what they compute stays in the cache.

A sum over all iterations is a scan over blocks that keeps nothing but the sum: a pass backwards evaluates each block
again. What single iterations compute is evaluated where it is read. So memory does not grow with the number of
iterations, and time grows with it linearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.typing import ArrayLike

Outputs = dict[str, Any]

ELEMENTS = 2**16  # numbers in an intermediate result that a cache holds beside some others
SHORT = 4  # loops of up to so many blocks are evaluated at once
TRACED = 2**13  # numbers, below which it is not even asked how much an iteration computes
DENSE = ("c_", "f_")  # outputs that are needed as arrays, by the beginning of their names


def iterations(samples: int) -> int:
    """The number of iterations to evaluate side by side where that many samples are."""
    return max(ELEMENTS // samples, 1)


def unless_moving(main: Mapping[str, Any], rows: int | None) -> int | None:
    """`rows`, or None where an evaluation holds an array longer than that through which gradients may flow: in each
    block, adding up its gradient would take as long as the array is."""
    read = {k: v for k, v in main.items() if k[0] not in "td" and k != "report"}
    arrays = [a for a in jax.tree.leaves(read, is_leaf=is_lazy) if not isinstance(a, Lazy)]
    if rows is None or any(a.size > rows and jnp.issubdtype(a.dtype, jnp.floating) for a in map(jnp.asarray, arrays)):
        return None
    return rows


@dataclass(frozen=True, eq=False)
class Loop:
    """``body(i, None)`` for `extent` independent iterations from `lo`, `rows` of them side by side."""

    body: Callable[[Array, None], Outputs]
    lo: ArrayLike
    extent: int
    rows: int

    def row(self, k: ArrayLike) -> Outputs:
        """The outputs of iteration number `k`."""
        return self.body(jnp.asarray(self.lo) + k, None)

    def sum(self, pick: Callable[[Outputs], Any]) -> Any:
        """The sum over all iterations of what `pick` takes from the outputs of each."""
        return total(lambda i: pick(self.body(i, None)), self.lo, self.extent, self.rows)


@dataclass(frozen=True, eq=False)
class Lazy:
    """An output of a loop, stacked along the iterations: evaluated where it is read."""

    loop: Loop
    place: int  # among the leaves of the loop's outputs
    shape: tuple[int, ...]
    dtype: Any
    fixed: bool = False  # no gradient flows through it

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def still(self) -> Lazy:
        return replace(self, fixed=True)

    def of(self, out: Outputs) -> Array:
        """What an iteration with the outputs `out` contributes."""
        value = jnp.asarray(jax.tree.leaves(out)[self.place])
        return lax.stop_gradient(value) if self.fixed else value

    def __getitem__(self, index: Any) -> Array:
        first, *rest = index if isinstance(index, tuple) else (index,)
        value = self.of(self.loop.row(first))
        return value[tuple(rest)] if rest else value

    def __jax_array__(self) -> Array:
        return jax.vmap(lambda k: self.of(self.loop.row(k)))(jnp.arange(self.loop.extent))


def is_lazy(x: Any) -> bool:
    return isinstance(x, Lazy)


def each(
    body: Callable[..., Outputs], lo: ArrayLike, extent: int, rows: int, moving: Sequence[Array] = ()
) -> Outputs | None:
    """The outputs of a long loop, evaluated where they are read, but for arrays that its iterations fill. None
    if it is short, or reads of the arrays `moving`, which depend on the parameters, one longer than a block."""
    if any(a.size > rows for a in moving):
        return None
    found = _blocks_of(lambda i: body(i, None), extent, rows)
    if found is None:
        return None
    shapes, rows = found
    loop = Loop(body, lo, extent, rows)
    flat, tree = jax.tree.flatten(shapes)
    out: Outputs = jax.tree.unflatten(tree, [Lazy(loop, k, (extent, *s.shape), s.dtype) for k, s in enumerate(flat)])
    return {k: jax.tree.map(jnp.asarray, v, is_leaf=is_lazy) if k.startswith(DENSE) else v for k, v in out.items()}


def added(*rows: Array | Lazy) -> tuple[Array, ...]:
    """The sums of the rows of some outputs of one loop, in one pass over it."""
    lazy = [r for r in rows if isinstance(r, Lazy)]
    if len(lazy) < len(rows):
        return tuple(jnp.sum(jnp.asarray(r), axis=0) for r in rows)
    return lazy[0].loop.sum(lambda out: tuple(r.of(out) for r in lazy))


def summed(values: Sequence[Array | Lazy]) -> Array:
    """The sum of all elements of all values; of loops in blocks in one pass over each."""
    loops: dict[int, list[Lazy]] = {}
    for v in values:
        if isinstance(v, Lazy):
            loops.setdefault(id(v.loop), []).append(v)
    parts: list[Array] = [jnp.sum(v) for v in values if not isinstance(v, Lazy)]
    for found in loops.values():
        parts.append(found[0].loop.sum(partial(_rows, found)))
    return jnp.asarray(sum(parts, start=0.0))


def difference(above: Sequence[Array | Lazy], below: Sequence[Array | Lazy]) -> Array:
    """The sum of all elements of ``above - below``, outputs of two evaluations of one program; small differences of
    large sums keep their digits."""
    loops: dict[tuple[int, int], list[tuple[Lazy, Lazy]]] = {}
    parts: list[Array] = []
    for a, b in zip(above, below, strict=True):
        if isinstance(a, Lazy) and isinstance(b, Lazy):
            loops.setdefault((id(a.loop), id(b.loop)), []).append((a, b))
        else:
            parts.append(jnp.sum(jnp.asarray(a) - jnp.asarray(b)))
    for pairs in loops.values():
        one, other = pairs[0][0].loop, pairs[0][1].loop

        def gap(i: Array, pairs: list[tuple[Lazy, Lazy]] = pairs, one: Loop = one, other: Loop = other) -> Array:
            there, here = one.body(i, None), other.body(i, None)
            return jnp.asarray(sum(jnp.sum(a.of(there) - b.of(here)) for a, b in pairs))

        parts.append(total(gap, one.lo, one.extent, min(one.rows, other.rows)))
    return jnp.asarray(sum(parts, start=0.0))


def _rows(values: Sequence[Lazy], out: Outputs) -> Array:
    return jnp.asarray(sum(jnp.sum(v.of(out)) for v in values))


def share(on: Array | Lazy) -> Array:
    """How much of a family of outcomes is true."""
    real = jnp.result_type(float)
    if not isinstance(on, Lazy):
        return jnp.mean(on, dtype=real)
    return on.loop.sum(lambda out: jnp.sum(on.of(out), dtype=real)) / on.size


def total(one: Callable[[Array], Any], lo: ArrayLike, extent: int, rows: int) -> Any:
    """The sum of ``one(i)`` for `extent` values of i from `lo`, `rows` of them at a time."""
    count = -(-extent // rows)
    rows = -(-extent // count)

    def block(first: Array) -> Any:
        k = first + jnp.arange(rows)
        values = jax.vmap(one)(jnp.asarray(lo) + jnp.minimum(k, extent - 1))
        inside = k < extent

        def add(v: Array) -> Array:
            return jnp.sum(jnp.where(inside.reshape(-1, *[1] * (v.ndim - 1)), v, jnp.zeros((), v.dtype)), axis=0)

        return jax.tree.map(add, values)

    again = jax.checkpoint(block, prevent_cse=False)
    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(block, jnp.asarray(0)))
    return lax.scan(lambda s, k: (jax.tree.map(jnp.add, s, again(k)), None), start, jnp.arange(count) * rows)[0]


def rows_of(one: Callable[[Array], Any], extent: int, rows: int, numbers: int = 1) -> int | None:
    """How many iterations of a loop to evaluate at a time, None for all. An iteration computes some `numbers`."""
    found = _blocks_of(one, extent, rows, numbers)
    return None if found is None else found[1]


def _blocks_of(one: Callable[[Array], Any], extent: int, rows: int, numbers: int = 1) -> tuple[Any, int] | None:
    """The shape of what an iteration gives, and how many iterations make a block; None where one block holds all."""
    if extent * numbers * ELEMENTS <= TRACED * rows:
        return None
    jaxpr, shape = jax.make_jaxpr(one, return_shape=True)(jnp.asarray(0))
    rows = max(rows // _largest(jaxpr.jaxpr), 1)
    return None if extent <= (SHORT if numbers == 1 else 1) * rows else (shape, rows)


def _largest(jaxpr: Jaxpr) -> int:
    """The number of elements of the largest intermediate result."""
    sizes = [1]
    for e in jaxpr.eqns:
        sizes.extend(math.prod(getattr(v.aval, "shape", ())) for v in e.outvars)
        for inner in jax.tree.leaves(list(e.params.values()), is_leaf=lambda p: isinstance(p, ClosedJaxpr | Jaxpr)):
            if isinstance(inner, ClosedJaxpr | Jaxpr):
                sizes.append(_largest(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner))
    return max(sizes)
