"""Guards whose outcome a loop carries on in state with feedback: both sides go through the loop together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.record import record
from ppl.regions.frozen import conjuncts, resolve
from ppl.regions.model import Boundary, GuardInfo, Regions
from ppl.regions.scope import Scope
from ppl.regions.state import defined, names_in, split

Statements = tuple[ir.Statement, ...]


@record
class Fork:
    """What the jump of a boundary evaluates. `loop`: the one that carries its guard's outcome on, with what is needed
    of it; its terms `inside`; statements `before` and `after` it and the terms `behind` it; the `arrays` that all of
    these read. `ended`: the outcome that ends the loop, so that nothing more comes of that side: "on", "off", or "" for
    none."""

    loop: ir.Loop
    before: Statements
    after: Statements
    inside: tuple[int, ...]
    behind: tuple[int, ...]
    arrays: frozenset[str]
    ended: str


def fork_of(regions: Regions, scope: Scope, info: GuardInfo, b: Boundary) -> Fork | None:
    """How the jump of a boundary on which no other guard of its loop flips is evaluated in one pass over the loop. None
    where it cannot be: the loop is inside of another, has no state with feedback, or hands on arrays."""
    if "forks" not in regions.optimize or b.effect != "global" or len(info.loops) != 1:
        return None
    place = next((k for k, s in enumerate(regions.body) if isinstance(s, ir.Loop) and s.id == info.loops[0]), None)
    if place is None or regions.in_batches(info.loops[0]):
        return None
    need = _Need(regions, frozenset(b.terms))
    loop = regions.body[place]
    assert isinstance(loop, ir.Loop)
    if not split(loop, need.guards, need.resolve).recursive:
        return None
    after = need.select(regions.body[place + 1 :])
    found = need.loop(loop)
    if found is None:
        return None
    before = need.select(regions.body[:place])
    inside = tuple(t for t in b.terms if scope.flow.term_loops[t][:1] == (loop.id,))
    behind = tuple(t for t in b.terms if t not in inside)
    arrays = frozenset(a.name for a in regions.program.arrays if a.name in need.names)
    return Fork(found, before, after, inside, behind, arrays, ended_by(regions, scope, b.guard, found))


class _Need:
    """What of a program is needed for some terms, found from its end to its beginning. `names` grows with what is read
    there: variables, arrays, and guards as ``guard 3``."""

    def __init__(self, regions: Regions, terms: frozenset[int]) -> None:
        self.regions, self.terms = regions, terms
        self.guards = [replace(i.guard, value=i.value) for i in regions.guards]
        self.names: set[str] = set()

    def resolve(self, k: int) -> int:
        return self.regions.resolve(k)[0]

    def select(self, body: Sequence[ir.Statement]) -> Statements:
        out: list[ir.Statement] = []
        for s in reversed(body):
            if self._made(s) & self.names or self._has_terms(s):
                plain = _plain(s)
                self.read(expressions_of(plain, self.guards))
                out.append(plain)
        return tuple(reversed(out))

    def loop(self, s: ir.Loop) -> ir.Loop | None:
        """The part of a loop that is needed; None if an array that it fills is."""
        filled = {x.array for _, x in ir.blocks(s.body) if isinstance(x, ir.Fill)} | {c.final.name for c in s.collects}
        reductions = tuple(r for r in s.reductions if r.final.name in self.names)
        self.read([*(r.delta for r in reductions), *(r.init for r in reductions), s.lo, s.hi])
        while True:
            carries = tuple(c for c in s.carries if {c.final.name, c.entry.name} & self.names)
            self.read(x for c in carries for x in (c.out, c.init))
            body = self.select(s.body)
            if not any(c.entry.name in self.names for c in s.carries if c not in carries):
                break
        if not carries or filled & self.names:
            return None
        return replace(s, body=body, carries=carries, reductions=reductions, collects=())

    def read(self, expressions: Iterable[ir.Expr]) -> None:
        found = list(expressions)
        self.names |= names_in(found, self.resolve)
        self.names |= {x.site for e in found for x in ir.walk(e) if isinstance(x, ir.Outcome)}

    def _made(self, s: ir.Statement) -> set[str]:
        inside = [x for _, x in ir.blocks((s,))]
        filled = {x.array for x in inside if isinstance(x, ir.Fill)}
        drawn = {x for d in inside if isinstance(d, ir.Sample) for x in (d.site, d.var.name)}
        return defined(s, self.resolve) | filled | (drawn if isinstance(s, ir.Sample) and not s.indices else set[str]())

    def _has_terms(self, s: ir.Statement) -> bool:
        return any(isinstance(x, ir.Term | ir.Sample) and x.id in self.terms for _, x in ir.blocks((s,)))


def _plain(s: ir.Statement) -> ir.Statement:
    """A statement without what is known of distributions beyond their density."""
    match s:
        case ir.Term() | ir.Sample() if s.custom is not None:
            return replace(s, custom=None)
        case ir.Loop():
            return replace(s, body=tuple(map(_plain, s.body)))
        case _:
            return s


def ended_by(regions: Regions, scope: Scope, guard: int, loop: ir.Loop) -> str:
    """The outcome of a guard that ends a loop, "on" or "off": from the iteration on in which it takes that, all state
    stays as it is, and no term or sum has anything to add. "" if neither does."""
    for going in loop.carries:
        parts = conjuncts(scope, going.out)
        outcome = next((o for e in parts if (o := _fails_by(regions, guard, e))), "")
        if not outcome or going.entry not in parts:
            continue
        over = frozenset({ir.negate(going.out)})
        still = all(c is going or resolve(scope, c.out, over) == c.entry for c in loop.carries)
        nothing = all(_is_zero(resolve(scope, r.delta, over)) for r in loop.reductions)
        terms = [
            s for _, s in ir.blocks(loop.body) if isinstance(s, ir.Term) or (isinstance(s, ir.Sample) and not s.noise)
        ]
        if still and nothing and all(s.mask is not None and going.out in conjuncts(scope, s.mask) for s in terms):
            return outcome
    return ""


def _fails_by(regions: Regions, guard: int, e: ir.Expr) -> str:
    """The outcome of a guard that makes a condition false, if it is one of the guard alone."""
    negated = isinstance(e, ir.Op) and e.op == "not"
    inner = e.args[0] if isinstance(e, ir.Op) and negated else e
    if not isinstance(inner, ir.GuardRef):
        return ""
    stands, flipped = regions.resolve(inner.index)
    if stands != guard or regions.guards[stands].guard.levels:
        return ""
    return "on" if negated != flipped else "off"


def _is_zero(e: ir.Expr) -> bool:
    return isinstance(e, ir.Lit) and e.value == 0
