"""Noise integrated out of terms that read it through a count alone."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

import ppl
from ppl.runtime import marginal

SURVEY = """
data n: int = {n}
x ~ Normal(0, 10)
noise score: real[n] ~ Normal(0, 1)
noise coin: real[n] ~ Normal(0, 1)
noise toss: real[n] ~ Normal(0, 1)
yes = 0
for i in 0..n {{
    answer = if coin[i] > 0 then score[i] > x else toss[i] > 0
    yes = yes + (if answer then 1 else 0)
}}
observe {k} ~ Binomial(n, (yes + {more}) / (n + 2 * {more}))
"""


def counted(source: str) -> list[str]:
    """The sites behind each count that is integrated out of a term."""
    found = ppl.compile(source)._compiled.regions.marginals
    return [" ".join(sorted(v.latent.site for v in m.variables)) for m in found if m.count is not None]


def expected(x: float, n: int, k: int, more: float) -> float:
    """The expectation of the observation's log density at `x`."""
    counts = np.arange(n + 1)
    answers = stats.binom.pmf(counts, n, 0.5 * stats.norm.sf(x) + 0.25)
    return float(answers @ stats.binom.logpmf(k, n, (counts + more) / (n + 2 * more)))


# ------------------------------------------------------------------------------------------------------ what is proved

LOOP = "x ~ Normal(0, 1); y ~ Normal(0, 1); noise e: real[4] ~ Normal(0, 1); k = 0; s = 0.0\n"


@pytest.mark.parametrize(
    ("body", "sites"),
    [
        ("for i in 0..4 { if e[i] > x { k = k + 1 } }; observe 2 ~ Poisson(k + 1)", ["e"]),
        ("for i in 0..4 { k = k + (if x < e[i] < x + y then 1 else 0) }; observe 2 ~ Poisson(exp(y) + k)", ["e"]),
        ("for i in 0..4 { if e[i] * 2 > exp(x) + y { s = s + 0.4 } }; observe 2 ~ Normal(s, 1)", ["e"]),
        ("for i in 0..4 { s = s + (if e[i] > x then 0.4 else -1) }; r = exp(s); observe 2 ~ Normal(y, r)", ["e"]),
        (
            "noise f: real[4] ~ Normal(y, 1); for i in 0..4 { if e[i] > x or f[i] > 0 { k = k + 1 } }; factor 0.1 * k",
            ["e f"],
        ),
        ("for i in 0..4 { if e[i] > x { k = k + 1 }; if e[i] > 0 { factor y } }; factor 0.1 * k * y", ["e"]),
        ("for i in 0..4 { if e[i] > x { k = k + 1 } }; factor if k > 2 then y else 0.1 * k", ["e"]),
        # refused
        ("for i in 0..4 { if e[i] > 0.3 * i { k = k + 1 } }; observe 2 ~ Poisson(k + 1)", []),  # another chance in each
        ("for i in 0..4 { if e[i] > x { k = k + i } }; observe 2 ~ Poisson(k + 1)", []),
        ("for i in 0..4 { if e[0] > x { k = k + 1 } }; observe 2 ~ Poisson(k + 1)", []),  # not independent
        ("for i in 0..4 { if e[i] > x and i < 2 { k = k + 1 } }; observe 2 ~ Poisson(k + 1)", []),
        ("for i in 0..4 { if e[i] > x { k = k + 1 } }; observe 2 ~ Normal(k + e[0], 1)", []),  # read elsewhere too
        ("for i in 0..4 { if e[i] > x { k = k + 1 }; if e[i] > y { s = s + 1 } }; observe 2 ~ Normal(k + s, 1)", []),
        (
            "for i in 0..4 { if e[i] > x { s = s + 0.4 } }; factor if s > y then y else 0.1 * s",
            [],
        ),  # decides a guard too
        ("for i in 0..4 { if e[i] > x { s = s + y } }; observe 2 ~ Normal(s, 1)", []),
        ("z: real[4] ~ Normal(0, 1); for i in 0..4 { if z[i] > x { k = k + 1 } }; factor 0.1 * k", []),  # each its own
        ("noise f: real[4] ~ Normal([1, 2, 3, 4], 1); for i in 0..4 { if f[i] > x { k = k + 1 } }; factor 0.1 * k", []),
        ("data c: real = 0; for i in 0..4 { if c * e[i] > x { k = k + 1 } }; factor 0.1 * k", []),  # it may be zero
        ("noise g: real[4] ~ Gamma(2, 1); for i in 0..4 { if g[i] > x { k = k + 1 } }; factor 0.1 * k", []),
        ("for i in 0..4 { if e[i] > x * e[0] { k = k + 1 } }; factor 0.1 * k", []),
        ("for i in 0..4 { if e[i] > x { k = k + 1 } else { k = 0 } }; factor 0.1 * k", []),  # no sum
    ],
)
def test_proofs(body: str, sites: list[str]) -> None:
    assert counted(LOOP + body) == sites


