"""``pplc compare``: two posteriors of one program side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.cli.columns import aligned, number
from ppl.cli.console import UsageError, put
from ppl.cli.infer import bound_problem
from ppl.cli.main import FINE
from ppl.cli.saved import open_saved
from ppl.cli.tables import label, shown
from ppl.infer.weighing import SHIFT, SPREAD

if TYPE_CHECKING:
    from ppl.cli.saved import Saved
    from ppl.infer.summary import Array

ERRORS = 4  # standard errors: less is the noise of finitely many draws
MATTERS = 0.1  # nats
ROUNDED = 1e-6  # relative: between constants in two precisions
WORDS = 8  # sentences about differences; beyond, they are counted


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one element: means, sds and outer quantiles of both, the difference of means in sds of the second."""

    name: str
    index: tuple[int, ...]
    mean: tuple[float, float]
    sd: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    exists: tuple[float, float]
    shift: float
    ratio: float
    noise: float  # standard error of `shift`

    @property
    def size(self) -> float:
        """How far beyond what is tolerated: above 1 it is a difference; 0 if the noise explains it."""
        shift = abs(self.shift) / SHIFT if abs(self.shift) > ERRORS * self.noise else 0.0
        log_ratio = abs(np.log(self.ratio)) if 0 < self.ratio < np.inf else 0.0  # of a constant, the means say it
        spread = log_ratio / np.log(SPREAD) if log_ratio > ERRORS * self.noise else 0.0
        there = abs(self.exists[0] - self.exists[1]) / 0.05
        return float(np.nanmax([shift, spread, there]))


def compare(options: argparse.Namespace) -> int:
    """Reads one fit, and reads or makes another posterior, and puts them side by side."""
    if (options.other is None) == (options.method is None):
        raise UsageError("compare with another file, or with --method nuts|smc")
    first = open_saved(options.fit)
    if options.method is None:
        second = open_saved(options.other)
        names = (options.fit, options.other)
    else:
        second = _sampled(options)
        names = (options.fit, options.method)
    found = list(differences(first, second))
    if not found:
        raise UsageError(f"{names[0]} and {names[1]} have no quantity of the same name and shape in common")
    if options.json:
        put(json.dumps(_as_json(found, first, second), sort_keys=True, allow_nan=False) + "\n")
        return FINE
    facts = aligned([["first", names[0], _facts(first)], ["second", names[1], _facts(second)]], left=(0, 1, 2))
    put("\n\n".join([_table(found), "\n".join([*facts, *_bounds(first, second)]), in_words(found)]) + "\n")
    return FINE


def _sampled(options: argparse.Namespace) -> Saved:
    from ppl.cli.sampling import run
    from ppl.cli.saved import open_for

    if options.program is None:
        raise UsageError(f"--method {options.method} needs --program FILE, the program of the fit")
    problem = bound_problem(options.program, options)
    open_for(options.fit, problem)  # the same latents
    return run(problem, options)


def differences(first: Saved, second: Saved) -> Iterator[Difference]:
    """Every element of every quantity that both have, in the order of the first."""
    a, b = first.summary(), second.summary()
    for kind in ("latents", "reports"):
        for name, mine in a[kind].items():
            theirs = b[kind].get(name)
            if theirs is None or theirs["mean"].shape != mine["mean"].shape:
                continue
            sizes = (_size(first, mine), _size(second, theirs))
            for index in np.ndindex(mine["mean"].shape):
                yield _difference(name, index, mine, theirs, sizes)


def _size(of: Saved, columns: Mapping[str, Array]) -> Array:
    """The effective number of draws behind the moments of each element: of those in which it exists."""
    draws = next(iter(of.draws.values())).shape[0]
    exists, ess = columns["exists"], columns.get("ess", np.nan)
    return np.maximum(np.where(np.isnan(ess) | (exists < 1), draws * exists, ess), 1.0)


def _difference(
    name: str, index: tuple[int, ...], a: Mapping[str, Array], b: Mapping[str, Array], sizes: tuple[Array, Array]
) -> Difference:
    def both(column: str) -> tuple[float, float]:
        return float(a[column][index]), float(b[column][index])

    mean, sd = both("mean"), both("sd")
    apart, scale = mean[0] - mean[1], sd[1] or sd[0]
    if min(sd) == 0 and abs(apart) <= ROUNDED * max(map(abs, mean)):
        apart = 0.0  # a constant, in two precisions
    shift = 0.0 if apart == 0 else apart / scale if scale > 0 else np.copysign(np.inf, apart)
    ratio = 1.0 if sd[0] == sd[1] else sd[0] / sd[1] if sd[1] > 0 else np.inf
    own = ratio if 0 < ratio < np.inf else 1.0  # of a constant beside what varies, in sds of the latter
    noise = float(np.sqrt(own**2 / sizes[0][index] + 1 / sizes[1][index]))
    return Difference(name, index, mean, sd, both("q5"), both("q95"), both("exists"), float(shift), float(ratio), noise)


