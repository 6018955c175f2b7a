# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Posterior draws of a sampler, with the diagnostics that samplers have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ppl.infer.summary import plain, summarise

if TYPE_CHECKING:
    import xarray

    from ppl.predict import Predicted
    from ppl.problem import Problem

Array = NDArray[Any]
RHAT = 1.01  # above it the chains do not agree (Vehtari et al. 2021)
ESS = 100  # per chain: fewer, and neither R-hat nor the quantiles mean much


@dataclass(frozen=True)
class Samples:
    """Draws of the latents and reports (chains, draws, *shape), NaN where a latent does not exist on a draw's path.

    `unconstrained` has every site, noise included; `stats` (chains, draws) are those of the method; `log_evidence`, the
    log of p(data), one estimate per chain, where the method has one.
    """

    name: str
    method: str
    seed: int
    warmup: int
    latents: tuple[str, ...]
    values: dict[str, Array]
    report_values: dict[str, Array]
    unconstrained: dict[str, Array]
    stats: dict[str, Array]
    log_evidence: tuple[float, ...]
    seconds: float
    observed: Mapping[str, Any]
    problem: Problem | None = None

    @property
    def chains(self) -> int:
        return self.stats["lp"].shape[0]

    @property
    def draws(self) -> dict[str, Array]:
        """Draws of the latents by name, all chains together: (n, *shape)."""
        return _joined({k: self.values[k] for k in self.latents})

    @property
    def reports(self) -> dict[str, Array]:
        """Draws of the reported quantities by name, (n, *shape)."""
        return _joined(self.report_values)

    @cached_property
    def _checks(self) -> dict[str, dict[str, Array]]:
        """``{name: {rhat, ess}}``, arrays of its shape; NaN where it is constant. Of what does not always exist, those
        of whether it does: chains that never leave a branch agree on what is in it."""
        from arviz_stats.base.array import array_stats  # here: it takes a second to import

        stats = cast(Any, array_stats)
        out: dict[str, dict[str, Array]] = {}
        for name, values in {**self.values, **self.report_values}.items():
            rhat, ess = np.full(values.shape[2:], np.nan), np.full(values.shape[2:], np.nan)
            for index in np.ndindex(values.shape[2:]):
                x = values[(slice(None), slice(None), *index)].astype(np.float64)
                there = np.isfinite(x)
                x = x if np.all(there) else there.astype(np.float64)
                if np.ptp(x) > 0 and x.shape[1] >= 4:
                    rhat[index], ess[index] = _agreement(stats, x, bool(np.all(there)))
            out[name] = {"rhat": rhat, "ess": ess}
        return out

    def summary(self) -> dict[str, dict[str, dict[str, Array]]]:
        """As `Fit.summary`, with `rhat` and `ess`, the smaller of the effective sample sizes of bulk and tails."""
        checks = self._checks
        parts = {"latents": summarise(self.draws), "reports": summarise(self.reports)}
        return {kind: {k: {**v, **checks[k]} for k, v in part.items()} for kind, part in parts.items()}

    @property
    def diagnostics(self) -> dict[str, Any]:
        """How the chains went, by name; what ``pplc infer --method ... --json`` prints under ``diagnostics``."""
        rhats, sizes = ([np.ravel(c[k]) for c in self._checks.values()] for k in ("rhat", "ess"))
        rhat, ess = _extreme(rhats, np.max), _extreme(sizes, np.min)
        out: dict[str, Any] = {
            "chains": self.chains,
            "draws": int(self.stats["lp"].shape[1]),
            "warmup": self.warmup,
            "rhat": rhat,
            "ess": ess,
            "acceptance_rate": float(np.mean(self.stats["acceptance_rate"])),
            "converged": bool(rhat <= RHAT and ess >= ESS * self.chains),
        }
        if "diverging" in self.stats:
            out["divergences"] = int(np.sum(self.stats["diverging"]))
        if self.log_evidence:
            out["log_evidence"] = float(np.mean(self.log_evidence))
            out["log_evidence_se"] = float(np.std(self.log_evidence, ddof=1) / np.sqrt(len(self.log_evidence))) if len(
                self.log_evidence) > 1 else float("nan")  # fmt: skip
        return out

    def to_json(self) -> dict[str, Any]:
        """The object that ``pplc infer --method ... --json`` prints: None for what is not a number."""
        facts = {"method": self.method, "seed": self.seed, "seconds": self.seconds, "diagnostics": self.diagnostics}
        return plain({**facts, **self.summary()})

    def predict(self, key: Any, n: int | None = None, *, replicate: bool = True) -> Predicted:
        """As `Fit.predict`, on `n` of the draws, evenly spread over the chains, or on all of them.

        Raises ValueError for samples read from a file without their problem, PplError as `ppl.predict.predict`.
        """
        import jax

        from ppl.predict import predict

        if self.problem is None:
            raise ValueError("samples read from a file have no model to predict with; load them with their problem")
        key = jax.random.key(int(key)) if isinstance(key, int) else key
        u = _joined(self.unconstrained)
        total = self.stats["lp"].size
        if n is not None:
            rows = np.linspace(0, total - 1, n).round().astype(int)
            u = {k: v[rows] for k, v in u.items()}
        return predict(self.problem, u, total if n is None else n, key if replicate else None)

    def to_inference_data(self) -> xarray.DataTree:
        """The draws as an `xarray.DataTree` in ArviZ's schema, as that of a fit."""
        from ppl.sample.storage import to_tree

        return to_tree(self)

    def save(self, path: str | Path) -> None:
        """Writes the draws to `path` as netCDF that ArviZ opens and `load_samples` restores. Replaces atomically.

        Raises OSError if `path` cannot be written.
        """
        from ppl.infer.checkpoint import replacing
        from ppl.predict import datasets

        with replacing(Path(path)) as temporary:
            datasets.write(self.to_inference_data(), temporary)

    def __repr__(self) -> str:
        return f"<Samples of {self.name} by {self.method}: {self.chains} chains of {self.stats['lp'].shape[1]} draws>"


def _joined(values: Mapping[str, Array]) -> dict[str, Array]:
    return {k: v.reshape(v.shape[0] * v.shape[1], *v.shape[2:]) for k, v in values.items()}


def _agreement(stats: Any, x: Array, tails: bool) -> tuple[float, float]:
    """R-hat and effective draws of chains (chain, draw), which are not all equal; those of the tails too if asked for.
    Chains that are each constant, at different values, have no variance to compare with: they could not agree less."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rhat = float(stats.rhat(x, chain_axis=0, draw_axis=1))
        sizes = [stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")]
        if tails:
            sizes.append(stats.ess(x, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))
    ess = float(min(sizes))
    return (np.inf if np.isnan(rhat) else rhat), (float(len(x)) if np.isnan(ess) else ess)


def _extreme(parts: list[Array], choose: Any) -> float:
    known = np.concatenate([np.zeros(0), *parts])
    known = known[~np.isnan(known)]
    return float(choose(known)) if known.size else float("nan")
