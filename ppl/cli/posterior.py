"""The human form of ``pplc infer``."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from ppl.cli.columns import aligned, number
from ppl.cli.tables import table
from ppl.infer.advice import boundaries_in_words, guide_in_words, starts_in_words

if TYPE_CHECKING:
    from ppl.infer import Fit

WIDTH = 110  # of the sentences at the end
CONDITIONS = 8  # in the table of branches; --json has all


def posterior_report(fit: Fit) -> str:
    """The posterior table, then how far to trust it."""
    summary = fit.summary()
    parts = [table(title, summary[f"{title}s"]) for title in ("latent", "report") if summary[f"{title}s"]]
    if fit.branches:
        parts.append(_branches(fit))
    if fit.guides:
        parts.append(_guides(fit))
    parts.append("\n".join(aligned(list(_facts(fit)), left=(0, 1))))
    sentences: list[str] = fit.advice
    return "\n\n".join([*parts, "\n".join(fill(sentence, WIDTH) for sentence in sentences)])


def _branches(fit: Fit) -> str:
    """How probable every condition of the program is, before and after seeing the data."""
    rows = [["condition", "line", "prior", "posterior"]]
    rows += [
        [
            _short(b["text"]),
            str(b["line"]),
            "-" if np.isnan(b["prior"]) else f"{b['prior']:.3f}",
            f"{b['posterior']:.3f}",
        ]
        for b in fit.branches[:CONDITIONS]
    ]
    more = len(fit.branches) - CONDITIONS
    return "\n".join([*aligned(rows), *([f"{more} more conditions: see --json."] if more > 0 else [])])


def _guides(fit: Fit) -> str:
    """The guides that were compared, and what came of each."""
    rows = [["guide", "ELBO", "error", "k-hat", "steps", "seconds", ""]]
    for g in fit.guides:
        if "failed" in g:
            rows.append([g["guide"], "failed", "", "", "", "", g["failed"]])
            continue
        khat = "-" if g["khat"] is None or np.isnan(g["khat"]) else f"{g['khat']:.2f}"
        note = ", ".join(["chosen"] * g["chosen"] + ["not converged"] * (not g["converged"]))
        rows.append([g["guide"], f"{g['elbo']:.2f}", f"{g['elbo_se']:.2f}", khat, str(g["steps"]),
                     f"{g['seconds']:.1f}", note])  # fmt: skip
    return "\n".join(line.rstrip() for line in aligned(rows, left=(0, 6)))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _facts(fit: Fit) -> Iterator[list[str]]:
    yield ["ELBO", f"{number(fit.elbo, fit.elbo_se)} +- {number(fit.elbo_se, fit.elbo_se)}"]
    yield ["stopped", f"after {fit.steps} steps; {fit.stop_reason}"]
    khat = "k-hat" if np.isnan(fit.khat) else f"k-hat {fit.khat:.2f}"
    yield ["guide", f"{fit.settings.guide}, {khat}: {guide_in_words(fit)}"]
    if fit.choice:
        yield ["chosen", fit.choice]
    yield ["starts", starts_in_words(fit)]
    if fit.boundaries is not None:
        yield ["boundaries", boundaries_in_words(fit.boundaries)]
    where = f"; on {fit.devices} devices" if fit.devices > 1 else ""
    yield ["seconds", f"{fit.seconds:.1f}, {fit.compile_seconds:.1f} of them compiling{where}"]
    if fit.nonfinite_steps:
        where = f"; {fit.nonfinite_where}" if fit.nonfinite_where else ""
        yield ["skipped", f"{fit.nonfinite_steps} gradients that were not finite{where}"]
