"""Compiling and binding a program for a test."""

from collections.abc import Mapping

from ppl.bind import Bound
from ppl.bind.bind import bind
from ppl.data.bind import bind_data
from ppl.diagnostics import Diagnostics
from ppl.driver import compile_source


def bound(text: str, data: Mapping[str, object] | None = None) -> Bound:
    c = compile_source(text, "m.ppl", "m")
    sink = Diagnostics(dict(c.sources))
    return bind(c.regions, c.elaborated.sizes, bind_data(c.data, data, sink), sink)
