"""The data declarations of a small program."""

from __future__ import annotations

from ppl.diagnostics import Diagnostics
from ppl.syntax import ast, parse


def declarations(source: str) -> tuple[list[ast.Data], Diagnostics]:
    sink = Diagnostics({"m.ppl": source})
    module = parse(source, "m.ppl", sink)
    sink.raise_if_errors()
    return [s for s in module.statements if isinstance(s, ast.Data)], sink
