"""The human form of ``pplc gradcheck``."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppl.cli.columns import aligned, number

if TYPE_CHECKING:
    from ppl.testing import Component, GradientCheck

SHOWN = 24  # gradients in the table; of more, those with the largest |z|
WIDTH = 100
TITLES = {"interior": "plain AD", "combined": "combined", "score": "score"}
MARKS = {"biased": "*", "not finite": "*", "undecided": "?", "agrees": ""}
LEGEND = {"*": "* biased or not finite", "?": "? undecided: too noisy to say"}
METHODS = {
    "differences": "differences of the log density in one latent at a time",
    "score": "the score function",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a run of ``gradcheck`` found: the estimator asked for first, then plain AD if it is another one.

    `where` says in words which parameters it was.
    """

    checks: Sequence[GradientCheck]
    boundaries: int
    where: str
    guide: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        first = self.checks[0]
        return {
            "program": first.program, "estimator": first.estimator, "ok": first.ok, "at": self.where,
            "guide": self.guide, "seed": first.seed, "boundaries": self.boundaries, "seconds": self.seconds,
            "estimators": {c.estimator: c.to_json() for c in self.checks},
        }  # fmt: skip


def gradient_report(found: Checked) -> str:
    """Gradients as a table, the verdicts in words, and how they were reached."""
    checks = sorted(found.checks, key=lambda c: c.estimator != "interior")  # plain AD first, what is right after it
    words = [_no_boundaries()] if found.boundaries == 0 else []
    for check in checks:
        words += (check.summary() if check is found.checks[0] else check.verdict()).splitlines()
    wrapped = [part for line in words for part in _wrap(line)]
    facts = aligned(list(_facts(found)), left=(0, 1))
    return "\n".join([*_table(checks), "", *wrapped, "", *facts])


def _wrap(line: str) -> list[str]:
    """`line` in lines of at most WIDTH columns; a number stays with its sign and its error."""
    tied = re.sub(r" (\+-|=) ", "\0\\1\0", line)
    return [part.replace("\0", " ") for part in textwrap.wrap(tied, WIDTH, subsequent_indent="  ")]


def _no_boundaries() -> str:
    return "No guard has a boundary term here: plain automatic differentiation and the combined estimator are the same."


def _table(checks: Sequence[GradientCheck]) -> list[str]:
    rows = list(zip(*(c.components for c in checks), strict=True))
    shown = _clearest(rows)
    titles = [text for c in checks for text in (TITLES[c.estimator], "z")]
    lines = aligned([["gradient", "reference", "+-", *titles], *[_row(row) for row in shown]])
    marks = {MARKS[c.verdict] for row in shown for c in row}
    notes = [text for mark, text in LEGEND.items() if mark in marks]
    if len(shown) < len(rows):
        notes.append(f"{len(rows) - len(shown)} more gradients have a smaller |z|; --json prints all")
    return [*lines, *notes]


def _clearest(rows: Sequence[Sequence[Component]]) -> Sequence[Sequence[Component]]:
    """At most SHOWN rows, those with the largest |z|, in the order of the program."""

    def size(i: int) -> float:
        return max(abs(c.z) if math.isfinite(c.z) else math.inf for c in rows[i])

    kept = sorted(sorted(range(len(rows)), key=size, reverse=True)[:SHOWN])
    return [rows[i] for i in kept]


def _row(row: Sequence[Component]) -> list[str]:
    """One gradient by every estimator. The reference is the same for all but components that were estimated twice."""
    one = row[-1]
    cells = [one.name, number(one.reference, 10 * one.reference_se), number(one.reference_se, 10 * one.reference_se)]
    for c in row:
        cells += [number(c.estimate, 10 * c.se), f"{c.z:.1f}{MARKS[c.verdict]}"]
    return cells


def _facts(found: Checked) -> Iterator[list[str]]:
    first = found.checks[0]
    yield ["at", found.where]
    yield ["ELBO", f"{number(first.elbo, first.elbo_se)} +- {number(first.elbo_se, first.elbo_se)}"]
    if found.boundaries:
        yield ["jumps", f"{found.boundaries} boundar{'y' if found.boundaries == 1 else 'ies'}"]
    yield ["draws", f"{first.draws} for each estimator, seed {first.seed}"]
    for k, (method, draws) in enumerate(first.reference_draws.items()):
        yield ["" if k else "reference", f"{METHODS[method]}, {draws} draws"]
    if first.repeated:
        yield [
            "repeated",
            f"{first.repeated} gradients looked wrong at first: estimated anew, from ten times the draws",
        ]
    yield ["seconds", f"{found.seconds:.1f}"]
