"""Summaries of draws as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl.cli.columns import aligned, number

SHOWN = 12  # elements of an array in a table; beyond it is abbreviated
HEAD, TAIL = 6, 3
FORMATS = {"rhat": "{:.3f}", "ess": "{:.0f}"}  # of columns that are not in the units of the quantity
_COLUMNS = ("mean", "sd", "q5", "q50", "q95")
_TITLES = ("mean", "sd", "5%", "50%", "95%")


def table(title: str, summary: Mapping[str, Mapping[str, Any]], more: tuple[str, ...] = ()) -> str:
    """A row per element of each quantity, from what ``Fit.summary`` has of a kind of them; `title` names the kind.

    `more` are further columns of the summary, under their own names. A long array is abbreviated, and a note says so.
    """
    partial = any(bool((columns["exists"] < 1).any()) for columns in summary.values())
    rows = [[title, *_TITLES, *more, *(["exists"] if partial else [])]]
    notes: list[str] = []
    for name, columns in summary.items():
        indices, cut = shown(columns["mean"].shape)
        rows += [_row(name, index, columns, more, partial) for index in indices]
        if cut:
            size = columns["mean"].size
            notes.append(f"{name} has {size} elements; --json prints all of them, --out saves all draws.")
    return "\n".join(aligned(rows) + notes)


def shown(shape: tuple[int, ...]) -> tuple[list[tuple[int, ...] | None], bool]:
    """The indices of the elements to show of an array, None for a gap, and whether there is one."""
    indices: list[tuple[int, ...] | None] = [*np.ndindex(shape)]
    cut = len(indices) > SHOWN
    return ([*indices[:HEAD], None, *indices[-TAIL:]] if cut else indices), cut


def label(name: str, index: tuple[int, ...]) -> str:
    """How an element is called: ``w[0, 1]``."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _row(
    name: str, index: tuple[int, ...] | None, columns: Mapping[str, Any], more: tuple[str, ...], partial: bool
) -> list[str]:
    if index is None:
        return ["  ...", *[""] * (len(_COLUMNS) + len(more) + partial)]
    sd = float(columns["sd"][index])
    values = [number(float(columns[c][index]), sd) for c in _COLUMNS]
    others = [
        FORMATS[c].format(columns[c][index]) if c in FORMATS else number(float(columns[c][index]), sd) for c in more
    ]
    return [label(name, index), *values, *others, *([f"{float(columns['exists'][index]):.3f}"] if partial else [])]
