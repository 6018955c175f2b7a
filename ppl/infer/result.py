"""The result of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ppl.infer import advice
from ppl.infer.problem import ProblemLike
from ppl.infer.psis import pareto_khat
from ppl.infer.settings import Settings
from ppl.infer.summary import plain, summarise
from ppl.infer.weighing import Weighing, weigh

if TYPE_CHECKING:
    import xarray

    from ppl.infer.boundaries import Boundaries
    from ppl.predict import Predicted

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Draws from a fitted guide; leading axis n everywhere. `latents` are constrained, NaN where one does not exist."""

    FIELDS: ClassVar[tuple[str, ...]] = ("latents", "reports", "unconstrained", "log_weight", "log_q", "branches")

    latents: dict[str, Array]
    reports: dict[str, Array]
    unconstrained: dict[str, Array]
    log_weight: Array
    log_q: Array
    branches: dict[str, Array] = field(default_factory=dict[str, Array])

    def cut(self, n: int) -> Posterior:
        """The first `n` draws."""

        def short(draws: dict[str, Array]) -> dict[str, Array]:
            return {k: v[:n] for k, v in draws.items()}

        latents, reports, branches = short(self.latents), short(self.reports), short(self.branches)
        unconstrained = short(self.unconstrained)
        return Posterior(latents, reports, unconstrained, self.log_weight[:n], self.log_q[:n], branches)


