"""Tokens that the language does not have, or spells differently: each is reported and replaced by what was meant.

The parser then goes on as if the right token had been there, so that one slip gives one message.
"""

from __future__ import annotations

import re
import unicodedata

from ppl.syntax.tokens import CONTINUES, ENDS_EXPRESSION, Faults, Lexeme

_OPERATORS = {
    "BAD_POWER": ("PPL005", "powers are written `^`, not `**`", "CARET", "^"),
    "BAD_AND": ("PPL011", "`and` is written out, not `&&`", "AND", "and"),
    "BAD_OR": ("PPL011", "`or` is written out, not `||`", "OR", "or"),
    "BAD_NOT": ("PPL011", "`not` is written out, not `!`", "NOT", "not"),
    "BAD_WALRUS": ("PPL011", "assignment is written `=`, not `:=`", "EQUAL", "="),
}

# Characters that a keyboard, a word processor or a paper puts where ASCII is meant.
_LOOKALIKES = {
    "\u2212": ("MINUS", "-"),
    "\u2013": ("MINUS", "-"),
    "\u2014": ("MINUS", "-"),
    "\u00d7": ("STAR", "*"),
    "\u00b7": ("STAR", "*"),
    "\u22c5": ("STAR", "*"),
    "\u00f7": ("SLASH", "/"),
    "\u2264": ("LESSEQ", "<="),
    "\u2265": ("MOREEQ", ">="),
    "\u2260": ("NOTEQ", "!="),
    "\u223c": ("TILDE", "~"),
    "\u02dc": ("TILDE", "~"),
    "\uff5e": ("TILDE", "~"),
    "\u2190": ("EQUAL", "="),
    "\u2192": ("ARROW", "->"),
    "\u2227": ("AND", "and"),
    "\u2228": ("OR", "or"),
    "\u00ac": ("NOT", "not"),
    "\u221e": ("INF", "inf"),
}

_CHARACTERS = {
    "&": "`and` is written out",
    "|": "`or` is written out",
    "?": "write `if c then a else b`",
    "@": "a product of two vectors is `dot(a, b)`",
    "\\": "a line continues after an operator, a comma or inside brackets",
    ".": "names have no dots, and a range is `a..b`",
    "$": "names have letters, digits and underscores only",
    "`": "names are written without quotes",
    '"': "the language has no strings",
    "'": "the language has no strings",
    "\r": "lines end in LF or CRLF",
}

_INT64_MAX = 2**63 - 1


def replace_habits(tokens: list[Lexeme], faults: Faults) -> list[Lexeme]:
    """`tokens` without those whose type starts with ``BAD_``; each of them gives one diagnostic."""
    out: list[Lexeme] = []
    last_bad: Lexeme | None = None
    skip_to = 0  # up to here the tokens belong to something that was reported as a whole
    for position, token in enumerate(tokens):
        if position < skip_to:
            continue
        if _is_comment(tokens, position):
            skip_to = _skip_comment(tokens, position, faults)
        elif token.type in ("INT", "FLOAT"):
            out.append(_number(token, faults))
        elif token.type == "NAME" and _is_elif(tokens, position):
            hint = "write `else if c then a`" if _is_expression(tokens, position) else "write `} else if c {`"
            faults.error("PPL005", f"`{token.text}` is written `else if`", token.span, hint)
            out += [token.become("ELSE", "else"), token.become("IF", "if")]
        elif not token.type.startswith("BAD_"):
            out.append(token)
        elif token.type == "BAD_CHARACTER":
            if last_bad is None or not _adjacent(last_bad, token):  # one message for a run of junk
                _character(token, faults)
            out += _meant(token)
            last_bad = token
            if token.text == "?":
                skip_to = _end_of_line(tokens, position)
            elif token.text == "." and tokens[position + 1].type == "NAME":
                skip_to = position + 2
        else:
            out.append(_replace(token, out, faults))
    return out


