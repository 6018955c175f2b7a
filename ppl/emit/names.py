"""Python identifiers for the names of a model. A model's names are ASCII words, so they can only clash, not inject."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

_OURS = re.compile(
    r"((g|t|loop_|before_|state_|rest_|rest_of_loop_|MODES_|boundary_|slice_|fork_|at_|seen_|expected_|row_|sum_|near_)\d+|.*_(at|new)_\d+|(law|rng|key)_\w+)$"
)
# fmt: off
_RESERVED = frozenset(
    {
        "jax", "jnp", "fn", "sums", "dist", "supports", "samplers", "control", "surface", "at", "data", "size", "path",
        "out", "more", "main", "root", "slope", "rest", "side", "one", "model", "boundary", "noise",
        "noise_log_density", "still", "state", "evaluate", "gap", "after", "rest_of_path", "u", "key", "dtype",
        "k", "v", "TERMS", "SITES", "OBSERVED", "PRIORS", "min", "jump", "None", "True", "False", "crossings", "value",
        "on", "across", "outcomes", "row", "modes", "step", "marginal", "given", "integrated", "expected", "terms",
        "INTEGRABLE", "ALONE", "vectors", "prefix", "families", "prepare", "cuts", "summed", "SUMMED", "there", "loops",
        "normals", "along", "forks", "sides", "instance", "off", "is_reached", "sizing", "probabilities", "on_boundary",
    }
)
# fmt: on


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Distinct Python identifiers for distinct names; most are the names themselves."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    names = list(dict.fromkeys(names))
    for name in names:
        candidate = name
        while (
            keyword.iskeyword(candidate)
            or candidate in _RESERVED
            or _OURS.match(candidate)
            or candidate in taken
            or (candidate != name and candidate in names)
        ):
            candidate += "_"
        out[name] = candidate
        taken.add(candidate)
    return out
