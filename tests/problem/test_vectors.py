"""Latents whose elements do not vary freely: simplexes, ordered vectors, factors of correlation matrices, and guards on
their elements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from numpyro.distributions import transforms as npt
from scipy import special, stats
from scipy.integrate import quad

import ppl

LEGENDRE = np.polynomial.legendre.leggauss(16)


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# -------------------------------------------------------------------- transforms


class Ratios:
    """Increasing positive numbers, each ``1 + exp(u)`` times the one before it."""

    def __call__(self, u: Any) -> Any:
        return jnp.exp(u[0]) * jnp.cumprod(jnp.concatenate([jnp.ones(1), 1 + jnp.exp(u[1:])]))

    def log_abs_det_jacobian(self, u: Any, z: Any) -> Any:
        return jnp.sum(jnp.log(z)) + jnp.sum(jax.nn.log_sigmoid(u[1:]))


ALPHA = [2.0, 0.6, 3.0, 1.0]
FACTOR = npd.LKJCholesky(3, 1.7)
JOINT: dict[str, tuple[str, Any, Callable[[Any], Any]]] = {
    "simplex": (
        "z ~ Dirichlet([2.0, 0.6, 3.0, 1.0])", npt.StickBreakingTransform(), 
        lambda z: npd.Dirichlet(jnp.asarray(ALPHA)).log_prob(z),
    ),
    "factor": ("z ~ LKJCholesky(3, 1.7)", npt.CorrCholeskyTransform(), FACTOR.log_prob),
    "ordered": (
        "z: ordered[3] ~ Normal(0.5, 2)", npt.OrderedTransform(),
        lambda z: jnp.sum(npd.Normal(0.5, 2).log_prob(z)) + jnp.log(6.0),
    ),
    "ordered, positive": (
        "z: ordered[3] ~ Gamma(2, 1.5)", Ratios(),
        lambda z: jnp.sum(npd.Gamma(2, 1.5).log_prob(z)) + jnp.log(6.0),
    ),
    "ordered, bounded": (
        "z: ordered[3] ~ Uniform(-1, 4)",
        npt.ComposeTransform([npt.OrderedTransform(), npt.SigmoidTransform(), npt.AffineTransform(-1.0, 5.0)]),
        lambda z: 3 * jnp.log(0.2) + jnp.log(6.0) + 0 * jnp.sum(z),
    ),
    "ordered, truncated": (
        "z: ordered[3] ~ Normal(0, 1) in (-1, 4)",
        npt.ComposeTransform([npt.OrderedTransform(), npt.SigmoidTransform(), npt.AffineTransform(-1.0, 5.0)]),
        lambda z: jnp.sum(npd.TruncatedNormal(0.0, 1.0, low=-1.0, high=4.0).log_prob(z)) + jnp.log(6.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", JOINT)
def test_value_density_and_their_gradients_are_those_of_numpyro(name: str) -> None:
    source, transform, prior = JOINT[name]
    problem = ppl.compile(source).bind()

    def theirs(u: Any) -> Any:
        z = transform(u)
        return prior(z) + transform.log_abs_det_jacobian(u, z)

    for u in ([0.3, -1.2, 0.7], [-2.0, 1.5, -0.4]):
        x = jnp.asarray(u)
        got = jax.jit(jax.value_and_grad(lambda u: problem.log_density({"z": u})))(x)
        want = jax.value_and_grad(theirs)(x)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-10)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-8, atol=1e-10)
        z = problem.constrain({"z": x})["z"]
        np.testing.assert_allclose(z, transform(x), rtol=1e-12)
        np.testing.assert_allclose(problem.unconstrain({"z": z})["z"], x, rtol=1e-9)
        np.testing.assert_allclose(problem.log_joint({"z": z}), prior(z), rtol=1e-10)


def test_concentrations_may_be_latent() -> None:
    problem = ppl.compile("a: real[3] ~ Exponential(1)\np ~ Dirichlet(a)\n").bind()
    z = {"a": jnp.asarray([0.4, 1.7, 5.0]), "p": jnp.asarray([0.2, 0.7, 0.1])}

    def theirs(z: Any) -> Any:
        return npd.Dirichlet(z["a"]).log_prob(z["p"]) - jnp.sum(z["a"])

    got, want = (jax.value_and_grad(lambda a, f=f: f({**z, "a": a}))(z["a"]) for f in (problem.log_joint, theirs))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-10)


def test_a_point_off_the_simplex_has_density_zero() -> None:
    problem = ppl.compile("p ~ Dirichlet([2, 3])\nreport first = p[0]").bind()
    assert problem.log_joint({"p": jnp.asarray([0.5, 0.6])}) == -jnp.inf
    assert problem.log_joint({"p": jnp.asarray([-0.1, 1.1])}) == -jnp.inf
    assert problem.log_joint({"p": jnp.asarray([0.0, 1.0])}) == -jnp.inf
    assert jnp.isfinite(ppl.compile("p ~ Dirichlet([1, 3])").bind().log_joint({"p": jnp.asarray([0.0, 1.0])}))


@pytest.mark.parametrize(
    ("source", "data", "said"),
    [
        ("p ~ Dirichlet([1, 0, 1])", {}, "element [1], is 0"),
        ("data a: real[2]\np ~ Dirichlet(a)", {"a": [1.0, -2.0]}, "element [1], is -2"),
        ("data n: int\np: simplex[n] ~ Dirichlet([1, 2])", {"n": 3}, "needs equal sizes"),
        ("data n: int\np ~ Dirichlet([1.0 for k in 0..n])", {"n": 0}, "negative size"),
        ("data n: int\nL ~ LKJCholesky(n, 2)", {"n": 0}, "it must be 1 or more"),
        ("data n: int\nL: real[3, 3] ~ LKJCholesky(n, 2)", {"n": 2}, "needs equal sizes"),
    ],
)
def test_what_only_data_show(source: str, data: dict[str, Any], said: str) -> None:
    with pytest.raises(ppl.PplError, match=re.escape(said)):
        ppl.compile(source).bind(data)


def test_one_share_is_all() -> None:
    problem = ppl.compile("data n: int\np ~ Dirichlet([2.0 for k in 0..n])\nobserve 1 ~ Normal(p[0], 1)").bind({"n": 1})
    value, _ = problem.elbo_and_grad()(problem.init_params(), jax.random.key(0))
    assert value == pytest.approx(stats.norm.logpdf(0))


def test_ordered_positive_numbers_have_a_mean_under_the_guide() -> None:
    """Products of exponentials, whose means are known; exponentials of exponentials have none, so that the ELBO is
    minus infinity, which no number of draws tells."""
    problem = ppl.compile("z: ordered[2] ~ Exponential(1)").bind()
    x, w = np.polynomial.hermite_e.hermegauss(40)
    u = jnp.asarray(np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2))
    found = np.outer(w, w).ravel() @ jax.vmap(lambda u: problem.log_density({"z": u}))(u) / (2 * np.pi)
    np.testing.assert_allclose(found, np.log(2) - 2 * np.exp(0.5) - np.exp(1), rtol=1e-9)


def test_an_ordered_vector_increases() -> None:
    problem = ppl.compile("c: ordered[3] ~ Normal(0, 2)\n").bind()
    assert problem.log_joint({"c": jnp.asarray([0.0, 2.0, 1.0])}) == -jnp.inf
    assert jnp.all(jnp.isnan(problem.unconstrain({"c": jnp.asarray([0.0, 2.0, 1.0])})["c"]))


def test_a_fit_starts_at_given_shares() -> None:
    model = ppl.compile("p ~ Dirichlet([2, 3, 1])\nobserve 0.4 ~ Normal(p[0], 0.1)\n")
    fit = model.infer(init={"p": [0.2, 0.5, 0.3]}, steps=1, lr=1e-9, starts=1)
    np.testing.assert_allclose(model.bind().constrain(fit.params["loc"])["p"], [0.2, 0.5, 0.3], atol=1e-4)
    for wrong in ([0.2, 0.5, 0.4], [0.5, 0.5, 0.0]):
        with pytest.raises(ppl.PplError, match="its elements are positive and sum to 1"):
            model.infer(init={"p": wrong}, steps=1)


@pytest.mark.parametrize("u", [[800.0, 3.0], [-800.0, 0.0], [0.0, 800.0], [40.0, -40.0]])
@pytest.mark.parametrize("source", ["z ~ Dirichlet([0.5, 2, 1])", "z: ordered[2] ~ Uniform(0, 1)"])
def test_far_out_everything_stays_finite(source: str, u: list[float]) -> None:
    problem = ppl.compile(source).bind()
    value, slope = jax.jit(jax.value_and_grad(lambda u: problem.log_density({"z": u})))(jnp.asarray(u))
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(slope))
    z = problem.constrain({"z": jnp.asarray(u)})["z"]
    assert jnp.all((z > 0) & (z <= 1))


def test_in_single_precision_too() -> None:
    with jax.enable_x64(False):
        problem = ppl.compile("p ~ Dirichlet([0.5 + 0.1 * k for k in 0..40])").bind()
        u = jax.random.normal(jax.random.key(0), (39,)) * 2
        value = jax.jit(problem.log_density)({"p": u})
        assert value.dtype == jnp.float32
    exact = jax.jit(problem.log_density)({"p": jnp.asarray(np.asarray(u), jnp.float64)})
    np.testing.assert_allclose(value, exact, rtol=2e-5)


def test_prior_draws() -> None:
    source = (
        "p ~ Dirichlet([2.0, 0.5, 3.0])\nt: ordered[2] ~ Uniform(0, 3)\nc: ordered[3] ~ Normal(1, 2)\n"
        "h: ordered[2] ~ Exponential(1)\n"
    )
    problem = ppl.compile(source).bind()
    z = jax.jit(lambda key: jax.vmap(problem.constrain)(problem.prior(key, 4000)))(jax.random.key(2))
    share = np.asarray([2, 0.5, 3]) / 5.5
    error = np.sqrt(share * (1 - share) / 6.5 / 4000)
    assert np.all(np.abs(np.mean(z["p"], 0) - share) < 4 * error)
    assert stats.kstest(z["t"][:, 0], lambda t: 1 - (1 - t / 3) ** 2).pvalue > 1e-3
    assert stats.kstest(z["t"][:, 1], lambda t: (t / 3) ** 2).pvalue > 1e-3
    assert stats.kstest(z["c"][:, 2], lambda t: stats.norm.cdf(t, 1, 2) ** 3).pvalue > 1e-3
    assert stats.kstest(z["h"][:, 0], lambda t: stats.expon.cdf(2 * t)).pvalue > 1e-3
    assert stats.kstest(z["h"][:, 1], lambda t: stats.expon.cdf(t) ** 2).pvalue > 1e-3


# ------------------------------------------------------------------------ guards


def guards(source: str) -> dict[str, tuple[str, str, str]]:
    found = ppl.compile(source).explain()["guards"]
    return {g["text"]: (g["kind"], g["direction"], g["effect"]) for g in found}


def test_how_guards_on_elements_are_crossed() -> None:
    found = guards(
        "data n: int = 4\ndata K: int = 3\n"
        "p ~ Dirichlet([1, 2, 3])\nr ~ Dirichlet([1.0 for k in 0..K])\n"
        "c: ordered[3] ~ Normal(0, 2)\nt: ordered[2] ~ Uniform(0, n)\n"
        "for i in 0..n {\n"
        "    a = (if p[0] > 0.3 then 1 else 0) + (if p[2] < p[1] then 1 else 0) + (if i < c[2] then 1 else 0)\n"
        "    b = (if i < t[1] then 1 else 0) + (if r[0] > 0.3 then 1 else 0) + (if c[2] - c[0] > i then 1 else 0)\n"
        "    observe 0.3 ~ Normal(a + b + 0 * (p[0] + r[0] + c[0] + t[0]), 1)\n}\n"
        "for k in 0..3 { observe 0.4 ~ Normal(if c[k] > 0.5 then c[k] else 0, 1) }\n"
    )
    assert found == {
        "p[0] > 0.3": ("monotone", "p[0] (unconstrained)", "local"),
        "p[2] < p[1]": ("monotone", "p[1] (unconstrained)", "local"),
        "i < c[2]": ("affine", "c[0] (unconstrained)", "local"),
        "i < t[1]": ("monotone", "t[0] (unconstrained)", "local"),
        "r[0] > 0.3": ("smooth", "every r (unconstrained)", "local"),
        "c[2] - c[0] > i": ("monotone", "c[1] (unconstrained)", "local"),
        "c[k] > 0.5": ("affine", "c[0] (unconstrained)", "local"),
    }


class Exact:
    """The ELBO of a density of two coordinates under independent Gaussians, by quadrature along lines that are cut
    where the density jumps: `cuts(None)` are the places in the first coordinate, `cuts(u)` those in the second there.
    """

    def __init__(self, log_density: Callable[[Any, Any], Any], cuts: Callable[[float | None], list[float]]) -> None:
        self.log_density, self.cuts = log_density, cuts

    def __call__(self, theta: np.ndarray[Any, Any]) -> float:
        loc, scale = theta[:2], np.exp(theta[2:])
        total = 0.0
        for u, w in zip(*nodes(loc[0], scale[0], self.cuts(None)), strict=True):
            v, weights = nodes(loc[1], scale[1], self.cuts(u))
            entropy = -stats.norm.logpdf(u, loc[0], scale[0]) - stats.norm.logpdf(v, loc[1], scale[1])
            total += w * float(np.sum(weights * (self.log_density(u, v) + entropy)))
        return total

    def gradient(self, theta: np.ndarray[Any, Any], step: float = 1e-4) -> np.ndarray[Any, Any]:
        return np.array([(self(theta + e) - self(theta - e)) / (2 * step) for e in step * np.eye(4)])


def nodes(loc: float, scale: float, cuts: list[float]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Places and weights of an expectation under a Gaussian, exact for functions that are smooth between the cuts."""
    low, high = loc - 9 * scale, loc + 9 * scale
    edges = np.concatenate([np.linspace(low, high, 7), [c for c in cuts if low < c < high]])
    edges.sort()
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    places = (middle[:, None] + half[:, None] * LEGENDRE[0]).ravel()
    return places, (half[:, None] * LEGENDRE[1]).ravel() * stats.norm.pdf(places, loc, scale)


