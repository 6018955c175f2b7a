# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Compiled functions that are kept between processes, so that a second fit of a program to the same data neither traces
nor compiles.

JAX's persistent compilation cache spares XLA's work, but tracing and lowering a program take as long. So in a folder
beside that cache a function is kept whole, in two files. One has XLA's program, under a digest of its text; the other
the arrays that the function closes over and the name of the former, under a digest of all that the function is made
from: the emitted module, the data, the options, and the source of what traces it. Either digest covers the versions of
libraries, jax's configuration and the processor. What cannot be kept, or not be read back, is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import platform
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
from jax.experimental import serialize_executable

FOLDER = "functions"  # in that of jax's cache
MOST = 2**29  # bytes; a program with its data and options takes some millions
LIBRARIES = ("jax", "jaxlib", "numpy")
WHERE_CACHED = ("jax_compilation_cache", "jax_persistent_cache")  # settings that say only what is cached, and where


@dataclass(frozen=True, slots=True)
class Kept:
    """A compiled function of ``(consts, *leaves)``, whose result is the leaves of a tree like `like`."""

    run: jax.stages.Compiled
    consts: list[Any]
    like: Any


@dataclass(frozen=True, slots=True)
class Shelf:
    """The functions of one program with its data and options, all of which `about` is a digest of."""

    folder: Path
    about: bytes
    machine: bytes

    @staticmethod
    def of(*about: Any) -> Shelf | None:
        """That of functions made from `about`: text, numbers, arrays and None, and tuples or mappings of these.

        None where jax's persistent cache is off, or its folder is of no use.
        """
        config: Any = jax.config  # its own annotations do not say what it has
        base = config.jax_compilation_cache_dir if config.jax_enable_compilation_cache else None
        if not isinstance(base, str) or not os.path.isdir(base) or jax.process_count() > 1:
            return None
        machine = digest(tuple(_machine()))
        return Shelf(Path(base) / FOLDER, digest((machine, *_sources(), *about)), machine)

    def place(self, *about: Any) -> Path:
        """The file of one function."""
        return self.folder / (digest((self.about, *about)).hex() + ".function")

    def place_of_program(self, text: str, level: int | None) -> Path:
        """The file of a program in XLA's language, compiled at an optimisation level."""
        return self.folder / (digest((self.machine, text, level)).hex() + ".program")


class Hits:
    """What jax finds in its persistent cache, by thread: such a function has no code that could be kept once more."""

    EVENT = "/jax/compilation_cache/cache_hits"

    def __init__(self) -> None:
        self._found: list[int] = []

    def watch(self) -> None:
        jax.monitoring.register_event_listener(self._hear)

    def close(self) -> None:
        jax.monitoring.unregister_event_listener(self._hear)

    def here(self) -> int:
        """How many there were in this thread."""
        return self._found.count(threading.get_ident())

    def _hear(self, event: str, **_: str | int) -> None:
        if event == self.EVENT:
            self._found.append(threading.get_ident())


def load(path: Path) -> Kept | None:
    """The function that `save` left at `path`; None if there is nothing, or nothing that can be used."""
    with contextlib.suppress(Exception):  # of another version, cut short: as if there were none
        name, consts, like = _read(path)
        run = load_program(path.with_name(name))
        return None if run is None else Kept(run, [jax.device_put(x) for x in consts], like)
    return None


def load_program(path: Path) -> jax.stages.Compiled | None:
    """The program that `save_program` left at `path`; None if there is nothing, or nothing that can be used."""
    with contextlib.suppress(Exception):
        return serialize_executable.deserialize_and_load(*_read(path))
    return None


def save(path: Path, program: Path, kept: Kept) -> None:
    """Leaves a function at `path`, whose program is kept at `program`; nothing if it cannot be kept."""
    with contextlib.suppress(Exception):
        consts = [np.asarray(x) for x in kept.consts]
        like = pickle.loads(pickle.dumps(kept.like))
        if program.exists() and jax.tree.structure(like) == jax.tree.structure(kept.like):
            _write(path, (program.name, consts, kept.like))


def save_program(path: Path, run: jax.stages.Compiled) -> None:
    """Leaves a program at `path`; nothing if it cannot be kept."""
    with contextlib.suppress(Exception):
        _write(path, serialize_executable.serialize(run))


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
            raise PermissionError  # reading it runs code, and it is somebody else's
        found = pickle.load(file)
    path.touch()  # the oldest are the first to go
    return found


def _write(path: Path, content: Any) -> None:
    """Whole or not at all."""
    text = pickle.dumps(content)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _clear(path.parent)


def digest(about: Any) -> bytes:
    """A digest of text, numbers, arrays and None, and of tuples, lists and mappings of these, kinds told apart."""
    found = hashlib.sha256()
    for part in _parts(about):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


def _parts(x: Any) -> Iterator[bytes]:
    match x:
        case dict():
            yield from _parts([(k, x[k]) for k in sorted(x)])
        case tuple() | list():
            yield f"{len(x)} items".encode()
            for item in x:
                yield from _parts(item)
        case np.ndarray() | jax.Array():
            yield f"array {x.dtype} {x.shape}".encode()
            yield np.asarray(x).tobytes()
        case bytes():
            yield x
        case _:
            assert x is None or isinstance(x, str | int | float), type(x)
            yield f"{type(x).__name__} {x!r}".encode()


def _machine() -> Iterator[Any]:
    """What decides how a program is lowered and compiled, apart from its text."""
    yield platform.python_version()
    yield from (version(name) for name in LIBRARIES)
    yield from (jax.default_backend(), str(jax.devices()), str(jnp.result_type(float)), _processor())
    yield os.environ.get("XLA_FLAGS")
    names = [k for k in jax.config.values if not k.startswith(WHERE_CACHED)]
    yield {k: str(getattr(jax.config, k, None)) for k in names}


def _sources() -> Iterator[bytes]:
    """What traces a program. A version number would not do for a checkout."""
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        yield path.read_bytes()


def _processor() -> str:
    """The processor that XLA compiles for: a function for one with more instructions does not run."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        lines: Iterable[str] = file
        return next((x for x in lines if x.startswith(("flags", "Features"))), platform.machine())
    return f"{platform.machine()} {platform.processor()}"


def _clear(folder: Path) -> None:
    """Leaves the files that were used last, of MOST bytes in all: what jax's cache has longer cannot be kept again."""
    files = sorted(((p.stat(), p) for p in folder.iterdir()), key=lambda x: x[0].st_mtime, reverse=True)
    total = 0
    for found, path in files:
        total += found.st_size
        if total > MOST:
            path.unlink(missing_ok=True)
