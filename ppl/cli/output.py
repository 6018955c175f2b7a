"""Files that commands write."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from ppl.cli.console import UsageError


def why(error: OSError) -> str:
    """The reason in the words of the operating system; libraries have their own, of many lines."""
    return os.strerror(error.errno) if error.errno else str(error)


def check_writable(path: str) -> None:
    """Raises UsageError unless a file can be made at `path`: a fit of an hour must not be lost to a typo."""
    if os.path.isdir(path):
        raise UsageError(f"cannot write {path}: it is a directory")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device: opening it may wait for a reader
        if not os.access(path, os.W_OK):
            raise UsageError(f"cannot write {path}: {os.strerror(errno.EACCES)}")
        return
    try:
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {why(error)}") from error
