"""Data files: what is read from each format, and files that are damaged or hostile."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from ppl.data.files import beside, load_file
from ppl.diagnostics import DataError, PplError

PROGRAM = "data n: int\ndata k: int[n]\ndata x: real[n]\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """``file("a.json", text or bytes)`` writes a file into the current directory, and is its name."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: str | bytes) -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return write


def message(error: PplError) -> str:
    return "\n".join(f"{d.headline()} | {d.hint}" for d in error.diagnostics)


# ----------------------------------------------------------------------- json


def test_json(bind, file):
    name = file("d.json", '\ufeff{"source": {"year": 1}, "k": [1, 2],\n "x": [1, 2.5e-1]}')
    data = bind(PROGRAM, name)
    assert data["n"] == 2
    assert data["x"].tolist() == [1.0, 0.25]


def test_extensions_are_read_in_any_case(bind, file, tmp_path):
    file("D.JSON", '{"n": 1}')
    assert bind("data n: int", tmp_path / "D.JSON") == {"n": 1}


@pytest.mark.parametrize(
    ("text", "line", "column", "phrase"),
    [
        ('{"n": 1,\n "k": [1,, 2]}', 2, 10, "value is expected"),
        ('{"n": 1\n "k": 2}', 2, 2, "a comma or a closing bracket"),
        ('{"n": [1, 2', 1, 12, "ends early"),
        ("{'n': 1}", 1, 2, "double quotes"),
        ('{"n" 1}', 1, 6, "colon"),
        ('{"n": 1} x', 1, 10, "after the end"),
        ('{"n": 01}', 1, 8, "comma"),
        ('{"n": "a\nb"}', 1, 9, "control character"),
        ('{"n": 1,\n"k": {"a": 1, "a": 2}}', 2, 15, "`a` occurs twice"),
        ('{"n": 1,\n\n  "n": 2}', 3, 3, "`n` occurs twice"),
        ('{"a": "\\"n\\": {", "b\\u0063": 1, "bc": 2}', 1, 33, "`bc` occurs twice"),
        ("[1, 2]", 1, 1, "this is an array"),
        ("3", 1, 1, "this is a single value"),
        ("null", 1, 1, "this is a single value"),
        ('{"n": ' + "[" * 100_000, 1, 206, "deeper than 200"),
        ('{"n": ' + '{"a":' * 100_000, 1, None, "deeper than 200"),
    ],
)
def test_json_that_is_not(rejected, file, text, line, column, phrase):
    name = file("d.json", text)
    error = rejected(PROGRAM, name)
    assert isinstance(error, DataError)
    [found] = error.diagnostics
    assert found.code == "PPL507"
    assert phrase in found.message
    assert found.span is not None
    assert (found.span.file, found.span.line) == (name, line)
    assert column is None or found.span.column == column
    assert name in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_file(rejected, file, text):
    assert "the file is empty" in str(rejected(PROGRAM, file("d.json", text)))


def test_values_of_json_that_are_no_numbers_name_the_field(rejected, file):
    error = rejected(PROGRAM, file("d.json", '{"n": 2, "k": [1, 1e400], "x": [NaN, -Infinity]}'))
    assert [d.code for d in error.diagnostics] == ["PPL504", "PPL504"]
    assert "`k[1]` in d.json is Infinity" in str(error)
    assert "`x[0]` in d.json is NaN" in str(error)


def test_ints_of_thousands_of_digits(rejected, bind, file):
    name = file("d.json", '{"n": 1, "k": [-' + "9" * 10_000 + '], "x": [0.5], "z": ' + "1" * 10_000 + "}")
    error = rejected(PROGRAM, name)
    assert "`k[0]` in d.json is an integer beyond 64 bits" in str(error)
    assert bind("data n: int", name) == {"n": 1}


def test_text_that_is_not_utf8(rejected, file):
    error = rejected(PROGRAM, file("d.json", b'{"n": 1,\n "k\xe9": \xff}'))
    assert "d.json:2:4: error[PPL507]" in str(error)
    assert "UTF-8" in str(error)
    assert "UTF-8" in str(rejected(PROGRAM, file("d.json", '{"n": 1}'.encode("utf-16"))))


def test_hostile_names_do_not_reach_the_terminal(bind, rejected, file):
    notes: list[str] = []
    bind("data n: int", file("d.json", '{"n": 1, "\\u001b[31m\\ud800": 2}'), notes)
    assert len(notes) == 1
    text = str(rejected("data n: int", file("e.json", '{"\\u001b[31m\\ud800": 2}')))
    assert "\x1b" not in text
    assert text.encode("utf-8")


# ------------------------------------------------------------------------ csv


