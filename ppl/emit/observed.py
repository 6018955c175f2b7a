"""What an observation observes: an element, a part or the whole of a data field, or a value computed from data."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.diagnostics import Span
from ppl.emit.printer import Printer
from ppl.emit.writer import tuple_text


def field_of(value: ir.Expr) -> str | None:
    """The data field of which `value` is an element or a part, if it is one."""
    found = _parts(value)
    return None if found is None else found[0]


def places(value: ir.Expr, printer: Printer) -> str | None:
    """Python for the indices of `value` in its field, ``()`` for the whole of it; None if it is computed."""
    found = _parts(value)
    if found is None:
        return None
    return tuple_text([_place(i, printer) for i in found[1]])


def groups(program: ir.Program, body: tuple[ir.Statement, ...]) -> dict[str, list[int]]:
    """The observations of `body` by what they observe: a data field, or ``observe_LINE`` if it is computed.

    Replicated observations and pointwise log likelihoods go by these names.
    """
    out: dict[str, list[int]] = {d.name: [] for d in program.data}
    for _, s in ir.blocks(body):
        if isinstance(s, ir.Term) and s.distribution is not None:
            name = field_of(s.value)
            if name is None:
                name = f"observe_{s.span.line}"
                while name in out:
                    name += "_"
            out.setdefault(name, []).append(s.id)
    return {k: v for k, v in out.items() if v}


def read_elsewhere(body: tuple[ir.Statement, ...], guards: Sequence[ir.Guard]) -> dict[str, Span]:
    """The data fields that are observed and also read by something else, with the first place that reads them."""
    found: dict[str, Span] = {}
    own: set[str] = set()  # the fields observed
    for _, s in ir.blocks(body):
        parts: list[ir.Expr] = []
        if isinstance(s, ir.Loop):  # its body comes by itself
            parts = [s.lo, s.hi, *(x for c in s.carries for x in (c.init, c.out)), *(r.delta for r in s.reductions),
                     *(r.init for r in s.reductions), *(c.element for c in s.collects)]  # fmt: skip
        elif isinstance(s, ir.Term) and s.distribution is not None:  # left sides change no distribution
            own |= {field_of(s.value) or ""}
            parts = [*s.args, *(() if s.mask is None else (s.mask,))]
        else:
            parts = list(expressions_of(s, guards))
        for e in parts:
            for x in ir.walk(e):
                if isinstance(x, ir.DataRef):
                    found.setdefault(x.name, s.span)
    return {k: v for k, v in found.items() if k in own}


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
