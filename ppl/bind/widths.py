"""Whole numbers that latents decide, and that may need more than 32 bits."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from ppl.bind.blame import MAX_INT
from ppl.bind.evaluate import Evaluator, Mask
from ppl.bind.intervals import Interval
from ppl.bind.ranges import Ranges
from ppl.bind.sums import summed
from ppl.core import ir
from ppl.language.distributions import named

FAR = 6.0  # scales from its place within which a latent is taken to lie


@dataclass(frozen=True)
class Bounded(Ranges):
    """Intervals in which sums are added up iteration by iteration: `totals`, by the variable that holds the sum."""

    totals: dict[str, Interval] = field(default_factory=dict[str, Interval])

    @classmethod
    def made(cls, ranges: Ranges, totals: dict[str, Interval]) -> Self:
        return cls(**{f.name: getattr(ranges, f.name) for f in fields(ranges)}, totals=totals)

    def of(self, e: ir.Expr, ev: Evaluator) -> Interval:
        name = summed(e)
        return self.totals[name] if name in self.totals else super().of(e, ev)


@dataclass(frozen=True)
class Likely(Bounded):
    """Intervals in which values nearly always lie, also where nothing bounds them."""

    def site(self, s: ir.Sample, ev: Evaluator) -> Interval:
        d = named(s.distribution)
        args = {p.name: a for p, a in zip(d.params, s.args, strict=False)}
        place, scale = args.get("mean", args.get("loc")), args.get("sd", args.get("scale"))
        if d.support.kind != "real" or place is None or scale is None:
            return super().site(s, ev)
        place, scale = self.of(place, ev), self.of(scale, ev)
        return Interval(place.lo - FAR * scale.hi, place.hi + FAR * scale.hi)


@dataclass(frozen=True)
class Widths:
    """How large whole numbers get: as far as they are bounded, and where they nearly always are."""

    bounded: Bounded
    likely: Likely

    def wide(self, e: ir.Expr, ev: Evaluator, active: Mask) -> int | None:
        """A value of `e` that 32 bits do not hold, if there may be one: an end of its interval, or what it is nearly
        always beyond."""
        x, y = self.bounded.of(e, ev), self.likely.of(e, ev)
        found = [(end, np.isfinite(end) & (np.abs(end) > MAX_INT)) for end in (x.lo, x.hi)]
        for end, beyond in (*found, (y.lo, y.lo > MAX_INT), (y.hi, y.hi < -MAX_INT)):
            bad = beyond & (True if active is None else active)
            if bad.any():
                return int(np.broadcast_to(end, bad.shape)[bad.argmax()])
        return None


def widths_of(ranges: Ranges) -> Widths:
    totals: dict[str, Interval] = {}
    return Widths(Bounded.made(ranges, totals), Likely.made(ranges, totals))
