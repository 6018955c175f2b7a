"""What to say about a token that the grammar does not allow where it stands, and how to go on.

Each rule looks at the place for one slip that people make; the first that recognises it decides the wording. A rule
that is sure what was meant also says which tokens to read instead, so that the rest of the statement is still checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ppl.diagnostics import Span
from ppl.syntax.tokens import (
    COMPARISONS,
    CONTINUES,
    ENDS_EXPRESSION,
    KEYWORDS,
    OPERATORS,
    STATEMENT_KEYWORDS,
    Lexeme,
    after,
    before,
)


@dataclass(frozen=True, slots=True)
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
        return all(t.type in ("END", "RBRACE", "EOF") for t in self.tokens[self.at : self.at + 400]) and (
            len(self.tokens) - self.at <= 400
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A message; `instead` replaces the next `skip` tokens, None where the rest of the statement is given up."""

    code: str
    message: str
    span: Span
    hint: str | None = None
    instead: tuple[Lexeme, ...] | None = None
    skip: int = 0


Rule = Callable[[Place], Fault | None]


def describe(place: Place) -> Fault:
    """The message for the token that the parser cannot read. Always one, at worst ``unexpected `x```."""
    for rule in _RULES:
        fault = rule(place)
        if fault is not None:
            return fault
    return _unexpected(place)


def _insert(place: Place, *tokens: tuple[str, str]) -> tuple[Lexeme, ...]:
    span = after(place.previous.span)
    return tuple(Lexeme(type_, text, span) for type_, text in tokens)


# ------------------------------------------------------------------------------------------- the start of a statement

_FIRST_WORDS: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(
        ("def", "function", "func", "fun", "proc"),
        ("PPL005", "a function is declared with `fn`", "write `fn f(x: real) -> real { return ... }`"),
    ),
    **dict.fromkeys(
        ("let", "const", "val", "auto", "mut", "my", "local", "set"),
        ("PPL011", "there is no `{0}`: assignment declares", "write `{1} = ...`"),
    ),
    **dict.fromkeys(
        ("sample", "draw", "random", "latent", "param", "parameter", "prior"),
        ("PPL011", "there is no `{0}`: a latent is declared by `~`", "write `{1} ~ Normal(0, 1)`"),
    ),
    **dict.fromkeys(
        ("import", "from", "include", "library", "require", "using"),
        ("PPL005", "there is no `{0}`: a file is imported with `use`", "write `use {1}`"),
    ),
    **dict.fromkeys(
        ("int", "real", "bool", "float", "double", "vector", "row_vector", "matrix", "simplex", "ordered", "array"),
        ("PPL011", "a type follows its name", "write `data {1}: int` or `{1}: real[3] ~ Normal(0, 1)`"),
    ),
    **dict.fromkeys(
        ("print", "cat", "println", "display"),
        ("PPL011", "nothing is printed from a model", "write `report name = ...` for a derived quantity"),
    ),
    **dict.fromkeys(
        ("assert", "reject", "condition", "assume"),
        ("PPL011", "there is no `{0}`", "write `observe y ~ D(...)` or `if not c {{ factor -inf }}`"),
    ),
}

_BLOCKS = ("model", "parameters", "transformed", "generated", "functions", "quantities", "data", "block", "begin", "do")


def _first_word(p: Place) -> Fault | None:
    """``def f``, ``let x``, ``real x``, ``import m``: a word that other languages start statements with."""
    if p.at != p.start + 1 or p.first.type not in ("NAME", "DATA"):
        return None
    word = p.first.text
    if word in _BLOCKS and p.token.type in ("LBRACE", "NAME", "DATA"):
        hint = "declarations and statements follow each other: `data n: int`, `x ~ Normal(0, 1)`, `observe ...`"
        return Fault("PPL011", f"there is no `{word}` block", p.first.span, hint)
    if p.token.type in ("NAME", "LPAR", "LSQB", "LESS") and word in _FIRST_WORDS:
        code, message, hint = _FIRST_WORDS[word]
        name = p.token.text if p.token.type == "NAME" else "x"
        return Fault(code, message.format(word, name), p.first.span, hint.format(word, name))
    return None


def _reserved_at_start(p: Place) -> Fault | None:
    """``data = 3``, ``report ~ Normal(0, 1)``, ``pi = 3``."""
    if p.at == p.start + 1 and p.first.type in KEYWORDS and p.token.type in ("EQUAL", "TILDE"):
        return _reserved(p.first)
    if p.at_start and p.token.type in KEYWORDS and p.following.type in ("EQUAL", "TILDE"):
        return _reserved(p.token)
    return None


