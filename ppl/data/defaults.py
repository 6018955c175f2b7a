"""Sizes and defaults of data that are wrong whatever the data: found when a program is checked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ppl.diagnostics import Diagnostics
from ppl.syntax import ast


def check_defaults(declarations: Sequence[ast.Data], sink: Diagnostics) -> None:
    """Reports to `sink` what no data can mend, as binding would."""
    if all(_is_right(d) for d in declarations):  # as most are; then there is nothing to import
        return
    from ppl.data.bind import check_declarations

    check_declarations(declarations, sink)


def _is_right(d: ast.Data) -> bool:
    """Whether a declaration is right at a glance: sizes by name or number, a literal or nothing as its default."""
    if not all(isinstance(dim, ast.Name | ast.Number) for dim in d.type.dims):
        return False
    if d.default is None:
        return True
    e = d.default.operand if isinstance(d.default, ast.Unary) and d.default.op == "-" else d.default
    if d.type.dims or not isinstance(e, ast.Number):
        return not d.type.dims and isinstance(e, ast.Boolean) and e is d.default and d.type.base == "bool"
    if d.type.base == "int":
        return isinstance(e.value, int)
    return d.type.base == "real" and math.isfinite(e.value)
