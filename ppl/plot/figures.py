# matplotlib leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Figures of a fit: how it went, what it found, and how probable the branches are.

Made without pyplot, so that no window system is asked for and nothing global changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ppl.infer import Fit

Array = NDArray[Any]

KINDS = ("overview", "trace", "posterior", "branches")
AFTER, BEFORE, LINE = "#1f6f9f", "#9a9a9a", "#d1495b"  # posterior, prior, marks
PANELS = 12  # of single numbers; the others are counted
COLUMNS = 4
CONDITIONS = 16
BINS, PRIOR_BINS = 40, 25
NOTHING = np.zeros(0)
WIDE = 8.0  # a prior this much wider than the posterior is not shown in full
COUNTS = 30  # integers with at most this many values are drawn as bars, one for each
STARTING = 0.1  # of a trace: what happens there does not decide how far down the axis reaches


class NothingToShow(ValueError):
    """The fit has nothing of the kind that was asked for."""


def figure(fit: Fit, kind: str = "overview") -> Figure:
    """A figure of a fit, one of KINDS: the ELBO along the run, the marginals of all quantities, the probabilities of
    the conditions, or all of these. Save it with ``.savefig(path)``.

    Raises ImportError without matplotlib, ValueError for another kind, NothingToShow where there is nothing.
    """
    from matplotlib.figure import Figure

    if kind not in KINDS:
        raise ValueError(f"no kind of plot {kind!r}: one of {', '.join(KINDS)}")
    if kind == "branches" and not fit.branches:
        raise NothingToShow("the program has no conditions on latents")
    panels = _panels(fit)
    rows = -(-min(len(panels), PANELS) // COLUMNS)
    heights = {"trace": 3.2, "posterior": 0.4 + 2.1 * rows, "branches": _height_of_branches(fit)}
    if kind != "overview":
        whole = Figure(figsize=(10, heights[kind] + 0.5), dpi=150, layout="constrained")
        {"trace": _trace, "posterior": _marginals, "branches": _branches}[kind](fit, whole)
    else:
        top = max(heights["trace"], heights["branches"] if fit.branches else 0.0)
        whole = Figure(figsize=(10, 0.5 + top + heights["posterior"]), dpi=150, layout="constrained")
        halves: Any = whole.subfigures(2, 1, height_ratios=[top, heights["posterior"]])
        upper, lower = halves
        if fit.branches:
            sides: Any = upper.subfigures(1, 2, width_ratios=[1.2, 1])
            left, right = sides
            _trace(fit, left)
            _branches(fit, right)
        else:
            _trace(fit, upper)
        _marginals(fit, lower)
    khat = "" if np.isnan(fit.khat) else f", k-hat {fit.khat:.2f}"
    title = f"{fit.name}: {fit.settings.guide}, ELBO {fit.elbo:.2f} ± {fit.elbo_se:.2f}{khat}"
    whole.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
    return whole


# --------------------------------------------------------------------------- trace


def _trace(fit: Fit, on: Figure | SubFigure) -> None:
    from ppl.infer.advice import trace_points

    points = trace_points(fit.trace)
    step, elbo, se = (np.array([p[k] for p in points], float) for k in ("step", "elbo", "se"))
    ax = _axes(on)
    ax.fill_between(step, elbo - 2 * se, elbo + 2 * se, color=AFTER, alpha=0.25, lw=0, label="± 2 standard errors")
    ax.plot(step, elbo, color=AFTER, lw=1.2, label="median of each stretch of steps")
    ax.axhline(fit.elbo, color=LINE, lw=1, ls="--", label="of the fit")
    later = elbo[int(STARTING * len(elbo)) :]
    later = later[np.isfinite(later)]
    if later.size:
        tenth, middle = np.quantile(later, [0.1, 0.5])  # a search goes far down and comes back
        low, high = max(float(later.min()), float(tenth - 4 * (middle - tenth))), max(float(later.max()), fit.elbo)
        room = 0.08 * max(high - low, 4 * fit.elbo_se, 1e-3)
        ax.set_ylim(low - room, high + room)
    state = "converged" if fit.converged else "not converged"
    _dress(ax, f"ELBO, {state} after {fit.steps} steps")
    ax.set_xlabel("step", fontsize=8)
    ax.set_xlim(0, step[-1] if len(step) else 1)
    ax.legend(fontsize=7, edgecolor="none", framealpha=0.8, loc="lower right")


# ------------------------------------------------------------------------ branches


def _height_of_branches(fit: Fit) -> float:
    return 1.0 + 0.24 * min(len(fit.branches), CONDITIONS + 1)


def _branches(fit: Fit, on: Figure | SubFigure) -> None:
    shown = fit.branches[:CONDITIONS]
    ax = _axes(on)
    rows = np.arange(len(shown))
    prior, posterior = (np.array([b[k] for b in shown], float) for k in ("prior", "posterior"))
    ax.hlines(rows, prior, posterior, color=BEFORE, lw=1, zorder=1)
    ax.scatter(prior, rows, s=28, facecolor="white", edgecolor=BEFORE, zorder=2, label="prior")
    ax.scatter(posterior, rows, s=28, color=AFTER, zorder=3, label="posterior")
    ax.set_yticks(rows, [f"{_short(b['text'])}  :{b['line']}" for b in shown], fontsize=7, parse_math=False)
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    more = len(fit.branches) - len(shown)
    _dress(ax, "probability of each condition" + (f" ({more} more)" if more else ""))
    ax.grid(axis="x", color="#e6e6e6", lw=0.6)
    ax.set_axisbelow(True)
    ax.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def _short(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:25]}..."


# ----------------------------------------------------------------------- marginals


