"""Binding a program to data: sizes, shapes, counts, and what cannot be known to be right before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ppl.bind.blame import Findings
from ppl.bind.check import Checker
from ppl.bind.evaluate import Evaluator
from ppl.bind.extents import MAX_ITERATIONS, Extent, TooLong, extents
from ppl.bind.fills import fills
from ppl.bind.iterate import top
from ppl.bind.model import Bound, Value, batched
from ppl.bind.ranges import ranges_of
from ppl.bind.timing import timing
from ppl.bind.walk import Walk
from ppl.core import ir
from ppl.core.show import show
from ppl.diagnostics import Diagnostics
from ppl.elaborate.context import SameSize
from ppl.emit.shape import facts_of
from ppl.regions import GuardInfo, Regions


def bind(regions: Regions, sizes: Sequence[SameSize], values: Mapping[str, Value], sink: Diagnostics) -> Bound:
    """The program with the data `values` (as `ppl.data.bind_data` returns them).

    Raises:
        DataError: the data do not fit the program: an index or a value in them is out of range, or sizes disagree.
        PplError: the program is wrong at these sizes whatever the data: it reads past an array, or what is not filled.
    """
    program = regions.program
    ev = Evaluator(batched(values), regions.definitions, array_types(program), top())
    findings = Findings(program, regions.definitions, sink)
    shapes = shapes_of(program, ev, findings)
    same_sizes(sizes, ev, findings)
    findings.raise_if_any()
    try:
        found = extents(program.body, ev)
    except TooLong as e:
        message = f"this loop has {e.total} iterations in all; the limit is 10^8"
        findings.add("PPL701", message, e.loop.span, (e.loop.lo, e.loop.hi))
        findings.raise_if_any()
        raise AssertionError("unreachable") from None
    walk = Walk(found, timing(program.body, found), program.guards)
    filled = fills(program, shapes, ev, walk, findings)
    Checker(regions, walk, filled, findings, ranges_of(program)).block(program.body, ev.at(top()))
    findings.raise_if_any()
    static = {d.name: int(values[d.name]) for d in program.data if d.static}
    facts = facts_of(regions)
    for loop in regions.loops.values():
        if not all(facts.is_static(facts.inline(b)) for b in (loop.lo, loop.hi)):
            static[f"extent_{loop.id}"] = found[loop.id].longest
    arrays = {d.name: values[d.name] for d in program.data if not d.static}
    counts = {i.guard.index: count(i, found) for i in regions.guards}
    return Bound(static, arrays, counts, shapes)


def array_types(program: ir.Program) -> dict[str, ir.Type]:
    """The type of every variable that can be indexed."""
    out = {s.name: s.type for s in program.sites} | {a.name: a.type for a in program.arrays}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Let):
            out[s.var.name] = s.var.type
        elif isinstance(s, ir.Loop):
            carried = [x for c in s.carries for x in (c.entry, c.final)]
            out.update({v.name: v.type for v in (*carried, *(x.final for x in (*s.reductions, *s.collects)))})
    return out


def shapes_of(program: ir.Program, ev: Evaluator, findings: Findings) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {}
    for x in (*program.sites, *program.arrays):
        for d in x.type.dims:
            n = ev.number(d)
            if n is not None and n < 0:
                findings.add("PPL509", f"`{x.name}` has a negative size, {show(d)} = {n}", x.span, (d,), sizes=True)
        shape = ev.dims(x.type)
        assert shape is not None, "sizes come from data"
        if math.prod(shape) > MAX_ITERATIONS:
            message = f"`{x.name}` has {' x '.join(map(str, shape))} elements; the limit is 10^8"
            findings.add("PPL701", message, x.span, x.type.dims, sizes=True)
        out[x.name] = shape
    return out


def same_sizes(sizes: Sequence[SameSize], ev: Evaluator, findings: Findings) -> None:
    for s in sizes:
        a, b = ev.number(s.a), ev.number(s.b)
        if a is None or b is None or max(a, 0) == max(b, 0):
            continue
        message = f"{s.what} needs equal sizes, but {_with_value(s.a, a)} and {_with_value(s.b, b)}"
        findings.add("PPL506", message, s.span, (s.a, s.b), sizes=True)


def _with_value(e: ir.Expr, value: float) -> str:
    return f"one is {value}" if isinstance(e, ir.Lit) else f"`{show(e)}` is {value}"


def count(info: GuardInfo, found: Mapping[int, Extent]) -> int:
    """The instances of a guard that its boundaries answer for; all of them if it has none."""
    if not info.loops:
        return 1
    extent = found[info.loops[-1]]
    if not info.boundaries or info.boundaries[0].search is not None:
        return extent.total
    each = {"all": extent.total, "first": extent.runs, "rest": extent.total - extent.runs}
    return sum(each[b.part] for b in info.boundaries)
