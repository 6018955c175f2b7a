"""What to say about a token that the grammar does not allow where it stands, and how to go on.

Each rule looks at the place for one slip that people make; the first that recognises it decides the wording. A rule
that is sure what was meant also says which tokens to read instead, so that the rest of the statement is still checked.
Rules for faults inside expressions are in ``messages_expressions.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from ppl.diagnostics import Span
from ppl.syntax import messages_expressions as expressions
from ppl.syntax.place import BRACES, Fault, Place, insert, pointed, reserved, shown, unexpected
from ppl.syntax.tokens import ENDS_EXPRESSION, KEYWORDS, OPERATORS, STARTS_OPERAND, STATEMENT_KEYWORDS, Lexeme, before

Rule = Callable[[Place], Fault | None]


def describe(place: Place) -> Fault:
    """The message for the token that the parser cannot read. Always one, at worst ``unexpected `x```."""
    for rule in _RULES:
        fault = rule(place)
        if fault is not None:
            return fault
    return unexpected(place)


# -------------------------------------------------------------------------------- the start of a statement

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
        ("PPL011", "there is no `{0}`", "write `observe y ~ D(...)` or `if not c { factor -inf }`"),
    ),
}

_LONELY_WORDS: dict[str, tuple[str, str]] = {
    "break": ("a loop ends by its condition", "write `for i in 0..n while c { ... }`, where `c` says when to go on"),
    "continue": ("the rest of a loop's block is left out by an `if`", "write `if c { ... }` around what is to be done"),
    "pass": ("a block may be empty", "write `{ }`"),
}

_BLOCKS = ("model", "parameters", "transformed", "generated", "functions", "quantities", "data", "block", "begin", "do")


def _first_word(p: Place) -> Fault | None:
    """``def f``, ``let x``, ``real x``, ``import m``: a word that other languages start statements with."""
    if p.at != p.start + 1 or p.first.type not in ("NAME", "DATA"):
        return None
    word = p.first.text
    if word in _LONELY_WORDS and p.token.type in ("END", "RBRACE", "EOF"):
        message, hint = _LONELY_WORDS[word]
        return Fault("PPL005", f"there is no `{word}`: {message}", p.first.span, hint)
    if word in _BLOCKS and p.token.type in ("LBRACE", "NAME", "DATA"):
        hint = "declarations and statements follow each other: `data n: int`, `x ~ Normal(0, 1)`, `observe ...`"
        return Fault("PPL011", f"there is no `{word}` block", p.first.span, hint)
    if p.token.type in ("NAME", "LPAR", "LSQB", "LESS") and word in _FIRST_WORDS:
        code, message, hint = _FIRST_WORDS[word]
        name = p.token.text if p.token.type == "NAME" else "x"
        message, hint = (part.replace("{0}", word).replace("{1}", name) for part in (message, hint))
        return Fault(code, message, p.first.span, hint)
    return None


def _reserved_at_start(p: Place) -> Fault | None:
    """``data = 3``, ``report ~ Normal(0, 1)``, ``pi = 3``."""
    if p.at == p.start + 1 and p.first.type in KEYWORDS and p.token.type in ("EQUAL", "TILDE"):
        return reserved(p.first)
    if p.at_start and p.token.type in KEYWORDS and p.following.type in ("EQUAL", "TILDE"):
        return reserved(p.token)
    return None


def _cannot_start(p: Place) -> Fault | None:
    if not p.at_start:
        return None
    kind, span = p.token.type, p.token.span
    if kind == "LBRACE":
        return Fault("PPL002", "a block needs an `if`, `for` or `while` before it", span)
    if kind in ENDS_EXPRESSION | {"LPAR", "LSQB", "NOT", "MINUS", "PLUS"}:
        return _lonely_expression(span)
    return Fault("PPL002", f"a statement cannot start with {shown(p.token)}", span)


def _lonely_expression(span: Span) -> Fault:
    hint = "assign it, or write `factor e` to add it to the log density, or `report name = e`"
    return Fault("PPL002", "an expression on its own does nothing", span, hint)


def _lonely_else(p: Place) -> Fault | None:
    """An `else` on a line of its own: layout has joined it to the statement before."""
    if p.token.type != "ELSE" or not (p.at_start or "END" in p.accepts):
        return None
    if p.following.type == "COLON":
        return Fault("PPL005", BRACES, p.following.span, "write `} else {`")
    return Fault("PPL002", "`else` without an `if`", p.token.span, "it follows the `}` of its `if`")


def _after_target(p: Place) -> Fault | None:
    """``x == 3``, ``x <- 3``, ``x++``, ``x Normal(0, 1)``, ``x, y = ...``: a name that is not assigned."""
    if p.first.type not in ("NAME", "LIMIT", "GUIDE") or not _is_target(p) or p.accepts.isdisjoint({"EQUAL"}):
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
        return Fault("PPL002", "`~` or `=` is missing", p.token.span, hint, insert(p, ("TILDE", "~")))
    if kind == "NAME":
        return Fault("PPL002", f"{shown(p.token)} cannot follow {shown(p.previous)} here", span)
    if kind == "COMMA":
        return Fault("PPL005", "one name is assigned at a time", span, "write one statement for each")
    if kind == "LSQB":
        return Fault("PPL002", "all indices stand in one pair of brackets", span, "write `z[i, j]`")
    if kind == "LPAR" or kind in OPERATORS or kind == "END":
        return _lonely_expression(p.first.span.to(p.previous.span))
    return None


def _is_target(p: Place) -> bool:
    """Only a name, or a name with its indices, was read so far."""
    return p.at == p.start + 1 or (p.tokens[p.start + 1].type == "LSQB" and p.previous.type == "RSQB")


# -------------------------------------------------------------------------------- loops and blocks


def _for_header(p: Place) -> Fault | None:
    if p.previous.type == "FOR" and p.token.type == "LPAR":
        return Fault("PPL011", "a loop has no parentheses", p.token.span, "write `for i in 0..n { ... }`")
    if p.first.type == "FOR" and "IN" in p.accepts:
        if p.token.type == "COMMA":
            return Fault("PPL005", "a loop has one variable", p.token.span, "write `for i in 0..n { ... }`")
        return Fault("PPL002", "`in` is missing", p.token.span, "write `for i in 0..n { ... }`")
    return None


def _while_header(p: Place) -> Fault | None:
    if p.first.type == "WHILE" and "LIMIT" in p.accepts and p.token.type == "LBRACE":
        span = before(p.token.span)
        instead = (Lexeme("LIMIT", "limit", span), Lexeme("INT", "1", span))
        return Fault("PPL002", "`while` needs a limit", p.first.span, "write `while c limit 1000 {`", instead)
    return None


def _brace_missing(p: Place) -> Fault | None:
    if "LBRACE" not in p.accepts or p.first.type not in ("IF", "ELSE", "FOR", "WHILE", "FN"):
        return None
    if p.token.type not in STARTS_OPERAND | STATEMENT_KEYWORDS | {"END", "EOF"}:
        return None
    word = p.first.text if p.first.type != "ELSE" or p.previous.type == "ELSE" else "else if"
    hint = f"write `{word} ... {{ ... }}`" if word != "else" else "write `else { ... }`"
    return Fault("PPL002", f"`{{` is missing: the body of `{word}` stands in braces", pointed(p), hint)


# -------------------------------------------------------------------------------- declarations and distributions


def _declaration(p: Place) -> Fault | None:
    kind, span = p.token.type, p.token.span
    name = p.previous.text
    if p.first.type == "FN" and "COLON" in p.accepts and kind in ("COMMA", "RPAR"):
        span = p.previous.span
        instead = insert(p, ("COLON", ":"), ("NAME", "real"))
        return Fault("PPL002", f"parameter `{name}` needs a type", span, f"write `{name}: real`", instead)
    if p.first.type == "FN" and "COLON" in p.accepts and kind == "NAME":
        return Fault("PPL011", "a type follows its name", p.previous.span, f"write `{p.token.text}: {name}`")
    if p.first.type == "FN" and "ARROW" in p.accepts:
        instead = insert(p, ("ARROW", "->"), ("NAME", "real")) if kind == "LBRACE" else None
        hint = "write `fn f(x: real) -> real { ... }`"
        return Fault("PPL002", "a function declares the type of its result", pointed(p), hint, instead)
    if p.first.type in ("DATA", "VAR") and "COLON" in p.accepts and p.at == p.start + 2:
        return _untyped(p)
    if p.first.type == "REPORT" and "EQUAL" in p.accepts:
        hint = f"write `report {name} = {name}`"
        return Fault("PPL002", "a report has a name and a value", pointed(p), hint)
    return None


def _untyped(p: Place) -> Fault:
    """``data n``, ``data int n``, ``var x = 3``."""
    word, name = p.first.text, p.previous.text
    if p.token.type == "NAME":
        hint = f"write `{word} {p.token.text}: {name}`"
        return Fault("PPL011", "a type follows its name", p.previous.span, hint)
    if p.first.type == "VAR" and p.token.type in ("EQUAL", "TILDE"):
        hint = f"write `{name} {p.token.text} ...`; `var` declares an array that is filled by element"
        return Fault("PPL011", "this needs no `var`", p.first.span, hint)
    return Fault("PPL002", f"`{name}` needs a type", p.previous.span, f"write `{word} {name}: real`")


def _truncation(p: Place) -> Fault | None:
    """``D(...) T[0, 1]``, ``D(...) in 0..1``, ``D(...) in [0, 1]``, ``D(...) in (0)``."""
    if "TILDE" not in p.read:
        return None
    hint = "write `D(...) in (lo, hi)`; for an open end `-inf` or `inf`"
    if "IN" in p.accepts and p.token.type == "NAME" and p.token.text in ("T", "truncated", "truncate", "trunc"):
        return Fault("PPL011", "a truncation is written with `in`", p.token.span, hint)
    if p.previous.type == "IN" and p.accepts == frozenset({"LPAR"}):
        return Fault("PPL002", "the ends of a truncation stand in parentheses", pointed(p), hint)
    within = p.read[p.read.index("TILDE") :]
    other = {"COMMA": "RPAR", "RPAR": "COMMA"}.get(p.token.type)
    if "IN" in within and other in p.accepts and "INT" not in p.accepts:
        return Fault("PPL002", "a truncation has two ends", pointed(p), hint)
    return None


def _tilde(p: Place) -> Fault | None:
    kind = p.token.type
    if p.first.type == "OBSERVE" and "TILDE" in p.accepts and p.previous.type in ENDS_EXPRESSION:
        hint = "write `observe y ~ Normal(m, s)`"
        instead = insert(p, ("TILDE", "~")) if kind == "NAME" else None
        return Fault("PPL002", "`~` and a distribution are missing", pointed(p), hint, instead)
    if p.first.type == "OBSERVE" and "TILDE" not in p.read and kind == "COMMA":
        return Fault("PPL011", "an observation is written `~`", p.token.span, "write `observe y ~ Normal(m, s)`")
    if p.previous.type == "TILDE" and kind != "END":
        hint = "write `x ~ Normal(0, 1)`"
        return Fault("PPL002", "a distribution is missing after `~`", p.token.span, hint)
    if p.at >= 2 and p.tokens[p.at - 2].type == "TILDE" and "LPAR" in p.accepts:
        hint = f"write `{p.previous.text}(...)`"
        return Fault("PPL002", f"the distribution `{p.previous.text}` needs its arguments", p.previous.span, hint)
    if "TILDE" in p.read and not p.accepts - {"END", "IN"} and kind in OPERATORS:
        hint = "draw first, then compute: `z ~ D(...)`, `x = ...`"
        return Fault("PPL002", "nothing can follow a distribution", p.token.span, hint)
    if kind == "TILDE" and p.first.type in ("FACTOR", "REPORT", "RETURN", "DATA", "VAR"):
        return Fault("PPL002", f"`{p.first.text}` takes no distribution", p.token.span)
    return None


_RULES: tuple[Rule, ...] = (
    expressions.text_ends,
    _first_word,
    _reserved_at_start,
    _lonely_else,
    _cannot_start,
    expressions.equal,
    expressions.colon,
    _after_target,
    _for_header,
    expressions.range_missing,
    expressions.filtered_comprehension,
    _while_header,
    expressions.two_statements,
    expressions.then_and_else,
    _brace_missing,
    _declaration,
    _truncation,
    _tilde,
    expressions.operator_missing,
    expressions.operand_missing,
    expressions.name_missing,
)
