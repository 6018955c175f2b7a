"""One function for each boundary: where it lies, what jumps there, and the scalar that carries its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ppl.core import ir
from ppl.core.show import show
from ppl.emit import nearby
from ppl.emit.modes import rest_after, step_of
from ppl.emit.printer import Printer, element, shift
from ppl.emit.search import SearchEmitter, draw_of, leaves, moved, reads_of_search
from ppl.emit.shape import Facts
from ppl.emit.slices import Slice, slice_of
from ppl.emit.statements import Emitter, line_of, support_of
from ppl.emit.together import follows, in_iteration, mates_in_iteration, mates_of, members_of
from ppl.emit.writer import Writer, tuple_text
from ppl.language.distributions import named
from ppl.regions.alone import flips_alone, flips_with
from ppl.regions.budget import families
from ppl.regions.forks import Fork, fork_of
from ppl.regions.mates import may_move
from ppl.regions.model import NOWHERE, Boundary, GuardInfo, Latent, Normal, Regions
from ppl.regions.modes import Modes, modes_of
from ppl.regions.reached import made_by_loops
from ppl.regions.scope import Scope


@dataclass(frozen=True)
class BoundaryEmitter:
    facts: Facts
    scope: Scope
    names: Mapping[str, str]
    w: Writer
    unpack: tuple[str, ...]  # lines that name data and sizes
    forks: dict[str, tuple[GuardInfo, Fork]] = field(default_factory=dict[str, tuple[GuardInfo, Fork]])

    def function(self, info: GuardInfo, b: Boundary) -> str:
        """Writes the function of one boundary and returns a call of it."""
        name = self.name(info, b)
        loops = [self.scope.loops[x] for x in info.loops]
        modes = self.modes_for(b, info.loops)
        rest = "" if modes is None else f", rest_{modes.loop}"
        smooth = self.smooth_terms(b)
        rest += ", integrated" if smooth else ""
        with self.w.block(f"def {name}(at, data, size, main{rest}):"):
            self.w.line(f'"""{docstring(info, b, self.facts)}"""')
            if smooth:
                self.w.line(f"terms = marginal.without({self.reached(b, info.loops)}, {self.smoothed(b, smooth)})")
                with self.w.block("if not terms:"):
                    self.w.line("return jnp.asarray(0.0)")
            for line in self.unpack:
                self.w.line(line)
            self.only_if(b)
            self.w.line("still = surface.still(main)")
            if b.normal is not None:
                self.along_normal(info, b, b.normal, loops)
            self.all_instances(info, b, loops, self.one)
        self.w.line()
        self.w.line()
        return f"{name}(at, data, size, main{rest})"

    def name(self, info: GuardInfo, b: Boundary) -> str:
        name = f"boundary_{b.guard}" + ("" if b.part == "all" else f"_{b.part}")
        return f"{name}_{info.boundaries.index(b)}" if len(info.boundaries) > 1 and b.part == "all" else name

    def all_instances(
        self, info: GuardInfo, b: Boundary, loops: list[ir.Loop],
        body: Callable[[GuardInfo, Boundary, list[ir.Loop]], None],
    ) -> None:  # fmt: skip
        """The sum over the instances of a boundary; `body` writes that of one."""
        element = b.search.element if b.search is not None else ()
        variables = [*map(self.instance, loops), *(self.names[x.name] for x in element)]
        sizing = ["sizing=False"] if b.repeats and has_sizes(b) else []
        with self.w.block(f"def one({', '.join([*variables, *sizing])}):"):
            self.iterations(loops)
            body(info, b, loops)
        ranges = self.ranges(loops, b.part) + self.elements(b)
        self.w.line(f"return surface.total({', '.join(['one', *ranges, *self.how(info, b)])})")

    def along_normal(self, info: GuardInfo, b: Boundary, normal: Normal, loops: list[ir.Loop]) -> None:
        """The sum along normals, for guides that have them. The line of a coordinate follows, for all others."""
        sites, count = self.moved_along(normal, info)
        with self.w.block(f"if normals.apply(at, {sites}{count}):"):
            given = [f"at, {sites}, {self.values(b, normal)}"]
            given += ["alone=True"] if normal.alone else [] if normal.path else [f'main["g{b.guard}"].value']
            self.w.line(f"along = normals.of({', '.join(given)})")
            self.all_instances(info, b, loops, self.one_on_normal)

    def moved_along(self, normal: Normal, info: GuardInfo) -> tuple[str, str]:
        """The sites of a normal, and how many instances there are as a further argument."""
        loops = [self.scope.loops[x] for x in info.loops]
        extents = [Emitter(self.facts, self.printer(), self.w).range(x)[1] for x in loops]
        count = f", {' * '.join(x if x.isidentifier() else f'({x})' for x in extents)}" if extents else ""
        return tuple_text([f'"{s}"' for s in normal.sites]), count

    def values(self, b: Boundary, normal: Normal) -> str:
        """The values of a guard, of all instances, on the path on which they are affine, as a function of a point."""
        on: list[str] = []
        for k, holds in normal.path:
            stands, flipped = self.facts.regions.resolve(k)
            on.append(f'"g{stands}": jnp.full_like(main["g{stands}"].on, {holds != flipped})')
        path = f", {{{', '.join(on)}}}" if on else ""
        return f'lambda at: model(at, data, size{path})["g{b.guard}"].value'

    def one_on_normal(self, info: GuardInfo, b: Boundary, loops: list[ir.Loop]) -> None:
        position = self.position(loops)
        self.w.line(f"root = along.root({', '.join(position.values())})")
        self.w.line("slope = root.slope")
        if b.repeats:
            with self.w.block("if sizing:"):
                self.w.line("return surface.size(root, slope)")
        going = None if b.normal is None else b.normal.going
        if not self.jump(info, b, loops, position, going) and going is not None:
            self.w.line(f'is_reached = model(root.point(), data, size)["v_{going.name}"]')
            self.w.line("gap = jnp.where(is_reached, gap, 0.0)")
        self.w.line("return surface.surface(root, slope, 0.0, gap)")

    def only_if(self, b: Boundary) -> None:
        """Ends a function that is for a loop with iterations, or for one without."""
        if b.part not in ("last", "empty"):
            return
        finals = {x.name for i in self.facts.regions.guards[b.guard].normal for e, _ in i for x in ir.walk(e)
                  if isinstance(x, ir.Var)}  # fmt: skip
        loop = next(x for x in self.scope.loops.values() if any(c.final.name in finals for c in x.carries))
        extent = Emitter(self.facts, self.printer(), self.w).range(loop)[1]
        with self.w.block(f"if {extent} {'<=' if b.part == 'last' else '>'} 0:"):
            self.w.line("return jnp.asarray(0.0)")

    def smooth_terms(self, b: Boundary) -> list[int]:
        """The terms that the guard reaches out of which its latent may be integrated, so that nothing jumps there."""
        return [m.term for m in self.facts.regions.marginals if m.term in b.terms and b.guard in m.guards()]

    def smoothed(self, b: Boundary, smooth: list[int]) -> str:
        """Those of them that are integrated."""
        if {m.term for m in self.facts.regions.marginals} & set(b.terms) == set(smooth):
            return "integrated"
        return f"integrated & {{{', '.join(f'{chr(34)}t{t}{chr(34)}' for t in smooth)}}}"

    def ranges(self, loops: list[ir.Loop], part: str = "all") -> list[str]:
        """(first index, number) of each loop; of the innermost only the part that a boundary answers for."""
        out: list[str] = []
        emitter = Emitter(self.facts, self.printer(), self.w)
        outer: list[str] = []
        for loop in loops:
            lo, extent = emitter.range(loop)
            if loop is loops[-1] and part == "first":
                extent = f"min({extent}, 1)"
            elif loop is loops[-1] and part == "rest":
                lo, extent = f"{lo} + 1", f"{extent} - 1"
            if not self.facts.is_static(loop.lo):
                batched = {x.var.name: self.iteration(x) for x in loops if self.in_batches(x)}
                first = Printer(self.facts.regions, self.names, (), batched).expr(loop.lo)
                lo = f"lambda {', '.join(outer)}: {first}"
            out.append(f"at.span({loop.id}, {extent})" if self.in_batches(loop) else f"({lo}, {extent})")
            outer.append(self.instance(loop))
        return out

    def in_batches(self, loop: ir.Loop) -> bool:
        return self.facts.regions.in_batches(loop.id)

    def instance(self, loop: ir.Loop) -> str:
        """What tells the iterations of a loop apart: its variable, or a row where a subset of them may run."""
        return f"row_{loop.id}" if self.in_batches(loop) else self.names[loop.var.name]

    def iteration(self, loop: ir.Loop) -> str:
        """The value of the loop variable in a row."""
        return f"at.iteration({loop.id}, {self.printer().expr(loop.lo)}, row_{loop.id})"

    def iterations(self, loops: list[ir.Loop]) -> None:
        for x in loops:
            if self.in_batches(x):
                self.w.line(f"{self.names[x.var.name]} = {self.iteration(x)}")

    def how(self, info: GuardInfo, b: Boundary) -> list[str]:
        """The arguments that have instances evaluated a block at a time, and if each takes the program, few of them."""
        in_blocks = (info.loops or b.repeats) and "blocks" in self.facts.regions.optimize
        out = [f"rows=at.{'program_rows' if b.repeats else 'rows'}"] if in_blocks else []
        if b.repeats:
            out += [f"subset=at.subset({self.family(b)})", *(() if has_sizes(b) else ("alike=True",))]
        return out

    def rows(self, loops: list[ir.Loop]) -> str:
        """The first of these, for what follows the loops alone."""
        return ", rows=at.rows" if loops and "blocks" in self.facts.regions.optimize else ""

    def family(self, b: Boundary) -> int:
        """The place of a boundary among all that choose."""
        return next(k for k, (_, x) in enumerate(families(self.facts.regions)) if x is b)

    def elements(self, b: Boundary) -> list[str]:
        """The same for the elements of the site that the line runs over."""
        if b.search is None or not b.search.element:
            return []
        dims = self.scope.site(b.line.site).type.dims
        return [f"(0, {self.printer().expr(self.facts.inline(d))})" for d in dims]

    # -------------------------------------------------------------- one instance

    def one(self, info: GuardInfo, b: Boundary, loops: list[ir.Loop]) -> None:
        position = self.position(loops)
        live = self.live_printer(position)
        if b.search is not None and b.search.method == "outcomes":
            self.outcomes(info, b, loops, position)
            return
        if b.search is not None:
            source = partial(self.source, position=position, evaluation="main")
            emitter = SearchEmitter(
                self.facts, self.scope, self.names, self.w, info, b, b.search, position, live, source
            )
            emitter.write(lambda: self.jump(info, b, loops, position))
            return
        slope = live.expr(b.slope)
        if b.rest is None:
            here = live.expr(b.line.expr(ir.REAL), None, 7)
            value = element(f'main["g{b.guard}"].value', list(position.values()))
            parts = f"slope, {value} - slope * {here}"
        else:
            parts = f"{slope}, {live.expr(b.rest)}"
        reads = "main[" in parts
        if reads:
            with self.w.block("def parts(main):"):
                if b.rest is None:
                    self.w.line(f"slope = {slope}")
                self.w.line(f"return {parts}")
        self.w.line(f"slope, rest = {'parts(main)' if reads else parts}")
        self.root(b, live)
        if b.repeats:
            with self.w.block("if sizing:"):
                self.w.line("return surface.size(root, slope)")
        self.jump(info, b, loops, position)
        there = "*parts(root.near(main))" if reads else "slope, rest"
        self.w.line(f"return surface.surface(root, {there}, gap)")

    def position(self, loops: list[ir.Loop]) -> dict[int, str]:
        """The place of this instance in the outputs of its loops."""
        return {loop.id: self.place(loop) for loop in loops}

    def place(self, loop: ir.Loop) -> str:
        if self.in_batches(loop):
            return self.instance(loop)
        var = self.names[loop.var.name]
        match loop.lo:
            case ir.Lit(value=int(first)) if not first or self.printer().windows:
                return shift(var, -first)
            case _:
                return f"{var} - {self.printer().expr(loop.lo, None, 7)}"

    def root(self, b: Boundary, live: Printer) -> None:
        draw = draw_of(self.scope, b.line)
        d = named(draw.distribution)
        index = ""
        if b.line.indices:
            index = f", index={live.places(b.line.indices)}"
        z = "surface.solve(slope, rest)"
        if draw.noise:
            args = "".join(f", {self.noise_argument(a, b, live)}" for a in draw.args)
            drawn = ", drawn=True" if d.noise == "sampler" else ""
            self.w.line(f'root = at.noise_root("{b.line.site}", dist.{d.function}, {z}{args}{index}{drawn})')
            return
        transform, bounds = line_of(draw, d)
        if b.line.indices:
            bounds = tuple(self.facts.inline(x) for x in bounds)
        limits = "".join(f", {live.expr(x)}" for x in bounds)
        self.w.line(f'root = at.root("{b.line.site}", {z}, supports.{transform}{limits}{index})')

    def noise_argument(self, a: ir.Expr, b: Boundary, live: Printer) -> str:
        text = live.expr(a, None, 10)
        return element(text, [live.place(i) for i in b.line.indices]) if a.type.dims else text

    def outcomes(self, info: GuardInfo, b: Boundary, loops: list[ir.Loop], position: dict[int, str]) -> None:
        """Every outcome of a discrete latent, each with its probability."""
        assert isinstance(info.value, ir.Outcome)
        live = self.live_printer(position)
        index = f", {tuple_text([live.expr(i) for i in info.value.indices])}" if info.value.indices else ""
        self.w.line(f'probabilities = at.probabilities("{info.value.site}"{index})')
        if b.repeats:
            with self.w.block("if sizing:"):
                self.w.line("return surface.size_of_outcomes(probabilities)")
        if b.effect == "global" or not loops:
            self.w.line("def evaluate(side, path):")
            self.w.line(f"    return model(at.still({self.at_a_time(b, info)}), data, size, path)")
        elif b.nearby:
            nearby.write(self, info, b)
        else:
            self.local(info, b, loops[-1], position, self.part(b, loops[-1]))
        terms = self.terms(b, info.loops)
        where = tuple_text(list(position.values()))
        entry = f'surface.force_level(k, main["g{b.guard}"].on, {where})' if loops and b.effect == "global" else "k"
        path = f'lambda k: {{"g{b.guard}": {entry}}}'
        self.w.line(f"return surface.outcomes_of(evaluate, {path}, probabilities, {terms})")

    def jump(
        self, info: GuardInfo, b: Boundary, loops: list[ir.Loop], position: dict[int, str], going: ir.Var | None = None
    ) -> bool:
        """`gap`, the jump at `root`, on which the guard's derivative along the line is `slope`. `going`: the variable
        that says whether the guard is reached; returns whether the jump has seen to that."""
        part = None if b.effect == "global" or not loops else self.part(b, loops[-1])
        guards, decided = self.facts.regions.guards, self.decided(b, part)
        together = flips_with(self.scope, guards, info, b, decided)
        if together is None and flips_alone(self.scope, guards, b, decided):
            together = {}
        pole = any(guards[k].guard.pole for m in (b.guard, *b.mates) for k in members_of(self.facts.regions, m))
        single = together is not None and "jumps" in self.facts.regions.optimize and not pole
        levels = info.guard.levels
        on, off = ("level", "level - 1") if levels else ("True", "False")
        if single and together is not None and part is None and (fork := self.fork(info, b)) is not None:
            self.w.line(f"on, off = {self.paths(b, together, on, off)}")
            where = ", ".join(position.values())
            self.w.line(f"gap = {fork}(root.point(), data, size, {where}, on, off, {self.terms(b, info.loops)})")
            return False
        if part is None:
            self.w.line(f"def evaluate({'path' if single else 'side, path'}):")
            point = self.at_a_time(b, info, "rows=") if single else "side"
            self.w.line(f"    return model(root.point({point}), data, size, path)")
        else:
            self.local(info, b, loops[-1], position, part, single)
        if info.loops and b.effect == "global":
            where, force = tuple_text(list(position.values())), "force_level" if levels else "force"
            on, off = (f'surface.{force}({x}, main["g{b.guard}"].on, {where})' for x in (on, off))
        terms = self.terms(b, info.loops)
        if single and together is not None:
            self.w.line(f"on, off = {self.paths(b, together, on, off)}")
            function = "difference" if part is not None else "difference_of_model"
            main = ", main" if part is None and self.at_a_time(b, info) else ""
            reached = f', reached="v_{going.name}"' if part is None and going is not None else ""
            self.w.line(f"gap = surface.{function}(evaluate, on, off, {terms}{main}{reached})")
            return bool(reached)
        regions = self.facts.regions
        if part is None or b.effect != "modes":
            mates = mates_of(regions, self.scope, b)
        else:
            mates = mates_in_iteration(regions, self.scope, b, loops[-1], decided)
        mates += (", pole=True" + follows(regions, self.scope, b)) * pole
        self.w.line(f'gap = surface.jump(evaluate, slope, "g{b.guard}", {on}, {off}, {terms}{mates})')
        if info.guard.where is not None:  # where it does not hold, what flips here is another instance
            self.w.line(f"gap = jnp.where({self.live_printer(position).expr(info.guard.where)}, gap, 0.0)")
        return False

    def paths(self, b: Boundary, together: Mapping[int, tuple[bool, bool]], on: str, off: str) -> str:
        """The paths of both sides, with the outcomes of what flips together with a guard."""
        more = [
            "".join(f', "g{k}": {side != opposite}' for k, (stops, opposite) in together.items() if stops == side)
            for side in (True, False)
        ]
        return f'{{"g{b.guard}": {on}{more[0]}}}, {{"g{b.guard}": {off}{more[1]}}}'

    def fork(self, info: GuardInfo, b: Boundary) -> str | None:
        """The function that evaluates both sides of a boundary in one pass over a loop, if there is one."""
        found = fork_of(self.facts.regions, self.scope, info, b)
        if found is None:
            return None
        name = next((n for n, f in self.forks.items() if f[1] == found and f[0] is info), None)
        if name is None:
            own = sum(f[0] is info for f in self.forks.values())
            name = f"fork_{b.guard}" + (f"_{own}" if own else "")
            self.forks[name] = (info, found)
        return name

    def at_a_time(self, b: Boundary, info: GuardInfo, name: str = "") -> str:
        """An argument of the point at which the whole program is evaluated: so many iterations of long loops at a time,
        where a guard outside of loops reaches terms in them."""
        inside = not info.loops and any(self.scope.flow.term_loops[t] for t in b.terms)
        return f"{name}at.rows" if inside and "blocks" in self.facts.regions.optimize else ""

    # ------------------------------------------------------------------- slices

    def part(self, b: Boundary, loop: ir.Loop) -> Slice:
        return part_of(self.facts.regions, self.scope, b, loop)

    def modes_for(self, b: Boundary, loops: tuple[int, ...]) -> Modes | None:
        return modes_of(self.scope, self.scope.loops[loops[-1]]) if b.effect == "modes" else None

    def terms(self, b: Boundary, loops: tuple[int, ...]) -> str:
        """The terms that jump, as a tuple or by its name."""
        return "terms" if self.smooth_terms(b) else self.reached(b, loops)

    def reached(self, b: Boundary, loops: tuple[int, ...]) -> str:
        """The terms of a boundary's slice, as a tuple."""
        modes = self.modes_for(b, loops)
        if b.nearby:
            return tuple_text([*(f'"t{t}"' for t in b.nearby[0].terms if t in b.terms), '"nearby"'])
        if modes is None:
            return tuple_text([f'"t{t}"' for t in b.terms])
        own = in_iteration(self.facts.regions, self.scope, b, self.scope.loops[loops[-1]], modes)
        return tuple_text([*(f'"t{t}"' for t in own.terms), *(('"rest"',) if own.state else ())])

    def decided(self, b: Boundary, part: Slice | None) -> list[int]:
        """The guards that may take another outcome in the slice of a boundary than in the main evaluation."""
        if part is not None and b.effect in ("local", "modes"):
            inside = [s.index for _, s in ir.blocks((*part.recomputed, *part.body)) if isinstance(s, ir.Decide)]
            return [k for k in inside if self.facts.emits(k)]
        members = members_of(self.facts.regions, b.guard)
        return [
            i.guard.index for i in self.facts.regions.guards
            if self.facts.emits(i.guard.index)
            and (members & self.scope.flow.of(ir.GuardRef(i.guard.index)).guards or may_move(self.scope, i, b))
        ]  # fmt: skip

    def local(
        self, info: GuardInfo, b: Boundary, loop: ir.Loop, position: dict[int, str], part: Slice, single: bool = False
    ) -> None:
        """`evaluate`: the slice beside the root and at it or, with `single`, at it only."""
        summed = summed_of(self.facts.regions, self.scope, b, loop)
        side = "" if single else "side"
        with self.w.block(f"def evaluate({'path' if single else 'side, path'}):"):
            self.imports(part, b.line, position, side)
            printer = self.moved_printer(b)
            point = "at.still()" if b.line == NOWHERE else f"root.point({side})"
            emitter = Emitter(self.facts, printer, self.w, point=point, bare=self.bare(b))
            emitter.w_loops = info.loops
            self.w.line("out = {}")
            for s in part.recomputed:
                emitter.statement(s)
            emitter.block(part.body)
            modes = self.modes_for(b, info.loops)
            if modes is not None and in_iteration(self.facts.regions, self.scope, b, loop, modes).state:
                self.w.line(f'out["rest"] = {rest_after(printer, modes, position)}')
            if summed:
                self.continuation(summed, printer, position)
            else:
                self.w.line("return out")

    def bare(self, b: Boundary) -> Callable[[ir.Sample], bool]:
        """Whether of a draw the jump needs the prior alone: the rest of its term is the same on both sides."""
        members = members_of(self.facts.regions, b.guard)

        def bare(s: ir.Sample) -> bool:
            _, bounds = support_of(s, named(s.distribution))
            return s.outcome is None and not members & self.scope.flow.many(
                (*bounds, *(() if s.mask is None else (s.mask,)))
            ).guards  # fmt: skip

        return bare if "jumps" in self.facts.regions.optimize else lambda _: False

    def continuation(self, summed: list[ir.Reduction], printer: Printer, position: dict[int, str]) -> None:
        """After the iteration: each sum with this iteration's summand exchanged, then what follows the loop."""
        where = list(position.values())
        sums: list[str] = []
        for r in summed:
            key = r.final.name
            summand = element(f'still["d_{key}"]', where)
            old = f'still["v_{key}"] - {summand}'
            sums.append(f"{key}={old} + {printer.expr(r.delta, None, 7)}")
        self.w.line(f"after = at.still().replacing({', '.join(sums)})")
        self.w.line("rest_of_path = {k: v for k, v in path.items() if k not in out}")
        self.w.line("return model(after, data, size, rest_of_path) | out")

    def imports(self, part: Slice, line: Latent, position: dict[int, str], side: str = "side") -> None:
        """Names for what the slice reads: the moved coordinate at the root, the rest from the main evaluation."""
        wanted = {v.name for v in part.variables} | set(part.arrays)
        for v in part.variables:
            if v.name not in {s.name for s in self.scope.program.sites}:
                self.w.line(f"{self.names[v.name]} = {self.source(v.name, position)}")
        for s in self.scope.program.sites:
            if s.name in wanted and (s.name != line.site or line.indices):
                self.w.line(f'{self.names[s.name]} = still["{s.output}"]["{s.name}"]')
        for a in part.arrays:
            if a not in {s.name for s in self.scope.program.sites}:
                self.w.line(f"{self.names[a]} = {self.source(a, position)}")
        site = self.names.get(line.site, "")
        if line != NOWHERE:
            self.w.line(f"{site}{'_moved' if line.indices else ''} = root.z({side})")
        if line.indices and any(v.name == line.site for v in part.variables):  # read as a whole
            where = ", ".join(self.printer().expr(i) for i in line.indices)
            self.w.line(f"{site} = {site}.at[{where}].set({site}_moved)")
        for g in part.guards:
            home = [position[x] for x in self.facts.regions.guards[g].loops]
            at = f'surface.row(still["g{g}"], {tuple_text(home)})' if home else f'still["g{g}"]'
            self.w.line(f"g{g} = {at}")

    def source(self, name: str, position: dict[int, str], evaluation: str = "still") -> str:
        """Where the main evaluation left a variable, for this instance."""
        home = self.scope.home.get(name, ())
        return element(f'{evaluation}["v_{name}"]', [position[x] for x in home])

    def resolve(self, k: int) -> int:
        return self.facts.regions.resolve(k)[0]

    # ------------------------------------------------------------------ printers

    def printer(self) -> Printer:
        return Printer(self.facts.regions, self.names)

    def moved_printer(self, b: Boundary) -> Printer:
        on = "" if b.line == NOWHERE else "True"
        name = f"{self.names[b.line.site]}_moved" if b.line.indices else ""
        moves = (moved(self.scope, b.line, name),) if name else ()
        return Printer(self.facts.regions, self.names, moves, on_boundary=on)

    def live_printer(self, position: dict[int, str]) -> Printer:
        """Prints slope and rest from the main evaluation, through which gradients flow."""
        aliases = {s.name: f'main["{s.output}"]["{s.name}"]' for s in self.scope.program.sites}
        loop_variables = {x.var.name for x in self.scope.loops.values()}
        for name in self.scope.home:  # a site whose value is an assignment of its own is at home too
            if name not in loop_variables and name not in aliases:
                home = self.scope.home[name]
                if all(x in position for x in home):
                    aliases[name] = self.source(name, position, "main")
        for a in self.scope.program.arrays:
            if a.name not in aliases:
                aliases[a.name] = f'main["v_{a.name}"]'
        guards = {
            i.guard.index: element(f'main["g{i.representative}"].on', [position[x] for x in i.loops])
            for i in self.facts.regions.guards
            if all(x in position for x in i.loops)
        }
        return LivePrinter(self.facts.regions, self.names, (), aliases, outcomes=guards)


