"""Points on the boundary of a guard, and the values of expressions there and a little beside it.

What a proof about forms cannot see, numbers can: whether ``log(1 - r^2)`` is infinite where ``r = sqrt(x^2 + y^2)`` is
1. Everything gets random numbers, and one latent is moved until the guard is zero. Branches that no such point takes
are sought: what their conditions read is drawn again, near the numbers that they compare with, until they hold.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ppl.core import ir
from ppl.regions.numbers import Number, flat
from ppl.regions.points import NO_NUMBER, Choice, Coverage, Key, Point
from ppl.regions.scope import Scope

TRIALS, ENOUGH = 12, 6  # points that are looked for, and looked at
BESIDE, ZERO = 1e-3, 1e-4  # how far into a side; what a value is at most that is zero but for rounding
STEPS = 120  # towards a root, at most
MOST_STEPS, ALL_STEPS = 20_000, 400_000  # of evaluation, in a search: for one boundary, and for all of a program
CLOSE = 1e-13  # how well a root is known
OFF = 0.0613  # places are next to round numbers, which guards may be zero at
MOST_PLACES = 20  # where a latent is looked at, on either side of its middle, up to 10^10 away from it
CLOSER = (1e-2, 1e-4)  # parts of the way into a side
ROUNDING = 1e-9  # what a value changes by without a reason, relative to it
SLOW = 0.8  # by how much less a value with a limit changes then
LEVELS, MOST_LEVEL = 8, 1000  # besides those of points, the nearest to zero, that are looked at; of absolute values
DRAWS, GOALS = 100, 10  # for a branch, from one point, at most; that there are steps for, at least


@dataclass
class Witness:
    """A point on a boundary, seen from one side of it: the latent `key` is `root` there, and `near` a little into the
    side `on`, on which guards have these `outcomes`."""

    point: Point
    key: Key
    root: float
    near: float
    on: bool
    outcomes: Mapping[int, bool | int]
    others: Mapping[int, bool | int]  # on the other side
    known: dict[Key, dict[Key, Number]] = field(default_factory=dict[Key, dict[Key, Number]])  # values of variables

    def later(self, loops: Sequence[ir.Loop]) -> Witness:
        """The same point, as the next iteration of these loops sees it."""
        p = self.point.copy()
        here = {x.var.name: self.point.leaves.get(("loop", x.var.name)) for x in loops}
        p.loops = {name: k + 1 for name, k in here.items() if k is not None}
        p.coverage = None  # conditions are sought in the iteration of the guard
        return Witness(p, self.key, self.root, self.near, self.on, self.outcomes, self.others)

    def beside(self, e: ir.Expr, mask: ir.Expr | None = None) -> Number:
        """The value next to the boundary, of what is computed under a condition; None if there is no number for it."""
        return self._value(e, self.near, self.outcomes, mask)

    def is_unbounded(self, e: ir.Expr, edges: Sequence[float], mask: ir.Expr | None) -> bool:
        """Whether a value that is finite next to the boundary has no limit on it, in that coming closer changes it as
        before, or an edge of its domain is its limit."""
        closer = (self.root + part * (self.near - self.root) for part in CLOSER)
        found = [self.beside(e, mask), *(self._value(e, x, self.outcomes) for x in closer)]
        there = self._value(e, self.root, self.outcomes)
        try:
            steps = list(zip(*map(flat, (*found, found[0] if there is None else there)), strict=True))
        except NO_NUMBER:
            return False
        return any(abs(a) < math.inf and (_grows(a, b, c, d) or any(_reaches(a, b, c, x) for x in edges))
                   for a, b, c, d in steps)  # fmt: skip

    def differs(self, e: ir.Expr) -> bool:
        """Whether the guards have a say in a value."""
        found = [self._value(e, self.near, outcomes) for outcomes in (self.outcomes, self.others)]
        return found[0] != found[1]

    def _value(self, e: ir.Expr, x: float, outcomes: Mapping[int, bool | int], mask: ir.Expr | None = None) -> Number:
        self.point.outcomes = outcomes
        self.point.move(self.key, x)
        self.point.known = self.known.setdefault((x, outcomes is self.outcomes), {})
        self.point.steps = 0
        self.point.path = [] if mask is None else [(mask, True)]
        try:
            return self.point.value(e)
        except NO_NUMBER:
            return None


def _grows(a: float, b: float, c: float, there: float) -> bool:
    """Whether numbers on the way to a boundary have no limit, as far as they tell, or what is computed there is no
    number, as ``x * log(x)`` at 0."""
    still = max(SLOW * abs(b - a), ROUNDING * (abs(a) + abs(c)))
    return abs(c) == math.inf or abs(there) == math.inf or abs(c - b) > still


def _reaches(a: float, b: float, c: float, limit: float) -> bool:
    return abs(c - limit) < SLOW * abs(b - limit) < SLOW**2 * abs(a - limit)


Ends = tuple[tuple[float, float], tuple[float, float]]  # a number and one further inside, on either side of a boundary


@dataclass
class Boundary:
    """Of guards that say whether `value` is positive (`members`: guard -> flipped), or which whole number it is above
    (`levels`), with the points that were found on it."""

    scope: Scope
    value: ir.Expr
    members: Mapping[int, bool]
    levels: bool
    left: int = 0  # steps of evaluation

    def __post_init__(self) -> None:
        self.share = min(MOST_STEPS, ALL_STEPS // len(self.scope.program.guards))

    def outcomes(self, level: int, on: bool) -> dict[int, bool | int]:
        if self.levels:
            return dict.fromkeys(self.members, level - (not on))
        return {k: on != flipped for k, flipped in self.members.items()}

    @cached_property
    def points(self) -> tuple[list[Witness], list[Witness]]:
        """As seen from where the value is positive, and from where it is not."""
        out: tuple[list[Witness], list[Witness]] = [], []
        coverage = Coverage(), Coverage()
        self.left = self.share
        for trial in range(TRIALS):
            rng = random.Random(trial)
            level = rng.randrange(-1, 2) if self.levels else 0
            point = Point(self.scope, rng, self.outcomes(level, True), level)
            found = self.onto(point)
            if found is not None:
                for side, on in enumerate((True, False)):
                    seen = point if on else point.copy()
                    seen.coverage = coverage[side]
                    out[side].append(self.witness(seen, *found, on))
            if len(out[0]) == ENOUGH or self.left <= 0:
                break
        return out

    def witness(self, point: Point, key: Key, ends: Ends, on: bool) -> Witness:
        root, near = ends[1 if on else 0]
        here, there = (self.outcomes(point.level, side) for side in (on, not on))
        return Witness(point, key, root, near, on, here, there)

    # ------------------------------------------------------------- onto the boundary

    def excess(self, p: Point, key: Key, x: float) -> float:
        p.move(key, x)
        p.steps = 0
        try:
            found = math.nan if self.left <= 0 else p.value(self.value)
            return float(found) - p.level if isinstance(found, int | float) else math.nan
        except NO_NUMBER:
            return math.nan
        finally:
            self.left -= p.steps

    def onto(self, p: Point, but: Key | None = None) -> tuple[Key, Ends] | None:
        """Moves a point onto the boundary, along one of the latents that the value reads, `but` for this one."""
        self.excess(p, ("nothing",), 0.0)
        keys = sorted((k for k in p.latents if k != but), key=str)
        p.rng.shuffle(keys)
        for key in keys:
            own, place = p.leaves[key], p.latents[key]
            middle = (place(OFF), self.excess(p, key, place(OFF)))
            ends = [middle, middle]
            for k in range(1, MOST_PLACES + 1):
                for side in (0, 1):
                    x = place(OFF + (0.5 - side) * k)
                    before, ends[side] = ends[side], (x, self.excess(p, key, x))
                    found = self.between(p, key, before, ends[side])
                    if found is not None:
                        return key, found
            p.move(key, own)
        return None

    def between(self, p: Point, key: Key, a: tuple[float, float], b: tuple[float, float]) -> Ends | None:
        """The two numbers next to a zero between `a` and `b`, which are numbers with the values there, if the value
        changes its sign between them, and not by a jump or at a pole."""
        low, high = (a[0], b[0]) if a[1] <= 0 < b[1] else (b[0], a[0])
        if not (a[1] <= 0 < b[1] or b[1] <= 0 < a[1]):  # also where one of them is no number
            return None
        first = low, high
        below, above = sorted((a[1], b[1]))
        for step in range(STEPS):
            if abs(high - low) <= CLOSE * (1 + abs(high)):
                break
            secant = min(max(below / (below - above), 0.01), 0.99)
            part = 0.5 if step % 3 == 0 or below == 0 else secant  # zero on one side: of what a choice clips
            middle = low + part * (high - low)
            f = self.excess(p, key, middle)
            if math.isnan(f):
                break
            if f <= 0:
                low, below, above = middle, f, 0.5 * above if part != 0.5 else above
            else:
                high, above, below = middle, f, 0.5 * below if part != 0.5 else below
        if not abs(self.excess(p, key, high)) < ZERO:
            return None
        way = math.copysign(1.0, first[1] - first[0])
        step = 0.25 * abs(first[1] - first[0])
        down, up = (way * min(BESIDE * (1 + abs(x)), step) for x in (low, high))
        if not self.excess(p, key, low - down) <= 0 < self.excess(p, key, high + up):
            return None  # zero but for rounding
        return (low, low - down), (high, high + up)

    # ------------------------------------------------------------- into branches

    def sought(self, side: int, masks: Sequence[ir.Expr], edges: bool) -> Iterator[Witness]:
        """Points where these conditions hold, and where branches are taken which no point so far takes, of those that
        may be undefined, or, where `edges` are looked for, move; as many as steps allow."""
        if not self.points[side]:
            return
        self.left = self.share
        found = {p.point.level: [w for w in self.points[side] if w.point.level == p.point.level]
                 for p in self.points[side]}  # fmt: skip
        for level in self.other_levels(self.points[side]):
            there = [w for p in self.points[side] if (w := self.at_level(p, level)) is not None]
            if there:
                found[level] = there
                yield from there
        for mask in masks:
            for w in (w for points in found.values() for w in points if not w.beside(mask)):
                if self.left > self.share // 2:  # the rest is for branches
                    yield from self.toward([w], ((mask, True),))
        coverage, tried = self.points[side][0].point.coverage, set[tuple[int, bool, int]]()
        while coverage is not None and self.left > 0:
            missing = next((x for x in self.branches(coverage, found, edges) if x not in coverage.taken | tried), None)
            if missing is None:
                return
            tried.add(missing)
            choice, path = coverage.met[missing[0]]
            yield from self.toward(found[missing[2]], (*path, (choice.condition, missing[1])))

    def other_levels(self, points: Sequence[Witness]) -> list[int]:
        """Levels that points are not on, near the whole numbers that were read there."""
        if not self.levels:
            return []
        read = {round(x) for w in points for x in w.point.literals if abs(x) < MOST_LEVEL and x == round(x)}
        near = read | {x + 1 for x in read} | {-1, 0, 1}
        return sorted(near - {w.point.level for w in points}, key=lambda x: (abs(x), x))[:LEVELS]

    def at_level(self, w: Witness, level: int) -> Witness | None:
        p = w.point.copy()
        p.level, p.outcomes = level, self.outcomes(level, True)
        found = self.onto(p)
        return None if found is None else self.witness(p, *found, w.on)

    def branches(self, coverage: Coverage, levels: Iterable[int], edges: bool) -> Iterator[tuple[int, bool, int]]:
        for k, (choice, _) in coverage.met.items():
            for branch, holds in ((choice.then, True), (choice.orelse, False)):
                d = self.scope.flow.of(branch)
                if d.partial or (edges and d.smooth):
                    yield from ((k, holds, level) for level in levels)

    def toward(self, points: Sequence[Witness], path: Sequence[Choice]) -> Iterator[Witness]:
        """One of the points, moved along the boundary to where conditions hold."""
        goals = [x for c, holds in path for x in self.parts(c, holds)]
        enough = self.left - self.share // GOALS
        for w in points:
            here, met = w, self.met(w, goals)
            for _ in range(DRAWS):
                if all(met) or self.left <= max(enough, 0):
                    break
                keys, literals = self.touched(here, goals[met.index(False)][0])
                if not keys:  # the side decides
                    break
                there = self.moved(here, here.point.rng.choice(keys), literals)
                now = [] if there is None else self.met(there, goals)
                if there is not None and sum(now) >= sum(met):
                    here, met = there, now
            if all(met):
                yield here
                return

    def met(self, w: Witness, goals: Sequence[Choice]) -> list[bool]:
        out: list[bool] = []
        for c, holds in goals:
            value = w.beside(c)
            self.left -= w.point.steps
            out.append(value is not None and bool(value) == holds)
        return out

    def touched(self, w: Witness, condition: ir.Expr) -> tuple[list[Key], list[float]]:
        """What a condition reads, and the numbers in it."""
        p = w.point
        p.touched, p.literals, w.known = {}, {}, {}
        w.beside(condition)
        self.left -= p.steps
        return list(p.touched), [x for x in p.literals if not isinstance(x, bool)]

    def moved(self, w: Witness, key: Key, literals: Sequence[float]) -> Witness | None:
        """A point with another number for something, on the boundary still."""
        p = w.point.copy()
        p.outcomes, p.sources = self.outcomes(p.level, True), dict(w.point.sources)
        p.redraw(key, literals)
        if not self.reads(p, key):
            return self.witness(p, w.key, ((w.root, w.near), (w.root, w.near)), w.on)
        found = self.onto(p, key)
        return None if found is None else self.witness(p, *found, w.on)

    def reads(self, p: Point, key: Key) -> bool:
        """Whether the value of the guards reads a leaf."""
        p.touched = {}
        self.excess(p, ("nothing",), 0.0)
        return key in p.touched

    def parts(self, c: ir.Expr, holds: bool) -> list[Choice]:
        """The conditions of which each has to hold, or not, for `c` to do so."""
        match c:
            case ir.Var() if (definition := self.scope.definitions.get(c.name)) is not None:
                return self.parts(definition, holds)
            case ir.Op(op="not", args=(x,)):
                return self.parts(x, not holds)
            case ir.Op(op="and" | "or" as op) if (op == "and") == holds:
                return [x for a in c.args for x in self.parts(a, holds)]
            case _:
                return [(c, holds)]
