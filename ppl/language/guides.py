"""The families of which a `guide` block of a program is made. What they are is in ``ppl/problem``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ppl.record import record


@record
class Family:
    """`parameters`: the names of its arguments, ints from data (FLOW takes a family instead, or nothing). `discrete`:
    whether discrete latents can have it. `arrays`: whether it needs arrays. `option`: what ``--guide`` calls it."""

    name: str
    option: str
    parameters: tuple[str, ...] = ()
    discrete: bool = False
    arrays: bool = False


FAMILIES: Mapping[str, Family] = MappingProxyType({
    f.name: f for f in (
        Family("MeanField", "meanfield", discrete=True),
        Family("FullRank", "fullrank"),
        Family("LowRank", "lowrank", ("rank",)),
        Family("Chain", "chain", arrays=True),
        Family("Flow", "flow"),
    )
})  # fmt: skip

POINTS = ("delta", "dirac", "map", "mle", "point")  # what people ask for that cannot be had
NO_DENSITY = "has no density along a line, so the boundary of a guard has no term in its gradient"
FLOW, PLAIN = "Flow", "MeanField"  # a flow of nothing else is one of independent latents


def line(sites: Sequence[str], family: str, rank: object, flow: bool) -> str:
    """A line of a guide, as a program has it."""
    own = f"{family}({'' if rank is None else rank})"
    if flow:
        own = f"{FLOW}({'' if family == PLAIN else own})"
    return f"{', '.join(sites)} ~ {own}"


PROGRAM = "program"  # what ``--guide`` calls the guide that a program has of its own
