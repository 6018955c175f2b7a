"""Fitting guides to bound problems, and the results. Importing this package imports jax."""

from typing import TYPE_CHECKING

from ppl.infer.checkpoint import CheckpointError
from ppl.infer.fit import check_converged, fit
from ppl.infer.result import Fit, Posterior
from ppl.infer.settings import Progress, Settings, SettingsError

if TYPE_CHECKING:
    from ppl.infer.storage import load_fit

__all__ = [
    "CheckpointError", "Fit", "Posterior", "Progress", "Settings", "SettingsError", "check_converged", "fit",
    "load_fit",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """`load_fit` on first use: it needs xarray, which takes longer to import than a small model to fit."""
    if name == "load_fit":
        from ppl.infer.storage import load_fit

        return load_fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
