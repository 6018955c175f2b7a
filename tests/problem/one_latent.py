"""Exact ELBO gradients of programs with one latent, by quadrature that knows where the branch is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm


def elbo(log_joint: Callable[[float], float], loc: float, log_scale: float, cuts: tuple[float, ...]) -> float:
    """E_q[log p(data, z) - log q(z)] for a real latent with a Gaussian guide; the density may jump at `cuts`."""
    scale = np.exp(log_scale)
    inside = [c for c in cuts if abs(c - loc) < 10 * scale]
    edges = [loc - 10 * scale, *sorted(inside), loc + 10 * scale]

    def integrand(z: float) -> float:
        log_q = norm.logpdf(z, loc, scale)
        return float(np.exp(log_q) * (log_joint(z) - log_q))

    return sum(quad(integrand, a, b, epsabs=1e-12)[0] for a, b in pairwise(edges))


def gradient(
    log_joint: Callable[[float], float], loc: float, log_scale: float, cuts: tuple[float, ...], step: float = 1e-4
) -> tuple[float, float]:
    """d ELBO / d(loc, log_scale) by central differences of the exact ELBO."""
    d_loc = elbo(log_joint, loc + step, log_scale, cuts) - elbo(log_joint, loc - step, log_scale, cuts)
    d_scale = elbo(log_joint, loc, log_scale + step, cuts) - elbo(log_joint, loc, log_scale - step, cuts)
    return d_loc / (2 * step), d_scale / (2 * step)
