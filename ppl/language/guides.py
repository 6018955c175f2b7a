"""The families of which a `guide` block of a program is made. What they are is in ``ppl/problem``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ppl.record import record


@record
class Family:
    """`parameters`: the names of its arguments, ints from data. `discrete`: whether discrete latents can have it.
    `arrays`: whether it needs arrays. `option`: what ``--guide`` calls it."""

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

PROGRAM = "program"  # what ``--guide`` calls the guide that a program has of its own
