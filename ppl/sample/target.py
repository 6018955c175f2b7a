# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""The density that samplers move on: real coordinates alone, discrete latents summed out."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from ppl.diagnostics import Diagnostic, InferenceError, PplError
from ppl.problem import Problem

MAX_COMBINATIONS = 256
CANDIDATES = 16  # prior draws from which each chain chooses where to start

Position = dict[str, Array]


@dataclass(frozen=True)
class Target:
    """The posterior of `problem` over its real latents and its noise, unconstrained.

    A discrete latent is summed out: `combinations` has all outcomes of all of them, leading axis the combinations.
    """

    problem: Problem
    combinations: dict[str, Array] = field(default_factory=dict[str, Array])

    @staticmethod
    def of(problem: Problem) -> Target:
        """Raises PplError if something random can be neither moved nor summed out."""
        for site in problem.sites:
            if site.noise and site.name in problem.drawn_noise:
                text = f"noise `{site.name}` is drawn as it is, not from a normal draw: a sampler cannot move it"
                hint = "make it a latent, without `noise`"
                raise PplError([Diagnostic("PPL821", text, site.span, hint)], problem.sources)
        outcomes = problem.outcomes
        if not outcomes:
            return Target(problem)
        sites = [s for s in problem.sites if s.name in outcomes]
        sizes = [outcomes[s.name] for s in sites for _ in range(math.prod(s.shape))]
        if math.prod(sizes) > MAX_COMBINATIONS:
            text = (f"the discrete latents have {math.prod(sizes)} combinations of outcomes: a sampler "
                    f"cannot move them, and sums over at most {MAX_COMBINATIONS}")  # fmt: skip
            raise PplError([Diagnostic("PPL821", text, sites[0].span, "fit the program instead")], problem.sources)
        table = np.array(list(itertools.product(*(range(n) for n in sizes))), int).reshape(math.prod(sizes), len(sizes))
        parts: dict[str, Array] = {}
        start = 0
        for s in sites:
            size = math.prod(s.shape)
            parts[s.name] = jnp.asarray(table[:, start : start + size].reshape(len(table), *s.shape))
            start += size
        return Target(problem, parts)

    @property
    def real(self) -> tuple[str, ...]:
        """The sites that a sampler moves."""
        return tuple(s.name for s in self.problem.sites if s.name not in self.combinations)

    @property
    def jumps(self) -> bool:
        """Whether the density may jump where a sampler moves."""
        smooth = ("no-jump", "fixed", "data-only")
        return any(g.status not in smooth and g.kind != "discrete" for g in self.problem.guards)

    def log_density(self, x: Position) -> Array:
        """Up to a constant, at one position."""
        if not self.combinations:
            return self.problem.log_density(x)
        return logsumexp(self.each(x))

    def each(self, x: Position) -> Array:
        """The log density together with each combination of outcomes."""
        return jax.vmap(lambda c: self.problem.log_density({**x, **c}))(self.combinations)

    def prior_density(self, x: Position) -> Array:
        """The part of `log_density` that the draws of the program make up, without observations and factors."""
        if not self.combinations:
            return self.problem.log_prior(x)
        return logsumexp(jax.vmap(lambda c: self.problem.log_prior({**x, **c}))(self.combinations))

    def complete(self, x: Position, key: Array) -> Position:
        """A position with outcomes for the discrete latents, drawn given all else."""
        if not self.combinations:
            return x
        k = jax.random.categorical(key, self.each(x))
        return {**x, **{name: c[k] for name, c in self.combinations.items()}}

    def prior_draws(self, key: Array, n: int) -> Position:
        """Draws from the prior, with the pseudo-prior's where a latent does not exist."""
        k_prior, k_pseudo = jax.random.split(key)
        u = self.problem.prior_draws(k_prior, n)
        latents = self.problem.replays(u, n).latents
        out: Position = {}
        for i, name in enumerate(self.real):
            x = u[name]
            if name in latents:
                pseudo = jax.random.normal(jax.random.fold_in(k_pseudo, i), x.shape, x.dtype)
                missing = jnp.isnan(latents[name])
                if missing.shape != x.shape:  # of a vector that is drawn as a whole, all or no elements are there
                    missing = jnp.any(missing.reshape(len(x), -1), axis=1).reshape(-1, *[1] * (x.ndim - 1))
                x = jnp.where(missing, pseudo, x)
            out[name] = x
        return out

    def start(self, key: Array) -> tuple[Position, Array]:
        """The best of a few prior draws, and its log density, -inf where no draw has a finite one. Pure."""
        draws = self.prior_draws(key, CANDIDATES)
        height = jax.lax.map(self.log_density, draws, batch_size=CANDIDATES)
        height = jnp.where(jnp.isfinite(height), height, -jnp.inf)
        best = jnp.argmax(height)
        return {k: v[best] for k, v in draws.items()}, height[best]

    def starts(self, key: Array, n: int) -> Position:
        """`start` of `n` chains. Raises InferenceError if one has no finite density."""
        positions, heights = jax.lax.map(self.start, jax.random.split(key, n))
        if not np.all(np.isfinite(heights)):
            text = f"of {n * CANDIDATES} draws from the prior, too few have a finite log density to start {n} chains"
            hint = "a density may be zero, or undefined, where the prior reaches"
            raise InferenceError([Diagnostic("PPL822", text, None, hint)], self.problem.sources)
        return positions
