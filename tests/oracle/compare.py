"""The whole comparison of one program: density, then the combined and the interior estimator against the oracle.

The gradient is judged in stages, each with new draws. Few draws settle most programs: everything within 3 standard
errors, and these small enough that the boundary terms (what plain automatic differentiation misses) are 5 of them.
The others go on to more draws and a finer oracle. What is outside 5 standard errors at the last stage is a fault.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from density import HARDLY_OPTIMISED, Guide, density_faults, random_guide, read
from exact import PANELS, Exact, exact
from generator import Program
from interpreter import sites
from scipy import stats

import ppl

A = np.ndarray
LIMIT = 5.0
JUMP = 1e-4  # a smaller jump of the log density is a kink seen through rounding
GROUP = 128  # quasi-random draws that make one value of an average
BIAS = 10.0  # plain automatic differentiation is told from the truth


@dataclass(frozen=True)
class Stage:
    """So many draws, and lines of the oracle per coordinate and scramble. A program passes if no component is further
    than `limit` standard errors from the oracle and plain differentiation's bias is at least `power` of them."""

    draws: int
    lines: int
    limit: float
    power: float = 0.0
    panels: int = PANELS  # that a line is cut into: a region thinner than one may be missed


STAGES = (
    Stage(2_048, 32, 3.0, 5.0),
    Stage(15_360, 128, 3.5),
    Stage(100_000, 128, LIMIT),
    Stage(100_000, 128, LIMIT, panels=8 * PANELS),
    Stage(1_000_000, 1024, LIMIT),
)
SHRINKING = (Stage(10_000, 64, 4.0), Stage(100_000, 128, LIMIT))
PLAIN_DRAWS = 50_000  # of plain automatic differentiation, which is cheap
PLAIN_AGAIN = Stage(1_000_000, 512, BIAS)  # where so many do not tell it from the truth


@dataclass(frozen=True)
class Verdict:
    """`status`: ok, rejected, crash, density, class, gradient. `code` is the diagnostic of a rejected program. `class`:
    a guard takes the score estimator, or does not, which a branch that is unbounded there tells.

    `jumps`: the program jumps where a parameter can see it. `interior_z` is the largest deviation of plain automatic
    differentiation in standard errors (None if that was not computed), `z` that of the combined estimator, `power` the
    largest bias of plain differentiation in standard errors of the combined estimator. `stage` decided, from 0.
    """

    seed: int
    status: str
    detail: str = ""
    code: str = ""
    jumps: bool = False
    z: float = 0.0
    interior_z: float | None = None
    power: float | None = None
    boundaries: int = 0
    stage: int = 0
    components: dict[str, tuple[float, ...]] = field(default_factory=dict)


Estimate = dict[str, tuple[float, float]]  # component -> mean, standard error


def check(program: Program, build: Callable[[str], Any] = ppl.compile, *, stages: tuple[Stage, ...] = STAGES,
          interior: bool = True) -> Verdict:  # fmt: skip
    """Compiles a program and compares all it computes with the oracle. `interior`: plain differentiation too."""
    seed, problem = program.seed, bound(program, build)
    if isinstance(problem, Verdict):
        return problem
    module = read(program.text)
    guide = random_guide(sites(module, program.data), seed)
    try:
        faults = density_faults(module, program.data, problem, guide, seed)
        if faults:
            return Verdict(seed, "density", "; ".join(faults))
        fault = class_fault(program, problem)
        if fault:
            return Verdict(seed, "class", fault)
        return gradient_verdict(program, problem, module, guide, stages, interior)
    except Exception:
        return Verdict(seed, "crash", traceback.format_exc(limit=-6))


def bound(program: Program, build: Callable[[str], Any]) -> Any:
    """The problem of a program and its data, or the verdict if the compiler does not take it."""
    try:
        with jax.enable_x64(True):
            return build(program.text).bind(program.data)
    except ppl.PplError as refusal:
        first = next(d for d in refusal.diagnostics if d.severity == "error")
        known = first.code[3] in "46" or first.code == "PPL207"  # or an index from state that only data decide
        status = "rejected" if known else "crash"
        return Verdict(program.seed, status, first.headline(), first.code)
    except Exception:
        return Verdict(program.seed, "crash", traceback.format_exc(limit=-4))


