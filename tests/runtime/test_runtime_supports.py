"""The support transforms against NumPyro's, and their behaviour at the ends of the floating-point range."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import biject_to, constraints

from ppl.runtime import supports

A, B = -1.5, 2.25
CASES: dict[str, tuple[supports.Transform, tuple[float, ...], constraints.Constraint]] = {
    "real": (supports.real, (), constraints.real),
    "positive": (supports.lower, (0.0,), constraints.positive),
    "lower": (supports.lower, (A,), constraints.greater_than(A)),
    "upper": (supports.upper, (B,), constraints.less_than(B)),
    "unit": (supports.interval, (0.0, 1.0), constraints.unit_interval),
    "interval": (supports.interval, (A, B), constraints.interval(A, B)),
}


def _elementwise_gradient(function: Callable[..., jax.Array], *operands: jax.Array) -> tuple[jax.Array, ...]:
    total = lambda *ops: jnp.sum(function(*ops))  # noqa: E731
    return jax.jit(jax.grad(total, argnums=tuple(range(len(operands)))))(*operands)


@pytest.mark.parametrize("name", CASES)
def test_matches_numpyro(name: str, precision: str) -> None:
    transform, bounds, constraint = CASES[name]
    other = biject_to(constraint)
    u = jnp.linspace(-6.0, 6.0, 61, dtype=precision)
    z = jax.jit(transform.forward)(u, *bounds)
    rtol = 2e-5 if precision == "float32" else 1e-12
    assert z.dtype == precision
    np.testing.assert_allclose(z, other(u), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(transform.log_det(u, *bounds), other.log_abs_det_jacobian(u, z), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(transform.inverse(z, *bounds), u, rtol=200 * rtol, atol=200 * rtol)
    assert jnp.all(transform.contains(z, *bounds))


@pytest.mark.parametrize("name", CASES)
def test_slope_is_the_derivative_and_log_det_its_logarithm(name: str, precision: str) -> None:
    transform, bounds, _ = CASES[name]
    u = jnp.linspace(-6.0, 6.0, 61, dtype=precision)
    slope = jax.jit(transform.slope)(u, *bounds)
    (gradient,) = _elementwise_gradient(lambda u: transform.forward(u, *bounds), u)
    np.testing.assert_allclose(slope, gradient, rtol=1e-5 if precision == "float32" else 1e-12)
    np.testing.assert_allclose(jnp.log(jnp.abs(slope)), transform.log_det(u, *bounds), rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_bounds() -> None:
    u, a, b = jnp.array([-2.0, 0.0, 3.0]), jnp.full(3, A), jnp.full(3, B)
    share = 1 / (1 + np.exp(-np.asarray(u)))
    _, d_a, d_b = _elementwise_gradient(supports.interval.forward, u, a, b)
    np.testing.assert_allclose(d_a, 1 - share, rtol=1e-5)
    np.testing.assert_allclose(d_b, share, rtol=1e-5)
    _, d_a = _elementwise_gradient(supports.lower.forward, jnp.array([-100.0, 0.0, 3.0]), a)
    np.testing.assert_array_equal(d_a, 1.0)


@pytest.mark.parametrize("name", CASES)
def test_forward_stays_strictly_inside(name: str, precision: str) -> None:
    transform, bounds, _ = CASES[name]
    u = jnp.array([-1e4, -200.0, -80.0, -50.0, 50.0, 80.0, 200.0, 1e4], precision)
    z = jax.jit(transform.forward)(u, *bounds)
    assert jnp.all(transform.contains(z, *bounds)), z
    back = transform.inverse(z, *bounds)
    assert jnp.all(jnp.isfinite(back))
    assert jnp.all(jnp.isfinite(transform.log_det(u[2:6], *bounds)))
    (gradient,) = _elementwise_gradient(lambda u: transform.forward(u, *bounds), u)
    assert jnp.all(jnp.isfinite(gradient))
    if name != "real":
        assert jnp.all(gradient[2:6] != 0)  # moving a value off its bound must not cut its gradient


def test_log_det_of_the_interval_is_exact_far_out() -> None:
    u = jnp.array([-80.0, 80.0])
    np.testing.assert_allclose(supports.interval.log_det(u, 0.0, 2.0), np.log(2.0) - 80.0, rtol=1e-6)


OUTSIDE = {
    "real": [np.nan, np.inf, -np.inf],
    "positive": [np.nan, 0.0, -1.0, np.inf],
    "lower": [np.nan, A, A - 1, np.inf],
    "upper": [np.nan, B, B + 1, -np.inf],
    "unit": [np.nan, 0.0, 1.0, -0.5, 1.5, np.inf],
    "interval": [np.nan, A, B, A - 1, B + 1, -np.inf],
}


@pytest.mark.parametrize("name", CASES)
def test_inverse_or_marks_what_is_outside(name: str, precision: str) -> None:
    transform, bounds, _ = CASES[name]
    inside = transform.forward(jnp.asarray(0.7, precision), *bounds)
    z = jnp.asarray([*OUTSIDE[name], inside], precision)
    u, ok = jax.jit(transform.inverse_or)(z, *bounds)
    np.testing.assert_array_equal(ok, [*(False for _ in OUTSIDE[name]), True])
    np.testing.assert_array_equal(u[:-1], 0.0)
    assert u[-1] == pytest.approx(0.7, rel=1e-5)
    tracked = tuple(jnp.full_like(z, b) for b in bounds)
    for gradient in _elementwise_gradient(lambda *ops: transform.inverse_or(*ops)[0], z, *tracked):
        np.testing.assert_array_equal(gradient[:-1], 0.0)
        assert jnp.isfinite(gradient[-1])
        assert gradient[-1] != 0


def test_an_empty_interval_contains_nothing() -> None:
    u, ok = supports.interval.inverse_or(jnp.array([0.0, 1.5, 3.0]), 2.0, 1.0)
    assert not jnp.any(ok)
    np.testing.assert_array_equal(u, 0.0)


def test_bounds_broadcast_with_the_variable() -> None:
    u, bound = jnp.zeros((3, 1)), jnp.arange(4.0)
    for transform, bounds in ((supports.lower, (bound,)), (supports.interval, (bound, bound + 1.0))):
        for method in (transform.forward, transform.log_det, transform.slope, transform.inverse, transform.contains):
            assert jax.eval_shape(method, u, *bounds).shape == (3, 4)


@pytest.mark.parametrize("name", CASES)
def test_the_nearest_number_inside(name: str, precision: str) -> None:
    transform, bounds, _ = CASES[name]
    inside = transform.forward(jnp.linspace(-3.0, 3.0, 7, dtype=precision), *bounds)
    np.testing.assert_array_equal(transform.nearest(inside, *bounds), inside)
    beyond = transform.nearest(jnp.asarray([-jnp.inf, *bounds, jnp.inf], precision), *bounds)
    assert beyond.dtype == precision and jnp.all(transform.contains(beyond, *bounds))
    assert jnp.all(jnp.isfinite(transform.inverse(beyond, *bounds)))
    assert jnp.isnan(transform.nearest(jnp.asarray(jnp.nan, precision), *bounds))
