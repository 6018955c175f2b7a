"""A program with its data: what the emitted module is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl.bind.functions import Array

Value = int | float | bool | Array


@dataclass(frozen=True, slots=True)
class Bound:
    """`static`: the sizes that are Python ints when jax compiles, among them ``extent_<loop id>``, the longest run of a
    ragged loop. `arrays`: all other data. `counts`: instances of each guard. `shapes`: of sites and `var` arrays."""

    static: dict[str, int]
    arrays: dict[str, Value]
    counts: dict[int, int]
    shapes: dict[str, tuple[int, ...]]


def batched(values: Mapping[str, Value]) -> dict[str, Array]:
    """Data as the evaluator wants it, with a leading axis of length one."""
    return {name: np.asarray(v)[None] for name, v in values.items()}
