"""Noise: each draw is standard normal alone, averages stay unbiased, and the kinds do what they are for."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_latent import elbo, gradient
from scipy import stats

import ppl
from ppl.problem.noise import NOISE, normals, sobol

CURVED = "z ~ Normal(0, 1)\nobserve 0.3 ~ Normal(if z > 0.2 then exp(0.4 * z) else -1, 1)\n"
PARAMS = {"loc": {"z": 0.4}, "log_scale": {"z": -0.3}}


def curved(z: float) -> float:
    mean = math.exp(0.4 * z) if z > 0.2 else -1
    return float(stats.norm.logpdf(z) + stats.norm.logpdf(0.3, mean, 1))


def estimates(problem: Any, params: Any, keys: int, **options: Any) -> tuple[np.ndarray, Any]:
    """The ELBO and the gradient at `keys` keys."""
    fn = problem.elbo_and_grad(**options)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, float), params)
        found = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(jax.random.split(jax.random.key(5), keys))
        return np.asarray(found[0]), jax.tree.map(np.asarray, found[1])


def far(x: np.ndarray, exact: float) -> float:
    """Distance from the exact value in standard errors; 1e-5 covers the finite differences behind exact values."""
    return abs(x.mean() - exact) / (x.std(ddof=1) / np.sqrt(len(x)) + 1e-5)


@pytest.fixture(scope="module")
def exact() -> dict[str, float]:
    d_loc, d_scale = gradient(curved, 0.4, -0.3, (0.2,))
    return {"elbo": elbo(curved, 0.4, -0.3, (0.2,)), "loc": d_loc, "log_scale": d_scale}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("samples", "stl"), [(1, False), (5, True)])
def test_every_kind_is_unbiased(noise: str, samples: int, stl: bool, exact: dict[str, float]) -> None:
    value, grad = estimates(
        ppl.compile(CURVED).bind(), PARAMS, 20_000 // samples, samples=samples, noise=noise, stl=stl
    )
    assert far(value, exact["elbo"]) < 5
    for part in ("loc", "log_scale"):
        x = grad[part]["z"]
        assert far(x, exact[part]) < 5
        assert x.std(ddof=1) / np.sqrt(len(x)) < 0.03, "no power"


def test_pairs_and_qmc_have_less_variance_than_independent_draws() -> None:
    problem = ppl.compile(CURVED).bind()
    spread = {noise: np.var(estimates(problem, PARAMS, 800, samples=16, noise=noise)[1]["loc"]["z"]) for noise in NOISE}
    assert spread["antithetic"] < 0.5 * spread["independent"]
    assert spread["qmc"] < 0.2 * spread["independent"]


def test_sticking_the_landing_has_no_variance_where_the_guide_is_the_posterior() -> None:
    problem = ppl.compile("z ~ Normal(1, 2)\n").bind()
    params = {"loc": {"z": 1.0}, "log_scale": {"z": math.log(2.0)}}
    for stl, silent in ((True, True), (False, False)):
        _, grad = estimates(problem, params, 50, samples=1, noise="independent", stl=stl)
        assert (np.std(grad["log_scale"]["z"]) < 1e-12) == silent


BRANCH = """
x ~ Normal(0, 1)
if x > 0.3 {
    y ~ Normal(x, 0.6)
    if y > 0.5 { w ~ Normal(y, 1); observe 0.4 ~ Normal(w, 1) }
    observe 1.0 ~ Normal(y, 1)
} else { observe 1.0 ~ Normal(-x, 0.8) }
"""


@pytest.mark.parametrize("noise", ["antithetic", "qmc"])
def test_sticking_the_landing_with_latents_in_branches(noise: str) -> None:
    """What is dropped is zero on average although y and w exist on some paths only, which y itself decides."""
    problem = ppl.compile(BRANCH).bind()
    params = {"loc": {"x": 0.2, "y": 0.4, "w": 0.1}, "log_scale": {"x": -0.1, "y": 0.2, "w": -0.4}}
    _, plain = estimates(problem, params, 500, samples=64, noise=noise)
    _, stl = estimates(problem, params, 500, samples=64, noise=noise, stl=True)
    for part in ("loc", "log_scale"):
        for site in ("x", "y", "w"):
            difference = stl[part][site] - plain[part][site]
            se = difference.std(ddof=1) / np.sqrt(len(difference))
            assert abs(difference.mean()) < 5 * se + 1e-9, (part, site)
            assert 1e-9 < se < 0.015 or (part, site, noise) == ("loc", "x", "antithetic"), (part, site, se)


PROGRAM_NOISE = """
noise e ~ Normal(0, 1)
noise f ~ Exponential(1)
noise g ~ Gamma(2, 1)
z ~ Normal(0, 1)
observe 0.0 ~ Normal(z + e + f, 1)
observe 0.0 ~ Normal(g, 1)
"""


def test_noise_of_the_program_is_paired_where_it_is_normal_underneath() -> None:
    problem = ppl.compile(PROGRAM_NOISE).bind()
    shapes = {"z": (), "e": ()}
    for n in (1, 4, 5):
        eps, own = problem._base_draws(problem.guide("meanfield"), jax.random.key(1), n, jnp.float32,
                                       problem._data({}), "antithetic")  # fmt: skip
        assert {k: v.shape for k, v in {**eps, **own}.items() if k in shapes} == dict.fromkeys(shapes, (n,))
        for x in (eps["z"], own["e"], own["f"]):
            np.testing.assert_array_equal(x[n - n // 2 :], -x[: n // 2])
        assert len(np.unique(own["g"])) == n and np.all(own["g"] > 0)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("bits", [32, 64])
def test_each_draw_is_standard_normal(noise: str, bits: int) -> None:
    with jax.enable_x64(bits == 64):
        dtype = jnp.float32 if bits == 32 else jnp.float64
        draw = jax.jit(jax.vmap(lambda k: normals(k, 7, {"a": (2,), "b": ()}, dtype, noise)))
        found = draw(jax.random.split(jax.random.key(2), 2000))
    assert found["a"].shape == (2000, 7, 2) and found["b"].shape == (2000, 7)
    for i in (0, 3, 6):
        for x in (found["a"][:, i, 0], found["a"][:, i, 1], found["b"][:, i]):
            x = np.asarray(x, float)
            assert np.all(np.isfinite(x))
            assert stats.kstest(x, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(np.asarray(found["a"][:, 2]).T)[0, 1]) < 0.1, "coordinates are independent"


def test_qmc_never_reaches_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest and largest digits that a shift can make."""
    from ppl.problem import noise

    for digits in (0, 2**32 - 1):
        ends = jnp.asarray([[digits]], jnp.uint32)
        monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: jnp.full(shape, 0, dtype))
        for dtype in (jnp.float32, jnp.float64):
            with jax.enable_x64(dtype == jnp.float64):
                u = noise._shifted(jax.random.key(0), np.asarray(ends), dtype)
                assert 0 < float(u[0, 0]) < 1
                assert np.isfinite(float(jax.scipy.special.ndtri(u)[0, 0]))


