"""What a fit found out about itself, in numbers by name and in plain words: what to believe, what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.infer.psis import BAD, GOOD, effective_draws, resample, smooth, worth
from ppl.infer.stopping import RHAT_SETTLED, TOLERANCE, Floats, elbo_level
from ppl.infer.summary import summarise
from ppl.infer.weighing import ENOUGH, SHIFT, SPREAD
from ppl.language.limits import line_of

if TYPE_CHECKING:
    from ppl.infer.boundaries import Boundaries
    from ppl.infer.result import Fit
    from ppl.infer.weighing import Weighing

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
SELDOM = 1e-3  # the share of draws up to which a limit of iterations may be reached without a word
UNDECIDED = 0.02  # ... and was not decided before, if it held in at least this share
NEGLIGIBLE = 1e-3  # a share of the posterior that other optima may have
EVEN = 0.9  # effective draws for each draw: weights this even say little else than the guide does
ROUGH = 20  # effective draws: with fewer, what weights say is not even a rough estimate
VISIBLE = 0.1  # nats: rounding of a log density beyond this hides how guide and posterior differ
_SAMPLE = "Compare with a sampler: --method smc, or nuts (`pplc compare`)."


def khat_in_words(khat: float) -> str:
    """What a k-hat means for the user, in one clause."""
    if np.isnan(khat):
        return "not defined here"
    if khat < GOOD:
        return "good: the guide is close to the posterior around its optimum"
    if khat < BAD:
        return "usable: the guide is narrower than the posterior in places"
    return "poor: the guide misses part of the posterior; its intervals are too narrow"


def guide_in_words(fit: Fit) -> str:
    """How good the guide is, in one clause: what the k-hat means, unless weights that large change nothing."""
    if harmless(fit):
        return "the largest weights lie far above the rest, but change next to nothing"
    return khat_in_words(fit.khat)


def harmless(fit: Fit) -> bool:
    """Whether k-hat is large, and all the same the weights are nearly equal and leave means and widths where they are,
    and neither another start nor a wider guide found anything else.

    k-hat is the shape of the largest weights alone. Under a guide of lighter tails than the posterior, such as a
    Gaussian in the log odds of a `Beta`, these are a few draws far out, above many that are almost equal: no single
    Pareto tail, whose fitted shape is then anything up to 7, although ratios of two densities have a mean (k <= 1).
    """
    found = fit.weighing
    if not fit.khat >= BAD or found is None:
        return False
    return not (found.moved or found.beyond or fit.multimodal) and worth(fit.log_weight) >= EVEN


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


def near(starts: Iterable[float], elbo: float) -> int:
    """How many of `starts` found by themselves an optimum as good as the fit's, whose ELBO is `elbo`."""
    elbos = np.array(list(starts))
    finite = elbos[np.isfinite(elbos)]
    return int(np.sum(elbos > max(finite.max(), elbo - NEAR) - NEAR)) if finite.size else 0


def apart(starts: Iterable[float], elbo: float, starts_rhat: float) -> bool:
    """Whether starts ended at different ELBOs, or at the same one in different places (`starts_rhat`)."""
    starts = tuple(starts)
    return near(starts, elbo) < len(starts) or starts_rhat > RHAT_SETTLED


def multimodal(fit: Fit) -> bool:
    """Whether starts ended apart, and in optima that differ by more than a standard deviation in some mean. Fits that
    do not know the latter go by the former."""
    known = fit.weighing
    return apart(fit.starts, fit.elbo, fit.starts_rhat) and (known is None or known.others > 0)


def starts_in_words(fit: Fit) -> str:
    """How the starts compare, in one clause."""
    elbos = np.array(fit.starts)
    finite = elbos[np.isfinite(elbos)]
    if len(elbos) == 1:
        return "1"
    if not finite.size:
        return f"none of {len(elbos)} had a finite ELBO"
    count = near(fit.starts, fit.elbo)
    if count == len(elbos):
        return f"all {count} agree" + ("; others found the same ELBO elsewhere" if fit.multimodal else "")
    spread = f"the worst ended at {finite.min():.2f}" + (": there are other optima" if fit.multimodal else "")
    if count == 0:
        return f"none of {len(elbos)} came this far alone; the best ended at {finite.max():.2f}, {spread}"
    return f"{count} of {len(elbos)} reached the best ELBO; {spread}"


def advise(fit: Fit) -> list[str]:
    """Sentences, the most important first. An empty list never comes back: what may be believed is said too."""
    return [*_convergence(fit), *_modes(fit), *_trust(fit), *_decisions(fit), *_limits(fit), *_missed(fit),
            *_failures(fit)]  # fmt: skip


def _convergence(fit: Fit) -> list[str]:
    if fit.converged:
        return []
    return [
        "The fit has not converged, so neither the ELBO nor the intervals are final: leave out --steps, or ask for "
        "more, and --resume from a --checkpoint if there is one."
    ]


def _modes(fit: Fit) -> list[str]:
    if not fit.multimodal:
        return []
    found = fit.weighing
    if found is None:
        return [f"Starts ended in different optima, and the guide shows one of them. {_SAMPLE}"]
    several = "another optimum" if found.others == 1 else f"{found.others} other optima"
    if found.share < NEGLIGIBLE and not found.moved:
        return [
            f"Starts also found {several}, with less than {NEGLIGIBLE:.0e} of the posterior by a rough estimate: the "
            "guide shows the one that matters, if they found all."
        ]
    if found.effective_draws < ROUGH:
        return [
            f"Starts also found {several}, and the guide shows one; importance weights are too uneven to say what the "
            f"others hold. {_SAMPLE}"
        ]
    share = f"about {found.share:.0%}" if found.share >= 0.01 else "less than 1%"
    return [
        f"Starts also found {several}, with {share} of the posterior by a rough estimate; the guide shows one optimum "
        f"alone.{_movement(found, 'With the others ')} {_SAMPLE}"
    ]


