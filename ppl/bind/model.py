"""A program with its data: what the emitted module is called with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.language.guides import line
from ppl.record import record
from ppl.regions.model import Learned

if TYPE_CHECKING:
    from ppl.bind.functions import Array

Value: TypeAlias = "int | float | bool | Array"

MAX_ITERATIONS = 10**8


@record
class Extent:
    """`longest` run of a loop, `total` iterations, and the number of runs that have at least one."""

    longest: int
    total: int
    runs: int


class TooLong(Exception):
    """More than 10^8 iterations of a loop."""

    def __init__(self, loop: ir.Loop, total: int) -> None:
        super().__init__(loop.id)
        self.loop, self.total = loop, total


@record
class Measured:
    """What the sizes in the data decide: `shapes` of sites and `var` arrays, and of their `values`, which differ where
    elements do not vary freely; `extents` of loops by their number; and `counts`, the instances of each guard."""

    shapes: dict[str, tuple[int, ...]]
    values: dict[str, tuple[int, ...]]
    extents: dict[int, Extent]
    counts: dict[int, int]


@record
class GuideBlock:
    """Latents that a family of the program's own guide has together; `rank` of a LowRank. `flow`: with a flow."""

    family: str
    sites: tuple[str, ...]
    rank: int | None
    flow: bool = False

    def __str__(self) -> str:
        return line(self.sites, self.family, self.rank, self.flow)


@record
class Wide:
    """Whole numbers beyond 32 bits: in words, what of the program has them."""

    text: str
    span: Span


@record
class Bound:
    """`static`: the sizes that are Python ints when jax compiles, among them ``extent_<loop id>``, the longest run of a
    ragged loop. `arrays`: all other data. `counts`: instances of each guard. `shapes`: of sites and `var` arrays, and
    `values`, of what sites stand for. `budgets`: how many instances of boundaries are evaluated if nothing else is
    asked for, see `ppl.regions.costs.budgets`. `guide`: the blocks of the program's own guide, none if it
    has no such guide. `learned`: what the data say of guards. `wide`: whole numbers that need more than 32 bits, if
    there are any.
    """

    static: dict[str, int]
    arrays: dict[str, Value]
    counts: dict[int, int]
    shapes: dict[str, tuple[int, ...]]
    values: dict[str, tuple[int, ...]]
    budgets: tuple[int | None, ...] = ()
    guide: tuple[GuideBlock, ...] = ()
    learned: Learned = Learned()
    wide: Wide | None = None
