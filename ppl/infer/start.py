# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Where the optimiser starts, and the length that counts as one for each parameter.

Both come from draws of the program's own prior in unconstrained space. Measuring steps in prior standard deviations
makes one learning rate fit `Normal(20, 0.001)` and `Normal(0, 100)` in the same program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

PRIOR_DRAWS = 512
WIDTHS = (1.0, 0.1, 0.3, 0.03)  # initial scales of guides, in prior standard deviations, in turn
SWEEPS = 2000  # steps of a chain of draws, each of which goes through the program once
SCALE_UNIT = 0.3  # scales change this much more slowly than places move: a wide guide sees past local optima

Params = Any


class HasPrior(Protocol):
    """The part of a problem that this module uses."""

    def init_params(self, guide: str, dtype: Any = None) -> Params: ...
    def prior_draws(self, key: jax.Array, n: int, *, sweeps: int | None = None) -> dict[str, jax.Array]: ...


def starting_points(problem: HasPrior, guide: str, starts: int, key: jax.Array) -> tuple[Params, Params]:
    """(params with a leading axis of `starts`, unit with the structure of one start's params).

    The first start sits at the prior median, the others at prior draws: a median is safe where prior draws are wild
    (long chains), draws find the other optima of a density with several. Widths differ: a guide as wide as the prior
    smooths small optima away, and sometimes the good one with them; a narrow one finds what is near.
    """
    return place_starts(problem.init_params(guide), start_draws(problem, key, starts), starts)


def start_draws(problem: HasPrior, key: jax.Array, starts: int) -> dict[str, jax.Array]:
    """PRIOR_DRAWS + `starts` draws to start from: those of a long chain need not have its length."""
    return problem.prior_draws(key, PRIOR_DRAWS + starts, sweeps=SWEEPS)


def place_starts(base: Params, draws: Mapping[str, jax.Array], starts: int) -> tuple[Params, Params]:
    """As `starting_points`, from params of the guide and PRIOR_DRAWS + `starts` draws from the prior."""
    quarters = {name: _quarters(u[:PRIOR_DRAWS]) for name, u in draws.items()}
    spread = {name: _spread(low, high) for name, (low, _, high) in quarters.items()}
    places = {name: _places(u, quarters[name][1], starts) for name, u in draws.items()}
    params = {part: dict(sites) for part, sites in base.items()}
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (starts, *x.shape)), params)
    unit = jax.tree.map(jnp.ones_like, {part: dict(sites) for part, sites in base.items()})
    for name, old in base["loc"].items():
        if name in draws:
            params["loc"][name] = places[name].astype(old.dtype)
            unit["loc"][name] = spread[name].astype(old.dtype)
            if name in base.get("log_scale", {}):
                params["log_scale"][name] = jnp.log(_widths(spread[name], starts)).astype(old.dtype)
                unit["log_scale"][name] = jnp.full(old.shape, SCALE_UNIT, old.dtype)
    return params, unit


def _quarters(u: jax.Array) -> tuple[jax.Array, ...]:
    """The quartiles along axis 0 by linear interpolation, not numbers where a draw is none."""
    ordered = lax.sort(u, dimension=0)  # not numbers come last
    ordered = jnp.where(jnp.isnan(ordered[-1]), jnp.nan, ordered)

    def at(place: float) -> jax.Array:
        low = int(place)
        high = min(low + 1, len(u) - 1)
        return ordered[low] * (1 - (place - low)) + ordered[high] * (place - low)

    return tuple(at(q * (len(u) - 1)) for q in (0.25, 0.5, 0.75))


def _places(u: jax.Array, median: jax.Array, starts: int) -> jax.Array:
    return jnp.concatenate([median[None], u[PRIOR_DRAWS + 1 : PRIOR_DRAWS + starts]])


def _widths(spread: jax.Array, starts: int) -> jax.Array:
    factor = jnp.resize(jnp.asarray(WIDTHS, spread.dtype), (starts,))
    return factor.reshape(-1, *[1] * spread.ndim) * spread


def _spread(low: jax.Array, high: jax.Array) -> jax.Array:
    """Standard deviation by the quartiles, so that a Cauchy has one; 1 for elements that never vary."""
    sd = (high - low) / 1.349
    return jnp.where((sd > 0) & jnp.isfinite(sd), sd, 1.0)
