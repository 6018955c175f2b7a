"""How a data file is rejected: one diagnostic, placed in the file where that is known."""

from __future__ import annotations

from typing import NoReturn

from ppl.diagnostics import DataError, Diagnostic, Span


def reject(message: str, where: Span | str, text: str = "", hint: str | None = None, code: str = "PPL507") -> NoReturn:
    """Raises DataError. `where` is a place in the file (its `text` is then shown), or the file's name."""
    if isinstance(where, str):
        raise DataError((Diagnostic(code, f"data file `{shown(where)}`: {message}", None, hint),))
    raise DataError((Diagnostic(code, message, where, hint),), {where.file: text} if text else {})


def shown(name: str) -> str:
    """A name of any origin, cut to a length that fits into a message."""
    return name if len(name) <= 60 else f"{name[:57]}..."
