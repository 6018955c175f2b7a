# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Several processes that make one fit together, connected by jax's distributed runtime.

All processes run the same Python code, and what it decides (the next phase, when to stop) has to be the same
everywhere: a process that leaves the others waits for no one, and they wait for it. So values that decide come out of
compiled functions the same to the last bit (:meth:`ppl.infer.devices.Devices.alike`), files are read and written by the
first process alone, and what may fail in one process runs inside `together`, which lets it fail in all.

With one process, the usual case, nothing here does anything.
"""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import jax
import numpy as np

from ppl.diagnostics import Diagnostic, InferenceError, PplError

TOGETHER = "all processes of the run have stopped"
RESUME = "with a --checkpoint, start all processes again with --resume"


class LostProcess(InferenceError):
    """Another process of the run cannot be reached any more."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The processes of a run: all that jax knows of, or this one alone."""

    several: bool = False

    @staticmethod
    def all() -> Hosts:
        """Every process of this program."""
        return Hosts(jax.process_count() > 1)

    @property
    def first(self) -> bool:
        """Whether this is the process that reads and writes files."""
        return not self.several or jax.process_index() == 0

    @contextmanager
    def collective(self) -> Generator[None]:
        """Turns the errors of communication into :class:`LostProcess`."""
        try:
            yield
        except (ValueError, RuntimeError) as error:  # of gloo and of XLA
            if not self.several:
                raise
            reason = " ".join(str(error).split())[:200]
            message = f"the processes of this run cannot reach each other any more: {reason}"
            raise LostProcess([Diagnostic("PPL809", message, hint=RESUME)]) from error

    def gathered(self, content: bytes) -> list[bytes]:
        """What every process has, in all of them, by the number of the process."""
        if not self.several:
            return [content]
        from jax.experimental import multihost_utils  # takes a while to import

        with self.collective():
            sizes = multihost_utils.process_allgather(np.array([len(content)], np.uint32)).ravel().tolist()
            if not any(sizes):
                return [b""] * len(sizes)
            padded = np.zeros(max(sizes), np.uint8)
            padded[: len(content)] = np.frombuffer(content, np.uint8)
            rows: Any = multihost_utils.process_allgather(padded)
        return [row[:n].tobytes() for row, n in zip(rows, sizes, strict=True)]

    @contextmanager
    def together(self) -> Generator[None]:
        """What happens inside fails in all processes if it fails in one. The processes do not communicate inside."""
        if not self.several:
            yield
            return
        mine: BaseException | None = None
        try:
            yield
        except BaseException as error:
            mine = error
        reasons = self.gathered(b"" if mine is None else _in_words(mine).encode())
        if mine is None:
            for process, reason in enumerate(reasons):
                if reason:
                    message = f"process {process} of this run has stopped: {reason.decode()}"
                    hint = f"its own output may say more; {RESUME}"
                    mine = InferenceError([Diagnostic("PPL809", message, hint=hint)])
                    break
        if mine is not None:
            mine.add_note(TOGETHER)
            raise mine

    def from_first(self, read: Callable[[], bytes]) -> bytes:
        """What `read` gives in the first process, or raises there."""
        content = b""
        with self.together():
            if self.first:
                content = read()
        return self.gathered(content)[0]

    def same(self, what: str, *parts: Any) -> None:
        """Raises PplError unless `parts`, bytes or what has a telling `repr`, are the same in all processes. `what`
        goes between "process 1" and "than process 0"."""
        if not self.several:
            return
        digest = hashlib.sha256()
        for part in parts:
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(len(content).to_bytes(8, "big") + content)
        found = self.gathered(digest.digest())
        others = [str(k) for k, x in enumerate(found) if x != found[0]]
        if others:
            message = f"process {', '.join(others)} {what} than process 0"
            hint = "start the same command on every host, with the same program, data and options"
            raise PplError([Diagnostic("PPL808", message, hint=hint)])

    @contextmanager
    def holding_interrupts(self) -> Generator[Callable[[], None]]:
        """Makes an interrupt wait until the function given is called, where it can be met in all processes at once.
        A second one does not wait."""
        if not self.several or threading.current_thread() is not threading.main_thread():
            yield lambda: None
            return
        asked: list[int] = []

        def hold(number: int, frame: FrameType | None) -> None:
            del frame
            if asked:
                raise KeyboardInterrupt
            asked.append(number)

        def check() -> None:
            if asked:
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, hold)
        try:
            yield check
        finally:
            signal.signal(signal.SIGINT, before)


def is_known_to_all(error: BaseException) -> bool:
    """Whether all processes have left the run with this error, so that none still waits for this one."""
    return TOGETHER in getattr(error, "__notes__", ())


def _in_words(error: BaseException) -> str:
    if isinstance(error, PplError):
        return error.diagnostics[0].message
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"[:300]
