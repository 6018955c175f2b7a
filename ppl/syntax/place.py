"""Where the parser is stuck, and what is said about it: the types that the rules of the messages share."""

from __future__ import annotations

from ppl.diagnostics import Span
from ppl.record import record
from ppl.syntax.tokens import OPERATORS, Lexeme, after


@record
class Place:
    """Where the parser is stuck: at ``tokens[at]``, in the statement that starts at ``tokens[start]``.

    `accepts` are the types of the tokens that could stand there.
    """

    tokens: list[Lexeme]
    start: int
    at: int
    accepts: frozenset[str]

    @property
    def token(self) -> Lexeme:
        return self.tokens[self.at]

    @property
    def previous(self) -> Lexeme:
        return self.tokens[max(self.at - 1, 0)]

    @property
    def following(self) -> Lexeme:
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    @property
    def first(self) -> Lexeme:
        return self.tokens[self.start]

    @property
    def at_start(self) -> bool:
        return self.at == self.start

    @property
    def read(self) -> list[str]:
        """The types of the statement's tokens before this one."""
        return [t.type for t in self.tokens[self.start : self.at]]

    @property
    def at_end(self) -> bool:
        """Nothing but the end of statements and blocks follows in the text."""
        rest = range(self.at, len(self.tokens))
        return all(self.tokens[i].type in ("END", "RBRACE", "EOF") for i in rest)


@record
class Fault:
    """A message, and how to go on.

    `instead` replaces the next `skip` tokens. Where it is None the statement is given up: reading goes on at the token
    `resume` if that is given, else after the statement or at its block, with `blocks` after its blocks.
    """

    code: str
    message: str
    span: Span
    hint: str | None = None
    instead: tuple[Lexeme, ...] | None = None
    skip: int = 0
    resume: int | None = None
    blocks: bool = False


BRACES = "a block stands in braces, not after `:`"


def insert(place: Place, *tokens: tuple[str, str]) -> tuple[Lexeme, ...]:
    """Tokens, given by type and text, to be read before the one that is at fault."""
    span = after(place.previous.span)
    return tuple(Lexeme(type_, text, span) for type_, text in tokens)


def pointed(p: Place) -> Span:
    """The token itself, or what it follows if the statement simply ended."""
    return p.previous.span if p.token.type in ("END", "EOF") else p.token.span


def shown(token: Lexeme) -> str:
    if token.type in ("END", "EOF"):
        return "the end of the statement"
    text = token.text if len(token.text) <= 40 else f"{token.text[:37]}..."
    return f"`{text}`"


_NAMES = {
    "NAME": "a name",
    "END": "the end of the statement",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "EQUAL": "`=`",
    "TILDE": "`~`",
    "ARROW": "`->`",
    "DOTDOT": "`..`",
    "IN": "`in`",
    "THEN": "`then`",
    "ELSE": "`else`",
    "LIMIT": "`limit`",
    "GUIDE": "`guide`",
}


def unexpected(p: Place) -> Fault:
    """What is said where no rule knows better, with what could stand there if that is little."""
    wanted = sorted(p.accepts - OPERATORS - {"LIMIT", "GUIDE"} if "NAME" in p.accepts else p.accepts - OPERATORS)
    known = [_NAMES[w] for w in wanted if w in _NAMES]
    hint = f"expected {' or '.join(known)}" if 0 < len(wanted) <= 4 and len(known) == len(wanted) else None
    if p.token.type in ("END", "EOF"):
        return Fault("PPL002", f"the statement ends too early, after {shown(p.previous)}", p.previous.span, hint)
    return Fault("PPL002", f"unexpected {shown(p.token)}", p.token.span, hint)


def reserved(token: Lexeme) -> Fault:
    hint = f"choose another name, such as `{token.text}_`"
    return Fault("PPL007", f"`{token.text}` is a reserved word and cannot be a name", token.span, hint)
