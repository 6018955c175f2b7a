"""Opening what `infer --out` saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppl.cli.console import UsageError
from ppl.diagnostics import PplError

if TYPE_CHECKING:
    from ppl.infer import Fit
    from ppl.problem import Problem
    from ppl.sample import Samples

    Saved = Fit | Samples


def open_saved(path: str, problem: Problem | None = None) -> Saved:
    """The fit or the samples in a file.

    Raises UsageError if it cannot be opened, PplError (PPL804) if it is neither.
    """
    from ppl.infer import load_fit

    try:
        try:
            return load_fit(path, problem)
        except PplError:
            from ppl.sample.storage import load_samples

            return load_samples(path, problem)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror or error}") from error


def open_for(path: str, problem: Problem) -> Saved:
    """As `open_saved`, for a problem that has the latents of the fit. Raises UsageError if it has others."""
    from ppl.infer.initial import differing

    fit = open_saved(path, problem)
    differs = differing(problem, fit)
    if differs:
        raise UsageError(f"{path} is a fit of {fit.name}, whose latents differ from those of this program with this "
                         f"data: {', '.join(differs)}")  # fmt: skip
    return fit