def _panels(fit: Fit) -> list[tuple[str, Array, Array | None]]:
    """What gets a panel: a quantity that is one number, a short array's elements each, a longer array as a whole."""
    out: list[tuple[str, Array, Array | None]] = []
    for values in (fit.draws, fit.reports):
        for name, draws in values.items():
            prior = fit.prior.get(name)
            size = int(np.prod(draws.shape[1:]))
            if draws.ndim == 1 or size > COLUMNS:
                out.append((name, draws, prior))
                continue
            for index in np.ndindex(draws.shape[1:]):
                at = (slice(None), *index)
                label = f"{name}[{', '.join(map(str, index))}]"
                out.append((label, draws[at], None if prior is None else prior[at]))
    return out


def _marginals(fit: Fit, on: Figure | SubFigure) -> None:
    panels = _panels(fit)
    shown = panels[:PANELS]
    columns = min(COLUMNS, max(len(shown), 1))
    grid: Any = on.subplots(-(-len(shown) // columns), columns, squeeze=False)
    axes = grid.ravel().tolist()
    for ax, (label, draws, prior) in zip(axes, shown, strict=False):
        if draws.ndim == 1:
            _marginal(ax, label, draws, prior)
        else:
            _band(ax, label, draws.reshape(len(draws), -1), prior)
    for ax in axes[len(shown) :]:
        ax.axis("off")
    more = len(panels) - len(shown)
    note = f"; {more} more quantities" if more else ""
    text = f"blue: posterior; grey: prior, where it is known; dotted: 5% and 95%{note}"
    on.supxlabel(text, fontsize=7, color="#555555", x=0.99, ha="right")


def _marginal(ax: Axes, label: str, draws: Array, prior: Array | None) -> None:
    """Histograms of one number: the posterior filled, the prior as an outline, the outer quantiles marked."""
    there = draws[np.isfinite(draws)].astype(float)
    share = there.size / max(draws.size, 1)
    title = label if share == 1 else f"{label}  (exists: {share:.0%})"
    if not there.size:
        _dress(ax, title)
        ax.text(0.5, 0.5, "in no draw", transform=ax.transAxes, ha="center", fontsize=8, color=BEFORE)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    before = NOTHING if prior is None else prior[np.isfinite(prior)].astype(float)
    low, high = _range(there, before)
    whole = bool(np.all(there == np.round(there))) and high - low <= COUNTS
    each = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    own: Any = each if whole else np.linspace(*_range(there), BINS + 1)
    edges: Any = each if whole else np.linspace(low, high, PRIOR_BINS + 1)
    ax.hist(there, own, weights=_weights(there, own), color=AFTER, alpha=0.8, rwidth=0.8 if whole else 1.0)
    if before.size:
        ax.hist(before, edges, weights=_weights(before, edges), histtype="step", color=BEFORE, lw=1.1)
    if whole:
        ax.locator_params(axis="x", integer=True)
    for q in np.quantile(there, [0.05, 0.95]):
        ax.axvline(q, color=LINE, lw=0.8, ls=":")
    _dress(ax, title)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _weights(values: Array, edges: Array) -> Array:
    """So that bars are densities of all values, those beyond the edges included."""
    return np.full(values.size, 1.0 / (values.size * (edges[1] - edges[0])))


def _range(draws: Array, prior: Array = NOTHING) -> tuple[float, float]:
    """From where to where both are seen, or the posterior alone where the prior is much wider."""
    low, high = np.quantile(draws, [0.002, 0.998])
    if prior.size:
        a, b = np.quantile(prior, [0.02, 0.98])
        room = WIDE * max(high - low, 1e-300)
        low, high = max(min(low, a), low - room / 2), min(max(high, b), high + room / 2)
    if high <= low:
        low, high = low - 0.5 - abs(low) * 1e-3, high + 0.5 + abs(high) * 1e-3
    return float(low), float(high)


def _band(ax: Axes, label: str, draws: Array, prior: Array | None) -> None:
    """An array along its elements: median, and the intervals that hold half and nine tenths of the draws."""
    at = np.arange(draws.shape[1])
    with np.errstate(all="ignore"):
        low, quarter, middle, upper, high = _quantiles(draws, [0.05, 0.25, 0.5, 0.75, 0.95])
    if prior is not None and len(prior):
        a, b = _quantiles(prior.reshape(len(prior), -1), [0.05, 0.95])
        ax.plot(at, a, color=BEFORE, lw=0.8, ls="-")
        ax.plot(at, b, color=BEFORE, lw=0.8, ls="-")
    ax.fill_between(at, low, high, color=AFTER, alpha=0.25, lw=0)
    ax.fill_between(at, quarter, upper, color=AFTER, alpha=0.45, lw=0)
    ax.plot(at, middle, color=AFTER, lw=1.2)
    known = np.concatenate([low, high])
    known = known[np.isfinite(known)]
    if known.size:
        room = 0.6 * max(float(known.max() - known.min()), 1e-9)
        ax.set_ylim(known.min() - room, known.max() + room)
    ax.locator_params(axis="x", integer=True)
    _dress(ax, f"{label}, by element")


def _quantiles(draws: Array, at: list[float]) -> Array:
    """Over the draws in which an element exists; not a number where it never does."""
    out = np.full((len(at), draws.shape[1]), np.nan)
    there = np.isfinite(draws)
    for k in np.flatnonzero(there.any(axis=0)):
        out[:, k] = np.quantile(draws[there[:, k], k], at)
    return out


# ------------------------------------------------------------------------- helpers


def _axes(on: Figure | SubFigure) -> Axes:
    return on.subplots()


def _dress(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=9, loc="left", parse_math=False)
    ax.tick_params(labelsize=7)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
