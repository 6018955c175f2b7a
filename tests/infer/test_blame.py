"""What is named where an ELBO, or its gradient alone, is not finite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax.scipy.stats import norm

import ppl
from ppl.infer import fit
from ppl.infer.blame import not_finite

from .stand_in import Site, StandIn, normal_prior


def blamed(source: str) -> ppl.Diagnostic:
    problem = ppl.compile(source).bind()
    params = problem.init_params()
    (d,) = not_finite(problem, params, jax.random.key(0), "meanfield", "no finite step").diagnostics
    return d


@pytest.mark.parametrize(
    ("source", "line", "hint"),
    [
        ("x ~ Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\nfactor log(x)\n", 3, "may be zero, or undefined"),
        ("x ~ Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\nfactor sqrt(0 * exp(x))\n", 3, "infinite slope at a value"),
        (
            "data d: real = 0\nx ~ Normal(0, 1)\nw = inv_logit(exp(x) * log(d))\n"
            "observe 1 ~ Normal(x, 1)\nobserve 0.2 ~ Normal(w, 1)\n",
            5,
            "infinite slope at a value",
        ),
        ("x ~ Normal(0, 1)\n\nobserve 1 ~ Normal(if x > 0 then 1 else -1, 1)\n", 3, "where they meet"),
        ("x ~ Normal(0, 1)\nif x > 0 { factor 1 }\nif x > 1 { factor 1 }\n", None, "where they meet"),
    ],
)
def test_the_first_of_densities_slopes_and_boundaries_is_named(source: str, line: int | None, hint: str) -> None:
    d = blamed(source)
    assert (d.code, d.message) == ("PPL801", "no finite step")
    assert (d.span and d.span.line) == line
    assert d.hint is not None and hint in d.hint


def test_a_run_says_whether_the_elbo_or_its_gradient_was_not_finite() -> None:
    def density(u, guards):
        return norm.logpdf(u[0]) + jnp.sqrt(0 * u[0])

    with pytest.raises(ppl.InferenceError, match="none of 100 steps from 16 starts had a finite gradient"):
        fit(StandIn("steep", (Site("x"),), density, normal_prior([0.0], [1.0])))
