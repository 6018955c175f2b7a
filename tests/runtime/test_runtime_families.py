"""Exponential families: sums of statistics and coefficients are the log densities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from ppl.language.distributions import SUFFICIENT, Sufficient, named
from ppl.runtime import densities
from ppl.runtime.families import FAMILIES

RNG = np.random.default_rng(3)
FORMS = [(name, form) for name, forms in SUFFICIENT.items() for form in forms]
# Values, and several sets of arguments: about the values, and away from them.
CASES: Mapping[str, tuple[NDArray[Any], list[tuple[Any, ...]]]] = {
    "Normal": (1000 + RNG.normal(size=50), [(1000.3, 0.9), (990.0, 5.0), (1010.0, 0.5)]),
    "LogNormal": (np.exp(RNG.normal(size=50)), [(0.1, 0.9), (2.0, 0.5)]),
    "HalfNormal": (np.append(np.abs(RNG.normal(size=50)), 0.0), [(1.1,), (30.0,)]),
    "Exponential": (np.append(RNG.exponential(size=50), 0.0), [(1.2,), (0.01,)]),
    "Gamma": (RNG.gamma(3, 2, size=50), [(3.2, 0.6), (0.4, 2.0), (300.0, 50.0)]),
    "Poisson": (RNG.poisson(1e4, size=50), [(1.003e4,), (9e3,), (20.0,)]),
    "Bernoulli": (RNG.binomial(1, 0.3, size=50), [(0.31,), (1e-6,), (0.999,)]),
    "BernoulliLogit": (RNG.binomial(1, 0.3, size=50), [(-0.7,), (20.0,)]),
    "Bernoulli (log odds)": (RNG.binomial(1, 0.3, size=50), [(-0.7,), (20.0,)]),
    "Binomial": (RNG.binomial(1000, 0.3, size=50), [(1000, 0.301), (1000, 0.9)]),
    "Geometric": (RNG.geometric(0.2, size=50) - 1, [(0.21,), (0.9,)]),
}


def test_the_compiler_and_the_runtime_name_the_same_families() -> None:
    assert {form.family for _, form in FORMS} == set(FAMILIES)
    assert set(CASES) == set(SUFFICIENT)
    for name, form in FORMS:
        assert len(FAMILIES[form.family].safe) + len(form.known) == len(named(name).params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_of_each_value_and_summed(name: str, form: Sufficient, dtype: str) -> None:
    values, arguments = CASES[name]
    density, family = getattr(densities, named(name).function), FAMILIES[form.family]
    x = values.astype(dtype).astype(float)
    for args in arguments:
        known = [np.full(x.shape, float(args[k])) for k in form.known]
        centre = float(np.dtype(dtype).type(family.centre(x, *known)))
        columns = np.stack(family.statistics(centre, x, *known), 1)
        with jax.enable_x64(True):
            exact = np.asarray(density(jnp.asarray(x), *args))
        with jax.enable_x64(dtype == "float64"):
            own = [jnp.asarray(a, dtype) for k, a in enumerate(args) if k not in form.known]
            factors = np.asarray(
                jnp.stack([*family.coefficients(jnp.asarray(centre, dtype), *own), jnp.ones(())]), float
            )
        tolerance = 1e-9 if dtype == "float64" else 3e-5
        np.testing.assert_allclose(columns @ factors, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "value"),
    [("Exponential", -1.0), ("LogNormal", 0.0), ("Poisson", 1.5), ("Poisson", -1.0), ("Bernoulli", 2.0), ("Gamma", 0.0),
     ("BernoulliLogit", 0.5), ("Geometric", -1.0), ("HalfNormal", -0.1)],
)  # fmt: skip
def test_a_value_outside_of_the_support_has_no_base(name: str, value: float) -> None:
    family = FAMILIES[SUFFICIENT[name][0].family]
    x = np.append(np.asarray(CASES[name][0], float), value)
    assert not np.isfinite(family.statistics(family.centre(x), x)[-1][-1])
