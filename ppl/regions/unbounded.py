"""Branches that are unbounded at their own guard as their forms tell: an operand has the value of a pole where the
guard is zero. What no form tells, numbers may: see `singular`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ppl.core import ir, poly, squarefree
from ppl.core.inverses import inverse
from ppl.core.reads import handed_on
from ppl.diagnostics import Span
from ppl.language.distributions import DENSITY_FUNCTIONS, DensityFunction, named
from ppl.regions import numbers
from ppl.regions.continuity import (
    EXTREMES,
    ROUNDING,
    AtRoot,
    Roots,
    Side,
    at_root,
    expressions_of_value,
    is_equal,
    root_of,
)
from ppl.regions.lines import latent_of
from ppl.regions.numbers import EDGES, INFINITE_AT_ENDS
from ppl.regions.scope import Scope

# Where a function of one argument is infinite.
POLES: Mapping[str, tuple[float, ...]] = MappingProxyType({
    **{name: tuple(poles) for name, poles in numbers.POLES.items()}, "lgamma": tuple(-float(k) for k in range(20)),
})  # fmt: skip
# Functions that are zero where their argument is.
ZERO_AT_ZERO = (
    "sqrt", "square", "abs", "sin", "tan", "sinh", "tanh", "asin", "atan", "asinh", "expm1", "erf", "neg", "relu",
    "log1p",
)  # fmt: skip
# Whether an expression has a value on (part of) a boundary, but not beside it. Third: whether it is computed on one
# side of it alone. Else it has to be another expression on the other side.
Equals = Callable[[ir.Expr, float, bool], bool]


def singular_at(
    scope: Scope, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> tuple[Span | None, tuple[ir.Expr, ...]]:
    """The statement with a log, quotient, power, scale or rate that is unbounded where a guard class is zero, on one of
    its sides; looked for in all that the guards decide, through the variables that it is computed from. If there is
    none, data that make one so where they are zero."""
    roots = root_of(scope, normal)
    keys = frozenset(members)
    outcomes = [{k: on != flipped for k, flipped in members.items()} for on in (True, False)]
    sides = [Side(scope, x, roots or {}, normals, normal) for x in outcomes]
    edges: dict[ir.Expr, None] = {}
    for side, other in (sides, sides[::-1]):
        operands = _Operands(scope, keys, side, other, roots, normal)
        found = _Walk(scope, keys, side, operands.equals, operands.differs).first()
        if found is not None:
            return found, ()
        edges.update(operands.edges)
    return None, tuple(edges)


def singular_at_level(
    scope: Scope, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> tuple[Span | None, tuple[ir.Expr, ...]]:
    """The same for a guard with levels: what is infinite where its value is a whole number, ``log(x - floor(x))``."""
    keys = frozenset(members)
    sides = [poly.add(normal, poly.constant(below), -1.0) for below in (0.0, 1.0)]  # the level, on either side

    def equals(e: ir.Expr, value: float, inside: bool) -> bool:
        if e.type.dims:
            return False
        if value == 0 and isinstance(e, ir.Op) and e.op in ZERO_AT_ZERO:
            return equals(e.args[0], 0.0, inside)
        p = poly.add(scope.normal(e), poly.constant(value), -1.0)
        levels = [a for a in poly.atoms(p) if isinstance(a, ir.GuardRef) and a.index in keys]
        return bool(levels) and any(not poly.substitute(p, dict.fromkeys(levels, side)) for side in sides)

    def differs(e: ir.Expr) -> bool:
        return bool(scope.flow.of(e).guards & keys)

    return _Walk(scope, keys, Side(scope, {}, {}, normals), equals, differs).first(), ()


@dataclass
class _Walk:
    """The search, on one side of a boundary, in what its guards have a part in."""

    scope: Scope
    members: frozenset[int]
    side: Side
    equals: Equals
    differs: Callable[[ir.Expr], bool]  # whether an expression is another one on the other side
    seen: set[tuple[str, bool]] = field(default_factory=set[tuple[str, bool]])

    def first(self) -> Span | None:
        for _, s in ir.blocks(self.scope.program.body):
            if isinstance(s, ir.Report | ir.Let | ir.Decide):
                continue  # variables are looked at where they are read, and what is infinite is decided too
            if s.mask is not None and self.side.condition(s.mask) == ir.FALSE:
                continue
            inside = s.mask is not None and self.decides(s.mask)
            if isinstance(s, ir.Term | ir.Sample) and s.distribution is not None:
                params = named(s.distribution).params
                arguments = [(p, a) for p, a in zip(params, s.args, strict=True) if a.random]
                edges = [(edge, a) for p, a in arguments for edge in EDGES.get(p.domain, ())]
                within = inside or (bool(edges) and any(map(self.differs, s.args)))
                if any((within or self.decides(a)) and self.equals(a, edge, within) for edge, a in edges):
                    return s.span
            if any((inside or self.decides(e)) and self.unbounded(e, inside) for e in self.expressions(s)):
                return s.span
        return None

    def expressions(self, s: ir.Statement) -> tuple[ir.Expr, ...]:
        return handed_on(s) if isinstance(s, ir.Loop) else expressions_of_value(self.scope, s)

    def decides(self, e: ir.Expr) -> bool:
        """Whether one of the guards has a part in a value, through variables, arrays and what loops carry too."""
        return bool(self.scope.flow.of(e).guards & self.members)

    def unbounded(self, e: ir.Expr, inside: bool) -> bool:
        queue = [(e, inside)]
        while queue:
            x, inside = queue.pop()
            match x:
                case _ if not self.scope.flow.of(x).partial or not (inside or self.decides(x)):
                    pass
                case ir.Select():
                    c = self.side.condition(x.condition)
                    branches = (x.then,) if c == ir.TRUE else (x.orelse,) if c == ir.FALSE else (x.then, x.orelse)
                    queue += [(b, inside or self.decides(x.condition)) for b in branches]
                case ir.Var() if (x.name, inside) not in self.seen:
                    self.seen.add((x.name, inside))
                    definition = self.scope.expand(x)
                    queue += [] if definition is None else [(definition, inside)]
                case ir.Op() if _is_pole(x, lambda a, value: self.equals(a, value, inside)):  # noqa: B023
                    return True
                case _:
                    queue += [(a, inside) for a in ir.children(x)]
        return False


def _is_pole(e: ir.Op, equals: Callable[[ir.Expr, float], bool]) -> bool:
    match e:
        case ir.Op(op="div", args=(_, below)):
            return equals(below, 0.0)
        case ir.Op(op="pow", args=(base, power)):  # a datum may be negative
            negative = power.value < 0 if isinstance(power, ir.Lit) else not power.random
            return negative and equals(base, 0.0)
        case ir.Op(op="log_diff_exp", args=(a, b)):
            return equals(_difference(a, b), 0.0)
        case ir.Op(op="lbeta"):
            return any(equals(x, 0.0) for x in e.args)
        case ir.Op(op="lchoose", args=(n, k)):
            return any(equals(x, -1.0) for x in (n, k, _difference(n, k)))
        case _ if e.op in DENSITY_FUNCTIONS:
            return _density_is_unbounded(e, DENSITY_FUNCTIONS[e.op], equals)
        case _:
            return any(equals(e.args[0], pole) for pole in POLES.get(e.op, ()))


def _density_is_unbounded(e: ir.Op, f: DensityFunction, equals: Callable[[ir.Expr, float], bool]) -> bool:
    """Whether a log density, or the log of a tail, is infinite on the boundary."""
    d = f.distribution
    if any(equals(a, edge)
           for p, a in zip(d.params, e.args[1:], strict=True) for edge in EDGES.get(p.domain, ())):  # fmt: skip
        return True
    if f.part == "lpdf" and d.name not in INFINITE_AT_ENDS:
        return False
    arguments = {p.name: a for p, a in zip(d.params, e.args[1:], strict=True)}
    ends = (arguments[b] if isinstance(b, str) else b for b in d.support.bounds)
    return any(equals(_difference(e.args[0], b), 0.0) if isinstance(b, ir.Expr) else equals(e.args[0], b) for b in ends)


def _difference(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Op("sub", (a, b), ir.REAL, a.random or b.random)


@dataclass
class _Operands:
    """What operands are on one side of a boundary."""

    scope: Scope
    members: frozenset[int]
    side: Side
    other: Side
    roots: Roots | None
    normal: poly.Poly
    edges: dict[ir.Expr, None] = field(default_factory=dict[ir.Expr, None])  # data that would be the value, if zero

    def __post_init__(self) -> None:
        self.memos = [poly.Memo(partial=self.scope.memo.partial) for _ in range(2)]
        sites = (latent_of(self.scope, a) for a in self.roots or ())
        self.sites = {latent.site for latent in sites if latent is not None}

    def equals(self, e: ir.Expr, value: float, inside: bool) -> bool:
        """Whether `e` moves with the latents of the boundary and has this value there. Where the boundary has no root
        in closed form, whether `e` less the value has a factor of the guard's own value."""
        if e.type.dims:
            return False
        if inside or self.differs(e):
            return self.has(self.side.resolve(e), value, inside)
        return any(self.form_equals(p, value) for p in self.behind_state(self.on_sides(e)[0]))

    def differs(self, e: ir.Expr) -> bool:
        """Whether an expression is another one on the other side, within its functions too."""
        here, there = self.on_sides(e)
        functions = [a for a in poly.atoms(here) if isinstance(a, ir.Op)]
        return here != there or any(self.differs(x) for a in functions for x in a.args)

    def on_sides(self, e: ir.Expr) -> tuple[poly.Poly, poly.Poly]:
        here, there = (
            poly.to_poly(side.resolve(e), side.expand, memo)
            for side, memo in zip((self.side, self.other), self.memos, strict=True)
        )
        return here, there

    def behind_state(self, p: poly.Poly) -> Iterator[poly.Poly]:
        """`p` with the values that the guards decide for what loops carry or arrays hold, one at a time."""
        for a in poly.atoms(p):
            name = a.name if isinstance(a, ir.Var) else a.array if isinstance(a, ir.Cell) else ""
            if name in self.scope.forms and self.scope.flow.of(a).guards & self.members:
                for e, mask in self.scope.forms[name]:
                    here, there = self.on_sides(e)
                    decided = mask is not None and bool(self.scope.flow.of(mask).guards & self.members)
                    taken = mask is None or self.side.condition(mask) != ir.FALSE
                    if taken and (decided or here != there):
                        yield poly.substitute(p, {a: here})

    def has(self, e: ir.Expr, value: float, inside: bool) -> bool:
        """Whether an expression without choices that the guards make has this value."""
        match e:
            case ir.Op() if value == 0 and e.op in ZERO_AT_ZERO:
                return self.has(e.args[0], 0.0, inside)
            case ir.Op(op="pow", args=(base, power)) if value == 0:  # a datum may be any power
                return not (isinstance(power, ir.Lit) and power.value < 0) and self.has(base, 0.0, inside)
            case ir.Op(op="hypot", args=(a, b)) if value == 0:
                return all(self.has(x, 0.0, inside) or not self.scope.normal(x) for x in (a, b))
            case ir.Op() if e.op in EXTREMES:
                return self.extreme_has(e, value, inside)
            case ir.Select():
                return self.has(e.then, value, inside) or self.has(e.orelse, value, inside)
            case ir.Var() | ir.Index() if (definition := self.side.expand(e)) is not None:
                return self.has(definition, value, inside)
            case _:
                p = poly.to_poly(e, self.side.expand, self.memos[0])
                if value == 0 and len(p) == 1 and any(a != e and self.has(a, 0.0, inside) for a, _ in next(iter(p))):
                    return True  # a factor of it has
                return any(self.form_equals(q, value) for q in (p, *self.behind_state(p)))

    def form_equals(self, p: poly.Poly, value: float) -> bool:
        if self.roots is None:
            rest = _undone(self.scope, poly.add(p, poly.constant(value), -1.0))
            return bool(rest) and squarefree.have_common_factor(rest, self.normal)
        if not self.scope.flow.many(poly.atoms(p)).smooth & self.sites:
            return False
        there = at_root(self.scope, p, self.roots, self.side.expand, self.memos[0])
        if there is None:
            return False
        off = poly.add(there.value, poly.constant(value), -1.0)
        if not poly.is_constant(off) and not any(a.random for a in poly.atoms(off)):
            self.edges.setdefault(poly.to_expr(off))
        return is_equal(there, AtRoot(poly.constant(value), poly.constant(abs(value))))

    def extreme_has(self, e: ir.Op, value: float, inside: bool) -> bool:
        """Whether the smallest or largest of some values has this value: if they are not all numbers on the boundary,
        one that has it may be. A value that stays there has it beside the boundary too, if it is not a condition (of
        a branch that it is inside) that it does not."""
        literals = [a.value for a in e.args if isinstance(a, ir.Lit)]
        if any((x == value and not inside) or (x > value and e.op == "max") or (x < value and e.op == "min")
               for x in literals):  # fmt: skip
            return False
        forms = [poly.to_poly(a, self.side.expand, self.memos[0]) for a in e.args]
        there = [
            None if self.roots is None else at_root(self.scope, p, self.roots, self.side.expand, self.memos[0])
            for p in forms
        ]
        numbers = [poly.value(x.value) for x in there if x is not None and poly.is_constant(x.value)]
        if len(numbers) == len(e.args) and abs(EXTREMES[e.op](numbers) - value) > ROUNDING:
            return False
        return any(self.has(a, value, inside) for a in e.args)


def _undone(scope: Scope, p: poly.Poly) -> poly.Poly:
    """A polynomial that is zero where `p` is, without the increasing functions around it, which guards lack too."""
    while len(atoms := poly.atoms(p)) == 1:
        split = poly.split_affine(p, atoms[0])
        match atoms[0]:
            case ir.Op(op=f, args=(u,)) if not u.type.dims and split is not None and poly.is_constant(split[0]):
                threshold = inverse(f, -poly.value(split[1]) / poly.value(split[0]))
                if threshold is None or math.isinf(threshold):
                    return p
                p = poly.add(scope.normal(u), poly.constant(threshold), -1.0)
            case _:
                return p
    return p
