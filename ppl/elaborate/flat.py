"""Whether a guard is zero without a slope, seen at a few places: what exact factors were not found of.

Coefficients that were multiplied out in floating point, ``(x - 0.123456789 * y)^3`` written as a sum, have no repeated
factor any more, but what is left of it is lost in rounding all the same.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from itertools import islice

from ppl.core import ir, poly
from ppl.core.functions import KNOWN
from ppl.elaborate.context import Context

SMALL = 1e-12  # relative to the sum of the sizes of all terms
CLEAR = 1e-6
REAL = 1e-3  # the imaginary part of a root that is taken for real
MAX_DEGREE = 40
POINTS = 3
MAX_NODES = 1000
MAX_LATENTS = 8
MAX_DEPTH = 100
ARITHMETIC = ("add", "sub", "mul", "neg", "square", "pow", "div", "to_real")
NEAR, BESIDE = 1e-3, 0.03  # how far from a place a slope is taken, and a sign

Coefficients = list[float]  # lowest power first


def has_flat_root(ctx: Context, p: poly.Poly) -> bool:
    """Whether along some atom, wherever the others are, `p` has a real root of odd multiplicity above one."""
    whole = all(c.is_integer() and abs(c) < 2**53 for c in p.values())
    if whole and len(p) <= MAX_DEGREE and not any(_is_arithmetic(a) for a in poly.atoms(p)):
        return False  # no factor was found in it, and its coefficients are exact
    e = poly.to_expr(p)
    for x in _latents(ctx, e):
        images = [_Image(ctx, x, k).of(e) for k in range(POINTS)]
        found = [flat_roots(g) for g in images if g is not None and 3 < len(g) <= MAX_DEGREE + 1]
        if len(found) == POINTS and all(found) and any(abs(r.imag) < REAL for rs in found for r in rs):
            return True
    return False


def has_flat_argument(ctx: Context, p: poly.Poly) -> bool:
    """Whether along some atom, wherever the others are, `p` changes its sign without a slope where the argument of a
    function in it has such a place: ``sin((x - y)^3)``."""
    e = poly.to_expr(p)
    for x in _latents(ctx, e):
        inner = [a for f in ctx.parts(e) if isinstance(f, ir.Op) and f.op in KNOWN for a in f.args]
        if inner and all(_is_flat_somewhere(_Image(ctx, x, k), e, inner) for k in range(POINTS)):
            return True
    return False


def _is_flat_somewhere(image: _Image, e: ir.Expr, inner: list[ir.Expr]) -> bool:
    forms = [g for a in inner if (g := image.of(a)) is not None and 3 < len(g) <= MAX_DEGREE + 1]
    return any(abs(r.imag) < REAL and _is_flat_at(image, e, r.real) for g in forms for r in flat_roots(g, 1))


def _is_flat_at(image: _Image, e: ir.Expr, place: float) -> bool:
    try:
        here, below, above, left, right = (
            image.value(e, place + d) for d in (0.0, -NEAR, NEAR, -BESIDE, BESIDE)
        )  # fmt: skip
    except (ArithmeticError, ValueError):
        return False  # outside of the domain of a function
    size = max(abs(left), abs(right))
    return left * right < 0 and abs(here) <= 1e-9 * (1 + size) and abs(above - below) <= 0.01 * size * NEAR / BESIDE


def has_flat_level(ctx: Context, p: poly.Poly) -> bool:
    """Whether along some atom, wherever the other latents are, `p` less an integer has such a root (data that it may
    depend on are taken for integers). Of one latent alone, levels are told by bisection, which needs no slope."""
    e = poly.to_expr(p)
    latents = _latents(ctx, e)
    for x in latents if len(latents) > 1 else []:
        images = [_Image(ctx, x, k, whole=True).of(e) for k in range(POINTS)]
        if all(g is not None and any(_near_integer(g, r) for r in flat_roots(g, 1)) for g in images):
            return True
    return False


def _near_integer(g: Coefficients, r: complex) -> bool:
    value = sum(c * r.real**k for k, c in enumerate(g))
    return abs(r.imag) < REAL and abs(value - round(value)) <= 1e-9 * (1 + abs(value))


def _latents(ctx: Context, e: ir.Expr) -> list[ir.Var | ir.Cell]:
    """The continuous latents that an expression reads, and their elements: the first few, of what is not too long."""
    parts = list(islice(ctx.parts(e), MAX_NODES))
    if len(parts) == MAX_NODES:
        return []
    found = {x: None for x in parts if isinstance(x, ir.Var | ir.Cell) and x.random}
    names = {x: x.name if isinstance(x, ir.Var) else x.array for x in found}
    return [x for x in found if names[x] in ctx.sites and ctx.sites[names[x]].support != "int"][:MAX_LATENTS]


def _is_arithmetic(e: ir.Expr) -> bool:
    return isinstance(e, ir.Op) and e.op in ARITHMETIC


class _Image:
    """Expressions as polynomials in one atom, where all others have arbitrary values."""

    def __init__(self, ctx: Context, x: ir.Expr, point: int, whole: bool = False) -> None:
        self.ctx = ctx
        self.whole = whole  # data are integers
        self.x = x
        self.point = point
        self.depth = 0
        self.known: dict[ir.Expr, Coefficients | None] = {}
        self.read: dict[ir.Expr, bool] = {}

    def of(self, e: ir.Expr) -> Coefficients | None:
        """None if the degree is too high."""
        if e not in self.known:
            self.depth += 1
            deep = self.depth > MAX_DEPTH
            self.known[e] = [0.0, 1.0] if e == self.x else self.arbitrary(e) if deep else self.compute(e)
            self.depth -= 1
        return self.known[e]

    def compute(self, e: ir.Expr) -> Coefficients | None:
        match e:
            case ir.Lit():
                return [float(e.value)]
            case ir.Var() if e.name in self.ctx.definitions and not e.type.dims:
                return self.of(self.ctx.definitions[e.name])
            case ir.Op(op="add" | "sub", args=(a, b)):
                return _joined(self.of(a), self.of(b), 1.0 if e.op == "add" else -1.0)
            case ir.Op(op="neg", args=(a,)):
                return _joined([], self.of(a), -1.0)
            case ir.Op(op="to_real", args=(a,)):
                return self.of(a)
            case ir.Op(op="mul", args=(a, b)):
                return _multiplied(self.of(a), self.of(b))
            case ir.Op(op="square", args=(a,)):
                return _multiplied(self.of(a), self.of(a))
            case ir.Op(op="pow", args=(a, ir.Lit(value=int() as n))) if 0 < n <= MAX_DEGREE:
                base = out = self.of(a)
                for _ in range(n - 1):
                    out = _multiplied(out, base)
                return out
            case ir.Op(op="div", args=(a, b)):
                top, below = self.of(a), self.of(b)
                if below is not None and len(below) == 1 and below[0] != 0:
                    return _multiplied(top, [1 / below[0]])
                return self.arbitrary(e)
            case ir.Op(op=name, args=(a,)) if name in KNOWN:
                return self.applied(KNOWN[name].at, self.of(a)) or self.arbitrary(e)
            case _:
                return self.arbitrary(e)

    def applied(self, f: Callable[[float], float], argument: Coefficients | None) -> Coefficients | None:
        """A function of a number; None of anything else, or outside of its domain."""
        try:
            return [f(argument[0])] if argument is not None and len(argument) == 1 else None
        except (ArithmeticError, ValueError):
            return None

    def value(self, e: ir.Expr, place: float) -> float:
        """A number where the atom is at `place`; NaN where that is not known. Raises ArithmeticError and ValueError."""
        if e == self.x:
            return place
        whole = self.of(e)
        if not self.reads(e):
            return whole[0] if whole is not None and len(whole) == 1 else math.nan
        if isinstance(e, ir.Var):
            return self.value(self.ctx.definitions[e.name], place)
        if not isinstance(e, ir.Op):
            return math.nan
        args = [self.value(a, place) for a in e.args]
        match e.op, args:
            case "add", (a, b):
                return a + b
            case "sub", (a, b):
                return a - b
            case "mul", (a, b):
                return a * b
            case "div", (a, b):
                return a / b
            case "pow", (a, b):
                return math.pow(a, b)
            case "neg", (a,):
                return -a
            case "square", (a,):
                return a * a
            case "to_real", (a,):
                return a
            case _:
                return KNOWN[e.op].at(*args) if e.op in KNOWN and len(args) == 1 else math.nan

    def reads(self, e: ir.Expr) -> bool:
        """Whether the atom is in an expression, or in what a variable stands for."""
        if e not in self.read:
            definition = self.ctx.definitions.get(e.name) if isinstance(e, ir.Var) else None
            inner = ir.children(e) if definition is None else (definition,)
            self.read[e] = e == self.x or any(map(self.reads, inner))
        return self.read[e]

    def arbitrary(self, e: ir.Expr) -> Coefficients:
        k = len(self.known) + 1
        if self.whole and not e.random:
            return [float(k + self.point)]
        return [(0.4 + math.fmod(k * 0.6180339887498949 + self.point * 0.7548776662466927, 1.0)) * (-1) ** (k // 2)]


def _joined(a: Coefficients | None, b: Coefficients | None, scale: float) -> Coefficients | None:
    if a is None or b is None:
        return None
    out = [0.0] * max(len(a), len(b))
    for k, c in enumerate(a):
        out[k] += c
    for k, c in enumerate(b):
        out[k] += scale * c
    return out


def _multiplied(a: Coefficients | None, b: Coefficients | None) -> Coefficients | None:
    if a is None or b is None or len(a) + len(b) > MAX_DEGREE + 2:
        return None
    out = [0.0] * (len(a) + len(b) - 1)
    for i, c in enumerate(a):
        for j, d in enumerate(b):
            out[i + j] += c * d
    return out


def flat_roots(g: Coefficients, first: int = 0) -> list[complex]:
    """The roots of odd multiplicity above one, up to rounding of the coefficients; from the `first` derivative on."""
    while g and g[-1] == 0:
        g = g[:-1]
    derivatives = [g]
    while len(derivatives[-1]) > 1:
        derivatives.append([k * c for k, c in enumerate(derivatives[-1])][1:])
    out: list[complex] = []
    for k in range(2, len(g) - 1, 2):
        for r in roots(derivatives[k]):
            zero = all(_size(derivatives[j], r) <= SMALL for j in range(first, k + 1))
            if zero and _size(derivatives[k + 1], r) > CLEAR:
                out.append(r)
    return out


def _size(g: Coefficients, r: complex) -> float:
    """A value relative to the sum of the sizes of its terms."""
    total = sum(abs(c) * abs(r) ** k for k, c in enumerate(g))
    return abs(sum(c * r**k for k, c in enumerate(g))) / total if total else 0.0


def roots(g: Coefficients) -> list[complex]:
    """All roots (Aberth, Iteration methods for finding all zeros of a polynomial simultaneously, Math. Comp. 1973)."""
    degree = len(g) - 1
    if degree < 1 or g[-1] == 0 or not all(math.isfinite(c) for c in g):
        return []
    radius = 2 * max((abs(g[degree - k] / g[-1]) ** (1 / k) for k in range(1, degree + 1)), default=1.0) or 1.0
    found = [cmath.rect(0.5 * radius, 2 * math.pi * k / degree + 0.4) for k in range(degree)]
    slope = [k * c for k, c in enumerate(g)][1:]
    for _ in range(100):
        moved = 0.0
        for i, r in enumerate(found):
            value, d = (sum(c * r**k for k, c in enumerate(f)) for f in (g, slope))
            if value == 0 or d == 0:
                continue
            newton = value / d
            below = 1 - newton * sum(1 / (r - s) for j, s in enumerate(found) if j != i and s != r)
            step = newton / below if below else newton
            found[i] = r - step
            moved = max(moved, abs(step) / radius)
        if moved < 1e-15:
            break
    return found
