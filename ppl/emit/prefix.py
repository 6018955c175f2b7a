"""Functions for terms that are sums over ranges of sorted iterations: their tables, and the terms themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ppl.core import ir
from ppl.core.show import show
from ppl.emit.boundaries import BoundaryEmitter
from ppl.emit.printer import Printer
from ppl.emit.search import draw_of
from ppl.emit.shape import Facts
from ppl.emit.statements import Emitter, line_of
from ppl.emit.writer import tuple_text
from ppl.language.distributions import named
from ppl.regions.model import Sorted
from ppl.regions.prefix import fewest, parts_of
from ppl.regions.scope import Scope

# Whether an iteration has the outcomes that are given: not a name of any program.
THERE = ir.Var("?", ir.BOOL, True)


@dataclass(frozen=True)
class PrefixEmitter:
    around: BoundaryEmitter

    def write(self, found: tuple[Sorted, ...]) -> None:
        b, w = self.around, self.around.w
        w.line()
        w.line()
        with w.block("def prepare(data, size, dtype):"):
            w.line(
                '"""What the data alone decide, once: prefix sums of the terms SUMMED, where loops are long enough."""'
            )
            for line in b.unpack:
                w.line(line)
            for s in found:
                self.row(s)
            rows = ", ".join(
                f'"t{s.term}": ({fewest(s)}, row_{s.term}, {self.family(s)}{self.range(s)})' for s in found
            )
            w.line(f"return prefix.tables({{{rows}}}, dtype)")
        for s in found:
            w.line()
            w.line()
            self.function(s)
        w.line()
        w.line()
        with w.block("def summed(at, data, size, main, terms):"):
            w.line('"""The sum of `terms`, of SUMMED, each from sums over ranges of its sorted iterations."""')
            functions = ", ".join(f'"t{s.term}": sum_{s.term}' for s in found)
            w.line(f"return prefix.total({{{functions}}}, terms, at, data, size, main)")

    def family(self, s: Sorted) -> str:
        return f"families.{s.form.family}"

    def range(self, s: Sorted) -> str:
        if s.loop is None:
            return ""
        b = self.around
        return "".join(f", {x}" for x in Emitter(b.facts, b.printer(), b.w).range(b.scope.loops[s.loop]))

    def row(self, s: Sorted) -> None:
        b, w = self.around, self.around.w
        printer = b.printer()
        known = tuple_text([printer.expr(e) for e in s.known])
        weight = "True" if s.weight is None else printer.expr(s.weight)
        variable = "" if s.loop is None else b.names[b.scope.loops[s.loop].var.name]
        with w.block(f"def row_{s.term}({variable}):"):
            w.line(f"return {printer.expr(s.key)}, {printer.expr(s.value)}, {known}, {weight}",
                   f":{b.facts.regions.term_lines[s.term]}")  # fmt: skip

    def function(self, s: Sorted) -> None:
        b, w = self.around, self.around.w
        needs = needs_of(b.facts, b.scope, s)
        guards = b.facts.regions.guards
        with w.block(f"def sum_{s.term}(at, data, size, main):"):
            w.line(f'"""{self.docstring(s)}"""')
            for line in b.unpack:
                w.line(line)
            self.imports(needs)
            printer = b.printer()
            guarded = replace(printer, aliases={THERE.name: "there"})
            with w.block(f"def given({', '.join(['there', *(f'g{c.guard}' for c in s.cuts)])}):"):
                for let in needs.inside:
                    mask = ir.conjunction(THERE, let.mask)
                    w.line(f"{b.names[let.var.name]} = {guarded.expr(let.value, mask)}", f":{let.span.line}")
                args = tuple_text([guarded.expr(a, THERE) for a in arguments(b.scope, s)])
                mask = "True" if s.mask is None else printer.expr(s.mask)
                w.line(f"return {args}, {mask}", f":{b.facts.regions.term_lines[s.term]}")
            with w.block(f"def cuts({', '.join(b.names[x.site] for x in s.lines)}):"):
                bounds = [f"prefix.{'below' if c.below else 'above'}({printer.expr(c.bound)})" for c in s.cuts]
                texts = ", ".join(f"{guards[c.guard].guard.text}" for c in s.cuts)
                w.line(f"return {tuple_text(bounds)}", texts)
            lines = "".join(f", {self.line(s, k, printer)}" for k in range(len(s.lines)))
            lines = f", ({lines[2:]},)" if lines else ""
            w.line(f'return prefix.Sum(data["?"]["t{s.term}"], {self.family(s)}, given, cuts{lines})')

    def line(self, s: Sorted, k: int, printer: Printer) -> str:
        b, latent = self.around, s.lines[k]
        draw = draw_of(b.scope, latent)
        transform, bounds = line_of(draw, named(draw.distribution))
        limits = "".join(f", {printer.expr(b.facts.inline(x))}" for x in bounds)
        moved = [i for i, c in enumerate(s.cuts) if any(a == ir.Var(latent.site, a.type, True) for m in c.normal
                 for a, _ in m if isinstance(a, ir.Var))]  # fmt: skip
        cut = moved[0] if len(moved) == 1 else None
        where = f'marginal.Latent(at, "{latent.site}", supports.{transform}{limits})'
        return f"prefix.Line({b.names[latent.site]}, {where}, {cut})"

    def imports(self, needs: Needs) -> None:
        """Names for what is read from the main evaluation, through which gradients flow."""
        b, w = self.around, self.around.w
        sites = {x.name: x for x in b.scope.program.sites}
        for name in needs.outside:
            source = f'main["{sites[name].output}"]["{name}"]' if name in sites else b.source(name, {}, "main")
            w.line(f"{b.names[name]} = {source}")
        for g in needs.guards:
            w.line(f'g{g} = main["g{g}"]')

    def docstring(self, s: Sorted) -> str:
        regions = self.around.facts.regions
        texts = ", ".join(f"{regions.guards[c.guard].guard.text} (:{regions.guards[c.guard].guard.span.line})"
                          for c in s.cuts)  # fmt: skip
        order = f" of {show(s.key)}, by {texts}" if texts else ""
        text = f"The term of line {regions.term_lines[s.term]}, from sums over ranges{order}."
        return text.replace("\\", "\\\\").replace('"""', "'''")


