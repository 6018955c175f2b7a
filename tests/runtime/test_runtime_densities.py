"""The log densities against scipy, their gradients against differences of scipy, and everything that could be NaN."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import ArrayLike
from scipy import stats

from ppl.language.distributions import DISTRIBUTIONS
from ppl.runtime import densities
from ppl.runtime.densities import DENSITIES

N = 256


class Case(NamedTuple):
    operands: tuple[np.ndarray, ...]
    reference: Callable[..., np.ndarray]


def _uniform(seed: int, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, N)


def _loguniform(seed: int, low: float, high: float) -> np.ndarray:
    return np.exp(_uniform(seed, np.log(low), np.log(high)))


def _counts(seed: int, high: float) -> np.ndarray:
    return np.floor(_loguniform(seed, 0.5, high))


X, POSITIVE, LOC, SCALE = _uniform(1, -5, 5), _loguniform(2, 0.01, 10), _uniform(3, -3, 3), _loguniform(4, 0.1, 10)
SHAPE, P, TOTAL = _loguniform(5, 0.05, 100), _uniform(6, 0.01, 0.99), _counts(7, 1000) + 1
PART = np.floor(TOTAL * _uniform(8, 0, 1))

CASES = {
    "normal": Case((X, LOC, SCALE), stats.norm.logpdf),
    "lognormal": Case((POSITIVE, LOC, SCALE), lambda x, m, s: stats.lognorm.logpdf(x, s, scale=np.exp(m))),
    "halfnormal": Case((POSITIVE, SCALE), lambda x, s: stats.halfnorm.logpdf(x, scale=s)),
    "uniform": Case((LOC + SCALE * P, LOC, LOC + SCALE), lambda x, a, b: stats.uniform.logpdf(x, a, b - a)),
    "exponential": Case((POSITIVE, SCALE), lambda x, r: stats.expon.logpdf(x, scale=1 / r)),
    "gamma": Case((POSITIVE, SHAPE, SCALE), lambda x, a, r: stats.gamma.logpdf(x, a, scale=1 / r)),
    "inversegamma": Case((POSITIVE, SHAPE, SCALE), lambda x, a, s: stats.invgamma.logpdf(x, a, scale=s)),
    "beta": Case((P, SHAPE, SHAPE[::-1]), stats.beta.logpdf),
    "cauchy": Case((X, LOC, SCALE), stats.cauchy.logpdf),
    "halfcauchy": Case((POSITIVE, SCALE), lambda x, s: stats.halfcauchy.logpdf(x, scale=s)),
    "studentt": Case((X, SHAPE, LOC, SCALE), stats.t.logpdf),
    "laplace": Case((X, LOC, SCALE), stats.laplace.logpdf),
    "logistic": Case((X, LOC, SCALE), stats.logistic.logpdf),
    "weibull": Case((POSITIVE, 0.2 + 4 * P, SCALE), lambda x, k, s: stats.weibull_min.logpdf(x, k, scale=s)),
    "pareto": Case((SCALE * (1 + POSITIVE), SCALE, SHAPE), lambda x, s, a: stats.pareto.logpdf(x, a, scale=s)),
    "poisson": Case((_counts(9, 1000), _loguniform(10, 0.1, 1000)), stats.poisson.logpmf),
    "bernoulli": Case((_counts(11, 2), P), stats.bernoulli.logpmf),
    "bernoullilogit": Case((_counts(12, 2), X), lambda k, u: stats.bernoulli.logpmf(k, 1 / (1 + np.exp(-u)))),
    "binomial": Case((PART, TOTAL, P), stats.binom.logpmf),
    "negativebinomial": Case(
        (_counts(13, 1000), _loguniform(14, 0.1, 1000), _loguniform(15, 0.1, 1000)),
        lambda k, m, r: stats.nbinom.logpmf(k, r, r / (r + m)),
    ),
    "geometric": Case((_counts(16, 100), P), lambda k, p: stats.geom.logpmf(k + 1, p)),
}
SAFE = {name: density.safe for name, density in DENSITIES.items()}
PROBS = np.random.default_rng(17).dirichlet(np.ones(5), N)


@functools.cache
def _compiled(name: str, precision: str) -> Callable[..., tuple[jax.Array, tuple[jax.Array, ...]]]:
    """The density and its elementwise gradients; `precision` is part of the key only."""
    del precision
    density = DENSITIES[name]

    def both(*operands: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        value, pullback = jax.vjp(density, *operands)
        return value, pullback(jnp.ones_like(value))

    return jax.jit(both, compiler_options={"xla_backend_optimization_level": 0})


def _evaluate(name: str, precision: str, *operands: ArrayLike) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Values and gradients at operands of one length, padded to N so that a density is compiled once per precision."""
    size = len(np.asarray(operands[0]))
    arrays = [np.asarray(v, precision) for v in operands]
    padded = [np.concatenate([v, np.repeat(v[-1:], N - size, axis=0)]) for v in arrays]
    with jax.enable_x64(precision == "float64"):
        value, gradients = _compiled(name, precision)(*padded)
    assert value.dtype == precision
    return np.asarray(value)[:size], tuple(np.asarray(g)[:size] for g in gradients)


