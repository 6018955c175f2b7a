"""The human form of ``pplc infer``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ppl.cli.columns import aligned, number
from ppl.cli.tables import table
from ppl.infer.khat import khat_in_words

if TYPE_CHECKING:
    from ppl.infer import Fit

NEAR = 0.1  # nats: starts this close have found the same optimum


def posterior_report(fit: Fit) -> str:
    """The posterior table, then how far to trust it."""
    summary = fit.summary()
    parts = [table(title, summary[f"{title}s"]) for title in ("latent", "report") if summary[f"{title}s"]]
    facts = "\n".join(aligned(list(_facts(fit)), left=(0, 1)))
    return "\n\n".join([*parts, facts])


def _facts(fit: Fit) -> Iterator[list[str]]:
    yield ["ELBO", f"{number(fit.elbo, fit.elbo_se)} +- {number(fit.elbo_se, fit.elbo_se)}"]
    yield ["stopped", f"after {fit.steps} steps; {fit.stop_reason}"]
    khat = "k-hat" if np.isnan(fit.khat) else f"k-hat {fit.khat:.2f}"
    yield ["guide", f"{fit.settings.guide}, {khat}: {khat_in_words(fit.khat)}"]
    yield ["starts", _starts(fit)]
    yield ["seconds", f"{fit.seconds:.1f}, {fit.compile_seconds:.1f} of them compiling"]
    if fit.nonfinite_steps:
        yield ["skipped", f"{fit.nonfinite_steps} steps whose ELBO or gradient was not finite"]


def _starts(fit: Fit) -> str:
    elbos = np.array(fit.starts)
    best = np.nanmax(np.where(np.isfinite(elbos), elbos, np.nan))
    near = int(np.sum(elbos > best - NEAR))
    if near == len(elbos):
        return f"all {near} agree" if near > 1 else "1"
    worst = np.nanmin(np.where(np.isfinite(elbos), elbos, np.nan))
    return f"{near} of {len(elbos)} reached the best ELBO; the worst ended at {worst:.2f}: there are other optima"
