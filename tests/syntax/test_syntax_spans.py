"""Spans: 1-based, and exactly the text of the node."""

from __future__ import annotations

from dataclasses import fields

import pytest
from reading import read

from ppl.diagnostics import Diagnostics, Span
from ppl.syntax import ast, parse

TEXT = """\
data n: int = 3   # comment
fn f(u: real[], v: int) -> real {
    return (u[0] + 1) * v
}
noise e ~ Normal(mean=0, sd=1); report r = pi
for i in 0..n while e < 2 {
    z[i, 0] = if e > 0 then -e else [a^2 for k in 1..n][i]
}
"""

EXPECTED = [
    ("Data", "data n: int = 3"),
    ("TypeExpr", "int"),
    ("Parameter", "u: real[]"),
    ("TypeExpr", "real[]"),
    ("Return", "return (u[0] + 1) * v"),
    ("Binary", "(u[0] + 1) * v"),
    ("Binary", "(u[0] + 1)"),
    ("Index", "u[0]"),
    ("Sample", "noise e ~ Normal(mean=0, sd=1)"),
    ("Target", "e"),
    ("Call", "Normal(mean=0, sd=1)"),
    ("Argument", "mean=0"),
    ("Report", "report r = pi"),
    ("Constant", "pi"),
    ("Range", "0..n"),
    ("Compare", "e < 2"),
    ("Assign", "z[i, 0] = if e > 0 then -e else [a^2 for k in 1..n][i]"),
    ("Target", "z[i, 0]"),
    ("IfExpr", "if e > 0 then -e else [a^2 for k in 1..n][i]"),
    ("Unary", "-e"),
    ("Comprehension", "[a^2 for k in 1..n]"),
    ("Index", "[a^2 for k in 1..n][i]"),
]


def cut(text: str, span: Span) -> str:
    """The characters that a span covers."""
    lines = text.split("\n")[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


def nodes(value: object) -> list[ast.Node]:
    if isinstance(value, tuple):
        return [n for v in value for n in nodes(v)]
    if not isinstance(value, ast.Node):
        return []
    return [value, *(n for f in fields(value) for n in nodes(getattr(value, f.name)))]


@pytest.mark.parametrize(("kind", "text"), EXPECTED)
def test_span_covers_the_node(kind: str, text: str) -> None:
    found = {(type(n).__name__, cut(TEXT, n.span)) for n in nodes(read(TEXT))}
    assert (kind, text) in found


def test_compound_statements_reach_to_their_brace() -> None:
    _, function, _, _, loop = read(TEXT)
    assert (function.span.line, function.span.end_line, function.span.end_column) == (2, 4, 2)
    assert (loop.span.line, loop.span.column, loop.span.end_line) == (6, 1, 8)


def test_names_have_spans_of_their_own() -> None:
    data, function, _, report, loop = read(TEXT)
    assert isinstance(data, ast.Data)
    assert isinstance(function, ast.Function)
    assert isinstance(report, ast.Report)
    assert isinstance(loop, ast.For)
    assert cut(TEXT, data.name_span) == "n"
    assert cut(TEXT, function.name_span) == "f"
    assert cut(TEXT, report.name_span) == "r"
    assert cut(TEXT, loop.variable_span) == "i"


def test_first_character_is_line_1_column_1() -> None:
    (statement,) = read("x = 1")
    assert statement.span == Span("model.ppl", 1, 1, 1, 6)


def test_children_lie_within_their_parents() -> None:
    for node in nodes(read(TEXT)):
        for child in nodes(tuple(getattr(node, f.name) for f in fields(node) if f.name != "span")):
            start = (node.span.line, node.span.column) <= (child.span.line, child.span.column)
            end = (child.span.end_line, child.span.end_column) <= (node.span.end_line, node.span.end_column)
            assert start and end, (node, child)


def test_byte_order_mark_and_crlf_do_not_move_columns() -> None:
    sink = Diagnostics()
    module = parse("\ufeffx = 1\r\ny = 2\r\n", "f.ppl", sink)
    assert [s.span for s in module.statements] == [Span("f.ppl", 1, 1, 1, 6), Span("f.ppl", 2, 1, 2, 6)]
    assert sink.sources["f.ppl"] == "x = 1\ny = 2\n"
