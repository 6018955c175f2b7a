"""Tokens as the phases after the lexer see them: a kind, the text, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from ppl.diagnostics import Diagnostic, Span
from ppl.record import record


@record
class Lexeme:
    """`type` is the name of a terminal in ``grammar/ppl.lark``."""

    type: str
    text: str
    span: Span

    def become(self, type_: str, text: str) -> Lexeme:
        """Another token in the same place."""
        return Lexeme(type_, text, self.span)


STATEMENT_KEYWORDS = frozenset(
    ("DATA", "FN", "USE", "NOISE", "VAR", "FOR", "WHILE", "IF", "OBSERVE", "FACTOR", "REPORT", "RETURN")
)
KEYWORDS = STATEMENT_KEYWORDS.union(
    ("IN", "LIMIT", "GUIDE", "THEN", "ELSE", "AND", "OR", "NOT", "TRUE", "FALSE", "PI", "INF")
)

COMPARISONS = frozenset(("LESS", "LESSEQ", "MORE", "MOREEQ", "EQEQ", "NOTEQ"))
OPERATORS = COMPARISONS | {"PLUS", "MINUS", "STAR", "SLASH", "SLASHSLASH", "PERCENT", "CARET", "AND", "OR"}

# A line that ends in one of these goes on in the next.
CONTINUES = OPERATORS | {"DOTDOT", "COMMA", "EQUAL", "TILDE", "ARROW", "THEN", "ELSE"}

# Tokens after which an expression can be complete.
ENDS_EXPRESSION = frozenset(("NAME", "LIMIT", "GUIDE", "INT", "FLOAT", "TRUE", "FALSE", "PI", "INF", "RPAR", "RSQB"))

STARTS_OPERAND = ENDS_EXPRESSION - {"RPAR", "RSQB"} | {"LPAR", "LSQB", "IF", "NOT"}


def before(span: Span) -> Span:
    """The empty place where `span` starts."""
    return Span(span.file, span.line, span.column, span.line, span.column)


def after(span: Span) -> Span:
    """The empty place where `span` ends."""
    return Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column)


MAX_ERRORS = 20


class TooManyErrors(Exception):
    """Ends a parse that has found enough faults; never leaves :func:`ppl.syntax.parse`."""


@dataclass(slots=True, eq=False, repr=False)
class Faults:
    """The diagnostics of one parse, at most `MAX_ERRORS`."""

    items: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def error(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        """Raises :class:`TooManyErrors` with the last one that is kept."""
        self.items.append(Diagnostic(code, _clip(message), span, hint and _clip(hint)))
        if len(self.items) == MAX_ERRORS:
            raise TooManyErrors


def _clip(text: str) -> str:
    """Names in a text can be as long as the text."""
    return text if len(text) <= 200 else f"{text[:197]}..."
