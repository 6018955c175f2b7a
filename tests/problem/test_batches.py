"""Minibatches: which loops can be taken in parts, and that the parts stand for the whole, in value and gradient.

A batch has one iteration of each of several ranges. So the average over all batches is a finite sum, and at fixed noise
it has to be the estimate from all iterations, whatever the program, to rounding: there is no statistics in it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import stats

import ppl
from ppl.infer import SettingsError, fit
from ppl.problem.estimators import surrogate
from ppl.runtime import batches

Tree = Any


@pytest.fixture(autouse=True, scope="module")
def wide() -> Any:
    with jax.enable_x64(True):
        yield


DATA = "data n: int = 5\ndata x: real[n] = [0.3, -1.1, 0.8, 0.2, -0.4]\ndata y: real[n] = [1.2, 0.1, 0.4, -0.9, 0.6]\n"
PROGRAMS = {
    # Guards inside and outside of the loop whose outcomes meet in one observation, and a factor of its own.
    "guards": """
        a ~ Normal(0, 1)
        b ~ Normal(0, 1)
        if a > b { m = 0.5 } else { m = -0.3 }
        for i in 0..n {
            mu = if x[i] + 0.3 * b < a then b else b * x[i]
            observe y[i] ~ Normal(mu * a + m, 1)
            if a * x[i] > 0.1 { factor -0.2 * b }
        }
    """,
    # Equal thresholds, in the data and in another statement: shares of one boundary.
    "ties": """
        a ~ Normal(0, 1)
        b ~ Normal(0, 1)
        if a > 0.3 { factor 0.4 * b }
        for i in 1..n { if a > x[i - 1] { observe y[i] ~ Normal(b, 1) } else { observe y[i] ~ Normal(-b, 2) } }
        for i in 0..n { if a > 0.3 { observe x[i] ~ Normal(b * y[i], 1) } }
    """,
    # Loops in the loop, with guards, and one as long as the data say.
    "nested": """
        data m: int[n] = [2, 0, 1, 3, 1]
        a ~ Normal(0, 1)
        b ~ LogNormal(0, 0.5)
        for i in 0..n {
            for j in i..i + m[i] {
                if a > x[i] - 0.1 * j { observe y[i] ~ Normal(a * b, 1) } else { observe y[i] ~ Normal(j, b) }
            }
        }
    """,
    # Searched boundaries, levels, elements of an array of latents, a discrete latent outside.
    "kinds": """
        w: real[2] ~ Normal(0, 1)
        k ~ Bernoulli(0.4)
        for i in 0..n {
            if w[0]^2 + w[1]^2 < 1 + x[i] { factor 0.3 * w[0] }
            observe y[i] ~ Normal(0.3 * floor(w[1] * x[i]) + k * w[i % 2], 1)
        }
    """,
    # A chain of discrete latents in a loop of its own, whose outcomes reach iterations of this one.
    "chain": """
        a ~ Normal(0, 1)
        var s: int[n]
        s[0] ~ Bernoulli(0.4)
        for i in 1..n { s[i] ~ Bernoulli(if s[i - 1] == 1 then 0.8 else 0.3) }
        for i in 0..n {
            m = if a > x[i] * s[i] then a else s[i]
            observe y[i] ~ Normal(m, 1)
        }
    """,
    # A vector of data, in one statement.
    "vector": """
        a ~ Normal(0, 1)
        b ~ Normal(0, 1)
        if a > 0.2 { observe y ~ Normal(a + b * x, 1) } else { observe y ~ StudentT(4, b * y[0], exp(a)) }
    """,
    # What is unbounded at its guard takes the score estimator.
    "scored": """
        a ~ Normal(0, 1)
        for i in 0..n { if a > x[i] { factor 0.1 * log(a - x[i]) } else { observe y[i] ~ Normal(a, 1) } }
    """,
}
GUIDES = {"guards": "fullrank", "ties": "meanfield", "nested": "fullrank", "kinds": "lowrank:1", "vector": "fullrank",
          "scored": "meanfield", "chain": "meanfield"}  # fmt: skip


def flat(tree: Tree) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def every_batch(extents: dict[int, int], count: int) -> tuple[dict[int, batches.Batch], np.ndarray]:
    """All batches of `count` iterations of every loop, stacked, and their probabilities."""
    loops, weights = [], []
    for k, n in extents.items():
        ends = np.arange(count + 1) * n // count
        loops.append([(k, rows) for rows in itertools.product(*(range(a, b) for a, b in itertools.pairwise(ends)))])
        weights.append(np.diff(ends))
    rows = list(itertools.product(*loops))
    probability = np.full(len(rows), 1 / len(rows))
    stacked = {
        k: batches.Batch(jnp.array([r[i][1] for r in rows]), jnp.tile(jnp.asarray(weights[i], float), (len(rows), 1)))
        for i, k in enumerate(extents)
    }
    return stacked, probability


@pytest.mark.parametrize(("name", "estimator", "marginalise"), [
    *((name, "combined", True) for name in PROGRAMS), ("guards", "interior", True), ("guards", "score", True),
    ("ties", "combined", False),
])  # fmt: skip
def test_the_average_over_all_batches_is_the_whole(name: str, estimator: str, marginalise: bool) -> None:
    problem = ppl.compile(DATA + PROGRAMS[name]).bind()
    extents = problem.batched(2)
    assert extents and set(extents.values()) <= {4, 5}
    family = problem.guide(GUIDES[name])
    rng = np.random.default_rng(5)
    params = jax.tree.map(lambda v: jnp.asarray(0.4 * rng.normal(size=v.shape)), family.init(float))
    data = problem._data(params["loc"])
    eps, own = jax.tree.map(lambda v: v[0], problem._base_draws(family, jax.random.key(2), 1, float, data))

    def value_and_grad(chosen: dict[int, batches.Batch]) -> Any:
        return jax.value_and_grad(lambda p: surrogate(
            problem._code, family, estimator, p, eps, own, data, problem.sizes, marginalise=marginalise, batches=chosen
        ))(params)  # fmt: skip

    stacked, probability = every_batch(extents, 2)
    found = jax.jit(lambda s: jax.lax.map(value_and_grad, s))(stacked)
    whole = jax.jit(lambda: value_and_grad({}))()
    rows = np.concatenate([np.asarray(v).reshape(len(probability), -1) for v in jax.tree.leaves(found)], axis=1)
    np.testing.assert_allclose(probability @ rows, flat(whole), rtol=1e-9, atol=1e-9)
    assert np.all(np.max(rows.std(axis=0)) > 1e-3)  # they differ


def test_rows_are_drawn_evenly() -> None:
    """Every range has one row, uniform in it, independent of the others."""
    drawn = jax.vmap(lambda k: batches.draw(k, 11, 3, float))(jax.random.split(jax.random.key(3), 6000))
    rows = np.asarray(drawn.rows)
    np.testing.assert_array_equal(np.asarray(drawn.weights), np.tile([3, 4, 4], (6000, 1)))
    for column, (lo, hi) in zip(rows.T, [(0, 3), (3, 7), (7, 11)], strict=True):
        assert stats.chisquare(np.bincount(column - lo, minlength=hi - lo)).pvalue > 0.001
    pairs = np.bincount((rows[:, 0] * 4 + rows[:, 1] - 3), minlength=12)
    assert stats.chisquare(pairs).pvalue > 0.001


EXACT = """
data n: int
data x: real[n]
data y: real[n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
for i in 0..n { observe y[i] ~ Normal(if b + x[i] > a then b else 1, 1) }
"""


def exact_elbo(x: Any, y: Any, params: Tree) -> Any:
    """In closed form but for one integral: given b, a is normal."""
    loc, scale = params["loc"], jax.tree.map(jnp.exp, params["log_scale"])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    b = loc["b"] + scale["b"] * nodes
    below = norm.cdf((b[:, None] + x - loc["a"]) / scale["a"])
    terms = below * norm.logpdf(y, b[:, None], 1) + (1 - below) * norm.logpdf(y, 1, 1)
    prior = sum(-0.5 * (loc[k] ** 2 + scale[k] ** 2) + 0.5 + jnp.log(scale[k]) for k in ("a", "b"))
    return weights @ jnp.sum(terms, axis=1) / np.sqrt(2 * np.pi) + prior


def moderate(n: int) -> tuple[Any, dict[str, Any]]:
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=n), rng.normal(size=n)
    return ppl.compile(EXACT).bind({"n": n, "x": x, "y": y}), {"x": x, "y": y}


CASES = (("meanfield", "combined"), ("fullrank", "combined"), ("meanfield", "interior"))


@pytest.mark.parametrize(("guide", "estimator"), CASES)
def test_estimates_from_minibatches_are_unbiased(guide: str, estimator: str) -> None:
    """Against exact values: the combined estimator has none of the bias that plain automatic differentiation shows."""
    problem, data = moderate(40)
    params = problem.init_params(guide)
    params["loc"] = {"a": jnp.asarray(0.3), "b": jnp.asarray(-0.2)}
    value, slope = jax.value_and_grad(lambda p: exact_elbo(data["x"], data["y"], p))(params)
    fn = problem.elbo_and_grad(guide, estimator, samples=200, marginalise=False, minibatch=7)
    elbo, grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(jax.random.split(jax.random.key(4), 100))

    def score(x: Any, want: Any) -> float:
        x = np.asarray(x)
        return float((x.mean() - want) / (x.std(ddof=1) / math.sqrt(len(x))))

    assert abs(score(elbo, value)) < 4
    scores = {(p, k): score(grad[p][k], slope[p][k]) for p in ("loc", "log_scale") for k in ("a", "b")}
    if estimator == "combined":
        assert max(map(abs, scores.values())) < 4, scores
    else:
        assert abs(scores["loc", "a"]) > 10, scores


def test_steps_cost_what_the_minibatch_costs() -> None:
    """A step on 200 of 400000 iterations does a small part of the arithmetic of one on 20000 of them."""
    problem, _ = moderate(400_000)
    params = problem.init_params()

    def operations(minibatch: int) -> float:
        fn = jax.jit(problem.elbo_and_grad(samples=2, marginalise=False, minibatch=minibatch))
        return float(fn.lower(params, jax.random.key(0)).compile().cost_analysis()["flops"])

    assert operations(200) < 0.03 * operations(20_000)


# ----------------------------------------------------------------- which loops

NOT = {
    "s = 0.0\nfor i in 0..n { s = 0.5 * s + a; observe y[i] ~ Normal(s, 1) }": "`s` is carried",
    "s = 0.0\nfor i in 0..n { s = s + a * x[i]; observe y[i] ~ Normal(a, 1) }\nfactor -s * s": "the sum `s` leaves it",
    "var z: real[n]\nfor i in 0..n { z[i] ~ Normal(a, 1); observe y[i] ~ Normal(z[i], 1) }": "it draws `z`",
    "var m: real[n]\nfor i in 0..n { m[i] = a * x[i]; observe y[i] ~ Normal(m[i], 1) }\nreport top = max(m)":
        "it fills `m`, which is read at line",
    "var m: real[n]\nfor i in 0..n { m[i] = a * x[i]; observe y[i] ~ Normal(m[i], 1) }": "it fills `m`, which is read",
    "var m: real[n]\nfor i in 0..n { m[i] = a * x[i]; observe y[i] ~ Normal(a, 1) }\n"
    "s = 0.0\nfor j in 0..n - 1 { s = s + m[j] }\nfactor -s * s": "it fills `m`, which is read at line",
    "for i in 0..n while a > x[i] { observe y[i] ~ Normal(a, 1) }": "is carried from one iteration",
}  # fmt: skip


@pytest.mark.parametrize("body", NOT)
def test_loops_that_have_to_run_whole(body: str) -> None:
    model = ppl.compile(f"{DATA}a ~ Normal(0, 1)\n{body}\n")
    (loop,) = model.explain()["loops"]
    assert not loop["minibatch"] and NOT[body] in loop["reason"]
    with pytest.raises(ppl.PplError) as caught:
        model.bind().elbo_loss(minibatch=2)
    assert caught.value.diagnostics[0].code == "PPL807" and NOT[body] in caught.value.diagnostics[0].message


def test_an_array_that_stays_in_its_loop_is_no_obstacle() -> None:
    body = "m = [if a > x[i] then a else 0 for i in 0..n]\nfor i in 0..n { observe y[i] ~ Normal(m[i], 1) }"
    assert ppl.compile(f"{DATA}a ~ Normal(0, 1)\n{body}\n").explain()["loops"][0]["minibatch"]


def test_a_program_without_loops_has_nothing_to_take_in_parts() -> None:
    problem = ppl.compile(f"{DATA}a ~ Normal(0, 1)\nobserve y[0] ~ Normal(a, 1)\n").bind()
    with pytest.raises(ppl.PplError, match="no loop observes anything"):
        problem.elbo_loss(minibatch=2)
    with pytest.raises(ValueError, match="at least 1 iteration"):
        problem.elbo_loss(minibatch=0)


# ------------------------------------------------------------------------- fits


def test_fits_on_minibatches_are_judged_on_all_data(tmp_path: Any) -> None:
    problem, data = moderate(60)
    options: dict[str, Any] = {"minibatch": 10, "starts": 2, "lr": 0.1, "seed": 3}
    found = fit(problem, steps=600, **options)
    assert found.settings.minibatch == 10 and found.to_json()["diagnostics"]["minibatch"] == 10
    assert abs(found.elbo - float(exact_elbo(data["x"], data["y"], found.params))) < 5 * found.elbo_se
    weights = jax.vmap(lambda u: problem.log_weight(found.params, u))(found.posterior.unconstrained)
    np.testing.assert_allclose(found.log_weight, weights, rtol=1e-9)
    best = fit(problem, steps=600, **{**options, "minibatch": None})
    assert found.elbo > best.elbo - 0.2
    path = tmp_path / "run.npz"
    fit(problem, steps=250, checkpoint=path, **options)
    again = fit(problem, steps=600, checkpoint=path, resume=True, **options)
    assert again.elbo == found.elbo
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)
    with pytest.raises(SettingsError, match="at least 1 iteration"):
        fit(problem, minibatch=0)