def test_explain_says_so() -> None:
    guards = {g["text"]: g for g in ppl.compile(SURVEY.format(n=20, k=7, more=1)).explain()["guards"]}
    assert [g["status"] for g in guards.values()] == ["fixed", "marginalised", "fixed"]
    reason = guards["score[i] > x"]["reason"]
    assert "integrated out of 1 term, of line 12, by the probabilities of the count" in reason


# ---------------------------------------------------------------------------------------------------------- the result


@pytest.mark.parametrize("n", [0, 1, 20, 4000])
@pytest.mark.parametrize("x", [-1.5, 0.4])
def test_expectations_are_exact(n: int, x: float) -> None:
    """Under a guide that is nearly a point, the ELBO is the expectation there, without noise."""
    k = int(0.4 * n)
    with jax.enable_x64(True):
        params = {"loc": {"x": jnp.asarray(x)}, "log_scale": {"x": jnp.asarray(-16.0)}}
        found: list[tuple[float, float]] = []
        for text in (SURVEY.format(n=n, k=k, more=1), "x ~ Normal(0, 10)"):  # with the same draws of x
            value, grad = ppl.compile(text).bind({}).elbo_and_grad(samples=2)(params, jax.random.key(0))
            found.append((float(value), float(grad["loc"]["x"])))
    step = 1e-4
    slope = (expected(x + step, n, k, 1) - expected(x - step, n, k, 1)) / (2 * step)
    (value, slope_found), (prior, prior_slope) = found
    assert value - prior == pytest.approx(expected(x, n, k, 1), rel=1e-6, abs=1e-6)
    assert slope_found - prior_slope == pytest.approx(slope, rel=1e-4, abs=1e-6)


