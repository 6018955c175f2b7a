"""``pplc gradcheck``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ppl.cli.console import UsageError, is_watched, put
from ppl.cli.gradients import Checked, gradient_report
from ppl.cli.infer import bound_problem, fit_progress
from ppl.cli.main import BIASED, FINE, INFERENCE
from ppl.cli.parser import budget_asked, lines_asked

if TYPE_CHECKING:
    from ppl.problem import Problem

AT = {"start": "where a fit starts: the prior's median and spread", "init": "a standard normal guide"}


def gradcheck(options: argparse.Namespace) -> int:
    """Checks the estimator asked for, and plain automatic differentiation beside it; prints both."""
    began = time.perf_counter()
    problem = bound_problem(options.file, options, lines_asked(options))
    from ppl.infer import SettingsError
    from ppl.testing import compare_estimators

    boundaries = sum(g.count for g in problem.guards if g.status in ("boundary", "marginalised"))
    # Without boundaries they are the same function: one check says it of both.
    alone = boundaries == 0 or options.estimator == "interior"
    estimators = [options.estimator] if alone else [options.estimator, "interior"]
    given: dict[str, Any] = {**budget_asked(options), **({} if options.draws is None else {"draws": options.draws})}
    try:
        params, guide, where = _parameters(problem, options)
        with _status(options.quiet) as status:
            checks = compare_estimators(
                problem, params, estimators, guide=guide, seed=options.seed, progress=status, **given
            )
    except SettingsError as error:
        raise UsageError(str(error)) from error
    checked = Checked(checks, boundaries, where, guide, time.perf_counter() - began)
    report = (
        json.dumps(checked.to_json(), sort_keys=True, allow_nan=False) if options.json else gradient_report(checked)
    )
    put(f"{report}\n")
    first = checks[0]
    if not first.ok:
        return BIASED
    return INFERENCE if len(first.undecided) == len(first.components) else FINE


def _parameters(problem: Problem, options: argparse.Namespace) -> tuple[Any, str, str]:
    """The parameters to check at (None: where a fit starts), their guide, and where that is, in words."""
    from ppl.infer.fit import guide_for

    if options.params is not None:
        return _saved(options.params, None if options.guide is None else guide_for(problem, options.guide))
    guide = guide_for(problem, options.guide)
    if options.at == "fitted":
        from ppl.infer import fit

        with fit_progress(options.quiet) as progress:
            result = fit(problem, guide=guide, seed=options.seed, progress=progress)
        return result.params, guide, f"fitted now: {result.steps} steps, {'' if result.converged else 'not '}converged"
    if options.at == "init":
        from ppl.infer import SettingsError

        try:
            return problem.init_params(guide), guide, AT["init"]
        except ValueError as error:  # the guide is not known
            raise SettingsError(str(error)) from error
    return None, guide, AT["start"]


def _saved(path: str, guide: str | None) -> tuple[Any, str, str]:
    from ppl.infer import load_fit

    try:
        saved = load_fit(path)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror or error}") from error
    if guide not in (None, saved.settings.guide):
        raise UsageError(f"the fit in {path} has the guide {saved.settings.guide}, not {guide}")
    return saved.params, saved.settings.guide, f"the fit in {path}"


@contextmanager
def _status(quiet: bool) -> Generator[Callable[[str], None] | None]:
    """A callback that shows what is being done on stderr, or None where nobody is looking."""
    if quiet or not is_watched():
        yield None
        return
    from rich.console import Console
    from rich.status import Status

    with Status("compiling", console=Console(stderr=True)) as status:
        yield status.update
