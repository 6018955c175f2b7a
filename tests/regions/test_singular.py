"""Branches that are unbounded at their own guard take the score estimator; those that only look like it do not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl


def codes(source: str) -> list[str]:
    """The warnings of a program, which must agree with what `explain` says."""
    model = ppl.compile(source)
    found = [d.code for d in model.diagnostics]
    assert bool(found) == ("score" in [g["status"] for g in model.explain()["guards"]])
    return found


@pytest.mark.parametrize("value", [
    "log(x)", "log(2 * x)", "log(sqrt(x))", "1 / x", "1 / sqrt(x)", "1 / sin(x)", "x ^ (-1)", "x ^ (-0.5)",
    "pow(x, -2)", "inv(x)", "lgamma(x)", "log1m(1 - x)", "log1p(x - 1)", "logit(1 - x)", "inv_Phi(x)", "atanh(1 - x)",
])  # fmt: skip
def test_unbounded_at_the_guard(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\nfactor if x > 0 then {value} else 0\n") == ["PPL403"]
    assert codes(f"x ~ Normal(0, 1)\nif x > 0 {{ y = {value}\n factor y }}\n") == ["PPL403"]
    assert codes(f"w: real[3] ~ Normal(0, 1)\nfactor sum([if w[i] > 0 then {value.replace('x', 'w[i]')} else 0 "
                 "for i in 0..3])\n".replace("ew[i]p", "exp")) == ["PPL403"]  # fmt: skip


@pytest.mark.parametrize(
    "observed", ["1 ~ Poisson(x)", "0.5 ~ Normal(0, x)", "1 ~ Bernoulli(x)", "1 ~ Bernoulli(1 - x)"]
)
def test_distribution_degenerate_at_the_guard(observed: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\nif x > 0 {{ observe {observed} }}\n") == ["PPL403"]


@pytest.mark.parametrize("value", [
    "x", "sqrt(x)", "log(x + 1)", "1 / (x + 0.5)", "x ^ 2", "x ^ 0.5", "x * log(x)", "exp(-x)", "log(y)", "x ^ exp(y)",
])  # fmt: skip
def test_finite_at_the_guard(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\ny ~ Exponential(1)\nfactor if x > 0 then {value} else 0\n") == []


@pytest.mark.parametrize(("guard", "value"), [
    ("x * y > 0.3", "log(x * y - 0.3)"), ("x * y > 0.3", "log(2 * x * y - 0.6)"),
    ("x * y > 0.3", "1 / sqrt(y * x - 0.3)"),
    ("exp(x) + exp(y) > 2", "log(exp(x) + exp(y) - 2)"), ("x ^ 2 + y ^ 2 < 1", "log(1 - x ^ 2 - y ^ 2)"),
    ("d < 1", "log(1 - d)"), ("d < 1", "log1m(d)"), ("d < 1", "log(1 - d * d)"), ("d < 1", "(1 - d) ^ (-0.5)"),
    ("d < 1", "Beta_lpdf(d, 0.5, 0.5)"), ("d < 1", "atanh(d)"),
    ("sin(x) > 0.2 + y * x", "lgamma(sin(x) - 0.2 - x * y)"),
    ("y * x < y * y * y", "log(y * y * y - x * y)"),
])  # fmt: skip
def test_unbounded_at_a_curve(guard: str, value: str) -> None:
    latents = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nd = x ^ 2 + y ^ 2\n"
    assert set(codes(f"{latents}factor if {guard} then {value} else 0\n")) == {"PPL403"}
    assert set(codes(f"{latents}if {guard} {{ v = {value}\n observe 0.3 ~ Normal(v, 1) }}\n")) == {"PPL403"}


@pytest.mark.parametrize(("guard", "value"), [
    ("x > y", "log_diff_exp(x, y)"), ("x > 0.3", "lbeta(x - 0.3, 2)"), ("x > 0.3", "lbeta(2, x - 0.3)"),
    ("x > -1", "lchoose(5, x)"), ("x < 6", "lchoose(5, x)"), ("x > 0.3", "log(min(x - 0.3, 1))"),
    ("x > 0.3", "log(min(x - 0.3, exp(y)))"), ("x > 0.3", "log(clamp(x - 0.3, -1, 1))"),
    ("x > 0.3", "Uniform_lcdf(x, 0.3, 9)"), ("x > exp(y)", "Pareto_lcdf(x, exp(y), 2)"),
])  # fmt: skip
def test_unbounded_in_one_of_two_arguments(guard: str, value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor if {guard} then {value} else 0\n") == ["PPL403"]


@pytest.mark.parametrize("value", [
    "log(max(x - 0.3, 1e-3))", "log(clamp(x - 0.3, 1e-3, 1))", "log(min(x, 1))", "lchoose(5, x)", "lbeta(x, 2)",
    "Uniform_lcdf(x, 0, 9)",
])  # fmt: skip
def test_finite_in_one_of_two_arguments(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\nfactor if x > 0.3 and x < 4 then {value} else 0\n") == []


@pytest.mark.parametrize(("guard", "value"), [
    ("x * y > 0.3", "sqrt(x * y - 0.3)"), ("x * y > 0.3", "log(x * y)"), ("d < 1", "log(2 - d)"), ("d < 1", "acos(d)"),
    ("d < 1", "log(1.01 - d)"), ("d < 1", "log(d + 0.1)"), ("d < 1", "1 / (1 + d)"),
])  # fmt: skip
def test_finite_at_a_curve(guard: str, value: str) -> None:
    latents = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nd = x ^ 2 + y ^ 2\n"
    assert codes(f"{latents}factor if {guard} then {value} else 0\n") == []


@pytest.mark.parametrize("value", [
    "log(x % 1)", "log(x - floor(x))", "(x % 1) * log(x % 1)", "log(1 - x % 1)", "log(0.5 * (x * y) % 1)",
    "log(2 - (x * y) % 2)", "sqrt(x % 1) ^ (-1)", "log(ceil(x) - x)",
])  # fmt: skip
def test_unbounded_at_levels(value: str) -> None:
    assert set(codes(f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor {value}\n")) == {"PPL403"}


@pytest.mark.parametrize("value", [
    "sqrt(x % 1)", "log(1 + x % 1)", "log(3 - (x * y) % 2)", "log(1 + exp(x) - floor(x))",
])  # fmt: skip
def test_finite_at_levels(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor {value}\n") == []


def test_a_distance_from_the_guard_helps() -> None:
    assert codes("x ~ Normal(0, 1)\nfactor if x > 0.01 then log(x) else 0\n") == []


SINGULAR = """
x ~ Normal(0.3, 1)
y ~ Normal(0, 1)
a = if x > 0 then log(x) else -1
m = if y > 0.2 then 1 else -0.5
observe 0.7 ~ Normal(a + m, 1)
observe 0.2 ~ Normal(m * x, 1)
"""


def test_the_gradient_is_right_where_no_boundary_term_exists() -> None:
    """Against quadrature over x on either side of the guard, and over y by its two outcomes."""

    def elbo(p: dict[str, Any]) -> Any:
        (mx, my), (sx, sy) = ([f(p[k][s]) for s in "xy"] for k, f in (("loc", float_), ("log_scale", jnp.exp)))
        nodes, weights = np.polynomial.legendre.leggauss(40)
        centres = np.linspace(-1, 1, 101)[:-1] + 0.01
        nodes, weights = (centres[:, None] + 0.01 * nodes).ravel(), np.tile(0.01 * weights, 100)
        total = -0.5 * (my**2 + sy**2) + jnp.log(sy) - 0.5 * ((mx - 0.3) ** 2 + sx**2) + jnp.log(sx) + 1.0
        above = jax.scipy.stats.norm.sf((0.2 - my) / sy)
        for lo, hi in ((-9.0, 0.0), (0.0, 9.0)):
            # Squared nodes gather at the logarithm's pole.
            t = (nodes + 1) / 2
            x, w = lo + (hi - lo) * (t**2 if lo == 0 else t), weights * (hi - lo) / 2 * (2 * t if lo == 0 else 1.0)
            q = jax.scipy.stats.norm.pdf(x, mx, sx) * w
            a = jnp.log(x) if lo == 0 else -1.0
            for m, p_m in ((1.0, above), (-0.5, 1 - above)):
                total += p_m * jnp.sum(q * (-0.5 * (0.7 - a - m) ** 2 - 0.5 * (0.2 - m * x) ** 2))
        return total - jnp.log(2 * jnp.pi)

    with jax.enable_x64(True):
        problem = ppl.compile(SINGULAR).bind()
        assert [g.status for g in problem.guards] == ["score", "marginalised"]
        params = {"loc": {"x": jnp.asarray(0.4), "y": jnp.asarray(-0.1)},
                  "log_scale": {"x": jnp.asarray(-0.2), "y": jnp.asarray(0.1)}}  # fmt: skip
        value, grad = jax.value_and_grad(elbo)(params)
        found = {}
        for estimator in ("combined", "interior"):
            fn = problem.elbo_and_grad(estimator=estimator, samples=1000)
            keys = jax.random.split(jax.random.key(2), 200)
            found[estimator] = jax.lax.map(lambda k, fn=fn: fn(params, k), keys)
    z = {name: deviations(got, (value, grad)) for name, got in found.items()}
    assert max(z["combined"]) < 5 and max(z["interior"]) > 20


def float_(x: Any) -> Any:
    return x


def deviations(got: Any, want: Any) -> list[float]:
    out = []
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        g = np.asarray(g)
        out.append(float(np.abs(g.mean() - np.asarray(w)) / (g.std(ddof=1) / np.sqrt(len(g)))))
    return out


ELSEWHERE = {
    "a rate that a branch chooses": "rate = if x > 0 then x else 1\nobserve 1 ~ Poisson(rate)",
    "in natural units": "d ~ Normal(1700, 30)\nr = if d > 1750 then 0.1 * (d - 1750) else 2\nobserve 1 ~ Poisson(r)",
    "a function": "fn r(c: real) -> real { return if c > 0 then c else 1 }\nobserve 1 ~ Exponential(r(x))",
    "a vector": "w: real[3] ~ Normal(0, 1)\nif min(w) > 0 { observe [1, 2, 3] ~ Poisson(w) }",
    "a sum of logarithms": "w: real[2] ~ Normal(0, 1)\nif w[0] > 0 and w[1] > 0 { factor sum(log(w)) }",
    "shares": "if x > 0 and x < 1 { observe 0 ~ Categorical([x, 1 - x]) }",
    "another loop": "var w: real[2]\nbad = 0\nfor t in 0..2 { w[t] ~ Normal(0, 1)\nif w[t] <= 0 { bad = bad + 1 } }\n"
    "if bad == 0 { for i in 0..2 { observe 2 ~ Poisson(w[i]) } }",
    "state": "r = 0.5\nw: real[2] ~ Normal(0, 1)\nfor t in 0..2 { observe 1 ~ Poisson(r)\n"
    "r = if w[t] > 0 then w[t] else 0.5 }",
    "a root": "y ~ Normal(0, 1)\nr = sqrt(x^2 + y^2)\nfactor if r < 1 then log(1 - r^2) else -2",
    "scaled by data": "data s: real\nfactor if x / s > 1 then log(x - s) else -1",
    "a clipped value": "m = max(x - 1, 0)\nfactor if m > 0 then log(m) else -3",
    "an entropy": "m = relu(x)\nfactor if m > 0 then m * log(m) else 0.1",
    "a determinant": "y ~ Normal(0, 1)\nif x > 0 and x > y * y { factor log_det([[x, y], [y, 1]]) }",
}  # fmt: skip
ELSEWHERE |= {
    "under a condition on the index": "z: real[5] ~ Normal(0, 1)\n"
    "for i in 0..5 { if i >= 3 { if z[i] > 0 { factor log(z[i]) } } }",
    "under an outcome": "k ~ Categorical([0.3, 0.3, 0.4])\nif k == 2 { if x > 0 { factor log(x) } }",
    "under data": "data g: int[3]\nfor i in 0..3 { if g[i] == 5 { observe 2 ~ Poisson(if x > 0 then x else 1) } }",
    "under other guards": "a ~ Normal(0, 1)\nb ~ Normal(0, 1)\n"
    "r = if a > 1 then (if b > 1 then (if x > 0 then x else 1) else 2) else 3\nobserve 2 ~ Poisson(r)",
    "under a narrow condition": "a ~ Normal(0, 2)\nif a > 2 and a < 2.3 { if x > 0 { factor log(x) } }",
    "of ordered latents": "c: ordered[2] ~ Uniform(0, 7)\nfor i in 0..3 "
    "{ observe 1 ~ Poisson(if i > c[0] then 2 * (i - c[0]) else 0.3) }",
}  # fmt: skip
ELSEWHERE |= {
    "in reach by data": "data hi: real\nd ~ Uniform(0, hi)\nfactor if d > 100 then log(d - 100) else 0",
    "a small circle": "y ~ Normal(0, 1)\nu = x^2 + y^2 - 0.001\nfactor if u > 0 then log(u) else 0",
}
ROUND = "y ~ Normal(0, 1)\nr = sqrt(x^2 + y^2)\n"  # no form tells what log(1 - r * r) is where r is 1
ELSEWHERE |= {
    "at a whole number": "n = floor(x)\nfactor if n >= 2 then log(x - 2) else 0",
    "at a large whole number": "n = floor(x)\nfactor if n >= 7 then log(x - 7) else 0",
    "at a whole number, under an outcome": "b ~ Bernoulli(0.5)\n"
    "if b == 0 and floor(x) == 1 { factor inv_Phi((x - 1) / x) }",
    "a share": "p ~ Dirichlet([1, 1, 1])\nfactor if p[0] > 0.5 then log(p[0] - 0.5) else 0",
    "a correlation": "L ~ LKJCholesky(3, 2)\nfactor if L[1, 0] > 0.2 then log(L[1, 0] - 0.2) else 0",
    "a clipped ordered latent": "c: ordered[3] ~ Uniform(0, 2)\nm = relu(0.7 - c[1])\nif m > 0 { factor log(m) }",
    "a late element": "w: real[10] ~ Normal(0, 1)\nv = [2 * w[i] for i in 0..10]\n"
    "factor if v[9] > 0.5 then log(v[9] - 0.5) else 0",
    "a late element, by no form": "w: real[10] ~ Normal(0, 1)\nv = 2 * w\nr = sqrt(v[9]^2 + w[0]^2)\n"
    "factor if r < 1 then log(1 - r * r) else 0",
    "under a count": "k ~ Poisson(3) in (0, 20)\nif k > 4 and x > 0 { r = sqrt(x * x)\n factor log(r) }",
    "under data, by no form": f"data g: int\ndata h: real\n{ROUND}if g == 7 and h > 30 "
    "{ if r < 1 { factor log(1 - r * r) } }",
    "under other guards, by no form": f"z ~ Normal(0, 1)\n{ROUND}factor if r < 1 then "
    "(if z > 2 then (if y > 0.5 then log(1 - r * r) else 0) else 0) else 1",
    "a matrix that is singular": "m = inverse([[if x > 0 then x else 1, 0], [0, 1]])\nobserve 1 ~ Normal(m[0, 0], 1)",
    "a smaller value, clipped": "y ~ Normal(0, 1)\nm = if min(x, 0.5 * y) > 0.1 then min(x, 0.5 * y) - 0.1 else 0\n"
    "observe 1 ~ Exponential(if m > 0 then 0.5 * m else 0.5)",
    "a support without width": "if x > 0.2 { z ~ Uniform(0.2 - x, x - 0.2) } else { z = 0.3 }\n"
    "observe 0.3 ~ Normal(z, 1)",
    "a truncation without width": "if x > 0.2 { z ~ Normal(0, 1) in (0.2 - x, x - 0.2) } else { z = 0.3 }\n"
    "observe 0.3 ~ Normal(z, 1)",
    "no number at a level": "y ~ Normal(0, 1)\nif y > 0.9 { factor -0.1 } else if floor(x) == 1 "
    "{ factor 0.4 * (x - 1) * log(x - 1) } else { factor 0.3 }",
    "on both sides": "factor if x > 0.2 then log(x - 0.2) else log(0.2 - x)",
}  # fmt: skip
BOUNDED = {
    "out of reach of a support": "d ~ Uniform(50, 1000)\nfactor LogNormal_lpdf(d, 5, 1)",
    "out of reach of a truncation": "d ~ Normal(3, 1) in (1, inf)\nfactor if d > 0 then log(d) else -9",
    "a condition on a logarithm": "y ~ Normal(0, 1)\nif x > 0 and log(x) > y { factor 1 }",
    "at another whole number": "n = floor(x)\nfactor if n >= 2 then log(x - 1) else 0",
    "another share": "p ~ Dirichlet([1, 1, 1])\nfactor if p[0] > 0.5 then log(p[0] - 0.4) else 0",
    "where another guard forbids it": f"{ROUND}factor if r < 1 then (if y > 1.5 then log(1 - r * r) else 0) else 1",
    "where a condition inside forbids it": "y ~ Normal(0, 1)\nu = x * y - 0.2\n"
    "factor if u > 0 then (if u > 0.2 then log(u) else 0.4) else 1",
    "kept away": "w: real[2] ~ Normal(0, 1)\nv = [2 * w[i] for i in 0..2]\nu = v[1] - 0.4\n"
    "if u > 0 { factor log(max(u, 0.1)) }",
    "a power beside data": "data t: real\ny ~ Normal(0, 1)\nif x + 0.5 * y - t > 0 { factor (x + 0.5 * y - t)^1.5 }",
    "a margin": "u: real[3] ~ Normal(0, 1)\ns ~ LogNormal(-1, 0.3)\nbest = 0\n"
    "for k in 1..3 { if u[k] > u[best] + 0.1 * s { best = k } }\nobserve 1.2 ~ Normal(u[best], s)",
    "another threshold": "r = if x > 1 then x else 2\nobserve 1 ~ Poisson(r)",
}  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_unbounded_where_the_value_goes(name: str) -> None:
    assert "PPL403" in codes(f"x ~ Normal(0, 1)\n{ELSEWHERE[name]}\n")


@pytest.mark.parametrize("name", BOUNDED)
def test_nothing_is_unbounded(name: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\n{BOUNDED[name]}\n") == []


def test_data_say_where_a_branch_is_unbounded() -> None:
    model = ppl.compile("data a: real\nx ~ Normal(0, 1)\nfactor if x > 0 then log(x - a) else 0\n")
    assert [[g.status for g in model.bind({"a": a}).guards] for a in (-1.0, 0.0)] == [["boundary"], ["score"]]


SAID_BY_DATA = {
    "a pole at the guard": ("boundary", "score", {"a": -1.0}, {"a": 0.0},
        "data a: real\nx ~ Normal(0, 1)\nobserve 0.3 ~ Normal(if x > 0 then log(x - a) else 0, 1)\n"),
    "one of many": ("boundary", "score", {"b": [0.3, 1.0]}, {"b": [0.3, 0.0]},
        "data b: real[2]\nx ~ Normal(0, 1)\n"
        "for j in 0..2 { r = if x > b[j] then x else 2\n observe 1 ~ Poisson(r) }\n"),
    "a slope that vanishes": ("boundary", "boundary", {"w": [1, 2]}, {"w": [1, 0]},
        "data w: real[2]\nz: real[2] ~ Normal(0, 1)\ny ~ Normal(0, 1)\n"
        "for i in 0..2 { factor if w[i] * z[i] + y > 0.3 then z[i] else y }\n"),
    "a line without latents": ("boundary", "boundary", {"n": 2}, {"n": 0},
        "data n: int\nz: real[n] ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor if sum(z) + y > 0.3 then y else sum(z)\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID_BY_DATA)
def test_explain_with_data_shows_what_is_bound(name: str) -> None:
    *statuses, usual, special, source = SAID_BY_DATA[name]
    model = ppl.compile(source)
    for status, data in zip(statuses, (usual, special), strict=True):
        (shown,), (bound,) = model.explain(data)["guards"], model.bind(data).guards
        assert shown["status"] == status
        for field in ("status", "kind", "direction", "effect", "count", "reason"):
            assert shown[field] == getattr(bound, field), field


def test_default_data_warn_of_what_they_make_unbounded() -> None:
    """Only where the program can be bound as it is: other data may be meant."""
    default = "data a: real = {}\n{}x ~ Normal(0, 1)\nfactor if x > 0 then log(x - a) else 0\n"
    said = ppl.compile(default.format(0, "")).said_by_defaults()
    assert [(d.code, d.span and d.span.line) for d in said] == [("PPL403", 3)]
    for other in (default.format(-1, ""), default.format(0, "data b: real\n")):
        assert ppl.compile(other).said_by_defaults() == ()


def test_numbers_that_overflow_are_no_crash() -> None:
    product = "[" + ", ".join(["2000000000 + k"] * 40) + "]"
    codes(f"k ~ Bernoulli(0.5)\nx ~ Normal(0, 1)\nobserve 1 ~ Exponential(if x > 0 then prod({product}) else 1)\n")
