"""Timing and statistics of gradient estimators. Every method is a `Method`: a pure function of params and a key.

Times are processor seconds of this process, which `on_one_core` keeps on one core: what else runs does not count.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Params = Any
STEP = 1e-30  # times a gradient: it moves nothing, but the compiler cannot know
Gradient = Callable[[Params, jax.Array], tuple[jax.Array, Params]]


@dataclass(frozen=True)
class Method:
    """`make(batch, dtype)` is ``fn(params, key) -> (elbo, gradient)``, noise included. `flat`: params as a vector
    (locations, then log scales, each in the order of the hand-written model), `start`: standard normal params.
    `at_step`, of a method that changes on the way: as `make`, of ``fn(params, key, step)``."""

    name: str
    make: Callable[[int, Any], Gradient]
    start: Callable[[Any], Params]
    flat: Callable[[Params], jax.Array]
    unflat: Callable[[jax.Array], Params]
    at_step: Callable[[int, Any], Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, Params]]] | None = None


class Moments(NamedTuple):
    """Of a gradient estimate from one batch: its mean, the standard error of that, and its variance, per parameter."""

    mean: np.ndarray
    error: np.ndarray
    variance: np.ndarray


def on_one_core() -> None:
    """Keeps this process, and so XLA's threads, on one core. To be called before jax computes anything."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def repeated(fn: Gradient, times: int) -> Callable[[Params, jax.Array], Any]:
    """`times` gradients one after the other in one compiled loop, each of which moves the params a little, as an
    optimiser does: what depends on the params alone is not taken out of the loop, and no gradient can be left out."""

    def run(params: Params, key: jax.Array) -> Any:
        def body(params: Params, i: jax.Array) -> tuple[Params, None]:
            gradient = fn(params, jax.random.fold_in(key, i))[1]
            return jax.tree.map(lambda p, g: p + STEP * g, params, gradient), None

        return jax.lax.scan(body, params, jnp.arange(times))[0]

    return run


def times(
    functions: Mapping[str, tuple[Gradient, Params]], rounds: int = 7, target: float = 0.03
) -> dict[str, dict[str, float]]:
    """Microseconds per gradient (median and minimum of interleaved rounds) and seconds to compile, by name."""
    compiled: dict[str, tuple[Any, Params, int]] = {}
    seconds: dict[str, float] = {}
    key = jax.random.key(7)
    for name, (fn, params) in functions.items():
        count = 8
        while True:
            began = time.process_time()
            run = jax.jit(repeated(fn, count)).lower(params, key).compile()
            seconds.setdefault(name, time.process_time() - began)
            jax.block_until_ready(run(params, key))
            began = time.process_time()
            jax.block_until_ready(run(params, key))
            took = time.process_time() - began
            if took > target / 4 or count > 4000:
                break
            count = min(int(count * target / max(took, 1e-5)) + 1, 5000)
        compiled[name] = (run, params, count)
    found: dict[str, list[float]] = {name: [] for name in compiled}
    for i in range(rounds):
        for name, (run, params, count) in compiled.items():
            began = time.process_time()
            jax.block_until_ready(run(params, jax.random.fold_in(key, i)))
            found[name].append((time.process_time() - began) / count * 1e6)
    return {
        name: {"us": statistics.median(v), "least_us": min(v), "compile_s": seconds[name]} for name, v in found.items()
    }


def moments(method: Method, params: Params, batch: int, draws: int, seed: int = 0) -> Moments:
    """Over ``draws / batch`` independent batches, in the precision of `params`."""
    fn = method.make(batch, jax.tree.leaves(params)[0].dtype)
    number = max(draws // batch, 2)
    keys = jax.random.split(jax.random.key(seed), number)

    def one(total: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        g = method.flat(fn(params, key)[1])
        return (total[0] + g, total[1] + g * g), None

    zero = jnp.zeros_like(method.flat(params))
    s, s2 = (np.asarray(x, float) for x in jax.jit(lambda k: jax.lax.scan(one, (zero, zero), k)[0])(keys))
    mean = s / number
    variance = np.maximum(s2 / number - mean**2, 0) * number / (number - 1)
    return Moments(mean, np.sqrt(variance / number), variance)


def train(
    method: Method, steps: int, seeds: int, lr: float = 0.0015, batch: int = 16, dtype: Any = jnp.float32
) -> np.ndarray:
    """Flat params (seeds, parameters) after `steps` Adam steps from normals of variance one, whose locations each seed
    draws from the standard normal, the same for all methods."""
    plain = method.make(batch, dtype)
    fn = (lambda p, k, i: plain(p, k)) if method.at_step is None else method.at_step(batch, dtype)
    optimizer = optax.adam(lr)

    def run(key: jax.Array) -> jax.Array:
        def step(i: jax.Array, state: tuple[Params, Any]) -> tuple[Params, Any]:
            params, adam = state
            _, g = fn(params, jax.random.fold_in(key, i), i)
            moved, adam = optimizer.update(jax.tree.map(jnp.negative, g), adam)
            return optax.apply_updates(params, moved), adam

        params = method.start(dtype)
        flat = method.flat(params)
        half = flat.size // 2
        params = method.unflat(flat.at[:half].add(jax.random.normal(jax.random.fold_in(key, 2**30), (half,), dtype)))
        return method.flat(jax.lax.fori_loop(0, steps, step, (params, optimizer.init(params)))[0])

    each = jax.jit(run)
    return np.stack([np.asarray(each(jax.random.key(100 + s))) for s in range(seeds)])
