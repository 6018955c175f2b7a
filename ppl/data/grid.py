"""Arrays as plain Python, for what is read or computed before a program is bound to its data.

Most of what is asked of data (do the lengths agree, how often does a loop run) needs no numpy, and importing that takes
as long as all the rest of a small `pplc explain`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from ppl.record import record

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"


@record
class Grid:
    """An array of `base` (real, int, bool): its elements row by row, as Python's floats, ints or bools."""

    base: str
    shape: tuple[int, ...]
    leaves: Sequence[Any]

    def part(self, key: Sequence[int | slice]) -> Value:
        """``self[key]`` for indices and slices inside the array, at most one for each axis."""
        if not key:
            return self if self.shape else self.leaves[0]
        length, *inner = self.shape
        row = math.prod(inner)

        def entry(i: int) -> Grid:
            return Grid(self.base, tuple(inner), self.leaves[i * row : (i + 1) * row])

        first, *rest = key
        if isinstance(first, int):
            return entry(first).part(rest)
        entries = [entry(i).part(rest) for i in range(*first.indices(length))]
        shape = _shape_of_part(inner, rest)
        return Grid(self.base, (len(entries), *shape), [leaf for e in entries for leaf in elements(e)])

    def array(self) -> Array:
        """The same as a read-only numpy array."""
        import numpy as np

        out: Array = np.array(self.leaves, dtype=dtype_of(self.base)).reshape(self.shape)
        out.flags.writeable = False
        return out


Value: TypeAlias = "int | float | bool | Grid | Array"


def _shape_of_part(shape: Sequence[int], key: Sequence[int | slice]) -> tuple[int, ...]:
    taken = [len(range(*k.indices(n))) for n, k in zip(shape, key, strict=False) if isinstance(k, slice)]
    return (*taken, *shape[len(key) :])


def is_array(value: Value) -> TypeGuard[Grid | Array]:
    return not isinstance(value, (int, float))


def kind_of(value: Value) -> str:
    """``bool``, ``int`` or ``real``, of a scalar or of an array's elements."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Grid):
        return value.base
    if isinstance(value, (int, float)):
        return "int" if isinstance(value, int) else "real"
    return {"b": "bool", "i": "int"}.get(value.dtype.kind, "real")


def shape_of(value: Value) -> tuple[int, ...]:
    return value.shape if is_array(value) else ()


def elements(value: Value) -> list[Any]:
    """All elements of an array, row by row, as Python's numbers or bools; a scalar is its only one."""
    if isinstance(value, (int, float)):
        return [value]
    return list(value.leaves) if isinstance(value, Grid) else cast(Any, value).ravel().tolist()


def plain(value: Value) -> int | float | bool | Array:
    """A value as the rest of the compiler takes it: arrays as numpy's."""
    return value.array() if isinstance(value, Grid) else value


def dtype_of(base: str) -> type[Any]:
    import numpy as np

    return {"int": np.int64, "real": np.float64, "bool": np.bool_}[base]
