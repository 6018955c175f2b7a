# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Several devices that share the work of a fit: the starts of a run, and the samples behind each gradient.

A compiled function runs on all of them at once (`jax.shard_map`), with all arguments on each. It evaluates gradients of
its own starts, from its own part of the samples, and hands these to the others; the rest, Adam among it, is little work
and done everywhere. Random numbers belong to steps, starts and samples, so their values do not depend on who draws
them, and the answer is that of one device up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ppl.diagnostics import Diagnostic, PplError, counted
from ppl.infer.hosts import Hosts

STARTS, SAMPLES = AXES = "starts", "samples"

Device = Any  # jax's own name for it is not a type
Given = int | Sequence[Device] | None


@dataclass(frozen=True, slots=True)
class Devices:
    """A mesh of devices with the axes STARTS and SAMPLES. `idle` is the number of devices that have no place in it."""

    mesh: Mesh
    idle: int = 0

    @property
    def samples_axis(self) -> str | None:
        """The axis along which samples are shared; None if they are not."""
        return SAMPLES if self.mesh.shape[SAMPLES] > 1 else None

    # ------------------------------------------------------- inside of functions

    def own(self, tree: Any) -> Any:
        """This device's part of arrays with a leading axis of starts."""
        parts = self.mesh.shape[STARTS]

        def part(x: jax.Array) -> jax.Array:
            size = x.shape[0] // parts
            return lax.dynamic_slice_in_dim(x, lax.axis_index(STARTS) * size, size)

        return jax.tree.map(part, tree)

    def joined(self, tree: Any) -> Any:
        """The whole arrays, of which each device has a part."""
        return jax.tree.map(lambda x: lax.all_gather(x, STARTS, axis=0, tiled=True), tree)

    def averaged(self, tree: Any) -> Any:
        """Averages over the parts of the samples."""
        return lax.pmean(tree, SAMPLES) if self.samples_axis else tree

    # -------------------------------------------------------- around functions

    def alike(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn` on all devices, arguments and results the same on each to the last bit: those of the first device.

        What all compute alike may yet differ in its last digits, where hosts have different processors.
        """

        def run(*args: Any) -> Any:
            out = fn(*args)
            first = (lax.axis_index(STARTS) == 0) & (lax.axis_index(SAMPLES) == 0)
            return jax.tree.map(lambda x: _from(first, jnp.asarray(x)), out)

        whole = PartitionSpec()
        return jax.shard_map(run, mesh=self.mesh, in_specs=whole, out_specs=whole, check_vma=False)

    @property
    def hosts(self) -> Hosts:
        """The processes that these devices belong to."""
        return Hosts(len({d.process_index for d in self.mesh.devices.flat}) > 1)

    @property
    def everywhere(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    def put(self, tree: Any) -> Any:
        """Arrays of this process on every device; all processes give the same."""
        mine = [d for d in self.mesh.devices.flat if d.process_index == jax.process_index()]

        def put(x: Any) -> jax.Array:
            x = x if isinstance(x, jax.Array) else jnp.asarray(x)
            parts = [jax.device_put(x, d) for d in mine]
            return jax.make_array_from_single_device_arrays(x.shape, self.everywhere, parts)

        return jax.tree.map(put, tree)

    def get(self, tree: Any) -> Any:
        """The arrays of `put`, or results, on one device of this process."""
        return jax.tree.map(lambda x: x.addressable_data(0), tree)


def _from(first: jax.Array, x: jax.Array) -> jax.Array:
    if x.dtype == jnp.bool_:
        return _from(first, x.astype(jnp.uint8)).astype(jnp.bool_)
    return lax.psum(jnp.where(first, x, jnp.zeros_like(x)), AXES)


def share(given: Given, starts: int, samples: int) -> Devices | None:
    """The devices that share `starts` x `samples`; None where that is jax's default device alone, which needs no mesh.

    `given` is how many devices of each process to use, or which ones; None is all, or the default device where jax's
    configuration names one. As many are taken as divide the work evenly, starts first. Raises PplError (PPL808) if
    there are fewer devices than asked for, or no way to share evenly among the processes.
    """
    by_process = _by_process(given)
    most, processes = min(len(own) for own in by_process), len(by_process)
    available = sum(len(own) for own in by_process)
    for each in range(most, 0, -1):
        split = _split(each * processes, starts, samples)
        if split is not None:
            chosen = [d for own in by_process for d in own[:each]]
            if chosen == _default():
                return None
            return Devices(Mesh(np.array(chosen).reshape(split), AXES), available - len(chosen))
    work = f"{counted(starts, 'start')} and {counted(samples, 'sample')}"
    hint = f"make --starts a multiple of {processes}"
    raise _refused(f"{work} cannot be shared evenly among {processes} processes", hint)


def _by_process(given: Given) -> list[list[Device]]:
    """The devices to choose from, for every process that takes part."""
    if isinstance(given, int):
        found = jax.devices()
    else:
        found = list(given) if given is not None else jax.devices() if _named() is None else _default()
    if not found:
        raise _refused("no devices are given")
    processes = sorted({d.process_index for d in found})
    groups = [[d for d in found if d.process_index == p] for p in processes]
    if isinstance(given, int):
        fewest = min(len(own) for own in groups)
        if not 1 <= given <= fewest:
            hint = "on a CPU, XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of one"
            there = f"there {'is' if fewest == 1 else 'are'} {fewest}"
            raise _refused(f"{counted(given, 'device')} asked for, and {there}",
                           hint if found[0].platform == "cpu" else None)  # fmt: skip
        return [own[:given] for own in groups]
    if processes not in ([jax.process_index()], list(range(jax.process_count()))):
        raise _refused("the devices belong to some of the processes: give those of all, or of this one")
    return groups


def _named() -> Any:
    """The default device in jax's configuration: a device, a platform or None."""
    return jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]


def _default() -> list[Device]:
    """The device, as a list, on which jax computes when nobody says where."""
    named = _named()
    return [named] if isinstance(named, jax.Device) else jax.local_devices(backend=named)[:1]


def _refused(message: str, hint: str | None = None) -> PplError:
    return PplError([Diagnostic("PPL808", message, hint=hint)])


def _split(count: int, starts: int, samples: int) -> tuple[int, int] | None:
    """`count` as a divisor of `starts`, the largest there is, times a divisor of `samples`."""
    for k in range(min(count, starts), 0, -1):
        if count % k == 0 and starts % k == 0 and samples % (count // k) == 0:
            return k, count // k
    return None
