"""One data field: what came, measured against what is declared.

:func:`fit` turns a given value (number, nested lists, an array of any library, a CSV column) into a Python scalar or a
numpy array, or raises :class:`Misfit` with the first thing that does not fit. Lists are walked one declared axis at a
time, never deeper than the declared rank, so data of any depth or shape are safe to pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np

from ppl.data.arithmetic import INT_MAX, INT_MIN, Array, Value
from ppl.data.table import Column, Missing
from ppl.data.words import counted

DTYPES: dict[str, type[Any]] = {"int": np.int64, "real": np.float64, "bool": np.bool_}
WORDS = {"int": "an int", "real": "a finite number", "bool": "true or false"}


class Misfit(Exception):
    """`index` is the element concerned (empty: the whole field), `came` what is there, `expected` what should be."""

    def __init__(
        self, code: str, index: tuple[int, ...], came: str, expected: str, hint: str | None = None, verb: str = "is"
    ) -> None:
        super().__init__(came)
        self.code, self.index, self.came, self.expected = code, index, came, expected
        self.hint, self.verb = hint, verb


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A field of a file that is there but cannot be read; `why` continues "`x` ..."."""

    why: str


def fit(value: object, base: str, dims: tuple[int | None, ...]) -> Value:
    """`value` as a `base` of shape `dims`; a size of None is not known, and takes what comes.

    Raises:
        Misfit: the first reason why it does not fit.
    """
    if isinstance(value, Unreadable):
        raise Misfit("PPL507", (), value.why, describe_type(base, dims))
    if isinstance(value, Column):
        value = _column(value, len(dims))
    plain = unwrap(value)
    if is_array(plain) and plain.dtype.kind != "O":
        result = _from_array(plain, base, dims)
    elif dims:
        result = _from_nested(plain, base, dims)
    else:
        return _leaf(plain, base, (), plain is not value)
    result.flags.writeable = False  # one binding is shared by everything made from it
    return result


def length_along(value: object, axis: int, rank: int) -> int | None:
    """How many entries `value`, declared with `rank` dimensions, has along `axis`; None if an empty array hides it.

    Raises:
        Misfit: it has no such axis (so it does not fit the declaration either).
    """
    if isinstance(value, Column):
        value = _column(value, rank)
    for depth in range(axis + 1):
        value = unwrap(value)
        if is_array(value):
            shape = value.shape
            if axis - depth < len(shape):
                return int(shape[axis - depth])
            if 0 in shape:
                return None
            raise Misfit("PPL503", (), "", "")
        if not is_sequence(value):
            raise Misfit("PPL503", (), "", "")
        if depth == axis:
            return len(value)
        if not len(value):
            return None
        value = value[0]
    return None


def unwrap(value: object) -> object:
    """Arrays of other libraries as numpy arrays, numpy's scalars as Python's; anything else as it is."""
    if is_array(value) and np.ma.is_masked(value):  # asarray would drop the mask
        where = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(value))[0])
        raise Misfit("PPL504", where, "masked", "a value", NO_MISSING)
    if isinstance(value, np.generic):
        return cast(object, value.item())
    if not hasattr(value, "__array__") or isinstance(value, type):
        return value
    try:
        array = np.asarray(cast(Any, value))
    except Exception as error:  # any library's array type may refuse, each in its own way
        raise Misfit("PPL502", (), f"a {_kind(value)} that does not turn into an array ({error})", "numbers") from None
    return cast(object, array if array.ndim else array.item())


def is_array(value: object) -> TypeGuard[Array]:
    return isinstance(value, np.ndarray)


def is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


NO_MISSING = "there are no missing values in the language: leave the entry out of the data, or model it as a latent"


def _column(column: Column, rank: int) -> object:
    """A column has one axis of rows; a file with one row also gives what a single entry of it would."""
    if len(column.rows) == 1 and column.rank == rank + 1:
        return column.rows[0]
    return column.rows


# -------------------------------------------------------------------- arrays


