# jax leaves some of its parameter types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Where a program is evaluated: the values of its sites, and what their draws add to the log density."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from ppl.runtime import blocks, control, samplers, supports
from ppl.runtime.batches import Batch
from ppl.runtime.control import Guard, Outputs, Path
from ppl.runtime.coordinates import Coordinate, Warp
from ppl.runtime.densities import Custom, Density
from ppl.runtime.densities import normal as normal_density
from ppl.runtime.elements import element, replaced
from ppl.runtime.empty import wrap
from ppl.runtime.on_boundary import Noise, Root
from ppl.runtime.records import Draw, Index, Lines, Observation
from ppl.runtime.subsets import CHANCE, Subset, shifted
from ppl.runtime.supports import Transform
from ppl.runtime.vectors import Joint


@dataclass(frozen=True)
class Point:
    """Values of all sites.

    `u` maps a site to its unconstrained values (of noise: to standard normal draws, or to the draws themselves where
    the distribution has no such form). With `constrained` it maps to values on the support. `loc` and `scale` are the
    guide's conditional centre and spread of each coordinate, before its warp where the site is in `warps`: see
    `coordinate`; `given` has the same of latents that share noise, with their gradients: see `conditional`.
    `log_q` is the guide's log density, elementwise. Of a discrete latent `u` has the outcome and
    `log_probabilities`, last axis the outcomes, the guide's table. `replaced` overrides sums over loops by name. `keys`
    asks for prior draws, `observing` for observations in full. ``u["?"]``, which is no site's name, is uniform on
    (0, 1), for boundaries of which a random subset is taken. `lines` has the latents that share noise with others; all
    others have noise of their own, so that moving one leaves that of the rest as it is, and ``warp(loc + scale * s)``,
    at fixed s, is differentiable in the parameters. `model` evaluates the program at other values of the latents, on
    the path of this point. `boundaries` weights the gradient that comes from boundaries, None for all of it. `rows` is
    the number of iterations of a long loop that are evaluated at a time, None for all. `offset` is uniform on (0, 1),
    one number for all draws of a batch: where evenly spaced samples start. `batches` has the loops, by number, of which
    a subset of the iterations stands for all. `budgets` are the numbers of instances that are evaluated of each
    boundary of which an instance evaluates the program anew, None for all, () for all of all; `program_rows` is how
    many of these are evaluated at a time.
    """

    u: Mapping[str, Array]
    loc: Mapping[str, Array] = field(default_factory=dict[str, Array])
    scale: Mapping[str, Array] = field(default_factory=dict[str, Array])
    log_q: Mapping[str, Array] = field(default_factory=dict[str, Array])
    log_probabilities: Mapping[str, Array] = field(default_factory=dict[str, Array])
    constrained: bool = False
    replaced: Mapping[str, Array] = field(default_factory=dict[str, Array])
    keys: Mapping[str, Array] | None = None
    observing: bool = False
    lines: Mapping[str, Lines] = field(default_factory=dict[str, Lines])
    warps: Mapping[str, Warp] = field(default_factory=dict[str, Warp])
    given: Mapping[str, tuple[Array, Array]] = field(default_factory=dict[str, tuple[Array, Array]])
    model: Callable[[Mapping[str, Array]], Mapping[str, Any]] | None = None
    boundaries: ArrayLike | None = None
    rows: int | None = None
    offset: Array | None = None
    batches: Mapping[int, Batch] = field(default_factory=dict[int, Batch])
    budgets: Sequence[int | None] = ()
    program_rows: int | None = None

    @property
    def dtype(self) -> jnp.dtype:
        """The precision of the evaluation: that of the sites, or jax's default for a program without any."""
        real = [x.dtype for x in self.u.values() if jnp.issubdtype(x.dtype, jnp.floating)]
        return jnp.result_type(*real) if real else jnp.result_type(float)

    def blank(self, shape: tuple[int, ...], base: str) -> Array:
        """An array whose elements are yet to be assigned."""
        return wrap(jnp.zeros(shape, {"real": self.dtype, "int": jnp.result_type(int), "bool": jnp.bool_}[base]))

    # ----------------------------------------------------------------- values

    def value(self, site: str, transform: Transform, *bounds: ArrayLike, index: Index = ()) -> Array:
        """The value of a latent, or of its element at `index`, on its support."""
        u = element(self.u[site], *index)
        return wrap(u if self.constrained else transform.forward(u, *bounds))

    def coordinates(self, site: str, transform: Joint, *bounds: ArrayLike) -> Array:
        """The coordinates of a latent whose elements do not vary freely."""
        return wrap(transform.inverse(self.u[site], *bounds) if self.constrained else self.u[site])

    def transformed(self, site: str, transform: Joint, u: Array, *bounds: ArrayLike) -> Array:
        """The elements of a latent with the coordinates `u`."""
        return self.u[site] if self.constrained else transform.forward(jnp.asarray(u), *bounds)

    def noise(self, site: str, distribution: str, *args: ArrayLike, index: Index = ()) -> Array:
        """The value of a noise that moves with its arguments: a standard normal draw through the quantile function."""
        eps = element(self.u[site], *index)
        return wrap(eps if self.constrained else samplers.from_normal(distribution, eps, *args))

    def drawn(self, site: str) -> Array:
        """The value of a noise that was drawn as it is."""
        return self.u[site]

    def replace_sum(self, name: str, total: ArrayLike) -> ArrayLike:
        return self.replaced.get(name, total)

    # ------------------------------------------------------------------ loops

    def each(
        self, body: Callable[..., Outputs], lo: ArrayLike, extent: int, path: Path, moving: Sequence[Array] = (),
        batch: int | None = None,
    ) -> Outputs:  # fmt: skip
        """As `control.each`; the outputs of a long loop are evaluated where they are read. Of loop number `batch` those
        iterations run that stand for all, and each term counts as many times as its iteration stands for."""
        if batch is not None and batch in self.batches:
            return self.batches[batch].each(body, lo, path)
        rows = None if path else self.rows
        found = None if rows is None else blocks.each(body, lo, extent, rows, moving)
        return control.each(body, lo, extent, path) if found is None else found

    def span(self, loop: int, extent: int) -> tuple[Any, ...]:
        """The rows of a loop that run, for `surface.total`: the first, their number, and what each stands for."""
        batch = self.batches.get(loop)
        return (0, extent) if batch is None else (0, batch.count, batch.weights)

    def iteration(self, loop: int, lo: ArrayLike, row: ArrayLike) -> ArrayLike:
        """The value of the loop variable in a row."""
        batch = self.batches.get(loop)
        return lo + (row if batch is None else batch.rows[row])

    def subset(self, family: int) -> Subset:
        """Which instances of a boundary are evaluated, for `surface.total`; each family starts elsewhere."""
        return Subset(
            self.budgets[family] if self.budgets else None, lax.stop_gradient(shifted(self.u[CHANCE], family))
        )

    # ------------------------------------------------------------------ draws

    def latent(
        self,
        site: str,
        density: Density,
        args: tuple[ArrayLike, ...],
        transform: Transform | Joint,
        bounds: tuple[ArrayLike, ...] = (),
        index: Index = (),
        mask: Array | None = None,
        drawn: tuple[Custom, tuple[ArrayLike, ...]] | None = None,
    ) -> Draw:
        """The contribution of a draw of `site`: log prior + log |dT/du| - log q, where `mask` says it exists. Draws
        from the prior are those of `drawn`, with its arguments, if given."""
        if isinstance(transform, Joint):
            return self._joint(site, density, args, transform, bounds, mask)
        u = element(wrap(self.u[site]), *index)
        z = u if self.constrained else transform.forward(u, *bounds)
        exists = jnp.asarray(True) if mask is None else mask
        if mask is not None and transform is supports.real and all(isinstance(a, int | float) for a in args):
            term = jnp.where(mask, density(z, *args), 0.0)  # finite in any case, so that both sides of a guard share it
        else:
            term = density(z, *args) if mask is None else density.masked(mask, z, *args)
        term = term + self.without_prior(site, transform, bounds, index, mask)
        prior = None
        if self.keys is not None:
            key = element(self.keys[site], *index)
            shape = jnp.shape(u)
            safe = args if mask is None else _stand_in(mask, density, args)
            law, own = (density, safe) if drawn is None else drawn
            value = transform.nearest(samplers.draw(law, key, own, shape, u.dtype), *bounds)
            prior = transform.inverse(value, *bounds)
        back = None
        if self.constrained:
            inverse, inside = transform.inverse_or(u, *bounds)
            back = jnp.where(inside, inverse, jnp.nan)
        return Draw(jnp.sum(term), index, None if mask is None else jnp.broadcast_to(exists, ()), prior, back)

    def without_prior(
        self, site: str, transform: Transform, bounds: tuple[ArrayLike, ...] = (), index: Index = (),
        mask: Array | None = None,
    ) -> Array:  # fmt: skip
        """What a draw adds to the log density besides its prior, ``log |dT/du| - log q``, elementwise."""
        if self.constrained:
            return jnp.zeros(())
        log_q = element(wrap(self.log_q[site]), *index)
        value = transform.log_det(element(wrap(self.u[site]), *index), *bounds) - log_q
        return value if mask is None else jnp.where(mask, value, 0.0)

    def _joint(
        self, site: str, density: Density, args: tuple[ArrayLike, ...], transform: Joint,
        bounds: tuple[ArrayLike, ...], mask: Array | None,
    ) -> Draw:  # fmt: skip
        """As `latent`, of a vector that has another number of coordinates than of elements."""
        u = self.u[site]
        z = u if self.constrained else transform.forward(u, *bounds)
        term = density(z, *args) if mask is None else density.masked(mask, z, *args)
        if not self.constrained:
            exists = jnp.asarray(True) if mask is None else mask
            own = jnp.sum(transform.log_det(u, *bounds)) - jnp.sum(jnp.asarray(self.log_q[site]))
            term = term + jnp.where(exists, own, 0.0)
        prior = None
        if self.keys is not None:
            safe = args if mask is None else _stand_in(mask, density, args)
            drawn = samplers.draw(density, self.keys[site], safe, transform.shape(jnp.shape(u)), u.dtype)
            prior = transform.inverse(drawn, *bounds)
        back = None
        if self.constrained:
            inverse, inside = transform.inverse_or(u, *bounds)
            back = jnp.where(inside, inverse, jnp.nan)
        return Draw(term, (), None if mask is None else jnp.broadcast_to(mask, ()), prior, back)

    # --------------------------------------------------------------- discrete

    def outcome(self, site: str, path: Path, name: str, index: Index = (), lowest: ArrayLike = 0) -> Guard:
        """The outcome of a discrete latent, 0 for its `lowest` value: what the path says, else the guide's draw."""
        drawn = element(wrap(self.u[site]), *index)
        drawn = drawn - lowest if self.constrained else drawn
        given = None if path is None else path.get(name)
        on = drawn if given is None else control.chosen(given, drawn)
        return Guard(on, on)

    def probabilities(self, site: str, index: Index = ()) -> Array:
        """The guide's probabilities of the outcomes, differentiable in its parameters."""
        table = self.log_probabilities[site]
        return jnp.exp(element(table, *index))

    def discrete(
        self, site: str, density: Density, outcome: Array, args: tuple[ArrayLike, ...], index: Index = (),
        mask: Array | None = None, lowest: ArrayLike = 0,
    ) -> Draw:  # fmt: skip
        """The contribution of a discrete latent: log prior - log guide probability, where `mask` says it exists."""
        exists = jnp.asarray(True) if mask is None else mask
        value = outcome + lowest
        term = density(value, *args) if mask is None else density.masked(mask, value, *args)
        if site in self.log_probabilities:
            table = element(self.log_probabilities[site], *index)
            term = term - jnp.where(exists, table[outcome], 0.0)
        prior = None
        if self.keys is not None:
            key = element(self.keys[site], *index)
            safe = args if mask is None else _stand_in(mask, density, args)
            prior = samplers.draw(density, key, safe, (), self.dtype) - lowest
        back = outcome if self.constrained else None
        return Draw(jnp.sum(term), index, None if mask is None else jnp.broadcast_to(exists, ()), prior, back)

    # ------------------------------------------------------------- observations

    def observe(
        self, density: Density, value: ArrayLike, args: tuple[ArrayLike, ...], places: Index | None,
        mask: Array | None = None,
    ) -> Array | Observation:  # fmt: skip
        """The log density of an observation where `mask` says that it is made, or all that is known about it."""
        term = density(value, *args) if mask is None else density.masked(mask, value, *args)
        if not self.observing:
            return jnp.sum(term) if jnp.ndim(term) else term
        made = jnp.asarray(True if mask is None else mask)
        safe = args if mask is None else _stand_in(made, density, args)
        shape = jnp.shape(value)
        events = [1 if isinstance(s, tuple) else 0 for s in density.safe[1:]]
        whole = tuple(_spread(jnp.asarray(a), shape, n) for a, n in zip(safe, events, strict=True))
        where = None if places is None else tuple(jnp.broadcast_arrays(*places)) if places else ()
        return Observation(density, term, jnp.asarray(value), whole, where, made)

    def scored(
        self, law: Custom, log_density: ArrayLike, value: ArrayLike, args: tuple[ArrayLike, ...], places: Index | None,
        mask: Array | None = None,
    ) -> Array | Observation:  # fmt: skip
        """As `observe`, where the program itself has computed the density."""
        term = jnp.asarray(log_density) if mask is None else jnp.where(mask, log_density, 0.0)
        if not self.observing:
            return term
        shape = jnp.shape(value)[: jnp.ndim(value) - law.event]
        whole = tuple(_spread(jnp.asarray(a), shape, n) for a, n in zip(args, law.events, strict=True))
        where = None if places is None else tuple(jnp.broadcast_arrays(*places)) if places else ()
        return Observation(law, term, jnp.asarray(value), whole, where, jnp.asarray(True if mask is None else mask))

    # ------------------------------------------------------------------- lines

    def still(self, rows: int | None = None) -> Point:
        """The same point, through which no gradient flows; `rows` as of a point, for one evaluation of the program."""
        u, loc, scale, log_q, table = (
            {k: lax.stop_gradient(v) for k, v in m.items()}
            for m in (self.u, self.loc, self.scale, self.log_q, self.log_probabilities)
        )
        warps = {k: w.still() for k, w in self.warps.items()}
        given = lax.stop_gradient(dict(self.given))
        return replace(
            self, u=u, loc=loc, scale=scale, log_q=log_q, log_probabilities=table, warps=warps, given=given, rows=rows
        )

    def replacing(self, **sums: Array) -> Point:
        return replace(self, replaced={**self.replaced, **sums})

    def coordinate(self, site: str, index: Index = ()) -> Coordinate:
        """How one coordinate is distributed where it moves alone; of a whole site, how each of them is."""
        return self._coordinate(site, index, self.loc[site], self.scale[site])

    def conditional(self, site: str, index: Index = ()) -> Coordinate:
        """As `coordinate`: how it is distributed given all other latents, differentiable in the parameters through
        the values of these as well. Where a guide says that it is independent of them, that is the same."""
        return self._coordinate(site, index, *self.given.get(site, (self.loc[site], self.scale[site])))

    def _coordinate(self, site: str, index: Index, centre: Array, spread: Array) -> Coordinate:
        warp = self.warps.get(site)
        if not index:
            return Coordinate(centre, spread, warp)
        return Coordinate(element(centre, *index), element(spread, *index), None if warp is None else warp[index])

    def moved(self, site: str, index: Index, u: Array) -> Point:
        """This point with one coordinate at `u`."""
        old = self.u[site]
        new = replaced(old, index, u)
        if site not in self.log_q:
            return replace(self, u={**self.u, site: new})
        lines = self.lines.get(site)
        if lines is None:
            q = self.coordinate(site, index).log_density(u)
            log_q = {site: replaced(self.log_q[site], index, q)}
        elif lines.varies:
            log_q = lines.log_q(site, index, self._distance(site, index, u))
            for k, warp in self.warps.items():
                if k in log_q:
                    log_q[k] = log_q[k] - warp.log_slope(warp.inverse(new if k == site else self.u[k]))
        else:
            log_q = {}  # of latents that exist on all paths it is the same on both sides of any boundary
        return replace(self, u={**self.u, site: new}, log_q={**self.log_q, **log_q})

    def _distance(self, site: str, index: Index, u: Array) -> Array:
        """How far one coordinate moves before its warp, to `u` after it."""
        on, here = self.coordinate(site, index), element(self.u[site], *index)
        return lax.stop_gradient(on.standardised(u) - on.standardised(here))

    def live(self, site: str, index: Index, u: Array) -> Array:
        """One coordinate, moved alone to `u`, differentiable in the parameters at the noise of that place."""
        on = self.coordinate(site, index)
        if site not in self.lines:
            return on.place(lax.stop_gradient(on.noise(u)))
        v = self.lines[site].own(site, index, self._distance(site, index, u))
        return v if on.warp is None else on.warp.forward(v)

    def live_point(self, site: str, index: Index, u: Array) -> Point:
        """The point with one coordinate moved alone to `u`, differentiable at the noise of that place."""
        old = self.u[site]
        if site not in self.loc:
            return replace(self, u={**self.u, site: replaced(old, index, u)})
        if site not in self.lines:
            value = self.live(site, index, u)
            return replace(self, u={**self.u, site: replaced(old, index, value)})
        moved = self.lines[site].follow(site, index, self._distance(site, index, u))
        moved = {k: self.warps[k].forward(v) if k in self.warps else v for k, v in moved.items()}
        return replace(self, u={**self.u, **moved})

    def rate(self, site: str) -> Array:
        """How fast the coordinates of a site move with their noise, ``du/ds``; of noise that is 1."""
        if site not in self.loc:
            return jnp.ones(())
        on = self.coordinate(site)
        return on.rate(on.noise(self.u[site]))

    def near(self, site: str, index: Index, u: Array, main: Mapping[str, Any]) -> Mapping[str, Any]:
        """The evaluation `main` as it depends on the parameters where one coordinate has moved alone to `u`.

        To be read for what does not change on that line, and for the moved coordinate. Where it has noise of its own
        that is `main`; else the program is evaluated anew, as far as it is read.
        """
        if site not in self.lines:
            return main
        model = self.model
        assert model is not None, "a guide with dependence needs the program at other places"
        return Near(lambda: model(self.live_point(site, index, u).u))

    def root(self, site: str, z: ArrayLike, transform: Transform, *bounds: ArrayLike, index: Index = ()) -> Root:
        """The point on the line of one latent coordinate where its value is `z`."""
        on = self.coordinate(site, index)
        z = jnp.asarray(z, on.dtype)
        u, ok = transform.inverse_or(lax.stop_gradient(z), *(lax.stop_gradient(b) for b in bounds))
        u = lax.stop_gradient(u)
        s = lax.stop_gradient(on.noise(u))
        rate = lax.stop_gradient(on.rate(s))
        slope = lax.stop_gradient(transform.slope(u, *bounds))
        height = jnp.exp(normal_density(s, 0.0, 1.0))
        density = height / rate / jnp.abs(slope)
        value = transform.forward(self.live(site, index, u), *bounds)
        if site in self.lines and any(isinstance(b, Array) for b in bounds):  # they may follow the latent
            moved = self.near(site, index, u, {})["z"][site]
            value = element(moved, *index)
        return Root(self, site, index, u, rate, jnp.sign(slope), ok, density, height,
                    value, transform, tuple(lax.stop_gradient(jnp.asarray(b, u.dtype)) for b in bounds))  # fmt: skip

    def noise_root(
        self, site: str, density: Density, z: ArrayLike, *args: ArrayLike, index: Index = (), drawn: bool = False
    ) -> Root:
        """The point on the line of one noise coordinate where its value is `z`; `density` is the noise's own."""
        u_here = element(self.u[site], *index)
        at = lax.stop_gradient(jnp.asarray(z, u_here.dtype))
        still_args = tuple(lax.stop_gradient(jnp.asarray(a, u_here.dtype)) for a in args)
        log_p = density(at, *still_args)
        ok = jnp.isfinite(log_p)
        if drawn:
            transform: Transform | Noise | None = None
            u, value = at, at
        else:
            transform = Noise(density.name)
            u = samplers.to_normal(density.name, at, *still_args)
            ok = ok & jnp.isfinite(u)
            u = lax.stop_gradient(jnp.where(ok, u, 0.0))
            value = samplers.from_normal(density.name, u, *args)
        p = jnp.where(ok, jnp.exp(jnp.where(ok, log_p, 0.0)), 0.0)
        one = jnp.ones((), u_here.dtype)
        height = p if drawn else jnp.exp(normal_density(u, 0.0, 1.0))
        # Of what is drawn as it is, the width that its density has there; far out, where that is none, its own size.
        size = jnp.maximum(jnp.abs(u), jnp.abs(lax.stop_gradient(u_here)))
        spread = jnp.minimum(1.0 / jnp.where(p > 0, p, 1.0), size) if drawn else one
        return Root(self, site, index, u, spread, one, ok, p, height, value, transform, still_args)


class Near(Mapping[str, Any]):
    """The outputs of an evaluation that takes place when the first of them is read."""

    def __init__(self, evaluate: Callable[[], Mapping[str, Any]]) -> None:
        self._evaluate = cache(evaluate)

    def __getitem__(self, key: str) -> Any:
        return self._evaluate()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluate())

    def __len__(self) -> int:
        return len(self._evaluate())


def _spread(x: Array, shape: tuple[int, ...], events: int) -> Array:
    """An argument with one entry (of `events` dimensions) for each element of a value of this shape."""
    return jnp.broadcast_to(x, (*shape, *jnp.shape(x)[jnp.ndim(x) - events :]))


def _stand_in(mask: Array, density: Density, args: tuple[ArrayLike, ...]) -> tuple[ArrayLike, ...]:
    return tuple(
        a if isinstance(s, tuple) else jnp.where(mask, a, s) for a, s in zip(args, density.safe[1:], strict=True)
    )
