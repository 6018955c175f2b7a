"""Programs with two latents, and their exact ELBO gradients under guides of every family by quadrature.

The reference knows a guide by what the documentation says: the mean and covariance of a Gaussian, and the warps of a
flow. The ELBO is a sum over a grid of latents of density times log weight, in which parameters appear smoothly, so that
differentiating the sum is exact but for the grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sinh_arcsinh
from jax.scipy.stats import norm

Tree = Any


def joined(tree: Tree) -> Any:
    return jnp.concatenate([jnp.ravel(x) for x in tree.values()])


def flat_moments(name: str, params: Tree) -> tuple[Any, Any]:
    """Mean and covariance of two latents, as the documentation says."""
    loc, scale = joined(params["loc"]), jnp.exp(joined(params["log_scale"]))
    if name == "meanfield":
        v = jnp.eye(2)
    elif name == "fullrank":
        root = jnp.eye(2).at[1, 0].set(next(iter(params["tril"].values()))[0])
        v = root @ root.T
    elif name == "chain":
        c = params["coupling"]["z"][0]
        v = jnp.stack([jnp.stack([jnp.ones(()), c]), jnp.stack([c, 1 + c**2])])
    else:
        f = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in params["factor"].values()])
        v = jnp.eye(2) + f @ f.T
    return loc, scale[:, None] * v * scale


def log_normal(x: Any, mean: Any, covariance: Any) -> Any:
    """Of two coordinates, last axis."""
    (a, b), (_, d) = covariance
    p, q = x[..., 0] - mean[0], x[..., 1] - mean[1]
    determinant = a * d - b * b
    return (
        -0.5 * (d * p * p - 2 * b * p * q + a * q * q) / determinant - 0.5 * jnp.log(determinant) - jnp.log(2 * jnp.pi)
    )


@dataclass(frozen=True)
class Case:
    """A program with two latents. ``log_p(u)``: its log density of unconstrained latents with the Jacobian, and whether
    the second exists. `cuts`: where the density jumps along one axis, unconstrained.
    """

    source: str
    log_p: Callable[[Any], tuple[Any, Any]]
    families: tuple[str, ...] = ("fullrank",)
    cuts: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


def always(f: Callable[[Any, Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    return lambda u: (f(u[..., 0], u[..., 1]), jnp.asarray(True))


def oblique(x: Any, y: Any) -> Any:
    mean = jnp.where(2 * x - 3 * y + 0.5 > 0, x, 4.0)
    return norm.logpdf(x) + norm.logpdf(y, 1, 2) + norm.logpdf(1.2, mean, 0.7)


def circle(x: Any, y: Any) -> Any:
    return norm.logpdf(x) + norm.logpdf(y) + jnp.log(jnp.where(x**2 + y**2 < 1, 0.9, 0.2))


def branch(u: Any) -> tuple[Any, Any]:
    x, y = u[..., 0], u[..., 1]
    inside = norm.logpdf(y, x, 0.6) + norm.logpdf(1, y, 1)
    return norm.logpdf(x) + jnp.where(x > 0.3, inside, norm.logpdf(1, -x, 0.8)), x > 0.3


def inside(u: Any, v: Any) -> Any:
    """a = 2 logistic(u) ~ Uniform(0, 2); b = a logistic(v) ~ Uniform(0, a)."""
    a = 2 * jax.nn.sigmoid(u)
    b = a * jax.nn.sigmoid(v)
    jacobian = sum(jax.nn.log_sigmoid(x) + jax.nn.log_sigmoid(-x) for x in (u, v))
    return jacobian + norm.logpdf(1.0, jnp.where(b > 0.5, b, 2.0), 0.8)


def counting(x: Any, y: Any) -> Any:
    total = jnp.where(x > 0.3, 1, 0) + jnp.where(y > 0.3, 1, 0)
    return norm.logpdf(x) + norm.logpdf(y) - 0.4 * total**2 + jnp.where(y > 0.3, norm.logpdf(0.5, x, 1), 0)


def walk(x: Any, y: Any) -> Any:
    first = 0.2 + x
    second = first + jnp.where(first < 0.4, 0.8, -0.8) + y
    third = second + jnp.where(second < 0.3, 1.0, -0.7)
    values = norm.logpdf(x) + norm.logpdf(y, 0.5 * x) + norm.logpdf(0.5, first) + norm.logpdf(0.1, second)
    return values + norm.logpdf(-0.3, third)


CASES = {
    "oblique": Case(
        "x ~ Normal(0, 1)\ny ~ Normal(1, 2)\nobserve 1.2 ~ Normal(if 2 * x - 3 * y + 0.5 > 0 then x else 4, 0.7)\n",
        always(oblique), ("fullrank", "lowrank:1", "flow:lowrank:1", "x, y ~ Flow(FullRank())"),
    ),
    "circle": Case(
        "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nobserve 1 ~ Bernoulli(if x^2 + y^2 < 1 then 0.9 else 0.2)\n",
        always(circle), ("fullrank", "flow:fullrank"),
    ),
    "branch": Case(
        "x ~ Normal(0, 1)\n"
        "if x > 0.3 { y ~ Normal(x, 0.6); observe 1 ~ Normal(y, 1) } else { observe 1 ~ Normal(-x, 0.8) }\n",
        branch, ("lowrank:1", "flow:fullrank"), ((0.3,), ()),
    ),
    "bounds": Case(
        "a ~ Uniform(0, 2)\nb ~ Uniform(0, a)\nobserve 1.0 ~ Normal(if b > 0.5 then b else 2, 0.8)\n",
        always(inside),
    ),
    "counting": Case(
        """
        z: real[2] ~ Normal(0, 1)
        total = 0
        for i in 0..2 {
            if z[i] > 0.3 { total = total + 1 }
            if z[i] > 0.3 and i > 0 { observe 0.5 ~ Normal(z[i - 1], 1) }
        }
        factor -0.4 * total * total
        """,
        always(counting), ("chain",), ((0.3,), (0.3,)),
    ),
    "walk": Case(
        """
        data y: real[3] = [0.5, 0.1, -0.3]
        var z: real[2]
        pos = 0.2
        for t in 0..2 {
            z[t] ~ Normal(if t == 0 then 0 else 0.5 * z[t - 1], 1)
            pos = pos + z[t]
            observe y[t] ~ Normal(pos, 1)
            if t == 0 { if pos < 0.4 { pos = pos + 0.8 } else { pos = pos - 0.8 } }
            else { if pos < 0.3 { pos = pos + 1 } else { pos = pos - 0.7 } }
        }
        observe y[2] ~ Normal(pos, 1)
        """,
        always(walk), ("fullrank", "chain", "flow:chain"), ((0.2,), ()),
    ),
}  # fmt: skip


def axis(centre: float, spread: float, cuts: tuple[float, ...], cells: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Midpoints and widths of cells that end at the cuts."""
    ends = [centre - 8 * spread, *sorted(cuts), centre + 8 * spread]
    edges = [np.linspace(a, b, max(round(cells * (b - a) / (16 * spread)), 2) + 1) for a, b in itertools.pairwise(ends)]
    middles = np.concatenate([(e[1:] + e[:-1]) / 2 for e in edges])
    return middles, np.concatenate([np.diff(e) for e in edges])