@dataclass(frozen=True)
class Fit:
    """A fitted guide: its params, draws from it, and how the fit went.

    `elbo` is in nats with standard error `elbo_se`, from draws that no step has seen; `trace` is the noisy ELBO of each
    step of the best start; `starts` the final ELBO of every start; `rhat` the largest R-hat of the iterates that were
    averaged, `starts_rhat` that over the starts of equal ELBO; `averaging_loss` the nats that the Monte Carlo error of
    the params costs. `nonfinite_steps` counts the gradients, over all starts, that were left out because they were not
    finite, and `nonfinite_where` says where the first one was. `branches` has for every condition on latents its
    `text`, `file`, `line`, and the probability that it holds under the `prior` and the `posterior` (in a loop: averaged
    over the iterations). `boundaries` is the part of the gradient that comes from boundaries, None if there is none or
    the estimator does not tell. `weighing` says how far importance weights would move the means and widths. `prior` has
    draws of the latents from the prior, (n, *shape). Where the guide was chosen, `guides` has what came of each, and
    `choice` says why this one. `devices` is how many of them shared the work.
    """

    name: str
    latents: tuple[str, ...]
    settings: Settings
    params: dict[str, Any]
    posterior: Posterior
    elbo: float
    elbo_se: float
    trace: Array
    starts: tuple[float, ...]
    steps: int
    rhat: float
    nonfinite_steps: int
    converged: bool
    stop_reason: str
    notes: tuple[str, ...]
    seconds: float
    compile_seconds: float
    observed: Mapping[str, Any]
    starts_rhat: float = float("nan")
    averaging_loss: float = float("nan")
    nonfinite_where: str = ""
    branches: tuple[Mapping[str, Any], ...] = ()
    boundaries: Boundaries | None = None
    weighing: Weighing | None = None
    prior: Mapping[str, Array] = field(default_factory=dict[str, Array])
    guides: tuple[Mapping[str, Any], ...] = ()
    choice: str = ""
    devices: int = 1
    problem: ProblemLike | None = None

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def draws(self) -> dict[str, Array]:
        """Posterior draws of the latents by name, (n, *shape), NaN where a latent does not exist."""
        return {name: self.posterior.latents[name] for name in self.latents}

    @property
    def reports(self) -> dict[str, Array]:
        """Draws of the reported quantities by name, (n, *shape)."""
        return self.posterior.reports

    @property
    def log_weight(self) -> Array:
        """log p(data, z) + log |dT/du| - log q(u) of each draw. The ELBO is their mean, taken over further draws too
        where these alone leave it uncertain."""
        return self.posterior.log_weight

    @cached_property
    def khat(self) -> float:
        """Pareto k-hat of the importance weights: below 0.5 good, above 0.7 the guide misses part of the posterior."""
        return pareto_khat(self.log_weight)

    @property
    def multimodal(self) -> bool:
        """Whether other optima were found than the one that this fit shows. One rule for reports and tables."""
        return advice.multimodal(self)

    @cached_property
    def importance(self) -> dict[str, Any] | None:
        """Estimates of the posterior itself from importance-resampled draws, with `effective_draws` and `log_evidence`.

        None where k-hat is 0.7 or more, or undefined: the weights then say nothing.
        """
        return advice.importance(self)

    @cached_property
    def weighed(self) -> Weighing:
        """`weighing`, or what the draws alone have of it."""
        return self.weighing or weigh({**self.draws, **self.reports}, self.log_weight)

    @cached_property
    def advice(self) -> list[str]:
        """What to believe and what to do next, in sentences."""
        return advice.advise(self)

    @property
    def diagnostics(self) -> dict[str, Any]:
        """How the fit went, by name; what ``pplc infer --json`` prints under ``diagnostics``."""
        s = self.settings
        return {
            "advice": self.advice,
            "converged": self.converged,
            "stop_reason": self.stop_reason,
            "khat": self.khat,
            "multimodal": self.multimodal,
            "weighing": None if self.weighing is None else asdict(self.weighing),
            "rhat": self.rhat,
            "starts_rhat": self.starts_rhat,
            "averaging_loss": self.averaging_loss,
            "nonfinite_steps": self.nonfinite_steps,
            "nonfinite_where": self.nonfinite_where or None,
            "branches": [dict(b) for b in self.branches],
            "boundaries": None if self.boundaries is None else self.boundaries.to_json(),
            "importance": self.importance,
            "trace": advice.trace_points(self.trace),
            "starts": list(self.starts),
            "guide": s.guide,
            "guides": [{k: v for k, v in g.items() if k != "seconds"} for g in self.guides],
            "choice": self.choice or None,
            "estimator": s.estimator,
            "samples": s.samples,
            "minibatch": s.minibatch,
            "boundary_budget": s.boundary_budget,
            "lr": s.lr,
            "devices": self.devices,
            "draws": int(self.log_weight.shape[0]),
            "precision": 8 * int(self.log_weight.dtype.itemsize),
            "notes": list(self.notes),
        }

    def summary(self) -> dict[str, dict[str, dict[str, Array]]]:
        """``{"latents": {name: {mean, sd, q5, q50, q95, exists}}, "reports": {...}}`` with arrays of each shape.

        Moments and quantiles are over the draws in which a quantity exists, `exists` is the probability that it does.
        """
        return {"latents": summarise(self.draws), "reports": summarise(self.reports)}

    def to_json(self) -> dict[str, Any]:
        """The object that ``pplc infer --json`` prints: JSON values only, None for what is not a number."""
        whole = {name: getattr(self, name) for name in ("elbo", "elbo_se", "steps", "seed", "seconds", "diagnostics")}
        return plain({**whole, **self.summary()})

    def sample(self, key: Any, n: int) -> dict[str, Array]:
        """`n` fresh draws of the latents, as :attr:`draws`. `key` is a JAX key or an integer seed.

        Raises ValueError for a fit read from a file without its problem (see :func:`load_fit`).
        """
        import jax

        if self.problem is None:
            raise ValueError("a fit read from a file has no model to sample with; pass load_fit(path, problem=...)")
        key = jax.random.key(int(key)) if isinstance(key, int) else key
        drawn = self.problem.draw(self.params, key, n, self.settings.guide).latents
        return {name: np.asarray(drawn[name]) for name in self.latents}

    def predict(self, key: Any, n: int | None = None, *, replicate: bool = True) -> Predicted:
        """Latents, reports, replicated observations and pointwise log likelihoods of `n` fresh draws, of :attr:`draws`
        if `n` is None. `key` is a JAX key or an integer seed.

        Observations from a distribution without a sampler have no replicates. Raises ValueError for a fit read from a
        file without its problem, and PplError if an element is observed twice on one path (see
        :func:`ppl.predict.predict`).
        """
        import jax

        from ppl.predict import predict

        if self.problem is None:
            raise ValueError("a fit read from a file has no model to predict with; pass load_fit(path, problem=...)")
        k_draws, k_data = jax.random.split(jax.random.key(int(key)) if isinstance(key, int) else key)
        if n is None:
            n = int(self.log_weight.shape[0])
            u = {**self.posterior.unconstrained, **self.problem.noise(k_draws, n)}
        else:
            u = self.problem.unconstrained_draws(self.params, k_draws, n, self.settings.guide)
        return predict(self.problem, u, n, k_data if replicate else None)

    def predictive(self, key: Any, n: int | None = None) -> dict[str, Array]:
        """Draws of the observations from the posterior predictive distribution, (n, *shape of the data field). A
        warning names those that have none, see :meth:`predict`."""
        from ppl.predict import warn_of

        if self.problem is not None:
            warn_of(self.problem)
        return self.predict(key, n).observations

    def log_likelihood(self, key: Any = 0) -> dict[str, Array]:
        """The log density of every observation under each of :attr:`draws`, (n, *shape of the data field), for loo.

        `key` is for the noise of the program, if it has any.
        """
        return self.predict(key, replicate=False).log_likelihood

    def to_inference_data(self, predictive: bool = False, seed: int = 0) -> xarray.DataTree:
        """The fit as an `xarray.DataTree` in ArviZ's schema: posterior, unconstrained_posterior, sample_stats, data.

        With `predictive` also log_likelihood, posterior_predictive, prior and prior_predictive, drawn with `seed`.
        """
        from ppl.infer.storage import to_tree, with_predictions

        return with_predictions(self, to_tree(self), seed) if predictive else to_tree(self)

    def save(self, path: str | Path) -> None:
        """Writes the fit to `path` as netCDF that ArviZ opens and :func:`load_fit` restores. Replaces atomically.

        Raises OSError if `path` cannot be written.
        """
        from ppl.infer.storage import save

        save(self, Path(path))

    def __repr__(self) -> str:
        return f"<Fit of {self.name}: ELBO {self.elbo:.3f} +- {self.elbo_se:.3f}, {self.stop_reason}>"
