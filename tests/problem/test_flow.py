"""Flows: the warp against its formula, densities, and gradients against quadrature (two latents: test_guides.py).

The latents of one program are independent of each other, so that its ELBO is a sum of integrals over one latent each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sinh_arcsinh
from jax.scipy.stats import norm
from scipy import special, stats

import ppl
from ppl.infer import fit, load_fit
from ppl.problem.existence import ALWAYS, NEVER
from ppl.problem.families import family_of
from ppl.problem.guides import Latents
from ppl.runtime.coordinates import SinhArcsinh

Tree = Any


@pytest.fixture(autouse=True, scope="module")
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def shaken(tree: Tree, seed: int = 3, size: float = 0.4) -> Tree:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(size * rng.normal(size=x.shape)), tree)


# ------------------------------------------------------------------------ the warp

SHAPES = [(skew, tail) for skew in (-40.0, -1.5, 0.0, 0.4, 40.0) for tail in (-40.0, -0.5, 0.0, 0.3, 40.0)]
NOISE = np.concatenate([np.linspace(-9, 9, 37), [1e-4, -1e-4, 38.0, -38.0]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_warp_is_what_its_formula_says_and_can_be_undone(dtype: str) -> None:
    digits = 1e-11 if dtype == "float64" else 1e-5
    v, parts = (np.stack(x) for x in zip(*((e, (0.3, -0.7, *p)) for p in SHAPES for e in NOISE), strict=True))
    v, parts = jnp.asarray(v, dtype), [jnp.asarray(x, dtype) for x in parts.T]
    warp = SinhArcsinh(*parts)
    u = warp.forward(v)
    exact = [np.asarray(x, np.float64) for x in (v, *parts)]
    np.testing.assert_allclose(u, sinh_arcsinh.forward(*exact), rtol=digits, atol=digits)
    np.testing.assert_allclose(warp.inverse(u), v, rtol=digits, atol=digits)
    np.testing.assert_allclose(-warp.log_slope(v), sinh_arcsinh.backward(sinh_arcsinh.forward(*exact), *exact[1:])[1],
                               rtol=digits, atol=10 * digits)  # fmt: skip

    def one(v: Any, *parts: Any) -> Any:
        return SinhArcsinh(*parts).forward(v)

    slopes = jax.vmap(jax.grad(one, argnums=range(5)))(v, *parts)
    assert all(np.all(np.isfinite(x)) for x in slopes)
    np.testing.assert_allclose(np.log(slopes[0]), warp.log_slope(v), rtol=digits, atol=10 * digits)
    back = jax.vmap(jax.grad(lambda u, *p: SinhArcsinh(*p).inverse(u), argnums=range(5)))(u, *parts)
    assert all(np.all(np.isfinite(x)) for x in back)
    # Where v stays the same: d inverse = - dv/du * d forward.
    for a, b in zip(slopes[1:], back[1:], strict=True):
        np.testing.assert_allclose(b * slopes[0], -a, rtol=10 * digits, atol=10 * digits * float(np.max(np.abs(a))))


def test_without_skew_and_tail_it_is_the_guide_below() -> None:
    shapes = {"a": (), "b": (3,)}
    for name in ("meanfield", "fullrank"):
        below, flow = family_of(name, Latents(shapes)), family_of(f"flow:{name}", Latents(shapes))
        params = shaken(below.init(float))
        eps = shaken({k: jnp.zeros(s) for k, s in shapes.items()}, 5, 1.0)
        zero = {part: x for part, x in flow.init(float).items() if part in ("skew", "log_tail")}
        a, b = below.point(params, eps), flow.point({**params, **zero}, eps)
        for x, y in ((a.u, b.u), (a.log_q, b.log_q)):
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), dict(x), dict(y))


def test_its_density_integrates_to_one() -> None:
    family = family_of("flow", Latents({"a": ()}))
    for skew, tail in ((0.8, -1.0), (-2.0, 0.7), (0.1, 3.0)):
        params = {k: {"a": jnp.asarray(x)} for k, x in zip(sinh_arcsinh.PARTS, (0.4, -0.3, skew, tail), strict=True)}
        edges = sinh_arcsinh.forward(np.linspace(-9, 9, 20001), *(params[k]["a"] for k in sinh_arcsinh.PARTS))
        middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        log_q = jax.vmap(lambda u, p=params: family.at(p, {"a": u}).log_q["a"])(middles)
        np.testing.assert_allclose(np.sum(np.exp(log_q) * widths), 1, rtol=1e-6)


GROUPS = {"b": np.array(1), "z": np.array([ALWAYS, 7, NEVER, ALWAYS])}


@pytest.mark.parametrize("below", ["meanfield", "fullrank", "lowrank:2", "chain"])
def test_log_q_is_that_of_the_marginal_over_the_latents_of_a_path(below: str) -> None:
    """The marginal of the Gaussian below, times the derivative of each warp."""
    shapes = {"a": (), "b": (), "z": (4,)}
    family, plain = (family_of(name, Latents(shapes, {}, GROUPS)) for name in (f"flow:{below}", below))
    params = shaken(family.init(float))
    zero = jax.tree.map(jnp.zeros_like, params["loc"])
    standard = {**params, "loc": zero, "log_scale": zero}
    eps = shaken({k: jnp.zeros(s) for k, s in family.noise().items()}, 5, 1.5)

    def of(tree: Tree) -> Any:
        return jnp.concatenate([jnp.ravel(tree[k]) for k in shapes])

    rows = jax.jacobian(lambda e: of(plain.point(standard, e).u))(eps)
    rows = np.concatenate([np.asarray(x).reshape(6, -1) for x in rows.values()], axis=1)
    covariance = rows @ rows.T

    def densities(p: Tree) -> tuple[Any, ...]:
        still = jax.lax.stop_gradient(p)
        ways = (
            lambda p: family.point(p, eps).log_q,
            lambda p: family.at(p, family.point(p, eps).u).log_q,
            lambda p: family.log_density(still, family.point(p, eps).u),
            lambda p: family.point(p, eps, stl=True).log_q,
        )
        found = [jax.value_and_grad(lambda p, f=f: (lambda x: (x.sum(), x))(of(f(p))), has_aux=True)(p) for f in ways]
        return of(family.point(p, eps).u), [x for (_, x), _ in found], [slope for _, slope in found]

    u, (log_q, *others), (slope, *slopes) = jax.jit(densities)(params)
    v, inside = sinh_arcsinh.backward(u, *(of(params[k]) for k in sinh_arcsinh.PARTS))
    group = np.concatenate([np.ravel(family.latents.group(k)) for k in shapes])
    for on in ((), (1,), (7,), (1, 7)):
        exists = (group == ALWAYS) | np.isin(group, on)
        want = stats.multivariate_normal(np.zeros(exists.sum()), covariance[np.ix_(exists, exists)]).logpdf(v[exists])
        np.testing.assert_allclose(np.sum(log_q[exists]), want + np.sum(inside[exists]), rtol=1e-10)
    for other in others:
        np.testing.assert_allclose(other, log_q, rtol=1e-9, atol=1e-9)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), slopes[0], slope)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), slopes[1], slopes[2])


# ---------------------------------------------------------------- exact gradients

SOURCES = {
    "a": "if a > 0.3 { observe 1 ~ Normal(a, 0.8) } else { observe 1 ~ Normal(-a, 0.9) }",
    "b": "factor if b < 1.4 then -0.5 * b else 0.3",
    "c": "factor if c ^ 2 + c > 1 then 0.9 * c else -0.4",
    "d": "factor if d + sin(2 * d) > 0.7 then 0.8 else -0.5 * d",
    "e": "factor -0.3 * floor(1.5 * e) * e",
    "f": """
