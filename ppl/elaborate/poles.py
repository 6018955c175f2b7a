"""Values that jump although no comparison decides them: at a pole of a quotient, a negative power, tan or digamma, and
at the cut of atan2.

``tanh(1 / x)`` jumps at ``x = 0``. So the sign of x becomes a guard there, and the quotient reads ``beside(x, guard)``:
x, on the side of zero that the guard says. That is x itself, except where a path decides otherwise than the value, and
there it is the mirror image of x. Between which multiples of pi the argument of a tangent lies is such a guard with
levels. Where a denominator touches zero, ``x / abs(x)``, the quotient jumps with the sign of what is above it, and with
the signs of arguments of `abs` and its like, ``(2 * abs(x) + x) / abs(x)``: it reads ``sided(quotient, guard, ...)``,
which is the quotient.

Whether an operand can be zero is known only when the whole program is: `look` finds out what an elaboration lacks, and
in the next one `sided` puts it there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ppl.core import ir
from ppl.core.extent import sign_of
from ppl.core.functions import KNOWN
from ppl.core.reads import live_expressions, sources_of
from ppl.elaborate import zeros
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extents, Literal
from ppl.elaborate.origins import STATE, Origins
from ppl.elaborate.rests import Rests
from ppl.elaborate.sides import FIRST, PLACE, SECOND, ZERO

WATCHED = ("div", "mul", "inv", "pow", "atan2", "tan", "digamma", "add", "sub", "dot", "prod", "matmul", "outer")
HARMLESS = ("mul", "add", "sub", "dot", "prod", "matmul", "outer")  # where none of the others is in the program
MATRICES = ("solve", "solve_lower", "inverse")
BOUNDED = (
    *(name for name, f in KNOWN.items() if f.bounded), "atan2", "floordiv", "mod",
    "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "length", *MATRICES,
)  # fmt: skip


def look(ctx: Context) -> None:
    """Tells `ctx.facts` of all operations in the program that may jump at a pole or cut, enters divisors that may be
    zero (see `zeros`), and warns of matrices whose determinant may be zero."""
    body = tuple(ctx.block)
    found = list(live_expressions(body, ctx.guards))
    divisors = zeros.suspects(ctx, body)
    watched = {*WATCHED, *MATRICES}.difference(HARMLESS)
    poles = any(isinstance(x, ir.Op) and x.random and x.op in watched for e, _ in found for x in ir.walk(e))
    if not poles and not divisors:
        return
    extents = Extents(ctx)
    extents.settle(body)
    zeros.look(ctx, extents, body, divisors)
    origins = Origins(ctx)
    origins.add(body)
    looker = _Looker(ctx, extents, origins, Rests(ctx, extents, origins))
    looker.prepare(body)
    for e, mask in found:
        looker.visit(e, extents.conditions(mask))


@dataclass
class _Looker:
    ctx: Context
    extents: Extents
    origins: Origins
    rests: Rests
    poles: set[str] = field(default_factory=set[str])  # variables and arrays that may be infinite

    def prepare(self, body: tuple[ir.Statement, ...]) -> None:
        """Finds the variables with poles, in the order of the program and, for what loops carry, once more."""
        sources = [
            (name, e, self.extents.conditions(s.mask))
            for _, s in ir.blocks(body) if not isinstance(s, ir.Report) for name, e in sources_of(s)
        ]  # fmt: skip
        found = -1
        while found < len(self.poles):
            found = len(self.poles)
            for name, e, given in sources:
                if name not in self.poles and self.infinite(e, given):
                    self.poles.add(name)

    def visit(self, e: ir.Expr, given: tuple[Literal, ...]) -> None:
        match e:
            case ir.Select():
                self.visit(e.condition, given)
                self.visit(e.then, (*given, *self.extents.conditions(e.condition)))
                self.visit(e.orelse, (*given, *self.extents.conditions(ir.negate(e.condition))))
                return
            case ir.Op(op="and" | "or", args=(a, b)):
                self.visit(a, given)
                self.visit(b, (*given, *self.extents.conditions(a if e.op == "and" else ir.negate(a))))
                return
            case ir.Op() if e.random and e.span is not None and e.op in WATCHED:
                for key in self.lacking(e, given):
                    self.ctx.facts.pole(e.span, key)
            case ir.Op() if e.random and e.span is not None and e.op in MATRICES and not self.regular(e.args[0]):
                self.ctx.sink.warn(
                    "PPL404",
                    f"`{e.op}` jumps where the determinant of this matrix, which depends on a latent, is zero: no "
                    "boundary is taken there",
                    e.span,
                    "where it is positive definite, factor it: `solve_lower(cholesky(m), b)`",
                )
            case _:
                pass
        for x in ir.children(e):
            self.visit(x, given)

    def lacking(self, e: ir.Op, given: tuple[Literal, ...]) -> list[int]:
        """What must become a guard for this operation."""
        match e.op, e.args:
            case "tan", (u,):
                x = self.extents.at(u, given)
                return [] if not u.random or (-math.pi / 2 <= x.lo and x.hi <= math.pi / 2) else [PLACE]
            case "digamma", (u,):
                return [] if not u.random or self.extents.at(u, given).lo >= 0 else [PLACE]
            case "div", (n, d):
                return [*self.of_quotient(n, d, given), *self.zero(SECOND, d, given)]
            case "inv", (d,):
                return [*([FIRST] if self.crosses(d, given) else []), *self.zero(FIRST, d, given)]
            case "pow", (base, power):
                out = [FIRST] if self.negative_odd(power, given) and self.crosses(base, given) else []
                return out + (self.zero(FIRST, base, given) if self.extents.at(power, given).lo < 0 else [])
            case "mul" | "dot" | "matmul" | "outer", (a, b):
                return [
                    k for k, (x, other) in enumerate(((a, b), (b, a)))
                    if x.random and self.infinite(other, given) and self.origins.together(x, other)
                    and not sign_of(self.extents.at(x, given))
                ]  # fmt: skip
            case "prod", (a,):
                return [FIRST] if self.infinite(a, given) and not self.signed_beside(a, given) else []
            case "add" | "sub", (a, b):
                return [FIRST] if self.may_cancel(e.op, a, b, given) else []
            case "atan2", (y, x):
                return self.of_angle(y, x, given)
            case _:
                return []

    def of_quotient(self, n: ir.Expr, d: ir.Expr, given: tuple[Literal, ...]) -> list[int]:
        """Where the denominator changes sign and, in case it touches zero or is zero on a region, the numerator."""
        out = [SECOND] if self.crosses(d, given) else []
        touches = n.random and not sign_of(self.extents.at(n, given)) and self.touches(d, given)
        return [FIRST, *out] if touches and (self.origins.together(n, d) or self.rests.zero(d, given)) else out

    def of_angle(self, y: ir.Expr, x: ir.Expr, given: tuple[Literal, ...]) -> list[int]:
        """The cut is where y changes sign and x is negative; where y is zero, the angle jumps with the sign of x."""
        if self.extents.at(x, given).positive or sign_of(self.extents.at(y, given)):
            return []
        out = [FIRST] if self.crosses(y, given) else []
        out += self.zero(FIRST, y, given) + self.zero(SECOND, x, given)
        if x.random and (
            not y.random or (self.touches(y, given) and (self.origins.together(y, x) or self.rests.zero(y, given)))
        ):
            return [*out, SECOND]
        return out

    def crosses(self, d: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number may change its sign."""
        return d.random and d.type.base != "int" and not self.extents.at(d, given).one_sided

    def touches(self, d: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number may be zero other than by a change of sign, where the sign of an affine form changes."""
        if not d.random or sign_of(self.extents.at(d, given)):
            return False
        return self.rests.zero(d, given) or self.origins.bent(d)

    def zero(self, place: int, u: ir.Expr, given: tuple[Literal, ...]) -> list[int]:
        """What an operand needs that may be zero on a region."""
        return [ZERO[place]] if self.rests.zero(u, given) else []

    def negative_odd(self, power: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a power may be negative and, as far as is known, odd."""
        if isinstance(power, ir.Lit):
            return power.value < 0 and float(power.value) % 2 == 1
        return self.extents.at(power, given).lo < 0

    def infinite(self, e: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number, or an element of an array, may have a pole at which it does not change its sign."""
        match e:
            case _ if not e.random:
                return False
            case ir.Var():
                return e.name in self.poles
            case ir.Cell():
                return e.array in self.poles
            case ir.Op(op="div", args=(a, d)):
                return self.touches(d, given) or self.infinite(a, given)
            case ir.Op(op="inv" | "digamma", args=(d,)):
                return self.touches(d, given)
            case ir.Op(op="over_zero"):
                return True
            case ir.Op(op="pow", args=(base, power)):
                x, y = self.extents.at(base, given), self.extents.at(power, given)
                negative = y.lo < 0 and base.random and not sign_of(x)
                return negative or self.infinite(base, given) or self.infinite(power, given)
            case ir.Op() if e.op in BOUNDED:
                return False
            case ir.Op():
                return any(self.infinite(a, given) for a in e.args)
            case ir.Select():
                return any(self.infinite(a, given) for a in (e.then, e.orelse))
            case ir.Index() | ir.Slice():
                return self.infinite(e.base, given)
            case ir.Array():
                return any(self.infinite(a, given) for a in e.items)
            case _:
                return False

    def signed_beside(self, a: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether no element of an array may change its sign where another one is infinite."""
        if not isinstance(a, ir.Array):
            return bool(sign_of(self.extents.at(a, given)))
        far = [x for x in a.items if self.infinite(x, given)]
        free = [x for x in a.items if x.random and not sign_of(self.extents.at(x, given))]
        return not any(self.origins.together(x, y) for x in far for y in free if x is not y)

    def may_cancel(self, op: str, a: ir.Expr, b: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether the two parts of a sum may be infinite at one pole, with opposite signs. (Not sums over iterations:
        these have poles of their own.)"""
        if not (
            self.infinite(a, given) and self.infinite(b, given) and self.origins.of(a) & self.origins.of(b) - {STATE}
        ):
            return False
        x, y = self.extents.at(a, given), self.extents.at(b, given)
        y = -y if op == "sub" else y
        return not ((x.lo >= 0 and y.lo >= 0) or (x.hi <= 0 and y.hi <= 0))

    def regular(self, m: ir.Expr) -> bool:
        """Whether a matrix certainly has an inverse (or comes from data alone)."""
        match m:
            case _ if not m.random:
                return True
            case ir.Var() if m.name in self.ctx.definitions:
                return self.regular(self.ctx.definitions[m.name])
            case ir.Op(op="cholesky") | ir.Op(op="transform_cholesky_corr"):
                return True
            case ir.Op(op="inverse" | "transpose", args=(a,)):
                return self.regular(a)
            case ir.Op(op="diag", args=(a,)):
                return bool(sign_of(self.extents.of(a)))
            case ir.Op(op="matmul", args=(a, b)) if len(a.type.dims) == len(b.type.dims) == 2:
                return self.regular(a) and self.regular(b)
            case _:
                return False
