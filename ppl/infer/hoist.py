# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Compiling functions: the arrays they close over become arguments, and several are compiled at the same time.

jax makes an array that a jitted function closes over a constant of the compiled program: its text and its compile time
then grow with the data, and XLA spends its time folding densities of observations.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ppl.infer.devices import Devices

Function = Callable[..., Any]

FAST, QUICK = 1, 0  # optimisation levels of XLA on a CPU: 2 and 3 take longer and make these programs no faster


def compiled(fn: Function, *args: Any, level: int | None = None) -> Function:
    """`fn`, compiled for arguments like `args`; what it closes over is handed to it at each call."""
    return _finish(_lowered(fn, args, None), level)


class Compiling:
    """Compiles several functions at once, for one device or several. Tracing happens in the calling thread, in its jax
    configuration."""

    def __init__(self, devices: Devices | None = None) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._devices = devices

    def __enter__(self) -> Compiling:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def add(self, fn: Function, *args: Any, level: int | None = None) -> Future[Function]:
        """`fn` compiled for arguments like `args`, when it is ready. `level`: FAST for what runs long, else QUICK."""
        return self._pool.submit(_finish, _lowered(fn, args, self._devices), level)


@dataclass(frozen=True, slots=True)
class _Lowered:
    program: Any
    consts: list[Any]
    devices: Devices | None


def _lowered(fn: Function, args: tuple[Any, ...], devices: Devices | None) -> _Lowered:
    fn = fn if devices is None else devices.alike(fn)
    closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
    out_tree = jax.tree.structure(shape)

    def body(consts: list[Any], *flat: Any) -> Any:
        return jax.tree.unflatten(out_tree, jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*flat))

    given = (closed.consts, *jax.tree.leaves(args))
    if devices is None:
        return _Lowered(jax.jit(body).lower(*given), closed.consts, None)
    everywhere = devices.everywhere
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x), sharding=everywhere), given)
    return _Lowered(jax.jit(body, out_shardings=everywhere).lower(*like), devices.put(closed.consts), devices)


def _finish(lowered: _Lowered, level: int | None) -> Function:
    on_cpu = level is not None and jax.default_backend() == "cpu"
    run = lowered.program.compile(compiler_options={"xla_backend_optimization_level": level} if on_cpu else None)
    consts, devices = lowered.consts, lowered.devices
    if devices is None:
        return lambda *given: run(consts, *jax.tree.leaves(given))

    def everywhere(*given: Any) -> Any:
        with devices.hosts.collective():
            out = devices.get(run(consts, *devices.put(jax.tree.leaves(given))))
            return jax.block_until_ready(out) if devices.hosts.several else out

    return everywhere