def logit(p: float) -> list[float]:
    return [float(special.logit(p))] if 0 < p < 1 else []


def shares(u: Any, v: Any) -> Any:
    first, second = special.expit(u - np.log(2)), special.expit(v)
    return np.stack(np.broadcast_arrays(first, (1 - first) * second, (1 - first) * (1 - second)))


def simplex_density(u: Any, v: Any) -> Any:
    p = shares(u, v)
    a = np.array([2.0, 1.5, 3.0])
    prior = special.gammaln(6.5) - special.gammaln(a).sum() + np.tensordot(a - 1, np.log(p), 1)
    jacobian = np.log(p[0]) + 2 * np.log1p(-p[0]) + np.log(special.expit(v)) + np.log(special.expit(-v))
    return prior + jacobian + np.where(p[0] > 0.3, 1.5, -0.5) + np.where(p[2] - p[1] > 0.2, p[0] - 1, 0)


def simplex_cuts(u: float | None) -> list[float]:
    if u is None:
        return [float(special.logit(0.3) + np.log(2)), float(special.logit(0.8) + np.log(2))]
    return logit(0.5 * (1 - 0.2 / (1 - special.expit(u - np.log(2)))))


def ordered_density(u: Any, v: Any) -> Any:
    low, high = np.broadcast_arrays(u, u + np.exp(v))
    y = np.array([-0.4, 0.3, 1.1])[:, None]
    mean = np.where(y < low, 0, np.where(y < high, 1, 2))
    prior = np.log(2) + stats.norm.logpdf(low, 0, 2) + stats.norm.logpdf(high, 0, 2) + v
    return prior + stats.norm.logpdf(y, mean, 0.7).sum(0) + np.where(high - low > 1, 0.8, 0)


