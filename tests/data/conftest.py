"""Binding data to the `data` lines of a small program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ppl.data import bind_data
from ppl.diagnostics import Diagnostics, PplError
from ppl.syntax import ast, parse

Bind = Callable[..., dict[str, Any]]


def declarations(source: str) -> tuple[list[ast.Data], Diagnostics]:
    sink = Diagnostics({"m.ppl": source})
    module = parse(source, "m.ppl", sink)
    sink.raise_if_errors()
    assert module is not None
    return [s for s in module.statements if isinstance(s, ast.Data)], sink


@pytest.fixture(scope="session")
def bind() -> Bind:
    """``bind(source, given)`` is the bound data; notes are in ``sink`` if one is passed."""

    def run(source: str, given: Any = None, notes: list[str] | None = None) -> dict[str, Any]:
        data, sink = declarations(source)
        result = bind_data(data, given, sink)
        if notes is not None:
            notes.extend(d.headline() + (f" ({d.hint})" if d.hint else "") for d in sink.items)
        return result

    return run


@pytest.fixture(scope="session")
def rejected() -> Callable[..., PplError]:
    """``rejected(source, given)`` is the error that binding raises."""

    def run(source: str, given: Any = None) -> PplError:
        data, sink = declarations(source)
        with pytest.raises(PplError) as info:
            bind_data(data, given, sink)
        return info.value

    return run
