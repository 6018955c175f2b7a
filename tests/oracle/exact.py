"""ELBOs of mean-field Gaussian guides and their gradients, without differentiating the program.

For one coordinate with noise e ~ N(0, 1), parameters loc and log_scale, and h the log weight of a point,

    d ELBO / d loc = E[h * e] / scale        d ELBO / d log_scale = E[h * (e^2 - 1)]

(the score function identity). The expectation over that coordinate is an integral along a line, done by composite
Gauss-Legendre quadrature whose panels end where the program's path changes; the path (the outcome of every decision) is
bisected to find these places. The expectation over all other coordinates is an average over scrambled Sobol points; the
scrambles give its standard error. With one coordinate the average is over places of the panels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from density import Guide, as_u
from interpreter import Shape, evaluate, sites
from interpreter_expressions import HASH
from scipy import special, stats

from ppl.syntax import ast

A = np.ndarray
REACH = 7.6  # standard deviations; beyond, N(0, 1) times e^2 is below 1e-11
PANELS = 18
ORDER = 4
BISECTIONS = 20
MOST_CHANGES = 2**21  # followed at a time, over all lines
GROWTH = 0.02  # of h, from where on it may be unbounded
NEAR = 4.0  # standard deviations, within which jumps are looked at
AWAY = (15.0, 255.0)  # from a change of path, in widths of the last bisection: what grows towards it is told by both
NEGLIGIBLE = 3.0  # standard deviations; of what is further out, changes may be left to the average over lines
NODES, WEIGHTS = np.polynomial.legendre.leggauss(ORDER)


@dataclass(frozen=True)
class Exact:
    """Values with standard errors; `jumps` is the largest jump of h found at a change of path, and `unbounded` whether
    h goes on growing towards one."""

    elbo: tuple[float, float]
    loc: dict[str, tuple[A, A]]
    log_scale: dict[str, tuple[A, A]]
    jumps: float
    evaluations: int
    logits: dict[str, tuple[A, A]] = field(default_factory=dict)
    unbounded: bool = False


@dataclass
class Weight:
    """h at standard normal points, n x coordinates -> n, and the path of each point."""

    module: ast.Module
    data: dict[str, Any]
    shapes: dict[str, Shape]
    guide: Guide
    count: int = 0

    def coordinates(self) -> list[tuple[str, int, bool]]:
        """(site, flat element, noise) of every coordinate."""
        return [(k, i, s.noise) for k, s in self.shapes.items() for i in range(int(np.prod(s.coordinates, initial=1)))]

    def __call__(self, e: A) -> tuple[A, A]:
        n, at, eps = len(e), 0, {}
        self.count += n
        for k, s in self.shapes.items():
            size = int(np.prod(s.coordinates, initial=1))
            eps[k] = e[:, at : at + size].reshape(n, *s.coordinates)
            at += size
        u = as_u(self.shapes, self.guide, eps)
        given = {k: drawn(s, u[k], self.module, self.data) if s.noise else u[k] for k, s in self.shapes.items()}
        r = evaluate(self.module, self.data, given, n)
        h = r.log_joint + r.log_jacobian
        for k, s in self.shapes.items():
            if s.outcomes:
                log_q = np.take_along_axis(self.guide.log_probabilities(k)[None], u[k][..., None], -1)[..., 0]
                for column in u[k].reshape(n, -1).T:
                    r.path = (r.path ^ (column + 7).astype(np.uint64)) * HASH
            elif not s.noise:
                log_q = -0.5 * eps[k] ** 2 - self.guide.log_scale[k] - 0.5 * np.log(2 * np.pi)
            if not s.noise:
                h = h - np.where(r.exists[k], log_q, 0.0).reshape(n, -1).sum(axis=1)
        return h, r.path


def drawn(s: Shape, eps: A, module: ast.Module, data: dict[str, Any]) -> A:
    """Noise as the interpreter takes it: draws where the distribution is sampled, through its quantiles."""
    from densities import SAMPLED, from_normal

    if s.distribution not in SAMPLED:
        return eps
    law = next(x for x in walk(module.statements) if isinstance(x, ast.Sample) and x.distribution.name == s.distribution
               and x.noise)  # fmt: skip
    from interpreter import Interpreter

    run = Interpreter(1, data, {}, constrained=True)
    for x in module.statements:
        if isinstance(x, ast.Data):
            run.data_statement(x)
    return from_normal(s.distribution, eps, run.arguments(law.distribution, np.ones(1, bool)))


def walk(stmts: tuple[ast.Statement, ...]) -> list[ast.Statement]:
    out: list[ast.Statement] = []
    for s in stmts:
        out.append(s)
        for inner in ("then", "orelse", "body"):
            if not isinstance(s, ast.Function):
                out += walk(getattr(s, inner, ()))
    return out


# ------------------------------------------------------------------ one line per row


@dataclass(frozen=True)
class Seen:
    """At changes of path: the largest jump of h, and whether it is unbounded towards one."""

    jump: float = 0.0
    unbounded: bool = False

    def __or__(self, other: Seen) -> Seen:
        return Seen(max(self.jump, other.jump), self.unbounded or other.unbounded)


def line_moments(h: Callable[[A, A], tuple[A, A]], rows: int, shift: A, panels: int = PANELS) -> tuple[A, Seen]:
    """rows x 3: integrals of h * (1, e, e^2 - 1) * N(e; 0, 1) along each line, and what is seen at changes of path.

    ``h(row, e)`` evaluates points given by line number and place. `shift` in [0, 1) moves the panels of each line, so
    that a region too thin to be seen is missed by chance and not by design.
    """
    edges = panel_edges(rows, shift, panels)
    a, b = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    row = np.repeat(np.arange(rows), edges.shape[1] - 1)
    places = np.concatenate([a[:, None], nodes(a, b)], axis=1)  # the left edge and the nodes of every panel
    value, path = (x.reshape(places.shape) for x in h(np.repeat(row, ORDER + 1), places.ravel()))
    next_path = np.append(path[1:, 0], 0)
    last = np.append(row[1:] != row[:-1], True)
    next_path[last] = path[last, -1]
    split = np.any(path != next_path[:, None], axis=1)
    out = np.zeros((rows, 3))
    whole = ~split
    add(out, row[whole], places[whole, 1:], value[whole, 1:], (b - a)[whole])
    if not np.any(split):
        return out, Seen()
    cuts_row, cuts, seen = find_changes(h, row[split], places[split], path[split], b[split], next_path[split])
    # Panels between the ends of a split panel and the changes inside it.
    ends = np.concatenate([a[split], b[split], cuts])
    owner = np.concatenate([np.arange(split.sum()), np.arange(split.sum()), cuts_row])
    order = np.lexsort((ends, owner))
    ends, owner = ends[order], owner[order]
    inner = owner[1:] == owner[:-1]
    a2, b2, r2 = ends[:-1][inner], ends[1:][inner], row[split][owner[1:][inner]]
    # Two halves each: a panel that was cut may carry a boundary layer.
    mid = (a2 + b2) / 2
    a2, b2, r2 = np.concatenate([a2, mid]), np.concatenate([mid, b2]), np.concatenate([r2, r2])
    places = nodes(a2, b2)
    value, _ = h(np.repeat(r2, ORDER), places.ravel())
    add(out, r2, places, value.reshape(places.shape), b2 - a2)
    return out, seen


def panel_edges(rows: int, shift: A, panels: int = PANELS) -> A:
    """Panels on [-REACH, REACH], finer in the middle, moved by `shift` of a panel."""
    t = (np.arange(1, panels)[None] - 1 + shift[:, None]) / (panels - 1) * 2 - 1
    inner = np.sinh(1.2 * t) / np.sinh(1.2) * REACH
    return np.concatenate([np.full((rows, 1), -REACH), inner, np.full((rows, 1), REACH)], axis=1)


def nodes(a: A, b: A) -> A:
    return (a + b)[:, None] / 2 + (b - a)[:, None] / 2 * NODES


def add(out: A, row: A, places: A, value: A, width: A) -> None:
    w = np.exp(-0.5 * places**2) / np.sqrt(2 * np.pi) * WEIGHTS * width[:, None] / 2
    value = np.where(w > 1e-300, value, 0.0) * w
    for k, factor in enumerate((1.0, places, places**2 - 1)):
        np.add.at(out[:, k], row, (value * factor).sum(axis=1))


def find_changes(h: Callable[[A, A], tuple[A, A]], row: A, places: A, path: A, b: A, path_b: A) -> tuple[A, A, Seen]:
    """Where the path changes: (number of the panel, place), and what is seen there.

    Of more than MOST_CHANGES those nearest to zero: `round(x^2)`, x log-normal, changes a million times far out. There
    the nodes fall on either side of a change by chance, and the spread over the scrambles says what that matters.
    """
    grid = np.concatenate([places, b[:, None]], axis=1)
    paths = np.concatenate([path, path_b[:, None]], axis=1)
    panel, k = np.nonzero(paths[:, 1:] != paths[:, :-1])
    lo, hi, p_lo, p_hi = grid[panel, k], grid[panel, k + 1], paths[panel, k], paths[panel, k + 1]
    for _ in range(BISECTIONS):
        if len(panel) > MOST_CHANGES:
            near = np.argpartition(np.abs(lo), MOST_CHANGES)
            assert np.abs(lo[near[MOST_CHANGES]]) > NEGLIGIBLE, "more changes than can be followed"
            near = np.sort(near[:MOST_CHANGES])
            panel, lo, hi, p_lo, p_hi = (x[near] for x in (panel, lo, hi, p_lo, p_hi))
        mid = (lo + hi) / 2
        _, p = h(row[panel], mid)
        left, right = p != p_lo, p != p_hi
        panel = np.concatenate([panel[left], panel[right]])
        lo, hi, p_lo, p_hi = (
            np.concatenate([x[left], y[right]]) for x, y in ((lo, mid), (mid, hi), (p_lo, p), (p, p_hi))
        )
    before, after = h(row[panel], lo)[0], h(row[panel], hi)[0]
    near = np.abs(lo) < NEAR
    gap = np.abs(after - before)[near]
    grows = any(grows_towards(h, row[panel][near], x[near], y[near], p[near])
                for x, y, p in ((lo, hi, p_lo), (hi, lo, p_hi)))  # fmt: skip
    return panel, (lo + hi) / 2, Seen(float(gap[np.isfinite(gap)].max(initial=0.0)), grows)


def grows_towards(h: Callable[[A, A], tuple[A, A]], row: A, near: A, beyond: A, path: A) -> bool:
    """Whether h grows like a logarithm or faster towards a change of path between `near` and `beyond`: by as much for
    each power of the distance, where a root grows by ever less."""
    if not len(near):
        return False
    places = [near + k * (near - beyond) for k in (0.0, *AWAY)]
    found = [h(row, x) for x in places]
    same = np.all([p == path for _, p in found], axis=0)
    (at, _), (close, _), (far, _) = found
    with np.errstate(invalid="ignore"):
        last, first = np.abs(at - close), np.abs(close - far)
        return bool(np.any(same & np.isfinite(close) & (last > GROWTH) & (last > 0.5 * first)))


# -------------------------------------------------------------------------- the whole


def exact(module: ast.Module, data: dict[str, Any], guide: Guide, *, lines: int = 128, scrambles: int = 16,
          panels: int = PANELS, seed: int = 0) -> Exact:  # fmt: skip
    """The ELBO and its gradient. `lines` is per scramble and coordinate, a power of two; each has so many `panels`."""
    weight = Weight(module, data, sites(module, data), guide)
    coordinates = weight.coordinates()
    d = len(coordinates)
    rng = np.random.default_rng([seed, 23])
    elbos: list[A] = []
    loc = {k: (np.zeros(v.shape), np.zeros(v.shape)) for k, v in guide.loc.items()}
    log_scale = {k: (np.zeros(v.shape), np.zeros(v.shape)) for k, v in guide.loc.items()}
    logits = {k: (np.zeros(v.shape), np.zeros(v.shape)) for k, v in guide.logits.items()}
    seen = Seen()
    for c, (site, element, noise) in enumerate(coordinates):
        if noise:
            continue
        rest = (
            np.concatenate([outer_points(d - 1, lines, rng) for _ in range(scrambles)])
            if d > 1
            else np.zeros((scrambles * 8, 0))
        )

        def along(row: A, e: A, c: int = c, rest: A = rest) -> tuple[A, A]:
            return weight(np.concatenate([rest[row, :c], e[:, None], rest[row, c:]], axis=1))

        if site in guide.logits:
            gap, elbo_groups = differences(along, len(rest), guide, logits, site, element, scrambles)
            seen |= Seen(gap)
            elbos.append(elbo_groups)
            continue
        moments, at_changes = line_moments(along, len(rest), rng.random(len(rest)), panels)
        seen |= at_changes
        groups = moments.reshape(scrambles, -1, 3).mean(axis=1)
        elbos.append(groups[:, 0])
        mean, se = groups.mean(axis=0), groups.std(axis=0, ddof=1) / np.sqrt(len(groups))
        scale = float(np.exp(guide.log_scale[site].flat[element]))
        for table, k, by in ((loc, 1, scale), (log_scale, 2, 1.0)):
            table[site][0].flat[element], table[site][1].flat[element] = mean[k] / by, se[k] / by
    every = np.concatenate(elbos)
    elbo = float(every.mean()), float(every.std(ddof=1) / np.sqrt(len(every)))
    return Exact(elbo, loc, log_scale, seen.jump, weight.count, logits, seen.unbounded)


def differences(
    along: Callable[[A, A], tuple[A, A]],
    rows: int,
    guide: Guide,
    logits: dict[str, tuple[A, A]],
    site: str,
    element: int,
    scrambles: int,
) -> tuple[float, A]:
    """Enters the gradient in the logits of a discrete latent: every outcome is tried. Returns the largest jump and the
    ELBO of each scramble. With H_k the mean under outcome k, d/d logit_j = p_j (H_j - sum_k p_k H_k)."""
    p = np.exp(guide.log_probabilities(site)).reshape(-1, guide.log_probabilities(site).shape[-1])[element]
    inside = special.ndtri(np.cumsum(p) - p / 2)
    h = np.stack([along(np.arange(rows), np.full(rows, e))[0] for e in inside])
    groups = h.reshape(len(p), scrambles, -1).mean(axis=2)
    elbo = p @ groups
    d = p[:, None] * (groups - elbo)
    d = d[1:] if site in guide.binary else d
    mean, se = d.mean(axis=1), d.std(axis=1, ddof=1) / np.sqrt(scrambles)
    for table, values in zip(logits[site], (mean, se), strict=True):
        table.reshape(-1, len(values))[element] = values
    gap = np.abs(h[1:] - h[:-1])
    return float(gap[np.isfinite(gap)].max(initial=0.0)), elbo


def outer_points(d: int, n: int, rng: np.random.Generator) -> A:
    """A scrambled Sobol set as standard normals."""
    uniform = stats.qmc.Sobol(d, seed=rng).random(n)
    return special.ndtri(np.clip(uniform, 1e-15, 1 - 1e-15))
