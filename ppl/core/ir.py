"""The core program that every later phase reads.

It is in single-assignment form: a variable of the source is a chain of `Let`s, an `if` has become `Select`s and masks,
and a function has been inlined. Loops and arrays stay loops and arrays. Conditions that depend on a latent refer to
guards by number (`GuardRef`); a guard's value is positive where its comparison is true.

Array variables (array latents, `var` arrays, comprehensions) are filled at most once per element, so reading an element
(`Cell`) needs no version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from ppl.core.extent import Extent
from ppl.diagnostics import Span
from ppl.record import record


@record
class Type:
    """A scalar or an array; `dims` are data-only int expressions."""

    base: str  # real, int, bool
    dims: tuple[Expr, ...] = ()

    @property
    def scalar(self) -> bool:
        return not self.dims

    def element(self, axes: int = 1) -> Type:
        return Type(self.base, self.dims[axes:])

    def with_base(self, base: str) -> Type:
        return Type(base, self.dims)


# ---------------------------------------------------------------- expressions


@record
class Lit:
    value: int | float | bool
    type: Type
    random: bool = False


@record
class DataRef:
    name: str
    type: Type
    random: bool = False


@record
class Var:
    """A single-assignment variable; `random` if it depends on a latent, a noise or a guard."""

    name: str
    type: Type
    random: bool


@record
class LoopVar:
    name: str
    type: Type = Type("int")
    random: bool = False


@record
class Op:
    """Arithmetic (add sub mul div floordiv mod pow neg), comparisons of ints and data (lt le gt ge eq ne), `and or
    not`, or a built-in function by its name."""

    op: str
    args: tuple[Expr, ...]
    type: Type
    random: bool
    span: Span | None = field(default=None, compare=False, repr=False)


@record
class Select:
    condition: Expr
    then: Expr
    orelse: Expr
    type: Type
    random: bool


@record
class GuardRef:
    """The outcome of a guard: whether its value is positive or, of type int, the largest integer not above it."""

    index: int
    type: Type = Type("bool")
    random: bool = True


@record
class Outcome:
    """The outcome of a discrete latent, or of its element at `indices`, as the guide drew it: 0 for its lowest value,
    which is 0 too unless `lowest` is given."""

    site: str
    indices: tuple[Expr, ...] = ()
    lowest: Expr | None = None
    type: Type = Type("int")
    random: bool = True


@record
class Cell:
    """One element of an array variable, all indices given."""

    array: str
    indices: tuple[Expr, ...]
    type: Type
    random: bool


@record
class Index:
    """``base[i, ...]`` where `base` is not an array variable read in full, or fewer indices than dimensions."""

    base: Expr
    indices: tuple[Expr, ...]
    type: Type
    random: bool


@record
class Slice:
    """``base[lo..hi]`` on the first axis. The length is ``type.dims[0]``."""

    base: Expr
    lo: Expr
    hi: Expr
    type: Type
    random: bool


@record
class Array:
    items: tuple[Expr, ...]
    type: Type
    random: bool


# Before the kind of a joint support: the operation that makes a point of it out of the coordinates of a site.
TRANSFORM = "transform_"
OFFSETS = "offsets_"  # before the kind of an ordered support: how far elements are above the first before its transform
ELEMENT = "element_"  # before the kind of an elementwise support: the operation that makes a number in it of a real one

Expr = Lit | DataRef | Var | LoopVar | Op | Select | GuardRef | Outcome | Cell | Index | Slice | Array

REAL, INT, BOOL = Type("real"), Type("int"), Type("bool")


def literal(value: int | float | bool) -> Lit:
    base = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "real"
    return Lit(value, Type(base))


TRUE, FALSE = literal(True), literal(False)


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions of `e`."""
    match e:
        case Op():
            return e.args
        case Select():
            return (e.condition, e.then, e.orelse)
        case Cell():
            return e.indices
        case Outcome():
            return e.indices if e.lowest is None else (*e.indices, e.lowest)
        case Index():
            return (e.base, *e.indices)
        case Slice():
            return (e.base, e.lo, e.hi)
        case Array():
            return e.items
        case _:
            return ()


def walk(e: Expr) -> Iterator[Expr]:
    """`e` and all its subexpressions, parents first."""
    stack = [e]
    while stack:
        x = stack.pop()
        yield x
        stack.extend(reversed(children(x)))


