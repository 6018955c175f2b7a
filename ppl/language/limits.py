"""The reports that say whether a `while` used all the iterations that its limit allows."""

from __future__ import annotations

import re

_NAME = re.compile(r"limit_(\d+)(?:_\d+)?")


def report_name(line: int, column: int | None = None) -> str:
    """``limit_L`` of the loop at line L; with its column where another loop has that name."""
    return f"limit_{line}" if column is None else f"limit_{line}_{column}"


def line_of(report: str) -> int | None:
    """The line of the loop that a report is of; None for the other reports, to which no program gives such a name."""
    found = _NAME.fullmatch(report)
    return None if found is None else int(found[1])
