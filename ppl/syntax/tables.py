"""The LALR parser, from tables prepared in advance where they fit.

Building the tables from ``grammar/ppl.lark`` takes longer than everything else `pplc check` does on a small model, so
they are kept beside it in ``ppl.tables.json``. The file names the grammar (by hash) and the version of lark it was made
with; if either differs, the tables are built anew. After a change of the grammar, write the file again:

    python -c "from ppl.syntax.tables import write; write()"
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from lark import Lark, Token, __version__
from lark.grammar import Rule
from lark.lexer import TerminalDef

from ppl import resources
from ppl.syntax.build import Builder


class _KeepAll:
    """Tells lark to keep the terminals that no rule mentions: newlines and what only the messages know."""

    always_accept = (
        *("SEMICOLON", "NEWLINE", "BAD_NUMBER", "BAD_NAME", "BAD_STRING", "BAD_AUGMENTED", "BAD_WALRUS"),
        *("BAD_POWER", "BAD_AND", "BAD_OR", "BAD_NOT", "BAD_CHARACTER"),
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


@cache
def parser() -> Lark:
    """The parser; it holds no state of a parse."""
    grammar = resources.grammar_text()
    text = resources.tables_text()
    if text is not None:
        stored = json.loads(text)
        if stored["key"] == _key(grammar):
            return _load(stored)
    return build(grammar)


def build(grammar: str, debug: bool = False) -> Lark:
    """The parser, built from the text of the grammar; with `debug` lark logs conflicts."""
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=cast(Any, Builder()),
        postlex=cast(Any, _KeepAll()),
        debug=debug,
    )


def serialise(grammar: str) -> str:
    """The text of ``ppl.tables.json`` for a grammar. Lark numbers states and rules anew each time."""
    data, memo = cast(Any, build(grammar)).memo_serialize([TerminalDef, Rule])
    data["options"].update(transformer=None, postlex=None)
    stored = {"key": _key(grammar), "data": data, "memo": memo}
    return json.dumps(stored, separators=(",", ":"), sort_keys=True) + "\n"


def write() -> None:
    """Prepares ``grammar/ppl.tables.json`` of a source checkout."""
    checkout = os.path.dirname(resources.PACKAGE)
    with open(os.path.join(checkout, "grammar", "ppl.tables.json"), "w", encoding="utf-8") as tables:
        tables.write(serialise(resources.grammar_text()))


def _key(grammar: str) -> str:
    return f"lark {__version__}, grammar {hashlib.sha256(grammar.encode()).hexdigest()}"


def _load(stored: dict[str, Any]) -> Lark:
    """Lark's own way back from `memo_serialize`; JSON has turned the integer keys of its tables into text."""
    data = stored["data"]
    table = data["parser"]["parser"]
    table["tokens"] = _int_keys(table["tokens"])
    table["states"] = {int(s): _int_keys(actions) for s, actions in table["states"].items()}
    load: Any = Lark._load_from_dict  # pyright: ignore - private, but what the parsers that lark generates call
    return load(data, _int_keys(stored["memo"]), transformer=Builder(), postlex=_KeepAll())


def _int_keys(table: dict[str, Any]) -> dict[int, Any]:
    return {int(k): v for k, v in table.items()}
