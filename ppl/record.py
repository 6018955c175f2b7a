"""Immutable dataclasses that are quick to define.

The compiler has about a hundred classes of nodes. `dataclass(frozen=True)` writes six methods for each as text and
compiles them when the module is imported, which took a quarter of the time of a small `pplc check`. A `record` is a
dataclass with slots (`fields`, `replace` and patterns work) whose methods are shared functions instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class _Hashed:
    """Where a record keeps its hash once it is asked for: those of trees of nodes are asked for again and again."""

    __slots__ = ("hashed",)


_put_hash = _Hashed.hashed.__set__  # pyright: ignore[reportUnknownVariableType, reportAttributeAccessIssue, reportUnknownMemberType]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A class decorator, as `dataclass(frozen=True, slots=True)`. Defaults are plain values.

    Fields with ``compare=False`` do not count in comparisons and hashes, those with ``repr=False`` are not shown.
    """
    cls.__doc__ = cls.__doc__ or f"A `{cls.__name__}`."  # or dataclass would make one, from the signature
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(_hashed(cls))
    declared = fields(made)
    compared = [f.name for f in declared if f.compare]
    key: Callable[[object], object] = attrgetter(*compared) if compared else _nothing

    def __eq__(self: object, other: object) -> bool:
        if self is other:
            return True
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        try:
            return self.hashed
        except AttributeError:
            _put_hash(self, found := hash(key(self)))
            return found

    made.__init__ = _initialiser(made, declared)
    made.__eq__, made.__hash__, made.__repr__ = __eq__, __hash__, _show
    made.__setattr__, made.__delattr__, made.__reduce__ = _refuse, _refuse, _reduce
    return made


def _hashed(cls: type[Any]) -> type[Any]:
    """`cls`, with a place for its hash."""
    if cls.__bases__ != (object,):
        return cls
    own = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
    return type(cls.__name__, (_Hashed,), {**own, "__qualname__": cls.__qualname__})


def _nothing(_: object) -> None:
    """The key of a class without fields that compare."""


def _initialiser(made: type, declared: tuple[Field[Any], ...]) -> Callable[..., None]:
    names = tuple(f.name for f in declared)
    setters = tuple(getattr(made, name).__set__ for name in names)
    defaults = tuple(f.default for f in declared)

    def __init__(self: object, *values: object, **named: object) -> None:
        if len(values) != len(names):
            values = _complete(type(self).__name__, names, defaults, values, named)
        elif named:
            raise TypeError(f"{type(self).__name__}: a field is given twice")
        for put, value in zip(setters, values, strict=True):
            put(self, value)

    return __init__


def _complete(
    title: str,
    names: tuple[str, ...],
    defaults: tuple[object, ...],
    values: tuple[object, ...],
    named: dict[str, object],
) -> tuple[object, ...]:
    """The values of all fields, of which the first are given by position and others by name."""
    rest = names[len(values) :]
    if len(values) > len(names) or not named.keys() <= set(rest):
        raise TypeError(f"{title}: a field too many, unknown or given twice")
    values += tuple(named.get(name, d) for name, d in zip(rest, defaults[len(values) :], strict=True))
    for name, value in zip(names, values, strict=True):
        if value is MISSING:
            raise TypeError(f"{title}: no value for `{name}`")
    return values


def _show(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__name__}({shown})"


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _reduce(self: Any) -> tuple[object, tuple[object, ...]]:
    """How a copy is made, by `copy` and by `pickle`."""
    return self.__class__, tuple(getattr(self, f.name) for f in fields(self))
