"""The parser: from the text of a model to its AST, with every independent fault reported in one run.

    text -> tokens (lark's lexer) -> habits replaced -> layout -> LALR parser of lark -> Builder -> Module

A fault inside a statement gives one message; the parser then either reads the token that was meant or goes on after
the statement. Nothing recurses over the text, so depth is limited by the checks here and by nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from lark import Token, UnexpectedToken
from lark.parsers.lalr_analysis import Shift

from ppl.diagnostics import Diagnostics, InternalError, Span
from ppl.record import record
from ppl.syntax import ast, tables
from ppl.syntax.habits import replace_habits
from ppl.syntax.layout import lay_out
from ppl.syntax.limits import MAX_NESTING, is_sound
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
    for token in cast(Any, tables.parser()).lex(text):
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


@record
class _Automaton:
    """Lark's LALR automaton, fed by hand: `height` and `cut` are what recovery needs beyond its public interface."""

    lark: Any  # lark's InteractiveParser, whose stacks are not typed

    @classmethod
    def new(cls) -> _Automaton:
        return cls(cast(Any, tables.parser()).parse_interactive())

    def feed(self, token: Lexeme) -> Any:
        """Raises lark's UnexpectedToken; returns the value of the start rule after the last token."""
        return self.lark.feed_token(token)

    def accepts(self) -> frozenset[str]:
        """The terminals that can follow. Lark's own `accepts` copies the values too, in some versions deeply."""
        stack: list[int] = self.lark.parser_state.state_stack
        table: _States = self.lark.parser_state.parse_conf.states
        return frozenset(t for t in table[stack[-1]] if t.isupper() and _can_shift(table, list(stack), t))

    @property
    def height(self) -> int:
        return len(self.lark.parser_state.state_stack)

    def cut(self, height: int) -> None:
        """Forgets what was read since the stack had this height. States are one more than values."""
        state = self.lark.parser_state
        del state.state_stack[height:], state.value_stack[height - 1 :]


_States = dict[int, dict[str, tuple[Any, Any]]]  # of each state, by symbol: lark's action, and its state or rule


def _can_shift(table: _States, stack: list[int], terminal: str) -> bool:
    """Whether the reductions that `terminal` causes end in a state that reads it. Changes `stack`."""
    while terminal in table[stack[-1]]:
        action, rule = table[stack[-1]][terminal]
        if action is Shift:
            return True
        if rule.expansion:
            del stack[-len(rule.expansion) :]
        stack.append(table[stack[-1]][rule.origin.name][1])
    return False


@dataclass(slots=True, eq=False, repr=False)
class _Parser:
    """Feeds the tokens, and knows for every open block where its current statement began."""

    tokens: list[Lexeme]
    faults: Faults
    automaton: _Automaton = field(default_factory=_Automaton.new)
    # For every open block: the token that started its current statement, and the height of the stack before it.
    starts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1)])
    at: int = 0
    fresh: bool = True  # the next token starts a statement

    def run(self) -> tuple[ast.Statement, ...]:
        while self.tokens[self.at].type != "EOF":
            try:
                self.automaton.feed(self.tokens[self.at])
            except UnexpectedToken:
                self.recover()
            else:
                self.advance(self.tokens[self.at])
        return self.automaton.feed(self.tokens[self.at].become("$END", ""))

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
