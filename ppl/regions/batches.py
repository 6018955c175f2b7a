"""Loops of which a random subset of the iterations can stand for all.

Such a loop adds terms to the log density and does nothing else: the sum over all iterations is then estimated without
bias by a weighted sum over some of them, and so are its gradient and the jumps of guards, inside the loop and outside,
that its terms see. A jump counts once for the iteration of its guard, so it has to stay in it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.core.show import show
from ppl.regions.model import BatchLoop, GuardInfo


def batch_loops(program: ir.Program, guards: Sequence[GuardInfo], live: Container[str]) -> tuple[BatchLoop, ...]:
    """The outermost loops with observations or factors, each with the reason why it has to run whole, if any.

    `live`: the variables that the density depends on. A sum for reports alone is of no concern to it."""
    out: list[BatchLoop] = []
    for s in program.body:
        if isinstance(s, ir.Loop) and any(isinstance(x, ir.Term) for _, x in ir.blocks(s.body)):
            out.append(
                BatchLoop(s.id, f"{show(s.lo)}..{show(s.hi)}", s.span, next(_reasons(program, guards, s, live), ""))
            )
    return tuple(out)


def _reasons(program: ir.Program, guards: Sequence[GuardInfo], loop: ir.Loop, live: Container[str]) -> Iterator[str]:
    for c in loop.carries:
        yield f"`{c.name}` is carried from one iteration to the next"
    for r in (r for r in loop.reductions if r.final.name in live):
        yield f"the sum `{r.name}` leaves it"
    if loop.collects:
        yield "the array that it makes is used behind it"
    for _, s in ir.blocks(loop.body):
        if isinstance(s, ir.Sample):
            yield f"it draws `{s.site}`"
    filled = {s.array: s for _, s in ir.blocks(loop.body) if isinstance(s, ir.Fill)}
    for _, s in ir.blocks(program.body):
        # The statements in a loop come by themselves.
        own = expressions_of(replace(s, body=()) if isinstance(s, ir.Loop) else s, program.guards)
        for x in (x for e in own for x in ir.walk(e)):
            name = x.array if isinstance(x, ir.Cell) else x.name if isinstance(x, ir.Var) else ""
            if name in filled:
                yield f"it fills `{name}`, which is read at line {s.span.line}"
    for info in guards:
        for b in info.boundaries:
            whole = b.effect != "local" or (b.search is not None and b.search.sites and not b.search.arguments)
            if loop.id in info.loops and whole:
                yield f"where `{info.guard.text}` flips, more than one iteration changes"
