"""Terms that use a latent through guards alone: the guide's probabilities of their outcomes integrate it out.

Given all other latents, such a term takes finitely many values, one for each interval between the thresholds of the
guards on its latent z. Where z is independent of the others under the guide, its expectation is
``sum_j P(z in interval j) * term(interval j)``: smooth in the parameters, so the guards need no boundary there, and of
smaller variance than the term at a draw (Rao-Blackwell). What is proved here, for one term and one coordinate z:

- the term, with its guards taken as given, does not move with z, and neither does any loop that it reads from;
- every guard behind it that depends on z is affine in it with a slope that no latent moves, or is decided by such
  guards; its threshold may move with other latents;
- carried state and arrays bring it no outcome of these guards from other iterations, which have their own jumps.

A guard of another latent keeps its boundary, and the jump of the term there, evaluated at a draw of z, is unbiased.

Where z depends on the others under the guide, the same holds of its distribution given them, but for the last: how fast
the boundary of another guard moves at fixed noise may depend on z, and so be correlated with the jump there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.core.show import show
from ppl.diagnostics import counted
from ppl.record import record
from ppl.regions import lines
from ppl.regions.counts import counts
from ppl.regions.model import GuardInfo, Integrated, Latent, Marginal, Threshold
from ppl.regions.scope import Scope
from ppl.regions.search import can_move

MARGINALISED = "marginalised"
MOST_PATHS = 16  # values of one term: each is one evaluation
_TOTAL = ("add", "sub", "mul", "neg", "to_real")  # finite at any operands


@record
class Trace:
    """What an expression reads, its definitions looked up: variables without one, array elements, and guards."""

    leaves: tuple[ir.Expr, ...]
    guards: tuple[int, ...]  # representatives


def marginals(scope: Scope, infos: Sequence[GuardInfo], scored: frozenset[int]) -> tuple[Marginal, ...]:
    """The terms of which a latent can be integrated out; `scored` are those with an estimator of their own."""
    found: list[Marginal] = []
    for _, s in ir.blocks(scope.program.body):
        if not isinstance(s, ir.Term | ir.Sample) or (isinstance(s, ir.Sample) and s.noise) or s.id in scored:
            continue
        if scope.flow.terms[s.id].guards:
            variables = _Analysis(scope, infos, s).variables()
            if variables:
                found.append(Marginal(s.id, scope.flow.term_loops[s.id], variables))
            elif isinstance(s, ir.Term) and not scope.flow.term_loops[s.id]:
                count = counts(scope, infos, s)
                found += [] if count is None else [count]
    return tuple(found)


def with_statuses(
    scope: Scope, infos: tuple[GuardInfo, ...], found: tuple[Marginal, ...], scored: frozenset[int]
) -> tuple[GuardInfo, ...]:
    """The guards, with what is integrated told in status and reason. `scored` terms need neither that nor a jump."""
    by_guard: dict[int, list[Marginal]] = {}
    for m in found:
        for k in m.guards():
            by_guard.setdefault(k, []).append(m)
    twins: dict[int, set[int]] = {}
    for i in infos:
        twins.setdefault(i.representative, set()).add(i.guard.index)
    out: list[GuardInfo] = []
    for i in infos:
        members = twins.get(i.guard.index, set())
        reached = {t for t, d in scope.flow.terms.items() if members & d.guards} - scored
        out.append(_told(scope, i, reached, by_guard.get(i.guard.index, [])))
    return tuple(out)


def _told(scope: Scope, info: GuardInfo, reached: set[int], found: list[Marginal]) -> GuardInfo:
    terms = {m.term for m in found}
    if not terms or info.status not in ("boundary", "fixed"):
        return info
    if info.status == "fixed" and any(m.count is not None for m in found):
        return info  # noise alone decides it, in all iterations alike
    where = _lines(scope, terms)
    if not reached <= terms:
        if info.status == "fixed":
            return info
        return replace(info, reason=f"{info.reason}; integrated out of {where}")
    latents = [v.latent for m in found for v in m.variables if any(t.guard == info.guard.index for t in v.guards)]
    site = scope.site(latents[0].site)
    direction = show(latents[0].expr(ir.REAL)) + site.remark
    otherwise = "; otherwise" + ("" if info.direction in (direction, "-") else f", along {info.direction},")
    otherwise = f"{otherwise} {info.reason}" if info.boundaries else ""
    return replace(
        info, status=MARGINALISED, direction=direction,
        kind=info.kind if info.boundaries else "affine", effect="local",
        reason=f"integrated out of {where}, by {_weights(found)}{otherwise}",
    )  # fmt: skip


def _weights(found: list[Marginal]) -> str:
    """What a guard is integrated out by, in words."""
    outcomes, count = "the probabilities of its outcomes", "the probabilities of the count that it reads"
    return " and ".join(t for t, counted in ((outcomes, False), (count, True))
                        if any((m.count is not None) == counted for m in found))  # fmt: skip


def _lines(scope: Scope, terms: set[int]) -> str:
    found = sorted({s.span.line for _, s in ir.blocks(scope.program.body)
                    if isinstance(s, ir.Term | ir.Sample) and s.id in terms})  # fmt: skip
    return f"{counted(len(terms), 'term')}, of line{'' if len(found) == 1 else 's'} {', '.join(map(str, found))}"


@dataclass
class _Analysis:
    """One term."""

    scope: Scope
    infos: Sequence[GuardInfo]
    term: ir.Term | ir.Sample
    traces: dict[int, Trace] = field(default_factory=dict[int, Trace])

    def variables(self) -> tuple[Integrated, ...]:
        """As many latents as can be integrated out of it together."""
        own: tuple[ir.Expr, ...] = ()
        if isinstance(self.term, ir.Sample) and self.term.outcome is None:
            own = (
                ir.Cell(self.term.site, self.term.indices, ir.REAL, True)
                if self.term.indices
                else self.term.var,
            )  # fmt: skip
        whole = self.trace((*own, *expressions_of(self.term, self.scope.program.guards)))
        chosen: list[Integrated] = []
        paths = 1
        for z in self.latents(whole):
            v = self.integrated(whole, z)
            if v is None or paths * (len(v.guards) + 1) > MOST_PATHS:
                continue
            if all(self.apart(v, other) and self.apart(other, v) for other in chosen):
                chosen.append(v)
                paths *= len(v.guards) + 1
        return tuple(chosen)

    def trace(self, expressions: Sequence[ir.Expr]) -> Trace:
        leaves: dict[ir.Expr, None] = {}
        guards: dict[int, None] = {}
        seen: set[str] = set()
        queue = list(reversed(expressions))
        while queue:
            for x in ir.walk(queue.pop()):
                match x:
                    case ir.GuardRef():
                        guards.setdefault(self.infos[x.index].representative)
                    case ir.Var() if x.random and x.name in self.scope.definitions:
                        if x.name not in seen:
                            seen.add(x.name)
                            queue.append(self.scope.definitions[x.name])
                    case ir.Var() | ir.Cell() if x.random:
                        leaves.setdefault(x)
                    case _:
                        pass
        return Trace(tuple(leaves), tuple(guards))

    def of_guard(self, k: int) -> Trace:
        """What the value of a guard reads."""
        if k not in self.traces:
            self.traces[k] = self.trace((self.infos[k].value,))
        return self.traces[k]

    def latents(self, whole: Trace) -> Iterator[Latent]:
        """The coordinates on whose value a guard behind the term depends, once each."""
        found: list[Latent] = []
        reached, queue = set[int](), list(reversed(whole.guards))
        while queue:
            k = queue.pop()
            if k in reached:
                continue
            reached.add(k)
            queue.extend(reversed(self.of_guard(k).guards))
            for c in self.thresholds(k):
                if not any(self.same(c.latent, z) for z in found):
                    found.append(c.latent)
                    yield c.latent

    def thresholds(self, k: int) -> Iterator[lines.Candidate]:
        """The ways in which a guard is a threshold on one latent."""
        info = self.infos[k]
        if info.guard.levels or info.guard.outcomes is not None:
            return
        for c in lines.candidates(self.scope, info.normal):
            if c.rest is None or c.slope.random or c.vanishes or not can_move(self.scope, c.latent.site):
                continue
            if info.guard.mask is not None and info.guard.mask.random and not _total(c.rest, self.scope.memo.partial):
                continue  # the threshold may be undefined where the guard is not asked
            yield c

    def same(self, a: Latent, b: Latent) -> bool:
        return a.site == b.site and self.scope.same_element(a.indices, b.indices)

    def integrated(self, whole: Trace, z: Latent) -> Integrated | None:
        """`z` with the guards through which the term reads it, if it does so in no other way."""
        direct: dict[int, Threshold] = {}
        given: set[int] = set()

        def fixed(t: Trace) -> bool:
            """Whether nothing in it moves with z but outcomes."""
            return all(self.scope.independent(x, z) for x in t.leaves) and all(decided(k) for k in t.guards)

        def decided(k: int) -> bool:
            if k in given or k in direct or self.infos[k].steady or self.scope.independent(ir.GuardRef(k), z):
                return True
            for c in self.thresholds(k):
                if self.same(c.latent, z):
                    assert c.rest is not None
                    direct[k] = Threshold(k, c.slope, c.rest)
                    return True
            given.add(k)
            return fixed(self.of_guard(k))

        if not fixed(whole) or not direct:
            return None
        thresholds = self.trace([e for t in direct.values() for e in (t.slope, t.rest)])
        if any(self.jumps_along(k, z) for k in self.scope.flow.terms[self.term.id].guards if self.rep(k) not in direct):
            return None
        traces = (whole, *map(self.of_guard, given), thresholds)
        if not all(self.in_one_instance(frozenset(direct), t) for t in traces):
            return None
        return Integrated(z, tuple(direct.values()))

    def rep(self, k: int) -> int:
        return self.infos[k].representative

    def jumps_along(self, k: int, z: Latent) -> bool:
        """Whether a guard jumps, along the site of `z`, beyond its own iteration: it may flip together with one that
        integrates `z` out of the term of another iteration, and its jump there would be counted twice."""
        return any(b.line.site == z.site and b.effect != "local" for b in self.infos[self.rep(k)].boundaries)

    def in_one_instance(self, direct: frozenset[int], trace: Trace) -> bool:
        """Whether nothing but the guards themselves brings their outcomes: state would bring those of other iterations,
        on other elements of the latent, which keep their jumps only if these are told from the iteration's own. What a
        loop or an array makes in a branch has no value where the branch is not taken, and is not made again."""
        members = {i.guard.index for i in self.infos if i.representative in direct}
        if any(members & self.scope.flow.of(x).masks for x in trace.leaves):
            return False
        jumping = {i.guard.index for i in self.infos if i.representative in direct
                   and not all(b.effect == "modes" for b in self.infos[i.representative].boundaries)}  # fmt: skip
        return not any(jumping & self.scope.flow.of(x).guards for x in trace.leaves)

    def apart(self, a: Integrated, b: Integrated) -> bool:
        """Whether neither the latent of `a` nor its thresholds depend on the latent of `b`."""
        own = a.latent.expr(ir.REAL)
        return all(
            self.scope.independent(x, b.latent) for x in (own, *(e for t in a.guards for e in (t.slope, t.rest)))
        )


def _total(e: ir.Expr, partial: frozenset[str]) -> bool:
    return not poly.reads(e, partial) and all(not isinstance(x, ir.Op) or x.op in _TOTAL for x in ir.walk(e))