def test_csv_columns(bind, file):
    data = bind(PROGRAM, file("d.csv", "k,x\n1,1\n2,2.5e0\n\n3,-3.\n"))
    assert data["n"] == 3
    assert data["k"].dtype == np.int64
    assert data["k"].tolist() == [1, 2, 3]
    assert data["x"].tolist() == [1.0, 2.5, -3.0]


@pytest.mark.parametrize(
    "text",
    [
        "k;x\n1;0.5\n2;1\n",
        "k\tx\n1\t0.5\n2\t1\n",
        '\ufeff"k","x"\r\n"1","0.5"\r\n"2","1"\r\n',
        " k , x\n\n 1 , 0.5 \n   \n2,1",
        '"",k,x\na,1,0.5\nb,2,1\n',
        'k,x,"a;b;c\nd"\n1,0.5,u\n2,1,v\n',
    ],
)
def test_csv_dialects(bind, file, text):
    data = bind(PROGRAM, file("d.csv", text))
    assert data["k"].tolist() == [1, 2]
    assert data["x"].tolist() == [0.5, 1.0]


def test_csv_matrix_columns(bind, file):
    source = "data n: int\ndata d: int\ndata m: real[n, d]\ndata y: bool[n]"
    data = bind(source, file("d.csv", "m[1],y,m[0]\n2,true,1\n4,FALSE,3\n"))
    assert data["m"].tolist() == [[1, 2], [3, 4]]
    assert data["y"].tolist() == [True, False]
    assert data["d"] == 2


def test_zero_and_one_are_truth_values_in_a_csv(bind, file):
    data = bind("data n: int\ndata y: bool[n]\ndata m: bool[n, 2]", file("d.csv", "y,m[0],m[1]\n1,0,true\n0,1,1\n"))
    assert data["y"].dtype == bool and data["y"].tolist() == [True, False]
    assert data["m"].tolist() == [[False, True], [True, True]]
    assert bind("data a: bool", file("one.csv", "a\n1\n"))["a"] is True
    for cell, came in (("2", "2"), ("1.0", "1.0"), ("-1", "-1")):
        with pytest.raises(DataError, match=rf"is {came}, expected true or false"):
            bind("data n: int\ndata y: bool[n]", file("d.csv", f"y\n{cell}\n"))


def test_a_csv_row_gives_scalars(bind, file):
    name = file("d.csv", "a,v[0],v[1]\n3,1.5,2\n")
    assert bind("data a: int", name) == {"a": 3}
    assert bind("data n: int\ndata a: real[n]", name)["a"].tolist() == [3.0]
    assert bind("data n: int\ndata v: real[n]", name)["v"].tolist() == [1.5, 2.0]
    assert bind("data n: int\ndata v: real[n, 2]", name)["v"].tolist() == [[1.5, 2.0]]


def test_a_csv_header_alone_is_columns_without_rows(bind, file):
    assert bind(PROGRAM, file("d.csv", "k,x\n"))["x"].shape == (0,)


@pytest.mark.parametrize(
    ("text", "code", "phrase"),
    [
        ("", "PPL507", "the file is empty"),
        ("\n \n", "PPL507", "the file is empty"),
        ("k,x\n1,2\n3\n", "PPL505", "line 3 has 1 cell,"),
        ("k,x\n1,2,3\n", "PPL505", "line 2 has 3 cells"),
        ("k,x,k\n1,2,3\n", "PPL507", "columns 1 and 3 have the same name `k`"),
        ("1,2\n3,4\n", "PPL507", "names of the columns"),
        ('k,x\n1,"2\n', "PPL507", "not a CSV table"),
        ('k,x\n1,"2"3\n', "PPL507", "not a CSV table"),
        ("k,k[0]\n1,2\n", "PPL507", "`k` is a column"),
        ("k[0],k[2]\n1,2\n", "PPL507", "`k[1]` is missing"),
        ("k,x\n1,0.5\n2.0,1\n", "PPL502", "`k[1]` (line 3, column 1 of d.csv) is 2.0"),
        ("k,x\n1,0.5\n2,\n", "PPL504", "`x[1]` (line 3, column 2 of d.csv) is an empty cell"),
        ("k,x\n1,NA\n", "PPL504", "`x[0]` (line 2, column 2 of d.csv) is the text `NA`"),
        ("k,x\n1,-inf\n", "PPL504", "is -Infinity"),
        ('k;x\n1;"0,5"\n', "PPL502", "a decimal point"),
        ("k,x\n1,1_000\n", "PPL502", 'the text "1_000"'),
        ("k,x\n" + "9" * 5000 + ",1\n", "PPL502", "beyond 64 bits"),
        ("k,x[0],x[1]\n1,2,3\n2,3,4\n", "PPL503", "`x[0]` (line 2, column 2 of d.csv) is an array of 2 values"),
        ("k,x\n1," + "2" * 200_000 + "\n", "PPL507", "field larger than"),
    ],
)
def test_csv_that_does_not_fit(rejected, file, text, code, phrase):
    error = rejected(PROGRAM, file("d.csv", text))
    assert isinstance(error, DataError)
    assert [d.code for d in error.diagnostics] == [code]
    assert phrase in message(error)