def exact(case: Case, name: str, params: Tree) -> tuple[float, Tree]:
    """The ELBO and its gradient by quadrature."""
    warped = name.startswith("flow:") or "Flow" in name
    base = "fullrank" if "FullRank" in name else name.removeprefix("flow:")
    gaussian = {**params, **dict.fromkeys(("loc", "log_scale"), jax.tree.map(jnp.zeros_like, params["loc"]))}

    def moments(params: Tree) -> tuple[Any, Any]:
        """Of two normal coordinates."""
        return flat_moments(base, {**params, **{k: gaussian[k] for k in ("loc", "log_scale") if warped}})

    def normal_coordinates(params: Tree, u: Any) -> tuple[Any, Any]:
        """These, and the logarithms of their derivatives."""
        if not warped:
            return u, jnp.zeros_like(u)
        return sinh_arcsinh.backward(u, *(joined(params[k]) for k in sinh_arcsinh.PARTS))

    mean, covariance = (np.asarray(x) for x in moments(params))
    axes: list[tuple[Any, Any]] = []
    for k in range(2):
        ends = [normal_coordinates(params, jnp.full(2, c))[0][k] for c in case.cuts[k]]
        axes.append(axis(mean[k], covariance[k, k] ** 0.5, tuple(map(float, ends))))
    v = jnp.stack(jnp.meshgrid(*(jnp.asarray(x) for x, _ in axes), indexing="ij"), axis=-1)
    weight = jnp.asarray(axes[0][1][:, None] * axes[1][1])
    grid = v
    if warped:
        grid = sinh_arcsinh.forward(v, *(joined(params[k]) for k in sinh_arcsinh.PARTS))
        weight = weight * jnp.exp(-jnp.sum(normal_coordinates(params, grid)[1], axis=-1))
    log_p, exists = case.log_p(grid)

    def elbo(params: Tree) -> Any:
        m, c = moments(params)
        if case.source == CASES["branch"].source and name.startswith("lowrank"):  # y has no factors
            c = jnp.diag(jnp.exp(2 * joined(params["log_scale"]))).at[0, 0].set(c[0, 0])
        v, slopes = normal_coordinates(params, grid)
        log_q = log_normal(v, m, c) + jnp.sum(slopes, axis=-1)
        first = norm.logpdf(v[..., 0], m[0], jnp.sqrt(c[0, 0])) + slopes[..., 0]
        return jnp.sum(weight * jnp.exp(log_q) * (log_p - jnp.where(exists, log_q, first)))

    value, slope = jax.jit(jax.value_and_grad(elbo))(params)
    return float(value), slope
