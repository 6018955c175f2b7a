"""Where the command line writes: results on stdout, everything else on stderr, colours on a terminal only.

A stream that nobody reads any more, or that was closed from the start, changes no exit code: what cannot be shown is
dropped, and the command goes on. A stdout that fails in another way, such as a full disk, is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO, cast

from ppl.diagnostics import Diagnostic, PplError, printable, render


class UsageError(Exception):
    """A request that cannot be carried out as asked: exit code 2. ``str()`` is the line for the user."""


def wants_color(stream: TextIO) -> bool:
    """Whether ANSI colours are welcome on `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_watched() -> bool:
    """Whether stderr is a terminal, where progress can be drawn."""
    stream = _stream("stderr")
    return stream is not None and stream.isatty()


def put(text: str) -> None:
    """A result, on stdout. Raises UsageError if it cannot be written."""
    stream = _stream("stdout")
    if stream is None:
        return
    if stream.encoding:
        text = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
    except OSError as error:
        _discard(stream)
        raise UsageError(f"cannot write the output: {error.strerror or error}") from error


def tell(message: str) -> None:
    """A line for the user on stderr."""
    complain(f"pplc: {printable(message)}\n")


def complain(text: str) -> None:
    """Text for the user on stderr, as it is."""
    stream = _stream("stderr")
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        _discard(stream)


def show_error(error: PplError) -> None:
    _show(error.diagnostics, error.sources)


def show_notes(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], quiet: bool) -> None:
    """Warnings and notes of a program that is accepted; nothing if `quiet`."""
    if not quiet:
        _show(diagnostics, sources)


def _show(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> None:
    stream = _stream("stderr")
    text = render(diagnostics, sources, stream is not None and wants_color(stream))
    if text:
        complain(f"{text}\n")


def _stream(name: str) -> TextIO | None:
    """None if the stream was closed before Python started, whatever its type says."""
    return cast(TextIO | None, getattr(sys, name))


def _discard(stream: TextIO) -> None:
    """Points a stream elsewhere: the interpreter complains if it cannot flush what is left in it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
