"""The parser: from the text of a model to its AST, with every independent fault reported in one run.

    text -> tokens (lark's lexer) -> habits replaced -> layout -> LALR parser of lark -> Builder -> Module

A fault inside a statement gives one message; the parser then either reads the token that was meant or goes on after
the statement. Nothing recurses over the text, so depth is limited by the checks here and by nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from lark import Lark, Token, UnexpectedToken

from ppl.diagnostics import Diagnostics, InternalError, Span
from ppl.syntax import ast, tables
from ppl.syntax.habits import replace_habits
from ppl.syntax.layout import lay_out
from ppl.syntax.limits import MAX_NESTING, is_sound
from ppl.syntax.messages import Place, describe
from ppl.syntax.tokens import Faults, Lexeme, TooManyErrors, before

MAX_CHARACTERS = 1_000_000


def parse(text: str, file: str, sink: Diagnostics) -> ast.Module:
    """The AST of a model.

    `file` is the name shown in diagnostics. Faults go to `sink` (PPL001 to PPL013), and so does the text, with line ends
    normalised, for excerpts; the module then holds the statements that could be read, and only serves to look for more
    faults. Any text at all is either parsed or refused with a diagnostic.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    sink.sources.setdefault(file, text)
    faults = Faults()
    statements: tuple[ast.Statement, ...] = ()
    try:
        statements = _parse(text, file, faults)
    except TooManyErrors:
        pass
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
    statements = _Parser(tables.parser(), tokens, faults).run()
    return tuple(s for s in statements if is_sound(s, faults))


def _tokens(text: str, file: str, faults: Faults) -> list[Lexeme] | None:
    """The tokens of a text, ending with EOF; None if brackets are nested too deeply. Blank lines give no token."""
    out: list[Lexeme] = []
    depth = 0
    for token in tables.parser().lex(text):
        if token.type == "NEWLINE" and (not out or out[-1].type == "NEWLINE"):
            continue
        lexeme = _lexeme(token, file)
        out.append(lexeme)
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            depth += 1
            if depth > MAX_NESTING:
                faults.error("PPL008", f"brackets are nested deeper than {MAX_NESTING}", lexeme.span)
                return None
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            depth = max(depth - 1, 0)
    last = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    out.append(Lexeme("EOF", "", Span(file, last, column, last, column)))
    return out


def _lexeme(token: Token, file: str) -> Lexeme:
    line, column, end_line, end_column = token.line, token.column, token.end_line, token.end_column
    if line is None or column is None or end_line is None or end_column is None:
        raise InternalError("a token without a position")
    return Lexeme(token.type, str(token), Span(file, line, column, end_line, end_column))


@dataclass(slots=True)
class _Parser:
    """Feeds tokens to lark's LALR automaton, and knows for every open block where its current statement began."""

    lark: Lark
    tokens: list[Lexeme]
    faults: Faults

    def run(self) -> tuple[ast.Statement, ...]:
        automaton = self.lark.parse_interactive()
        state = automaton.parser_state
        tokens = self.tokens
        # For every open block: the token that started its current statement, and the height of the stack before it.
        starts: list[tuple[int, int]] = [(0, 1)]
        at = 0
        fresh = True  # the next token starts a statement
        while tokens[at].type != "EOF":
            token = tokens[at]
            try:
                automaton.feed_token(cast(Token, token))
            except UnexpectedToken:
                height = len(state.state_stack) if fresh else starts[-1][1]
                place = Place(tokens, at if fresh else starts[-1][0], at, frozenset(automaton.accepts()))
                fault = describe(place)
                self.faults.error(fault.code, fault.message, fault.span, fault.hint)
                if fault.instead is not None:
                    tokens[at : at + fault.skip] = fault.instead
                    continue
                del state.state_stack[height:], state.value_stack[height - 1 :]
                at, fresh = self.next_statement(at), True
                continue
            if fresh and token.type != "RBRACE":
                starts[-1] = (at, len(state.state_stack) - 1)
            if token.type == "LBRACE":
                starts.append((at + 1, len(state.state_stack)))
            elif token.type == "RBRACE":
                starts.pop()
            fresh = token.type in ("END", "LBRACE", "RBRACE")
            at += 1
        return automaton.feed_token(cast(Token, tokens[at].become("$END", "")))

    def next_statement(self, at: int) -> int:
        """Where to go on after a fault at `at`: after the statement, or at its block, with a harmless header."""
        tokens = self.tokens
        while tokens[at].type not in ("END", "LBRACE", "RBRACE", "EOF"):
            at += 1
        if tokens[at].type == "END":
            return at + 1
        if tokens[at].type == "LBRACE":
            span = before(tokens[at].span)
            tokens[at:at] = [Lexeme("IF", "if", span), Lexeme("TRUE", "true", span)]
        return at
