"""Whether a number may be zero, or constant, on more than a surface: where a branch, a function such as relu, an
element that was assigned, a datum or an index makes it so, whatever the latents are.

A number is taken apart into the normal forms that it has (`Rests.pieces`), each of them on a region. What data may make
of one of these is a further piece: ``d[i] * z`` is 0 where ``d[i]`` is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ppl.core import ir, poly
from ppl.core.extent import sign_of
from ppl.core.functions import KNOWN
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extents, Literal
from ppl.elaborate.origins import Origins, name_of

MOST_PIECES = 32
VARYING = ir.Var("varying", ir.REAL, True)


@dataclass
class Rests:
    ctx: Context
    extents: Extents
    origins: Origins

    def zero(self, u: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number may be zero on a region."""
        if not u.random or u.type.dims or u.type.base == "int" or sign_of(self.extents.at(u, given)):
            return False
        return any(self.settles(p) and self.may_be_zero(p) for p in self.pieces(self.ctx.normal(u)))

    def pieces(self, p: poly.Poly, most: int = MOST_PIECES, seen: frozenset[str] = frozenset()) -> list[poly.Poly]:
        """The normal forms that a number has, each on a region; a zero too if they are more than `most`.

        `seen`: state and arrays that were looked behind. They may be any number of their own then."""
        for a in poly.atoms(p):
            choices = self.choices(a, most, seen)
            if choices is None:
                continue
            name = name_of(a)
            behind = seen if name is None else seen | {name}
            out: list[poly.Poly] = []
            for c in choices:
                out += self.pieces(poly.substitute(p, {a: c}), most - len(out), behind)
                if len(out) >= most:
                    return [*out, {}]
            return out
        rest = self.left(p)
        return [p] if rest is None or self.settles(p) else [p, rest]

    def choices(self, a: ir.Expr, most: int, seen: frozenset[str]) -> list[poly.Poly] | None:
        """The forms that an atom has; None if it is one whatever the latents are."""
        normal = self.ctx.normal
        match a:
            case _ if not _moves(a):
                return None
            case ir.Op(op="max" | "min", args=(x, y)):
                return [normal(x), normal(y)]
            case ir.Op(op="clamp", args=(x, lo, hi)):
                return [normal(x), normal(lo), normal(hi)]
            case ir.Op(op="relu", args=(x,)):
                return [normal(x), {}]
            case ir.Op(op="abs", args=(x,)):
                return [normal(x), poly.add({}, normal(x), -1.0)]
            case ir.Select():
                return [normal(a.then), normal(a.orelse)]
            case ir.Var() | ir.Cell() if (name := name_of(a)) in self.origins.forms:
                assert name is not None
                if name in seen:
                    return [_anything(name)]
                own = [poly.atom(ir.Var(f"{name}[]", ir.REAL, True))] if name in self.ctx.sites else []
                return own + [normal(x) for x in self.origins.forms[name]]
            case ir.Op(op=op, args=(x,)) if op in KNOWN and not x.type.dims:
                inner = self.pieces(normal(x), most, seen)
                fixed = [p for p in inner if self.settles(p)]
                if not fixed:
                    return None
                other = [poly.atom(VARYING)] if len(fixed) < len(inner) else []
                values = [_applied(op, poly.value(p)) for p in fixed if poly.is_constant(p)]
                unknown = [_anything(op)] if len(values) < len(fixed) and not sign_of(KNOWN[op].values) else []
                return other + unknown + [poly.constant(v) for v in values if math.isfinite(v)]
            case _:
                return None

    def settles(self, p: poly.Poly) -> bool:
        """Whether no latent moves a normal form, but for whole numbers, which are constant between their jumps."""
        return not any(_moves(a) for a in poly.atoms(p))

    def left(self, p: poly.Poly) -> poly.Poly | None:
        """What is left of a normal form where data make the coefficients of all latents zero; None if they do not."""
        groups = poly.coefficients(p, _moves)
        rest = groups.pop((), {})
        return rest if all(self.may_be_zero(q) for q in groups.values()) else None

    def may_be_zero(self, q: poly.Poly) -> bool:
        """Whether data and whole numbers may make a number zero that no latent moves."""
        if poly.is_constant(q):
            return not q or poly.value(q) == 0
        if len(q) == 1:
            return any(not self.nonzero(a) for a, _ in next(iter(q)))
        return not sign_of(self.extents.of(poly.to_expr(q)))

    def nonzero(self, datum: ir.Expr) -> bool:
        return (isinstance(datum, ir.Op) and datum.op == "inv") or bool(sign_of(self.extents.of(datum)))


def _moves(a: ir.Expr) -> bool:
    return a.random and a.type.base != "int"


def _anything(name: str) -> poly.Poly:
    """A number of which nothing is known but that the latents in sight do not move it."""
    return poly.atom(ir.Var(f"{name} as it is", ir.REAL, False))


def _applied(op: str, x: float) -> float:
    try:
        return KNOWN[op].at(x)
    except (ArithmeticError, ValueError):
        return math.nan
