"""The entry point: dispatch, and the one place where exceptions become exit codes."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Sequence
from importlib import import_module

from ppl.cli.console import UsageError, complain, put, show_error, tell
from ppl.cli.parser import build_parser
from ppl.diagnostics import DataError, InferenceError, PplError

# The commands, with the module of each: it has a function of that name. Some take long to import.
COMMANDS = {
    "infer": "infer", "check": "inspect", "explain": "inspect", "emit": "inspect", "gradcheck": "gradcheck",
    "sample": "sample", "summary": "summary", "compare": "compare", "rule": "rule",
    "plot": "plot",
}  # fmt: skip
# Objects that are made before Python looks for cycles to free: importing and tracing make many and drop few.
OBJECTS = 1_000_000
FINE, REJECTED, USAGE, DATA, INFERENCE, BIASED, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``pplc`` with `argv` (default: the process's, which ends with it) and returns the exit code."""
    if argv is None:
        gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    try:
        return _run(argv)
    except BaseException as error:
        return report(error)
    finally:
        if argv is None:
            gc.freeze()  # else Python looks through all objects once more before it ends


def report(error: BaseException) -> int:
    """Says what went wrong on stderr, and returns the exit code."""
    match error:
        case SystemExit():  # argparse: 0 after --help, 2 after a usage error
            return error.code if isinstance(error.code, int) else USAGE
        case KeyboardInterrupt():
            tell("interrupted")
            return INTERRUPTED
        case UsageError():
            tell(str(error))
            return USAGE
        case PplError():
            show_error(error)
            return _code_of(error)
        case Exception():
            return _bug(error)
        case _:
            raise error


def _code_of(error: PplError) -> int:
    if isinstance(error, DataError):
        return DATA
    if isinstance(error, InferenceError):
        return INFERENCE
    return (
        USAGE
        if any(d.code in ("PPL803", "PPL804", "PPL806", "PPL807", "PPL808") for d in error.diagnostics)
        else REJECTED
    )


def _bug(error: Exception) -> int:
    if os.environ.get("PPLC_TRACEBACK") == "1":
        complain(traceback.format_exc())
    what = " ".join(f"{type(error).__name__}: {error}".split())
    tell(f"internal error: {what[:300]} (a bug of pplc: please report it; PPLC_TRACEBACK=1 shows where)")
    return BUG


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.version:
        return _print_version()
    if options.command is None:
        parser.error(f"a command is needed: {', '.join(COMMANDS)}")
    module = import_module(f"ppl.cli.{COMMANDS[options.command]}")
    return getattr(module, options.command)(options)


def _print_version() -> int:
    from ppl import __version__

    put(f"pplc {__version__}\n")
    return FINE
