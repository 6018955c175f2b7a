"""What the analysis says about a program's guards. `explain`, the emitter and the tests read the same objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ppl.core import ir
from ppl.core.poly import Poly


@dataclass(frozen=True, slots=True)
class Latent:
    """One coordinate: a scalar site, or an element of an array site."""

    site: str
    indices: tuple[ir.Expr, ...]

    def expr(self, t: ir.Type) -> ir.Expr:
        return ir.Cell(self.site, self.indices, t, True) if self.indices else ir.Var(self.site, t, True)


@dataclass(frozen=True, slots=True)
class Boundary:
    """One surface term: the instances of a guard, and the line along which each is crossed.

    The guard's value is ``slope * z + rest`` in the latent `line`. With `through` set, it depends on the latent through
    that carried state of the previous iteration; then `rest` is not spelled out, and the root is found from the guard's
    value at the sample.

    `part`: "all" iterations, or, where the guard reads carried state, "first" or "rest" of them.
    `effect`: "local" (the slice is re-evaluated), "incremental" (a running sum is updated, then what follows it is
    re-evaluated) or "global" (all terms are).
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


@dataclass(frozen=True, slots=True)
class GuardInfo:
    """A guard of the source with its classification."""

    guard: ir.Guard
    status: str  # boundary, merged, no-jump, fixed, data-only
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


@dataclass(frozen=True, slots=True)
class Regions:
    """The program with its guards classified; `body` has each guard decided where it belongs."""

    program: ir.Program
    body: tuple[ir.Statement, ...]
    definitions: Mapping[str, ir.Expr]
    guards: tuple[GuardInfo, ...]
    loops: Mapping[int, ir.Loop]
    term_lines: Mapping[int, int]

    def resolve(self, index: int) -> tuple[int, bool]:
        """(representative, flipped) of a guard."""
        info = self.guards[index]
        return info.representative, info.flipped