total = 0.0
for i in 0..4 while total < 1 { total = total + 0.3 * exp(f) }
observe 1.3 ~ Normal(total, 0.7)
""",
    "g": "observe 0.4 ~ Normal(if g > 0.2 then 1 else -2, 1)",
    "h": "factor if h > 0.8 then h else 0.2",
    "l": """
k ~ Bernoulli(0.4)
if k > 0 { factor if l > 0.5 then 0.7 else -l } else { factor 0.3 * l }
""",
    "m": """
data key: real[520]
data seen: real[520]
for i in 0..520 { observe seen[i] ~ Normal(if key[i] < m then 0.1 else -0.1, 1) }
""",
}
PRIORS = {"b": "LogNormal(0.1, 0.9)", "h": "Uniform(0, 2)"}


def program(latents: str) -> str:
    return "\n".join(f"{x} ~ {PRIORS.get(x, 'Normal(0, 1)')}\n{SOURCES[x]}" for x in latents)


DATA = {"key": np.linspace(-1.9, 2.3, 520), "seen": 0.8 * np.sin(np.arange(520))}  # enough to be sorted and summed


def f_sum(u: Any) -> Any:
    total = jnp.zeros_like(u)
    for _ in range(4):
        total = jnp.where(total < 1, total + 0.3 * jnp.exp(u), total)
    return norm.logpdf(1.3, total, 0.7)


def h_terms(u: Any) -> Any:
    h = 2 * jax.nn.sigmoid(u)
    return jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u) + jnp.where(h > 0.8, h, 0.2)


def l_terms(on: bool, u: Any) -> Any:
    return norm.logpdf(u) + (jnp.where(u > 0.5, 0.7, -u) if on else 0.3 * u)


def m_terms(u: Any) -> Any:
    means = jnp.where(DATA["key"] < u[..., None], 0.1, -0.1)
    return norm.logpdf(u) + jnp.sum(norm.logpdf(DATA["seen"], means, 1), axis=-1)


THIRDS = tuple(k / 1.5 for k in range(-12, 13))
# Log densities of unconstrained latents with the Jacobian, and where they jump.
LATENTS: dict[str, tuple[Callable[[Any], Any], tuple[float, ...]]] = {
    "a": (lambda u: norm.logpdf(u) + jnp.where(u > 0.3, norm.logpdf(1, u, 0.8), norm.logpdf(1, -u, 0.9)), (0.3,)),
    "b": (lambda u: norm.logpdf(u, 0.1, 0.9) + jnp.where(u < math.log(1.4), -0.5 * jnp.exp(u), 0.3), (math.log(1.4),)),
    "c": (lambda u: norm.logpdf(u) + jnp.where(u**2 + u > 1, 0.9 * u, -0.4), tuple(np.roots([1, 1, -1]))),
    "d": (lambda u: norm.logpdf(u) + jnp.where(u + jnp.sin(2 * u) > 0.7, 0.8, -0.5 * u), ()),
    "e": (lambda u: norm.logpdf(u) - 0.3 * jnp.floor(1.5 * u) * u, THIRDS),
    "f": (lambda u: norm.logpdf(u) + f_sum(u), tuple(math.log(1 / (0.3 * k)) for k in (1, 2, 3))),
    "g": (lambda u: norm.logpdf(u) + norm.logpdf(0.4, jnp.where(u > 0.2, 1, -2), 1), (0.2,)),
    "h": (h_terms, (math.log(0.4 / 0.6),)),
    "m": (m_terms, tuple(DATA["key"])),
}


@cache
def case(latents: str) -> tuple[Tree, float, Tree]:
    """Parameters for the program with these latents; the ELBO there, and its gradient."""
    problem = ppl.compile(program(latents)).bind(DATA)
    params = shaken(problem.init_params("flow"), 7)
    params["log_scale"] = jax.tree.map(lambda x: x - 0.2, params["log_scale"])

    def expectation(p: Tree, name: str, log_p: Any, cuts: tuple[float, ...]) -> Any:
        parts, fixed = ([p[k][name] for k in sinh_arcsinh.PARTS] for p in (p, params))
        ends = sinh_arcsinh.backward(jnp.asarray(cuts, float), *fixed)[0]
        edges = jnp.sort(jnp.concatenate([jnp.linspace(-9, 9, 3001), jnp.clip(ends, -9, 9)]))
        u = sinh_arcsinh.forward((edges[1:] + edges[:-1]) / 2, *fixed)
        v, slope = sinh_arcsinh.backward(u, *parts)
        log_q = norm.logpdf(v) + slope
        return jnp.sum(jnp.diff(edges) * jnp.exp(log_q - sinh_arcsinh.backward(u, *fixed)[1]) * (log_p(u) - log_q))

    def elbo(p: Tree) -> Any:
        total = jnp.zeros(())
        for name in latents:
            if name != "l":
                total += expectation(p, name, *LATENTS[name])
                continue
            for outcome, sign, prior in ((True, 1, 0.4), (False, -1, 0.6)):
                log_pi = jax.nn.log_sigmoid(sign * p["logits"]["k"])
                own = expectation(p, "l", partial(l_terms, outcome), (0.5,))
                total += jnp.exp(log_pi) * (math.log(prior) - log_pi + own)
        return total

    value, slope = jax.jit(jax.value_and_grad(elbo))(params)
    return params, float(value), slope


def faults(latents: str, estimator: str = "combined", dtype: str = "float64", **options: Any) -> set[str]:
    """The components of the ELBO and its gradient that are not the exact ones."""
    params, value, slope = case(latents)
    with jax.enable_x64(dtype == "float64"):
        problem = ppl.compile(program(latents)).bind(DATA)
        params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
        fn = problem.elbo_and_grad("flow", estimator, samples=400, **options)
        keys = jax.random.split(jax.random.key(8), 80)
        elbo, grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(keys)
    parts = {f"{k} {site}": (x, slope[k][site]) for k, sites in grad.items() for site, x in sites.items()}
    found: set[str] = set()
    for label, (x, want) in {"elbo": (elbo, value), **parts}.items():
        x, want = np.asarray(x, np.float64), float(want)
        se = x.std(ddof=1) / math.sqrt(len(x))
        assert label == "elbo" or se < 0.04, (label, se)
        if abs(x.mean() - want) > 5 * (se + 1e-4 * (1 + abs(want))):
            found.add(label)
    return found


@pytest.mark.parametrize("latents", ["abceghlm", "d", "f"])
def test_gradient_is_exact(latents: str) -> None:
    assert not faults(latents)


def test_gradient_is_exact_in_single_precision_with_other_options() -> None:
    assert not faults("abeghl", dtype="float32", marginalise=False, noise="qmc", stl=True)


def test_the_cases_have_teeth() -> None:
    """Plain automatic differentiation misses something of every latent, parameters of shape among them."""
    missed = faults("abceghlm", "interior")
    assert {x[-1] for x in missed} >= set("abceghlm")
    assert missed >= {f"skew {x}" for x in "abceglm"}


# ---------------------------------------------------------------------------- fits

COUNTS = (0, 2, 1)
GAMMA = f"""
data y: int[3] = {list(COUNTS)}
r: real[3] ~ Gamma(0.7, 0.5)
for i in 0..3 {{ observe y[i] ~ Poisson(r[i]) }}
"""


def test_a_skewed_posterior_is_fitted_saved_and_resumed(tmp_path: Path) -> None:
    """Each rate is Gamma(a, 1.5) afterwards, skewed on the scale of its logarithm. The best Gaussian there has the
    variance 1 / a and the mean of the rate itself, and falls short of the evidence by a known number."""
    problem = ppl.compile(GAMMA).bind()
    shapes = 0.7 + np.array(COUNTS)
    evidence = sum(stats.nbinom(0.7, 0.5 / 1.5).logpmf(COUNTS))
    shortfall = np.sum(special.gammaln(shapes) - (shapes - 0.5) * np.log(shapes) + shapes - 0.5 * np.log(2 * np.pi))
    assert shortfall > 0.18
    path, options = tmp_path / "run.npz", {"guide": "flow", "starts": 1, "draws": 2000, "lr": 0.1}
    fit(problem, steps=400, checkpoint=path, **options)
    found = fit(problem, steps=2000, checkpoint=path, resume=True, **options)
    assert evidence - 0.05 < found.elbo < evidence + 4 * found.elbo_se
    whole = fit(problem, steps=2000, **options)
    for part in ("loc", "log_scale", "skew", "log_tail"):
        np.testing.assert_array_equal(found.params[part]["r"], whole.params[part]["r"])
    assert np.all(found.params["skew"]["r"] < -0.15)
    found.save(tmp_path / "fit.nc")
    draws = load_fit(tmp_path / "fit.nc", problem).sample(jax.random.key(0), 4000)["r"]
    np.testing.assert_allclose(np.mean(draws, axis=0), shapes / 1.5, rtol=0.1)