def ordered_cuts(u: float | None) -> list[float]:
    y = [-0.4, 0.3, 1.1]
    return y if u is None else [0.0, *(float(np.log(x - u)) for x in y if x > u)]


def changes_density(u: Any, v: Any) -> Any:
    ends = np.broadcast_arrays(u, u + np.exp(v))
    low, high = (4 * special.expit(x) for x in ends)
    jacobian = v + 2 * np.log(4) + sum(special.log_expit(x) + special.log_expit(-x) for x in ends)
    i = np.arange(4)[:, None]
    rate = np.where(i < low, 1, np.where(i < high, 3, 2))
    return np.log(2) - 2 * np.log(4) + jacobian + stats.poisson.logpmf(np.array([0, 4, 2, 3])[:, None], rate).sum(0)


def changes_cuts(u: float | None) -> list[float]:
    places = [float(special.logit(i / 4)) for i in (1, 2, 3)]
    return places if u is None else [float(np.log(x - u)) for x in places if x > u]


def waits_density(u: Any, v: Any) -> Any:
    low, high = np.broadcast_arrays(np.exp(u), np.exp(u) * (1 + np.exp(v)))
    jacobian = np.log(low) + np.log(high) + special.log_expit(v)
    i = np.arange(4)[:, None]
    rate = np.where(i < low, 1, np.where(i < high, 3, 2))
    prior = np.log(2) - low - high
    return prior + jacobian + stats.poisson.logpmf(np.array([0, 4, 2, 3])[:, None], rate).sum(0)