def _table(found: list[Difference]) -> str:
    rows = [["", *(f"{column} {k}" for column in ("mean", "sd", "5%", "95%") for k in (1, 2)), "shift", "sd ratio"]]
    by_name: dict[str, list[Difference]] = {}
    for d in found:
        by_name.setdefault(d.name, []).append(d)
    for name, own in by_name.items():
        at = {d.index: d for d in own}
        shape = tuple(1 + max(i) for i in zip(*at, strict=True))
        for index in shown(shape)[0]:
            if index is None:
                rows.append(["  ...", *[""] * 10])
                continue
            d = at[index]
            cells = [number(x, d.sd[1]) for pair in (d.mean, d.sd, d.low, d.high) for x in pair]
            mark = " *" if d.size > 1 else "  "
            rows.append([label(name, index), *cells, f"{d.shift:+.2f}", f"{d.ratio:.2f}{mark}"])
    return "\n".join(aligned(rows))


def in_words(found: list[Difference]) -> str:
    """Where the two differ, worst first, in sentences."""
    far = sorted((d for d in found if d.size > 1), key=lambda d: -d.size)
    if not far:
        return (f"They agree: no mean is off by more than {SHIFT} standard deviations, and no standard deviation by "
                f"more than a factor of {SPREAD}.")  # fmt: skip
    lines = [_sentence(d) for d in far[:WORDS]]
    if len(far) > WORDS:
        lines.append(f"... and {len(far) - WORDS} more of {len(found)}.")
    return "\n".join(lines)


def _sentence(d: Difference) -> str:
    parts: list[str] = []
    if abs(d.shift) > SHIFT:
        parts.append(f"its mean lies {abs(d.shift):.2g} sd {'higher' if d.shift > 0 else 'lower'}")
    if d.ratio > SPREAD:
        parts.append(f"it is wider, by a factor of {d.ratio:.2g}")
    if d.ratio < 1 / SPREAD:
        parts.append(f"it is narrower, by a factor of {1 / d.ratio:.2g}" if d.ratio > 0 else "it has no spread")
    if abs(d.exists[0] - d.exists[1]) > 0.05:
        parts.append(f"it exists with probability {d.exists[0]:.2f} instead of {d.exists[1]:.2f}")
    return f"{label(d.name, d.index)}: in the first, {' and '.join(parts)}."


def _facts(of: Saved) -> str:
    from ppl.infer import Fit
    from ppl.infer.advice import guide_in_words

    if isinstance(of, Fit):
        khat = "" if np.isnan(of.khat) else f" {of.khat:.2f}"
        return f"{of.settings.guide}, ELBO {of.elbo:.2f} +- {of.elbo_se:.2f}, k-hat{khat}: {guide_in_words(of)}"
    d = of.diagnostics
    rhat = (
        "R-hat not defined" if np.isnan(d["rhat"]) else f"R-hat {d['rhat']:.3f}, effective sample size {d['ess']:.0f}"
    )
    return f"{of.method}, {d['chains']} chains of {d['draws']}, {rhat}"


def _bounds(first: Saved, second: Saved) -> Iterator[str]:
    """What the two say of log p(data): an ELBO is below it, by the divergence of the guide from the posterior."""
    from ppl.infer import Fit

    known = [(x.elbo, x.elbo_se) if isinstance(x, Fit) else None for x in (first, second)]
    if known[0] is not None and known[1] is not None:
        gap, se = known[0][0] - known[1][0], float(np.hypot(known[0][1], known[1][1]))
        yield f"ELBO, first minus second: {gap:+.2f} +- {se:.2f}"
        return
    diagnostics = first.diagnostics, second.diagnostics
    evidence = [(d.get("log_evidence"), d.get("log_evidence_se", np.nan)) for d in diagnostics]
    for bound, (log_p, error) in ((known[0], evidence[1]), (known[1], evidence[0])):
        if bound is not None and log_p is not None:
            yield _bound(*bound, float(log_p), float(error))


def _bound(elbo: float, elbo_se: float, log_p: float, error: float) -> str:
    """An ELBO beside an estimate of log p(data), whose error one run does not know."""
    gap, se = log_p - elbo, float(np.hypot(elbo_se, error))
    known = not np.isnan(se)
    if gap > 0:
        words = f"is {gap:.2f}{f' +- {se:.2f}' if known else ''} below, KL(guide || posterior)"
    elif known and gap < -max(ERRORS * se, MATTERS):
        words = f"is {-gap:.2f} +- {se:.2f} above, which it cannot be: the sampler has missed part of the posterior"
    else:
        words = "is as high, as far as the errors tell"
    return f"log p(data) {log_p:.2f}{'' if np.isnan(error) else f' +- {error:.2f}'}: the ELBO {words}"


def _as_json(found: list[Difference], first: Saved, second: Saved) -> dict[str, Any]:
    from ppl.infer.summary import plain

    rows = [{"name": label(d.name, d.index), "shift": d.shift, "sd_ratio": d.ratio, "noise": d.noise,
             "differs": d.size > 1} for d in found]  # fmt: skip
    return plain({"first": first.to_json(), "second": second.to_json(), "differences": rows})
