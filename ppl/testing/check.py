# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""`check_gradient`: an estimator of a problem's gradient against a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl.diagnostics import Diagnostic, InferenceError, PplError
from ppl.infer import SettingsError
from ppl.infer.blame import not_finite
from ppl.infer.start import starting_points
from ppl.language.budget import BOUNDARY_BUDGET, Budget
from ppl.problem import Problem
from ppl.testing.batches import BatchFn, Label, Params, Plan, batch_fn, batch_means, flat, labels
from ppl.testing.judge import AGAIN, components, follow_up
from ppl.testing.reference import Reference, make_reference
from ppl.testing.result import GradientCheck
from ppl.testing.statistics import Estimate, Floats, rounding

DRAWS = 100_000
Estimator = Callable[[Params, Array], tuple[Array, Params]]
_START, _PILOT, _REFERENCE, _ESTIMATE, _AGAIN = range(5)  # streams split off the seed


def check_gradient(
    problem: Problem,
    params: Params = None,
    estimator: str | Estimator = "combined",
    *,
    guide: str = "meanfield",
    draws: int = DRAWS,
    seed: int = 0,
    boundary_budget: Budget = BOUNDARY_BUDGET,
) -> GradientCheck:
    """Whether `estimator` is an unbiased estimator of the gradient of the ELBO at `params`.

    `estimator` is the name of one of the problem's own, or a jax function ``fn(params, key) -> (elbo, grad)`` of yours.
    `params` has the structure of ``problem.init_params(guide)``; without it they are where a fit starts, see
    :func:`starting_params`. `draws` is the number of draws behind the estimate; the reference uses up to as many.
    `boundary_budget` as for ``problem.elbo_and_grad``. Equal arguments give equal results. An unbiased estimator is
    called wrong with a probability below 0.001.

    Raises :class:`ppl.infer.SettingsError`, a ValueError, for arguments that make no sense, :class:`ppl.InferenceError`
    if the ELBO is not finite here, and :class:`ppl.PplError` for a program without latents.
    """
    return compare_estimators(
        problem, params, (estimator,), guide=guide, draws=draws, seed=seed, boundary_budget=boundary_budget
    )[0]  # fmt: skip


def compare_estimators(
    problem: Problem,
    params: Params = None,
    estimators: Sequence[str | Estimator] = ("combined", "interior"),
    *,
    guide: str = "meanfield",
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    boundary_budget: Budget = BOUNDARY_BUDGET,
) -> tuple[GradientCheck, ...]:
    """:func:`check_gradient` of several estimators against one reference.

    Only for the first one a suspicion is followed up with ten times the draws; the others are judged by the draws asked
    for. `progress` is called with what is being done.
    """
    for estimator in (e for e in estimators if isinstance(e, str)):
        try:
            problem.elbo_loss(guide, estimator, boundary_budget=boundary_budget)
        except ValueError as error:  # guide or estimator are not known
            raise SettingsError(str(error)) from error
    bench = _Bench.prepare(problem, params, guide, draws, seed, progress or (lambda _: None), boundary_budget)
    return tuple(bench.check(e, first=i == 0) for i, e in enumerate(estimators))


def starting_params(problem: Problem, guide: str = "meanfield", seed: int = 0) -> Params:
    """Where the first start of a fit begins: the median of the prior, with the prior's spread as the guide's.

    Raises :class:`ppl.PplError` for a program without latents.
    """
    _need_latents(problem)
    # Compiled as a whole: the sweeps of `prior` are hundreds of small operations.
    params, _ = jax.jit(lambda key: starting_points(problem, guide, 1, key))(
        jax.random.fold_in(jax.random.key(seed), _START)
    )
    return jax.tree.map(lambda x: x[0], params)


