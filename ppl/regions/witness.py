"""Points on the boundary of a guard, with numbers for everything, and the values of expressions there.

What a proof about forms cannot see, numbers can: whether ``log(1 - r^2)`` is infinite where ``r = sqrt(x^2 + y^2)`` is
1. Latents, data and loop variables get random numbers (the same in every compilation), one latent is moved until the
guard is zero, and expressions are evaluated there and a little beside it, in floating point, with what rounding leaves
of zero taken for zero.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, cast

from ppl.core import ir
from ppl.core.functions import KNOWN
from ppl.core.inverses import normal_quantile
from ppl.language.distributions import DENSITY_FUNCTIONS, named
from ppl.regions.scope import Scope

TRIALS = 8
SIZE, MOST = 3, 8  # elements of an array whose size is not known; of one whose size is, at most
SNAP, CANCELLED = 1e-9, 1e-11  # what is taken for zero: at a pole, and of the terms of a sum
BESIDE = 1e-3
STEPS, MAX_STEPS = 64, 20_000  # of the bisection; of all evaluations for one point
PLACES = tuple(x / 2 for x in range(-8, 9))  # where a latent is looked at, in normal scores
# Where the density of a distribution may be zero or infinite in an argument.
EDGES: Mapping[str, tuple[float, ...]] = MappingProxyType({"positive": (0.0,), "unit": (0.0, 1.0), "simplex": (0.0,)})
INFINITE_AT_ENDS = ("LogNormal", "Gamma", "InverseGamma", "Beta", "Weibull")  # log densities, at ends of the support
# Where a function of one argument is infinite, and with which sign.
POLES: Mapping[str, Mapping[float, float]] = MappingProxyType({
    **{name: {0.0: -math.inf} for name in ("log", "log2", "log10", "digamma", "log1m_exp")}, "inv": {0.0: math.inf},
    "logit": {0.0: -math.inf, 1.0: math.inf}, "inv_Phi": {0.0: -math.inf, 1.0: math.inf}, "log1p": {-1.0: -math.inf},
    "log1m": {1.0: -math.inf}, "atanh": {-1.0: -math.inf, 1.0: math.inf},
})  # fmt: skip

Key = tuple[Any, ...]
Number = Any  # a float or bool, or a list of them


def _items(x: Number) -> list[Number] | None:
    return cast("list[Number]", x) if isinstance(x, list) else None


class Unknown(Exception):
    """There is no number for an expression."""


def _sum(a: float, b: float) -> float:
    out = a + b
    return 0.0 if abs(out) <= CANCELLED * (abs(a) + abs(b)) else out


def _divide(a: float, b: float) -> float:
    if abs(b) < SNAP:
        return math.nan if a == 0 or math.isnan(a) else math.inf
    return a / b


def _power(a: float, b: float) -> float:
    if abs(a) < SNAP:
        return math.inf if b < 0 else 0.0 if b > 0 else 1.0
    return a**b if a > 0 or b == int(b) else math.nan


def _log_sum(*x: float) -> float:
    top = max(x)
    return top if math.isinf(top) else top + math.log(sum(math.exp(v - top) for v in x))


ONE: Mapping[str, Callable[[float], Number]] = MappingProxyType({
    "neg": lambda x: -x, "square": lambda x: x * x, "relu": lambda x: max(x, 0.0), "sign": lambda x: (x > 0) - (x < 0),
    "step": lambda x: x > 0, "floor": math.floor, "ceil": math.ceil, "round": lambda x: math.floor(x + 0.5),
    "lgamma": math.lgamma, "digamma": lambda x: math.log(abs(x)), "log1m": lambda x: math.log1p(-x),
    "logit": lambda x: math.log(x) - math.log1p(-x), "inv_Phi": normal_quantile, "atanh": math.atanh,
    "log1m_exp": lambda x: math.log(-math.expm1(x)), "to_real": float, "to_int": int, "not": lambda x: not x,
    "over_zero": lambda x: _divide(x, 0.0),
})  # fmt: skip
TWO: Mapping[str, Callable[[Any, Any], Number]] = MappingProxyType({
    "add": _sum, "sub": lambda a, b: _sum(a, -b), "mul": lambda a, b: a * b, "div": _divide, "pow": _power,
    "max": max, "min": min, "hypot": math.hypot, "atan2": math.atan2, "log_sum_exp": _log_sum,
    "mod": lambda a, b: a % b, "floordiv": lambda a, b: a // b,
    "log_diff_exp": lambda a, b: a + math.log(-math.expm1(b - a)) if b - a < -SNAP else -math.inf,
    "lbeta": lambda a, b: math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b),
    "lchoose": lambda n, k: math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1),
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "and": lambda a, b: a and b, "or": lambda a, b: a or b,
})  # fmt: skip
ALL: Mapping[str, Callable[[Sequence[float]], Number]] = MappingProxyType({
    "sum": math.fsum, "prod": math.prod, "mean": lambda x: math.fsum(x) / len(x), "min": min, "max": max,
    "log_sum_exp": lambda x: _log_sum(*x), "length": len,
})  # fmt: skip


@dataclass
class Point:
    """Numbers for one trial. `outcomes`: of the guards of the boundary, on the side at hand. `moved`: the latent that
    was moved onto the boundary, with the number it has at the moment."""

    scope: Scope
    rng: random.Random
    outcomes: Mapping[int, bool | int]
    leaves: dict[Key, Number] = field(default_factory=dict[Key, Number])
    known: dict[Key, Number] = field(default_factory=dict[Key, Number])
    loops: dict[str, int] = field(default_factory=dict[str, int])
    latents: dict[Key, Callable[[float], float]] = field(default_factory=dict[Key, Callable[[float], float]])
    steps: int = 0

    def move(self, key: Key, x: float) -> None:
        self.leaves[key] = x
        self.known.clear()

    def leaf(self, key: Key, make: Callable[[], Number]) -> Number:
        if key not in self.leaves:
            self.leaves[key] = make()
        return self.leaves[key]

    # ------------------------------------------------------------- expressions

    def value(self, e: ir.Expr) -> Number:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Unknown
        match e:
            case ir.Lit():
                return e.value
            case ir.LoopVar():
                return self.loop(e.name)
            case ir.DataRef():
                return self.array(e.type, lambda i: self.datum((e.name, *i), e.type.base))
            case ir.Var():
                return self.variable(e)
            case ir.Cell():
                return self.element(e.array, tuple(int(self.value(i)) for i in e.indices), e.type)
            case ir.Index():
                return self.index(e)
            case ir.GuardRef():
                return self.guard(e.index)
            case ir.Outcome():
                return self.leaf(("outcome", e.site), lambda: self.rng.randrange(2))
            case ir.Select():
                return self.value(e.then if self.value(e.condition) else e.orelse)
            case ir.Array():
                return [self.value(x) for x in e.items]
            case ir.Op():
                return self.operation(e)
            case _:
                raise Unknown

    def array(self, t: ir.Type, at: Callable[[tuple[int, ...]], Number], index: tuple[int, ...] = ()) -> Number:
        if len(index) == len(t.dims):
            return at(index)
        d = t.dims[len(index)]
        size = min(int(d.value), MOST) if isinstance(d, ir.Lit) else SIZE
        return [self.array(t, at, (*index, k)) for k in range(size)]

    def datum(self, key: Key, base: str) -> Number:
        def make() -> Number:
            if base == "bool":
                return self.rng.random() < 0.5
            if base == "int":
                return self.rng.randrange(SIZE)
            return self.rng.uniform(0.3, 2.5) if self.rng.random() < 0.7 else self.rng.gauss(0, 1)

        return self.leaf(("data", *key), make)

    def loop(self, name: str) -> int:
        if name not in self.loops:
            loop = next((x for x in self.scope.loops.values() if x.var.name == name), None)
            start = int(loop.lo.value) if loop is not None and isinstance(loop.lo, ir.Lit) else 0
            self.loops[name] = start + self.rng.randrange(SIZE)
        return self.loops[name]

    def latent(self, site: ir.Site, index: tuple[int, ...]) -> Number:
        key = ("latent", site.name, *index)
        if site.support == "int":
            return self.leaf(key, lambda: self.rng.randrange(2))
        self.latents[key] = self.support(site)
        return self.leaf(key, lambda: self.latents[key](self.rng.gauss(0, 1)))

    def support(self, site: ir.Site) -> Callable[[float], float]:
        """Numbers in the support of a latent, from normal scores."""
        s = next(s for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Sample) and s.site == site.name)
        d = named(s.distribution)
        arguments = dict(zip((p.name for p in d.params), s.args, strict=True))
        ends = [self.value(arguments[b]) if isinstance(b, str) else b for b in d.support.bounds]
        if site.joint or any(_items(x) is not None for x in ends):
            return lambda v: v
        match site.support, ends:
            case "lower", [lo]:
                return lambda v: lo + math.exp(v)
            case "upper", [hi]:
                return lambda v: hi - math.exp(v)
            case "interval", [lo, hi]:
                return lambda v: lo + (hi - lo) / (1 + math.exp(-v))
            case _:
                return lambda v: v

    def variable(self, v: ir.Var) -> Number:
        key = (v.name, *sorted(self.loops.items()))
        if key in self.known:
            return self.known[key]
        definition = self.scope.definitions.get(v.name)
        if definition is not None:
            out = self.value(definition)
        elif v.type.dims and any(s.name == v.name for s in self.scope.program.sites):
            out = self.array(v.type, lambda i: self.element(v.name, i, v.type.element()))
        elif v.name in self.scope.forms and not self.is_site(v.name):
            out = self.carried(v)
        else:
            out = self.element(v.name, (), v.type)
        self.known[(v.name, *sorted(self.loops.items()))] = out
        return out

    def is_site(self, name: str) -> bool:
        return any(s.name == name for s in self.scope.program.sites)

    def carried(self, v: ir.Var) -> Number:
        """What a loop hands on: what it starts from or what an iteration makes of it; of a comprehension, each."""
        collect = next((x for x in self.scope.loops.values() for c in x.collects if c.final.name == v.name), None)
        forms = self.scope.forms[v.name]
        if collect is not None:
            return [self.within(collect.var.name, k, forms[0][0]) for k in range(SIZE)]
        self.known[(v.name, *sorted(self.loops.items()))] = self.leaf(
            ("state", v.name), lambda: self.rng.gauss(0, 1) if v.type.base == "real" else 0
        )  # where it is made of itself
        return self.value(forms[self.leaf(("form", v.name), lambda: self.rng.randrange(len(forms)))][0])

    def within(self, name: str, k: int, e: ir.Expr) -> Number:
        """A value in iteration `k` of a loop."""
        before = self.loops.get(name)
        self.loops[name] = k
        try:
            return self.value(e)
        finally:
            if before is None:
                del self.loops[name]
            else:
                self.loops[name] = before

    def element(self, array: str, index: tuple[int, ...], t: ir.Type) -> Number:
        """An element of a latent, or of an array that the program fills."""
        for s in self.fills(array):
            names = [i.name for i in s.indices if isinstance(i, ir.LoopVar)]
            before = dict(self.loops)
            self.loops |= dict(zip(names, (k for i, k in zip(s.indices, index, strict=False)
                                           if isinstance(i, ir.LoopVar)), strict=False))  # fmt: skip
            try:
                here = all(int(self.value(i)) == k for i, k in zip(s.indices, index, strict=False))
                if here and (s.mask is None or self.value(s.mask)):
                    return self.value(s.value)
            finally:
                self.loops = before
        site = next((s for s in self.scope.program.sites if s.name == array), None)
        if site is None:
            raise Unknown
        return self.latent(site, index)

    def fills(self, array: str) -> Iterator[ir.Fill]:
        if array in self.scope.fills:
            yield from (s for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Fill) and s.array == array)

    def index(self, e: ir.Index) -> Number:
        at = tuple(int(self.value(i)) for i in e.indices)
        if isinstance(e.base, ir.DataRef) and len(at) == len(e.base.type.dims):
            return self.datum((e.base.name, *at), e.base.type.base)
        out = self.value(e.base)
        for k in at:
            items = _items(out)
            if items is None or not 0 <= k < len(items):
                raise Unknown
            out = items[k]
        return out

    def guard(self, index: int) -> Number:
        if index in self.outcomes:
            return self.outcomes[index]
        g = self.scope.program.guards[index]
        if g.outcomes is not None:
            return self.leaf(("outcomes", index), lambda: self.rng.randrange(2))
        value = self.value(g.value)
        return math.floor(value) if g.levels else value > 0

    def operation(self, e: ir.Op) -> Number:
        if e.op in ("beside", "sided", "within"):
            return self.value(e.args[0])
        if e.op.startswith(ir.TRANSFORM):
            return self.array(e.type, lambda i: self.leaf(("joint", e, i), lambda: self.rng.uniform(0.1, 0.9)))
        if e.op in ("and", "or") and self.value(e.args[0]) == (e.op == "or"):
            return e.op == "or"
        args = [self.value(a) for a in e.args]
        if e.op in DENSITY_FUNCTIONS:
            return _each(partial(_density, e.op), args)
        try:
            return _apply(e.op, args)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan
        except TypeError:
            raise Unknown from None


def _apply(op: str, args: list[Number]) -> Number:
    items = [_items(a) for a in args]
    match op, items:
        case _, [list() as a] if op in ALL:
            return ALL[op](a)
        case "dot", [list() as a, list() as b]:
            return math.fsum(x * y for x, y in zip(a, b, strict=True))
        case "cumsum", [list() as a]:
            return [math.fsum(a[: k + 1]) for k in range(len(a))]
        case "clamp", [_, _, _]:
            return _each(_clamp, args)
        case _, [_] if op in POLES or op in ONE or op in KNOWN:
            return _each(partial(_of_one, op), args)
        case _, [_, _] if op in TWO:
            return _each(TWO[op], args)
        case _:
            raise Unknown


def _clamp(x: float, lo: float, hi: float) -> float:
    return min(max(x, lo), hi)


def _of_one(op: str, x: float) -> Number:
    for pole, there in POLES.get(op, {}).items():
        if abs(x - pole) < SNAP:
            return there
    if op == "lgamma" and x < SNAP and abs(x - round(x)) < SNAP:
        return math.inf
    try:
        return ONE[op](x) if op in ONE else KNOWN[op].at(0.0 if op == "sqrt" and abs(x) < SNAP else x)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.nan


def _each(f: Callable[..., Number], args: Sequence[Number]) -> Number:
    """A function element by element."""
    items = [_items(a) for a in args]
    sizes = [len(x) for x in items if x is not None]
    if not sizes:
        return f(*args)
    return [_each(f, [a if x is None else x[k] for a, x in zip(args, items, strict=True)]) for k in range(min(sizes))]


def _density(name: str, *args: float) -> float:
    """Some number, or infinity where the density has it."""
    return math.inf if _is_at_edge(name, args) else -1.0


def _is_at_edge(name: str, args: Sequence[float]) -> bool:
    """Whether a log density, or the log of a tail, is infinite at these numbers."""
    f = DENSITY_FUNCTIONS[name]
    params = dict(zip((p.name for p in f.distribution.params), args[1:], strict=True))
    domains = {p.name: p.domain for p in f.distribution.params}
    if any(abs(x - edge) < SNAP for p, x in params.items() for edge in EDGES.get(domains[p], ())):
        return True
    if f.part == "lpdf" and f.distribution.name not in INFINITE_AT_ENDS:
        return False
    ends = (params[b] if isinstance(b, str) else b for b in f.distribution.support.bounds)
    return any(abs(args[0] - b) < SNAP for b in ends)


# ----------------------------------------------------------------------- boundaries


@dataclass
class Witness:
    """A point on a boundary: the latent `key` is `root` there, and `near` a little into the side at hand."""

    point: Point
    key: Key
    root: float
    near: float

    def at(self, e: ir.Expr) -> Number:
        """The value on the boundary; None if there is no number for it."""
        return self._value(e, self.root)

    def beside(self, e: ir.Expr) -> Number:
        return self._value(e, self.near)

    def _value(self, e: ir.Expr, x: float) -> Number:
        self.point.move(self.key, x)
        self.point.steps = 0
        try:
            return self.point.value(e)
        except (Unknown, RecursionError):
            return None


def witnesses(scope: Scope, value: ir.Expr, members: Mapping[int, bool], levels: bool, on: bool) -> list[Witness]:
    """Points on the boundary of guards that say whether `value` is positive (`members`: guard -> flipped), or which
    whole number it is above (`levels`), on one side of it."""
    out: list[Witness] = []
    for trial in range(TRIALS):
        rng = random.Random(trial)
        level = rng.randrange(-1, 2) if levels else 0
        outcomes = {k: level - (not on) if levels else on != flipped for k, flipped in members.items()}
        found = _onto(Point(scope, rng, outcomes), value, level, on)
        out += [] if found is None else [found]
    return out


def _onto(p: Point, value: ir.Expr, level: int, on: bool) -> Witness | None:
    """A point moved onto the boundary along one of the latents that `value` reads."""

    def excess() -> float:
        p.steps = 0
        try:
            x = p.value(value)
        except (Unknown, RecursionError):
            return math.nan
        return float(x) - level if isinstance(x, int | float) else math.nan

    excess()
    keys = sorted(p.latents, key=str)
    p.rng.shuffle(keys)
    for key in keys:
        own = p.leaves[key]
        ends: list[tuple[float, float]] = []
        for place in PLACES:
            x = p.latents[key](place)
            p.move(key, x)
            ends.append((x, excess()))
        for (a, fa), (b, fb) in pairwise(ends):
            if not (fa < 0 <= fb or fb < 0 <= fa):  # also where one of them is no number
                continue
            for _ in range(STEPS):
                middle = 0.5 * (a + b)
                p.move(key, middle)
                f = excess()
                if math.isnan(f):
                    break
                a, b, fa = (middle, b, f) if (f < 0) == (fa < 0) else (a, middle, fa)
            inside = b if (fa < 0) == on else a  # on this side
            far = ends[-1][0] if inside == b else ends[0][0]
            step = min(BESIDE * (1 + abs(inside)), 0.5 * abs(far - inside)) or BESIDE
            return Witness(p, key, inside, inside + math.copysign(step, b - a if inside == b else a - b))
        p.move(key, own)
    return None


def finite(x: Number) -> bool:
    """Whether a value, with all of its elements, is a finite number."""
    items = _items(x)
    return math.isfinite(x) if items is None else all(map(finite, items))


def touches(x: Number, y: Number, edge: float) -> bool:
    """Whether a value, or an element of it, is at an edge in one place, `x`, and not in another, `y`."""
    a, b = _items(x), _items(y)
    if a is None or b is None:
        return abs(x - edge) < SNAP <= abs(y - edge)
    return any(touches(v, w, edge) for v, w in zip(a, b, strict=True))
