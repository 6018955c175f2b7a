"""Sizes, defaults, and which of them wins; whose fault it is when they do not agree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ppl.diagnostics import DataError, PplError

COUNTS = "data n: int = 74\ndata count: int[n]\n"


def codes(error: PplError) -> list[str]:
    return [d.code for d in error.diagnostics]


def test_a_given_size_beats_a_length_beats_a_default(bind):
    assert bind(COUNTS, {"n": 2, "count": [1, 2]})["n"] == 2
    assert bind(COUNTS, {"count": [1, 2, 3]})["n"] == 3
    assert bind("data n: int = 74\ndata x: real[n] = [0.5 for i in 0..n]")["x"].shape == (74,)


def test_a_given_size_that_the_array_does_not_have(rejected):
    error = rejected(COUNTS, {"n": 5, "count": [1, 2]})
    assert codes(error) == ["PPL503"]
    assert "has 2 values, expected an array of 5 values" in str(error)
    assert "n = 5" in str(error)


def test_lengths_that_disagree_are_one_error_naming_both(rejected):
    source = "data n: int\ndata a: int[n]\ndata m: int\ndata b: real[m, n]\ndata c: real[n]"
    error = rejected(source, {"a": [1, 2], "b": [[1, 2, 3]], "c": [1, 2]})
    assert codes(error) == ["PPL506"]
    assert all(part in str(error) for part in ("`a` has 2 values", "`b` has 3 columns", "`int[n]` (line 2)", "line 4"))


def test_a_square_matrix_that_is_not(rejected):
    assert codes(rejected("data n: int\ndata a: int[n, n]", {"a": [[1, 2]]})) == ["PPL506"]


def test_the_length_of_a_default_is_a_size_of_last_resort(bind):
    assert bind("data n: int\ndata x: real[n] = [1, 2, 3]")["n"] == 3
    assert bind("data n: int\ndata k: int\ndata x: real[n, k] = [[1], [2]]")["k"] == 1


def test_a_size_is_not_taken_from_a_field_that_is_no_array(rejected):
    assert codes(rejected(COUNTS, {"count": 3})) == ["PPL503"]
    assert codes(rejected("data n: int\ndata k: int\ndata x: int[n, k]", {"x": [1, 2]})) == ["PPL503"]


def test_only_a_size_that_is_exactly_the_name_is_taken(rejected):
    assert codes(rejected("data n: int\ndata x: int[n + 1]", {"x": [1, 2]})) == ["PPL501"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("length(x)", 3),
        ("length(m) * 10 + length(m[0])", 22),
        ("x[1]", 5),
        ("x[0..2][1]", 5),
        ("m[1, 1]", 4),
        ("sum(x)", 13),
        ("prod(x)", 60),
        ("max(x) - min(x)", 4),
        ("max(3, 9)", 9),
        ("abs(-3)", 3),
        ("floor(7 / 2) + ceil(7 / 2)", 7),
        ("if length(x) > 2 and not (1 > 2) then 1 else 1 // 0", 1),
        ("if true or 1 // 0 > 1 then 8 else 9", 8),
        ("if 1 < 2 <= 2 < 3 then 1 else 0", 1),
        ("sum([i * i for i in 0..4])", 14),
        ("sum(x * 2)", 26),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_int_expressions(bind, expression, value):
    source = f"data x: int[3] = [2, 5, 6]\ndata m: int[2, 2] = [[1, 2], [3, 4]]\ndata v: int = {expression}"
    assert bind(source)["v"] == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7 / 2", 3.5),
        ("1", 1.0),
        ("2.0 ^ -1", 0.5),
        ("7.5 % 2", 1.5),
        ("pi", math.pi),
        ("mean([1, 2, 6])", 3.0),
        ("exp(0) + log(1) + sqrt(4)", 3.0),
        ("sum([0.5, 1] + 1)", 3.5),
        ("max([1.5, -2][1], 0)", 0.0),
        ("+1.5 - -1.5", 3.0),
    ],
)
def test_real_expressions(bind, expression, value):
    got = bind(f"data v: real = {expression}")["v"]
    assert got == value
    assert type(got) is float


def test_array_defaults(bind):
    data = bind("data a: real[2, 2] = [[1, 2.5], [3, 4]]\ndata b: bool[2] = [true, 1 < 0]\ndata c: real[2] = a[1] / 2")
    assert data["a"].tolist() == [[1, 2.5], [3, 4]]
    assert data["b"].tolist() == [True, False]
    assert data["b"].dtype == np.bool_
    assert data["c"].tolist() == [1.5, 2.0]
    assert bind("data e: real[0, 2] = []")["e"].shape == (0, 2)


@pytest.mark.parametrize(
    "expression",
    [
        " + ".join(["1"] * 200),
        "(" * 199 + "1" + " + 1)" * 199,
        "(1 + " * 199 + "1" + ")" * 199,
        "-" * 199 + "1",
        "(if true then " * 199 + "200" + " else 0)" * 199,
        "max(0, " * 199 + "200" + ")" * 199,
    ],
)
def test_an_expression_as_deep_as_the_language_allows(bind, expression):
    assert abs(bind(f"data n: int = {expression}")["n"]) in (1, 200)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("data n: int = 2.5", "PPL210"),
        ("data n: int = true", "PPL210"),
        ("data n: int = [1]", "PPL210"),
        ("data n: bool = 1", "PPL210"),
        ("data x: real = inf", "PPL210"),
        ("data x: real = exp(1000)", "PPL211"),
        ("data x: real[3] = [1, 2]", "PPL210"),
        ("data x: real[2] = 0", "PPL210"),
        ("data x: real[2, 2] = [1, 2]", "PPL210"),
        ("data x: real[2, 2] = [[1, 2], [3]]", "PPL202"),
        ("data x: real[2] = [1, true]", "PPL201"),
        ("data n: int = 1 // 0", "PPL211"),
        ("data n: int = 1 % 0", "PPL211"),
        ("data x: real = 1 / 0", "PPL211"),
        ("data x: real = (0 - 1.0) ^ 0.5", "PPL211"),
        ("data x: real = sqrt(0 - 1)", "PPL211"),
        ("data n: int = 2 ^ -1", "PPL211"),
        ("data n: int = 2 ^ 63", "PPL211"),
        ("data n: int = 10 ^ 10 ^ 10", "PPL211"),
        ("data n: int = sum([9223372036854775807, 1])", "PPL211"),
        ("data n: int = sum([9223372036854775807] * 2)", "PPL211"),
        ("data n: int = [1, 2][2]", "PPL208"),
        ("data n: int = length([1, 2][1..4])", "PPL208"),
        ("data n: int = 1[0]", "PPL206"),
        ("data n: int = later\ndata later: int = 1", "PPL101"),
        ("data n: int = n", "PPL101"),
        ("data n: int = true + 1", "PPL201"),
        ("data n: int = if 1 then 2 else 3", "PPL204"),
        ("data n: int = if [1] < 2 then 2 else 3", "PPL205"),
        ("data n: int = length(3)", "PPL201"),
        ("data n: int = min([1][1..1])", "PPL211"),
        ("data n: int = max(1, 2, 3)", "PPL203"),
        ("data n: int = lgamma(3)", "PPL606"),
        ("data n: int = length(x = [1])", "PPL112"),
        ("data n: int = sum([1 for i in 0..1000000000])", "PPL701"),
        ("data n: int = sum([1, 2] + [1, 2, 3])", "PPL202"),
        ("data x: real[2.0] = [1, 2]", "PPL207"),
        ("data x: real[0 - 1] = []", "PPL211"),
        ("data x: real[10 ^ 9] = []", "PPL701"),
        ("data x: real[1 // 0] = []", "PPL211"),
        ("data x: real[2 ^ 62, 4] = []", "PPL701"),
    ],
)
def test_what_the_program_has_wrong(rejected, source, code):
    error = rejected(source)
    assert not isinstance(error, DataError)
    assert code in codes(error)
    assert all(d.span is not None and d.span.line >= 1 for d in error.diagnostics)


@pytest.mark.parametrize(
    ("source", "given", "code"),
    [
        ("data n: int\ndata x: real[n]", {"n": -1, "x": []}, "PPL509"),
        ("data n: int\ndata x: real[10 // n]", {"n": 0, "x": []}, "PPL509"),
        ("data n: int\ndata x: real[n, n]", {"n": 10**5, "x": []}, "PPL701"),
        ("data n: int\ndata r: real = 1 / n", {"n": 0}, "PPL509"),
        ("data n: int\ndata m: int = n * n\ndata x: real[m - 2]", {"n": 1, "x": []}, "PPL509"),
        ("data n: int\ndata m: int = n * n", {"n": 2**40}, "PPL509"),
        ("data n: int = 2\ndata x: real[n] = [1, 2]", {"n": 3}, "PPL503"),
        ("data n: int = 2\ndata x: real[n] = [1, 2]\ndata y: real[n]", {"y": [1, 2, 3]}, "PPL503"),
        ("data k: int\ndata x: real[2] = [1, 2]\ndata y: real = x[k]", {"k": 2}, "PPL509"),
    ],
)
def test_what_the_data_have_wrong(rejected, source, given, code):
    error = rejected(source, given)
    assert isinstance(error, DataError)
    assert code in codes(error)


def test_a_program_error_wins_over_data_errors(rejected):
    error = rejected("data n: int = 1 // 0\ndata x: real", {"x": None})
    assert not isinstance(error, DataError)
    assert codes(error) == ["PPL211", "PPL504"]


def test_a_negative_size_is_said_once(rejected):
    error = rejected("data n: int\ndata x: real[n]\ndata y: real[n]", {"n": -1, "x": [], "y": []})
    assert codes(error) == ["PPL509"]


def test_every_field_is_reported_in_source_order(rejected):
    source = "data a: int\ndata b: real[2]\ndata c: bool\ndata d: int[a]"
    error = rejected(source, {"d": [1.5], "c": 1, "b": [1]})
    assert codes(error) == ["PPL503", "PPL502", "PPL502"]
    assert [d.span.line for d in error.diagnostics if d.span] == [2, 3, 4]


def test_documentation_is_no_undeclared_field(bind):
    notes: list[str] = []
    bind("data n: int", {"n": 1, "source": "a book", "Note": 1, "_x": [], "url": "", "license": "CC0"}, notes)
    assert notes == []


def test_undeclared_fields_are_one_note(bind):
    notes: list[str] = []
    assert bind("data n: int\ndata scale: real = 1", {"n": 1, "extra": 2, "sclae": 3}, notes) == {"n": 1, "scale": 1.0}
    [note] = notes
    assert "note[PPL508]" in note
    assert "`extra`, `sclae`" in note
    assert "`sclae`: did you mean `scale`?" in note


def test_many_and_long_undeclared_names_stay_short(bind):
    notes: list[str] = []
    bind("data n: int = 1", {**{f"f{i}": i for i in range(5000)}, "x" * 100_000: 1}, notes)
    assert "and 4996 more" in notes[0]
    assert len(notes[0]) < 500
