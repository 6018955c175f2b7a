"""Latents that are drawn as a whole: shares (`Dirichlet`), increasing numbers (`ordered[K]`), and correlations of two.

Each has its own coordinates, of which there may be fewer than elements (the transforms of Stan's reference manual).
"""

from __future__ import annotations

import numpy as np
from densities import forward
from scipy import special

A = np.ndarray


def is_joint(law: str, base: str) -> bool:
    """Whether the elements of a latent, of a type with this `base`, do not vary freely."""
    return law in ("Dirichlet", "LKJCholesky") or base == "ordered"


def coordinates(law: str, dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the coordinates of such a latent."""
    match law:
        case "Dirichlet":
            return (dims[0] - 1,)
        case "LKJCholesky" if dims != (2, 2):
            raise NotImplementedError("correlations of more than two")
        case "LKJCholesky":
            return (1,)
        case _:
            return dims


def joint_forward(law: str, u: A, kind: str, bounds: tuple[A, ...]) -> tuple[A, A]:
    """The values, and the log Jacobian of each row, at n x coordinates. `kind` and `bounds`: the support of each of
    the ordered numbers."""
    match law:
        case "Dirichlet":
            v = u - np.log(np.arange(u.shape[1], 0, -1))
            left = np.concatenate([np.zeros((len(u), 1)), np.cumsum(special.log_expit(-v), axis=1)], axis=1)
            parts = np.concatenate([special.log_expit(v), np.zeros((len(u), 1))], axis=1)
            return np.exp(parts + left), (special.log_expit(v) + special.log_expit(-v) + left[:, :-1]).sum(axis=1)
        case "LKJCholesky":
            r = np.tanh(u[:, 0])
            rows = [[np.ones_like(r), np.zeros_like(r)], [r, 1 / np.cosh(u[:, 0])]]
            return np.moveaxis(np.array(rows), 2, 0), -2 * np.log(np.cosh(u[:, 0]))
        case _:
            ratios = kind == "lower"  # of the distances from the end
            gaps, slopes = (np.logaddexp(u, 0), special.log_expit(u)) if ratios else (np.exp(u), u)
            line = u[:, :1] + np.concatenate([np.zeros((len(u), 1)), np.cumsum(gaps[:, 1:], axis=1)], axis=1)
            value, jacobian = forward(kind, line, bounds)
            return value, jacobian.sum(axis=1) + slopes[:, 1:].sum(axis=1)


def joint_density(law: str, z: A, args: tuple[A, ...]) -> A | None:
    """The log density of each row; None for a law of single numbers."""
    match law:
        case "Dirichlet":
            a = args[0].astype(float)
            count = special.gammaln(a.sum(axis=1)) - special.gammaln(a).sum(axis=1)
            return count + ((a - 1) * np.log(z)).sum(axis=1)
        case "LKJCholesky":
            eta = args[1].astype(float)
            return 2 * (eta - 1) * np.log(z[:, 1, 1]) - (2 * eta - 1) * np.log(2) - special.betaln(eta, eta)
        case _:
            return None
