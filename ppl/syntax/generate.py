"""The parse tables, made by lark from ``grammar/ppl.lark``.

Lark reads the grammar and does the LALR construction; what it found is written down in ``grammar/ppl.tables.json``,
which is all that parsing needs. So no command waits for lark, unless the grammar has changed since. After a change,
write the file again:

    python -c "from ppl.syntax.generate import write; write()"
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, cast

from lark import Lark, Token, __version__
from lark.parsers.lalr_analysis import Shift

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


def build(grammar: str, debug: bool = False) -> Lark:
    """Lark's own parser for the text of a grammar; with `debug` lark logs conflicts."""
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


def tables(grammar: str) -> dict[str, Any]:
    """The tables of a grammar; see `ppl.syntax.tables.Tables` for what they hold."""
    parser: Any = build(grammar).parser
    table = parser.parser._parse_table
    numbers = {rule: k for k, rule in enumerate(_rules(table))}
    order = [table.start_states["start"]]
    states: list[dict[str, int]] = []
    for state in order:  # grows as states are met, so that their numbers depend on the grammar alone
        row: dict[str, int] = {}
        for symbol, (kind, target) in sorted(table.states[state].items()):
            if kind is Shift and target not in order:
                order.append(target)
            row[symbol] = order.index(target) if kind is Shift else -1 - numbers[target]
        states.append(row)
    lexer = parser.lexer.lexer
    return {
        "lark": __version__,
        "grammar": grammar,
        "terminals": [[t.name, t.pattern.to_regexp()] for t in lexer.scanner.terminals],
        "keywords": {
            name: {t.pattern.value: t.name for t in unless.scanner.terminals} for name, unless in lexer.callback.items()
        },
        "ignored": sorted(lexer.ignore_types),
        "rules": [_rule(rule) for rule in numbers],
        "states": states,
        "end": order.index(table.end_states["start"]),
    }


def _rules(table: Any) -> list[Any]:
    """All rules, in an order that depends on the grammar alone."""
    used = {target for row in table.states.values() for kind, target in row.values() if kind is not Shift}
    return sorted(used, key=lambda r: (r.origin.name, [s.name for s in r.expansion], r.alias or ""))


def _rule(rule: Any) -> list[Any]:
    """What a reduction does: the symbol it makes, of how many; the Builder's method, none for a rule whose parts
    become those of the rule around it; which parts are such rules; whether a single part stands for itself."""
    hidden = rule.origin.name.startswith("_")
    name = None if hidden else rule.alias or rule.origin.name
    spliced = [k for k, s in enumerate(rule.expansion) if not s.is_term and s.name.startswith("_")]
    return [rule.origin.name, len(rule.expansion), name, spliced, bool(rule.options.expand1 and not rule.alias)]


def serialise(grammar: str) -> str:
    """The text of ``ppl.tables.json`` for a grammar."""
    return json.dumps(tables(grammar), separators=(",", ":")) + "\n"


def write() -> None:
    """Prepares ``grammar/ppl.tables.json`` of a source checkout."""
    checkout = os.path.dirname(resources.PACKAGE)
    with open(os.path.join(checkout, "grammar", "ppl.tables.json"), "w", encoding="utf-8") as file:
        file.write(serialise(resources.grammar_text()))
