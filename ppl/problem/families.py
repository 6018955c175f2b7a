"""The guides by name."""

from __future__ import annotations

import math

from ppl.diagnostics import did_you_mean
from ppl.language.guides import NO_DENSITY, POINTS
from ppl.problem.flow import Flow
from ppl.problem.gaussian import Chain, FullRank, LowRank, default_rank
from ppl.problem.guides import Guide, Latents, MeanField

NAMES = ("meanfield", "fullrank", "lowrank", "lowrank:RANK", "chain", "flow", "flow:GUIDE", "program")
FLOW = "flow"  # of independent latents, or "flow:" and one of these
BELOW = ("meanfield", "fullrank", "lowrank", "chain")


def family_of(name: str, latents: Latents) -> Guide:
    """The guide called `name`. Raises ValueError if there is none."""
    kind, colon, option = name.partition(":")
    if kind == "lowrank" and (not colon or option.isdecimal()):
        size = sum(math.prod(s) for s in latents.continuous.values())
        rank = int(option) if colon else default_rank(size)
        if rank < 1 or rank > max(size, 1):
            raise ValueError(f"the rank of the guide {name!r} must be from 1 to {max(size, 1)}, the number of latents")
        return LowRank(latents, rank)
    if kind == FLOW and (not colon or option.partition(":")[0] in BELOW):
        return Flow(latents, family_of(option or "meanfield", latents))
    for known, family in (("meanfield", MeanField), ("fullrank", FullRank), ("chain", Chain)):
        if name == known:
            return family(latents)
    if kind in POINTS:
        raise ValueError(f"a guide that is a point ({name!r}) {NO_DENSITY}: choose one of {', '.join(NAMES)}")
    meant = did_you_mean(kind, (*BELOW, FLOW, "program", "auto"))
    raise ValueError(
        f"no guide {name!r}{f', {meant}' if meant else ''}: one of {', '.join(NAMES)}; fits also take auto"
    )
