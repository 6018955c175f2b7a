"""What a bound problem says of itself and hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jax import Array

from ppl.diagnostics import Span
from ppl.problem.observations import Observed


@dataclass(frozen=True, slots=True)
class Site:
    """A latent or noise of a bound problem. `shape` is that of its value, `free` that of its unconstrained coordinates;
    they differ where elements do not vary freely, as those of a simplex.
    """

    name: str
    shape: tuple[int, ...]
    support: str
    noise: bool
    span: Span
    free: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard of a bound problem, as `explain` shows it."""

    text: str
    span: Span
    kind: str
    direction: str
    effect: str
    count: int
    status: str
    reason: str


class Draws(NamedTuple):
    """Draws from a guide: `latents` on their supports (NaN where a latent does not exist), `reports`, `unconstrained`;
    `log_weight` is log p(data, z) + log |dT/du| - log q(u), whose mean is the ELBO; `log_q` is log q(u). `branches` has
    for each of `Problem.branches` whether its condition holds, averaged over a family. Axis 0: draws.
    """

    latents: dict[str, Array]
    reports: dict[str, Array]
    unconstrained: dict[str, Array]
    log_weight: Array
    log_q: Array
    branches: dict[str, Array]


class Location(NamedTuple):
    """Where constrained latents lie: `u`, unconstrained; `exists`, which of them the program draws, in the shape of the
    site; `inside`, whether the site lies inside its support and its prior has a density there.
    """

    u: dict[str, Array]
    exists: dict[str, Array]
    inside: dict[str, Array]


class Replay(NamedTuple):
    """What the program makes of a draw. `latents` (on their supports, NaN where one does not exist), `reports`, and the
    `observations` by name: of the data field, or ``observe_LINE`` for what is computed from data.
    """

    latents: dict[str, Array]
    reports: dict[str, Array]
    observations: dict[str, Observed]
