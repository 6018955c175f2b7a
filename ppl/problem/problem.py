# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""The bound problem: what users and the fit call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from ppl.bind import Bound
from ppl.core import ir
from ppl.diagnostics import Diagnostic, PplError, Span
from ppl.driver import Compiled
from ppl.emit.observed import read_elsewhere
from ppl.language.distributions import named
from ppl.problem import assemble
from ppl.problem.estimators import ESTIMATORS, surrogate
from ppl.problem.existence import draws_of, groups_of
from ppl.problem.families import family_of
from ppl.problem.guides import Guide, Latents, MeanField, Params
from ppl.problem.noise import NOISE, normals, shared
from ppl.problem.observations import NoSampler, Observed, observed
from ppl.runtime import blocks, prefix
from ppl.runtime.densities import normal
from ppl.runtime.empty import wrap
from ppl.runtime.point import Point
from ppl.runtime.surface import log_density

Values = Mapping[str, ArrayLike]
BLOCK = 256  # draws that are replayed side by side


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


def _precision(like: Mapping[str, ArrayLike]) -> jnp.dtype:
    """That of the real sites, or jax's default."""
    kinds = [jnp.result_type(x) for x in like.values() if jnp.issubdtype(jnp.result_type(x), jnp.floating)]
    return jnp.result_type(*kinds) if kinds else jnp.result_type(float)


def _starts(sources: Mapping[str, str], span: Span, word: str) -> bool:
    """Whether the text of a statement starts with a word."""
    lines = sources.get(span.file, "").split("\n")
    return span.line <= len(lines) and lines[span.line - 1][span.column - 1 :].startswith(word)


