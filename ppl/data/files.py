"""Data files: which format, and how each is read without trusting it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ppl.data.faults import reject, shown
from ppl.data.json_text import parse_json
from ppl.data.table import parse_table
from ppl.data.values import Unreadable, is_array
from ppl.diagnostics import Span


def load_file(path: str | os.PathLike[str]) -> Mapping[str, object]:
    """The fields of a data file, by its extension: .json, .csv or .npz.

    Values are what the file holds, not yet measured against a program: numbers, nested lists, arrays, CSV columns.

    Raises:
        DataError: the file cannot be opened, or is not what its extension says.
    """
    name = os.fsdecode(path)
    kind = os.path.splitext(name)[1].lower()
    if kind == ".json":
        return parse_json(_read_text(name), name)
    if kind == ".csv":
        return parse_table(_read_text(name), name)
    if kind == ".npz":
        return _read_npz(name)
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
        reject(f"cannot be opened: {_reason(error)}", name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        hint = "save the file as UTF-8"
        reject("this byte is not UTF-8 text", Span(name, line, column, line, column + 1), hint=hint)


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said[:1].lower() + said[1:]


def _read_npz(name: str) -> dict[str, object]:
    try:
        with open(name, "rb") as file:  # opened here, as numpy does not close what it fails to read
            return _members(file, name)
    except (OSError, ValueError) as error:
        reject(f"cannot be opened: {_reason(error)}", name)


def _members(file: BinaryIO, name: str) -> dict[str, object]:
    try:
        # Pickles stay closed: they may run code. On corrupt archives numpy and zipfile raise a dozen unrelated types.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded: Any = np.load(file, allow_pickle=False)
    except Exception:
        reject("this is not an .npz archive", name, hint="write it with `numpy.savez`")
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        reject("this is a single array, not an .npz archive", name, hint="write it with `numpy.savez`")
    with loaded:
        members = list(loaded.files)
        for member in members:
            if members.count(member) > 1:
                reject(f"the array `{shown(member)}` occurs twice in the archive", name)
        return {member: _member(loaded, member) for member in members}


def _member(archive: Any, member: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = archive[member]
    except Exception as error:  # as above; which field is concerned matters only if the program declares it
        pickled = "allow_pickle" in str(error)
        return Unreadable("an array of Python objects, which is never read" if pickled else "damaged in the archive")
    return array if is_array(array) else Unreadable("not an array")
