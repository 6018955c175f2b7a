"""A guard whose boundary has several components, or lies behind a function, as conditions on simpler guards.

``x * y > 0`` holds where x and y have one sign, ``x / y < 1`` also jumps at ``y = 0``, ``max(x, y) > c`` is an `or`,
``x^2 < x + 2`` lies between two roots, ``log(x) < 1`` is ``x < exp(1)``, and a comparison of a value that a branch on
the same latent decided is one comparison for each branch. Each component becomes a guard, so each gets a line.
"""

from __future__ import annotations

import math

from ppl.core import ir, poly
from ppl.core.reads import leaf_sites
from ppl.elaborate.context import Context

MAX_PARTS = 24  # a comparison with more components stays as it is (and is likely to be refused later)
MAX_DEGREE = 8
POSITIVE = "positive"  # an operation that exists only between here and the caller


def parts_of(ctx: Context, value: ir.Expr) -> ir.Expr | None:
    """A condition on simpler values that holds where ``value > 0``; None if `value` is as simple as it gets.

    The condition is made of `POSITIVE` operations on simpler values, which the caller turns into guards.
    """
    base = odd_root(ctx, value)
    p = ctx.normal(base)
    if poly.is_constant(p):
        return positive(p)  # its latents cancel
    splitter = _Splitter(ctx)
    splitter.steps += base is not value
    out = splitter.sign(p)
    return None if splitter.steps == 0 or splitter.parts > MAX_PARTS else out


def odd_root(ctx: Context, value: ir.Expr) -> ir.Expr:
    """What has the sign of `value` where that is an odd power: on its boundary the power itself has no slope."""
    e = value
    while True:
        match e:
            case ir.Op(op="pow", args=(base, ir.Lit(value=int() as n))) if n > 0 and n % 2 == 1:
                value = e = base
            case ir.Op(op="to_real" | "beside", args=(inner, *_)):
                e = inner
            case ir.Var() if not e.type.dims and e.name in ctx.definitions:
                e = ctx.definitions[e.name]
            case _:
                return value


def positive(p: poly.Poly) -> ir.Expr:
    """The condition ``p > 0``."""
    random = any(a.random for a in poly.atoms(p))
    if poly.is_constant(p):
        return ir.literal(poly.value(p) > 0)
    return ir.Op(POSITIVE if random else "gt", (poly.to_expr(p), ir.literal(0)), ir.BOOL, random)


def both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    if ir.FALSE in (a, b):
        return ir.FALSE
    out = ir.conjunction(a, b)
    return ir.TRUE if out is None else out


def either(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.negate(both(ir.negate(a), ir.negate(b)))


def agree(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    """``a == b``, for conditions on continuous values."""
    for x, y in ((a, b), (b, a)):
        if isinstance(x, ir.Lit):
            return y if x.value else ir.negate(y)
    return either(both(a, b), both(ir.negate(a), ir.negate(b)))


class _Splitter:
    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.steps = 0  # how often something was split
        self.parts = 0

    def sign(self, p: poly.Poly) -> ir.Expr:
        """The condition that `p` is positive."""
        if self.parts > MAX_PARTS or not any(a.random for a in poly.atoms(p)):
            self.parts += 1
            return positive(p)
        for rule in (self.pole, self.factor, self.kink, self.branch, self.roots, self.function):
            out = rule(p)
            if out is not None:
                self.steps += 1
                return out
        self.parts += 1
        return positive(p)

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
                return self.product(cleared, d) if power % 2 else self.sign(cleared)
        return None

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
            return self.sign(rest) if self.continuous(a) else both(self.nonzero(a), self.sign(rest))
        return None

    def product(self, p: poly.Poly, q: poly.Poly) -> ir.Expr:
        """The condition ``p * q > 0``, false where one of them is zero."""
        minus = [poly.add({}, x, -1.0) for x in (p, q)]
        return either(both(self.sign(p), self.sign(q)), both(self.sign(minus[0]), self.sign(minus[1])))

    def nonzero(self, a: ir.Expr) -> ir.Expr:
        return either(self.sign(poly.atom(a)), self.sign({((a, 1),): -1.0}))

    def continuous(self, a: ir.Expr) -> bool:
        """Whether an atom is a latent, which equals a given number with probability zero only."""
        name = a.name if isinstance(a, ir.Var) else a.array if isinstance(a, ir.Cell) else ""
        return name in self.ctx.sites and self.ctx.sites[name].support != "int"

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
        import numpy as np  # only here: checking a program should not wait for it

        found = np.roots([powers.get(k, 0.0) for k in range(degree, -1, -1)])
        scale = 1.0 + float(np.max(np.abs(found)))
        real = sorted(float(r.real) for r in found if abs(r.imag) < 1e-7 * scale)
        crossings: list[float] = []
        for r in real:  # a double root touches zero without crossing it
            if crossings and abs(crossings[-1] - r) < 1e-5 * scale:
                crossings.pop()
            else:
                crossings.append(r)
        out: ir.Expr = ir.literal(powers[degree] > 0)
        for r in crossings:
            out = agree(out, self.sign(poly.add(poly.atom(x), poly.constant(-polished(powers, r)))))
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


def polished(powers: dict[int, float], r: float) -> float:
    """A root after a few Newton steps, so that twins written differently agree to rounding."""
    for _ in range(3):
        value = sum(c * r**k for k, c in powers.items())
        slope = sum(k * c * r ** (k - 1) for k, c in powers.items() if k)
        if slope == 0:
            break
        r -= value / slope
    return float(f"{r:.15g}")


def inverse(f: str, t: float) -> float | None:
    """The u with ``f(u) = t`` for an increasing function; -inf or inf where f is always above or below t."""
    inf = math.inf
    try:
        match f:
            case "exp":
                return math.log(t) if t > 0 else -inf
            case "expm1":
                return math.log1p(t) if t > -1 else -inf
            case "log":
                return math.exp(t)
            case "log1p":
                return math.expm1(t)
            case "log2":
                return 2.0**t
            case "log10":
                return 10.0**t
            case "sqrt":
                return t * t if t >= 0 else -inf
            case "inv_logit":
                return -inf if t <= 0 else inf if t >= 1 else math.log(t) - math.log1p(-t)
            case "logit":
                return 1 / (1 + math.exp(-t))
            case "tanh":
                return -inf if t <= -1 else inf if t >= 1 else math.atanh(t)
            case "atan":
                return -inf if t <= -math.pi / 2 else inf if t >= math.pi / 2 else math.tan(t)
            case "sinh":
                return math.asinh(t)
            case "asinh":
                return math.sinh(t)
            case "log1p_exp":
                return -inf if t <= 0 else t + math.log(-math.expm1(-t))
            case _:
                return None
    except OverflowError:
        return inf
