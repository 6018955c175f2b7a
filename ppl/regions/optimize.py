"""The optimisations that can be switched off, to compare: the gradient is the same with and without each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

OPTIMIZATIONS: Mapping[str, str] = MappingProxyType({
    "blocks": "long loops are evaluated a block of iterations at a time, and again for the gradient",
    "forks": "both sides of a guard whose outcome a loop carries on go through the loop together, once",
    "jumps": "a guard that flips alone is evaluated on its boundary only, not beside it, and draws without log q",
    "modes": "the jumps of guards that carried state of few values hands on follow from one backward pass",
    "nearby": "the outcome of a discrete latent that a few iterations read is evaluated again in these alone",
    "normals": "guards that move with several latents in proportion are crossed along the normal of their boundary",
    "sorted": "terms of long loops that guards choose by thresholds are sums over ranges of sorted thresholds",
    "stopped": "guards that stop a loop, or test that again behind it, are crossed along one coordinate each",
    "split": "of a loop with carried state, what the state does not need runs for all iterations at once",
    "windows": "the iterations of a loop read arrays by its variable as slices, of all of them, not as indices of each",
})  # fmt: skip


def chosen(names: Iterable[str] | None) -> frozenset[str]:
    """The optimisations named, all for None. Raises ValueError if there is no such optimisation."""
    if names is None:
        return frozenset(OPTIMIZATIONS)
    found = frozenset(names)
    unknown = sorted(found - set(OPTIMIZATIONS))
    if unknown:
        raise ValueError(f"no optimisation {', '.join(map(repr, unknown))}: there are {', '.join(OPTIMIZATIONS)}")
    return found
