"""Given arrays, of numpy or of a library that turns into it, measured against what is declared."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ppl.data.arithmetic import INT_MAX
from ppl.data.grid import Array, dtype_of
from ppl.data.misfit import (
    NO_MISSING,
    WORDS,
    Misfit,
    check_shape,
    describe,
    describe_type,
    inner,
    is_ndarray,
    kind_name,
)


def unwrap(value: object) -> object:
    """Arrays of other libraries as numpy arrays, numpy's scalars as Python's; anything else as it is."""
    if is_ndarray(value) and np.ma.is_masked(value):  # asarray would drop the mask
        where = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(value))[0])
        raise Misfit("PPL504", where, "masked", "a value", NO_MISSING)
    if isinstance(value, np.generic):
        return cast(object, value.item())
    if not hasattr(value, "__array__") or isinstance(value, type):
        return value
    try:
        array = np.asarray(cast(Any, value))
    except Exception as error:  # any library's array type may refuse, each in its own way
        raise Misfit(
            "PPL502", (), f"a {kind_name(value)} that does not turn into an array ({error})", "numbers"
        ) from None
    return cast(object, array if array.ndim else array.item())


def from_array(array: Array, base: str, dims: tuple[int | None, ...]) -> Array:
    """`array` as a `base` of shape `dims`, copied. Raises Misfit."""
    check_shape(array.shape, base, dims)
    real_name = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    kind = "real" if real_name else {"i": "int", "u": "int", "b": "bool"}.get(array.dtype.kind, "")
    no_type = kind and not array.size  # an array without elements has a dtype by accident only
    if kind != base and (kind, base) != ("int", "real") and not no_type:
        if (kind, base) == ("real", "int") and not np.isfinite(array).all():  # pandas' way to say that one is missing
            where = _first(~np.isfinite(array))
            raise Misfit("PPL504", where, describe(float(array[where])), WORDS[base], NO_MISSING)
        hint = "convert it with `.astype(int)`, after rounding if need be" if (kind, base) == ("real", "int") else None
        raise Misfit("PPL502", (), f"an array of {array.dtype.name}", describe_type(base, dims), hint)
    if array.dtype.kind == "u" and base == "int" and array.size and int(array.max()) > INT_MAX:
        where = _first(array > INT_MAX)
        raise Misfit("PPL502", where, describe(int(array[where])), WORDS["int"])
    with np.errstate(over="ignore"):  # a long double beyond range becomes infinite, and is then reported
        result: Array = np.array(array, dtype=dtype_of(base), order="C")
    if base == "real" and not np.isfinite(result).all():
        where = _first(~np.isfinite(result))
        raise Misfit("PPL504", where, describe(float(result[where])), WORDS["real"], NO_MISSING)
    result = result.reshape(array.shape + inner(dims, array.ndim))
    result.flags.writeable = False  # one binding is shared by everything made from it
    return result


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