def waits_cuts(u: float | None) -> list[float]:
    places = [float(np.log(i)) for i in (1, 2, 3)]
    return places if u is None else [float(np.log(np.expm1(x - u))) for x in places if x > u]


SIMPLEX = """
{head}
p ~ Dirichlet({alpha})
if p[0] > 0.3 {{ factor 1.5 }} else {{ factor -0.5 }}
if p[2] - p[1] > 0.2 {{ factor -1 + p[0] }}
"""
ORDERED = """
c: ordered[2] ~ Normal(0, 2)
data y: real[3] = [-0.4, 0.3, 1.1]
for i in 0..3 { observe y[i] ~ Normal(sum([if y[i] < c[k] then 0 else 1 for k in 0..2]), 0.7) }
if c[1] - c[0] > 1 { factor 0.8 }
"""
CHANGES = """
data y: int[4] = [0, 4, 2, 3]
p: ordered[2] ~ Uniform(0, 4)
for i in 0..4 { observe y[i] ~ Poisson(if i < p[0] then 1 else if i < p[1] then 3 else 2) }
"""
WAITS = CHANGES.replace("Uniform(0, 4)", "Exponential(1)")
THETA = np.array([0.2, -0.3, -0.4, -0.2])
GUARDED = {
    "shares": (SIMPLEX.format(head="", alpha="[2.0, 1.5, 3.0]"), Exact(simplex_density, simplex_cuts)),
    "shares, searched": (
        SIMPLEX.format(head="data K: int = 3\ndata a: real[K] = [2.0, 1.5, 3.0]", alpha="a"),
        Exact(simplex_density, simplex_cuts),
    ),
    "cuts": (ORDERED, Exact(ordered_density, ordered_cuts)),
    "change points": (CHANGES, Exact(changes_density, changes_cuts)),
    "change points without an end": (WAITS, Exact(waits_density, waits_cuts)),
}