def negate(condition: Expr) -> Expr:
    match condition:
        case Lit():
            return literal(not condition.value)
        case Op("not", (inner,)):
            return inner
        case _:
            return Op("not", (condition,), BOOL, condition.random)


def conjunction(a: Expr | None, b: Expr | None) -> Expr | None:
    """`a and b`, where None stands for true."""
    if a is None or a == TRUE:
        return b
    if b is None or b == TRUE:
        return a
    return Op("and", (a, b), BOOL, a.random or b.random)


# ----------------------------------------------------------------- statements


@record
class Let:
    var: Var
    value: Expr
    mask: Expr | None
    span: Span


@record
class Decide:
    """Here guard `index` takes its outcome."""

    index: int
    mask: Expr | None
    span: Span


@record
class Sample:
    """A draw of (an element of) a site. `var` holds the value of a scalar site or of a whole array site; an element of
    a `var` array is read through `Cell` and has `indices`."""

    id: int
    site: str
    var: Var
    indices: tuple[Expr, ...]
    distribution: str
    args: tuple[Expr, ...]
    mask: Expr | None
    noise: bool
    span: Span
    outcome: Expr | None = None  # of a discrete latent: the guard that decides it
    custom: CustomLaw | None = None


@record
class Fill:
    """``array[indices] = value``"""

    array: str
    indices: tuple[Expr, ...]
    value: Expr
    mask: Expr | None
    span: Span


@record
class CustomLaw:
    """A distribution that functions of the program make (see `Custom`), with its arguments. Of an observation,
    `value` is what is observed; of the density of a latent, `site` is the latent. Only draws and pointwise log
    likelihoods read it: the density itself is an expression like any other."""

    name: str
    args: tuple[Expr, ...]
    value: Expr | None = None
    site: str = ""


@record
class Term:
    """A summand of the log density: an observation from a `distribution` of the tables, or a factor. The density that
    a function of the program gives is a factor too; `custom` says what it is the density of."""

    id: int
    distribution: str | None
    value: Expr
    args: tuple[Expr, ...]
    mask: Expr | None
    span: Span
    custom: CustomLaw | None = None

    @property
    def observed(self) -> Expr | None:
        """What an observation observes; None for a factor."""
        if self.distribution is not None:
            return self.value
        return None if self.custom is None else self.custom.value


@record
class Carry:
    """State that a loop hands on: `entry` inside the body, `out` at its end, `final` after the loop."""

    name: str
    entry: Var
    init: Expr
    out: Expr
    final: Var


@record
class Reduction:
    """A sum over the iterations: ``final = init + sum(delta)``; nothing in the body reads the running value."""

    name: str
    init: Expr
    delta: Expr
    final: Var


@record
class Collect:
    """An array with one element per iteration (a comprehension)."""

    element: Expr
    final: Var


@record
class Loop:
    id: int
    var: LoopVar
    lo: Expr
    hi: Expr
    body: tuple[Statement, ...]
    carries: tuple[Carry, ...]
    reductions: tuple[Reduction, ...]
    collects: tuple[Collect, ...]
    mask: Expr | None
    span: Span


@record
class Report:
    name: str
    value: Expr
    span: Span


Statement = Let | Decide | Sample | Fill | Term | Loop | Report


# -------------------------------------------------------------------- program


@record
class DataField:
    name: str
    type: Type
    static: bool  # an int that sizes, bounds or indices depend on: fixed when jax compiles
    span: Span


@record
class Site:
    """A named random quantity. `dims` of an array latent; `bounds` are those of its first draw.

    Where the elements do not vary freely (`joint`: the kind of support, see ppl.language.distributions.JOINT), the site
    stands for real coordinates, as many as vary, and `value` is the variable that has what they are transformed to.
    """

    name: str
    type: Type
    support: str  # real, lower, upper, interval (or int for discrete noise)
    noise: bool
    array: bool  # filled element by element (declared with `var`)
    distribution: str
    span: Span
    joint: str = ""
    value: Var | None = None

    @property
    def remark(self) -> str:
        """What `explain` adds to the name of one of its coordinates."""
        return " (noise)" if self.noise else " (unconstrained)" if self.joint else ""

    @property
    def output(self) -> str:
        """Which output of an evaluation has what the site stands for."""
        return "u" if self.joint else "z"


@record
class FilledArray:
    """A `var` array; `site` if any of its elements is sampled."""

    name: str
    type: Type
    site: bool
    span: Span


