"""Chains of assignments of any length are compiled without running out of stack."""

from __future__ import annotations

import pytest

import ppl


@pytest.mark.parametrize("step", ["a = 0.999 * a + 0.001 * y", "a = if c then a + 0.001 else a"])
def test_thousands_of_assignments_before_a_guard(step: str) -> None:
    start = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nc = y > 0\na = x + 0.0\n"
    model = ppl.compile(start + f"{step}\n" * 4000 + "if a > 0.5 { factor 1 }\n")
    assert [g["status"] for g in model.explain()["guards"]][-1] == "marginalised"
