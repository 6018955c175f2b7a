# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Which part of an ELBO that has no finite gradient is to blame, and where in the program."""

from __future__ import annotations

from typing import Any

import jax

from ppl.diagnostics import Diagnostic, InferenceError
from ppl.infer.problem import ProblemLike

BLAMED = 1000  # draws among which a statement that is not finite is looked for


def not_finite(problem: ProblemLike, params: Any, key: jax.Array, guide: str, message: str) -> InferenceError:
    """The error `message`, at the first statement of the program that is to blame under these parameters.

    First come densities, then slopes of densities that are finite, and last what boundaries add to the gradient.
    """
    spans = problem.not_finite_at(params, key, BLAMED, guide)
    if spans:
        hint = "a density may be zero, or undefined, where the guide reaches"
        return _error(problem, message, spans[0], hint)
    steep = problem.steep_at(params, key, BLAMED, guide)
    if steep is not None:
        hint = (
            "its density is finite here and the slope of it is not: an operation has an infinite slope at a value that "
            "it takes, as `sqrt` and `log` have at 0; keep it away from there, as by `if d > 0 then log(d) else ...`"
        )
        return _error(problem, message, steep, hint)
    guards = [g.span for g in problem.guards if g.status in ("boundary", "marginalised")]
    hint = (
        "densities and their slopes are finite inside every branch; what branches differ by where they meet is not: "
        "a branch may be unbounded beside its own condition"
    )
    one = guards[0] if len({span.line for span in guards}) == 1 else None
    return _error(problem, message, one, hint if guards else None)


def _error(problem: ProblemLike, message: str, span: Any, hint: str | None) -> InferenceError:
    return InferenceError([Diagnostic("PPL801", message, span, hint)], problem.sources)