@record
class Guard:
    """An atomic comparison as written: positive `value` means true. `loops` are the ids of the enclosing loops.

    With `levels` it is a function that jumps: its outcome is the floor of the value, and every integer is a boundary.
    With `outcomes`, their number, it is a discrete latent: `value` is an `Outcome`. A `pole` tells the sides of a place
    where a value is infinite (or has a cut), by the second argument of ``beside(x, guard)``. `where`: a condition on
    data that is part of its decision: unless it holds, the guard is out of reach (None: no such condition). `steady`:
    its outcome is the same for all latents and data, whatever other guards decide.
    """

    index: int
    value: Expr
    text: str
    loops: tuple[int, ...]
    mask: Expr | None
    span: Span
    levels: bool = False
    outcomes: Expr | None = None
    pole: bool = False
    where: Expr | None = None
    steady: bool = False


@record
class Kink:
    """A use of abs, min, max, clamp or relu on a random argument: continuous, so no boundary; listed by `explain`."""

    text: str
    loops: tuple[int, ...]
    span: Span


@record
class Divisor:
    """What an operation at `span` divides by where `mask` holds, in `loops` (without what is in them). It is zero only
    where each of `parts` is, which whole numbers decide; that has to be ruled out.

    It is complete: `definitions` of variables and `guards` are those that it refers to, and `reach` says between which
    numbers a random variable or outcome must lie here, whatever the data.
    """

    op: str
    value: Expr
    parts: tuple[Expr, ...]
    mask: Expr | None
    loops: tuple[Loop, ...]
    span: Span
    reads_data: bool = False
    definitions: tuple[tuple[str, Expr], ...] = ()
    guards: tuple[Guard, ...] = ()
    reach: tuple[tuple[Expr, Extent], ...] = ()


@record
class GuidePart:
    """Latents that a family of the program's own guide (see ppl.language.guides) has together; `rank` of a LowRank.
    `flow`: whether there is a flow over it."""

    family: str
    sites: tuple[str, ...]
    rank: Expr | None
    span: Span
    flow: bool = False


@record
class Need:
    """What has to hold of a sampler with arguments of given lengths: `a` equals `b`, two sizes of `what`, or, without
    that, ``0 <= a < b`` where none of the loops with these bounds is empty."""

    a: Expr
    b: Expr
    span: Span
    what: str = ""
    loops: tuple[tuple[Expr, Expr], ...] = ()


@record
class Sampler:
    """A function that draws. Each `Sample` in its body is a random number; nothing in it counts as random. The sizes of
    parameters are `DataRef`s with names of their own; `arguments` are the names of parameters in the source."""

    name: str
    arguments: tuple[str, ...]
    params: tuple[Var, ...]
    body: tuple[Statement, ...]
    value: Expr
    needs: tuple[Need, ...]
    span: Span

    @property
    def lengths(self) -> tuple[tuple[str, str, int], ...]:
        """Each size of a parameter, with the parameter and the axis."""
        return tuple((d.name, p.name, k) for p in self.params for k, d in enumerate(p.type.dims)
                     if isinstance(d, DataRef))  # fmt: skip


@record
class Custom:
    """A distribution that functions of the program make: the dimensions of its value and of its arguments, and how to
    draw from it, if that is known."""

    name: str
    event: int
    events: tuple[int, ...]
    sampler: Sampler | None = None


@record
class Program:
    name: str
    data: tuple[DataField, ...]
    sites: tuple[Site, ...]
    arrays: tuple[FilledArray, ...]
    guards: tuple[Guard, ...]
    kinks: tuple[Kink, ...]
    body: tuple[Statement, ...]
    fixed_conditions: tuple[Guard, ...]  # comparisons of data or ints: no boundary, listed by `explain`
    guide: tuple[GuidePart, ...] = ()  # of a `guide` block: every latent is in one part
    divisors: tuple[Divisor, ...] = ()  # those that may be zero with a probability of their own
    customs: tuple[Custom, ...] = ()  # those that are observed or drawn from


def blocks(body: tuple[Statement, ...]) -> Iterator[tuple[tuple[Loop, ...], Statement]]:
    """Every statement with the loops around it, outermost first, in program order."""

    def visit(stmts: tuple[Statement, ...], around: tuple[Loop, ...]) -> Iterator[tuple[tuple[Loop, ...], Statement]]:
        for s in stmts:
            yield around, s
            if isinstance(s, Loop):
                yield from visit(s.body, (*around, s))

    return visit(body, ())
