# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""On which paths each latent exists, as guides with dependence between latents have to know.

Conditions of draws are compared as truth tables over what decides them, so that a latent drawn in both branches of an
`if` is seen to exist always, and two drawn under the same condition to exist together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppl.core import ir
from ppl.regions.model import Regions
from ppl.runtime.records import Draw

MOST_ATOMS = 10  # conditions that more than this decides are compared as they are written
ALWAYS, NEVER = 0, -1
Groups = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Drawn:
    """Statements that draw the same (elements of a) site, of which a path takes at most one.

    `certain`: only data decide whether one of them does. `condition` is equal where the condition is.
    """

    terms: tuple[str, ...]
    certain: bool
    condition: Hashable


def draws_of(regions: Regions) -> dict[str, tuple[Drawn, ...]]:
    """The draws of every latent."""
    together: dict[tuple[str, tuple[int, ...], tuple[ir.Expr, ...]], list[ir.Sample]] = {}
    for around, s in ir.blocks(regions.body):
        if isinstance(s, ir.Sample) and not s.noise:
            together.setdefault((s.site, tuple(x.id for x in around), s.indices), []).append(s)
    out: dict[str, tuple[Drawn, ...]] = {}
    for (site, _, _), statements in together.items():
        certain, condition = _condition(regions, tuple(s.mask for s in statements))
        found = Drawn(tuple(f"t{s.id}" for s in statements), certain, condition)
        out[site] = (*out.get(site, ()), found)
    return out


def groups_of(draws: Mapping[str, tuple[Drawn, ...]], shapes: Mapping[str, tuple[int, ...]], out: Any) -> Groups:
    """For each element of each latent ALWAYS, NEVER (data decide so: it is assigned, not drawn), or a positive number,
    equal for elements that exist on the same paths. `out` is an evaluation of the program at any point.
    """
    numbers: dict[Hashable, int] = {}
    groups: Groups = {}
    for site, shape in shapes.items():
        size = math.prod(shape)
        flat = np.full(size, NEVER, np.int64)
        for d in draws.get(site, ()):
            for term in d.terms:
                draw: Draw = out[term]
                where, exists = _elements(draw, shape)
                if d.certain:
                    flat[where[exists]] = ALWAYS
                    continue
                for i in where:  # iterations of a loop decide each for itself
                    key = d.condition if not draw.element else (site, int(i))
                    flat[i] = numbers.setdefault(key, len(numbers) + 1)
        groups[site] = flat.reshape(shape)
    return groups


def _elements(d: Draw, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The flat indices of the elements that a statement draws, and whether it did."""
    if not d.element:
        size = math.prod(shape)
        return np.arange(size), np.broadcast_to(True if d.exists is None else np.asarray(d.exists), (size,))
    index = np.broadcast_arrays(*(np.asarray(i) for i in d.element))
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, shape, strict=True)], axis=0).ravel()
    flat = np.ravel_multi_index([np.clip(i, 0, n - 1) for i, n in zip(index, shape, strict=True)], shape).ravel()
    exists = np.broadcast_to(True if d.exists is None else np.asarray(d.exists), index[0].shape).ravel()
    return flat[inside], exists[inside]


# ------------------------------------------------------------------ conditions


def _condition(regions: Regions, masks: tuple[ir.Expr | None, ...]) -> tuple[bool, Hashable]:
    """(whether data alone decide if one of the masks holds, the condition in a form that can be compared)."""
    atoms = sorted({a for m in masks for a in _atoms(regions, m)}, key=repr)
    if len(atoms) > MOST_ATOMS:
        return not any(m is not None and m.random for m in masks), masks

    def holds(values: tuple[bool, ...]) -> bool:
        given = dict(zip(atoms, values, strict=True))
        return any(_value(regions, m, given) for m in masks)

    table = {values: holds(values) for values in itertools.product((False, True), repeat=len(atoms))}

    def matters(k: int) -> bool:
        return any(on != table[(*v[:k], not v[k], *v[k + 1 :])] for v, on in table.items())

    kept = [k for k in range(len(atoms)) if matters(k)]
    true = frozenset(tuple(v[k] for k in kept) for v, on in table.items() if on)
    return not any(atoms[k].random for k in kept), (tuple(atoms[k] for k in kept), true)


def _atoms(regions: Regions, e: ir.Expr | None) -> Iterator[ir.Expr]:
    match e:
        case None | ir.Lit():
            return
        case ir.Op() if e.op in ("and", "or", "not"):
            for x in e.args:
                yield from _atoms(regions, x)
        case ir.GuardRef() if e.type.base == "bool":
            yield ir.GuardRef(regions.resolve(e.index)[0])
        case ir.Var() if e.name in regions.definitions:
            yield from _atoms(regions, regions.definitions[e.name])
        case _:
            yield e


def _value(regions: Regions, e: ir.Expr | None, given: Mapping[ir.Expr, bool]) -> bool:
    match e:
        case None:
            return True
        case ir.Lit():
            return bool(e.value)
        case ir.Op() if e.op in ("and", "or", "not"):
            values = [_value(regions, x, given) for x in e.args]
            return not values[0] if e.op == "not" else all(values) if e.op == "and" else any(values)
        case ir.GuardRef() if e.type.base == "bool":
            representative, flipped = regions.resolve(e.index)
            return given[ir.GuardRef(representative)] != flipped
        case ir.Var() if e.name in regions.definitions:
            return _value(regions, regions.definitions[e.name], given)
        case _:
            return given[e]
