# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""The mathematical functions of the language in jax, under the language's own names (used as ``fn.log``, ``fn.min``).

Every function accepts Python numbers, numpy and jax arrays, and follows jax's promotion: float32 stays float32,
Python numbers do not widen. The jumping functions (`floor`, `ceil`, `round`, `sign`, `step`) return ints, so no
gradient passes through them. Derivatives are infinite only where the function's own are: `sqrt` and `pow` with
exponent below 1 at 0, `asin`, `acos`, `acosh` and the logarithms at the end of their domain.

`masked` and `divide` evaluate a function on operands that are made harmless where a mask is false: a branch that
is not taken must not put NaN or infinity into the gradient of the one that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jax import Array, lax, nn
from jax.scipy import special
from jax.scipy.linalg import solve_triangular
from jax.typing import ArrayLike

from ppl.runtime.elements import element as element  # emitted modules call them here
from ppl.runtime.elements import shift as shift
from ppl.runtime.running import running_sum

_STIRLING_FROM = 10.0  # above this the five terms of the series below are exact to about 2e-14
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def real(x: ArrayLike) -> Array:
    """`x` as a floating array; Python numbers and ints stay weakly typed, so they adopt the other operand's dtype."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array * 1.0


# Exponentials and logarithms.


def exp(x: ArrayLike) -> Array:
    return jnp.exp(real(x))


def expm1(x: ArrayLike) -> Array:
    return jnp.expm1(real(x))


def log(x: ArrayLike) -> Array:
    return jnp.log(real(x))


def log2(x: ArrayLike) -> Array:
    return jnp.log2(real(x))


def log10(x: ArrayLike) -> Array:
    return jnp.log10(real(x))


def log1p(x: ArrayLike) -> Array:
    return jnp.log1p(real(x))


def log1m(x: ArrayLike) -> Array:
    """``log(1 - x)``."""
    return jnp.log1p(-real(x))


def log1p_exp(x: ArrayLike) -> Array:
    """``log(1 + exp(x))`` without overflow."""
    return jnp.logaddexp(real(x), 0.0)


def log1m_exp(x: ArrayLike) -> Array:
    """``log(1 - exp(x))`` for x < 0, accurate at both ends (Maechler 2012: switch formulas at -log 2)."""
    x = real(x)
    near = x > -math.log(2.0)
    small = jnp.log(-jnp.expm1(jnp.where(near, x, -0.5)))
    large = jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x)))
    return jnp.where(near, small, large)


def log_sum_exp(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    """One argument: over all elements of an array. Two: elementwise ``log(exp(x) + exp(y))``."""
    if y is None:
        return special.logsumexp(real(x))
    return jnp.logaddexp(real(x), real(y))


def log_diff_exp(x: ArrayLike, y: ArrayLike) -> Array:
    """``log(exp(x) - exp(y))`` for x > y."""
    x = real(x)
    return x + log1m_exp(real(y) - x)


def inv_logit(x: ArrayLike) -> Array:
    return nn.sigmoid(real(x))


def log_inv_logit(x: ArrayLike) -> Array:
    return -log1p_exp(-real(x))


def logit(x: ArrayLike) -> Array:
    x = real(x)
    return jnp.log(x) - jnp.log1p(-x)


def Phi(x: ArrayLike) -> Array:
    """The standard normal distribution function."""
    return special.ndtr(real(x))


def inv_Phi(x: ArrayLike) -> Array:
    return special.ndtri(real(x))


def erf(x: ArrayLike) -> Array:
    return special.erf(real(x))


def erfc(x: ArrayLike) -> Array:
    return special.erfc(real(x))


# Beside poles.


def beside(x: ArrayLike, above: ArrayLike) -> Array:
    """`x`, which is positive where `above`; elsewhere its mirror image, so that what a pole at zero makes of it goes
    towards the limit on the other side."""
    x, above = real(x), jnp.asarray(above)
    near = jnp.maximum(jnp.abs(x), 1e-150 if _double(x) else 1e-18)  # whose inverse has a square
    return jnp.where((x > 0) == above, x, jnp.where(above, near, -near))


def within(x: ArrayLike, lo: ArrayLike, hi: ArrayLike) -> Array:
    """`x`, which lies between the poles `lo` and `hi`; elsewhere its mirror image in the nearer of them."""
    x, lo, hi = real(x), real(lo), real(hi)
    inside = jnp.where(x < lo, 2 * lo - x, jnp.where(x > hi, 2 * hi - x, x))
    step = 1e-15 if _double(x) else 5e-7  # the poles themselves are rounded
    return jnp.clip(inside, lo + step * jnp.maximum(1.0, jnp.abs(lo)), hi - step * jnp.maximum(1.0, jnp.abs(hi)))


def over_zero(x: ArrayLike) -> Array:
    """``x / 0``, in which nothing moves."""
    return lax.stop_gradient(real(x)) / jnp.zeros((), real(x).dtype)


def _double(x: Array) -> bool:
    return x.dtype.itemsize == 8


# Trigonometric and hyperbolic functions.


def sin(x: ArrayLike) -> Array:
    return jnp.sin(real(x))


def cos(x: ArrayLike) -> Array:
    return jnp.cos(real(x))


def tan(x: ArrayLike) -> Array:
    return jnp.tan(real(x))


def asin(x: ArrayLike) -> Array:
    return jnp.arcsin(real(x))


def acos(x: ArrayLike) -> Array:
    return jnp.arccos(real(x))


def atan(x: ArrayLike) -> Array:
    return jnp.arctan(real(x))


def atan2(y: ArrayLike, x: ArrayLike) -> Array:
    return jnp.arctan2(real(y), real(x))


def sinh(x: ArrayLike) -> Array:
    return jnp.sinh(real(x))


def cosh(x: ArrayLike) -> Array:
    return jnp.cosh(real(x))


def tanh(x: ArrayLike) -> Array:
    return jnp.tanh(real(x))


def asinh(x: ArrayLike) -> Array:
    return jnp.arcsinh(real(x))


def acosh(x: ArrayLike) -> Array:
    return jnp.arccosh(real(x))


def atanh(x: ArrayLike) -> Array:
    return jnp.arctanh(real(x))


# Powers.


def sqrt(x: ArrayLike) -> Array:
    return jnp.sqrt(real(x))


def square(x: ArrayLike) -> Array:
    return jnp.square(real(x))


def inv(x: ArrayLike) -> Array:
    return 1.0 / real(x)


def pow(x: ArrayLike, y: ArrayLike) -> Array:
    """``x ^ y``, always real. A Python exponent with an integer value, or an int array, works at x <= 0 as well."""
    if isinstance(y, int | float) and float(y).is_integer() and -(2**31) <= y < 2**31:
        return lax.integer_pow(real(x), int(y))
    exponent = jnp.asarray(y)
    return jnp.power(real(x), exponent if jnp.issubdtype(exponent.dtype, jnp.integer) else real(exponent))


def hypot(x: ArrayLike, y: ArrayLike) -> Array:
    """``sqrt(x^2 + y^2)`` without overflow; its gradient at the origin is taken as 0."""
    x, y = jnp.broadcast_arrays(real(x), real(y))
    origin = (x == 0) & (y == 0)
    scale = lax.stop_gradient(jnp.where(origin, 1.0, jnp.maximum(jnp.abs(x), jnp.abs(y))))
    length = scale * jnp.sqrt(jnp.where(origin, 1.0, jnp.square(x / scale) + jnp.square(y / scale)))
    return jnp.where(origin, 0.0, length)


# Gamma functions.


def lgamma(x: ArrayLike) -> Array:
    return special.gammaln(real(x))


def digamma(x: ArrayLike) -> Array:
    return special.digamma(real(x))


def stirling_error(x: ArrayLike) -> Array:
    """``lgamma(x + 1) - (x log(x) - x)`` for x >= 0, without the cancellation of its parts at large x.

    Stirling's series above 10, the definition below; 0 at x = 0. What is left of a log factorial once its large terms
    are paired with those of a density (Loader 2000, "Fast and accurate computation of binomial probabilities").
    """
    x = real(x)
    large = x >= _STIRLING_FROM
    small = jnp.where(large | (x == 0), 1.0, x)
    direct = special.gammaln(small + 1.0) - small * jnp.log(small) + small
    big = jnp.where(large, x, _STIRLING_FROM)
    r = 1.0 / jnp.square(big)
    terms = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / big
    return jnp.where(large, _HALF_LOG_2PI + 0.5 * jnp.log(big) + terms, jnp.where(x == 0, 0.0, direct))


def lbeta(a: ArrayLike, b: ArrayLike) -> Array:
    """``lgamma(a) + lgamma(b) - lgamma(a + b)`` for positive a, b, accurate for large and for unequal arguments."""
    a, b = real(a), real(b)
    total = a + b
    gap = stirling_error(a) + stirling_error(b) - stirling_error(total) - jnp.log(a) - jnp.log(b) + jnp.log(total)
    return gap - a * jnp.log1p(b / a) - b * jnp.log1p(a / b)


def lchoose(n: ArrayLike, k: ArrayLike) -> Array:
    """``lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)``, accurate where 0 <= k <= n."""
    n, k = real(n), real(k)
    inside = (k > 0) & (k < n)
    edge = (k == 0) | (k == n)
    big, part = jnp.where(inside, n, 2.0), jnp.where(inside, k, 1.0)
    rest = big - part
    value = stirling_error(big) - stirling_error(part) - stirling_error(rest)
    value = value + part * jnp.log1p(rest / part) + rest * jnp.log1p(part / rest)
    ordinary = inside | edge
    n, k = jnp.where(ordinary, 1.0, n), jnp.where(ordinary, 0.0, k)
    other = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return jnp.where(inside, value, jnp.where(edge, 0.0, other))


# Kinks and jumps.


# Each is a choice, so that what is not chosen has the derivative 0, and not 0 times infinity where the function
# around has an infinite slope: ``sqrt(max(1 - x * x, 0))``.


def abs(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    return jnp.where(x <= 0, 0 - x, x)


def relu(x: ArrayLike) -> Array:
    return jnp.where(jnp.asarray(x) <= 0, 0, x)


def min(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    """One argument: the smallest element of an array. Two: elementwise. NaN if one is."""
    if y is None:
        return _extreme(jnp.argmin, x)
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.where((x < y) | (x != x), x, y)


def max(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    """One argument: the largest element of an array. Two: elementwise. NaN if one is."""
    if y is None:
        return _extreme(jnp.argmax, x)
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.where((x > y) | (x != x), x, y)


def _extreme(place: Callable[[Array], Array], x: ArrayLike) -> Array:
    """Of an array without elements 0: it is traced where a condition on its size keeps it from being used."""
    elements = jnp.ravel(jnp.asarray(x))
    if not elements.size:
        return jnp.zeros((), elements.dtype)
    chosen = jnp.arange(elements.size) == place(elements)
    return jnp.sum(jnp.where(chosen, elements, 0), dtype=elements.dtype)


def clamp(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """`x` cut to [low, high]."""
    return min(max(x, low), high)


def _integer(x: Array) -> Array:
    return x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(int)


def floor(x: ArrayLike) -> Array:
    return _integer(jnp.floor(x))


def ceil(x: ArrayLike) -> Array:
    return _integer(jnp.ceil(x))


def round(x: ArrayLike) -> Array:
    """To the nearest int, ties to the even one (as Python and IEEE 754 do)."""
    return _integer(jnp.round(jnp.asarray(x)))


def sign(x: ArrayLike) -> Array:
    """-1, 0 or 1."""
    return _integer(jnp.sign(x))


def step(x: ArrayLike) -> Array:
    """1 where x > 0, else 0."""
    return (jnp.asarray(x) > 0).astype(int)


# Arrays.


def sum(x: ArrayLike) -> Array:
    return jnp.sum(jnp.asarray(x))


def prod(x: ArrayLike) -> Array:
    """The product of all elements; its gradient is right where elements are 0."""
    return jnp.prod(jnp.asarray(x))


def mean(x: ArrayLike) -> Array:
    return jnp.mean(real(x)) if jnp.size(x) else jnp.zeros((), real(x).dtype)


def length(x: ArrayLike) -> int:
    """The size of the first dimension, static."""
    return jnp.shape(x)[0]


def cumsum(x: ArrayLike) -> Array:
    """Running sums along the first dimension."""
    return running_sum(jnp.asarray(x))


def dot(x: ArrayLike, y: ArrayLike) -> Array:
    return jnp.dot(x, y)


# Linear algebra. A matrix that has no Cholesky factor, inverse or solution gives NaN or infinities.


def matmul(a: ArrayLike, b: ArrayLike) -> Array:
    """The product of two matrices, of a matrix and a vector, or of a vector and a matrix."""
    return jnp.matmul(real(a), real(b))


def outer(u: ArrayLike, v: ArrayLike) -> Array:
    return jnp.outer(real(u), real(v))


def transpose(a: ArrayLike) -> Array:
    return real(a).T


def diag(v: ArrayLike) -> Array:
    """The matrix with this diagonal and zeros elsewhere."""
    return jnp.diag(real(v))


def diagonal(a: ArrayLike) -> Array:
    return jnp.diagonal(real(a))


def cholesky(a: ArrayLike) -> Array:
    """The lower triangular L with ``L L' = a``, of which the lower half is read."""
    return jnp.linalg.cholesky(real(a), symmetrize_input=False)


