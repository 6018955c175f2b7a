"""Between which numbers a value that depends on latents must lie, so that an index cannot leave its array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ppl.bind.evaluate import Evaluator
from ppl.bind.intervals import (
    ANY,
    NONE,
    Interval,
    chosen,
    clipped,
    floor,
    is_empty,
    known,
    monotone,
    overall,
    products,
    union,
)
from ppl.bind.iterate import range_of
from ppl.bind.states import State, states_of
from ppl.bind.sums import Sum, summed, sums_of
from ppl.bind.walk import Walk
from ppl.core import ir, poly
from ppl.core.reads import assigned, reached
from ppl.language.distributions import named
from ppl.language.functions import FUNCTIONS

MOST_ROUNDS = 6  # in which state is looked for an interval that it stays in


@dataclass(frozen=True)
class Ranges:
    """Intervals of the expressions of one program. `draws`: a draw of each site; `assigned`: what other elements of its
    array are assigned, see `with_assigned`."""

    guards: tuple[ir.Guard, ...]
    draws: Mapping[str, ir.Sample]
    sums: Mapping[str, Sum]
    states: Mapping[str, State]
    loops: Mapping[str, ir.Loop]  # by their variables
    assigned: Mapping[str, Interval]
    pending: frozenset[str] = frozenset()  # state whose interval is being found
    supposed: Mapping[str, Interval] = field(default_factory=dict[str, Interval])  # what that may be
    memo: dict[tuple[ir.Expr, int], Interval] | None = None  # of variables and outcomes in spaces, see `once`

    def once(self, e: ir.Expr, ev: Evaluator) -> Interval:
        """The same as `of`, where variables that are read often, directly or through others, are looked at once."""
        return replace(self, memo={}).of(e, ev)

    def of(self, e: ir.Expr, ev: Evaluator) -> Interval:
        """An interval that holds `e`; the whole line where nothing better is known."""
        v = None if e.random else ev.value(e)
        if v is not None:
            return known(v)
        match e:
            case ir.LoopVar() if e.name in self.loops:
                return _iterations(self.loops[e.name], ev)
            case ir.Index() if not e.random:
                return self.of(e.base, ev)
            case ir.Var() if e.name in self.supposed:
                return self.supposed[e.name]
            case ir.Var() if e.name in self.states and e.name not in self.pending:
                return self.state(e.name, ev)
            case ir.Var() if e.name in self.draws:
                return self.site(self.draws[e.name], ev)
            case ir.Var() if e.name in ev.definitions:
                return self.memorised(e, ev.definitions[e.name], ev)
            case _ if summed(e) in self.sums:
                return self.total(self.sums[summed(e)], ev)
            case ir.Cell() if e.array in self.draws:
                drawn = self.site(self.draws[e.array], ev)
                return union(drawn, self.assigned[e.array]) if e.array in self.assigned else drawn
            case ir.Index(base=ir.Var() as v) if v.name in ev.definitions:
                return self.joint(ev.definitions[v.name], ev)
            case ir.Outcome():
                values = self.site(self.draws[e.site], ev)
                first = Interval(np.zeros(1), np.zeros(1)) if e.lowest is None else self.of(e.lowest, ev)
                return Interval(values.lo - first.hi, values.hi - first.lo)
            case ir.GuardRef() if e.type.base == "int":
                return floor(self.memorised(e, self.guards[e.index].value, ev))
            case ir.Select():
                then, orelse = self.arm(e.then, e.condition, True, ev), self.arm(e.orelse, e.condition, False, ev)
                if then is None or orelse is None:
                    return then or orelse or ANY
                return chosen(*ev.truth(e.condition), then, orelse)
            case ir.Op():
                return self.operation(e, ev)
            case _:
                return ANY

    def memorised(self, e: ir.Expr, value: ir.Expr, ev: Evaluator) -> Interval:
        """The interval of the `value` behind `e`."""
        if self.memo is None or self.pending or self.supposed:
            return self.of(value, ev)
        key = e, id(ev.space)
        if key not in self.memo:
            self.memo[key] = self.of(value, ev)
        return self.memo[key]

    def arm(self, e: ir.Expr, condition: ir.Expr, holds: bool, ev: Evaluator) -> Interval | None:
        """Of a value where a condition holds, or where it does not, by the comparisons of whole numbers in it; None if
        these cannot be as they are there."""
        supposed = dict(self.supposed)
        limits: list[tuple[str, Interval]] = []
        for a, op, b in compared(condition, holds, ev.definitions):
            other = self.of(b, ev)
            if isinstance(a, ir.Var) and a.name in supposed:
                supposed[a.name] = clipped(supposed[a.name], op, other)
                if is_empty(supposed[a.name]):
                    return None
            if a == e:
                limits.append((op, other))
        x = replace(self, supposed=supposed).of(e, ev)
        for op, other in limits:
            x = clipped(x, op, other)
        return None if is_empty(x) else x

    def total(self, s: Sum, ev: Evaluator) -> Interval:
        times = range_of(s.loop, ev)
        if times is None:
            return ANY
        x, each = self.of(s.init, ev), self.of(s.delta, ev)
        ends = min(each.lo.min(), 0.0), max(each.hi.max(), 0.0)
        below, above = (np.where(times.extent > 0, times.extent.clip(1) * end, 0.0) for end in ends)
        return Interval(x.lo + below, x.hi + above)

    def state(self, name: str, ev: Evaluator) -> Interval:
        """Of what a loop carries, in any iteration: of its first value and all that it is assigned, which may be other
        state as it is, and of as many steps from these as there are iterations before it."""
        group, values = self.flows(name, ev)
        space = ev.space
        while space.parent is not None and any(s.loop in space.loops for s in group):
            space = space.parent
        outer = ev.at(space)
        inner = replace(self, pending=self.pending.union(*(s.carried for s in group)))
        out, steps = NONE, known(np.zeros(1))
        moving = [(s, e) for s, e in values if _reads(e, inner.pending, ev.definitions)]
        for s, e in values:
            if (s, e) not in moving:
                out = union(out, inner.of(e, outer))
        names = [n for n, s in self.states.items() if s in group]
        held = inner.held([s.out for s in group], overall(out), names, outer)
        if held is not None:
            return held
        for s, e in moving:
            within = inner.of(e, outer)  # whatever the state is, as in `clamp(k + 1, 0, 2)`
            if np.isfinite(within.lo).all() and np.isfinite(within.hi).all():
                out = union(out, within)
                continue
            step = _step(e, s.entry, ev.definitions)
            if step is None or _reads(step, inner.pending, ev.definitions) or self.pending or len(group) > 1:
                return ANY
            steps = union(steps, inner.of(step, outer))
        times = range_of(group[0].loop, outer)
        if times is None or not times.total:
            return ANY
        n = times.longest - (name == group[0].entry)
        below, above = (n * end if n and end else 0.0 for end in (steps.lo.min(), steps.hi.max()))
        return Interval(out.lo.min(keepdims=True) + below, out.hi.max(keepdims=True) + above)

    def held(self, values: list[ir.Expr], x: Interval, names: list[str], ev: Evaluator) -> Interval | None:
        """The interval that state stays in which starts in `x` and is assigned `values`, as in ``k = 1 - k``; None if
        it goes on growing."""
        for _ in range(MOST_ROUNDS):
            inner = replace(self, supposed={**self.supposed, **dict.fromkeys(names, x)})
            wider = x
            for e in values:
                wider = union(wider, overall(inner.of(e, ev)))
            if wider.lo == x.lo and wider.hi == x.hi:
                return x
            x = wider
        return None

    def flows(self, name: str, ev: Evaluator) -> tuple[list[State], list[tuple[State, ir.Expr]]]:
        """The state whose values reach `name` as they are, and what else is assigned to it."""
        group: list[State] = []
        values: list[tuple[State, ir.Expr]] = []
        queue = [name]
        while queue:
            s = self.states[queue.pop()]
            if s in group:
                continue
            group.append(s)
            for e in (s.init, *_new_values(s.out, s.entry, ev.definitions)):
                if isinstance(e, ir.Var) and e.name in self.states:
                    queue.append(e.name)
                else:
                    values.append((s, e))
        return group, values

    def site(self, s: ir.Sample, ev: Evaluator) -> Interval:
        d = named(s.distribution)
        names = [p.name for p in d.params]
        ends = [s.args[names.index(b)] if isinstance(b, str) else ir.literal(b) for b in d.support.bounds]
        match d.support.kind, ends:
            case "interval", (lo, hi):
                return Interval(self.of(lo, ev).lo, self.of(hi, ev).hi, True, True)
            case "bounded_int", (lo, hi):
                return Interval(self.of(lo, ev).lo, self.of(hi, ev).hi)
            case "lower", (lo,):
                return Interval(self.of(lo, ev).lo, ANY.hi, True, True)
            case "nonnegative_int", (lo,):
                return Interval(self.of(lo, ev).lo, ANY.hi)
            case "upper", (hi,):
                return Interval(ANY.lo, self.of(hi, ev).hi, True, True)
            case "categories", _:
                size = ev.dims(ir.Type("int", s.args[0].type.dims[-1:]))
                return ANY if size is None else Interval(np.zeros(1), np.array([size[0] - 1.0]))
            case _:
                return ANY

    def joint(self, e: ir.Expr, ev: Evaluator) -> Interval:
        """Of each element of a vector whose elements do not vary freely. A share may round to 1."""
        if not isinstance(e, ir.Op) or not e.op.startswith(ir.TRANSFORM):
            return ANY
        match e.op.removeprefix(ir.TRANSFORM), e.args[1:]:
            case "simplex", _:
                return Interval(np.zeros(1), np.ones(1), True)
            case "cholesky_corr", _:
                return Interval(-np.ones(1), np.ones(1))
            case "ordered_lower", (lo,):
                return Interval(self.of(lo, ev).lo, ANY.hi, True, True)
            case "ordered_interval", (lo, hi):
                return Interval(self.of(lo, ev).lo, self.of(hi, ev).hi, True, True)
            case _:
                return ANY

    def operation(self, e: ir.Op, ev: Evaluator) -> Interval:
        remainder = self.remainder(e, ev)
        if remainder is not None:
            return remainder
        args = [self.of(a, ev) for a in e.args]
        with np.errstate(all="ignore"):
            match e.op, args:
                case "to_real" | "to_int", (x,):
                    return x
                case "add", (x, y):
                    return Interval(x.lo + y.lo, x.hi + y.hi, x.lo_open or y.lo_open, x.hi_open or y.hi_open)
                case "neg", (x,):
                    return Interval(-x.hi, -x.lo, x.hi_open, x.lo_open)
                case "sub", (x, y):
                    return Interval(x.lo - y.hi, x.hi - y.lo, x.lo_open or y.hi_open, x.hi_open or y.lo_open)
                case "mul" | "div", (x, y):
                    return products(e.op, x, y)
                case "max", (x, y):
                    return Interval(np.maximum(x.lo, y.lo), np.maximum(x.hi, y.hi))
                case "min", (x, y):
                    return Interval(np.minimum(x.lo, y.lo), np.minimum(x.hi, y.hi))
                case "clamp", (x, lo, hi):
                    return Interval(np.clip(x.lo, lo.lo, hi.lo), np.clip(x.hi, lo.hi, hi.hi))
                case "abs" | "relu", (x,):
                    top = np.maximum(x.hi, -x.lo) if e.op == "abs" else np.maximum(x.hi, 0.0)
                    return Interval(np.maximum(np.maximum(x.lo, -x.hi if e.op == "abs" else 0.0), 0.0), top)
                case op, (x,) if op in FUNCTIONS and not e.args[0].type.dims:
                    return monotone(op, x)
                case _:
                    return ANY

    def remainder(self, e: ir.Op, ev: Evaluator) -> Interval | None:
        """``a % b`` lies in [0, b) for b > 0: of ints as it stands, of reals as ``a - b * floor(a / b)``."""
        match e:
            case ir.Op(op="mod", args=(_, b)):
                end = self.of(b, ev)
                return Interval(np.zeros(1), end.hi - 1.0) if np.all(end.lo > 0) else None
            case ir.Op(op="sub", args=(a, ir.Op(op="mul", args=(b, ir.GuardRef() as level)))):
                ratio = self.guards[level.index].value
                if isinstance(ratio, ir.Op) and ratio.op == "div" and ratio.args == (a, b):
                    end = self.of(b, ev)
                    return Interval(np.zeros(1), end.hi, False, True) if np.all(end.lo > 0) else None
                return None
            case _:
                return None


OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}
TURNED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}


def compared(
    condition: ir.Expr, holds: bool, definitions: Mapping[str, ir.Expr]
) -> Iterator[tuple[ir.Expr, str, ir.Expr]]:
    """The comparisons of whole numbers that are true where a condition holds, or does not, in both directions."""
    match condition:
        case ir.Op(op="not", args=(a,)):
            yield from compared(a, not holds, definitions)
        case ir.Op(op="and" | "or", args=(a, b)) if (condition.op == "and") == holds:
            yield from compared(a, holds, definitions)
            yield from compared(b, holds, definitions)
        case ir.Var() if condition.name in definitions:
            yield from compared(definitions[condition.name], holds, definitions)
        case ir.Op(op=op, args=(a, b)) if op in OPPOSITE and a.type == b.type == ir.INT:
            true = op if holds else OPPOSITE[op]
            yield a, true, b
            yield b, TURNED[true], a
        case _:
            pass


def ranges_of(program: ir.Program) -> Ranges:
    draws: dict[str, ir.Sample] = {}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Sample):
            draws.setdefault(s.site, s)
    filled = {s.array for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill)}
    return Ranges(
        program.guards, {k: s for k, s in draws.items() if k not in filled or s.outcome is not None}, sums_of(program),
        states_of(program), {s.var.name: s for _, s in ir.blocks(program.body) if isinstance(s, ir.Loop)}, {},
    )  # fmt: skip


def with_assigned(ranges: Ranges, program: ir.Program, walk: Walk, ev: Evaluator) -> Ranges:
    """The same, with the values that elements of arrays of discrete latents are assigned."""
    statements = [s for _, s in ir.blocks(program.body)]
    drawn = Counter(s.site for s in statements if isinstance(s, ir.Sample) and s.outcome is not None)
    filled = Counter(s.array for s in statements if isinstance(s, ir.Fill))
    mixed = {name for name, n in drawn.items() if filled[name] > n}
    found: dict[str, Interval] = {}

    def visit(s: ir.Statement, at: Evaluator) -> None:
        if not isinstance(s, ir.Fill) or s.array not in mixed:
            return
        active = np.broadcast_to(True if s.mask is None else at.truth(s.mask)[0], (at.space.size,))
        for e in _new_values(s.value, s.array, at.definitions):
            x = ANY if _reads(e, {s.array}, at.definitions) else ranges.of(e, at)
            lo, hi = (np.broadcast_to(end, active.shape)[active] for end in (x.lo, x.hi))
            one = Interval(lo.min(keepdims=True), hi.max(keepdims=True)) if lo.size else None
            if one is not None:
                found[s.array] = union(found[s.array], one) if s.array in found else one

    def fills(loop: ir.Loop) -> set[str]:
        return {s.array for _, s in ir.blocks(loop.body) if isinstance(s, ir.Fill)} & mixed

    walk.run(program.body, ev, visit, lambda loop: found.update(dict.fromkeys(fills(loop), ANY)),
             lambda loop: bool(fills(loop)))  # fmt: skip
    return replace(ranges, assigned=found)


def _new_values(e: ir.Expr, name: str, definitions: Mapping[str, ir.Expr]) -> Iterator[ir.Expr]:
    """What state, or an element of an array, may be assigned, but for the value it has or another of these elements."""
    match e:
        case ir.Select():
            yield from (x for arm in (e.then, e.orelse) for x in _new_values(arm, name, definitions))
        case ir.Var() if e.name in definitions:
            yield from _new_values(definitions[e.name], name, definitions)
        case ir.Cell() | ir.Var() if _name(e) == name:
            pass
        case _:
            yield e


def _reads(e: ir.Expr, names: Collection[str], definitions: Mapping[str, ir.Expr]) -> bool:
    return any(_name(x) in names for x in reached((e,), assigned(definitions)))


def _name(x: ir.Expr) -> str:
    return x.name if isinstance(x, ir.Var) else x.array if isinstance(x, ir.Cell) else ""


def _step(e: ir.Expr, state: str, definitions: Mapping[str, ir.Expr]) -> ir.Expr | None:
    """What a value adds to the state that it reads; None if it does not add to it."""
    p = poly.to_poly(e, lambda v: definitions.get(v.name) if isinstance(v, ir.Var) else None)
    own = next((a for a in poly.atoms(p) if isinstance(a, ir.Var) and a.name == state), None)
    split = None if own is None else poly.split_affine(p, own)
    return poly.to_expr(split[1], ir.INT) if split is not None and split[0] == poly.constant(1.0) else None


def _iterations(loop: ir.Loop, ev: Evaluator) -> Interval:
    """The values of a loop's variable, where it is not known."""
    r = range_of(loop, ev)
    if r is None or not r.total:
        return ANY
    some = r.extent > 0
    return known(np.stack([r.lo[some], (r.lo + r.extent)[some] - 1]).reshape(1, -1))
