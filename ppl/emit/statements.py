"""Statements as JAX source: the same code for the whole program and for the slice that a boundary re-evaluates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.core.show import show
from ppl.emit import loops, observed
from ppl.emit.printer import Printer
from ppl.emit.shape import Facts
from ppl.emit.writer import Writer, tuple_text
from ppl.language.distributions import Distribution, named


@dataclass
class Emitter:
    """Writes statements. `keep` are variables that boundary terms will ask for; `values` the site values written."""

    facts: Facts
    printer: Printer
    w: Writer
    keep: frozenset[str] = frozenset()
    overridable: frozenset[str] = frozenset()
    point: str = "at"
    split: bool = False  # whether loops with state are written in parts
    bare: Callable[[ir.Sample], bool] | None = None  # draws of which the prior alone is wanted
    drawing: bool = False  # whether this is a function that draws
    forward: bool = False  # whether values alone are wanted, no gradients
    values: set[str] = field(default_factory=set[str])
    w_loops: tuple[int, ...] = ()  # loops around the line being written
    deferred: dict[int, list[tuple[str, str]]] = field(default_factory=dict[int, list[tuple[str, str]]])

    # ------------------------------------------------------------------ blocks

    def block(self, body: tuple[ir.Statement, ...]) -> None:
        for s in body:
            self.statement(s)

    def statement(self, s: ir.Statement) -> None:
        match s:
            case ir.Let():
                name = self.printer.name(s.var.name)
                self.w.line(f"{name} = {self.printer.expr(s.value, s.mask)}", f":{s.span.line}")
                self.kept(s.var.name)
            case ir.Decide():
                self.decide(s)
            case ir.Sample():
                self.sample(s)
            case ir.Fill():
                self.fill(s)
            case ir.Term():
                self.term(s)
            case ir.Loop():
                self.loop(s)
            case ir.Report():
                pass

    def kept(self, name: str) -> None:
        if name in self.keep:
            self.w.line(f'out["v_{name}"] = {self.printer.name(name)}')

    def decide(self, s: ir.Decide) -> None:
        info = self.facts.regions.guards[s.index]
        if info.representative != s.index:
            return
        g = f"g{s.index}"
        if isinstance(info.value, ir.Outcome):
            index = f", {self.printer.places(info.value.indices)}" if info.value.indices else ""
            call = f'{self.point}.outcome("{info.value.site}", path, "{g}"{index}{self.lowest(info.value)})'
            self.w.line(f'{g} = out["{g}"] = {call}', f":{info.guard.span.line}")
            return
        value = self.printer.expr(info.value, s.mask)
        comment = f":{info.guard.span.line}  {info.guard.text}"
        take, nowhere = ("level", 0.5) if info.guard.levels else ("decide", -1.0)
        if info.guard.where is not None:  # an index beyond the array would make it another instance of the guard
            value = f"jnp.where({self.printer.expr(info.guard.where)}, {value}, {nowhere})"
        self.w.line(f'{g} = out["{g}"] = control.{take}({value}, path, "{g}")', comment)

    # ------------------------------------------------------------------- sites

    def sample(self, s: ir.Sample) -> None:
        d = named(s.distribution)
        if self.drawing:
            self.random(s, d)
            return
        if s.outcome is not None:
            self.discrete(s, d)
            return
        if not s.indices and s.site not in self.values:
            self.value(s, d)
        if s.noise:
            return
        if self.bare is not None and self.bare(s):
            self.prior(s, d)
            return
        args = self.tuple(s.args, s.mask)
        transform, bounds = support_of(s, d)
        call = f'"{s.site}", dist.{d.function}, {args}, {module_of(d)}.{transform}, {self.tuple(bounds, s.mask)}'
        if s.indices or s.mask is not None:
            call += f", {self.printer.places(s.indices)}"
        if self.forward and s.mask is not None:  # what is drawn does not wait for whether it is
            text = f"jnp.where({self.printer.expr(s.mask)}, {self.point}.latent({call}).log_density, 0.0)"
            self.w.line(f'out["t{s.id}"] = {text}', f":{s.span.line}")
            return
        if s.mask is not None:
            call += f", {self.printer.expr(s.mask)}"
        if s.custom is not None and self.split:
            call += f", drawn=({custom_name(s.custom.name)}, {self.tuple(s.custom.args, s.mask)})"
        self.w.line(f'out["t{s.id}"] = {self.point}.latent({call})', f":{s.span.line}")

    def random(self, s: ir.Sample, d: Distribution) -> None:
        """A draw in a function that draws; each iteration of a loop has a key of its own."""
        key = f"jax.random.fold_in({f'key_{self.w_loops[-1]}' if self.w_loops else 'key'}, {s.id})"
        shape = self.tuple(tuple(self.facts.inline(n) for n in s.var.type.dims))
        call = f"dist.{d.function}, {key}, {self.tuple(s.args, s.mask)}, {shape}, dtype"
        call += "" if s.mask is None else f", {self.printer.expr(s.mask)}"
        name = self.printer.name(s.var.name)
        self.w.line(f'{name}, out["ok_{s.id}"] = samplers.attempt({call})', f":{s.span.line}")

    def prior(self, s: ir.Sample, d: Distribution) -> None:
        """Of a draw its log prior density alone."""
        value = value_of(s)
        args = "".join(f", {self.printer.expr(a, s.mask)}" for a in (value, *s.args))[2:]
        text = f"dist.{d.function}({args})"
        if s.mask is not None:
            text = f"dist.{d.function}.masked({self.printer.expr(s.mask)}, {args})"
        if value.type.dims:
            text = f"jnp.sum({text})"
        self.w.line(f'out["t{s.id}"] = {text}', f":{s.span.line}")

    def discrete(self, s: ir.Sample, d: Distribution) -> None:
        assert s.outcome is not None
        call = f'"{s.site}", dist.{d.function}, {self.printer.expr(s.outcome)}, {self.tuple(s.args, s.mask)}'
        if s.indices or s.mask is not None:
            call += f", {self.printer.places(s.indices)}"
        if s.mask is not None:
            call += f", {self.printer.expr(s.mask)}"
        if isinstance(s.outcome, ir.GuardRef):
            call += self.lowest(self.facts.regions.guards[s.outcome.index].guard.value)
        self.w.line(f'out["t{s.id}"] = {self.point}.discrete({call})', f":{s.span.line}")

    def lowest(self, outcome: ir.Expr) -> str:
        """The argument that says what outcome 0 stands for, where that is not 0."""
        if not isinstance(outcome, ir.Outcome) or outcome.lowest is None:
            return ""
        return f", lowest={self.printer.expr(outcome.lowest)}"

    def value(self, s: ir.Sample, d: Distribution) -> None:
        """The value of a site that is sampled as a whole."""
        self.values.add(s.site)
        name = self.printer.name(s.site)
        if s.noise and d.noise == "sampler":
            self.w.line(f'{name} = {self.point}.drawn("{s.site}")', f":{s.span.line}")
            return
        if s.noise:
            args = "".join(f", {self.printer.expr(a, s.mask)}" for a in s.args)
            self.w.line(f'{name} = {self.point}.noise("{s.site}", "{d.function}"{args})', f":{s.span.line}")
            return
        transform, bounds = support_of(s, d)
        limits = "".join(f", {self.printer.expr(b, s.mask)}" for b in bounds)
        read = "coordinates" if d.joint else "value"
        self.w.line(f'{name} = {self.point}.{read}("{s.site}", {module_of(d)}.{transform}{limits})', f":{s.span.line}")

    def arrays(self, only: frozenset[str] | None = None) -> None:
        """The `var` arrays, before any statement: values of latents, blanks for what is assigned."""
        for a in self.facts.regions.program.arrays:
            if only is not None and a.name not in only:
                continue
            name, shape = self.printer.name(a.name), self.tuple(a.type.dims)
            draw = next(
                (s for _, s in ir.blocks(self.facts.regions.body) if isinstance(s, ir.Sample) and s.site == a.name),
                None,
            )
            if draw is None or draw.outcome is not None:
                self.w.line(f'{name} = at.blank({shape}, "{a.type.base}")', f":{a.span.line}")
                continue
            transform, bounds = support_of(draw, named(draw.distribution))
            limits = "".join(f", {self.printer.expr(self.facts.inline(b))}" for b in bounds)
            self.w.line(f'{name} = at.value("{a.name}", supports.{transform}{limits})', f":{a.span.line}")

    def fill(self, s: ir.Fill) -> None:
        name, index = self.printer.name(s.array), self.tuple(s.indices)
        value = self.printer.expr(s.value, s.mask)
        mask = "None" if s.mask is None else self.printer.expr(s.mask)
        if self.w_loops and not self.facts.carried.get(s.array, frozenset()) & set(self.w_loops):
            key = f"f_{s.array}_{s.span.line}_{s.span.column}"
            self.w.line(f'out["{key}"] = control.Filled({index}, {value}, {mask})', f":{s.span.line}")
            self.deferred.setdefault(self.w_loops[0], []).append((s.array, key))
            return
        suffix = "" if s.mask is None else f", {mask}"
        self.w.line(f"{name} = control.fill({name}, {index}, {value}{suffix})", f":{s.span.line}")

    # ------------------------------------------------------------------- terms

    def term(self, s: ir.Term) -> None:
        value = self.printer.expr(s.value, s.mask)
        if s.custom is not None and s.custom.value is not None and self.split:
            law, places = s.custom, observed.places(s, self.printer)
            seen = self.printer.expr(s.custom.value)
            call = f"{custom_name(law.name)}, {value}, {seen}, {self.tuple(law.args)}, {places}"
            call += "" if s.mask is None else f", {self.printer.expr(s.mask)}"
            self.w.line(f'out["t{s.id}"] = at.scored({call})', f":{s.span.line}")
            return
        if s.distribution is None:
            text = (
                f"jnp.asarray({value})" if s.mask is None else f"jnp.where({self.printer.expr(s.mask)}, {value}, 0.0)"
            )
            self.w.line(f'out["t{s.id}"] = {text}', f":{s.span.line}  {show(s.value)[:40]}")
            return
        d = named(s.distribution)
        call = f"dist.{d.function}, {value}, {self.tuple(s.args, s.mask)}, {observed.places(s, self.printer)}"
        if s.mask is not None:
            call += f", {self.printer.expr(s.mask)}"
        self.w.line(f'out["t{s.id}"] = at.observe({call})', f":{s.span.line}")

    # ------------------------------------------------------------------- loops

    def loop(self, s: ir.Loop) -> None:
        parts = loops.parts_of(self, s)
        if parts is not None:
            loops.write(self, s, parts)
            self.after_loop(s)
            return
        carried = self.facts.arrays_of(s)
        state = [self.printer.name(c.entry.name) for c in s.carries] + [self.printer.name(a) for a in carried]
        scan, var = bool(state), self.printer.name(s.var.name)
        head = f"def loop_{s.id}({'state, ' if scan else ''}{var}, path):"
        outer, self.w_loops = self.w_loops, (*self.w_loops, s.id)
        with self.w.block(head, f":{s.span.line}  {self.source_of(s)}"):
            if scan:
                self.w.line(f"{tuple_text(state)} = state")
            if self.drawing and any(isinstance(x, ir.Sample) for _, x in ir.blocks(s.body)):
                key = f"key_{outer[-1]}" if outer else "key"
                self.w.line(f"key_{s.id} = jax.random.fold_in({key}, {var})")
            self.w.line("out = {}")
            for c in s.carries:
                self.kept(c.entry.name)
            self.block(s.body)
            self.summands(s)
            new = [self.printer.expr(c.out) for c in s.carries] + [self.printer.name(a) for a in carried]
            self.w.line(f"return {tuple_text(new)}, out" if scan else "return out")
        self.w_loops = outer
        self.run_loop(s, carried, scan)
        self.after_loop(s)

    def summands(self, s: ir.Loop) -> None:
        """What an iteration adds to sums and arrays."""
        for r in s.reductions:
            self.w.line(f'out["d_{r.final.name}"] = jnp.asarray({self.printer.expr(r.delta)})')
        for c in s.collects:
            self.w.line(f'out["c_{c.final.name}"] = jnp.asarray({self.printer.expr(c.element)})')

    def source_of(self, s: ir.Loop) -> str:
        return f"{s.var.name} in {show(s.lo)}..{show(s.hi)}"

    def run_loop(self, s: ir.Loop, carried: list[str], scan: bool) -> None:
        rows = "".join(f', "g{k}"' for k in self.facts.guards_in(s.body))
        path = f"control.rows(path{rows})" if rows else "None"
        lo, extent = self.range(s)
        if not scan and (self.in_blocks(s) or self.in_batches(s)):
            moving = self.moving(s) if self.in_blocks(s) else []
            arrays = f", {tuple_text([self.printer.name(a) for a in moving])}" if moving else ""
            batch = f", batch={s.id}" if self.in_batches(s) else ""
            self.w.line(f"out |= at.each(loop_{s.id}, {lo}, {extent}, {path}{arrays}{batch})")
            return
        if not scan:
            self.w.line(f"out |= control.each(loop_{s.id}, {lo}, {extent}, {path})")
            return
        init = [self.printer.expr(c.init) for c in s.carries] + [self.printer.name(a) for a in carried]
        final = [self.printer.name(c.final.name) for c in s.carries] + [self.printer.name(a) for a in carried]
        target = f"{tuple_text(final)}, more"
        self.w.line(f"{target} = control.carry(loop_{s.id}, {tuple_text(init)}, {lo}, {extent}, {path})")
        self.w.line("out |= more")

    def in_blocks(self, s: ir.Loop) -> bool:
        """Whether a loop may be evaluated a block at a time: one of the program that is in no other."""
        outside = self.split and not self.w_loops and not s.carries and not self.facts.arrays_of(s)
        return outside and "blocks" in self.facts.regions.optimize

    def in_batches(self, s: ir.Loop) -> bool:
        return self.split and self.facts.regions.in_batches(s.id)

    def moving(self, s: ir.Loop) -> list[str]:
        """The arrays from outside that a loop reads and that depend on the parameters."""
        guards = [replace(i.guard, value=i.value) for i in self.facts.regions.guards]
        found: dict[str, None] = {}
        for e in expressions_of(s, guards):
            for x in ir.walk(e):
                if isinstance(x, ir.Cell) and x.random:
                    found.setdefault(x.array)
                elif isinstance(x, ir.Var) and x.random and x.type.dims:
                    found.setdefault(x.name)
        inside = [x for _, x in ir.blocks((s,))]
        found |= {x.site: None for x in inside if isinstance(x, ir.Sample)}
        own = {x.var.name for x in inside if isinstance(x, ir.Let)}
        own |= {
            y.final.name for x in inside if isinstance(x, ir.Loop) for y in (*x.reductions, *x.collects, *x.carries)
        }
        return [name for name in found if name not in own]

    def after_loop(self, s: ir.Loop) -> None:
        for c in s.carries:
            self.kept(c.final.name)
        blocked = self.in_blocks(s)
        summands = [f'out["d_{r.final.name}"]' for r in s.reductions]
        if blocked and summands:
            self.w.line(f"sums = control.added({', '.join(summands)})")
        for k, r in enumerate(s.reductions):
            total = f"sums[{k}]" if blocked else f"jnp.sum({summands[k]}, axis=0)"
            if not (isinstance(r.init, ir.Lit) and r.init.value == 0):
                total = f"{self.printer.expr(r.init, None, 6)} + {total}"
            if r.final.name in self.overridable:
                total = f'at.replace_sum("{r.final.name}", {total})'
            self.w.line(f"{self.printer.name(r.final.name)} = {total}")
            self.kept(r.final.name)
        for c in s.collects:
            self.w.line(f'{self.printer.name(c.final.name)} = out["c_{c.final.name}"]')
            self.kept(c.final.name)
        for array, key in self.deferred.pop(s.id, []):
            name = self.printer.name(array)
            self.w.line(f'{name} = control.scatter({name}, out["{key}"])')

    def range(self, s: ir.Loop) -> tuple[str, str]:
        """The first index and the number of iterations, the latter a Python int when jax compiles."""
        first = self.printer.expr(s.lo)
        if not (self.facts.is_static(s.lo) and self.facts.is_static(s.hi)):
            return first, f'size["extent_{s.id}"]'
        lo, hi = self.facts.inline(s.lo), self.facts.inline(s.hi)
        if lo == ir.literal(0):
            return first, self.printer.expr(hi)
        return first, f"{self.printer.expr(hi, None, 6)} - {self.printer.expr(lo, None, 7)}"

    def tuple(self, items: tuple[ir.Expr, ...], mask: ir.Expr | None = None) -> str:
        return tuple_text([self.printer.expr(x, mask) for x in items])


def custom_name(name: str) -> str:
    """What holds a distribution that functions of the program make."""
    return f"law_{name}"


def value_of(s: ir.Sample) -> ir.Expr:
    """What a draw has drawn."""
    return ir.Cell(s.site, s.indices, s.var.type.element(len(s.indices)), True) if s.indices else s.var


def line_of(s: ir.Sample, d: Distribution) -> tuple[str, tuple[ir.Expr, ...]]:
    """The transform of one coordinate of a draw, and the bounds of what it reaches."""
    return ("real", ()) if d.joint else support_of(s, d)


def module_of(d: Distribution) -> str:
    """The module of the runtime that has the transform of a support."""
    return "vectors" if d.joint else "supports"


def support_of(s: ir.Sample, d: Distribution) -> tuple[str, tuple[ir.Expr, ...]]:
    """The transform of a draw, and the bounds of its support."""
    names = [p.name for p in d.params]
    bounds = tuple(s.args[names.index(b)] if isinstance(b, str) else ir.literal(b) for b in d.support.bounds)
    return d.support.kind, bounds
