"""Layout: where statements end, and whether brackets match.

Input are the tokens of the lexer, with NEWLINE and SEMICOLON. Output is what ``grammar/ppl.lark`` reads: an END after
every simple statement, no newlines, and brackets that match, because a bracket that is missing or left over is
reported here and put right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ppl.syntax.tokens import CONTINUES, ENDS_EXPRESSION, STATEMENT_KEYWORDS, Faults, Lexeme, after, before

_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_TEXT = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}
_NO_END_AFTER = ("END", "LBRACE", "RBRACE")


def lay_out(tokens: list[Lexeme], faults: Faults) -> list[Lexeme]:
    """`tokens` end with an EOF; the result does too. Brackets at fault are reported to `faults` (PPL003, PPL010)."""
    layout = _Layout(tokens, faults)
    for position in range(len(tokens)):
        layout.read(position)
    return layout.out


@dataclass(slots=True, eq=False, repr=False)
class _Layout:
    tokens: list[Lexeme]
    faults: Faults
    out: list[Lexeme] = field(default_factory=list[Lexeme])
    open: list[Lexeme] = field(default_factory=list[Lexeme])  # the brackets that are open, innermost last

    def read(self, position: int) -> None:
        token = self.tokens[position]
        match token.type:
            case "NEWLINE":
                self.newline(position, token)
            case "SEMICOLON":
                self.close_groups(token)
                self.end(token)
            case "LPAR" | "LSQB":
                self.open.append(token)
                self.out.append(token)
            case "LBRACE":
                self.close_groups(token)
                self.open.append(token)
                self.out.append(token)
            case "RBRACE":
                self.close_block(token)
            case "RPAR" | "RSQB":
                self.close_group(token)
            case "EOF":
                self.end_of_text(token)
            case _:
                self.out.append(token)

    def newline(self, position: int, token: Lexeme) -> None:
        following = self.tokens[position + 1]
        if self.open and self.open[-1].type != "LBRACE":
            if not self.starts_statement(position + 1):
                return
            self.close_groups(token)
        if not self.out or self.out[-1].type in CONTINUES or following.type == "ELSE":
            return
        if following.type == "LBRACE" and self.out[-1].type not in _NO_END_AFTER:
            hint = "a statement ends at a newline, so its block must start before it"
            self.faults.error("PPL010", "`{` belongs at the end of the line before it", following.span, hint)
            return
        self.end(token)

    def starts_statement(self, position: int) -> bool:
        """Inside ( or [, at the start of a line: is this certainly a new statement, and so a bracket missing?"""
        first, second = self.tokens[position], self.tokens[min(position + 1, len(self.tokens) - 1)]
        complete = self.out[-1].type in ENDS_EXPRESSION
        if first.type == "FOR":
            return self.open[-1].type == "LPAR"
        if first.type == "IF":
            return complete
        if first.type in STATEMENT_KEYWORDS:
            return True
        if first.type != "NAME":
            return False
        return second.type == "TILDE" or (complete and second.type in ("EQUAL", "COLON"))

    def end(self, token: Lexeme) -> None:
        if self.out and self.out[-1].type not in _NO_END_AFTER:
            self.out.append(Lexeme("END", "", before(token.span)))

    def close_groups(self, token: Lexeme) -> None:
        """Before `token`, which cannot stand inside ( or [: closes those that are open, as errors."""
        while self.open and self.open[-1].type != "LBRACE":
            self.close_missing(token)

    def close_missing(self, token: Lexeme) -> None:
        """Reports that the innermost open bracket is not closed before `token`, and closes it."""
        opener = self.open.pop()
        closer = _CLOSER[opener.type]
        place = after(self.out[-1].span)
        hint = f"a `{_TEXT[closer]}` is missing"
        if token.type != "EOF" or opener.type != "LBRACE":
            hint += f", perhaps at {place.line}:{place.column}"
        self.faults.error("PPL003", f"this `{opener.text}` is never closed", opener.span, hint)
        self.out.append(Lexeme(closer, _TEXT[closer], place))

    def close_block(self, token: Lexeme) -> None:
        self.close_groups(token)
        if not self.open:
            hint = "remove it, or look for a missing `{` above"
            self.faults.error("PPL010", "this `}` closes nothing", token.span, hint)
            return
        self.open.pop()
        self.end(token)
        self.out.append(token)

    def close_group(self, token: Lexeme) -> None:
        group = [b for b in _innermost_group(self.open) if _CLOSER[b.type] == token.type]
        if group:
            while self.open[-1] is not group[-1]:
                self.close_missing(token)
            self.open.pop()
            self.out.append(token)
        elif self.open and self.open[-1].type != "LBRACE":
            opener = self.open.pop()
            closer = _CLOSER[opener.type]
            message = f"`{token.text}` does not close `{opener.text}`"
            hint = f"`{opener.text}` at {opener.span.line}:{opener.span.column} needs `{_TEXT[closer]}`"
            self.faults.error("PPL010", message, token.span, hint)
            self.out.append(token.become(closer, _TEXT[closer]))
        else:
            message = f"this `{token.text}` closes nothing"
            self.faults.error("PPL010", message, token.span, "remove it, or look for where it should open")

    def end_of_text(self, token: Lexeme) -> None:
        while self.open:
            if self.open[-1].type == "LBRACE":
                self.end(token)
            self.close_missing(token)
        self.end(token)
        self.out.append(token)


def _innermost_group(open_: list[Lexeme]) -> list[Lexeme]:
    """The open ( and [ since the last {. At most 200: deeper nesting was refused before."""
    start = len(open_)
    while start and open_[start - 1].type != "LBRACE":
        start -= 1
    return open_[start:]
