"""Guides with dependence: their algebra against NumPy's and SciPy's, their gradients against quadrature.

The reference knows a guide by its mean and covariance alone, written down here from the documentation: the ELBO is a
sum over a grid of latents of density times log weight, in which parameters appear smoothly, so that differentiating the
sum is exact but for the grid.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from two_latents import CASES, Case, exact, joined

import ppl
from ppl.language import guides
from ppl.problem.existence import ALWAYS, NEVER
from ppl.problem.families import NAMES, family_of
from ppl.problem.guides import Latents

Tree = Any
FAMILIES = ("meanfield", "fullrank", "lowrank:2", "chain")


@pytest.fixture(autouse=True, scope="module")
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def shaken(tree: Tree, seed: int = 3, size: float = 0.5) -> Tree:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(size * rng.normal(size=x.shape)), tree)


# ----------------------------------------------------------------------- algebra

SHAPES = {"a": (), "b": (), "m": (2, 2), "z": (4,)}  # in the order of jax's trees
PATHS = {
    "b": np.array(1),
    "m": np.array([[ALWAYS, 1], [NEVER, 2]]),
    "z": np.array([ALWAYS, 7, ALWAYS, ALWAYS]),
}


def moments(family: Any, params: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of the flat latents, from the affine map that makes them of noise, and its matrix."""
    zero = {k: jnp.zeros(s) for k, s in family.noise().items()}

    def flat(e: Tree) -> tuple[Any, Any]:
        u = joined(family.point(params, e).u)
        return u, u

    jacobian, mean = jax.jit(jax.jacobian(flat, has_aux=True))(zero)
    names = [*SHAPES, *(k for k in zero if k not in SHAPES)]
    rows = np.concatenate([np.asarray(jacobian[k]).reshape(len(mean), -1) for k in names], axis=1)
    return np.asarray(mean), rows @ rows.T, rows


@pytest.mark.parametrize(("name", "groups"), [*((name, PATHS) for name in FAMILIES), ("lowrank:2", {})])
def test_log_q_is_that_of_the_marginal_over_the_latents_of_a_path(name: str, groups: Any) -> None:
    family = family_of(name, Latents(SHAPES, {}, groups))
    params = shaken(family.init(float))
    mean, covariance, _ = moments(family, params)
    eps = shaken({k: jnp.zeros(s) for k, s in family.noise().items()}, 5, 1.0)

    @jax.jit
    def densities(p: Tree) -> tuple[Any, ...]:
        still = jax.lax.stop_gradient(p)
        ways = (
            lambda p: family.point(p, eps).log_q,
            lambda p: family.at(p, family.point(p, eps).u).log_q,
            lambda p: family.log_density(still, family.point(p, eps).u),
            lambda p: family.point(p, eps, stl=True).log_q,
        )
        found = [
            jax.value_and_grad(lambda p, f=f: (lambda x: (x.sum(), x))(joined(f(p))), has_aux=True)(p) for f in ways
        ]
        return joined(family.point(p, eps).u), [x for (_, x), _ in found], [slope for _, slope in found]

    u, (log_q, *others), (_, _, want_slope, slope) = densities(params)
    group = np.concatenate([np.ravel(family.latents.group(k)) for k in SHAPES])
    for on in ((), (1,), (2, 7), (1, 2, 7)):
        exists = (group == ALWAYS) | np.isin(group, on)
        want = stats.multivariate_normal(mean[exists], covariance[np.ix_(exists, exists)]).logpdf(u[exists])
        np.testing.assert_allclose(np.sum(log_q[exists]), want, rtol=1e-10)
    for other in others:
        np.testing.assert_allclose(other, log_q, rtol=1e-9, atol=1e-9)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), slope, want_slope)


