"""Runtime tests run in both precisions: the fixture switches 64-bit on for one test only."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(params=["float32", "float64"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """The dtype under test, with jax's default width set to match."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