def test_a_missing_cell_of_a_single_column(rejected, bind, file):
    """Written `""`, as a line with nothing on it is no row."""
    program = "data n: int\ndata y: real[n]\nm ~ Normal(0, 1)\nobserve y ~ Normal(m, 1)\n"
    error = rejected(program, file("d.csv", 'y\n1.0\n""\n3.0\n'))
    assert [d.code for d in error.diagnostics] == ["PPL504"] and "`y[1]` (line 3" in message(error)
    assert bind(program, file("e.csv", "y\n1.0\n3.0\n\n"))["n"] == 2


def test_a_column_for_a_scalar(rejected, file):
    error = rejected("data a: int", file("d.csv", "a\n1\n2\n"))
    assert [d.code for d in error.diagnostics] == ["PPL503"]


# ------------------------------------------------------------------------ npz


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_npz(bind, file):
    data = bind(PROGRAM, file("d.npz", npz(k=np.array([1, 2], np.int8), x=np.array([1, 2], np.float32))))
    assert data["n"] == 2
    assert data["x"].dtype == np.float64
    assert bind("data n: int", file("e.npz", npz(n=3))) == {"n": 3}


def test_objects_in_an_npz_stay_closed(bind, rejected, file):
    name = file("d.npz", npz(n=1, k=np.array([1, None], object), x=np.array([1.0])))
    error = rejected(PROGRAM, name)
    assert "`k` in d.npz is an array of Python objects, which is never read" in str(error)
    assert bind("data n: int\ndata x: real[n]", name)["x"].tolist() == [1.0]


def test_an_npz_with_a_damaged_member(rejected, file):
    content = npz(k=np.arange(100), n=100, x=np.arange(100.0))
    at = content.index(b"NUMPY") + 200
    error = rejected(PROGRAM, file("d.npz", content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]))
    assert "`k` in d.npz is damaged" in str(error)


def test_an_npz_that_claims_to_be_huge(rejected, file):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert "`x` in d.npz is damaged" in str(rejected("data n: int = 1\ndata x: real[n]", file("d.npz", out.getvalue())))


def test_an_npz_with_a_member_twice(rejected, file):
    single = io.BytesIO()
    np.save(single, np.arange(2))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("k.npy", single.getvalue())
        archive.writestr("k.npy", single.getvalue())
    assert "`k` occurs twice" in str(rejected(PROGRAM, file("d.npz", out.getvalue())))


def array_file() -> bytes:
    out = io.BytesIO()
    np.save(out, np.arange(3))
    return out.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x80\x04K\x01.", npz(k=1)[:-30], array_file()])
def test_an_npz_that_is_none(rejected, file, content):
    error = rejected(PROGRAM, file("d.npz", content))
    assert isinstance(error, DataError)
    assert [d.code for d in error.diagnostics] == ["PPL507"]
    assert "d.npz" in str(error)


# ---------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "name", ["none.json", "none.csv", "none.npz", ".", "d.txt", "d", "", "a\0b.json", "x/none.json"]
)
def test_what_cannot_be_opened(rejected, file, name):
    error = rejected(PROGRAM, name)
    assert isinstance(error, DataError)
    assert [d.code for d in error.diagnostics] == ["PPL507"]


def test_a_folder_is_no_file(rejected, file, tmp_path):
    for kind in ("json", "csv", "npz"):
        (tmp_path / f"d.{kind}").mkdir()
        assert "cannot be opened" in str(rejected(PROGRAM, f"d.{kind}"))


def test_an_unknown_extension_says_which_are_known(rejected, file):
    assert ".json, .csv or .npz" in str(rejected(PROGRAM, file("d.xlsx", "")))


def test_load_file_alone(file):
    assert load_file(file("d.json", '{"a": [1, 2.0]}')) == {"a": [1, 2.0]}
    with pytest.raises(DataError):
        load_file("none.json")


def test_beside(tmp_path):
    program = tmp_path / "m.v2.ppl"
    assert beside(program) is None
    data = tmp_path / "m.v2.data.json"
    data.mkdir()
    assert beside(program) is None
    data.rmdir()
    data.write_text(json.dumps({"n": 1}))
    assert beside(program) == str(data)
    assert beside(str(program)) == str(data)
    assert beside("") is None
