"""Divisors that are zero with a probability of their own, because whole numbers decide them: ``1 / k`` with a count k.

Where a real latent makes a divisor zero there is a pole, which has probability zero (see `poles`). A whole number is 0
more often than that, and nothing sensible follows: a quotient that is infinite, or no number, may vanish in a
comparison or a `clamp` without a trace. So no divisor may be zero in this way. Most are proved not to be, by the
extents of values under the conditions around them; of the others, `Divisor` says what has to be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ppl.core import ir, poly
from ppl.core.extent import Extent
from ppl.core.fuse import is_elementwise
from ppl.core.reads import reached, sources_of
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extents, Literal
from ppl.language.functions import FUNCTIONS

DIVISORS: Mapping[str, int] = {"div": 1, "floordiv": 1, "mod": 1, "inv": 0, "pow": 0}  # which operand divides


def note(ctx: Context, e: ir.Op) -> None:
    """Keeps a division until the program is known as a whole."""
    operand = DIVISORS.get(e.op)
    if operand is None or e.span is None or not e.args[operand].random:
        return
    if e.op == "pow" and isinstance(e.args[1], ir.Lit) and e.args[1].value >= 0:
        return
    ctx.divisions.append((e, ctx.mask, ctx.loops))


def suspects(ctx: Context, body: tuple[ir.Statement, ...]) -> list[ir.Divisor]:
    """The divisions by something that whole numbers have a part in, not looked at more closely."""
    if not ctx.divisions:
        return []
    loops = {s.id: replace(s, body=(), carries=(), reductions=(), collects=()) for _, s in ir.blocks(body)
             if isinstance(s, ir.Loop)}  # fmt: skip
    whole = _Whole(ctx, body)
    out: list[ir.Divisor] = []
    for e, mask, around in ctx.divisions:
        d = e.args[DIVISORS[e.op]]
        if whole.has_part_in(d):
            assert e.span is not None
            if e.op == "pow":
                negative = ir.Op("lt", (e.args[1], ir.literal(0)), ir.BOOL, e.args[1].random)
                mask = ir.conjunction(mask, negative)
            out.append(ir.Divisor(e.op, d, (d,), mask, tuple(loops[i] for i in around if i in loops), e.span))
    return out


def look(ctx: Context, extents: Extents, body: tuple[ir.Statement, ...], found: Iterable[ir.Divisor]) -> None:
    """Enters in `ctx.divisors` those that may be zero."""
    whole = _Whole(ctx, body)
    for d in found:
        given = extents.conditions(d.mask)
        if d.op == "pow" and _never(extents, d.mask, given):
            continue
        x = extents.at(d.value, given)
        parts = None if x.positive or x.negative else whole.parts(d.value)
        if parts is not None:
            ctx.divisors.append(_Closed(ctx, whole, d, parts).divisor(lambda e: extents.at(e, given)))  # noqa: B023


def _never(extents: Extents, mask: ir.Expr | None, given: tuple[Literal, ...]) -> bool:
    """Whether the exponent, which the last condition of a mask compares with 0, is never negative."""
    last = mask.args[1] if isinstance(mask, ir.Op) and mask.op == "and" else mask
    return isinstance(last, ir.Op) and last.op == "lt" and extents.at(last.args[0], given).lo >= 0


@dataclass
class _Whole:
    """Which values whole numbers decide, through variables and what loops carry."""

    ctx: Context
    body: tuple[ir.Statement, ...]

    def __post_init__(self) -> None:
        self.sources: dict[str, list[ir.Expr]] = {}
        for _, s in ir.blocks(self.body):
            for name, e in sources_of(s):
                self.sources.setdefault(name, []).append(e)
        self.partly = self.names(lambda x: x.random and x.type.base == "int")
        self.moved = self.names(self.is_real)

    def names(self, found: Callable[[ir.Expr], bool]) -> set[str]:
        """The variables and arrays that come from such a value; in the order of the program, and what loops carry."""
        out: set[str] = set()
        before = -1
        while before < len(out):
            before = len(out)
            for name, values in self.sources.items():
                if name not in out and any(_reads(e, found, out) for e in values):
                    out.add(name)
        return out

    def is_real(self, x: ir.Expr) -> bool:
        site = self.ctx.sites.get(_name(x))
        return x.random and site is not None and site.support != "int"

    def has_part_in(self, e: ir.Expr) -> bool:
        return _reads(e, lambda x: x.random and x.type.base == "int", self.partly)

    def alone(self, e: ir.Expr) -> bool:
        """Whether nothing but whole numbers and outcomes of guards decides a value."""
        return not _reads(e, self.is_real, self.moved)

    def parts(self, d: ir.Expr) -> tuple[ir.Expr, ...] | None:
        """Values of whole numbers that are all zero where `d` is, but for a set of probability zero; None if `d` is not
        zero with any probability. Nothing (so all of nothing) where that is not known."""
        if any(isinstance(x, ir.Op) and any(a.type.dims for a in x.args) and not is_elementwise(x) for x in ir.walk(d)):
            return ()
        groups: dict[poly.Monomial, dict[poly.Monomial, float]] = {}
        for m, c in self.ctx.normal(d).items():
            moving = tuple(item for item in m if not self.alone(item[0]))
            groups.setdefault(moving, {})[tuple(item for item in m if item not in moving)] = c
        if any(m and poly.is_constant(q) and all(self.spread(a) for a, _ in m) for m, q in groups.items()):
            return None
        if not all(self.spread(a) for m in groups for a, _ in m):
            return ()
        return tuple(poly.to_expr(q) for q in groups.values())

    def spread(self, a: ir.Expr) -> bool:
        """Whether an atom that real latents move equals any given number with probability zero, as far as is known."""
        if isinstance(a, ir.Cell):  # one of several values, maybe
            return not any(self.has_part_in(e) and self.alone(e) for e in self.sources.get(a.array, ()))
        if not isinstance(a, ir.Op) or not self.has_part_in(a):
            return True
        if a.op == "pow" and isinstance(a.args[1], ir.Lit) and a.args[1].value != 0:
            return self.parts(a.args[0]) is None
        if len(a.args) != 1 or a.op not in FUNCTIONS or FUNCTIONS[a.op].kind != "elementwise":
            return False
        return self.parts(a.args[0]) is None


def _name(x: ir.Expr) -> str:
    return x.name if isinstance(x, ir.Var) else x.array if isinstance(x, ir.Cell) else ""


def _reads(e: ir.Expr, found: Callable[[ir.Expr], bool], names: set[str]) -> bool:
    return any(found(x) or _name(x) in names for x in ir.walk(e))


@dataclass
class _Closed:
    """A divisor with all that it refers to, so that no later phase has to rewrite it."""

    ctx: Context
    whole: _Whole
    d: ir.Divisor
    parts: tuple[ir.Expr, ...]

    def behind(self, x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        match x:
            case ir.GuardRef():
                g = self.ctx.guards[x.index]
                return f"guard {x.index}", (g.value, *(() if g.outcomes is None else (g.outcomes,)))
            case ir.Var() | ir.Cell():
                name = _name(x)
                return name, (*self.whole.sources.get(name, ()), *self.ctx.site_bounds.get(name, ()))
            case _:
                return None

    def divisor(self, extent: Callable[[ir.Expr], Extent]) -> ir.Divisor:
        starts = [self.d.value, *self.parts, *(() if self.d.mask is None else (self.d.mask,))]
        for loop in self.d.loops:
            starts += [loop.lo, loop.hi, *(() if loop.mask is None else (loop.mask,))]
        everything = list(dict.fromkeys(reached(starts, self.behind)))
        names = [x.name for x in everything if isinstance(x, ir.Var) and x.name in self.ctx.definitions]
        guards = sorted({x.index for x in everything if isinstance(x, ir.GuardRef)})
        return replace(
            self.d,
            parts=self.parts,
            reads_data=any(isinstance(x, ir.DataRef) for x in everything),
            definitions=tuple((name, self.ctx.definitions[name]) for name in names),
            guards=tuple(self.ctx.guards[k] for k in guards),
            reach=tuple((x, extent(x)) for x in everything if x.random and x.type.base in ("int", "real")
                        and isinstance(x, ir.Var | ir.Cell | ir.GuardRef)),
        )  # fmt: skip
