"""``pplc sample``: draws from the prior or a posterior, and replicated observations."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl.cli.console import UsageError, put, show_notes
from ppl.cli.infer import bound_problem
from ppl.cli.main import FINE
from ppl.cli.output import check_writable, why

if TYPE_CHECKING:
    from ppl.predict import Predicted

SUFFIXES = (".nc", ".csv", ".json")


def sample(options: argparse.Namespace) -> int:
    """Draws, prints, saves. What can be refused is refused before anything is drawn."""
    if options.out is not None:
        if Path(options.out).suffix not in SUFFIXES:
            raise UsageError(f"cannot tell what to write to {options.out}: its name must end in {', '.join(SUFFIXES)}")
        check_writable(options.out)
    problem = bound_problem(options.file, options)
    import jax

    from ppl.predict import notes_on, predict_prior

    if options.predictive:
        show_notes(notes_on(problem), problem.sources, options.quiet)
    key = jax.random.key(options.seed)
    if options.source == "prior":
        drawn = predict_prior(problem, key, options.draws, replicate=options.predictive)
    else:
        from ppl.cli.saved import open_for

        drawn = open_for(options.source, problem).predict(key, options.draws, replicate=options.predictive)
    try:
        _show(drawn, options)
    finally:
        if options.out is not None:
            _save(drawn, problem.data, options)
    return FINE


def _show(drawn: Predicted, options: argparse.Namespace) -> None:
    from ppl.infer.summary import plain, summarise

    summary = {"latents": summarise(drawn.latents), "reports": summarise(drawn.reports)}
    if options.predictive:
        summary["observations"] = {
            k: {**columns, "observed": drawn.observed[k]} for k, columns in summarise(drawn.observations).items()
        }
    if options.json:
        facts = {"from": options.source, "draws": options.draws, "seed": options.seed, "undefined": drawn.undefined}
        put(json.dumps(plain({**facts, **summary}), sort_keys=True, allow_nan=False) + "\n")
        return
    from ppl.cli.tables import table

    parts = [table(kind[:-1], part, ("observed",) if kind == "observations" else ())
             for kind, part in summary.items() if part]  # fmt: skip
    if drawn.undefined:
        parts.append(f"{drawn.undefined:.2%} of the observations could not be drawn: their distribution has no finite "
                     "arguments there, or the count is too large for an integer.")  # fmt: skip
    put("\n\n".join(parts) + "\n")


def _save(drawn: Predicted, data: Mapping[str, Any], options: argparse.Namespace) -> None:
    from ppl.cli.draw_files import write

    try:
        write(drawn, data, Path(options.out), options.source == "prior")
    except OSError as error:
        raise UsageError(f"cannot write {options.out}: {why(error)}") from error
