"""The part of the gradient that comes from boundaries, against closed forms, and where it is not known."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import norm

import ppl
from ppl.infer import Fit
from ppl.infer.boundaries import Boundaries

AT = 0.3  # the threshold
STEP = f"""\
x ~ Normal(0, 1)
y ~ Normal(0, 1)
observe 0.5 ~ Normal(y + (if x < {AT} then -1 else 2), 1)
"""
SHORT: dict[str, Any] = {"steps": 300, "starts": 4, "draws": 200}


def exact(result: Fit) -> tuple[float, float]:
    """Slopes in the place and the log scale of x, per standard deviation: the density of x at the threshold times the
    jump of the log density there, which is linear in y."""
    p = {part: {k: float(v) for k, v in sites.items()} for part, sites in result.params.items()}
    d = (AT - p["loc"]["x"]) / np.exp(p["log_scale"]["x"])
    rest = 0.5 - p["loc"]["y"]
    jump = -0.5 * ((rest - 2) ** 2 - (rest + 1) ** 2)
    return norm.pdf(d) * jump, norm.pdf(d) * d * jump


@pytest.mark.parametrize("marginalise", [True, False])
def test_slopes_are_those_of_the_closed_form(marginalise: bool) -> None:
    result = ppl.compile(STEP).infer(marginalise=marginalise, **SHORT)
    found = result.boundaries
    assert found is not None
    for part, want in zip(("loc", "log_scale"), exact(result), strict=True):
        # What is integrated out in x still has the noise of y.
        assert abs(float(found.slopes[part]["x"]) - want) < 4 * float(found.errors[part]["x"]) + 1e-4
        assert float(found.errors[part]["x"]) < 0.05
        assert abs(float(found.slopes[part]["y"])) < 4 * float(found.errors[part]["y"]) + 1e-6
    assert abs(exact(result)[0]) > 0.2  # or nothing was tested
    assert found.norm == pytest.approx(np.hypot(*exact(result)), abs=0.05)
    assert found.largest()[:3] == ("loc" if abs(exact(result)[0]) > abs(exact(result)[1]) else "log_scale", "x", ())
    assert "Plain automatic differentiation would not have stopped here" in " ".join(result.advice)


def test_without_boundaries_the_gradient_is_the_interior_one_on_average() -> None:
    problem = ppl.compile(STEP).bind()
    params = problem.init_params("fullrank")
    params["loc"]["y"] += 0.7  # the jump is not zero on average
    keys = jax.random.split(jax.random.key(1), 400)

    def gradients(estimator: str, boundaries: float | None) -> Any:
        fn = problem.elbo_and_grad("fullrank", estimator, samples=4)
        grads = jax.jit(jax.vmap(lambda key: fn(params, key, boundaries)[1]))(keys)
        return np.stack([np.asarray(x).reshape(len(keys), -1).T[0] for x in jax.tree.leaves(grads)])

    whole, inside, none, all_of_it = (
        gradients(*how) for how in (("combined", None), ("interior", None), ("combined", 0.0), ("combined", 1.0))
    )
    np.testing.assert_allclose(whole, all_of_it, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(none, inside, rtol=1e-5, atol=1e-5)  # nothing is integrated out here: on every draw
    difference = (whole - none).mean(axis=1)
    assert np.max(np.abs(difference) / ((whole - none).std(axis=1) / 20 + 1e-9)) > 10


def test_a_slope_in_an_array_is_named_by_its_index() -> None:
    found = Boundaries(
        {"loc": {"x": np.array([0.1, -0.8, 0.0])}}, {"loc": {"x": np.array([0.01, 0.02, 0.0])}}, (4.0, 3.0)
    )
    assert found.largest() == ("loc", "x", (1,), -0.8, 0.02)
    assert found.noise_share == 0.25
    assert found.norm == pytest.approx(np.sqrt(0.01 + 0.64 - 0.0005))


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (STEP, {"estimator": "interior"}),
        (STEP, {"estimator": "score"}),
        ("x ~ Normal(0, 1)\nobserve 1.0 ~ Normal(x, 1)\n", {}),
        ("x ~ Normal(0, 1)\nobserve 1.0 ~ Normal(if x > 0 then x else 0, 1)\n", {}),  # continuous
        ("x ~ Normal(0, 1)\nfactor if x > 0 then log(x) else 0\n", {}),  # takes the score
    ],
)
def test_where_there_is_nothing_to_say(source: str, options: dict[str, Any]) -> None:
    result = ppl.compile(source).infer(**(SHORT | {"steps": 20} | options))
    assert result.boundaries is None
    assert result.diagnostics["boundaries"] is None
    assert "Plain" not in " ".join(result.advice)


def test_boundaries_that_do_not_matter_are_called_so() -> None:
    near = STEP.replace("then -1 else 2", "then 0 else 0.05")
    assert "hardly" in " ".join(ppl.compile(near).infer(**SHORT).advice)
