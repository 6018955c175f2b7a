"""Loops that a condition ends, as loops over a fixed range in which a flag says whether the loop goes on.

``for i in a..b while c { body }`` is

    going = true
    for i in a..b { going = going and c; if going { body } }

and ``while c limit N { body }`` is that with an index of its own. Names made up here start with an underscore, as no
name in a program does.
"""

from __future__ import annotations

from ppl.diagnostics import Span
from ppl.syntax import ast

MAX_LIMIT = 10_000


def flag_of(span: Span) -> str:
    """The name of the flag of a loop: true while the loop goes on."""
    return f"_going_{span.line}_{span.column}"


def for_while(s: ast.For) -> tuple[ast.Statement, ...]:
    assert s.condition is not None
    here, span = s.condition.span, s.span
    flag = ast.Name(here, flag_of(span))
    target = ast.Target(here, flag.name, ())
    start = ast.Assign(here, target, ast.Boolean(here, True))
    go_on = ast.Assign(here, target, ast.Binary(here, "and", flag, s.condition))
    body = (go_on, ast.If(span, flag, s.body, ()))
    return start, ast.For(span, s.variable, s.range, None, body, s.variable_span)


def while_(s: ast.While) -> tuple[ast.Statement, ...]:
    steps = ast.Range(s.limit.span, ast.Number(s.limit.span, 0), s.limit)
    index = f"_step_{s.span.line}_{s.span.column}"
    return for_while(ast.For(s.span, index, steps, s.condition, s.body, s.span))
