"""Numbers for everything in a program, and the values of expressions there: random ones, the same in every compilation,
in floating point, with what rounding leaves of zero taken for zero."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ppl.core import ir
from ppl.language.distributions import DENSITY_FUNCTIONS, named
from ppl.regions import transforms
from ppl.regions.numbers import Number, Unknown, apply, density, each, is_elementwise, items_of
from ppl.regions.scope import Scope

SIZE, MOST = 3, 8  # elements of an array whose size is not known; of one whose size is, at most
MAX_STEPS = 20_000  # of one evaluation
OUTCOMES = 2  # of a discrete latent that are drawn, but where a condition asks for others
NO_NUMBER = (Unknown, ArithmeticError, ValueError, TypeError, LookupError, RecursionError)  # then nothing is shown
Key = tuple[Any, ...]
Choice = tuple[ir.Expr, bool]  # a condition, and whether it holds


@dataclass(frozen=True)
class Leaf:
    """Where a number comes from: how it is drawn, what it lies between, and whether it is a whole number."""

    draw: Callable[[], Number]
    lo: float = -math.inf
    hi: float = math.inf
    whole: bool = False


@dataclass
class Coverage:
    """Which choices have been met, each with the path to it, and which of their branches were taken, at what level."""

    met: dict[int, tuple[ir.Select, tuple[Choice, ...]]] = field(
        default_factory=dict[int, tuple[ir.Select, tuple[Choice, ...]]]
    )
    taken: set[tuple[int, bool, int]] = field(default_factory=set[tuple[int, bool, int]])

    def meet(self, e: ir.Select, path: Sequence[Choice], holds: bool, level: int) -> None:
        self.met.setdefault(id(e), (e, tuple(path)))
        self.taken.add((id(e), holds, level))


@dataclass
class Point:
    """Numbers for one trial. `outcomes`: of the guards of a boundary, on the side at hand, at the whole number `level`
    if they have levels. `leaves`: the numbers. `latents`: those that were asked for, with what makes normal scores
    numbers of their support. `touched` and `literals`: what has been read since they were emptied."""

    scope: Scope
    rng: random.Random
    outcomes: Mapping[int, bool | int]
    level: int = 0
    coverage: Coverage | None = None
    leaves: dict[Key, Number] = field(default_factory=dict[Key, Number])
    sources: dict[Key, Leaf] = field(default_factory=dict[Key, Leaf])
    known: dict[Key, Number] = field(default_factory=dict[Key, Number])
    loops: dict[str, int] = field(default_factory=dict[str, int])
    latents: dict[Key, Callable[[float], float]] = field(default_factory=dict[Key, Callable[[float], float]])
    touched: dict[Key, None] = field(default_factory=dict[Key, None])
    literals: dict[float, None] = field(default_factory=dict[float, None])
    path: list[Choice] = field(default_factory=list[Choice])
    back: int = 0  # iterations that an evaluation has gone back
    steps: int = 0

    def copy(self) -> Point:
        """A point with the same numbers, to be moved."""
        return replace(self, leaves=dict(self.leaves), sources={}, known={}, latents={}, touched={}, literals={},
                       path=[], steps=0)  # fmt: skip

    def move(self, key: Key, x: Number) -> None:
        self.leaves[key] = x
        self.known = {}

    def redraw(self, key: Key, literals: Sequence[float]) -> None:
        """Another number for a leaf, often one at or near those that a condition compares with."""
        source = self.sources[key]
        x = source.draw()
        if literals and not isinstance(x, bool) and self.rng.random() < 0.7:
            step = 10 ** self.rng.uniform(-2, 1)
            off = self.rng.randrange(-1, 2) if source.whole else self.rng.choice((-step, step))
            near = self.rng.choice(literals) + off
            x = near if source.lo < near < source.hi else x
            x = round(x) if source.whole else x
        self.move(key, x)

    def leaf(self, key: Key, source: Leaf) -> Number:
        self.touched[key] = None
        self.sources[key] = source
        if key not in self.leaves:
            self.leaves[key] = source.draw()
        return self.leaves[key]

    # ------------------------------------------------------------- expressions

    def value(self, e: ir.Expr) -> Number:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Unknown
        match e:
            case ir.Lit():
                self.literals[e.value] = None
                return e.value
            case ir.LoopVar():
                return self.loop(e.name)
            case ir.DataRef():
                return self.array(e.type, lambda i: self.datum((e.name, *i), e.type.base))
            case ir.Var():
                return self.variable(e)
            case ir.Cell():
                return self.part(e.array, tuple(int(self.value(i)) for i in e.indices))
            case ir.Index():
                return self.item(e.base, tuple(int(self.value(i)) for i in e.indices))
            case ir.GuardRef():
                return self.guard(e.index)
            case ir.Select():
                return self.chosen(e, self.value)
            case ir.Array():
                return [self.value(x) for x in e.items]
            case ir.Slice():
                return self.value(e.base)[int(self.value(e.lo)) : int(self.value(e.hi))]
            case ir.Op():
                return self.operation(e)
            case _:
                raise Unknown

    def chosen(self, e: ir.Select, value: Callable[[ir.Expr], Number]) -> Number:
        holds = bool(self.value(e.condition))
        if self.coverage is not None:
            self.coverage.meet(e, self.path, holds, self.level)
        self.path.append((e.condition, holds))
        try:
            return value(e.then if holds else e.orelse)
        finally:
            self.path.pop()

    def array(self, t: ir.Type, at: Callable[[tuple[int, ...]], Number], index: tuple[int, ...] = ()) -> Number:
        if len(index) == len(t.dims):
            return at(index)
        d = t.dims[len(index)]
        size = min(int(d.value), MOST) if isinstance(d, ir.Lit) else SIZE
        return [self.array(t, at, (*index, k)) for k in range(size)]

    def datum(self, key: Key, base: str) -> Number:
        def draw() -> Number:
            if base == "bool":
                return self.rng.random() < 0.5
            if base == "int":
                return self.rng.randrange(SIZE)
            return self.rng.uniform(0.3, 2.5) if self.rng.random() < 0.7 else self.rng.gauss(0, 1)

        return self.leaf(("data", *key), Leaf(draw, whole=base == "int"))

    def loop(self, name: str) -> int:
        if name in self.loops:
            return self.loops[name]
        loop = next((x for x in self.scope.loops.values() if x.var.name == name), None)
        start = int(loop.lo.value) if loop is not None and isinstance(loop.lo, ir.Lit) else 0
        end = int(loop.hi.value) if loop is not None and isinstance(loop.hi, ir.Lit) else None
        count = SIZE if end is None else max(1, min(SIZE, end - start))

        def draw() -> int:  # often the same as in other loops
            return start + (self.rng.randrange(count) if self.rng.random() < 0.5 else 0)

        return self.leaf(("loop", name), Leaf(draw, start - 0.5, math.inf if end is None else end - 0.5, True))

    def latent(self, site: ir.Site, index: tuple[int, ...]) -> Number:
        key = ("latent", site.name, *index)
        if site.support == "int":
            return self.leaf(key, Leaf(lambda: self.rng.randrange(OUTCOMES), -0.5, whole=True))
        place, lo, hi = self.support(site)
        self.latents[key] = place
        return self.leaf(key, Leaf(lambda: place(self.rng.gauss(0, 1)), lo, hi))

    def support(self, site: ir.Site) -> tuple[Callable[[float], float], float, float]:
        """Numbers in the support of a latent, from normal scores, and its ends."""
        s = next(s for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Sample) and s.site == site.name)
        d = named(s.distribution)
        arguments = dict(zip((p.name for p in d.params), s.args, strict=True))
        ends = () if site.joint else [self.value(arguments[b]) if isinstance(b, str) else b for b in d.support.bounds]
        if any(items_of(x) is not None for x in ends):
            return _anywhere, -math.inf, math.inf
        match site.support, ends:
            case "lower", [lo]:
                return lambda v: transforms.lower(2.5 * v, lo), lo, math.inf
            case "upper", [hi]:
                return lambda v: transforms.upper(2.5 * v, hi), -math.inf, hi
            case "interval", [lo, hi]:
                return lambda v: transforms.interval(v, lo, hi), lo, hi
            case _:
                return (lambda v: v) if site.joint else _anywhere, -math.inf, math.inf

    def variable(self, v: ir.Var) -> Number:
        key = (v.name, *sorted(self.loops.items()))
        if key in self.known:
            return self.known[key]
        definition = self.scope.definitions.get(v.name)
        if definition is not None:
            out = self.value(definition)
        elif v.type.dims and self.is_site(v.name):
            out = self.array(v.type, lambda i: self.element(v.name, i))
        elif v.name in self.scope.forms and not self.is_site(v.name):
            out = self.carried(v)
        else:
            out = self.element(v.name, ())
        self.known[key] = out
        return out

    def is_site(self, name: str) -> bool:
        return any(s.name == name for s in self.scope.program.sites)

    def carried(self, v: ir.Var) -> Number:
        """State as an iteration finds it, or as a loop leaves it; a sum; of a comprehension, each element."""
        collect, forms = self.comprehension(v.name), self.scope.forms[v.name]
        if collect is not None:
            known = isinstance(collect.lo, ir.Lit) and isinstance(collect.hi, ir.Lit)
            count = int(self.value(collect.hi)) - int(self.value(collect.lo)) if known else SIZE
            return [self.made(collect, k, lambda: self.value(forms[0][0])) for k in range(min(count, MOST))]
        if v.name in self.scope.entries:
            return self.entering(self.scope.entries[v.name], v, forms[0][0], forms[-1][0])
        loop = next((x for x in self.scope.loops.values() for c in x.carries if c.final.name == v.name), None)
        if loop is None:
            return self.value(forms[0][0])
        key = ("last", loop.id)
        last = self.leaf(key, Leaf(partial(self.rng.randrange, SIZE), -0.5, whole=True))
        return self.at_iteration(loop, int(self.value(loop.lo)) + last, lambda: self.value(forms[0][0]))

    def entering(self, loop: ir.Loop, v: ir.Var, init: ir.Expr, out: ir.Expr) -> Number:
        """State that enters an iteration: what a loop starts from, or what the iteration before makes of it."""
        now = self.loop(loop.var.name)
        passed = now - int(self.value(loop.lo))
        if passed <= 0:
            return self.value(init)
        if self.back >= SIZE:  # from further back, anything
            draw = partial(self.rng.gauss, 0, 1) if v.type.base == "real" else partial(self.rng.randrange, 1)
            return self.leaf(("state", v.name), Leaf(draw, whole=v.type.base != "real"))
        self.back += 1
        try:
            return self.at_iteration(loop, now - 1, lambda: self.value(out))
        finally:
            self.back -= 1

    def comprehension(self, name: str) -> ir.Loop | None:
        return next((x for x in self.scope.loops.values() for c in x.collects if c.final.name == name), None)

    def made(self, collect: ir.Loop, k: int, value: Callable[[], Number]) -> Number:
        """The value of the element at `k` of a comprehension."""
        return self.at_iteration(collect, int(self.value(collect.lo)) + k, value)

    def at_iteration(self, loop: ir.Loop, k: int, value: Callable[[], Number]) -> Number:
        """A value when the variable of a loop is `k`."""
        before = self.loops.get(loop.var.name)
        self.loops[loop.var.name] = k
        try:
            return value()
        finally:
            if before is None:
                del self.loops[loop.var.name]
            else:
                self.loops[loop.var.name] = before

    def element(self, array: str, index: tuple[int, ...]) -> Number:
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

    def item(self, base: ir.Expr, at: tuple[int, ...]) -> Number:
        """An element of an array, or a row, without the others where they can be told apart."""
        if not at:
            return self.value(base)
        self.steps += 1
        match base:
            case ir.DataRef() if len(at) == len(base.type.dims):
                return self.datum((base.name, *at), base.type.base)
            case ir.Var() if len(at) == len(base.type.dims) or base.name in self.scope.definitions:
                return self.part(base.name, at)
            case ir.Array() if 0 <= at[0] < len(base.items):
                return self.item(base.items[at[0]], at[1:])
            case ir.Select():
                return self.chosen(base, lambda x: self.item(x, at))
            case ir.Op() if len(at) == len(base.type.dims) and is_elementwise(base.op, len(base.args)):
                return _applied(base.op, [self.item(x, at if x.type.dims else ()) for x in base.args])
            case _:
                return _item(self.value(base), at)

    def part(self, name: str, at: tuple[int, ...]) -> Number:
        """An element of an array variable, or part of what one is defined as."""
        if name in self.scope.definitions:
            return self.item(self.scope.definitions[name], at)
        collect = self.comprehension(name)
        if collect is None:
            return self.element(name, at)
        return self.made(collect, at[0], lambda: self.item(self.scope.forms[name][0][0], at[1:]))

    def guard(self, index: int) -> Number:
        g = self.scope.program.guards[index]
        if index in self.outcomes and self.is_here(g):
            return self.outcomes[index]
        if g.outcomes is not None:
            assert isinstance(g.value, ir.Outcome), "a guard with outcomes is a discrete latent"
            at = tuple(int(self.value(i)) for i in g.value.indices)
            count = self.value(g.outcomes) if isinstance(g.outcomes, ir.Lit) else math.inf
            draw = partial(self.rng.randrange, int(min(OUTCOMES, count)))
            return self.leaf(("outcome", g.value.site, *at), Leaf(draw, -0.5, count - 0.5, True))
        value = self.value(g.value)
        return math.floor(value) if g.levels else value > 0

    def is_here(self, g: ir.Guard) -> bool:
        """Whether a guard is looked at in the iteration that is on the boundary, not in another one."""
        for name in (self.scope.loops[k].var.name for k in g.loops):
            here = self.leaves.get(("loop", name))
            if here is not None and self.loops.get(name, here) != here:
                return False
        return True

    def operation(self, e: ir.Op) -> Number:
        if e.op in ("beside", "sided", "within"):
            return self.value(e.args[0])
        if e.op in ("and", "or") and self.value(e.args[0]) == (e.op == "or"):
            return e.op == "or"
        args = [self.value(a) for a in e.args]
        if e.op in transforms.FUNCTIONS:
            return transforms.FUNCTIONS[e.op](*args)
        if e.op in DENSITY_FUNCTIONS:
            return each(partial(density, e.op), args)
        return _applied(e.op, args)


def _applied(op: str, args: list[Number]) -> Number:
    try:
        return apply(op, args)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.nan
    except TypeError:
        raise Unknown from None


def _item(x: Number, at: tuple[int, ...]) -> Number:
    for k in at:
        items = items_of(x)
        if items is None or not 0 <= k < len(items):
            raise Unknown
        x = items[k]
    return x


def _anywhere(v: float) -> float:
    return math.sinh(2.5 * v) / 2.5
