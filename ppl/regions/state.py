"""What of a loop's body its carried state needs, and what needs the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.record import record

Resolve = Callable[[int], int]


@record
class Split:
    """The body of a loop in three parts, each in its order: what the next state needs but does not itself read the
    state, what it needs and does, and the rest. `recursive`: whether the next state depends on the state at all."""

    before: tuple[ir.Statement, ...]
    state: tuple[ir.Statement, ...]
    after: tuple[ir.Statement, ...]
    recursive: bool


def split(loop: ir.Loop, guards: Sequence[ir.Guard], resolve: Resolve = lambda k: k) -> Split:
    """`resolve` gives the guard that stands for one."""
    tainted = {c.entry.name for c in loop.carries}
    reading = reached(loop.body, tainted, guards, resolve)
    wanted = names_in((c.out for c in loop.carries), resolve)
    recursive = bool(wanted & tainted)
    needed = [s for s in feeding(loop.body, wanted, guards, resolve)]
    keys = {id(s) for s in needed}
    return Split(
        tuple(s for s in needed if id(s) not in reading),
        tuple(s for s in needed if id(s) in reading),
        tuple(s for s in loop.body if id(s) not in keys),
        recursive,
    )


def reached(
    body: Iterable[ir.Statement], tainted: set[str], guards: Sequence[ir.Guard], resolve: Resolve = lambda k: k
) -> set[int]:
    """The ids (of Python) of the statements that depend on the names in `tainted`, which gains what they define."""
    out: set[int] = set()
    for s in body:
        if names_in(expressions_of(s, guards), resolve) & tainted:
            tainted |= defined(s, resolve)
            out.add(id(s))
    return out


def feeding(
    body: Sequence[ir.Statement], wanted: set[str], guards: Sequence[ir.Guard], resolve: Resolve = lambda k: k
) -> list[ir.Statement]:
    """The statements that the names in `wanted` depend on, in order; `wanted` gains what these read."""
    out: list[ir.Statement] = []
    for s in reversed(body):
        if defined(s, resolve) & wanted:
            wanted |= names_in(expressions_of(s, guards), resolve)
            out.append(s)
    return out[::-1]


def names_in(expressions: Iterable[ir.Expr], resolve: Resolve = lambda k: k) -> set[str]:
    """Variables and arrays by name, guards as ``guard K``."""
    out: set[str] = set()
    for e in expressions:
        for x in ir.walk(e):
            match x:
                case ir.Var():
                    out.add(x.name)
                case ir.Cell():
                    out.add(x.array)
                case ir.GuardRef():
                    out.add(guard_name(resolve(x.index)))
                case _:
                    pass
    return out


def guard_name(k: int) -> str:
    return f"guard {k}"


def defined(s: ir.Statement, resolve: Resolve = lambda k: k) -> set[str]:
    """The names that a statement of an iteration gives a value."""
    match s:
        case ir.Let():
            return {s.var.name}
        case ir.Decide():
            return {guard_name(s.index)} if resolve(s.index) == s.index else set()
        case ir.Loop():
            return {v.final.name for v in (*s.carries, *s.reductions, *s.collects)}
        case _:
            return set()
