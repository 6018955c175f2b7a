"""Carried state that branches decide and that takes few values: then all jumps follow from one backward pass.

Where a guard's outcome goes on to later iterations only in such state, its jump is that of its own iteration plus
``rest[mode]``, what the program adds after that iteration when it hands on `mode`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.record import record
from ppl.regions.model import NOWHERE, Latent
from ppl.regions.scope import Scope
from ppl.regions.state import guard_name, names_in, reached, split
from ppl.regions.values import Constant, Values, values_of

MAX_MODES = 64


@record
class Modes:
    """The state of a loop that takes few values. `forgets`: whether the next state does not depend on the state.
    `terms`: those of an iteration that depend on the state."""

    loop: int
    carries: tuple[ir.Carry, ...]
    values: tuple[tuple[Constant, ...], ...]  # of each carry
    forgets: bool
    terms: tuple[int, ...]


def modes_of(scope: Scope, loop: ir.Loop) -> Modes | None:
    """The finite state of a loop; None if there is none, or if the loop has loops or arrays in it that matter."""
    live = live_carries(scope, loop)
    if any(isinstance(s, ir.Loop) or (isinstance(s, ir.Fill) and s.array in scope.live) for s in loop.body):
        return None
    found = _values(scope, [c for c in live if scope.flow.of(c.out).guards])  # what no branch decides is no mode
    carries = tuple(c for c in live if c.entry.name in found)
    if not carries or math.prod(len(found[c.entry.name]) for c in carries) > MAX_MODES:
        return None
    values = tuple(tuple(sorted(found[c.entry.name])) for c in carries)
    entries = {c.entry.name for c in carries}
    tainted = set(entries)
    reading = reached(loop.body, tainted, scope.program.guards)
    if any(isinstance(s, ir.Sample) and s.mask is not None and names_in((s.mask,)) & tainted for s in loop.body):
        return None  # log q of a latent that comes and goes may move with the latents that it depends on in the guide
    terms = _terms(loop, reading)
    forgets = not names_in(c.out for c in carries) & tainted
    return Modes(loop.id, carries, values, forgets, terms)


def _terms(loop: ir.Loop, reading: set[int]) -> tuple[int, ...]:
    """The terms among statements; draws of noise are none."""
    return tuple(
        s.id for s in loop.body
        if id(s) in reading and (isinstance(s, ir.Term) or (isinstance(s, ir.Sample) and not s.noise))
    )  # fmt: skip


def live_carries(scope: Scope, loop: ir.Loop) -> list[ir.Carry]:
    return [c for c in loop.carries if c.entry.name in scope.live or c.final.name in scope.live]


def _values(scope: Scope, carries: list[ir.Carry]) -> dict[str, Values]:
    """The values of each carry that takes few, by following its assignments until nothing new turns up."""
    left = list(carries)
    while True:
        state: dict[str, Values] = {}
        bad = [c for c in left if (v := values_of(scope, c.init)) is None or not _add(state, c, v)]
        while not bad:
            before = dict(state)
            bad = [c for c in left if (v := values_of(scope, c.out, before)) is None or not _add(state, c, v)]
            if state == before:
                break
        if not bad:
            return state
        left = [c for c in left if c not in bad]


def _add(state: dict[str, Values], c: ir.Carry, values: Values) -> bool:
    state[c.entry.name] = state.get(c.entry.name, frozenset()) | values
    return len(state[c.entry.name]) <= MAX_MODES


# ------------------------------------------------------------------- boundaries


def only_in_modes(
    scope: Scope, loop: ir.Loop, modes: Modes, members: frozenset[int], terms: Iterable[int], latent: Latent
) -> bool:
    """Whether the outcome of guards decided in `loop` goes to later iterations in its modes alone, and the line along
    `latent` changes nothing else that they see."""
    if scope.home[loop.var.name] != (loop.id,) or any(scope.flow.term_loops[t] != (loop.id,) for t in terms):
        return False
    mine = {c.entry.name for c in modes.carries}
    others = [c for c in live_carries(scope, loop) if c.entry.name not in mine]
    outside = [*(c.out for c in others)]
    outside += [r.delta for r in loop.reductions if r.final.name in scope.live]
    outside += [c.element for c in loop.collects if c.final.name in scope.live]
    if any(members & scope.flow.of(e).guards for e in outside):
        return False
    return latent == NOWHERE or _moves_one_iteration(scope, loop, latent, others)


def _moves_one_iteration(scope: Scope, loop: ir.Loop, latent: Latent, others: list[ir.Carry]) -> bool:
    """Whether no later iteration reads `latent`, and nothing that the state comes from reads it in an earlier one."""
    c = scope.offset(latent.indices[0], loop) if len(latent.indices) == 1 else None
    if c is None or any(latent.site in scope.flow.of(x.out).sites for x in others):
        return False
    if scope.is_stored(loop, latent.site):
        return False
    guards = scope.program.guards
    state = split(loop, guards)
    for part, earlier in ((loop.body, True), ((*state.before, *state.state), False)):
        offsets = _offsets(scope, loop, part, latent.site)
        if offsets is None or not all(c <= r if earlier else r <= c for r in offsets):
            return False
    if not scope.enters_unmoved(latent, loop):
        return False
    own = {x.name for e in (r.delta for r in loop.reductions) for x in ir.walk(e) if isinstance(x, ir.Var)}
    return latent.site not in own


def _offsets(scope: Scope, loop: ir.Loop, body: Iterable[ir.Statement], site: str) -> list[float] | None:
    """The places, relative to the loop variable, at which statements read a vector site; None if some are not known."""
    out: list[float] = []
    for s in body:
        for e in expressions_of(s, scope.program.guards):
            for x in ir.walk(e):
                if isinstance(x, ir.Var) and x.name == site:
                    return None
                if isinstance(x, ir.Cell) and x.array == site:
                    r = scope.offset(x.indices[0], loop) if len(x.indices) == 1 else None
                    if r is None:
                        return None
                    out.append(r)
        if isinstance(s, ir.Sample) and s.site == site:
            r = scope.offset(s.indices[0], loop) if len(s.indices) == 1 else None
            if r is None:
                return None
            out.append(r)
    return out


@record
class Reach:
    """What guards reach in their own iteration: terms, and whether the next state."""

    terms: tuple[int, ...]
    state: bool


def reach(scope: Scope, loop: ir.Loop, modes: Modes, members: Iterable[int]) -> Reach:
    tainted = {guard_name(k) for k in members}
    reading = reached(loop.body, tainted, scope.program.guards)
    terms = _terms(loop, reading)
    return Reach(terms, bool(names_in(c.out for c in modes.carries) & tainted))
