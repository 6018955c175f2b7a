"""Guards that several latents move together: crossed along the normal of their boundary."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl
from ppl.regions.optimize import OPTIMIZATIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]
COORDINATES = tuple(x for x in OPTIMIZATIONS if x != "normals")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


STOPPED = """
data steps: int = 4
start ~ Normal(1, 1)
var z: real[steps]
pos = start
walked = 0
for i in 0..steps while pos >= 0 {
    z[i] ~ Normal(0, 1)
    pos = pos + 0.5 * z[i]
    walked = walked + abs(z[i])
}
if pos >= 0 { factor -5 } else { observe 1.7 ~ Normal(walked, 1) }
"""
MIXED = """
data x: real[3] = [0.5, -1, 2]
a ~ Normal(0, 1)
w: real[3] ~ Normal(0, 1)
s ~ LogNormal(0, 0.5)
m = if dot(w, x) + 2 * a > log(s) + a * 0.5 then s else -1
observe 0.4 ~ Normal(m + a, 1)
"""


def gradients(source: str, optimize: Any, guide: str = "meanfield", keys: int = 200, samples: int = 200) -> np.ndarray:
    problem = ppl.compile(source, optimize=optimize).bind()
    params = problem.init_params(guide, dtype=jnp.float64)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(4)
    params = tree.unflatten([x + jnp.asarray(0.3 * rng.normal(size=x.shape)) for x in leaves])
    fn = problem.elbo_and_grad(guide, samples=samples, noise="independent", marginalise=False)
    found = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k)[1], ks))(jax.random.split(jax.random.key(8), keys))
    return np.concatenate([np.reshape(x, (keys, -1)) for x in jax.tree.leaves(found)], axis=1)


@pytest.mark.parametrize("source", [STOPPED, MIXED])
def test_both_lines_give_one_gradient(source: str) -> None:
    along, apart = gradients(source, None), gradients(source, COORDINATES)
    assert np.max(np.abs(along - apart)) > 1e-3  # other lines
    error = np.sqrt((along.var(axis=0, ddof=1) + apart.var(axis=0, ddof=1)) / len(along))
    assert np.max(np.abs(along.mean(axis=0) - apart.mean(axis=0)) / error) < 4
    assert np.max(error) < 0.05 * np.max(np.abs(apart.mean(axis=0)))  # it could tell
    if source == STOPPED:
        assert np.mean(along.var(axis=0)) < 0.8 * np.mean(apart.var(axis=0))


def test_a_guide_with_dependence_keeps_its_coordinates() -> None:
    found = [gradients(MIXED, names, "fullrank", 2, 3) for names in (None, COORDINATES)]
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["oblique", "elements"])
def test_cases_hold_along_coordinates(name: str) -> None:
    """Conformance runs them along normals."""
    folder = ROOT / "tests" / ("conformance" if name == "oblique" else "programs/cases")
    case = json.loads((folder / "cases.json").read_text())[name]
    text = (folder / f"{name}.ppl").read_text()
    boundaries = [b for i in ppl.compile(text)._compiled.regions.guards for b in i.boundaries]
    assert any(b.normal is not None for b in boundaries)
    problem = ppl.compile(text, optimize=COORDINATES).bind(case["data"])
    names = {s.name: s.shape for s in problem.sites}

    def sites(flat: Any) -> Any:
        return {k: jnp.array([flat[f"{k}[{i}]"] for i in range(s[0])] if s else flat[k]) for k, s in names.items()}

    params = {part: sites(case[part]) for part in ("loc", "log_scale")}
    fn = problem.elbo_and_grad(samples=500, marginalise=False)
    keys = jax.random.split(jax.random.key(2), 60)
    grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k)[1], ks))(keys)
    for part in ("loc", "log_scale"):
        for k, exact in sites(case["grad_" + part]).items():
            draws = np.asarray(grad[part][k])
            error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
            assert np.all(np.abs(draws.mean(axis=0) - exact) < 5 * error + 1e-9), (part, k)


NONE = {
    # state that branches decide moves with all that a normal would move
    "feedback": "a ~ Normal(0, 1)\nvar x: real[3]\ns = 0.0\nfor t in 0..3 { x[t] ~ Normal(0, 1)\n"
    "s = if x[t] + 0.3 * s > 0.2 * a then 0.8 * s + 0.5 else 0.6 * s\nobserve 0 ~ Normal(s, 1) }",
    # the slope along one of them depends on another
    "product": "x ~ Normal(0, 1)\ny ~ LogNormal(0, 1)\nobserve 0 ~ Normal(if x * y > 1 then x else y, 1)",
    # another test, which is no guard of this loop alone, stops it too
    "flag": "b ~ Normal(0, 1)\nvar z: real[3]\npos = b\nok = b > -1\nfor i in 0..3 while pos >= 0 and ok {\n"
    "z[i] ~ Normal(0, 1)\npos = pos + z[i]\nok = z[i] > -0.5 }\nobserve 0 ~ Normal(pos, 1)",
    "one": "x ~ Normal(0, 1)\nobserve 0 ~ Normal(if x > 1 then x else 0, 1)",
}


@pytest.mark.parametrize("name", NONE)
def test_where_there_is_no_normal(name: str) -> None:
    guards = ppl.compile(NONE[name])._compiled.regions.guards
    assert all(b.normal is None for i in guards for b in i.boundaries)


def test_explain_names_the_normal() -> None:
    directions = [g["direction"] for g in ppl.compile(STOPPED).explain()["guards"]]
    assert directions.count("the normal in start, z") == 2
