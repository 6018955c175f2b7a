"""Long loops are evaluated a block of iterations at a time: nothing but memory and time may change."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.regions.optimize import OPTIMIZATIONS
from ppl.runtime import blocks

SHIFTED = """
data n: int = 41
a ~ Normal(0, 1)
b ~ Normal(0, 1)
tau ~ Normal(20, 8)
hits = 0
total = 0.5
for i in 3..n {
    x = (i % 5) - 2
    slope = if tau + b * x > i then a else b
    if slope * x > 0.3 { hits = hits + 1 }
    total = total + exp(0.1 * a * x)
    observe 0.1 * x ~ Normal(slope * x, 1 + exp(b))
}
factor -0.1 * log(1 + total)
report hits = hits
"""
CHANGE = """
data n: int = 41
early ~ LogNormal(1, 0.5)
late ~ LogNormal(1, 0.5)
tau ~ Uniform(0, n)
for i in 0..n { observe i % 4 ~ Poisson(if tau > i then early else late) }
"""
NESTED = """
data n: int = 23
data m: int = 3
w: real[m] ~ Normal(0, 1)
c ~ Normal(10, 5)
for i in 0..n {
    mean = 0.0
    for j in 0..m { mean = mean + (if w[j] * i > j - 1 then w[j] else 0.2) }
    observe 0.1 * i ~ Normal(mean + (if c > i then 1 else 0), 1)
}
"""
ARRAYS = """
data n: int = 29
a ~ Normal(0, 1)
z: real[n] ~ Normal(0, 1)
y = [a * i for i in 0..n]
var s: real[n]
for i in 0..n { s[i] = if a > 0.1 * i then 1 else 2 }
for i in 0..n { observe 0.3 ~ Normal(y[n - 1 - i] + (if z[i] > 0.2 then 1 else 0), s[i]) }
factor -sum(s) * 0.01
"""
SMOOTH = """
data n: int = 21
x ~ Normal(0, 1)
y ~ Normal(0, 1)
for i in 0..n { observe 0.3 ~ Normal(if x * x + y * y < 0.2 * i then x else y, 1) }
"""
SINGULAR = """
data n: int = 21
x ~ Normal(0, 1)
for i in 0..n { observe 0.3 ~ Normal(if x > 0.1 * i then log(x - 0.1 * i) else 0, 1) }
"""
VECTOR = """
data n: int = 31
data x: real[n] = [0.1 * i for i in 0..n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
if a > 0.1 { mean = a + b * x } else { mean = x }
observe exp(-x) ~ StudentT(4, mean, exp(b))
"""
OUTSIDE = """
data n: int = 37
a ~ Normal(0, 1)
b ~ Normal(0, 1)
k ~ Binomial(3, 0.4)
if a + b > 0.1 { m = 0.3 } else { m = 2.0 - k }
for i in 0..n { observe 0.1 * i ~ Normal(b * m * (i % 3), 1 + m^2) }
factor -0.1 * m * a
"""
PROGRAMS = {"vector": VECTOR, "outside": OUTSIDE, "shifted": SHIFTED, "change": CHANGE, "nested": NESTED,
            "arrays": ARRAYS, "smooth": SMOOTH, "singular": SINGULAR}  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ELEMENTS", 16)
    monkeypatch.setattr(blocks, "SHORT", 1)
    monkeypatch.setattr(blocks, "TRACED", 0)


def problem(source: str, on: bool) -> ppl.Problem:
    # Without sums over ranges, which leave nothing to evaluate in blocks.
    optimize = tuple(x for x in OPTIMIZATIONS if x != "sorted" and (on or x != "blocks"))
    return ppl.compile(source, optimize=optimize).bind()


def gradient(p: ppl.Problem, guide: str = "meanfield", **options: Any) -> Any:
    params = p.init_params(guide, dtype=jnp.float64)
    params = jax.tree.map(lambda x: x + 0.1 * jnp.arange(x.size).reshape(x.shape) - 0.2, params)
    return jax.jit(p.elbo_and_grad(guide, samples=4, **options))(params, jax.random.key(3))


def same(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9), a, b)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("small_blocks")
def test_the_gradient_is_the_same(name: str) -> None:
    options: list[dict[str, Any]] = [{}]
    if name == "change":
        options += [{"marginalise": False}, {"estimator": "score"}]
    if name == "shifted":
        options += [{"guide": "fullrank"}]
    with jax.enable_x64(True):
        for o in options:
            same(gradient(problem(PROGRAMS[name], True), **o), gradient(problem(PROGRAMS[name], False), **o))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lest the other tests compare one thing with itself."""
    taken: list[int] = []
    total = blocks.total

    def counted(*args: Any) -> Any:
        taken.append(args[2])
        return total(*args)

    monkeypatch.setattr(blocks, "total", counted)
    p = problem(PROGRAMS[name], True)
    jax.eval_shape(p.elbo_loss(samples=4, marginalise=False), p.init_params(), jax.random.key(0))
    # The terms, sums if there are any, and each family of guards. ARRAYS reads arrays as long as its loops are; the
    # guard of its that takes the program anew is evaluated in blocks all the same.
    assert (
        len(taken)
        == {"vector": 2, "outside": 3, "shifted": 3, "change": 2, "nested": 3, "smooth": 3, "singular": 2, "arrays": 1}[
            name
        ]
    )


@pytest.mark.usefixtures("small_blocks")
def test_draws_and_second_derivatives_are_the_same() -> None:
    with jax.enable_x64(True):
        found: list[Any] = []
        for on in (True, False):
            p = problem(SHIFTED, on)
            params, u = p.init_params(dtype=jnp.float64), {"a": 0.3, "b": -0.2, "tau": 12.5}
            draw = jax.jit(lambda k, p=p, params=params: p.draw(params, k, 3))
            found.append((draw(jax.random.key(0)), jax.jit(jax.hessian(p.log_density))(u)))
        same(*found)


@pytest.mark.parametrize(
    ("source", "options"), [(CHANGE, {}), (CHANGE, {"marginalise": False}), (VECTOR, {}), (OUTSIDE, {})]
)
def test_memory_does_not_grow_with_the_data(source: str, options: dict[str, Any]) -> None:
    p = ppl.compile(source).bind({"n": 1_000_000})
    fn = jax.value_and_grad(p.elbo_loss(samples=16, **options))
    compiled = jax.jit(fn).lower(p.init_params(dtype=jnp.float32), jax.random.key(0)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2**24  # an array with a number for each sample is 2^26