SLOW = ("shares, searched",)  # whole grids in three dimensions


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in GUARDED])
def test_gradients_of_guarded_programs_are_exact_on_average(name: str) -> None:
    source, exact = GUARDED[name]
    problem = ppl.compile(source).bind()
    site = problem.sites[0].name
    params = {"loc": {site: jnp.asarray(THETA[:2])}, "log_scale": {site: jnp.asarray(THETA[2:])}}
    keys = jax.random.split(jax.random.key(5), 4000)

    def run(estimator: str) -> Any:
        value, grad = jax.jit(jax.vmap(problem.elbo_and_grad(estimator=estimator, samples=2), (None, 0)))(params, keys)
        return np.concatenate([value[:, None], grad["loc"][site], grad["log_scale"][site]], 1)

    want = np.array([exact(THETA), *exact.gradient(THETA)])
    found = run("combined")
    error = found.std(0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(found.mean(0) - want) < 4.5 * error + 1e-4), (found.mean(0), want, error)
    if name == "shares":
        blind = run("interior").mean(0)
        assert np.any(np.abs(blind - want) > 20 * error), "the case does not need its boundaries"


def test_a_guide_with_dependence() -> None:
    """At parameters at which it is the mean-field guide, a richer guide has the same exact gradient."""
    guide = "fullrank"
    source, exact = GUARDED["shares"]
    problem = ppl.compile(source).bind()
    params = problem.init_params(guide)
    params["loc"]["p"], params["log_scale"]["p"] = jnp.asarray(THETA[:2]), jnp.asarray(THETA[2:])
    keys = jax.random.split(jax.random.key(6), 4000)
    fn = jax.jit(jax.vmap(problem.elbo_and_grad(guide=guide, samples=2), (None, 0)))
    value, grad = fn(params, keys)
    found = np.concatenate([value[:, None], grad["loc"]["p"], grad["log_scale"]["p"]], 1)
    error = found.std(0, ddof=1) / np.sqrt(len(keys))
    want = np.array([exact(THETA), *exact.gradient(THETA)])
    assert np.all(np.abs(found.mean(0) - want) < 4.5 * error + 1e-4), (found.mean(0), want, error)


