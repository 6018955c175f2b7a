"""Polynomials in one latent: every change of sign becomes a guard, however close to another and however far out."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from scipy import special

from ppl.core import poly
from ppl.core.inverses import inverse
from ppl.core.sturm import sign_changes
from ppl.driver import compile_source


@pytest.mark.parametrize(("condition", "places"), [
    ("(t - 100000) ^ 2 < 0.16", [99999.6, 100000.4]),
    ("(t - 0.1) * (t - 0.3) * (t - 100000) > 0", [0.1, 0.3, 100000]),
    ("(t - 1) * (t - 2) * (t - 1000000) > 0", [1, 2, 1000000]),
    ("t ^ 2 - 0.2 * t + 0.01 > 0", []),
    ("t ^ 2 < t + 2", [-1, 2]),
    ("t ^ 2 + 1 > 0", []),
])  # fmt: skip
def test_each_root_is_a_guard(condition: str, places: list[float]) -> None:
    found = compile_source(f"t ~ Normal(0, 1)\nif {condition} {{ factor 1 }}\n", "m.ppl", "m").regions
    assert found is not None
    assert sorted(-poly.value(g.normal) for g in found.guards if g.boundaries) == pytest.approx(places, rel=1e-10)


def _polynomial(roots: list[float]) -> list[Fraction]:
    out = [Fraction(1)]
    for r in roots:
        out = [(out[k - 1] if k else 0) - Fraction(r) * (out[k] if k < len(out) else 0) for k in range(len(out) + 1)]
    return out


def test_places_are_those_of_exact_arithmetic() -> None:
    rng = random.Random(0)
    for _ in range(200):
        # Whole numbers, so that the coefficients are floats without rounding.
        roots = [float(rng.choice((rng.randint(-3, 3), rng.randint(-400, 400)))) for _ in range(rng.randint(1, 5))]
        odd = sorted({r for r in roots if roots.count(r) % 2})
        factor = _polynomial(roots)
        assert all(Fraction(float(c)) == c for c in factor)
        assert sign_changes([float(c) for c in factor]) == odd
        raised = [c + (factor[k - 2] if k >= 2 else 0) for k, c in enumerate([*factor, Fraction(0), Fraction(0)])]
        assert sign_changes([float(c) for c in raised]) == odd  # times 1 + x^2


@pytest.mark.parametrize(("coefficients", "places"), [
    ([], []), ([2.0], []), ([0.0, 0.0], []), ([0.0, 1.0], [0.0]), ([0.0, 0.0, 1.0], []), ([0.0, 0.0, 0.0, -2.0], [0.0]),
    ([-1e-300, 1.0], [1e-300]), ([1e300, -1e-300], None), ([1.0, float("inf")], None),
    ([-2.0, 0.0, 1.0], [-(2**0.5), 2**0.5]), ([1e-30, 0.0, -1.0], [-1e-15, 1e-15]),
])  # fmt: skip
def test_corners(coefficients: list[float], places: list[float] | None) -> None:
    assert sign_changes(coefficients) == (None if places is None else pytest.approx(places, rel=3e-16, abs=0))


@pytest.mark.parametrize(("function", "values"), [
    ("Phi", (1e-300, 1e-20, 0.1, 0.5, 0.9, 1 - 1e-15)),
    ("erf", (-1 + 2**-53, -0.9, -1e-20, 0.0, 1e-300, 0.05, 0.3, 0.6, 1 - 1e-15)),
    ("log_inv_logit", (-700.0, -0.7, -1e-20)),
])  # fmt: skip
def test_increasing_functions_are_undone(function: str, values: tuple[float, ...]) -> None:
    exact = {"Phi": special.ndtri, "erf": special.erfinv, "log_inv_logit": lambda t: t - np.log(-np.expm1(t))}
    for t in values:
        assert inverse(function, t) == pytest.approx(exact[function](t), rel=1e-14)
    beyond = {"Phi": (0.0, 1.0), "erf": (-1.0, 1.0), "log_inv_logit": (-math.inf, 0.0)}
    low, high = beyond[function]
    assert inverse(function, high) == math.inf
    assert function == "log_inv_logit" or inverse(function, low) == -math.inf


@pytest.mark.parametrize("condition", [
    "Phi(0.3 * t ^ 3) > 0.5", "erf((t - 1) ^ 3) < 0", "log_inv_logit(t ^ 3) < -0.6931471805599453",
])  # fmt: skip
def test_behind_them_an_odd_power_is_its_factor(condition: str) -> None:
    found = compile_source(f"t ~ Normal(0, 1)\nif {condition} {{ factor 1 }}\n", "m.ppl", "m").regions
    assert found is not None
    ((slope, rest),) = [(sum(g.normal.values()) - poly.value(g.normal), poly.value(g.normal)) for g in found.guards
                        if g.boundaries]  # fmt: skip
    assert -rest / slope == pytest.approx(1.0 if "t - 1" in condition else 0.0, abs=1e-5)


def test_functions_are_undone_far_out() -> None:
    assert inverse("logit", -800.0) == 0 and inverse("logit", 800.0) == 1
    assert inverse("asinh", -720.0) == -math.inf and inverse("asinh", 720.0) == math.inf
