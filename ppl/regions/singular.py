"""A branch that is unbounded at its own guard, such as ``if x > 0 then log(x)``: no boundary term exists there.

It is looked for in all that a guard decides, through variables, arrays and state: by forms (see `unbounded`), and by
numbers (see `witness`), as a value that is infinite on the boundary, and not beside it on one of its sides. What data
at hand make so, they say when they are bound, see `GuardInfo.edges`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ppl.core import ir, poly
from ppl.core.reads import handed_on
from ppl.diagnostics import Span
from ppl.language.distributions import named
from ppl.regions import unbounded
from ppl.regions.continuity import Side, expressions_of_value, root_of
from ppl.regions.lines import latent_of
from ppl.regions.numbers import EDGES, finite, touches
from ppl.regions.scope import Scope
from ppl.regions.witness import NO_NUMBER, Witness, witnesses


def singular_at(
    scope: Scope, guard: ir.Guard, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> tuple[Span | None, tuple[ir.Expr, ...]]:
    """The statement with a log, quotient, power, scale or rate that is unbounded where a guard class is zero or, of a
    guard with levels, a whole number, on one of its sides. If there is none, data that make one so where they are
    zero."""
    points = _Points(scope, guard, normal, members)
    look = unbounded.singular_at_level if guard.levels else unbounded.singular_at
    found, edges = look(scope, members, normal, normals)
    if found is not None and not points.beyond_reach:
        return found, ()
    roots = None if guard.levels else root_of(scope, normal)
    for number, on in enumerate((True, False)):
        outcomes = {} if guard.levels else {k: on != flipped for k, flipped in members.items()}
        side = Side(scope, outcomes, roots or {}, normals)
        by_numbers = _Look(scope, members, side, lambda: points.found[number]).first()  # noqa: B023
        if by_numbers is not None:
            return by_numbers, ()
    return None, edges


@dataclass
class _Points:
    """Points on a boundary, looked for when they are first asked for."""

    scope: Scope
    guard: ir.Guard
    normal: poly.Poly
    members: Mapping[int, bool]

    @cached_property
    def found(self) -> tuple[list[Witness], list[Witness]]:
        value = self.guard.value if self.guard.levels else poly.to_expr(self.normal)
        return witnesses(self.scope, value, self.members, self.guard.levels)

    @property
    def beyond_reach(self) -> bool:
        """Whether the supports of latents keep the guard away from its boundary, as points tell where it is affine in
        latents whose supports end at numbers: what data or other latents decide, random numbers do not tell."""
        affine = all(sum(k for _, k in m) <= 1 for m in self.normal) and not self.guard.levels
        return affine and all(map(self.is_plain, poly.atoms(self.normal))) and not self.found[0]

    def is_plain(self, a: ir.Expr) -> bool:
        latent = latent_of(self.scope, a) if isinstance(a, ir.Var) else None
        if latent is None or self.scope.site(latent.site).joint:
            return False
        statements = (s for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Sample))
        draws = [s for s in statements if s.site == latent.site]
        ends = [x for s in draws for x in self.ends(s)]
        return len(draws) == 1 and all(isinstance(x, ir.Lit) for x in ends)

    @staticmethod
    def ends(s: ir.Sample) -> Iterator[ir.Expr]:
        d = named(s.distribution)
        arguments = dict(zip((p.name for p in d.params), s.args, strict=True))
        yield from (arguments[b] for b in d.support.bounds if isinstance(b, str))


@dataclass
class _Look:
    """The search, on one side of a boundary, in what its guards have a part in."""

    scope: Scope
    members: Mapping[int, bool]
    side: Side
    points: Callable[[], list[Witness]]

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
        beside = (e, *(s.args if edges and isinstance(s, ir.Term) else ()))
        return any(self.shows(w, s, e, edges, inside or any(map(w.differs, beside))) for w in self.points())

    def shows(self, w: Witness, s: ir.Statement, e: ir.Expr, edges: tuple[float, ...], decided: bool) -> bool:
        """Whether an operand is so at one point."""
        try:
            here, near = w.at(e), w.beside(e)
            if here is None or near is None or not finite(near) or not decided:
                return False  # the last at a pole, whose sides are guards
            mask = None if isinstance(s, ir.Report) else s.mask
            there = not finite(here) or any(touches(here, x) and not touches(near, x) for x in edges)
            return there and (mask is None or bool(w.beside(mask)))
        except NO_NUMBER:
            return False

    def decides(self, e: ir.Expr) -> bool:
        """Whether one of the guards has a part in a value, through variables, arrays and what loops carry too."""
        return not self.scope.flow.of(e).guards.isdisjoint(self.members)


def _operands(scope: Scope, s: ir.Statement) -> Iterator[tuple[ir.Expr, tuple[float, ...]]]:
    """What a statement computes, with the edges of its domain where that is an argument of a distribution."""
    if isinstance(s, ir.Loop):
        yield from ((e, ()) for e in handed_on(s))
    elif isinstance(s, ir.Term | ir.Sample) and s.distribution is not None:
        yield from () if isinstance(s, ir.Sample) else ((s.value, ()),)
        for p, a in zip(named(s.distribution).params, s.args, strict=True):
            yield a, EDGES.get(p.domain, ())
    else:
        yield from ((e, ()) for e in expressions_of_value(scope, s))
