"""A model whose gradients have a closed form: a standard normal latent, and one `if` with constant branches."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

ONE_IF = "z ~ Normal(0, 1)\nobserve 0 ~ Normal(if z > 0 then 1 else -2, 1)\n"
LOC, LOG_SCALE = 0.4, -0.3


def params() -> dict[str, dict[str, jnp.ndarray]]:
    return {"loc": {"z": jnp.asarray(LOC)}, "log_scale": {"z": jnp.asarray(LOG_SCALE)}}


def gradient() -> tuple[float, float]:
    """d ELBO / d(loc, log_scale): that of E log N(z; 0, 1) plus the entropy, and the jump times that of P(z > 0)."""
    scale = np.exp(LOG_SCALE)
    jump = norm.logpdf(0, 1, 1) - norm.logpdf(0, -2, 1)
    density = norm.pdf(LOC / scale)
    return -LOC + jump * density / scale, 1 - scale**2 - jump * density * LOC / scale
