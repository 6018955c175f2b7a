"""Hostile texts end in diagnostics, without overflow and without delay."""

from __future__ import annotations

import pytest
from reading import codes, faults, read

DEEP = 10_000

TOO_DEEP = {
    "parentheses": "x = " + "(" * DEEP,
    "closed parentheses": "x = " + "(" * 201 + "1" + ")" * 201,
    "arrays": "x = " + "[" * 201 + "]" * 201,
    "calls": "x = " + "f(" * 201 + "1" + ")" * 201,
    "indices": "x = " + "x[" * 201 + "1" + "]" * 201,
    "braces": "if true {" * DEEP,
    "closed braces": "if true {" * 201 + "}" * 201,
    "minus": "x = " + "-" * DEEP + "1",
    "not": "x = " + "not " * DEEP + "true",
    "minus just too deep": "x = " + "-" * 201 + "1",
    "power": "x = 1" + "^1" * DEEP,
    "power just too deep": "x = 1" + "^1" * 201,
    "if-expressions": "x = " + "if true then 1 else " * 10_000 + "1",
    "if-expressions in the middle": "x = " + "if true then " * 10_000 + "1" + " else 1" * 10_000,
    "if-expressions in conditions": "x = " + "if " * 201 + "true" + " then 1 else 1" * 201,
    "sum": "x = 1" + "+1" * DEEP,
    "product": "x = 1" + "*1" * DEEP,
    "and": "x = true" + " and true" * 10_000,
    "index chain": "x = y" + "[0]" * 10_000,
    "else if": "if true {}" + " else if true {}" * 10_000,
}


@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP.keys())
def test_too_deep(text: str) -> None:
    assert codes(text) == ["PPL008"]


FINE = {
    "parentheses": "x = " + "(" * 200 + "1" + ")" * 200,
    "calls": "x = " + "f(" * 200 + "1" + ")" * 200,
    "arrays": "x = " + "[" * 200 + "1" + "]" * 200,
    "braces": "if true {" * 200 + "}" * 200,
    "statement in braces": "if true {" * 200 + "x = 1 + 2" + "}" * 200,
    "minus": "x = " + "-" * 200 + "1",
    "power": "x = 1" + "^1" * 200,
    "if-expressions": "x = " + "if true then 1 else " * 200 + "1",
    "else if": "if true {}" + " else if true {}" * 240,
    "sum": "x = 1" + "+1" * 240,
    "comparison chain": "x = 1" + "<1" * DEEP,
    "arguments": "x = f(" + "1," * DEEP + ")",
    "many statements": "x = 1\n" * 10_000,
    "long comment": "#" * 400_000,
    "many blank lines": "\n" * 400_000,
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_not_too_deep(text: str) -> None:
    read(text)


HOSTILE = {
    "empty brackets": "x = " + "()" * 1000,
    "nul": "x = \x00",
    "nuls": "\x00" * 50_000,
    "lone surrogate": "x = \ud800\udfff",
    "surrogate in a name": "a\udc80 = 1",
    "huge int": "x = " + "9" * 100_000,
    "huge real": "x = 1e400",
    "long real": "x = " + "9" * 100_000 + ".5",
    "tiny real": "x = 1e-400",
    "long name": "a" * 100_000 + " b",
    "closers": ")" * 50_000,
    "mixed brackets": "([{" * 60,
    "quotes": "'" * 50_001,
    "escape": "x = \x1b[31m",
    "carriage returns": "x = 1\ry = 2\r",
    "line separator": "x = 1\u2028y = 2",
    "equals": "x = " * 20_000,
    "names": "a " * 20_000,
    "operators": "x = " + "+ * " * 10_000,
    "too long": "(" * 10_000_000,
    "too long statements": "x = 1\n" * 2_000_000,
    "non-ASCII digits": "x = ٣",
    "number soup": "x = 1.2.3e4e5..6..7...8",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_ends_in_diagnostics(text: str) -> None:
    found = faults(text)
    assert 1 <= len(found) <= 20
    assert all(len(d.message) < 300 and len(d.hint or "") < 300 for d in found)


def test_a_text_longer_than_the_limit_is_refused_whole() -> None:
    assert codes("#" * 500_001) == ["PPL013"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("x = 9223372036854775808", "PPL006"), ("x = 1e309", "PPL006"), ("x = 1e-330", "PPL006"), ("x = 1.5.2", "PPL006")],
)
def test_numbers_outside_the_machine(text: str, code: str) -> None:
    assert codes(text) == [code]
