"""One fit by several processes, each started by hand or by a cluster's launcher: joining them, and leaving in order."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ppl.cli.console import UsageError
from ppl.cli.main import report
from ppl.diagnostics import Diagnostic, InferenceError

if TYPE_CHECKING:
    from ppl.infer.hosts import Hosts

PATIENCE = 300  # seconds to wait for the other processes, if the options do not say
LONGEST = 10**6  # ... and the most that they may say
MARGIN = 60  # seconds after these in which jax, which would end the process without a word, does not come to it
_JOIN = (
    "start the same command on every host, with the same --coordinator and --processes and each --process from 0 once; "
    "--join-timeout SECONDS waits longer"
)
GRACE = 1.0  # seconds that the first process stays, for the others to say why they leave


@contextmanager
def joined(options: argparse.Namespace) -> Generator[Hosts | None]:
    """The processes of the run; None for one alone, which need not load jax to know it.

    Has to come before jax looks for devices. A process that fails alone leaves at once: the others notice when its
    connections close. Raises UsageError if the options do not say where the others are.
    """
    if not _asked(options):
        yield None
        return
    _initialise(options)
    from ppl.infer.hosts import Hosts, is_known_to_all

    hosts = Hosts.all()
    if hosts.several:
        _keep_stdout()
    try:
        yield hosts
    except BaseException as error:
        if not hosts.several or is_known_to_all(error):
            raise
        code = report(error)
        if hosts.first:  # it runs the service that the others are connected to
            time.sleep(GRACE)
        sys.stderr.flush()
        os._exit(code)  # in order, jax would wait for processes that wait for this one


def _asked(options: argparse.Namespace) -> bool:
    given = (options.coordinator, options.processes, options.process)
    if any(x is not None for x in given) and any(x is None for x in given):
        raise UsageError("--coordinator, --processes and --process belong together")
    if options.process is not None and options.process >= options.processes:
        raise UsageError(f"--process is from 0 to {options.processes - 1}, not {options.process}")
    if options.join_timeout is not None and options.join_timeout > LONGEST:
        raise UsageError(f"--join-timeout is at most {LONGEST} seconds")
    return options.distributed or options.process is not None


def _initialise(options: argparse.Namespace) -> None:
    import jax

    given: dict[str, Any] = {}
    patience: int = options.join_timeout or PATIENCE
    until = time.monotonic() + patience
    if options.process is not None:
        host, port = _address(options.coordinator)
        if options.process > 0:
            _wait_for(host, port, until)
        given = {
            "coordinator_address": options.coordinator, "num_processes": options.processes,
            "process_id": options.process, "cluster_detection_method": "deactivate",
        }  # fmt: skip
    try:
        with _giving_up(until, patience):
            jax.distributed.initialize(**given, initialization_timeout=patience + MARGIN)
    except (ValueError, RuntimeError) as error:
        hint = "" if given else "; without a cluster that jax knows, say --coordinator, --processes and --process"
        raise UsageError(f"cannot join the other processes: {error}{hint}") from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UsageError(f"--coordinator is HOST:PORT, not {text}")
    return host.strip("[]"), int(port)


@contextmanager
def _giving_up(until: float, patience: int) -> Generator[None]:
    """Ends the process with a diagnostic if what happens inside, where jax waits for the other processes and cannot be
    interrupted, is not over in time: it has no error for peers that never come, it aborts."""

    def give_up() -> None:
        message = f"not all processes of this run have joined it within {patience} seconds"
        error = InferenceError([Diagnostic("PPL809", message, hint=_JOIN)])
        code = report(error)
        sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(max(0.0, until - time.monotonic()), give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _wait_for(host: str, port: int, until: float) -> None:
    """Until process 0 listens: if it never does, jax would end this process without a word of what is wrong."""
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except socket.gaierror as error:
            raise UsageError(f"--coordinator {host}:{port}: {error.strerror}") from error
        except OSError as error:
            if time.monotonic() > until:
                reason = error.strerror or error
                raise UsageError(f"process 0 does not listen at {host}:{port}: {reason}") from error
            time.sleep(0.2)


def _keep_stdout() -> None:
    """Collectives print on the descriptor of stdout, which is for results alone: it becomes stderr for them."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
