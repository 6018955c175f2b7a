# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Boundary terms: the jump of the log density across a guard, and the scalar whose gradient is the surface integral.

For a guard ``G = slope * z + rest`` that is crossed along the coordinate z, the gradient of the ELBO gains
``E[ q(z*) * (h_true - h_false) * dG/dtheta / |slope| ]`` (Lee, Yu & Yang 2018, theorem 1, with the line of one
coordinate in place of the guard's normal).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime import blocks, subsets
from ppl.runtime.blocks import Lazy, is_lazy
from ppl.runtime.control import Guard, by_value, floor_of
from ppl.runtime.elements import element, places
from ppl.runtime.on_boundary import OnBoundary
from ppl.runtime.records import Draw, Observation
from ppl.runtime.subsets import Subset

FURTHER, FURTHER_SINGLE = 100.0, 10.0  # how much further from a pole values are read again, the last time

Evaluate = Callable[[ArrayLike, Mapping[str, Any]], dict[str, Any]]


def outcomes_of(
    evaluate: Evaluate, path: Callable[[Array], Mapping[str, Any]], probabilities: Array, terms: tuple[str, ...]
) -> Array:
    """A scalar whose gradient is that of ``sum_k probabilities[k] * h_k``, h_k the sum of `terms` under outcome k.

    With the guide's probabilities of a discrete latent this is the exact derivative in them, all else as drawn.
    """

    def under(k: Array) -> Array:
        return log_density(evaluate(0, path(k)), terms)

    h = lax.stop_gradient(jax.vmap(under)(jnp.arange(probabilities.shape[-1])))
    # An impossible outcome of the prior has no density: its probability must go, as fast as it can without overflow.
    h = jnp.maximum(h, jnp.max(h) - 1e6)
    return jnp.sum((h - jnp.mean(h)) * probabilities)


def still(tree: Any) -> Any:
    """`tree`, through which no gradient flows."""
    return jax.tree.map(lambda x: x.still() if isinstance(x, Lazy) else lax.stop_gradient(x), tree, is_leaf=is_lazy)


@jax.custom_jvp
def gradient_alone(x: Array) -> Array:
    """0, with the gradient of `x`. Unlike ``x - stop_gradient(x)`` it leaves the value of `x` unused: what is evaluated
    again in the pass backwards is not evaluated before."""
    return jnp.zeros_like(x)


@gradient_alone.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return jnp.zeros_like(primals[0]), tangents[0]


def force(outcome: bool, like: Array, position: tuple[ArrayLike, ...]) -> Array:
    """A path entry that decides one instance of a guard and leaves the others to their values."""
    if not position:
        return jnp.asarray(outcome)
    return jnp.zeros(like.shape, jnp.int8).at[position].set(1 if outcome else -1)


def force_level(outcome: ArrayLike, like: Array, position: tuple[ArrayLike, ...]) -> Array:
    """As `force`, for a guard with levels."""
    if not position:
        return jnp.asarray(outcome)
    return jnp.full(like.shape, by_value(like.dtype), like.dtype).at[position].set(outcome)


def log_density(out: Mapping[str, Any], terms: tuple[str, ...]) -> Array:
    """The sum of the named terms."""
    return blocks.summed([value_of(out[t]) for t in terms])


def value_of(term: Any) -> Array:
    """The part of the log density that a term is."""
    return term.log_density if isinstance(term, Draw | Observation) else term


def jump(
    evaluate: Evaluate,
    slope: ArrayLike,
    name: str,
    on: ArrayLike,
    off: ArrayLike,
    terms: tuple[str, ...],
    mates: Mapping[str, tuple[str, ...]] | None = None,
    inside: Mapping[str, tuple[str, ...]] | None = None,
    pole: bool = False,
    follows: Mapping[str, tuple[str, ...]] | None = None,
) -> Array:
    """``h_true - h_false`` at a root, summed over `terms`.

    `evaluate(side, path)` runs the slice with the moved coordinate on the boundary (side 0) or beside it. First every
    guard takes the outcome it has just beside the boundary, on either side, with guard `name` decided by `on` and
    `off`; then the smooth values are taken on the boundary along these two paths. `mates` are guards whose boundary may
    be this very one, with the terms they reach: each term's jump is shared among all that flip here. `inside` are such
    guards of a loop with terms in it that only the guard of their own iteration reaches. At a `pole` there are no
    values on the boundary: those beside it stand for the limits. A guard that reads the side of a pole `follows` the
    guards of these: where one of them flips too, the jump is that one's.
    """
    evaluate = jax.jit(evaluate)  # traced for each form of path, not at every use
    towards = jnp.sign(lax.stop_gradient(jnp.asarray(slope)))
    if pole:
        at_on, at_off, gaps = _beside_pole(evaluate, towards, name, on, off, terms)
        path_on, path_off = outcomes(at_on), outcomes(at_off)
    else:
        at_on, at_off = evaluate(towards, {name: on}), evaluate(-towards, {name: off})
        path_on, path_off = outcomes(at_on), outcomes(at_off)
        true, false = evaluate(0, path_on), evaluate(0, path_off)
        gaps = {t: value_of(true[t]) - value_of(false[t]) for t in terms}
    if mates or inside:
        mates, inside = mates or {}, inside or {}
        beside = [(at_on, evaluate(-towards, path_on)), (evaluate(towards, path_off), at_off)]
        flips, leads = _leading({m: _crosses(beside, m) for m in (*mates, *inside)}, name, follows or {})
        for t in terms:
            here = jnp.asarray(0 if name in mates else 1)
            for m, reached in mates.items():
                here = here + jnp.sum(flips[m]) if t in reached else here
            for m, reached in inside.items():
                here = here + _aligned(flips[m], gaps[t]) if t in reached else here
            gaps[t] = leads * gaps[t] / jnp.maximum(here, 1)
    return jnp.asarray(sum((jnp.sum(g) for g in gaps.values()), start=0.0))


def _beside_pole(
    evaluate: Evaluate, towards: Array, name: str, on: ArrayLike, off: ArrayLike, terms: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array]]:
    """The guards on either side of a pole, and the jumps of the terms."""

    def beside(distance: Array) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array]]:
        sides = evaluate(distance * towards, {name: on}), evaluate(-distance * towards, {name: off})
        above, below = ({k: v for k, v in out.items() if isinstance(v, Guard)} for out in sides)
        return above, below, {t: value_of(sides[0][t]) - value_of(sides[1][t]) for t in terms}

    dtype = jax.eval_shape(evaluate, towards, {name: on})[name].value.dtype
    further = FURTHER if dtype.itemsize == 8 else FURTHER_SINGLE
    found = jax.vmap(beside)(further ** (jnp.arange(4, dtype=dtype) / 3))
    above, below = (jax.tree.map(lambda x: x[0], guards) for guards in found[:2])
    crosses = jnp.any(_natural(above[name]) != _natural(below[name]))  # not where it only touches zero
    return above, below, {t: crosses * _limit(found[2][t], further) for t in terms}


