"""The warp of a flow as docs/guides.md has it, written in the terms of Jones & Pewsey (2009): of normal coordinates v,

u = loc + exp(log_scale) * (sinh(t * arcsinh(v) + b) - sinh(b)) / (t * cosh(b)).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

# In the order of the arguments below.
PARTS = ("loc", "log_scale", "skew", "log_tail")


def terms(skew: Any, log_tail: Any) -> tuple[Any, Any]:
    """b and t"""
    return jnp.arctanh(0.99 * jnp.tanh(skew)), 2 ** jnp.tanh(log_tail / jnp.log(2))


def forward(v: Any, loc: Any, log_scale: Any, skew: Any, log_tail: Any) -> Any:
    b, t = terms(skew, log_tail)
    return loc + jnp.exp(log_scale) * (jnp.sinh(t * jnp.arcsinh(v) + b) - jnp.sinh(b)) / (t * jnp.cosh(b))


def backward(u: Any, loc: Any, log_scale: Any, skew: Any, log_tail: Any) -> tuple[Any, Any]:
    """v, and the logarithm of its derivative in u."""
    b, t = terms(skew, log_tail)
    y = jnp.sinh(b) + t * jnp.cosh(b) * (u - loc) / jnp.exp(log_scale)
    x = (jnp.arcsinh(y) - b) / t
    return jnp.sinh(x), jnp.log(jnp.cosh(x) * jnp.cosh(b)) - 0.5 * jnp.log1p(y**2) - log_scale
