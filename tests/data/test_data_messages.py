"""What a user reads for each kind of fault in data, defaults and sizes: the whole text, one golden file."""

from __future__ import annotations

from pathlib import Path

import golden

from ppl.diagnostics import DataError

PROGRAM = "data n: int\ndata count: int[n]\ndata x: real[n, 2]\n"

# A name for the fault, the program, the content of the data file (None: not written), its name (None: no data given).
CASES = [
    ("missing", PROGRAM, '{"n": 1, "count": [3]}', "d.json"),
    ("misspelt", PROGRAM, '{"n": 1, "cuont": [3], "x": [[1, 2]]}', "d.json"),
    ("nothing given", "data scale: real", None, None),
    ("a point in an int", PROGRAM, '{"count": [3, 1.0], "x": [[1, 2], [3, 4]]}', "d.json"),
    ("a fraction for an int", PROGRAM, '{"count": [3, 1.5], "x": [[1, 2], [3, 4]]}', "d.json"),
    ("a bool for an int", PROGRAM, '{"count": [true], "x": [[1, 2]]}', "d.json"),
    ("an int for a bool", "data on: bool", '{"on": 1}', "d.json"),
    ("quoted numbers", "data x: real[2]", '{"x": ["1", "2"]}', "d.json"),
    ("null", "data x: real[2]", '{"x": [1, null]}', "d.json"),
    ("NaN", PROGRAM, '{"count": [3], "x": [[1, NaN]]}', "d.json"),
    ("too large", "data k: int", '{"k": 100000000000000000000000}', "d.json"),
    ("a number for an array", "data x: real[2]", '{"x": 3}', "d.json"),
    ("an array for a number", "data x: real", '{"x": [3]}', "d.json"),
    ("one axis too few", PROGRAM, '{"n": 2, "count": [1, 2], "x": [1, 2]}', "d.json"),
    ("one axis too many", "data x: real[2]", '{"x": [[1], [2]]}', "d.json"),
    ("an object", "data x: real[2]", '{"x": {"0": 1}}', "d.json"),
    ("too short", PROGRAM, '{"n": 3, "count": [1, 2, 3], "x": [[1, 2], [3, 4]]}', "d.json"),
    ("rows too long", PROGRAM, '{"count": [1], "x": [[1, 2, 3]]}', "d.json"),
    ("ragged", PROGRAM, '{"count": [1, 2], "x": [[1, 2], [3]]}', "d.json"),
    ("lengths that disagree", PROGRAM, '{"count": [1, 2, 3], "x": [[1, 2]]}', "d.json"),
    ("a negative size", "data n: int\ndata x: real[n]", '{"n": -2, "x": []}', "d.json"),
    ("a division by a given zero", "data k: int\ndata x: real[12 // k]", '{"k": 0, "x": []}', "d.json"),
    ("a given size too large", "data n: int\ndata x: real[n, n]", '{"n": 20000, "x": []}', "d.json"),
    (
        "a default that the data outgrow",
        "data n: int = 2\ndata x: real[n] = [1, 2]\ndata y: real[n]",
        '{"y": [1, 2, 3]}',
        "d.json",
    ),
    ("a default of the wrong length", "data x: real[3] = [1, 2]", None, None),
    ("a default of the wrong type", "data n: int = 7 / 2", None, None),
    ("a default before its data", "data a: real = 2 * b\ndata b: real = 1", None, None),
    ("a default divided by zero", "data a: real = 1 / (2 - 2)", None, None),
    ("a size that is real", "data x: real[5 / 2] = [1, 2]", None, None),
    ("not JSON", PROGRAM, '{"n": 1,\n "count": [1 2]}', "d.json"),
    ("a key twice", PROGRAM, '{"n": 1,\n "n": 2}', "d.json"),
    ("not an object", PROGRAM, "[1, 2]", "d.json"),
    ("a cell that is no int", PROGRAM, "count,x[0],x[1]\n3,0.5,1\n4.0,1,2\n", "d.csv"),
    ("an empty cell", PROGRAM, "count,x[0],x[1]\n3,0.5,1\n4,1,\n", "d.csv"),
    ("a row too short", PROGRAM, "count,x[0],x[1]\n3,0.5,1\n4,1\n", "d.csv"),
    ("no such file", PROGRAM, None, "none.json"),
    ("no such format", PROGRAM, None, "d.rds"),
]


def test_messages(rejected, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts: list[str] = []
    for name, program, content, file in CASES:
        if content is not None:
            Path(file).write_text(content, encoding="utf-8")
        error = rejected(program, file)
        whose = "data" if isinstance(error, DataError) else "program"
        parts.append(f"### {name} ({whose})\n{error}\n")
    golden.check(Path(__file__).parent / "golden" / "messages.txt", "\n".join(parts), request.config)
