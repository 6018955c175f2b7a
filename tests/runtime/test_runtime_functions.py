"""The built-in functions against scipy and numpy, the singular ones also under a mask."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ppl.language.functions import FUNCTIONS
from ppl.runtime import functions as fn

X = np.linspace(-3.0, 3.0, 25) + 0.01
POSITIVE = np.array([1e-6, 0.1, 0.5, 0.9, 1.0, 2.5, 9.5, 10.5, 100.0, 1e4])
UNIT = np.array([1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 0.999999])


ELEMENTWISE: dict[str, tuple[tuple[np.ndarray, ...], Callable[..., Any]]] = {
    "exp": ((X,), np.exp),
    "expm1": ((X,), np.expm1),
    "sinh": ((X,), np.sinh),
    "cosh": ((X,), np.cosh),
    "tanh": ((X,), np.tanh),
    "erf": ((X,), special.erf),
    "erfc": ((X,), special.erfc),
    "Phi": ((3 * X,), special.ndtr),
    "inv_Phi": ((UNIT,), special.ndtri),
    "inv_logit": ((30 * X,), special.expit),
    "logit": ((UNIT,), special.logit),
    "log_inv_logit": ((300 * X,), special.log_expit),
    "log1p_exp": ((300 * X,), lambda x: np.logaddexp(0, x)),
    "log": ((POSITIVE,), np.log),
    "log2": ((POSITIVE,), np.log2),
    "log10": ((POSITIVE,), np.log10),
    "log1p": ((POSITIVE - 0.5,), np.log1p),
    "log1m": ((1 - POSITIVE,), lambda x: np.log1p(-x)),
    "log1m_exp": ((-POSITIVE,), lambda x: np.where(x > -0.7, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))),
    "sqrt": ((POSITIVE,), np.sqrt),
    "square": ((X,), np.square),
    "inv": ((X,), lambda x: 1 / x),
    "sin": ((X,), np.sin),
    "cos": ((X,), np.cos),
    "tan": ((X,), np.tan),
    "asin": ((X / 4,), np.arcsin),
    "acos": ((X / 4,), np.arccos),
    "atan": ((X,), np.arctan),
    "asinh": ((X,), np.arcsinh),
    "acosh": ((1 + POSITIVE,), np.arccosh),
    "atanh": ((X / 4,), np.arctanh),
    "lgamma": ((POSITIVE,), special.gammaln),
    "digamma": ((POSITIVE,), special.digamma),
    "pow": ((POSITIVE[:7], X[:7]), np.power),
    "atan2": ((X, X[::-1]), np.arctan2),
    "hypot": ((X, X[::-1]), np.hypot),
    "log_sum_exp": ((300 * X, 200 * X[::-1]), np.logaddexp),
    "log_diff_exp": ((X, X - 0.5), lambda x, y: x + np.log1p(-np.exp(y - x))),
    "lbeta": ((POSITIVE, POSITIVE[::-1]), special.betaln),
    "lchoose": ((POSITIVE + 2.0, POSITIVE), lambda n, k: -np.log1p(n) - special.betaln(n - k + 1, k + 1)),
    "abs": ((X,), np.abs),
    "relu": ((X,), lambda x: np.maximum(x, 0)),
    "min": ((X, X[::-1]), np.minimum),
    "max": ((X, X[::-1]), np.maximum),
    "clamp": ((X, X * 0 - 1, X * 0 + 2), np.clip),
    "floor": ((X,), np.floor),
    "ceil": ((X,), np.ceil),
    "round": ((X,), np.round),
    "sign": ((X,), np.sign),
    "step": ((X,), lambda x: x > 0),
}
ARRAYS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "cumsum": np.cumsum,
    "min": np.min,
    "max": np.max,
    "length": len,
    "log_sum_exp": special.logsumexp,
}


def test_every_function_is_here() -> None:
    linear = {name for name, f in FUNCTIONS.items() if f.kind == "linear"}  # tests/runtime/test_runtime_linear.py
    assert set(FUNCTIONS) <= set(ELEMENTWISE) | set(ARRAYS) | {"dot"} | linear
    for name in FUNCTIONS:
        assert callable(getattr(fn, name))
    # Whatever may be singular has safe operands, one for each that it can take.
    assert {name for name, f in FUNCTIONS.items() if f.singular} <= set(fn.SAFE)
    for name, safe in fn.SAFE.items():
        assert len(safe) == max(FUNCTIONS[name].arity)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values(name: str, precision: str) -> None:
    operands, reference = ELEMENTWISE[name]
    operands = tuple(np.asarray(v, precision) for v in operands)
    value = jax.jit(getattr(fn, name))(*operands)
    expected = reference(*(v.astype(np.float64) for v in operands))
    assert value.dtype == ("int" + precision[-2:] if FUNCTIONS[name].kind == "jump" else precision)
    tolerance = 1e-5 if precision == "float32" else 1e-11
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ARRAYS)
def test_reductions(name: str) -> None:
    np.testing.assert_allclose(getattr(fn, name)(X.astype(np.float32)), ARRAYS[name](X), rtol=1e-5, atol=1e-5)


def test_dot_of_ints_and_reductions_of_ints_stay_ints() -> None:
    k = np.array([3, 1, 2])
    assert fn.dot(k, k) == 14
    for name, value in {"sum": 6, "prod": 6, "min": 1, "max": 3}.items():
        result = getattr(fn, name)(k)
        assert result == value
        assert jnp.issubdtype(result.dtype, jnp.integer)
    assert fn.mean(k) == 2.0
    for name in ("abs", "relu", "floor", "ceil", "round", "sign"):
        assert jnp.issubdtype(getattr(fn, name)(-3).dtype, jnp.integer)


def test_python_numbers_adopt_the_width_of_the_other_operand() -> None:
    with jax.enable_x64(True):
        single = jnp.asarray(0.5, "float32")
        for value in (
            fn.log(2) * single,
            fn.pow(single, 2),
            fn.pow(2.0, single),
            fn.max(single, 1.0),
            fn.inv(3) * single,
        ):
            assert value.dtype == "float32"


def test_round_takes_ties_to_even() -> None:
    assert fn.round(np.array([0.5, 1.5, 2.5, -0.5])).tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize(
    ("base", "exponent", "value", "slope"),
    [(-2.0, 2, 4.0, -4.0), (0.0, 2, 0.0, 0.0), (0.0, 1, 0.0, 1.0), (0.0, 0, 1.0, 0.0), (-2.0, 3.0, -8.0, 12.0),
     (-2.0, -1, -0.5, -0.25), (4.0, 0.5, 2.0, 0.25), (0.0, 1.5, 0.0, 0.0)],
)  # fmt: skip
def test_powers(base: float, exponent: float, value: float, slope: float) -> None:
    assert fn.pow(base, exponent) == pytest.approx(value)
    assert jax.grad(fn.pow)(base, exponent) == pytest.approx(slope)
    if isinstance(exponent, int) and exponent >= 0:
        assert jax.grad(lambda x: fn.pow(x, jnp.asarray(exponent)))(base) == pytest.approx(slope)


def test_gradients_at_awkward_points() -> None:
    assert jax.grad(fn.hypot, argnums=(0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert jax.grad(fn.hypot)(3e30, 4e30) == pytest.approx(0.6)
    assert jax.grad(fn.relu)(0.0) == 0.0
    np.testing.assert_array_equal(jax.grad(fn.prod)(jnp.array([0.0, 2.0, 3.0])), [6.0, 0.0, 0.0])
    assert jax.grad(fn.sqrt)(0.0) == np.inf
    for x in (-500.0, 500.0):
        assert np.isfinite(jax.grad(fn.log_inv_logit)(x))
        assert np.isfinite(jax.grad(fn.log1p_exp)(x))


def test_gamma_functions_of_large_arguments_keep_float32_precision() -> None:
    assert fn.lbeta(1e6, 1e6) == pytest.approx(special.betaln(1e6, 1e6), rel=1e-6)
    assert fn.lbeta(1e8, 0.5) == pytest.approx(special.betaln(1e8, 0.5), rel=1e-5)
    assert fn.lchoose(1000000, 3) == pytest.approx(np.log(1e6 * (1e6 - 1) * (1e6 - 2) / 6), rel=1e-5)
    assert [float(fn.lchoose(5, k)) for k in (0, 5)] == [0.0, 0.0]
    assert fn.lchoose(5, 6) == -np.inf
    x = np.array([0.0, 1.0, 9.99, 10.0, 1e6])
    expected = special.gammaln(x + 1) - (special.xlogy(x, x) - x)
    np.testing.assert_allclose(fn.stirling_error(x.astype(np.float32)), expected, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("name", fn.SAFE)
def test_masked_operands_cannot_poison(name: str) -> None:
    poisons = (np.nan, np.inf, -1e30, 0.0)
    mask = np.array([True, *(False for _ in poisons)])
    operands = tuple(np.array([s, *poisons], np.float32) for s in fn.SAFE[name])

    def total(*ops: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(mask, fn.masked(mask, name, *ops), 0.0))

    for gradient in jax.jit(jax.grad(total, argnums=tuple(range(len(operands)))))(*operands):
        assert np.isfinite(gradient[0])
        np.testing.assert_array_equal(gradient[1:], 0.0)


def test_masked_evaluates_where_the_mask_holds() -> None:
    mask = jnp.array([True, False])
    np.testing.assert_allclose(fn.masked(mask, "log", jnp.array([2.0, -1.0])), [np.log(2), 0.0], rtol=1e-6)
    np.testing.assert_allclose(fn.masked(mask, "pow", jnp.array([-2.0, 0.0]), -2), [0.25, 1.0])
    np.testing.assert_allclose(fn.masked(mask, "sin", jnp.array([0.0, 0.0])), 0.0)
    assert fn.masked(False, "log", -1.0) == 0.0


def test_the_flat_side_of_a_kink_has_no_slope() -> None:
    """Not even where the function around it has an infinite one."""
    flat = {
        "relu": lambda x: fn.sqrt(fn.relu(x)), "max": lambda x: fn.sqrt(fn.max(x, 0.0)),
        "abs": lambda x: fn.sqrt(fn.abs(fn.max(x, 0))),
        "min": lambda x: fn.sqrt(-fn.min(0, -x)), "clamp": lambda x: fn.acos(fn.clamp(x - 3, -1, 1)),
        "product": lambda x: fn.max(x, 0) * fn.log(fn.max(x, 0)),
        "power": lambda x: fn.pow(fn.clamp(x, 0, 1), 0.3),
    }  # fmt: skip
    for name, f in flat.items():
        assert jax.grad(f)(-0.7) == 0, name
        assert np.isfinite(jax.grad(f)(0.4 if name != "clamp" else 3.4)), name
    assert jax.grad(lambda x: fn.sqrt(fn.max(jnp.stack([x, 0.0]))))(-0.7) == 0


def test_kinks_of_special_numbers() -> None:
    x = jnp.array([-2.0, -0.0, 0.0, 3.0, jnp.nan])
    np.testing.assert_array_equal(fn.abs(x), np.abs(x))
    assert not np.signbit(fn.abs(x))[:4].any()
    for mine, theirs in ((fn.max, np.maximum), (fn.min, np.minimum)):
        np.testing.assert_array_equal(mine(x, 1.0), theirs(x, 1.0))
        np.testing.assert_array_equal(mine(1.0, x), theirs(1.0, x))
    np.testing.assert_array_equal(fn.relu(x), np.maximum(x, 0))
    np.testing.assert_array_equal(fn.clamp(x, -1, 1), np.clip(x, -1, 1))
    assert np.isnan(fn.max(x)) and np.isnan(fn.min(x)) and fn.max(x[:4]) == 3 and fn.min(x[:4]) == -2


def test_masked_takes_the_end_of_a_domain_on_a_boundary() -> None:
    x = jnp.array([-1e-17, 0.25, -1.0])
    np.testing.assert_allclose(fn.masked(True, "sqrt", x, on_boundary=True), [0.0, 0.5, 0.0])
    np.testing.assert_allclose(fn.masked(True, "pow", x, 1.5, on_boundary=True), [0.0, 0.125, 0.0])
    np.testing.assert_allclose(
        fn.masked(True, "pow", x, jnp.array(2.0), on_boundary=True), [0.0, 0.0625, 1.0], atol=1e-30
    )
    np.testing.assert_allclose(
        fn.masked(True, "acos", jnp.array([1.1, -1.1]), on_boundary=True), [0.0, np.pi], rtol=1e-6
    )
    np.testing.assert_allclose(fn.masked(True, "acosh", 0.99, on_boundary=True), 0.0)
    np.testing.assert_allclose(fn.masked(jnp.array([False, True, True]), "sqrt", x, on_boundary=True), [1.0, 0.5, 0.0])
    assert jnp.isnan(fn.masked(True, "sqrt", -1.0))


def test_masked_needs_a_function() -> None:
    mask = jnp.array([True, False])
    with pytest.raises(KeyError):
        fn.masked(mask, "no_such_function", 1.0)


def test_divide() -> None:
    mask, a, b = jnp.array([True, False]), jnp.array([3.0, jnp.nan]), jnp.array([2.0, 0.0])
    np.testing.assert_array_equal(fn.divide(mask, a, b), [1.5, 0.0])
    d_a, d_b = jax.grad(lambda a, b: jnp.sum(fn.divide(mask, a, b)), argnums=(0, 1))(a, b)
    np.testing.assert_allclose(d_a, [0.5, 0.0])
    np.testing.assert_allclose(d_b, [-0.75, 0.0])
    assert fn.divide(True, 1, 4) == 0.25


@pytest.mark.parametrize("dtype", [int, float])
def test_extremes_of_nothing_can_be_traced(dtype: type) -> None:
    """What a condition on the size cuts off is traced all the same; nothing looks at the value."""
    nothing = jnp.zeros((0,), dtype)
    for f in (fn.min, fn.max, fn.mean):
        assert jax.jit(f)(nothing).shape == ()
        assert jnp.isfinite(f(nothing))
    assert fn.min(nothing).dtype == nothing.dtype
