"""Where variables live, and which coordinates of the latents they cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ppl.core import ir, poly
from ppl.core.reads import expressions_of, forms_of, live_variables
from ppl.record import record
from ppl.regions import vectors
from ppl.regions.flow import NOTHING, Flow, guarded
from ppl.regions.model import Latent


@record
class Scope:
    """Indexes of one program that the analyses share."""

    program: ir.Program
    definitions: Mapping[str, ir.Expr]
    flow: Flow
    loops: Mapping[int, ir.Loop]
    home: Mapping[str, tuple[int, ...]]  # variable or loop variable -> loops around its definition
    fills: Mapping[str, tuple[tuple[int, ...], ...]]  # array -> loops around each of its assignments
    chained: frozenset[str]  # arrays of latents of which elements are assigned what others decide
    entries: Mapping[str, ir.Loop]  # carried variable at the start of an iteration -> its loop
    decided: Mapping[int, tuple[int, ...]]  # guard -> loops around its decision
    forms: Mapping[str, list[tuple[ir.Expr, ir.Expr | None]]]  # what arrays and carried state are assigned, and where
    live: frozenset[str]  # variables that some term or guard reads, directly or not
    memo: poly.Memo  # normal forms of variables, filled as they are asked for
    unmoved: dict[tuple[str, Latent], bool]  # answers of `independent` about variables
    masks: Mapping[str, ir.Expr]  # of variables and guards that a branch not taken evaluates at stand-ins
    optimize: frozenset[str] = frozenset()

    def expand(self, v: ir.Var | ir.Index) -> ir.Expr | None:
        """The definition of a scalar variable, or of an element of a vector, for normal forms."""
        if isinstance(v, ir.Var):
            return self.definitions.get(v.name) if not v.type.dims else None
        if not isinstance(v.base, ir.Var) or not v.type.scalar or any(i.random for i in v.indices):
            return None
        return vectors.element(self.definitions.get(v.base.name), v.indices)

    def normal(self, e: ir.Expr) -> poly.Poly:
        poly.settle(e, self.expand, self.memo)
        return poly.to_poly(e, self.expand, self.memo)

    def is_simple(self, e: ir.Expr) -> bool:
        """Whether an atom of a normal form is finite whatever branch is taken."""
        return poly.is_simple(e, self.memo.partial)

    def site(self, name: str) -> ir.Site:
        return next(s for s in self.program.sites if s.name == name)

    def loops_needed(self, e: ir.Expr) -> tuple[int, ...]:
        """The innermost loop nest that `e` refers to."""
        out: tuple[int, ...] = ()
        for x in ir.walk(e):
            here: tuple[int, ...] = ()
            if isinstance(x, ir.Var | ir.LoopVar):
                here = self.home.get(x.name, ())
            elif isinstance(x, ir.GuardRef):
                here = self.decided.get(x.index, ())
            elif isinstance(x, ir.Cell):
                here = self.home.get(x.array, ())
            out = max(out, here, key=len)
        return out

    def loops_that_fill(self, e: ir.Expr, around: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the loops `around` a place whose iterations assign elements that `e` may read there: before such a
        loop, these have no value."""
        arrays = {x.array if isinstance(x, ir.Cell) else x.name for x in ir.walk(e) if isinstance(x, ir.Cell | ir.Var)}
        nests = (nest for a in arrays for nest in self.fills.get(a, ()))
        shared = (tuple(x for x, y in zip(around, nest, strict=False) if x == y) for nest in nests)
        return max(shared, key=len, default=())

    def may_be_assigned(self, e: ir.Cell) -> bool:
        """Whether an element may be one that is assigned, not drawn, by this iteration or another."""
        assigned = (s.indices for _, s in ir.blocks(self.program.body) if isinstance(s, ir.Fill) and s.array == e.array)
        return not all(any(map(self.apart, e.indices, other)) for other in assigned)

    def apart(self, index: ir.Expr, other: ir.Expr) -> bool:
        """Whether two indices certainly differ, each in any iteration of the loops around it."""

        def varying(e: ir.Expr) -> set[ir.Expr]:
            return {x for a in poly.atoms(self.normal(e)) for x in ir.walk(a) if self.loops_needed(x)}

        return not varying(index) & varying(other) and (self.never(index, other) or self.never(other, index))

    # ----------------------------------------------------------- independence

    def independent(self, e: ir.Expr, latent: Latent) -> bool:
        """Whether `e` certainly does not change when `latent` alone moves, through guards or otherwise."""
        self._settle(e, latent)
        return self._independent(e, latent)

    def _settle(self, e: ir.Expr, latent: Latent) -> None:
        """Answers the question for the variables that `e` reads in the order of their definitions, which may be a chain
        of any length."""
        queue = [(v, False) for v in self._read(e) if (v.name, latent) not in self.unmoved]
        while queue:
            v, ready = queue.pop()
            if (v.name, latent) in self.unmoved:
                continue
            definition = None if ready else self.definitions.get(v.name)
            if definition is None or latent.site not in self.flow.variables.get(v.name, NOTHING).sites:
                self.unmoved[v.name, latent] = self._find_independence(v, latent)
                continue
            queue.append((v, True))
            queue += [(x, False) for x in self._read(definition, self.masks.get(v.name))]

    def _read(self, *expressions: ir.Expr | None) -> list[ir.Var]:
        """The variables in expressions, and in the values and masks of guards there."""
        out: dict[str, ir.Var] = {}
        guards: set[int] = set()
        queue = [e for e in expressions if e is not None]
        while queue:
            for x in ir.walk(queue.pop()):
                if isinstance(x, ir.Var):
                    out.setdefault(x.name, x)
                elif isinstance(x, ir.GuardRef) and x.index not in guards:
                    guards.add(x.index)
                    mask = self.masks.get(f"guard {x.index}")
                    queue += [self.program.guards[x.index].value, *(() if mask is None else (mask,))]
        return list(out.values())

    def _independent(self, e: ir.Expr, latent: Latent) -> bool:
        match e:
            case ir.Var():
                known = self.unmoved.get((e.name, latent))
                return self._find_independence(e, latent) if known is None else known
            case ir.Cell():
                if e.array in self.chained or not all(self._independent(i, latent) for i in e.indices):
                    return False
                if e.array == latent.site:
                    return self.different_element(e.indices, latent.indices)
                return latent.site not in self.flow.variables.get(e.array, NOTHING).sites
            case ir.GuardRef():
                g = self.program.guards[e.index]
                return self._independent(g.value, latent) and self.is_computed_along(f"guard {e.index}", latent)
            case ir.Slice(base=ir.Var() as v) if v.name == latent.site and len(latent.indices) == 1:
                return self.below(latent.indices[0], e.lo)
            case _:
                return all(self._independent(x, latent) for x in ir.children(e))

    def _find_independence(self, v: ir.Var, latent: Latent) -> bool:
        if v.name == latent.site:
            return False
        if latent.site not in self.flow.variables.get(v.name, NOTHING).sites:
            return True
        if v.name in self.definitions:
            return self._independent(self.definitions[v.name], latent) and self.is_computed_along(v.name, latent)
        if v.name not in self.entries:
            return False
        self.unmoved[v.name, latent] = False  # until it is known, for what asks on the way
        return self.untouched_before(latent, self.entries[v.name])

    def is_computed_along(self, name: str, line: Latent) -> bool:
        """Whether the branch that computes a variable or guard takes place on a whole line or nowhere, or makes no
        difference to its value."""
        mask = self.masks.get(name)
        return mask is None or self.independent(mask, line)

    def has_value_along(self, guard: int, line: Latent) -> bool:
        """Whether a guard has a value of its own on a whole line or nowhere on it: unlike `is_computed_along`, whether
        that holds for all that its value is made of as well, which may move along the line."""
        return all(self.independent(ir.GuardRef(k), line) for k in self.flow.guard_values[guard].masks)

    def below(self, index: ir.Expr, start: ir.Expr) -> bool:
        """Whether an index certainly lies before the start of a slice."""
        d = self.index_difference(start, index)
        return poly.is_constant(d) and poly.value(d) > 0

    def different_element(self, a: tuple[ir.Expr, ...], b: tuple[ir.Expr, ...]) -> bool:
        return any(self.never(x, y) or self.never(y, x) for x, y in zip(a, b, strict=True))

    def same_element(self, a: tuple[ir.Expr, ...], b: tuple[ir.Expr, ...]) -> bool:
        return all(not self.index_difference(x, y) for x, y in zip(a, b, strict=True))

    def index_difference(self, a: ir.Expr, b: ir.Expr) -> poly.Poly:
        return poly.add(self.normal(a), self.normal(b), -1.0)

    def never(self, index: ir.Expr, other: ir.Expr) -> bool:
        """Whether two indices certainly differ: by a number, or because a loop starts beyond."""
        d = self.index_difference(index, other)
        if poly.is_constant(d):
            return bool(d)
        starts: dict[ir.Expr, poly.Poly] = {x.var: self.normal(x.lo) for x in self.loops.values()}
        moving = poly.atoms(d)
        if len(moving) != 1 or moving[0] not in starts or not poly.is_constant(starts[moving[0]]):
            return False
        split = poly.split_affine(d, moving[0])
        return (
            split is not None and poly.is_constant(split[0]) and poly.value(split[0]) > 0
            and poly.value(poly.substitute(d, starts)) > 0
        )  # fmt: skip

    def offset(self, index: ir.Expr, loop: ir.Loop) -> float | None:
        """`c` where ``index = loop variable + c`` with a constant c, else None."""
        d = self.index_difference(index, loop.var)
        return poly.value(d) if poly.is_constant(d) else None

    def untouched_before(self, latent: Latent, loop: ir.Loop) -> bool:
        """Whether iterations before the current one cannot have seen `latent`, an element ``site[t + c]``.

        If the loop alone fills the site, at t + w, state that enters iteration t has seen elements up to t - 1 + w (an
        element cannot be read before it is filled); else it has seen those it reads too, up to t - 1 + r.
        """
        if len(latent.indices) != 1:
            return False
        c = self.offset(latent.indices[0], loop)
        if c is None:
            return False
        filled = [
            s.indices[0]
            for _, s in ir.blocks(loop.body)
            if isinstance(s, ir.Sample) and s.site == latent.site and s.indices
        ]
        read = [] if latent.site in self.made_inside(loop) else self.reads(loop, latent.site)
        if read is None:
            return False
        offsets = [self.offset(i, loop) for i in (*filled, *read)]
        return all(o is not None and c >= o for o in offsets) and self.enters_unmoved(latent, loop)

    def enters_unmoved(self, latent: Latent, loop: ir.Loop) -> bool:
        """Whether nothing that enters a loop from outside, its first state included, changes with an element."""
        inside = [c.init for c in loop.carries]
        for s in loop.body:
            inside += expressions_of(s, self.program.guards)
        made = self.made_inside(loop)
        for x in (x for e in inside for x in ir.walk(e)):
            if isinstance(x, ir.Cell) and x.array != latent.site and x.array not in made:
                moved = self.flow.variables.get(x.array, NOTHING).sites
                if x.array in self.chained or latent.site in moved:
                    return False  # its indices are asked for by themselves
            if not isinstance(x, ir.Var | ir.GuardRef) or latent.site not in self.flow.of(x).sites:
                continue
            home = self.home.get(x.name, ()) if isinstance(x, ir.Var) else self.decided.get(x.index, ())
            if loop.id not in home and not self.independent(x, latent):
                return False
        return all(self.independent(x, latent) for c in loop.carries for x in ir.walk(c.init) if isinstance(x, ir.Cell))

    def made_inside(self, loop: ir.Loop) -> set[str]:
        """The arrays of which all elements are assigned or drawn in a loop."""

        def made(body: Iterable[ir.Statement]) -> set[str]:
            return {s.array if isinstance(s, ir.Fill) else s.site for s in body if isinstance(s, ir.Fill | ir.Sample)}

        within = [s for _, s in ir.blocks(loop.body)]
        seen = set(map(id, within))
        return made(within) - made(s for _, s in ir.blocks(self.program.body) if id(s) not in seen)

    def is_stored(self, loop: ir.Loop, site: str) -> bool:
        """Whether iterations leave what moves with a site in arrays, or in latents whose supports move with it."""
        arrays = {s.array for _, s in ir.blocks(loop.body) if isinstance(s, ir.Fill)}
        arrays |= {s.site for _, s in ir.blocks(loop.body) if isinstance(s, ir.Sample) and s.site != site}
        return any(a in self.live and site in self.flow.variables.get(a, NOTHING).sites for a in arrays)

    def reads(self, loop: ir.Loop, site: str) -> list[ir.Expr] | None:
        """The indices at which a loop reads a vector site; None if it reads it as a whole or by several indices."""
        out: list[ir.Expr] = []
        for s in loop.body:
            for e in expressions_of(s, self.program.guards):
                for x in ir.walk(e):
                    if isinstance(x, ir.Cell) and x.array == site:
                        if len(x.indices) != 1:
                            return None
                        out.append(x.indices[0])
                    elif isinstance(x, ir.Var) and x.name == site:
                        return None
        return out


