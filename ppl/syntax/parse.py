"""The parser: from the text of a model to its AST, with every independent fault reported in one run.

    text -> tokens -> habits replaced -> layout -> LALR automaton -> Builder -> Module

The lexer and the automaton run on tables that lark makes from the grammar (``ppl/syntax/generate.py``).

A fault inside a statement gives one message; the parser then either reads the token that was meant or goes on after
the statement. Nothing recurses over the text, so depth is limited by the checks here and by nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from ppl.diagnostics import Diagnostics, Span
from ppl.syntax import ast
from ppl.syntax.automaton import Automaton, Unexpected
from ppl.syntax.habits import replace_habits
from ppl.syntax.layout import lay_out
from ppl.syntax.limits import MAX_NESTING, is_sound
from ppl.syntax.tables import tables
from ppl.syntax.tokens import Faults, Lexeme, TooManyErrors, before

MAX_CHARACTERS = 500_000


def parse(text: str, file: str, sink: Diagnostics) -> ast.Module:
    """The AST of a model.

    `file` is the name shown in diagnostics. Faults go to `sink` (PPL001 to PPL013), and so does the text for
    their excerpts, with line ends normalised. After a fault the module holds the statements that could be read, fit
    for finding more faults and nothing else. Any text at all is either parsed or refused with a diagnostic.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    sink.sources.setdefault(file, text)
    faults = Faults()
    statements: tuple[ast.Statement, ...] = ()
    with suppress(TooManyErrors):
        statements = _parse(text, file, faults)
    for diagnostic in sorted(faults.items, key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0)):
        sink.add(diagnostic)
    first = Span(file, 1, 1, 1, 1)
    return ast.Module(first.to(statements[-1].span) if statements else first, statements)


def _parse(text: str, file: str, faults: Faults) -> tuple[ast.Statement, ...]:
    if len(text) > MAX_CHARACTERS:
        message = f"the text has {len(text):,} characters, more than {MAX_CHARACTERS:,}"
        faults.error("PPL013", message, Span(file, 1, 1, 1, 1), "tables of numbers belong in a data file")
        return ()
    tokens = _tokens(text, file, faults)
    if tokens is None:
        return ()
    tokens = lay_out(replace_habits(tokens, faults), faults)
    statements = _Parser(tokens, faults).run()
    return tuple(s for s in statements if is_sound(s, faults))


def _tokens(text: str, file: str, faults: Faults) -> list[Lexeme] | None:
    """The tokens of a text, ending with EOF; None if brackets are nested too deeply. Blank lines give no token."""
    out: list[Lexeme] = []
    depth = 0
    for token in tables().lex(text, file):
        if token.type == "NEWLINE" and (not out or out[-1].type == "NEWLINE"):
            continue
        out.append(token)
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            depth += 1
            if depth > MAX_NESTING:
                faults.error("PPL008", f"brackets are nested deeper than {MAX_NESTING}", token.span)
                return None
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            depth = max(depth - 1, 0)
    last = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    out.append(Lexeme("EOF", "", Span(file, last, column, last, column)))
    return out


@dataclass(slots=True, eq=False, repr=False)
class _Parser:
    """Feeds the tokens, and knows for every open block where its current statement began."""

    tokens: list[Lexeme]
    faults: Faults
    automaton: Automaton = field(default_factory=Automaton)
    # For every open block: the token that started its current statement, and the height of the stack before it.
    starts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1)])
    at: int = 0
    fresh: bool = True  # the next token starts a statement

    def run(self) -> tuple[ast.Statement, ...]:
        while self.tokens[self.at].type != "EOF":
            try:
                self.automaton.feed(self.tokens[self.at])
            except Unexpected:
                self.recover()
            else:
                self.advance(self.tokens[self.at])
        return self.automaton.finish()

    def advance(self, token: Lexeme) -> None:
        """Notes where statements and blocks start, after `token` was read."""
        if self.fresh and token.type != "RBRACE":
            self.starts[-1] = (self.at, self.automaton.height - 1)
        if token.type == "LBRACE":
            self.starts.append((self.at + 1, self.automaton.height))
        elif token.type == "RBRACE":
            self.starts.pop()
        self.fresh = token.type in ("END", "LBRACE", "RBRACE")
        self.at += 1

    def recover(self) -> None:
        """Reports the token that the grammar does not allow, then reads what was meant or skips the statement."""
        from ppl.syntax.messages import Place, describe  # only a faulty model pays for loading them

        start, height = (self.at, self.automaton.height) if self.fresh else self.starts[-1]
        fault = describe(Place(self.tokens, start, self.at, self.automaton.accepts()))
        self.faults.error(fault.code, fault.message, fault.span, fault.hint)
        if fault.instead is not None:
            self.tokens[self.at : self.at + fault.skip] = fault.instead
        else:
            self.automaton.cut(height)
            self.at, self.fresh = fault.resume or self.next_statement(fault.blocks), True

    def next_statement(self, blocks: bool) -> int:
        """Where to go on: after the statement, or at its block, which gets a harmless header, or after its blocks."""
        tokens, at = self.tokens, self.at
        if blocks:
            return _after_blocks(tokens, at)
        while tokens[at].type not in ("END", "LBRACE", "RBRACE", "EOF"):
            at += 1
        if tokens[at].type == "END":
            return at + 1
        if tokens[at].type == "LBRACE":
            span = before(tokens[at].span)
            tokens[at:at] = [Lexeme("IF", "if", span), Lexeme("TRUE", "true", span)]
        return at


def _after_blocks(tokens: list[Lexeme], at: int) -> int:
    """After the statement that `at` stands in, with any blocks that it seems to have."""
    depth = 0
    while tokens[at].type != "EOF":
        kind = tokens[at].type
        if kind == "RBRACE" and depth == 0:
            return at
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        at += 1
        if depth == 0 and (kind == "END" or (kind == "RBRACE" and tokens[at].type != "ELSE")):
            return at
    return at