def _is_comment(tokens: list[Lexeme], position: int) -> bool:
    """``// words`` or ``/* words`` at the start of a statement, or two words in a row after ``//``."""
    kind, following = tokens[position].type, tokens[position + 1 : position + 3]
    if kind not in ("SLASHSLASH", "SLASH", "PERCENT"):
        return False
    if position == 0 or tokens[position - 1].type in ("SEMICOLON", "LBRACE", "RBRACE"):
        return True
    if tokens[position - 1].type == "NEWLINE":
        return position < 2 or tokens[position - 2].type not in CONTINUES
    if kind != "SLASHSLASH" or len(following) < 2 or following[0].type != "NAME":
        return False
    return following[1].type in ("NAME", "BAD_NAME", "BAD_STRING", "BAD_CHARACTER")


def _skip_comment(tokens: list[Lexeme], position: int, faults: Faults) -> int:
    start = tokens[position]
    shown = "/*" if start.type == "SLASH" else start.text
    faults.error("PPL011", f"a comment starts with `#`, not with `{shown}`", start.span)
    return _end_of_line(tokens, position)


def _end_of_line(tokens: list[Lexeme], position: int) -> int:
    while tokens[position].type not in ("NEWLINE", "EOF"):
        position += 1
    return position


def _adjacent(left: Lexeme, right: Lexeme) -> bool:
    return (left.span.end_line, left.span.end_column) == (right.span.line, right.span.column)


def _is_elif(tokens: list[Lexeme], position: int) -> bool:
    """A name `elif` that opens a condition, after a block, a line or an expression: not a variable of that name, which
    `=`, `~`, `:` or `[` would follow."""
    if tokens[position].text not in ("elif", "elsif", "elseif"):
        return False
    before = ENDS_EXPRESSION | {"NEWLINE", "SEMICOLON", "LBRACE", "RBRACE"}
    opens = position == 0 or tokens[position - 1].type in before
    return opens and tokens[position + 1].type not in ("EQUAL", "TILDE", "COLON", "LSQB")


def _is_expression(tokens: list[Lexeme], position: int) -> bool:
    """Whether the condition that opens here is followed by `then`, and so that of an if-expression."""
    rest = (tokens[i].type for i in range(position, len(tokens)))
    return next((kind for kind in rest if kind in ("THEN", "LBRACE", "NEWLINE", "EOF")), "EOF") == "THEN"


def _replace(token: Lexeme, before: list[Lexeme], faults: Faults) -> Lexeme:
    if token.type in _OPERATORS:
        code, message, type_, text = _OPERATORS[token.type]
        faults.error(code, message, token.span)
        return token.become(type_, text)
    if token.type == "BAD_AUGMENTED":
        return _augmented(token, before, faults)
    if token.type == "BAD_STRING":
        hint = "categories are numbered from 0; write the number" if len(token.text) > 2 else None
        faults.error("PPL001", "the language has no strings", token.span, hint)
        return token.become("INT", "0")
    if token.type == "BAD_NAME":
        return _name(token, faults)
    return _bad_number(token, faults)


def _augmented(token: Lexeme, before: list[Lexeme], faults: Faults) -> Lexeme:
    name = before[-1].text if before and before[-1].type == "NAME" else "x"
    operator = token.text[:-1].replace("**", "^")
    if name == "target" and token.text == "+=":
        faults.error("PPL011", "there is no `target`", token.span, "write `factor ...`, or `observe y ~ D(...)`")
    else:
        faults.error("PPL005", f"there is no `{token.text}`", token.span, f"write `{name} = {name} {operator} ...`")
    return token.become("EQUAL", "=")


