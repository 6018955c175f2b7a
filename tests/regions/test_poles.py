"""Values that jump at a pole or cut: which operations get a guard for it, and which need none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate, stats

import ppl

LATENTS = "x ~ Normal(0.2, 1)\ny ~ Normal(0, 1)\ns ~ HalfNormal(1)\nn ~ Poisson(2) in (0, 5)\n"
ARRAYS = "v: real[3] ~ Normal(0, 1)\np: simplex[3] ~ Dirichlet([1.0, 1.0, 1.0])\n"


def poles(source: str) -> list[str]:
    """The guards of a program that tell the sides of a pole."""
    return [str(g["text"]) for g in ppl.compile(source).explain()["guards"] if "pole" in str(g["text"])]


@pytest.mark.parametrize("value", [
    "tanh(1 / x)", "tanh(inv(x))", "tanh(x ^ (-1))", "tanh(pow(x, -3))", "atan2(x, y)", "tanh(tan(x))",
    "tanh(digamma(x))", "tanh(y / (x - 0.3))", "tanh(1 / (x * s))", "tanh(1 / sin(x))", "tanh(x / abs(x))",
    "tanh(y * x / sqrt(x * x))", "tanh((x - 1) / abs(x - 1))", "tanh(1 / (s - 1))", "tanh(1 / (1 + x))",
    "tanh(1 / log(s))", "tanh(1 / max(x, -1))", "(if x > -0.5 then tanh(1 / x) else 0)",
    "(if not (x > 1) then tanh(1 / x) else 0)", "(if y > 0 then tanh(1 / x) else 0)", "tanh(sin(x) / (1 - cos(x)))",
    "tanh(x / log1p(x * x))", "tanh(y / (x * y * y))", "tanh(x / (if y > 0 then abs(x) else 1))",
    "y * (x * (1 / abs(x)))", "tanh(x * inv(x * x))", "tanh(x * x ^ (-2))", "tanh(y / relu(s - 1))",
    "atan2(abs(x), x)", "atan2(relu(y), x)", "atan2(0, x)", "tanh(x ^ (n - 1))", "tanh((2 * abs(x) + x) / abs(x))",
    "tanh(y * x / (abs(x) + relu(y)))", "tanh(x * log1p_exp(1 / x ^ 2))", "tanh(x * max(1 / x ^ 2, 3))",
    "tanh(x * (1 / x ^ 2) ^ 1.5)", "tanh(x * (if y > 0 then 1 / x ^ 2 else 2))", "tanh(x * [1 / x ^ 2, y][0])",
    "tanh(x * hypot(1 / x ^ 2, y))", "tanh(x * sum([1 / x ^ 2, y]))", "tanh(x * digamma(x * x))",
    "tanh(1 / abs(x) - 1 / abs(x - x * x))", "tanh(x / inv(1 / x ^ 2 + 1))", "tanh(x / (2 - erf(1 / x ^ 2) - 1))",
    "tanh(s * x / exp(-1 / abs(x)))", "tanh(1 / min(x, 0))", "atan2(min(y, 0), x)", "atan2(relu(y), relu(x))",
    "tanh(1 / relu(x))", "tanh(1 / (max(x, y) - y))", "tanh(1 / log(max(x, 1)))",
])  # fmt: skip
def test_a_pole_is_a_guard(value: str) -> None:
    assert poles(f"{LATENTS}factor {value}\n")


@pytest.mark.parametrize("value", [
    "x / 2", "x / s", "x / (s * s + s)", "1 / (1 + x ^ 2)", "1 / exp(x)", "x / (1 + exp(y))", "1 / x ^ 2",
    "pow(x, -2)", "y / x ^ 2", "1 / abs(x)", "x / sqrt(1 + x * x)",  "1 / (2 + tanh(x))",
    "1 / (n + 1)", "x / max(s, 0.1)", "x / max(x, 0.1)", "1 / clamp(x, 0.5, 2)", "tan(0.5 * tanh(x))",
    "tan(atan(x))", "digamma(s)", "atan2(x, s)", "atan2(s, x)", "1 / inv_logit(x)", "(if x > 0.1 then 1 / x else 0)",
    "(if 2 * x + 1 > 3 then 1 / (x + 1) else 0)", "(if x > 1 then 1 / log(x) else 0)",
    "(if x < -1 or x > 1 then 0 else 1 / (x - 1.5) ^ 2)", "(if x > 0.1 and y > 0 then 1 / x else 0)", "1 / (s - -1)",
    "1 / (lgamma(s) ^ 2 + 1)", "s / sum([s, 1.0])", "x / inv(1 / s ^ 2 + 1)", "s / abs(x * s)", "x / exp(x * y)",
    "1 / max(x, s)", "1 / (relu(x) + 1)", "1 / log(2 + relu(x))", "s / (if x > 0 then 1 else 2)",
    "1 / x ^ 2 + 1 / abs(x)", "x * log1p_exp(1 / s ^ 2)", "x * exp(tanh(x) ^ 2)", "x / erfc(y)", "digamma(s * (x * x))",
    "1 / (x * x) * exp(x)", "1 / cosh(x * y)", "x * log(abs(x))", "y / (1 + exp(-1 / s))",
])  # fmt: skip
def test_what_keeps_its_sign_has_none(value: str) -> None:
    assert not poles(f"{LATENTS}factor {value}\n")


@pytest.mark.parametrize(
    "value", ["1 / sum(exp(v))", "p[1] / p[0]", "1 / prod(p)", "1 / sum([exp(v[i]) for i in 0..3])"]
)
def test_elements_of_arrays(value: str) -> None:
    assert not poles(f"{ARRAYS}factor {value}\n")
    assert poles(f"{ARRAYS}factor tanh(1 / (v[0] - 1)) + tanh(1 / sum(v)) + {value}\n")


def test_state_that_a_loop_carries() -> None:
    grows = "c = 1.0\nfor i in 0..5 { c = c + s / (1 + c)\n observe 1 ~ Normal(c, 1) }\n"
    assert not poles(LATENTS + grows)
    assert poles(LATENTS + grows.replace("c + s /", "c - s /"))


def test_operands_behind_state_arrays_and_calls() -> None:
    carried = "c = x + 0.0\nfor i in 0..3 { observe 0.5 ~ Normal(x / abs(c), 1)\n c = 0.5 * c }\n"
    assert poles(LATENTS + carried)
    elements = "d = [x - 0.1 * i for i in 0..3]\nfor i in 0..3 { observe 0.5 ~ Normal(x / abs(d[i]), 1) }\n"
    assert poles(LATENTS + elements)
    filled = "var d: real[3]\nfor i in 0..3 { d[i] = abs(x - 0.1 * i) }\nfor i in 0..3 { factor tanh(x / d[i]) }\n"
    assert poles(LATENTS + filled)
    assert not poles(LATENTS + filled.replace("abs(x - 0.1 * i)", "s + i"))
    twice = "fn f(a: real, b: real) -> real { return tanh(a / b) }\n"
    (one, other) = poles(f"{twice}{LATENTS}factor f(1, x) + f(y, sqrt(y * y))\n")
    assert one != other


def test_factors_that_are_infinite_behind_state_and_arrays() -> None:
    far = "1 / x ^ 2"
    assert poles(f"{LATENTS}z = 0.5\nfor i in 0..2 {{ z = {far} }}\nfactor tanh(x * z)\n")
    assert poles(f"{LATENTS}var z: real[2]\nfor i in 0..2 {{ z[i] = {far} }}\nfactor tanh(x * z[1])\n")
    assert poles(f"{LATENTS}z = [{far} + i for i in 0..2]\nfactor tanh(x * z[1])\n")
    for value, hint in (("dot([x, y], w)", "sum"), ("prod([x, w[0]])", "loop"), ("sum(v * w)", "comprehension"),
                        ("sum(matmul([[x, 1.0], [y, 1.0]], w))", "comprehension")):  # fmt: skip
        source = f"{LATENTS}v: real[2] ~ Normal(0, 1)\nw = [1 / (x * x), 1 / (v[0] * v[0])]\nfactor tanh({value})\n"
        with pytest.raises(ppl.PplError) as caught:
            ppl.compile(source)
        (one,) = caught.value.diagnostics
        assert one.code == "PPL205" and hint in (one.hint or "")


def test_sums_that_may_be_empty() -> None:
    """The sum of no numbers above 1 is not above 1."""
    some = "data n: int = 0\nv: real[n] ~ Pareto(1, 2)\nu ~ HalfNormal(1)\nx ~ Normal(0, 1)\n"
    assert poles(f"{some}factor tanh(1 / (sum(v) + u - 0.5))\n")
    assert poles(f"{some}factor tanh(x / (sum(v) + x * x))\n")
    assert not poles(f"{some}factor tanh(1 / (sum(v) + u)) + 1 / sum(v)\n")
    assert poles(f"{some}for i in 3..n {{ factor tanh(1 / (sum([0.0 + k for k in 3..n]) + u - 0.5)) }}\n")


def test_latents_that_cancel() -> None:
    """A floor of what is data in the end needs no boundary, in a branch either."""
    for value in ("floor(x - x + 0.5)", "floor(0 / x)", "tan((x + 0.3) - x)", "(2 * x - x - x) % 2"):
        source = f"{LATENTS}c = 1.0\nwhile y > c limit 4 {{ c = 0.5\n factor tanh({value}) }}\n"
        assert {g["status"] for g in ppl.compile(source).explain()["guards"]} <= {"boundary", "data-only", "fixed"}


def test_long_chains_of_quotients_end() -> None:
    """A chain of poles takes time in proportion, and a very long one is refused rather than compiled for hours."""
    steps = [f"v{k + 1} = v{k} / (2 + y * v{k}) + 1" for k in range(250)]
    chain = f"{LATENTS}v0 = x + 1\n" + "\n".join(steps[:20])
    assert len(poles(f"{chain}\nfactor tanh(v20)\n")) >= 20
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(f"{LATENTS}v0 = x + 1\n" + "\n".join(steps) + "\nfactor tanh(v250)\n")
    assert [d.code for d in caught.value.diagnostics] == ["PPL703"]


def test_branches_that_are_never_taken() -> None:
    """Intervals that contradict each other are no reason to stop, or to go on for ever."""
    assert ppl.compile("x ~ Normal(0, 1)\nif x > 0 and x < 0 { factor tanh(1 / (1 + 1 / x)) }\n").source_code
    assert ppl.compile(f"{LATENTS}q = -(x * x + y * y)\nif q > 0 {{ factor tanh(1 / (1 + 1 / q)) }}\n").source_code


def test_a_comparison_is_split_instead() -> None:
    """Only what is left of a quotient needs a guard of its own."""
    assert not poles(f"{LATENTS}if y / x < 1 {{ factor 1 }}\nr = 1 / x\nif r > 0.5 {{ factor 1 }}\n")
    assert not poles(f"{LATENTS}if x ^ (-1) > 0.5 {{ factor 1 }}\n")
    assert poles(f"{LATENTS}if tan(x) > 0.5 {{ factor 1 }}\n")
    assert poles(f"{LATENTS}if tanh(1 / x) + y > 0.5 {{ factor 1 }}\n")


def test_operations_on_arrays_are_refused() -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(f"{ARRAYS}observe [1.0, 1.0, 1.0] ~ Normal(1 / v, 1)\n")
    (one,) = caught.value.diagnostics
    assert one.code == "PPL205" and one.span.line == 3 and "comprehension" in (one.hint or "")


def test_matrices_that_may_be_singular() -> None:
    matrix = "x ~ Normal(0, 1)\nm = [[x, 1.0], [1.0, 2.0]]\nb = [1.0, 2.0]\n"
    (warning,) = ppl.compile(matrix + "factor tanh(sum(solve(m, b)))\n").diagnostics
    assert warning.code == "PPL404" and warning.span.line == 4
    spd = "k = matmul(m, transpose(m))\nl = cholesky(k)\nfactor tanh(sum(solve_lower(l, b)))\n"
    assert not ppl.compile(matrix + spd).diagnostics


BOTH = ("float32", "float64")
CASES = (
    ("factor 2 * inv_logit(1 / x)", lambda x: 2 / (1 + np.exp(-np.clip(1 / x, -700, 700))), (0.0,), BOTH),
    ("factor tanh(x / abs(x))", lambda x: np.tanh(np.sign(x)), (0.0,), BOTH),
    # In single precision nothing is left of this near zero, with a boundary or without.
    ("factor tanh((exp(x) - 1 - x - x * x / 2) / x ^ 3)",
     lambda x: np.tanh(1 / 6 + x / 24 + x * x / 120 if abs(x) < 1e-2 else (np.exp(x) - 1 - x - x * x / 2) / x**3), (),
     ("float64",)),
    ("factor clamp(floor(1 / x), -2, 2)", lambda x: np.clip(np.floor(1 / x), -2, 2), (-1.0, -0.5, 0.0, 0.5, 1.0), BOTH),
    ("if tan(x) > 1 { factor 1 }", lambda x: float(np.tan(x) > 1),
     tuple(np.pi * (k + c) for k in range(-3, 3) for c in (0.25, 0.5)), BOTH),
)  # fmt: skip


@pytest.mark.parametrize(("source", "h", "places", "dtype"), [(*c[:3], dtype) for c in CASES for dtype in c[3]])
def test_gradients_are_exact(source: str, h: Any, places: tuple[float, ...], dtype: str) -> None:
    """Against the derivative of the ELBO by quadrature between the places where `h` jumps."""
    loc, log_scale, number = 0.4, 0.1, 64
    problem = ppl.compile(f"x ~ Normal(0.2, 1)\n{source}\n").bind({})
    params = {"loc": {"x": np.asarray(loc, dtype)}, "log_scale": {"x": np.asarray(log_scale, dtype)}}
    with jax.enable_x64(dtype == "float64"):
        fn = problem.elbo_and_grad(samples=64, noise="qmc")
        estimate = jax.jit(lambda keys: jax.lax.map(lambda k: fn(params, k)[1], keys))
        found = estimate(jax.random.split(jax.random.key(1), number))
    for name, step in (("loc", (1e-4, 0.0)), ("log_scale", (0.0, 1e-4))):
        ends = [elbo(h, places, loc + sign * step[0], log_scale + sign * step[1]) for sign in (1, -1)]
        exact = (ends[0] - ends[1]) / 2e-4
        values = np.asarray(found[name]["x"], float)
        error = max(float(np.std(values)) / np.sqrt(number), 2e-3 if dtype == "float32" else 1e-5)
        assert abs(np.mean(values) - exact) < 4 * error, (name, np.mean(values), exact, error)
        assert error < 0.01


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("float64", 1e-5)])
def test_limits_that_are_reached_slowly(dtype: str, tolerance: float) -> None:
    """The signed square root goes to its limit like the root of the distance: nothing jumps there."""
    problem = ppl.compile("x ~ Normal(0.2, 1)\nfactor 3 * (x - 0.3) / sqrt(abs(x - 0.3))\n").bind({})
    assert [g.status for g in problem.guards if "pole" in g.text] == ["boundary"]
    params = {"loc": {"x": np.asarray(0.4, dtype)}, "log_scale": {"x": np.asarray(0.1, dtype)}}
    with jax.enable_x64(dtype == "float64"):
        found = [
            problem.elbo_and_grad(samples=64, estimator=e)(params, jax.random.key(2))[1]
            for e in ("combined", "interior")
        ]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        assert abs(float(a) - float(b)) < tolerance


def elbo(h: Any, places: tuple[float, ...], loc: float, log_scale: float) -> float:
    """The ELBO of a normal guide under a Normal(0.2, 1) prior, by quadrature."""
    q = stats.norm(loc, np.exp(log_scale))
    ends = sorted({loc - 9 * q.std(), *places, loc + 9 * q.std()})

    def integrand(x: float) -> float:
        return float(q.pdf(x) * (h(x) + stats.norm.logpdf(x, 0.2, 1) - q.logpdf(x)))

    return sum(integrate.quad(integrand, a, b, limit=200, epsabs=1e-11)[0] for a, b in pairwise(ends))
