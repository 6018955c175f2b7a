"""How often every loop runs: in total, and at most at a time."""

from __future__ import annotations

from ppl.bind.evaluate import Evaluator, Space
from ppl.bind.iterate import pieces, ragged, range_of
from ppl.bind.model import MAX_ITERATIONS, Extent, TooLong
from ppl.core import ir


def varying_extents(body: tuple[ir.Statement, ...], ev: Evaluator) -> dict[int, Extent]:
    """The extent of every loop by its id. Raises TooLong."""
    out: dict[int, Extent] = {s.id: Extent(0, 0, 0) for _, s in ir.blocks(body) if isinstance(s, ir.Loop)}
    _visit(body, ev, 1, out)
    return out


def _visit(body: tuple[ir.Statement, ...], ev: Evaluator, weight: int, out: dict[int, Extent]) -> None:
    """`weight` is the number of iterations that each of the space at hand stands for."""
    for s in body:
        if not isinstance(s, ir.Loop):
            continue
        r = range_of(s, ev)
        if r is None:
            continue
        old, runs = out[s.id], int((r.extent > 0).sum())
        new = Extent(max(old.longest, r.longest), old.total + weight * r.total, old.runs + weight * runs)
        out[s.id] = new
        if new.total > MAX_ITERATIONS:
            raise TooLong(s, new.total)
        inner = [x for _, x in ir.blocks(s.body) if isinstance(x, ir.Loop)]
        if not inner or r.total == 0:
            continue
        if any(ragged(e, ev.definitions) for x in inner for e in (x.lo, x.hi, *(() if x.mask is None else (x.mask,)))):
            for space in pieces(s, r, ev.space, 1, 0, 0):
                _visit(s.body, ev.at(space), weight, out)
        else:  # every iteration is like the first
            first = next(pieces(s, r, ev.space, 1, 0, 0))
            one = Space(first.loops, 1, {k: v[:1] for k, v in first.variables.items()}, first.time[:1])
            _visit(s.body, ev.at(one), weight * r.total, out)