PROGRAMS = {
    "weights": """
        data n: int = 9
        x ~ Normal(0, 1)
        b ~ Normal(0, 1)
        noise e: real[n] ~ Normal(b, 1.2)
        noise f: real[n] ~ Logistic(0.1, 0.7)
        s = 0.3 * b
        for i in 0..n { s = s + (if (e[i] > x and e[i] < x + 1.1) or f[i] < b then 0.4 else -0.25) }
        observe 0.7 ~ Normal(s, 0.9 + exp(-x))
    """,
    # The jump of `x > 0.2` is evaluated at a draw of the noise.
    "beside another boundary": """
        data n: int = 6
        x ~ Normal(0, 1)
        noise e: real[n] ~ Normal(0, 1)
        k = 0
        for i in 0..n { if e[i] > x { k = k + 1 } }
        v = if x > 0.2 then x else -1
        observe 0.7 ~ Normal(0.4 * k * v, 1)
    """,
    "partly": """
        data n: int = 5
        x ~ Normal(0, 1)
        noise e: real[n] ~ Normal(0, 1)
        k = 0
        for i in 0..n {
            hit = e[i] > x
            if hit { k = k + 1 }
            observe 0.2 ~ Normal(if hit then 0.5 else -0.5, 1)
        }
        if k > 2 { factor 0.4 * x }
        observe 3 ~ Binomial(n, (k + 1) / (n + 2))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_those_with_boundaries(name: str) -> None:
    assert counted(PROGRAMS[name])
    problem = ppl.compile(PROGRAMS[name]).bind({})
    flat, back = ravel_pytree(problem.init_params())
    params = back(jnp.asarray(np.random.default_rng(1).normal(0.1, 0.3, flat.shape), flat.dtype))
    means: dict[bool, np.ndarray] = {}
    errors: dict[bool, np.ndarray] = {}
    for marginalise in (True, False):
        fn = problem.elbo_and_grad(samples=16, marginalise=marginalise)

        def row(key: jax.Array, fn=fn) -> jax.Array:
            value, grad = fn(params, key)
            return jnp.concatenate([value[None], ravel_pytree(grad)[0]])

        rows = np.asarray(
            jax.jit(lambda keys, row=row: jax.lax.map(row, keys))(jax.random.split(jax.random.key(3), 20_000))
        )
        means[marginalise], errors[marginalise] = rows.mean(0), rows.std(0) / np.sqrt(len(rows))
    z = (means[True] - means[False]) / np.hypot(errors[True], errors[False])
    assert np.abs(z).max() < 4.5
    assert np.all(errors[True] < 1.05 * errors[False])
    assert errors[True].min() < 0.95 * errors[False].min()


def test_a_count_that_never_comes_does_not_matter() -> None:
    """At 0 of 100 the density is zero, which has the probability 1e-14 or so; of 5, it does matter."""
    rare, likely = (ppl.compile(SURVEY.format(n=n, k=k, more=0)).bind({}) for n, k in ((100, 35), (5, 2)))
    params = rare.init_params()
    value, grad = rare.elbo_and_grad(samples=64)(params, jax.random.key(1))
    assert np.isfinite(value) and np.isfinite(ravel_pytree(grad)[0]).all()
    assert float(likely.elbo_and_grad(samples=64)(params, jax.random.key(1))[0]) == -np.inf


def test_a_range_that_ends_before_it_begins_counts_nothing() -> None:
    text = "data m: int; x ~ Normal(0, 1); noise e: real[4] ~ Normal(0, 1); k = 0\n"
    text += "for i in 2..m { if e[i] > x { k = k + 1 } }; "
    model = ppl.compile(text + "observe 1.5 ~ Normal(k * x, 1)")
    (one, other) = (model.bind({"m": m}).elbo_and_grad(samples=2) for m in (0, 2))
    params = model.bind({"m": 0}).init_params()
    assert float(one(params, jax.random.key(0))[0]) == float(other(params, jax.random.key(0))[0])


def test_noise_that_is_integrated_out_of_everything_is_not_drawn() -> None:
    text = SURVEY.format(n=30, k=3, more=1)
    assert "NOISE = {}" in ppl.compile(PROGRAMS["beside another boundary"]).source_code
    assert 'NOISE = {"score": ("t6",), "coin": ("t6",), "toss": ("t6",)}' in ppl.compile(text).source_code
    problem = ppl.compile(text).bind({})

    def drawn(marginalise: bool) -> set[int]:
        """Numbers of a draw. They are drawn in two turns of a loop."""
        fn = problem.elbo_and_grad(samples=4, noise="independent", marginalise=marginalise)
        lines = str(jax.make_jaxpr(fn)(problem.init_params(), jax.random.key(0))).splitlines()
        shapes = [re.findall(r":f\d+\[([\d,]+)\] = erf_inv", line) for line in lines]
        return {2 * int(x) // 4 for found in shapes for x in found}

    assert drawn(True) == {1}
    assert drawn(False) == {91}


# --------------------------------------------------------------------------------------------------- the distribution


@pytest.mark.parametrize("n", [1, 7, 900, 100_000])
@pytest.mark.parametrize("p", [1e-30, 1e-4, 0.3, 0.5, 0.9999])
def test_binomial_probabilities_in_single_precision(n: int, p: float) -> None:
    k = np.unique(np.clip(np.round(stats.binom.ppf([1e-5, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-5], n, p)), 0, n)).astype(
        int
    )
    q = jnp.asarray(1 - p if p > 1e-8 else 1.0, jnp.float32)
    found = jax.vmap(marginal.binomial(n, jnp.asarray(p, jnp.float32), q))(jnp.asarray(k))
    p32, q32 = float(np.float32(p)), float(q)
    want = np.exp(stats.binom.logpmf(k, n, p32) if p < 0.5 else stats.binom.logpmf(n - k, n, q32))
    np.testing.assert_allclose(found, want, rtol=2e-3, atol=1e-30)
