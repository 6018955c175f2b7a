"""Exact ELBOs and gradients: the estimator's average must lie within 5 standard errors, and these must be small.

Two tables of the same form: ``cases.json`` here, and ``tests/programs/cases/cases.json``, whose programs are beside it
or, with the tag `shipped`, in ``programs/``. An array latent is spelled ``z[0]``, ``z[1]``, ... in both.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = (ROOT / "tests" / "conformance", ROOT / "tests" / "programs" / "cases")
KEYS, SAMPLES = 60, 500
# Guards that no single coordinate line covers, that test a branched value, or that are not affine: right, or refused.
RIGHT_OR_REFUSED = ("product", "circle", "branch_state", "floored", "two_roots", "log_guard", "abs_guard")


def load_cases() -> dict[str, tuple[pathlib.Path, dict[str, Any]]]:
    cases: dict[str, tuple[pathlib.Path, dict[str, Any]]] = {}
    for folder in TABLES:
        for name, case in json.loads((folder / "cases.json").read_text()).items():
            assert name not in cases, f"case {name} is in both tables"
            cases[name] = (ROOT / "programs" if "shipped" in case["tags"] else folder) / f"{name}.ppl", case
    return cases


CASES = load_cases()


def element(name: str) -> tuple[str, int | None]:
    """``z[2]`` is element 2 of z; ``x`` is a scalar."""
    match = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    return (match[1], int(match[2])) if match else (name, None)


def as_arrays(flat: Mapping[str, float]) -> dict[str, jax.Array]:
    sites: dict[str, Any] = {}
    for name, value in flat.items():
        site, index = element(name)
        if index is None:
            sites[site] = value
        else:
            sites.setdefault(site, {})[index] = value
    lists = {k: [v[i] for i in range(len(v))] if isinstance(v, dict) else v for k, v in sites.items()}
    return {k: jnp.asarray(v, float) for k, v in lists.items()}


def case_params(case: Mapping[str, Any]) -> dict[str, dict[str, jax.Array]]:
    return {part: as_arrays(case[part]) for part in ("loc", "log_scale")}


def pick(tree: Mapping[str, jax.Array], name: str) -> np.ndarray:
    """The draws, shape (KEYS,), of one component."""
    site, index = element(name)
    values = np.asarray(tree[site], float)
    return values if index is None else values[:, index]


def faults(draws: np.ndarray, exact: float) -> str | None:
    """What is wrong with an average of `draws` as an estimate of `exact`, or None."""
    if not np.all(np.isfinite(draws)):
        return "not finite"
    mean, error = draws.mean(), draws.std(ddof=1) / np.sqrt(len(draws))
    if error > 0.05 * (1 + abs(exact)):
        return f"standard error {error:.4g} is too large to tell anything about {exact:.4g}"
    if abs(mean - exact) > 5 * (error + 1e-4 * (1 + abs(exact))):
        return f"got {mean:.5g} +- {error:.2g}, exact {exact:.5g}"
    return None


def estimate(problem: Any, params: Any, estimator: str = "combined") -> tuple[jax.Array, Any]:
    fn = problem.elbo_and_grad(guide="meanfield", estimator=estimator, samples=SAMPLES)
    keys = jax.random.split(jax.random.PRNGKey(20181202), KEYS)
    return jax.jit(lambda p, ks: jax.lax.map(lambda k: fn(p, k), ks))(params, keys)


@pytest.mark.parametrize("name", CASES)
def test_exact(name: str) -> None:
    path, case = CASES[name]
    try:
        problem = ppl.load(str(path)).bind(case["data"])
    except ppl.PplError as refusal:
        if name not in RIGHT_OR_REFUSED:
            raise
        assert refusal.diagnostics and all(d.code.startswith("PPL") for d in refusal.diagnostics)
        return
    elbo, grad = estimate(problem, case_params(case))
    found = {"elbo": faults(np.asarray(elbo, float), case["elbo"])}
    for part in ("loc", "log_scale"):
        for component, exact in case["grad_" + part].items():
            found[f"d/d{part} {component}"] = faults(pick(grad[part], component), exact)
    assert not {k: v for k, v in found.items() if v}


@pytest.mark.parametrize("name", ["same_boundary", "tied_data", "fn_level", "coal"])
def test_plain_automatic_differentiation_fails_this_test(name: str) -> None:
    """The check has teeth: the interior part alone is told from the truth."""
    path, case = CASES[name]
    _, grad = estimate(ppl.load(str(path)).bind(case["data"]), case_params(case), "interior")
    wrong = [faults(pick(grad["loc"], c), exact) for c, exact in case["grad_loc"].items()]
    assert any(fault and fault.startswith("got") for fault in wrong)


@pytest.mark.parametrize("name", [n for n, (_, case) in CASES.items() if "family" in case["tags"]])
def test_loss_and_vmap_agree(name: str) -> None:
    """jax.grad of `elbo_loss` is minus the gradient of `elbo_and_grad` at the same key, and both map over keys."""
    path, case = CASES[name]
    problem = ppl.load(str(path)).bind(case["data"])
    params, key = case_params(case), jax.random.PRNGKey(3)
    loss = problem.elbo_loss(guide="meanfield", estimator="combined", samples=8)
    value, slope = jax.jit(jax.value_and_grad(loss))(params, key)
    small = jax.jit(problem.elbo_and_grad(guide="meanfield", estimator="combined", samples=8))
    elbo, grad = small(params, key)
    np.testing.assert_allclose(value, -elbo, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, rtol=1e-3, atol=1e-3), slope, grad)
    many, _ = jax.vmap(small, in_axes=(None, 0))(params, jax.random.split(key, 2))
    assert many.shape == (2,)
