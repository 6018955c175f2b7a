"""Latents integrated out of the terms that use them through guards alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_latent import elbo, gradient
from scipy import stats

import ppl
from ppl.problem.guides import MeanField
from ppl.runtime import densities as dist
from ppl.runtime import marginal, supports
from ppl.runtime.point import Point

TEXT = """
data n: int = 8
data y: real[n] = [0.9, 1.1, 0.8, 1.0, 3.0, 2.7, 3.3, 2.9]
early ~ Normal(0, 2)
late ~ Normal(0, 2)
change ~ Uniform(0, n)
for day in 0..n { observe y[day] ~ Normal(if day < change then early else late, 0.5) }
"""


def integrated(source: str) -> dict[str, str]:
    """Line of each term with the latents that are integrated out of it."""
    found = ppl.compile(source)._compiled.regions
    return {str(found.term_lines[m.term]): " ".join(v.latent.site for v in m.variables) for m in found.marginals}


def statuses(source: str) -> dict[str, str]:
    return {g["text"]: g["status"] for g in ppl.compile(source).explain()["guards"]}


# ------------------------------------------------------------------------------------------------------ what is proved


@pytest.mark.parametrize(
    ("body", "terms"),
    [
        ("observe 1 ~ Normal(if x > 0 then 1 else y, 1)", {"3": "x"}),
        ("observe 1 ~ Normal(if x > y then 1 else 2, 1)", {"3": "x"}),  # of two, one; the threshold may move
        ("observe 1 ~ Normal(if x > 0 and y > 1 then 1 else 2, 1)", {"3": "x y"}),
        ("observe 1 ~ Normal(if x > 0 then 1 else 2, 1); observe 0.5 ~ Normal(x, 1)", {"3": "x"}),
        ("k = if x > 0 then 1 else 2; observe 1 ~ Normal(if k > 1.5 then y else 2, 1)", {"3": "x"}),
        ("k = if x > 0 then 1 else 2; observe 1 ~ Normal(if y > k then 0 else 2, 1)", {"3": "y"}),
        ("if x > 0 { z ~ Normal(0, 2) } else { z = 1 }; observe 1 ~ Normal(z, 1)", {"3": "x"}),
        ("observe 1 ~ Normal(if x < 0 then 1 else if x < 1 then y else 2, 1)", {"3": "x"}),
        ("noise e ~ Exponential(exp(y)); factor if e < 1 then 0.3 else y", {"3": "e"}),
        ("factor if 3 - 2 * x > y then 0.3 else y", {"3": "x"}),
        ("observe 1 ~ Normal(if x ^ 2 > 1 then 1 else 2, 1)", {"3": "x"}),  # x - 1 > 0 and x + 1 > 0, or neither
        # refused
        ("observe 1 ~ Normal(if x > 0 then x else 2, 1)", {}),
        ("k = x + y; observe 1 ~ Normal(if x > 0 then k else 2, 1)", {}),
        ("observe 1 ~ Normal(if x * y > 1 then 1 else y, 1)", {}),  # the slope has either sign
        ("observe 1 ~ Normal(floor(x), 1)", {}),
        ("observe 1 ~ Normal(if x + sin(x) > 1 then 1 else 2, 1)", {}),
        ("factor if y > 0 then (if x > sqrt(y) then y else 1) else 0", {}),  # a threshold that is not always defined
        ("n = 0; for i in 0..3 { n = n + (if x > i then 1 else 0) }; observe 1 ~ Normal(n, 1)", {}),
        ("s = 0; for i in 0..3 { if x > i { s = 1 }; observe i ~ Normal(s, 1) }", {}),
        ("z ~ Uniform(0, exp(x)); observe 1 ~ Normal(if x > 0 then z else 2, 1)", {}),  # z moves with x
        ("if x > 0 { y2 = log(x) } else { y2 = 0 }; observe 1 ~ Normal(y2, 1)", {}),
    ],
)
def test_what_is_integrated_out_of_which_term(body: str, terms: dict[str, str]) -> None:
    source = f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\n{body}\n"
    found = {t: v for t, v in integrated(source).items() if t != "1"}
    assert {t: set(v.split()) for t, v in found.items()} == {t: set(v.split()) for t, v in terms.items()}


def test_a_term_that_is_integrated_needs_no_boundary_and_others_keep_theirs() -> None:
    source = "x ~ Normal(0, 1)\nobserve 1 ~ Normal(if x > 0 then 1 else 2, 1)\nfactor if x > 0 then x - 1 else 0\n"
    (guard, twin) = ppl.compile(source).explain()["guards"]
    assert (guard["status"], twin["status"]) == ("boundary", "merged")
    assert "integrated out of 1 term, of line 2" in guard["reason"]
    assert statuses(source.splitlines()[0] + "\n" + source.splitlines()[1])["x > 0"] == "marginalised"


def test_an_element_is_integrated_out_beside_its_neighbours() -> None:
    source = """
