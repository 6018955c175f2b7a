"""What a CSV file holds, before it is measured against a declaration."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.record import record


@record
class Missing:
    """A cell without a value; `text` is what it holds instead, such as ``NA``."""

    text: str


Cell = int | float | bool | str | Missing


@record
class Column:
    """The values below one name, and where they stood in the file; of a matrix, each entry of `rows` is a row."""

    rows: Sequence[Cell | tuple[Cell, ...]]
    lines: tuple[int, ...]  # line in the file, 1-based, of each row
    places: tuple[int, ...]  # column in the file, 1-based; several for a matrix
    matrix: bool

    @property
    def rank(self) -> int:
        return 2 if self.matrix else 1

    def locate(self, index: tuple[int, ...]) -> str:
        """``line 5, column 2`` for an element; of a table with one row also by the index within that row."""
        if len(self.rows) == 1 and len(index) < self.rank:
            row, rest = 0, index
        elif index:
            row, rest = index[0], index[1:]
        else:
            return ""
        return f"line {self.lines[row]}, column {self.places[rest[0] if rest else 0]}"
