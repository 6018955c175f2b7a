"""Guides whose latents depend on each other: a latent is integrated out of a term given all others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.problem.estimators import integrable

CHANGE = """
data n: int
data count: int[n]
early  ~ LogNormal(2, 0.5)
late   ~ LogNormal(2, 0.5)
change ~ Uniform(0, n)
for day in 0..n { observe count[day] ~ Poisson(if day < change then early else late) }
"""
REGIMES = """
data y: real[4] = [0.1, 1.4, -0.3, 0.8]
var f: real[5]
f[0] ~ Normal(0, 1)
w ~ Normal(0, 1)
for t in 0..4 {
    f[t + 1] ~ Normal(if f[t] > 0 then 1.3 else -1.3, 1)
    observe y[t] ~ Normal(if f[t + 1] > 0.2 * w then w else w + 2, 0.5)
}
"""
SEVERAL = """
x ~ Normal(0, 1)
z ~ Normal(0, 1)
observe 0.2 ~ Normal(if x > 0 then (if z > 0.1 then 1 else -1) else 0.5, 1)
observe 1.0 ~ Normal(if z > x then 2 else -1, 1)
"""
RNG = np.random.default_rng(3)
MODELS = {
    "change": (CHANGE, {"count": [9, 12, 8, 3, 2, 4]}),
    "sorted": (CHANGE, {"count": RNG.poisson(np.where(np.arange(50) < 25, 8, 6))}),
    "regimes": (REGIMES, {}),
}
GUIDES = ("fullrank", "lowrank", "chain")


def somewhere(problem, guide):
    """Params at which the guide's latents depend on each other."""
    rng = np.random.default_rng(1)
    start = problem.init_params(guide=guide)
    return jax.tree.map(lambda x: jnp.asarray(x + 0.35 * rng.normal(size=x.shape)), start)


def mean_and_error(problem, params, guide, seed, calls, **options):
    fn = problem.elbo_and_grad(guide=guide, samples=64, noise="independent", **options)

    def one(key):
        elbo, gradient = fn(params, key)
        return jnp.concatenate([jnp.ravel(elbo), *map(jnp.ravel, jax.tree.leaves(gradient))])

    found = np.asarray(jax.jit(lambda k: jax.lax.map(one, k))(jax.random.split(jax.random.key(seed), calls)))
    return found.mean(0), found.std(0, ddof=1) / np.sqrt(calls)


@pytest.mark.parametrize(
    ("name", "guide"), [*((name, guide) for name in MODELS for guide in GUIDES), ("regimes", "flow:fullrank")]
)
def test_the_gradient_is_that_of_the_boundaries(name, guide):
    """Without the gradient through the values of the other latents, z is 10 to 260."""
    source, data = MODELS[name]
    with jax.enable_x64(True):
        problem = ppl.compile(source).bind(data)
        params = somewhere(problem, guide)
        mean, error = mean_and_error(problem, params, guide, 5, 1000)
        plain, plain_error = mean_and_error(problem, params, guide, 6, 1000, marginalise=False)
    z = (mean - plain) / np.sqrt(error**2 + plain_error**2 + 1e-24)
    assert np.abs(z).max() < 4.5, z


def test_what_may_be_integrated():
    """Of a term with one latent, given the others. Not of several, unless they are independent given shared noise."""
    problem = ppl.compile(SEVERAL).bind()
    latents = problem._code.INTEGRABLE
    assert sorted(map(len, latents.values())) == [1, 2]
    found = {g: integrable(problem._code, problem.guide(g)) for g in ("meanfield", "lowrank", "fullrank")}
    assert found["meanfield"] == found["lowrank"] == set(latents)
    assert found["fullrank"] == {t for t, sites in latents.items() if len(sites) == 1}


def test_a_path_that_lacks_a_latent_keeps_its_boundaries():
    """There the guide's density is a marginal one, and what is given differs between paths."""
    problem = ppl.compile("""
x ~ Normal(0, 1)
if x > 0 { y ~ Normal(x, 1)
  observe 1.0 ~ Normal(y, 1) } else { observe 0.5 ~ Normal(0, 1) }
observe 0.3 ~ Normal(if x > 0.4 then 1 else 0, 1)
""").bind()
    assert not integrable(problem._code, problem.guide("fullrank"))


def test_a_change_point_costs_no_more_with_many_days():
    """The dependent guide has its sums as well: no operation is as long as the data but what binds them."""
    rng = np.random.default_rng(0)
    problem = ppl.compile(CHANGE).bind({"count": rng.poisson(10, 3000)})
    fn = problem.elbo_and_grad(guide="fullrank", samples=4)
    text = jax.jit(fn).lower(problem.init_params(guide="fullrank"), jax.random.key(0)).as_text()
    assert "4x3000x" not in text and "3000x4x" not in text