def _from_array(array: Array, base: str, dims: tuple[int | None, ...]) -> Array:
    shape = array.shape
    if not dims:
        raise Misfit("PPL503", (), _shape_text(shape), WORDS[base], verb="has")
    pairs = tuple(zip(shape, dims, strict=False))
    short = len(shape) < len(dims) and shape[-1] == 0  # an empty array says nothing about the sizes further in
    if not (len(shape) == len(dims) or short) or any(declared not in (None, came) for came, declared in pairs):
        wrong_rank = len(shape) != len(dims)
        came = _shape_text(shape) if wrong_rank or len(dims) > 1 else counted(shape[0], "value")
        raise Misfit("PPL503", (), came, _shape_words(dims), verb="has")
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
        result: Array = np.array(array, dtype=DTYPES[base], order="C")
    if base == "real" and not np.isfinite(result).all():
        where = _first(~np.isfinite(result))
        raise Misfit("PPL504", where, describe(float(result[where])), WORDS["real"], NO_MISSING)
    return result.reshape(shape + _inner(dims, len(shape)))


def _inner(dims: tuple[int | None, ...], known: int) -> tuple[int, ...]:
    return tuple(d or 0 for d in dims[known:])


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


# --------------------------------------------------------------------- lists


def _from_nested(value: object, base: str, dims: tuple[int | None, ...]) -> Array:
    """Nested sequences, level by level: at each, all rows must be sequences of one length, the declared one."""
    level: list[object] = [value]
    shape: tuple[int, ...] = ()
    for axis, declared in enumerate(dims):
        rows: list[Sequence[object]] = []
        for k, item in enumerate(level):
            plain_row = isinstance(item, (list, tuple))
            rows.append(cast(Any, item) if plain_row else _row(item, dims, axis, _unravel(k, shape)))
        length = _common_length(rows, declared, dims, axis, shape)
        shape += (length,)
        if not rows or length == 0:
            return np.zeros(shape + _inner(dims, len(shape)), dtype=DTYPES[base])
        level = list(rows[0]) if len(rows) == 1 else [item for row in rows for item in row]
    return _from_leaves(level, base, shape)


def _row(item: object, dims: tuple[int | None, ...], axis: int, index: tuple[int, ...]) -> Sequence[object]:
    """An entry of a level that is not a plain list: another sequence, an array, or a fault."""
    plain = unwrap(item)
    if is_array(plain):
        plain = cast(object, plain.tolist())
    if is_sequence(plain):
        return plain
    single = plain is None or isinstance(plain, (bool, int, float))
    code = "PPL504" if plain is None else "PPL503" if single else "PPL502"
    came = f"the single value {describe(plain)}" if code == "PPL503" else describe(plain)
    raise Misfit(code, index, came, _shape_words(dims[axis:]), NO_MISSING if plain is None else None)


def _common_length(
    rows: list[Sequence[object]], declared: int | None, dims: tuple[int | None, ...], axis: int, shape: tuple[int, ...]
) -> int:
    lengths = [len(row) for row in rows]
    first = lengths[0] if lengths else (declared or 0)
    odd = next((k for k, length in enumerate(lengths) if length != first), None)
    if odd is not None:
        where, start = _unravel(odd, shape), _unravel(0, shape)
        count = lengths[odd]
        other = f"{first} in every row, as in {list(start)}" if declared is None else f"{declared}"
        hint = f"row {list(start)} has {first}; every row of an array has the same length"
        raise Misfit("PPL505", where, counted(count, "value"), other, hint, verb="has")
    if declared is not None and first != declared:
        where = _unravel(0, shape)
        came = counted(first, "row" if axis + 1 < len(dims) else "value")
        raise Misfit("PPL503", where, came, _shape_words(dims[axis:]), verb="has")
    return first


