# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Carried state that takes few values: what the rest of a loop adds for each of them, by one backward pass.

The outcome of a guard that is carried on in such state changes what follows only through it. So the jumps of all
guards of T iterations take one pass over T, where evaluating what follows each guard anew would take T^2 steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime.control import indices

State = tuple[Any, ...]
Table = tuple[tuple[ArrayLike, ...], ...]  # the values that each carried variable takes

MOST_COMPARED = 8  # modes; of more, the place is looked up instead


def rest(
    step: Callable[[State, Array], tuple[State, Array]], table: Table, lo: ArrayLike, extent: int, forgets: bool = False
) -> Array:
    """What the program adds after each iteration when that hands on each mode: (extent, modes), up to a number for
    each iteration.

    ``step(state, i)`` is the next state and what iteration i adds if it starts in `state`. The modes are the
    combinations of the values in `table`, the last variable fastest. `forgets`: the next state does not depend on the
    state, so modes differ in the next iteration alone.
    """
    states = states_of(table)
    count = len(states[0])
    if extent <= 0:
        return jnp.zeros((0, count))
    new, gain = jax.vmap(lambda i: jax.vmap(lambda s: step(s, i))(states))(indices(lo, extent))
    last = jnp.zeros((1, count), gain.dtype)
    if forgets:
        return jnp.concatenate([gain[1:], last])
    to = place(new, states)

    def back(after: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        to, gain = item
        return gain + pick(after, to), after

    return lax.scan(back, last[0], (to, gain), reverse=True)[1]


def states_of(table: Table) -> State:
    """All modes, an array for each carried variable."""
    return tuple(jnp.asarray(x) for x in zip(*itertools.product(*table), strict=True))


def place(state: Sequence[Array], states: Sequence[Array]) -> Array:
    """Which mode a state is: one-hot along a last axis where there are few modes, else its number."""
    same = jnp.asarray(True)
    for value, values in zip(state, states, strict=True):
        same = same & (jnp.asarray(value)[..., None] == values)
    return same if len(states[0]) <= MOST_COMPARED else jnp.argmax(same, axis=-1)


def pick(of_modes: Array, to: Array) -> Array:
    """The entries of `of_modes`, last axis the modes, at places `to`."""
    if to.dtype == jnp.bool_:
        return jnp.sum(jnp.where(to, of_modes, 0.0), axis=-1)
    return of_modes[..., to]


def rest_after(rest: Array, position: ArrayLike, state: State, table: Table) -> Array:
    """What follows iteration number `position` when it hands on `state`."""
    return pick(rest[position], place([jnp.asarray(x) for x in state], states_of(table)))