def difference(
    evaluate: Callable[[Mapping[str, Any]], dict[str, Any]],
    on: Mapping[str, Any],
    off: Mapping[str, Any],
    terms: tuple[str, ...],
) -> Array:
    """``h_true - h_false`` at a root, summed over `terms`, where only the guards in the paths `on` and `off` flip.

    `evaluate(path)` runs the slice with the moved coordinate on the boundary.
    """
    true, false = evaluate(on), evaluate(off)
    return jnp.asarray(sum((jnp.sum(value_of(true[t]) - value_of(false[t])) for t in terms), start=0.0))


def difference_of_model(
    evaluate: Callable[[Mapping[str, Any]], dict[str, Any]],
    on: Mapping[str, Any],
    off: Mapping[str, Any],
    terms: tuple[str, ...],
    main: Mapping[str, Any] | None = None,
    reached: str = "",
) -> Array:
    """As `difference`, where `evaluate` is the whole program: both sides in one evaluation, so that its loops run once.

    A guard in one of the paths only is decided by its value on the other side. Where terms of `main` are those of long
    loops in blocks, so are those of both sides, and their differences are added up block by block. `reached`: the
    output that says whether the guard is, without which nothing jumps.
    """
    if main is not None and any(is_lazy(value_of(main[t])) for t in terms):
        true, false = evaluate(on), evaluate(off)
        gap = blocks.difference([value_of(true[t]) for t in terms], [value_of(false[t]) for t in terms])
        return jnp.where(true[reached], gap, 0.0) if reached else gap
    out = jax.vmap(evaluate)(sides_of(on, off))
    gaps = (value_of(out[t]) for t in terms)
    gap = jnp.asarray(sum((jnp.sum(g[0] - g[1]) for g in gaps), start=0.0))
    return jnp.where(out[reached][0], gap, 0.0) if reached else gap


def sides_of(on: Mapping[str, Any], off: Mapping[str, Any]) -> dict[str, Array]:
    """Two paths as one, with the sides along its first axis. What one leaves open stays decided by its value."""
    paths: dict[str, Array] = {}
    for k in {**on, **off}:
        sides = [jnp.asarray(p[k]) if k in p else jnp.zeros((), jnp.int8) for p in (on, off)]
        if not (k in on and k in off):
            sides = [jnp.where(x, 1, -1).astype(jnp.int8) if x.dtype == jnp.bool_ else x for x in sides]
        paths[k] = jnp.stack(sides)
    return paths


