"""Guards on carried state that move steadily along one latent are searched for along that one alone."""

from __future__ import annotations

import pytest

import ppl

SOURCE = """
a ~ Normal(0, 1)
r ~ Normal(0.5, 0.5)
x = 0.3
for t in 0..3 {{
    if {guard} {{ x = {then} }} else {{ x = x + r }}
    observe 0.2 ~ Normal(3 * x, 1)
}}
"""


@pytest.mark.parametrize(
    ("guard", "then", "direction"),
    [
        ("x > 2 * a", "x * r - 0.5", "a"),
        ("x^2 - a > 0", "x * r - 0.5", "a"),
        ("x > 2 * a", "x * a - 0.5", "a and r"),  # the state moves with a as well
        ("x > a * r", "x * r - 0.5", "a and r"),  # the rate is not constant: at r = 0 nothing moves
    ],
)
def test_direction(guard: str, then: str, direction: str) -> None:
    found = ppl.compile(SOURCE.format(guard=guard, then=then)).explain()["guards"]
    assert [(g["status"], g["kind"], g["direction"]) for g in found] == [("boundary", "smooth", direction)]
