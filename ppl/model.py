"""A compiled program: what `ppl.load` and `ppl.compile` return. It needs no jax until data is bound."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ppl.bind.indices import check_divisors, check_indices
from ppl.core import ir
from ppl.core.show import show
from ppl.data.defaults import check_defaults
from ppl.diagnostics import Diagnostic, Diagnostics, PplError, Span
from ppl.driver import Compiled, compile_source, deep_recursion, with_learned
from ppl.language.budget import BOUNDARY_BUDGET, Budget, check_budget
from ppl.language.distributions import named
from ppl.language.guides import line
from ppl.regions.account import account
from ppl.regions.choice import Asked
from ppl.regions.costs import budgets, costs
from ppl.regions.model import Learned
from ppl.regions.vanishing import asks_data

if TYPE_CHECKING:
    from ppl.bind.model import Bound, Measured
    from ppl.infer import Fit
    from ppl.problem import Problem
    from ppl.regions.work import Sizes

Data = Mapping[str, Any] | str | os.PathLike[str] | None


class Model:
    """A program that was checked and compiled. `diagnostics` holds warnings and notes of the program without data."""

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

        compiled, bound, notes = self._bind(data)
        guards = tuple(
            Guard(d["text"], d["where"], d["kind"], d["direction"], d["effect"], d["count"], d["status"], d["reason"])
            for d in account(compiled.regions, bound.counts, bound.shapes, bound.budgets)
        )
        return Problem(compiled, load_module(compiled), bound, guards, (*compiled.diagnostics, *notes))

    def infer(self, data: Data = None, **options: Any) -> Fit:
        """Fits the model; see `ppl.infer.fit` for the options."""
        from ppl.infer import fit

        return fit(self.bind(data), **options)

    def explain(self, data: Data = None, boundary_budget: Budget = BOUNDARY_BUDGET) -> dict[str, Any]:
        """Sites, guards and loops that observe, with the number of boundaries if sizes are known from data or defaults.

        A guard of which a gradient evaluates a random subset under `boundary_budget` has the effect "subset". Its
        `lines` are those that it can be crossed along, the one chosen first; its `jump` says what one instance
        evaluates, ``{"factors": 3, "of": 41}``, and the `work` of all in a draw; the `work` of the program is that of
        the gradient without boundaries, of all boundaries, and the price of the one with them over the one without, in
        evaluations of the log density: a count, no time (`ppl.regions.work`). Without jax. With data, guards are as in
        `bind(data)`. Raises DataError if `data` do not fit, ValueError for no budget.
        """
        return self.explained(data, boundary_budget)[0]

    def explained(
        self, data: Data = None, boundary_budget: Budget = BOUNDARY_BUDGET
    ) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
        """What `explain` returns, and the warnings and notes of the program with these data: some of `diagnostics` may
        be retracted by them, and others added."""
        check_budget(boundary_budget)
        c, found, sizes = self._seen(data)
        guided = {k: part for part in c.regions.program.guide for k in part.sites}
        sites = [
            {
                "name": s.name, "distribution": named(s.distribution).written, "support": s.joint or s.support,
                "noise": s.noise, "shape": None if found is None else list(found.values[s.name]), "span": place(s.span),
                "guide": in_source(guided[s.name]) if s.name in guided else None,
            }
            for s in c.regions.program.sites
        ]  # fmt: skip
        with deep_recursion():
            shapes = {} if found is None else found.shapes
            taken = budgets(c.regions, sizes, shapes, boundary_budget)
            cost = costs(c.regions, sizes, shapes, taken)
        counts = None if found is None else found.counts
        guards = [{**g, "span": place(g["where"])} for g in account(c.regions, counts, shapes, taken, cost.jumps)]
        for g in guards:
            del g["where"]
        loops = [
            {"text": b.text, "span": place(b.span), "minibatch": not b.reason, "reason": b.reason}
            for b in c.regions.batches
        ]
        report = {"sites": sites, "guards": guards, "loops": loops, "work": cost.to_json()}
        return report, c.diagnostics

    def said_by_defaults(self) -> tuple[Diagnostic, ...]:
        """Warnings that the program deserves with its default data, beyond `diagnostics`. Without jax."""
        try:
            seen = self._seen(None)[0].diagnostics
        except PplError:  # data may be given instead; without, binding says what is wrong
            return ()
        return tuple(d for d in seen if d not in self.diagnostics)

    def _bind(self, data: Data) -> tuple[Compiled, Bound, tuple[Diagnostic, ...]]:
        """The program as it is compiled for these data, and what is to be said of them."""
        from ppl.bind.bind import bind
        from ppl.data.bind import bind_data

        c, learned = self._compiled, Learned()
        sink = Diagnostics(dict(c.sources))
        values = bind_data(c.data, data, sink)
        bound = bind(c.regions, c.elaborated.sizes, values, sink)
        while bound.learned | learned != learned:  # a guard that is classified anew may ask more
            learned |= bound.learned
            c = with_learned(self._compiled, learned)
            bound = bind(c.regions, c.elaborated.sizes, values, sink)
        return c, bound, tuple(sink.items)

    def _seen(self, data: Data) -> tuple[Compiled, Measured | None, Sizes | None]:
        """The program as it is compiled for these data, what their sizes decide, None if there are none, and what they
        say of guards. The values in them are looked at only where guards ask it."""
        c = self._compiled
        if data is None and any(s.default is None for s in c.data):
            return c, None, None
        found, sizes = self._measure(c, data)
        if asks_data(c.regions, found.shapes):
            learned, _, _ = self._bind(data)
            if learned is not c:
                return learned, *self._measure(learned, data)
        return c, found, sizes

    def _measure(self, c: Compiled, data: Data) -> tuple[Measured, Sizes]:
        """What the sizes in the data decide. The values in them are not looked at, and numpy is not imported for it."""
        from ppl.bind.blame import Findings
        from ppl.bind.measure import Known, measure
        from ppl.bind.numbers import Numbers
        from ppl.data.bind import read_data

        sink = Diagnostics(dict(c.sources))
        program, definitions = c.regions.program, c.regions.definitions
        numbers = Numbers(program, definitions, read_data(c.data, data, sink))
        measured = measure(c.regions, c.elaborated.sizes, numbers, Findings(program, definitions, sink))
        return measured, Known(measured.extents, numbers)


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


def load(path: str | os.PathLike[str], *, optimize: Iterable[str] | None = None, lines: Asked = None) -> Model:
    """Compiles a ``.ppl`` file. Raises OSError if it cannot be read and PplError if it is rejected.

    `lines` says along which line guards are crossed, in place of the one that the compiler chooses: ``{"12:6":
    "normal", 14: "temp[t-1]", "all": "coordinate"}`` by line and column, or line, of a guard, or a string for all.
    `optimize` names the optimisations of the emitted code to do (`ppl.regions.optimize.OPTIMIZATIONS`); None is all of
    them, () none. The gradient is the same on average, so both are for comparing and for finding faults. Raises
    ValueError for a place, a line or an optimisation that is not one, PplError for a line that a guard cannot have.
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
    return _model(text, file, name, os.path.dirname(file), optimize, lines)


def compile_text(
    source: str, name: str = "model", folder: str | os.PathLike[str] | None = None, *,
    optimize: Iterable[str] | None = None, lines: Asked = None,
) -> Model:  # fmt: skip
    """Compiles program text; `use` looks in `folder`. `optimize` and `lines` as in `load`. Raises PplError if it is
    rejected."""
    return _model(source, f"{name}.ppl", name, None if folder is None else os.fspath(folder), optimize, lines)


def _model(text: str, file: str, name: str, folder: str | None, optimize: Iterable[str] | None, lines: Asked) -> Model:
    compiled = compile_source(text, file, name, folder, optimize, lines)
    sink = Diagnostics(dict(compiled.sources), list(compiled.diagnostics))
    check_defaults(compiled.data, sink)
    with deep_recursion():
        check_indices(compiled.regions.program, compiled.regions.definitions, sink)
        check_divisors(compiled.regions.program, compiled.regions.definitions, sink)
    sink.raise_if_errors()
    return Model(compiled)


__all__ = ["Data", "Model", "compile_text", "load"]
