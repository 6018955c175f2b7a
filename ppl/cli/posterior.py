"""The human form of ``pplc infer``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.cli.columns import aligned, number
from ppl.infer.khat import khat_in_words

if TYPE_CHECKING:
    from ppl.infer import Fit

SHOWN = 12  # elements of an array in the table; beyond it is abbreviated
HEAD, TAIL = 6, 3
_COLUMNS = ("mean", "sd", "q5", "q50", "q95")
_TITLES = ("mean", "sd", "5%", "50%", "95%")
NEAR = 0.1  # nats: starts this close have found the same optimum


def posterior_report(fit: Fit) -> str:
    """The posterior table, then how far to trust it."""
    summary = fit.summary()
    parts = [_table(summary[kind], kind == "latents") for kind in ("latents", "reports") if summary[kind]]
    facts = "\n".join(aligned(list(_facts(fit)), left=(0, 1)))
    return "\n\n".join([*parts, facts])


def _table(summary: Mapping[str, Mapping[str, Any]], latents: bool) -> str:
    partial = any(np.any(columns["exists"] < 1) for columns in summary.values())
    rows = [["latent" if latents else "report", *_TITLES, *(["exists"] if partial else [])]]
    notes: list[str] = []
    for name, columns in summary.items():
        shape = columns["mean"].shape
        indices = list(np.ndindex(shape))
        cut = len(indices) > SHOWN
        shown: list[Any] = [*indices[:HEAD], None, *indices[-TAIL:]] if cut else indices
        rows += [_row(name, index, columns, partial) for index in shown]
        if cut:
            notes.append(f"{name} has {len(indices)} elements; --json prints all of them, --out saves all draws.")
    return "\n".join(aligned(rows) + notes)


def _row(name: str, index: tuple[int, ...] | None, columns: Mapping[str, Any], partial: bool) -> list[str]:
    if index is None:
        return ["  ...", *[""] * (len(_COLUMNS) + partial)]
    sd = float(columns["sd"][index])
    label = f"{name}[{', '.join(map(str, index))}]" if index else name
    values = [number(float(columns[c][index]), sd) for c in _COLUMNS]
    return [label, *values, *([f"{float(columns['exists'][index]):.3f}"] if partial else [])]


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
