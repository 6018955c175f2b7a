"""Elements of arrays that only branches on latents draw: what reads one must be under the same condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ppl.core import ir, poly
from ppl.core.reads import expressions_of, handed_on
from ppl.core.rewrite import rebuild
from ppl.diagnostics import Diagnostics
from ppl.regions.fills import on_some_paths, places
from ppl.regions.scope import Scope

ANY = ir.LoopVar("any")
Condition = frozenset[object]  # what has to hold, see `_Reader.shape`


def check_draws(scope: Scope, sink: Diagnostics) -> None:
    """Reports reads of elements that are drawn on some paths only, where it is not known that they are (PPL306).

    Such an element would read as zero. Conditions are compared by what they ask, whatever the loop.
    """
    reader = _Reader(scope)
    if not reader.drawn:
        return
    for around, s in ir.blocks(scope.program.body):
        if isinstance(s, ir.Report):
            continue
        given = frozenset[object]().union(*(reader.shape(m) for m in (s.mask, *(x.mask for x in around))))
        own = handed_on(s) if isinstance(s, ir.Loop) else expressions_of(s, scope.program.guards)
        for name in sorted({name for e in own for name in reader.absent(e, given)}):
            message = f"this reads elements of `{name}` that may not have been drawn: they are on some paths only"
            hint = f"draw `{name}` in the `else` too, or read it under the condition under which it is drawn"
            sink.error("PPL306", message, s.span, hint)


@dataclass
class _Reader:
    scope: Scope

    def __post_init__(self) -> None:
        found = places(self.scope.program)
        filled = {s.array for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Fill)}
        some = {place: s for place, s in found.items() if place[0] not in filled and on_some_paths(s)}
        self.drawn: dict[str, list[tuple[tuple[ir.Expr, ...], list[Condition]]]] = {}
        for (name, indices, _), statements in some.items():
            self.drawn.setdefault(name, []).append((indices, [self.shape(s.mask) for s in statements]))
        self.always = [(place[0], place[1]) for place in found if place[0] in self.drawn and place not in some]

    def absent(self, e: ir.Expr, given: Condition) -> Iterator[str]:
        """The arrays of which `e`, where `given` holds, reads elements that may not exist."""
        match e:
            case ir.Select():
                yield from self.absent(e.condition, given)
                yield from self.absent(e.then, given | self.shape(e.condition))
                yield from self.absent(e.orelse, given | self.shape(ir.negate(e.condition)))
            case ir.Op(op="and" | "or", args=(a, b)):
                yield from self.absent(a, given)
                yield from self.absent(b, given | self.shape(a if e.op == "and" else ir.negate(a)))
            case _:
                name = e.array if isinstance(e, ir.Cell) else e.name if isinstance(e, ir.Var) else ""
                if not self.exists(name, e.indices if isinstance(e, ir.Cell) else None, given):
                    yield name
                for x in ir.children(e):
                    yield from self.absent(x, given)

    def exists(self, name: str, indices: tuple[ir.Expr, ...] | None, given: Condition) -> bool:
        """Whether an element, or all of them, is there."""
        if indices is not None and any(name == n and self.scope.same_element(indices, own) for n, own in self.always):
            return True
        return all(
            (indices is not None and self.scope.different_element(own, indices)) or any(c <= given for c in conditions)
            for own, conditions in self.drawn.get(name, ())
        )

    def shape(self, condition: ir.Expr | None) -> Condition:
        """What a condition asks of latents, apart from the iteration: each of its parts as a normal form."""
        match condition:
            case None:
                return frozenset()
            case ir.Op(op="and", args=(a, b)):
                return self.shape(a) | self.shape(b)
            case ir.Op(op="not", args=(ir.Op(op="or", args=(a, b)),)):
                return self.shape(ir.negate(a)) | self.shape(ir.negate(b))
            case ir.Op(op="not", args=(ir.Var() as v,)) if v.name in self.scope.definitions:
                return self.shape(ir.negate(self.scope.definitions[v.name]))
            case ir.Var() if condition.name in self.scope.definitions:
                return self.shape(self.scope.definitions[condition.name])
            case _:
                return frozenset({self.asked(condition)} if condition.random else ())

    def asked(self, part: ir.Expr) -> object:
        def rule(x: ir.Expr) -> ir.Expr | None:
            return ANY if isinstance(x, ir.LoopVar) else None

        if isinstance(part, ir.Op) and part.op == "not":
            return ("not", self.asked(part.args[0]))
        if isinstance(part, ir.GuardRef):
            value = self.scope.program.guards[part.index].value
            return rebuild(poly.to_expr(self.scope.normal(value)), rule)
        return rebuild(part, rule)
