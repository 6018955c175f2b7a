# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Compiling functions: the arrays they close over become arguments, and several are compiled at the same time.

jax makes an array that a jitted function closes over a constant of the compiled program: its text and its compile time
then grow with the data, and XLA spends its time folding densities of observations.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

Function = Callable[..., Any]

FAST, QUICK = 1, 0  # optimisation levels of XLA on a CPU: 2 and 3 take longer and make these programs no faster


def compiled(fn: Function, *args: Any, level: int | None = None) -> Function:
    """`fn`, compiled for arguments like `args`; what it closes over is handed to it at each call."""
    return _finish(*_lowered(fn, *args), level)


class Compiling:
    """Compiles several functions at once. Tracing happens in the calling thread, in its jax configuration."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def __enter__(self) -> Compiling:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def add(self, fn: Function, *args: Any, level: int | None = None) -> Future[Function]:
        """`fn` compiled for arguments like `args`, when it is ready. `level`: FAST for what runs long, else QUICK."""
        return self._pool.submit(_finish, *_lowered(fn, *args), level)


def _lowered(fn: Function, *args: Any) -> tuple[Any, list[Any]]:
    closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
    out_tree = jax.tree.structure(shape)

    def body(consts: list[Any], *flat: Any) -> Any:
        return jax.tree.unflatten(out_tree, jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*flat))

    return jax.jit(body).lower(closed.consts, *jax.tree.leaves(args)), closed.consts


def _finish(lowered: Any, consts: list[Any], level: int | None) -> Function:
    on_cpu = level is not None and jax.default_backend() == "cpu"
    run = lowered.compile(compiler_options={"xla_backend_optimization_level": level} if on_cpu else None)
    return lambda *given: run(consts, *jax.tree.leaves(given))
