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
from ppl.runtime.elements import element

State = tuple[Any, ...]
Place = list[Array] | Array
Table = tuple[tuple[ArrayLike, ...], ...]  # the values that each carried variable takes

MOST_COMPARED = 8  # modes; of more, the number is looked up instead


def rest(
    step: Callable[[State, Array], tuple[State, Array]], table: Table, lo: ArrayLike, extent: int, forgets: bool = False
) -> Array:
    """What the program adds after each iteration when that hands on each mode: (modes, extent), up to a number for
    each iteration.

    ``step(state, i)`` is the next state and what iteration i adds if it starts in `state`. The modes are the
    combinations of the values in `table`, the last variable fastest. `forgets`: the next state does not depend on the
    state, so modes differ in the next iteration alone.
    """
    states = tuple(jnp.asarray(x) for x in zip(*modes_of(table), strict=True))
    count = len(states[0])
    if extent <= 0:
        return jnp.zeros((count, 0))
    new, gain = jax.vmap(lambda s: jax.vmap(lambda i: step(s, i))(indices(lo, extent)))(states)
    last = jnp.zeros((count, 1), gain.dtype)
    if forgets:
        return jnp.concatenate([gain[:, 1:], last], axis=1)

    def back(after: Array, item: tuple[Place, Array]) -> tuple[Array, Array]:
        place, gain = item
        return gain + pick(after, place), after

    steps = jax.tree.map(jnp.transpose, (place(new, table), gain))
    return lax.scan(back, last[:, 0], steps, reverse=True)[1].T


def modes_of(table: Table) -> list[tuple[ArrayLike, ...]]:
    return list(itertools.product(*table))


def place(state: Sequence[ArrayLike], table: Table) -> Place:
    """Which mode a state is: whether it is each but the first, or of many its number."""
    same = [_equal(state, mode) for mode in modes_of(table)]
    return same[1:] if len(same) <= MOST_COMPARED else jnp.argmax(jnp.stack(same), axis=0)


def _equal(state: Sequence[ArrayLike], mode: Sequence[ArrayLike]) -> Array:
    same = jnp.asarray(True)
    for value, x in zip(state, mode, strict=True):
        same = same & (jnp.asarray(value) == x)
    return same


def pick(of_modes: Array, place: Place) -> Array:
    """What `of_modes`, first axis the modes, has at a place."""
    if not isinstance(place, list):
        return of_modes[place]
    found = of_modes[0]
    for same, value in zip(place, of_modes[1:], strict=True):
        found = jnp.where(same, value, found)
    return found


def rest_after(rest: Array, position: ArrayLike, state: State, table: Table) -> Array:
    """What follows iteration number `position` when it hands on `state`."""
    return pick(element(rest.T, position), place(state, table))
