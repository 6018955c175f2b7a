"""Saving an unfinished fit and continuing it: one npz file with the arrays of a run and a JSON header.

What is saved is everything that the next step reads, so a continued run takes the steps an uninterrupted one takes.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ppl.diagnostics import Diagnostic, PplError

FORMAT = "pplc-checkpoint-1"
LEFTOVER = 600.0  # seconds
RANDOM = 8  # characters that tempfile adds to a name


class CheckpointError(PplError):
    """A checkpoint that cannot be read or written, or that belongs to another run."""


def refuse(message: str, hint: str | None = None) -> CheckpointError:
    return CheckpointError([Diagnostic("PPL803", message, hint=hint)])


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well: readers never see half a file.

    Of a symbolic link, what it points to is replaced. To what is no regular file, a pipe or a device, is written."""
    if is_special(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, "content")
            yield temporary
            path.write_bytes(temporary.read_bytes())
        return
    path = _linked(path)
    handle, name = tempfile.mkstemp(prefix=_beside(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_special(path: Path) -> bool:
    """Whether there is something at `path` that is neither a regular file nor a directory."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _linked(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _beside(path: Path) -> str:
    return f".{path.name}."


def remove_leftovers(path: Path) -> None:
    """Removes what processes that were killed while they wrote `path` have left beside it. What is younger than
    LEFTOVER may still be written."""
    path = _linked(path)
    begins, before = _beside(path), time.time() - LEFTOVER
    with suppress(OSError):
        for other in path.parent.iterdir():
            own = other.name.startswith(begins) and len(other.name) == len(begins) + RANDOM
            if own and other.lstat().st_mtime < before:
                other.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Writes `arrays` and `header` (JSON) to `path` atomically. Raises :class:`CheckpointError`."""
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    content = io.BytesIO()  # an archive that cannot be finished, where a disk is full, would complain once more
    np.savez(content, allow_pickle=False, header=np.array(text), **arrays)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refuse(f"cannot write the checkpoint {path}: {error.strerror or error}") from error


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `save` wrote. Raises :class:`CheckpointError` if `path` cannot be read or is something else."""
    return parse(read(path), path)


def read(path: Path) -> bytes:
    """The content of a file. Raises :class:`CheckpointError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise refuse(f"cannot read the checkpoint {path}: {error.strerror or error}") from error


def parse(content: bytes, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `save` wrote to `path`, from the content of that file. Raises :class:`CheckpointError` if it is something
    else."""
    damaged = refuse(f"{path} is not a checkpoint, or it is damaged")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = dict[str, Any](json.loads(str(arrays.pop("header"))))
    except (OSError, ValueError, TypeError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise damaged from error
    except (MemoryError, OverflowError) as error:  # it says that it has more numbers than there can be
        raise damaged from error
    if header.get("format") != FORMAT:
        raise refuse(f"{path} is not a checkpoint that this version can read")
    return header, arrays
