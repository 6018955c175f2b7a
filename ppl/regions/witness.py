"""Points on the boundary of a guard, with numbers for everything, and the values of expressions there.

What a proof about forms cannot see, numbers can: whether ``log(1 - r^2)`` is infinite where ``r = sqrt(x^2 + y^2)`` is
1. Latents, data and loop variables get random numbers (the same in every compilation), one latent is moved until the
guard is zero, and expressions are evaluated there and a little beside it, in floating point, with what rounding leaves
of zero taken for zero.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ppl.core import ir
from ppl.language.distributions import DENSITY_FUNCTIONS, named
from ppl.regions.numbers import Number, Unknown, apply, density, each, items_of
from ppl.regions.scope import Scope

TRIALS, ENOUGH = 12, 6  # points that are looked for, and looked at
SIZE, MOST = 3, 8  # elements of an array whose size is not known; of one whose size is, at most
BESIDE, ZERO = 1e-3, 1e-4  # how far into a side; what a value is at most that is zero but for rounding
STEPS, MAX_STEPS, ALL_STEPS = 120, 20_000, 20_000  # of the bisection at most; of one evaluation; for one boundary
CLOSE = 1e-13  # how well a root is known
OFF = 0.0613  # places are next to round numbers, which guards may be zero at
MOST_PLACES = 20  # where a latent is looked at, on either side of its middle, up to 10^10 away from it
NO_NUMBER = (Unknown, ArithmeticError, ValueError, TypeError, LookupError, RecursionError)  # then nothing is shown
Key = tuple[Any, ...]


@dataclass
class Point:
    """Numbers for one trial. `outcomes`: of the guards of the boundary, on the side at hand. `leaves`: the
    numbers. `latents`: those that were asked for, with what makes normal scores numbers of their support."""

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
        self.known = {}

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
            self.loops[name] = start + (self.rng.randrange(SIZE) if self.rng.random() < 0.5 else 0)  # often the same
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
        if site.joint or any(items_of(x) is not None for x in ends):
            return _anywhere
        match site.support, ends:
            case "lower", [lo]:
                return lambda v: lo + math.exp(2.5 * v)
            case "upper", [hi]:
                return lambda v: hi - math.exp(2.5 * v)
            case "interval", [lo, hi]:
                return lambda v: lo + (hi - lo) / (1 + math.exp(-v))
            case _:
                return _anywhere

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
        form: int = self.leaf(("form", v.name), lambda: self.rng.randrange(len(forms)))
        return self.value(forms[form][0])

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
            items = items_of(out)
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
            return each(partial(density, e.op), args)
        try:
            return apply(e.op, args)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan
        except TypeError:
            raise Unknown from None


def _anywhere(v: float) -> float:
    return math.sinh(2.5 * v) / 2.5


# ----------------------------------------------------------------------- boundaries


@dataclass
class Witness:
    """A point on a boundary, seen from one side of it: the latent `key` is `root` there, and `near` a little into the
    side, on which guards have these `outcomes`."""

    point: Point
    key: Key
    root: float
    near: float
    outcomes: Mapping[int, bool | int]
    others: Mapping[int, bool | int]  # on the other side
    known: dict[Key, dict[Key, Number]] = field(default_factory=dict[Key, dict[Key, Number]])  # values of variables

    def at(self, e: ir.Expr) -> Number:
        """The value on the boundary; None if there is no number for it."""
        return self._value(e, self.root, self.outcomes)

    def beside(self, e: ir.Expr) -> Number:
        return self._value(e, self.near, self.outcomes)

    def differs(self, e: ir.Expr) -> bool:
        """Whether the guards have a say in a value."""
        found = [self._value(e, self.near, outcomes) for outcomes in (self.outcomes, self.others)]
        return found[0] != found[1]

    def _value(self, e: ir.Expr, x: float, outcomes: Mapping[int, bool | int]) -> Number:
        self.point.outcomes = outcomes
        self.point.move(self.key, x)
        self.point.known = self.known.setdefault((x, outcomes is self.outcomes), {})
        self.point.steps = 0
        try:
            return self.point.value(e)
        except NO_NUMBER:
            return None


def witnesses(
    scope: Scope, value: ir.Expr, members: Mapping[int, bool], levels: bool
) -> tuple[list[Witness], list[Witness]]:
    """Points on the boundary of guards that say whether `value` is positive (`members`: guard -> flipped), or which
    whole number it is above (`levels`): as seen from where it is, and from where it is not."""
    out: tuple[list[Witness], list[Witness]] = [], []
    search = _Search(value)
    for trial in range(TRIALS):
        rng = random.Random(trial)
        level = rng.randrange(-1, 2) if levels else 0
        above, below = ({k: level - (not on) if levels else on != flipped for k, flipped in members.items()}
                        for on in (True, False))  # fmt: skip
        found = search.onto(Point(scope, rng, above), level)
        if found is not None:
            point, key, ends = found
            out[0].append(Witness(point, key, *ends[1], above, below))
            out[1].append(Witness(point, key, *ends[0], below, above))
        if len(out[0]) == ENOUGH or search.left <= 0:
            break
    return out


Ends = tuple[tuple[float, float], tuple[float, float]]  # a number and one further inside, on either side of a boundary


@dataclass
class _Search:
    """For points where `value` is zero, or a level, in so many steps in all."""

    value: ir.Expr
    left: int = ALL_STEPS

    def excess(self, p: Point, key: Key, x: float, level: int) -> float:
        p.move(key, x)
        p.steps = 0
        try:
            found = math.nan if self.left <= 0 else p.value(self.value)
            return float(found) - level if isinstance(found, int | float) else math.nan
        except NO_NUMBER:
            return math.nan
        finally:
            self.left -= p.steps

    def onto(self, p: Point, level: int) -> tuple[Point, Key, Ends] | None:
        """A point moved onto the boundary along one of the latents that the value reads."""
        self.excess(p, ("nothing",), 0.0, level)
        keys = sorted(p.latents, key=str)
        p.rng.shuffle(keys)
        for key in keys:
            own, place = p.leaves[key], p.latents[key]
            middle = (place(OFF), self.excess(p, key, place(OFF), level))
            ends = [middle, middle]
            for k in range(1, MOST_PLACES + 1):
                for side in (0, 1):
                    x = place(OFF + (0.5 - side) * k)
                    before, ends[side] = ends[side], (x, self.excess(p, key, x, level))
                    found = self.between(p, key, before, ends[side], level)
                    if found is not None:
                        return p, key, found
            p.move(key, own)
        return None

    def between(self, p: Point, key: Key, a: tuple[float, float], b: tuple[float, float], level: int) -> Ends | None:
        """The two numbers next to a zero between `a` and `b`, which are numbers with the values there, if the value
        changes its sign between them, and not by a jump or at a pole."""
        low, high = (a[0], b[0]) if a[1] < 0 <= b[1] else (b[0], a[0])
        if not (a[1] < 0 <= b[1] or b[1] < 0 <= a[1]):  # also where one of them is no number
            return None
        first = low, high
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            close = abs(high - low) <= CLOSE * (1 + abs(middle))
            f = math.nan if close else self.excess(p, key, middle, level)
            if math.isnan(f):
                break
            low, high = (middle, high) if f < 0 else (low, middle)
        if not abs(self.excess(p, key, high, level)) < ZERO:
            return None
        way = math.copysign(1.0, first[1] - first[0])
        step = 0.25 * abs(first[1] - first[0])
        down, up = (way * min(BESIDE * (1 + abs(x)), step) for x in (low, high))
        return (low, low - down), (high, high + up)
