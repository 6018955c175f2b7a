"""What a fit found out about itself, in numbers by name and in plain words: what to believe, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.infer.psis import BAD, GOOD, effective_draws, resample, smooth
from ppl.infer.stopping import RHAT_SETTLED, TOLERANCE, Floats, elbo_level
from ppl.infer.summary import summarise

if TYPE_CHECKING:
    from ppl.infer.boundaries import Boundaries
    from ppl.infer.result import Fit

NEAR = 0.1  # nats: starts this close have found the same optimum
TRACE_POINTS = 200  # at most this many points of the trace are reported
DECIDED = 1e-3  # a condition that holds in a smaller share of draws, or in all but that, has been decided
PARTS = {
    "loc": "place",
    "log_scale": "width",
    "logits": "probability",
    "skew": "skewness",
    "log_tail": "tails",
}  # of a guide's parameters
UNDECIDED = 0.02  # ... and was not decided before, if it held in at least this share


def khat_in_words(khat: float) -> str:
    """What a k-hat means for the user, in one clause."""
    if np.isnan(khat):
        return "not defined here"
    if khat < GOOD:
        return "good: the guide is close to the posterior"
    if khat < BAD:
        return "usable: the guide is narrower than the posterior in places"
    return "poor: the guide misses part of the posterior; its intervals are too narrow"


def trace_points(trace: Floats) -> list[dict[str, float]]:
    """The ELBO trace in at most TRACE_POINTS pieces: the step each ends at, its median and that median's error."""
    size = max(1, -(-len(trace) // TRACE_POINTS))
    out: list[dict[str, float]] = []
    for first in range(0, len(trace), size):
        piece = trace[first : first + size]
        level, se = elbo_level(piece[:, None])
        out.append({"step": first + len(piece), "elbo": level, "se": se})
    return out


def importance(fit: Fit) -> dict[str, Any] | None:
    """Estimates of the posterior itself: the draws resampled by smoothed importance weights. None where k-hat forbids.

    ``{"effective_draws", "log_evidence", "latents": {name: {mean, sd, ...}}, "reports": {...}}``.
    """
    weights, khat = smooth(fit.log_weight)
    if not khat < BAD:
        return None
    top = float(np.max(fit.log_weight))
    evidence = top + float(np.log(np.mean(np.exp(fit.log_weight.astype(np.float64) - top))))
    chosen = resample(weights)
    return {
        "effective_draws": effective_draws(weights),
        "log_evidence": evidence,
        "latents": summarise({k: v[chosen] for k, v in fit.draws.items()}),
        "reports": summarise({k: v[chosen] for k, v in fit.reports.items()}),
    }


def starts_in_words(fit: Fit) -> str:
    """How the starts compare, in one clause."""
    elbos = np.array(fit.starts)
    finite = elbos[np.isfinite(elbos)]
    if len(elbos) == 1:
        return "1"
    if not finite.size:
        return f"none of {len(elbos)} had a finite ELBO"
    near = int(np.sum(elbos > max(finite.max(), fit.elbo - NEAR) - NEAR))
    if near == len(elbos):
        return f"all {near} agree"
    spread = f"the worst ended at {finite.min():.2f}: there are other optima"
    if near == 0:
        return f"none of {len(elbos)} came this far alone; the best ended at {finite.max():.2f}, {spread}"
    return f"{near} of {len(elbos)} reached the best ELBO; {spread}"


def advise(fit: Fit) -> list[str]:
    """Sentences, the most important first. An empty list never comes back: what may be believed is said too."""
    return [*_convergence(fit), *_trust(fit), *_modes(fit), *_decisions(fit), *_missed(fit), *_failures(fit)]


def _convergence(fit: Fit) -> list[str]:
    if fit.converged:
        return []
    return [
        "The fit has not converged, so neither the ELBO nor the intervals are final: leave out --steps, or ask for "
        "more, and --resume from a --checkpoint if there is one."
    ]


def _trust(fit: Fit) -> list[str]:
    khat = fit.khat
    if np.isnan(khat):
        return ["The guide and the posterior agree as far as the draws can tell."]
    if khat < GOOD:
        return [f"Believe the means and intervals (k-hat {khat:.2f})."]
    if khat < BAD:
        return [
            f"Believe the means; the intervals are somewhat narrow (k-hat {khat:.2f}). The importance-resampled "
            "estimates in --json are better."
        ]
    own = "user-written" if "~" in fit.settings.guide else fit.settings.guide
    return [
        f"Take the means as approximate and do not trust the intervals (k-hat {khat:.2f}): a {own} guide cannot follow "
        f"this posterior. Try {'' if fit.guides else 'a richer --guide, or '}--method nuts or smc."
    ]


def _modes(fit: Fit) -> list[str]:
    if fit.starts_rhat > RHAT_SETTLED:
        return [
            f"Starts with the same ELBO ended in different places (R-hat {fit.starts_rhat:.1f}): the posterior has "
            "several modes, and the guide shows one of them."
        ]
    return []


def _decisions(fit: Fit) -> list[str]:
    """Conditions that were open under the prior, and which the guide has decided for good."""
    closed = [
        b for b in fit.branches
        if UNDECIDED < b["prior"] < 1 - UNDECIDED and not DECIDED < b["posterior"] < 1 - DECIDED
    ]  # fmt: skip
    if not closed or not fit.khat >= BAD:
        return []
    names = ", ".join(f"`{b['text']}` (line {b['line']})" for b in closed[:3]) + (", ..." if len(closed) > 3 else "")
    return [f"The guide has decided {names}; with this k-hat, the posterior may not have."]


def boundaries_in_words(found: Boundaries) -> str:
    """The largest slope that comes from boundaries, in one clause."""
    where, slope, error = _largest(found)
    noise = f"; {found.noise_share:.0%} of the gradient's variance" if found.noise_share > 0.005 else ""
    size = f"{_slope(slope)} +- {error:.1g}" if error > 0.005 * slope else _slope(slope)
    return f"a slope of {size} nats per sd in {where}, which plain AD does not see{noise}"


def _slope(slope: float) -> str:
    return f"{slope:.2f}" if slope >= 0.1 else f"{slope:.1g}"


def _largest(found: Boundaries) -> tuple[str, float, float]:
    part, site, index, slope, error = found.largest()
    name = site + (f"[{', '.join(map(str, index))}]" if index and part in PARTS else "")
    return f"the {PARTS[part]} of `{name}`" if part in PARTS else "what ties latents together", abs(slope), error


def _missed(fit: Fit) -> list[str]:
    """What plain automatic differentiation would have done here."""
    found = fit.boundaries
    if found is None:
        return []
    where, slope, _ = _largest(found)
    if found.cost < TOLERANCE:
        return ["Boundaries hardly move this optimum: plain automatic differentiation would have stopped close to it."]
    return [
        "Plain automatic differentiation would not have stopped here: it misses the boundaries, whose slope in "
        f"{where} is {_slope(slope)} nats per standard deviation."
    ]


def _failures(fit: Fit) -> list[str]:
    if not fit.nonfinite_steps:
        return []
    where = f": {fit.nonfinite_where}" if fit.nonfinite_where else ""
    return [
        f"{fit.nonfinite_steps} gradients were not finite and left out{where}. A few at the beginning do no harm; if "
        "they go on, the density is undefined where the guide reaches."
    ]