def _movement(found: Weighing, lead: str) -> str:
    """What the weights change most, as a sentence after a space; "" if nothing that matters."""
    parts: list[str] = []
    if found.shift > SHIFT:
        parts.append(f"the mean of `{found.shifted}` would move by {found.shift:.1f} standard deviations")
    if not 1 / SPREAD < found.stretch < SPREAD:
        parts.append(f"`{found.stretched}` would be {found.stretch:.2g} times as wide")
    return f" {lead}{' and '.join(parts)}." if parts else ""


def _up(x: float) -> str:
    """Two digits, rounded up."""
    return f"{np.ceil(100 * x) / 100:.2f}"


def _outside(found: Weighing) -> str:
    """What a wider guide finds that no draw of the fit comes to, as a sentence after a space; "" if nothing."""
    lead = f"The guide made wider along `{found.beyond}` finds what its own draws hardly come to: "
    return _movement(found, lead) if found.beyond else ""


def _trust(fit: Fit) -> list[str]:
    """Whether the guide is close to the posterior around its optimum: "believe" is said where k-hat is good, nothing
    else was found, and the importance weights leave means and widths where they are."""
    khat, found = fit.khat, fit.weighed
    richer = "" if fit.guides else "--guide auto or "
    if found.beyond and not khat >= BAD:
        although = "" if np.isnan(khat) else f", although k-hat is {khat:.2f}"
        return [
            f"Do not take means and intervals as they are{although}.{_outside(found)} Try {richer}--method nuts or smc."
        ]
    if np.isnan(khat):
        return _undefined(fit)
    if harmless(fit):
        where = "Means and intervals are right" if fit.converged else "Where it stands, means and intervals are right"
        return [
            f"{where} as far as the draws reach, although k-hat is {khat:.2f}: the weights are nearly equal (a draw is "
            f"worth {worth(fit.log_weight):.2f} of one) and move no mean by more than {_up(found.shift)} standard "
            f"deviations, and no width by more than a factor of {_up(max(found.stretch, 1 / found.stretch))}. "
            "Probabilities far out in the tails may be wrong."
        ]
    if not khat < BAD:
        own = "user-written" if "~" in fit.settings.guide else fit.settings.guide
        return [
            f"Take the means as approximate and do not trust the intervals (k-hat {khat:.2f}): a {own} guide cannot "
            f"follow this posterior.{_outside(found)} Try "
            f"{'' if fit.guides else 'a richer --guide (auto compares them), or '}--method nuts or smc."
        ]
    if found.moved and not fit.multimodal:
        return [
            f"Do not take means and intervals as they are:{_movement(found, 'by the importance weights ')[:-1]} (k-hat "
            f"{khat:.2f}). The estimates under importance in --json correct for that; {richer}--method nuts or smc go "
            "further."
        ]
    if khat < GOOD and found.effective_draws >= ENOUGH:
        if fit.multimodal:
            return [f"Around its optimum the guide is close to the posterior (k-hat {khat:.2f})."]
        if not fit.converged:
            return [f"Where it stands, the guide is close to the posterior (k-hat {khat:.2f})."]
        return [
            f"Believe the means and intervals (k-hat {khat:.2f}): importance weights move no mean by more than "
            f"{SHIFT} standard deviations, and no width by more than a factor of {SPREAD}."
        ]
    place = "around its optimum" if fit.multimodal else "as far as its draws reach"
    return [
        f"The guide is usable {place}, with narrow tails (k-hat {khat:.2f}): the estimates under importance in --json "
        f"are better. To be sure of the intervals, try {richer}--method nuts or smc."
    ]


def _undefined(fit: Fit) -> list[str]:
    """What to believe where k-hat is undefined: the largest weights are equal, or rounding has made them so."""
    weights = fit.log_weight
    bits, rounding = 8 * weights.dtype.itemsize, abs(fit.elbo) * float(np.finfo(weights.dtype).eps)
    if rounding > VISIBLE:
        more = "Look" if bits == 64 else "Try --precision 64, and look"
        return [
            f"Nothing here can be believed: the log density is so large ({fit.elbo:.2g}) that {bits} bits cannot tell "
            f"one draw from another. {more} for data, or a scale, that are out by orders of magnitude."
        ]
    return ["The guide and the posterior agree as far as the draws can tell."]


def _decisions(fit: Fit) -> list[str]:
    """Conditions that were open under the prior, and which the guide has decided for good."""
    closed = [
        b for b in fit.branches
        if UNDECIDED < b["prior"] < 1 - UNDECIDED and not DECIDED < b["posterior"] < 1 - DECIDED
    ]  # fmt: skip
    if not closed or not fit.khat >= BAD or harmless(fit):
        return []
    names = ", ".join(f"`{b['text']}` (line {b['line']})" for b in closed[:3]) + (", ..." if len(closed) > 3 else "")
    return [f"The guide has decided {names}; with this k-hat, the posterior may not have."]


def _limits(fit: Fit) -> list[str]:
    """Loops that used all the iterations that their limit allows."""
    out: list[str] = []
    for name, draws in fit.reports.items():
        line, share = line_of(name), float(np.mean(draws))
        if line is not None and share > SELDOM:
            out.append(
                f"The loop at line {line} used all the iterations that its limit allows in {share:.1%} of the draws: "
                "raise the limit, or take it as part of the model."
            )
    return out


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
        return [
            "Boundaries hardly pull at this optimum: plain automatic differentiation would stay close to it, if it got "
            "there."
        ]
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
