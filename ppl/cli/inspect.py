"""``check``, ``explain`` and ``emit``: what can be said about a program without running it. None imports jax."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from ppl.cli.console import UsageError, put, show_error, show_notes, tell
from ppl.cli.main import FINE, REJECTED, USAGE
from ppl.cli.parser import budget_asked, lines_asked
from ppl.diagnostics import Diagnostic, PplError, Span

if TYPE_CHECKING:
    from ppl.model import Model

_DATA_NAMES = (".csv", ".json", ".npz", ".nc")


def load_model(file: str, lines: Mapping[str | int, str] | None = None) -> Model:
    """The program in `file` (``-``: standard input). `lines`: see `ppl.load`.

    Raises UsageError if `file` cannot be read, PplError if the program is rejected.
    """
    import ppl

    try:
        if not file:
            raise UsageError("the name of a program is empty")
        if file.lower().endswith(_DATA_NAMES):
            raise UsageError(f"{file} is data, or a fit, and no program: give NAME.ppl, and data with --data")
        if file == "-":
            model = ppl.compile(_standard_input().decode("utf-8-sig"), name="stdin", lines=lines)
        else:
            model = ppl.load(file, lines=lines)
    except OSError as error:
        raise UsageError(f"cannot open {file}: {error.strerror or error}{_other_name(file)}") from error
    except UnicodeDecodeError as error:
        raise PplError([_not_utf8(file, error)]) from error
    return model


def _other_name(file: str) -> str:
    from os.path import isfile

    return f": did you mean {file}.ppl?" if isfile(f"{file}.ppl") else ""


def _standard_input() -> bytes:
    if cast(object, sys.stdin) is None:
        raise UsageError("cannot read standard input: it is closed")
    return sys.stdin.buffer.read()


def _not_utf8(file: str, error: UnicodeDecodeError) -> Diagnostic:
    before = error.object[: error.start].decode("utf-8").split("\n")
    line, column = len(before), len(before[-1]) + 1
    span = Span("stdin.ppl" if file == "-" else file, line, column, line, column + 1)
    return Diagnostic("PPL001", "the file is not UTF-8 text", span, "save it as UTF-8")


def data_for(file: str, data: str | None) -> str | None:
    """The data file that goes with program `file`: `data` if given, else NAME.data.json beside it, else None."""
    from ppl.data.files import beside

    return data if data is not None or file == "-" else beside(file)


@contextmanager
def noted(model: Model, quiet: bool) -> Generator[list[Diagnostic]]:
    """Shows the warnings on stderr that a program deserves with its data, which the body puts into the list; where it
    fails, those without data."""
    said = list(model.diagnostics)
    try:
        yield said
    finally:
        show_notes(said, model.sources, quiet)


def check(options: argparse.Namespace) -> int:
    """All files are checked, whatever the first ones say; the worst outcome decides the exit code."""
    code = FINE
    for file in options.files:
        try:
            model = load_model(file)
            show_notes((*model.diagnostics, *model.said_by_defaults()), model.sources, options.quiet)
        except PplError as error:
            show_error(error)
            code = max(code, REJECTED)
        except UsageError as error:
            tell(str(error))
            code = USAGE
        else:
            if not options.quiet:
                tell(f"{file}: no errors")
    return code


def explain(options: argparse.Namespace) -> int:
    model = load_model(options.file, lines_asked(options))
    with noted(model, options.quiet) as said:
        report, said[:] = model.explained(data_for(options.file, options.data), **budget_asked(options))
    if options.json:
        put(json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n")
    else:
        from ppl.cli.guards import guard_report

        put(guard_report(options.file, report) + "\n")
    return FINE


def emit(options: argparse.Namespace) -> int:
    model = load_model(options.file, lines_asked(options))
    show_notes(model.diagnostics, model.sources, options.quiet)
    source = model.source_code
    if options.output in (None, "-"):
        put(source)
        return FINE
    try:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(source)
    except OSError as error:
        raise UsageError(f"cannot write {options.output}: {error.strerror or error}") from error
    return FINE