def test_sobol_points_fill_every_cell_of_a_net() -> None:
    points = sobol(64, 40)
    assert points.shape == (64, 40) and points.dtype == np.uint32
    assert all(len(np.unique(column >> 26)) == 64 for column in points.T), "one in each 64th of every coordinate"
    pairs = {(int(a) >> 29, int(b) >> 29) for a, b in points[:, :2]}
    assert len(pairs) == 64, "one in each square of the first two"
    assert sobol(5, 0).shape == (5, 0) and sobol(1, 3).shape == (1, 3)


def test_unknown_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="no noise 'pink': one of antithetic, independent, qmc"):
        ppl.compile(CURVED).bind().elbo_loss(noise="pink")


def test_boundaries_of_drawn_noise_are_those_of_its_scale() -> None:
    def gradient(rate: int) -> Any:
        text = f"""
x ~ Normal(0, 1)
noise e ~ Gamma(2, {rate})
t = 2 * exp(0.3 * x) / {rate}
a = if e > t then 1 else 0
b = if e > 1.3 * t then 2 else 0
observe 1 ~ Normal(a * b + a + x, 1)
"""
        problem = ppl.compile(text).bind()
        run = jax.jit(problem.elbo_and_grad(samples=64), compiler_options={"xla_backend_optimization_level": 0})
        return run(problem.init_params(), jax.random.key(0))[1]["loc"]["x"]

    np.testing.assert_allclose(gradient(2**20), gradient(1), rtol=1e-4)
