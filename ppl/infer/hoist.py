# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Compiling functions: the arrays they close over become arguments, and several are compiled at the same time.

jax makes an array that a jitted function closes over a constant of the compiled program: its text and its compile time
then grow with the data, and XLA spends its time folding densities of observations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ppl.infer import kept
from ppl.infer.devices import Devices
from ppl.infer.kept import Kept, Shelf

Function = Callable[..., Any]

FAST, QUICK = 1, 0  # optimisation levels of XLA on a CPU: 2 and 3 take longer and make these programs no faster


def compiled(fn: Function, *args: Any, level: int | None = None) -> Function:
    """`fn`, compiled for arguments like `args`; what it closes over is handed to it at each call."""
    return _finish(_lowered(fn, args, None), level)


class Pending(Protocol):
    """A function that is being made."""

    def result(self) -> Function: ...


class Compiling:
    """Compiles several functions at once, for one device or several, or finds them on a `shelf`. Tracing happens in the
    calling thread, in its jax configuration."""

    def __init__(self, devices: Devices | None = None, shelf: Shelf | None = None) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._devices = devices
        self._shelf = shelf if devices is None else None
        self._hits = kept.Hits()

    def __enter__(self) -> Compiling:
        self._hits.watch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=kind is not None)
        self._hits.close()

    def add(self, name: str, make: Callable[[], Function], *args: Any, level: int | None = None) -> Pending:
        """The function that `make` gives, compiled for arguments like `args`.

        `name`: what it is called on the shelf. `level`: FAST for what runs long, else QUICK.
        """
        if self._shelf is None:
            return self._pool.submit(self._made, _lowered(make(), args, self._devices), level, None)
        leaves, tree = jax.tree.flatten(args)
        place = self._shelf.place(name, str(tree), level, [str(jax.typeof(x)) for x in leaves])
        if place.exists():
            loading = self._pool.submit(kept.load, place)
            return _Found(place, loading, lambda: _finish(_lowered(make(), args, None), level))
        return self._pool.submit(self._made, _lowered(make(), args, None), level, place)

    def _made(self, lowered: _Lowered, level: int | None, place: Path | None) -> Function:
        if place is None or self._shelf is None:
            return _finish(lowered, level)
        at = self._shelf.place_of_program(lowered.program.as_text(), level)
        run = kept.load_program(at)
        if run is not None:
            found, made = Future[Kept | None](), Kept(run, lowered.consts, lowered.like)
            found.set_result(made)
            kept.save(place, at, made)
            return _Found(at, found, lambda: _finish(lowered, level)).result()
        before = self._hits.here()
        made = _compiled(lowered, level)
        if self._hits.here() == before:
            kept.save_program(at, made.run)
        kept.save(place, at, made)
        return _called(made)


class _Found:
    """A function, or its program, that was kept `at` a place; made `anew` if it cannot be read or does not run."""

    def __init__(self, at: Path, loading: Future[Kept | None], anew: Callable[[], Function]) -> None:
        self._at, self._loading, self._anew = at, loading, anew
        self._run: Function | None = None

    def result(self) -> Function:
        return self._call

    def _call(self, *given: Any) -> Any:
        if self._run is not None:
            return self._run(*given)
        found = self._loading.result()
        if found is not None:
            run = _called(found)
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                out = jax.block_until_ready(run(*given))
                self._run = run
                return out
        self._at.unlink(missing_ok=True)
        self._run = self._anew()
        return self._run(*given)


@dataclass(frozen=True, slots=True)
class _Lowered:
    """A function of ``(consts, *leaves)`` whose result is the leaves of a tree like `like`."""

    program: Any
    consts: list[Any]
    like: Any
    devices: Devices | None


def _lowered(fn: Function, args: tuple[Any, ...], devices: Devices | None) -> _Lowered:
    fn = fn if devices is None else devices.alike(fn)
    flat = jax.tree.leaves(args)
    closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
    leaves, out_tree = jax.tree.flatten(shape)
    like = jax.tree.unflatten(out_tree, range(len(leaves)))
    keys = [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in closed.in_avals]

    def body(consts: list[Any], *given: Any) -> Any:
        inputs = (jax.random.wrap_key_data(x) if key else x for x, key in zip(given, keys, strict=True))
        return jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*inputs)

    given = (closed.consts, *map(_plain, flat))
    if devices is None:
        return _Lowered(jax.jit(body).lower(*given), closed.consts, like, None)
    everywhere = devices.everywhere
    spec = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x), sharding=everywhere), given)
    return _Lowered(jax.jit(body, out_shardings=everywhere).lower(*spec), devices.put(closed.consts), like, devices)


def _plain(x: Any) -> Any:
    """A leaf as an array of numbers: a function for keys could not be kept."""
    key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if key else x


def _finish(lowered: _Lowered, level: int | None) -> Function:
    return _called(_compiled(lowered, level), lowered.devices)


def _compiled(lowered: _Lowered, level: int | None) -> Kept:
    on_cpu = level is not None and jax.default_backend() == "cpu"
    run = lowered.program.compile(compiler_options={"xla_backend_optimization_level": level} if on_cpu else None)
    return Kept(run, lowered.consts, lowered.like)


def _called(made: Kept, devices: Devices | None = None) -> Function:
    run, consts, out_tree = made.run, made.consts, jax.tree.structure(made.like)

    def leaves(given: tuple[Any, ...]) -> list[Any]:
        return [_plain(x) for x in jax.tree.leaves(given)]

    if devices is None:
        return lambda *given: jax.tree.unflatten(out_tree, run(consts, *leaves(given)))

    def everywhere(*given: Any) -> Any:
        with devices.hosts.collective():
            out = devices.get(run(consts, *devices.put(leaves(given))))
            out = jax.block_until_ready(out) if devices.hosts.several else out
            return jax.tree.unflatten(out_tree, out)

    return everywhere