@dataclass(frozen=True, slots=True)
class _Bench:
    """All that several estimators of one problem are compared with, computed once."""

    problem: Problem
    params: Params
    guide: str
    plan: Plan
    seed: int
    key: Array
    labels: list[Label]
    units: Floats
    method: Reference
    reference: Estimate
    progress: Callable[[str], None]
    boundary_budget: Budget

    @staticmethod
    def prepare(
        problem: Problem, params: Params, guide: str, draws: int, seed: int, progress: Callable[[str], None],
        boundary_budget: Budget,
    ) -> _Bench:  # fmt: skip
        plan, key = Plan.of(draws), jax.random.key(seed)
        _need_latents(problem)
        like = problem.init_params(guide)
        params = starting_params(problem, guide, seed) if params is None else _same_structure(params, like)
        units = _units(params)
        progress("compiling")
        method = make_reference(problem, guide, params, draws, seed, jax.random.fold_in(key, _PILOT), units)
        progress(f"reference, by {' and '.join(method.draws)}")
        reference = method.estimate(jax.random.fold_in(key, _REFERENCE))
        if not np.all(np.isfinite(reference.mean)):
            raise _not_finite(problem, params, guide, key)
        return _Bench(problem, params, guide, plan, seed, key, labels(params), units, method, reference, progress,
                      boundary_budget)  # fmt: skip

    def check(self, estimator: str | Estimator, first: bool) -> GradientCheck:
        name = estimator if isinstance(estimator, str) else "custom"
        self.progress(name)
        fn = batch_fn(self._batch(estimator), self.params)
        elbo, estimate = self._measure(fn, jax.random.fold_in(self.key, _ESTIMATE), 1)
        if not (np.isfinite(elbo.mean[0]) or name == "custom"):
            raise _not_finite(self.problem, self.params, self.guide, self.key)

        def again() -> tuple[Estimate, Estimate]:
            self.progress(f"{name}, once more with {AGAIN} times the draws")
            keys = jax.random.split(jax.random.fold_in(self.key, _AGAIN))
            return self._measure(fn, keys[0], AGAIN)[1], self.method.estimate(keys[1], AGAIN)

        reference, suspected = self.reference, None
        if first:
            estimate, reference, suspected = follow_up(estimate, reference, again)
        methods = self.method.method.tolist()
        return GradientCheck(
            program=self.problem.name,
            estimator=name,
            components=components(self.labels, estimate, reference, self.units, methods, suspected),
            draws=self.plan.draws,
            reference_draws=self.method.draws,
            seed=self.seed,
            elbo=float(elbo.mean[0]),
            elbo_se=float(elbo.se[0]),
            repeated=0 if suspected is None else int(suspected.sum()),
            of=len(self.labels),
        )

    def _measure(self, fn: BatchFn, key: Array, times: int) -> tuple[Estimate, Estimate]:
        """The ELBO and the gradient from `times` the planned draws."""
        means = batch_means(fn, key, times * self.plan.count)
        elbo = Estimate.of(means[:, :1])
        slack = rounding(precision(self.params), elbo.mean / self.units, self.reference.mean)
        return elbo, Estimate.of(means[:, 1:], slack)

    def _batch(self, estimator: str | Estimator) -> Callable[[Params, Array], Array]:
        """Batch means of the ELBO and of the gradient, in one vector."""
        size = self.plan.size
        mean = (
            self.problem.elbo_and_grad(self.guide, estimator, size, boundary_budget=self.boundary_budget)
            if isinstance(estimator, str)
            else _mean_of(estimator, size)
        )

        def batch(params: Params, key: Array) -> Array:
            elbo, grad = mean(params, key)
            return jnp.concatenate([jnp.reshape(elbo, (1,)), flat(grad)])

        return batch


def _mean_of(estimator: Estimator, n: int) -> Estimator:
    """The mean of `n` independent calls."""

    def mean(params: Params, key: Array) -> tuple[Array, Params]:
        draws = jax.vmap(estimator, in_axes=(None, 0))(params, jax.random.split(key, n))
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), draws)

    return mean


def _units(params: Params) -> Floats:
    """`Component.unit` of every parameter: exp(log_scale) for a location that has one, else 1."""
    units = jax.tree.map(jnp.ones_like, params)
    for site, log_scale in params.get("log_scale", {}).items():
        units["loc"][site] = jnp.exp(log_scale)
    return np.asarray(flat(units), np.float64)


def precision(params: Params) -> Any:
    """The type in which an estimator computes."""
    return jnp.result_type(*jax.tree.leaves(params))


def _need_latents(problem: Problem) -> None:
    if all(site.noise for site in problem.sites):
        raise PplError([Diagnostic("PPL805", "the program has no latents: it has no gradient to check")])


def _same_structure(params: Params, like: Params) -> Params:
    """`params` as arrays in the precision of `like`. Raises SettingsError for other structures and shapes."""
    given = jax.tree.map(jnp.asarray, params)
    shapes = jax.tree.map(jnp.shape, given), jax.tree.map(jnp.shape, like)
    if shapes[0] != shapes[1]:
        raise SettingsError(f"params do not fit the problem: they are {shapes[0]}, expected {shapes[1]}")
    return given


def _not_finite(problem: Problem, params: Params, guide: str, key: Array) -> InferenceError:
    """The error, at the first statement of the program that is to blame."""
    return not_finite(problem, params, key, guide, "the ELBO has no finite gradient at these parameters")
