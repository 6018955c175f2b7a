"""Guides of every family against the score estimator, on programs whose exact values are those of mean-field guides.

The score estimator differentiates log q and nothing else: it knows neither lines nor roots nor jumps. It is unbiased
and noisy, so it takes more draws; agreement of all components is a check of boundary terms that needs no quadrature.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

ROOT = Path(__file__).resolve().parents[2]
CONFORMANCE = ROOT / "tests" / "conformance"
KEYS, DRAWS, SCORED = 40, 250, 2500

SOURCES = {
    "simplex": """
data y: int[6] = [1, 0, 2, 0, 0, 1]
p ~ Dirichlet([1.0, 2.0, 1.5])
x ~ Normal(0, 1)
if p[0] > 0.3 + 0.1 * x { factor 0.8 * x } else { factor -0.4 }
for i in 0..6 { observe y[i] ~ Categorical(p) }
""",
    "correlation": """
use multivariate
L ~ LKJCholesky(2, 1.5)
x ~ Normal(0, 1)
if L[1, 0] > 0.2 { factor x } else { factor -0.5 * x + L[1, 1] }
observe [0.5, -0.2] ~ MvNormalCholesky([x, 0.0], L)
""",
    "parts": """
data t: real[6] = [0.1, -0.4, 0.9, 0.3, 1.4, -1.0]
data y: real[6] = [1.2, 0.4, 2.0, 0.1, 1.0, -0.3]
c ~ Normal(0, 1)
a ~ Normal(0, 2)
b: real[2] ~ Normal(0, 1)
for i in 0..6 { observe y[i] ~ Normal(if t[i] * b[0] > c then a else b[1], 1) }
if b[0] > a { factor 0.6 }
""",
}


@pytest.fixture(autouse=True, scope="module")
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def problem_of(name: str) -> ppl.Problem:
    if name in SOURCES:
        return ppl.compile(SOURCES[name]).bind()
    data = json.loads((CONFORMANCE / "cases.json").read_text())[name]["data"]
    return ppl.load(CONFORMANCE / f"{name}.ppl").bind(data)


def differing(name: str, guide: str, estimator: str = "combined", **options: Any) -> list[str]:
    """The components in which the estimator and the score estimator differ, away from symmetric parameters."""
    problem = problem_of(name)
    rng = np.random.default_rng(4)
    params = jax.tree.map(lambda x: jnp.asarray(0.35 * rng.normal(size=x.shape)), problem.init_params(guide))
    params["log_scale"] = jax.tree.map(lambda x: x - 0.7, params["log_scale"])  # the score has less noise there

    def averaged(estimator: str, samples: int, seed: int, **options: Any) -> Any:
        fn = problem.elbo_and_grad(guide, estimator, samples=samples, **options)
        keys = jax.random.split(jax.random.key(seed), KEYS)
        return jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(keys)

    tested, known = averaged(estimator, DRAWS, 1, **options), averaged("score", SCORED, 2)
    found: list[str] = []
    for (path, x), y in zip(jax.tree.leaves_with_path(tested), jax.tree.leaves(known), strict=True):
        mean, error = (np.asarray(x.mean(0) - y.mean(0)), np.sqrt((x.var(0, ddof=1) + y.var(0, ddof=1)) / KEYS))
        assert np.all(error < 0.12), (path, error)
        if not np.all(np.abs(mean) < 5 * error + 1e-4):
            found.append(f"{jax.tree_util.keystr(path)}: off by {mean} +- {error}")
    return found


@pytest.mark.parametrize(
    ("name", "guide"),
    [("circle", "flow"), ("branch_sample", "flow:fullrank"), ("walk", "flow"), ("simplex", "flow:fullrank"),
     ("correlation", "flow")],
)  # fmt: skip
def test_the_combined_estimator_agrees_with_the_score(name: str, guide: str) -> None:
    assert not differing(name, guide)


def test_minibatches_agree_with_the_score_of_all_data() -> None:
    assert not differing("parts", "flow:fullrank", minibatch=3)


def test_the_cases_have_teeth() -> None:
    """Plain automatic differentiation is told from the truth, in parameters of shape too."""
    wrong = " ".join(differing("simplex", "flow:fullrank", "interior"))
    assert "'loc'" in wrong and ("'skew'" in wrong or "'log_tail'" in wrong)
