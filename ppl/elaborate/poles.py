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

from ppl.core import ir, poly
from ppl.core.functions import KNOWN
from ppl.core.reads import live_expressions, sources_of
from ppl.diagnostics import PplError, Span, in_source_order
from ppl.elaborate import expressions, zeros
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extent, Extents, Literal
from ppl.elaborate.signs import FLAT, both

WATCHED = ("div", "mul", "inv", "pow", "atan2", "tan", "digamma", "add", "sub", "dot", "prod", "matmul", "outer")
HARMLESS = ("mul", "add", "sub", "dot", "prod", "matmul", "outer")  # where none of the others is in the program
ASIDE = ("beside", "sided", "within")  # what a value reads as, at the side of a pole that further operands say
MATRICES = ("solve", "solve_lower", "inverse")
# What an operation needs a guard for: the sign of an operand by its place, or the poles between which its argument is.
FIRST, SECOND, PLACE = 0, 1, 2
ZERO = {FIRST: 3, SECOND: 4}  # or whether an operand, by its place, is zero: it may be so on a region
EVEN = ("abs", "square", "sqrt", "relu")
BOUNDED = (
    *(name for name, f in KNOWN.items() if f.bounded), "atan2", "floordiv", "mod",
    "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "length", *MATRICES,
)  # fmt: skip


# ------------------------------------------------------------------- what is lacking


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
    reads = _Reads(ctx)
    reads.add(body)
    looker = _Looker(ctx, extents, reads)
    looker.prepare(body)
    for e, mask in found:
        looker.visit(e, extents.conditions(mask))


STATE = "a value that is not written out"  # what loops carry or collect, and arrays that are filled
MOST_LEAVES, MOST_CORNERS, MOST_PIECES, MAX_POLES = 64, 16, 32, 200


@dataclass
class _Reads:
    """What variables depend on, in the order of the program, so that long chains of them are gone through once."""

    ctx: Context
    leaves: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    flats: set[str] = field(default_factory=set[str])
    bents: set[str] = field(default_factory=set[str])
    elements: dict[str, list[ir.Expr]] = field(default_factory=dict[str, list[ir.Expr]])  # of arrays

    def add(self, body: tuple[ir.Statement, ...]) -> None:
        """Finds what variables and arrays depend on, starting from nothing, until what arrays hold is stable."""
        sources: list[tuple[str, ir.Expr, bool]] = []  # the last: an element of an array
        for _, s in ir.blocks(body):
            match s:
                case ir.Let():
                    sources.append((s.var.name, s.value, False))
                    self.bents |= {s.var.name} if s.var.type.dims else set()
                case ir.Fill():
                    sources.append((s.array, s.value, True))
                    self.elements.setdefault(s.array, []).append(s.value)
                case ir.Decide():
                    sources.append((f"guard {s.index}", self.ctx.guards[s.index].value, False))
                case ir.Loop():
                    sources += [(c.final.name, c.element, True) for c in s.collects]
                case _:
                    pass
        self.leaves = {name: frozenset({name} if name in self.ctx.sites else ()) for name, *_ in sources}
        # An element is one of several values, of which some may be data or zero, whatever latents do.
        several = {name for name, values in self.elements.items() if len(values) > 1 or name in self.ctx.sites}
        self.flats |= several | {name for name, values in self.elements.items() if not all(v.random for v in values)}
        changed = True
        while changed:
            changed = False
            for name, e, element in sources:
                before = self.leaves[name], name in self.flats, name in self.bents
                if before[0] != frozenset({STATE}):
                    self.leaves[name] = _few(before[0] | self.of(e))
                if self.flat(e):
                    self.flats.add(name)
                if element and self.bent(e):
                    self.bents.add(name)
                changed |= before != (self.leaves[name], name in self.flats, name in self.bents)

    def of(self, e: ir.Expr) -> frozenset[str]:
        """The sites that decide a value, and `STATE`; `STATE` alone if they are many."""
        out: frozenset[str] = frozenset()
        for x in ir.walk(e):
            match x:
                case ir.GuardRef():
                    out |= self.leaves.get(f"guard {x.index}", frozenset({STATE}))
                case ir.Outcome():
                    out |= {x.site}
                case ir.Var(random=True) | ir.Cell(random=True):
                    name = x.name if isinstance(x, ir.Var) else x.array
                    out |= self.leaves.get(name, frozenset({name if name in self.ctx.sites else STATE}))
                case _:
                    pass
        return _few(out)

    def bent(self, e: ir.Expr) -> bool:
        """Whether a number may be zero other than where an affine form of latents changes its sign."""
        p = self.ctx.normal(e)
        if any(sum(k for _, k in m) > 1 for m in p):
            return True
        names = [_name(x) for x in poly.atoms(p) if x.random]
        return any(n is None or n in self.bents or not (n in self.leaves or n in self.ctx.sites) for n in names)

    def flat(self, e: ir.Expr) -> bool:
        """Whether a number may be constant on more than a surface, where latents move that it reads."""
        queue = [e]
        while queue:
            x = queue.pop()
            queue += x.args[:1] if isinstance(x, ir.Op) and x.op in ASIDE else ir.children(x)
            match x:
                case ir.Select() | ir.GuardRef() | ir.Outcome():
                    return True
                case ir.Op() if x.op in FLAT:
                    return True
                case ir.Var(random=True) | ir.Cell(random=True):
                    name = x.name if isinstance(x, ir.Var) else x.array
                    if name in self.flats or not (name in self.leaves or name in self.ctx.sites):
                        return True
                case _:
                    pass
        return False


