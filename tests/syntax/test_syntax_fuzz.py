"""Whatever the text, parsing ends, with a tree or with diagnostics, and says the same twice."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ppl.diagnostics import Diagnostics, render
from ppl.syntax import ast, parse

PROGRAMS = [p.read_text(encoding="utf-8") for p in sorted((Path(__file__).parent / "programs").glob("*.ppl"))]

TOKENS = [
    "data",
    "fn",
    "use",
    "noise",
    "var",
    "for",
    "in",
    "while",
    "limit",
    "if",
    "then",
    "else",
    "observe",
    "factor",
    "report",
    "return",
    "and",
    "or",
    "not",
    "true",
    "false",
    "pi",
    "inf",
    "x",
    "y",
    "f",
    "Normal",
    "real",
    "int",
    "0",
    "1",
    "2.5",
    "1e-3",
    ".5",
    "5.",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "~",
    "->",
    "..",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "^",
    ";",
    "\n",
    "\n",
    "#",
    "**",
    "&&",
    "||",
    "!",
    ":=",
    "+=",
    "<-",
    "'",
    '"',
    "@",
    "?",
    "elif",
    "def",
    "range",
    "_a",
    "é",
    "\\",
    "\r",
]


def reads(text: str) -> None:
    first, second = Diagnostics(), Diagnostics()
    module = parse(text, "f", first)
    assert isinstance(module, ast.Module)
    assert module == parse(text, "f", second)
    assert first.items == second.items
    assert len(first.items) <= 20
    for diagnostic in first.items:
        assert diagnostic.span is not None
        assert diagnostic.span.line <= text.count("\n") + 1
    render(first.items, first.sources)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    reads(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=60))
def test_any_tokens(words: list[str]) -> None:
    reads(" ".join(words))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PROGRAMS), st.data())
def test_damaged_programs(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    reads(text[:start] + data.draw(st.sampled_from(["", *TOKENS])) + text[end:])
