"""Data files: which format, and how each is read without trusting it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ppl.data.faults import reject, shown
from ppl.diagnostics import Span


def load_file(path: str | os.PathLike[str]) -> Mapping[str, object]:
    """The fields of a data file, by its extension: .json, .csv or .npz.

    Values are what the file holds, not yet measured against a program: numbers, nested lists, arrays, CSV columns.

    Raises:
        DataError: the file cannot be opened, or is not what its extension says.
    """
    name = os.fsdecode(path)
    kind = os.path.splitext(name)[1].lower()
    if kind == ".json":  # each reader is imported when there is something for it to read
        from ppl.data.json_text import parse_json

        return parse_json(_read_text(name), name)
    if kind == ".csv":
        from ppl.data.table import parse_table

        return parse_table(_read_text(name), name)
    if kind == ".npz":
        from ppl.data.archive import read_archive

        return read_archive(name)
    what = f"the extension `{shown(kind)}` is not known" if kind else "the name has no extension"
    reject(what, name, hint="data files are .json, .csv or .npz")


def beside(path: str | os.PathLike[str]) -> str | None:
    """``NAME.data.json`` next to ``NAME.ppl``, if there is such a file."""
    program = os.fsdecode(path)
    if not os.path.basename(program):
        return None
    candidate = f"{os.path.splitext(program)[0]}.data.json"
    return candidate if os.path.isfile(candidate) else None


def _read_text(name: str) -> str:
    try:
        with open(name, "rb") as file:
            raw = file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reject(f"cannot be opened: {reason(error)}", name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        hint = "save the file as UTF-8"
        reject("this byte is not UTF-8 text", Span(name, line, column, line, column + 1), hint=hint)


def reason(error: Exception) -> str:
    """Why a file cannot be opened, to go on a sentence."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said[:1].lower() + said[1:]