def _reserved(token: Lexeme) -> Fault:
    hint = f"choose another name, such as `{token.text}_`"
    return Fault("PPL007", f"`{token.text}` is a reserved word and cannot be a name", token.span, hint)


def _cannot_start(p: Place) -> Fault | None:
    if not p.at_start:
        return None
    kind, span = p.token.type, p.token.span
    if kind == "ELSE":
        return Fault("PPL002", "`else` without an `if`", span, "it follows the `}` of its `if`")
    if kind == "LBRACE":
        return Fault("PPL002", "a block needs an `if`, `for` or `while` before it", span)
    if kind in ENDS_EXPRESSION | {"LPAR", "LSQB", "NOT", "MINUS", "PLUS"}:
        return _lonely_expression(span)
    return Fault("PPL002", f"a statement cannot start with {_shown(p.token)}", span)


def _lonely_expression(span: Span) -> Fault:
    hint = "assign it, or write `factor e` to add it to the log density, or `report name = e`"
    return Fault("PPL002", "an expression on its own does nothing", span, hint)


def _after_target(p: Place) -> Fault | None:
    """``x == 3``, ``x <- 3``, ``x++``, ``x Normal(0, 1)``, ``x, y = ...``: a name that is not assigned."""
    if p.first.type not in ("NAME", "LIMIT") or not _is_target(p) or p.accepts.isdisjoint({"EQUAL"}):
        return None
    kind, span = p.token.type, p.token.span
    follows = p.following.span == Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column + 1)
    if kind == "EQEQ":
        message, hint = "`==` compares; an assignment is written `=`", f"write `{p.first.text} = ...`"
        return Fault("PPL011", message, span, hint, (p.token.become("EQUAL", "="),), 1)
    if kind == "LESS" and p.following.type == "MINUS" and follows:
        arrow = span.to(p.following.span)
        return Fault("PPL011", "assignment is written `=`, not `<-`", arrow, None, (p.token.become("EQUAL", "="),), 2)
    if kind == p.following.type and kind in ("PLUS", "MINUS") and follows:
        operator = p.token.text
        hint = f"write `{p.first.text} = {p.first.text} {operator} 1`"
        return Fault("PPL005", f"there is no `{operator}{operator}`", span.to(p.following.span), hint)
    if kind == "NAME" and p.following.type == "LPAR":
        hint = f"write `{p.first.text} ~ {p.token.text}(...)`"
        return Fault("PPL002", "`~` or `=` is missing", p.token.span, hint, _insert(p, ("TILDE", "~")))
    if kind == "NAME":
        return Fault("PPL002", f"{_shown(p.token)} cannot follow {_shown(p.previous)} here", span)
    if kind == "COMMA":
        return Fault("PPL005", "one name is assigned at a time", span, "write one statement for each")
    if kind == "LPAR" or kind in OPERATORS or kind == "END":
        return _lonely_expression(p.first.span.to(p.previous.span))
    return None


def _is_target(p: Place) -> bool:
    """Only a name, or a name with its indices, was read so far."""
    return p.at == p.start + 1 or (p.tokens[p.start + 1].type == "LSQB" and p.previous.type == "RSQB")


# ------------------------------------------------------------------------------------------------- `=`, `:` and friends


def _equal(p: Place) -> Fault | None:
    """`=` where it cannot be: in a condition, in ``observe y = 3``, after a type, twice."""
    if p.token.type != "EQUAL":
        return None
    span, read = p.token.span, p.read
    if p.first.type == "OBSERVE" and "TILDE" not in read:
        hint = f"write `observe {p.tokens[p.start + 1].text} ~ D(...)`"
        return Fault("PPL011", "an observation is written `~`", span, hint, (p.token.become("TILDE", "~"),), 1)
    if p.first.type == "FOR" and "IN" in p.accepts:
        hint = "write `for i in 0..n { ... }`"
        return Fault("PPL011", "a loop is written with `in`", span, hint, (p.token.become("IN", "in"),), 1)
    if p.first.type == "NOISE":
        return Fault("PPL002", "a noise is drawn, not assigned", span, "write `noise e ~ Normal(0, 1)`")
    if p.first.type == "NAME" and "COLON" in read and "TILDE" in p.accepts:
        return Fault("PPL002", "an assignment has no type", span, f"write `{p.first.text} = ...`")
    if above := _continued(p):
        return above
    if "EQEQ" in p.accepts:
        hint = "write `==` to compare" if set(read) & {"IF", "WHILE", "AND", "OR", "NOT"} else "write `==` to compare, or two statements"
        return Fault("PPL004", "`=` assigns; a comparison is written `==`", span, hint, (p.token.become("EQEQ", "=="),), 1)
    return None


