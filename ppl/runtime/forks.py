# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Both sides of a guard whose outcome a loop carries on, in one pass over the loop that adds up their difference.

The guard flips in one iteration. Before it both sides are the same, so there the difference is zero; from there on each
side goes on with a state of its own, and where one has ended, by a `while`, it adds nothing and is not evaluated. What
an iteration computes without the state, draws and data alone, is computed for all iterations at once, before the pass.
Nothing is kept of an iteration but the state and the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.typing import ArrayLike

from ppl.runtime import blocks
from ppl.runtime.control import Outputs, by_value, widened
from ppl.runtime.elements import places
from ppl.runtime.once import lean
from ppl.runtime.surface import sides_of, value_of

State = tuple[Any, ...]
Body = Callable[..., tuple[State, Outputs]]

# Operations that cost less than to store and read again what they give, a few at a time.
CHEAP = frozenset({"abs", "neg", "not", "sign", "eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "min", "max",
                   "select_n", "convert_element_type", "broadcast_in_dim"})  # fmt: skip
FEW = 4


@dataclass(frozen=True)
class Sides:
    """What a loop leaves on either side: its `state` and its `sums`. `gap`: the difference of its terms."""

    on: tuple[State, Outputs]
    off: tuple[State, Outputs]
    gap: Array

    def and_then(
        self, rest: Callable[[State, Outputs, Mapping[str, Any]], Outputs], on: Mapping[str, Any],
        off: Mapping[str, Any], terms: Sequence[str], together: bool = False,
    ) -> Array:  # fmt: skip
        """The difference with that of `terms` behind the loop, ``rest(state, sums, path)``. `together`: both sides in
        one evaluation, so that loops there run once."""
        if not terms:
            return self.gap
        if together:
            state, sums = jax.tree.map(lambda a, b: jnp.stack([jnp.asarray(a), jnp.asarray(b)]), self.on, self.off)
            out = jax.vmap(rest)(state, sums, sides_of(on, off))
            gaps = [x[0] - x[1] for x in (value_of(out[t]) for t in terms)]
        else:
            true, false = rest(*self.on, on), rest(*self.off, off)
            gaps = [value_of(true[t]) - value_of(false[t]) for t in terms]
        return self.gap + sum((jnp.sum(g) for g in gaps), start=jnp.zeros((), self.gap.dtype))


def loop(
    body: Body, init: State, lo: ArrayLike, extent: int, guard: str, instance: ArrayLike, on: ArrayLike,
    off: ArrayLike, terms: Sequence[str], sums: Sequence[str], ended: str = "",
) -> Sides:  # fmt: skip
    """``state, out = body(state, i, path of i)`` for `extent` iterations from `lo`, in number `instance` of which
    `guard` has the outcome `on` on one side and `off` on the other. Other guards are decided by their values.

    `terms` of each iteration go into the difference, and `sums` are added up. `ended`: the side, "on" or "off", that
    the guard's outcome ends, so that from then on its state stays as it is and its terms and sums are zero.
    """
    side, rows, start, zero = _prepared(body, init, lo, extent, guard, terms, sums)
    first = jnp.zeros((), zero[0].dtype)
    k = jnp.arange(extent, dtype=jnp.int32)
    chosen = jnp.asarray(instance, jnp.int32)

    def path(k: Array, outcome: ArrayLike) -> Array:
        outcome = jnp.asarray(outcome)
        if outcome.dtype == jnp.bool_:
            return jnp.where(k == chosen, jnp.where(outcome, 1, -1), 0).astype(jnp.int8)
        return jnp.where(k == chosen, outcome, by_value(outcome.dtype))

    if not ended:

        def both(carry: Any, item: Any) -> Any:
            (a, sums_a), (b, sums_b), gap = carry
            k, row = item
            a, gain_a, more_a = side(a, row, path(k, on))
            b, gain_b, more_b = side(b, row, path(k, off))
            return ((a, _plus(sums_a, more_a)), (b, _plus(sums_b, more_b)), gap + (gain_a - gain_b)), None

        (true, false, gap), _ = lax.scan(both, ((start, zero[1]), (start, zero[1]), first), (k, rows))
        return Sides(_named(true, sums), _named(false, sums), gap)

    goes_on, ends = (off, on) if ended == "on" else (on, off)
    at_once = isinstance(instance, int) and instance == 0  # nothing comes before

    def one(carry: Any, item: Any) -> Any:
        (state, total), held, gain = carry
        k, row = item
        state, more, further = side(state, row, path(k, goes_on))
        now = (state, _plus(total, further))
        if at_once:
            return (now, held, gain + more), None
        before = k < chosen
        held = jax.tree.map(lambda new, old: jnp.where(before, new, old), now, held)
        return (now, held, gain + jnp.where(before, 0, more)), None

    (last, held, gain), _ = lax.scan(one, ((start, zero[1]), () if at_once else (start, zero[1]), first), (k, rows))
    held = held or (start, zero[1])
    here = jax.tree.map(lambda x: x[chosen], rows)
    stopped = (side(held[0], here, path(chosen, ends))[0], held[1])
    there, ends_there = _named(last, sums), _named(stopped, sums)
    return Sides(ends_there, there, -gain) if ended == "on" else Sides(there, ends_there, gain)


def among(terms: Sequence[str], some: Sequence[str]) -> tuple[str, ...]:
    """Those of `some` that are in `terms`."""
    return tuple(t for t in some if t in terms)


