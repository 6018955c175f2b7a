# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
"""Bounds of a function along a line over whole cells, by interval arithmetic on what jax traces of it.

They prove where it has no zero, is monotone or turns once at most, up to rounding. What there is no rule for (loops,
special functions) and what is not defined all over a cell has infinite bounds, which prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Literal

Along = Callable[[Array], Array]


class Span(NamedTuple):
    """Arrays between `lo` and `hi`; of bools, true where certain and where possible. `jumps`: whether they may."""

    lo: Array
    hi: Array
    jumps: Array


class Enclosure(NamedTuple):
    """What a function, its slope and its second derivative lie between in a cell."""

    value: Span
    slope: Span
    bend: Span


def enclose(f: Along, a: Array, b: Array) -> Enclosure:
    """Of a scalar function over ``[a, b]``, also scalars."""

    def slope(s: Array) -> tuple[Array, Array]:
        return jax.jvp(f, (s,), (jnp.ones_like(s),))

    def bend(s: Array) -> tuple[Array, Array, Array]:
        (value, first), (_, second) = jax.jvp(slope, (s,), (jnp.ones_like(s),))
        return value, first, second

    traced = jax.make_jaxpr(bend)(a)
    value, first, second = (_span(x) for x in _evaluate(traced, [Span(a, b, jnp.zeros((), bool))]))
    # A difference tells nothing of a derivative where there is a jump between.
    return Enclosure(value, _unless(value.jumps, first), _unless(first.jumps | value.jumps, second))


def between(start: Array, end: Array, width: Array, slope: Span) -> tuple[Array, Array]:
    """What a function lies between from its values at both ends of a cell and the bounds of its slope there."""
    room = jnp.where(slope.hi > slope.lo, slope.hi - slope.lo, 1.0)
    to_lowest = (slope.hi * width - (end - start)) / room
    to_highest = ((end - start) - slope.lo * width) / room
    lo = jnp.minimum(jnp.minimum(start, end), start + slope.lo * to_lowest)
    hi = jnp.maximum(jnp.maximum(start, end), start + slope.hi * to_highest)
    return jnp.where(jnp.isnan(lo), -jnp.inf, lo), jnp.where(jnp.isnan(hi), jnp.inf, hi)


# ------------------------------------------------------------------------ the interpreter

Value = Any  # an array that is the same all over the cell, or a Span


def _evaluate(closed: ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
    jaxpr = closed.jaxpr
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(x: Any) -> Value:
        return x.val if isinstance(x, Literal) else known[x]

    for e in jaxpr.eqns:
        operands = [read(x) for x in e.invars]
        if not any(isinstance(x, Span) for x in operands):
            results = _apply(e, operands)
        elif e.primitive.name == "mul" and e.invars[0] is e.invars[1]:
            results = [_even(lambda x: x * x, operands[0])]
        else:
            results = _rule(e)(e, operands)
        known.update(zip(e.outvars, results, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _apply(e: Any, operands: Sequence[Array]) -> list[Array]:
    out = e.primitive.bind(*operands, **e.primitive.get_bind_params(e.params))
    return list(out) if e.primitive.multiple_results else [out]


def _rule(e: Any) -> Callable[[Any, list[Value]], list[Value]]:
    name = e.primitive.name
    if name in RULES:
        return RULES[name]
    if name in RISING:
        return _rising
    if name in PLACED:
        return _placed
    return _inside if name in INLINE or "call_jaxpr" in e.params else _unknown


def _span(x: Value) -> Span:
    if isinstance(x, Span):
        return x
    return Span(jnp.asarray(x), jnp.asarray(x), jnp.zeros((), bool))


def _jumps(operands: Sequence[Value]) -> Array:
    out = jnp.zeros((), bool)
    for x in operands:
        out = out | x.jumps if isinstance(x, Span) else out
    return out


def _bounds(lo: Array, hi: Array, jumps: Array) -> Span:
    """Bounds that are not numbers are infinite: the function is not defined all over the cell."""
    if not jnp.issubdtype(lo.dtype, jnp.floating):
        return Span(lo, hi, jumps)
    undefined = jnp.isnan(lo) | jnp.isnan(hi)
    lo, hi = jnp.where(undefined, -jnp.inf, lo), jnp.where(undefined, jnp.inf, hi)
    return Span(lo, hi, jumps | jnp.any(undefined))


def _unless(jumps: Array, x: Span) -> Span:
    return Span(jnp.where(jumps, -jnp.inf, x.lo), jnp.where(jumps, jnp.inf, x.hi), x.jumps)


# ------------------------------------------------------------------------------- rules

# Functions that rise in every operand, those too that only move elements.
RISING = frozenset((
    "add", "add_any", "max", "min", "clamp", "exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sqrt", "cbrt",
    "sinh", "asinh", "acosh", "atanh", "asin", "atan", "erf", "erf_inv", "reduce_sum", "reduce_max", "reduce_min",
    "cumsum", "cummax", "cummin", "and", "or", "reduce_and", "reduce_or", "concatenate", "stack", "pad", "reshape",
    "broadcast_in_dim", "squeeze", "expand_dims", "transpose", "rev", "slice", "copy", "copy_p", "stop_gradient",
    "reduce_precision", "optimization_barrier", "split", "unstack",
))  # fmt: skip
# Of which the operands but some move elements: the positions of those that do not.
PLACED = {"element": (0,), "dynamic_slice": (0,), "gather": (0,), "dynamic_update_slice": (0, 1), "scatter": (0, 2),
          "scatter-add": (0, 2)}  # fmt: skip
INLINE = frozenset({"pjit", "jit", "closed_call", "remat", "checkpoint"})


def _rising(e: Any, operands: list[Value]) -> list[Value]:
    lo = _apply(e, [x.lo if isinstance(x, Span) else x for x in operands])
    hi = _apply(e, [x.hi if isinstance(x, Span) else x for x in operands])
    jumps = _jumps(operands)
    return [_bounds(*ends, jumps) for ends in zip(lo, hi, strict=True)]


def _falling(e: Any, operands: list[Value]) -> list[Value]:
    (x,) = operands
    return [_bounds(_apply(e, [x.hi])[0], _apply(e, [x.lo])[0], x.jumps)]


def _stepping(e: Any, operands: list[Value]) -> list[Value]:
    """Of a function that rises in steps."""
    (out,) = _rising(e, operands)
    return [out._replace(jumps=out.jumps | jnp.any(out.lo != out.hi))]


def _converted(e: Any, operands: list[Value]) -> list[Value]:
    smooth = all(jnp.issubdtype(t, jnp.floating) for t in (operands[0].lo.dtype, e.params["new_dtype"]))
    return (_rising if smooth else _stepping)(e, operands)


def _placed(e: Any, operands: list[Value]) -> list[Value]:
    moving = PLACED[e.primitive.name]
    fixed = not any(isinstance(x, Span) for k, x in enumerate(operands) if k not in moving)
    return _rising(e, operands) if fixed else _unknown(e, operands)


def _inside(e: Any, operands: list[Value]) -> list[Value]:
    inner = e.params.get("jaxpr", e.params.get("call_jaxpr"))
    return _evaluate(inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ()), operands)


def _unknown(e: Any, operands: list[Value]) -> list[Value]:
    return [_anything(x.aval) for x in e.outvars]


def _anything(aval: Any) -> Span:
    kind = aval.dtype
    if jnp.issubdtype(kind, jnp.floating):
        ends: tuple[Any, Any] = (-jnp.inf, jnp.inf)
    elif kind == jnp.dtype(bool):
        ends = (False, True)
    elif jnp.issubdtype(kind, jnp.integer):
        ends = (jnp.iinfo(kind).min, jnp.iinfo(kind).max)
    else:  # no number, and none is made of it by a rule
        return Span(jnp.zeros((), bool), jnp.ones((), bool), jnp.ones((), bool))
    lo, hi = (jnp.full(aval.shape, x, kind) for x in ends)
    return Span(lo, hi, jnp.ones((), bool))


def _sub(e: Any, operands: list[Value]) -> list[Value]:
    x, y = (_span(v) for v in operands)
    return [_bounds(x.lo - y.hi, x.hi - y.lo, x.jumps | y.jumps)]


def _corners(ends: Sequence[Array], jumps: Array) -> Span:
    lo, hi = ends[0], ends[0]
    for x in ends[1:]:
        lo, hi = jnp.minimum(lo, x), jnp.maximum(hi, x)
    return _bounds(lo, hi, jumps)


def _times(x: Value, y: Value) -> Span:
    jumps = _jumps([x, y])
    xs, ys = ((v.lo, v.hi) if isinstance(v, Span) else (v,) for v in (x, y))
    products = [a * b for a in xs for b in ys]  # an end that is 0 times one that is infinite: of finite values, 0
    return _corners([jnp.where(jnp.isnan(p), 0.0, p).astype(p.dtype) for p in products], jumps)


def _mul(e: Any, operands: list[Value]) -> list[Value]:
    return [_times(*operands)]


def _inverse(y: Span) -> Span:
    """Infinite where zero is inside, or at that end."""
    inner = (y.lo < 0) & (y.hi > 0)
    lo = jnp.where(inner | (y.hi == 0), -jnp.inf, 1 / jnp.where(y.hi == 0, 1.0, y.hi))
    hi = jnp.where(inner | (y.lo == 0), jnp.inf, 1 / jnp.where(y.lo == 0, 1.0, y.lo))
    lo = jnp.where((y.lo == 0) & (y.hi == 0), -jnp.inf, lo)
    return Span(lo, hi, y.jumps | jnp.any((y.lo <= 0) & (y.hi >= 0)))


def _div(e: Any, operands: list[Value]) -> list[Value]:
    x, y = operands
    if isinstance(y, Span):
        return [_times(x, _inverse(y))]
    ends = x.lo / y, x.hi / y
    return [_corners(ends, x.jumps)]


def _even(f: Callable[[Array], Array], x: Span) -> Span:
    """Of a function that falls up to zero and rises from there."""
    lo, hi = f(x.lo), f(x.hi)
    inner = (x.lo < 0) & (x.hi > 0)
    return _bounds(jnp.where(inner, jnp.zeros_like(lo), jnp.minimum(lo, hi)), jnp.maximum(lo, hi), x.jumps)


def _abs(e: Any, operands: list[Value]) -> list[Value]:
    return [_even(jnp.abs, operands[0])]


def _square(e: Any, operands: list[Value]) -> list[Value]:
    return [_even(jnp.square, operands[0])]


def _integer_pow(e: Any, operands: list[Value]) -> list[Value]:
    (x,), n = operands, e.params["y"]
    power = partial(lax.integer_pow, y=abs(n))
    out = _even(power, x) if n % 2 == 0 else _bounds(power(x.lo), power(x.hi), x.jumps)
    return [_inverse(out) if n < 0 else out]


def _pow(e: Any, operands: list[Value]) -> list[Value]:
    x, y = (_span(v) for v in operands)
    if not jnp.issubdtype(y.lo.dtype, jnp.floating):
        return _unknown(e, operands)
    out = _corners([a**b for a in (x.lo, x.hi) for b in (y.lo, y.hi)], x.jumps | y.jumps)
    positive = (x.lo > 0) | ((x.lo == 0) & (y.lo > 0))
    outside = jnp.any(~positive)
    return [Span(jnp.where(positive, out.lo, -jnp.inf), jnp.where(positive, out.hi, jnp.inf), out.jumps | outside)]


def _cosh(e: Any, operands: list[Value]) -> list[Value]:
    (out,) = [_even(jnp.cosh, operands[0])]
    return [out._replace(lo=jnp.maximum(out.lo, 1.0))]


def _wave(f: Callable[[Array], Array], top: float) -> Callable[[Any, list[Value]], list[Value]]:
    """Of a sine with a crest at `top`."""

    def reaches(x: Span, place: float) -> Array:
        turns = jnp.ceil((x.lo - place) / (2 * math.pi))
        return turns * (2 * math.pi) + place <= x.hi

    def rule(e: Any, operands: list[Value]) -> list[Value]:
        (x,) = operands
        lo, hi = f(x.lo), f(x.hi)
        lo, hi = (
            jnp.where(reaches(x, top + math.pi), -1.0, jnp.minimum(lo, hi)),
            jnp.where(reaches(x, top), 1.0, jnp.maximum(lo, hi)),
        )
        endless = ~(jnp.isfinite(x.lo) & jnp.isfinite(x.hi))
        return [Span(jnp.where(endless, -1.0, lo), jnp.where(endless, 1.0, hi), x.jumps)]

    return rule


def _tan(e: Any, operands: list[Value]) -> list[Value]:
    (x,) = operands
    pole = jnp.floor(x.lo / math.pi + 0.5) != jnp.floor(x.hi / math.pi + 0.5)
    lo, hi = jnp.where(pole, -jnp.inf, jnp.tan(x.lo)), jnp.where(pole, jnp.inf, jnp.tan(x.hi))
    return [_bounds(lo, hi, x.jumps | jnp.any(pole))]


def _atan2(e: Any, operands: list[Value]) -> list[Value]:
    y, x = (_span(v) for v in operands)
    out = _corners([jnp.arctan2(a, b) for a in (y.lo, y.hi) for b in (x.lo, x.hi)], x.jumps | y.jumps)
    clear = (x.lo > 0) | (y.lo > 0) | (y.hi < 0)
    lo, hi = jnp.where(clear, out.lo, -math.pi), jnp.where(clear, out.hi, math.pi)
    return [Span(lo, hi, out.jumps | jnp.any(~clear))]


def _dot(e: Any, operands: list[Value]) -> list[Value]:
    x, y = (_span(v) for v in operands)
    (cx, rx), (cy, ry) = (((v.lo + v.hi) / 2, (v.hi - v.lo) / 2) for v in (x, y))
    middle = _apply(e, [cx, cy])[0]
    radius = _apply(e, [jnp.abs(cx), ry])[0] + _apply(e, [rx, jnp.abs(cy) + ry])[0]
    return [_bounds(middle - radius, middle + radius, x.jumps | y.jumps)]


Comparison = Callable[[Span, Span], tuple[Array, Array]]  # whether it certainly holds, and possibly
COMPARISONS: Mapping[str, Comparison] = {
    "lt": lambda x, y: (x.hi < y.lo, x.lo < y.hi),
    "le": lambda x, y: (x.hi <= y.lo, x.lo <= y.hi),
    "gt": lambda x, y: (x.lo > y.hi, x.hi > y.lo),
    "ge": lambda x, y: (x.lo >= y.hi, x.hi >= y.lo),
    "eq": lambda x, y: ((x.lo == y.hi) & (x.hi == y.lo), (x.lo <= y.hi) & (y.lo <= x.hi)),
    "ne": lambda x, y: ((x.hi < y.lo) | (y.hi < x.lo), (x.lo != y.hi) | (x.hi != y.lo)),
}


def _compared(e: Any, operands: list[Value]) -> list[Value]:
    if e.invars[0] is e.invars[1]:  # a test for NaN
        same = jnp.full(operands[0].lo.shape, e.primitive.name in ("le", "ge", "eq"))
        return [Span(same, same, operands[0].jumps)]
    x, y = (_span(v) for v in operands)
    return [Span(*COMPARISONS[e.primitive.name](x, y), x.jumps | y.jumps)]


def _is_finite(e: Any, operands: list[Value]) -> list[Value]:
    (x,) = operands
    return [Span(jnp.isfinite(x.lo) & jnp.isfinite(x.hi), jnp.ones_like(x.lo, bool), x.jumps)]


def _select(e: Any, operands: list[Value]) -> list[Value]:
    which, *cases = operands
    if not isinstance(which, Span):
        spans = [_span(c) for c in cases]
        lo, hi = (_apply(e, [which, *ends])[0] for ends in ([c.lo for c in spans], [c.hi for c in spans]))
        return [Span(lo, hi, _jumps(cases))]
    if which.lo.dtype != jnp.dtype(bool):
        return _unknown(e, operands)
    no, yes = (_span(c) for c in cases)
    less, more = (jnp.minimum, jnp.maximum) if no.lo.dtype != jnp.dtype(bool) else (jnp.logical_and, jnp.logical_or)

    def of(a: Array, b: Array, both: Array) -> Array:
        return jnp.where(which.lo, b, jnp.where(which.hi, both, a))

    lo, hi = of(no.lo, yes.lo, less(no.lo, yes.lo)), of(no.hi, yes.hi, more(no.hi, yes.hi))
    return [Span(lo, hi, no.jumps | yes.jumps | jnp.any(which.lo != which.hi))]


RULES: Mapping[str, Callable[[Any, list[Value]], list[Value]]] = {
    **dict.fromkeys(("neg", "not", "acos", "erfc", "rsqrt"), _falling),
    **dict.fromkeys(("floor", "ceil", "round", "sign"), _stepping),
    **dict.fromkeys(COMPARISONS, _compared),
    "convert_element_type": _converted,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "abs": _abs,
    "square": _square,
    "integer_pow": _integer_pow,
    "pow": _pow,
    "cosh": _cosh,
    "sin": _wave(jnp.sin, math.pi / 2),
    "cos": _wave(jnp.cos, 0.0),
    "tan": _tan,
    "atan2": _atan2,
    "dot_general": _dot,
    "is_finite": _is_finite,
    "select_n": _select,
}
