"""Terms without a boundary term: those behind a branch that is unbounded at its own guard take the score estimator."""

from __future__ import annotations

from dataclasses import replace

from ppl.core import ir
from ppl.regions.effects import reason_of
from ppl.regions.flow import influenced
from ppl.regions.model import GuardInfo
from ppl.regions.scope import Scope

SCORE = "score"


def scored_terms(scope: Scope, infos: tuple[GuardInfo, ...]) -> frozenset[int]:
    """The terms that a guard with status `score` reaches."""
    return frozenset(t for i in infos if i.status == SCORE for t in influenced(scope.flow, i.guard.index))


def without(scope: Scope, infos: tuple[GuardInfo, ...], scored: frozenset[int]) -> tuple[GuardInfo, ...]:
    """Boundaries without the terms in `scored`; a guard that reaches no others has none left."""
    if not scored:
        return infos
    out: list[GuardInfo] = []
    for i in infos:
        kept = tuple(replace(b, terms=tuple(t for t in b.terms if t not in scored)) for b in i.boundaries)
        if i.status == "boundary" and not kept[0].terms:
            reason = "all that it reaches takes the score estimator, because of another guard"
            out.append(replace(i, status=SCORE, boundaries=(), reason=reason))
        elif kept != i.boundaries and i.status == "boundary":
            left = {t for b in kept for t in b.terms}
            out.append(replace(i, boundaries=kept, reason=reason_of(scope, kept[-1], len(left))))
        else:
            out.append(i)
    gone = {i.guard.index for i in out if i.status == SCORE}
    return tuple(replace(i, status=SCORE) if i.status == "merged" and i.representative in gone else i for i in out)


def reason(scope: Scope, terms: tuple[int, ...], line: int) -> str:
    """Why a guard has no boundary, for people."""
    lines = sorted({s.span.line for _, s in ir.blocks(scope.program.body)
                    if isinstance(s, ir.Term | ir.Sample) and s.id in terms})  # fmt: skip
    where = f"line{'' if len(lines) == 1 else 's'} {', '.join(map(str, lines))}"
    return f"a branch at line {line} is unbounded where it is zero, so the terms of {where} take the score estimator"
