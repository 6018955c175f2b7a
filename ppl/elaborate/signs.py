"""A guard whose boundary has several components, or lies behind a function, as conditions on simpler guards.

``x * y > 0`` holds where x and y have one sign, ``x / y < 1`` also jumps at ``y = 0``, ``max(x, y) > c`` is an `or`,
``x^2 < x + 2`` lies between two roots, ``(x - y)^3 > 0``, which has no slope where it is zero, is ``x > y``,
``log(x) < 1`` is ``x < exp(1)``, and a comparison of a value that a branch on the same latent decided is one comparison
for each branch. Each component becomes a guard, so each gets a line.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ppl.core import ir, poly, sturm
from ppl.core.cases import cases
from ppl.core.extent import sign_of
from ppl.core.inverses import inverse
from ppl.core.reads import assigned, leaf_sites, reached
from ppl.core.rewrite import rebuild
from ppl.elaborate.context import Context
from ppl.elaborate.extents import Extents
from ppl.elaborate.factors import PRODUCTS, Signs, repeated, written

MAX_PARTS = 24  # a comparison with more components stays as it is (and is likely to be refused later)
MAX_DEGREE = 8
MAX_CASES = 8  # of data, in which a value is written
MAX_CHOICES = 6  # conditions on data in the slope of a latent, all outcomes of which are looked at
ROUNDING = 1e-12
FLAT = ("relu", "max", "min", "clamp", "floordiv", "mod")  # may be a constant where latents move
LEVELS = ("floor", "ceil", "round", "sign", "step")
POSITIVE = "positive"  # an operation that exists only between here and the caller; by a third operand it is masked


def parts_of(ctx: Context, value: ir.Expr, most: int = MAX_PARTS) -> ir.Expr | None:
    """A condition on simpler values that holds where ``value > 0``; None if `value` is as simple as it gets.

    The condition is made of `POSITIVE` operations on simpler values, which the caller turns into guards. Where there
    are more than `most`, a value with repeated factors has each of them once and any other stays as it is.
    """
    p = ctx.normal(value)
    if poly.is_constant(p):
        return positive(p)  # its latents cancel
    splitter = _Splitter(ctx)
    factors = written(ctx, value)
    out = splitter.sign(p) if factors is None else splitter.signed(factors)
    if splitter.steps == 0 and factors is None:
        return None
    if splitter.parts > MAX_PARTS or size(out) > most:
        factors = written(ctx, value) or repeated(p)
        return None if factors is None else splitter.unsplit(factors)
    return out


def size(condition: ir.Expr) -> int:
    """How many guards a condition takes."""
    return sum(isinstance(x, ir.Op) and x.op == POSITIVE for x in ir.walk(condition))


def positive(p: poly.Poly) -> ir.Expr:
    """The condition ``p > 0``."""
    random = any(a.random for a in poly.atoms(p))
    if poly.is_constant(p):
        return ir.literal(poly.value(p) > 0)
    return ir.Op(POSITIVE if random else "gt", (by_cases(p), ir.literal(0)), ir.BOOL, random)


def by_cases(p: poly.Poly, most: int = MAX_CASES) -> ir.Expr:
    """A polynomial as an expression in which an element is looked at only where the data say that it counts: elsewhere
    its index may be none of the array."""
    for a in of_data(p) if most > 1 else ():
        if any(a == x for m in p for x, _ in m if any(isinstance(y, ir.Cell | ir.Index) for y, _ in m)):
            on, off = (by_cases(poly.substitute(p, {a: poly.constant(x)}), most // 2) for x in (1.0, 0.0))
            return ir.Select(a.condition, on, off, ir.REAL, on.random or off.random)
    return poly.to_expr(p)


def both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    if ir.FALSE in (a, b):
        return ir.FALSE
    out = ir.conjunction(a, b)
    return ir.TRUE if out is None else out


def either(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.negate(both(ir.negate(a), ir.negate(b)))


def masked(condition: ir.Expr, mask: ir.Expr) -> ir.Expr:
    """A condition whose parts are looked at where `mask` holds: elsewhere an index in them may be none of the array."""

    def rule(e: ir.Expr) -> ir.Expr | None:
        if not isinstance(e, ir.Op) or e.op != POSITIVE:
            return None
        value, zero, *masks = e.args
        return replace(e, args=(value, zero, both(mask, *masks) if masks else mask))

    return rebuild(condition, rule)


def of_data(p: poly.Poly) -> list[ir.Select]:
    """The conditions on data in a polynomial, as numbers 1 and 0."""
    found = [a for a in poly.atoms(p) if isinstance(a, ir.Select) and not a.condition.random]
    return [a for a in found if a == poly.indicator(a.condition)]


def agree(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    """``a == b``, for conditions on continuous values."""
    for x, y in ((a, b), (b, a)):
        if isinstance(x, ir.Lit):
            return y if x.value else ir.negate(y)
    return either(both(a, b), both(ir.negate(a), ir.negate(b)))


class _Splitter:
    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.extents = Extents(ctx)  # of latents and functions: what variables are is not known yet
        self.steps = 0  # how often something was split
        self.parts = 0

    def sign(self, p: poly.Poly) -> ir.Expr:
        """The condition that `p` is positive."""
        if self.parts > MAX_PARTS or not any(a.random for a in poly.atoms(p)):
            self.parts += 1
            return positive(p)
        rules = (self.pole, self.factor, self.power, self.repeated, self.kink, self.branch, self.choice, self.roots,
                 self.function)  # fmt: skip
        for rule in rules:
            out = rule(p)
            if out is not None:
                self.steps += 1
                return out
        self.parts += 1
        return positive(p)

    def repeated(self, p: poly.Poly) -> ir.Expr | None:
        """A product of powers, of which the odd ones change their signs once each."""
        a = next(iter(p))[0][0] if len(p) == 1 and len(next(iter(p))) == 1 else None
        if a is None or not isinstance(a, ir.Op) or a.op not in PRODUCTS:
            factors = repeated(p)
        else:
            factors = written(self.ctx, poly.to_expr(p))  # too long to be multiplied out
        return None if factors is None else self.signed(factors)

    def signed(self, factors: Signs) -> ir.Expr:
        out = self.product(*factors.odd)
        for f in factors.even:
            out = both(self.not_zero(f), out)
        return out

    def not_zero(self, p: poly.Poly) -> ir.Expr:
        """The condition that a polynomial is not zero, TRUE where it is not almost everywhere: where a latent has a
        coefficient that is a number."""
        if not all(self.continuous(a) for a in poly.atoms(p) if a.random):
            return self.nonzero(p)
        fixed = [a for a in poly.atoms(p) if isinstance(a, ir.Var) or not a.random or _at_literals(a)]
        if len(fixed) == len(poly.atoms(p)) and any(m and all(a.random for a, _ in m) for m in p):
            return ir.TRUE
        square = ir.Op("square", (poly.to_expr(p),), ir.REAL, True)  # it is zero for some data, or nowhere
        self.parts += 1
        return ir.Op(POSITIVE, (square, ir.literal(0)), ir.BOOL, True)

    def unsplit(self, factors: Signs) -> ir.Expr:
        """The same as one guard, whatever can be split in it."""
        value = poly.to_expr(factors.odd[0])
        for p in factors.odd[1:]:
            f = poly.to_expr(p)
            value = ir.Op("mul", (value, f), ir.REAL, value.random or f.random)
        out = positive(factors.odd[0])
        if len(factors.odd) > 1:
            out = ir.Op(POSITIVE if value.random else "gt", (value, ir.literal(0)), ir.BOOL, value.random)
        for f in factors.even:
            out = both(self.not_zero(f), out)
        return out

    def pole(self, p: poly.Poly) -> ir.Expr | None:
        """Multiplied by a random denominator, whose own sign counts too."""
        for a in poly.atoms(p):
            if isinstance(a, ir.Op) and a.op == "inv" and a.random:
                power = max(dict(m).get(a, 0) for m in p)
                d = self.ctx.normal(a.args[0])
                cleared: poly.Poly = {}
                for m, c in p.items():
                    factor: poly.Poly = {tuple(x for x in m if x[0] != a): c}
                    for _ in range(power - dict(m).get(a, 0)):
                        factor = poly.mul(factor, d)
                    cleared = poly.add(cleared, factor)
                out = self.product(cleared, d) if power % 2 else self.sign(cleared)
                if power % 2 and self.rests(a.args[0]):  # an infinite quotient has the sign of what is divided
                    out = either(out, both(ir.negate(self.nonzero(d)), self.sign(cleared)))
                return out
        return None

    def rests(self, e: ir.Expr) -> bool:
        """Whether a value may be zero on a region as it is written, because of a branch or a function such as relu, of
        data, or as state or an element that was assigned anything."""
        return poly.may_vanish(self.ctx.normal(e)) or any(
            isinstance(x, ir.Select | ir.GuardRef | ir.Outcome)
            or (isinstance(x, ir.Op) and x.op in (*FLAT, *LEVELS))
            or (isinstance(x, ir.Var | ir.Cell) and x.random and not self.is_known(x))
            for x in reached((e,), assigned(self.ctx.definitions))
        )

    def is_known(self, x: ir.Var | ir.Cell) -> bool:
        """Whether a variable or element is a latent, or has a definition."""
        return (isinstance(x, ir.Var) and x.name in self.ctx.definitions) or self.ctx.latent(x) is not None

    def factor(self, p: poly.Poly) -> ir.Expr | None:
        """A latent factor common to all monomials."""
        for a in poly.atoms(p):
            power = min(dict(m).get(a, 0) for m in p)
            if power == 0 or not a.random or (len(p) == 1 and len(next(iter(p))) == 1 and power == 1):
                continue
            rest = {self.reduced(m, a, power): c for m, c in p.items()}
            if isinstance(a, ir.Select):  # an indicator
                return both(a.condition, self.sign(rest)) if a.then == ir.literal(1) else None
            if power % 2:
                return self.product(poly.atom(a), rest)
            return self.sign(rest) if self.continuous(a) else both(self.nonzero(poly.atom(a)), self.sign(rest))
        return None

    def power(self, p: poly.Poly) -> ir.Expr | None:
        """A power whose exponent is an integer of the data: that may be odd or even."""
        match list(p.items()):
            case [(((ir.Op(op="pow", args=(u, n)), 1),), c)] if n.type.base == "int" and not n.random:
                odd = ir.Op("eq", (ir.Op("mod", (n, ir.literal(2)), ir.INT, False), ir.literal(1)), ir.BOOL, False)
                base = self.ctx.normal(u)
                if c < 0:
                    return both(odd, self.sign(poly.add({}, base, -1.0)))
                return either(both(odd, self.sign(base)), both(ir.negate(odd), self.not_zero(base)))
            case _:
                return None

    def product(self, first: poly.Poly, *others: poly.Poly) -> ir.Expr:
        """The condition that a product is positive, false where a factor of it is zero."""
        factors = [(p, sign_of(self.extents.of(poly.to_expr(p)))) for p in (first, *others)]
        unknown = [p for p, sign in factors if not sign]
        if len(unknown) < len(factors):  # a scale, or exp(x)
            negative = sum(sign < 0 for _, sign in factors) % 2 == 1
            if not unknown:
                return ir.literal(not negative)
            first, others = poly.add({}, unknown[0], -1.0 if negative else 1.0), tuple(unknown[1:])
        if not others:
            return self.sign(first)
        minus = [poly.add({}, x, -1.0) for x in (first, others[0])]
        below = both(self.sign(minus[0]), self.product(minus[1], *others[1:]))
        return either(both(self.sign(first), self.product(*others)), below)

    def nonzero(self, p: poly.Poly) -> ir.Expr:
        return either(self.sign(p), self.sign(poly.add({}, p, -1.0)))

    def continuous(self, a: ir.Expr) -> bool:
        """Whether an atom is a latent, which equals a given number with probability zero only."""
        site = self.ctx.latent(a)
        return site is not None and site.support != "int"

    @staticmethod
    def reduced(m: poly.Monomial, a: ir.Expr, power: int) -> poly.Monomial:
        return tuple((e, k - power if e == a else k) for e, k in m if e != a or k > power)

    def kink(self, p: poly.Poly) -> ir.Expr | None:
        """max, min, abs, relu and clamp, where they enter with a constant factor."""
        for a in poly.atoms(p):
            choices = self.choices(a)
            split = poly.split_affine(p, a) if choices is not None else None
            if choices is None or split is None or not poly.is_constant(split[0]):
                continue
            kind, values = choices
            slope = poly.value(split[0])
            conditions = [self.sign(poly.add(split[1], self.ctx.normal(v), slope)) for v in values]
            join = either if (kind == "max") == (slope > 0) else both
            return join(conditions[0], conditions[1])
        return None

    def choices(self, a: ir.Expr) -> tuple[str, tuple[ir.Expr, ir.Expr]] | None:
        """`a` as the larger ("max") or smaller ("min") of two values."""
        if not isinstance(a, ir.Op) or not a.random or any(x.type.dims for x in a.args):
            return None
        match a.op, a.args:
            case "max" | "min", (x, y):
                return a.op, (x, y)
            case "abs", (x,):
                return "max", (x, ir.Op("neg", (x,), x.type, x.random))
            case "relu", (x,):
                return "max", (x, ir.literal(0))
            case "clamp", (x, lo, hi):
                return "min", (ir.Op("max", (x, lo), ir.REAL, True), hi)
            case _:
                return None

    def branch(self, p: poly.Poly) -> ir.Expr | None:
        """A value that a branch decided on the very latents the guard would be crossed along."""
        for a in poly.atoms(p):
            if not isinstance(a, ir.Select) or not a.condition.random or a.then.type.base == "bool":
                continue
            if a.then != ir.literal(1) or a.orelse != ir.literal(0):
                continue
            decided = leaf_sites(a.condition, self.ctx.definitions, self.ctx.guards)
            free = {x for b in poly.atoms(p) if b != a for x in leaf_sites(b, self.ctx.definitions, self.ctx.guards)}
            if not decided or not free or free - decided:
                continue  # another latent crosses it while the branch stays as it is
            on, off = (poly.substitute(p, {a: poly.constant(x)}) for x in (1.0, 0.0))
            return either(both(a.condition, self.sign(on)), both(ir.negate(a.condition), self.sign(off)))
        return None

    def choice(self, p: poly.Poly) -> ir.Expr | None:
        """A value for which data choose between latents, so that none of these moves it whatever the data are."""
        latents = [a for a in poly.atoms(p) if self.continuous(a)]
        found = [split[0] for a in latents if self.alone(a, latents) and (split := poly.split_affine(p, a))]
        slopes = [s for s in found if not any(a.random for a in poly.atoms(s))]
        chosen = of_data(p)
        if len(latents) < 2 or not chosen or (found and not slopes):
            return None

        def ends(s: poly.Poly, a: ir.Select) -> bool:
            return any(not poly.substitute(s, {a: poly.constant(x)}) for x in (1.0, 0.0))

        nested = any(sum(x in chosen for x, _ in m) > 1 for m in p)
        if not all(self.may_vanish(s, MAX_CHOICES if nested else 1) for s in slopes):
            return None  # a latent moves it always or, as in ``(if t == 0 ...) + (if t == n - 1 ...)``, nearly so
        first = next((a for a in chosen if all(ends(s, a) for s in slopes)), chosen[0])
        on, off = (self.sign(poly.substitute(p, {first: poly.constant(x)})) for x in (1.0, 0.0))
        other = ir.negate(first.condition)
        return either(both(first.condition, masked(on, first.condition)), both(other, masked(off, other)))

    def may_vanish(self, p: poly.Poly, most: int) -> bool:
        """Whether a polynomial is zero under some outcomes of its conditions on data, of which `most` hold."""
        largest = max((abs(c) for c in p.values()), default=1.0)
        chosen = of_data(p)[:MAX_CHOICES]
        for outcomes in cases([a.condition for a in chosen], self.ctx.definitions):
            values: dict[ir.Expr, poly.Poly] = {
                a: poly.constant(float(x)) for a, x in zip(chosen, outcomes, strict=True)
            }
            left = poly.substitute(p, values).values()
            if sum(outcomes) <= most and all(abs(c) < ROUNDING * largest for c in left):
                return True
        return False

    def alone(self, latent: ir.Expr, among: list[ir.Expr]) -> bool:
        """Whether a latent is certainly none of the others, as ``x[t]`` may be ``x[0]``."""

        def differ(a: ir.Expr, b: ir.Expr) -> bool:
            if not (isinstance(a, ir.Cell) and isinstance(b, ir.Cell) and a.array == b.array):
                return True
            gaps = [
                poly.add(self.ctx.normal(i), self.ctx.normal(j), -1.0)
                for i, j in zip(a.indices, b.indices, strict=True)
            ]
            return any(g and poly.is_constant(g) for g in gaps)

        return all(x == latent or differ(x, latent) for x in among)

    def roots(self, p: poly.Poly) -> ir.Expr | None:
        """A polynomial in one atom with constant coefficients: the product of its real linear factors."""
        atoms = poly.atoms(p)
        if len(atoms) != 1:
            return None
        x = atoms[0]
        if not self.continuous(x):
            return None
        powers = {(m[0][1] if m else 0): c for m, c in p.items()}
        degree = max(powers)
        if not 2 <= degree <= MAX_DEGREE:
            return None
        crossings = sturm.sign_changes([powers.get(k, 0.0) for k in range(degree + 1)])
        if crossings is None:
            return None
        out: ir.Expr = ir.literal(powers[degree] > 0)
        for r in crossings:
            out = agree(out, self.sign(poly.add(poly.atom(x), poly.constant(-rounded(r)))))
        return out

    def function(self, p: poly.Poly) -> ir.Expr | None:
        """``c * f(u) + k`` with an increasing f and a constant k: f is undone."""
        atoms = poly.atoms(p)
        if len(atoms) != 1 or not isinstance(atoms[0], ir.Op) or len(atoms[0].args) != 1 or atoms[0].args[0].type.dims:
            return None
        f, split = atoms[0], poly.split_affine(p, atoms[0])
        if split is None or not poly.is_constant(split[0]) or not f.random:
            return None
        slope = poly.value(split[0])
        threshold = inverse(f.op, -poly.value(split[1]) / slope)
        if threshold is None:
            return None
        u = self.ctx.normal(f.args[0])
        if math.isinf(threshold):
            return ir.literal((threshold < 0) == (slope > 0))
        above = poly.add(u, poly.constant(threshold), -1.0)
        return self.sign(above if slope > 0 else poly.add({}, above, -1.0))


def _at_literals(e: ir.Expr) -> bool:
    return isinstance(e, ir.Cell) and all(isinstance(i, ir.Lit) for i in e.indices)


def rounded(r: float) -> float:
    """A root so that twins written differently agree."""
    return float(f"{r:.15g}")
