"""Guards whose outcome a loop carries on: both sides go through the loop together, and give what two evaluations do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.regions.optimize import OPTIMIZATIONS
from ppl.runtime import forks
from ppl.runtime.control import Guard

FEEDBACK = """
data n: int = 7
data y: real[n] = [0.5, -0.2, 1, 0, 0.3, -1, 0.4]
a ~ Normal(0, 1)
var x: real[n]
for t in 0..n { x[t] ~ Normal(0, 1) }
s = 0.0
for t in 0..n {
    s = if x[t] + 0.3 * s > 0.2 * a then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe y[t] ~ Normal(s, 1)
}
"""
# The latents are drawn in the loop, from what it carries; sums and a loop follow that read what it leaves.
DRAWN = """
data n: int = 5
data y: real[3] = [0.5, -0.2, 1]
a ~ LogNormal(0, 0.3)
var x: real[n]
s = 0.5
total = 1.5
for t in 1..n {
    x[t] ~ Normal(0.3 * s, a)
    s = if x[t] > 0.4 * s then 0.5 * s + x[t] ^ 2 else a - 0.3 * s
    total = total + s * x[t]
}
x[0] ~ Normal(s, 1)
for k in 0..3 { observe y[k] ~ Normal(total + k * s, 2) }
"""
# A side ends where the guard holds no more.
UNTIL = """
data n: int = 6
start ~ Normal(1, 1)
var z: real[n]
pos = start
walked = 0
for i in 0..n while CONDITION {
    z[i] ~ Normal(0.1, 1)
    pos = pos + 0.5 * z[i]
    walked = walked + abs(z[i])
}
if CONDITION { factor -5 } else { observe 1.7 ~ Normal(walked + 0.1 * pos, 1) }
"""
RESET = """
data n: int = 6
data y: real[n] = [0.5, 0.2, 1, 0, 0.3, 0.7]
a ~ Normal(1, 0.5)
var x: real[n]
level = 0.0
for t in 0..n {
    x[t] ~ Normal(0.3, 0.5)
    level = level + x[t]
    if level > a { level = 0 }
    observe y[t] ~ Normal(level, 0.5)
}
"""
CASES = {
    "feedback": (FEEDBACK, ""), "drawn": (DRAWN, ""), "reset": (RESET, ""),
    "while": (UNTIL.replace("CONDITION", "pos >= 0"), "on"), "until": (UNTIL.replace("CONDITION", "pos > -0.5"), "off"),
}  # fmt: skip
WITHOUT = tuple(x for x in OPTIMIZATIONS if x != "forks")
PLAIN = tuple(x for x in WITHOUT if x != "jumps")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def gradient(source: str, guide: str, optimize: tuple[str, ...] | None, **options: Any) -> Any:
    problem = ppl.compile(source, optimize=optimize).bind()
    leaves, tree = jax.tree.flatten(problem.init_params(guide, dtype=jnp.float64))
    rng = np.random.default_rng(5)
    params = tree.unflatten([jnp.asarray(x + 0.3 * rng.normal(size=x.shape)) for x in leaves])
    fn = problem.elbo_and_grad(guide, samples=40, marginalise=False, **options)
    return jax.jit(fn)(params, jax.random.key(3))


@pytest.mark.parametrize("name", CASES)
def test_a_fork_gives_what_two_evaluations_do(name: str) -> None:
    source, ended = CASES[name]
    text = ppl.compile(source).source_code
    assert "fork_" in text and "fork_" not in ppl.compile(source, optimize=WITHOUT).source_code
    assert (f'ended="{ended}"' in text) == bool(ended)
    for guide, budget in (("meanfield", None), ("fullrank", 2)):
        fast = gradient(source, guide, None, boundary_budget=budget)
        plain = gradient(source, guide, PLAIN, boundary_budget=budget)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), fast, plain)
        assert sum(float(jnp.sum(jnp.abs(x))) for x in jax.tree.leaves(fast[1])) > 1


def test_state_that_goes_on_after_a_loop_has_ended_is_followed_on_both_sides() -> None:
    going_on = """
data n: int = 6
start ~ Normal(1, 1)
var z: real[n]
open = true
pos = start
dust = 0.0
for i in 0..n {
    z[i] ~ Normal(0.1, 1)
    open = open and pos >= 0
    dust = 0.9 * dust + (if open then 0.1 else 0.3) * z[i]
    if open { pos = pos + 0.5 * z[i] }
}
observe 1.7 ~ Normal(pos + dust, 1)
"""
    text = ppl.compile(going_on).source_code
    assert "fork_" in text and "ended=" not in text
    fast, plain = gradient(going_on, "meanfield", None), gradient(going_on, "meanfield", PLAIN)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), fast, plain)


def test_terms_of_which_a_latent_is_integrated_out_do_not_jump() -> None:
    source = """
