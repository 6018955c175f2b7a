"""Which branches are proved to agree on their boundary, which cannot be, and which are unbounded there."""

from __future__ import annotations

import pytest

import ppl


def status(value: str, guard: str = "x > 0", other: str = "0") -> str:
    source = f"x ~ Normal(0, 1)\na ~ Normal(0, 1)\nfactor if {guard} then {value} else {other}\n"
    return ppl.compile(source).explain()["guards"][0]["status"]


@pytest.mark.parametrize(
    ("value", "guard", "other"),
    [
        ("exp(x) - 1", "x > 0", "0"),
        ("exp(-a * (x - 2)) - exp(-3 * a * (x - 2))", "x > 2", "0"),  # absorption after a lag
        ("exp(a * (x - a))", "x > a", "1"),
        ("a * expm1(sin(x))", "x > 0", "0"),
        ("1 / (1 + x)", "x > 0", "1"),
        ("x * log(x)", "x > 0", "0"),
        ("(x - 1) * log(x - 1)", "x > 1", "0"),
        ("(x - 0.3) * log(x - 0.3)", "x > 0.1 + 0.2", "0"),
        ("x - 0.3 + 2 * a", "x > 0.1 + 0.2", "2 * a"),
        ("sin(3 * x - 0.9) + a", "x > 0.1 + 0.2", "a"),
    ],
)
def test_agree(value: str, guard: str, other: str) -> None:
    assert status(value, guard, other) == "no-jump"


@pytest.mark.parametrize(
    ("value", "guard", "other"),
    [
        ("exp(a * (x - 2))", "x > 2", "0"),
        ("exp(x) - 1.00001", "x > 0", "0"),
        ("exp(a * x)", "x > 1", "1"),
        ("cos(x)", "x > 0", "0"),
        ("1.602e-19", "x > 0", "3.204e-19"),
        ("a + 1e-14", "x > 0", "a"),
        ("1e-14 * exp(x) + x * a", "x > 0", "0"),
    ],
)
def test_jump(value: str, guard: str, other: str) -> None:
    assert status(value, guard, other) in ("boundary", "marginalised")


@pytest.mark.parametrize(
    "value", ["3 * (x / x)", "x * pow(x, -1.0)", "x / expm1(x)", "x / (exp(x) - 1)", "x / sin(x)", "x * log(x) / x"]
)
def test_what_vanishes_does_not_hide_a_pole(value: str) -> None:
    assert status(value) == "score"
    assert status(value.replace("x", "(x - 1)").replace("e(x - 1)p", "exp"), "x > 1") == "score"
