"""Binding a program to data: sizes, shapes, counts, and what cannot be known to be right before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ppl.bind import divisors, samplers
from ppl.bind.blame import Findings
from ppl.bind.check import Checker
from ppl.bind.evaluate import top
from ppl.bind.fills import fills
from ppl.bind.guide import guide_of
from ppl.bind.measure import Known, measure
from ppl.bind.model import Bound, Value
from ppl.bind.numbers import Numbers
from ppl.bind.ranges import ranges_of, with_assigned
from ppl.bind.timing import timing
from ppl.bind.walk import Walk
from ppl.bind.widths import widths_of
from ppl.diagnostics import Diagnostics
from ppl.driver import deep_recursion
from ppl.elaborate.context import SameSize
from ppl.emit.shape import facts_of
from ppl.language.budget import AUTO
from ppl.regions import Regions
from ppl.regions.costs import budgets


def bind(regions: Regions, sizes: Sequence[SameSize], values: Mapping[str, Value], sink: Diagnostics) -> Bound:
    """The program with the data `values` (as `ppl.data.bind.bind_data` returns them).

    Raises:
        DataError: the data do not fit the program: an index or a value in them is out of range, or sizes disagree.
        PplError: the program is wrong at these sizes whatever the data: it reads past an array, or what is not filled.
    """
    program = regions.program
    findings = Findings(program, regions.definitions, sink)
    numbers = Numbers(program, regions.definitions, values)
    measured = measure(regions, sizes, numbers, findings)
    found, ev = measured.extents, numbers.evaluator
    walk = Walk(found, timing(program.body, found), program.guards)
    filled = fills(program, measured.shapes, ev, walk, findings)
    for d in program.data:
        if d.type.base == "int":
            findings.whole_numbers(d.name, np.asarray(values[d.name]), d.span)
    ranges = with_assigned(ranges_of(program), program, walk, ev.at(top()))
    checker = Checker(regions, walk, filled, findings, ranges, widths_of(ranges))
    checker.block(program.body, ev.at(top()))
    samplers.check(program, numbers, findings)
    again = bool(ranges.assigned)  # what is assigned was not looked at without data
    divisors.check((d for d in program.divisors if d.reads_data or again), ranges, ev, findings)
    guide = guide_of(program.guide, measured.shapes, numbers, findings)
    findings.raise_if_any()
    static = {d.name: int(values[d.name]) for d in program.data if d.static}
    facts = facts_of(regions)
    for loop in regions.loops.values():
        if not all(facts.is_static(facts.inline(b)) for b in (loop.lo, loop.hi)):
            static[f"extent_{loop.id}"] = found[loop.id].longest
    arrays = {d.name: values[d.name] for d in program.data if not d.static}
    with deep_recursion():
        taken = budgets(regions, Known(found, numbers), measured.shapes, AUTO)
    return Bound(static, arrays, measured.counts, measured.shapes, measured.values, taken, guide,
                 checker.learned(), findings.wide)  # fmt: skip