def _continued(p: Place) -> Fault | None:
    """The statement began on a line above, which ends in an operator or `=`: it was not meant to go on here."""
    for i in range(p.at - 1, p.start, -1):
        this, last = p.tokens[i], p.tokens[i - 1]
        if this.span.line > last.span.line and last.type in CONTINUES:
            message = f"an expression is missing after {_shown(last)}"
            return Fault("PPL002", message, last.span, "a line that ends so continues on the next")
    return None


def _colon(p: Place) -> Fault | None:
    """``if c:``, ``for i in 1:n``, ``x[0:3]``."""
    if p.token.type != "COLON":
        return None
    span = p.token.span
    if "DOTDOT" in p.accepts:
        swap = (p.token.become("DOTDOT", ".."),)
        if p.first.type == "FOR" and "LSQB" not in p.read:
            hint = "a range starts at 0 and leaves out its end: `1:n` elsewhere is `0..n` here, with indices from 0"
            return Fault("PPL011", "a range is written `a..b`", span, hint, swap, 1)
        return Fault("PPL005", "a slice is written `a..b`", span, "the end is not part of it", swap, 1)
    if p.first.type in ("IF", "FOR", "WHILE", "FN") or p.previous.type == "ELSE" or p.first.type == "ELSE":
        message = "a block stands in braces, not after `:`"
        return Fault("PPL005", message, span, f"write `{p.first.text} ... {{` and close it with `}}`")
    if p.at_start or p.previous.text in ("try", "finally", "with"):
        return None
    return None


# ----------------------------------------------------------------------------------------------------- loops and blocks


def _for_header(p: Place) -> Fault | None:
    if p.previous.type == "FOR" and p.token.type == "LPAR":
        return Fault("PPL011", "a loop has no parentheses", p.token.span, "write `for i in 0..n { ... }`")
    if p.first.type == "FOR" and "IN" in p.accepts:
        if p.token.type == "COMMA":
            return Fault("PPL005", "a loop has one variable", p.token.span, "write `for i in 0..n { ... }`")
        return Fault("PPL002", "`in` is missing", p.token.span, "write `for i in 0..n { ... }`")
    return None


def _range_missing(p: Place) -> Fault | None:
    """``for i in range(n) {``, ``[e for x in xs]``."""
    if "DOTDOT" not in p.accepts or p.token.type not in ("LBRACE", "RSQB", "END", "WHILE"):
        return None
    within = next((i for i in range(p.at - 1, p.start, -1) if p.tokens[i].type == "IN"), None)
    if within is None:
        return None
    over = p.tokens[within + 1]
    span = over.span.to(p.previous.span)
    if over.text in ("range", "seq_len", "seq", "arange") and p.tokens[within + 2].type == "LPAR":
        return Fault("PPL005", f"a range is written `a..b`, not `{over.text}(...)`", span, "`range(n)` is `0..n`")
    name = over.text if over.type == "NAME" and p.at == within + 2 else "x"
    return Fault("PPL005", "a loop runs over a range `a..b`", span, f"write `0..length({name})` and index with it")


def _filtered_comprehension(p: Place) -> Fault | None:
    if p.token.type == "IF" and "RSQB" in p.accepts and "IN" in p.read and p.first.type != "FOR":
        hint = "write an if-expression for the element"
        return Fault("PPL005", "a comprehension has no `if`", p.token.span, hint)
    return None


def _while_header(p: Place) -> Fault | None:
    if p.first.type == "WHILE" and "LIMIT" in p.accepts and p.token.type == "LBRACE":
        span = before(p.token.span)
        return Fault("PPL002", "`while` needs a limit", p.first.span, "write `while c limit 1000 {`", (Lexeme("LIMIT", "limit", span), Lexeme("INT", "1", span)))
    return None


def _then_and_else(p: Place) -> Fault | None:
    kind, span = p.token.type, p.token.span
    if kind == "THEN" and "LBRACE" in p.accepts and p.first.type == "IF":
        hint = "write `if c { x = a } else { x = b }`, or `x = if c then a else b`"
        return Fault("PPL002", "an if-statement has braces; `then` belongs to if-expressions", span, hint)
    if "THEN" in p.accepts:
        hint = "an if-expression is `if c then a else b`"
        if kind in _STARTS_OPERAND and p.previous.type in ENDS_EXPRESSION:
            return Fault("PPL002", "`then` is missing", span, hint, _insert(p, ("THEN", "then")))
        return Fault("PPL002", f"`then` is missing before {_shown(p.token)}", span, hint)
    if "ELSE" in p.accepts and "THEN" in p.read and p.previous.type in ENDS_EXPRESSION:
        hint = "an if-expression has a value on both sides: `if c then a else b`"
        return Fault("PPL002", "`else` is missing", span if kind != "END" else p.previous.span, hint)
    return None