def _plus(a: Sequence[Array], b: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _named(side: tuple[State, Sequence[Array]], sums: Sequence[str]) -> tuple[State, Outputs]:
    return side[0], dict(zip(sums, side[1], strict=True))


def _prepared(
    body: Body, init: State, lo: ArrayLike, extent: int, guard: str, terms: Sequence[str], sums: Sequence[str]
) -> tuple[Callable[..., Any], Any, State, tuple[Array, tuple[Array, ...]]]:
    """``side(state, row, path entry) = state, terms, sums`` of an iteration; the rows; the first state; zeros."""
    given = jnp.zeros((), jnp.int8)

    def iteration(state: State, entry: Array, i: Array) -> tuple[State, Array, tuple[Array, ...]]:
        new, out = body(state, i, {guard: entry})
        gain = blocks.summed([jnp.sum(value_of(out[t])) for t in terms]) if terms else jnp.zeros(())
        return new, gain, tuple(jnp.asarray(out[s]) for s in sums)

    i = jnp.asarray(lo)
    start = jax.tree.map(jnp.asarray, init)
    shapes = jax.eval_shape(iteration, start, given, i)
    start = widened(start, shapes[0])
    level = jax.eval_shape(lambda s, e: body(s, i, {guard: e})[1][guard].on, start, given).dtype
    given = given if level == jnp.bool_ else jnp.zeros((), level)

    def typed(state: State, entry: Array, i: Array) -> Any:
        new, gain, more = iteration(state, entry, i)
        return jax.tree.map(lambda a, b: jnp.asarray(a).astype(b.dtype), new, state), gain, more

    closed, shapes = jax.make_jaxpr(typed, return_shape=True)(start, given, i)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[1:])
    tree = jax.tree.structure(shapes)
    ahead, then = _split(closed, len(jax.tree.leaves((start, given))))
    fixed, rows = ahead(places(lo, extent))

    def side(state: State, row: Any, entry: Array) -> Any:
        return jax.tree.unflatten(tree, then(fixed, row, jax.tree.leaves((state, entry))))

    return side, rows, start, zero


def _split(closed: ClosedJaxpr, count: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function of `count` arguments and an index, in two: ``fixed, rows = ahead(indices)``, what the index alone is
    needed for, for all indices at once, and ``then(fixed, row, arguments)``, the results."""
    closed = lean(closed)
    jaxpr = closed.jaxpr
    states, index, results = jaxpr.invars[:count], jaxpr.invars[count], jaxpr.outvars
    late = set(states)
    by_index = {index}
    early, rest = [], []
    for eqn in jaxpr.eqns:
        read = {v for v in eqn.invars if not isinstance(v, Literal)}
        if read & late:
            late.update(eqn.outvars)
            rest.append(eqn)
            continue
        if read & by_index:
            by_index.update(eqn.outvars)
        early.append(eqn)
    wanted = _read(rest, results) - late - set(jaxpr.constvars)
    again = _cheap_again(early, wanted, set(jaxpr.constvars))
    order = [index, *(v for e in early for v in e.outvars)]
    rows = [v for v in order if v in wanted and v in by_index]
    fixed = [v for v in order if v in wanted and v not in by_index]
    lasting = [e for e in early if not any(v in by_index for v in e.outvars)]
    moving = [e for e in early if any(v in by_index for v in e.outvars)]
    between = [v for v in dict.fromkeys(x for e in lasting for x in e.outvars)
               if v in _read(moving, rows) or v in fixed]  # fmt: skip
    once = _piece(closed, [], between, lasting)
    each = _piece(closed, [*between, index], rows, moving)
    late_part = _piece(closed, [*fixed, *rows, *states], results, [*again, *rest])

    def ahead(indices: Any) -> tuple[list[Array], list[Array]]:
        known = once()
        kept = [x for v, x in zip(between, known, strict=True) if v in fixed]
        return kept, jax.vmap(lambda i: each(*known, i))(indices)

    def then(kept: Sequence[Array], row: Sequence[Array], arguments: Sequence[Array]) -> Sequence[Array]:
        return late_part(*kept, *row, *arguments)

    return ahead, then


def _cheap_again(early: Sequence[Any], wanted: set[Any], known: set[Any]) -> list[Any]:
    """Equations that are rather evaluated again than what they give is kept; `wanted` loses that."""
    made_by = {v: e for e in early for v in e.outvars}

    def steps(v: Any, leaves: set[Any]) -> list[Any] | None:
        eqn = made_by.get(v)
        if eqn is None or not _is_cheap(eqn):
            return None
        out: list[Any] = []
        for x in eqn.invars:
            if not isinstance(x, Literal) and x not in leaves:
                more = steps(x, leaves)
                if more is None:
                    return None
                out += [e for e in more if e not in out]
        return [*out, eqn] if len(out) < FEW else None

    found: dict[int, Any] = {}
    for v in [v for e in reversed(early) for v in e.outvars if v in wanted]:
        chain = steps(v, (wanted | known) - {v})
        if chain is not None:
            wanted.discard(v)
            found |= {id(e): e for e in chain}
    return [e for e in early if id(e) in found]


def _is_cheap(eqn: Any) -> bool:
    return eqn.primitive.name in CHEAP and len(eqn.outvars) == 1


def _read(eqns: Sequence[Any], outvars: Sequence[Any]) -> set[Any]:
    return {v for vs in (*(e.invars for e in eqns), outvars) for v in vs if not isinstance(v, Literal)}


def _piece(closed: ClosedJaxpr, inputs: Sequence[Any], outputs: Sequence[Any], eqns: Sequence[Any]) -> Any:
    """Some equations of a function, with the constants of the whole."""
    whole = closed.jaxpr
    part = whole.replace(
        invars=[*inputs], outvars=[*outputs], eqns=[*eqns], debug_info=whole.debug_info.with_unknown_names()
    )
    return jaxpr_as_fun(ClosedJaxpr(part, closed.consts))
