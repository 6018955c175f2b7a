"""The one diagnostic type of the compiler, its spans, and the exceptions that carry it.

A diagnostic has a stable code (``PPL204``), a severity, a span in a source text, a message and a hint. The table
``CODES`` says in a few words what each code means; wording with the user's own names is made where it is raised.
Rendering is in :func:`render`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ppl.record import record


@record
class Span:
    """A half-open region of a source text. Lines and columns are 1-based, columns count characters."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.file, self.line, self.column, other.end_line, other.end_column)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


CODES: dict[str, str] = {
    # 0xx: layout and syntax
    "PPL001": "character that the language does not know",
    "PPL002": "unexpected token",
    "PPL003": "missing closing bracket or brace",
    "PPL004": "`=` where a comparison needs `==`",
    "PPL005": "a habit from Python",
    "PPL006": "malformed number",
    "PPL007": "reserved word used as a name",
    "PPL008": "nesting deeper than 200",
    "PPL009": "text ends in the middle of a statement",
    "PPL010": "condition must be parenthesised or a bracket is misplaced",
    "PPL011": "a habit from Stan, R or another language",
    "PPL012": "two statements on one line without `;`",
    "PPL013": "text longer than 500000 characters",
    # 1xx: names and scope
    "PPL101": "unknown name",
    "PPL102": "name declared twice",
    "PPL103": "unknown function",
    "PPL104": "unknown distribution",
    "PPL105": "assignment to data, a latent or a loop variable",
    "PPL106": "recursive function",
    "PPL107": "`use` of a file that does not exist, or exists twice",
    "PPL108": "name sampled or assigned twice on one path",
    "PPL109": "used before it has a value on every path",
    "PPL110": "`return` outside a function, or a path without `return`",
    "PPL111": "statement not allowed here",
    "PPL112": "unknown or repeated argument name",
    # 2xx: types and shapes
    "PPL201": "wrong type",
    "PPL202": "shapes do not agree",
    "PPL203": "wrong number of arguments",
    "PPL204": "condition is not a bool",
    "PPL205": "condition is an array",
    "PPL206": "index is not an int, or too many indices",
    "PPL207": "size, bound or index not known from data",
    "PPL208": "index outside its array",
    "PPL209": "`==` on reals that depend on a latent",
    "PPL210": "default value does not fit its declaration",
    "PPL211": "size or default without a value: division by zero, overflow, a negative size",
    "PPL212": "smallest, largest or mean of an array without elements",
    # 3xx: distributions, latents and observations
    "PPL301": "argument outside the distribution's domain",
    "PPL302": "scalar latent sampled in a loop",
    "PPL303": "one site with two supports or shapes",
    "PPL304": "observed value depends on a latent",
    "PPL305": "observed value of the wrong type for its distribution",
    "PPL306": "array element read but never filled, or filled twice",
    "PPL307": "density is zero where the guide reaches",
    "PPL308": "observed value outside the support of its distribution",
    "PPL309": "factor that is not finite",
    "PPL310": "guide block that does not match the latents",
    "PPL311": "guide family that does not exist, or does not suit its latents",
    # 4xx: guards and boundaries
    "PPL402": "guard with no coordinate that moves it alone",
    "PPL403": "branch unbounded at its own guard",
    "PPL404": "matrix that may be singular",
    "PPL406": "line that a guard cannot have",
    "PPL407": "division by a whole number that can be zero",
    # 5xx: data
    "PPL501": "data field missing",
    "PPL502": "data field of the wrong type",
    "PPL503": "data field of the wrong shape",
    "PPL504": "data field with a value that is not finite or missing",
    "PPL505": "ragged data",
    "PPL506": "data lengths disagree",
    "PPL507": "data file cannot be read",
    "PPL508": "undeclared data field ignored",
    "PPL509": "data value outside what the program allows",
    # 6xx: not supported yet
    "PPL602": "divisor of `//` or `%` that depends on a latent",
    "PPL603": "index that depends on a latent and can leave its array",
    "PPL604": "discrete latent without a largest value",
    "PPL605": "noise from this distribution is not supported yet",
    "PPL606": "form not supported yet",
    # 7xx: limits
    "PPL701": "more than 10^8 elements or iterations",
    "PPL703": "program too large after inlining",
    # 8xx: inference and its files
    "PPL801": "the ELBO is not finite",
    "PPL802": "the fit did not converge",
    "PPL803": "checkpoint that cannot be used",
    "PPL804": "fit file that cannot be used",
    "PPL805": "program without latents",
    "PPL806": "initial values that do not belong to the program",
    "PPL807": "no loop that can be taken in minibatches",
    "PPL808": "devices or processes that cannot share a fit",
    "PPL809": "a process of a fit has stopped",
    "PPL811": "observation that cannot be replicated",
    "PPL812": "replicates that are drawn given the data",
    "PPL813": "prior that cannot be drawn from",
    "PPL814": "whole numbers that need 64 bits",
    "PPL821": "quantity that a sampler cannot move",
    "PPL822": "sampler that did not start, move or arrive",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a program or its data."""

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None
    severity: str = "error"  # "error", "warning" or "note"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"diagnostic code {self.code} is not in the table")

    def headline(self) -> str:
        """``file:line:col: error[CODE]: message`` without the excerpt."""
        where = f"{self.span}: " if self.span else ""
        return f"{where}{self.severity}[{self.code}]: {self.message}"


@dataclass
class Diagnostics:
    """A sink that one compilation fills; `sources` lets the renderer show lines."""

    sources: dict[str, str] = field(default_factory=dict[str, str])
    items: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic not in self.items:  # a function checked at two calls says it once
            self.items.append(diagnostic)

    def error(self, code: str, message: str, span: Span | None = None, hint: str | None = None) -> None:
        self.add(Diagnostic(code, message, span, hint))

    def warn(self, code: str, message: str, span: Span | None = None, hint: str | None = None) -> None:
        self.add(Diagnostic(code, message, span, hint, "warning"))

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.items if d.severity == "error"]

    def raise_if_errors(self) -> None:
        """Raises :class:`PplError` with everything found so far, in source order, if any of it is an error."""
        if self.errors:
            raise PplError(in_source_order(self.items), self.sources)


def in_source_order(items: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    def key(d: Diagnostic) -> tuple[str, int, int]:
        return (d.span.file, d.span.line, d.span.column) if d.span else ("", 0, 0)

    return tuple(sorted(items, key=key))


class PplError(Exception):
    """A program that is rejected. `diagnostics` says why; ``str()`` renders them with source lines."""

    def __init__(self, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str] | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sources = dict(sources or {})
        super().__init__("\n".join(d.headline() for d in self.diagnostics))

    def __str__(self) -> str:
        return render(self.diagnostics, self.sources)


class DataError(PplError):
    """Data that do not fit the model, or cannot be read. The message names the field."""


class InferenceError(PplError):
    """A fit that failed: not finite, or not converged although that was required."""


class InternalError(Exception):
    """A bug of the compiler, never the user's fault."""


def excerpt(source: str, span: Span) -> str:
    """The part of a source text that a span covers, on one line."""
    lines = source.split("\n")[span.line - 1 : span.end_line]
    if not lines:
        return ""
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return " ".join(" ".join(lines).split())


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2 rows``; `many` where the plural is not made with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean `x`?`` for the closest of `known`, or None."""
    import difflib  # only a program with a mistake pays for it

    close = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], color: bool = False) -> str:
    """Diagnostics as text: headline, source line, caret, hint. ANSI colours only if `color`."""
    return "\n".join(_render_one(d, sources, color) for d in diagnostics)


_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}


def _render_one(d: Diagnostic, sources: Mapping[str, str], color: bool) -> str:

    def paint(text: str) -> str:
        return f"{_COLORS[d.severity]}{text}\x1b[0m" if color else text

    where = f"{printable(str(d.span))}: " if d.span else ""
    parts = [f"{where}{paint(f'{d.severity}[{d.code}]')}: {printable(d.message)}"]
    if d.span and d.span.file in sources:
        lines = sources[d.span.file].split("\n")
        if 1 <= d.span.line <= len(lines):
            parts.extend(_excerpt(d.span, lines[d.span.line - 1], paint))
    if d.hint:
        parts.append(f"  hint: {printable(d.hint)}")
    return "\n".join(parts)


def _excerpt(span: Span, line: str, paint: Callable[[str], str], width: int = 120) -> list[str]:
    """The source line and a caret under the span; long lines are cut around the caret."""
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    shift = max(0, min(start - 20, len(line) - width)) if len(line) > width else 0
    shown = printable(line[shift : shift + width])
    length = max(1, min(end, shift + width) - start)
    gutter = f"{span.line:5d} | "
    return [f"{gutter}{shown}", f"{' ' * (len(gutter) - 2)}| {' ' * (start - shift)}{paint('^' * length)}"]


def printable(text: str) -> str:
    """`text` with control characters made visible, so that a hostile file cannot drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "�" for c in text)
