"""Binding data to the `data` lines of a small program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from declared import declarations

from ppl.data.bind import bind_data
from ppl.diagnostics import PplError

Bind = Callable[..., dict[str, Any]]


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
