"""The grammar, the tables prepared from it, and where both are found."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import lark
import pytest

from ppl import resources
from ppl.diagnostics import Diagnostics, InternalError
from ppl.syntax import ast, generate, parse
from ppl.syntax.layout import lay_out
from ppl.syntax.tables import tables
from ppl.syntax.tokens import Faults, Lexeme

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(p for folder in ("programs", "stdlib", "tests") for p in (ROOT / folder).rglob("*.ppl"))


@pytest.fixture(scope="module")
def reference() -> Any:
    """Lark's own parser."""
    return generate.build(resources.grammar_text())


def test_prepared_tables_match_the_grammar() -> None:
    text = resources.tables_text()
    assert text is not None, "write them as ppl/syntax/generate.py says"
    stored, fresh = json.loads(text), json.loads(generate.serialise(resources.grammar_text()))
    if stored != fresh and stored["grammar"] == fresh["grammar"] and stored["lark"] != lark.__version__:
        pytest.skip("prepared with another version of lark, which may number and name things otherwise")
    assert stored == fresh, "the grammar has changed: write its tables anew, as ppl/syntax/generate.py says"


def lexed_by_lark(reference: Any, text: str) -> list[tuple[object, ...]]:
    return [(t.type, str(t), t.line, t.column, t.end_line, t.end_column) for t in reference.lex(text)]


def lexed(text: str) -> list[tuple[object, ...]]:
    return [
        (t.type, t.text, t.span.line, t.span.column, t.span.end_line, t.span.end_column)
        for t in tables().lex(text, "f")
    ]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_tokens_are_those_of_lark(path: Path, reference: Any) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    assert lexed(text) == lexed_by_lark(reference, text)


def test_tokens_of_any_text_are_those_of_lark(reference: Any) -> None:
    rng = random.Random(0)
    pieces = (
        *"abz_09.eE+-*/%^=<>!~:;,()[]{}#'\"\\$&| \t\n\r\u00e9\u03c0\0",
        "..",
        "1e5",
        "limit",
        "data",
        "ifx",
        "//",
        "->",
    )
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=rng.randrange(1, 60)))
        assert lexed(text) == lexed_by_lark(reference, text), repr(text)


@pytest.mark.parametrize("path", [p for p in PROGRAMS if "bad" not in p.parts], ids=lambda p: p.stem)
def test_trees_are_those_of_lark(path: Path, reference: Any) -> None:
    """Lark's automaton, fed with the same tokens, builds the same tree with the same spans."""
    text, sink = path.read_text(encoding="utf-8"), Diagnostics()
    found = parse(text, "f", sink)
    if sink.errors:
        pytest.skip("a program with a syntax error")
    tokens = [t for t in tables().lex(text, "f")]
    end = Lexeme("EOF", "", found.span)
    faults = Faults()
    automaton = reference.parse_interactive()
    for token in lay_out([*tokens, end], faults):
        result = automaton.feed_token(token.become("$END", "") if token.type == "EOF" else token)
    assert not faults.items
    assert ast.Module(found.span, result) == found
    assert spans(result) == spans(found.statements)


def spans(node: object) -> list[object]:
    if isinstance(node, tuple):
        return [x for item in node for x in spans(item)]
    if not isinstance(node, ast.Node):
        return []
    return [node.span, *(x for name in type(node).__match_args__ for x in spans(getattr(node, name)))]


def test_tables_of_another_grammar_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = resources.grammar_text().replace('"factor"', '"potential"')
    monkeypatch.setattr(resources, "grammar_text", lambda: changed)
    fresh = tables.__wrapped__()
    assert [t.type for t in fresh.lex("potential", "f")] == ["FACTOR"]


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    """Lark settles shift/reduce conflicts silently by a shift, and mentions them in its debug log only."""
    level = lark.logger.level
    lark.logger.addHandler(caplog.handler)
    lark.logger.setLevel(logging.DEBUG)
    try:
        generate.build(resources.grammar_text(), debug=True)
        assert "Conflict" not in caplog.text and "conflict" not in caplog.text
        lark.Lark('start: "a" start? "b" start? | "a" start?', parser="lalr", debug=True)
        assert "conflict" in caplog.text.lower(), "lark no longer logs conflicts this way"
    finally:
        lark.logger.setLevel(level)
        lark.logger.removeHandler(caplog.handler)


def test_parsing_imports_neither_lark_nor_a_numerical_library() -> None:
    code = (
        "import sys; from ppl.diagnostics import Diagnostics; from ppl.syntax import parse\n"
        "parse('x = 1', 'f', Diagnostics())\n"
        "print([m for m in ('lark', 'jax', 'numpy', 'scipy') if m in sys.modules])"
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
