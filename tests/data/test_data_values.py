"""Values that fit their declarations, whatever they come as."""

from __future__ import annotations

import fractions
import math

import numpy as np
import pytest

from ppl.diagnostics import DataError


class Foreign:
    """An array of another library: all that is known of it is that it turns into one of numpy's."""

    def __init__(self, values: object) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


def test_scalars_are_python_scalars(bind):
    data = bind("data a: int\ndata b: real\ndata c: real\ndata d: bool", {"a": 3, "b": 2, "c": 0.5, "d": True})
    assert data == {"a": 3, "b": 2.0, "c": 0.5, "d": True}
    assert [type(v) for v in data.values()] == [int, float, float, bool]


@pytest.mark.parametrize("three", [3, np.int32(3), np.uint8(3), np.array(3), Foreign(3)])
def test_an_int_of_any_library(bind, three):
    value = bind("data a: int", {"a": three})["a"]
    assert value == 3
    assert type(value) is int


@pytest.mark.parametrize(
    "given",
    [
        [[1, 2.5], [3, 4]],
        ((1, 2.5), (3, 4)),
        np.array([[1, 2.5], [3, 4]]),
        np.array([[1, 2.5], [3, 4]], dtype=np.float16),
        np.array([[1, 2.5], [3, 4]], dtype=object),
        Foreign([[1, 2.5], [3, 4]]),
        [np.array([1, 2.5]), Foreign([3, 4])],
        [[np.float64(1), np.array(2.5)], [np.int64(3), Foreign(4)]],
        np.array([[1, 3], [2.5, 4]]).T,
    ],
)
def test_a_matrix_of_any_library(bind, given):
    x = bind("data x: real[2, 2]", {"x": given})["x"]
    assert x.dtype == np.float64
    assert x.tolist() == [[1.0, 2.5], [3.0, 4.0]]


@pytest.mark.parametrize(("base", "dtype"), [("int", np.int64), ("real", np.float64), ("bool", np.bool_)])
def test_arrays_have_the_declared_type(bind, base, dtype):
    given = [True, False] if base == "bool" else [1, 0]
    x = bind(f"data x: {base}[2]", {"x": given})["x"]
    assert x.dtype == dtype
    assert x.tolist() == given


def test_the_result_is_a_copy_that_cannot_be_written(bind):
    given = np.array([1.0, 2.0])
    x = bind("data x: real[2]", {"x": given})["x"]
    given[0] = 7
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 3


def test_ints_at_the_edge_of_64_bits(bind, rejected):
    edge = [-(2**63), 2**63 - 1]
    assert bind("data x: int[2]", {"x": edge})["x"].tolist() == edge
    assert "beyond" in str(rejected("data x: int[1]", {"x": [10**5000]}))
    assert "64 bits" in str(rejected("data x: int", {"x": 2**63}))
    assert rejected("data x: int[1]", {"x": np.array([2**63], np.uint64)}).diagnostics[0].code == "PPL502"
    assert bind("data x: real", {"x": 2**63})["x"] == float(2**63)
    assert rejected("data x: real", {"x": 10**400}).diagnostics[0].code == "PPL504"


@pytest.mark.parametrize(
    ("declared", "given", "shape"),
    [
        ("real[n, 2]", [], (0, 2)),
        ("real[2, n]", [[], []], (2, 0)),
        ("real[n, 2]", np.zeros((0, 2)), (0, 2)),
        ("real[n, 2]", np.zeros(0), (0, 2)),
        ("real[n, n]", [], (0, 0)),
        ("int[n]", (), (0,)),
        ("bool[n]", [], (0,)),
        ("int[n]", np.array([]), (0,)),
    ],
)
def test_arrays_without_elements(bind, declared, given, shape):
    data = bind(f"data n: int\ndata x: {declared}", {"x": given})
    assert data["n"] == 0
    assert data["x"].shape == shape


def test_an_empty_array_hides_its_inner_size(bind):
    data = bind("data n: int\ndata x: real[0, n]\ndata y: real[n]", {"x": [], "y": [1, 2]})
    assert data["n"] == 2
    assert data["x"].shape == (0, 2)


