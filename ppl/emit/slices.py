"""The forward slice of a guard inside one iteration: the statements its jump re-evaluates, and what they import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.regions.model import Boundary, GuardInfo, Iteration, Latent, Marginal, Regions
from ppl.regions.scope import Scope
from ppl.regions.state import split


@dataclass
class Slice:
    """`body`: statements re-evaluated, in order. `recomputed`: variables and guards outside that move with the line.
    `variables`, `guards`: what is read from the main evaluation."""

    body: tuple[ir.Statement, ...] = ()
    recomputed: list[ir.Let | ir.Decide] = field(default_factory=list["ir.Let | ir.Decide"])
    variables: list[ir.Var] = field(default_factory=list[ir.Var])
    arrays: list[str] = field(default_factory=list[str])
    guards: list[int] = field(default_factory=list[int])


def slice_of(regions: Regions, scope: Scope, loop: ir.Loop, b: Boundary, extra: Iterable[ir.Expr]) -> Slice:
    """The slice of boundary `b` in an iteration of `loop`; `extra` are further expressions it must evaluate."""
    collector = _Collector(regions, scope, (b.line,), frozenset({b.guard}), b.terms)
    collector.need(*extra)
    body = collector.select(loop.body)
    out = Slice(body)
    collector.imports(out)
    return out


def iteration_slice(
    regions: Regions, scope: Scope, x: Iteration, b: Boundary, extra: Iterable[ir.Expr], loops: tuple[int, ...],
    own: bool,
) -> Slice:  # fmt: skip
    """The slice of an iteration that the outcome of boundary `b`, decided in `loops`, reaches; with `own`, of that
    which decides it. Of another loop nothing is imported that it decides: a subset of its iterations may run."""
    terms = tuple(t for t in x.terms if t in b.terms)
    guard = frozenset({b.guard})
    crossed = guard if own else frozenset[int]()
    collector = _Collector(regions, scope, (b.line,), crossed, terms, reached=guard, anew=x.nest != loops)
    collector.need(*extra)
    out = Slice(collector.select(regions.loops[x.nest[-1]].body))
    collector.imports(out)
    return out


def term_slice(regions: Regions, scope: Scope, m: Marginal) -> Slice:
    """What has to be evaluated to have a term for given outcomes of the guards of the latents integrated out of it."""
    given = m.guards()
    collector = _Collector(regions, scope, tuple(v.latent for v in m.variables), given, (m.term,), given=given)
    body = collector.select(scope.loops[m.loops[-1]].body if m.loops else regions.body)
    out = Slice(body)
    collector.imports(out)
    return out


def value_slice(
    regions: Regions, scope: Scope, info: GuardInfo, lines: tuple[Latent, ...], given: frozenset[str]
) -> Slice:
    """What has to be evaluated again to have a guard's value while all of `lines` move; the sites `given` are given as
    a whole. It has no body."""
    collector = _Collector(regions, scope, lines, masked=True)
    collector.done |= given
    collector.need(info.value, *(() if info.guard.mask is None else (info.guard.mask,)))
    out = Slice()
    collector.imports(out)
    return out


class _Collector:
    """`crossed`: the guards whose outcomes the caller decides, by a path, or, of those in `given`, as variables.
    `masked`: what is recomputed keeps its mask, because it will be evaluated, and differentiated, away from the root
    too. `reached`: the guards, if not those crossed, whose outcomes change others. `anew`: all guards are decided."""

    def __init__(
        self, regions: Regions, scope: Scope, lines: tuple[Latent, ...], crossed: frozenset[int] = frozenset(),
        terms: tuple[int, ...] = (), masked: bool = False, given: frozenset[int] = frozenset(),
        reached: frozenset[int] = frozenset(), anew: bool = False,
    ) -> None:  # fmt: skip
        self.regions, self.scope, self.lines, self.terms = regions, scope, lines, frozenset(terms)
        self.crossed, self.masked, self.given, self.anew = crossed, masked, given, anew
        self.flipped = crossed | reached
        self.members = frozenset(i.guard.index for i in regions.guards if i.representative in self.flipped)
        self.lets = {s.var.name: s for _, s in ir.blocks(regions.program.body) if isinstance(s, ir.Let)}
        self.variables: dict[str, ir.Var] = {}
        self.arrays: dict[str, None] = {}
        self.guards: dict[int, None] = dict.fromkeys(sorted(crossed))
        self.defined: set[str] = set()
        self.out = Slice()
        self.done: set[str] = set()
        self.decided: set[int] = set()
        self.inner = False  # inside a loop of the slice: what lives there has no one value to import

    def need(self, *expressions: ir.Expr) -> None:
        for e in expressions:
            for x in ir.walk(e):
                if isinstance(x, ir.Var):
                    self.variables.setdefault(x.name, x)
                elif isinstance(x, ir.Cell):
                    self.arrays.setdefault(x.array)
                elif isinstance(x, ir.GuardRef):
                    self.guards.setdefault(self.regions.resolve(x.index)[0])

    def select(self, body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
        """The statements of a block that are needed, found from the last to the first."""
        out: list[ir.Statement] = []
        for s in reversed(body):
            kept = self.keep(s)
            if kept is not None:
                out.append(kept)
        return tuple(reversed(out))

    def keep(self, s: ir.Statement) -> ir.Statement | None:
        match s:
            case ir.Term() | ir.Sample():
                if s.id not in self.terms:
                    return None
                if isinstance(s, ir.Sample) and s.indices:
                    self.arrays.setdefault(s.site)
            case ir.Let():
                if s.var.name not in self.variables or self.held(s):
                    return None
                self.defined.add(s.var.name)
            case ir.Decide():
                if s.index not in self.guards or s.index in self.given:
                    return None
                if not self.inner and not self.anew and not self.moves(s.index):
                    return None
                self.decided.add(s.index)
                self.need(self.regions.guards[s.index].value, *self.where(s.index))
                if s.mask is not None and self.stands_in(ir.GuardRef(s.index)):
                    self.need(s.mask)
                return s
            case ir.Loop():
                return self.keep_loop(s)
            case _:
                return None
        for e in expressions_of(s, self.scope.program.guards):
            self.need(e)
        return s

    def keep_loop(self, s: ir.Loop) -> ir.Loop | None:
        if self.given:  # no loop that a term with integrated latents reads depends on them
            return None
        inside = {x.id for _, x in ir.blocks(s.body) if isinstance(x, ir.Term | ir.Sample)}
        reductions = tuple(r for r in s.reductions if r.final.name in self.variables)
        collects = tuple(c for c in s.collects if c.final.name in self.variables or c.final.name in self.arrays)
        state = any(c.final.name in self.variables for c in s.carries)
        if not (reductions or collects or state or inside & self.terms):
            return None
        made = (*(r.final for r in reductions), *(c.final for c in (*collects, *s.carries)))
        if not self.inner and not inside & self.terms and not any(self.changes(v) for v in made):
            return None
        self.defined.update(r.final.name for r in reductions)
        self.defined.update(c.final.name for c in collects)
        for c in s.carries:
            self.defined.update((c.final.name, c.entry.name))
            self.need(c.out, c.init)
        self.need(s.lo, s.hi, *(r.delta for r in reductions), *(r.init for r in reductions))
        self.need(*(c.element for c in collects))
        outer, self.inner = self.inner, True
        body = self.select(s.body)
        self.inner = outer
        return replace(s, body=body, reductions=reductions, collects=collects)

    def where(self, guard: int) -> tuple[ir.Expr, ...]:
        """What data say of whether a guard is reached."""
        where = self.regions.guards[guard].guard.where
        return () if where is None else (where,)

    def held(self, s: ir.Let) -> bool:
        """Whether the main evaluation holds a variable already, for the state of its loop, and it stays as it is."""
        if self.inner or s.var.name not in self.states:
            return False
        return not self.changes(s.var) and not self.stands_in(s.var)

    @cached_property
    def states(self) -> frozenset[str]:
        """The variables that the state of some loop is computed from, state by state."""
        guards = [replace(i.guard, value=i.value) for i in self.regions.guards]
        parts = [split(x, guards, lambda k: self.regions.resolve(k)[0]) for x in self.scope.loops.values() if x.carries]
        lets = (s for p in parts if p.recursive for s in p.state if isinstance(s, ir.Let))
        return frozenset(s.var.name for s in lets)

    def moves(self, guard: int) -> bool:
        """Whether a guard may take another outcome beside the root than in the main evaluation."""
        e = ir.GuardRef(guard)
        if guard in self.crossed or self.members & self.scope.flow.of(e).guards:
            return True
        return self.stands_in(e) or not self.stays(e)

    def stands_in(self, e: ir.Expr) -> bool:
        """Whether the main evaluation may hold no value of it, because it did not take the branch that computes it."""
        return bool(self.members & self.scope.flow.of(e).masks)

    def changes(self, v: ir.Var) -> bool:
        """Whether a variable may have another value on the boundary than in the main evaluation."""
        return bool(self.flipped & self.scope.flow.of(v).guards) or not self.stays(v)

    def stays(self, e: ir.Expr) -> bool:
        return all(self.scope.independent(e, line) for line in self.lines)

    # ----------------------------------------------------------------- imports

    def imports(self, out: Slice) -> None:
        """What the body reads from outside: recomputed, in an order in which it can be, if it moves, else imported."""
        self.out = out
        for v in list(self.variables.values()):
            self.variable(v)
        for g in list(self.guards):
            self.guard(g)
        out.arrays = [a for a in self.arrays if a not in self.defined]

    def variable(self, v: ir.Var) -> None:
        own = any(v.name == line.site and not line.indices for line in self.lines)
        if own or v.name in self.done or v.name in self.defined:
            return
        self.done.add(v.name)
        definition = self.scope.definitions.get(v.name)
        if definition is None or (self.stays(v) and not self.stands_in(v)):
            self.out.variables.append(v)
            return
        let = self.lets[v.name]
        mask = let.mask if self.masked or self.stands_in(v) else self.scope.masks.get(v.name)
        self.outside(definition)
        if mask is not None:
            self.outside(mask)
        self.out.recomputed.append(ir.Let(v, definition, mask, let.span))

    def guard(self, g: int) -> None:
        name = f"guard {g}"
        if g in self.decided or g in self.given or name in self.done:
            return
        self.done.add(name)
        if not self.moves(g):
            self.out.guards.append(g)
            return
        info = self.regions.guards[g]
        computed = not self.stands_in(ir.GuardRef(g)) and f"guard {g}" not in self.scope.masks
        mask = info.guard.mask if self.masked or not computed else None
        for e in (info.value, *self.where(g), *(() if mask is None else (mask,))):
            self.outside(e)
        self.out.recomputed.append(ir.Decide(g, mask, info.guard.span))

    def outside(self, e: ir.Expr) -> None:
        """Whatever an expression outside the iteration reads."""
        for x in ir.walk(e):
            if isinstance(x, ir.Var):
                self.variable(x)
            elif isinstance(x, ir.GuardRef):
                self.guard(self.regions.resolve(x.index)[0])
            elif isinstance(x, ir.Cell):
                self.arrays.setdefault(x.array)
