"""The files that ship with the compiler but are not Python: the grammar, its tables and the standard library.

In a source checkout they are the top-level folders `grammar/` and `stdlib/`; an installed wheel has them inside the
package, as `ppl/_grammar/` and `ppl/_stdlib/`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ppl.diagnostics import InternalError


def grammar_text() -> str:
    """The text of ``ppl.lark``."""
    return _folder("grammar").joinpath("ppl.lark").read_text(encoding="utf-8")


def tables_text() -> str | None:
    """The text of the parse tables prepared from the grammar (see ``ppl/syntax/tables.py``), None where absent."""
    tables = _folder("grammar").joinpath("ppl.tables.json")
    return tables.read_text(encoding="utf-8") if tables.is_file() else None


def stdlib_path() -> Traversable:
    """The folder with the standard library's ``NAME.ppl`` files."""
    return _folder("stdlib")


def _folder(name: str) -> Traversable:
    installed = files("ppl").joinpath(f"_{name}")
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parent.parent / name
    if not checkout.is_dir():
        raise InternalError(f"the folder `{name}` of the compiler is missing: the installation is incomplete")
    return checkout