@pytest.mark.slow
def test_guards_on_correlations() -> None:
    source = """
L ~ LKJCholesky(3, 2.0)
R = matmul(L, transpose(L))
if R[2, 1] > 0.2 { factor 1.3 }
if L[2, 0] > 0.1 { factor -0.7 }
"""
    problem, plain = ppl.compile(source).bind(), ppl.compile("L ~ LKJCholesky(3, 2.0)").bind()
    assert [(g.kind, g.direction) for g in problem.guards] == [
        ("smooth", "every L (unconstrained)"), ("monotone", "L[1] (unconstrained)"),
    ]  # fmt: skip
    theta = np.array([0.3, -0.2, 0.4, -0.5, -0.3, -0.6])
    x, w = np.polynomial.hermite_e.hermegauss(14)
    eps = jnp.asarray(np.stack(np.meshgrid(x, x, x), -1).reshape(-1, 3))
    weight = jnp.asarray(np.prod(np.stack(np.meshgrid(w, w, w), -1).reshape(-1, 3), 1) / w.sum() ** 3)

    def smooth(theta: Any) -> Any:
        u = theta[:3] + jnp.exp(theta[3:]) * eps
        return weight @ jax.vmap(lambda u: plain.log_density({"L": u}))(u) + jnp.sum(theta[3:])

    def chances(theta: np.ndarray[Any, Any]) -> float:
        """What the factors add: of the first, the last coordinate is integrated in closed form."""
        loc, scale = theta[:3], np.exp(theta[3:])
        (a, p), (b, q) = (nodes(loc[k], scale[k], []) for k in (0, 1))
        part = (0.2 - np.tanh(b) * np.tanh(a[:, None])) * np.cosh(b) * np.cosh(a[:, None])
        cut = np.where(np.abs(part) < 1, np.arctanh(np.clip(part, -1 + 1e-15, 1 - 1e-15)), np.sign(part) * 50)
        first = p @ stats.norm.sf(cut, loc[2], scale[2]) @ q
        return float(1.3 * first - 0.7 * stats.norm.sf(np.arctanh(0.1), loc[1], scale[1]))

    jumps = [(chances(theta + e) - chances(theta - e)) / 2e-4 for e in 1e-4 * np.eye(6)]
    want = np.asarray(jax.jit(jax.grad(smooth))(jnp.asarray(theta))) + jumps
    params = {"loc": {"L": jnp.asarray(theta[:3])}, "log_scale": {"L": jnp.asarray(theta[3:])}}
    keys = jax.random.split(jax.random.key(8), 4000)
    _, grad = jax.jit(jax.vmap(problem.elbo_and_grad(samples=2), (None, 0)))(params, keys)
    found = np.concatenate([grad["loc"]["L"], grad["log_scale"]["L"]], 1)
    error = found.std(0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(found.mean(0) - want) < 4.5 * error + 1e-4), (found.mean(0), want, error)
    assert np.max(np.abs(jumps) / error) > 30, "the case does not need its boundaries"


