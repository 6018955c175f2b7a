"""The grammar, the tables prepared from it, and where both are found."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import lark
import pytest

from ppl import resources
from ppl.diagnostics import InternalError
from ppl.syntax import tables

ROOT = Path(__file__).parents[2]


def actions(parser: lark.Lark) -> list[dict[str, tuple[str, object]]]:
    """The parse table with states numbered in the order in which they are reached, so that two can be compared."""
    table: Any = parser.parser.parser._parse_table
    order = [table.start_states["start"]]
    out: list[dict[str, tuple[str, object]]] = []
    for state in order:
        row: dict[str, tuple[str, object]] = {}
        for symbol, (kind, arg) in sorted(table.states[state].items()):
            if str(kind) == "Shift":
                if arg not in order:
                    order.append(arg)
                row[symbol] = ("shift", order.index(arg))
            else:
                row[symbol] = ("reduce", (arg.origin.name, [s.name for s in arg.expansion], arg.alias))
        out.append(row)
    return out


def test_prepared_tables_match_the_grammar() -> None:
    text = resources.tables_text()
    assert text is not None, "write them as ppl/syntax/tables.py says"
    stored = json.loads(text)
    fresh = tables.build(resources.grammar_text())
    if stored["key"] != json.loads(tables.serialise(resources.grammar_text()))["key"]:
        assert lark.__version__ not in stored["key"], "the grammar has changed: write its tables anew"
        pytest.skip("prepared with another version of lark, and so not used")
    loaded = tables._load(stored)
    assert actions(loaded) == actions(fresh)
    terminals = [{(t.name, t.pattern.value, t.priority) for t in p.terminals} for p in (loaded, fresh)]
    assert terminals[0] == terminals[1]


def test_tables_of_another_grammar_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = resources.grammar_text().replace('"factor"', '"potential"')
    monkeypatch.setattr(resources, "grammar_text", lambda: changed)
    parser = tables.parser.__wrapped__()
    assert [t.type for t in parser.lex("potential")] == ["FACTOR"]


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    """Lark settles shift/reduce conflicts silently by a shift, and mentions them in its debug log only."""
    level = lark.logger.level
    lark.logger.addHandler(caplog.handler)
    lark.logger.setLevel(logging.DEBUG)
    try:
        tables.build(resources.grammar_text(), debug=True)
        assert "Conflict" not in caplog.text and "conflict" not in caplog.text
        lark.Lark('start: "a" start? "b" start? | "a" start?', parser="lalr", debug=True)
        assert "conflict" in caplog.text.lower(), "lark no longer logs conflicts this way"
    finally:
        lark.logger.setLevel(level)
        lark.logger.removeHandler(caplog.handler)


def test_parsing_imports_no_numerical_library() -> None:
    code = (
        "import sys; from ppl.diagnostics import Diagnostics; from ppl.syntax import parse\n"
        "parse('x = 1', 'f', Diagnostics())\n"
        "print([m for m in ('jax', 'numpy', 'scipy', 'interegular') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resources_are_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel has the two folders inside the package."""
    for folder in ("_grammar", "_stdlib"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_grammar" / "ppl.lark").write_text("installed")
    (tmp_path / "_stdlib" / "prelude.ppl").write_text("")
    monkeypatch.setattr(resources, "PACKAGE", str(tmp_path))
    assert resources.grammar_text() == "installed"
    assert resources.tables_text() is None
    assert resources.stdlib_path() == str(tmp_path / "_stdlib")


def test_resources_are_found_in_a_checkout() -> None:
    assert resources.grammar_text() == (ROOT / "grammar" / "ppl.lark").read_text(encoding="utf-8")
    assert (Path(resources.stdlib_path()) / "prelude.ppl").is_file()


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", str(tmp_path / "ppl"))
    with pytest.raises(InternalError, match="grammar"):
        resources.grammar_text()
