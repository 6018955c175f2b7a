"""The whole comparison of one program: density, then the combined and the interior estimator against the oracle."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from density import HARDLY_OPTIMISED, Guide, density_faults, random_guide, read
from exact import Exact, exact
from generator import Program
from interpreter import sites
from scipy import stats

import ppl

A = np.ndarray
LIMIT = 5.0
JUMP = 1e-4  # a smaller jump of the log density is a kink seen through rounding
CHUNK = 250  # draws per key


@dataclass(frozen=True)
class Verdict:
    """`status`: ok, rejected, crash, density, gradient. `code` is the diagnostic of a rejected program.

    `jumps`: the program jumps where a parameter can see it. `interior_z` is the largest deviation of plain automatic
    differentiation in standard errors (None if that was not computed), `z` that of the combined estimator.
    """

    seed: int
    status: str
    detail: str = ""
    code: str = ""
    jumps: bool = False
    z: float = 0.0
    interior_z: float | None = None
    boundaries: int = 0
    rerun: bool = False
    components: dict[str, tuple[float, ...]] = field(default_factory=dict)


Estimate = dict[str, tuple[float, float]]  # component -> mean, standard error


def check(program: Program, draws: int = 100_000, build: Callable[[str], Any] = ppl.compile, *, rerun: bool = True,
          limit: float = LIMIT, interior: bool = True, lines: int = 128) -> Verdict:  # fmt: skip
    """Compiles a program and compares all it computes with the oracle.

    A component outside `limit` standard errors is called a fault if, with `rerun`, it is so again with new seeds, ten
    times the draws and eight times the lines of the oracle (`lines` at first). `interior` asks for plain automatic
    differentiation too.
    """
    seed = program.seed
    try:
        with jax.enable_x64(True):
            problem = build(program.text).bind(program.data)
    except ppl.PplError as refusal:
        first = next(d for d in refusal.diagnostics if d.severity == "error")
        known = first.code[3] in "46" or first.code == "PPL207"  # or an index from state that only data decide
        status = "rejected" if known else "crash"
        return Verdict(seed, status, first.headline(), first.code)
    except Exception:
        return Verdict(seed, "crash", traceback.format_exc(limit=-4))
    module = read(program.text)
    guide = random_guide(sites(module, program.data), seed)
    try:
        faults = density_faults(module, program.data, problem, guide, seed)
        if faults:
            return Verdict(seed, "density", "; ".join(faults))
        return gradient_verdict(program, problem, module, guide, draws, rerun, limit, interior, lines)
    except Exception:
        return Verdict(seed, "crash", traceback.format_exc(limit=-6))


def gradient_verdict(program: Program, problem: Any, module: Any, guide: Guide, draws: int, rerun: bool,
                     limit: float, interior: bool, lines: int) -> Verdict:  # fmt: skip
    boundaries = sum(g.count for g in problem.guards if g.status in ("boundary", "marginalised"))
    z, plain_z, truth, components = 0.0, None, None, {}
    for again in (False, True):
        more = 10 if again else 1
        truth = exact(module, program.data, guide, lines=lines * (8 if again else 1), seed=program.seed + again)
        kinds = ("combined", "interior") if interior and truth.jumps > JUMP else ("combined",)
        found = estimate(problem, guide, kinds, draws * more, program.seed + (1_000_003 if again else 0))
        components = deviations(found[0], truth)
        z = max(c[0] for c in components.values())
        if len(kinds) > 1:
            plain_z = max(c[0] for name, c in deviations(found[1], truth).items() if name != "elbo")
        if z <= limit or not rerun:
            break
    bad = {k: c for k, c in components.items() if not c[0] <= limit}
    detail = "; ".join(f"{k}: got {c[1]:.6g} +- {c[2]:.2g}, exact {c[3]:.6g} +- {c[4]:.2g}" for k, c in bad.items())
    return Verdict(
        program.seed,
        "gradient" if bad else "ok",
        detail,
        "",
        truth.jumps > JUMP,
        z,
        plain_z,
        boundaries,
        again,
        components,
    )


def estimate(problem: Any, guide: Guide, kinds: tuple[str, ...], draws: int, seed: int) -> list[Estimate]:
    """Averages of estimators over the same draws."""
    with jax.enable_x64(True):
        params = {"loc": {k: jax.numpy.asarray(v) for k, v in guide.loc.items()},
                  "log_scale": {k: jax.numpy.asarray(v) for k, v in guide.log_scale.items()}}  # fmt: skip
        fns = [problem.elbo_and_grad(guide="meanfield", estimator=e, samples=CHUNK) for e in kinds]
        keys = jax.random.split(jax.random.PRNGKey(seed), draws // CHUNK)
        run = jax.jit(lambda p, ks: jax.lax.map(lambda k: [fn(p, k) for fn in fns], ks))
        compiled = run.lower(params, keys).compile(compiler_options=dict(HARDLY_OPTIMISED))
        found = jax.tree.map(lambda x: np.asarray(x, float), compiled(params, keys))
    return [summary(*f) for f in found]


def summary(elbo: A, grad: dict[str, dict[str, A]]) -> Estimate:
    out = {"elbo": moments(elbo)}
    for part in ("loc", "log_scale"):
        for site, x in grad[part].items():
            flat = x.reshape(len(x), -1)
            for i in range(flat.shape[1]):
                out[name(part, site, i, x.ndim > 1)] = moments(flat[:, i])
    return out


def name(part: str, site: str, i: int, array: bool) -> str:
    return f"d/d{part} {site}[{i}]" if array else f"d/d{part} {site}"


def moments(x: A) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))


def deviations(got: Estimate, truth: Exact) -> dict[str, tuple[float, ...]]:
    """component -> (z, mean, its error, exact, its error)."""
    # The oracle's error comes from few scrambles: its Student quantile at 5 sigma, over 5.
    widen = float(stats.t.isf(stats.norm.sf(LIMIT), 15)) / LIMIT
    want = {"elbo": truth.elbo}
    for part, table in (("loc", truth.loc), ("log_scale", truth.log_scale)):
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


def same_fault(verdict: Verdict, draws: int) -> Callable[[Program], bool]:
    """The test of the shrinker: whether a smaller program has this fault too."""
    word = next((w for w in reversed(verdict.detail.split()) if w.endswith("Error:")), "")

    def fails(program: Program) -> bool:
        if verdict.status == "crash":
            crash = crash_of(program)
            return crash is not None and word in crash
        found = check(program, draws, rerun=False, limit=1.5 * LIMIT)
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
