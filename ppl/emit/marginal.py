"""One function for each term with latents integrated out: its expectation over the outcomes of their guards."""

from __future__ import annotations

from dataclasses import dataclass

from ppl.core import ir
from ppl.core.show import show
from ppl.emit.boundaries import BoundaryEmitter
from ppl.emit.printer import Printer
from ppl.emit.search import draw_of, leaves
from ppl.emit.shape import Facts
from ppl.emit.slices import Slice, term_slice
from ppl.emit.statements import Emitter, line_of
from ppl.emit.writer import tuple_text
from ppl.language.distributions import named
from ppl.regions.model import Integrated, Marginal
from ppl.regions.scope import Scope


@dataclass(frozen=True)
class MarginalEmitter:
    around: BoundaryEmitter

    def write(self, found: tuple[Marginal, ...]) -> None:
        w = self.around.w
        w.line()
        w.line()
        for m in found:
            self.function(m)
        with w.block("def expected(at, data, size, main, integrated):"):
            w.line('"""The sum of the terms `integrated`, with the latents of INTEGRABLE integrated out of each."""')
            functions = ", ".join(f'"t{m.term}": expected_{m.term}' for m in found)
            w.line(f"return marginal.total({{{functions}}}, integrated, at, data, size, main)")

    def function(self, m: Marginal) -> None:
        b, w = self.around, self.around.w
        loops = [b.scope.loops[x] for x in m.loops]
        with w.block(f"def expected_{m.term}(at, data, size, main):"):
            w.line(f'"""{self.docstring(m)}"""')
            if any(s.term == m.term and s.lines for s in b.facts.regions.sums):
                with w.block(f'if prefix.has(data, "t{m.term}"):'):
                    w.line(f"return sum_{m.term}(at, data, size, main).expectation(at)")
            for line in b.unpack:
                w.line(line)
            with w.block(f"def one({', '.join(map(b.instance, loops))}):"):
                b.iterations(loops)
                self.one(m, b.position(loops))
            w.line(f"return surface.total(one{''.join(', ' + r for r in b.ranges(loops))}{b.rows(loops)})")
        w.line()
        w.line()

    def one(self, m: Marginal, position: dict[int, str]) -> None:
        b, w = self.around, self.around.w
        part = term_slice(b.facts.regions, b.scope, m)
        live = b.live_printer(position)
        with w.block(f"def given({', '.join(f'g{t.guard}' for v in m.variables for t in v.guards)}):"):
            self.imports(part, position)
            emitter = Emitter(b.facts, b.printer(), w)
            emitter.w_loops = m.loops
            w.line("out, path = {}, None" if any_decides(part) else "out = {}")
            for s in part.recomputed:
                emitter.statement(s)
            emitter.block(part.body)
            w.line(f'return out["t{m.term}"]')
        variables = ", ".join(self.variable(v, live) for v in m.variables)
        w.line(f"return marginal.expectation(given, {variables})")

    def variable(self, v: Integrated, live: Printer) -> str:
        b = self.around
        draw = draw_of(b.scope, v.latent)
        d = named(draw.distribution)
        index = ""
        if v.latent.indices:
            index = f", index={tuple_text([live.expr(i) for i in v.latent.indices])}"
        if draw.noise:
            args = "".join(f", {self.at_element(a, v, live)}" for a in draw.args)
            where = f"marginal.Noise(at, dist.{d.function}{args})"
        else:
            transform, bounds = line_of(draw, d)
            bounds = tuple(b.facts.inline(x) for x in bounds) if v.latent.indices else bounds
            limits = "".join(f", {live.expr(x)}" for x in bounds)
            where = f'marginal.Latent(at, "{v.latent.site}", supports.{transform}{limits}{index})'
        masks = {t.guard: b.facts.regions.guards[t.guard].guard.mask for t in v.guards}
        masks = {k: None if m is None or m.random else m for k, m in masks.items()}
        thresholds = tuple_text(
            [f"({live.expr(t.slope, masks[t.guard])}, {live.expr(t.rest, masks[t.guard])})" for t in v.guards]
        )
        return f"({where}, {thresholds})"

    def at_element(self, e: ir.Expr, v: Integrated, live: Printer) -> str:
        text = live.expr(e, None, 10)
        return f"{text}[{', '.join(live.expr(i) for i in v.latent.indices)}]" if e.type.dims else text

    def imports(self, part: Slice, position: dict[int, str]) -> None:
        """Names for what the slice reads from the main evaluation, through which gradients flow."""
        b, w = self.around, self.around.w
        sites = {s.name: s for s in b.scope.program.sites}
        for name in dict.fromkeys((*(v.name for v in part.variables), *part.arrays)):
            source = f'main["{sites[name].output}"]["{name}"]' if name in sites else b.source(name, position, "main")
            w.line(f"{b.names[name]} = {source}")
        for g in part.guards:
            home = [position[x] for x in b.facts.regions.guards[g].loops]
            w.line(f"g{g} = " + (f'surface.row(main["g{g}"], {tuple_text(home)})' if home else f'main["g{g}"]'))

    def docstring(self, m: Marginal) -> str:
        guards = self.around.facts.regions.guards
        line = self.around.facts.regions.term_lines[m.term]
        parts = [
            f"{show(v.latent.expr(ir.REAL))} by its guard{'' if len(v.guards) == 1 else 's'} "
            + ", ".join(f"{guards[t.guard].guard.text} (:{guards[t.guard].guard.span.line})" for t in v.guards)
            for v in m.variables
        ]
        text = f"The term of line {line}, integrated over {' and '.join(parts)}."
        return text.replace("\\", "\\\\").replace('"""', "'''")


def any_decides(part: Slice) -> bool:
    return any(isinstance(s, ir.Decide) for s in (*part.recomputed, *part.body))


def reads_of_term(facts: Facts, scope: Scope, m: Marginal) -> set[str]:
    """Variables of the program that the expectation of a term asks the main evaluation for."""
    out: set[str] = set()
    for v in m.variables:
        for e in (*draw_of(scope, v.latent).args, *(x for t in v.guards for x in (t.slope, t.rest))):
            out |= leaves(e)
    part = term_slice(facts.regions, scope, m)
    return out | {v.name for v in part.variables} | set(part.arrays)
