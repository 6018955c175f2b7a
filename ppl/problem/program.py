# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""A program with its data: the base of the bound problem, which evaluates it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from ppl.bind import Bound
from ppl.bind.guide import in_words
from ppl.core import ir
from ppl.diagnostics import Diagnostic, PplError, Span
from ppl.driver import Compiled
from ppl.emit.observed import read_elsewhere, settled_by
from ppl.language.budget import AUTO, Budget, check_budget
from ppl.language.distributions import named
from ppl.language.guides import PROGRAM
from ppl.problem import assemble
from ppl.problem.composite import composite
from ppl.problem.existence import draws_of, groups_of
from ppl.problem.families import family_of
from ppl.problem.guides import Guide, Latents, MeanField, Params
from ppl.problem.noise import normals
from ppl.problem.records import Guard, Site
from ppl.regions.model import BatchLoop
from ppl.runtime import blocks, prefix, threefry
from ppl.runtime.empty import wrap
from ppl.runtime.point import Point
from ppl.runtime.subsets import CHANCE, chances

Values = Mapping[str, ArrayLike]


def _held(x: np.ndarray) -> Array:
    """`x` as jax has arrays, also where it traces: `jnp.asarray` compiles a function for each shape there."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(x)


def _precision(like: Mapping[str, ArrayLike]) -> jnp.dtype:
    """That of the real sites, or jax's default."""
    kinds = [jnp.result_type(x) for x in like.values() if jnp.issubdtype(jnp.result_type(x), jnp.floating)]
    return jnp.result_type(*kinds) if kinds else jnp.result_type(float)


def no_batches(loops: Sequence[BatchLoop]) -> Diagnostic:
    """Why none of the loops of a program can be taken in minibatches."""
    if not loops:
        hint = "observe the data as a vector, `observe y ~ ...`, or in a loop: `for i in 0..n { observe y[i] ~ ... }`"
        return Diagnostic("PPL807", "no loop observes anything, so there is nothing to take minibatches of", None, hint)
    first = loops[0]
    text = f"no minibatches of this loop: {first.reason}"
    hint = "a loop of observations alone, from which nothing is carried on, can be taken in minibatches"
    return Diagnostic("PPL807", text, first.span, hint)


