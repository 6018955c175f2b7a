"""One function for each term with latents integrated out: its expectation over the outcomes of their guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.core.show import show
from ppl.emit.boundaries import BoundaryEmitter
from ppl.emit.finite import is_finite
from ppl.emit.printer import Printer, element, of_loops
from ppl.emit.search import draw_of, leaves
from ppl.emit.shape import Facts
from ppl.emit.slices import Slice, term_slice
from ppl.emit.statements import Emitter, line_of, support_of, value_of
from ppl.emit.together import members_of
from ppl.emit.writer import tuple_text
from ppl.language.distributions import named
from ppl.regions.model import Counted, Integrated, Marginal
from ppl.regions.scope import Scope
from ppl.regions.state import defined, names_in


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
            if m.count is not None:
                self.counted(m, m.count)
            else:
                with w.block(f"def one({', '.join(map(b.instance, loops))}):"):
                    b.iterations(loops)
                    self.one(m, b.position(loops))
                w.line(f"return surface.total(one{''.join(', ' + r for r in b.ranges(loops))}{b.rows(loops)})")
        w.line()
        w.line()

    def counted(self, m: Marginal, c: Counted) -> None:
        """The expectation of a term over a count: the chance that an iteration counts, and the term given the sum."""
        b, w = self.around, self.around.w
        part, total = term_slice(b.facts.regions, b.scope, m), c.reduction.final.name
        part.variables = [v for v in part.variables if v.name != total]
        self.imports(part, {})
        read = self.reads(part)
        with w.block(f"def one({', '.join(f'g{t.guard}' for v in m.variables for t in v.guards)}):"):
            w.line(f"return {b.printer().expr(c.holds)}")
        live = b.live_printer({})
        w.line(f"probabilities = marginal.chance(one, {', '.join(self.variable(v, live) for v in m.variables)})")
        with w.block("def given(k):"):
            emitter = Emitter(b.facts, replace(b.printer(), read=read), w)
            start = live.expr(c.reduction.init, None, 6)
            w.line(f"{b.names[total]} = {'k' if start == '0' else f'{start} + k'}")
            w.line("out, path = {}, None" if any_decides(part) else "out = {}")
            for s in part.recomputed:
                emitter.statement(s)
            emitter.block(part.body)
            w.line(f'return out["t{m.term}"]')
        number = emitter.range(b.scope.loops[c.loop])[1]
        w.line(f"return marginal.counted(given, probabilities, {number}, {c.then.value}, {c.orelse.value}, at.rows)")

    def one(self, m: Marginal, position: dict[int, str]) -> None:
        b, w = self.around, self.around.w
        part = term_slice(b.facts.regions, b.scope, m)
        live = b.live_printer(position)
        self.imports(part, position)
        read = self.reads(part)
        apart: list[ir.Sample] = []
        with w.block(f"def given({', '.join(f'g{t.guard}' for v in m.variables for t in v.guards)}):"):
            emitter = Emitter(b.facts, replace(b.printer(), read=read), w, bare=self.apart(m, part, apart))
            emitter.w_loops = m.loops
            w.line("out, path = {}, None" if any_decides(part) else "out = {}")
            for s in part.recomputed:
                emitter.statement(s)
            emitter.block(part.body)
            w.line(f'return out["t{m.term}"]')
        variables = ", ".join(self.variable(v, live) for v in m.variables)
        rest = "".join(f"{self.without_prior(s, emitter)} + " for s in apart)
        finite = ", finite=True" if self.finite(m, part) else ""
        w.line(f"return {rest}marginal.expectation(given, {variables}{finite})")

    def finite(self, m: Marginal, part: Slice) -> bool:
        """Whether the term is finite under every outcome, those without probability included."""
        b = self.around
        draws = (s for _, s in ir.blocks(b.facts.regions.body) if isinstance(s, ir.Sample) and s.outcome is None)
        real = (s.site for s in draws if named(s.distribution).support.kind == "real")
        filled = {s.array for _, s in ir.blocks(b.facts.regions.body) if isinstance(s, ir.Fill)}
        sites = frozenset(real) - filled
        statements = [s for _, s in ir.blocks(part.body) if isinstance(s, ir.Sample | ir.Term) and s.id == m.term]
        return all(is_finite(s, b.scope.definitions, sites) for s in statements)

    def reads(self, part: Slice) -> dict[ir.Expr, str]:
        """The elements of arrays that the term reads under every outcome: read once."""
        b, statements = self.around, (*part.recomputed, *part.body)
        guards = [replace(i.guard, value=i.value) for i in b.facts.regions.guards]
        filled = {s.array for _, s in ir.blocks(statements) if isinstance(s, ir.Fill)}
        own = {s.var.name for _, s in ir.blocks(statements) if isinstance(s, ir.Loop)}
        drawn = [value_of(s) for _, s in ir.blocks(statements) if isinstance(s, ir.Sample)]
        out: dict[ir.Expr, str] = {}
        for x in (x for e in (*(e for s in statements for e in expressions_of(s, guards)), *drawn) for x in ir.walk(e)):
            if not isinstance(x, ir.Cell | ir.Index) or x in out or not of_loops(x.indices):
                continue
            array = x.array if isinstance(x, ir.Cell) else getattr(x.base, "name", None)
            inside = any(isinstance(i, ir.LoopVar) and i.name in own for e in x.indices for i in ir.walk(e))
            if array is None or array in filled or inside:
                continue
            name = f"{b.names[array]}_at_{len(out)}"
            b.w.line(f"{name} = {b.printer().expr(x)}")
            out[x] = name
        return out

    def apart(self, m: Marginal, part: Slice, found: list[ir.Sample]) -> Callable[[ir.Sample], bool]:
        """Whether of the term's draw the prior alone depends on the outcomes; if so it is added to `found`."""
        b = self.around
        given = {k for g in m.guards() for k in members_of(b.facts.regions, g)}
        inside = {name for s in (*part.recomputed, *part.body) for name in defined(s, b.resolve)}

        def apart(s: ir.Sample) -> bool:
            d = named(s.distribution)
            _, bounds = support_of(s, d)
            read = (*bounds, *(() if s.mask is None else (s.mask,)))
            fixed = not names_in(read, b.resolve) & inside and not given & b.scope.flow.many(read).guards
            alone = s.outcome is None and not d.joint and fixed
            if alone:
                found.append(s)
            return alone

        return apart

    def without_prior(self, s: ir.Sample, emitter: Emitter) -> str:
        """What the guide adds to the term of a draw, whatever the outcomes."""
        transform, bounds = support_of(s, named(s.distribution))
        limits = emitter.tuple(bounds, s.mask)
        call = f'"{s.site}", supports.{transform}, {limits}, {emitter.printer.places(s.indices)}'
        call += "" if s.mask is None else f", {emitter.printer.expr(s.mask)}"
        text = f"at.without_prior({call})"
        return text if s.indices or not s.var.type.dims else f"jnp.sum({text})"

    def variable(self, v: Integrated, live: Printer) -> str:
        b = self.around
        draw = draw_of(b.scope, v.latent)
        d = named(draw.distribution)
        index = ""
        if v.latent.indices:
            index = f", index={live.places(v.latent.indices)}"
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
        return element(text, [live.place(i) for i in v.latent.indices]) if e.type.dims else text

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
        how = "" if m.count is None else ", for the number of iterations that they let count"
        text = f"The term of line {line}, integrated over {' and '.join(parts)}{how}."
        return text.replace("\\", "\\\\").replace('"""', "'''")


def any_decides(part: Slice) -> bool:
    return any(isinstance(s, ir.Decide) for s in (*part.recomputed, *part.body))


def reads_of_term(facts: Facts, scope: Scope, m: Marginal) -> set[str]:
    """Variables of the program that the expectation of a term asks the main evaluation for."""
    out: set[str] = set()
    for v in m.variables:
        thresholds = (x for t in v.guards for x in (t.slope, t.rest))
        for e in (*draw_of(scope, v.latent).args, *v.latent.indices, *thresholds):
            out |= leaves(e)
    if m.count is not None:
        out |= leaves(m.count.reduction.init)
    part = term_slice(facts.regions, scope, m)
    return out | {v.name for v in part.variables} | set(part.arrays)
