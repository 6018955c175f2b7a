"""Any data at all either bind to what is declared or are refused with a diagnostic."""

from __future__ import annotations

import json

import numpy as np
from declared import declarations
from hypothesis import given, settings
from hypothesis import strategies as st

from ppl.data.bind import bind_data
from ppl.data.json_text import parse_json
from ppl.data.table import parse_table
from ppl.diagnostics import DataError, Diagnostics, PplError

SOURCE = """data n: int
data k: int = 2
data a: int[n]
data x: real[n, k]
data r: real
data b: bool[2 * n] = [i < n for i in 0..2 * n]
data e: int = sum(a) // k
"""
DECLARATIONS, _ = declarations(SOURCE)
DTYPES = {"int": np.int64, "real": np.float64, "bool": np.bool_}
NAMES = [d.name for d in DECLARATIONS]

numbers = st.integers(-3, 3) | st.integers() | st.floats() | st.sampled_from([10**30, -(2**63), 2**63, 1e308, 2.0])
leaves = numbers | st.none() | st.booleans() | st.text(max_size=4)
rows = st.lists(st.integers(-2, 4), min_size=2, max_size=2)
likely = st.fixed_dictionaries(
    {"n": st.integers(-1, 3)},
    optional={
        "k": st.integers(0, 3),
        "a": st.lists(st.integers(-2, 4), max_size=3),
        "x": st.lists(rows, max_size=3),
        "r": numbers,
        "b": st.lists(st.booleans(), max_size=6),
    },
)
values = st.recursive(leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=3), v, max_size=2))
fields = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), values, max_size=6)
matrices = st.fixed_dictionaries(
    {"a": st.lists(st.integers(-2, 4), max_size=3), "x": st.lists(rows, max_size=3), "r": numbers}
)


def check(given_fields: object) -> bool:
    """Binds; true if the data fit, after checking that what came back is what is declared."""
    sink = Diagnostics({"m.ppl": SOURCE})
    try:
        data = bind_data(DECLARATIONS, given_fields, sink)  # type: ignore[arg-type]
    except PplError as error:
        assert isinstance(error, DataError)  # the program has no fault of its own
        assert any(d.severity == "error" for d in error.diagnostics)
        assert len(str(error)) < 5000
        assert str(error).encode("utf-8")
        return False
    assert list(data) == NAMES
    n, k = data["n"], data["k"]
    shapes = {"n": (), "k": (), "a": (n,), "x": (n, k), "r": (), "b": (2 * n,), "e": ()}
    for d in DECLARATIONS:
        value = np.asarray(data[d.name])
        assert value.shape == shapes[d.name]
        assert value.dtype == DTYPES[d.type.base]
        assert np.isfinite(value).all()
    return True


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(fields | likely | matrices)
def test_any_mapping(given_fields):
    check(given_fields)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.builds(lambda a, b: {**a, **b}, matrices, st.dictionaries(st.sampled_from(NAMES), values, max_size=1)))
def test_a_mapping_with_one_field_changed(given_fields):
    check(given_fields)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(fields | likely | matrices)
def test_json_text_binds_as_the_values_do(given_fields):
    text = json.dumps(given_fields)
    assert check(parse_json(text, "d.json")) == check(given_fields)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet='{}[]:,"\\ntrue0123.e-Naul \n\t', max_size=40))
def test_any_text_as_json(text):
    try:
        assert isinstance(parse_json(text, "d.json"), dict)
    except DataError as error:
        assert error.diagnostics[0].code == "PPL507"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=30) | st.text(alphabet='ax[01],;\t"\r\n .e-NA', max_size=60))
def test_any_text_as_csv(text):
    try:
        columns = parse_table(text, "d.csv")
    except DataError as error:
        assert error.diagnostics[0].code in ("PPL505", "PPL507")
    else:
        check(columns)


def test_the_fuzzed_program_can_be_bound():
    assert check({"n": 1, "a": [3], "x": [[1, 2]], "r": 0.5})
