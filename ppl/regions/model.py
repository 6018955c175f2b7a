"""What the analysis says about a program's guards. `explain`, the emitter and the tests read the same objects."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.core.poly import Poly
from ppl.diagnostics import Span
from ppl.language.distributions import Sufficient
from ppl.record import record


@record
class Latent:
    """One coordinate: a scalar site, or an element of an array site."""

    site: str
    indices: tuple[ir.Expr, ...]

    def expr(self, t: ir.Type) -> ir.Expr:
        return ir.Cell(self.site, self.indices, t, True) if self.indices else ir.Var(self.site, t, True)


NOWHERE = Latent("", ())  # the line of what moves along none


@record
class Search:
    """How the zeros of a guard are found along a line on which it is not affine.

    `method`: "polynomial" (all real roots, from `coefficients`, the constant first), "monotone" (one root), "smooth"
    (roots isolated on a grid) or, for a discrete latent, "outcomes" (no line: every outcome is tried). `arguments`: the
    coordinates, or whole array sites, that the value is re-evaluated for; they share the boundary. Empty where it takes
    the whole program to re-evaluate it; then all coordinates of `sites` share. `element`: the indices, beyond those of
    the guard's loops, that run over the elements of the line's site.
    """

    method: str
    arguments: tuple[Latent, ...]
    sites: tuple[str, ...]
    coefficients: tuple[ir.Expr, ...] = ()
    element: tuple[ir.LoopVar, ...] = ()


@record
class Normal:
    """A line on which all of `sites` move together: the normal of a guard's boundary. The guard is affine in them where
    the guards in `path` have these outcomes in all iterations (those that keep the loop going that it reads the state
    of). `alone`: nothing else that is random is in the guard's value. `going`: the variable that says whether the guard
    is reached, where its place does not."""

    sites: tuple[str, ...]
    alone: bool
    path: tuple[tuple[int, bool], ...]
    going: ir.Var | None


@record
class Element:
    """An element of an array, at indices in the variables of the loops around a guard."""

    array: str
    indices: tuple[ir.Expr, ...]


@record
class Iteration:
    """An iteration that the outcome of a guard reaches: of the innermost of `nest`, whose variables have the values
    `at`, told by those of the loops around the guard.

    `terms` depend on the outcome there. `reads`: elements with another value under another outcome, with the indices
    that read them; `fills`: those that are assigned there and that other iterations read, with their indices.
    """

    nest: tuple[int, ...]
    at: tuple[ir.Expr, ...]
    terms: tuple[int, ...]
    reads: tuple[tuple[Element, tuple[ir.Expr, ...]], ...]
    fills: tuple[tuple[Element, tuple[ir.Expr, ...]], ...]


@record
class Boundary:
    """One surface term: the instances of a guard, and the line along which each is crossed.

    The guard's value is ``slope * z + rest`` in the latent `line`, unless `search` says how it is crossed. With
    `through` set, it depends on the latent through that carried state of the previous iteration; then `rest` is not
    spelled out, and the root is found from the guard's value at the sample.

    `part`: "all" iterations, or, where the guard reads carried state, "first" or "rest" of them. Of a guard
    behind a loop: "last", for a loop with iterations, and "empty".
    `effect`: "local" (the slice is re-evaluated), "nearby" (the slices of the iterations `nearby` are, see
    `ppl.regions.nearby`), "modes" (it goes on in state of few values, see `ppl.regions.modes`), "incremental" (a
    running sum is updated, then what follows it is re-evaluated) or "global" (all terms are). `repeats`: whether there
    are several instances and each evaluates the program, or loops of it, anew, so that beyond a budget a random subset
    of them is evaluated. `normal`: the line in place of that of the coordinate, under guides in which these sites are
    independent Gaussians. `others`: coordinates along which it could be crossed instead.
    """

    guard: int
    line: Latent
    slope: ir.Expr
    rest: ir.Expr | None
    through: str | None
    part: str
    effect: str
    terms: tuple[int, ...]  # the summands of the log density that the guard reaches
    mates: tuple[int, ...]  # guards whose boundary may coincide with this one and that reach the same terms
    search: Search | None = None
    repeats: bool = False
    normal: Normal | None = None
    others: tuple[Latent, ...] = ()
    nearby: tuple[Iteration, ...] = ()


@record
class Threshold:
    """A guard that one latent z decides: it holds where ``slope * z + rest`` is positive. No latent moves `slope`."""

    guard: int
    slope: ir.Expr
    rest: ir.Expr


@record
class Integrated:
    """A latent or noise that is integrated out of a term, which reads it through these guards alone."""

    latent: Latent
    guards: tuple[Threshold, ...]


@record
class Counted:
    """A sum over the iterations of `loop`: each adds `then` if `holds`, or else `orelse`, numbers. They are alike, and
    independent given the latents."""

    loop: int
    reduction: ir.Reduction
    holds: ir.Expr
    then: ir.Lit
    orelse: ir.Lit


@record
class Marginal:
    """A term of the log density, decided in `loops`, and the latents that can be integrated out of it. With `count`,
    the term reads these, which are those of one iteration, through a sum over all iterations."""

    term: int
    loops: tuple[int, ...]
    variables: tuple[Integrated, ...]
    count: Counted | None = None

    def guards(self) -> frozenset[int]:
        return frozenset(t.guard for v in self.variables for t in v.guards)


@record
class Cut:
    """A guard that compares the key of an iteration with something that is the same in all: it holds where the key is
    `below` the bound, or else above it. `normal` is the normal form of the bound."""

    guard: int
    below: bool
    bound: ir.Expr
    normal: Poly


@record
class Sorted:
    """A term of the log density that is a sum over ranges of iterations sorted by a key, see `ppl.regions.prefix`.

    `key`, `value`, the `known` arguments of its distribution and `weight`, whether the data let it take place, are
    expressions of data and the loop variable alone; `mask` is the rest of its mask. It can be averaged along `lines`.
    """

    term: int
    loop: int | None  # None where it observes a whole array
    form: Sufficient
    key: ir.Expr
    value: ir.Expr
    known: tuple[ir.Expr, ...]
    weight: ir.Expr | None
    mask: ir.Expr | None
    cuts: tuple[Cut, ...]
    lines: tuple[Latent, ...]


@record
class GuardInfo:
    """A guard of the source with its classification. With status `marginalised` it has boundaries too: they are for
    guides under which the latent is not independent of the others. `asked`: the line that the user wants, "" for none.
    `lines`: those that can be asked for, the one it has first."""

    guard: ir.Guard  # whose `where` is that of its twins too
    status: str  # boundary, merged, no-jump, fixed, data-only, marginalised, score
    kind: str  # affine, invertible, polynomial, monotone, smooth, discrete
    loops: tuple[int, ...]  # index space after hoisting
    direction: str
    effect: str
    reason: str
    representative: int  # the guard that stands for it (itself unless merged)
    flipped: bool  # true where the representative is false
    value: ir.Expr  # positive where the guard holds; rewritten if the guard was hoisted
    normal: Poly  # normal form of the value
    boundaries: tuple[Boundary, ...] = ()
    asked: str = ""
    lines: tuple[str, ...] = ()
    steady: bool = False  # its outcome is the same whatever the latents are
    edges: tuple[ir.Expr, ...] = ()  # data: a branch is unbounded at the boundary where one of them is zero


@record
class Learned:
    """What only data say of guards. `shared`: those that no single line crosses, as the data make its slope zero, see
    `ppl.regions.vanishing`. `unbounded`: those with a branch that is unbounded at them, as the data are what makes it
    so (`GuardInfo.edges`). `steady`: those that the data and the supports of latents keep from changing, in every
    iteration and in all that are one boundary with them."""

    shared: frozenset[int] = frozenset()
    unbounded: frozenset[int] = frozenset()
    steady: frozenset[int] = frozenset()

    def __or__(self, other: Learned) -> Learned:
        return Learned(self.shared | other.shared, self.unbounded | other.unbounded, self.steady | other.steady)


@record
class BatchLoop:
    """An outermost loop with observations or factors, over the range `text`. `reason`: why all of it has to run, "" if
    a random subset of its iterations can stand for all."""

    loop: int
    text: str
    span: Span
    reason: str


@record
class Regions:
    """The program with its guards classified; `body` has each guard decided where it belongs."""

    program: ir.Program
    body: tuple[ir.Statement, ...]
    definitions: Mapping[str, ir.Expr]
    guards: tuple[GuardInfo, ...]
    loops: Mapping[int, ir.Loop]
    term_lines: Mapping[int, int]
    scored: tuple[int, ...] = ()  # terms that take the score estimator
    optimize: frozenset[str] = frozenset()
    marginals: tuple[Marginal, ...] = ()
    sums: tuple[Sorted, ...] = ()
    batches: tuple[BatchLoop, ...] = ()

    def in_batches(self, loop: int) -> bool:
        """Whether a subset of the iterations of a loop can stand for all."""
        return any(b.loop == loop and not b.reason for b in self.batches)

    def resolve(self, index: int) -> tuple[int, bool]:
        """(representative, flipped) of a guard."""
        info = self.guards[index]
        return info.representative, info.flipped
