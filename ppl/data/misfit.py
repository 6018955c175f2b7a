"""What does not fit, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

from ppl.data.column import Missing
from ppl.diagnostics import counted

if TYPE_CHECKING:
    from ppl.data.grid import Array

WORDS = {"int": "an int", "real": "a finite number", "bool": "true or false"}
NO_MISSING = "there are no missing values in the language: leave the entry out of the data, or model it as a latent"
PLAIN = frozenset({bool, int, float, str, list, tuple, dict, type(None), Missing})  # what files hold: never an array


class Misfit(Exception):
    """`index` is the element concerned (empty: the whole field), `came` what is there, `expected` what should be."""

    def __init__(
        self, code: str, index: tuple[int, ...], came: str, expected: str, hint: str | None = None, verb: str = "is"
    ) -> None:
        super().__init__(came)
        self.code, self.index, self.came, self.expected = code, index, came, expected
        self.hint, self.verb = hint, verb


def check_shape(shape: tuple[int, ...], base: str, dims: tuple[int | None, ...]) -> None:
    """Raises Misfit unless an array of this shape fits, or is empty on the way to the sizes that do not."""
    if not dims:
        raise Misfit("PPL503", (), shape_text(shape), WORDS[base], verb="has")
    pairs = tuple(zip(shape, dims, strict=False))
    short = len(shape) < len(dims) and shape[-1] == 0  # an empty array says nothing about the sizes further in
    if not (len(shape) == len(dims) or short) or any(declared not in (None, came) for came, declared in pairs):
        wrong_rank = len(shape) != len(dims)
        came = shape_text(shape) if wrong_rank or len(dims) > 1 else counted(shape[0], "value")
        raise Misfit("PPL503", (), came, shape_words(dims), verb="has")


def inner(dims: tuple[int | None, ...], known: int) -> tuple[int, ...]:
    """The sizes of the axes after the first `known`, of an array without elements."""
    return tuple(d or 0 for d in dims[known:])


def is_ndarray(value: object) -> TypeGuard[Array]:
    if type(value) in PLAIN:
        return False
    import numpy as np

    return isinstance(value, np.ndarray)


def is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def describe(value: object) -> str:
    """A short, safe description of any value: never the whole of it, and never its own `repr`."""
    if isinstance(value, Missing):
        return f"the text `{value.text}`, which stands for no value" if value.text else "an empty cell"
    if is_missing(value):
        return "null" if value is None else "a missing value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value)) if abs(value) < 10**20 else "an integer beyond 64 bits"
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(float(value)), repr(float(value)))
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= 30 else f'the text "{value[:27]}..."'
    if is_ndarray(value):
        return f"an array of shape {_sizes(value.shape)}"
    if is_sequence(value):
        return f"an array of {counted(len(value), 'value')}"
    return "an object" if isinstance(value, dict) else f"a {kind_name(value)}"


def describe_type(base: str, dims: tuple[int | None, ...]) -> str:
    return f"an array of {base}" if dims else WORDS[base]


def is_missing(value: object) -> bool:
    """None, and the markers with which pandas says the same (matched by name: pandas is no dependency)."""
    return value is None or isinstance(value, Missing) or kind_name(value) in ("NAType", "NaTType")


def kind_name(value: object) -> str:
    return type(value).__name__


def shape_words(dims: tuple[int | None, ...]) -> str:
    if len(dims) == 1:
        return "an array" if dims[0] is None else f"an array of {counted(dims[0], 'value')}"
    return f"an array of shape {_sizes('?' if d is None else d for d in dims)}"


def shape_text(shape: Iterable[int]) -> str:
    return f"shape {_sizes(shape)}"


def _sizes(dims: Iterable[object]) -> str:
    return f"[{', '.join(str(d) for d in dims)}]"
