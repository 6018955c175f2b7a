"""Draws against the distribution functions of scipy, and the quantile maps against closed forms in both tails."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ppl.language.distributions import DISTRIBUTIONS
from ppl.runtime import samplers

N = 4000
BY_QUANTILE = [d.function for d in DISTRIBUTIONS.values() if d.noise == "inverse_cdf"]

# function: arguments, and scipy's distribution
FROZEN: dict[str, tuple[tuple[Any, ...], Any]] = {
    "normal": ((1.0, 2.0), stats.norm(1.0, 2.0)),
    "lognormal": ((0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "halfnormal": ((2.0,), stats.halfnorm(scale=2.0)),
    "uniform": ((-1.0, 2.0), stats.uniform(-1.0, 3.0)),
    "exponential": ((2.0,), stats.expon(scale=0.5)),
    "gamma": ((1.7, 2.0), stats.gamma(1.7, scale=0.5)),
    "inversegamma": ((2.5, 2.0), stats.invgamma(2.5, scale=2.0)),
    "beta": ((0.6, 2.0), stats.beta(0.6, 2.0)),
    "cauchy": ((1.0, 2.0), stats.cauchy(1.0, 2.0)),
    "halfcauchy": ((2.0,), stats.halfcauchy(scale=2.0)),
    "studentt": ((3.0, 1.0, 2.0), stats.t(3.0, 1.0, 2.0)),
    "laplace": ((1.0, 2.0), stats.laplace(1.0, 2.0)),
    "logistic": ((1.0, 2.0), stats.logistic(1.0, 2.0)),
    "weibull": ((1.7, 2.0), stats.weibull_min(1.7, scale=2.0)),
    "pareto": ((1.5, 2.5), stats.pareto(2.5, scale=1.5)),
    "poisson": ((3.5,), stats.poisson(3.5)),
    "bernoulli": ((0.3,), stats.bernoulli(0.3)),
    "bernoullilogit": ((-0.8,), stats.bernoulli(special.expit(-0.8))),
    "binomial": ((9.0, 0.3), stats.binom(9, 0.3)),
    "negativebinomial": ((3.0, 1.5), stats.nbinom(1.5, 1.5 / 4.5)),
    "geometric": ((0.3,), stats.geom(0.3, loc=-1)),
    "categorical": (([0.2, 0.5, 0.3],), stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3]))),
}


def _draw(name: str, seed: int, shape: tuple[int, ...], args: tuple[Any, ...], dtype: str = "float32") -> np.ndarray:
    draw = jax.jit(
        lambda key, *a: samplers.sample(name, key, a, shape, dtype),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return np.asarray(draw(jax.random.key(seed), *(jnp.asarray(a, dtype) for a in args)))


def _p_of_counts(draws: np.ndarray, frozen: Any) -> float:
    """Chi-square, with values pooled so that at least 20 are expected in each cell."""
    values = np.arange(0, draws.max() + 1)
    expected = N * frozen.pmf(values)
    common = values[expected >= 20]
    counts = np.array([*((draws == v).sum() for v in common), (~np.isin(draws, common)).sum()])
    cells = np.array([*expected[common], N - expected[common].sum()])
    keep = cells > 1e-6
    assert counts[~keep].sum() == 0
    return float(stats.chisquare(counts[keep], cells[keep], sum_check=False).pvalue)


def test_every_distribution_is_drawn() -> None:
    assert set(FROZEN) == {d.function for d in DISTRIBUTIONS.values()}


@pytest.mark.parametrize("name", FROZEN)
def test_draws_follow_the_distribution(name: str) -> None:
    args, frozen = FROZEN[name]
    pair = tuple(np.stack([np.asarray(a)] * 2) for a in args)  # arguments of shape (2,) broadcast to (N / 2, 2)
    draws = _draw(name, 11, (N // 2, 2), pair)
    assert draws.shape == (N // 2, 2)
    assert np.any(draws[:, 0] != draws[:, 1])
    if draws.dtype.kind == "i":
        p = _p_of_counts(draws, frozen)
    else:
        assert draws.dtype == np.float32
        p = float(stats.kstest(draws.astype(np.float64).ravel(), frozen.cdf).pvalue)
    assert p > 1e-3


@pytest.mark.parametrize("name", FROZEN)
def test_draws_have_the_dtype_asked_for(name: str) -> None:
    args, _ = FROZEN[name]
    with jax.enable_x64(True):
        draws = jax.eval_shape(lambda key: samplers.sample(name, key, args, (4,), "float64"), jax.random.key(0))
    discrete = next(d for d in DISTRIBUTIONS.values() if d.function == name).discrete
    assert draws.dtype == ("int64" if discrete else "float64")


@pytest.mark.parametrize(
    ("name", "args", "values"),
    [
        ("geometric", ([1.0, 1.0],), [0, 0]),
        ("bernoulli", ([0.0, 1.0],), [0, 1]),
        ("binomial", ([5.0, 5.0], [0.0, 1.0]), [0, 5]),
        ("poisson", ([0.0, 0.0],), [0, 0]),
        ("categorical", ([[1.0, 0.0], [0.0, 1.0]],), [0, 1]),
    ],
)
def test_certain_outcomes(name: str, args: tuple[Any, ...], values: list[int]) -> None:
    np.testing.assert_array_equal(_draw(name, 3, (50, 2), args), np.broadcast_to(values, (50, 2)))


def test_a_small_shape_does_not_underflow() -> None:
    with jax.enable_x64(True):
        draws = _draw("inversegamma", 2, (500,), (0.02, 1.0), "float64")
    assert np.all((draws > 0) & np.isfinite(draws))
    assert draws.max() > 1e40  # its gamma variate is below the smallest float32
    assert stats.kstest(draws, stats.invgamma(0.02).cdf).pvalue > 1e-3


def _exponential(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.where(p < q, -np.log1p(-np.minimum(p, 0.5)), -np.log(q))


# Quantiles from the lower tail p and the upper tail q, each exact where it is the smaller.
QUANTILES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "halfnormal": lambda p, q: 2 * np.where(p < q, np.sqrt(2) * special.erfinv(p), -special.ndtri(q / 2)),
    "uniform": lambda p, q: np.where(p < q, -1 + 3 * p, 2 - 3 * q),
    "exponential": lambda p, q: _exponential(p, q) / 2,
    "cauchy": lambda p, q: 1 + 2 * np.where(p < q, -1 / np.tan(np.pi * p), 1 / np.tan(np.pi * q)),
    "halfcauchy": lambda p, q: 2 * np.where(p < q, np.tan(np.pi * p / 2), 1 / np.tan(np.pi * q / 2)),
    "laplace": lambda p, q: 1 + 2 * np.where(p < q, np.log(2 * p), -np.log(2 * q)),
    "logistic": lambda p, q: 1 + 2 * (np.log(p) - np.log(q)),
    "weibull": lambda p, q: 2 * _exponential(p, q) ** (1 / 1.7),
    "pareto": lambda p, q: 1.5 * np.exp(_exponential(p, q) / 2.5),
}


class Evaluated(NamedTuple):
    noise: np.ndarray
    value: np.ndarray
    back: np.ndarray
    d_noise: np.ndarray
    d_args: tuple[np.ndarray, ...]
    differences: tuple[np.ndarray, ...]


@functools.cache
def _evaluated(name: str, precision: str) -> Evaluated:
    """Both maps on a grid of noise, with derivatives and with differences in the arguments."""
    reach = 11.0 if precision == "float32" else 36.0
    eps = np.concatenate([np.linspace(-reach, reach, 61), np.linspace(-1, 1, 21), [-100.0, 100.0]]).astype(precision)
    args = tuple(np.full_like(eps, a) for a in FROZEN[name][0])
    step = 1e-2 if precision == "float32" else 1e-4

    def compute(eps: jax.Array, *args: jax.Array) -> Evaluated:
        def at(*shifted: jax.Array) -> jax.Array:
            return samplers.from_normal(name, eps, *shifted)

        value, pullback = jax.vjp(lambda e, *a: samplers.from_normal(name, e, *a), eps, *args)
        d_noise, *d_args = pullback(jnp.ones_like(value))
        differences = [
            at(*(a + step * (i == j) for j, a in enumerate(args)))
            - at(*(a - step * (i == j) for j, a in enumerate(args)))
            for i in range(len(args))
        ]
        back = samplers.to_normal(name, value, *args)
        return Evaluated(eps, value, back, d_noise, tuple(d_args), tuple(d / (2 * step) for d in differences))

    with jax.enable_x64(precision == "float64"):
        return jax.tree.map(np.asarray, jax.jit(compute)(eps, *args))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_gaussian_maps(precision: str) -> None:
    run = _evaluated("normal", precision)
    np.testing.assert_allclose(run.value, 1 + 2 * run.noise, rtol=1e-6, atol=1e-6)
    run = _evaluated("lognormal", precision)
    np.testing.assert_allclose(np.log(run.value[:-2]), 0.5 + 0.7 * run.noise[:-2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", QUANTILES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_quantiles_in_both_tails(name: str, precision: str) -> None:
    run = _evaluated(name, precision)
    assert run.value.dtype == precision
    noise = run.noise[:-2].astype(np.float64)
    expected = QUANTILES[name](special.ndtr(noise), special.ndtr(-noise))
    np.testing.assert_allclose(run.value[:-2], expected, rtol=2e-5 if precision == "float32" else 1e-12, atol=1e-300)


@pytest.mark.parametrize("name", QUANTILES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_noise_beyond_the_reach_stays_finite(name: str, precision: str) -> None:
    run = _evaluated(name, precision)
    assert np.isfinite(run.value[-2:]).all()
    assert np.isfinite(run.d_noise[-2:]).all()
    assert all(np.isfinite(d[-2:]).all() for d in run.d_args)
    assert np.isfinite(run.back[-2:]).all()


def test_the_quantile_table_is_complete() -> None:
    assert set(BY_QUANTILE) == {*QUANTILES, "normal", "lognormal"}


@pytest.mark.parametrize("name", BY_QUANTILE)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_quantile_derivatives(name: str, precision: str) -> None:
    """In the noise ``phi(eps) / density(z)``, in the arguments against differences."""
    run = _evaluated(name, precision)
    used = np.abs(run.noise) < 90
    if name in ("uniform", "pareto"):
        used = np.abs(run.noise) < 4  # further out z rounds to a bound, and its density is no reference
    elif name == "lognormal":
        used = np.abs(run.noise) < 12
    _, frozen = FROZEN[name]
    with np.errstate(over="ignore", under="ignore"):
        log_density = frozen.logpdf(run.value[used].astype(np.float64))
    compared = np.isfinite(log_density)  # scipy's Cauchy squares its argument
    expected = np.exp(stats.norm.logpdf(run.noise[used].astype(np.float64)) - log_density)[compared]
    np.testing.assert_allclose(run.d_noise[used][compared], expected, rtol=1e-4 if precision == "float32" else 1e-10)
    assert np.isfinite(run.d_noise[used]).all()
    near, tolerance = np.abs(run.noise) < 3, 1e-2 if precision == "float32" else 1e-6
    for gradient, difference in zip(run.d_args, run.differences, strict=True):
        np.testing.assert_allclose(gradient[near], difference[near], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", BY_QUANTILE)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_to_normal_inverts(name: str, precision: str) -> None:
    run = _evaluated(name, precision)
    # Where z rounds to a bound (uniform, pareto) or overflows, nothing can be recovered.
    used = np.abs(run.noise) < (3 if name in ("uniform", "pareto") else 90)
    tolerance = 2e-4 if precision == "float32" else 1e-10
    np.testing.assert_allclose(run.back[used], run.noise[used], rtol=tolerance, atol=tolerance)
