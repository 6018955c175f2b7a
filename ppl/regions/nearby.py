"""Discrete latents whose outcome reaches a few iterations: those that read its element at a fixed distance.

In a hidden Markov model, ``s[t] ~ Bernoulli(if s[t - 1] == 1 then a else b)``, the outcome of `s[t]` reaches iterations
t and t + 1. The difference between its outcomes is then that of the terms of these, whatever the number of iterations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.record import record
from ppl.regions.flow import moves_with_arguments
from ppl.regions.model import Element, Iteration
from ppl.regions.scope import Scope
from ppl.regions.state import guard_name, names_in

MOST = 16  # iterations

Place = tuple["ir.LoopVar | None", int]  # a variable of the loops around the guard and what is added to it
Key = tuple[tuple[int, ...], tuple[Place, ...]]  # loops, and the values of their variables
Cells = dict[Element, "dict[tuple[ir.Expr, ...], None]"]  # elements, and the indices that read them


class _Far(Exception):
    """The outcome may reach other iterations than those that are found."""


def nearby(
    scope: Scope, loops: tuple[int, ...], members: frozenset[int], terms: tuple[int, ...]
) -> tuple[Iteration, ...]:
    """The iterations that the outcome of a discrete latent reaches, its own first and none before one that it reads;
    empty if that is not known, or if they are many. `members`: its guards, decided in `loops`, which reach `terms`."""
    if not loops or "nearby" not in scope.optimize:
        return ()
    start: Key = loops, tuple((scope.loops[x].var, 0) for x in loops)
    try:
        reads, found = _search(scope, start, members)
        order = _in_order(start, reads, found)
    except _Far:
        return ()
    if not set(terms) <= {t for x in found.values() for t in x.terms}:
        return ()
    read = {e for cells in reads.values() for e in cells}
    return tuple(
        Iteration(
            key[0], tuple(map(_expr, key[1])), found[key].terms,
            tuple((e, i) for e, cells in reads[key].items() for i in cells),
            tuple((e, i) for e, i in found[key].fills if e in read),
        )
        for key in order
    )  # fmt: skip


@record
class _Found:
    """What of an iteration depends on the outcome: terms, and elements of arrays, with their indices there."""

    terms: tuple[int, ...]
    fills: tuple[tuple[Element, tuple[ir.Expr, ...]], ...]


def _search(scope: Scope, start: Key, members: frozenset[int]) -> tuple[dict[Key, Cells], dict[Key, _Found]]:
    """The iterations with the elements they read that the outcome changes, followed until nothing new turns up."""
    own = {
        s.site for _, s in ir.blocks(scope.program.body)
        if isinstance(s, ir.Sample) and isinstance(s.outcome, ir.GuardRef) and s.outcome.index in members
    }  # fmt: skip
    reads: dict[Key, Cells] = {start: {}}
    found: dict[Key, _Found] = {}
    queue = [start]
    while queue:
        key = queue.pop()
        found[key] = _touched(scope, key, reads[key], members if key == start else frozenset())
        # What others assign from it may be assigned elsewhere too, and where, or whether, an iteration takes place.
        if any(key != start or element.array not in own for element, _ in found[key].fills):
            raise _Far
        for element, _ in found[key].fills:
            for reader, indices in _readers(scope, element):
                cells = reads.setdefault(reader, {}).setdefault(element, {})
                if len(reads) > MOST or not all(_differ(reader, other) for other in reads if other != reader):
                    raise _Far
                if indices not in cells:
                    cells[indices] = None
                    queue.append(reader)
    return reads, found


def _in_order(start: Key, reads: Mapping[Key, Cells], found: Mapping[Key, _Found]) -> list[Key]:
    """The iterations, each behind those whose elements it reads. Raises _Far if they read each other or themselves."""
    out: list[Key] = []
    left = [start, *(k for k in reads if k != start)]
    while left:
        made = {e for k in left for e, _ in found[k].fills}
        ready = [k for k in left if not made & reads[k].keys()]
        if not ready or (not out and ready[0] != start):
            raise _Far
        out += ready
        left = [k for k in left if k not in ready]
    return out


def _differ(a: Key, b: Key) -> bool:
    """Whether two iterations are certainly not the same."""
    if a[0] == b[0]:
        return any(v == w and c != d for (v, c), (w, d) in zip(a[1], b[1], strict=True))
    return any(x != y for x, y in zip(a[0], b[0], strict=False))  # neither loop is inside the other


# ------------------------------------------------------------------- an iteration


def _touched(scope: Scope, key: Key, cells: Cells, members: frozenset[int]) -> _Found:
    """What of an iteration depends on `members` and on elements that it reads. Raises _Far if the iteration hands on
    what does, or if values of latents do."""
    nest, at = key
    guards = scope.program.guards
    tainted = {guard_name(k) for k in members}
    terms: dict[int, None] = {}
    fills: dict[tuple[Element, tuple[ir.Expr, ...]], None] = {}

    def depends(*expressions: ir.Expr) -> bool:
        if names_in(expressions) & tainted:
            return True
        return any(
            x.array == e.array and any(scope.same_element(x.indices, i) for i in indices)
            for expression in expressions for x in ir.walk(expression) if isinstance(x, ir.Cell)
            for e, indices in cells.items()
        )  # fmt: skip

    def block(body: Iterable[ir.Statement], outside: bool) -> None:
        for s in body:
            if isinstance(s, ir.Loop):
                loop(s)
            elif depends(*expressions_of(s, guards)):
                statement(s, outside)

    def statement(s: ir.Statement, outside: bool) -> None:
        match s:
            case ir.Let():
                tainted.add(s.var.name)
            case ir.Decide():
                tainted.add(guard_name(s.index))
            case ir.Sample():
                # Under a guide with dependence, log q of others moves with whether a latent exists.
                exists = s.outcome is not None or s.mask is None or not depends(s.mask)
                if not exists or (s.outcome is None and moves_with_arguments(s)):
                    raise _Far
                terms[s.id] = None
            case ir.Term():
                terms[s.id] = None
            case ir.Fill() if s.array in scope.live:
                if not outside:
                    raise _Far
                places = tuple(_place(scope, i, nest, at) for i in s.indices)
                fills[Element(s.array, tuple(map(_expr, places))), s.indices] = None
            case _:
                pass

    def loop(s: ir.Loop) -> None:
        if depends(s.lo, s.hi, *(() if s.mask is None else (s.mask,))):
            raise _Far
        before = -1
        while before != len(tainted):
            before = len(tainted)
            for c in s.carries:
                if depends(c.init, c.out):
                    tainted.update((c.entry.name, c.final.name))
            block(s.body, False)
        tainted.update(r.final.name for r in s.reductions if depends(r.init, r.delta))
        tainted.update(c.final.name for c in s.collects if depends(c.element))

    own = scope.loops[nest[-1]]
    if any(isinstance(s, ir.Loop) and (s.carries or s.reductions or s.collects) for s in own.body):
        raise _Far  # what these hand on would have to be looked up by the iteration
    block(own.body, True)
    live = scope.live
    handed_on = [c.out for c in own.carries if c.entry.name in live or c.final.name in live]
    handed_on += [r.delta for r in own.reductions if r.final.name in live]
    handed_on += [c.element for c in own.collects if c.final.name in live]
    if depends(*handed_on):
        raise _Far
    return _Found(tuple(terms), tuple(fills))


def _place(scope: Scope, index: ir.Expr, nest: tuple[int, ...], at: tuple[Place, ...]) -> Place:
    """Where an index of an iteration is, told by the variables of the loops around the guard."""
    number = _number(scope, index)
    if number is not None:
        return None, number
    for x, (var, c) in zip(nest, at, strict=True):
        by = scope.offset(index, scope.loops[x])
        if by is not None:
            return var, c + int(by)
    raise _Far


def _number(scope: Scope, index: ir.Expr) -> int | None:
    p = scope.normal(index)
    return int(poly.value(p)) if poly.is_constant(p) else None


def _expr(place: Place) -> ir.Expr:
    var, c = place
    if var is None:
        return ir.literal(c)
    return ir.Op("add" if c > 0 else "sub", (var, ir.literal(abs(c))), ir.INT, False) if c else var


# ------------------------------------------------------------------- who reads an element


def _readers(scope: Scope, element: Element) -> Iterator[tuple[Key, tuple[ir.Expr, ...]]]:
    """The iterations in which the density reads an element, with the indices there. Raises _Far if there are others."""
    for around, s in ir.blocks(scope.program.body):
        for inside, e in _live(scope, around, s):
            for x in ir.walk(e):
                if isinstance(x, ir.Var) and x.name == element.array:
                    raise _Far
                if isinstance(x, ir.Cell) and x.array == element.array:
                    key = _reader(scope, inside, x.indices, element)
                    if key is not None:
                        yield key, x.indices


def _live(
    scope: Scope, around: tuple[ir.Loop, ...], s: ir.Statement
) -> Iterator[tuple[tuple[ir.Loop, ...], ir.Expr]]:  # fmt: skip
    """What a statement, without those in a loop, reads on behalf of the density, with the loops around it."""
    live = scope.live
    match s:
        case ir.Report():
            return
        case ir.Let() if s.var.name not in live:
            return
        case ir.Decide() if guard_name(s.index) not in live:
            return
        case ir.Fill() if s.array not in live:
            return
        case ir.Loop():
            state = [c for c in s.carries if c.entry.name in live or c.final.name in live]
            sums = [r for r in s.reductions if r.final.name in live]
            arrays = [c for c in s.collects if c.final.name in live]
            outer = [s.lo, s.hi, *(() if s.mask is None else (s.mask,)), *(c.init for c in state)]
            yield from ((around, e) for e in (*outer, *(r.init for r in sums)))
            inner = [*(c.out for c in state), *(r.delta for r in sums), *(c.element for c in arrays)]
            yield from (((*around, s), e) for e in inner)
        case _:
            yield from ((around, e) for e in expressions_of(s, scope.program.guards))


def _reader(
    scope: Scope, around: tuple[ir.Loop, ...], indices: tuple[ir.Expr, ...], element: Element
) -> Key | None:  # fmt: skip
    """The one iteration, of loops `around`, in which `indices` are those of an element; None if there is none. Raises
    _Far if that is not known."""
    values: dict[int, Place] = {}
    known = True
    for index, target in zip(indices, element.indices, strict=True):
        loop = next((x for x in around if scope.offset(index, x) is not None), None)
        if scope.apart(index, target):
            return None
        if loop is None:
            known = known and _number(scope, index) is not None and _number(scope, index) == _number(scope, target)
            continue
        (var, c), by = _split(target), int(scope.offset(index, loop) or 0)
        known = known and values.setdefault(loop.id, (var, c - by)) == (var, c - by)
    nest = tuple(x.id for x in around[: len(values)])
    if not known or not nest or set(nest) != set(values):
        raise _Far
    return nest, tuple(values[x] for x in nest)


def _split(index: ir.Expr) -> Place:
    """The inverse of `_expr`."""
    match index:
        case ir.Op(op, (ir.LoopVar() as var, ir.Lit(value=int(c)))):
            return var, c if op == "add" else -c
        case ir.LoopVar():
            return index, 0
        case _:
            assert isinstance(index, ir.Lit)
            return None, int(index.value)
