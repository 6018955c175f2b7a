"""Plain text in columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """`rows` as lines with two spaces between columns; columns in `left` are flush left, others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(i: int, text: str) -> str:
        return text.ljust(widths[i]) if i in left else text.rjust(widths[i])

    return ["  ".join(cell(i, text) for i, text in enumerate(row)).rstrip() for row in rows]


def number(value: float, scale: float) -> str:
    """`value` with about three significant digits of `scale`, the size that matters (its standard deviation)."""
    if math.isnan(value):
        return "-"
    size = scale if math.isfinite(scale) and scale > 0 else abs(value)
    if not math.isfinite(value) or size == 0:
        return f"{value:g}"
    decimals = 2 - math.floor(math.log10(size))
    if decimals > 7 or abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:.{max(0, decimals)}f}"