@pytest.mark.parametrize(("name", "groups"), [*((name, PATHS) for name in FAMILIES[1:]), ("chain", {})])
def test_a_coordinate_moves_alone_along_its_line(name: str, groups: Any) -> None:
    """Centre and spread of the conditional distribution; values, derivatives and log q at the place moved to."""
    family = family_of(name, Latents(SHAPES, {}, groups))
    params = shaken(family.init(float))
    eps = shaken({k: jnp.zeros(s) for k, s in family.noise().items()}, 5, 1.0)
    mean, covariance, rows = moments(family, params)
    precision = np.linalg.inv(covariance)
    point = jax.jit(lambda p: (lambda x: (x.u, x.loc, x.scale))(family.point(p, eps)))(params)
    u = np.asarray(joined(point[0]))
    group = np.concatenate([np.ravel(family.latents.group(k)) for k in SHAPES])

    @jax.jit
    def at_noise(e: Tree) -> tuple[Any, Any]:
        def f(p: Tree) -> tuple[Any, Any]:
            u = family.point(p, e).u
            return u, joined(family.at(p, u).log_q)

        return jax.jacobian(f, has_aux=True)(params)

    @partial(jax.jit, static_argnums=0)
    def moved(site: str, index: Any, target: Any) -> tuple[Any, Any]:
        def f(p: Tree) -> tuple[Any, Any]:
            start = family.point(p, eps)
            there = start.live_point(site, index, target).u
            return (there, start.live(site, index, target)), (
                there, joined(start.still().moved(site, index, target).log_q))  # fmt: skip

        return jax.jacobian(f, has_aux=True)(params)

    places = [(k, i) for k, s in SHAPES.items() for i in np.ndindex(*s)]
    for site, index in (("a", ()), ("m", (0, 1)), ("z", (1,)), ("z", (2,))):
        row = places.index((site, index))
        centre, spread = (float(x[site][index]) for x in point[1:])
        there = u + 0.7 * np.eye(len(u))[row]
        if name.startswith("lowrank"):  # the line of the diagonal noise: the factors stay
            shared = rows[row, -family.rank :] @ np.asarray(eps["*"])
            want = mean[row] + shared, np.exp(params["log_scale"][site][index])
            moved_eps = {**eps, site: eps[site].at[index].add(0.7 / spread)}
        else:
            want = u[row] - precision[row] @ (u - mean) / precision[row, row], precision[row, row] ** -0.5
            parts = np.split(
                np.linalg.solve(rows, there - mean), np.cumsum([math.prod(s) for s in SHAPES.values()])[:-1]
            )
            moved_eps = {k: jnp.asarray(x.reshape(s)) for (k, s), x in zip(SHAPES.items(), parts, strict=True)}
        np.testing.assert_allclose([centre, spread], want, rtol=1e-9)
        (slopes, own_slopes), (found, log_q) = moved(site, index, there[row])
        want_slopes, want_log_q = at_noise(moved_eps)
        np.testing.assert_allclose(joined(found), there, atol=1e-9)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), slopes, want_slopes)
        want_own = jax.tree.map(lambda x, at=index: x[at], want_slopes[site])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), own_slopes, want_own)
        if groups:
            np.testing.assert_allclose(log_q[group > 0], want_log_q[group > 0], atol=1e-9)


# ------------------------------------------------------------------- existence

EXISTENCE = """
data n: int = 4
data late: int = 1
x ~ Normal(0, 1)
if x > 0 { a ~ Normal(0, 1); b ~ Normal(a, 1); observe 0 ~ Normal(b, 1) }
else { c ~ Normal(0, 1); observe 1 ~ Normal(c, 1) }
if x > 1 { d ~ Normal(0, 1); observe 0 ~ Normal(d, 1) } else { d ~ Normal(1, 2); observe 1 ~ Normal(d, 1) }
if late > 0 { e ~ Normal(0, 1); observe 0 ~ Normal(e, 1) }
if late > 3 { f ~ Normal(0, 1); observe 0 ~ Normal(f, 1) }
var z: real[n]
var w: real[n]
z[0] = 0.5
for t in 1..n { if z[t-1] > 0 { z[t] ~ Normal(0, 1) } else { z[t] ~ Normal(1, 1) } }
for t in 0..n { if z[t] > x { w[t] ~ Normal(0, 1); observe 1 ~ Normal(w[t], 1) } }
"""


def test_paths_on_which_latents_exist() -> None:
    latents = ppl.compile(EXISTENCE).bind().guide("fullrank").latents
    g = latents.groups
    assert g["x"] == g["d"] == g["e"] == ALWAYS and g["f"] == NEVER
    assert g["a"] == g["b"] > 0 and g["c"] > 0 and g["c"] != g["a"]
    np.testing.assert_array_equal(g["z"], [NEVER, ALWAYS, ALWAYS, ALWAYS])
    assert len(set(g["w"].tolist())) == 4 and np.all(g["w"] > 0)
    assert latents.varies and not ppl.compile("x ~ Normal(0, 1)\n").bind().guide("chain").latents.varies


# ------------------------------------------------------------------- gradients