class Problem:
    """A model with data. All methods that take arrays are pure, and can be jitted, differentiated and vmapped.

    Do not hand `log_density` to another library's variational inference: its gradient is that of plain automatic
    differentiation, biased wherever a guard moves. Samplers (HMC, NUTS, SMC) need the density alone and stay valid.
    """

    def __init__(self, compiled: Compiled, code: ModuleType, bound: Bound, guards: tuple[Guard, ...],
                 notes: tuple[Diagnostic, ...]) -> None:  # fmt: skip
        self.name = compiled.name
        self.guards = guards
        self.diagnostics = notes
        self.sources = compiled.sources
        self._spans = {
            f"t{s.id}": s.span for _, s in ir.blocks(compiled.regions.body) if isinstance(s, ir.Term | ir.Sample)
        }
        self._guards = {f"g{i.guard.index}": i.guard for i in compiled.regions.guards if i.status != "data-only"}
        program = compiled.elaborated.program
        self.sites = tuple(
            Site(s.name, bound.values[s.name], s.joint or s.support, s.noise, s.span, bound.shapes[s.name])
            for s in program.sites
        )
        self.data = dict(bound.arrays)
        self.sizes = dict(bound.static)
        self._code = code
        self._made: dict[tuple[str, str], dict[str, Any]] = {}
        self._shapes = {s.name: s.free for s in self.sites if not s.noise}
        self._value_shapes = {s.name: s.shape for s in self.sites if not s.noise}
        self._outcomes: dict[str, int] = dict(code.outcomes(bound.static)) if hasattr(code, "outcomes") else {}
        drawn = [s for _, s in ir.blocks(compiled.regions.body) if isinstance(s, ir.Sample) and s.noise]
        self._normal_noise = {
            s.site: bound.shapes[s.site] for s in drawn if named(s.distribution).noise == "inverse_cdf"
        }
        self._draws = draws_of(compiled.regions)
        self._elements = frozenset(a.name for a in program.arrays)
        self.drawn_noise = frozenset(s.name for s in program.sites if s.noise and s.name not in self._normal_noise)
        # A distribution that a function of the program makes is a density alone, added like a factor.
        self.observed_by_functions = tuple(
            s.span for _, s in ir.blocks(compiled.regions.body)
            if isinstance(s, ir.Term) and s.distribution is None and _starts(self.sources, s.span, "observe")
        )  # fmt: skip
        self.read_elsewhere = read_elsewhere(compiled.regions.body, program.guards)
        self.reports = tuple(sorted(jax.eval_shape(self._main_spec, jax.random.key(0))["report"]))

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of outcomes of every discrete latent (of each element)."""
        return dict(self._outcomes)

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
        return self._density(u, tuple(t for terms in self._code.SITES.values() for t in terms))

    def _density(self, u: Values, terms: tuple[str, ...]) -> Array:
        u = self._arrays(u, 0.0)
        pseudo = {k: normal(u[k], 0.0, 1.0) for k in self._shapes if k not in self._outcomes}
        even = {k: jnp.full((*self._shapes[k], n), -np.log(n)) for k, n in self._outcomes.items()}
        out = self._model(Point(u, log_q=pseudo, log_probabilities=even, rows=blocks.iterations(1)))
        base = sum((jnp.sum(v) for v in pseudo.values()), start=jnp.zeros(()))
        base += sum(jnp.sum(v[..., 0]) for v in even.values())
        return log_density(out, terms) + base + self._code.noise_log_density(u, self._data(u), self.sizes)

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
        stl: bool = False, marginalise: bool = True,
    ) -> Callable[..., Array]:  # fmt: skip
        """``loss(params, key)``: minus an ELBO estimate from `samples` draws. ``jax.grad`` of it is the estimator.

        `noise` says how the draws of one key depend on each other, see ppl.problem.noise: "antithetic" pairs,
        "independent" or "qmc". All are unbiased; errors have to be taken over keys. `stl` leaves out a part of the
        gradient that is zero on average (sticking the landing), see ppl.problem.estimators. With `marginalise`, the
        combined estimator integrates out of each term the latents that it uses through guards alone (status
        `marginalised`), where the guide has them independent; without, they have boundary terms like any other. Both
        are unbiased; the former has the smaller variance. ``loss(params, key, boundaries)`` weights the part of the
        combined gradient that comes from boundaries: with 1 (or None) it is whole, and the difference to 0, on the same
        noise, is what plain automatic differentiation misses. Second derivatives and forward mode through the boundary
        terms are not meaningful. Raises ValueError for names that do not exist.
        """
        family = self.guide(guide)
        if estimator not in ESTIMATORS:
            raise ValueError(f"no estimator {estimator!r}: one of {', '.join(ESTIMATORS)}")
        if noise not in NOISE:
            raise ValueError(f"no noise {noise!r}: one of {', '.join(NOISE)}")
        if samples < 1:
            raise ValueError("samples must be at least 1")

        def loss(params: Params, key: Array, data: Mapping[str, Any], boundaries: ArrayLike | None) -> Array:
            dtype, rows = self._dtype(params), blocks.iterations(samples)
            offset = shared(key, dtype) if prefix.KEY in data else None

            def one(eps: dict[str, Array], own: dict[str, Array]) -> Array:
                return surrogate(
                    self._code,
                    family,
                    estimator,
                    params,
                    eps,
                    own,
                    data,
                    self.sizes,
                    stl,
                    marginalise,
                    boundaries,
                    rows,
                    offset,
                )

            draws = self._base_draws(family, key, samples, dtype, data, noise)
            # Terms without a latent are computed in jax's default precision.
            return -jnp.mean(jax.vmap(one)(*draws)).astype(dtype)

        jitted = jax.jit(loss)
        return lambda params, key, boundaries=None: jitted(params, key, self._prepared(params["loc"]), boundaries)

    def elbo_and_grad(
        self, guide: str = "meanfield", estimator: str = "combined", samples: int = 1, noise: str = "antithetic",
        stl: bool = False, marginalise: bool = True,
    ) -> Callable[..., tuple[Array, Params]]:  # fmt: skip
        """``fn(params, key)``: an ELBO estimate and an estimate of its gradient, with the structure of `params`.

        Arguments as for `elbo_loss`; ``fn(params, key, boundaries)`` as there.
        """
        value_and_grad = jax.value_and_grad(self.elbo_loss(guide, estimator, samples, noise, stl, marginalise))

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

    @property
    def branches(self) -> dict[str, tuple[str, Span]]:
        """Text and place of every guard that has two outcomes and a latent in it, by the name `Draws` gives it."""
        taken = jax.eval_shape(self._main_spec, jax.random.key(0))["taken"]
        return {k: (self._guards[k].text, self._guards[k].span) for k in self._guards if k in taken}

    def prior_path(self, u: Values) -> tuple[dict[str, Array], dict[str, Array]]:
        """At the draws `u` that `prior_draws` made: the latents on their supports, NaN where one does not exist; and
        for each of `branches`, whether its condition holds.
        """
        zero, rows = self._zeros(u), blocks.iterations(max((np.shape(x)[0] for x in u.values()), default=1))

        def one(at: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
            point = Point(dict(at), log_q=zero, rows=rows)
            out = self._model(point)
            return self._existing(out, point.dtype), self._taken(out)

        return jax.vmap(one)({k: jnp.asarray(v) for k, v in u.items()})

    def _taken(self, out: Mapping[str, Any]) -> dict[str, Array]:
        on = {k: out[k].on for k in self._guards if k in out}
        return {k: blocks.share(v) for k, v in on.items() if v.dtype == jnp.bool_ and v.size}

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
        family, dtype, data = self.guide(guide), self._dtype(params), self._data(params["loc"])

        def one(eps: dict[str, Array], noise: dict[str, Array]) -> dict[str, Array]:
            point = replace(family.point(params, eps), rows=blocks.iterations(n))
            out = self._code.model(replace(point, u={**point.u, **noise}), data, self.sizes)
            return {t: ~jnp.isfinite(log_density(out, (t,))) for t in self._code.TERMS}

        bad = jax.vmap(one)(*self._base_draws(family, key, n, dtype, data))
        return tuple(self._spans[t] for t in self._code.TERMS if bool(jnp.any(bad[t])))

    def prior(self, key: Array, n: int, dtype: DTypeLike | None = None) -> dict[str, Array]:
        """`n` unconstrained draws of all latents from the program's prior, 0 where a latent does not exist."""
        u = self.prior_draws(key, n, dtype)
        return {k: v for k, v in u.items() if k in self._shapes}

    def prior_draws(self, key: Array, n: int, dtype: DTypeLike | None = None) -> dict[str, Array]:
        """As `prior`, with the draws of the noise that each was given: what `replay` takes.

        Every draw is given its own key, so the program's draws are a fixed point of "draw each site given the others";
        sweeps find it, each one step further down the program. Chains longer than 200 steps are cut there.
        """
        kind = jnp.result_type(float) if dtype is None else dtype
        like = {k: jnp.zeros(s, int if k in self._outcomes else kind) for k, s in self._shapes.items()}
        reach = {s.name: 1e8 if s.support in ("real", "int", "ordered") else 50 for s in self.sites}
        data = self._data(like)

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
                # Beyond 50, the exponential of a transform is of no use; a place on the real line may be anywhere.
                return {s: jnp.clip(jnp.nan_to_num(v), -reach[s], reach[s]).astype(like[s].dtype)
                        for s, v in new.items()}  # fmt: skip

            def step(state: tuple[dict[str, Array], Array, Array]) -> tuple[dict[str, Array], Array, Array]:
                u, count, _ = state
                new = sweep(u)
                same = jnp.stack([jnp.all(new[s] == u[s]) for s in u])
                return new, count + 1, jnp.all(same)

            if not like:
                return noise
            first = (like, jnp.array(0), jnp.array(False))
            return {**jax.lax.while_loop(lambda s: ~s[2] & (s[1] < 200), step, first)[0], **noise}

        return jax.vmap(one)(jax.random.split(key, n))

    # ----------------------------------------------------------------- replays

    @property
    def observed(self) -> tuple[str, ...]:
        """What is observed, by name: of the data field, or ``observe_LINE`` for what is computed from data."""
        return tuple(self._code.OBSERVED)

    @property
    def observed_lines(self) -> dict[str, tuple[Span, ...]]:
        """The statements behind each name of `observed`."""
        return {k: tuple(self._spans[t] for t in terms) for k, terms in self._code.OBSERVED.items()}

    def replay(self, u: Values, key: Array | None = None) -> Replay:
        """What the program makes of one draw of all latents and noise, unconstrained. With `key`, observations are
        drawn anew from the distributions on the draw's path; whatever else reads the data is given them as they are.

        Raises PplError if a distribution cannot be drawn from.
        """
        return self._replay({k: jnp.asarray(v) for k, v in u.items()}, key, self._data(u))

    def prior_predictive(self, key: Array, n: int) -> Replay:
        """`n` draws from the prior and observations under each; axis 0 the draws. Raises PplError as `replay`."""
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
        try:
            observations = {
                name: observed(out, terms, np.shape(self.data.get(name, ())),
                               None if key is None else jax.random.fold_in(key, k), at.dtype)
                for k, (name, terms) in enumerate(self._code.OBSERVED.items())
            }  # fmt: skip
        except NoSampler as problem:
            text = f"there is no way to draw from `{problem.distribution}`, so this cannot be replicated"
            raise PplError([Diagnostic("PPL811", text, self._spans[problem.term])], self.sources) from problem
        latents = self._existing(out, at.dtype)
        return Replay(latents, {k: jnp.asarray(v) for k, v in out["report"].items()}, observations)

    def _existing(self, out: dict[str, Any], dtype: DTypeLike) -> dict[str, Array]:
        """The latents of an evaluation, NaN where they do not exist."""
        exists = {k: assemble.exists(out, self._code.SITES[k], s) for k, s in self._value_shapes.items()}
        return {k: jnp.where(e, jnp.asarray(out["z"][k], dtype), jnp.nan) for k, e in exists.items()}

    # ------------------------------------------------------------------ helpers

    def guide(self, name: str) -> Guide:
        """The variational family of this name, see ppl.problem.families. Raises ValueError if there is none."""
        if name == "meanfield":
            return MeanField(Latents(self._shapes, self._outcomes))
        return family_of(name, self._latents)

    @cached_property
    def _latents(self) -> Latents:
        """The latents with the paths on which they exist, for which the program is evaluated once."""
        plain, dtype = MeanField(Latents(self._shapes, self._outcomes)), jnp.result_type(float)
        terms = [t for k in self._shapes for t in self._code.SITES[k]]

        def draws(key: Array) -> dict[str, Any]:
            data = self._data({"": jnp.zeros((), dtype)})
            eps, own = jax.tree.map(lambda x: x[0], self._base_draws(plain, key, 1, dtype, data))
            point = plain.point(plain.init(dtype), eps)
            out = self._code.model(replace(point, u={**point.u, **own}), data, self.sizes)
            return {t: out[t] for t in terms}

        with jax.ensure_compile_time_eval():
            found = jax.jit(draws)(jax.random.key(0))
        return Latents(self._shapes, self._outcomes, groups_of(self._draws, self._shapes, found))

    def _base_draws(
        self, family: Guide, key: Array, n: int, dtype: DTypeLike, data: Mapping[str, Any],
        noise: str = "independent",
    ) -> tuple[dict[str, Array], dict[str, Array]]:  # fmt: skip
        """`n` draws of the guide's noise and of the program's, axis 0 the draws.

        Noise of the program that is drawn from its distribution itself is independent whatever `noise` is.
        """
        k_normal, k_drawn = jax.random.split(key)
        behind = family.noise()
        normal_draws = normals(k_normal, n, {**behind, **self._normal_noise}, dtype, noise)
        eps = {k: normal_draws[k] for k in behind}
        own = {k: normal_draws[k] for k in self._normal_noise}
        drawn = jax.vmap(lambda k: self._code.noise(k, data, self.sizes, dtype))(jax.random.split(k_drawn, n))
        return eps, {**drawn, **own}

    def _model(self, at: Point) -> dict[str, Any]:
        return self._code.model(at, self._data(at.u), self.sizes)

    def _main_spec(self, key: Array) -> dict[str, Any]:
        """One evaluation, for its structure."""
        family = self.guide("meanfield")
        dtype = jnp.result_type(float)
        params = family.init(dtype)
        data = self._data(params["loc"])
        eps, noise = jax.tree.map(lambda x: x[0], self._base_draws(family, key, 1, dtype, data))
        point = family.point(params, eps)
        out = self._code.model(replace(point, u={**point.u, **noise}), data, self.sizes)
        return {"report": out["report"], "taken": self._taken(out)}

    def _arrays(self, values: Values, missing: float, constrained: bool = False) -> dict[str, Array]:
        """Values by site as float arrays of the right shapes. Raises ValueError for unknown sites and wrong shapes."""
        known = {s.name: s.shape if constrained else s.free for s in self.sites}
        for name in values:
            if name not in known:
                raise ValueError(f"no site `{name}`: the sites are {', '.join(known)}")
        out: dict[str, Array] = {}
        for s in self.sites:
            if s.name not in values:
                if s.noise:
                    raise ValueError(f"noise `{s.name}` needs a value here")
                shape = known[s.name]
                out[s.name] = jnp.zeros(shape, int) if s.support == "int" else jnp.full(shape, missing)
                continue
            x = jnp.asarray(values[s.name])
            x = x if jnp.issubdtype(x.dtype, jnp.floating) or s.support == "int" else x.astype(jnp.result_type(float))
            if x.shape != known[s.name]:
                raise ValueError(f"`{s.name}` has shape {x.shape}, expected {known[s.name]}")
            out[s.name] = x
        return out

    def _zeros(self, u: Values) -> dict[str, Array]:
        del u
        return {k: jnp.zeros(s) for k, s in self._shapes.items()}

    def _dtype(self, params: Params) -> DTypeLike:
        leaves = jax.tree.leaves(params)
        return jnp.result_type(*leaves) if leaves else jnp.result_type(float)

    def _prepared(self, like: Mapping[str, ArrayLike]) -> dict[str, Any]:
        """Data as arrays, with what estimators need of them that depends on nothing else. Made once."""
        real = _precision(like)
        kinds = jnp.dtype(real).name, jnp.dtype(jnp.result_type(int)).name
        if kinds not in self._made:
            with jax.ensure_compile_time_eval():
                data = self._data(like)
                tables = self._code.prepare(data, self.sizes, real) if hasattr(self._code, "prepare") else {}
            self._made[kinds] = {**data, prefix.KEY: tables} if tables else data
        return self._made[kinds]

    def _data(self, like: Mapping[str, ArrayLike]) -> dict[str, Any]:
        """Data as arrays, reals in the precision of the sites."""
        real = _precision(like)
        out: dict[str, Any] = {}
        for k, v in self.data.items():
            x = np.asarray(v)
            out[k] = wrap(jnp.asarray(x, real) if x.dtype.kind == "f" else jnp.asarray(x))
        return out
