"""The lexer and the LALR automaton, as tables that ``ppl/syntax/generate.py`` has prepared from the grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ppl import resources
from ppl.diagnostics import Span
from ppl.record import record
from ppl.syntax.build import Builder
from ppl.syntax.tokens import Lexeme


@record
class Rule:
    """What is done when a rule of the grammar has been read: its last `size` values become one value of `origin`.

    `make` makes it of them; without it they are handed on as they are, for the rule around, which splices in the parts
    `spliced`. If `single`, one part alone stands for itself.
    """

    origin: str
    size: int
    make: Callable[[Sequence[Any]], Any] | None
    spliced: frozenset[int]
    single: bool

    def reduce(self, values: list[Any]) -> Any:
        if self.spliced:
            parts, values = values, []
            for k, part in enumerate(parts):
                if k not in self.spliced:
                    values.append(part)
                elif k == 0:
                    values = part  # grows in place: a list of n statements takes n steps
                else:
                    values.extend(part)
        if self.single and len(values) == 1:
            return values[0]
        return values if self.make is None else self.make(values)


@record
class Tables:
    """`states`: by symbol, the state after it (0 or more) or the rule that it completes (-1 for rule 0, -2 for rule 1).

    `terminals` matches one token, of the type that its group is named by, unless `keywords` has another type for its
    text. The tokens `ignored` do not count. State 0 is where a text starts, `end` where it is complete.
    """

    terminals: re.Pattern[str]
    keywords: Mapping[str, Mapping[str, str]]
    ignored: frozenset[str]
    rules: tuple[Rule, ...]
    states: Sequence[Mapping[str, int]]
    end: int

    def lex(self, text: str, file: str) -> Iterator[Lexeme]:
        """The tokens of a text, newlines included. Every character belongs to one, if to a BAD_CHARACTER."""
        line, start, at = 1, 0, 0
        while at < len(text):
            match = self.terminals.match(text, at)
            assert match is not None and match.lastgroup is not None, "the grammar has a terminal for every character"
            kind, word, end = match.lastgroup, match[0], match.end()
            if kind in self.keywords:
                kind = self.keywords[kind].get(word, kind)
            if kind == "NEWLINE":
                yield Lexeme(kind, word, Span(file, line, at - start + 1, line + 1, 1))
                line, start = line + 1, end
            elif kind not in self.ignored:
                yield Lexeme(kind, word, Span(file, line, at - start + 1, line, end - start + 1))
            at = end


@cache
def tables() -> Tables:
    """The tables of the grammar, made anew if those beside it belong to another."""
    grammar, text = resources.grammar_text(), resources.tables_text()
    stored: dict[str, Any] = {} if text is None else json.loads(text)
    if stored.get("grammar") != grammar:
        from ppl.syntax import generate

        stored = generate.tables(grammar)
    return load(stored)


def load(stored: Mapping[str, Any]) -> Tables:
    """Tables from what `ppl.syntax.generate.tables` returned."""
    builder = Builder()
    rules = [
        Rule(origin, size, None if name is None else getattr(builder, name, None), frozenset(spliced), single)
        for origin, size, name, spliced, single in stored["rules"]
    ]
    terminals = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in stored["terminals"]))
    ignored = frozenset(stored["ignored"])
    return Tables(terminals, stored["keywords"], ignored, tuple(rules), stored["states"], stored["end"])