def _differences(case: Case, argument: int) -> np.ndarray:
    """Fourth-order central differences of the reference, elementwise."""
    step = 1e-4 * case.operands[argument]

    def at(k: int) -> np.ndarray:
        return case.reference(*(v + k * step if i == argument else v for i, v in enumerate(case.operands)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def test_the_tables_agree() -> None:
    assert {d.function for d in DISTRIBUTIONS.values()} == set(DENSITIES)
    for entry in DISTRIBUTIONS.values():
        density = getattr(densities, entry.function)
        assert density is DENSITIES[entry.function]
        assert len(density.safe) == len(entry.params) + 1
        assert [isinstance(s, tuple) for s in density.safe[1:]] == [p.ndim == 1 for p in entry.params]
    assert set(CASES) == set(DENSITIES) - {"categorical"}


@pytest.mark.parametrize("name", CASES)
def test_values_match_scipy(name: str, precision: str) -> None:
    case = CASES[name]
    operands = tuple(np.asarray(v, precision) for v in case.operands)
    value, _ = _evaluate(name, precision, *operands)
    expected = case.reference(*(v.astype(np.float64) for v in operands))
    error = np.abs(value - expected) / np.maximum(1.0, np.abs(expected))
    assert error.max() < (2e-5 if precision == "float32" else 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_gradients_match_differences_of_scipy(name: str) -> None:
    case = CASES[name]
    _, exact = _evaluate(name, "float64", *case.operands)
    _, single = _evaluate(name, "float32", *case.operands)
    discrete = next(d for d in DISTRIBUTIONS.values() if d.function == name).discrete
    for i in range(len(case.operands)):
        if discrete and (i == 0 or (name == "binomial" and i == 1)):
            continue  # a count: no difference to compare with
        magnitude = np.maximum(1.0, np.abs(exact[i]))
        assert np.max(np.abs(exact[i] - _differences(case, i)) / magnitude) < 2e-7, i
        assert np.max(np.abs(single[i] - exact[i]) / magnitude) < 2e-4, i


@pytest.mark.parametrize("name", CASES)
def test_operands_broadcast(name: str) -> None:
    density, count = DENSITIES[name], len(CASES[name].operands)
    number = jax.ShapeDtypeStruct((4,), jnp.float32)
    column = jax.ShapeDtypeStruct((3, 1), jnp.float32)
    mask = jax.ShapeDtypeStruct((2, 1, 1), jnp.bool)
    for i in range(count):
        operands = [column if j == i else number for j in range(count)]
        assert jax.eval_shape(density, *operands).shape == (3, 4)
        assert jax.eval_shape(density.masked, mask, *operands).shape == (2, 3, 4)


def test_python_numbers_and_ints_do_not_widen(precision: str) -> None:
    counts, single = np.arange(3), jnp.asarray(0.5, "float32")

    def dtype(density: densities.Density, *operands: ArrayLike) -> str:
        return str(jax.eval_shape(lambda: density(*operands)).dtype)

    assert dtype(densities.normal, 0.5, 0.0, 1.0) == precision
    assert dtype(densities.poisson, counts, single) == "float32"
    assert dtype(densities.normal, counts, single, 1) == "float32"
    assert dtype(densities.binomial, 1, counts + 1, single) == "float32"
    assert dtype(densities.categorical, 1, jnp.stack([single, single])) == "float32"


def test_a_bool_can_be_observed() -> None:
    value = jax.jit(densities.bernoulli)(np.array([True, False]), 0.25)
    np.testing.assert_allclose(value, np.log([0.25, 0.75]), rtol=1e-6)


LOG_2PI = np.log(2 * np.pi)
EXTREMES = [
    ("normal", (2e-6, 0.0, 1e-6), -2.0 - np.log(1e-6) - LOG_2PI / 2),
    ("normal", (3e6, 0.0, 1e6), -4.5 - np.log(1e6) - LOG_2PI / 2),
    ("poisson", (0, 1e-8), -1e-8),
    ("poisson", (0, 1e8), -1e8),
    ("poisson", (0, 0.0), 0.0),
    ("poisson", (3, 1e-8), 3 * np.log(1e-8) - np.log(6)),
    ("bernoulli", (0, 0.0), 0.0),
    ("bernoulli", (1, 1.0), 0.0),
    ("bernoulli", (1, 0.0), -np.inf),
    ("binomial", (0, 5, 0.0), 0.0),
    ("binomial", (5, 5, 1.0), 0.0),
    ("binomial", (0, 0, 0.3), 0.0),
    ("binomial", (1, 5, 0.0), -np.inf),
    ("binomial", (4, 5, 1.0), -np.inf),
    ("binomial", (0, 1000000, 1e-6), 1e6 * np.log1p(-1e-6)),
    ("studentt", (1.5, 1e6, 0.0, 1.0), stats.t.logpdf(1.5, 1e6)),
    ("studentt", (1e6, 0.1, 0.0, 1e-3), stats.t.logpdf(1e6, 0.1, 0, 1e-3)),
    ("negativebinomial", (4, 3.0, 1e8), stats.poisson.logpmf(4, 3.0)),
    ("negativebinomial", (0, 1e4, 1e-4), 1e-4 * np.log(1e-4 / (1e-4 + 1e4))),
    ("bernoullilogit", (1, 500.0), 0.0),
    ("bernoullilogit", (0, 500.0), -500.0),
    ("bernoullilogit", (1, -500.0), -500.0),
    ("logistic", (1000.0, 0.0, 1.0), -1000.0),
    ("logistic", (-1000.0, 0.0, 1.0), -1000.0),
    ("cauchy", (1e20, 0.0, 1.0), -np.log(np.pi) - 2 * np.log(1e20)),
    ("halfcauchy", (0.0, 2.0), np.log(1 / np.pi)),
    ("halfnormal", (0.0, 1.0), np.log(2) - LOG_2PI / 2),
    ("exponential", (0.0, 2.0), np.log(2)),
    ("gamma", (0.0, 1.0, 2.0), np.log(2)),
    ("gamma", (0.0, 2.0, 1.0), -np.inf),
    ("gamma", (1e-30, 0.5, 1e-6), stats.gamma.logpdf(1e-30, 0.5, scale=1e6)),
    ("gamma", (1.25, 256.0, 256.0), stats.gamma.logpdf(1.25, 256.0, scale=1 / 256)),
    ("inversegamma", (1e-3, 1.0, 2.0), stats.invgamma.logpdf(1e-3, 1.0, scale=2.0)),
    ("beta", (0.0, 1.0, 3.0), np.log(3)),
    ("beta", (1.0, 3.0, 1.0), np.log(3)),
    ("beta", (0.0, 2.0, 1.0), -np.inf),
    ("beta", (1e-30, 0.5, 1e-3), stats.beta.logpdf(1e-30, 0.5, 1e-3)),
    ("beta", (0.999, 0.5, 1e4), stats.beta.logpdf(0.999, 0.5, 1e4)),
    ("uniform", (0.0, 0.0, 2.0), -np.log(2)),
    ("uniform", (2.0, 0.0, 2.0), -np.log(2)),
    ("weibull", (1e-30, 0.5, 1.0), stats.weibull_min.logpdf(1e-30, 0.5)),
    ("weibull", (0.0, 1.0, 2.0), -np.log(2)),
    ("weibull", (0.0, 3.0, 2.0), -np.inf),
    ("pareto", (1e-20, 1e-20, 3.0), np.log(3) - np.log(1e-20)),
    ("pareto", (1 + 2.0**-22, 1.0, 1e3), np.log(1e3) - 1001 * np.log1p(2.0**-22)),
    ("geometric", (0, 1.0), 0.0),
    ("geometric", (3, 1.0), -np.inf),
    ("geometric", (5, 1e-6), np.log(1e-6) + 5 * np.log1p(-1e-6)),
    ("categorical", (1, (1.0, 0.0)), -np.inf),
    ("categorical", (0, (1.0, 0.0)), 0.0),
]


@pytest.mark.parametrize("name", sorted({name for name, _, _ in EXTREMES}))
def test_extreme_arguments(name: str, precision: str) -> None:
    rows = [(operands, expected) for n, operands, expected in EXTREMES if n == name]
    operands = [np.array(column) for column in zip(*(r[0] for r in rows), strict=True)]
    value, gradients = _evaluate(name, precision, *operands)
    tolerance = 5e-6 if precision == "float32" else 2e-9
    np.testing.assert_allclose(value, [r[1] for r in rows], rtol=tolerance, atol=2e-5 if tolerance > 1e-6 else 1e-7)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


def _outside(name: str) -> tuple[float, ...]:
    entry = next(d for d in DISTRIBUTIONS.values() if d.function == name)
    if entry.support.kind == "lower":
        return (-1.0, 0.0) if name in ("lognormal", "inversegamma") else (-1.0, -1e-20)
    if entry.support.kind == "interval":
        return (-0.5, 1.5)
    return (-1.0, 0.5) if entry.support.kind == "nonnegative_int" else (-1.0, 0.5, 7.0)


@pytest.mark.parametrize("name", [d.function for d in DISTRIBUTIONS.values() if d.support.kind != "real"])
def test_outside_the_support_there_is_no_density_and_no_gradient(name: str, precision: str) -> None:
    x = np.array(_outside(name))
    value, gradients = _evaluate(name, precision, x, *(np.full((len(x), *np.shape(s)), s) for s in SAFE[name][1:]))
    assert np.all(value == -np.inf)
    for gradient in gradients:
        assert np.all(gradient == 0)


INVALID = [
    ("normal", (0.0, 0.0, -1.0)),
    ("exponential", (0.0, -1.0)),
    ("uniform", (0.5, 1.0, 0.0)),
    ("uniform", (0.5, 0.5, 0.5)),
    ("poisson", (0, -1.0)),
    ("bernoulli", (1, 1.5)),
    ("bernoulli", (0, -0.5)),
    ("binomial", (5, 5, 1.5)),
    ("binomial", (0, -1, 0.5)),
    ("geometric", (0, 1.5)),
    ("negativebinomial", (0, 1.0, -3.0)),
    ("gamma", (1.0, -1.5, 1.0)),
    ("beta", (0.5, -1.5, 1.0)),
    ("studentt", (0.5, -1.5, 0.0, 1.0)),
    ("weibull", (1.0, -1.0, 1.0)),
    ("pareto", (2.0, 1.0, -1.0)),
]


@pytest.mark.parametrize(("name", "operands"), INVALID)
def test_an_argument_outside_its_domain_gives_nan(name: str, operands: tuple[float, ...]) -> None:
    value, _ = _evaluate(name, "float32", *([v] for v in operands))
    assert np.isnan(value[0])


@pytest.mark.parametrize("name", DENSITIES)
def test_a_nan_operand_shows(name: str) -> None:
    safe = SAFE[name]
    rows = np.arange(len(safe))
    operands = [np.full((len(safe), *np.shape(s)), s, np.float32) for s in safe]
    for i, operand in enumerate(operands):
        operand[i] = np.nan
    value, _ = _evaluate(name, "float32", *operands)
    assert np.isnan(value[rows]).all()


@pytest.mark.parametrize("name", DENSITIES)
def test_masked_elements_cannot_poison(name: str) -> None:
    poisons = np.array([np.nan, np.inf, -np.inf, -3.0])
    mask = np.array([True, *(False for _ in poisons)])
    operands = tuple(
        np.concatenate([[s], np.stack([np.full(np.shape(s), p) for p in poisons])]).astype(np.float32)
        for s in SAFE[name]
    )

    def both(*ops: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        value, pullback = jax.vjp(functools.partial(DENSITIES[name].masked, mask), *ops)
        return value, pullback(jnp.ones_like(value))

    value, gradients = jax.jit(both, compiler_options={"xla_backend_optimization_level": 0})(*operands)
    clean_value, clean_gradients = _evaluate(name, "float32", *(v[:1] for v in operands))
    np.testing.assert_allclose(value[0], clean_value[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(value[1:], 0.0)
    for gradient, clean in zip(gradients, clean_gradients, strict=True):
        np.testing.assert_allclose(gradient[0], clean[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(gradient[1:], np.zeros_like(gradient[1:]))


def test_a_mask_can_be_a_python_bool() -> None:
    masked = jax.jit(densities.laplace.masked, static_argnums=0)
    assert masked(False, jnp.nan, 0.0, 0.0) == 0.0
    assert masked(True, 2.0, 0.0, 0.5) == -4.0
    assert np.isnan(masked(True, jnp.nan, 0.0, 1.0))


def test_categorical(precision: str) -> None:
    k, rows = np.arange(N) % 5, np.arange(N)
    probs = PROBS.astype(precision)
    value, (_, gradient) = _evaluate("categorical", precision, k, probs)
    np.testing.assert_allclose(value, np.log(probs[rows, k]), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gradient, np.where(np.arange(5) == k[:, None], 1 / probs, 0.0), rtol=1e-6)
    for shape in ((5,), (1, 5), (4, 5)):
        broadcast = jax.eval_shape(densities.categorical, k[:3, None], np.ones(shape)).shape
        assert broadcast == (3, *(shape[:-1] or (1,)))
