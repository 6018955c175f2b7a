# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Functions in which nothing is computed twice, or for nothing.

An emitted module reads the same element of an array, and evaluates the same density, in its model, its boundaries and
its expectations. XLA finds what is the same, but only after all of it has been differentiated and lowered, and two
reads of a window leave two cotangents, each padded for itself, that it does not put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

FEW = 8  # equations of an inner jitted function, up to which it is taken apart


def once(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, a function of arrays, with equal operations on equal values as one and without those that its result does
    not need."""

    def merged(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
        return jax.tree.unflatten(jax.tree.structure(shape), jaxpr_as_fun(lean(closed))(*jax.tree.leaves(args)))

    return merged


class _Merging:
    """The equations so far, each once, and what stands for the variables of those that were left out."""

    def __init__(self) -> None:
        self.eqns: list[JaxprEqn] = []
        self._made: dict[Hashable, JaxprEqn] = {}
        self._same: dict[Any, Any] = {}

    def first(self, v: Any) -> Any:
        return v if isinstance(v, Literal) else self._same.get(v, v)

    def add(self, eqn: JaxprEqn) -> None:
        eqn = eqn.replace(invars=[self.first(v) for v in eqn.invars])
        inner = eqn.params.get("jaxpr")
        if eqn.primitive.name == "jit" and isinstance(inner, ClosedJaxpr) and _is_small(inner):
            self._same |= zip(eqn.outvars, self._inlined(inner, eqn.invars), strict=True)
            return
        key = _key(eqn)
        twin = eqn if key is None else self._made.setdefault(key, eqn)
        if twin is eqn:
            self.eqns.append(eqn)
        else:
            self._same |= zip(eqn.outvars, twin.outvars, strict=True)

    def _inlined(self, inner: ClosedJaxpr, given: Sequence[Any]) -> list[Any]:
        """The results of a function of what is `given`, its equations added under names of their own."""
        jaxpr = inner.jaxpr
        names = dict(zip(jaxpr.invars, given, strict=True))

        def own(v: Any) -> Any:
            return v if isinstance(v, Literal) else names[v]

        for eqn in jaxpr.eqns:
            names |= {v: Var(v.aval) for v in eqn.outvars}
            self.add(eqn.replace(invars=[own(v) for v in eqn.invars], outvars=[names[v] for v in eqn.outvars]))
        return [self.first(own(v)) for v in jaxpr.outvars]


def lean(closed: ClosedJaxpr) -> ClosedJaxpr:
    """As `once`, of a function that has been traced."""
    merging = _Merging()
    for eqn in closed.jaxpr.eqns:
        merging.add(eqn)
    results = [merging.first(v) for v in closed.jaxpr.outvars]
    return ClosedJaxpr(closed.jaxpr.replace(eqns=_needed(merging.eqns, results), outvars=results), closed.consts)


def _is_small(inner: ClosedJaxpr) -> bool:
    return not inner.consts and len(inner.jaxpr.eqns) <= FEW


def _needed(eqns: Sequence[JaxprEqn], results: Sequence[Any]) -> list[JaxprEqn]:
    """The equations that the results need, and those with effects."""
    needed = {v for v in results if not isinstance(v, Literal)}
    kept: list[JaxprEqn] = []
    for eqn in reversed(eqns):
        if eqn.effects or not needed.isdisjoint(eqn.outvars):
            needed.update(v for v in eqn.invars if not isinstance(v, Literal))
            kept.append(eqn)
    return kept[::-1]


def _key(eqn: JaxprEqn) -> Hashable | None:
    """Equal for equations with the same results; None where that cannot be told."""
    given = tuple((str(v.aval), np.asarray(v.val).tobytes()) if isinstance(v, Literal) else v for v in eqn.invars)
    key = (eqn.primitive, eqn.ctx, given, tuple(sorted(eqn.params.items(), key=lambda item: item[0])))
    try:
        hash(key)
    except TypeError:  # a parameter that has no hash
        return None
    return None if eqn.effects else key
