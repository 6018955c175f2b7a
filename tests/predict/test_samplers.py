"""Functions that draw, of the standard library and of a program: moments and shares against exact ones."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
from scipy import stats

import ppl
from ppl.predict import Predicted, notes_on, predict_prior
from ppl.sample import sample

N = 20_000
COV = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])


def drawn(source: str, n: int = N, **data: object) -> Predicted:
    problem = ppl.compile(source).bind(data)
    assert not [d for d in notes_on(problem) if d.code == "PPL811"]
    return predict_prior(problem, jax.random.key(3), n)


def agrees(values: np.ndarray, exact: object) -> bool:
    """Whether means over axis 0 lie within 4.5 standard errors of the exact ones."""
    error = values.std(axis=0) / math.sqrt(len(values))
    return bool(np.all(np.abs(values.mean(axis=0) - np.asarray(exact)) <= 4.5 * error + 1e-12))


def shares(values: np.ndarray, exact: np.ndarray) -> bool:
    return all(agrees(np.asarray(values == k, float), p) for k, p in enumerate(exact))


LIBRARY = """
use multivariate
use counts
data cov: real[3, 3]
data L: real[3, 3]
data a: real[2, 3]
data b: real[3]
data p: real[3]
data k: int[3]
data o: int
data zip: int[2]
data zinb: int
data hp: int
data hnb: int
x ~ Normal(1, 1)
observe a ~ MvNormal([x, 0, -x], cov)
observe b ~ MvNormalCholesky([1, 2, 3], L)
observe p ~ Dirichlet([1, 2, 3])
observe k ~ Multinomial(7, [0.2, 0.5, 0.3])
observe o ~ OrderedLogistic(0.3, [-1, 0.5, 2])
observe zip ~ ZeroInflatedPoisson([0.2, 0.7], 2)
observe zinb ~ ZeroInflatedNegativeBinomial(0.3, 2, 1.5)
observe hp ~ HurdlePoisson(0.4, 1.5)
observe hnb ~ HurdleNegativeBinomial(0.4, 2, 1.5)
"""


def test_the_standard_library() -> None:
    found = drawn(
        LIBRARY, cov=COV, L=np.linalg.cholesky(COV), a=np.zeros((2, 3)), b=np.zeros(3), p=[0.2, 0.3, 0.5],
        k=[1, 2, 4], o=1, zip=[0, 1], zinb=1, hp=1, hnb=1,
    )  # fmt: skip
    y, x = found.observations, found.latents["x"]
    assert found.undefined == 0 and y["k"].dtype == y["o"].dtype == np.int64
    rest = y["a"] - x[:, None, None] * np.array([1, 0, -1])
    assert agrees(rest, np.zeros((2, 3)))
    for row in (rest[:, 0], rest[:, 1], y["b"] - [1, 2, 3]):
        assert agrees(row[:, :, None] * row[:, None, :], COV)
    assert agrees(rest[:, 0] * rest[:, 1], np.zeros(3))  # rows are independent
    assert agrees(y["p"], np.array([1, 2, 3]) / 6) and np.allclose(y["p"].sum(axis=1), 1, atol=1e-5)
    assert agrees(y["p"] ** 2, [stats.beta(a, 6 - a).moment(2) for a in (1, 2, 3)])
    assert np.all(y["k"].sum(axis=1) == 7) and agrees(y["k"], [1.4, 3.5, 2.1])
    law = stats.multinomial(7, [0.2, 0.5, 0.3])
    assert agrees((y["k"] - law.p * 7)[:, :, None] * (y["k"] - law.p * 7)[:, None, :], law.cov())
    assert shares(y["o"], np.diff(stats.logistic.cdf([-np.inf, -1.3, 0.2, 1.7, np.inf])))
    counts = np.arange(8)
    poisson, negative = stats.poisson(2).pmf(counts), stats.nbinom(1.5, 1.5 / 3.5).pmf(counts)
    zero = counts == 0
    for i, share in enumerate((0.2, 0.7)):
        assert shares(y["zip"][:, i], share * zero + (1 - share) * poisson)
    assert shares(y["zinb"], 0.3 * zero + 0.7 * negative)
    other = stats.poisson(1.5).pmf(counts)
    assert shares(y["hp"], np.where(zero, 0.4, 0.6 * other / (1 - other[0])))
    assert shares(y["hnb"], np.where(zero, 0.4, 0.6 * negative / (1 - negative[0])))


OWN = """
use counts
data drift: real = 0.5
data n: int = 4
fn scaled(x: real, s: real) -> real { return x * s }
fn Walk_lpdf(y: real[], s: real) -> real {
    return Normal_lpdf(y[0], 0, s) + sum(Normal_lpdf(y[1..length(y)], y[0..length(y) - 1] + drift, s))
}
fn Walk_rng(s: real) -> real[] {
    at ~ Normal(0, s)
    path = [0.0 for i in 0..n]
    for i in 0..n {
        if i > 0 {
            step ~ Normal(drift, s)
            at = at + step
        }
        path = path + [if j == i then at else 0 for j in 0..n]
    }
    return path
}
fn Two_lpmf(k: int[], rate: real) -> real { return sum(ZeroInflatedPoisson_lpmf(k[0], 0.5, rate) + 0 * k) }
fn Two_rng(rate: real) -> int[] {
    c: int[2] ~ ZeroInflatedPoisson([0, 0.5], rate)
    e: real[2] ~ Normal(0, 1)
    up = 0
    for i in 0..2 { up = if scaled(e[i], 2) > 3 then up + 1 else up }
    return [c[0], c[1], up]
}
data y: real[2, n] = [[0, 1, 2, 3], [0, 1, 2, 3]]
data k: int[3] = [1, 2, 0]
observe y ~ Walk([0.5, 2])
observe k ~ Two(3)
"""


def test_a_program_of_loops_branches_and_other_samplers() -> None:
    y = drawn(OWN).observations
    for i, s in enumerate((0.5, 2)):
        walk, t = y["y"][:, i], np.arange(4)
        assert agrees(walk, 0.5 * t)
        centred = walk - 0.5 * t
        assert agrees(centred[:, :, None] * centred[:, None, :], s**2 * (1 + np.minimum(t[:, None], t)))
    assert agrees(y["k"], [3, 1.5, 2 * stats.norm.sf(1.5)])
    assert agrees(y["k"][:, 2] ** 2, stats.binom(2, stats.norm.sf(1.5)).moment(2))


LATENT = """
use multivariate
fn Skewed_lpdf(y: real, m: real, left: real, right: real) -> real {
    return log(2 / (left + right)) + Normal_lpdf((y - m) / (if y < m then left else right), 0, 1)
}
fn Skewed_rng(m: real, left: real, right: real) -> real {
    size ~ HalfNormal(1)
    below ~ Bernoulli(left / (left + right))
    return if below == 1 then m - left * size else m + right * size
}
data cov: real[3, 3]
data y: real = 1.5
s ~ Skewed(1, 0.5, 2)
b: real[3] ~ MvNormal([s, 0, 0], cov)
var z: real[2]
z[0] ~ Skewed(0, 1, 1)
z[1] ~ Skewed(z[0], 1, 3)
if b[1] > 0 { w: real[2] ~ Skewed([0, 5], 1, 1) }
observe y ~ Normal(b[0] + b[2], 1)
"""


def test_latents_are_drawn_from_the_prior() -> None:
    latents = drawn(LATENT, cov=COV).latents
    s, b, z, w = (latents[k] for k in "sbzw")
    half = math.sqrt(2 / math.pi)
    assert agrees(s, 1 + half * (2**2 - 0.5**2) / 2.5) and agrees((s - 1) ** 2, (2**3 + 0.5**3) / 2.5)
    centred = b - s[:, None] * np.array([1, 0, 0])
    assert agrees(centred[:, :, None] * centred[:, None, :], COV)
    assert agrees(z[:, 1] - z[:, 0], half * (9 - 1) / 4) and agrees((z[:, 1] - z[:, 0]) * (z[:, 0]), 0)
    there = b[:, 1] > 0
    assert np.array_equal(~np.isnan(w[:, 0]), there) and agrees(w[there], [0, 5]) and agrees(w[there][:, 0] ** 2, 1)


def test_fits_start_at_the_prior_and_know_its_probabilities() -> None:
    source = "use multivariate\nb: real[2] ~ MvNormal([40, -30], [[4, 1], [1, 9]])\n"
    source += "if b[0] > 41 { factor 0.5 }\nobserve 38 ~ Normal(b[0], 1)\n"
    fit = ppl.compile(source).infer(seed=0)
    np.testing.assert_allclose(fit.prior["b"].mean(axis=0), [40, -30], atol=0.6)
    np.testing.assert_allclose(fit.branches[0]["prior"], stats.norm.sf(0.5), atol=0.08)
    np.testing.assert_allclose(fit.params["loc"]["b"], [38.4, -30.4], atol=0.15)


def test_particles_start_at_the_prior() -> None:
    pytest.importorskip("blackjax")
    source = "use multivariate\ndata y: real[2] = [1.5, -0.5]\n"
    source += "b: real[2] ~ MvNormal([1, 2], [[2, 0.8], [0.8, 1]])\nobserve y ~ Normal(b, 1)\n"
    found = sample(ppl.compile(source).bind(), "smc", chains=4, draws=500)
    prior, total = np.array([[2, 0.8], [0.8, 1]]), np.array([[3, 0.8], [0.8, 2]])
    mean = [1, 2] + prior @ np.linalg.solve(total, [0.5, -2.5])
    np.testing.assert_allclose(found.draws["b"].mean(axis=0), mean, atol=0.12)
    evidence = stats.multivariate_normal([1, 2], total).logpdf([1.5, -0.5])
    np.testing.assert_allclose(found.diagnostics["log_evidence"], evidence, atol=0.15)


def test_draws_that_are_not_defined_are_not_numbers() -> None:
    source = "use counts\ndata k: int[2] = [1, 2]\nx ~ Normal(0, 1)\n"
    source += "observe k ~ ZeroInflatedPoisson(0.5, [2, if x > 0 then exp(1000 * x) else 1])\n"
    found = drawn(source, 2000)
    k, high = found.observations["k"], found.latents["x"] > 0.2
    assert (
        np.all(np.isnan(k[high, 1]))
        and not np.any(np.isnan(k[:, 0]))
        and not np.any(np.isnan(k[found.latents["x"] < 0]))
    )
    assert 0.2 < found.undefined < 0.3


PAIR = """
fn Pair_lpdf(y: real[], m: real[]) -> real {{ return -sum(square(y - m[0])) }}
fn Pair_rng(m: real[]) -> real[] {{
    e: real[length(m)] ~ Normal(0, 1)
    return {value}
}}
data n: int
b: real[2] ~ Pair([0.5 for i in 0..n])
"""


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("[e[i + 1] for i in 0..length(m)]", "PPL208", "index 2 is outside an array of size 2"),
        ("e + [1, 2, 3]", "PPL506", "needs equal sizes, but they are 2 and 3"),
        ("[e[0]]", "PPL506", "returns 1 numbers where `length(m)` is 2, and 2 are wanted"),
        ("e[1..length(m) + 1]", "PPL208", "index 3 is outside an array of size 3"),
    ],
)
def test_sizes_are_checked_where_a_sampler_is_used(value: str, code: str, words: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(PAIR.format(value=value)).bind({"n": 2})
    found = caught.value.diagnostics[0]
    assert found.code == code and words in found.message, found
    ppl.compile(PAIR.format(value="e + m")).bind({"n": 2})