def scope_of(
    program: ir.Program, definitions: Mapping[str, ir.Expr], flow: Flow, optimize: frozenset[str] = frozenset()
) -> Scope:
    home: dict[str, tuple[int, ...]] = {}
    fills: dict[str, tuple[tuple[int, ...], ...]] = {}
    entries: dict[str, ir.Loop] = {}
    decided: dict[int, tuple[int, ...]] = {}
    loops: dict[int, ir.Loop] = {}
    masks: dict[str, ir.Expr] = {}
    for around, s in ir.blocks(program.body):
        here = tuple(x.id for x in around)
        match s:
            case ir.Let():
                home[s.var.name] = here
                if s.mask is not None and any(guarded(x) for x in ir.walk(s.value)):
                    masks[s.var.name] = s.mask
            case ir.Decide():
                decided[s.index] = here
                if s.mask is not None and any(guarded(x) for x in ir.walk(program.guards[s.index].value)):
                    masks[f"guard {s.index}"] = s.mask
            case ir.Fill():
                fills[s.array] = (*fills.get(s.array, ()), here)
            case ir.Loop():
                loops[s.id] = s
                inside = (*here, s.id)
                home[s.var.name] = inside
                for c in s.carries:
                    home[c.entry.name], home[c.final.name] = inside, here
                    entries[c.entry.name] = s
                for r in s.reductions:
                    home[r.final.name] = here
                for c in s.collects:
                    home[c.final.name] = here
            case _:
                pass
    memo = poly.Memo(partial=flow.partial)
    latents = {s.name for s in program.sites if s.support != "int"}
    assigned = (s for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill) and s.array in latents)
    chained = frozenset(s.array for s in assigned if s.array in (flow.of(s.value) | flow.of(s.mask)).sites)
    live = live_variables(program.body, program.guards)
    return Scope(
        program,
        definitions,
        flow,
        loops,
        home,
        fills,
        chained,
        entries,
        decided,
        forms_of(program.body),
        live,
        memo,
        {},
        masks,
        optimize,
    )
