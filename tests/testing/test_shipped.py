"""Programs of `docs/gradcheck.md`: the bias of plain automatic differentiation, and none of the combined estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import ppl
from ppl.testing import compare_estimators

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
# Close to the fitted ones, where the change point is known to a few days.
TEXTMSG = {
    "loc": {"early": jnp.array(2.88), "late": jnp.array(3.12), "change": jnp.array(0.38)},
    "log_scale": {"early": jnp.array(-3.4), "late": jnp.array(-3.4), "change": jnp.array(-2.2)},
}


@pytest.mark.parametrize(
    ("name", "params", "draws", "biased"),
    [("one_if", None, 8_000, 1), ("textmsg", TEXTMSG, 8_000, 1), ("temperature", None, 4_000, 10)],
)
def test_plain_differentiation_is_biased_and_the_combined_estimator_is_not(
    name: str, params: Any, draws: int, biased: int
) -> None:
    """`biased`: so many gradients at least, the clearest beyond 10 standard errors."""
    problem = ppl.load(PROGRAMS / f"{name}.ppl").bind(PROGRAMS / f"{name}.data.json" if name != "one_if" else None)
    combined, interior = compare_estimators(problem, params, draws=draws)
    combined.assert_ok()
    assert not interior.ok
    wrong = [c for c in interior.components if c.verdict == "biased"]
    assert len(wrong) >= biased
    assert max(abs(c.z) for c in wrong) > 10
    assert max(abs(c.z) for c in combined.components) < 5
