# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The random numbers of a step at half of their price on CPUs: the numbers of `jax.random`, bit for bit.

For CPUs jax compiles the rounds of its generator as a loop, a turn of which costs more than it computes where few
numbers are drawn, and XLA computes what follows, the inverse of the error function, again for everything that reads
it. Here the rounds are written out, and each normal number is computed once. The generator is Threefry 2x32 with 20
rounds (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Elsewhere than on CPUs,
for other kinds of keys, and where jax counts in another order (`jax_threefry_partitionable` off), all functions are
those of jax.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike
from numpy.typing import NDArray

Words = NDArray[np.uint32]  # of a key: two, along the last axis

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
FEW = 256  # numbers, up to which to draw them twice costs less than to copy them, or the words that make them
PARITY = np.uint32(0x1BD11BDA)


def normal(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """As `jax.random.normal`."""
    count = math.prod(shape)
    if not _is_ours(key, dtype) or count == 0:
        return jax.random.normal(key, shape, dtype)
    half = (count + 1) // 2

    def words(start: Array) -> tuple[Array, Array]:
        return _words(key, start + lax.iota(np.uint32, half))

    # XLA does not compute again what a loop has computed: two turns are the shortest that stays one.
    parts = jnp.asarray([0, half], jnp.uint32)
    if jnp.finfo(dtype).bits == 64 and count > FEW:  # beside numbers of 64 bits the rounds, of 32, take longer
        parts = _each(lambda x: _normal(x, dtype), _each(words, parts))
    else:
        parts = _each(lambda start: _normal(words(start), dtype), parts)
    return parts.reshape(2 * half)[:count].reshape(shape)


def mirrored(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """The numbers of `normal`, and then the same with the other sign: (2, *shape)."""
    count = math.prod(shape)
    if count > FEW or not _is_ours(key, dtype) or count == 0:
        numbers = normal(key, shape, dtype)
        return jnp.concatenate([numbers[None], -numbers[None]])

    def part(sign: Array) -> Array:
        return sign * _normal(_words(key, lax.iota(np.uint32, count)), dtype)

    parts = _each(part, jnp.asarray([1.0, -1.0], dtype))
    return parts.reshape(2, *shape)


def uniform(key: Array, dtype: DTypeLike) -> Array:
    """One number as of `jax.random.uniform`: from 0 to below 1."""
    if not _is_ours(key, dtype):
        return jax.random.uniform(key, (), dtype)
    return _uniform(_words(key, jnp.zeros((), jnp.uint32)), dtype, 0.0, 1.0)


def split(key: Array, count: int) -> Array:
    """As `jax.random.split`."""
    if not _is_ours(key, jnp.float32):
        return jax.random.split(key, count)
    return _keys(jnp.stack(_words(key, lax.iota(np.uint32, count)), axis=-1))


def fold_in(key: Array, number: ArrayLike) -> Array:
    """As `jax.random.fold_in`, for one number."""
    if not _is_ours(key, jnp.float32):
        return jax.random.fold_in(key, number)
    return _keys(jnp.stack(_words(key, jnp.asarray(number, jnp.uint32))))


def is_default() -> bool:
    """Whether the keys that jax makes now are those of the functions below."""
    config: Any = jax.config
    return config.jax_default_prng_impl == "threefry2x32" and config.jax_threefry_partitionable


def seeded(seed: int) -> Words:
    """The words of `jax.random.key`, of a seed of 32 bits."""
    return np.asarray([0, seed], np.uint32)


def folded(key: Words, number: int) -> Words:
    """As `fold_in`."""
    return parted(key, 1, number)[0]


def parted(key: Words, count: int, first: int = 0) -> Words:
    """As `split`, (count, 2); from the place `first` of the key's stream."""
    place = np.arange(first, first + count, dtype=np.uint32)
    return np.stack(_rounds(ON_HOST, (key[0], key[1]), np.zeros_like(place), place), axis=-1)


def _is_ours(key: Array, dtype: DTypeLike) -> bool:
    """Whether numbers are drawn here."""
    config: Any = jax.config
    return (
        jax.default_backend() == "cpu"
        and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        and jax.random.key_impl(key) == "threefry2x32"
        and key.shape == ()
        and jnp.finfo(dtype).bits in (32, 64)
        and config.jax_threefry_partitionable
    )


def _keys(data: Array) -> Array:
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def _each(f: Callable[[Any], Any], parts: Any) -> Any:
    """`f` of each of `parts`, in a loop."""
    return lax.scan(lambda _, part: (None, f(part)), None, parts)[1]


def _normal(words: tuple[Array, Array], dtype: DTypeLike) -> Array:
    low = jnp.nextafter(jnp.asarray(-1.0, dtype), jnp.asarray(0.0, dtype))
    return jnp.asarray(math.sqrt(2.0), dtype) * lax.erf_inv(_uniform(words, dtype, low, 1.0))


def _uniform(words: tuple[Array, Array], dtype: DTypeLike, low: ArrayLike, high: ArrayLike) -> Array:
    """The numbers that words make."""
    digits_of, one = jnp.finfo(dtype), np.asarray(1.0, dtype)
    first, second = words
    # The digits of a number in [1, 2), whose exponent is that of 1.
    if digits_of.bits == 32:
        digits = ((first ^ second) >> np.uint32(32 - digits_of.nmant)) | one.view(np.uint32)
    else:
        both = first.astype(jnp.uint64) << np.uint64(32) | second.astype(jnp.uint64)
        digits = (both >> np.uint64(64 - digits_of.nmant)) | one.view(np.uint64)
    unit = lax.bitcast_convert_type(digits, dtype) - one
    low, high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    return lax.max(low, unit * (high - low) + low)


def _words(key: Array, place: Array) -> tuple[Array, Array]:
    """The two words at each place of the stream of a key."""
    return _traced_rounds(jax.random.key_data(key), place)


@jax.jit  # traced once for each shape, not at every use
def _traced_rounds(key: Array, place: Array) -> tuple[Array, Array]:
    return _rounds(TRACED, (key[0], key[1]), lax.full_like(place, 0), place)


class Operations(NamedTuple):
    """What the rounds are made of."""

    add: Callable[..., Any]
    xor: Callable[..., Any]
    either: Callable[..., Any]
    left: Callable[..., Any]
    right: Callable[..., Any]


ON_HOST = Operations(np.add, np.bitwise_xor, np.bitwise_or, np.left_shift, np.right_shift)
# Not those of jax.numpy, which take several times as long to trace.
TRACED = Operations(lax.add, lax.bitwise_xor, lax.bitwise_or, lax.shift_left, lax.shift_right_logical)


def _rounds(do: Operations, key: tuple[Any, Any], first: Any, second: Any) -> tuple[Any, Any]:
    """20 rounds, with the counters (`first`, `second`), arrays of equal shape."""
    schedule = (*key, do.xor(do.xor(*key), PARITY))
    first, second = do.add(first, schedule[0]), do.add(second, schedule[1])
    for group in range(5):
        for by in ROTATIONS[group % 2]:
            first = do.add(first, second)
            second = do.either(do.left(second, np.uint32(by)), do.right(second, np.uint32(32 - by)))
            second = do.xor(second, first)
        first = do.add(first, schedule[(group + 1) % 3])
        second = do.add(do.add(second, schedule[(group + 2) % 3]), np.uint32(group + 1))
    return first, second
