"""Files that commands write."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ppl.cli.console import UsageError


def check_writable(path: str) -> None:
    """Raises UsageError unless a file can be made at `path`: a fit of an hour must not be lost to a typo."""
    if os.path.isdir(path):
        raise UsageError(f"cannot write {path}: it is a directory")
    try:
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
