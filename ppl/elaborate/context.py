"""The state of one elaboration: bindings in scope, the block being filled, and what has been found so far."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ppl.core import ir, poly
from ppl.core.reads import assigned, reached
from ppl.diagnostics import Diagnostics, PplError, Span, did_you_mean, excerpt, in_source_order
from ppl.record import record
from ppl.syntax import ast

ERROR = ir.Lit(0.0, ir.Type("error"))  # the value of an expression that has been reported already
MAX_STATEMENTS = 50_000  # after inlining; beyond, a program is refused rather than compiled for minutes


@record
class DataBinding:
    ref: ir.DataRef
    span: Span


@record
class LoopBinding:
    var: ir.LoopVar
    span: Span


@record
class SiteBinding:
    """A latent or noise in scope: a scalar, or an array sampled as a whole."""

    var: ir.Var
    span: Span


@record
class ArrayBinding:
    """A `var` array, filled element by element."""

    name: str
    type: ir.Type
    span: Span


@record
class Local:
    """An assigned variable. `declared` is where it was first assigned and identifies it when types are widened."""

    value: ir.Expr
    declared: Span
    spans: tuple[Span, ...]  # the first assignments in each branch, when an `if` declared it


@record
class Partial:
    """A name that has a value on some paths only."""

    span: Span


Binding = DataBinding | LoopBinding | SiteBinding | ArrayBinding | Local | Partial


@dataclass(eq=False, repr=False)
class Facts:
    """What earlier attempts learned: an elaboration is repeated until nothing new is found."""

    widened: set[Span] = field(default_factory=set[Span])  # int variables that are assigned a real somewhere
    random: set[tuple[Span, str]] = field(default_factory=set[tuple[Span, str]])  # carried state that becomes random
    poles: dict[Span, frozenset[int]] = field(default_factory=dict[Span, frozenset[int]])  # see ppl/elaborate/poles.py
    assigned: set[str] = field(default_factory=set[str])  # arrays of latents with elements that are assigned
    changed: bool = False

    def assign(self, names: set[str]) -> None:
        if not names <= self.assigned:
            self.assigned |= names
            self.changed = True

    def pole(self, span: Span, key: int) -> None:
        known = self.poles.get(span, frozenset[int]())
        if key not in known:
            self.poles[span] = known | {key}
            self.changed = True

    def widen(self, *spans: Span) -> None:
        for span in spans:
            if span not in self.widened:
                self.widened.add(span)
                self.changed = True

    def make_random(self, span: Span, name: str) -> None:
        if (span, name) not in self.random:
            self.random.add((span, name))
            self.changed = True


@record
class SameSize:
    """Two sizes that must agree; checked at bind if they cannot be compared here."""

    a: ir.Expr
    b: ir.Expr
    span: Span
    what: str


@record
class Reached:
    """A loop with a limit, inside `loops`: `value` is 1 where it has used all of its iterations, else 0."""

    span: Span
    loops: tuple[int, ...]
    value: ir.Expr


ElementKey = tuple[str, tuple[ir.Expr, ...]]  # an array, and indices in their normal form


@record
class Element:
    """What an element of an array is, for statements inside `loops`; None where that is left to the array."""

    loops: tuple[int, ...]
    value: ir.Expr | None

    def at(self, loops: tuple[int, ...]) -> ir.Expr | None:
        """Its value, if that can be read in these loops."""
        return self.value if self.loops == loops[: len(self.loops)] else None


@dataclass(eq=False, repr=False)
class Context:
    sink: Diagnostics
    facts: Facts
    functions: Mapping[str, ast.Function]
    env: dict[str, Binding] = field(default_factory=dict[str, Binding])
    block: list[ir.Statement] = field(default_factory=list[ir.Statement])
    mask: ir.Expr | None = None
    loops: tuple[int, ...] = ()
    calls: tuple[str, ...] = ()  # functions being inlined, outermost first
    counters: dict[str, int] = field(default_factory=dict[str, int])
    data: list[ir.DataField] = field(default_factory=list[ir.DataField])
    static: set[str] = field(default_factory=set[str])
    sites: dict[str, ir.Site] = field(default_factory=dict[str, ir.Site])
    site_bounds: dict[str, tuple[ir.Expr, ...]] = field(default_factory=dict[str, tuple[ir.Expr, ...]])
    site_args: dict[str, tuple[ir.Expr, ...]] = field(default_factory=dict[str, tuple[ir.Expr, ...]])
    arrays: dict[str, ir.FilledArray] = field(default_factory=dict[str, ir.FilledArray])
    guards: list[ir.Guard] = field(default_factory=list[ir.Guard])
    # Divisions by what is random, with the condition and the loops around them; see ppl/elaborate/zeros.py.
    divisions: list[tuple[ir.Op, ir.Expr | None, tuple[int, ...]]] = field(
        default_factory=list[tuple[ir.Op, ir.Expr | None, tuple[int, ...]]]
    )
    divisors: list[ir.Divisor] = field(default_factory=list[ir.Divisor])
    kinks: list[ir.Kink] = field(default_factory=list[ir.Kink])
    fixed: list[ir.Guard] = field(default_factory=list[ir.Guard])
    sizes: list[SameSize] = field(default_factory=list[SameSize])
    definitions: dict[str, ir.Expr] = field(default_factory=dict[str, ir.Expr])
    reached: list[Reached] = field(default_factory=list[Reached])
    made: list[tuple[ir.Expr, Span]] = field(default_factory=list[tuple[ir.Expr, Span]])  # indices that loops make
    guide: tuple[ir.GuidePart, ...] = ()
    library: frozenset[str] = frozenset()  # those of the standard library, which see no data of the program
    trusted: set[str] = field(default_factory=set[str])  # arrays that were taken for latents alone
    drawing: bool = False  # in a function that draws: see `samplers`
    customs: dict[str, ir.Custom] = field(default_factory=dict[str, ir.Custom])
    # Elements of discrete latents: to read one in the loops where it is drawn is to read its outcome, not the array.
    drawn: dict[ElementKey, Element] = field(default_factory=dict[ElementKey, "Element"])
    # What else elements of int arrays are assigned, each with the condition under which.
    written: dict[ElementKey, list[tuple[ir.Expr, Element]]] = field(
        default_factory=dict[ElementKey, list[tuple[ir.Expr, "Element"]]]
    )
    sides: dict[object, ir.Expr] = field(default_factory=dict[object, ir.Expr])  # of poles, see ppl/elaborate/poles.py
    memo: poly.Memo = field(default_factory=poly.Memo)
    statements: int = 0
    next_id: int = 0

    # ------------------------------------------------------------ diagnostics

    def error(self, code: str, message: str, span: Span, hint: str | None = None) -> ir.Expr:
        self.sink.error(code, message, span, hint)
        return ERROR

    def unknown_name(self, name: str, span: Span) -> ir.Expr:
        hint = did_you_mean(name, self.env)
        if hint is None and self.calls:
            hint = "a function sees its parameters and data only: pass what it needs as an argument"
        return self.error("PPL101", f"`{name}` is not defined", span, hint)

    def count_statement(self, span: Span) -> None:
        self.statements += 1
        if self.statements > MAX_STATEMENTS:
            self.sink.error("PPL703", f"the program has more than {MAX_STATEMENTS} statements after inlining", span)
            raise PplError(in_source_order(self.sink.items), self.sink.sources)

    def text(self, span: Span) -> str:
        """The source text of a span, on one line."""
        return excerpt(self.sink.sources.get(span.file, ""), span)

    def decided(self, value: ir.Expr, span: Span) -> None:
        """`value` jumps only where its parts do, if at all: `explain` lists it."""
        self.fixed.append(ir.Guard(-1, value, self.text(span), self.loops, self.mask, span))

    # ------------------------------------------------------------------ names

    def fresh(self, name: str) -> str:
        """A name not used before: `name`, then ``name_2``, ``name_3``..."""
        while True:
            n = self.counters[name] = self.counters.get(name, 0) + 1
            candidate = name if n == 1 else f"{name}_{n}"
            if n == 1 or candidate not in self.counters:
                if n > 1:
                    self.counters[candidate] = 1
                return candidate

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    # ----------------------------------------------------------------- blocks

    def latent(self, e: ir.Expr) -> ir.Site | None:
        """The latent that a name or an element is, whichever element: an array may have some that are assigned."""
        site = self.sites.get(e.name if isinstance(e, ir.Var) else e.array if isinstance(e, ir.Cell) else "")
        if site is not None and site.array:
            self.trusted.add(site.name)
        return None if site is None or site.name in self.facts.assigned else site

    def let(self, name: str, value: ir.Expr, span: Span) -> ir.Expr:
        """`value`, bound to a fresh variable unless it is already atomic."""
        if isinstance(value, ir.Var | ir.Lit | ir.DataRef | ir.LoopVar | ir.GuardRef):
            return value
        var = ir.Var(self.fresh(name), value.type, value.random)
        self.definitions[var.name] = value
        self.block.append(ir.Let(var, value, self.mask, span))
        return var

    @contextmanager
    def under(self, condition: ir.Expr) -> Generator[None]:
        """Statements and expressions elaborated here are masked by `condition` too."""
        saved = self.mask
        self.mask = ir.conjunction(saved, condition)
        try:
            yield
        finally:
            self.mask = saved

    def normal(self, e: ir.Expr) -> poly.Poly:
        """The normal form of an expression, with scalar variables expanded."""
        poly.settle(e, self.expand, self.memo)
        return poly.to_poly(e, self.expand, self.memo)

    def place(self, array: str, indices: tuple[ir.Expr, ...]) -> ElementKey:
        return array, tuple(poly.to_expr(self.normal(i)) for i in indices)

    def expand(self, v: ir.Var | ir.Index) -> ir.Expr | None:
        return self.definitions.get(v.name) if isinstance(v, ir.Var) and not v.type.dims else None

    def mask_random(self) -> bool:
        return self.mask is not None and self.mask.random

    def mark_static(self, e: ir.Expr) -> None:
        """The int data in `e` fix a shape: they are known when jax compiles."""
        self.static.update(x.name for x in self.parts(e) if isinstance(x, ir.DataRef))

    def parts(self, e: ir.Expr) -> Iterator[ir.Expr]:
        """The subexpressions of `e` and, once each, of the definitions that it reads."""
        return reached((e,), assigned(self.definitions))

    def same_size(self, a: ir.Expr, b: ir.Expr, span: Span, what: str) -> bool:
        """Whether two sizes agree; False (and an error) only if they certainly do not."""
        difference = poly.to_poly(ir.Op("sub", (a, b), ir.INT, False), self.expand_data)
        if not difference:
            return True
        if poly.is_constant(difference):
            return False
        self.sizes.append(SameSize(a, b, span, what))
        return True

    def expand_data(self, v: ir.Var | ir.Index) -> ir.Expr | None:
        return self.definitions.get(v.name) if isinstance(v, ir.Var) and not v.random else None
