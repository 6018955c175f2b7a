"""Where starts are placed: at the prior's quartiles and draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl.infer.start import PRIOR_DRAWS, SCALE_UNIT, WIDTHS, place_starts

STARTS = 3


def test_starts_are_at_the_median_and_at_draws_as_wide_as_the_quartiles_say() -> None:
    rng = np.random.default_rng(0)
    u = rng.standard_cauchy((PRIOR_DRAWS + STARTS, 4)).astype(np.float32)
    u[3, 1] = np.nan
    u[:, 2] = 7.0
    u[:300, 3] = -np.inf
    base = {part: {"x": jnp.zeros(4, jnp.float32)} for part in ("loc", "log_scale")}
    params, unit = place_starts(base, {"x": jnp.asarray(u)}, STARTS)
    with np.errstate(invalid="ignore"):
        low, middle, high = np.quantile(u[:PRIOR_DRAWS].astype(np.float64), (0.25, 0.5, 0.75), axis=0)
    spread = np.asarray([(high[0] - low[0]) / 1.349, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(unit["loc"]["x"], spread, rtol=1e-5)
    np.testing.assert_array_equal(unit["log_scale"]["x"], np.full(4, SCALE_UNIT, np.float32))
    places = params["loc"]["x"]
    np.testing.assert_allclose(places[0], [middle[0], np.nan, 7.0, -np.inf], rtol=1e-5)
    np.testing.assert_array_equal(places[1:], u[PRIOR_DRAWS + 1 :])
    expected = np.log(np.asarray(WIDTHS)[:STARTS, None] * spread)
    np.testing.assert_allclose(params["log_scale"]["x"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_draws_are_sorted_once_for_each_site(shape: tuple[int, ...]) -> None:
    """XLA takes long to compile that, and what finds places of quantiles at run time."""
    base = {"loc": {"x": jnp.zeros(shape)}, "log_scale": {"x": jnp.zeros(shape)}}
    text = str(
        jax.make_jaxpr(lambda u: place_starts(base, {"x": u}, STARTS))(jnp.zeros((PRIOR_DRAWS + STARTS, *shape)))
    )
    assert text.count("sort[") == 1 and "gather" not in text