def compare(case: Case, name: str, **options: Any) -> None:
    problem = ppl.compile(case.source).bind()
    params = shaken(problem.init_params(name), 11, 0.45)
    if "tril" in params:
        params["tril"] = {k: jnp.asarray([0.8]) for k in params["tril"]}
    value, slope = exact(case, name, params)
    fn = problem.elbo_and_grad(name, samples=400, **options)
    elbo, grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(jax.random.split(jax.random.key(8), 60))
    rows = [("elbo", elbo, value)]
    for part, sites in grad.items():
        for site, x in sites.items():
            for i in np.ndindex(x.shape[1:]):
                rows.append((f"{part} {site}{list(i)}", x[(slice(None), *i)], float(slope[part][site][i])))
    faults = []
    for label, x, want in rows:
        x = np.asarray(x)
        se = x.std(ddof=1) / np.sqrt(len(x))
        if abs(x.mean() - want) > 5 * (se + 2e-4 * (1 + abs(want))) or se > 0.03 * (1 + abs(want)):
            faults.append(f"{label}: {x.mean():.5f} +- {se:.5f}, exact {want:.5f}")
    assert not faults, faults


@pytest.mark.parametrize(("case", "name"), [(k, name) for k, c in CASES.items() for name in c.families])
def test_gradient_is_exact(case: str, name: str) -> None:
    compare(CASES[case], name)


@pytest.mark.parametrize(
    ("case", "name"), [(k, name) for k, c in CASES.items() for name in c.families if ":" not in name]
)
def test_gradient_of_the_boundaries_is_exact(case: str, name: str) -> None:
    """As for terms that jump for several reasons, which keep their boundaries under a guide with dependence."""
    compare(CASES[case], name, marginalise=False)


def test_gradient_is_exact_with_sticking_the_landing() -> None:
    compare(CASES["branch"], "fullrank", stl=True, noise="qmc")


def test_what_shares_noise_must_be_followed_to_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases have teeth: with the derivative of the draw in place of the root's, the gradient is wrong."""
    from ppl.runtime.point import Point

    monkeypatch.setattr(Point, "near", lambda self, site, index, u, main: main)
    with pytest.raises(AssertionError, match="tril"):
        compare(CASES["oblique"], "fullrank", marginalise=False)


OWN = "a ~ MeanField(); z ~ Flow(FullRank()); w ~ Flow(Chain())"
ON_OFFER = (*FAMILIES, "flow", OWN)


def test_every_guide_has_a_density_on_every_line() -> None:
    """Which a boundary term needs: where a coordinate moves alone, on all of the real line, and at any parameters."""
    kinds = {name.partition(":")[0] for name in ON_OFFER}
    assert {n.partition(":")[0] for n in NAMES} <= kinds | {"program"}  # of which OWN is one
    assert all(f.name in OWN or f.option in kinds for f in guides.FAMILIES.values())
    problem = ppl.compile("a ~ Normal(0, 1)\nw: real[2] ~ Normal(0, 1)\nz: real[2] ~ Normal(0, 1)").bind()
    s = jnp.linspace(-6.0, 6.0, 13)

    def densities(family: Any, params: Tree, eps: Tree) -> Any:
        """Those of the noise on each line, by the guide's own density and the rate along the line."""
        point = family.point(params, eps)
        lines = [point.coordinate(k) for k in ("a", "w", "z")]
        at = [jax.vmap(lambda x, on=on: on.log_density(on.place(x)) + jnp.log(on.rate(x)))(s) for on in lines]
        return jnp.concatenate([x.reshape(len(s), -1) for x in at], 1)

    for name in ON_OFFER:
        family = problem.guide(name)
        fn = jax.jit(partial(densities, family))
        for size in (0.5, 5.0):
            eps = shaken({k: jnp.zeros(x) for k, x in family.noise().items()}, 5, 1.0)
            found = fn(shaken(family.init(float), 7, size), eps)
            want = jnp.broadcast_to(stats.norm.logpdf(s)[:, None], found.shape)
            np.testing.assert_allclose(found, want, rtol=1e-6, err_msg=name)


def test_guides_that_do_not_exist_are_refused() -> None:
    problem = ppl.compile(CASES["oblique"].source).bind()
    for name in ("dense", "lowrank:", "lowrank:x", "chain:2", "", "flow:", "flow:flow", "flow:program", "flow:chain:2"):
        with pytest.raises(ValueError, match="no guide"):
            problem.init_params(name)
    with pytest.raises(ValueError, match="no guide 'fulrank', did you mean `fullrank`"):
        problem.init_params("fulrank")
    for name in ("delta", "map", "mle", "point"):
        with pytest.raises(ValueError, match=f"a point \\('{name}'\\) has no density along a line, so the boundary"):
            problem.init_params(name)
    for name in ("lowrank:0", "lowrank:3"):
        with pytest.raises(ValueError, match="the rank of the guide"):
            problem.init_params(name)
