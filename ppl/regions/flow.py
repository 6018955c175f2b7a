"""Dataflow over the core program: what each variable, guard and term depends on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ppl.core import ir
from ppl.language.distributions import DENSITY_FUNCTIONS
from ppl.language.functions import FUNCTIONS, GUARDED, PARTIAL
from ppl.record import record


@record
class Depends:
    """`smooth`: sites whose value moves it; `sites`: those and the sites that decide it through guards; `guards`: the
    guards whose outcome decides it, those behind other guards included. `masks`: the guards that decide whether it is
    computed at all: on a branch not taken, `log(w)` is evaluated at a stand-in for `w`, and what it makes is no value
    of the other path. `kinks`: whether a function like `max` is in it, which chooses without a guard. `partial`:
    whether it may be undefined, as a logarithm is."""

    smooth: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    guards: frozenset[int] = frozenset()
    masks: frozenset[int] = frozenset()
    kinks: bool = False
    partial: bool = False

    def __or__(self, other: Depends) -> Depends:
        if other is NOTHING or other == self:
            return self
        return Depends(
            self.smooth | other.smooth, self.sites | other.sites, self.guards | other.guards, self.masks | other.masks,
            self.kinks or other.kinks, self.partial or other.partial,
        )  # fmt: skip

    def decided(self) -> Depends:
        """The dependence of something that this decides: nothing of it is smooth."""
        return Depends(frozenset(), self.sites, self.guards, self.masks)


NOTHING = Depends()


@dataclass
class Flow:
    """Dependences of all variables of a program, by name, found by iterating to a fixed point."""

    guards: tuple[ir.Guard, ...]
    variables: dict[str, Depends] = field(default_factory=dict[str, Depends])
    guard_values: dict[int, Depends] = field(default_factory=dict[int, Depends])
    terms: dict[int, Depends] = field(default_factory=dict[int, Depends])
    term_loops: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    changed: bool = False
    known: dict[ir.Expr, Depends] | None = None  # answers about expressions, once those about variables are final

    @property
    def partial(self) -> frozenset[str]:
        """The variables and arrays that may be undefined."""
        return frozenset(name for name, d in self.variables.items() if d.partial)

    def of(self, e: ir.Expr | None) -> Depends:
        """What an expression depends on."""
        if e is None:
            return NOTHING
        if self.known is None:
            return self._of(e)
        found = self.known.get(e)
        if found is None:
            found = self.known[e] = self._of(e)
        return found

    def _of(self, e: ir.Expr) -> Depends:
        match e:
            case ir.Var():
                return self.variables.get(e.name, NOTHING)
            case ir.Cell():
                return self.variables.get(e.array, NOTHING) | self.many(e.indices)
            case ir.GuardRef():
                value = self.guard_values.get(e.index, NOTHING)
                return Depends(frozenset(), value.sites, value.guards | {e.index}, value.masks)
            case ir.Outcome():
                return Depends(frozenset(), frozenset({e.site}), frozenset())
            case ir.Select():
                return self.of(e.condition).decided() | self.of(e.then) | self.of(e.orelse)
            case ir.Op(op="lt" | "le" | "gt" | "ge" | "eq" | "ne"):
                return self.many(e.args).decided()
            case ir.Op() if e.op in FUNCTIONS and FUNCTIONS[e.op].kind == "kink":
                return replace(self.many(e.args), kinks=True)
            case ir.Op() if is_partial(e):
                return replace(self.many(e.args), partial=True)
            case _:
                return self.many(ir.children(e))

    def many(self, items: Iterable[ir.Expr]) -> Depends:
        out = NOTHING
        for x in items:
            out = out | self.of(x)
        return out

    def under(self, mask: ir.Expr | None, *expressions: ir.Expr) -> Depends:
        """What a value depends on that is computed under a mask."""
        d = self.many(expressions)
        if mask is None or not any(guarded(x) for e in expressions for x in ir.walk(e)):
            return d
        m = self.of(mask)
        return replace(d, sites=d.sites | m.sites, guards=d.guards | m.guards, masks=d.masks | m.guards | m.masks)

    def join(self, name: str, d: Depends) -> None:
        old = self.variables.get(name)
        new = d if old is None else old | d
        if new != old:
            self.variables[name] = new
            self.changed = True


def analyse(body: tuple[ir.Statement, ...], guards: tuple[ir.Guard, ...]) -> Flow:
    """The dependences of a program."""
    flow = Flow(guards)
    while True:
        flow.changed = False
        _block(flow, body, ())
        if not flow.changed:
            flow.known = {}
            return flow


def _block(flow: Flow, body: tuple[ir.Statement, ...], loops: tuple[int, ...]) -> None:
    for s in body:
        _statement(flow, s, loops)


def _statement(flow: Flow, s: ir.Statement, loops: tuple[int, ...]) -> None:
    match s:
        case ir.Let():
            flow.join(s.var.name, flow.under(s.mask, s.value))
        case ir.Decide():
            value = flow.under(s.mask, flow.guards[s.index].value)
            if flow.guard_values.get(s.index) != value:
                flow.guard_values[s.index] = value
                flow.changed = True
        case ir.Sample():
            arguments = flow.many(s.args) | flow.many(s.indices)
            own = Depends(frozenset({s.site}), frozenset({s.site}))
            if s.outcome is not None:  # its value is an assignment of its own
                _term(flow, s.id, flow.of(s.outcome) | arguments | flow.of(s.mask).decided(), loops)
                return
            flow.join(s.site, own | flow.under(s.mask, *s.args) if moves_with_arguments(s) else own)
            if not s.noise:  # noise adds no term; what it decides does, through its variable
                _term(flow, s.id, own | arguments | flow.of(s.mask).decided(), loops)
        case ir.Fill():
            flow.join(s.array, flow.under(s.mask, s.value) | flow.of(s.mask).decided() | flow.many(s.indices))
        case ir.Term():
            _term(flow, s.id, flow.of(s.value) | flow.many(s.args) | flow.of(s.mask).decided(), loops)
        case ir.Loop():
            for c in s.carries:
                flow.join(c.entry.name, flow.of(c.init))
            _block(flow, s.body, (*loops, s.id))
            for c in s.carries:
                flow.join(c.entry.name, flow.under(s.mask, c.out))
                flow.join(c.final.name, flow.of(c.entry) | flow.of(c.out))
            for r in s.reductions:
                flow.join(r.final.name, flow.of(r.init) | flow.under(s.mask, r.delta))
            for c in s.collects:
                flow.join(c.final.name, flow.under(s.mask, c.element))
        case ir.Report():
            pass


def guarded(e: ir.Expr) -> bool:
    """Whether a mask changes how an operation is evaluated where it does not hold, see ppl/emit/printer.py."""
    if not isinstance(e, ir.Op):
        return False
    divides = e.op == "div" and not isinstance(e.args[1], ir.Lit)
    return divides or e.op in GUARDED or e.op in DENSITY_FUNCTIONS


def is_partial(e: ir.Op) -> bool:
    """Whether an operation may be undefined where its operands are finite."""
    match e:
        case ir.Op(op="div", args=(_, ir.Lit())):
            return False
        case ir.Op(op="pow", args=(_, ir.Lit(value=int() as n))) if n >= 0:
            return False
        case _:
            return e.op == "div" or e.op in PARTIAL or e.op in DENSITY_FUNCTIONS


def _term(flow: Flow, id: int, d: Depends, loops: tuple[int, ...]) -> None:
    if flow.terms.get(id) != d:
        flow.terms[id] = d
        flow.changed = True
    flow.term_loops[id] = loops


def moves_with_arguments(s: ir.Sample) -> bool:
    """Whether the value of a site depends on its distribution's arguments: bounds of a support, or noise."""
    from ppl.language.distributions import named

    d = named(s.distribution)
    return s.noise or any(isinstance(b, str) for b in d.support.bounds)


def influenced(flow: Flow, guard: int) -> tuple[int, ...]:
    """The terms that a guard's outcome reaches, in program order."""
    return tuple(t for t, d in sorted(flow.terms.items()) if guard in d.guards)
