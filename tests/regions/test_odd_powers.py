"""Guards that are zero without a slope: their factors of odd power, found as written or by decomposition."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ppl
from ppl.core import ir, poly, squarefree

X, Y, Z = (ir.Var(name, ir.REAL, True) for name in "xyz")
C = ir.DataRef("c", ir.REAL)
LATENTS = "data c: real[3]\nx ~ Normal(0.3, 1)\ny ~ Normal(-0.2, 1)\nz ~ Normal(0, 1)\nn ~ Poisson(2) in (0, 5)\n"


def form(constant: float, *terms: tuple[float, ir.Expr]) -> poly.Poly:
    out = poly.constant(constant)
    for c, a in terms:
        out = poly.add(out, poly.atom(a), c)
    return out


def product(*factors: tuple[poly.Poly, int]) -> poly.Poly:
    out = poly.constant(1.0)
    for f, power in factors:
        for _ in range(power):
            out = poly.mul(out, f)
    return out


def monic(p: poly.Poly) -> frozenset[tuple[poly.Monomial, float]]:
    first = poly.ordered(p)[0][1]
    return frozenset((m, float(f"{c / first:.10g}")) for m, c in p.items())


def found(p: poly.Poly) -> set[tuple[frozenset[tuple[poly.Monomial, float]], int]] | None:
    out = squarefree.decompose(p)
    if out is None:
        return None
    whole = product((out.rest, 1), *out.factors)
    first = next(iter(p))
    scale = p[first] / whole[first]
    assert scale > 0  # the sign of the product is that of the polynomial
    assert whole.keys() == p.keys() and all(math.isclose(scale * whole[m], c, rel_tol=1e-6) for m, c in p.items())
    return {(monic(f), power) for f, power in out.factors}


def test_known_factorizations() -> None:
    a, b = form(0, (1, X), (-1, C)), form(1, (2.5, X), (1, Y))
    curve = poly.add(product((poly.atom(Y), 2)), poly.atom(X))
    assert found(product((a, 3), (curve, 1))) == {(monic(product((a, 1))), 3), (monic(curve), 1)}
    assert found(product((a, 2), (b, 3), (curve, 3))) == {(monic(a), 2), (monic(product((b, 1), (curve, 1))), 3)}
    assert found(product((form(0.25, (-0.1, X), (0.3, Y)), 5))) == {(monic(form(0.25, (-0.1, X), (0.3, Y))), 5)}
    # A square of data is no boundary, nor is one of an outcome.
    outcome = poly.indicator(ir.GuardRef(0))
    for p in (product((a, 1), (b, 1), (curve, 1)), product((poly.atom(C), 2), (a, 1)), form(-3, (1, X), (1, outcome)),
              product((form(1, (1, outcome)), 3), (a, 1))):  # fmt: skip
        assert found(p) is None


@st.composite
def forms(draw: st.DrawFn) -> poly.Poly:
    numbers = st.integers(-5, 5) if draw(st.booleans()) else st.integers(-50, 50).map(lambda k: k / 10)
    terms = [(draw(numbers), v) for v in (X, Y, C)]
    out = form(draw(numbers), *terms)
    if draw(st.booleans()):
        out = poly.add(out, product((poly.atom(draw(st.sampled_from([X, Y]))), 2)), 1.0)
    return out


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(forms(), st.integers(1, 4)), min_size=1, max_size=3))
def test_products_of_powers_come_back(factors: list[tuple[poly.Poly, int]]) -> None:
    """A factor has its power at least, and what has no repeated factor is left alone."""
    used = [(f, k) for f, k in factors if any(a.random for a in poly.atoms(f))]
    p = product(*used)
    if not used or len(p) > poly.MAX_MONOMIALS or not p:
        return
    try:
        out = squarefree.decompose(p)
    except squarefree.TooMuch:
        return
    degree = {v: max(dict(m).get(v, 0) for m in p) for v in (X, Y)}
    if out is None:
        assert all(k == 1 for f, k in used)
        return
    found(p)
    for v in (X, Y):
        assert degree[v] == sum(k * max(dict(m).get(v, 0) for m in f) for f, k in out.factors)
    for f, _ in out.factors:
        assert squarefree.decompose(f) is None
    for f, k in used:
        if all(monic(f) != monic(g) for g, _ in used if g is not f):
            assert any(power >= k for _, power in out.factors)


def test_work_is_bounded() -> None:
    atoms = [ir.Var(f"v{k}", ir.REAL, True) for k in range(9)]
    wide = form(1.7, *((1.0 + 0.37 * k, a) for k, a in enumerate(atoms)))
    p = product(
        (poly.add(wide, product((poly.atom(X), 2), (form(0, *((0.7, a) for a in atoms[::2])), 1))), 3), (wide, 2)
    )
    with pytest.raises(squarefree.TooMuch):
        squarefree.decompose(p)


@pytest.mark.parametrize(("condition", "guards"), [
    ("(x - c[0])^3 * (1 + y^2) > 0", ["-c[0] + x"]),
    ("(x - y) * (x - y) * (x - y) > 0", ["x - y"]),
    ("x^3 - 3 * x^2 * y + 3 * x * y^2 > y^3", ["x - y"]),
    ("(x - y)^3 * (x + z)^2 > 0", ["x - y"]),
    ("x^3 + y^3 > -3 * x * y * (x + y)", ["x + y"]),
    ("exp((x - y)^3) > 1", ["x - y"]),
    ("(x - y)^3 / (x + z) > 0", ["x - y", "x + z"]),
    ("max((x - y)^5, z) > 0", ["x - y", "z"]),
    ("(x - 0.123456789 * y)^3 * (1 + x^2) > 0", ["x - 0.123457 * y"]),
    ("(x - 0.3 * y)^9 * z > 0", ["x - 0.3 * y", "z"]),
    ("(x - y)^2 > 0", []),
])  # fmt: skip
def test_odd_powers_are_their_bases(condition: str, guards: list[str]) -> None:
    source = f"{LATENTS}observe 0.2 ~ Normal(if {condition} then 1 else 0, 1)\n"
    found = [str(g["text"]) for g in ppl.compile(source).explain()["guards"] if g["kind"] != "discrete"]
    assert sorted({t.split(" > 0")[0] for t in found if ", of " in t}) == sorted(guards)


def test_even_powers_that_may_be_zero_keep_their_say() -> None:
    """Elements at indices of data may be one and the same."""
    source = "data i: int\ndata j: int\nv: real[4] ~ Normal(0, 1)\n"
    source += "observe 0.2 ~ Normal(if (v[i] - v[j])^2 * (v[0] - 0.5) > 0 then 1 else 0, 1)\n"
    point: dict[str, Any] = {"v": [1.0, 0.0, 0.0, 0.0]}
    one, other = (
        float(ppl.compile(source.replace("0.2 ~", f"{y} ~")).bind({"i": 2, "j": 2}).log_joint(point))
        for y in (0.2, 1.2)
    )
    assert one - other == pytest.approx((1.2**2 - 0.2**2) / 2, rel=1e-5)  # both with mean 0


def test_checking_imports_no_jax() -> None:
    code = (
        "import sys, ppl\n"
        "ppl.compile('x ~ Normal(0, 1)\\ny ~ Normal(0, 1)\\nfactor if (x - y)^3 * (1 + y^2 * x^2) > 0 then 1 else 0\\n"
        "factor if x^3 - 2 * x > 0.3 then 1 else 0')\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).returncode == 0
