"""A compiled program: what `ppl.load` and `ppl.compile` return. It needs no jax until data is bound."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ppl.bind.indices import check_indices
from ppl.core import ir
from ppl.core.show import show
from ppl.data.defaults import check_defaults
from ppl.diagnostics import Diagnostic, Diagnostics, PplError, Span
from ppl.driver import Compiled, compile_source, deep_recursion
from ppl.language.budget import BOUNDARY_BUDGET
from ppl.language.guides import line
from ppl.regions.account import account

if TYPE_CHECKING:
    from ppl.bind.model import Bound, Measured
    from ppl.infer import Fit
    from ppl.problem import Problem

Data = Mapping[str, Any] | str | os.PathLike[str] | None


class Model:
    """A program that was checked and compiled. `diagnostics` holds warnings and notes."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self.name = compiled.name
        self.diagnostics = compiled.diagnostics
        self.sources = compiled.sources

    def __repr__(self) -> str:
        return f"Model({self.name})"

    @property
    def source_code(self) -> str:
        """The emitted JAX module as text."""
        return self._compiled.source_code

    def bind(self, data: Data = None) -> Problem:
        """The model with its data: a mapping, or the path of a .json, .csv or .npz file. None: defaults only.

        Raises DataError if the data do not fit, and PplError if the program is wrong for any data like these.
        """
        from ppl.problem import Guard, Problem

        bound, notes = self._bind(data)
        guards = tuple(
            Guard(d["text"], d["where"], d["kind"], d["direction"], d["effect"], d["count"], d["status"], d["reason"])
            for d in self._guards(bound, BOUNDARY_BUDGET)
        )
        return Problem(self._compiled, load_module(self._compiled), bound, guards, notes)

    def infer(self, data: Data = None, **options: Any) -> Fit:
        """Fits the model; see `ppl.infer.fit` for the options."""
        from ppl.infer import fit

        return fit(self.bind(data), **options)

    def explain(
        self, data: Data = None, boundary_budget: int | None = BOUNDARY_BUDGET
    ) -> dict[str, list[dict[str, Any]]]:
        """Sites, guards and loops that observe, with the number of boundaries if sizes are known from data or defaults.

        A guard of which a gradient evaluates a random subset under `boundary_budget` has the effect "subset". Without
        jax. Raises DataError if `data` is given and does not fit.
        """
        needs = any(s.default is None for s in self._compiled.data)
        found = self._measure(data) if data is not None or not needs else None
        guided = {k: part for part in self._compiled.regions.program.guide for k in part.sites}
        sites = [
            {
                "name": s.name, "distribution": s.distribution, "support": s.joint or s.support,
                "noise": s.noise, "shape": None if found is None else list(found.values[s.name]), "span": place(s.span),
                "guide": in_source(guided[s.name]) if s.name in guided else None,
            }
            for s in self._compiled.regions.program.sites
        ]  # fmt: skip
        guards = [{**g, "span": place(g["where"])} for g in self._guards(found, boundary_budget)]
        for g in guards:
            del g["where"]
        loops = [
            {"text": b.text, "span": place(b.span), "minibatch": not b.reason, "reason": b.reason}
            for b in self._compiled.regions.batches
        ]
        return {"sites": sites, "guards": guards, "loops": loops}

    def _bind(self, data: Data) -> tuple[Bound, tuple[Diagnostic, ...]]:
        from ppl.bind.bind import bind
        from ppl.data.bind import bind_data

        c = self._compiled
        sink = Diagnostics(dict(c.sources))
        values = bind_data(c.data, data, sink)
        bound = bind(c.regions, c.elaborated.sizes, values, sink)
        return bound, tuple(sink.items)

    def _measure(self, data: Data) -> Measured:
        """What the sizes in the data decide. The values in them are not looked at, and numpy is not imported for it."""
        from ppl.bind.blame import Findings
        from ppl.bind.measure import measure
        from ppl.bind.numbers import Numbers
        from ppl.data.bind import read_data

        c = self._compiled
        sink = Diagnostics(dict(c.sources))
        program, definitions = c.regions.program, c.regions.definitions
        numbers = Numbers(program, definitions, read_data(c.data, data, sink))
        return measure(c.regions, c.elaborated.sizes, numbers, Findings(program, definitions, sink))

    def _guards(self, found: Bound | Measured | None, budget: int | None) -> list[dict[str, Any]]:
        regions = self._compiled.regions
        if found is None:
            return account(regions, None, {}, budget)
        return account(regions, found.counts, found.shapes, budget)


def in_source(part: ir.GuidePart) -> str:
    """A part of the program's guide, in its words."""
    return line(part.sites, part.family, None if part.rank is None else show(part.rank), part.flow)


def place(span: Span) -> dict[str, Any]:
    return {"file": span.file, "line": span.line, "column": span.column, "end_line": span.end_line,
            "end_column": span.end_column}  # fmt: skip


def load_module(compiled: Compiled) -> ModuleType:
    """The emitted code as a module, registered so that tracebacks show its lines."""
    import linecache

    file = f"<pplc {compiled.name}>"
    module = ModuleType(f"pplc_{compiled.name}")
    linecache.cache[file] = (len(compiled.source_code), None, compiled.source_code.splitlines(True), file)
    exec(compile(compiled.source_code, file, "exec"), module.__dict__)
    return module


def load(path: str | os.PathLike[str], *, optimize: Iterable[str] | None = None) -> Model:
    """Compiles a ``.ppl`` file. Raises OSError if it cannot be read and PplError if it is rejected.

    `optimize` names the optimisations of the emitted code to do (`ppl.regions.optimize.OPTIMIZATIONS`); None is all of
    them, () none. The gradient is the same, so this is for comparing and for finding faults.
    """
    file = os.fspath(path)
    with open(file, "rb") as opened:
        raw = opened.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace").split("\n")
        line, column = len(before), len(before[-1]) + 1
        span = Span(file, line, column, line, column + 1)
        raise PplError([Diagnostic("PPL001", "the file is not UTF-8 here", span)]) from error
    name = os.path.splitext(os.path.basename(file))[0]
    return _model(text, file, name, os.path.dirname(file), optimize)


def compile_text(
    source: str, name: str = "model", folder: str | os.PathLike[str] | None = None, *,
    optimize: Iterable[str] | None = None,
) -> Model:  # fmt: skip
    """Compiles program text; `use` looks in `folder`. `optimize` as in `load`. Raises PplError if it is rejected."""
    return _model(source, f"{name}.ppl", name, None if folder is None else os.fspath(folder), optimize)


def _model(text: str, file: str, name: str, folder: str | None, optimize: Iterable[str] | None) -> Model:
    compiled = compile_source(text, file, name, folder, optimize)
    sink = Diagnostics(dict(compiled.sources), list(compiled.diagnostics))
    check_defaults(compiled.data, sink)
    with deep_recursion():
        check_indices(compiled.regions.program, compiled.regions.definitions, sink)
    sink.raise_if_errors()
    return Model(compiled)


__all__ = ["Data", "Model", "compile_text", "load"]
