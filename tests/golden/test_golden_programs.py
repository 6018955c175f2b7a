"""Emitted code and `explain` of every shipped program and exact case, pinned as text; and what must hold of all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import golden
import pytest

import ppl
from ppl.language.functions import FUNCTIONS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/conformance/cases.json").read_text(encoding="utf-8"))
PROGRAMS = {p.stem: p for p in sorted(ROOT.glob("programs/*.ppl"))} | {
    p.stem: p for p in sorted(ROOT.glob("tests/conformance/*.ppl"))
}
MORE = {
    p.stem: p
    for folder in ("programs/cases", "syntax/programs")
    for p in sorted((ROOT / "tests" / folder).glob("*.ppl"))
}


def data_of(name: str) -> Mapping[str, Any]:
    """The data of a program: from its case, or the file beside it."""
    beside = ROOT / "programs" / f"{name}.data.json"
    if beside.exists():
        fields = json.loads(beside.read_text(encoding="utf-8"))
        return {k: v for k, v in fields.items() if k != "source"}
    return CASES[name]["data"] if name in CASES else {}


def compiled(path: Path) -> ppl.Model:
    # Named without its folder, so that no path gets into the text.
    return ppl.compile(path.read_text(encoding="utf-8"), path.stem)


@pytest.mark.parametrize("name", PROGRAMS)
def test_emitted_code(name: str, pytestconfig: pytest.Config) -> None:
    try:
        text = compiled(PROGRAMS[name]).source_code
    except ppl.PplError as refusal:
        text = f"{refusal}\n"
    golden.check(HERE / "emit" / f"{name}.py.txt", text, pytestconfig)


@pytest.mark.parametrize("name", PROGRAMS)
def test_explained(name: str, pytestconfig: pytest.Config) -> None:
    try:
        text = json.dumps(compiled(PROGRAMS[name]).explain(data_of(name)), indent=1, ensure_ascii=False) + "\n"
    except ppl.PplError as refusal:
        text = f"{refusal}\n"
    golden.check(HERE / "explain" / f"{name}.json", text, pytestconfig)


def test_no_golden_file_is_left_over() -> None:
    assert {p.name.removesuffix(".py.txt") for p in (HERE / "emit").iterdir()} == set(PROGRAMS)
    assert {p.stem for p in (HERE / "explain").iterdir()} == set(PROGRAMS)


# ------------------------------------------------------------------------- guards (all: tests/regions/test_every_jump)


@pytest.mark.parametrize("name", [f.name for f in FUNCTIONS.values() if f.kind == "jump"])
def test_no_jump_is_taken_for_smooth(name: str) -> None:
    guards = ppl.compile(f"x ~ Normal(0, 1)\nfactor (x + 2) * {name}(x)").explain()["guards"]
    assert "boundary" in [g["status"] for g in guards]


@pytest.mark.parametrize("use", ["abs(x)", "relu(x)", "min(x, 1)", "max(x, 0)", "clamp(x, 0, 1)"])
def test_a_kink_is_listed(use: str) -> None:
    (guard,) = ppl.compile(f"x ~ Normal(0, 1)\nfactor {use}").explain()["guards"]
    assert (guard["text"], guard["status"]) == (use, "no-jump")


# -------------------------------------------------------------------------------------------------------- determinism

DUMP = """
import hashlib, json, pathlib, sys
import ppl
for path in sys.argv[1:]:
    p = pathlib.Path(path)
    try:
        m = ppl.compile(p.read_text(encoding="utf-8"), p.stem)
        text = m.source_code + json.dumps(m.explain())
    except ppl.PplError as refusal:
        text = str(refusal)
    print(p.stem, hashlib.sha256(text.encode()).hexdigest())
"""


def test_output_does_not_depend_on_hashing() -> None:
    """Emitted code, `explain` and diagnostics are the same for every hash seed of Python."""
    files = [str(p) for p in (*PROGRAMS.values(), *MORE.values(), *sorted((ROOT / "tests/bad/semantic").glob("*.ppl")))]

    def dump(seed: str) -> str:
        env = dict(os.environ) | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DUMP, *files], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = dump("0")
    assert len(first.splitlines()) == len(files)
    assert dump("1") == first
    assert dump("271828") == first


@pytest.mark.parametrize("condition", ["(x > 0) == (y > 0)", "(x > 0) != (y > 0)", "(x > 0) == true"])
def test_comparing_conditions_hides_no_boundary(condition: str) -> None:
    guards = ppl.compile(f"x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor if {condition} then x else y\n").explain()[
        "guards"
    ]
    assert {g["text"]: g["status"] for g in guards if g["text"] in ("x > 0", "y > 0")} == {
        text: "boundary" for text in ("x > 0", "y > 0") if text in condition
    }
