"""A CSV table: a header of names, and below it one column of values per name.

Cells are read by their form alone: ``3`` is an int, ``3.0`` and ``3e2`` are reals, ``true`` is a bool, an empty cell or
``NA`` is missing, anything else is text. Whether that fits is decided against the declaration. Columns named
``x[0]``, ``x[1]``, ... together are the columns of a matrix ``x: real[n, k]``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from ppl.data.column import Cell, Column, Missing
from ppl.data.faults import reject, shown
from ppl.diagnostics import Span, counted

_INT = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_MISSING = frozenset({"", "na", "n/a", "null", "none"})
_ELEMENT = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_]*)\[(?P<index>0|[1-9][0-9]{0,8})\]")


def parse_table(text: str, file: str) -> dict[str, Column]:
    """The columns of a CSV text. Raises DataError if it is not a table with one header row."""
    records = _records(text, file)
    header_line, header = next(records, (1, list[str]()))
    if not header:
        reject("the file is empty; a CSV file starts with a row of names", Span(file, 1, 1, 1, 1), text)
    names = _names(header, header_line, text, file)
    lines: list[int] = []
    rows: list[tuple[Cell, ...]] = []
    for line, record in records:
        if len(record) != len(names):
            reject(
                f"line {line} has {counted(len(record), 'cell')}, but the header names {counted(len(names), 'column')}",
                Span(file, line, 1, line, 1),
                text,
                code="PPL505",
            )
        lines.append(line)
        rows.append(tuple(parse_cell(cell) for cell in record))
    columns = list(zip(*rows, strict=True)) if rows else [tuple[Cell, ...]() for _ in names]
    return _gather(names, columns, tuple(lines), header_line, text, file)


def parse_cell(cell: str) -> Cell:
    """The value that one cell's text stands for."""
    text = cell.strip()
    if _INT.fullmatch(text):
        # Python refuses to read very long ints; any int beyond 64 bits is reported alike.
        return int(text) if len(text) <= 400 else (-1 if text[0] == "-" else 1) * 10**400
    if _REAL.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text)
    lower = text.lower()
    if lower in _MISSING:
        return Missing(text)
    return lower == "true" if lower in ("true", "false") else text


def _records(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line it starts on."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    unquoted = re.sub(r'"[^"]*"', "", first)
    delimiter = max(",;\t", key=unquoted.count)  # the first of equals, so a comma if there is none
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            at = max(reader.line_num, 1)
            reject(f"this is not a CSV table: {error}", Span(file, at, 1, at, 1), text)
        if record is None:
            return
        if len(record) > 1 or record == [""] or (record and record[0].strip()):  # `""` is a missing cell of one column
            yield line, record
        line = reader.line_num + 1


def _names(header: list[str], line: int, text: str, file: str) -> list[str]:
    names = [cell.strip() or f"column {k}" for k, cell in enumerate(header, 1)]  # as of a table with row labels
    span = Span(file, line, 1, line, 1)
    if all(isinstance(parse_cell(cell), (int, float)) for cell in header):
        reject("the first row holds numbers; it must hold the names of the columns", span, text)
    seen: dict[str, int] = {}
    for k, name in enumerate(names, 1):
        if name in seen:
            reject(f"columns {seen[name]} and {k} have the same name `{shown(name)}`", span, text)
        seen[name] = k
    return names


def _gather(
    names: list[str], columns: list[tuple[Cell, ...]], lines: tuple[int, ...], line: int, text: str, file: str
) -> dict[str, Column]:
    """Single columns, and matrices of the columns ``x[0], x[1], ...``."""
    result: dict[str, Column] = {}
    parts: dict[str, dict[int, int]] = {}
    for k, name in enumerate(names):
        element = _ELEMENT.fullmatch(name)
        if element:
            parts.setdefault(element["name"], {})[int(element["index"])] = k
        else:
            result[name] = Column(columns[k], lines, (k + 1,), matrix=False)
    span = Span(file, line, 1, line, 1)
    for name, places in parts.items():
        if name in result:
            reject(f"`{name}` is a column, and `{name}[{min(places)}]` is another", span, text)
        if sorted(places) != list(range(len(places))):
            gap = next(k for k in range(len(places)) if k not in places)
            reject(f"columns of `{name}` are named from `{name}[0]` on, and `{name}[{gap}]` is missing", span, text)
        order = [places[k] for k in range(len(places))]
        rows = tuple(zip(*(columns[k] for k in order), strict=True))
        result[name] = Column(rows, lines, tuple(k + 1 for k in order), matrix=True)
    return result
