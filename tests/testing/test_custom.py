"""`check_estimator`: estimators that are not ours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import Array
from jax.scipy.stats import norm
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from ppl.testing import check_estimator

Params = dict[str, Array]
AT = {"m": jnp.asarray(0.4), "r": jnp.asarray([-0.3])}


def height(z: Array) -> Array:
    return jnp.where(z > 0.5, 2.0, -1.0) - 0.5 * z**2


def sample(params: Params, key: Array) -> Array:
    return params["m"] + jnp.exp(params["r"][0]) * jax.random.normal(key)


def plain(params: Params, key: Array) -> tuple[Array, Params]:
    return jax.value_and_grad(lambda p: height(sample(p, key)))(params)


def score(params: Params, key: Array) -> tuple[Array, Params]:
    z = sample(params, key)
    grad = jax.grad(lambda p: norm.logpdf(z, p["m"], jnp.exp(p["r"][0])))(params)
    return height(z), jax.tree.map(lambda g: height(z) * g, grad)


def test_a_right_estimator_passes() -> None:
    check = check_estimator(score, AT, draws=5000)
    check.assert_ok()
    assert not check.undecided
    assert [c.name for c in check.components] == ["m", "r[0]"]
    assert all(c.method == "segment" for c in check.components)


def test_plain_automatic_differentiation_is_found_biased() -> None:
    check = check_estimator(plain, AT, draws=5000)
    assert [c.verdict for c in check.components] == ["biased", "biased"]
    with pytest.raises(AssertionError, match="The estimator is biased in 2 of 2 gradients"):
        check.assert_ok()


def test_large_steps_do_not_bias_the_check() -> None:
    """Finite differences over a step this long would be far off the gradient; segments are exact."""

    def curved(params: Params, key: Array) -> tuple[Array, Params]:
        return jax.value_and_grad(lambda p: jnp.sin(3 * p["m"]) + 0.1 * sample(p, key) ** 2)(params)

    for step in (0.1, 0.5, 2.0):
        assert check_estimator(curved, AT, step=step, draws=2000).ok


def test_the_elbo_can_be_given_apart() -> None:
    def no_value(params: Params, key: Array) -> tuple[Array, Params]:
        return jnp.asarray(jnp.nan), score(params, key)[1]

    def elbo(params: Params, key: Array) -> Array:
        return height(sample(params, key))

    check_estimator(no_value, AT, elbo, draws=2000).assert_ok()


def test_of_very_many_parameters_some_are_checked() -> None:
    def many(params: Array, key: Array) -> tuple[Array, Array]:
        z = params + jax.random.normal(key, params.shape)
        return -0.5 * jnp.sum(z**2), -z

    check = check_estimator(many, jnp.zeros(200), draws=640, seed=3)
    assert (len(check.components), check.of) == (40, 200)
    assert check.ok
    assert "40 gradients checked, of 200" in check.summary()


def test_gradients_that_are_not_finite_are_wrong() -> None:
    def broken(params: Params, key: Array) -> tuple[Array, Params]:
        elbo, grad = score(params, key)
        return elbo, {**grad, "m": jnp.where(elbo > 1.5, jnp.nan, grad["m"])}

    assert [c.verdict for c in check_estimator(broken, AT, draws=500).components] == ["not finite", "agrees"]


def test_requests_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="step must be positive"):
        check_estimator(plain, AT, step=0.0)
    with pytest.raises(ValueError, match="no parameters"):
        check_estimator(plain, {})


def test_numpyro_on_one_if() -> None:
    """NumPyro's ELBO gradient of the smallest model with an `if`: biased, and said to be so."""

    def model() -> None:
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(jnp.where(z > 0, 1.0, -2.0), 1), obs=0.0)

    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    at: Any = svi.get_params(svi.init(jax.random.key(0)))

    def fn(params: Any, key: Array) -> tuple[Array, Any]:
        loss, grad = jax.value_and_grad(lambda p: Trace_ELBO().loss(key, p, model, guide))(params)
        return -loss, jax.tree.map(jnp.negative, grad)

    check = check_estimator(fn, at, step=0.05, draws=20_000)
    assert "z_auto_loc" in [c.name for c in check.wrong]
    assert np.isfinite(check.elbo)
