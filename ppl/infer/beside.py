# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""A fit beside what else its run can find: the other optima of its starts, and what lies beyond the guide's draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ppl.infer.boundaries import settled
from ppl.infer.result import Posterior
from ppl.infer.run import Machine, Run
from ppl.infer.stopping import Floats
from ppl.infer.weighing import WIDER, Moments, Regions, Weighing, look_beyond, weigh

LOOKED = 32  # at most so many latents along which a guide is made wider


def weigh_beside(
    machine: Machine,
    run: Run,
    names: tuple[str, ...],
    posterior: Posterior,
    row: Floats,
    apart: bool,
) -> Weighing:
    """What weights say of the `posterior` drawn from the guide with parameters `row`: beside the other optima of the
    `run`, where starts ended `apart`, and if there are none, beside the guide made wider. `names` are the latents."""

    def quantities(of: Any) -> dict[str, Any]:
        return {**{name: np.asarray(of.latents[name]) for name in names}, **jax.tree.map(np.asarray, of.reports)}

    mine = quantities(posterior)
    others: list[Moments] = []
    if apart and run.rows is not None:
        rows = machine.filled(run.rows)
        found = settled(machine, rows)
        log_weight = np.where(found[:, None], machine.evaluate(rows), -np.inf)
        others = _regions(machine, rows, log_weight, quantities).distinct(mine)
    weighing = weigh(mine, posterior.log_weight, others)
    if others:
        return weighing
    for rows, along in _wider(machine, row):
        log_weight = machine.evaluate(rows)
        log_weight = np.where(np.isnan(log_weight), -np.inf, log_weight)  # so far out that it overflows
        weighing = look_beyond(weighing, mine, _regions(machine, rows, log_weight, quantities), along)
    return weighing


def _regions(
    machine: Machine, rows: Floats, log_weight: Floats, quantities: Callable[[Any], dict[str, Any]]
) -> Regions:
    """What the guides of `rows`, one for each lane, say of the posterior by their weights (lanes, draws)."""
    regions = Regions(log_weight)
    for drawn in machine.blocks(rows):
        regions.add(quantities(drawn))
    return regions


def _wider(machine: Machine, row: Floats) -> Iterator[tuple[Floats, list[str]]]:
    """A row for each lane, `row` made wider along one latent, whose name comes with it. The first latents are those of
    the smallest sites: a hundred of one array are rarely what a posterior's pieces are told apart by."""
    layout = machine.layout
    size = {name: layout.name.count(name) for name in set(layout.name)}
    chosen = sorted(layout.log_scale.tolist(), key=lambda k: size[layout.name[k]])[:LOOKED]
    for first in range(0, len(chosen), machine.lanes):
        entries = chosen[first : first + machine.lanes]
        rows = np.repeat(row[None], len(entries), axis=0)
        rows[np.arange(len(entries)), entries] += np.log(WIDER)
        names = [layout.name[k] for k in entries]
        yield machine.filled(rows), names + names[:1] * (machine.lanes - len(names))
