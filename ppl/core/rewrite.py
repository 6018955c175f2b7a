"""Rebuilding expressions and statements with some parts replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ppl.core import ir

Rule = Callable[[ir.Expr], "ir.Expr | None"]


def rebuild(e: ir.Expr, rule: Rule) -> ir.Expr:
    """`e` with every subexpression for which `rule` gives one replaced, outermost first; results are not revisited."""
    found = rule(e)
    if found is not None:
        return found
    match e:
        case ir.Op():
            return replace(e, args=tuple(rebuild(x, rule) for x in e.args))
        case ir.Select():
            c, a, b = (rebuild(x, rule) for x in (e.condition, e.then, e.orelse))
            return replace(e, condition=c, then=a, orelse=b)
        case ir.Cell():
            return replace(e, indices=tuple(rebuild(x, rule) for x in e.indices))
        case ir.Outcome():
            lowest = None if e.lowest is None else rebuild(e.lowest, rule)
            return replace(e, indices=tuple(rebuild(x, rule) for x in e.indices), lowest=lowest)
        case ir.Index():
            return replace(e, base=rebuild(e.base, rule), indices=tuple(rebuild(x, rule) for x in e.indices))
        case ir.Slice():
            return replace(e, base=rebuild(e.base, rule), lo=rebuild(e.lo, rule), hi=rebuild(e.hi, rule))
        case ir.Array():
            return replace(e, items=tuple(rebuild(x, rule) for x in e.items))
        case _:
            return e


def rebuild_statement(s: ir.Statement, rule: Rule) -> ir.Statement:
    """A statement with `rebuild` applied to every expression in it, inner loops included."""

    def many(items: tuple[ir.Expr, ...]) -> tuple[ir.Expr, ...]:
        return tuple(rebuild(x, rule) for x in items)

    def law(custom: ir.CustomLaw | None) -> ir.CustomLaw | None:
        if custom is None:
            return None
        value = None if custom.value is None else rebuild(custom.value, rule)
        return replace(custom, args=many(custom.args), value=value)

    mask = None if isinstance(s, ir.Report) or s.mask is None else rebuild(s.mask, rule)
    match s:
        case ir.Let():
            return replace(s, value=rebuild(s.value, rule), mask=mask)
        case ir.Decide():
            return replace(s, mask=mask)
        case ir.Sample():
            outcome = None if s.outcome is None else rebuild(s.outcome, rule)
            made = law(s.custom)
            return replace(s, indices=many(s.indices), args=many(s.args), mask=mask, outcome=outcome, custom=made)
        case ir.Fill():
            return replace(s, indices=many(s.indices), value=rebuild(s.value, rule), mask=mask)
        case ir.Term():
            return replace(s, value=rebuild(s.value, rule), args=many(s.args), mask=mask, custom=law(s.custom))
        case ir.Report():
            return replace(s, value=rebuild(s.value, rule))
        case ir.Loop():
            return replace(
                s,
                lo=rebuild(s.lo, rule),
                hi=rebuild(s.hi, rule),
                body=tuple(rebuild_statement(x, rule) for x in s.body),
                carries=tuple(replace(c, init=rebuild(c.init, rule), out=rebuild(c.out, rule)) for c in s.carries),
                reductions=tuple(
                    replace(r, init=rebuild(r.init, rule), delta=rebuild(r.delta, rule)) for r in s.reductions
                ),
                collects=tuple(replace(c, element=rebuild(c.element, rule)) for c in s.collects),
                mask=mask,
            )
