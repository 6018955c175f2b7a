"""Lines of Python with indentation."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

WIDTH = 116


@dataclass
class Writer:
    lines: list[str] = field(default_factory=list[str])
    depth: int = 0

    def line(self, text: str = "", comment: str = "") -> None:
        """One statement; the comment goes to column 60 or behind the code."""
        code = "    " * self.depth + text if text else ""
        if comment:
            code = f"{code:<59} # {comment}" if len(code) < 59 else f"{code}  # {comment}"
        self.lines.append(code.rstrip())

    def insert(self, place: int, text: str) -> None:
        """One statement before line number `place`."""
        self.lines.insert(place, "    " * self.depth + text)

    @contextmanager
    def block(self, head: str, comment: str = "") -> Generator[None]:
        self.line(head, comment)
        self.depth += 1
        yield
        self.depth -= 1

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def tuple_text(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
