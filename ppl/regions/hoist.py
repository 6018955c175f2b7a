"""Guards that do not depend on a loop are decided before it, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ppl.core import ir


def hoist(body: tuple[ir.Statement, ...], targets: Mapping[int, tuple[int, ...]]) -> tuple[ir.Statement, ...]:
    """`body` with the decision of each guard in `targets` moved out to the given loop nest."""
    return _block(body, (), targets)[0]


def _block(
    body: tuple[ir.Statement, ...], here: tuple[int, ...], targets: Mapping[int, tuple[int, ...]]
) -> tuple[tuple[ir.Statement, ...], list[ir.Decide]]:
    """The new block, and the decisions that leave it."""
    out: list[ir.Statement] = []
    leaving: list[ir.Decide] = []
    for s in body:
        if isinstance(s, ir.Decide) and s.index in targets and targets[s.index] != here:
            leaving.append(replace(s, mask=None))
            continue
        if isinstance(s, ir.Loop):
            inner, up = _block(s.body, (*here, s.id), targets)
            out.extend(d for d in up if targets[d.index] == here)
            leaving.extend(d for d in up if targets[d.index] != here)
            s = replace(s, body=inner)
        out.append(s)
    return tuple(out), leaving
