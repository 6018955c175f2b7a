"""How far a guard's outcome reaches, and so what its jump costs."""

from __future__ import annotations

from collections.abc import Iterator

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.diagnostics import counted
from ppl.regions.flow import NOTHING, Depends
from ppl.regions.model import NOWHERE, Boundary, Latent
from ppl.regions.modes import live_carries, modes_of, only_in_modes
from ppl.regions.scope import Scope


def effect_of(
    scope: Scope, members: frozenset[int], loops: tuple[int, ...], terms: tuple[int, ...], latent: Latent
) -> str:
    """local, modes, incremental or global (see `Boundary.effect`) for guards decided in `loops` that reach `terms`."""
    if latent.site in scope.chained:
        return "global"  # other elements move with the one on the line
    if not loops:
        return "local" if len(terms) < len(scope.flow.terms) else "global"
    loop = scope.loops[loops[-1]]
    if "modes" in scope.optimize and len(loops) == 1 and _escapes(scope, loop, members):
        modes = modes_of(scope, loop)
        if modes is not None and only_in_modes(scope, loop, modes, members, terms, latent):
            return "modes"
    if _escapes(scope, loop, members) or any(_escapes(scope, scope.loops[x], members) for x in loops[:-1]):
        return "global"
    summed = [r for x in loops for r in scope.loops[x].reductions
              if r.final.name in scope.live and tainted(scope.flow.of(r.delta), members)]  # fmt: skip
    if summed:
        alone = len(loops) == 1 and private(scope, loop, latent)
        return "incremental" if alone else "global"
    if any(scope.flow.term_loops[t][: len(loops)] != loops for t in terms):
        return "global"
    return "local" if imports_stay(scope, loop, loops, terms, latent) else "global"


def tainted(d: Depends, members: frozenset[int]) -> bool:
    return bool(d.guards & members)


def _escapes(scope: Scope, loop: ir.Loop, members: frozenset[int]) -> bool:
    """Whether the outcome leaves its iteration other than by a sum: as carried state or in an array."""
    if any(c.entry.name in scope.live and tainted(scope.flow.of(c.out), members) for c in loop.carries):
        return True
    if any(c.final.name in scope.live and tainted(scope.flow.of(c.out), members) for c in loop.carries):
        return True
    if any(c.final.name in scope.live and tainted(scope.flow.of(c.element), members) for c in loop.collects):
        return True
    return any(
        isinstance(s, ir.Fill)
        and s.array in scope.live
        and tainted(scope.flow.many((s.value, *(() if s.mask is None else (s.mask,)))), members)
        for _, s in ir.blocks(loop.body)
    )


def private(scope: Scope, loop: ir.Loop, latent: Latent) -> bool:
    """Whether only the iteration that moves `latent`, and sums over iterations, see it: every access is ``site[i]``
    with the same index, and nothing else that the loop hands on moves with it."""
    if latent == NOWHERE:
        return True
    if len(latent.indices) != 1 or scope.offset(latent.indices[0], loop) is None:
        return False
    inside = {id(loop), *(id(s) for _, s in ir.blocks(loop.body))}
    for _, s in ir.blocks(scope.program.body):
        if isinstance(s, ir.Report):
            continue
        for e in expressions_of(s, scope.program.guards):
            for x in ir.walk(e):
                if isinstance(x, ir.Var) and x.name == latent.site:
                    return False
                if (
                    isinstance(x, ir.Cell)
                    and x.array == latent.site
                    and (id(s) not in inside or not scope.same_element(x.indices, latent.indices))
                ):
                    return False
    handed_on = [c.out for c in live_carries(scope, loop)]
    handed_on += [c.element for c in loop.collects if c.final.name in scope.live]
    moved = any(latent.site in scope.flow.of(e).sites for e in handed_on)
    return not moved and not scope.is_stored(loop, latent.site)


def imports_stay(scope: Scope, loop: ir.Loop, loops: tuple[int, ...], terms: tuple[int, ...], latent: Latent) -> bool:
    """Whether what the slice reads from outside the iteration can be had at the root without running a loop."""
    seen: set[str] = set()

    def variable_stays(v: ir.Var) -> bool:
        if v.name in seen:
            return True
        seen.add(v.name)
        if latent.site not in scope.flow.of(v).sites or v.name == latent.site:
            return True
        if v.name in scope.definitions:
            return stays(scope.definitions[v.name]) and (v.name not in scope.masks or stays(scope.masks[v.name]))
        if v.name in scope.entries:
            owner = scope.entries[v.name]
            return scope.untouched_before(latent, owner) if owner.id in loops else True
        # The result of a loop inside the slice is recomputed with it; of one outside, not.
        return scope.home.get(v.name, ())[: len(loops)] == loops

    def stays(e: ir.Expr) -> bool:
        for x in ir.walk(e):
            if isinstance(x, ir.Var) and not variable_stays(x):
                return False
            if isinstance(x, ir.GuardRef) and not stays(scope.program.guards[x.index].value):
                return False
            moved = scope.flow.variables.get(x.array, NOTHING).sites if isinstance(x, ir.Cell) else ()
            if isinstance(x, ir.Cell) and x.array != latent.site and latent.site in moved:
                return False
        return True

    return all(stays(e) for s in slice_statements(loop, terms) for e in expressions_of(s, scope.program.guards))


def slice_statements(loop: ir.Loop, terms: tuple[int, ...]) -> Iterator[ir.Statement]:
    """The statements of an iteration that are terms of the slice."""
    wanted = frozenset(terms)
    for _, s in ir.blocks(loop.body):
        if isinstance(s, ir.Term | ir.Sample) and s.id in wanted:
            yield s


def reason_of(scope: Scope, b: Boundary, reached: int) -> str:
    """In words, what the jump of a boundary evaluates; `reached`: the number of terms that its guard reaches."""
    lines_reached = sorted({s.span.line for _, s in ir.blocks(scope.program.body)
                            if isinstance(s, ir.Term | ir.Sample) and s.id in b.terms})  # fmt: skip
    where = f"line{'' if len(lines_reached) == 1 else 's'} {', '.join(str(x) for x in lines_reached)}"
    terms = counted(reached, "term")
    match b.effect:
        case "local":
            return f"its jump re-evaluates {terms}, of {where}"
        case "incremental":
            return f"its jump updates a sum, then re-evaluates {terms}, of {where}"
        case "nearby":
            count = counted(len(b.nearby), "iteration")
            return f"it reaches {count}, so its jump re-evaluates these: the terms of {where}"
        case "modes":
            return f"it is carried on in few values, so one backward pass gives every jump: the terms of {where}"
        case _:
            return f"its outcome is carried on, so its jump re-evaluates the program: the terms of {where}"