def _limit(gaps: Array, further: float) -> Array:
    """A jump at a pole by the values beside it, in distances 1, d, d^2 and d^3 = `further`.

    Where the nearest are rounding alone, it is that by the furthest: at a singularity that cancels, ``(exp(x) - 1 - x -
    x^2 / 2) / x^3``. What a pole makes of a value that stays finite does not grow faster than the inverse distance.
    Where the values go to their limit as a power of the distance, as those of ``x / sqrt(abs(x))``, it is the limit
    (Aitken's extrapolation).
    """
    near, far, steps = gaps[0], gaps[3], gaps[1:] - gaps[:-1]
    ratios = steps[1:] / jnp.where(steps[:-1] == 0, 1, steps[:-1])
    power = (ratios[0] > 1.1) & (ratios[1] > 0.7 * ratios[0]) & (ratios[1] < 1.4 * ratios[0])
    there = near - jnp.where(power, steps[0] / jnp.where(power, ratios[0] - 1, 1), 0)
    return jnp.where(jnp.abs(near) > 1.5 * further * jnp.abs(far), far, there)


def _leading(
    flips: Mapping[str, Array], name: str, follows: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Array], Array]:
    """Which guards flip that follow none that does, and whether that of the boundary, `name`, is such a one."""

    def leads(m: str) -> Array:
        # What the slice does not evaluate does not flip in it. A loop may carry a pole into its other iterations.
        leaders = [
            jnp.ones((), bool) if k == name else jnp.any(flips[k]) for k in follows.get(m, ()) if k in (name, *flips)
        ]
        return ~jnp.any(jnp.stack(leaders)) if leaders else jnp.ones((), bool)

    return {m: x & leads(m) for m, x in flips.items()}, leads(name)


def _aligned(flips: Array, term: Array) -> Array:
    """`flips` of a loop's iterations beside a term of the same iterations, which may have further loops around it."""
    return flips.reshape(flips.shape + (1,) * (term.ndim - flips.ndim)).astype(int)


def _crosses(beside: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], mate: str) -> Array:
    """Whether a guard has its own boundary between two points: along either path, on which its value is smooth.

    Where its value only jumps from one sign to the other, the boundary is that of the branch that makes it jump. Where
    it crosses in opposite directions along the two, it keeps its sign: it touches zero, and there is no boundary. It
    may cross along one and be zero all along the other, as ``max(x, 0) > 0`` does.
    """
    ends = [(_natural(above[mate]), _natural(below[mate])) for above, below in beside]
    along = [(x != y) & ~_same(above[mate], below[mate]) for (x, y), (above, below) in zip(ends, beside, strict=True)]
    flat = [(above[mate].value == 0) & (below[mate].value == 0) for above, below in beside]
    crosses = (along[0] & along[1]) | (along[0] & flat[1]) | (flat[0] & along[1])
    return crosses & (ends[0][0] != ends[1][1])


def _same(a: Guard, b: Guard) -> Array:
    """Whether the value of a guard with levels is the same but for rounding, which far out, next to a pole, is more
    than the distance of levels."""
    if a.on.dtype == jnp.bool_:
        return jnp.zeros(a.on.shape, bool)
    close = jnp.sqrt(jnp.finfo(a.value.dtype).eps)
    return jnp.abs(a.value - b.value) <= close * jnp.minimum(jnp.abs(a.value), jnp.abs(b.value))


def _natural(guard: Guard) -> Array:
    """The outcome by the value."""
    return guard.value > 0 if guard.on.dtype == jnp.bool_ else floor_of(guard.value)


def outcomes(out: Mapping[str, Any]) -> dict[str, Array]:
    """The path that an evaluation took."""
    return {k: jnp.asarray(v.on) for k, v in out.items() if isinstance(v, Guard)}


def surface(root: OnBoundary, slope: ArrayLike, rest: ArrayLike, gap: Array) -> Array:
    """A scalar without a meaning of its own whose gradient in the parameters is the boundary term."""
    steep = lax.stop_gradient(jnp.asarray(slope))
    ok = root.ok & (steep != 0)
    weight = jnp.where(ok, root.density * lax.stop_gradient(gap) / jnp.where(ok, jnp.abs(steep), 1.0), 0.0)
    value = slope * jnp.where(ok, root.value, lax.stop_gradient(root.value)) + rest
    return lax.stop_gradient(weight) * value


def solve(slope: ArrayLike, rest: ArrayLike) -> Array:
    """The z with ``slope * z + rest = 0``; anything finite where the slope is zero (`surface` drops it)."""
    slope, rest = (lax.stop_gradient(jnp.asarray(x)) for x in (slope, rest))
    return -rest / jnp.where(slope == 0, 1.0, slope)


def row(guard: Guard, position: tuple[ArrayLike, ...]) -> Guard:
    """One instance of a guard that a loop decided."""
    return Guard(element(guard.value, *position), element(guard.on, *position))