_STARTS_OPERAND = frozenset(("NAME", "LIMIT", "INT", "FLOAT", "TRUE", "FALSE", "PI", "INF", "LPAR", "LSQB", "IF", "NOT"))


def _brace_missing(p: Place) -> Fault | None:
    if "LBRACE" not in p.accepts or p.first.type not in ("IF", "ELSE", "FOR", "WHILE", "FN"):
        return None
    if p.token.type not in _STARTS_OPERAND | STATEMENT_KEYWORDS | {"END", "EOF"}:
        return None
    word = "else" if p.previous.type == "ELSE" else p.first.text
    hint = f"write `{word} ... {{ ... }}`" if word != "else" else "write `else { ... }`"
    return Fault("PPL002", f"`{{` is missing: the body of `{word}` stands in braces", _pointed(p), hint)


# --------------------------------------------------------------------------------------- declarations and distributions


def _declaration(p: Place) -> Fault | None:
    kind, span = p.token.type, p.token.span
    name = p.previous.text
    if p.first.type == "FN" and "COLON" in p.accepts and kind in ("COMMA", "RPAR"):
        span = p.previous.span
        instead = _insert(p, ("COLON", ":"), ("NAME", "real"))
        return Fault("PPL002", f"parameter `{name}` needs a type", span, f"write `{name}: real`", instead)
    if p.first.type == "FN" and "ARROW" in p.accepts:
        instead = _insert(p, ("ARROW", "->"), ("NAME", "real")) if kind == "LBRACE" else None
        hint = "write `fn f(x: real) -> real { ... }`"
        return Fault("PPL002", "a function declares the type of its result", _pointed(p), hint, instead)
    if p.first.type in ("DATA", "VAR") and "COLON" in p.accepts and p.at == p.start + 2:
        hint = f"write `{p.first.text} {name}: real`"
        return Fault("PPL002", f"`{name}` needs a type", p.previous.span, hint)
    if p.first.type == "REPORT" and "EQUAL" in p.accepts:
        hint = f"write `report {name} = {name}`"
        return Fault("PPL002", "a report has a name and a value", _pointed(p), hint)
    return None


def _tilde(p: Place) -> Fault | None:
    kind = p.token.type
    if p.first.type == "OBSERVE" and "TILDE" in p.accepts and p.previous.type in ENDS_EXPRESSION:
        hint = "write `observe y ~ Normal(m, s)`"
        instead = _insert(p, ("TILDE", "~")) if kind == "NAME" else None
        return Fault("PPL002", "`~` and a distribution are missing", _pointed(p), hint, instead)
    if p.previous.type == "TILDE" and kind != "END":
        hint = "write `x ~ Normal(0, 1)`"
        return Fault("PPL002", "a distribution is missing after `~`", p.token.span, hint)
    if p.at >= 2 and p.tokens[p.at - 2].type == "TILDE" and "LPAR" in p.accepts:
        hint = f"write `{p.previous.text}(...)`"
        return Fault("PPL002", f"the distribution `{p.previous.text}` needs its arguments", p.previous.span, hint)
    if "TILDE" in p.read and p.accepts == {"END"} and kind in OPERATORS:
        hint = "draw first, then compute: `z ~ D(...)`, `x = ...`"
        return Fault("PPL002", "nothing can follow a distribution", p.token.span, hint)
    if kind == "TILDE" and p.first.type in ("FACTOR", "REPORT", "RETURN", "DATA", "VAR"):
        return Fault("PPL002", f"`{p.first.text}` takes no distribution", p.token.span)
    return None


# ------------------------------------------------------------------------------------------------------------ expressions


def _text_ends(p: Place) -> Fault | None:
    if p.token.type not in ("END", "EOF") or not p.at_end or p.previous.type not in CONTINUES:
        return None
    return Fault("PPL009", f"the text ends in the middle of a statement: nothing follows {_shown(p.previous)}", p.previous.span)


