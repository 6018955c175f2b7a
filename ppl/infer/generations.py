# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""New starts around the best optimum found so far.

A density with many branches has optima that differ in a few coordinates: one switch of a thermostat, one month of an
epidemic. Starting again everywhere finds the best combination only by luck. So once all starts have settled, the best
one is kept and the others become copies of it in which some coordinates are thrown as far as the prior reaches.
As long as that finds something better, it is done again.
"""

from __future__ import annotations

import jax
import numpy as np

from ppl.infer.layout import Layout
from ppl.infer.stopping import Floats

GENERATIONS = 4
WORTH = 0.1  # nats: a generation that brings less is the last one
KEPT = 2  # the best starts survive as they are
FEWEST = 2  # coordinates of a copy that are thrown on average, at least
SHARES = (0.0, 0.1, 0.3, 1.0)  # of all coordinates, if that is more
WIDTHS = (1.0, 0.1)  # scales of thrown coordinates, in prior standard deviations


def next_generation(rows: Floats, elbos: Floats, layout: Layout, key: jax.Array) -> Floats:
    """Params (starts, parameters) of the next generation; `elbos` (starts,) ranks `rows` of the present one."""
    starts = len(rows)
    kept = min(KEPT, starts)
    order = np.argsort(-np.where(np.isfinite(elbos), elbos, -np.inf), kind="stable")
    new = np.repeat(rows[order[:1]], starts, axis=0)
    new[:kept] = rows[order[:kept]]
    unit = layout.unit[layout.loc]
    share = np.maximum(np.resize(SHARES, starts), FEWEST / unit.size)[:, None]
    width = np.resize(np.repeat(WIDTHS, len(SHARES)), starts)[:, None]
    k_which, k_where = jax.random.split(key)
    thrown = np.asarray(jax.random.uniform(k_which, (starts, unit.size))) < share
    shift = unit * np.asarray(jax.random.normal(k_where, (starts, unit.size)))
    thrown[:kept] = False
    new[:, layout.loc] += np.where(thrown, shift, 0.0)
    new[:, layout.log_scale] = np.where(thrown, np.log(width * unit), new[:, layout.log_scale])
    return new