def _few(leaves: frozenset[str]) -> frozenset[str]:
    return leaves if len(leaves) <= MOST_LEAVES else frozenset({STATE})


def _name(e: ir.Expr) -> str | None:
    """The variable or array that a value is, or an element of."""
    match e:
        case ir.Var():
            return e.name
        case ir.Cell():
            return e.array
        case ir.Index():
            return _name(e.base)
        case _:
            return None


@dataclass
class _Looker:
    ctx: Context
    extents: Extents
    reads: _Reads
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
                    if x.random and self.infinite(other, given) and self.together(x, other)
                    and not _sign(self.extents.at(x, given))
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
        touches = n.random and not _sign(self.extents.at(n, given)) and self.touches(d, given)
        return [FIRST, *out] if touches and (self.together(n, d) or self.reads.flat(d)) else out

    def of_angle(self, y: ir.Expr, x: ir.Expr, given: tuple[Literal, ...]) -> list[int]:
        """The cut is where y changes sign and x is negative; where y is zero, the angle jumps with the sign of x."""
        if self.extents.at(x, given).positive or _sign(self.extents.at(y, given)):
            return []
        out = [FIRST] if self.crosses(y, given) else []
        out += self.zero(FIRST, y, given) + self.zero(SECOND, x, given)
        if x.random and (not y.random or (self.touches(y, given) and (self.together(y, x) or self.reads.flat(y)))):
            return [*out, SECOND]
        return out

    def crosses(self, d: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number may change its sign."""
        return d.random and d.type.base != "int" and not self.extents.at(d, given).one_sided

    def touches(self, d: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether a number may be zero other than by a change of sign, where the sign of an affine form changes."""
        if not d.random or _sign(self.extents.at(d, given)):
            return False
        return self.reads.flat(d) or self.reads.bent(d)

    def zero(self, place: int, u: ir.Expr, given: tuple[Literal, ...]) -> list[int]:
        """What an operand needs that may be zero on a region."""
        scalar = u.random and not u.type.dims and u.type.base != "int"
        if not scalar or _sign(self.extents.at(u, given)) or not self.reads.flat(u):
            return []
        return [ZERO[place]] if any(not p for p in self.pieces(self.ctx.normal(u))) else []

    def pieces(self, p: poly.Poly, most: int = MOST_PIECES) -> list[poly.Poly]:
        """The normal forms that a number has, each on a region; a zero too if they are more than `most`."""
        for a in poly.atoms(p):
            choices = self.choices(a, most)
            if choices is None:
                continue
            out: list[poly.Poly] = []
            for c in choices:
                out += self.pieces(poly.substitute(p, {a: c}), most - len(out))
                if len(out) >= most:
                    return [*out, {}]
            return out
        return [p]

    def choices(self, a: ir.Expr, most: int) -> list[poly.Poly] | None:
        """The forms that an atom has; None if it is one whatever the latents are."""
        normal = self.ctx.normal
        match a:
            case _ if not a.random:
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
            case ir.Cell() if a.array in self.reads.elements and a.array in self.reads.flats:
                own = [poly.atom(ir.Var(f"{a.array}[]", ir.REAL, True))] if a.array in self.ctx.sites else []
                return own + [normal(x) for x in self.reads.elements[a.array]]
            case ir.Op(op=op, args=(x,)) if op in KNOWN and not x.type.dims and self.reads.flat(x):
                inner = self.pieces(normal(x), most)
                values = [_applied(op, poly.value(q)) for q in inner if poly.is_constant(q)]
                other = [poly.atom(ir.Var("varying", ir.REAL, True))] if len(values) < len(inner) else []
                return other + [poly.constant(v) for v in values if math.isfinite(v)]
            case _:
                return None

    def together(self, a: ir.Expr, b: ir.Expr) -> bool:
        """Whether one latent may move both."""
        mine, other = self.reads.of(a), self.reads.of(b)
        return bool(mine and other) and (STATE in mine | other or bool(mine & other))

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
                negative = y.lo < 0 and base.random and not _sign(x)
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
            return bool(_sign(self.extents.at(a, given)))
        far = [x for x in a.items if self.infinite(x, given)]
        free = [x for x in a.items if x.random and not _sign(self.extents.at(x, given))]
        return not any(self.together(x, y) for x in far for y in free if x is not y)

    def may_cancel(self, op: str, a: ir.Expr, b: ir.Expr, given: tuple[Literal, ...]) -> bool:
        """Whether the two parts of a sum may be infinite at one pole, with opposite signs. (Not sums over iterations:
        these have poles of their own.)"""
        if not (self.infinite(a, given) and self.infinite(b, given) and self.reads.of(a) & self.reads.of(b) - {STATE}):
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
                return bool(_sign(self.extents.of(a)))
            case ir.Op(op="matmul", args=(a, b)) if len(a.type.dims) == len(b.type.dims) == 2:
                return self.regular(a) and self.regular(b)
            case _:
                return False


def _applied(op: str, x: float) -> float:
    try:
        return KNOWN[op].at(x)
    except (ArithmeticError, ValueError):
        return math.nan


def _sign(x: Extent) -> int:
    """The sign of what is not zero, else 0."""
    return 1 if x.positive else -1 if x.negative else 0


# ------------------------------------------------------------------- putting it there


def sided(ctx: Context, e: ir.Op) -> ir.Expr:
    """`e` with the guards that an earlier elaboration found lacking."""
    zeros.note(ctx, e)
    keys = ctx.facts.poles.get(e.span, frozenset()) if e.span is not None and e.random else frozenset[int]()
    if not keys or e.span is None:
        return e
    if not all(x.type.scalar for x in (e, *e.args)):
        hints = {"dot": "write it as a sum, `sum([a[i] * b[i] for i in 0..n])`", "prod": "multiply in a loop"}
        return ctx.error(
            "PPL205", f"`{ctx.text(e.span)}` jumps where an element of it has a pole, which depends on a latent",
            e.span, hints.get(e.op, "use a comprehension, such as `[a[i] / b[i] for i in 0..n]`"),
        )  # fmt: skip
    if PLACE in keys:
        return _between(ctx, e) if e.args[0].random else e
    sides = frozenset[int]() if e.op in ("add", "sub") else keys
    args = tuple(side(ctx, a, e) if k in sides and a.random else a for k, a in enumerate(e.args))
    at_zero = tuple(k for k, key in ZERO.items() if key in keys and e.args[k].random)
    out = _where_zero(ctx, ir.Op(e.op, args, e.type, e.random, e.span), e, at_zero)
    both = FIRST in keys and e.op in ("div", "mul", "atan2", "add", "sub")
    corners = [u for a in e.args for u in _corners(ctx, a)] if both else []
    signs = [x for x in dict.fromkeys(positive(ctx, u, e) for u in corners) if not isinstance(x, ir.Lit)]
    return ir.Op("sided", (out, *signs), e.type, True, e.span) if signs else out


def _where_zero(ctx: Context, out: ir.Expr, e: ir.Op, zeros: tuple[int, ...]) -> ir.Expr:
    """`out`, which stands for `e`, with cases of their own where operands are zero, and be it on a region: what they
    read moves nothing there."""
    if not zeros or not isinstance(out, ir.Op):
        return out
    assert e.span is not None
    k, *others = zeros
    minus = ir.Op("neg", (e.args[k],), ir.REAL, True)
    is_zero = both(*(ir.negate(positive(ctx, u, e)) for u in (e.args[k], minus)))
    if isinstance(is_zero, ir.Lit):
        return _where_zero(ctx, out, e, tuple(others))
    is_zero = ctx.let("zero", is_zero, e.span)
    zero = ir.Op("to_real", (ir.literal(0),), ir.REAL, False)
    match e.op:
        case "div":
            there: ir.Expr = ir.Op("over_zero", (out.args[0],), ir.REAL, True, e.span)
        case "inv" | "pow":
            there = ir.Op("over_zero", (ir.literal(1),), ir.REAL, True, e.span)
        case _:
            args = (*out.args[:k], zero, *out.args[k + 1 :])
            there = _where_zero(ctx, ir.Op(e.op, args, e.type, e.random, e.span), e, tuple(others))
    return ir.Select(is_zero, there, _where_zero(ctx, out, e, tuple(others)), e.type, True)


def _corners(ctx: Context, e: ir.Expr) -> list[ir.Expr]:
    """Where a number may have a corner, or a double zero, as expressions that are zero there; the first few of them."""
    out: list[ir.Expr] = []
    seen: set[str] = set()
    queue = [e]
    while queue and len(out) < MOST_CORNERS:
        d = queue.pop(0)
        if not d.random or d.type.dims:
            continue
        match d:
            case ir.Op(args=(a,)) if d.op in EVEN:
                out.append(a)
            case ir.Op(op="max" | "min", args=(a, b)):
                out.append(ir.Op("sub", (a, b), ir.REAL, True))
            case ir.Op(op="mul", args=(a, b)) if a == b:
                out.append(a)
            case ir.Op(op="pow", args=(a, ir.Lit())):
                out.append(a)
            case _:
                pass
        if isinstance(d, ir.Var) and d.name in ctx.definitions and d.name not in seen:
            seen.add(d.name)
            queue.append(ctx.definitions[d.name])
        elif isinstance(d, ir.Op):
            queue += d.args
    return list(dict.fromkeys(out))


def side(ctx: Context, u: ir.Expr, e: ir.Op) -> ir.Expr:
    """`u`, on the side of zero that a guard says."""
    assert e.span is not None
    above = positive(ctx, u, e)
    if isinstance(above, ir.Lit) or (isinstance(u, ir.Op) and u.op == "beside"):
        return u
    real = u if u.type.base == "real" else ir.Op("to_real", (u,), ir.REAL, u.random)
    return ir.Op("beside", (real, above), ir.REAL, True, e.span)


def positive(ctx: Context, u: ir.Expr, e: ir.Op) -> ir.Expr:
    """Whether ``u > 0``; asked once for all operations in one place."""
    assert e.span is not None
    key = (tuple(poly.ordered(ctx.normal(u))), ctx.loops, ctx.mask)
    if key not in ctx.sides:
        found = expressions.new_guard(ctx, ">", u, ir.literal(0), e.span, pole=True)
        ctx.sides[key] = ctx.let("side", found, e.span)
    return ctx.sides[key]


def count(ctx: Context, span: Span) -> None:
    """Refuses a program with more poles than could be looked at in reasonable time."""
    if len(ctx.sides) > MAX_POLES:
        ctx.sink.error(
            "PPL703", f"more than {MAX_POLES} values of the program may have a pole", span,
            "where a denominator stays away from zero, say so: `max(d, 0.001)`",
        )  # fmt: skip
        raise PplError(in_source_order(ctx.sink.items), ctx.sink.sources)


def _between(ctx: Context, e: ir.Op) -> ir.Expr:
    """`tan` or `digamma` of its argument, between the two poles that a guard with levels says."""
    assert e.span is not None
    u, one = e.args[0], ir.literal(1)
    width, shift = (math.pi, 0.5) if e.op == "tan" else (1.0, 0.0)

    def scaled(x: ir.Expr, factor: float, add: float) -> ir.Expr:
        product = ir.Op("mul", (x, ir.literal(factor)), ir.REAL, True)
        return ir.Op("add", (product, ir.literal(add)), ir.REAL, True)

    key = (tuple(poly.ordered(ctx.normal(u))), ctx.loops, ctx.mask, e.op)
    if key not in ctx.sides:
        place = scaled(u, 1 / width, shift)
        ctx.sides[key] = expressions.floor(ctx, place, f"poles of {ctx.text(e.span)}", e.span, pole=True)
    level = ctx.sides[key]
    above = ir.Op("add", (level, one), ir.INT, True)
    ends = [scaled(k, width, -shift * width) for k in (level, above)]
    return ir.Op(e.op, (ir.Op("within", (u, *ends), ir.REAL, True, e.span),), e.type, True, e.span)