def _name(token: Lexeme, faults: Faults) -> Lexeme:
    text = token.text
    if text.isascii():
        fixed = text.lstrip("_") or "x"
        fixed = fixed if fixed[0].isalpha() else f"x{fixed}"
        faults.error("PPL001", "a name starts with a letter, not with `_`", token.span, f"write `{fixed}`")
        return token.become("NAME", fixed)
    fixed = "".join(_ascii(c) for c in text)
    fixed = fixed if fixed and fixed[0].isalpha() else f"x{fixed}"
    hint = f"write `{fixed}`" if len(fixed) <= 40 else None
    faults.error("PPL001", "a name has ASCII letters, digits and underscores only", token.span, hint)
    return token.become("NAME", fixed)


def _ascii(character: str) -> str:
    """The nearest ASCII spelling of a letter: without its accent, or the name of a Greek letter."""
    if character.isascii():
        return character
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and len(words) >= 4:
        return words[3].capitalize() if words[1] == "CAPITAL" else words[3].lower()
    plain = unicodedata.normalize("NFKD", character)
    return "".join(c for c in plain if c.isascii() and (c.isalnum() or c == "_"))


def _number(token: Lexeme, faults: Faults) -> Lexeme:
    """A well-formed number that does not fit the machine's ints or reals is an error, and replaced by 1."""
    if token.type == "INT":
        digits = token.text.lstrip("0") or "0"
        if len(digits) <= 19 and int(digits) <= _INT64_MAX:
            return token.become("INT", digits)
        hint = f"as a real, write `{digits}.0`" if len(digits) < 40 else None
        faults.error("PPL006", "this integer does not fit in 64 bits", token.span, hint)
        return token.become("INT", "1")
    value = float(token.text)
    mantissa = re.split("[eE]", token.text)[0]
    if value == float("inf"):
        faults.error("PPL006", "this number is larger than any real (about 1.8e308)", token.span, "infinity is `inf`")
    elif value == 0.0 and mantissa.strip("0."):
        faults.error("PPL006", "this number is too small for a real: it would be 0", token.span)
    else:
        return token
    return token.become("FLOAT", "1.0")


def _bad_number(token: Lexeme, faults: Faults) -> Lexeme:
    text = token.text
    message, hint = "this is not a number", "numbers look like `3`, `0.5` and `1.5e-3`"
    if re.fullmatch(r"\.[0-9]+([eE][+-]?[0-9]+)?", text):
        message, hint = "a number has digits on both sides of its point", f"write `0{text}`"
    elif re.fullmatch(r"[0-9]+\.([eE][+-]?[0-9]+)?", text):
        message, hint = "a number has digits on both sides of its point", f"write `{text.replace('.', '.0')}`"
    elif re.fullmatch(r"[0-9.]+(_[0-9.]+)+", text):
        message, hint = "a number has no underscores", f"write `{text.replace('_', '')}`"
    elif found := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z][A-Za-z0-9_]*)", text):
        number, name = found.groups()
        message = "a name cannot start with a digit, and a product needs `*`"
        hint = f"write `{number} * {name}`"
    faults.error("PPL006", message, token.span, hint if len(hint) < 60 else None)
    return token.become("FLOAT", "1.0")


def _character(token: Lexeme, faults: Faults) -> None:
    text = token.text
    if text in _LOOKALIKES:
        ascii_ = _LOOKALIKES[text][1]
        faults.error("PPL001", f"`{text}` is not in the language", token.span, f"write `{ascii_}`")
        return
    name = unicodedata.name(text, "")
    shown = f"`{text}`" if text.isprintable() and not text.isspace() else "this character"
    point = "" if text.isascii() and text.isprintable() else f" (U+{ord(text):04X}{' ' + name if name else ''})"
    hint = _CHARACTERS.get(text)
    if text.isspace() and hint is None:
        hint = "replace it by an ordinary space"
    elif "QUOTATION MARK" in name:
        hint = "the language has no strings"
    faults.error("PPL001", f"{shown}{point} is not in the language", token.span, hint)


def _meant(token: Lexeme) -> list[Lexeme]:
    found = _LOOKALIKES.get(token.text) or {"&": ("AND", "and"), "|": ("OR", "or"), "@": ("STAR", "*")}.get(token.text)
    return [token.become(*found)] if found else []
