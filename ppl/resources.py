"""The files that ship with the compiler but are not Python: the grammar, its tables and the standard library.

In a source checkout they are the top-level folders `grammar/` and `stdlib/`; an installed wheel has them inside the
package, as `ppl/_grammar/` and `ppl/_stdlib/`.
"""

from __future__ import annotations

import os

from ppl.diagnostics import InternalError

PACKAGE = os.path.dirname(os.path.realpath(__file__))  # importlib.resources and pathlib would take 10 ms to import


def grammar_text() -> str:
    """The text of ``ppl.lark``."""
    return read_text(os.path.join(_folder("grammar"), "ppl.lark"))


def tables_text() -> str | None:
    """The text of the parse tables prepared from the grammar (see ``ppl/syntax/generate.py``), None where absent."""
    tables = os.path.join(_folder("grammar"), "ppl.tables.json")
    return read_text(tables) if os.path.isfile(tables) else None


def stdlib_path() -> str:
    """The folder with the standard library's ``NAME.ppl`` files."""
    return _folder("stdlib")


def read_text(path: str) -> str:
    """The text of a UTF-8 file, with line ends normalised. Raises OSError and UnicodeDecodeError."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def _folder(name: str) -> str:
    for folder in (os.path.join(PACKAGE, f"_{name}"), os.path.join(os.path.dirname(PACKAGE), name)):
        if os.path.isdir(folder):
            return folder
    raise InternalError(f"the folder `{name}` of the compiler is missing: the installation is incomplete")
