"""Records behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace

import pytest

from ppl.record import record


@record
class Node:
    place: int = field(compare=False, repr=False)


@record
class Leaf(Node):
    name: str
    size: int = 1
    note: str | None = field(default=None, compare=False)


@record
class Twin(Node):
    name: str
    size: int = 1
    note: str | None = field(default=None, compare=False)


LEAF = Leaf(7, "a", 2, "n")


def test_a_record_is_a_dataclass() -> None:
    assert is_dataclass(Leaf)
    assert [f.name for f in fields(Leaf)] == ["place", "name", "size", "note"]
    assert (LEAF.place, LEAF.name, LEAF.size, LEAF.note) == (7, "a", 2, "n")
    assert replace(LEAF, size=3) == Leaf(7, "a", 3, "n")
    match LEAF:
        case Leaf(7, name, size=2):
            assert name == "a"
        case _:
            pytest.fail("positional and named patterns")


def test_fields_are_given_by_position_by_name_or_by_default() -> None:
    assert Leaf(7, "a") == Leaf(name="a", place=7) == Leaf(7, name="a", size=1)
    assert Leaf(7, "a", note="m").note == "m"
    assert Leaf(7, "a").note is None


@pytest.mark.parametrize(
    ("values", "named"),
    [((7,), {}), ((), {"name": "a"}), ((7, "a"), {"name": "a"}), ((7, "a", 1, "n"), {"size": 1}), ((7, "a"), {"x": 1}),
     ((7, "a", 1, "n", 5), {}), ((7, "a", 1, "n"), {"x": 1})],
)  # fmt: skip
def test_wrong_fields_are_refused(values: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="Leaf"):
        Leaf(*values, **named)  # type: ignore[arg-type]


def test_equality_and_hash_are_those_of_class_and_compared_fields() -> None:
    assert Leaf(7, "a", 2, "n") == Leaf(8, "a", 2, "m")
    assert hash(Leaf(7, "a", 2, "n")) == hash(Leaf(8, "a", 2, "m"))
    assert Leaf(7, "a", 2) != Leaf(7, "a", 3)
    assert Leaf(7, "a") != Twin(7, "a")
    assert Leaf(7, "a") != "a"


def test_a_record_is_immutable_and_has_no_other_attributes() -> None:
    for change in (lambda: setattr(LEAF, "name", "b"), lambda: setattr(LEAF, "new", 1), lambda: delattr(LEAF, "name")):
        with pytest.raises(FrozenInstanceError):
            change()
    assert not hasattr(LEAF, "__dict__")


def test_text_and_copies() -> None:
    assert repr(LEAF) == "Leaf(name='a', size=2, note='n')"
    for other in (copy.copy(LEAF), copy.deepcopy(LEAF), pickle.loads(pickle.dumps(LEAF))):
        assert other == LEAF
        assert (other.place, other.note) == (7, "n")


def test_a_hash_is_computed_once() -> None:
    """Trees of nodes are keys again and again; each time all of a tree would be walked."""
    asked: list[int] = []

    class Name(str):
        def __hash__(self) -> int:
            asked.append(1)
            return super().__hash__()

    leaf = Leaf(7, Name("a"))
    assert hash(leaf) == hash(leaf) == hash(Leaf(8, "a")) and len(asked) == 1
    twice = pickle.loads(pickle.dumps(LEAF)), copy.copy(LEAF), replace(LEAF, place=3)
    assert all(hash(x) == hash(LEAF) and x == LEAF for x in twice)
