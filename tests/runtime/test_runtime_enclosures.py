"""Bounds of functions, their slopes and second derivatives over cells hold what the functions have there."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, nn

from ppl.runtime import enclosures
from ppl.runtime import functions as fn

ROW = np.array([1.0, -2.0, 0.5])
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "bump": lambda s: fn.exp(-500 * (s - 0.3) ** 2) + 0.1 * fn.sin(s) - 0.5,
    "quotient": lambda s: 1 / (1 + 30 * (s - 0.2) ** 2) - s / (0.3 - s),
    "waves": lambda s: fn.tanh(5 * s) * fn.cos(2 * s) + fn.tan(s) / 9,
    "hypotenuse": lambda s: fn.hypot(s, 0.3) - fn.sqrt(1 + s * s) + fn.cosh(s) - fn.inv(s),
    "logarithms": lambda s: fn.log_sum_exp(s, 0.2) - nn.softplus(2 * s) + fn.log1p(s * s) - fn.log_inv_logit(3 * s),
    "branches": lambda s: jnp.where(s > 0.1, s * s, -s) + jnp.where((s < -1) | (s >= 2), 3.0, s),
    "powers": lambda s: fn.pow(fn.exp(s), 1.7) * fn.atan2(s, 0.5) - fn.pow(2.0, s) + fn.pow(s, 3) / (1 + fn.pow(s, -2)),
    "dot product": lambda s: fn.exp(-fn.dot(ROW * s, ROW - s)),
    "matrix": lambda s: jnp.sum(jnp.outer(ROW * s, jnp.ones(3)) @ jnp.outer(ROW, ROW - s)),
    "element": lambda s: jnp.sum(fn.exp(jnp.asarray(ROW).at[1].set(s))) * jnp.asarray(ROW)[jnp.int32(2)] * s,
    "steps": lambda s: jnp.maximum(s, 0.3 - s) * fn.floor(3 * s) + jnp.abs(s) - fn.sign(s) * fn.inv_logit(8 * s),
    "gamma functions": lambda s: fn.lgamma(2 + s * s) - fn.Phi(3 * s) + fn.erfc(s),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bounds_hold(name: str) -> None:
    with jax.enable_x64(True):
        f = FUNCTIONS[name]
        slope = jax.grad(f)
        rng = np.random.default_rng(0)
        a, width = rng.uniform(-4, 4, 400), 10 ** rng.uniform(-4, 0, 400)
        found = jax.jit(jax.vmap(lambda a, b: enclosures.enclose(f, a, b)))(a, a + width)
        places = jnp.asarray(a[:, None] + width[:, None] * np.linspace(0.01, 0.99, 61))
        for g, bounds in zip((f, slope, jax.grad(slope)), found, strict=True):
            value = np.asarray(jax.jit(jax.vmap(jax.vmap(g)))(places))
            rounding = 1e-9 * (1 + np.abs(value))
            assert (value >= bounds.lo[:, None] - rounding).all()
            assert (value <= bounds.hi[:, None] + rounding).all()


def test_a_jump_leaves_no_bounds_of_slopes() -> None:
    def f(s: Array) -> Array:
        return jnp.where(s > 0.1, 1.0, s)

    over, beside = enclosures.enclose(f, jnp.array(0.0), jnp.array(0.3)), enclosures.enclose(f, *jnp.array([0.2, 0.3]))
    assert over.value.lo == 0
    assert over.value.hi == 1
    assert jnp.isinf(over.slope.lo)
    assert beside.slope.hi == beside.slope.lo == 0


def test_a_kink_leaves_bounds_of_slopes_alone() -> None:
    found = enclosures.enclose(lambda s: jnp.abs(s - 0.1), jnp.array(0.0), jnp.array(0.3))
    assert (float(found.slope.lo), float(found.slope.hi)) == (-1, 1)
    assert jnp.isinf(found.bend.hi)