@pytest.mark.parametrize(
    ("declared", "given", "code"),
    [
        ("int", 3.0, "PPL502"),
        ("int", True, "PPL502"),
        ("int", np.bool_(True), "PPL502"),
        ("int", "3", "PPL502"),
        ("int", [3], "PPL503"),
        ("int", np.array([3]), "PPL503"),
        ("int", None, "PPL504"),
        ("int", math.nan, "PPL504"),
        ("int", fractions.Fraction(3), "PPL502"),
        ("int", {3}, "PPL502"),
        ("real", False, "PPL502"),
        ("real", math.inf, "PPL504"),
        ("real", 1j, "PPL502"),
        ("real", int, "PPL502"),
        ("bool", 1, "PPL502"),
        ("bool", 0.0, "PPL502"),
        ("real[2]", 1.0, "PPL503"),
        ("real[2]", [1.0], "PPL503"),
        ("real[2]", [[1.0], [2.0]], "PPL503"),
        ("real[2]", np.ones((2, 1)), "PPL503"),
        ("real[2]", np.float64(2), "PPL503"),
        ("real[2]", "ab", "PPL502"),
        ("real[2]", b"ab", "PPL502"),
        ("real[2]", iter([1, 2]), "PPL502"),
        ("real[2]", ["1", "2"], "PPL502"),
        ("real[2]", [1, None], "PPL504"),
        ("real[2]", [-math.inf, 1], "PPL504"),
        ("real[2]", [1, True], "PPL502"),
        ("real[2]", np.array([1, np.nan]), "PPL504"),
        ("real[2]", np.array([True, False]), "PPL502"),
        ("real[2]", np.array(["1", "2"]), "PPL502"),
        ("real[2]", np.array([1, 2j]), "PPL502"),
        ("real[2]", np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "PPL502"),
        ("real[2]", np.ma.masked_array([1.0, 2.0], [False, True]), "PPL504"),
        ("real[2]", np.array([(1, 2.0), (3, 4.0)], dtype="i4,f4"), "PPL502"),
        ("real[2]", np.array([10**400, 1], dtype=object), "PPL504"),
        ("int[2]", np.array([1.0, 2.0]), "PPL502"),
        ("int[2]", np.array([1.0, np.nan]), "PPL504"),
        ("int[2]", [1, np.float64(2)], "PPL502"),
        ("real[2, 2]", [[1, 2], [3]], "PPL505"),
        ("real[2, 2]", [[1, 2], 3], "PPL503"),
        ("real[2, 2]", [[1, 2, 3], [4, 5, 6]], "PPL503"),
        ("real[2, 2]", [[1, 2], None], "PPL504"),
        ("real[2, 2]", [1, 2, 3, 4], "PPL503"),
        ("real[2, 2]", np.ones(4), "PPL503"),
        ("real[2, 0]", [], "PPL503"),
    ],
)
def test_what_does_not_fit(rejected, declared, given, code):
    error = rejected(f"data v: {declared}", {"v": given})
    assert isinstance(error, DataError)
    [found] = error.diagnostics
    assert found.code == code
    assert "`v" in found.message
    assert f"`{declared}`" in found.message
    assert found.span is not None
    assert found.span.line == 1


def test_a_list_that_contains_itself(rejected):
    loop: list[object] = []
    loop.extend([loop, loop])
    assert rejected("data x: real[2, 2]", {"x": loop}).diagnostics[0].code == "PPL503"


def test_an_array_type_that_refuses(rejected):
    class Stubborn:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            raise RuntimeError("not today")

    assert "not today" in str(rejected("data x: real[2]", {"x": Stubborn()}))


@pytest.mark.parametrize("given", [[1, 2], 3, b"data.json", object(), {1: 2}])
def test_what_are_no_data_at_all(rejected, given):
    assert isinstance(rejected("data x: int", given), DataError)


def test_a_frame_is_given_by_its_columns(bind):
    columns = {"x": Foreign([1, 2]), "y": Foreign([0.5, 1.5])}

    class Frame:
        def keys(self) -> list[str]:
            return list(columns)

        def __getitem__(self, name: str) -> Foreign:
            return columns[name]

    data = bind("data n: int\ndata x: int[n]\ndata y: real[n]", Frame())
    assert data["n"] == 2
    assert data["y"].tolist() == [0.5, 1.5]
