# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Standard normal draws behind an estimate. Each draw alone is exact whatever its kind; kinds differ in how the draws
of one key depend on each other, so all give unbiased averages, and errors have to be taken over keys.

antithetic   pairs ``e, -e``: what is odd in the noise cancels, and half of the random numbers are saved. Of an odd
             number of draws the last has no partner
independent  what the words say
qmc          the first points of a Sobol sequence (Joe & Kuo 2008), scrambled once (Burley, JCGT 9(4), 2020), with a
             random digital shift for each key: the draws of one key cover the space evenly
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike
from numpy.typing import NDArray

from ppl.runtime import threefry

NOISE = ("antithetic", "independent", "qmc")
Shapes = Mapping[str, tuple[int, ...]]

# The direction numbers of Joe and Kuo end here; coordinates beyond are drawn independently.
MOST_SOBOL = 21201


def normals(key: Array, n: int, shapes: Shapes, dtype: DTypeLike, how: str) -> dict[str, Array]:
    """`n` standard normal draws for every name, axis 0 the draws; one call of the generator for all names."""
    sizes = [math.prod(s) for s in shapes.values()]
    flat = _flat(key, n, sum(sizes), dtype, how)
    parts = jnp.split(flat, np.cumsum(sizes)[:-1].tolist(), axis=1) if sizes else []
    return {k: x.reshape((n, *shape)) for (k, shape), x in zip(shapes.items(), parts, strict=True)}


def shared(key: Array, dtype: DTypeLike) -> Array:
    """A uniform number strictly inside (0, 1), for all draws of a key."""
    cell = 0.5 * float(jnp.finfo(dtype).eps)
    return threefry.uniform(threefry.fold_in(key, 0x0FF5E7), dtype) + jnp.asarray(cell, dtype)


def _flat(key: Array, n: int, size: int, dtype: DTypeLike, how: str) -> Array:
    match how:
        case "antithetic":
            half = n - n // 2
            return threefry.mirrored(key, (half, size), dtype).reshape(2 * half, size)[:n]
        case "qmc":
            few = min(size, MOST_SOBOL)
            k_few, k_rest = threefry.split(key, 2)
            even = _normal(2.0 * _shifted(k_few, sobol(n, few), dtype) - 1.0)  # exact, as the digits end earlier
            if few == size:
                return even
            return jnp.concatenate([even, threefry.normal(k_rest, (n, size - few), dtype)], axis=1)
        case _:
            return threefry.normal(key, (n, size), dtype)


def _normal(u: Array) -> Array:
    """Standard normal draws from draws that are uniform on (-1, 1), by halves of axis 0.

    XLA computes cheap operations again for everything that reads them, and the end of this function is cheap; what is
    put together of two parts it computes once.
    """
    half = u.shape[0] - u.shape[0] // 2
    return jnp.concatenate([math.sqrt(2.0) * lax.erf_inv(x) for x in (u[:half], u[half:])])


def _shifted(key: Array, points: NDArray[np.uint32], dtype: DTypeLike) -> Array:
    """Uniform draws strictly inside (0, 1): the points, each digit of a coordinate flipped or not by the same coin.

    Numbers lie in the middle of cells so wide that neither the first nor the last rounds to 0 or 1.
    """
    size = points.shape[1]
    k_shift, k_low = threefry.split(key, 2)
    digits = jnp.asarray(points) ^ jax.random.bits(k_shift, (size,), jnp.uint32)
    if jnp.finfo(dtype).nmant < 52:
        kept = jnp.finfo(dtype).nmant
        return ((digits >> (32 - kept)).astype(dtype) + 0.5) * 2.0**-kept
    low = (jax.random.bits(k_low, (size,), jnp.uint32) >> 12).astype(dtype) + 0.5
    return (digits.astype(dtype) + low * 2.0**-20) * 2.0**-32


def sobol(n: int, size: int) -> NDArray[np.uint32]:
    """The first `n` points of a scrambled Sobol sequence as 32 binary digits, (n, size). Always the same ones."""
    from scipy.stats import qmc  # pyright: ignore[reportMissingTypeStubs]

    if size == 0:
        return np.zeros((n, 0), np.uint32)
    plain = qmc.Sobol(size, scramble=False, bits=32).random_base2(max(n - 1, 0).bit_length())[:n]
    digits = np.asarray(plain * 2.0**32, np.uint32)
    return _reversed(_permuted(_reversed(digits), np.random.default_rng(0).integers(2**32, size=size, dtype=np.uint32)))


def _permuted(x: NDArray[np.uint32], seed: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A random permutation of each digit that depends on the less significant ones (Laine & Karras 2011)."""
    x = x + seed[None]
    for factor in (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6):
        x = x ^ (x * np.uint32(factor))
    return x


def _reversed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The digits from the last to the first."""
    for width, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF), (16, 0x0000FFFF)):
        shift, kept = np.uint32(width), np.uint32(mask)
        x = ((x >> shift) & kept) | ((x & kept) << shift)
    return x
