"""Optimisations change the cost of a gradient, nothing else: at the same key it is the same with and without them."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.problem import problem as problem_module
from ppl.regions.optimize import OPTIMIZATIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]

CHANGE = """
data n: int = 6
data count: int[n] = [3, 1, 4, 9, 12, 8]
early ~ LogNormal(1, 0.5)
late ~ LogNormal(2, 0.5)
change ~ Uniform(0, n)
for i in 0..n { observe count[i] ~ Poisson(if i < change then early else late) }
"""
CHAIN = """
data T: int = 4
data y: real[T] = [0.3, -1, 0.7, 2]
var f: real[T + 1]
f[0] ~ Normal(0, 1)
a = 0.0
for t in 0..T {
    a = 0.5 * a + f[t]
    f[t + 1] ~ Normal(if f[t] > 0 then 0.67 else -0.67, 1)
    observe y[t] ~ Normal(if f[t + 1] > 0.1 then a else -a, 1)
}
"""
FEEDBACK = """
data T: int = 5
data y: real[T] = [0.3, -1, 0.7, 2, 1]
a ~ Normal(0, 1)
var x: real[T]
s = 0.0
for t in 0..T {
    x[t] ~ Normal(0, 1)
    s = if x[t] + 0.3 * s > 0.2 * a then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe y[t] ~ Normal(s, 1)
}
"""
THERMOSTAT = """
data T: int = 5
data y: real[T] = [0.3, -1, 0.7, 2, 1]
var x: real[T]
x[0] ~ Normal(0, 1)
mode = 1
for t in 1..T {
    if x[t-1] < -0.5 { mode = 0 } else if x[t-1] > 0.7 { mode = 2 }
    x[t] ~ Normal(0.5 * x[t-1] + mode, if mode > 1.5 then 1 else 0.7)
    observe y[t] ~ Normal(x[t], 1)
}
"""
SWITCH = """
data T: int = 5
data y: real[T] = [0.3, -1, 0.7, 2, 1]
var x: real[T]
var s: real[T]
x[0] ~ Normal(0, 1)
s[0] = 0
on = 0
for t in 1..T {
    s[t] ~ Normal(if x[t-1] < -0.2 then 0 else if x[t-1] > 1 then 1 else on, 0.8)
    on = if s[t] > 0.5 then 1 else 0
    x[t] ~ Normal(0.5 * x[t-1] + on, if s[t] > 0.5 then 1 else 0.7)
    observe y[t] ~ Normal(x[t], 1)
}
"""
ALIVE = """
data T: int = 5
data y: real[T] = [0.3, -1, 0.7, 2, 1]
var z: real[T]
alive = true
for t in 0..T {
    level = 0.0
    if alive {
        z[t] ~ Normal(0.3, 1)
        level = z[t]
        if z[t] < -0.4 { alive = false }
    }
    observe y[t] ~ Normal(level, if alive then 1 else 2)
}
"""
COUNTER = """
data T: int = 5
data y: real[T] = [0.3, -1, 0.7, 2, 1]
var z: real[T]
hot = 0
last = false
drift = 0.0
for t in 0..T {
    z[t] ~ Normal(0, 1)
    drift = 0.5 * drift + 0.1
    hot = if z[t] > 0.4 then (if hot > 0.5 then 2 else 1) else (if last then hot else 0)
    last = z[t] > 0.4 or z[t] < -1
    observe y[t] ~ Normal(hot + drift + 0.3 * z[t], if last then 1 else 1.5)
}
"""
LONG = """
data n: int = 20000
early ~ LogNormal(1, 0.5)
late ~ LogNormal(2, 0.5)
change ~ Uniform(0, n)
total = 0.0
for i in 0..n {
    observe i % 7 ~ Poisson(if i < change then early else late)
    total = total + sqrt(1 + early)
}
factor -0.001 * (total / n) ^ 2
"""
STOPPED = """
data steps: int = 2
start ~ Normal(1, 1)
var z: real[steps]
pos = start
walked = 0
for i in 0..steps while pos >= 0 {
    z[i] ~ Normal(0, 1)
    pos = pos + z[i]
    walked = walked + abs(z[i])
}
if pos >= 0 { factor -5 } else { observe 1.7 ~ Normal(walked, 1) }
"""
# Chains whose elements are read ahead and behind, in other loops, under masks of data, by guards and through arrays.
TWO_LOOPS = """
data y: real[5] = [0.3, 1.4, -0.6, 0.2, 0.9]
data seen: bool[5] = [true, false, true, true, true]
w ~ Beta(3, 2)
z ~ Normal(0, 1)
var s: int[5]
s[0] ~ Bernoulli(0.4)
for t in 1..5 { s[t] ~ Bernoulli(if s[t - 1] == 1 then w else 0.3) }
level = 0.2
for t in 1..4 {
    level = 0.5 * level + w
    m = if z > level - s[t + 1] then level else w * s[t - 1]
    if seen[t] { observe y[t] ~ Normal(m + s[t], 1) }
}
"""
GRID = """
data n: int[3] = [2, 3, 1]
data y: real[3, 3] = [[0.3, 1.4, 0], [0.1, -0.7, 0.4], [0.2, 0, 0]]
w ~ Beta(3, 2)
var s: int[3, 3]
for i in 0..3 {
    for j in 0..n[i] {
        up = if i > 0 then (if j < n[i - 1] then s[i - 1, j] else 0) else 0
        left = if j > 0 then s[i, j - 1] else 0
        s[i, j] ~ Bernoulli(0.2 + 0.3 * up + 0.3 * w * left)
        for k in 0..2 { observe y[i, j] ~ Normal(s[i, j] + k * left, 1) }
    }
}
"""
PROGRAMS = {
    "blocks": (LONG,),
    "forks": (FEEDBACK,),
    "jumps": (CHANGE, CHAIN),
    "sorted": (LONG,),
    "split": (ALIVE, THERMOSTAT),
    "modes": (THERMOSTAT, SWITCH, COUNTER),
    "nearby": (TWO_LOOPS, GRID),
    "windows": (CHAIN, SWITCH),
}
CASES = [(name, k) for name, programs in PROGRAMS.items() for k in range(len(programs))]


def gradient(source: str, optimize: tuple[str, ...] | None) -> Any:
    problem = ppl.compile(source, optimize=optimize).bind()
    params = problem.init_params(dtype=jnp.float64)
    params = jax.tree.map(lambda x: x + 0.1 * jnp.arange(x.size).reshape(x.shape) - 0.2, params)
    fn = problem.elbo_and_grad(samples=20, marginalise=False, boundary_budget=None)
    return jax.jit(fn)(params, jax.random.key(3))


def test_every_optimisation_is_compared() -> None:
    assert {*PROGRAMS, "stopped", "normals"} == set(OPTIMIZATIONS)


@pytest.mark.parametrize(("name", "which"), CASES)
def test_the_gradient_is_the_same_without(name: str, which: int) -> None:
    source = PROGRAMS[name][which]
    rest = tuple(x for x in OPTIMIZATIONS if x != name)
    assert ppl.compile(source).source_code != ppl.compile(source, optimize=rest).source_code
    with jax.enable_x64(True):
        fast, plain = gradient(source, None), gradient(source, ())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), fast, plain)


@pytest.mark.parametrize("source", [CHANGE, THERMOSTAT, FEEDBACK])
def test_the_gradient_is_the_same_without_merging(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    def estimate() -> Any:
        problem = ppl.compile(source).bind()
        return problem.elbo_and_grad(samples=20)(problem.init_params(dtype=jnp.float64), jax.random.key(3))

    with jax.enable_x64(True):
        merged = estimate()
        monkeypatch.setattr(problem_module, "once", lambda fn: fn)
        plain = estimate()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), merged, plain)


def test_latents_that_the_state_brings_are_no_matter_of_modes() -> None:
    """Under a guide with dependence their log q moves with latents of earlier iterations."""
    (guard,) = (g for g in ppl.compile(ALIVE).explain(None, None)["guards"] if g["status"] == "boundary")
    assert guard["effect"] == "global"


@pytest.mark.parametrize("source", PROGRAMS["modes"])
def test_carried_state_of_few_values_is_found(source: str) -> None:
    effects = {g["effect"] for g in ppl.compile(source).explain()["guards"] if g["status"] in ("boundary", "merged")}
    assert "modes" in effects and "global" not in effects


def averages(optimize: tuple[str, ...] | None, keys: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of every component of the gradient, and its standard error."""
    problem = ppl.compile(STOPPED, optimize=optimize).bind()
    params = problem.init_params(dtype=jnp.float64)
    params["loc"] = {"start": jnp.asarray(0.5), "z": jnp.array([-0.3, 0.2])}
    fn = problem.elbo_and_grad(samples=samples, marginalise=False)
    found = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(jax.random.split(jax.random.key(1), keys))
    all_of_them = np.concatenate([np.asarray(x).reshape(keys, -1) for x in jax.tree.leaves(found)], axis=1)
    return all_of_them.mean(0), all_of_them.std(0, ddof=1) / np.sqrt(keys)


@pytest.mark.slow
def test_a_loop_that_stops_needs_no_search() -> None:
    """Other lines give another estimator, of the same gradient."""
    guards = [g for g in ppl.compile(STOPPED).explain()["guards"] if g["status"] == "boundary"]
    assert [(g["kind"], g["direction"]) for g in guards] == [("affine", "the normal in start, z")] * 2
    with jax.enable_x64(True):
        mean, error = averages(None, 50, 1000)
        reference, its_error = averages(tuple(x for x in OPTIMIZATIONS if x != "stopped"), 30, 100)
    assert np.all(error < 0.01) and np.all(its_error < 0.06)
    assert np.all(np.abs(mean - reference) < 4.5 * np.hypot(error, its_error))


def test_an_unknown_optimisation_is_refused() -> None:
    with pytest.raises(ValueError, match="no optimisation 'speed'"):
        ppl.compile(CHANGE, optimize=("speed",))
