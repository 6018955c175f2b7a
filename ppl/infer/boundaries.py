# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What of a fit's gradient comes from boundaries: the part that plain automatic differentiation misses.

At an optimum the two parts of the gradient cancel, so a share says nothing; the size of either part does. It is
measured in nats per guide standard deviation: of a location as it is, of a log scale per unit. Near an optimum the ELBO
falls by about half its square on the way to where plain automatic differentiation would have gone.

Both parts are estimated on the same noise with the compiled step of the optimiser, which takes the weight of
boundaries as an argument: nothing is compiled for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ppl.infer.run import Machine, begin, loop_arguments
from ppl.infer.stopping import Floats

ROUNDS = 5
STEPS = 20  # gradients of each lane in a round
STEEP = 2.0  # nats per guide standard deviation: what is so far from an optimum is none
ERRORS = 4  # standard errors of a slope

Params = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The part of the gradient that comes from boundaries, at the parameters of a fit.

    `slopes` and their standard `errors` have the structure of the params, in nats per guide standard deviation.
    `noise` is the variance of a gradient in the same unit, summed over parameters: with boundaries and without.
    """

    slopes: Params
    errors: Params
    noise: tuple[float, float]

    @property
    def norm(self) -> float:
        """Length of the slopes, without what their errors add to it on average."""
        pairs = zip(_flat(self.slopes), _flat(self.errors), strict=True)
        return float(np.sqrt(max(0.0, sum(float(np.sum(s**2 - e**2)) for s, e in pairs))))

    @property
    def cost(self) -> float:
        """About how many nats of ELBO they are worth, to second order."""
        return 0.5 * self.norm**2

    @property
    def noise_share(self) -> float:
        """Their part in the variance of a gradient; negative where integrating latents out makes it less noisy."""
        whole, inside = self.noise
        return 1.0 - inside / whole if whole > 0 else float("nan")

    def largest(self) -> tuple[str, str, tuple[int, ...], float, float]:
        """Part, site and index of the largest slope, the slope and its error."""
        best = ("", "", (), 0.0, 0.0)
        for part, sites in self.slopes.items():
            for site, values in sites.items():
                if values.size:
                    index = np.unravel_index(int(np.argmax(np.abs(values))), values.shape)
                    if abs(values[index]) > abs(best[3]):
                        error = self.errors[part][site][index]
                        best = (part, site, tuple(int(i) for i in index), float(values[index]), float(error))
        return best

    def to_json(self) -> dict[str, Any]:
        part, site, index, slope, error = self.largest()
        return {
            "norm": self.norm,
            "cost": self.cost,
            "noise_share": self.noise_share,
            "largest": {"part": part, "site": site, "index": list(index), "slope": slope, "se": error},
            "slopes": self.slopes,
        }


def settled(machine: Machine, rows: Floats) -> NDArray[np.bool_]:
    """Which of `rows`, one for each lane, are at an optimum, as far as noise lets one see: nowhere is the slope of the
    ELBO beyond STEEP. The others are starts that stopped on their way."""
    dtype = jnp.result_type(*jax.tree.leaves(machine.layout.like))
    run = begin(np.asarray(rows, dtype), machine.lr)
    first, _, stage, unit = loop_arguments(run, machine.layout, 0)
    asked = stage._replace(lr=np.zeros_like(stage.lr), measuring=np.ones_like(stage.measuring))
    steps = np.asarray(ROUNDS * STEPS, np.int32)
    moments = machine.chunk(run.loop, machine.streams.measure, first, steps, asked, unit)[0].moments
    scale = machine.layout.scales(rows)
    slope = np.abs(np.asarray(moments.mean, np.float64)) * scale
    error = np.sqrt(np.asarray(moments.m2, np.float64)) * scale / (ROUNDS * STEPS)
    return np.all(slope < np.maximum(STEEP, ERRORS * error), axis=1)


def measure(machine: Machine, row: Floats) -> Boundaries | None:
    """The boundary part of the gradient at a row of params. None if there is none, or it is not finite."""
    dtype = jnp.result_type(*jax.tree.leaves(machine.layout.like))
    run = begin(np.asarray(np.repeat(row[None], machine.lanes, axis=0), dtype), machine.lr)
    first, _, stage, unit = loop_arguments(run, machine.layout, 0)
    steps, key = np.asarray(STEPS, np.int32), machine.streams.measure
    means, squares, skipped = [], [], []
    for weight in (1.0, 0.0):
        asked = stage._replace(
            lr=np.zeros_like(stage.lr),
            boundaries=np.full_like(stage.boundaries, weight),
            measuring=np.ones_like(stage.measuring),
        )
        loops = [machine.chunk(run.loop, key, first + k * STEPS, steps, asked, unit)[0] for k in range(ROUNDS)]
        means.append(np.concatenate([np.asarray(x.moments.mean, np.float64) for x in loops]))
        squares.append(np.concatenate([np.asarray(x.moments.m2, np.float64) for x in loops]))
        skipped.append(np.concatenate([np.asarray(x.skipped) for x in loops]))
    ok = (skipped[0] == 0) & (skipped[1] == 0)
    if ok.sum() < 2:
        return None
    scale = machine.layout.scales(row[None])[0]
    missed = (means[0] - means[1])[ok] * scale
    if not np.any(missed):
        return None
    noise = [float(np.sum(m2[ok] * scale**2) / (ok.sum() * (STEPS - 1))) for m2 in squares]
    error = missed.std(axis=0, ddof=1) / np.sqrt(len(missed))
    return Boundaries(_params(machine, missed.mean(axis=0)), _params(machine, error), (noise[0], noise[1]))


def _params(machine: Machine, row: Floats) -> Params:
    return jax.tree.map(np.asarray, machine.layout.unflatten(row))


def _flat(params: Params) -> list[NDArray[Any]]:
    return [np.asarray(x, np.float64) for sites in params.values() for x in sites.values()]
