"""The wording of syntax errors: one golden file for each faulty model in ``tests/bad/syntax``."""

from __future__ import annotations

from pathlib import Path

import golden
import pytest
from reading import codes, faults

from ppl.diagnostics import Diagnostics, render
from ppl.syntax import parse

BAD = sorted((Path(__file__).parents[1] / "bad" / "syntax").glob("*.ppl"))


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_wording(path: Path, pytestconfig: pytest.Config) -> None:
    sink = Diagnostics()
    parse(path.read_text(encoding="utf-8"), path.name, sink)
    assert sink.errors
    assert all(d.code.startswith("PPL0") and d.span is not None for d in sink.items)
    golden.check(path.with_suffix(".expected"), render(sink.items, sink.sources) + "\n", pytestconfig)


def test_there_are_snippets() -> None:
    assert len(BAD) >= 60


def test_independent_faults_are_all_reported_in_order() -> None:
    found = faults("x = 1 +* 2\nif y = 2 { z = .5 }\nobserve 1 Normal(0, 1)\nfor i in range(3) { w := 2 }\n")
    assert [d.code for d in found] == ["PPL002", "PPL004", "PPL006", "PPL002", "PPL005", "PPL011"]
    assert [d.span.line for d in found if d.span] == [1, 2, 2, 3, 4, 4]


def test_statements_around_a_fault_are_kept() -> None:
    sink = Diagnostics()
    module = parse("x = 1\ny = = 2\nz = 3\n", "f", sink)
    assert [s.span.line for s in module.statements] == [1, 3]


def test_a_broken_header_does_not_hide_its_block() -> None:
    assert codes("for i in n {\n x = * 2\n}\ny = 1\n") == ["PPL005", "PPL002"]


def test_unclosed_bracket_is_reported_where_it_opens() -> None:
    (fault,) = faults("x ~ Normal(0, 1\ny ~ Normal(x, 1)\n")
    assert fault.code == "PPL003"
    assert fault.span is not None
    assert (fault.span.line, fault.span.column) == (1, 11)


def test_reading_stops_after_twenty_faults() -> None:
    assert len(codes("x = * 2\n" * 100)) == 20
    assert len(codes("x ** 2\n" * 100)) == 20
    assert len(codes("}\n" * 100)) == 20
    assert len(codes("\x00 " * 100)) == 20


@pytest.mark.parametrize("name", ["elif", "range", "target", "let", "def", "model", "print", "data_", "sample", "real"])
def test_words_behind_a_hint_are_still_names(name: str) -> None:
    assert codes(f"{name} = 1\ny = {name} + 1\n{name} ~ Normal(0, 1)\nvar z: real[2]\n") == []
