"""One data field: what came, measured against what is declared.

:func:`fit` turns a given value (number, nested lists, an array of any library, a CSV column) into a Python scalar or a
numpy array, or raises :class:`Misfit` with the first thing that does not fit. Lists are walked one declared axis at a
time, never deeper than the declared rank, so data of any depth or shape are safe to pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from ppl.data.arithmetic import INT_MAX, INT_MIN
from ppl.data.column import Column
from ppl.data.grid import Grid, Value
from ppl.data.misfit import (
    NO_MISSING,
    PLAIN,
    WORDS,
    Misfit,
    check_shape,
    describe,
    describe_type,
    inner,
    is_missing,
    is_ndarray,
    is_sequence,
    shape_words,
)
from ppl.diagnostics import counted
from ppl.record import record


@record
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
        value = _truths(value) if base == "bool" else value
    if isinstance(value, Grid):
        return _from_grid(value, base, dims)
    plain = unwrap(value)
    if is_ndarray(plain) and plain.dtype.kind != "O":
        from ppl.data.arrays import from_array

        return from_array(plain, base, dims)
    return _from_nested(plain, base, dims) if dims else _leaf(plain, base, (), plain is not value)


def length_along(value: object, axis: int, rank: int) -> int | None:
    """How many entries `value`, declared with `rank` dimensions, has along `axis`; None if an empty array hides it.

    Raises:
        Misfit: it has no such axis (so it does not fit the declaration either).
    """
    if isinstance(value, Column):
        value = _column(value, rank)
    for depth in range(axis + 1):
        value = unwrap(value)
        if is_ndarray(value):
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
    if type(value) in PLAIN:
        return value
    from ppl.data import arrays  # imports numpy

    return arrays.unwrap(value)


def _column(column: Column, rank: int) -> object:
    """A column has one axis of rows; a file with one row also gives what a single entry of it would."""
    if len(column.rows) == 1 and column.rank == rank + 1:
        return column.rows[0]
    return column.rows


def _truths(cells: object) -> object:
    """Cells of a table, with true and false for 1 and 0, as which tables have them more often than not."""
    if isinstance(cells, tuple | list):
        return [_truths(c) for c in cast("Sequence[object]", cells)]
    return bool(cells) if isinstance(cells, int) and cells in (0, 1) else cells


def _from_grid(grid: Grid, base: str, dims: tuple[int | None, ...]) -> Grid:
    """A default's value, which has a type and a shape."""
    check_shape(grid.shape, base, dims)
    if grid.leaves and grid.base != base and (grid.base, base) != ("int", "real"):
        raise Misfit("PPL502", (), describe_type(grid.base, dims), describe_type(base, dims))
    shape = grid.shape + inner(dims, len(grid.shape))
    return _from_leaves(list(grid.leaves), base, shape) if grid.leaves else Grid(base, shape, ())


# --------------------------------------------------------------------- lists


def _from_nested(value: object, base: str, dims: tuple[int | None, ...]) -> Grid:
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
            return Grid(base, shape + inner(dims, len(shape)), ())
        level = list(rows[0]) if len(rows) == 1 else [item for row in rows for item in row]
    return _from_leaves(level, base, shape)


def _row(item: object, dims: tuple[int | None, ...], axis: int, index: tuple[int, ...]) -> Sequence[object]:
    """An entry of a level that is not a plain list: another sequence, an array, or a fault."""
    plain = unwrap(item)
    if is_ndarray(plain):
        plain = cast(object, plain.tolist())
    if is_sequence(plain):
        return plain
    single = plain is None or isinstance(plain, (bool, int, float))
    code = "PPL504" if plain is None else "PPL503" if single else "PPL502"
    came = f"the single value {describe(plain)}" if code == "PPL503" else describe(plain)
    raise Misfit(code, index, came, shape_words(dims[axis:]), NO_MISSING if plain is None else None)


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
        raise Misfit("PPL503", where, came, shape_words(dims[axis:]), verb="has")
    return first


def _unravel(k: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of the k-th entry of a regular array, row by row."""
    index: list[int] = []
    for length in reversed(shape):
        k, i = divmod(k, length)
        index.append(i)
    return tuple(reversed(index))


def _from_leaves(leaves: list[object], base: str, shape: tuple[int, ...]) -> Grid:
    as_declared = _at_once(leaves, base)
    if as_declared is None:  # something to convert or to report; the slow way finds the first
        as_declared = [_leaf(leaf, base, _unravel(k, shape), False) for k, leaf in enumerate(leaves)]
    return Grid(base, shape, as_declared)


def _at_once(leaves: list[Any], base: str) -> list[Any] | None:
    """The leaves as they are declared, or None if some may not fit."""
    kinds = set(map(type, leaves))
    if base == "bool":
        return leaves if kinds == {bool} else None
    if base == "int":
        return leaves if kinds == {int} and min(leaves) >= INT_MIN and max(leaves) <= INT_MAX else None
    if not kinds <= {int, float}:
        return None
    try:
        floats = list(map(float, leaves)) if int in kinds else leaves
    except OverflowError:
        return None
    return floats if all(map(math.isfinite, floats)) else None


def _leaf(value: object, base: str, index: tuple[int, ...], from_numpy: bool) -> int | float | bool:
    """One number or bool, exactly as declared."""
    plain = unwrap(value)
    wanted = WORDS[base]
    if is_ndarray(plain) or is_sequence(plain):
        raise Misfit("PPL503", index, describe(plain), "a single value" if base == "bool" else "a single number")
    if is_missing(plain):
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
