"""``pplc infer --method nuts|smc``: the posterior by a sampler."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ppl.cli.columns import aligned
from ppl.cli.console import UsageError, put
from ppl.cli.main import FINE
from ppl.cli.output import why
from ppl.cli.tables import table
from ppl.diagnostics import Diagnostic, InferenceError

if TYPE_CHECKING:
    from ppl.problem import Problem
    from ppl.sample import Samples


def infer_by_sampling(problem: Problem, options: argparse.Namespace) -> int:
    """Samples, prints, saves, as `infer` does with a fit."""
    result = run(problem, options)
    try:
        if options.json:
            put(json.dumps(result.to_json(), sort_keys=True, allow_nan=False) + "\n")
        else:
            put(sampling_report(result) + "\n")
    finally:  # a stdout that cannot be written must not lose the draws
        if options.out is not None:
            try:
                result.save(options.out)
            except OSError as error:
                raise UsageError(f"cannot write {options.out}: {why(error)}") from error
    if options.require_converged and not result.diagnostics["converged"]:
        raise InferenceError(
            [Diagnostic("PPL802", "the chains did not converge: see R-hat and the effective sample size")]
        )
    return FINE


def run(problem: Problem, options: argparse.Namespace) -> Samples:
    """The samples that the options ask for. Raises UsageError if BlackJAX is missing."""
    from ppl.sample import sample
    from ppl.sample.posterior import MissingSamplers

    asked = {"chains": options.chains, "warmup": options.warmup, "draws": options.draws}
    try:
        return sample(problem, options.method, seed=options.seed, **{k: v for k, v in asked.items() if v is not None})
    except MissingSamplers as error:
        raise UsageError(f"--method {options.method} needs BlackJAX: pip install 'pplc[samplers]'") from error


def sampling_report(samples: Samples) -> str:
    """The posterior table, then how far to trust it."""
    summary = samples.summary()
    more = ("rhat", "ess")
    parts = [table(title, summary[f"{title}s"], more) for title in ("latent", "report") if summary[f"{title}s"]]
    facts = "\n".join(aligned(list(sampling_facts(samples)), left=(0, 1)))
    return "\n\n".join([*parts, facts])


def sampling_facts(samples: Samples) -> Iterator[list[str]]:
    d = samples.diagnostics
    warm = f" after {d['warmup']} to adapt" if d["warmup"] else ""
    yield ["method", f"{samples.method}, {d['chains']} chains of {d['draws']} draws{warm}"]
    if np.isnan(d["rhat"]):
        yield ["chains", "R-hat is not defined here"]
    else:
        words = "the chains agree" if d["converged"] else "the chains do not agree yet, or there are too few draws"
        yield ["chains", f"largest R-hat {d['rhat']:.3f}, smallest effective sample size {d['ess']:.0f}: {words}"]
    if d.get("divergences"):
        yield ["divergent", f"{d['divergences']} transitions: parts of the posterior may be missing"]
    if "log_evidence" in d:
        runs = f", by the spread of {d['chains']} runs" if d["chains"] > 1 else ""
        yield ["evidence", f"log p(data) {d['log_evidence']:.2f} +- {d['log_evidence_se']:.2f}{runs}"]
    yield ["seconds", f"{samples.seconds:.1f}"]