class BoundProgram:
    """The emitted module of a program, called with its data."""

    def __init__(self, compiled: Compiled, code: ModuleType, bound: Bound, guards: tuple[Guard, ...],
                 notes: tuple[Diagnostic, ...]) -> None:  # fmt: skip
        self.name = compiled.name
        self.guards = guards
        self.diagnostics = notes
        self.sources = compiled.sources
        made_from = (compiled.source_code, sorted(compiled.sources.values()), bound.static, bound.shapes, bound.values,
                     bound.budgets, bound.guide)  # fmt: skip
        self.digest = hashlib.sha256(repr(made_from).encode()).hexdigest()  # of all but the data's values
        self._spans = {
            f"t{s.id}": s.span for _, s in ir.blocks(compiled.regions.body) if isinstance(s, ir.Term | ir.Sample)
        }
        self._guards = {f"g{i.guard.index}": i.guard for i in compiled.regions.guards if i.status != "data-only"}
        program = compiled.elaborated.program
        self.sites = tuple(
            Site(s.name, bound.values[s.name], s.joint or s.support, s.noise, s.span, bound.shapes[s.name])
            for s in program.sites
        )
        self.data: dict[str, Any] = dict(bound.arrays)
        self._first = dict(bound.arrays)  # what it was bound to, where `observing` has put something else
        self.sizes = dict(bound.static)
        self._wide = bound.wide
        self._code = code
        self._made: dict[tuple[str, str], dict[str, Any]] = {}
        self._batch_loops = compiled.regions.batches
        self._blocks = bound.guide
        self._in_words = lambda text: in_words(
            text, compiled.regions.program, compiled.regions.definitions, {**self.data, **self.sizes}, bound.shapes
        )
        self._shapes = {s.name: s.free for s in self.sites if not s.noise}
        self._value_shapes = {s.name: s.shape for s in self.sites if not s.noise}
        numbers = code.outcomes(bound.static) if hasattr(code, "outcomes") else {}
        self._outcomes: dict[str, int] = {k: int(v) for k, v in numbers.items()}  # `max(n, 0)` of sizes is an array
        drawn = [s for _, s in ir.blocks(compiled.regions.body) if isinstance(s, ir.Sample) and s.noise]
        self._normal_noise = {
            s.site: bound.shapes[s.site] for s in drawn if named(s.distribution).noise == "inverse_cdf"
        }
        self._draws = draws_of(compiled.regions)
        self._taken_by_default = bound.budgets
        self._elements = frozenset(a.name for a in program.arrays)
        self.drawn_noise = frozenset(s.name for s in program.sites if s.noise and s.name not in self._normal_noise)
        # A distribution that a function of the program makes is a density alone, unless another one draws from it.
        drawn_by = {c.name for c in program.customs if c.sampler is not None}
        self._unsampled = {
            f"t{s.id}": s.custom.name for _, s in ir.blocks(compiled.regions.body)
            if isinstance(s, ir.Term) and s.custom is not None and s.custom.value is not None
            and s.custom.name not in drawn_by
        }  # fmt: skip
        self.priors_by_functions = tuple(
            (s.custom.name, s.span) for _, s in ir.blocks(compiled.regions.body)
            if isinstance(s, ir.Sample) and s.custom is not None and s.custom.name not in drawn_by
        )  # fmt: skip
        self.read_elsewhere = read_elsewhere(compiled.regions.body, program.guards)
        self._settled_by = settled_by(compiled.regions)
        self.reports = tuple(sorted(s.name for s in compiled.regions.body if isinstance(s, ir.Report)))

    def observing(self, values: Mapping[str, ArrayLike]) -> Self:
        """This problem with other observations of the same shape, by data field. Cheap, and pure: the values may be
        traced, so ``jax.vmap(lambda y: problem.observing({"y": y}).log_density(u))`` is over data sets, compiled once.

        For fields that only the left sides of `observe` read: nothing else depends on these, so nothing has to be
        checked anew. Raises ValueError for any other field, whose data have to be bound, and for values of another
        shape or kind, or that are not finite (as far as they are known, that is, not traced).
        """
        made = copy(self)
        made.data = {**self.data, **{k: self._observation(k, v) for k, v in values.items()}}
        made._made = {}
        return made

    def _observation(self, name: str, value: ArrayLike) -> Any:
        if name not in self.data or name not in self._code.OBSERVED:
            fields = ", ".join(k for k in self._code.OBSERVED if k in self.data)
            raise ValueError(f"`{name}` is not observed, so its values have to be bound: observed are {fields}")
        if name in self.read_elsewhere:
            line = self.read_elsewhere[name].line
            raise ValueError(f"`{name}` is read in line {line} too, so its values have to be bound")
        if name in self._settled_by:
            text = self._settled_by[name]
            raise ValueError(f"its values keep `{text}` from changing, so those of `{name}` have to be bound")
        old, new = np.asarray(self._first[name]), jnp.asarray(value)
        if new.shape != old.shape:
            raise ValueError(f"`{name}` has shape {new.shape}, expected {old.shape}")
        if not np.can_cast(new.dtype, old.dtype, "same_kind") or (new.dtype.kind == "b") != (old.dtype.kind == "b"):
            raise ValueError(f"`{name}` is {new.dtype.name}, expected {old.dtype.name}")
        if not isinstance(new, Tracer) and not bool(jnp.all(jnp.isfinite(new))):
            raise ValueError(f"`{name}` has values that are not finite")
        return new

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of outcomes of every discrete latent (of each element)."""
        return dict(self._outcomes)

    @property
    def branches(self) -> dict[str, tuple[str, Span]]:
        """Text and place of every guard that has two outcomes and a latent in it, by the name `Draws` gives it, if the
        program comes to it with these data."""
        return {k: (g.text, g.span) for k, g in self._guards.items() if not g.levels and g.outcomes is None}

    def guide(self, name: str) -> Guide:
        """The variational family of this name, see ppl.problem.families; "program", the one that the program describes;
        or one that is described in the words of a `guide` block, such as "x, y ~ FullRank(); z ~ MeanField()".

        Raises ValueError if there is none, PplError for a description that does not match the program.
        """
        if name == "meanfield":
            return MeanField(Latents(self._shapes, self._outcomes))
        own = self.own_guide
        if name == PROGRAM or "~" in name:
            if name not in (PROGRAM, own):
                return composite(self._in_words(name), self._latents)
            if own is None:
                raise ValueError(f"the program has no `guide` block, so there is no guide {name!r}")
            return composite(self._blocks, self._latents)
        return family_of(name, self._latents)

    @property
    def own_guide(self) -> str | None:
        """The guide that the program describes in a `guide` block, in its words; None without one."""
        return "; ".join(map(str, self._blocks)) or None

    def batched(self, minibatch: int) -> dict[int, int]:
        """The loops of which `minibatch` iterations stand for all, by number, with how many they have.

        Raises ValueError for a number below 1, PplError if no loop of the program can be taken in parts.
        """
        if minibatch < 1:
            raise ValueError(f"a minibatch has at least 1 iteration, not {minibatch}")
        loops: dict[int, int] = self._code.loops(self.sizes) if hasattr(self._code, "loops") else {}
        if not loops:
            raise PplError([no_batches(self._batch_loops)], self.sources)
        return {k: n for k, n in loops.items() if n > minibatch}

    @cached_property
    def _latents(self) -> Latents:
        """The latents with the paths on which they exist, for which the program is evaluated once."""
        plain, dtype = MeanField(Latents(self._shapes, self._outcomes)), jnp.result_type(float)
        terms = [t for k in self._shapes for t in self._code.SITES[k]]

        def draws(key: Array) -> dict[str, Any]:
            data = self._data({"": jnp.zeros((), dtype)}, self._first)
            eps, own = jax.tree.map(lambda x: x[0], self._base_draws(plain, key, 1, dtype, data))
            point = plain.point(plain.init(dtype), eps)
            out = self._code.model(replace(point, u={**point.u, **own}), data, self.sizes)
            return {t: out[t] for t in terms}

        with jax.ensure_compile_time_eval():
            found = jax.jit(draws)(jax.random.key(0))
        return Latents(self._shapes, self._outcomes, groups_of(self._draws, self._shapes, found))

    def _base_draws(
        self, family: Guide, key: Array, n: int, dtype: DTypeLike, data: Mapping[str, Any],
        noise: str = "independent", unread: frozenset[str] = frozenset(),
    ) -> tuple[dict[str, Array], dict[str, Array]]:  # fmt: skip
        """`n` draws of the guide's noise and of the program's, axis 0 the draws; zeros for noise that is `unread`.

        Noise of the program that is drawn from its distribution itself is independent whatever `noise` is.
        """
        k_normal, k_drawn, k_chance = threefry.split(key, 3)
        behind = family.noise()
        read = {k: shape for k, shape in self._normal_noise.items() if k not in unread}
        normal_draws = normals(k_normal, n, {**behind, **read}, dtype, noise)
        eps = {k: normal_draws[k] for k in behind}
        none = {k: jnp.zeros((n, *shape), dtype) for k, shape in self._normal_noise.items() if k in unread}
        own = {**{k: normal_draws[k] for k in read}, **none}
        drawn = jax.vmap(lambda k: self._code.noise(k, data, self.sizes, dtype))(threefry.split(k_drawn, n))
        if getattr(self._code, "SUBSETS", False):
            drawn[CHANCE] = chances(k_chance, n, dtype)
        return eps, {**drawn, **own}

    def budgets(self, asked: Budget = AUTO) -> tuple[int | None, ...]:
        """How many instances are evaluated of each boundary of which a subset can be. Raises ValueError."""
        check_budget(asked)
        return tuple(k if isinstance(asked, str) else asked for k in self._taken_by_default)

    def _model(self, at: Point) -> dict[str, Any]:
        return self._code.model(at, self._data(at.u), self.sizes)

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
        """Data as arrays, with what estimators need of them that depends on nothing else. Made once.

        Traced data have no such tables, whose size depends on the values: then loops are summed as they are written.
        """
        if any(isinstance(v, Tracer) for v in self.data.values()):
            return self._data(like)
        real = _precision(like)
        kinds = jnp.dtype(real).name, jnp.dtype(jnp.result_type(int)).name
        if kinds not in self._made:
            with jax.ensure_compile_time_eval():
                data = self._data(like)
                tables = self._code.prepare(data, self.sizes, real) if hasattr(self._code, "prepare") else {}
            self._made[kinds] = {**data, prefix.KEY: tables} if tables else data
        return self._made[kinds]

    def _data(self, like: Mapping[str, ArrayLike], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Data as arrays, reals in the precision of the sites.

        Raises PplError where whole numbers need more bits than jax has been told to use.
        """
        if self._wide is not None and not jax.config.read("jax_enable_x64"):
            message = f"{self._wide.text}: whole numbers end at 2147483647 where they have 32 bits"
            hint = "take 64 bits, `--precision 64` or `jax_enable_x64`, or declare the data as real"
            raise PplError([Diagnostic("PPL814", message, self._wide.span, hint)], self.sources)
        real = _precision(like)
        out: dict[str, Any] = {}
        for k, v in (self.data if given is None else given).items():
            x = v if isinstance(v, Array) else np.asarray(v)
            x = x.astype(real) if x.dtype.kind == "f" else x
            out[k] = wrap(x if isinstance(x, Array) else _held(x))
        return out

    def _taken(self, out: Mapping[str, Any]) -> dict[str, Array]:
        on = {k: out[k].on for k in self._guards if k in out}
        return {k: blocks.share(v) for k, v in on.items() if v.dtype == jnp.bool_ and v.size}

    def _existing(self, out: dict[str, Any], dtype: DTypeLike) -> dict[str, Array]:
        """The latents of an evaluation, NaN where they do not exist."""
        exists = {k: assemble.exists(out, self._code.SITES[k], s) for k, s in self._value_shapes.items()}
        return {k: jnp.where(e, jnp.asarray(out["z"][k], dtype), jnp.nan) for k, e in exists.items()}
