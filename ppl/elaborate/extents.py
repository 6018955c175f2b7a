"""Between which numbers a value must lie, whatever the data and the latents: enough to tell a sign.

The program is gone through in order, as often as it takes until what loops carry and arrays hold is stable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ppl.core import ir, poly
from ppl.elaborate.context import Context
from ppl.language.distributions import named
from ppl.record import record

INF = math.inf
MAX_PASSES = 12
MAX_LITERALS = 64  # of a condition: beyond, what it says is not used


@record
class Extent:
    """An interval; `lo_open`, `hi_open`: that end is reached with probability zero."""

    lo: float = -INF
    hi: float = INF
    lo_open: bool = True
    hi_open: bool = True

    @property
    def positive(self) -> bool:
        return self.lo > 0 or (self.lo == 0 and self.lo_open)

    @property
    def negative(self) -> bool:
        return self.hi < 0 or (self.hi == 0 and self.hi_open)

    @property
    def one_sided(self) -> bool:
        """Whether it lies on one side of zero, which it may touch."""
        return self.lo >= 0 or self.hi <= 0

    def __or__(self, other: Extent) -> Extent:
        lo, hi, both = min(self.lo, other.lo), max(self.hi, other.hi), (self, other)
        return Extent(lo, hi, all(x.lo_open for x in both if x.lo == lo), all(x.hi_open for x in both if x.hi == hi))

    def __and__(self, other: Extent) -> Extent:
        lo, hi, both = max(self.lo, other.lo), min(self.hi, other.hi), (self, other)
        if lo > hi:
            return self  # where the one holds the other does not: never
        return Extent(lo, hi, any(x.lo_open for x in both if x.lo == lo), any(x.hi_open for x in both if x.hi == hi))

    def __neg__(self) -> Extent:
        return Extent(-self.hi, -self.lo, self.hi_open, self.lo_open)


ANY, POSITIVE, NONNEGATIVE, ZERO = Extent(), Extent(0.0), Extent(0.0, INF, False), Extent(0.0, 0.0, False, False)
# Functions that rise strictly: how to compute them, and the values they stay between whatever their argument.
RISING: Mapping[str, tuple[Callable[[float], float] | None, Extent]] = {
    "exp": (math.exp, POSITIVE), "expm1": (math.expm1, Extent(-1.0)), "log": (math.log, ANY),
    "log1p": (math.log1p, ANY), "sqrt": (math.sqrt, NONNEGATIVE), "sinh": (math.sinh, ANY), "asinh": (math.asinh, ANY),
    "tanh": (math.tanh, Extent(-1.0, 1.0)), "atan": (math.atan, Extent(-math.pi / 2, math.pi / 2)),
    "erf": (math.erf, Extent(-1.0, 1.0)), "log2": (math.log2, ANY), "log10": (math.log10, ANY),
    "inv_logit": (None, Extent(0.0, 1.0)), "Phi": (None, Extent(0.0, 1.0)), "log1p_exp": (None, POSITIVE),
}  # fmt: skip
FIXED: Mapping[str, Extent] = {
    "cosh": Extent(1.0, INF, False), "erfc": Extent(0.0, 2.0), "sin": Extent(-1.0, 1.0, False, False),
    "cos": Extent(-1.0, 1.0, False, False), "asin": Extent(-math.pi / 2, math.pi / 2), "acos": Extent(0.0, math.pi),
    "hypot": NONNEGATIVE, "log_inv_logit": Extent(-INF, 0.0), "acosh": NONNEGATIVE,
}  # fmt: skip

Literal = tuple[int, bool]


@dataclass
class Extents:
    """The extents of a program's variables, by name, at the end of `settle`."""

    ctx: Context
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
        self.known[s.var.name] = Extent(first.lo, last.hi - 1, False, False)
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
        """Widens what is known of state; an end that moves goes on to the next of 0, 1 and infinity."""
        old = self.known.get(name)
        if old is None:
            self.known[name] = found
            return
        new = old | found
        lo, lo_open = (old.lo, old.lo_open) if (new.lo, new.lo_open) == (old.lo, old.lo_open) else _below(new)
        high = -_reflected(-new) if (new.hi, new.hi_open) != (old.hi, old.hi_open) else old
        self.known[name] = Extent(lo, high.hi, lo_open, high.hi_open)

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
                return _point(float(e.value))
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
            case ir.Index() | ir.Slice():
                return self._of(e.base, given)
            case ir.Array():
                return _union(self._of(x, given) for x in e.items)
            case ir.GuardRef() if e.type.base == "int":
                x = self._of(self.ctx.guards[e.index].value, given)
                return Extent(_floor(x.lo), _floor(x.hi), False, False)
            case ir.Outcome():
                return NONNEGATIVE
            case ir.Select():
                then = self._of(e.then, (*given, *self.conditions(e.condition)))
                return then | self._of(e.orelse, (*given, *self.conditions(ir.negate(e.condition))))
            case ir.Op():
                return self._operation(e, given)
            case _:
                return ANY

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
            case "int", _:
                bounds = named(s.distribution).support.bounds[:1]
                return NONNEGATIVE if bounds == (0.0,) or named(s.distribution).support.kind == "categories" else ANY
            case _:
                return ANY

    def _operation(self, e: ir.Op, given: tuple[Literal, ...]) -> Extent:
        if e.op.startswith(ir.TRANSFORM):
            return self._transformed(e, given)
        if e.op.startswith(ir.ELEMENT):
            return ANY
        args = [self._of(a, given) for a in e.args]
        match e.op, args:
            case "to_real" | "cumsum" | "transpose" | "diagonal" | "beside" | "within", (x, *_):
                return x if e.op != "cumsum" else _sum(x)
            case (("max" | "min" | "mean"), (x,)):
                return x
            case "add", (x, y):
                return _add(x, y)
            case "sub", (x, y):
                return _add(x, -y)
            case "neg", (x,):
                return -x
            case "mul", (x, y):
                return NONNEGATIVE if e.args[0] == e.args[1] else _mul(x, y)
            case "div", (x, y):
                return _mul(x, _inverse(y))
            case "inv", (x,):
                return _inverse(x)
            case "square", (x,):
                return POSITIVE if x.positive or x.negative else NONNEGATIVE
            case "abs", (x,):
                return x if x.lo >= 0 else -x if x.hi <= 0 else NONNEGATIVE
            case "relu", (x,):
                return x if x.lo >= 0 else NONNEGATIVE
            case "max", (x, y):
                return _max(x, y)
            case "min", (x, y):
                return -_max(-x, -y)
            case "clamp", (x, lo, hi):
                return -_max(-_max(x, lo), -hi)
            case "sum", (x,):
                return _sum(x)
            case "prod", (x,):
                return POSITIVE if x.positive else NONNEGATIVE if x.lo >= 0 else ANY
            case "dot", (x, y):
                return NONNEGATIVE if e.args[0] == e.args[1] else _sum(_mul(x, y))
            case "pow", (x, _):
                even = isinstance(e.args[1], ir.Lit) and float(e.args[1].value) % 2 == 0
                if x.positive or (even and x.negative):
                    return POSITIVE
                return NONNEGATIVE if even or x.lo >= 0 else ANY
            case op, (x,) if op in RISING:
                return _rising(op, x)
            case op, _ if op in FIXED:
                return FIXED[op]
            case _:
                return ANY

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
        """The guards whose outcome a condition fixes, with the outcome."""
        if mask is None or not mask.random:
            return ()
        if mask not in self.literals:
            out: list[Literal] = []
            queue = [(mask, True)]
            while queue and len(out) < MAX_LITERALS:
                c, holds = queue.pop()
                match c:
                    case ir.GuardRef():
                        out.append((c.index, holds))
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
        for index, holds in given:
            guard = self.ctx.guards[index]
            if guard.levels or guard.outcomes is not None:
                continue
            theirs = self.ctx.normal(guard.value)
            lead = next((m for m in theirs if m), None)
            if lead is None or lead not in mine:
                continue
            scale = mine[lead] / theirs[lead]
            rest = poly.add(mine, theirs, -scale)
            if poly.is_constant(rest):
                at = poly.value(rest)
                found = found & (Extent(at) if (scale > 0) == holds else Extent(-INF, at))
        return found


