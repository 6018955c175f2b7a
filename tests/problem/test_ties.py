"""Comparisons at equality, which branches, kinks and data can reach with positive probability."""

from __future__ import annotations

import pytest
from scipy.stats import norm

import ppl

FLAG = "on = 0.0\nif x > 0 { on = 1.0 }\n"
TWO = "{ factor 1 } else { factor 2 }"
SUM = "s = 0\nfor i in 0..2 {{ {} }}\nfactor s"


@pytest.mark.parametrize(
    ("source", "x", "expected"),
    [
        (FLAG + f"if on >= 1 {TWO}", 0.3, 1),
        (FLAG + f"if on >= 1 {TWO}", -0.3, 2),
        (FLAG + f"if on > 0 {TWO}\nif on < 0 {{ factor 10 }}", -0.3, 2),
        (FLAG + f"if on * x > 0 {TWO}", -0.3, 2),
        (f"if relu(x) <= 0 {TWO}", -0.3, 1),
        (f"if relu(x) <= 0 {TWO}", 0.3, 2),
        (f"y = if x > 0 then x else 0.0\nif y >= 0 {TWO}", -0.3, 1),
        (f"y = if x > 0 then x else 0.0\nif y <= 0 {TWO}", -0.3, 1),
        ("data a: real[2] = [0, 1]\n" + SUM.format("if a[i] * x <= 0 { s = s + 1 }"), 0.3, 1),
        (
            "data a: real[2] = [0, 1]\n" + SUM.format("if a[i] * x < 0 { s = s + 1 }\nif a[i] * x > 0 { s = s + 10 }"),
            0.3,
            10,
        ),
        ("data a: real[2] = [1, -1]\n" + SUM.format("v = if a[i] > 0 then x else 1\nif v >= 1 { s = s + 1 }"), 0.3, 1),
        (f"if max(x, 0) <= 0 {TWO}", -0.3, 1),
        (f"if abs(x) - x <= 0 {TWO}", 0.3, 1),
        (f"if x - x >= 0 {TWO}", 0.3, 1),
        (f"if clamp(x, 0, 1) >= 0 {TWO}", -0.3, 1),
        ("r = clamp(x, 0, 0.1)\nif 0 < r < 0.1 { factor 5 } else if r >= 0.1 { factor 6 } else { factor 7 }", 0.3, 6),
        (f"if x <= 0.3 {TWO}", 0.3, 1),
        (f"if 0 <= x < 1 {TWO}", 0.0, 1),
        (f"if x^2 >= 0 {TWO}", -0.3, 1),
        (f"if exp(x) <= 1 {TWO}", -0.3, 1),
        (f"if x * (x - 1) > 0 {TWO}", 0.3, 2),
    ],
)
def test_equality_is_decided_as_written(source: str, x: float, expected: float) -> None:
    problem = ppl.compile(f"x ~ Normal(0, 1)\n{source}\n").bind()
    assert float(problem.log_joint({"x": x})) - norm.logpdf(x) == pytest.approx(expected, abs=1e-5)
