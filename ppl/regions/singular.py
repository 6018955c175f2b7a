"""A branch that is unbounded at its own guard, such as ``if x > 0 then log(x)``: no boundary term exists there.

It is looked for in all that a guard decides, through variables, arrays and state: by forms (see `unbounded`), and by
numbers (see `witness`), as a value that is infinite on the boundary, and not beside it on one of its sides. What data
at hand make so, they say when they are bound, see `GuardInfo.edges`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ppl.core import ir, poly
from ppl.core.reads import handed_on
from ppl.diagnostics import Span
from ppl.language.distributions import named
from ppl.regions import unbounded
from ppl.regions.continuity import Side, expressions_of_value, root_of
from ppl.regions.numbers import EDGES
from ppl.regions.scope import Scope
from ppl.regions.witness import Boundary, Witness


def singular_at(
    scope: Scope, guard: ir.Guard, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> tuple[Span | None, tuple[ir.Expr, ...]]:
    """The statement with a log, quotient, power, scale or rate that is unbounded where a guard class is zero or, of a
    guard with levels, a whole number, on one of its sides. If there is none, data that make one so where they are
    zero."""
    value = guard.value if guard.levels else poly.to_expr(normal)
    boundary = Boundary(scope, value, members, guard.levels)
    look = unbounded.singular_at_level if guard.levels else unbounded.singular_at
    found, edges = look(scope, members, normal, normals)
    if found is not None:
        return found, ()
    roots = None if guard.levels else root_of(scope, normal)
    for number, on in enumerate((True, False)):
        outcomes = {} if guard.levels else {k: on != flipped for k, flipped in members.items()}
        side = Side(scope, outcomes, roots or {}, normals, normal)
        by_numbers = _Look(scope, boundary, number, side).first()
        if by_numbers is not None:
            return by_numbers, ()
    return None, edges


def _ends(s: ir.Sample) -> Iterator[ir.Expr]:
    d = named(s.distribution)
    arguments = dict(zip((p.name for p in d.params), s.args, strict=True))
    yield from (arguments[b] for b in d.support.bounds if isinstance(b, str))


@dataclass(frozen=True)
class _Operand:
    """What a statement computes, with the edges of its domain where that is an argument of a distribution. `inside`:
    whether the guards decide whether it is computed. `shared`: the loops around the statement and them."""

    statement: ir.Term | ir.Sample | ir.Fill | ir.Loop
    value: ir.Expr
    edges: tuple[float, ...]
    inside: bool
    shared: tuple[ir.Loop, ...]


@dataclass
class _Look:
    """The search, on one side of a boundary, in what its guards have a part in."""

    scope: Scope
    boundary: Boundary
    number: int
    side: Side

    def first(self) -> Span | None:
        operands = [x for around, s in ir.blocks(self.scope.program.body) for x in self.operands(around, s)]
        points = self.boundary.points[self.number] if operands else []
        shown = next((x for x in operands if self.is_singular(x, points)), None)
        if shown is None and points:
            masks = [m for m in dict.fromkeys(x.statement.mask for x in operands) if m is not None]
            for w in self.boundary.sought(self.number, masks, any(x.edges for x in operands)):
                shown = next((x for x in operands if self.is_singular(x, [w])), None)
                if shown is not None:
                    break
        return None if shown is None else shown.statement.span

    def operands(self, around: Sequence[ir.Loop], s: ir.Statement) -> Iterator[_Operand]:
        """What may be infinite on the boundary, or at an edge of its domain."""
        if isinstance(s, ir.Report | ir.Let | ir.Decide):
            return  # variables are looked at where they are read, and what is infinite is decided too
        if s.mask is not None and self.side.condition(s.mask) == ir.FALSE:
            return
        inside = s.mask is not None and self.decides(s.mask)
        decided = {k for index in self.boundary.members for k in self.scope.program.guards[index].loops}
        shared = tuple(x for x in around if x.id in decided)
        for e, edges in _operands(self.scope, s):
            possible = bool(edges) or (self.scope.flow.of(e).partial and (inside or self.decides(e)))
            if e.random and possible:
                yield _Operand(s, e, edges, inside, shared)

    def is_singular(self, x: _Operand, points: Sequence[Witness]) -> bool:
        """Whether an operand is infinite on the boundary, or at an edge of its domain, at one of these points."""
        points = [*points, *(w.later(x.shared) for w in points if x.shared)]
        beside = (x.value, *(x.statement.args if x.edges and isinstance(x.statement, ir.Term) else ()))
        shown = [w for w in points if _shows(w, x)]
        return bool(shown) and (x.inside or any(w.differs(e) for w in points for e in beside))

    def decides(self, e: ir.Expr) -> bool:
        """Whether one of the guards has a part in a value, through variables, arrays and what loops carry too."""
        return not self.scope.flow.of(e).guards.isdisjoint(self.boundary.members)


def _shows(w: Witness, x: _Operand) -> bool:
    """Whether an operand is so at one point."""
    mask = x.statement.mask
    return w.is_unbounded(x.value, x.edges, mask) and (mask is None or bool(w.beside(mask)))


def _operands(scope: Scope, s: ir.Statement) -> Iterator[tuple[ir.Expr, tuple[float, ...]]]:
    """What a statement computes, with the edges of its domain where that is an argument of a distribution."""
    if isinstance(s, ir.Loop):
        yield from ((e, ()) for e in handed_on(s))
    elif isinstance(s, ir.Term | ir.Sample) and s.distribution is not None:
        yield from () if isinstance(s, ir.Sample) else ((s.value, ()),)
        for p, a in zip(named(s.distribution).params, s.args, strict=True):
            yield a, EDGES.get(p.domain, ())
        ends = tuple(_ends(s)) if isinstance(s, ir.Sample) else ()
        if len(ends) == 2:  # a support of no width
            yield ir.Op("sub", ends, ir.REAL, any(e.random for e in ends)), (0.0,)
    else:
        yield from ((e, ()) for e in expressions_of_value(scope, s))
