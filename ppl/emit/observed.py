"""What an observation observes: an element, a part or the whole of a data field, or a value computed from data."""

from __future__ import annotations

from ppl.core import ir
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
