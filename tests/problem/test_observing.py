"""One problem with many data sets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

SOURCE = """
data n: int
data x: real[n]
data count: int[n]
data y: real[n]
data spare: real[n]
early ~ LogNormal(1, 0.5)
change ~ Uniform(0, n)
w ~ Normal(0, 1)
for i in 0..n {
    observe count[i] ~ Poisson(if i < change then early else 2)
    observe y[i] ~ Normal(if w > x[i] then 1 else w, 1)
}
for i in 1..n { observe spare[i] ~ Normal(spare[i - 1], 1) }
"""


U = {"early": np.log(4.0), "change": 0.3, "w": 0.1}


def data(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, n)
    return {"x": x, "count": rng.poisson(3, n), "y": rng.normal(size=n), "spare": x}


@pytest.fixture(autouse=True)
def double() -> object:
    with jax.enable_x64(True):
        yield


def test_it_is_the_problem_bound_to_these_data() -> None:
    model, n = ppl.compile(SOURCE), 6
    problem = model.bind(data(n, 0))
    sets = [data(n, k) for k in (1, 2)]
    params, key = problem.init_params(), jax.random.key(3)

    def both(values: dict[str, jax.Array]) -> object:
        other = problem.observing(values)
        return other.log_density(U), other.elbo_and_grad(samples=4)(params, key)

    many = jax.jit(jax.vmap(both))({f: jnp.stack([d[f] for d in sets]) for f in ("count", "y")})
    for k, d in enumerate(sets):
        bound = model.bind(d)
        want = bound.log_density(U), bound.elbo_and_grad(samples=4)(params, key)
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-9), many, want)
    assert np.array_equal(problem.data["y"], data(n, 0)["y"])


def test_loops_that_are_summed_by_tables() -> None:
    """Tables are made of data that are known; of traced data the loop is summed as it is written."""
    model, n = ppl.compile(SOURCE), 600
    problem, other = model.bind(data(n, 0)), data(n, 1)
    values = {f: jnp.asarray(other[f]) for f in ("count", "y")}
    want = model.bind(other).log_density(U)
    assert problem.observing(values).log_density(U) == pytest.approx(float(want))
    assert jax.jit(lambda v: problem.observing(v).log_density(U))(values) == pytest.approx(float(want))


def test_guides_that_look_at_the_paths_take_traced_data() -> None:
    model = ppl.compile("data y: real[2]\nx ~ Normal(0, 1)\nif x > 0 { z ~ Normal(0, 1); observe y[0] ~ Normal(z, 1) }")
    problem, y = model.bind({"y": [0.0, 0.0]}), jnp.array([[0.5, 0.0], [2.0, 1.0]])
    params, key = problem.init_params("fullrank"), jax.random.key(0)
    many = jax.vmap(lambda y: problem.observing({"y": y}).elbo_and_grad("fullrank", samples=4)(params, key)[0])(y)
    each = [model.bind({"y": v}).elbo_and_grad("fullrank", samples=4)(params, key)[0] for v in y.tolist()]
    np.testing.assert_allclose(many, each)


def test_a_fit_of_other_observations() -> None:
    model = ppl.compile("data y: real[3]\nm ~ Normal(0, 1)\nobserve y ~ Normal(m, 1)")
    from ppl.infer import fit

    new = jnp.array([1.0, 2.0, 3.0])
    found = fit(model.bind({"y": np.zeros(3)}).observing({"y": new}), steps=20, seed=1)
    same = model.infer({"y": np.asarray(new)}, steps=20, seed=1)
    assert found.elbo == pytest.approx(same.elbo) and np.array_equal(found.observed["y"], new)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x": np.zeros(6)}, "`x` is not observed, so its values have to be bound: observed are count, y, spare"),
        ({"n": 3}, "`n` is not observed"),
        ({"nothing": 3}, "`nothing` is not observed"),
        ({"spare": np.zeros(6)}, "`spare` is read in line 14 too"),
        ({"y": np.zeros(5)}, r"shape \(5,\), expected \(6,\)"),
        ({"count": np.zeros(6)}, "`count` is float64, expected int"),
        ({"y": np.full(6, np.nan)}, "`y` has values that are not finite"),
    ],
)
def test_what_has_to_be_bound_is_refused(values: dict[str, object], words: str) -> None:
    problem = ppl.compile(SOURCE).bind(data(6, 0))
    with pytest.raises(ValueError, match=words):
        problem.observing(values)