# ------------------------------------------------------------------ arithmetic


def _point(x: float) -> Extent:
    return Extent(x, x, False, False)


def _union(items: Iterable[Extent]) -> Extent:
    out: Extent | None = None
    for x in items:
        out = x if out is None else out | x
    return ANY if out is None else out


def _add(x: Extent, y: Extent) -> Extent:
    return Extent(x.lo + y.lo, x.hi + y.hi, x.lo_open or y.lo_open, x.hi_open or y.hi_open)


def _max(x: Extent, y: Extent) -> Extent:
    top = x if x.lo > y.lo else y
    return Extent(top.lo, max(x.hi, y.hi), x.lo_open and y.lo_open, x.hi_open and y.hi_open)


def _mul(x: Extent, y: Extent) -> Extent:
    if ZERO in (x, y):
        return ZERO
    if x.hi <= 0 and x.lo < 0:
        return -_mul(-x, y)
    if y.hi <= 0 and y.lo < 0:
        return -_mul(x, -y)
    if x.lo >= 0 and y.lo >= 0:
        reached = (x.lo == 0 and not x.lo_open) or (y.lo == 0 and not y.lo_open)
        opens = (not reached and (x.lo_open or y.lo_open), x.hi_open or y.hi_open)
        return Extent(_times(x.lo, y.lo), _times(x.hi, y.hi), *opens)
    corners = [_times(a, b) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    return Extent(min(corners), max(corners), False, False)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _inverse(x: Extent) -> Extent:
    if x.negative:
        return -_inverse(-x)
    if not x.positive:
        return NONNEGATIVE if x.lo >= 0 else -NONNEGATIVE if x.hi <= 0 else ANY
    return Extent(1 / x.hi, 1 / x.lo if x.lo > 0 else INF, x.hi_open, x.lo_open)


def _sum(x: Extent) -> Extent:
    """Of a sum of such numbers; of none of them, which is 0 whatever the latents are, nothing need be known."""
    return Extent(x.lo if x.lo >= 0 else -INF, x.hi if x.hi <= 0 else INF, x.lo_open, x.hi_open)


def _rising(op: str, x: Extent) -> Extent:
    function, within = RISING[op]
    if function is None:
        return within
    ends: list[tuple[float, bool]] = []
    for end, limit, is_open in ((x.lo, within.lo, x.lo_open), (x.hi, within.hi, x.hi_open)):
        try:
            ends.append((limit if math.isinf(end) else float(function(end)), is_open))
        except (ValueError, OverflowError):  # out of the domain, or too large
            ends.append((limit, False))
    return Extent(ends[0][0], ends[1][0], ends[0][1], ends[1][1]) & within


def _floor(x: float) -> float:
    return x if math.isinf(x) else float(math.floor(x))


def _below(x: Extent) -> tuple[float, bool]:
    """The next bound below the lower end."""
    for bound in (1.0, 0.0, -1.0):
        if x.lo > bound:
            return bound, True
        if x.lo == bound:
            return bound, x.lo_open
    return -INF, True


def _reflected(x: Extent) -> Extent:
    lo, lo_open = _below(x)
    return replace(x, lo=lo, lo_open=lo_open)
