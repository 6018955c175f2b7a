"""The estimated cost of every boundary, and of all beside the rest of a gradient, for `explain`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ppl.language.budget import AUTO, Budget
from ppl.record import record
from ppl.regions.budget import elements, families
from ppl.regions.flow import analyse
from ppl.regions.model import Boundary, GuardInfo, Marginal, Regions
from ppl.regions.modes import modes_of
from ppl.regions.scope import scope_of
from ppl.regions.work import REVERSE, Sizes, Slice, Step, Workload, symbolic, total, workload

LEAST = 4  # instances of a boundary that are evaluated, if there are as many
SEARCHED = 64  # the same, of one that is searched for
ALIKE = 0.4  # how much of the variance of evenly chosen instances is left


@record
class Jump:
    """What the jump of one instance of a guard evaluates: `factors` of the `of` in the program, numbers, or text in the
    names of sizes where these are not known; None if that differs between iterations. `work`: what all instances take
    in one draw, in evaluations of the log density; None without sizes."""

    factors: float | str | None
    of: float | str | None
    work: float | None

    def to_json(self) -> dict[str, Any]:
        return {"factors": _plain(self.factors), "of": _plain(self.of), "work": _rounded(self.work)}


@record
class Costs:
    """`jumps`, by guard. `boundaries`: the work of all, without those that are integrated out. `integrated`: what the
    further outcomes of integrated terms take, gradient included. `gradient`: that of the program without boundaries,
    random numbers included."""

    jumps: Mapping[int, Jump]
    boundaries: float | None
    integrated: float | None
    gradient: float | None

    def to_json(self) -> dict[str, Any]:
        """With the `price`: the work of the unbiased gradient over that of the one without boundaries."""
        known = None not in (self.boundaries, self.integrated, self.gradient)
        more = (self.boundaries or 0.0) + (self.integrated or 0.0)
        price = 1.0 + more / self.gradient if known and self.gradient else None
        return {
            "gradient": _rounded(self.gradient), "boundaries": _rounded(self.boundaries),
            "integrated": _rounded(self.integrated), "price": _rounded(price),
        }  # fmt: skip


def budgets(
    regions: Regions, sizes: Sizes | None, shapes: Mapping[str, tuple[int, ...]], asked: Budget
) -> tuple[int | None, ...]:
    """How many instances are evaluated of each of the `families` of boundaries, None for all.

    By default, and if sizes are known, as many as give a gradient of given accuracy in the least time. Evaluating k of
    n instances takes ``G + k J``, with G the work of a gradient without boundaries and J that of one jump. Were the
    instances independent and chosen evenly, the variance of their sum would be about ``1 + n / k`` times that of all.
    As those that matter are chosen more often, and the draws of a gradient share in them evenly, what choosing adds is
    about ALIKE of that. The product is least at ``k^2 = ALIKE n G / J``. Where a line is searched for roots, so that
    instances can often be chosen evenly alone, k is SEARCHED.
    """
    found = families(regions)
    if asked != AUTO or sizes is None or not found:
        return (None if isinstance(asked, str) else asked,) * len(found)
    program = regions.program
    scope = scope_of(program, regions.definitions, analyse(program.body, program.guards), regions.optimize)
    work = workload(scope)
    gradient = REVERSE * _inside(regions, work, sizes)[0] + work.drawing(sizes)
    out: list[int | None] = []
    for info, b in found:
        if b.search is not None:
            out.append(SEARCHED)
            continue
        members = frozenset(i.guard.index for i in regions.guards if i.representative == info.guard.index)
        n = _instances(info, b, sizes, shapes)
        jump = work.cost(info, b, members, n, sizes) / max(1.0, n)
        out.append(max(LEAST, round(math.sqrt(ALIKE * n * gradient / jump))) if jump > 0 else None)
    return tuple(out)


def costs(
    regions: Regions, sizes: Sizes | None, shapes: Mapping[str, tuple[int, ...]], taken: Sequence[int | None]
) -> Costs:
    """Of all guards with boundaries. `shapes`: of sites, if sizes are known. `taken`: what `budgets` gives."""
    program = regions.program
    scope = scope_of(program, regions.definitions, analyse(program.body, program.guards), regions.optimize)
    work = workload(scope)
    chosen = {id(b): most for (_, b), most in zip(families(regions), taken, strict=True)}
    jumps: dict[int, Jump] = {}
    passes: dict[int, float] = {}  # of the boundaries of a loop that share a backward pass, what it takes each
    for info in regions.guards:
        if not info.boundaries or info.representative != info.guard.index:
            continue
        members = frozenset(i.guard.index for i in regions.guards if i.representative == info.guard.index)
        part = work.slice(info, info.boundaries[-1], members)
        if sizes is None:
            jumps[info.guard.index] = Jump(symbolic(scope, part), symbolic(scope, work.all()), None)
            continue
        known = 0.0
        for b in info.boundaries:
            count = _instances(info, b, sizes, shapes)
            most = chosen.get(id(b))
            known += work.cost(info, b, members, count if most is None else min(count, most), sizes)
            if b.effect == "modes":
                known += _pass(regions, work, info.loops[-1], sizes, passes)
        jumps[info.guard.index] = Jump(part.factors(sizes), work.all().factors(sizes), known)
    if sizes is None:
        return Costs(jumps, None, None, None)
    boundaries = sum(jumps[i.guard.index].work or 0.0 for i in regions.guards
                     if i.status == "boundary" and i.guard.index in jumps)  # fmt: skip
    once, more = _inside(regions, work, sizes)
    return Costs(jumps, boundaries, REVERSE * more, REVERSE * once + work.drawing(sizes))


def _instances(info: GuardInfo, b: Boundary, sizes: Sizes, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """How many instances a boundary has."""
    around, every = (sizes.iterations(info.loops[:-1]), sizes.iterations(info.loops)) if info.loops else (1.0, 1.0)
    parts = {"all": every, "first": min(around, every), "rest": max(0.0, every - around)}
    return parts.get(b.part, 1.0) * elements(b, shapes)


def _pass(regions: Regions, work: Workload, loop: int, sizes: Sizes, known: dict[int, float]) -> float:
    modes = modes_of(work.scope, work.scope.loops[loop])
    if loop not in known and modes is not None:
        sharing = sum(b.effect == "modes" for i in regions.guards if loop in i.loops for b in i.boundaries)
        known[loop] = work.backward(modes, sizes) / max(1, sharing)
    return known.get(loop, 0.0)


def _inside(regions: Regions, work: Workload, sizes: Sizes) -> tuple[float, float]:
    """The work of the terms, and what more their integrated outcomes take, in evaluations of the log density. A term
    that is a sum over sorted thresholds is evaluated once for each range."""
    whole = max(1.0, work.all().operations(sizes))
    ranges = {s.term: len(s.cuts) + 1.0 for s in regions.sums}
    once, more = 0.0, 0.0
    outcomes = {m.term: _outcomes(m, sizes) for m in regions.marginals}
    for s in work.steps:
        own = _once(s, ranges, sizes) / whole
        once += own
        more += own * (outcomes[s.term] - 1) if s.term in outcomes else 0.0
    return once, more


def _outcomes(m: Marginal, sizes: Sizes) -> float:
    """How many times a term is evaluated for its expectation."""
    if m.count is not None:
        return sizes.iterations((m.count.loop,)) + 1
    return math.prod(len(v.guards) + 1 for v in m.variables)


def _once(s: Step, ranges: Mapping[int, float], sizes: Sizes) -> float:
    all_of_them = total(s.operations, sizes)
    if s.term is None or s.term not in ranges:
        return all_of_them
    one = Slice((s,), s.nest, False).operations(sizes)
    return min(all_of_them, ranges[s.term] * one)


def _plain(x: float | str | None) -> float | str | None:
    return _rounded(x) if isinstance(x, float) else x


def _rounded(x: float | None) -> float | None:
    """Three digits of an estimate; whole numbers as they are."""
    if x is None:
        return None
    return int(x) if x == int(x) else float(f"{x:.3g}")