def solve(a: ArrayLike, b: ArrayLike) -> Array:
    """The x with ``a x = b``, for a vector b or for every column of a matrix."""
    return jnp.linalg.solve(real(a), real(b))


def solve_lower(a: ArrayLike, b: ArrayLike) -> Array:
    """The x with ``a x = b`` for a lower triangular a, whose upper half is not read."""
    return solve_triangular(real(a), real(b), lower=True)


def inverse(a: ArrayLike) -> Array:
    return jnp.linalg.inv(real(a))


def log_det(a: ArrayLike) -> Array:
    """The logarithm of the absolute value of the determinant."""
    return jnp.linalg.slogdet(real(a))[1]


# Masked evaluation.

# Functions of a matrix that may not exist or overflow: where they are masked, of the identity.
OF_MATRIX = ("cholesky", "solve", "solve_lower", "inverse", "log_det")

# Operands at which a function and its gradient are finite, for all that are singular somewhere or can overflow.
SAFE: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "exp": (0.0,),
        "expm1": (0.0,),
        "sinh": (0.0,),
        "cosh": (0.0,),
        "square": (0.0,),
        "log": (1.0,),
        "log2": (1.0,),
        "log10": (1.0,),
        "log1p": (0.0,),
        "log1m": (0.0,),
        "log1m_exp": (-1.0,),
        "logit": (0.5,),
        "inv_Phi": (0.5,),
        "asin": (0.0,),
        "acos": (0.0,),
        "tan": (0.0,),
        "acosh": (2.0,),
        "atanh": (0.0,),
        "sqrt": (1.0,),
        "inv": (1.0,),
        "lgamma": (1.0,),
        "digamma": (1.0,),
        "pow": (1.0, 1.0),
        "atan2": (0.0, 1.0),
        "hypot": (1.0, 1.0),
        "log_sum_exp": (0.0, 0.0),
        "log_diff_exp": (1.0, 0.0),
        "lbeta": (1.0, 1.0),
        "lchoose": (2.0, 1.0),
        "prod": (1.0,),
        "dot": (0.0, 0.0),
    }
)


