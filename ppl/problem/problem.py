# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""The bound problem: what users and the fit call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from ppl.diagnostics import Span
from ppl.language.budget import BOUNDARY_BUDGET, Budget
from ppl.problem import assemble
from ppl.problem.estimators import ESTIMATORS, density, surrogate, unread
from ppl.problem.guides import Params
from ppl.problem.noise import NOISE, shared
from ppl.problem.program import Values
from ppl.problem.records import Draws, Guard, Location, Replay, Site
from ppl.problem.replays import Replays
from ppl.runtime import batches, blocks, prefix
from ppl.runtime.batches import Batch
from ppl.runtime.densities import normal
from ppl.runtime.once import once
from ppl.runtime.point import Point
from ppl.runtime.surface import log_density

SUBSETS = 0x6D696E69  # the stream of minibatches, folded into the key of an estimate

_Tree = TypeVar("_Tree")


class Problem(Replays):
    """A model with data. All methods that take arrays are pure, and can be jitted, differentiated and vmapped.
    `diagnostics` holds the warnings and notes of the program with these data, which may retract some of the model's.

    Do not hand `log_density` to another library's variational inference: its gradient is that of plain automatic
    differentiation, biased wherever a guard moves. Samplers (HMC, NUTS, SMC) need the density alone and stay valid.
    """

    def __repr__(self) -> str:
        latents = ", ".join(f"{k}{list(s) if s else ''}" for k, s in self._value_shapes.items())
        moving = sum(g.count for g in self.guards if g.status in ("boundary", "marginalised"))
        return f"Problem({self.name}: latents {latents or 'none'}; {moving} boundaries)"

    # ---------------------------------------------------------------- densities

    def log_joint(self, z: Values) -> Array:
        """log p(data, z) at constrained latents, without Jacobian. Latents that do not exist on the path may be absent.

        Noise is conditioned on: it adds nothing. Raises ValueError if a latent is missing that the path needs.
        """
        missing = [k for k in self._shapes if k not in z]
        at = Point(self._arrays(z, 0.5, constrained=True), constrained=True)
        out = self._model(at)
        for name in missing:
            exists = assemble.exists(out, self._code.SITES[name], self._value_shapes[name])
            if not isinstance(exists, Tracer) and bool(jnp.any(exists)):
                raise ValueError(f"latent `{name}` exists on this path but has no value")
        return log_density(out, self._code.TERMS)

    def log_density(self, u: Values) -> Array:
        """log p(data, T(u)) + log |dT/du| at unconstrained latents, for samplers.

        A latent that does not exist gets a standard normal pseudo-prior (a discrete one equal probabilities), and noise
        its base density, so the density is proper in all coordinates.
        """
        return self._density(u, self._code.TERMS)

    def log_prior(self, u: Values) -> Array:
        """The part of `log_density` that comes from the draws of the program: without observations and factors."""
        draws = tuple(t for terms in self._code.SITES.values() for t in terms)
        return self._density(u, (*draws, *getattr(self._code, "PRIORS", ())))

    def _density(self, u: Values, terms: tuple[str, ...]) -> Array:
        u = self._arrays(u, 0.0)
        pseudo = {k: normal(u[k], 0.0, 1.0) for k in self._shapes if k not in self._outcomes}
        even = {k: jnp.full((*self._shapes[k], n), -np.log(n)) for k, n in self._outcomes.items()}
        at = Point(u, log_q=pseudo, log_probabilities=even, rows=blocks.iterations(1))
        data = self._prepared(u)
        out = self._code.model(at, data, self.sizes)
        base = sum((jnp.sum(v) for v in pseudo.values()), start=jnp.zeros(()))
        base += sum(jnp.sum(v[..., 0]) for v in even.values())
        own = density(self._code, terms, at, out, data, self.sizes)
        return own + base + self._code.noise_log_density(u, data, self.sizes)

    def constrain(self, u: Values) -> dict[str, Array]:
        """Latents (and noise) on their supports."""
        return dict(self._model(Point(self._arrays(u, 0.0), log_q=self._zeros(u)))["z"])

    def unconstrain(self, z: Values) -> dict[str, Array]:
        """The inverse of `constrain`; 0 for a latent that does not exist, NaN for one outside its support."""
        return self._located(z)[1]

    def _located(self, z: Values) -> tuple[dict[str, Any], dict[str, Array]]:
        """The evaluation at constrained latents, and these unconstrained."""
        out = self._model(Point(self._arrays(z, 0.5, constrained=True), constrained=True))
        return out, {k: assemble.values(out, self._code.SITES[k], s, "unconstrained") for k, s in self._shapes.items()}

    def locate(self, z: Values) -> Location:
        """Where constrained latents lie. Those that do not exist on the path may be absent; noise is not given."""
        own = {s.name: jnp.zeros(s.shape, int) if s.support == "int" else jnp.full(s.shape, 0.5)
               for s in self.sites if s.noise}  # fmt: skip
        out, u = self._located({**own, **z})
        sites = {k: self._code.SITES[k] for k in self._shapes}
        exists = {k: assemble.exists(out, terms, self._value_shapes[k]) for k, terms in sites.items()}
        finite = {k: jnp.isfinite(log_density(out, terms)) for k, terms in sites.items()}
        return Location(u, exists, {k: ok & jnp.all(jnp.isfinite(u[k])) for k, ok in finite.items()})

    # --------------------------------------------------------------- estimators

    def init_params(self, guide: str = "meanfield", dtype: DTypeLike | None = None) -> Params:
        """Parameters of a guide: a standard normal in every unconstrained coordinate."""
        return self.guide(guide).init(jnp.result_type(float) if dtype is None else dtype)

    def elbo_loss(
        self, guide: str = "meanfield", estimator: str = "combined", samples: int = 8, noise: str = "antithetic",
        stl: bool = False, marginalise: bool = True, minibatch: int | None = None,
        boundary_budget: Budget = BOUNDARY_BUDGET, samples_axis: str | None = None,
    ) -> Callable[..., Array]:  # fmt: skip
        """``loss(params, key)``: minus an ELBO estimate from `samples` draws. ``jax.grad`` of it is the estimator.

        `noise` says how the draws of one key depend on each other, see ppl.problem.noise: "antithetic" pairs,
        "independent" or "qmc". All are unbiased; errors have to be taken over keys. `stl` leaves out a part of the
        gradient that is zero on average (sticking the landing), see ppl.problem.estimators. With `marginalise`, the
        combined estimator integrates out of each term the latents that it uses through guards alone (status
        `marginalised`), where the guide has them independent; without, they have boundary terms like any other. Both
        are unbiased; the former has the smaller variance. With `minibatch`, each draw sees so many iterations of every
        loop that observes and hands nothing on, chosen at random and weighted: value and gradient stay unbiased, with
        more noise, and a step costs as if the loop were that short. Of a guard of which every instance takes another
        evaluation of the program (effects `global` and, where loops follow, `incremental`) a gradient evaluates all
        instances up to `boundary_budget`, and a random, weighted subset of that size beyond: unbiased. By default,
        "auto", the size is what a cost model finds best for each guard (`ppl.regions.costs.budgets`); None evaluates
        all. ``loss(params, key, boundaries)`` weights the part of the combined gradient that comes from boundaries:
        with 1 (or None) it is whole, and the difference to 0, on the same noise, is what plain automatic
        differentiation misses. Second derivatives and forward mode through the
        boundary terms are not meaningful. With `samples_axis`, the function is for the inside of `jax.shard_map` over a
        mesh that has this axis: each device evaluates an equal part of the samples, the mean over the axis
        (`jax.lax.pmean`) of values and gradients is what one device would find. Raises ValueError for names that do not
        exist, and PplError if no loop of the program can be taken in minibatches.
        """
        family = self.guide(guide)
        if estimator not in ESTIMATORS:
            raise ValueError(f"no estimator {estimator!r}: one of {', '.join(ESTIMATORS)}")
        if noise not in NOISE:
            raise ValueError(f"no noise {noise!r}: one of {', '.join(NOISE)}")
        if samples < 1:
            raise ValueError("samples must be at least 1")
        budgets = self.budgets(boundary_budget)
        loops = {} if minibatch is None else self.batched(minibatch)
        ignored = unread(self._code, family, estimator, marginalise)

        def loss(params: Params, key: Array, data: Mapping[str, Any], boundaries: ArrayLike | None) -> Array:
            dtype, rows = self._dtype(params), blocks.iterations(samples)
            offset = shared(key, dtype) if prefix.KEY in data else None

            def one(eps: dict[str, Array], own: dict[str, Array], chosen: dict[int, Batch]) -> Array:
                return surrogate(self._code, family, estimator, params, eps, own, data, self.sizes, stl, marginalise,
                                 boundaries, rows, offset, chosen, budgets)  # fmt: skip

            def subsets(key: Array) -> dict[int, Batch]:
                return {k: batches.draw(jax.random.fold_in(key, k), n, minibatch or n, dtype) for k, n in loops.items()}

            draws = self._base_draws(family, key, samples, dtype, data, noise, ignored)
            chosen = jax.vmap(subsets)(jax.random.split(jax.random.fold_in(key, SUBSETS), samples))
            draws, chosen = _own_part((draws, chosen), samples_axis)
            # Terms without a latent are computed in jax's default precision.
            return -jnp.mean(jax.vmap(one)(*draws, chosen)).astype(dtype)

        jitted = jax.jit(once(loss))
        return lambda params, key, boundaries=None: jitted(params, key, self._prepared(params["loc"]), boundaries)

    def elbo_and_grad(
        self, guide: str = "meanfield", estimator: str = "combined", samples: int = 1, noise: str = "antithetic",
        stl: bool = False, marginalise: bool = True, minibatch: int | None = None,
        boundary_budget: Budget = BOUNDARY_BUDGET, samples_axis: str | None = None,
    ) -> Callable[..., tuple[Array, Params]]:  # fmt: skip
        """``fn(params, key)``: an ELBO estimate and an estimate of its gradient, with the structure of `params`.

        Arguments as for `elbo_loss`; ``fn(params, key, boundaries)`` as there.
        """
        value_and_grad = jax.value_and_grad(
            self.elbo_loss(guide, estimator, samples, noise, stl, marginalise, minibatch, boundary_budget, samples_axis)
        )

        def fn(params: Params, key: Array, boundaries: ArrayLike | None = None) -> tuple[Array, Params]:
            value, grad = value_and_grad(params, key, boundaries)
            return -value, jax.tree.map(jnp.negative, grad)

        return fn

    # -------------------------------------------------------------------- draws

    def draw(self, params: Params, key: Array, n: int, guide: str = "meanfield") -> Draws:
        """`n` independent draws from the guide."""
        family, dtype, data = self.guide(guide), self._dtype(params), self._data(params["loc"])
        rows = blocks.iterations(n)

        def one(eps: dict[str, Array], noise: dict[str, Array]) -> Draws:
            point = replace(family.point(params, eps), rows=rows)
            out = self._code.model(replace(point, u={**point.u, **noise}), data, self.sizes)
            log_q = jnp.zeros((), dtype)
            for name, shape in self._shapes.items():
                exists = assemble.exists(out, self._code.SITES[name], shape)
                log_q += jnp.sum(jnp.where(exists, point.log_q[name], 0.0))
            latents = self._existing(out, dtype)
            reports = {k: jnp.asarray(v) for k, v in out["report"].items()}
            density = log_density(out, self._code.TERMS)
            return Draws(latents, reports, dict(point.u), density, log_q, self._taken(out))

        return jax.vmap(one)(*self._base_draws(family, key, n, dtype, data))

    def unconstrained_draws(self, params: Params, key: Array, n: int, guide: str = "meanfield") -> dict[str, Array]:
        """`n` draws of all latents from the guide, unconstrained, and of the program's noise: what `log_weight` takes.

        The same key gives `draw`, and the estimators with independent noise, the same draws.
        """
        family, data = self.guide(guide), self._data(params["loc"])
        eps, noise = self._base_draws(family, key, n, self._dtype(params), data)
        return {**jax.vmap(lambda e: family.point(params, e).u)(eps), **noise}

    def log_weight(self, params: Params, u: Values, guide: str = "meanfield") -> Array:
        """log p(data, T(u)) + log |dT/du| - log q(u) at one unconstrained draw: its mean over the guide is the ELBO."""
        at = {k: jnp.asarray(v) for k, v in u.items()}
        point = self.guide(guide).at(params, {k: at[k] for k in self._shapes})
        out = self._model(replace(point, u={**at, **point.u}))
        return log_density(out, self._code.TERMS)

    def not_finite_at(self, params: Params, key: Array, n: int, guide: str = "meanfield") -> tuple[Span, ...]:
        """The statements whose term of the log density is not finite for some of `n` draws from the guide."""
        bad = jax.tree.map(lambda x: bool(jnp.any(~jnp.isfinite(x))), self._terms(key, n, guide)(params))
        return tuple(self._spans[t] for t in self._code.TERMS if bad[t])

    def steep_at(self, params: Params, key: Array, n: int, guide: str = "meanfield") -> Span | None:
        """The first statement whose term of the log density has, inside a branch, a slope in the parameters that is not
        finite for some of `n` draws from the guide; None if there is none."""
        terms = self._terms(key, n, guide)
        for t in self._code.TERMS:  # each by itself: 0 times the slope of another would be no number either
            slopes = jax.jit(jax.grad(lambda params, t=t: jnp.sum(terms(params)[t])))(params)
            if not all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(slopes)):
                return self._spans[t]
        return None

    def _terms(self, key: Array, n: int, guide: str) -> Callable[[Params], dict[str, Array]]:
        """``f(params)``: the terms of the log density, each for `n` draws from the guide."""
        family = self.guide(guide)

        def terms(params: Params) -> dict[str, Array]:
            dtype, data = self._dtype(params), self._data(params["loc"])

            def one(eps: dict[str, Array], noise: dict[str, Array]) -> dict[str, Array]:
                point = replace(family.point(params, eps), rows=blocks.iterations(n))
                out = self._code.model(replace(point, u={**point.u, **noise}), data, self.sizes)
                return {t: log_density(out, (t,)) for t in self._code.TERMS}

            return jax.vmap(one)(*self._base_draws(family, key, n, dtype, data))

        return terms


def _own_part(draws: _Tree, axis: str | None) -> _Tree:
    """The draws, out of all along the leading axes, that this device of a mesh evaluates."""
    if axis is None:
        return draws

    def part(x: Array) -> Array:
        size = x.shape[0] // lax.axis_size(axis)
        return lax.dynamic_slice_in_dim(x, lax.axis_index(axis) * size, size)

    return jax.tree.map(part, draws)


__all__ = ["Draws", "Guard", "Location", "Problem", "Replay", "Site", "Values"]
