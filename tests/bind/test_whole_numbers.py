"""Whole numbers beyond 32 bits: refused where there are no more bits, right where there are."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ppl

HEAD = "data n: int\ndata y: int[n]\nm ~ Normal(0, 1)\n"
WIDE: dict[str, tuple[str, list[int], str, float]] = {
    "data": ("factor m * (y[0] - y[1]) / 1000", [3_000_000_000, 3_000_001_000], "`y` has a value of 3000000000", -1.0),
    "a product": (
        "for i in 0..n { factor m * (y[i] * y[i]) / 10000000000 }", [100_000], "`y[i] * y[i]` has a value", 1.0,
    ),
    "a sum": ("factor m * sum(y) / 4000000000", [2 * 10**9, 2 * 10**9], "`sum(y)` has a value of 4000000000", 1.0),
    "a sum by a loop": (
        "s = 0\nfor i in 0..n { s = s + y[i] }\nfactor m * s / 4000000000", [2 * 10**9, 2 * 10**9],
        "has a value of 4000000000", 1.0,
    ),
    "a power by a loop": (
        "k = 1\nfor i in 0..40 { k = 2 * k }\nfactor m * k / 1099511627776", [1], "`2 * k` grows", 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WIDE)
def test_numbers_that_need_64_bits(name: str) -> None:
    source, y, message, slope = WIDE[name]
    problem = ppl.compile(HEAD + source).bind({"y": y})
    with pytest.raises(ppl.PplError, match="whole numbers end at 2147483647") as caught:
        problem.log_joint({"m": 0.5})
    (found,) = caught.value.diagnostics
    assert found.code == "PPL814" and found.span is not None and message in found.message
    with jax.enable_x64(True):
        value = ppl.compile(HEAD + source).bind({"y": y}).log_joint({"m": np.float64(0.5)})
    np.testing.assert_allclose(value, 0.5 * slope - 0.125 - 0.5 * np.log(2 * np.pi), rtol=1e-12)


@pytest.mark.parametrize(("source", "y", "slope"), [
    ("for i in 0..n { factor m * (y[i] * y[i]) / 10000000000 }", [40_000], 0.16),
    ("k = 1\nfor i in 0..5 { k = 2 * k }\nfactor m * k", [1], 32.0),
    ("k = 1\nfor i in 0..n { k = k * (if y[i] > 2 then 1 else 0) }\nfactor m * k", [3] * 50, 1.0),
    ("factor m * y[0] / 3000000000", [1_500_000_000], 0.5),
    ("if m * 3000000000 > y[0] { factor m }", [5], 1.0),
])  # fmt: skip
def test_numbers_that_32_bits_hold(source: str, y: Any, slope: float) -> None:
    value = ppl.compile(HEAD + source).bind({"y": y}).log_joint({"m": 0.5})
    np.testing.assert_allclose(value, 0.5 * slope - 0.125 - 0.5 * np.log(2 * np.pi), rtol=1e-6)


COUNT = "k ~ Poisson(90000) in (89990, 90010)\n"
LATENT: dict[str, tuple[str, list[int], str]] = {
    "a product": (COUNT + "factor m * (k * k) / 8100000000.0", [1], "`k * k` may have a value of 8098200100"),
    "beside a literal": (
        COUNT + "factor if k < 3000000000 then m else 0", [1], "`3000000000` may have a value of 3000000000",
    ),
    "a sum by a loop": (
        "x: real[n] ~ Normal(0, 1)\nt = 0\nfor i in 0..n { if x[i] > 0 { t = t + y[i] } }\nfactor m * t / 3000000000.0",
        [1_500_000_000, 1_500_000_000, 1_000_000], "`t` may have a value of 3001000000",
    ),
    "floors": (
        "c ~ Normal(100000, 10)\nfactor m * floor(c) * (floor(c) * floor(c) / 1e10)", [1], "`floor(c) * floor(c)` may",
    ),
    "a floor": ("c = 1700000000000 + 4000 * m\nfactor m * (floor(c) / 1e12)", [1], "`floor(c)` may have a value of"),
}  # fmt: skip


@pytest.mark.parametrize("name", LATENT)
def test_numbers_of_latents_that_need_64_bits(name: str) -> None:
    source, y, message = LATENT[name]
    problem = ppl.compile(HEAD + source).bind({"y": y})
    with pytest.raises(ppl.PplError, match="whole numbers end at 2147483647") as caught:
        problem.prior(jax.random.key(0), 1)
    (found,) = caught.value.diagnostics
    assert found.code == "PPL814" and found.span is not None and message in found.message


@pytest.mark.parametrize(("source", "y"), [
    ("x: real[n] ~ Normal(0, 1)\nt = 0\nfor i in 0..n { if x[i] > 0 { t = t + y[i] } }\nfactor m * (t + 1)",
     [1_500_000_000, 1, 1]),
    (COUNT + "factor m * (k / 8100000000)", [1]),
    ("factor floor(exp(m)) * (floor(m) * floor(m))", [1]),
])  # fmt: skip
def test_numbers_of_latents_that_32_bits_hold(source: str, y: list[int]) -> None:
    problem = ppl.compile(HEAD + source).bind({"y": y})
    assert np.all(np.isfinite(problem.prior(jax.random.key(0), 1)["m"]))
