"""Expressions: what binds tighter, and the forms of literals."""

from __future__ import annotations

import pytest
from reading import AT, codes, shape, value

from ppl.syntax import ast

PRECEDENCE = [
    ("a + b * c", "(a + (b * c))"),
    ("a * b + c", "((a * b) + c)"),
    ("a - b - c", "((a - b) - c)"),
    ("a / b / c", "((a / b) / c)"),
    ("a // b % c * d", "(((a // b) % c) * d)"),
    ("a - b + c", "((a - b) + c)"),
    ("-a + b", "((- a) + b)"),
    ("-a * b", "((- a) * b)"),
    ("a * -b", "(a * (- b))"),
    ("a - -b", "(a - (- b))"),
    ("+a", "(+ a)"),
    ("--a", "(- (- a))"),
    ("-a^2", "(- (a ^ 2))"),
    ("a^b^c", "(a ^ (b ^ c))"),
    ("a^-b", "(a ^ (- b))"),
    ("a^-b^c", "(a ^ (- (b ^ c)))"),
    ("2 * a^b", "(2 * (a ^ b))"),
    ("a[0]^b[1]", "(a[0] ^ b[1])"),
    ("f(a)^2", "(f(a) ^ 2)"),
    ("a < b", "(a < b)"),
    ("a + 1 < b * 2", "((a + 1) < (b * 2))"),
    ("a < b < c", "(a < b < c)"),
    ("a <= b > c == d != e >= f", "(a <= b > c == d != e >= f)"),
    ("(a < b) < c", "((a < b) < c)"),
    ("a < (b < c)", "(a < (b < c))"),
    ("not a < b", "(not (a < b))"),
    ("not a == b", "(not (a == b))"),
    ("not not a", "(not (not a))"),
    ("not a and b", "((not a) and b)"),
    ("a and not b", "(a and (not b))"),
    ("a or b and c", "(a or (b and c))"),
    ("a and b or c", "((a and b) or c)"),
    ("a and b and c", "((a and b) and c)"),
    ("a or b or c", "((a or b) or c)"),
    ("a < b and c < d or not e", "(((a < b) and (c < d)) or (not e))"),
    ("if a then b else c + d", "(if a then b else (c + d))"),
    ("if a then b else c or d", "(if a then b else (c or d))"),
    ("if a then b else c < d", "(if a then b else (c < d))"),
    ("(if a then b else c) + d", "((if a then b else c) + d)"),
    ("1 + if a then b else c + d", "(1 + (if a then b else (c + d)))"),
    ("-if a then b else c", "(- (if a then b else c))"),
    ("not if a then b else c", "(not (if a then b else c))"),
    ("2 ^ if a then b else c", "(2 ^ (if a then b else c))"),
    ("a < b < if c then d else e < f", "(a < b < (if c then d else (e < f)))"),
    ("a and if b then c else d and e", "(a and (if b then c else (d and e)))"),
    ("a or if b then c else d", "(a or (if b then c else d))"),
    ("a * if b then c else d * e", "(a * (if b then c else (d * e)))"),
    ("if a then b else if c then d else e", "(if a then b else (if c then d else e))"),
    ("if a then if b then c else d else e", "(if a then (if b then c else d) else e)"),
    ("if if a then b else c then d else e", "(if (if a then b else c) then d else e)"),
    ("if a or b then c else d", "(if (a or b) then c else d)"),
    ("x[a + 1..b or c]", "x[(a + 1)..(b or c)]"),
    ("x[if a then 0 else 1..n]", "x[(if a then 0 else 1)..n]"),
    ("x[0..n, 2]", "x[0..n, 2]"),
    ("x[i][j]", "x[i][j]"),
    ("f(x)[0]", "f(x)[0]"),
    ("(a + b)[0]", "(a + b)[0]"),
    ("[1, 2][0]", "[1, 2][0]"),
    ("f(g(a), b)", "f(g(a), b)"),
    ("f()", "f()"),
    ("f(a, b=c, d=if e then f else g)", "f(a, b=c, d=(if e then f else g))"),
    ("[]", "[]"),
    ("[a]", "[a]"),
    ("[a, b + 1, [c]]", "[a, (b + 1), [c]]"),
    ("[a, b,]", "[a, b]"),
    ("f(a, b,)", "f(a, b)"),
    ("[e^2 for i in 0..n - 1]", "[(e ^ 2) for i in 0..(n - 1)]"),
    ("[[i * j for i in 0..2] for j in a..b]", "[[(i * j) for i in 0..2] for j in a..b]"),
    ("[if a then b else c for i in 0..n]", "[(if a then b else c) for i in 0..n]"),
    ("true and false", "(true and false)"),
    ("-inf + pi", "((- inf) + pi)"),
    ("((a))", "a"),
]


@pytest.mark.parametrize(("text", "expected"), PRECEDENCE)
def test_expression_is_grouped_as_the_language_says(text: str, expected: str) -> None:
    assert shape(value(text)) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("12", 12),
        ("9223372036854775807", 2**63 - 1),
        ("0.5", 0.5),
        ("1.50", 1.5),
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        ("2.5E+10", 2.5e10),
        ("1e308", 1e308),
        ("0.0e-999", 0.0),
        ("00.25", 0.25),
    ],
)
def test_number_has_its_value_and_type(text: str, number: float) -> None:
    node = value(text)
    assert isinstance(node, ast.Number)
    assert node.value == number
    assert type(node.value) is type(number)


def test_range_after_an_int_is_not_a_real() -> None:
    assert value("x[0..n]") == ast.Index(AT, ast.Name(AT, "x"), (ast.Range(AT, ast.Number(AT, 0), ast.Name(AT, "n")),))


@pytest.mark.parametrize(
    "word", ["lambda", "class", "def", "jnp", "mean", "real", "int", "None", "self", "limit", "E", "e1"]
)
def test_words_of_other_languages_are_names(word: str) -> None:
    assert value(word) == ast.Name(AT, word)


@pytest.mark.parametrize(
    "word",
    [
        "data",
        "fn",
        "use",
        "noise",
        "var",
        "for",
        "in",
        "while",
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
    ],
)
def test_reserved_words_are_not_names(word: str) -> None:
    assert codes(f"y = 1 + {word} * 2\n")
    assert "PPL007" in codes(f"{word} = 2\n") or "PPL002" in codes(f"{word} = 2\n")


@pytest.mark.parametrize(
    "text", ["a..b", "(a..b)", "f(a..b)", "[a..b]", "x[..b]", "x[a..]", "x[]", "a not b", "a == not b"]
)
def test_what_is_not_an_expression(text: str) -> None:
    assert codes(f"x = {text}\n")
