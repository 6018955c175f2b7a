"""The files that ship with the compiler but are not Python: the grammar, its tables and the standard library.

In a source checkout they are the top-level folders `grammar/` and `stdlib/`; an installed wheel has them inside the
package, as `ppl/_grammar/` and `ppl/_stdlib/`.
"""

from __future__ import annotations

from pathlib import Path

from ppl.diagnostics import InternalError

PACKAGE = Path(__file__).resolve().parent  # importlib.resources would find them too, but takes 10 ms to import


def grammar_text() -> str:
    """The text of ``ppl.lark``."""
    return (_folder("grammar") / "ppl.lark").read_text(encoding="utf-8")


def tables_text() -> str | None:
    """The text of the parse tables prepared from the grammar (see ``ppl/syntax/tables.py``), None where absent."""
    tables = _folder("grammar") / "ppl.tables.json"
    return tables.read_text(encoding="utf-8") if tables.is_file() else None


def stdlib_path() -> Path:
    """The folder with the standard library's ``NAME.ppl`` files."""
    return _folder("stdlib")


def _folder(name: str) -> Path:
    for folder in (PACKAGE / f"_{name}", PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InternalError(f"the folder `{name}` of the compiler is missing: the installation is incomplete")
