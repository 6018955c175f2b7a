"""The outcomes that several conditions can have together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from ppl.core import ir


def cases(conditions: Sequence[ir.Expr], definitions: Mapping[str, ir.Expr]) -> list[tuple[bool, ...]]:
    """All combinations of outcomes, but those in which a value equals two different literals."""
    found = [_equality(c, definitions) for c in conditions]
    out: list[tuple[bool, ...]] = []
    for outcomes in itertools.product((True, False), repeat=len(conditions)):
        equal: dict[ir.Expr, ir.Lit] = {}
        true = [e for e, holds in zip(found, outcomes, strict=True) if holds and e is not None]
        if all(equal.setdefault(value, number) == number for value, number in true):
            out.append(outcomes)
    return out


def _equality(c: ir.Expr, definitions: Mapping[str, ir.Expr]) -> tuple[ir.Expr, ir.Lit] | None:
    while isinstance(c, ir.Var) and c.name in definitions:
        c = definitions[c.name]
    match c:
        case ir.Op("eq", (value, ir.Lit() as number)) | ir.Op("eq", (ir.Lit() as number, value)):
            return value, number
        case _:
            return None
