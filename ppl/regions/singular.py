"""A branch that is unbounded at its own guard, such as ``if x > 0 then log(x)``: no boundary term exists there.

It is looked for in all that a guard decides, through variables, arrays and state, by numbers (see `witness`): a value
that is infinite on the boundary, and not beside it on one of its sides. What data at hand make so, they say when they
are bound, see `GuardInfo.edges`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ppl.core import ir, poly
from ppl.diagnostics import Span
from ppl.language.distributions import DENSITY_FUNCTIONS, named
from ppl.regions.continuity import Roots, Side, at_root, expressions_of_value, root_of
from ppl.regions.numbers import EDGES, POLES, finite, touches
from ppl.regions.scope import Scope
from ppl.regions.witness import Witness, witnesses

Collect = Callable[[ir.Expr, float], None]


def singular_at(
    scope: Scope, guard: ir.Guard, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> tuple[Span | None, tuple[ir.Expr, ...]]:
    """The statement with a log, quotient, power, scale or rate that is unbounded where a guard class is zero or, of a
    guard with levels, a whole number, on one of its sides. If there is none, data that make one so where they are
    zero."""
    roots = None if guard.levels else root_of(scope, normal)
    outcomes = [{} if guard.levels else {k: on != flipped for k, flipped in members.items()} for on in (True, False)]
    sides = [Side(scope, x, roots or {}, normals) for x in outcomes]
    edges: dict[ir.Expr, None] = {}
    for on, side, other in ((True, *sides), (False, *sides[::-1])):
        look = _Look(scope, guard, members, normal, on, side, other, roots)
        found = look.first()
        if found is not None:
            return found, ()
        edges.update(look.edges)
    return None, tuple(edges)


@dataclass
class _Look:
    """The search, on one side of a boundary, in what its guards have a part in."""

    scope: Scope
    representative: ir.Guard
    members: Mapping[int, bool]
    normal: poly.Poly
    on: bool
    side: Side
    other: Side
    roots: Roots | None
    edges: dict[ir.Expr, None] = field(default_factory=dict[ir.Expr, None])
    seen: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.memos = [poly.Memo(partial=self.scope.memo.partial) for _ in range(2)]

    @cached_property
    def points(self) -> list[Witness]:
        levels = self.representative.levels
        value = self.representative.value if levels else poly.to_expr(self.normal)
        return witnesses(self.scope, value, self.members, levels, self.on)

    def first(self) -> Span | None:
        for _, s in ir.blocks(self.scope.program.body):
            if isinstance(s, ir.Report | ir.Let | ir.Decide):
                continue  # variables are looked at where they are read, and what is infinite is decided too
            if s.mask is not None and self.side.condition(s.mask) == ir.FALSE:
                continue
            if any(self.is_singular(s, e, edges) for e, edges in _operands(self.scope, s)):
                return s.span
        return None

    def is_singular(self, s: ir.Statement, e: ir.Expr, edges: tuple[float, ...]) -> bool:
        """Whether an operand of a statement is infinite on the boundary, or at an edge of its domain."""
        if isinstance(s, ir.Report):
            return False
        inside = s.mask is not None and self.decides(s.mask)
        partial = self.scope.flow.of(e).partial
        if not e.random or not (edges or partial) or not (inside or self.decides(e) or edges):
            return False
        if not (inside or self.differs(e) or (edges and isinstance(s, ir.Term) and any(map(self.differs, s.args)))):
            return False
        if self.roots is not None:
            for edge in edges:
                self.collect(e, edge)
            self.poles(e)
        for w in self.points:
            if s.mask is not None and not w.beside(s.mask):
                continue
            here, near = w.at(e), w.beside(e)
            if here is None or near is None:
                continue
            if any(touches(here, near, edge) for edge in edges) or (not finite(here) and finite(near)):
                return True
        return False

    def decides(self, e: ir.Expr) -> bool:
        """Whether one of the guards has a part in a value, through variables, arrays and what loops carry too."""
        return not self.scope.flow.of(e).guards.isdisjoint(self.members)

    def differs(self, e: ir.Expr) -> bool:
        """Whether an expression is another one on the other side, within its functions and behind state too. (At a
        pole, whose sides are guards, it is the same.)"""
        if self.representative.levels:
            return self.decides(e)
        here, there = (
            poly.to_poly(side.resolve(e), side.expand, memo)
            for side, memo in zip((self.side, self.other), self.memos, strict=True)
        )
        if here != there:
            return True
        return any(self.behind(a) for a in poly.atoms(here) if self.decides(a))

    def behind(self, a: ir.Expr) -> bool:
        if isinstance(a, ir.Op):
            return any(self.differs(x) for x in a.args)
        name = a.name if isinstance(a, ir.Var) else a.array if isinstance(a, ir.Cell) else ""
        if name in self.seen or name not in self.scope.forms:
            return False
        self.seen.add(name)
        forms = self.scope.forms[name]
        out = any((mask is not None and self.decides(mask)) or self.differs(e) for e, mask in forms)
        self.seen.discard(name)
        return out

    # ------------------------------------------------------------ what data decide

    def poles(self, e: ir.Expr) -> None:
        """Collects the data that would make an operand of `e` one at which an operation is infinite."""
        queue, seen = [e], set[str]()
        while queue:
            x = self.side.resolve(queue.pop())
            if not self.scope.flow.of(x).partial:
                continue
            queue += ir.children(x)
            if isinstance(x, ir.Op):
                _pole(x, self.collect)
            if isinstance(x, ir.Var) and x.name not in seen:
                seen.add(x.name)
                definition = self.scope.expand(x)
                queue += [] if definition is None else [definition]

    def collect(self, e: ir.Expr, value: float) -> None:
        """Keeps how far from a value an operand is on the boundary, if that is data."""
        if e.type.dims or self.roots is None:
            return
        p = poly.to_poly(self.side.resolve(e), self.side.expand, self.memos[0])
        there = at_root(self.scope, p, self.roots, self.side.expand, self.memos[0])
        if there is None:
            return
        off = poly.add(there.value, poly.constant(value), -1.0)
        if not poly.is_constant(off) and not any(a.random for a in poly.atoms(off)):
            self.edges.setdefault(poly.to_expr(off))


def _operands(scope: Scope, s: ir.Statement) -> Iterator[tuple[ir.Expr, tuple[float, ...]]]:
    """What a statement computes, with the edges of its domain where that is an argument of a distribution."""
    if isinstance(s, ir.Loop):
        yield from ((c.out, ()) for c in s.carries)
        yield from ((r.delta, ()) for r in s.reductions)
        yield from ((c.element, ()) for c in s.collects)
    elif isinstance(s, ir.Term | ir.Sample) and s.distribution is not None:
        yield from () if isinstance(s, ir.Sample) else ((s.value, ()),)
        for p, a in zip(named(s.distribution).params, s.args, strict=True):
            yield a, EDGES.get(p.domain, ())
    else:
        yield from ((e, ()) for e in expressions_of_value(scope, s))


def _pole(e: ir.Op, collect: Collect) -> None:
    match e:
        case ir.Op(op="div", args=(_, below)):
            collect(below, 0.0)
        case ir.Op(op="pow", args=(base, power)):
            if not (isinstance(power, ir.Lit) and power.value >= 0):
                collect(base, 0.0)
        case _ if e.op in DENSITY_FUNCTIONS:
            for p, a in zip(DENSITY_FUNCTIONS[e.op].distribution.params, e.args[1:], strict=True):
                for edge in EDGES.get(p.domain, ()):
                    collect(a, edge)
        case _:
            for pole in POLES.get(e.op, ()):
                collect(e.args[0], pole)
