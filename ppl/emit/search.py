"""Boundaries that are searched for along a line: the guard's value as a function of the latents that move it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ppl.core import ir
from ppl.emit.printer import Moved, Printer, element
from ppl.emit.shape import Facts
from ppl.emit.slices import Slice, value_slice
from ppl.emit.statements import Emitter, line_of
from ppl.emit.writer import Writer, tuple_text
from ppl.language.distributions import named
from ppl.regions.model import Boundary, GuardInfo, Latent, Search
from ppl.regions.scope import Scope
from ppl.regions.search import elements, is_whole

# Of a smooth guard on one line; of more, a random subset is taken. Fewer where each takes the whole program.
MOST_ROOTS, MOST_ROOTS_OF_MODEL = 12, 4


@dataclass(frozen=True)
class SearchEmitter:
    facts: Facts
    scope: Scope
    names: Mapping[str, str]
    w: Writer
    info: GuardInfo
    b: Boundary
    search: Search
    position: dict[int, str]
    live: Printer
    source: Callable[[str], str]  # where the evaluation `main` left a variable

    def write(self, jump: Callable[[], object]) -> None:
        """The body of one instance; `jump` writes what makes `gap` out of `root` and `slope`."""
        if self.search.arguments:
            self.value()
        else:
            self.value_of_model()
        self.w.line(f"on = {self.line(self.b.line)}")
        levels = self.info.guard.levels
        with self.w.block(f"def across(root, slope{', level' if levels else ''}):"):
            jump()
            self.w.line("return gap")
        flag = ", levels=True" if levels else ""
        if not self.search.arguments:
            sites = tuple_text([f'"{s}"' for s in self.search.sites])
            flag += ", poles=True" if any(i.guard.pole for i in self.facts.regions.guards) else ""
            self.w.line(f"return crossings.total_of_model(value, on, {sites}, {self.method()}, across{flag})")
            return
        lines = [self.line(a) for a in self.search.arguments]
        place = next(k for k, a in enumerate(self.search.arguments) if self.moves(a))
        if self.search.arguments[place] == self.b.line:
            lines[place] = "on"
        sizing = ", sizing=sizing" if self.b.repeats else ""
        args = f"{place}, {tuple_text(lines)}, {self.method()}, across{flag}{sizing}"
        self.w.line(f"return crossings.total(value, main, on, {args})")

    def moves(self, a: Latent) -> bool:
        return a == self.b.line or (is_whole(self.scope, a) and a.site == self.b.line.site)

    def method(self) -> str:
        match self.search.method:
            case "polynomial":
                printed = ", ".join(self.live.expr(c) for c in self.search.coefficients)
                return f"crossings.polynomial_roots({printed})"
            case "monotone":
                return "crossings.only_root"
            case _ if self.search.arguments:
                return f"crossings.all_roots({MOST_ROOTS}{', pieces=True' if self.pieces() else ''})"
            case _:
                return f"crossings.all_roots({MOST_ROOTS_OF_MODEL}, pieces=True)"

    def pieces(self) -> bool:
        """Whether branches decide the guard's value along its line."""
        if self.search.method != "smooth":
            return False
        part = value_part(self.facts, self.scope, self.info, self.search)
        return any(isinstance(s, ir.Decide) for s in part.recomputed)

    def line(self, a: Latent) -> str:
        draw = draw_of(self.scope, a)
        d = named(draw.distribution)
        index = f", index={self.live.places(a.indices)}" if a.indices else ""
        if draw.noise:
            args = "".join(f", {self.at_element(x, a)}" for x in draw.args)
            return f'crossings.line(at, "{a.site}", crossings.Noise("{d.function}"){args}{index})'
        transform, bounds = line_of(draw, d)
        if a.indices or is_whole(self.scope, a):
            bounds = tuple(self.facts.inline(x) if draw.indices else x for x in bounds)
        limits = "".join(f", {self.at_element(x, a)}" for x in bounds)
        return f'crossings.line(at, "{a.site}", supports.{transform}{limits}{index})'

    def at_element(self, e: ir.Expr, a: Latent) -> str:
        text = self.live.expr(e, None, 10)
        return element(text, [self.live.place(i) for i in a.indices]) if e.type.dims else text

    def value_of_model(self) -> None:
        with self.w.block("def value(at):"):
            guard, place = f"g{self.b.guard}", tuple_text(list(self.position.values()))
            self.w.line("out = model(at, data, size)")
            picked = element(f'out["{guard}"].value', list(self.position.values()))
            self.w.line(f'return {picked}, control.piece(out, "{guard}", {place})')

    def value(self) -> None:
        """The guard's value for given values of the arguments, everything else read from an evaluation."""
        arguments = self.search.arguments
        parameters: list[str] = []
        moves: list[Moved] = []
        for k, a in enumerate(arguments):
            name = self.names[a.site]
            parameters.append(f"{name}_at_{k}" if a.indices else name)
            if a.indices:
                moves.append(moved(self.scope, a, parameters[-1]))
        printer = Printer(self.facts.regions, self.names, tuple(moves))
        part = value_part(self.facts, self.scope, self.info, self.search)
        with self.w.block(f"def value(main, {', '.join(parameters)}):"):
            self.imports(part)
            if any(isinstance(s, ir.Decide) for s in part.recomputed):
                self.w.line("out, path = {}, None")
            emitter = Emitter(self.facts, printer, self.w)
            for s in part.recomputed:
                emitter.statement(s)
            piece = ", control.piece(out)" if self.pieces() else ""
            self.w.line(f"return {printer.expr(self.info.value, self.info.guard.mask)}{piece}")

    def imports(self, part: Slice) -> None:
        sites = {s.name: s for s in self.scope.program.sites}
        own = {a.site for a in self.search.arguments if not a.indices}
        for name in dict.fromkeys((*(v.name for v in part.variables), *part.arrays)):
            if name in own:
                continue
            self.w.line(
                f'{self.names[name]} = main["{sites[name].output}"]["{name}"]'
                if name in sites
                else f"{self.names[name]} = {self.source(name)}"
            )
        for k, a in enumerate(self.search.arguments):
            if a.indices and any(v.name == a.site for v in part.variables):  # read as a whole
                name, where = self.names[a.site], ", ".join(self.live.expr(i) for i in a.indices)
                self.w.line(f"{name} = {name}.at[{where}].set({name}_at_{k})")
        for g in part.guards:
            home = [self.position[x] for x in self.facts.regions.guards[g].loops]
            row = f'surface.row(main["g{g}"], {tuple_text(home)})' if home else f'main["g{g}"]'
            self.w.line(f"g{g} = {row}")


