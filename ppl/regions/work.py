"""What a gradient evaluates, counted from the program: factors, which are the summands of the log density, and
operations, of which those of a log density are the unit.

It is a count, not a time: kernels that are fused, vectorised or waiting for memory differ by some factor from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.core.show import show
from ppl.language.functions import FUNCTIONS
from ppl.record import record
from ppl.regions.flow import Depends
from ppl.regions.model import Boundary, GuardInfo, Iteration, Normal
from ppl.regions.modes import Modes, modes_of, reach
from ppl.regions.scope import Scope

NOMINAL = 100.0  # of a size that only data decide, where no data are given
FUNCTION, DENSITY, DRAW = 10.0, 10.0, 40.0  # operations; a draw is a number of the random generator, made normal
REVERSE = 3.0  # a value with its gradient, in values (Griewank & Walther, Evaluating Derivatives, 2008: 3 to 4)
SIDES = 2  # of a boundary, on both of which what a guard reaches is evaluated
# Evaluations of a value, or of a polynomial, with its slope along a line that is searched, as ppl/runtime has them: at
# points of a grid, then for each of so many roots; and how many levels of a `floor` are looked at.
POINTS, REFINED, BISECTED, NEWTON = 65, 14, 48, 60
MOST_ROOTS, MOST_ROOTS_OF_MODEL, MOST_LEVELS = 12, 4, 32

Place = tuple[tuple[int, ...], tuple[ir.Expr, ...]]  # loops, and dimensions of arrays
Counts = Mapping[Place, float]


class Sizes(Protocol):
    def iterations(self, nest: tuple[int, ...]) -> float:
        """Those of the innermost of some loops, in all iterations of the others."""
        ...

    def length(self, dim: ir.Expr) -> float: ...


@record
class Nominal:
    """Sizes of a program without data: numbers where they are written, else NOMINAL."""

    scope: Scope

    def iterations(self, nest: tuple[int, ...]) -> float:
        return math.prod(self._number(extent(self.scope, self.scope.loops[x])) for x in nest)

    def length(self, dim: ir.Expr) -> float:
        return self._number(self.scope.normal(dim))

    def _number(self, p: poly.Poly) -> float:
        return max(0.0, poly.value(p)) if poly.is_constant(p) else NOMINAL


def extent(scope: Scope, loop: ir.Loop) -> poly.Poly:
    return poly.add(scope.normal(loop.hi), scope.normal(loop.lo), -1.0)


@record
class Step:
    """What one statement evaluates, or one thing that a loop hands on, in each iteration of `nest`."""

    nest: tuple[int, ...]
    makes: frozenset[str]  # variables, arrays, and guards as ``guard 3``
    reads: frozenset[str]
    depends: Depends
    term: int | None
    factors: Counts
    operations: Counts
    draws: Counts  # random numbers


def steps_of(scope: Scope) -> tuple[Step, ...]:
    """All that is random and reaches the density, in program order."""
    return tuple(s for s in _steps(scope) if s.term is not None or s.makes & scope.live)


def _steps(scope: Scope) -> Iterator[Step]:
    guards = scope.program.guards
    for around, s in ir.blocks(scope.program.body):
        nest = tuple(x.id for x in around)
        read = () if isinstance(s, ir.Loop) else tuple(expressions_of(s, guards))
        match s:
            case ir.Term() | ir.Sample():
                kept = isinstance(s, ir.Term) or not s.noise
                of = s.value.type.dims if isinstance(s, ir.Term) else () if s.indices else s.var.type.dims
                makes = frozenset({s.site, s.var.name}) if isinstance(s, ir.Sample) else frozenset[str]()
                yield _step(scope, nest, makes, read, s.id if kept else None, of)
            case ir.Let():
                yield _step(scope, nest, frozenset({s.var.name}), read)
            case ir.Decide():
                yield _step(scope, nest, frozenset({f"guard {s.index}"}), read)
            case ir.Fill():
                yield _step(scope, nest, frozenset({s.array}), read)
            case ir.Loop():
                inside = (*nest, s.id)
                for c in s.carries:
                    yield _step(scope, inside, frozenset({c.entry.name, c.final.name}), (c.init, c.out))
                for r in s.reductions:
                    yield _step(scope, inside, frozenset({r.final.name}), (r.init, r.delta))
                for c in s.collects:
                    yield _step(scope, inside, frozenset({c.final.name}), (c.element,))
            case _:
                pass


def _step(
    scope: Scope, nest: tuple[int, ...], makes: frozenset[str], read: tuple[ir.Expr, ...], term: int | None = None,
    dims: tuple[ir.Expr, ...] | None = None,
) -> Step:  # fmt: skip
    """`dims`: of a draw or an observation, which takes a density."""
    operations: dict[Place, float] = {}
    for e in read:
        for x in ir.walk(e):
            _count(operations, (nest, _widest(x)), _operations(x))
    if dims is not None:
        _count(operations, (nest, dims), DENSITY)
    sites = makes if dims is not None else frozenset[str]()
    depends = scope.flow.many(read) | Depends(frozenset(), sites)
    factors = {} if term is None else {(nest, dims or ()): 1.0}
    draws = {(nest, dims or ()): 1.0} if makes and dims is not None else {}
    return Step(nest, makes, _names(read), depends, term, factors, operations, draws)


def _operations(e: ir.Expr) -> float:
    """Those of the outermost operation. What data alone decide is evaluated once for all draws."""
    if not e.random or not isinstance(e, ir.Op | ir.Select | ir.Cell | ir.Index):
        return 0.0
    known = FUNCTIONS.get(e.op) if isinstance(e, ir.Op) else None
    return FUNCTION if known is not None and known.kind == "elementwise" else 1.0


def _widest(e: ir.Expr) -> tuple[ir.Expr, ...]:
    """The dimensions of the largest array that an operation goes through."""
    return max((x.type.dims for x in (e, *(e.args if isinstance(e, ir.Op) else ()))), key=len)


def _count(counts: dict[Place, float], place: Place, number: float) -> None:
    if number:
        counts[place] = counts.get(place, 0.0) + number


def _names(read: Iterable[ir.Expr]) -> frozenset[str]:
    out: set[str] = set()
    for e in read:
        for x in ir.walk(e):
            if isinstance(x, ir.Var | ir.DataRef):
                out.add(x.name)
            elif isinstance(x, ir.Cell):
                out.add(x.array)
            elif isinstance(x, ir.GuardRef):
                out.add(f"guard {x.index}")
            elif isinstance(x, ir.Outcome):
                out.add(x.site)
    return frozenset(out)


# ----------------------------------------------------------------------------- slices


def moved(steps: Sequence[Step], members: frozenset[int], sites: frozenset[str]) -> list[Step]:
    """What may have another value where guards flip, or where latents are moved: all but the draws of these."""
    return [s for s in steps if s.depends.guards & members or s.depends.sites & sites]


def needed(steps: Sequence[Step], terms: Iterable[int], names: Iterable[str] = ()) -> list[Step]:
    """What has to be evaluated for some terms, and for variables, out of `steps`."""
    wanted = frozenset(terms)
    makers: dict[str, list[Step]] = {}
    for s in steps:
        for name in s.makes if not s.draws else ():
            makers.setdefault(name, []).append(s)
    first = [s for s in steps if s.term in wanted]
    queue = [*first, *(m for n in names for m in makers.get(n, ()))]
    out = {id(s): s for s in queue}
    while queue:
        for name in queue.pop().reads:
            for m in makers.get(name, ()):
                if id(m) not in out:
                    out[id(m)] = m
                    queue.append(m)
    return [s for s in steps if id(s) in out]


@record
class Slice:
    """What the jump of one instance of a boundary evaluates on one side. `loops`: those of the instance; of steps in
    their iteration one iteration is evaluated, with `whole` all are. `more`: those of other iterations."""

    steps: tuple[Step, ...]
    loops: tuple[int, ...]
    whole: bool
    more: tuple[Slice, ...] = ()

    def factors(self, sizes: Sizes) -> float:
        return self._sum(sizes, lambda s: s.factors)

    def operations(self, sizes: Sizes) -> float:
        return self._sum(sizes, lambda s: s.operations)

    def _sum(self, sizes: Sizes, of: Callable[[Step], Counts]) -> float:
        own = sum(self.times(s, sizes) * total(of(s), sizes) for s in self.steps)
        return own + sum(x._sum(sizes, of) for x in self.more)

    def times(self, s: Step, sizes: Sizes) -> float:
        """The part of all iterations of a step that one instance evaluates."""
        if self.whole or s.nest[: len(self.loops)] != self.loops[: len(s.nest)]:
            return 1.0
        around = s.nest if len(s.nest) < len(self.loops) else self.loops
        return 1.0 / max(1.0, sizes.iterations(around))


def total(counts: Counts, sizes: Sizes) -> float:
    """In all iterations, and all elements of arrays."""
    return sum(c * sizes.iterations(nest) * math.prod(map(sizes.length, dims)) for (nest, dims), c in counts.items())


def slice_of(
    scope: Scope, steps: Sequence[Step], loops: tuple[int, ...], b: Boundary, members: frozenset[int],
    sites: frozenset[str],
) -> Slice:  # fmt: skip
    """That of a boundary of the guards `members` decided in `loops`, crossed on a line that moves `sites`."""
    modes = modes_of(scope, scope.loops[loops[-1]]) if b.effect == "modes" else None
    if modes is not None:
        own = reach(scope, scope.loops[modes.loop], modes, members)
        outs = [n for c in modes.carries for n in (c.final.name,)] if own.state else []
        found = needed(moved(steps, members, sites), own.terms, outs)
        return Slice(tuple(s for s in found if s.nest == loops), loops, False)
    if b.nearby:
        first, *more = (_iteration_of(steps, members, x, b.terms) for x in b.nearby)
        return replace(first, more=tuple(more))
    found = needed(moved(steps, members, sites), b.terms)
    if b.effect == "local" and loops:
        found = [s for s in found if s.nest[: len(loops)] == loops[: len(s.nest)]]
    return Slice(tuple(found), loops, b.effect == "global" or not loops)


def _iteration_of(steps: Sequence[Step], members: frozenset[int], x: Iteration, terms: tuple[int, ...]) -> Slice:
    """What is evaluated of an iteration that an outcome reaches."""
    own = [s for s in moved(steps, members, frozenset()) if s.nest[: len(x.nest)] == x.nest]
    found = needed(own, (t for t in x.terms if t in terms), (e.array for e, _ in x.fills))
    return Slice(tuple(found), x.nest, False)


def sites_of(b: Boundary) -> frozenset[str]:
    if b.normal is not None:
        return frozenset(b.normal.sites)
    return frozenset(b.search.sites) if b.search is not None and b.search.sites else frozenset({b.line.site})


def coordinates(scope: Scope, p: poly.Poly, normal: Normal, sizes: Sizes) -> float:
    """How many latents move together along the normal of a guard with this normal form."""
    if normal.path:
        return sum(math.prod(map(sizes.length, scope.site(s).type.dims)) for s in normal.sites)
    atoms = [a for a in poly.atoms(p) if a.random and scope.flow.of(a).smooth & set(normal.sites)]
    return sum(math.prod(map(sizes.length, _widest(a))) if isinstance(a, ir.Op) else 1.0 for a in atoms)


# ----------------------------------------------------------------------------- what it comes to


@record
class Workload:
    """The steps of a program, with all its factors, and how to count them."""

    scope: Scope
    steps: tuple[Step, ...]

    def all(self) -> Slice:
        return Slice(self.steps, (), True)

    def drawing(self, sizes: Sizes) -> float:
        """What random numbers take, in evaluations of the log density."""
        return DRAW * sum(total(s.draws, sizes) for s in self.steps) / max(1.0, self.all().operations(sizes))

    def of(self, loops: tuple[int, ...], b: Boundary, members: frozenset[int]) -> float:
        """The operations of the jump of one instance, before sizes are known."""
        return slice_of(self.scope, self.steps, loops, b, members, sites_of(b)).operations(Nominal(self.scope))

    def slice(self, info: GuardInfo, b: Boundary, members: frozenset[int]) -> Slice:
        return slice_of(self.scope, self.steps, info.loops, b, members, sites_of(b))

    def cost(self, info: GuardInfo, b: Boundary, members: frozenset[int], count: float, sizes: Sizes) -> float:
        """What a boundary with `count` instances takes in a draw, in evaluations of the log density."""
        jump = self.slice(info, b, members).operations(sizes)
        if b.search is None:
            each = SIDES * jump
        elif b.search.method == "outcomes":
            each = outcomes(info, sizes) * jump
        else:
            levels = MOST_LEVELS if info.guard.levels else 1
            each = levels * (roots(b) * SIDES * jump + self.found(info, b, sizes))
        return (count * each + self.grid(info, b, count, sizes)) / max(1.0, self.all().operations(sizes))

    def found(self, info: GuardInfo, b: Boundary, sizes: Sizes) -> float:
        """The operations that find the roots on one line, beyond those on a grid. Where the value reads the moved
        latent alone, the roots are those of all draws, and found once."""
        assert b.search is not None
        if (
            self.scope.flow.of(info.value).sites == frozenset({b.line.site})
            and not self.scope.site(b.line.site).type.dims
        ):
            return 0.0
        degree = len(b.search.coefficients) - 1
        if b.search.method == "polynomial":  # the roots of each derivative bracket those of the one before
            return 2.0 * BISECTED * sum(2.0 * m * m for m in range(1, degree + 1)) if degree > 1 else 0.0
        turns = NEWTON if b.search.method == "monotone" else REFINED * roots(b)
        return 2.0 * turns * self.value_of(info, b).operations(sizes)

    def grid(self, info: GuardInfo, b: Boundary, count: float, sizes: Sizes) -> float:
        """The operations of all values on the grids of `count` lines. A value that takes the program is that of all
        instances."""
        if b.search is None or b.search.method != "smooth":
            return 0.0
        lines = count if b.search.arguments or b.search.element else 1.0
        return 2.0 * POINTS * lines * self.value_of(info, b).operations(sizes)

    def value_of(self, info: GuardInfo, b: Boundary) -> Slice:
        """What the value of a guard takes along a line that is searched."""
        assert b.search is not None
        found = needed(moved(self.steps, frozenset(), sites_of(b)), (), (f"guard {info.guard.index}",))
        return Slice(tuple(found), info.loops, not b.search.arguments)

    def backward(self, modes: Modes, sizes: Sizes) -> float:
        """What the pass back over a loop takes that gives the rest of the density after every iteration in every state,
        in evaluations of the log density."""
        entries = frozenset(c.entry.name for c in modes.carries)
        finals = [c.final.name for c in modes.carries]
        inside = [s for s in self.steps if modes.loop in s.nest]
        reading = _fed(inside, entries)
        part = Slice(tuple(needed(reading, modes.terms, finals)), (), True)
        states = math.prod(len(v) for v in modes.values)
        return states * part.operations(sizes) / max(1.0, self.all().operations(sizes))


def _fed(steps: Sequence[Step], names: frozenset[str]) -> list[Step]:
    """The steps that read variables, or what these are made into."""
    known, out = set(names), dict[int, Step]()
    while True:
        new = [s for s in steps if id(s) not in out and s.reads & known]
        if not new:
            return [s for s in steps if id(s) in out]
        for s in new:
            out[id(s)] = s
            known |= s.makes if s.term is None else frozenset()


def roots(b: Boundary) -> int:
    """How many roots of a line that is searched are looked at, for each of which a jump is evaluated."""
    if b.search is None or b.search.method == "monotone":
        return 1
    if b.search.method == "polynomial":
        return max(1, len(b.search.coefficients) - 1)
    return MOST_ROOTS if b.search.arguments else MOST_ROOTS_OF_MODEL


def outcomes(info: GuardInfo, sizes: Sizes) -> float:
    return sizes.length(info.guard.outcomes) if info.guard.outcomes is not None else float(SIDES)


def workload(scope: Scope) -> Workload:
    return Workload(scope, steps_of(scope))


# ----------------------------------------------------------------------------- in words


def symbolic(scope: Scope, part: Slice) -> str | None:
    """The number of factors in the names of sizes, such as ``n + 1``; None if it differs between iterations."""
    out: poly.Poly = {}
    for one, s in ((x, s) for x in (part, *part.more) for s in x.steps):
        for (nest, dims), c in s.factors.items():
            inside = not one.whole and nest[: len(one.loops)] == one.loops
            sizes = [extent(scope, scope.loops[x]) for x in (nest[len(one.loops) :] if inside else nest)]
            product = poly.constant(c)
            for size in (*sizes, *map(scope.normal, dims)):
                product = poly.mul(product, size)
            out = poly.add(out, product)
    if any(isinstance(x, ir.LoopVar) for a in poly.atoms(out) for x in ir.walk(a)):
        return None
    return show(poly.to_expr(out, ir.INT))
