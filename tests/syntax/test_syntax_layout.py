"""Where statements end, which lines continue, and what the lexer skips."""

from __future__ import annotations

import pytest
from reading import codes, read

from ppl.syntax import ast

SAME: list[tuple[str, str]] = [
    ("x = 1; y = 2", "x = 1\ny = 2"),
    ("x = 1;; y = 2;", "x = 1\ny = 2"),
    ("\n\n# only\n\nx = 1\n\n\n", "x = 1"),
    ("x = 1 # comment; y = 2", "x = 1"),
    ("x = (1\n\n + 2)", "x = (1 + 2)"),
    ("x = f(\n  a, # first\n  b\n)", "x = f(a, b)"),
    ("x = [1,\n2\n]", "x = [1, 2]"),
    ("x = y[\n0\n]", "x = y[0]"),
    ("if a { x = 1 }\n\n# why\n else { x = 2 }", "if a { x = 1 } else { x = 2 }"),
    ("if a { x = 1 } # one\nelse if b { x = 2 }\n else { x = 3 }", "if a {x=1} else if b {x=2} else {x=3}"),
    ("x = if a then 1\n  # comment\n  else 2", "x = if a then 1 else 2"),
    ("x = if a then\n 1 else\n 2", "x = if a then 1 else 2"),
    ("if a {\n x = 1\n} else\n{ x = 2 }", "if a {x=1} else {x=2}"),
    ("x = 1 +\n 2 -\n 3 *\n 4 /\n 5 //\n 6 %\n 7 ^\n 8", "x = 1 + 2 - 3 * 4 / 5 // 6 % 7 ^ 8"),
    ("x = a <\n b <=\n c >\n d >=\n e ==\n f !=\n g", "x = a < b <= c > d >= e == f != g"),
    ("x = a and\n b or\n c", "x = a and b or c"),
    ("x =\n\n # nothing\n 1", "x = 1"),
    ("x ~\n Normal(0, 1)", "x ~ Normal(0, 1)"),
    ("fn f(x: real) ->\n real {\nreturn x\n}", "fn f(x: real) -> real { return x }"),
    ("x = 1 + # why\n 2", "x = 1 + 2"),
    ("for i in 0 ..\n n { }", "for i in 0..n { }"),
    ("for i in 0..n { x = i; y = i }", "for i in 0..n {\n  x = i\n  y = i\n}"),
    ("if a { x = 1 } y = 2", "if a { x = 1 }\ny = 2"),
    ("\tx\t=\t1", "x = 1"),
    ("x = 1\r\ny = (2 +\r\n 3)\r\n", "x = 1\ny = (2 + 3)\n"),
    ("\ufeffx = 1", "x = 1"),
    ("", ""),
    ("# only a comment", ""),
    (";", ""),
]


@pytest.mark.parametrize(("text", "plain"), SAME)
def test_layout_does_not_change_the_tree(text: str, plain: str) -> None:
    assert read(text) == read(plain)


@pytest.mark.parametrize("text", ["x = 1\n-y = 2", "x = a\n[0]", "x = not\ny", "x = f\n(y)", "x = 1\n+ 2"])
def test_a_newline_ends_the_statement(text: str) -> None:
    """A line that could go on in the next one does not, unless it ends in an operator."""
    assert codes(text)
    assert not codes(text.replace("\n", " ").replace("-y = 2", "- 2"))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1 y = 2",
        "if a\n{ x = 1 }",
        "x = if a then 1; else 2",
        "x = 1\n}\n",
        "if a { x = 1",
        "x = (1",
        "x = 1)",
        "x = (1]",
    ],
)
def test_what_layout_does_not_allow(text: str) -> None:
    assert codes(text)


def test_else_belongs_to_the_nearest_if() -> None:
    (outer,) = read("if a {\n if b { x = 1 }\n else { x = 2 }\n}")
    assert isinstance(outer, ast.If)
    assert outer.orelse == ()
    (inner,) = outer.then
    assert isinstance(inner, ast.If)
    assert len(inner.orelse) == 1
