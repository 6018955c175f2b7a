"""Where data alone say whether a guard is reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ppl.core import ir
from ppl.core.rewrite import rebuild
from ppl.diagnostics import Diagnostic, PplError
from ppl.regions.scope import Scope

DEEPEST, LARGEST = 200, 20_000  # assignments behind a condition, and parts of it, that are written in its place
MOST = 2_000  # parts of what data say of a guard


def conditions_of_data(scope: Scope, places: Mapping[int, tuple[int, ...]]) -> dict[int, ir.Expr]:
    """Of each guard that data may leave unreached, a condition that holds wherever it is reached and depends on no
    latent. It reads data and loop variables and, where it cannot be written in these alone, what loops make of them.
    `places`: the loops in which each guard is decided; what is known only further inside is left out.

    Where the condition does not hold, the guard may be one of an element beyond its array, which reads as another
    element. Raises PplError where it is too long to be written.
    """
    out: dict[int, ir.Expr] = {}
    for g in scope.program.guards:
        if g.mask is None:
            continue
        try:
            found = _Reader(scope, places[g.index]).read(g.mask)
        except OverflowError:
            headline = f"whether `{g.text}` is reached depends on data in too many ways"
            hint = "have fewer conditions around it, or have what is chosen by data in an array that is data itself"
            raise PplError([Diagnostic("PPL703", headline, g.span, hint)]) from None
        if found is not None:
            out[g.index] = found
    return out


def any_of(conditions: Iterable[ir.Expr | None]) -> ir.Expr | None:
    """A condition that holds where one of several does; None if that is everywhere, as it is where one is None."""
    out: dict[ir.Expr, frozenset[ir.Expr]] = {}
    for condition in conditions:
        if condition is None:
            return None
        for c in _parts("or", condition):
            if c == ir.TRUE:
                return None
            parts = frozenset(_parts("and", c))
            if c == ir.FALSE or any(other <= parts for other in out.values()):
                continue
            out = {k: other for k, other in out.items() if not parts <= other} | {c: parts}
    found, *more = out or [ir.FALSE]
    for c in more:
        found = ir.Op("or", (found, c), ir.BOOL, False)
    return found


def _parts(op: str, e: ir.Expr) -> Iterator[ir.Expr]:
    """The operands of a chain of `and` or `or`."""
    queue = [e]
    while queue:
        x = queue.pop()
        if isinstance(x, ir.Op) and x.op == op:
            queue.extend(reversed(x.args))
        else:
            yield x


def _both(a: ir.Expr | None, b: ir.Expr | None) -> ir.Expr | None:
    """What has to hold where both do, each part of it once."""
    parts = dict.fromkeys(x for e in (a, b) if e is not None for x in _parts("and", e) if x != ir.TRUE)
    if ir.FALSE in parts:
        return ir.FALSE
    found: ir.Expr | None = None
    for x in parts:
        found = ir.conjunction(found, x)
    return found


def made_by_loops(condition: ir.Expr | None, program: ir.Program) -> frozenset[str]:
    """The variables and arrays that a condition reads besides data."""
    if condition is None:
        return frozenset()
    found = (x for x in ir.walk(condition) if isinstance(x, ir.Var | ir.Cell))
    return frozenset(x.array if isinstance(x, ir.Cell) else x.name for x in found) - {d.name for d in program.data}


class _Reader:
    """Reads a condition for what it says of data, the variables of `loops`, and what is made outside of others."""

    def __init__(self, scope: Scope, loops: tuple[int, ...]) -> None:
        self.scope, self.loops = scope, loops
        self.found: dict[tuple[str, bool], ir.Expr | None] = {}  # of variables, for each of their outcomes
        self.left = LARGEST

    def read(self, e: ir.Expr) -> ir.Expr | None:
        """What has to hold where `e` does; None if it says nothing. Raises OverflowError if that is too long."""
        queue = [(v, False) for v in self.behind(e)]
        while queue:  # variables in the order of their definitions, which may be a chain of any length
            v, ready = queue.pop()
            if (v.name, True) in self.found:
                continue
            definition = self.scope.definitions[v.name]
            if ready:
                for holds in (True, False):
                    self.found[v.name, holds] = _short(self.needed(definition, holds))
            else:
                queue.append((v, True))
                queue += [(x, False) for x in self.behind(definition)]
        return _short(self.needed(e, True))

    def behind(self, e: ir.Expr) -> list[ir.Var]:
        """The variables whose definitions say something of a condition."""
        match e:
            case ir.Var() if e.name in self.scope.definitions:
                return [e]
            case ir.Op("not" | "and" | "or", args):
                return [v for a in args for v in self.behind(a)]
            case ir.Select():
                return [v for a in (e.condition, e.then, e.orelse) for v in self.behind(a)]
            case _:
                return []

    def needed(self, e: ir.Expr, holds: bool) -> ir.Expr | None:
        """A condition that is true wherever `e` is, or is not if it `holds` not; None if there is none."""
        written = None if e.random else self.written(e)
        if written is not None:
            return written if holds else ir.negate(written)
        match e:
            case ir.Var():
                return self.found.get((e.name, holds))
            case ir.Op("not", (inner,)):
                return self.needed(inner, not holds)
            case ir.Op("and" | "or", (a, b)):
                parts = self.needed(a, holds), self.needed(b, holds)
                return _both(*parts) if (e.op == "and") == holds else any_of(parts)
            case ir.Select():
                on = _both(self.needed(e.condition, True), self.needed(e.then, holds))
                off = _both(self.needed(e.condition, False), self.needed(e.orelse, holds))
                return any_of((on, off))
            case _:
                return None

    def written(self, e: ir.Expr) -> ir.Expr | None:
        """An expression in data and loop variables, as far as that is not too long; else as it stands. None if it reads
        what is not known in these loops."""
        whole = self.expanded(e)
        return next((x for x in (whole, e) if x is not None and self.is_known(x)), None)

    def expanded(self, e: ir.Expr) -> ir.Expr | None:
        for _ in range(DEEPEST):
            parts = list(ir.walk(e))
            self.left -= len(parts)
            if self.left < 0 or len(parts) > MOST:
                return None
            if not any(self.definition(x) for x in parts):
                return e
            e = rebuild(e, self.definition)
        return None

    def definition(self, x: ir.Expr) -> ir.Expr | None:
        return self.scope.definitions.get(x.name) if isinstance(x, ir.Var) else None

    def is_known(self, e: ir.Expr) -> bool:
        home = self.scope.loops_needed(e)
        return home == self.loops[: len(home)]


def _short(e: ir.Expr | None) -> ir.Expr | None:
    """Raises OverflowError if a condition is too long."""
    if e is not None and sum(1 for _ in ir.walk(e)) > MOST:
        raise OverflowError
    return e
