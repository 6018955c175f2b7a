"""Boundaries of which each instance evaluates the program anew: beyond a budget, a random subset stands for all."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.cli.main import main
from ppl.infer import SettingsError, fit
from ppl.regions.costs import LEAST, SEARCHED
from ppl.runtime import subsets, surface

T = 60


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


FEEDBACK = """
data n: int
data y: real[n]
a ~ Normal(0, 1)
var x: real[n]
for t in 0..n { x[t] ~ Normal(0, 1) }
s = 0.0
for t in 0..n {
    s = if x[t] + 0.3 * s > 0.2 * a then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe y[t] ~ Normal(s, 1)
}
"""
# The guard is searched for along one latent, with roots that are known without the program.
CURVED = """
data n: int
data y: real[n]
a ~ Normal(0, 1)
var x: real[n]
for t in 0..n { x[t] ~ Normal(0, 1) }
s = 0.0
for t in 0..n {
    s = if x[t] ^ 2 + a * x[t] > 1 then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe y[t] ~ Normal(s, 1)
}
"""
DISCRETE = """
data n: int
data y: real[n]
var b: int[n]
s = 0.0
for t in 0..n {
    b[t] ~ Bernoulli(0.4)
    s = 0.8 * s + (if b[t] == 1 then 0.5 else -0.4)
    observe y[t] ~ Normal(s, 1)
}
"""
SUMMED = """
data n: int
data y: real[n]
a ~ Normal(0, 1)
var x: real[n]
k = 0
for t in 0..n { x[t] ~ Normal(0, 1); if x[t] > a { k = k + 1 } }
for t in 0..n { observe y[t] ~ Normal(0.1 * k, 1) }
"""


def bound(source: str, n: int) -> Any:
    return ppl.compile(source).bind({"n": n, "y": np.random.default_rng(0).normal(size=n)})


def shaken(problem: Any) -> Any:
    leaves, tree = jax.tree.flatten(problem.init_params(dtype=jnp.float64))
    rng = np.random.default_rng(3)
    return tree.unflatten([jnp.asarray(0.3 * rng.normal(size=x.shape) - 0.1) for x in leaves])


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def over_chances(problem: Any, params: Any, budget: int | None, starts: int, keys: int = 3) -> np.ndarray:
    """Gradients, (keys, starts, parameters), of one draw for each key, for evenly spaced starts of the subset."""
    from ppl.problem.estimators import surrogate

    family, data = problem.guide("meanfield"), problem._data(params["loc"] or {"": jnp.zeros(())})

    def gradient(key: Any, chance: Any) -> Any:
        eps, own = jax.tree.map(lambda v: v[0], problem._base_draws(family, key, 1, jnp.float64, data))
        assert "?" in own
        own = {**own, "?": chance}
        return jax.grad(lambda p: surrogate(
            problem._code, family, "combined", p, eps, own, data, problem.sizes, budgets=[budget] * 4
        ))(params)  # fmt: skip

    chances = (jnp.arange(starts) + 0.5) / starts
    many = jax.jit(lambda ks: jax.lax.map(lambda k: jax.lax.map(lambda c: gradient(k, c), chances, batch_size=64), ks))
    found = many(jax.random.split(jax.random.key(1), keys))
    return np.concatenate([np.reshape(x, (keys, starts, -1)) for x in jax.tree.leaves(found)], axis=2)


CASES = {"feedback": (FEEDBACK, T, 8), "curved": (CURVED, 20, 4), "discrete": (DISCRETE, 30, 5),
         "summed": (SUMMED, 30, 5)}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_given_the_draw_the_subset_is_all_on_average(name: str) -> None:
    """For one draw of everything else, over the start of the sampling alone, so that nothing hides a small bias."""
    source, n, budget = CASES[name]
    problem = bound(source, n)
    params = shaken(problem)
    starts = 1000
    part = over_chances(problem, params, budget, starts)
    whole = over_chances(problem, params, None, 1)[:, 0]
    spread = part.std(axis=1)
    assert np.max(spread) > 0.1  # they are subsets
    gap = np.abs(part.mean(axis=1) - whole)
    # What evenly spaced starts get wrong is at most a step at either end of the interval of each instance.
    assert np.all(gap <= 1e-6 + 60 * (spread + 0.1) / starts), (gap.max(), spread.max())
    assert np.all(gap.max(axis=1) < 0.05 * np.abs(whole).max(axis=1))


def test_estimates_from_a_subset_are_unbiased() -> None:
    """Over keys, within standard errors that a planted error of a tenth in the weights exceeds by far."""
    problem = bound(FEEDBACK, T)
    params = shaken(problem)
    keys = jax.random.split(jax.random.key(7), 300)

    def means(budget: int | None, *weights: float) -> list[np.ndarray]:
        fn = problem.elbo_and_grad(samples=50, noise="independent", boundary_budget=budget)
        many = jax.jit(lambda w: jax.lax.map(lambda k: fn(params, k, w)[1], keys))
        found = (many(jnp.asarray(w)) for w in weights)
        return [np.concatenate([np.reshape(x, (len(keys), -1)) for x in jax.tree.leaves(g)], axis=1) for g in found]

    (exact,), (some, wrong) = means(None, 1.0), means(8, 1.0, 1.1)
    assert np.any(exact != some)

    def scores(x: np.ndarray) -> np.ndarray:  # on the same draws
        gap = x - exact
        return gap.mean(axis=0) / (gap.std(axis=0, ddof=1) / np.sqrt(len(keys)))

    assert np.max(np.abs(scores(some))) < 4.5 and np.sqrt(np.mean(scores(some) ** 2)) < 1.3
    assert np.sqrt(np.mean(scores(wrong) ** 2)) > 2
    assert np.all(some.var(axis=0) > 0.9 * exact.var(axis=0))


def test_the_default_follows_from_a_cost_model() -> None:
    taken = {n: bound(FEEDBACK, n).budgets() for n in (3, 100, 400)}
    (few,), (some,), (more,) = taken.values()
    assert few == LEAST and some is not None and more is not None
    assert LEAST < some < 40 and abs(more / some - 2) < 0.15  # the root of the number of instances
    assert set(bound(CURVED, 100).budgets()) == {SEARCHED}
    assert bound(FEEDBACK, 100).budgets(None) == (None,) and bound(FEEDBACK, 100).budgets(7) == (7,)
    # The more there is beside the jumps, the more of them are worth it.
    beside = FEEDBACK + "m ~ Normal(0, 1)\nfor k in 0..50 { for t in 0..n { observe y[t] ~ Normal(sin(m + k), 1) } }\n"
    (most,) = bound(beside, 100).budgets()
    assert most is not None and most > 3 * some
    walk = ppl.load(pathlib.Path(__file__).parents[2] / "benchmarks/literature/walk15.ppl").bind()
    assert walk.budgets() == (4,)
    params, key = walk.init_params(dtype=jnp.float64), jax.random.key(0)
    by_default, four, three = (walk.elbo_and_grad(samples=4, **k)(params, key)[1]
                               for k in ({}, {"boundary_budget": 4}, {"boundary_budget": 3}))  # fmt: skip
    assert np.all(flat(by_default) == flat(four)) and np.any(flat(by_default) != flat(three))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_draws_share_in_the_instances_and_each_starts_anywhere(dtype: Any) -> None:
    found = np.asarray(jax.vmap(lambda k: subsets.chances(k, 5, dtype))(jax.random.split(jax.random.key(3), 4000)))
    assert np.all((found >= 0) & (found < 1))
    np.testing.assert_allclose(np.diff(np.sort(found, axis=1), axis=1), 0.2, atol=1e-6)
    for one in (found[:, 0], found[:, 4], np.asarray(subsets.shifted(found[:, 2], 3))):
        assert np.max(np.abs(np.sort(one) - (np.arange(4000) + 0.5) / 4000)) < 1.63 / np.sqrt(4000)  # Kolmogorov, 1%


def test_nested_ranges_and_weights() -> None:
    """Of instances that are alike in size, and of loops in which each has a weight, or starts where the outer is."""
    weights = jnp.array([2.0, 0.5, 3.0, 1.0])

    def one(i: Any, j: Any, sizing: bool = False) -> Any:
        return 1.0 + i if sizing else jnp.sin(1.0 + i + 10 * j)

    ranges = ((3, 4, weights), (lambda i: 2 * i, 5))
    whole = surface.total(one, *ranges)
    for alike in (False, True):
        some = jax.vmap(lambda c, a=alike: surface.total(one, *ranges, subset=subsets.Subset(6, c), alike=a))
        found = some((jnp.arange(20_000) + 0.5) / 20_000)
        assert jnp.std(found) > 0.1
        np.testing.assert_allclose(jnp.mean(found), whole, atol=2e-3)
    assert surface.total(one, *ranges, subset=subsets.Subset(20, jnp.asarray(0.1))) == whole


@pytest.mark.parametrize("name", ["feedback", "discrete", "summed"])
def test_within_the_budget_all_are_evaluated(name: str) -> None:
    source, n, _ = CASES[name]
    problem = bound(source, n)
    params = shaken(problem)
    got = [jax.jit(problem.elbo_and_grad(samples=4, boundary_budget=k))(params, jax.random.key(2)) for k in (None, n)]
    jax.tree.map(np.testing.assert_array_equal, *got)


def test_draws_map_and_compile() -> None:
    problem = bound(FEEDBACK, T)
    params = shaken(problem)
    fn = problem.elbo_and_grad(samples=2, boundary_budget=8)
    keys = jax.random.split(jax.random.key(5), 3)
    together = jax.jit(jax.vmap(fn, (None, 0)))(params, keys)
    for k, key in enumerate(keys):
        one = fn(params, key)
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-9, atol=1e-9), together, one)
    assert np.all(np.isfinite(flat(together)))
    low = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(fn(low, keys[0])))


def test_memory_does_not_grow_with_the_square_of_the_steps() -> None:
    def megabytes(n: int, **options: Any) -> float:
        problem = bound(FEEDBACK, n)
        params = problem.init_params(dtype=jnp.float32)
        fn = jax.jit(problem.elbo_and_grad(samples=16, **options))
        return fn.lower(params, jax.random.key(0)).compile().memory_analysis().temp_size_in_bytes / 1e6

    assert megabytes(1500) < 5
    assert megabytes(500, boundary_budget=None) < 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "most", "power"), [(60, 8, 9), (2000, 500, 9), (100, 50, 60), (40, 1, 1)])
def test_each_instance_is_taken_as_often_as_its_weight_says(dtype: Any, count: int, most: int, power: float) -> None:
    rng = np.random.default_rng(count)
    size = np.exp(-power * rng.uniform(size=count) ** 2)
    size[::5] = 0.0
    chances = (np.arange(20_000) + 0.5) / 20_000
    choose = jax.jit(jax.vmap(lambda c: subsets.choose(jnp.asarray(size, dtype), most, c)))
    place, weight = (np.asarray(x, float) for x in choose(jnp.asarray(chances, dtype)))
    place = place.astype(int)
    total = np.zeros(count)
    np.add.at(total, place.ravel(), weight.ravel() / len(chances))
    assert np.all(total[size == 0] == 0)
    assert np.all(np.abs(total[size > 0] - 1) < 2e-4 * weight.max() + 1e-6)
    assert all(len(set(p[w > 0])) == np.sum(w > 0) for p, w in zip(place[::97], weight[::97], strict=True))
    assert np.all(np.sum(weight > 0, axis=1) >= min(most, np.sum(size > 0)) - 1)
    assert weight.max() <= count / (subsets.FLOOR * most) * 1.01


def test_few_that_matter_are_all_taken() -> None:
    size = jnp.zeros(50).at[jnp.array([3, 17, 41])].set(jnp.array([1e-30, 1.0, 5.0]))
    place, weight = subsets.choose(size, 4, 0.3)
    assert set(np.asarray(place)[np.asarray(weight) > 0]) == {3, 17, 41} and set(np.asarray(weight)) == {0.0, 1.0}


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_size_that_is_not_finite_shows(bad: float) -> None:
    assert np.all(np.isnan(subsets.choose(jnp.ones(9).at[4].set(bad), 3, 0.5)[1]))


# ------------------------------------------------------------------- what is said


def test_explain_says_what_is_taken_in_part() -> None:
    data = {"n": T, "y": np.zeros(T)}
    model = ppl.compile(FEEDBACK)
    (guard,) = model.explain(data, boundary_budget=8)["guards"]
    assert guard["effect"] == "subset" and "8 of its 60 instances stand for all" in guard["reason"]
    assert model.explain(data, boundary_budget=None)["guards"][0]["effect"] == "global"
    assert bound(FEEDBACK, 65).guards[0].effect == "subset"
    assert bound(SUMMED, 65).guards[0].effect == "subset"
    with pytest.raises(ValueError, match="at least 1"):
        model.explain(data, boundary_budget=0)
    alone = SUMMED.replace("for t in 0..n { observe y[t] ~ Normal(0.1 * k, 1) }", "observe y[0] ~ Normal(0.1 * k, 1)")
    assert bound(alone, 65).guards[0].effect == "incremental"  # nothing is evaluated n times that grows with n


def test_budgets_that_make_no_sense(capsys: Any, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bound(FEEDBACK, 4).elbo_loss(boundary_budget=0)
    with pytest.raises(ValueError, match="at least 1"):
        bound(FEEDBACK, 4).elbo_and_grad(boundary_budget=-3)
    with pytest.raises(ValueError, match="not 'some'"):
        bound(FEEDBACK, 4).elbo_and_grad(boundary_budget="some")
    path = tmp_path / "feedback.ppl"
    path.write_text("a ~ Normal(0, 1)\n")
    for words in (["infer", str(path), "--boundary-budget", "0"], ["gradcheck", str(path), "--boundary-budget", "x"]):
        assert main(words) == 2
    assert "must be an integer" in capsys.readouterr().err


def test_fits_take_a_budget() -> None:
    problem = bound(FEEDBACK, 12)
    found = fit(problem, steps=20, starts=1, draws=50, boundary_budget=3)
    assert found.settings.boundary_budget == 3 and found.to_json()["diagnostics"]["boundary_budget"] == 3
    with pytest.raises(SettingsError, match="at least 1"):
        fit(problem, boundary_budget=0)
