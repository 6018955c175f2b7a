"""Whole models: their trees, one statement a line, in golden files."""

from __future__ import annotations

from pathlib import Path

import golden
import pytest
from reading import read

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "programs").glob("*.ppl"))
OTHERS = sorted([*(HERE.parent / "conformance").glob("*.ppl"), *(HERE.parents[1] / "programs").glob("*.ppl")])


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_program_has_its_tree(path: Path, pytestconfig: pytest.Config) -> None:
    statements = read(path.read_text(encoding="utf-8"))
    golden.check(path.with_suffix(".ast"), "".join(f"{s!r}\n" for s in statements), pytestconfig)


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.stem)
def test_program_of_the_collections_is_read(path: Path) -> None:
    assert read(path.read_text(encoding="utf-8"))


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 8