# The domains of functions that are finite at its ends, in their first operand.
DOMAIN: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "sqrt": (0.0, math.inf),
        "asin": (-1.0, 1.0),
        "acos": (-1.0, 1.0),
        "acosh": (1.0, math.inf),
        "pow": (0.0, math.inf),
    }
)


def masked(mask: ArrayLike, function: str, *operands: ArrayLike, on_boundary: bool = False) -> Array:
    """`function` of `operands` where `mask` holds, of the operands in `SAFE` (broadcast) elsewhere.

    The caller discards the other elements (``where(mask, ..., ...)``); they are finite, and so is their gradient. A
    function that is not in `SAFE` is harmless at any finite operand and is applied as it is. A Python exponent of
    `pow` stays: integer powers need it static, and a base of 1 is safe with any. `on_boundary`: the operands are those
    on the boundary of a branch, up to rounding, which may have put them outside of the function's domain: they are
    taken for the nearest point of it.
    """
    if on_boundary:
        x, *others = operands
        inside = jnp.clip(real(x), *DOMAIN[function])
        whole = jnp.floor(others[0]) == others[0] if function == "pow" else False  # powers of any number
        operands = (jnp.where(whole, real(x), inside), *others)
    call: Callable[..., Array] = globals()[function]
    if function in OF_MATRIX:
        a, *others = (real(x) for x in operands)
        return call(jnp.where(mask, a, jnp.eye(a.shape[0])), *(jnp.where(mask, x, 0.0) for x in others))
    if function not in SAFE:
        return call(*operands)
    if function == "pow" and isinstance(operands[1], int | float):
        return pow(jnp.where(mask, real(operands[0]), 1.0), operands[1])
    safe = SAFE[function][: len(operands)]
    return call(*(jnp.where(mask, real(x), s) for x, s in zip(operands, safe, strict=True)))


def in_support(x: ArrayLike, lo: ArrayLike | None, hi: ArrayLike | None, *, on_boundary: bool) -> ArrayLike:
    """`x` or, of values on a boundary, the nearest point of the support [lo, hi], which rounding may have put them out
    of. The shape is that of `x`."""
    return jnp.clip(real(x), lo, hi) if on_boundary else x


def divide(mask: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    """``a / b`` where `mask` holds, 0 elsewhere; what `a` and `b` hold elsewhere has no effect on any gradient."""
    return jnp.where(mask, real(a), 0.0) / jnp.where(mask, real(b), 1.0)
