"""Between which numbers a value must lie, whatever the data and the latents: enough to tell a sign.

The program is gone through in order, as often as it takes until what loops carry and arrays hold is stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ppl.core import extent, ir, poly
from ppl.core.extent import ANY, INF, NONNEGATIVE, POSITIVE, Extent
from ppl.core.functions import KNOWN
from ppl.elaborate.context import Context
from ppl.language.distributions import named

MAX_PASSES = 12
MAX_LITERALS = 64  # of a condition: beyond, what it says is not used


Literal = tuple[ir.GuardRef | ir.Op, bool]  # a guard, or a comparison of whole numbers, and whether it holds
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


@dataclass
class Extents:
    """The extents of a program's variables, by name, at the end of `settle`. Unless `conditional`, they hold on every
    path: also where a jump is evaluated, at which guards have outcomes other than those of their values."""

    ctx: Context
    conditional: bool = True
    known: dict[str, Extent] = field(default_factory=dict[str, Extent])
    literals: dict[ir.Expr, tuple[Literal, ...]] = field(default_factory=dict[ir.Expr, tuple[Literal, ...]])
    lengths: set[ir.Expr] = field(default_factory=set[ir.Expr])

    def settle(self, body: Iterable[ir.Statement]) -> None:
        """Finds the extents of the variables of a program; none are known if they go on changing."""
        statements = tuple(body)
        for _ in range(MAX_PASSES):
            before = dict(self.known)
            self.block(statements)
            if self.known == before:
                return
        self.known = {}

    def block(self, body: tuple[ir.Statement, ...]) -> None:
        for s in body:
            match s:
                case ir.Let():
                    self.known[s.var.name] = self.of(s.value, s.mask)
                case ir.Fill():
                    self.join(s.array, self.of(s.value, s.mask))
                case ir.Loop():
                    self.loop(s)
                case _:
                    pass

    def loop(self, s: ir.Loop) -> None:
        first, last = self.of(s.lo), self.of(s.hi)
        self.known[s.var.name] = Extent(first.lo, max(first.lo, last.hi - 1), False, False)
        for c in s.carries:
            self.join(c.entry.name, self.of(c.init))
        self.block(s.body)
        for c in s.carries:
            self.join(c.entry.name, self.of(c.out, s.mask))
            self.known[c.final.name] = self.known[c.entry.name]
        for r in s.reductions:
            init, each = self.of(r.init), self.of(r.delta, s.mask)
            lo, hi = init.lo if each.lo >= 0 else -INF, init.hi if each.hi <= 0 else INF
            self.known[r.final.name] = Extent(lo, hi, init.lo_open, init.hi_open)
        for c in s.collects:
            self.known[c.final.name] = self.of(c.element, s.mask)

    def join(self, name: str, found: Extent) -> None:
        """Adds to what is known of state."""
        old = self.known.get(name)
        self.known[name] = found if old is None else extent.widened(old, found)

    # -------------------------------------------------------------- expressions

    def of(self, e: ir.Expr, mask: ir.Expr | None = None) -> Extent:
        """The extent of `e` where `mask` holds; of an array, that of its elements."""
        return self._of(e, self.conditions(mask))

    def at(self, e: ir.Expr, given: tuple[Literal, ...]) -> Extent:
        """The extent of `e` where guards have the outcomes `given`, which may speak of `e` itself."""
        return self.under(e, self._of(e, given), given)

    def _of(self, e: ir.Expr, given: tuple[Literal, ...]) -> Extent:
        match e:
            case ir.Lit():
                return extent.point(float(e.value))
            case ir.DataRef():
                return NONNEGATIVE if e in self.sizes() else ANY
            case ir.LoopVar():
                return self.known.get(e.name, ANY)
            case ir.Var() | ir.Cell():
                name = e.name if isinstance(e, ir.Var) else e.array
                found = self.known.get(name)
                site = self.site(name)
                if site is not None:
                    found = site if found is None else site | found
                return self.under(e, ANY if found is None else found, given)
            case ir.Index(base=ir.Var() as v, indices=(i, j)) if i == j and self.triangular(v):
                return POSITIVE
            case ir.Index() | ir.Slice():
                return self._of(e.base, given)
            case ir.Array():
                return extent.union(self._of(x, given) for x in e.items)
            case ir.GuardRef() if e.type.base == "int":
                guard = self.ctx.guards[e.index]
                if guard.outcomes is not None:
                    return self.under(e, Extent(0.0, self.of(guard.outcomes).hi - 1, False, False), given)
                x = self.at(guard.value, given)
                return self.under(e, Extent(extent.floor(x.lo), extent.floor(x.hi), False, False), given)
            case ir.Select():
                then = self._of(e.then, (*given, *self.conditions(e.condition)))
                return then | self._of(e.orelse, (*given, *self.conditions(ir.negate(e.condition))))
            case ir.Op():
                return self._operation(e, given)
            case _:
                return ANY

    def triangular(self, v: ir.Var) -> bool:
        """Whether a matrix is a Cholesky factor, whose diagonal is positive."""
        e = self.ctx.definitions.get(v.name)
        return isinstance(e, ir.Op) and e.op in ("cholesky", "transform_cholesky_corr")

    def sizes(self) -> set[ir.Expr]:
        """The data that are the length of something."""
        if not self.lengths:
            self.lengths.update(d for f in self.ctx.data for d in f.type.dims)
        return self.lengths

    def site(self, name: str) -> Extent | None:
        s = self.ctx.sites.get(name)
        if s is None:
            return None
        limits = self.ctx.site_bounds.get(name, ())
        match s.support, limits:
            case "lower", (lo,):
                return Extent(self.of(lo).lo)
            case "upper", (hi,):
                return Extent(-INF, self.of(hi).hi)
            case "interval", (lo, hi):
                return Extent(self.of(lo).lo, self.of(hi).hi)
            case "int", (lo, count) if not s.noise:
                first = self.of(lo)
                return Extent(first.lo, first.hi + self.of(count).hi - 1, False, False)
            case "int", _:
                d = named(s.distribution)
                names = [p.name for p in d.params]
                ends = [self.of(self.ctx.site_args[name][names.index(b)]) if isinstance(b, str) else extent.point(b)
                        for b in d.support.bounds[:1]]  # fmt: skip
                return Extent(ends[0].lo if ends else 0.0, INF, False)
            case _:
                return ANY

    def _operation(self, e: ir.Op, given: tuple[Literal, ...]) -> Extent:
        if e.op.startswith(ir.TRANSFORM):
            return self._transformed(e, given)
        if e.op.startswith(ir.ELEMENT):
            return ANY
        args = [self._of(a, given) for a in e.args]
        match e.op, args:
            case "to_real" | "cumsum" | "transpose" | "diagonal" | "beside" | "sided" | "within", (x, *_):
                return x if e.op != "cumsum" else extent.total(x, True)
            case (("max" | "min" | "mean"), (x,)):
                return x
            case "add", (x, y):
                return extent.add(x, y)
            case "sub", (x, y):
                return extent.add(x, -y)
            case "neg", (x,):
                return -x
            case "mul", (x, y):
                same = e.args[0] == e.args[1]
                return extent.above(0.0, x, open=x.positive or x.negative) if same else extent.mul(x, y)
            case "div", (x, y):
                return extent.mul(x, extent.inverse(y))
            case "inv", (x,):
                return extent.inverse(x)
            case "over_zero", (x,):
                return Extent(0.0 if x.lo >= 0 else -INF, 0.0 if x.hi <= 0 else INF, x.lo >= 0, x.hi <= 0)
            case "square", (x,):
                return extent.above(0.0, x, open=x.positive or x.negative)
            case "abs", (x,):
                return x if x.lo >= 0 else -x if x.hi <= 0 else extent.above(0.0, x)
            case "relu", (x,):
                return x if x.lo >= 0 else extent.larger(x, extent.ZERO)
            case "max", (x, y):
                return extent.larger(x, y)
            case "min", (x, y):
                return -extent.larger(-x, -y)
            case "clamp", (x, lo, hi):
                return -extent.larger(-extent.larger(x, lo), -hi)
            case "sum", (x,):
                return extent.total(x, self.some(e.args[0]))
            case "prod", (x,):
                lo, missed = (0.0, x.positive) if x.lo >= 0 else (-INF, not extent.infinite(x))
                return extent.above(lo, x, open=missed)
            case "dot", (x, y):
                if e.args[0] == e.args[1]:
                    return extent.above(0.0, x)
                return extent.total(extent.mul(x, y), self.some(e.args[0]))
            case "pow", (x, y):
                return self._power(x, y, e.args[1])
            case "hypot", (x, y):
                return extent.above(0.0, x, y)
            case op, (x,) if op in KNOWN:
                return self._function(op, x)
            case _:
                return ANY

    def _function(self, op: str, x: Extent) -> Extent:
        if op == "erfc":
            return extent.add(extent.point(1.0), -self._function("erf", x))
        f = KNOWN[op]
        if f.rises:
            return extent.rising(f.at, f.values, f.start, x)
        return f.values if f.bounded or f.values == ANY else extent.above(f.values.lo, x)

    def _power(self, x: Extent, y: Extent, power: ir.Expr) -> Extent:
        even = isinstance(power, ir.Lit) and float(power.value) % 2 == 0
        infinite, signed = extent.infinite(x) or extent.infinite(y), x.positive or x.negative
        if not even and x.lo < 0:
            infinite |= y.lo < 0
            return Extent(-INF, INF, not infinite, not infinite)
        zero = not signed if y.lo >= 0 else infinite or (y.hi > 0 and not signed)
        return Extent(0.0, INF, not zero, not (infinite or (y.lo < 0 and not signed)))

    def some(self, array: ir.Expr) -> bool:
        """Whether an array certainly has elements."""
        return all(isinstance(d, ir.Lit) and d.value > 0 for d in array.type.dims)

    def _transformed(self, e: ir.Op, given: tuple[Literal, ...]) -> Extent:
        limits = [self._of(a, given) for a in e.args[1:]]
        match e.op.removeprefix(ir.TRANSFORM), limits:
            case "simplex", _:
                return Extent(0.0, 1.0)
            case "ordered_lower", (lo,):
                return Extent(lo.lo)
            case "ordered_interval", (lo, hi):
                return Extent(lo.lo, hi.hi)
            case _:
                return ANY

    # --------------------------------------------------------------- conditions

    def conditions(self, mask: ir.Expr | None) -> tuple[Literal, ...]:
        """The guards and comparisons whose outcome a condition fixes, with the outcome."""
        if mask is None or not mask.random or not self.conditional:
            return ()
        if mask not in self.literals:
            out: list[Literal] = []
            queue = [(mask, True)]
            while queue and len(out) < MAX_LITERALS:
                c, holds = queue.pop()
                match c:
                    case ir.GuardRef():
                        out.append((c, holds))
                    case ir.Op() if c.op in COMPARISONS and c.random and c.args[0].type.base != "bool":
                        out.append((c, holds))
                    case ir.Op(op="not", args=(a,)):
                        queue.append((a, not holds))
                    case ir.Op(op="and" | "or", args=(a, b)) if (c.op == "and") == holds:
                        queue += [(a, holds), (b, holds)]
                    case ir.Var() if c.name in self.ctx.definitions:
                        queue.append((self.ctx.definitions[c.name], holds))
                    case _:
                        pass
            self.literals[mask] = tuple(out)
        return self.literals[mask]

    def under(self, e: ir.Expr, found: Extent, given: tuple[Literal, ...]) -> Extent:
        """What the guards that decided the branch say of `e`: where ``x > 0``, ``2 * x + 1`` is above 1."""
        if not given or not e.random or e.type.dims or e.type.base == "bool":
            return found
        mine = self.ctx.normal(e)
        for condition, holds in given:
            theirs, relation = self.relation(condition, holds)
            lead = next((m for m in theirs if m), None)
            if lead is None or lead not in mine:
                continue
            scale = mine[lead] / theirs[lead]
            rest = poly.add(mine, theirs, -scale)
            if poly.is_constant(rest):
                found = _bounded(found, poly.value(rest), relation, scale > 0)
        return found

    def relation(self, condition: ir.GuardRef | ir.Op, holds: bool) -> tuple[poly.Poly, str]:
        """A condition, or its negation, as the comparison of a value with 0; nothing of what is not one."""
        if isinstance(condition, ir.GuardRef):
            guard = self.ctx.guards[condition.index]
            usable = not guard.levels and guard.outcomes is None
            return self.ctx.normal(guard.value) if usable else {}, "gt" if holds else "le"
        value = ir.Op("sub", condition.args, ir.REAL, True)
        return self.ctx.normal(value), condition.op if holds else NEGATED[condition.op]


NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


def _bounded(x: Extent, at: float, relation: str, same: bool) -> Extent:
    """`x` of a value that relates to `at` in this way, or in the opposite one. A guard that does not hold may be zero,
    and be so on a region."""
    match relation:
        case "eq":
            return x & extent.point(at)
        case "ne":
            return Extent(x.lo, x.hi, x.lo_open or x.lo == at, x.hi_open or x.hi == at)
        case _:
            strict = relation in ("gt", "lt")
            above = (relation in ("gt", "ge")) == same
            return x & (Extent(at, INF, strict, False) if above else Extent(-INF, at, False, strict))