def _two_statements(p: Place) -> Fault | None:
    if "END" not in p.accepts or p.at_start:
        return None
    kind = p.token.type
    if kind == "IF" and p.previous.type in ENDS_EXPRESSION and "ELSE" in _rest_of_statement(p):
        return Fault("PPL005", "the condition comes first", p.token.span, "write `if c then a else b`")
    starts = kind in STATEMENT_KEYWORDS or (kind == "NAME" and p.following.type in ("EQUAL", "TILDE", "COLON"))
    if starts:
        hint = "start a new line, or put `;` between them"
        return Fault("PPL012", "two statements on one line", p.token.span, hint, _insert(p, ("END", "")))
    return None


def _rest_of_statement(p: Place) -> list[str]:
    out: list[str] = []
    for token in p.tokens[p.at :]:
        if token.type in ("END", "LBRACE", "RBRACE"):
            break
        out.append(token.type)
    return out


def _operand_missing(p: Place) -> Fault | None:
    """An expression should start here, and something else stands here."""
    if "INT" not in p.accepts:
        return None
    kind, span = p.token.type, p.token.span
    if p.previous.type in CONTINUES and p.token.span.line > p.previous.span.line and kind != "END":
        return _continued(p) or _unexpected(p)
    if "DOTDOT" in (kind, p.previous.type):
        return Fault("PPL002", "a range has both ends: `a..b`", span, "`0..length(x)` is all of `x`")
    if kind == "NOT":
        return Fault("PPL002", "`not` binds loosely", span, "put it in parentheses: `a == (not b)`")
    if kind in KEYWORDS - {"AND", "OR", "THEN", "ELSE", "IN"}:
        return _reserved(p.token)
    if kind in COMPARISONS | OPERATORS or kind in ("EQUAL", "COMMA", "THEN", "ELSE", "LBRACE", "TILDE", "COLON", "IN"):
        return Fault("PPL002", f"an expression is missing before {_shown(p.token)}", span)
    if kind in ("RPAR", "RSQB") and p.previous.type in ("LPAR", "LSQB"):
        what = "an index" if kind == "RSQB" else "an expression"
        return Fault("PPL002", f"{what} is missing between the brackets", p.previous.span.to(span))
    return Fault("PPL002", f"an expression is missing after {_shown(p.previous)}", p.previous.span)


def _name_missing(p: Place) -> Fault | None:
    if "NAME" not in p.accepts or "INT" in p.accepts:
        return None
    if p.token.type in KEYWORDS:
        return _reserved(p.token)
    if p.token.type in ("EQUAL", "TILDE") and p.previous.type in KEYWORDS:
        return _reserved(p.previous)
    return Fault("PPL002", f"a name is missing after {_shown(p.previous)}", _pointed(p))


def _operator_missing(p: Place) -> Fault | None:
    if p.previous.type in ENDS_EXPRESSION and p.token.type in _STARTS_OPERAND - {"IF"} and "PLUS" in p.accepts:
        hint = "an operator or a comma is missing between them" if p.token.type != "NOT" else "`a and not b`"
        return Fault("PPL002", f"{_shown(p.token)} cannot follow {_shown(p.previous)}", p.token.span, hint)
    return None


def _pointed(p: Place) -> Span:
    """The token itself, or what it follows if the statement simply ended."""
    return p.previous.span if p.token.type in ("END", "EOF") else p.token.span


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
}


def _unexpected(p: Place) -> Fault:
    wanted = sorted(p.accepts - OPERATORS - {"LIMIT"} if "NAME" in p.accepts else p.accepts - OPERATORS)
    known = [_NAMES[w] for w in wanted if w in _NAMES]
    hint = f"expected {' or '.join(known)}" if 0 < len(wanted) <= 4 and len(known) == len(wanted) else None
    if p.token.type in ("END", "EOF"):
        return Fault("PPL002", f"the statement ends too early, after {_shown(p.previous)}", p.previous.span, hint)
    return Fault("PPL002", f"unexpected {_shown(p.token)}", p.token.span, hint)


def _shown(token: Lexeme) -> str:
    if token.type in ("END", "EOF"):
        return "the end of the statement"
    text = token.text if len(token.text) <= 40 else f"{token.text[:37]}..."
    return f"`{text}`"


_RULES: tuple[Rule, ...] = (
    _text_ends,
    _first_word,
    _reserved_at_start,
    _cannot_start,
    _equal,
    _colon,
    _after_target,
    _for_header,
    _range_missing,
    _filtered_comprehension,
    _while_header,
    _two_statements,
    _then_and_else,
    _brace_missing,
    _declaration,
    _tilde,
    _operator_missing,
    _operand_missing,
    _name_missing,
)
