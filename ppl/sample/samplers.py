# jax and blackjax leave some of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""BlackJAX's algorithms on a target: what they draw, and how it went. Axis 0 the chains, axis 1 the draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ppl.diagnostics import Diagnostic, InferenceError
from ppl.sample.adaptation import TARGET, for_jumps
from ppl.sample.target import Position, Target

RESAMPLE_AT = 0.9  # of the particles: the effective share at which the next temperature is set
MOVES = 10  # HMC transitions of every particle at each temperature
LEAPS = 8  # leapfrog steps of a transition
MAX_TEMPERATURES = 1000


class Run(NamedTuple):
    """`stats` as in ArviZ's ``sample_stats``; `log_evidence` of each chain, where the algorithm estimates it."""

    positions: Position
    stats: dict[str, np.ndarray]
    log_evidence: np.ndarray | None


def nuts_chain(
    log_density: Callable[[Position], Array], warmup: int, draws: int, jumps: bool = True
) -> Callable[[Array, Position], tuple[tuple[Position, dict[str, Array]], Array]]:
    """``chain(key, start)``: positions and stats of `draws` steps after `warmup` of Stan's window adaptation, and the
    step size. Pure: chains, and densities of several data sets, can be vmapped. A jump of `log_density` is met by the
    acceptance step; `jumps` says whether to expect any, see :mod:`ppl.sample.adaptation`.
    """
    import blackjax
    from blackjax.adaptation.base import get_filter_adapt_info_fn

    algorithm = for_jumps() if jumps else blackjax.nuts
    adaptation = blackjax.window_adaptation(
        algorithm, log_density, target_acceptance_rate=TARGET, adaptation_info_fn=get_filter_adapt_info_fn()
    )

    def chain(key: Array, position: Position) -> Any:
        k_warm, k_draw = jax.random.split(key)
        (state, parameters), _ = adaptation.run(k_warm, position, num_steps=warmup)
        step = blackjax.nuts(log_density, **parameters).step

        def one(state: Any, key: Array) -> Any:
            state, info = step(key, state)
            stats = {
                "lp": state.logdensity, "diverging": info.is_divergent, "acceptance_rate": info.acceptance_rate,
                "n_steps": info.num_integration_steps, "energy": info.energy,
                "tree_depth": info.num_trajectory_expansions,
            }  # fmt: skip
            return state, (state.position, stats)

        (_, out), step_size = jax.lax.scan(one, state, jax.random.split(k_draw, draws)), parameters["step_size"]
        return out, step_size

    return chain


def nuts(target: Target, key: Array, chains: int, warmup: int, draws: int) -> Run:
    """The no-U-turn sampler, `chains` side by side, see `nuts_chain`."""
    k_start, k_run = jax.random.split(key)
    starts = target.starts(k_start, chains)
    chain = nuts_chain(target.log_density, warmup, draws, target.jumps)
    (positions, stats), step_size = jax.jit(jax.vmap(chain))(jax.random.split(k_run, chains), starts)
    found = {k: np.asarray(v) for k, v in stats.items()}
    found["step_size"] = np.broadcast_to(np.asarray(step_size)[:, None], (chains, draws))
    return Run(positions, found, None)


class _Particles(NamedTuple):
    state: Any
    step_size: Array
    scale: Position
    log_evidence: Array
    acceptance: Array


def smc(target: Target, key: Array, chains: int, draws: int) -> Run:
    """Adaptive tempered sequential Monte Carlo from the prior to the posterior (Del Moral, Doucet & Jasra 2006), moved
    by HMC with the spread of the particles as its metric. Each chain is a run of its own, of `draws` particles.

    Raises InferenceError if a run does not arrive, PplError where the prior cannot be drawn from.
    """
    import blackjax
    from blackjax.smc import resampling

    target.problem.known_prior()
    k_start, k_run = jax.random.split(key)
    x = target.prior_draws(k_start, chains * draws)
    x = jax.tree.map(lambda v: v.reshape(chains, draws, *v.shape[1:]), x)
    hmc = blackjax.hmc.build_kernel()
    dimension = sum(v[0, 0].size for v in x.values())

    def log_likelihood(x: Position) -> Array:
        value = target.log_density(x) - target.prior_density(x)
        return jnp.where(jnp.isnan(value), -jnp.inf, jnp.maximum(value, -1e30))

    def move(key: Array, state: Any, log_density: Any, step_size: Array, inverse_mass_matrix: Array) -> Any:
        return hmc(key, state, log_density, step_size, inverse_mass_matrix, LEAPS)

    def advance(p: _Particles, key: Array, last: Array) -> _Particles:
        flat, _ = ravel_pytree(p.scale)
        parameters = {"step_size": p.step_size[None], "inverse_mass_matrix": (flat**2)[None]}
        algorithm = blackjax.adaptive_tempered_smc(
            target.prior_density, log_likelihood, move, blackjax.hmc.init, parameters, resampling.systematic,
            RESAMPLE_AT, num_mcmc_steps=MOVES,
        )  # fmt: skip
        state, info = algorithm.step(key, p.state)
        rate = jnp.mean(info.update_info.acceptance_rate)
        scale = jax.tree.map(lambda v: jnp.maximum(jnp.std(v, axis=0), 1e-8), state.particles)
        size = p.step_size * jnp.exp(jnp.clip(rate - 0.75, -0.5, 0.25))
        new = _Particles(state, size, scale, p.log_evidence + info.log_likelihood_increment, rate)
        arrived = (p.state.tempering_param >= 1) & ~last
        return jax.tree.map(lambda old, fresh: jnp.where(arrived, old, fresh), p, new)

    def begin(x: Position) -> _Particles:
        state = blackjax.smc.tempered.init(x)
        zero = jnp.zeros((), jnp.result_type(float))
        scale = jax.tree.map(lambda v: jnp.maximum(jnp.std(v, axis=0), 1e-8), x)
        return _Particles(state, zero + 0.7 / dimension**0.25, scale, zero, zero)

    step = jax.jit(jax.vmap(advance, in_axes=(0, 0, None)))
    particles = jax.vmap(begin)(x)
    for t in range(MAX_TEMPERATURES):
        if np.all(np.asarray(particles.state.tempering_param) >= 1):
            break
        particles = step(particles, jax.random.split(jax.random.fold_in(k_run, t), chains), False)
    else:
        reached = float(np.min(np.asarray(particles.state.tempering_param)))
        text = f"after {MAX_TEMPERATURES} temperatures the particles are still at {reached:.3g} of the likelihood"
        raise InferenceError([Diagnostic("PPL822", text)], target.problem.sources)
    # A step weighs its particles for the next temperature once they have moved at its own: those that have arrived
    # are resampled by these weights, and moved, once more.
    particles = step(particles, jax.random.split(jax.random.fold_in(k_run, MAX_TEMPERATURES), chains), True)
    positions = particles.state.particles
    lp = jax.jit(jax.vmap(jax.vmap(target.log_density)))(positions)
    stats = {"lp": np.asarray(lp), "acceptance_rate": np.tile(np.asarray(particles.acceptance)[:, None], (1, draws))}
    return Run(positions, stats, np.asarray(particles.log_evidence))
