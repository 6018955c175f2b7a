"""Rules for faults inside expressions: operands, operators, `=`, `:`, ranges, `then` and `else`."""

from __future__ import annotations

from ppl.syntax.place import BRACES, Fault, Place, insert, pointed, reserved, shown, unexpected
from ppl.syntax.tokens import (
    COMPARISONS,
    CONTINUES,
    ENDS_EXPRESSION,
    KEYWORDS,
    OPERATORS,
    STARTS_OPERAND,
    STATEMENT_KEYWORDS,
)


def equal(p: Place) -> Fault | None:
    """`=` where it cannot be: in a condition, in ``observe y = 3``, after a type, twice."""
    if p.token.type != "EQUAL":
        return None
    span, read = p.token.span, p.read
    if p.first.type == "OBSERVE" and "TILDE" not in read:
        hint = f"write `observe {p.tokens[p.start + 1].text} ~ D(...)`"
        instead = (p.token.become("TILDE", "~"),) if p.following.type == "NAME" else None
        return Fault("PPL011", "an observation is written `~`", span, hint, instead, 1)
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
        message = "`=` assigns; a comparison is written `==`"
        hint = None if set(read) & {"IF", "WHILE", "AND", "OR", "NOT"} else "one statement assigns one name"
        return Fault("PPL004", message, span, hint, (p.token.become("EQEQ", "=="),), 1)
    return None


def _continued(p: Place) -> Fault | None:
    """The statement began on a line above, which ends in an operator or `=`: it was not meant to go on here."""
    for i in range(p.at, p.start, -1):
        this, last = p.tokens[i], p.tokens[i - 1]
        if this.span.line > last.span.line and last.type in CONTINUES:
            message = f"an expression is missing after {shown(last)}"
            return Fault("PPL002", message, last.span, "a line that ends so continues on the next", resume=i)
    return None


def colon(p: Place) -> Fault | None:
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
    if "ARROW" in p.accepts:
        return None
    if p.previous.type == "NAME" and "EQUAL" in p.accepts and "LPAR" in p.read:
        hint = f"write `{p.previous.text}=...`"
        return Fault("PPL005", "a named argument is written `=`", span, hint, (p.token.become("EQUAL", "="),), 1)
    if p.first.type in ("IF", "FOR", "WHILE", "FN", "ELSE"):
        return Fault("PPL005", BRACES, span, f"write `{p.first.text} ... {{` and close it with `}}`")
    return None


def range_missing(p: Place) -> Fault | None:
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


def filtered_comprehension(p: Place) -> Fault | None:
    if p.token.type == "IF" and "RSQB" in p.accepts and "IN" in p.read and p.first.type != "FOR":
        hint = "write an if-expression for the element"
        return Fault("PPL005", "a comprehension has no `if`", p.token.span, hint)
    return None


def then_and_else(p: Place) -> Fault | None:
    kind, span = p.token.type, p.token.span
    if kind == "THEN" and "LBRACE" in p.accepts and p.first.type == "IF":
        hint = "write `if c { x = a } else { x = b }`, or `x = if c then a else b`"
        return Fault("PPL002", "an if-statement has braces; `then` belongs to if-expressions", span, hint)
    if "THEN" in p.accepts:
        hint = "an if-expression is `if c then a else b`"
        if kind in STARTS_OPERAND and p.previous.type in ENDS_EXPRESSION:
            return Fault("PPL002", "`then` is missing", span, hint, insert(p, ("THEN", "then")))
        return Fault("PPL002", f"`then` is missing before {shown(p.token)}", span, hint, blocks=kind == "LBRACE")
    if "ELSE" in p.accepts and "THEN" in p.read and p.previous.type in ENDS_EXPRESSION:
        hint = "an if-expression has a value on both sides: `if c then a else b`"
        return Fault("PPL002", "`else` is missing", span if kind != "END" else p.previous.span, hint)
    return None


def text_ends(p: Place) -> Fault | None:
    if p.token.type not in ("END", "EOF") or not p.at_end or p.previous.type not in CONTINUES:
        return None
    message = f"the text ends in the middle of a statement: nothing follows {shown(p.previous)}"
    return Fault("PPL009", message, p.previous.span)


def two_statements(p: Place) -> Fault | None:
    if "END" not in p.accepts or p.at_start:
        return None
    kind = p.token.type
    if kind == "IF" and p.previous.type in ENDS_EXPRESSION and "ELSE" in _rest_of_statement(p):
        return Fault("PPL005", "the condition comes first", p.token.span, "write `if c then a else b`")
    starts = kind in STATEMENT_KEYWORDS or (kind == "NAME" and p.following.type in ("EQUAL", "TILDE", "COLON"))
    if starts:
        hint = "start a new line, or put `;` between them"
        return Fault("PPL012", "two statements on one line", p.token.span, hint, insert(p, ("END", "")))
    return None


def _rest_of_statement(p: Place) -> list[str]:
    out: list[str] = []
    for token in p.tokens[p.at :]:
        if token.type in ("END", "LBRACE", "RBRACE"):
            break
        out.append(token.type)
    return out


_CONNECTORS = ("EQUAL", "COMMA", "THEN", "ELSE", "LBRACE", "TILDE", "COLON", "IN")


def operand_missing(p: Place) -> Fault | None:
    """An expression should start here, and something else stands here."""
    if "INT" not in p.accepts:
        return None
    kind, span = p.token.type, p.token.span
    if p.previous.type in CONTINUES and p.token.span.line > p.previous.span.line and kind != "END":
        return _continued(p) or unexpected(p)
    if "DOTDOT" in (kind, p.previous.type):
        return Fault("PPL002", "a range has both ends: `a..b`", span, "`0..length(x)` is all of `x`")
    if kind == "NOT":
        return Fault("PPL002", "`not` binds loosely", span, "put it in parentheses: `a == (not b)`")
    if kind in KEYWORDS - {"AND", "OR", "THEN", "ELSE", "IN"}:
        return reserved(p.token)
    if kind in COMPARISONS | OPERATORS or kind in _CONNECTORS:
        return Fault("PPL002", f"an expression is missing before {shown(p.token)}", span)
    if kind in ("RPAR", "RSQB") and p.previous.type in ("LPAR", "LSQB"):
        what = "an index" if kind == "RSQB" else "an expression"
        return Fault("PPL002", f"{what} is missing between the brackets", p.previous.span.to(span))
    return Fault("PPL002", f"an expression is missing after {shown(p.previous)}", p.previous.span)


def name_missing(p: Place) -> Fault | None:
    if "NAME" not in p.accepts or "INT" in p.accepts:
        return None
    if p.token.type in KEYWORDS:
        return reserved(p.token)
    if p.token.type in ("EQUAL", "TILDE") and p.previous.type in KEYWORDS:
        return reserved(p.previous)
    return Fault("PPL002", f"a name is missing after {shown(p.previous)}", pointed(p))


def operator_missing(p: Place) -> Fault | None:
    if p.previous.type in ENDS_EXPRESSION and p.token.type in STARTS_OPERAND - {"IF"} and "PLUS" in p.accepts:
        hint = "an operator or a comma is missing between them" if p.token.type != "NOT" else "`a and not b`"
        return Fault("PPL002", f"{shown(p.token)} cannot follow {shown(p.previous)}", p.token.span, hint)
    return None
