"""Both tails of every distribution, and truncation, against scipy; far out, where probabilities underflow, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from test_runtime_densities import CASES

from ppl.runtime import densities as dist
from ppl.runtime import samplers
from ppl.runtime.densities import DENSITIES

QUICK = {"xla_backend_optimization_level": 0}
FROZEN: dict[str, Callable[..., Any]] = {
    "normal": stats.norm,
    "lognormal": lambda m, s: stats.lognorm(s, scale=np.exp(m)),
    "halfnormal": lambda s: stats.halfnorm(scale=s),
    "uniform": lambda a, b: stats.uniform(a, b - a),
    "exponential": lambda r: stats.expon(scale=1 / r),
    "gamma": lambda a, r: stats.gamma(a, scale=1 / r),
    "inversegamma": lambda a, s: stats.invgamma(a, scale=s),
    "beta": stats.beta,
    "cauchy": stats.cauchy,
    "halfcauchy": lambda s: stats.halfcauchy(scale=s),
    "studentt": stats.t,
    "laplace": stats.laplace,
    "logistic": stats.logistic,
    "weibull": lambda k, s: stats.weibull_min(k, scale=s),
    "pareto": lambda s, a: stats.pareto(a, scale=s),
    "poisson": stats.poisson,
    "bernoulli": stats.bernoulli,
    "bernoullilogit": lambda u: stats.bernoulli(1 / (1 + np.exp(-u))),
    "binomial": stats.binom,
    "negativebinomial": lambda m, r: stats.nbinom(r, r / (r + m)),
    "geometric": lambda p: stats.geom(p, loc=-1),
    "categorical": lambda p: stats.rv_discrete(values=(range(len(p)), p)),
}


def evaluated(f: Callable[..., Any], precision: str, *operands: Any) -> tuple[Any, Any]:
    """The value, and the gradient of its sum in every operand."""
    with jax.enable_x64(precision == "float64"):
        arrays = [jnp.asarray(np.asarray(v), precision) for v in operands]

        def both(*a: Any) -> Any:
            value, pullback = jax.vjp(f, *a)
            return value, pullback(jax.tree.map(jnp.ones_like, value))

        return jax.tree.map(np.asarray, jax.jit(both, compiler_options=QUICK)(*arrays))


def test_every_distribution_is_tested() -> None:
    assert set(FROZEN) == set(DENSITIES)


@pytest.mark.parametrize("name", CASES)
def test_tails_match_scipy(name: str) -> None:
    x, *args = CASES[name].operands
    (below, above), gradients = evaluated(DENSITIES[name].tails, "float64", x, *args)
    with np.errstate(divide="ignore"):
        law = FROZEN[name](*args)
        want_below, want_above = law.logcdf(x), law.logsf(x)
    for got, want in ((below, want_below), (above, want_above)):
        seen = np.isfinite(want)  # scipy gives up where the probability itself underflows
        # scipy's own negative binomial and binomial lose digits far out.
        tolerance = 1e-6 if name in ("negativebinomial", "binomial") else 1e-10
        np.testing.assert_allclose(got[seen], want[seen], rtol=tolerance, atol=tolerance)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", ["normal", "gamma", "beta", "studentt", "binomial"])
def test_gradients_of_tails_match_differences(name: str) -> None:
    x, *args = (v[:64] for v in CASES[name].operands)
    density, law = DENSITIES[name], FROZEN[name]
    _, exact = evaluated(lambda *a: density.tails(*a)[1], "float64", x, *args)
    counts = (0, 1) if name == "binomial" else (0,) if density.discrete else ()
    for k in set(range(len(args) + 1)) - set(counts):
        step = 1e-4 * (x, *args)[k]

        def at(j: int, k: int = k, step: Any = step) -> Any:
            moved = [v + j * step if i == k else v for i, v in enumerate((x, *args))]
            with np.errstate(divide="ignore", invalid="ignore"):
                return law(*moved[1:]).logsf(moved[0])

        with np.errstate(invalid="ignore"):
            want = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
        seen = np.isfinite(want) & (at(0) > -200)
        size = np.maximum(1.0, np.abs(exact[k]))
        assert np.max(np.abs(exact[k] - want)[seen] / size[seen]) < 3e-5, k


FAR = [  # the tail, its operands, which side, its logarithm from Mills' ratio or the leading term of a series
    ("normal", (-60.0, 0.0, 1.0), 0, -1800 - np.log(60 * np.sqrt(2 * np.pi)) + np.log1p(-1 / 3600)),
    ("normal", (60.0, 0.0, 1.0), 1, -1800 - np.log(60 * np.sqrt(2 * np.pi)) + np.log1p(-1 / 3600)),
    ("gamma", (1e-30, 2.5, 1.0), 0, 2.5 * np.log(1e-30) - np.log(2.5) - 0.2846828704729192),
    ("gamma", (900.0, 2.0, 1.0), 1, np.log(901.0) - 900),
    ("beta", (1e-30, 3.0, 2.0), 0, np.log(4.0) + 3 * np.log(1e-30)),
    ("studentt", (1e12, 2.0, 0.0, 1.0), 1, -np.log(2.0) - 24 * np.log(10.0)),
    ("poisson", (0.0, 800.0), 0, -800.0),
    ("poisson", (200.0, 1e-3), 1, stats.poisson.logpmf(201, 1e-3)),
    ("binomial", (0.0, 1e4, 0.5), 0, 1e4 * np.log(0.5)),
    ("logistic", (-500.0, 0.0, 1.0), 0, -500.0),
    ("exponential", (700.0, 3.0), 1, -2100.0),
]


@pytest.mark.parametrize("name", sorted({name for name, *_ in FAR}))
def test_far_tails_keep_their_digits_and_gradients(name: str) -> None:
    rows = [row for row in FAR if row[0] == name]
    operands = [np.array(column) for column in zip(*(row[1] for row in rows), strict=True)]
    value, gradients = evaluated(DENSITIES[name].tails, "float32", *operands)
    for k, (_, _, side, want) in enumerate(rows):
        np.testing.assert_allclose(value[side][k], want, rtol=2e-6)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", ["normal", "exponential", "beta", "pareto", "poisson", "geometric", "categorical"])
def test_truncated_densities_are_normalised(name: str) -> None:
    """Each form integrates to one, with the shape of the distribution inside and nothing outside."""
    args: tuple[Any, ...] = DENSITIES[name].safe[1:]
    if name == "categorical":
        args = ((0.1, 0.2, 0.3, 0.4),)
    args = (2.5,) if name == "poisson" else args
    law, density = FROZEN[name](*args), DENSITIES[name]
    low, high = (float(law.ppf(q)) for q in (0.3, 0.9))
    for form, ends in (("above", (low,)), ("below", (high,)), ("within", (low, high))):
        first, last = low if form != "below" else -np.inf, high if form != "above" else np.inf
        points = np.unique(law.ppf(np.linspace(0.001, 0.999, 41)))
        inside = (points >= first) & (points <= last)
        if density.discrete:
            total = law.cdf(last) - law.cdf(first - 1)
            log_shape = np.log(law.pmf(points))
        else:
            total, log_shape = law.cdf(last) - law.cdf(first), np.log(law.pdf(points))
        rows = [np.broadcast_to(np.asarray(a, float), (len(points), *np.shape(a))) for a in (*args, *ends)]
        value, gradients = evaluated(getattr(density, form), "float64", points, *rows)
        np.testing.assert_allclose(value[inside], (log_shape - np.log(total))[inside], rtol=1e-9, atol=1e-9)
        assert np.all(value[~inside] == -np.inf)
        assert all(np.isfinite(g).all() for g in gradients)


def test_a_narrow_interval_does_not_cancel() -> None:
    """Width 1e-7 standard deviations: the difference of two tails has no digits left in float32."""
    for precision, tolerance in (("float32", 2e-6), ("float64", 1e-11)):
        ends = np.float32(1.5), np.nextafter(np.float32(1.5), np.float32(2), dtype=np.float32)
        width = float(ends[1]) - float(ends[0])
        value, _ = evaluated(dist.normal.within, precision, ends[0], 0.0, 1.0, *ends)
        np.testing.assert_allclose(value, 0.75 * width - np.log(width), rtol=tolerance)
    value, _ = evaluated(dist.poisson.within, "float32", 1e6, 1e6, 1e6, 1e6)
    assert value == 0.0


def test_gradient_of_a_truncated_density() -> None:
    def want(m: float, s: float, a: float, b: float) -> float:
        total = integrate.quad(lambda t: stats.norm.pdf(t, m, s), a, b, epsabs=1e-13)[0]
        return float(stats.norm.logpdf(0.7, m, s) - np.log(total))

    at = np.array([0.4, 1.3, -0.5, 1.1])
    _, found = evaluated(dist.normal.within, "float64", 0.7, *at)
    for k in range(4):
        step = 1e-5 * np.eye(4)[k]
        difference = (want(*(at + step)) - want(*(at - step))) / 2e-5
        np.testing.assert_allclose(found[k + 1], difference, rtol=1e-6)


DRAWN = [
    ("normal", (0.3, 2.0), (1.0, 4.0)),
    ("normal", (0.0, 1.0), (12.0, 13.0)),
    ("gamma", (2.0, 1.0), (0.5, 3.0)),
    ("geometric", (0.4,), (3.0, 9.0)),
]


@pytest.mark.parametrize(("name", "args", "ends"), DRAWN)
def test_truncated_draws_have_the_truncated_distribution(name: str, args: Any, ends: Any) -> None:
    law, density, n = FROZEN[name](*args), DENSITIES[name], 4000
    for form, cut in (("above", ends[:1]), ("below", ends[1:]), ("within", ends)):
        if form == "below" and ends[0] > 5:
            continue

        def draw(key: Any, form: str = form, cut: Any = cut) -> Any:
            return samplers.draw(getattr(density, form), key, (*args, *cut), (n,), "float32")

        z = np.asarray(jax.jit(draw, compiler_options=QUICK)(jax.random.key(3)), float)
        first, last = ends[0] if form != "below" else -np.inf, ends[1] if form != "above" else np.inf
        assert z.min() >= first and z.max() <= last
        if density.discrete:
            places = np.arange(z.min(), z.max() + 1)
            base = law.sf(first - 1), law.sf(last)
            want = (base[0] - law.sf(places)) / (base[0] - base[1])
            got = np.mean(z[:, None] <= places, axis=0)
            assert np.max(np.abs(got - want)) < 0.035
        else:
            base = law.sf(first), law.sf(last)
            assert stats.kstest((base[0] - law.sf(z)) / (base[0] - base[1]), "uniform").pvalue > 1e-3