def _unravel(k: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of the k-th entry of a regular array, row by row."""
    index: list[int] = []
    for length in reversed(shape):
        k, i = divmod(k, length)
        index.append(i)
    return tuple(reversed(index))


def _from_leaves(leaves: list[object], base: str, shape: tuple[int, ...]) -> Array:
    kinds = set(map(type, leaves))
    plain = {"int": {int}, "real": {int, float}, "bool": {bool}}[base]
    if not kinds <= plain:  # something to convert or to report; the slow way finds the first
        leaves = [_leaf(leaf, base, _unravel(k, shape), False) for k, leaf in enumerate(leaves)]
    try:
        array: Array = np.array(leaves, dtype=DTYPES[base])
    except OverflowError:
        array = np.array([_leaf(leaf, base, _unravel(k, shape), False) for k, leaf in enumerate(leaves)], DTYPES[base])
    array = array.reshape(shape)
    if base == "real" and not np.isfinite(array).all():
        where = _first(~np.isfinite(array))
        raise Misfit("PPL504", where, describe(float(array[where])), WORDS["real"], NO_MISSING)
    return array


def _leaf(value: object, base: str, index: tuple[int, ...], from_numpy: bool) -> int | float | bool:
    """One number or bool, exactly as declared."""
    plain = unwrap(value)
    wanted = WORDS[base]
    if is_array(plain) or is_sequence(plain):
        raise Misfit("PPL503", index, describe(plain), "a single value" if base == "bool" else "a single number")
    if _is_missing(plain):
        raise Misfit("PPL504", index, describe(plain), wanted, NO_MISSING)
    if isinstance(plain, float) and not math.isfinite(plain):
        raise Misfit("PPL504", index, describe(plain), wanted, NO_MISSING)
    if isinstance(plain, bool):
        if base == "bool":
            return plain
        raise Misfit("PPL502", index, describe(plain), wanted, f"write {int(plain)}")
    if isinstance(plain, int):
        if base != "bool":
            return _number(plain, base, index)
        hint = f"write {'true' if plain else 'false'}" if plain in (0, 1) else None
        raise Misfit("PPL502", index, describe(plain), wanted, hint)
    if isinstance(plain, float) and base == "real":
        return float(plain)
    raise Misfit("PPL502", index, describe(plain), wanted, _type_hint(plain, base, from_numpy))


def _number(value: int, base: str, index: tuple[int, ...]) -> int | float:
    if base == "int":
        if INT_MIN <= value <= INT_MAX:
            return int(value)
        raise Misfit("PPL502", index, describe(value), "an int of at most 64 bits")
    try:
        return float(value)
    except OverflowError:
        raise Misfit("PPL504", index, describe(value), WORDS["real"]) from None


def _type_hint(value: object, base: str, from_numpy: bool) -> str | None:
    if isinstance(value, float) and base == "int":
        if not value.is_integer() or abs(value) > INT_MAX:
            return "declare it as `real`, or round the data"
        return f"write {int(value)}, without a point" if not from_numpy else "convert it with `int(...)`"
    if isinstance(value, str):
        if base != "bool" and value.count(",") == 1 and value.replace(",", "").strip("+- ").isdigit():
            return "write a decimal point, not a comma"
        return "write numbers without quotes" if base != "bool" else "write true or false, without quotes"
    return None


# --------------------------------------------------------------------- words


def describe(value: object) -> str:
    """A short, safe description of any value: never the whole of it, and never its own `repr`."""
    if isinstance(value, Missing):
        return f"the text `{value.text}`, which stands for no value" if value.text else "an empty cell"
    if _is_missing(value):
        return "null" if value is None else "a missing value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value)) if abs(value) < 10**20 else "an integer beyond 64 bits"
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(float(value)), repr(float(value)))
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= 30 else f'the text "{value[:27]}..."'
    if is_array(value):
        return f"an array of shape {_sizes(value.shape)}"
    if is_sequence(value):
        return f"an array of {counted(len(value), 'value')}"
    return "an object" if isinstance(value, dict) else f"a {_kind(value)}"


def describe_type(base: str, dims: tuple[int | None, ...]) -> str:
    return f"an array of {base}" if dims else WORDS[base]


def _is_missing(value: object) -> bool:
    """None, and the markers with which pandas says the same (matched by name: pandas is no dependency)."""
    return value is None or isinstance(value, Missing) or _kind(value) in ("NAType", "NaTType")


def _kind(value: object) -> str:
    return type(value).__name__


def _shape_words(dims: tuple[int | None, ...]) -> str:
    if len(dims) == 1:
        return "an array" if dims[0] is None else f"an array of {counted(dims[0], 'value')}"
    return f"an array of shape {_sizes('?' if d is None else d for d in dims)}"


def _shape_text(shape: Iterable[int]) -> str:
    return f"shape {_sizes(shape)}"


def _sizes(dims: Iterable[object]) -> str:
    return f"[{', '.join(str(d) for d in dims)}]"
