"""One fit that many tests look at."""

from __future__ import annotations

import pytest

from ppl.infer import Fit, fit

from .stand_in import branch


@pytest.fixture(scope="session")
def fitted() -> Fit:
    """A short fit of `branch`: latents x and y, y only where x > 0."""
    return fit(branch(), steps=300, starts=2, draws=1500, seed=4)