@dataclass
class Needs:
    """What the arguments, the mask and the bounds of a term read: assignments `inside` the loop, which are made again,
    and variables and guards `outside` of it."""

    inside: list[ir.Let] = field(default_factory=list[ir.Let])
    outside: list[str] = field(default_factory=list[str])
    guards: list[int] = field(default_factory=list[int])


def arguments(scope: Scope, s: Sorted) -> tuple[ir.Expr, ...]:
    """The arguments of the distribution that are not data."""
    (term,) = (x for _, x in ir.blocks(scope.program.body) if isinstance(x, ir.Term) and x.id == s.term)
    return tuple(a for k, a in enumerate(term.args) if k not in s.form.known)


def needs_of(facts: Facts, scope: Scope, s: Sorted) -> Needs:
    out = Needs()
    body = () if s.loop is None else scope.loops[s.loop].body
    lets = {x.var.name: x for _, x in ir.blocks(body) if isinstance(x, ir.Let)}
    given = {c.guard for c in s.cuts}
    wanted: set[str] = set()

    def visit(e: ir.Expr) -> None:
        for x in ir.walk(e):
            match x:
                case ir.Var() | ir.Cell():
                    name = x.name if isinstance(x, ir.Var) else x.array
                    if name in wanted:
                        continue
                    wanted.add(name)
                    if name in lets:
                        mask = parts_of(scope, scope.masks.get(name))[1]
                        visit(lets[name].value)
                        if mask is not None:
                            visit(mask)
                        out.inside.append(replace(lets[name], mask=mask))
                    else:
                        out.outside.append(name)
                case ir.GuardRef():
                    k = facts.regions.resolve(x.index)[0]
                    if k not in given and k not in out.guards:
                        out.guards.append(k)
                case _:
                    pass

    for e in (*arguments(scope, s), *(() if s.mask is None else (s.mask,)), *(c.bound for c in s.cuts)):
        visit(e)
    for latent in s.lines:  # an argument of `cuts`, and given as drawn
        if latent.site not in wanted:
            out.outside.append(latent.site)
    return out


def reads_of_sum(facts: Facts, scope: Scope, s: Sorted) -> set[str]:
    """Variables of the program that a sum asks the main evaluation for."""
    return set(needs_of(facts, scope, s).outside)
