"""Where the command line writes: results on stdout, everything else on stderr, colours on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from ppl.diagnostics import Diagnostic, PplError, render


def wants_color(stream: TextIO) -> bool:
    """Whether ANSI colours are welcome on `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tell(message: str) -> None:
    """A line for the user on stderr."""
    print(f"pplc: {message}", file=sys.stderr)


def show_error(error: PplError) -> None:
    _show(error.diagnostics, error.sources)


def show_notes(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], quiet: bool) -> None:
    """Warnings and notes of a program that is accepted; nothing if `quiet`."""
    if not quiet:
        _show(diagnostics, sources)


def _show(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> None:
    text = render(diagnostics, sources, wants_color(sys.stderr))
    if text:
        print(text, file=sys.stderr)
