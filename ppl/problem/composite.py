# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false
"""A guide of several families, each of which has some of the latents together: what a `guide` block describes.

Blocks are independent of each other, so log q is a sum over blocks, and a coordinate that moves alone takes what shares
noise with it in its own block along and nothing of the others: the line, and the slice of the program that a boundary
evaluates again, are those of the block's family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from jax import Array
from jax.typing import DTypeLike

from ppl.bind.model import GuideBlock
from ppl.problem.flow import Flow
from ppl.problem.gaussian import Chain, FullRank, LowRank
from ppl.problem.guides import Guide, Latents, MeanField, Params, Shape
from ppl.runtime.coordinates import Warp
from ppl.runtime.point import Point
from ppl.runtime.records import Lines


@dataclass(frozen=True)
class Composite(Guide):
    """Independent blocks: each of the continuous latents is in one of `parts`.

    Parameters have the parts and sites of all blocks, `tril` under the name of a block's first latent. The noise that a
    block has beside that of its latents goes by its name followed by that of the first latent, which no site has.
    """

    parts: tuple[Guide, ...] = ()

    @cached_property
    def home(self) -> dict[str, Guide]:
        return {k: part for part in self.parts for k in part.latents.shapes}

    def more(self, dtype: DTypeLike) -> Params:
        out: Params = {}
        for part in self.parts:
            for name, sites in part.more(dtype).items():
                out[name] = {**out.get(name, {}), **sites}
        return out

    def noise(self) -> dict[str, Shape]:
        out = dict(self.latents.shapes)
        for part in self.parts:
            out |= {_shared(k, part): s for k, s in part.noise().items() if k not in out}
        return out

    def independent(self, site: str) -> bool:
        return site in self.home and self.home[site].independent(site)

    def conditional(self, site: str) -> bool:
        return site in self.home and self.home[site].conditional(site)

    def real_point(self, params: Params, eps: Mapping[str, Array]) -> Point:
        u, loc, scale, log_q = (dict[str, Array]() for _ in range(4))
        lines, warps, given = dict[str, Lines](), dict[str, Warp](), dict[str, tuple[Array, Array]]()
        for part in self.parts:
            own = {k: eps[k if k in part.latents.shapes else _shared(k, part)] for k in part.noise()}
            at = part.real_point(_restricted(params, part), own)
            for all_of_it, more in ((u, at.u), (loc, at.loc), (scale, at.scale), (log_q, at.log_q)):
                all_of_it.update(more)
            lines.update(at.lines)
            warps.update(at.warps)
            given.update(at.given)
        return Point(u, loc, scale, log_q, lines=lines, warps=warps, given=given)

    def log_density(self, params: Params, u: Mapping[str, Array]) -> dict[str, Array]:
        out: dict[str, Array] = {}
        for part in self.parts:
            out |= part.log_density(_restricted(params, part), {k: u[k] for k in part.latents.shapes})
        return out


def composite(blocks: Sequence[GuideBlock], latents: Latents) -> Composite:
    """The guide of these blocks. Discrete latents in them need no part of their own."""
    parts: list[Guide] = []
    for block in blocks:
        sites = [k for k in block.sites if k not in latents.outcomes]
        if sites:
            part = _part(block, latents.restricted(sites))
            parts.append(Flow(part.latents, part) if block.flow else part)
    return Composite(latents, tuple(parts))


def _part(block: GuideBlock, latents: Latents) -> Guide:
    match block.family:
        case "FullRank":
            return FullRank(latents, next(iter(latents.shapes)))
        case "LowRank":
            assert block.rank is not None
            return LowRank(latents, block.rank)
        case "Chain":
            return Chain(latents)
        case _:
            assert block.family == "MeanField", block.family
            return MeanField(latents)


def _restricted(params: Params, part: Guide) -> Params:
    """The parameters of one block."""
    return {name: {k: x for k, x in sites.items() if k in part.latents.shapes} for name, sites in params.items()}


def _shared(name: str, part: Guide) -> str:
    return name + next(iter(part.latents.shapes))