@dataclass(frozen=True)
class LivePrinter(Printer):
    """Prints guards too as outputs of the main evaluation."""

    outcomes: Mapping[int, str] | None = None

    def guard(self, index: int) -> str:
        assert self.outcomes is not None
        flipped = self.regions.resolve(index)[1]
        return f"~{self.outcomes[index]}" if flipped else self.outcomes[index]


def docstring(info: GuardInfo, b: Boundary, facts: Facts) -> str:
    line = show(info.value) if b.line == NOWHERE else show(b.line.expr(ir.REAL))
    part = {"all": "", "first": ", first iteration", "rest": ", all iterations but the first",
            "last": ", behind the last iteration", "empty": ", without iterations"}[b.part]  # fmt: skip
    reason = info.reason[:1].upper() + info.reason[1:]
    text = f"{info.guard.text} (:{info.guard.span.line}){part}: {info.kind} along {line}, {b.effect}. {reason}."
    return text.replace("\\", "\\\\").replace('"""', "'''")


def has_sizes(b: Boundary) -> bool:
    """Whether the size of a boundary term can be told without evaluating the program."""
    return b.search is None or bool(b.search.arguments) or b.search.method == "outcomes"


def reads_of(facts: Facts, scope: Scope, info: GuardInfo) -> set[str]:
    """Variables of the program that the boundaries of a guard ask the main evaluation for."""
    out = set(made_by_loops(info.guard.where, facts.regions.program))
    if isinstance(info.value, ir.Outcome):
        out |= {name for i in info.value.indices for name in leaves(i)}
    for b in info.boundaries:
        drawn = () if b.line == NOWHERE else draw_of(scope, b.line).args
        for e in (b.slope, *(() if b.rest is None else (b.rest,)), *drawn, *b.line.indices):
            out |= leaves(e)
        out |= reads_of_search(facts, scope, info, b)
        if b.effect == "global" or not info.loops:
            continue
        if b.nearby:
            parts = nearby.parts_of(facts.regions, scope, info, b)
            out |= {name for part in parts for name in (*(v.name for v in part.variables), *part.arrays)}
            continue
        part = part_of(facts.regions, scope, b, scope.loops[info.loops[-1]])
        out |= {r.final.name for r in summed_of(facts.regions, scope, b, scope.loops[info.loops[-1]])}
        out |= {v.name for v in part.variables} | set(part.arrays)
        modes = modes_of(scope, scope.loops[info.loops[-1]]) if b.effect == "modes" else None
        if modes is not None:
            step = step_of(facts.regions, scope, modes)
            out |= {v.name for v in step.variables} | set(step.arrays)
    return out


def summed_of(regions: Regions, scope: Scope, b: Boundary, loop: ir.Loop) -> list[ir.Reduction]:
    """The sums over a loop that a boundary changes by its own summand: its outcome decides it, or its line moves it."""
    if b.effect != "incremental":
        return []
    members = members_of(regions, b.guard)
    found = [(r, scope.flow.of(r.delta)) for r in loop.reductions if r.final.name in scope.live]
    return [r for r, d in found if members & d.guards or b.line.site in d.sites]


def part_of(regions: Regions, scope: Scope, b: Boundary, loop: ir.Loop) -> Slice:
    """The slice of a boundary in an iteration, with what it must hand on."""
    loop = regions.loops[loop.id]  # with guards of outer loops decided outside of it
    modes = modes_of(scope, loop) if b.effect == "modes" else None
    if modes is None:
        return slice_of(regions, scope, loop, b, [r.delta for r in summed_of(regions, scope, b, loop)])
    own = in_iteration(regions, scope, b, loop, modes)
    outs = [c.out for c in modes.carries] if own.state else []
    return slice_of(regions, scope, loop, replace(b, terms=own.terms), outs)