def classify(program: Program, build: Callable[[str], Any] = ppl.compile) -> Verdict:
    """Compiles a program and looks no further than at which of its guards take the score estimator."""
    problem = bound(program, build)
    if isinstance(problem, Verdict):
        return problem
    fault = class_fault(program, problem)
    return Verdict(program.seed, "class" if fault else "ok", fault)


def scored_lines(problem: Any) -> list[int]:
    """The lines of guards that take the score estimator."""
    return sorted({g.span.line for g in problem.guards if g.status == "score"})


def class_fault(program: Program, problem: Any) -> str:
    """What is wrong with which guards take the score estimator, of a program of which that is known."""
    lines, known = scored_lines(problem), program.unbounded_at
    if known is None or (not known and not lines) or set(known) & {*lines, *([0] if lines else [])}:
        return ""
    return f"score at lines {lines}, unbounded at {list(known)}"


def gradient_verdict(
    program: Program, problem: Any, module: Any, guide: Guide, stages: tuple[Stage, ...], interior: bool
) -> Verdict:
    seed = program.seed
    boundaries = sum(g.count for g in problem.guards if g.status in ("boundary", "marginalised"))
    combined, truth, grid = Estimator(problem, guide, "combined", program.budget), None, (0, 0)
    plain, plain_z, power = None, None, None
    for number, stage in enumerate(stages):
        if truth is None or (stage.lines, stage.panels) != grid:
            grid = stage.lines, stage.panels
            truth = exact(module, program.data, guide, lines=stage.lines, panels=stage.panels, seed=seed + number)
        if interior and plain is None and truth.jumps > JUMP:
            plain = Estimator(problem, guide, "interior")(PLAIN_DRAWS, seed)
        components = deviations(combined(stage.draws, seed + 1_000_003 * number), truth)
        z = max(c[0] for c in components.values())
        if plain is not None:
            plain_z, power = bias(plain, components, truth)
        if truth.unbounded and not scored_lines(problem):
            return Verdict(seed, "class", "the density is unbounded at a guard, and none takes the score estimator")
        if z <= stage.limit and (power is None or power >= stage.power):
            break
    if plain_z is not None and plain_z < BIAS and stages is STAGES:
        sharper = exact(module, program.data, guide, lines=PLAIN_AGAIN.lines, seed=seed + len(stages))
        plain_z, _ = bias(Estimator(problem, guide, "interior")(PLAIN_AGAIN.draws, seed), components, sharper)
    bad = {k: c for k, c in components.items() if not c[0] <= LIMIT}
    detail = "; ".join(f"{k}: got {c[1]:.6g} +- {c[2]:.2g}, exact {c[3]:.6g} +- {c[4]:.2g}" for k, c in bad.items())
    status = "gradient" if bad else "ok"
    return Verdict(seed, status, detail, "", truth.jumps > JUMP, z, plain_z, power, boundaries, number, components)


def bias(plain: Estimate, components: dict[str, tuple[float, ...]], truth: Exact) -> tuple[float, float]:
    """The largest bias of plain differentiation, in its own standard errors and in those of the combined estimator."""
    found = {k: c for k, c in deviations(plain, truth).items() if k != "elbo"}
    sharp = {k: abs(c[1] - c[3]) / (np.hypot(components[k][2], c[4]) + 1e-300) for k, c in found.items()}
    return max(c[0] for c in found.values()), float(max(sharp.values()))