def size(root: OnBoundary, slope: ArrayLike, weight: ArrayLike = 1.0) -> Array:
    """About how large the boundary term at a root is, up to what jumps: positive wherever the term is not zero.

    In units of the noise, the term's gradient in the location of the moved coordinate has the length ``height * jump``.
    """
    there = root.ok & (jnp.asarray(slope) != 0) & (root.density != 0)
    x = weight * jnp.where(there, root.height, 0.0)
    return lax.stop_gradient(jnp.where(there, jnp.maximum(x, jnp.finfo(x.dtype).tiny), 0.0))


def size_of_outcomes(probabilities: Array) -> Array:
    """As `size`, of a discrete latent: the probability that two draws of it differ."""
    return lax.stop_gradient(jnp.maximum(1 - jnp.sum(probabilities**2), jnp.finfo(probabilities.dtype).tiny))


def total(
    one: Callable[..., Array], *ranges: tuple[Any, ...], rows: int | None = None, subset: Subset | None = None,
    alike: bool = False,
) -> Array:  # fmt: skip
    """The sum of ``one(i, j, ...)`` over the instances of a boundary: (first, number) for each loop around it.

    A third entry of a range has the weight of each of its instances. A first index that depends on the loops further
    out is given as a function of their indices. With `rows`, so many instances of a long loop are evaluated at a time,
    see ppl.runtime.blocks. If there are more instances than `subset` allows, a random few stand for all, chosen by
    ``one(i, j, ..., sizing=True)`` or, if `alike`, each as often as any other: see ppl.runtime.subsets.
    """
    count = math.prod(max(int(r[1]), 0) for r in ranges)
    if subset is not None and subset.most is not None and count > subset.most:
        return _of_some(one, ranges, count, subset.most, subset.chance, rows, alike)

    def over(outer: tuple[Array, ...], rest: tuple[tuple[Any, ...], ...]) -> Array:
        if not rest:
            return one(*outer)
        (lo, extent, *weights), inner = rest[0], rest[1:]
        if extent <= 0:
            return jnp.asarray(0.0)
        first: Any = lo(*outer) if callable(lo) else lo

        def at(i: Array) -> Array:
            value = over((*outer, i), inner)
            return value * weights[0][i - first].astype(value.dtype) if weights else value

        return _sum(at, first, extent, None if outer else rows, 1 if subset is None else count)

    return over((), ranges)


def _sum(at: Callable[[Any], Array], first: ArrayLike, extent: int, rows: int | None, numbers: int) -> Array:
    at_a_time = None if rows is None else blocks.rows_of(at, extent, rows, numbers)
    if at_a_time is not None:
        return blocks.total(at, first, extent, at_a_time)
    if extent == 1:  # no axis of length 1, along which nothing could be vectorised
        return at(first)
    return jnp.sum(jax.vmap(at)(places(first, extent)))


def _unravelled(k: Array, extents: Sequence[int]) -> list[Array]:
    """The indices of place `k`, from 0 to below the product of `extents`, in an array of this shape."""
    found: list[Array] = []
    for extent in reversed(extents[1:]):
        found.append(lax.rem(k, jnp.asarray(extent, k.dtype)))
        k = lax.div(k, jnp.asarray(extent, k.dtype))
    return [k, *reversed(found)]


def _of_some(
    one: Callable[..., Array], ranges: tuple[tuple[Any, ...], ...], count: int, most: int, chance: Array,
    rows: int | None, alike: bool,
) -> Array:  # fmt: skip
    extents = [int(r[1]) for r in ranges]

    def instance(k: Array) -> tuple[tuple[Array, ...], Any]:
        """The indices of an instance, and its weight in the sum over all."""
        indices: tuple[Array, ...] = ()
        weight: Any = 1.0
        for (lo, _, *weights), place in zip(ranges, _unravelled(k, extents), strict=True):
            weight = weight * weights[0][place] if weights else weight
            indices = (*indices, jnp.asarray(lo(*indices) if callable(lo) else lo) + place)
        return indices, weight

    def size_of(k: Array) -> Array:
        indices, weight = instance(k)
        return jnp.asarray(weight if alike else weight * one(*indices, sizing=True), chance.dtype)

    each = jnp.arange(count)
    long = rows is not None and count > blocks.SHORT * rows
    sizes = lax.map(size_of, each, batch_size=rows) if long else jax.vmap(size_of)(each)
    chosen, times = subsets.choose(sizes, most, chance)

    def at(k: Array) -> Array:
        indices, weight = instance(chosen[k])
        value = one(*indices)
        return value * jnp.asarray(weight * times[k], value.dtype)

    return _sum(at, jnp.asarray(0), chosen.shape[0], rows, count)  # the program runs a loop as long as that
