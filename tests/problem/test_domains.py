"""Functions at the end of their domain on the boundary of a branch: values there are limits, in both precisions."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

HERE = Path(__file__).parents[1] / "oracle" / "regressions"
DRAWS = 20_000


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("name", ["half_sphere", "root_of_discriminant", "roots_of_elements", "root_of_kink"])
def test_gradients_are_finite_and_right(name: str, double: bool) -> None:
    case = json.loads((HERE / "values.json").read_text())[name]
    with jax.enable_x64(double):
        problem = ppl.load(HERE / f"{name}.ppl").bind(case["data"])
        params = {k: {s: jnp.asarray(v) for s, v in case[k].items()} for k in ("loc", "log_scale")}
        fn = jax.jit(jax.vmap(problem.elbo_and_grad(), in_axes=(None, 0)))
        _, grad = fn(params, jax.random.split(jax.random.key(1), DRAWS))
    for part, sites in grad.items():
        for site, g in sites.items():
            g = np.asarray(g, float)
            assert np.isfinite(g).all()
            exact, error = case[f"grad_{part}"][site]
            assert abs(g.mean() - exact) < 4.5 * np.hypot(g.std() / DRAWS**0.5, error)