def value_part(facts: Facts, scope: Scope, info: GuardInfo, search: Search) -> Slice:
    lines = tuple(elements(scope, a.site)[0] if is_whole(scope, a) else a for a in search.arguments)
    return value_slice(facts.regions, scope, info, lines, frozenset(a.site for a in search.arguments if not a.indices))


def reads_of_search(facts: Facts, scope: Scope, info: GuardInfo, b: Boundary) -> set[str]:
    """Variables that a search asks the main evaluation for."""
    if b.search is None:
        return set()
    out = {name for e in b.search.coefficients for name in leaves(e)}
    for a in b.search.arguments:
        out |= {name for e in draw_of(scope, a).args for name in leaves(e)}
    if b.search.arguments:
        part = value_part(facts, scope, info, b.search)
        out |= {v.name for v in part.variables} | set(part.arrays)
    return out


def leaves(e: ir.Expr) -> set[str]:
    return {x.name if isinstance(x, ir.Var) else x.array for x in ir.walk(e) if isinstance(x, ir.Var | ir.Cell)}


def draw_of(scope: Scope, latent: Latent) -> ir.Sample:
    """The (first) draw of the site whose coordinate a boundary moves."""
    return next(s for _, s in ir.blocks(scope.program.body) if isinstance(s, ir.Sample) and s.site == latent.site)


def moved(scope: Scope, latent: Latent, name: str) -> Moved:
    return Moved(
        latent, name, lambda i: scope.same_element(i, latent.indices),
        lambda i: scope.different_element(i, latent.indices),
    )  # fmt: skip
