# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Draws from the prior of a program, and what the program makes of draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from ppl.diagnostics import Diagnostic, PplError, Span
from ppl.problem import assemble
from ppl.problem.observations import observed
from ppl.problem.program import BoundProgram, Values
from ppl.problem.records import Replay
from ppl.runtime import blocks
from ppl.runtime.point import Point

BLOCK = 256  # draws that are replayed side by side


class Replays(BoundProgram):
    """A bound program that draws from its prior and replays draws."""

    def prior(self, key: Array, n: int, dtype: DTypeLike | None = None) -> dict[str, Array]:
        """`n` unconstrained draws of all latents from the program's prior, 0 where a latent does not exist.

        Raises PplError as `known_prior`.
        """
        self.known_prior()
        u = self.prior_draws(key, n, dtype)
        return {k: v for k, v in u.items() if k in self._shapes}

    def known_prior(self) -> None:
        """Raises PplError if a latent is drawn from a distribution that has a density in the program and no sampler."""
        for name, span in self.priors_by_functions:
            text = f"`{name}` is a density of the program, with no way to draw from it"
            hint = f"write `fn {name}_rng(...)`, which draws from it; fits and `--method nuts` need none"
            raise PplError([Diagnostic("PPL813", text, span, hint)], self.sources)

    def prior_draws(
        self, key: Array, n: int, dtype: DTypeLike | None = None, *, sweeps: int | None = None
    ) -> dict[str, Array]:
        """As `prior`, with the draws of the noise that each was given: what `replay` takes. In place of draws that
        there is no way to make, see `known_prior`, there are zeros: somewhere to start from, and nothing else.

        Every draw is given its own key, so the program's draws are a fixed point of "draw each site given the others";
        sweeps find it, each one step further down the program. A chain of draws takes as many as it is long; `sweeps`
        cuts it there, for draws that need not be exact.
        """
        kind = jnp.result_type(float) if dtype is None else dtype
        like = {k: jnp.zeros(s, int if k in self._outcomes else kind) for k, s in self._shapes.items()}
        data = self._data(like)
        most = 1 + sum(math.prod(shape) for shape in self._shapes.values()) if sweeps is None else sweeps

        def one(k: Array) -> dict[str, Array]:
            k_sites, k_noise = jax.random.split(k)
            split = jax.random.split(k_sites, max(len(self._shapes), 1))
            keys = {
                name: jax.random.split(split[i], shape) if name in self._elements else split[i]
                for i, (name, shape) in enumerate(self._shapes.items())
            }
            noise = self._code.noise(k_noise, data, self.sizes, kind)

            def sweep(u: dict[str, Array]) -> dict[str, Array]:
                at = Point({**u, **noise}, log_q=like, keys=keys)
                out = self._code.model(at, data, self.sizes)
                new = {
                    s: assemble.values(out, self._code.SITES[s], shape, "prior") for s, shape in self._shapes.items()
                }
                return {s: jnp.nan_to_num(v).astype(like[s].dtype) for s, v in new.items()}

            def step(state: tuple[dict[str, Array], Array, Array]) -> tuple[dict[str, Array], Array, Array]:
                u, count, _ = state
                new = sweep(u)
                same = jnp.stack([jnp.all(new[s] == u[s]) for s in u])
                return new, count + 1, jnp.all(same)

            if not like:
                return noise
            first = (like, jnp.array(0), jnp.array(False))
            return {**jax.lax.while_loop(lambda s: ~s[2] & (s[1] < most), step, first)[0], **noise}

        return jax.vmap(one)(jax.random.split(key, n))

    def prior_path(self, u: Values) -> tuple[dict[str, Array], dict[str, Array]]:
        """At the draws `u` that `prior_draws` made: the latents on their supports, NaN where one does not exist; and
        for each of `branches`, whether its condition holds. All NaN where the prior cannot be drawn from.
        """
        zero, rows = self._zeros(u), blocks.iterations(max((np.shape(x)[0] for x in u.values()), default=1))

        def one(at: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
            point = Point(dict(at), log_q=zero, rows=rows)
            out = self._model(point)
            return self._existing(out, point.dtype), self._taken(out)

        found = jax.vmap(one)({k: jnp.asarray(v) for k, v in u.items()})
        return jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), found) if self.priors_by_functions else found

    @property
    def observed(self) -> tuple[str, ...]:
        """What is observed, by name: of the data field, or ``observe_LINE`` for what is computed from data."""
        return tuple(self._code.OBSERVED)

    @property
    def observed_lines(self) -> dict[str, tuple[Span, ...]]:
        """The statements behind each name of `observed`."""
        return {k: tuple(self._spans[t] for t in terms) for k, terms in self._code.OBSERVED.items()}

    @property
    def unreplicated(self) -> dict[str, tuple[tuple[str, Span], ...]]:
        """Those of `observed` that have no replicates, with the distributions that have no sampler and where they
        are."""
        found = {k: tuple((self._unsampled[t], self._spans[t]) for t in terms if t in self._unsampled)
                 for k, terms in self._code.OBSERVED.items()}  # fmt: skip
        return {k: laws for k, laws in found.items() if laws}

    def replay(self, u: Values, key: Array | None = None) -> Replay:
        """What the program makes of one draw of all latents and noise, unconstrained. With `key`, observations are
        drawn anew from the distributions on the draw's path, but for those of `unreplicated`; whatever else reads the
        data is given them as they are.
        """
        return self._replay({k: jnp.asarray(v) for k, v in u.items()}, key, self._data(u))

    def prior_predictive(self, key: Array, n: int) -> Replay:
        """`n` draws from the prior and observations under each; axis 0 the draws. Raises PplError as `known_prior`."""
        self.known_prior()
        k_prior, k_data = jax.random.split(key)
        return self.replays(self.prior_draws(k_prior, n), n, k_data)

    def replays(self, u: Values, n: int, key: Array | None = None) -> Replay:
        """`replay` of `n` draws, axis 0, a block at a time so that memory stays bounded."""
        draws = {k: jnp.asarray(v) for k, v in u.items()}
        keys = None if key is None else jax.random.split(key, n)

        def run(draws: dict[str, Array], keys: Array | None, data: dict[str, Any]) -> Replay:
            blocks, size = -(-n // BLOCK), min(n, BLOCK)
            rows = jnp.minimum(jnp.arange(blocks * size), n - 1).reshape(blocks, size)  # the last one, over again

            def block(row: Array) -> Replay:
                own = jax.tree.map(lambda x: x[row], (draws, keys))
                return jax.vmap(lambda r, u, k: self._replay(u, k, data))(row, *own)

            def flat(x: Array) -> Array:
                return x.reshape(blocks * size, *x.shape[2:])[:n]

            return jax.tree.map(flat, jax.lax.map(block, rows))

        return jax.jit(run)(draws, keys, self._data(draws))

    def noise(self, key: Array, n: int, dtype: DTypeLike | None = None) -> dict[str, Array]:
        """`n` draws of the noise of the program, as `replay` takes them."""
        kind = jnp.result_type(float) if dtype is None else dtype
        data = self._data({"": jnp.zeros((), kind)})
        return jax.vmap(lambda k: self._code.noise(k, data, self.sizes, kind))(jax.random.split(key, n))

    def _replay(self, u: dict[str, Array], key: Array | None, data: dict[str, Any]) -> Replay:
        like = {k: jnp.zeros(s) for k, s in self._shapes.items()}
        at = Point(u, log_q=like, observing=True)
        out = self._code.model(at, data, self.sizes)
        observations = {
            name: observed(out, terms, np.shape(self.data.get(name, ())),
                           None if key is None else jax.random.fold_in(key, k), at.dtype)
            for k, (name, terms) in enumerate(self._code.OBSERVED.items())
        }  # fmt: skip
        latents = self._existing(out, at.dtype)
        return Replay(latents, {k: jnp.asarray(v) for k, v in out["report"].items()}, observations)