def test_prior_draws_of_factors() -> None:
    problem = ppl.compile("L ~ LKJCholesky(4, 1.5)").bind()
    factor = jax.jit(lambda key: jax.vmap(problem.constrain)(problem.prior(key, 4000)))(jax.random.key(3))["L"]
    correlation = np.asarray(factor @ jnp.swapaxes(factor, 1, 2))
    shape = 1.5 + (4 - 2) / 2  # of each correlation, which is 2 Beta(shape, shape) - 1
    for i, j in ((1, 0), (3, 1), (3, 2)):
        assert stats.kstest(correlation[:, i, j], stats.beta(shape, shape, -1, 2).cdf).pvalue > 1e-3


def test_a_simplex_that_one_branch_draws() -> None:
    source = (
        "x ~ Normal(0, 1)\n"
        "if x > 0.3 { p ~ Dirichlet([1, 2]); observe 0.7 ~ Normal(p[1], 0.2) } else { p = [0.5, 0.5] }\n"
        "observe 0.2 ~ Normal(p[0], 1)\n"
    )
    problem = ppl.compile(source).bind()
    loc, scale = 0.1, 0.8
    params = {
        "loc": {"x": jnp.asarray(loc), "p": jnp.asarray([0.2])},
        "log_scale": {"x": jnp.log(scale), "p": jnp.asarray([0.0])},
    }

    def drawn(u: float) -> float:
        p = special.expit(u)
        inside = np.log(2) + np.log1p(-p) + np.log(p) + np.log1p(-p) - stats.norm.logpdf(u, 0.2, 1)
        inside += stats.norm.logpdf(0.7, 1 - p, 0.2) + stats.norm.logpdf(0.2, p, 1)
        return float(stats.norm.pdf(u, 0.2, 1) * inside)

    gap = quad(drawn, -10, 10)[0] - stats.norm.logpdf(0.2, 0.5, 1)
    at = (0.3 - loc) / scale
    want = [-loc + gap * stats.norm.pdf(at) / scale, 1 - scale**2 + gap * stats.norm.pdf(at) * at]
    keys = jax.random.split(jax.random.key(7), 10000)
    _, grad = jax.jit(jax.vmap(problem.elbo_and_grad(samples=2), (None, 0)))(params, keys)
    found = np.stack([grad["loc"]["x"], grad["log_scale"]["x"]], 1)
    error = found.std(0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(found.mean(0) - want) < 4.5 * error), (found.mean(0), want, error)
    assert problem.log_joint({"x": jnp.asarray(-1.0)}) == pytest.approx(
        stats.norm.logpdf(-1.0) + stats.norm.logpdf(0.2, 0.5, 1)
    )


# -------------------------------------------------------------------- from end to end

MIXTURE = """
data n: int = 8
data y: real[n] = [-1.2, -0.9, -1.1, 0.1, 2.1, 1.8, 2.2, 1.9]
w ~ Dirichlet([1, 1, 1])
m: ordered[3] ~ Normal(0, 2)
for i in 0..n { observe y[i] ~ Mixture(w, Normal(m[0], 0.4), Normal(m[1], 0.4), Normal(m[2], 0.4)) }
if w[0] > w[1] { factor 0.1 }
report largest = max(w)
"""


def test_a_fit_has_values_in_the_shape_of_the_program(tmp_path: Path) -> None:
    model = ppl.compile(MIXTURE)
    assert [(s["name"], s["shape"], s["support"]) for s in model.explain()["sites"]] == [
        ("w", [3], "simplex"), ("m", [3], "ordered"),
    ]  # fmt: skip
    fit = model.infer(steps=150, seed=1)
    assert fit.params["loc"]["w"].shape == (2,)
    assert fit.draws["w"].shape[1:] == (3,)
    np.testing.assert_allclose(fit.draws["w"].sum(1), 1, atol=1e-6)
    assert np.all(np.diff(fit.draws["m"], axis=1) > 0)
    assert np.abs(fit.draws["m"].mean(0) - [-1.05, 0.1, 2.0]).max() < 0.8
    fit.save(tmp_path / "fit.nc")
    again = ppl.load_fit(tmp_path / "fit.nc")
    np.testing.assert_array_equal(again.draws["w"], fit.draws["w"])
    assert fit.to_inference_data()["posterior"]["w"].shape[-1] == 3