class Estimator:
    """Averages of one estimator over draws; compiled once, and anew with more optimisation for very many draws."""

    def __init__(self, problem: Any, guide: Guide, kind: str, budget: int | None = 64) -> None:
        with jax.enable_x64(True):
            self.params = {"loc": {k: jax.numpy.asarray(v) for k, v in guide.loc.items()},
                           "log_scale": {k: jax.numpy.asarray(v) for k, v in guide.log_scale.items()}}  # fmt: skip
            if guide.logits:
                self.params["logits"] = {k: jax.numpy.asarray(v) for k, v in guide.logits.items()}
            # Quasi-random draws: most gradients are smooth in the noise but for what the estimator has to get right.
            options = {"samples": GROUP, "noise": "qmc", "marginalise": kind != "interior",
                       "boundary_budget": budget}  # fmt: skip
            of_group = problem.elbo_and_grad(guide="meanfield", estimator=kind, **options)

            def run(params: Any, seed: Any, group: Any) -> Any:
                # The key is made inside: outside, each operation on it would be compiled for every program.
                return of_group(params, jax.random.fold_in(jax.random.wrap_key_data(seed), group))

            self.lowered = jax.jit(run).lower(self.params, np.zeros(2, np.uint32), np.uint32(0))
        self.quick: Any = None
        self.optimised: Any = None

    def __call__(self, draws: int, seed: int) -> Estimate:
        many = draws >= 100_000
        if many and self.optimised is None:
            self.optimised = self.lowered.compile(compiler_options={"xla_backend_optimization_level": 1})
        if not many and self.quick is None:
            self.quick = self.lowered.compile(compiler_options=dict(HARDLY_OPTIMISED))
        run = self.optimised if many else self.quick
        with jax.enable_x64(True):
            found = [run(self.params, np.uint32([0, seed]), np.uint32(k)) for k in range(draws // GROUP)]
        tree = jax.tree.structure(found[0])
        values = [np.stack(leaf).astype(float) for leaf in zip(*map(jax.tree.leaves, found), strict=True)]
        few = widening(len(values[0]) - 1)
        errors = [few * v.std(axis=0, ddof=1) / np.sqrt(len(v)) for v in values]
        elbo, grad = tree.unflatten([v.mean(axis=0) for v in values])
        elbo_se, grad_se = tree.unflatten(errors)
        out = {"elbo": (float(elbo), float(elbo_se))}
        for part in grad:
            for site, x in grad[part].items():
                for i in range(x.size):
                    out[name(part, site, i, x.ndim > 0)] = float(x.flat[i]), float(grad_se[part][site].flat[i])
        return out


def name(part: str, site: str, i: int, array: bool) -> str:
    return f"d/d{part} {site}[{i}]" if array else f"d/d{part} {site}"


def widening(degrees: int) -> float:
    """What makes a standard error from few values safe at 5 of them: Student's quantile over the normal one."""
    return float(stats.t.isf(stats.norm.sf(LIMIT), degrees)) / LIMIT


def deviations(got: Estimate, truth: Exact) -> dict[str, tuple[float, ...]]:
    """component -> (z, mean, its error, exact, its error)."""
    widen = widening(15)  # of the oracle's scrambles
    want = {"elbo": truth.elbo}
    for part, table in (("loc", truth.loc), ("log_scale", truth.log_scale), ("logits", truth.logits)):
        for site, (value, error) in table.items():
            for i in range(value.size):
                want[name(part, site, i, value.ndim > 0)] = float(value.flat[i]), float(error.flat[i])
    out: dict[str, tuple[float, ...]] = {}
    for k, (mean, se) in got.items():
        exact_value, error = want[k]
        total = np.hypot(se, widen * error) + 1e-6 * (1 + abs(exact_value))
        z = abs(mean - exact_value) / total
        out[k] = (float(z) if np.isfinite(mean) else float("inf"), mean, se, exact_value, error)
    return out


def same_fault(verdict: Verdict) -> Callable[[Program], bool]:
    """The test of the shrinker: whether a smaller program has this fault too."""
    word = next((w for w in reversed(verdict.detail.split()) if w.endswith("Error:")), "")

    def fails(program: Program) -> bool:
        if verdict.status == "crash":
            crash = crash_of(program)
            return crash is not None and word in crash
        found = check(replace(program, unbounded_at=None), stages=SHRINKING, interior=False)  # lines move
        jax.clear_caches()
        return found.status == verdict.status

    return fails


def crash_of(program: Program) -> str | None:
    """The traceback of compiling, binding or tracing a program, without running it."""
    try:
        with jax.enable_x64(True):
            problem = ppl.compile(program.text).bind(program.data)
            fn = problem.elbo_and_grad(guide="meanfield", estimator="combined", samples=2)
            jax.eval_shape(fn, problem.init_params(), jax.random.PRNGKey(0))
    except ppl.PplError:
        return None
    except Exception:
        return traceback.format_exc(limit=-4)
    finally:
        jax.clear_caches()
    return None