data n: int = 3
var z: real[n]
pos = 0.1
for i in 0..n {
    z[i] ~ Normal(0, 0.8)
    observe 0.7 ~ Normal(if z[i] >= 0.4 then 1.4 else -1.3, 1)
    pos = 0.8 * pos + (if z[i] > 0.4 then 0.6 else -0.2)
    observe 0.8 ~ Normal(pos, 1)
}
"""
    text = ppl.compile(source).source_code
    assert "fork_" in text and "marginal.without" in text

    def found(marginalise: bool, optimize: tuple[str, ...] | None) -> Any:
        problem = ppl.compile(source, optimize=optimize).bind()
        fn = problem.elbo_and_grad(samples=40, marginalise=marginalise, boundary_budget=None)
        return jax.jit(fn)(problem.init_params(dtype=jnp.float64), jax.random.key(3))

    for marginalise in (True, False):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
                     found(marginalise, None), found(marginalise, PLAIN))  # fmt: skip


@pytest.mark.parametrize("instance", [0, jnp.asarray(0), jnp.asarray(3)])
@pytest.mark.parametrize("ended", ["", "on"])
def test_the_difference_is_that_of_two_loops(instance: Any, ended: str) -> None:
    """Against a loop in Python, for a body that stops and one that does not."""
    x = jnp.asarray([0.3, -0.2, 0.9, 0.4, -1.1, 0.2])

    def body(state: Any, i: Any, path: Any) -> Any:
        going, pos = state
        given = path["g0"]
        over = jnp.where(given == 0, pos < 0, given > 0)
        alive = going & ~over if ended else ~over
        term = jnp.where(alive, jnp.sin(x[i]) * (1 + pos), 0.0 if ended else pos)
        new = jnp.where(alive, pos + x[i], pos if ended else 0.5 * pos - x[i])
        out = {"g0": Guard(-pos, over), "t1": term, "d_s": jnp.where(alive, x[i] ** 2 * pos, 0.0)}
        return (alive if ended else going, new), out

    def alone(outcome: bool) -> tuple[Any, float, float]:
        state, terms, total = (jnp.asarray(True), jnp.asarray(0.5)), 0.0, 0.0
        for k in range(6):
            given = jnp.asarray((1 if outcome else -1) if k == int(instance) else 0, jnp.int8)
            state, out = body(state, k, {"g0": given})
            terms, total = terms + float(out["t1"]), total + float(out["d_s"])
        return state, terms, total

    found = jax.jit(lambda: forks.loop(
        body, (jnp.asarray(True), jnp.asarray(0.5)), 0, 6, "g0", instance, True, False, ("t1",), ("d_s",), ended
    ).__dict__)()  # fmt: skip
    for side, outcome in (("on", True), ("off", False)):
        state, _, total = alone(outcome)
        np.testing.assert_allclose(found[side][0][1], state[1], rtol=1e-12)
        np.testing.assert_allclose(found[side][1]["d_s"], total, rtol=1e-12)
    np.testing.assert_allclose(found["gap"], alone(True)[1] - alone(False)[1], rtol=1e-12)
    assert abs(alone(True)[1] - alone(False)[1]) > 0.05


def test_a_loop_without_iterations() -> None:
    source = """
data n: int
a ~ Normal(0, 1)
var x: real[n]
for t in 0..n { x[t] ~ Normal(0.3, 1) }
s = 0.1
for t in 0..n {
    s = if x[t] > 0.3 * s + a then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe 0.3 ~ Normal(s, 1)
}
observe 0.3 ~ Normal(s + a, 1)
"""
    assert "fork_" in ppl.compile(source).source_code
    without = ppl.compile("a ~ Normal(0, 1)\nobserve 0.3 ~ Normal(0.1 + a, 1)").bind()
    problem = ppl.compile(source).bind({"n": 0})
    found, want = (
        p.elbo_and_grad(samples=8)(p.init_params(), jax.random.key(0)) for p in (problem, without)
    )  # fmt: skip
    np.testing.assert_allclose(found[0], want[0], rtol=1e-6)
    np.testing.assert_allclose(found[1]["loc"]["a"], want[1]["loc"]["a"], rtol=1e-6)