var f: real[5]
f[0] ~ Normal(0, 1)
for t in 1..5 { f[t] ~ Normal(if f[t-1] > 0 then 0.7 else -0.7, 1) }
"""
    assert integrated(source) == {"4": "f"}
    assert statuses(source) == {"f[t-1] > 0": "marginalised"}


# --------------------------------------------------------------------------------------------------- the right numbers


def estimates(problem: Any, params: Any, keys: int = 40, samples: int = 500, **options: Any) -> list[np.ndarray]:
    """ELBO and every component of the gradient, axis 0 the keys."""
    fn = problem.elbo_and_grad(samples=samples, **options)
    draw = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))
    value, grad = draw(jax.random.split(jax.random.key(5), keys))
    return [np.asarray(x, float).reshape(keys, -1) for x in jax.tree.leaves((value, grad))]


def agree(a: list[np.ndarray], b: list[np.ndarray], limit: float = 5.0) -> None:
    for x, y in zip(a, b, strict=True):
        error = np.sqrt((x.var(0, ddof=1) + y.var(0, ddof=1)) / len(x))
        assert np.all(np.abs(x.mean(0) - y.mean(0)) <= limit * error + 1e-4 * (1 + np.abs(x.mean(0))))


@pytest.mark.parametrize(
    "likelihood",
    [
        "if x > 0.2 then 1 else -2",
        "if 0.2 > x then 1 else -2",
        "if 1 - 2 * x > 0 then 0.5 else 3",
        "if x < a then 1 else if x < b then -2 else 0.3",
        "if x < b then 1 else if x < a then -2 else 0.3",  # the thresholds in the other order
        "(if x < a then 1 else 2) + (if x < same then 0.5 else 0)",  # and equal ones
        "(if zero * x < a then 1 else 2) + (if x < b then 0.5 else 0)",  # a guard with one outcome
        "if x < -1 then 1 else if x < 0 then -2 else if x < 1 then 0.3 else 4",
    ],
)
def test_intervals_between_thresholds(likelihood: str) -> None:
    data = {"a": -0.3, "b": 0.6, "same": -0.3, "zero": 0.0}
    fields = "".join(f"data {k}: real\n" for k in data)
    problem = ppl.compile(f"{fields}x ~ Normal(0, 1)\nobserve 0.4 ~ Normal({likelihood}, 1)\n").bind(data)
    assert "marginalised" in {g.status for g in problem.guards}
    python = re.sub(r"if (.*?) then (\S+?) else ", r"\2 if \1 else ", likelihood)
    while "if" in python and "then" in python:
        python = re.sub(r"if (.*?) then (\S+?) else ", r"\2 if \1 else ", python)

    def log_joint(x: float) -> float:
        mean = eval(python, {}, {**data, "x": x})  # the test's own text
        return float(stats.norm.logpdf(x) + stats.norm.logpdf(0.4, mean, 1))

    breaks = (-1.0, -0.3, 0.0, 0.2, 0.5, 0.6, 1.0)
    params = {"loc": {"x": jnp.asarray(0.4)}, "log_scale": {"x": jnp.asarray(-0.3)}}
    found = estimates(problem, params)
    exact = [elbo(log_joint, 0.4, -0.3, breaks), *gradient(log_joint, 0.4, -0.3, breaks)]
    for x, want in zip(found, exact, strict=True):
        error = x.std(ddof=1) / np.sqrt(len(x))
        assert error < 0.02
        assert abs(x.mean() - want) < 5 * error + 1e-4 * (1 + abs(want))


PROGRAMS = {
    "change point": (TEXT, {"early": 1.2, "late": 2.3, "change": 0.1}),
    "threshold that moves": (
        "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nobserve 1 ~ Normal(if x > 0.5 * y then y else 2, 1)\n",
        {"x": 0.2, "y": -0.3},
    ),
    "two latents": (
        "x ~ Normal(0, 1)\ny ~ Exponential(1)\n"
        "observe 1 ~ Normal(if x > 0 then (if y > 1 then 3 else 1) else (if y > 0.5 then -1 else 0), 1)\n",
        {"x": 0.2, "y": -0.3},
    ),
    "decided by the integrated one": (
        "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nk = if x > 0.3 then 1 else -0.5\n"
        "observe 1 ~ Normal((if y > k then 0 else 2) + y, 1)\n",
        {"x": 0.2, "y": -0.3},
    ),
    "two terms, each with its own": (
        "x ~ Normal(0, 1)\ny ~ Normal(0.3, 1.2)\nif x > 0 and y < 0.5 { factor 1.5 * y } else { factor 0.7 * x }\n",
        {"x": 0.2, "y": -0.3},
    ),
    "a latent in a branch": (
        "s ~ Normal(0, 1)\nif s > 0.3 { b ~ Normal(1, 0.5) } else { b = 0 }\nobserve 0.8 ~ Normal(b, 0.6)\n",
        {"s": 0.1, "b": 0.5},
    ),
    "whole numbers": ("x ~ Normal(0, 1)\nfactor if x > 0 then 1 else (if x > -0.5 then -2 else 0.5)\n", {"x": 0.2}),
    "whole numbers alone": ("x ~ Normal(0, 1)\nfactor step(x) + 2 * sign(x - 0.3)\n", {"x": 0.2}),
    "noise": (
        "y ~ Normal(0, 1)\nnoise e ~ Exponential(exp(y))\nfactor if e < exp(-y) * 0.5 + 0.2 then 0.3 else 2 * y\n",
        {"y": 0.3},
    ),
    "a support that moves": (
        "y ~ Exponential(1)\nx ~ Uniform(0, 1 + y)\nobserve 1 ~ Normal(if x > 0.7 then 2 else y, 1)\n",
        {"y": 0.3, "x": -0.2},
    ),
    "beyond the support": (
        "y ~ Normal(0, 1)\nx ~ Exponential(1)\nobserve 1 ~ Normal(if x > y then 2 else y, 1)\n",
        {"y": 0.3, "x": -0.2},
    ),
    "chain": (
        "var f: real[4]\nf[0] ~ Normal(0, 1)\n"
        "for t in 1..4 { f[t] ~ Normal(if f[t-1] > 0 then 0.7 else -1.5, 1); observe 1 ~ Normal(f[t], 2) }\n",
        {"f": np.array([0.3, -0.4, 0.5, 0.0])},
    ),
}


def params_of(loc: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "loc": jax.tree.map(jnp.asarray, dict(loc)),
        "log_scale": {k: jnp.full(np.shape(v), -0.7) for k, v in loc.items()},
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_expectation_is_that_of_the_plain_form(name: str) -> None:
    source, loc = PROGRAMS[name]
    problem = ppl.compile(source).bind()
    assert any("integrated out" in g.reason for g in problem.guards)
    params = params_of(loc)
    on, off = (estimates(problem, params, marginalise=m) for m in (True, False))
    agree(on, off)
    assert sum(x.var(0).sum() for x in on) <= 1.05 * sum(x.var(0).sum() for x in off)


def test_the_variance_falls() -> None:
    """The change itself is integrated in either form, so its own gradient is the same; that of the rates is not."""
    problem = ppl.compile(TEXT).bind()
    params = params_of({"early": jnp.asarray(1.2), "late": jnp.asarray(2.3), "change": jnp.asarray(0.0)})
    params["log_scale"] |= {"early": jnp.asarray(-4.0), "late": jnp.asarray(-4.0), "change": jnp.asarray(0.5)}
    fns = [problem.elbo_and_grad(samples=20, noise="independent", marginalise=m) for m in (True, False)]
    keys = jax.random.split(jax.random.key(2), 200)
    on, off = (jax.jit(jax.vmap(lambda k, f=f: f(params, k)[1]["loc"]))(keys) for f in fns)
    for rate in ("early", "late"):
        assert jnp.var(off[rate]) > 20 * jnp.var(on[rate])
    np.testing.assert_allclose(jnp.var(off["change"]), jnp.var(on["change"]), rtol=1e-2)


def test_a_guide_with_dependence_keeps_the_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, key = ppl.compile(TEXT).bind(), jax.random.key(0)
    params = problem.init_params()
    plain = problem.elbo_and_grad(samples=4, marginalise=False)(params, key)
    monkeypatch.setattr(MeanField, "independent", lambda self, site: site != "change")
    jax.tree.map(np.testing.assert_array_equal, problem.elbo_and_grad(samples=4)(params, key), plain)


def test_other_estimators_do_not_integrate() -> None:
    problem, key = ppl.compile(TEXT).bind(), jax.random.key(0)
    params = problem.init_params()
    for estimator in ("interior", "score"):
        on, off = (
            problem.elbo_and_grad(estimator=estimator, samples=4, marginalise=m)(params, key) for m in (True, False)
        )
        jax.tree.map(np.testing.assert_array_equal, on, off)


# --------------------------------------------------------------------------------------------- distribution functions

NOISES = {
    "normal": (stats.norm, (0.3, 1.4), lambda m, s: {"loc": m, "scale": s}, 0.9),
    "lognormal": (stats.lognorm, (0.2, 0.7), lambda m, s: {"s": s, "scale": np.exp(m)}, 1.7),
    "halfnormal": (stats.halfnorm, (1.3,), lambda s: {"scale": s}, 0.8),
    "uniform": (stats.uniform, (-1.0, 2.0), lambda a, b: {"loc": a, "scale": b - a}, 0.4),
    "exponential": (stats.expon, (1.5,), lambda r: {"scale": 1 / r}, 0.3),
    "cauchy": (stats.cauchy, (0.5, 1.2), lambda m, s: {"loc": m, "scale": s}, 3.0),
    "halfcauchy": (stats.halfcauchy, (1.2,), lambda s: {"scale": s}, 2.0),
    "laplace": (stats.laplace, (0.5, 1.2), lambda m, s: {"loc": m, "scale": s}, -1.0),
    "logistic": (stats.logistic, (0.5, 1.2), lambda m, s: {"loc": m, "scale": s}, 2.0),
    "weibull": (stats.weibull_min, (1.6, 2.0), lambda k, s: {"c": k, "scale": s}, 1.0),
    "pareto": (stats.pareto, (1.5, 2.5), lambda s, a: {"scale": s, "b": a}, 2.0),
}


@pytest.mark.parametrize("name", NOISES)
def test_the_distribution_function_of_a_noise(name: str) -> None:
    law, args, named, t = NOISES[name]
    density = getattr(dist, name)
    with jax.enable_x64(True):
        at = Point({"e": jnp.zeros((), jnp.float64)})

        def probability(t: Any, *args: Any) -> Any:
            return jax.scipy.special.ndtr(marginal.Noise(at, density, *args).standard(t))

        got = jax.value_and_grad(probability, tuple(range(1 + len(args))))(t, *args)
        step = 1e-6

        def law_cdf(point: np.ndarray) -> float:
            return float(law.cdf(point[0], **named(*point[1:])))

        point = np.array([t, *args])
        slopes = [(law_cdf(point + e) - law_cdf(point - e)) / (2 * step) for e in step * np.eye(len(point))]
        np.testing.assert_allclose(got[0], law_cdf(point), rtol=1e-9)
        np.testing.assert_allclose(got[1], slopes, rtol=1e-6)
        edges = law(**named(*args)).support()
        for edge, want in zip(edges, (0.0, 1.0), strict=True):
            if np.isfinite(edge):
                beyond = edge - 0.1 if want == 0 else edge + 0.1
                value, slope = jax.value_and_grad(probability)(beyond, *args)
                assert (value, slope) == (want, 0.0)


@pytest.mark.parametrize(
    ("transform", "bounds", "inside", "below", "above"),
    [
        (supports.real, (), (-2.0, 0.3, 4.0), (), ()),
        (supports.lower, (1.0,), (1.2, 3.0), (0.5, 1.0), ()),
        (supports.upper, (1.0,), (-3.0, 0.7), (), (1.0, 1.5)),
        (supports.interval, (-1.0, 2.0), (-0.9, 0.3, 1.9), (-1.0, -4.0), (2.0, 3.0)),
    ],
)
def test_the_distribution_function_of_a_latent(
    transform: Any,
    bounds: tuple[float, ...],
    inside: tuple[float, ...],
    below: tuple[float, ...],
    above: tuple[float, ...],
) -> None:
    with jax.enable_x64(True):
        loc, scale = 0.4, 0.8
        at = Point({"z": jnp.asarray(loc)}, {"z": jnp.asarray(loc)}, {"z": jnp.asarray(scale)})
        z = marginal.Latent(at, "z", transform, *bounds)
        draws = np.asarray(transform.forward(loc + scale * np.random.default_rng(0).normal(size=200_000), *bounds))
        for t in inside:
            p = float(jax.scipy.special.ndtr(z.standard(t)))
            assert abs(p - np.mean(draws < t)) < 5 * np.sqrt(p * (1 - p) / len(draws)) + 1e-12
        assert [float(z.standard(t)) for t in below] == [-np.inf] * len(below)
        assert [float(z.standard(t)) for t in above] == [np.inf] * len(above)
        assert all(float(jax.grad(z.standard)(t)) == 0.0 for t in (*below, *above))


def test_probabilities_keep_their_precision_in_both_tails() -> None:
    with jax.enable_x64(True):
        for a, b in ((-9.0, -8.5), (8.5, 9.0), (-1.0, 0.5), (-np.inf, -9.0), (9.0, np.inf)):
            got = float(marginal.intervals([jnp.asarray(a), jnp.asarray(b)])[1])
            np.testing.assert_allclose(
                got,
                stats.norm.cdf(-a) - stats.norm.cdf(-b) if a > 0 else stats.norm.cdf(b) - stats.norm.cdf(a),
                rtol=1e-12,
            )


@pytest.mark.parametrize("count", [1, 3])
def test_a_mean_moves_by_what_jumps_at_its_edges(count: int) -> None:
    """Value, gradient and second derivative are those of the probabilities, differentiated one by one."""
    with jax.enable_x64(True):
        edges = jnp.asarray([-0.7, 0.2, 1.9][:count])
        values = jnp.asarray([1.0, -2.5, 7.0, 0.3][: count + 1])

        def plain(at: jax.Array) -> jax.Array:
            cdf = jax.scipy.special.ndtr(at[:count])
            p = jnp.concatenate([cdf[:1], cdf[1:] - cdf[:-1], 1 - cdf[-1:]])
            return jnp.sum(p * jnp.exp(0.1 * at[count:]))

        def mean(at: jax.Array) -> jax.Array:
            return marginal.mean(tuple(at[:count]), tuple(jnp.exp(0.1 * at[count:])), True)

        at = jnp.concatenate([edges, values])
        np.testing.assert_allclose(mean(at), plain(at), rtol=1e-12)
        np.testing.assert_allclose(jax.grad(mean)(at), jax.grad(plain)(at), rtol=1e-12)
        np.testing.assert_allclose(jax.hessian(mean)(at), jax.hessian(plain)(at), rtol=1e-10, atol=1e-14)


def test_a_mean_leaves_out_infinite_values_without_probability() -> None:
    edges, values = (
        (jnp.asarray(-jnp.inf), jnp.asarray(0.5)),
        (jnp.asarray(jnp.inf), jnp.asarray(2.0), jnp.asarray(3.0)),
    )
    value, (by_edges, by_values) = jax.value_and_grad(marginal.mean, (0, 1))(edges, values, False)
    p = stats.norm.cdf(0.5)
    np.testing.assert_allclose(value, 2 * p + 3 * (1 - p), rtol=1e-6)
    np.testing.assert_allclose(by_edges, [0.0, -stats.norm.pdf(0.5)], rtol=1e-6)
    np.testing.assert_allclose(by_values, [0.0, p, 1 - p], rtol=1e-6)


def test_what_has_no_probability_does_not_count() -> None:
    """A branch without density where the guide cannot be leaves value and gradient finite."""
    source = "x ~ Uniform(0, 1)\ny ~ Normal(0, 1)\nif x < 2 { factor y } else { factor log(relu(y - 50)) }\n"
    problem = ppl.compile(source).bind()
    value, grad = problem.elbo_and_grad(samples=4)(problem.init_params(), jax.random.key(0))
    assert np.isfinite(value) and all(np.isfinite(g) for g in jax.tree.leaves(grad))


@pytest.mark.parametrize(
    ("likelihood", "finite"),
    [
        ("Normal(if x > 0 then y else 2 * y - 1, if x > 0 then 1 else 0.5)", True),
        ("Normal(if x > 0 then y else 1 / y, 1)", False),
        ("Normal(if x > 0 then y else log(abs(y)), 1)", False),
        ("Normal(if x > 0 then y else 0, if x > 0 then 1 else s)", False),
        ("StudentT(3, if x > 0 then y else 0, 1)", True),
        ("Exponential(if x > 0 then 1 else 2)", False),
    ],
)
def test_terms_that_are_finite_under_every_outcome(likelihood: str, finite: bool) -> None:
    """No term is taken for finite whose arguments may leave what its distribution allows."""
    source = f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\ns ~ HalfNormal(1)\nobserve 1 ~ {likelihood}\n"
    program = ppl.compile(source)
    assert any(g["status"] == "marginalised" for g in program.explain()["guards"])
    assert ("finite=True" in program.source_code) == finite


def test_what_the_guide_adds_to_a_draw_stands_apart_from_the_outcomes() -> None:
    """Only the prior of a draw depends on them; where its support does, all of it."""
    apart = ppl.compile("x ~ Normal(0, 1)\ny ~ Normal(if x > 0 then 1 else -1, 1)\n").source_code
    assert "at.without_prior" in apart
    within = ppl.compile("x ~ Normal(0, 1)\ny ~ Uniform(if x > 0 then 1 else -1, 3)\n").source_code
    assert "at.without_prior" not in within
