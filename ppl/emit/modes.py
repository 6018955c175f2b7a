"""What the rest of a loop adds for each value of its finite state: one function, which all its boundaries read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.emit.printer import Printer
from ppl.emit.slices import Slice
from ppl.emit.statements import Emitter, support_of
from ppl.emit.writer import tuple_text
from ppl.language.distributions import named
from ppl.regions.model import NOWHERE, Regions
from ppl.regions.modes import Modes, modes_of
from ppl.regions.scope import Scope
from ppl.regions.state import defined, feeding, names_in, reached

if TYPE_CHECKING:
    from ppl.emit.boundaries import BoundaryEmitter


def loops_with_modes(regions: Regions, scope: Scope) -> dict[int, Modes]:
    """The loops whose state some boundary reads in modes."""
    out: dict[int, Modes] = {}
    for i in regions.guards:
        if i.loops and any(b.effect == "modes" for b in i.boundaries) and i.loops[-1] not in out:
            modes = modes_of(scope, scope.loops[i.loops[-1]])
            assert modes is not None
            out[i.loops[-1]] = modes
    return out


def values_of_state(modes: Modes) -> str:
    """The values of the state, as a constant of the module."""
    values = tuple_text([tuple_text([repr(v) for v in vs]) for vs in modes.values])
    return f"MODES_{modes.loop} = {values}  # every value of {', '.join(c.name for c in modes.carries)}"


def terms_of(regions: Regions, modes: Modes) -> tuple[int, ...]:
    return tuple(t for t in modes.terms if t not in regions.scored)


def step_of(regions: Regions, scope: Scope, modes: Modes) -> Slice:
    """The statements of an iteration that depend on its state and lead to its terms or the next state; the rest is
    imported."""
    loop = scope.loops[modes.loop]
    guards = [replace(i.guard, value=i.value) for i in regions.guards]

    def resolve(k: int) -> int:
        return regions.resolve(k)[0]

    entries = {c.entry.name for c in modes.carries}
    reading = reached(loop.body, set(entries), guards, resolve)
    wanted = names_in((c.out for c in modes.carries), resolve)
    terms = {s.id: s for s in loop.body if isinstance(s, ir.Term | ir.Sample) and s.id in terms_of(regions, modes)}
    for s in terms.values():
        wanted |= names_in(expressions_of(s, guards), resolve)
        if isinstance(s, ir.Sample):
            wanted.add(s.site)
    moving = [s for s in loop.body if id(s) in reading]
    chosen = {id(s) for s in feeding(moving, wanted, guards, resolve)} | {id(s) for s in terms.values()}
    body = tuple(s for s in loop.body if id(s) in chosen)
    known = entries | {name for s in body for name in defined(s, resolve)}
    out = Slice(body)
    for name in sorted(wanted - known):
        if name.startswith("guard "):
            out.guards.append(int(name.removeprefix("guard ")))
        elif name in {a.name for a in scope.program.arrays} or name in {s.name for s in scope.program.sites}:
            out.arrays.append(name)
        else:
            out.variables.append(ir.Var(name, ir.REAL, True))
    return out


def write_rest(e: BoundaryEmitter, modes: Modes) -> None:
    """The function ``rest_of_loop_K``."""
    loop, regions = e.scope.loops[modes.loop], e.facts.regions
    names = tuple_text([e.names[c.entry.name] for c in modes.carries])
    var = e.names[loop.var.name]
    emitter = Emitter(e.facts, e.printer(), e.w, point="at.still()", bare=_prior_alone(e, modes, loop))
    lo, extent = emitter.range(loop)
    part = step_of(regions, e.scope, modes)
    with e.w.block(f"def rest_of_loop_{modes.loop}(at, data, size, main):"):
        e.w.line(f'"""What follows each iteration of the loop at :{loop.span.line}, for every state it may hand on."""')
        for line in e.unpack:
            e.w.line(line)
        e.w.line("still = surface.still(main)")
        with e.w.block(f"def step(state, {var}):"):
            e.w.line(f"{names} = state")
            e.imports(part, NOWHERE, e.position([loop]))
            e.w.line("out, path = {}, None")
            emitter.w_loops = (loop.id,)
            emitter.block(part.body)
            terms = tuple_text([f'"t{t}"' for t in terms_of(regions, modes)])
            state = tuple_text([e.printer().expr(c.out) for c in modes.carries])
            e.w.line(f"return {state}, surface.log_density(out, {terms})")
        forgets = ", forgets=True" if modes.forgets else ""
        e.w.line(f"return modes.rest(step, MODES_{modes.loop}, {lo}, {extent}{forgets})")
    e.w.line()
    e.w.line()


def _prior_alone(e: BoundaryEmitter, modes: Modes, loop: ir.Loop):
    """Whether a draw exists in every mode or in none, so that modes differ in its prior alone."""
    guards = [replace(i.guard, value=i.value) for i in e.facts.regions.guards]
    tainted = {c.entry.name for c in modes.carries}
    reached(loop.body, tainted, guards, lambda k: e.facts.regions.resolve(k)[0])

    def alone(s: ir.Sample) -> bool:
        _, bounds = support_of(s, named(s.distribution))
        read = names_in((*bounds, *(() if s.mask is None else (s.mask,))), lambda k: e.facts.regions.resolve(k)[0])
        return s.outcome is None and not read & tainted

    return alone


def rest_after(printer: Printer, modes: Modes, position: dict[int, str]) -> str:
    """What follows an iteration, in the state that its slice hands on."""
    state = tuple_text([printer.expr(c.out) for c in modes.carries])
    return f"modes.rest_after(rest_{modes.loop}, {position[modes.loop]}, {state}, MODES_{modes.loop})"
