"""Whether loops with a limit reached it, as reports of the program, wherever these loops stand.

A loop at the top level leaves that in its flag. One inside other loops is counted: the sum over the iterations around
it leaves them, as a sum that the density does not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.elaborate.context import Context, Reached
from ppl.language.limits import report_name


def note(ctx: Context, span: Span, going: ir.Expr) -> None:
    """The loop at `span` has reached its limit where `going` holds, at this place of the program."""
    here = ir.conjunction(ctx.mask, going)
    assert here is not None
    ctx.reached.append(Reached(span, ctx.loops, ir.Select(here, ir.literal(1), ir.literal(0), ir.INT, here.random)))


def with_reports(ctx: Context, body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """`body` with a report, 0 or 1, for each loop with a limit; a function may have put it in several places."""
    places: dict[Span, list[Reached]] = {}
    for r in ctx.reached:
        places.setdefault(r.span, []).append(r)
    sums: dict[int, list[ir.Reduction]] = {}
    reports: list[ir.Report] = []
    names: set[str] = set()
    for span, found in places.items():
        name = report_name(span.line)
        name = name if name not in names else report_name(span.line, span.column)
        names.add(name)
        counts = [_total(ctx, name, r, sums) for r in found]
        reports.append(ir.Report(name, _any(counts, nested=any(r.loops for r in found)), span))
    return (*_counted(body, sums), *reports)


def _total(ctx: Context, name: str, r: Reached, sums: dict[int, list[ir.Reduction]]) -> ir.Expr:
    """How often a loop reached its limit, over all iterations around it."""
    count = r.value
    for loop in reversed(r.loops):
        final = ir.Var(ctx.fresh(name), ir.INT, count.random)
        sums.setdefault(loop, []).append(ir.Reduction(name, ir.literal(0), count, final))
        count = final
    return count


def _any(counts: Sequence[ir.Expr], nested: bool) -> ir.Expr:
    if len(counts) == 1 and not nested:
        return counts[0]
    total = counts[0]
    for c in counts[1:]:
        total = ir.Op("add", (total, c), ir.INT, total.random or c.random)
    some = ir.Op("gt", (total, ir.literal(0)), ir.BOOL, total.random)
    return ir.Select(some, ir.literal(1), ir.literal(0), ir.INT, total.random)


def _counted(body: tuple[ir.Statement, ...], sums: Mapping[int, Sequence[ir.Reduction]]) -> tuple[ir.Statement, ...]:
    if not sums:
        return body
    out: list[ir.Statement] = []
    for s in body:
        if isinstance(s, ir.Loop):
            s = replace(s, body=_counted(s.body, sums), reductions=(*s.reductions, *sums.get(s.id, ())))
        out.append(s)
    return tuple(out)
