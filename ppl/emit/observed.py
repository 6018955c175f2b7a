"""What an observation observes: an element, a part or the whole of a data field, or a value computed from data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ppl.core import ir
from ppl.core.reads import expressions_of, reached, sources_of
from ppl.diagnostics import Span
from ppl.emit.printer import Printer
from ppl.emit.writer import tuple_text
from ppl.regions.model import Regions


def field_of(s: ir.Term) -> str | None:
    """The data field of which an observation observes an element or a part, if it does."""
    found = _observed(s)
    return None if found is None else found[0]


def places(s: ir.Term, printer: Printer) -> str | None:
    """Python for the indices of what is observed in its field, ``()`` for the whole of it; None if it is computed."""
    found = _observed(s)
    if found is None:
        return None
    return tuple_text([_place(i, printer) for i in found[1]])


def _observed(s: ir.Term) -> tuple[str, tuple[ir.Expr | ir.Slice, ...]] | None:
    """The field and the indices of what is observed in it. A part of a field that is observed as one vector has no
    place of its own among the elements, so it counts as computed."""
    found = None if s.observed is None else _parts(s.observed)
    return None if found is None or (s.custom and any(isinstance(i, ir.Slice) for i in found[1])) else found


def groups(program: ir.Program, body: tuple[ir.Statement, ...]) -> dict[str, list[int]]:
    """The observations of `body` by what they observe: a data field, or ``observe_LINE`` if it is computed.

    Replicated observations and pointwise log likelihoods go by these names.
    """
    out: dict[str, list[int]] = {d.name: [] for d in program.data}
    for _, s in ir.blocks(body):
        if isinstance(s, ir.Term) and s.observed is not None:
            name = field_of(s)
            if name is None:
                name = f"observe_{s.span.line}"
                while name in out:
                    name += "_"
            out.setdefault(name, []).append(s.id)
    return {k: v for k, v in out.items() if v}


def read_elsewhere(body: tuple[ir.Statement, ...], guards: Sequence[ir.Guard]) -> dict[str, Span]:
    """The data fields that are observed and also read by something else, with the first place that reads them.

    What a density of the program reads of the value that it is the density of is not something else.
    """
    terms = [s for _, s in ir.blocks(body) if isinstance(s, ir.Term) and s.observed is not None]
    own = {field_of(s) for s in terms}
    readers = [list(_readers(s, guards)) for _, s in ir.blocks(body)]
    live = _live([r for found in readers for r in found])
    found: dict[str, Span] = {}
    for (_, s), parts in zip(ir.blocks(body), readers, strict=True):
        for name, read in parts:
            if name is None or name in live:
                for x in (x for e in read for x in ir.walk(e) if isinstance(x, ir.DataRef)):
                    found.setdefault(x.name, s.span)
    return {k: v for k, v in found.items() if k in own}


def settled_by(regions: Regions) -> dict[str, str]:
    """The data fields that, as they are, keep guards from changing, each with one of these guards in words."""
    sources: dict[str, list[ir.Expr]] = {}
    for _, s in ir.blocks(regions.program.body):
        for name, e in sources_of(s):
            sources.setdefault(name, []).append(e)

    def behind(x: ir.Expr) -> tuple[str, list[ir.Expr]] | None:
        name = x.name if isinstance(x, ir.Var) else x.array if isinstance(x, ir.Cell) else ""
        return (name, sources[name]) if name in sources else None

    found: dict[str, str] = {}
    for g in (i.guard for i in regions.guards if i.steady and not i.guard.steady):
        for x in reached((g.value, *(() if g.mask is None else (g.mask,))), behind):
            if isinstance(x, ir.DataRef):
                found.setdefault(x.name, g.text)
    return found


_Reader = tuple[str | None, tuple[ir.Expr, ...]]


def _readers(s: ir.Statement, guards: Sequence[ir.Guard]) -> Iterator[_Reader]:
    """What a statement evaluates, and for which variable, array or guard; None for the program itself. Left sides are
    left out: they change no distribution."""
    mask = () if isinstance(s, ir.Report) or s.mask is None else (s.mask,)
    match s:
        case ir.Let():
            yield s.var.name, (s.value, *mask)
        case ir.Decide():
            yield _guard(s.index), (guards[s.index].value, *mask)
        case ir.Fill():
            yield s.array, (*s.indices, s.value, *mask)
        case ir.Loop():  # its body comes by itself
            yield None, (s.lo, s.hi)
            for c in s.carries:
                yield c.entry.name, (c.init, c.out)
                yield c.final.name, (c.init, c.out)
            yield from ((r.final.name, (r.init, r.delta)) for r in s.reductions)
            yield from ((c.final.name, (c.element,)) for c in s.collects)
        case ir.Term() if s.observed is not None:
            yield None, (*(s.args if s.custom is None else s.custom.args), *mask)
        case _:
            yield None, tuple(expressions_of(s, guards))


def _live(readers: Sequence[_Reader]) -> set[str]:
    """The variables, arrays and guards that the program itself needs."""
    reads: dict[str | None, list[ir.Expr]] = {}
    for name, read in readers:
        reads.setdefault(name, []).extend(read)
    live: set[str] = set()
    queue = reads.get(None, [])
    while queue:
        for x in ir.walk(queue.pop()):
            name = _guard(x.index) if isinstance(x, ir.GuardRef) else x.name if isinstance(x, ir.Var) else ""
            name = x.array if isinstance(x, ir.Cell) else name
            if name in reads and name not in live:
                live.add(name)
                queue.extend(reads[name])
    return live


def _guard(index: int) -> str:
    return f"guard {index}"


def _parts(value: ir.Expr) -> tuple[str, tuple[ir.Expr | ir.Slice, ...]] | None:
    match value:
        case ir.DataRef():
            return value.name, ()
        case ir.Op("to_real" | "to_int", (inner,)):
            return _parts(inner)
        case ir.Select(condition, ir.Lit(1), ir.Lit(0)):  # a bool as an int
            return _parts(condition)
        case ir.Index():
            base = _parts(value.base)
            inside = value.indices
            if base is not None and base[1] and isinstance(base[1][-1], ir.Slice):
                first = ir.Op("add", (base[1][-1].lo, inside[0]), ir.INT, False)
                base, inside = (base[0], base[1][:-1]), (first, *inside[1:])
        case ir.Slice():
            base = _parts(value.base)
            inside = (value,)
        case _:
            return None
    if base is None or any(isinstance(i, ir.Slice) for i in base[1]):
        return None
    return base[0], (*base[1], *inside)


def _place(i: ir.Expr, printer: Printer) -> str:
    if isinstance(i, ir.Slice):
        return f"control.indices({printer.expr(i.lo)}, {printer.expr(i.type.dims[0])})"
    return printer.expr(i)
