"""Binding: every data declaration gets a value, or the user learns which do not and why."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ppl.data.column import Column
from ppl.data.evaluate import (
    EvaluationError,
    Scope,
    Unavailable,
    calls_in,
    check_call,
    evaluate,
    names_in,
    size,
    too_many,
)
from ppl.data.faults import shown
from ppl.data.files import load_file
from ppl.data.grid import Array, Value, plain
from ppl.data.misfit import Misfit
from ppl.data.types import Type, type_of
from ppl.data.values import fit, length_along
from ppl.data.words import declared, element_name, missing_field, sizes_text, type_text, undeclared_note
from ppl.diagnostics import DataError, Diagnostic, Diagnostics, PplError, Span, counted, in_source_order
from ppl.syntax import ast

# Faults of an expression that depend on the values in it, not on its form alone: data can be to blame.
_OF_VALUES = frozenset({"PPL202", "PPL208", "PPL211", "PPL701"})


def bind_data(
    declarations: Sequence[ast.Data],
    given: Mapping[str, object] | str | os.PathLike[str] | None,
    sink: Diagnostics,
) -> dict[str, int | float | bool | Array]:
    """The value of every declared data field, in the order of the declarations.

    Scalars come back as Python's, arrays as read-only int64, float64 or bool arrays of the declared shape. What values
    are taken, and what is raised: see `read_data`.
    """
    return {name: plain(value) for name, value in read_data(declarations, given, sink).items()}


def read_data(
    declarations: Sequence[ast.Data],
    given: Mapping[str, object] | str | os.PathLike[str] | None,
    sink: Diagnostics,
) -> dict[str, Value]:
    """The value of every declared data field, with arrays as they came: only given ones are numpy's.

    A value is taken from `given` (a mapping, or the path of a .json, .csv or .npz file), else, for an int that is the
    size of a given array, from that array's length, else from the default. Undeclared fields are ignored, with
    one note.

    Raises:
        DataError: the data cannot be read or do not fit; all faults of all fields are reported.
        PplError: a size or a default is wrong whatever the data; this wins where both are.
    """
    try:
        fields, file = _fields(given)
    except DataError as error:
        for diagnostic in error.diagnostics:
            sink.add(diagnostic)
        sink.sources.update(error.sources)
        raise DataError(in_source_order(sink.items), sink.sources) from None
    binder = _Binder(declarations, fields, file, sink)
    for declaration in declarations:
        binder.bind(declaration)
    note = undeclared_note(binder.undeclared, [d.name for d in declarations if d.name not in fields], file)
    if note:
        sink.add(note)
    if sink.errors:
        only_data = all(error in binder.blamed_on_data for error in sink.errors)
        raise (DataError if only_data else PplError)(in_source_order(sink.items), sink.sources)
    return {d.name: binder.values[d.name] for d in declarations}


def check_declarations(declarations: Sequence[ast.Data], sink: Diagnostics) -> None:
    """Reports sizes and defaults that are wrong whatever the data: any name in them may have any value of its type."""
    binder = _Binder(declarations, {}, None, sink)
    types: dict[str, Type] = {}
    for d in declarations:
        before, dims = len(sink.items), binder.dims(d)
        if d.default is not None:
            value = binder.default(d, d.default, dims)
            if value is None and len(sink.items) == before:
                binder.form(d, d.default, types)
        binder.failed.add(d.name)
        types[d.name] = (d.type.base, len(d.type.dims))


def _fields(given: object) -> tuple[Mapping[str, object], str | None]:
    """The given fields, and the file they come from if they do."""
    if given is None:
        return {}, None
    if isinstance(given, (str, os.PathLike)):
        path = cast("str | os.PathLike[str]", given)
        return load_file(path), os.fsdecode(path)
    table = cast(Any, given)
    if not isinstance(given, Mapping) and not (hasattr(given, "keys") and hasattr(given, "__getitem__")):
        message = f"data are given as a {type(given).__name__}"
        raise DataError((Diagnostic("PPL502", message, None, "give a mapping from names to values, or a path"),))
    fields: dict[object, object] = {key: table[key] for key in table.keys()}  # noqa: SIM118 (a data frame iterates so)
    odd = next((key for key in fields if not isinstance(key, str)), None)
    if odd is not None:
        message = f"a data field is named by a {type(odd).__name__}; names are strings"
        raise DataError((Diagnostic("PPL502", message),))
    return cast("dict[str, object]", fields), None


class _Binder:
    """The state of one binding: what is known so far, what failed, and whose fault each error is."""

    def __init__(
        self, declarations: Sequence[ast.Data], fields: Mapping[str, object], file: str | None, sink: Diagnostics
    ) -> None:
        self.declarations, self.fields, self.file, self.sink = declarations, fields, file, sink
        names = {d.name for d in declarations}
        self.undeclared = [name for name in fields if name not in names]
        self.values: dict[str, Value] = {}
        self.failed: set[str] = set()
        self.from_data: set[str] = set()  # names whose value comes from the given data, directly or not
        self.blamed_on_data: list[Diagnostic] = []

    @property
    def scope(self) -> Scope:
        return Scope(self.values, self.failed)

    def bind(self, d: ast.Data) -> None:
        """Gives `d` a value, or reports and marks its name as failed, so that nothing is reported twice."""
        dims = self.dims(d)
        value = self.given(d, dims) if d.name in self.fields else self.absent(d, dims)
        if value is None:
            self.failed.add(d.name)
        else:
            self.values[d.name] = value

    # ------------------------------------------------------------- reporting

    def data_error(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        diagnostic = Diagnostic(code, message, span, hint)
        self.blamed_on_data.append(diagnostic)
        self.sink.add(diagnostic)

    def evaluation_error(self, error: EvaluationError, expr: ast.Expr, d: ast.Data) -> None:
        """Reports a size or default without a value: a fault of the data if a given value made it so."""
        found = error.diagnostic
        used = [name for name in names_in(expr) if name in self.from_data]
        message = f"{found.message}, in the declaration of `{d.name}`"
        if used and found.code in _OF_VALUES:
            code = found.code if found.code == "PPL701" else "PPL509"
            self.data_error(code, f"{message}{sizes_text(used, self.values)}", found.span or d.span, found.hint)
        else:
            self.sink.error(found.code, message, found.span, found.hint)

    # ----------------------------------------------------------------- sizes

    def dims(self, d: ast.Data) -> tuple[int | None, ...]:
        """The sizes of `d`, None where one is unknown because it failed (that has been reported)."""
        dims = tuple(self.dim(expr, d) for expr in d.type.dims)
        if not too_many(dims):
            return dims
        count = " x ".join(str(n) for n in dims)
        message = f"`{d.name}` has {count} elements; the limit is 10^8"
        if self.depends_on_data(d.type):
            self.data_error("PPL701", message + sizes_text(names_in(d.type), self.values), d.type.span)
        else:
            self.sink.error("PPL701", message, d.type.span)
        return (None,) * len(dims)

    def dim(self, expr: ast.Expr | None, d: ast.Data) -> int | None:
        if expr is None:
            self.sink.error("PPL207", f"data `{d.name}` needs a size in every dimension", d.type.span)
            return None
        try:
            return size(expr, self.scope)
        except Unavailable:
            return None
        except EvaluationError as error:
            self.evaluation_error(error, expr, d)
            if isinstance(expr, ast.Name):
                self.failed.add(expr.name)  # say it once, not at every array of this size
            return None

    def depends_on_data(self, node: ast.Node) -> bool:
        return any(name in self.from_data for name in names_in(node))

    # ---------------------------------------------------------------- values

    def given(self, d: ast.Data, dims: tuple[int | None, ...]) -> Value | None:
        value = self.fields[d.name]
        try:
            result = fit(value, d.type.base, dims)
        except Misfit as misfit:
            came_from = value.locate(misfit.index) if isinstance(value, Column) else ""
            self.misfit(d, misfit, came_from)
            return None
        self.from_data.add(d.name)
        return result

    def misfit(self, d: ast.Data, misfit: Misfit, place: str) -> None:
        where = f" ({place} of {shown(self.file or '')})" if place else f" in {shown(self.file)}" if self.file else ""
        name = element_name(d.name, misfit.index)
        message = f"{name}{where} {misfit.verb} {misfit.came}, expected {misfit.expected}; {self.declared(d)}"
        self.data_error(misfit.code, message, d.span, misfit.hint)

    def declared(self, d: ast.Data) -> str:
        return declared(d, self.values, self.sink.sources)

    def absent(self, d: ast.Data, dims: tuple[int | None, ...]) -> Value | None:
        """A value for a field that is not given: a length, the default, or none."""
        is_size = d.type.base == "int" and not dims
        if is_size:
            lengths, hidden = self.lengths(d.name)
            if hidden or len({length for _, _, length in lengths}) > 1:
                if not hidden:
                    self.disagree(d, lengths)
                return None
            if lengths:
                self.from_data.add(d.name)
                return lengths[0][2]
        if d.default is not None:
            return self.default(d, d.default, dims)
        if is_size:
            length = self.length_of_default(d.name)
            if length is not None:
                return length
        code, message, hint = missing_field(d, self.declared(d), self.undeclared, self.file)
        self.data_error(code, message, d.span, hint)
        return None

    def lengths(self, name: str) -> tuple[list[tuple[ast.Data, int, int]], bool]:
        """Each given array's length along every dimension that is exactly `name`.

        The flag says that no length is known because such a field is not an array of its rank: its own error says so.
        """
        found: list[tuple[ast.Data, int, int]] = []
        hidden = False
        for d in self.declarations:
            for axis, expr in enumerate(d.type.dims):
                if d.name in self.fields and isinstance(expr, ast.Name) and expr.name == name:
                    try:
                        length = length_along(self.fields[d.name], axis, len(d.type.dims))
                    except Misfit:
                        hidden = True
                        continue
                    if length is not None:
                        found.append((d, axis, length))
        return found, hidden and not found

    def disagree(self, d: ast.Data, lengths: list[tuple[ast.Data, int, int]]) -> None:
        first, axis, length = lengths[0]
        other, other_axis, other_length = next(item for item in lengths if item[2] != length)

        def has(decl: ast.Data, k: int, count: int) -> str:
            what = (
                "value"
                if len(decl.type.dims) == 1
                else ("row", "column")[k]
                if k < 2
                else f"entry of dimension {k + 1}"
            )
            return f"`{decl.name}` has {counted(count, what)}"

        where = f" in {shown(self.file)}" if self.file else ""
        message = f"{has(first, axis, length)} and {has(other, other_axis, other_length)}{where}"
        message += f", but both are of size `{d.name}`: {self.declared(first)} (line {first.span.line})"
        if other is not first:
            message += f", {self.declared(other)} (line {other.span.line})"
        self.data_error("PPL506", message, other.span, f"give arrays of one length, or `{d.name}` itself")

    def default(self, d: ast.Data, expr: ast.Expr, dims: tuple[int | None, ...]) -> Value | None:
        try:
            value = evaluate(expr, self.scope)
        except Unavailable:
            return None
        except EvaluationError as error:
            self.evaluation_error(error, expr, d)
            return None
        if self.depends_on_data(expr):
            self.from_data.add(d.name)
        try:
            return fit(value, d.type.base, dims)
        except Misfit as misfit:
            name = element_name(d.name, misfit.index)
            message = f"the default of {name} {misfit.verb} {misfit.came}, expected {misfit.expected}"
            message += f"; {self.declared(d)}"
            if misfit.code in ("PPL503", "PPL505") and self.depends_on_data(d.type):
                self.data_error("PPL503", message, d.span, f"the data change its size, so give `{d.name}` as well")
            elif misfit.code == "PPL504" and self.depends_on_data(expr):
                self.data_error("PPL509", message, expr.span)
            else:
                self.sink.error("PPL210", message, expr.span)
            return None

    def form(self, d: ast.Data, expr: ast.Expr, types: Mapping[str, Type]) -> None:
        """Reports a default that cannot have the declared type, or asks for what sizes and defaults cannot do."""
        for call in calls_in(expr):
            try:
                check_call(call)
            except EvaluationError as error:
                self.evaluation_error(error, expr, d)
                return
        found, wanted = type_of(expr, types), (d.type.base, len(d.type.dims))
        if found is None or found == wanted or (found == ("int", wanted[1]) and wanted[0] == "real"):
            return
        message = f"the default of `{d.name}` is {type_text(found)}, expected {type_text(wanted)}; {self.declared(d)}"
        self.sink.error("PPL210", message, expr.span)

    def length_of_default(self, name: str) -> int | None:
        """The length of the first array literal that is the default of an array of size `name`."""
        for d in self.declarations:
            if d.name in self.fields:
                continue
            literal: ast.Expr | None = d.default
            for expr in d.type.dims:
                if not isinstance(literal, ast.ArrayLiteral):
                    break
                if isinstance(expr, ast.Name) and expr.name == name:
                    return len(literal.items)
                literal = literal.items[0] if literal.items else None
        return None
