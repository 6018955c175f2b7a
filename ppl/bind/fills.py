"""When each element of a `var` array is filled, and whether it is filled twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl.bind.blame import Findings, place
from ppl.bind.evaluate import Evaluator
from ppl.bind.functions import Array
from ppl.bind.walk import Walk
from ppl.core import ir
from ppl.core.show import renewed, show

NEVER = np.iinfo(np.int64).max


@dataclass
class Filled:
    """`first`: when each element is first filled, perhaps; `sure`: whether it is filled on every path. Both flat."""

    shape: tuple[int, ...]
    first: Array
    sure: Array
    known: bool = True  # whether all fills could be evaluated

    def flat(self, indices: tuple[Array, ...]) -> Array:
        """Positions of elements, with those outside moved inside. The array must not be empty."""
        return np.ravel_multi_index(tuple(np.broadcast_arrays(*indices)), self.shape, mode="clip")


def inside(indices: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    ok = [(i >= 0) & (i < n) for i, n in zip(indices, shape, strict=True)]
    return np.logical_and.reduce(np.broadcast_arrays(*ok))


def fills(
    program: ir.Program, shapes: Mapping[str, tuple[int, ...]], ev: Evaluator, walk: Walk, findings: Findings
) -> dict[str, Filled]:
    """All fills of the program, by array. Reports elements that are certainly filled twice."""
    table: dict[str, Filled] = {}
    for a in program.arrays:
        size = int(np.prod(shapes[a.name], dtype=np.int64))
        table[a.name] = Filled(shapes[a.name], np.full(size, NEVER, np.int64), np.zeros(size, bool))

    def visit(s: ir.Statement, at: Evaluator) -> None:
        if (isinstance(s, ir.Sample) and s.indices and s.outcome is None) or isinstance(s, ir.Fill):
            _fill(s, table, at, walk, findings)

    def skip(loop: ir.Loop) -> None:
        for name in filled_in(loop):
            table[name].known = False

    walk.run(program.body, ev, visit, skip, lambda loop: bool(filled_in(loop)))
    return table


def filled_in(loop: ir.Loop) -> frozenset[str]:
    """The `var` arrays that a loop fills."""
    return frozenset(
        s.site if isinstance(s, ir.Sample) else s.array
        for _, s in ir.blocks(loop.body)
        if isinstance(s, ir.Fill) or (isinstance(s, ir.Sample) and s.indices and s.outcome is None)
    )


def _fill(s: ir.Sample | ir.Fill, table: dict[str, Filled], ev: Evaluator, walk: Walk, findings: Findings) -> None:
    name = s.site if isinstance(s, ir.Sample) else s.array
    filled, found = table[name], [ev.value(i) for i in s.indices]
    indices = tuple(i for i in found if i is not None)
    if len(indices) < len(found):
        filled.known = False
        return
    size = ev.space.size
    ok = np.broadcast_to(inside(indices, filled.shape), (size,))
    possible = sure = ok
    if s.mask is not None:
        t, f = ev.truth(s.mask)
        possible, sure = ok & t, ok & t & ~f
    if not possible.any():
        return
    flat = np.broadcast_to(filled.flat(indices), (size,))
    time = ev.space.time + walk.timing.fill(s)
    _twice(s, name, filled, flat, sure, ev, findings)
    if bool(np.all(np.diff(flat) > 0)):  # much faster, and the usual case
        at = flat[possible]
        filled.first[at] = np.minimum(filled.first[at], time[possible])
    else:
        np.minimum.at(filled.first, flat[possible], time[possible])
    filled.sure[flat[sure]] = True


def _twice(
    s: ir.Sample | ir.Fill, name: str, filled: Filled, flat: Array, sure: Array, ev: Evaluator, findings: Findings
) -> None:
    again = sure & filled.sure[flat]
    where = np.flatnonzero(sure)
    if not again.any():
        order = where[np.argsort(flat[where], kind="stable")]
        same = flat[order[1:]] == flat[order[:-1]]
        if not same.any():
            return
        k = int(order[1:][same].min())
    else:
        k = int(again.argmax())
    element = ", ".join(str(int(i)) for i in np.unravel_index(int(flat[k]), filled.shape))
    target = f"{name}[{', '.join(show(i) for i in s.indices)}]"
    message = f"`{target}`{place(ev.space, k)} fills `{name}[{element}]` a second time"
    findings.add(
        "PPL306", message, s.span, s.indices, sizes=True, innocent=ev.types[name].dims, loops=ev.space.loops,
        key=target, hint=_as_state(s, name, ev, findings),
    )  # fmt: skip


def _as_state(s: ir.Sample | ir.Fill, name: str, ev: Evaluator, findings: Findings) -> str | None:
    """The way out where an element is assigned from the array itself: it is state, of which each value is a new one."""
    if not isinstance(s, ir.Fill) or not any(isinstance(x, ir.Cell) and x.array == name for x in ir.walk(s.value)):
        return None
    written = findings.text(s.span)
    value = written.partition("] = ")[2] or "..."
    taken = {*re.findall(r"\w+", written), *(loop.var.name for loop in ev.space.loops)}
    indices, sizes = [show(i) for i in s.indices], [show(n) for n in ev.types[name].dims]
    anew = renewed(name, indices, sizes, value, taken)
    return f"an array that changes is a variable: `{name} = [...]` in place of `var`, and each time `{anew}`"
