"""What an unbiased gradient costs: the compiler's estimators beside those of the literature, on five of its models.

    python benchmarks/performance.py [--quick] [--models NAME ...] [--parts PART ...] [--out docs/performance]

Writes ``OUT.md`` and ``OUT.json``. Times that are compared are measured in one process, kept on one core, in processor
seconds, in interleaved rounds, of which the median counts. A gradient includes drawing its noise. `--quick` cuts draws
and steps to see that it runs. Of the parts, `spread` and `trained` take longest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from peers import estimators, report
from peers.measure import Gradient, Method, moments, on_one_core, times, train
from peers.models import MODELS, Model

import ppl

HERE = Path(__file__).resolve().parent
LITERATURE = HERE / "literature"
PLAIN = {"noise": "independent", "marginalise": False}  # the boundary form with independent draws, as in the papers
OURS = {
    "combined": ("combined", {}),
    "combined, plain": ("combined", PLAIN),
    "interior": ("interior", {}),
    "interior, plain": ("interior", PLAIN),
    "score": ("score", PLAIN),
}
SMOOTH = (0.06, 0.14)  # the temperatures of Wagner, Khajwal & Ong (2024)
FULL_STEPS = 1000  # after so many steps a temperature that decays is lower by the square root of 2
STEPS_BEFORE_TRAINED = 5000
PARTS = ("time", "spread", "trained", "numpyro", "scaling")
DTYPES = {"f32": jnp.float32, "f64": jnp.float64}
BATCHES = (16, 256)


# --------------------------------------------------------------------------------------------------------- methods


def ours(model: Model, name: str) -> Method:
    """An estimator of the compiler, with params as a vector in the order of the hand-written model."""
    estimator, options = OURS[name]
    problem = ppl.load(str(LITERATURE / f"{model.name}.ppl")).bind(model.data)

    def flat(params: Any) -> jax.Array:
        return jnp.concatenate([jnp.ravel(params[p][s]) for p in ("loc", "log_scale") for s, _ in model.sites])

    def unflat(vector: jax.Array) -> Any:
        ends = np.cumsum([size for _, size in model.sites])[:-1]
        like = problem.init_params(dtype=vector.dtype)
        return {
            part: {
                s: v.reshape(like[part][s].shape) for (s, _), v in zip(model.sites, jnp.split(half, ends), strict=True)
            }
            for part, half in zip(("loc", "log_scale"), jnp.split(vector, 2), strict=True)
        }

    def make(batch: int, dtype: Any) -> Gradient:
        return problem.elbo_and_grad(estimator=estimator, samples=batch, **options)

    return Method(name, make, lambda dtype: problem.init_params(dtype=dtype), flat, unflat)


def peer(model: Model, name: str, sample: estimators.Sample) -> Method:
    """An estimator of the literature on the hand-written model."""
    fn = estimators.gradient(sample)

    def make(batch: int, dtype: Any) -> Gradient:
        return lambda params, key: fn(params, *estimators.noise(model, key, batch, dtype))

    def start(dtype: Any) -> Any:
        return {"loc": jnp.zeros(model.size, dtype), "log_scale": jnp.zeros(model.size, dtype)}

    return Method(name, make, start, lambda p: jnp.concatenate([p["loc"], p["log_scale"]]),
                  lambda v: dict(zip(("loc", "log_scale"), jnp.split(v, 2), strict=True)))  # fmt: skip


def decaying(model: Model, first: float) -> Method:
    """Smoothing whose temperature falls with the square root of the steps, from `first` at the start."""

    def at_step(batch: int, dtype: Any) -> Any:
        def fn(params: Any, key: jax.Array, step: jax.Array) -> tuple[jax.Array, Any]:
            temperature = first * jnp.sqrt(FULL_STEPS / (FULL_STEPS + step)).astype(dtype)
            sample = estimators.smoothed(model, temperature)
            return estimators.gradient(sample)(params, *estimators.noise(model, key, batch, dtype))

        return fn

    fixed = peer(model, f"smoothed {first}, decaying", estimators.smoothed(model, first))
    return replace(fixed, at_step=at_step)


def methods(model: Model) -> dict[str, Method]:
    found = {name: ours(model, name) for name in OURS}
    found["interior, by hand"] = peer(model, "interior, by hand", estimators.interior(model))
    found["LYY18"] = peer(model, "LYY18", estimators.lyy18(model))
    for t in SMOOTH:
        found[f"smoothed {t}"] = peer(model, f"smoothed {t}", estimators.smoothed(model, t))
    return found


def check(model: Model, method: Method) -> None:
    """The program and the hand-written model are the same density. Raises AssertionError where they are not."""
    problem = ppl.load(str(LITERATURE / f"{model.name}.ppl")).bind(model.data)
    if model.noise:
        return  # noise is drawn inside; the averages below are compared instead
    rng = np.random.default_rng(1)
    for _ in range(5):
        u = jnp.asarray(rng.normal(0, 1.5, model.size)).at[np.asarray(model.inert, int)].set(0.0)
        mine = method.unflat(jnp.concatenate([u, jnp.zeros(model.size)]))
        params = {"loc": jax.tree.map(jnp.zeros_like, mine["loc"]), "log_scale": mine["log_scale"]}
        want = model.h(u, jnp.zeros(0), jax.scipy.stats.norm.logpdf(u), estimators.hard)
        got = problem.log_weight(params, mine["loc"])
        np.testing.assert_allclose(got, want, rtol=1e-9)


# -------------------------------------------------------------------------------------------------------- sections


def price(model: Model, found: dict[str, Method]) -> dict[str, Any]:
    """Time per gradient, microseconds: {dtype: {batch: {method: ...}}}."""
    out: dict[str, Any] = {}
    for dtype_name, dtype in DTYPES.items():
        with jax.enable_x64(dtype_name == "f64"):  # as users of single precision have it
            out[dtype_name] = {
                str(batch): times({n: (m.make(batch, dtype), m.start(dtype)) for n, m in found.items()})
                for batch in BATCHES
            }
    return out


def spread(model: Model, found: dict[str, Method], trained: np.ndarray, draws: int) -> dict[str, Any]:
    """Variance per draw, mean over parameters, and squared bias of a batch of 16, at the start and trained."""
    active = np.setdiff1d(np.arange(2 * model.size), [i + k for i in model.inert for k in (0, model.size)])
    out: dict[str, Any] = {}
    for where, vector in (("start", np.zeros(2 * model.size)), ("trained", trained)):
        truth = moments(found["combined"], found["combined"].unflat(jnp.asarray(vector)), 256, 8 * draws, seed=1)
        rows: dict[str, Any] = {}
        for name, method in found.items():
            m = moments(method, method.unflat(jnp.asarray(vector)), 16, draws)
            off = m.mean - truth.mean
            noise = m.error**2 + truth.error**2
            rows[name] = {
                "variance": float(np.mean(m.variance[active]) * 16),
                "bias2": float(max(np.mean((off**2 - noise)[active]), 0.0)),
            }
        out[where] = rows
    return out


def elbo(model: Model, vectors: np.ndarray, draws: int) -> list[float]:
    """The ELBO of flat params (rows, parameters), float64, by the hand-written model and the same noise for all."""
    eps, e, _ = estimators.noise(model, jax.random.key(5), draws, jnp.float64)

    def one(vector: jax.Array) -> jax.Array:
        params = dict(zip(("loc", "log_scale"), jnp.split(vector, 2), strict=True))
        sample = estimators.interior(model)
        return jnp.mean(jax.lax.map(lambda x: sample(params, *x, jnp.zeros(())), (eps, e), batch_size=1000))

    return [float(jax.jit(one)(jnp.asarray(v, jnp.float64))) for v in vectors]


def trained_elbos(model: Model, found: dict[str, Method], steps: int, seeds: int, draws: int) -> dict[str, Any]:
    """The ELBO of every seed after `steps` Adam steps at batch 16 in float32, and seconds for one run."""
    out: dict[str, Any] = {}
    for name, method in found.items():
        began = time.perf_counter()
        vectors = train(method, steps, seeds)
        seconds = (time.perf_counter() - began) / seeds
        out[name] = {"elbos": elbo(model, vectors, draws), "seconds": seconds}
    return out


def numpyro_steps(names: list[str]) -> dict[str, Any]:
    """Microseconds per Adam step of NumPyro's SVI and of ours at the same number of draws, float32."""
    import optax
    from peers import numpyro_svi

    out: dict[str, Any] = {}
    for name in names:
        if name not in numpyro_svi.PROGRAMS:
            continue
        model = MODELS[name]()
        for particles in (1, 16):
            theirs, run = numpyro_svi.steps(model, particles, 0.0015)
            method = ours(model, "combined")
            fn, adam = method.make(particles, jnp.float32), optax.adam(0.0015)

            start, unflat = ravel_pytree(method.start(jnp.float32))

            def mine(state: Any, n: int, fn: Gradient = fn, adam: Any = adam, unflat: Any = unflat) -> Any:
                def step(i: jax.Array, s: Any) -> Any:
                    params, opt, key = s  # one vector, as in `pplc infer`
                    g = ravel_pytree(fn(unflat(params), jax.random.fold_in(key, i))[1])[0]
                    moved, opt = adam.update(-g, opt)
                    return params + moved, opt, key

                return jax.lax.fori_loop(0, n, step, state)

            state = (start, adam.init(start), jax.random.key(0))
            functions: dict[str, tuple[Callable[[Any, int], Any], Any]] = {
                "NumPyro": (run, theirs), "combined": (jax.jit(mine, static_argnums=1), state),
            }  # fmt: skip
            out[f"{name}, {particles}"] = _per_step(functions)
    return out


def _per_step(functions: dict[str, tuple[Callable[[Any, int], Any], Any]], n: int = 3000) -> dict[str, float]:
    found: dict[str, list[float]] = {k: [] for k in functions}
    for k, (run, state) in functions.items():
        jax.block_until_ready(run(state, n))
        del k
    for _ in range(5):
        for k, (run, state) in functions.items():
            began = time.process_time()
            jax.block_until_ready(run(state, n))
            found[k].append((time.process_time() - began) / n * 1e6)
    return {k: float(np.median(v)) for k, v in found.items()}


# --------------------------------------------------------------------------------------------------------- scaling

CHANGE_POINT = """
data n: int
data count: int[n]
early  ~ LogNormal(2.6, 0.8)
late   ~ LogNormal(2.6, 0.8)
change ~ Uniform(0, n)
for day in 0..n {
    observe count[day] ~ Poisson(if day < change then early else late)
}
"""
HYSTERESIS = """
data T: int
data reading: real[T]
var temp: real[T]
temp[0] ~ Normal(20, 0.5)
observe reading[0] ~ Normal(temp[0], 1)
cooling = 0
for t in 1..T {
    if temp[t-1] < 18 { cooling = 0 } else if temp[t-1] > 22 { cooling = 1 }
    temp[t] ~ Normal(temp[t-1] + (32 - temp[t-1] - 21 * cooling) / 15, 0.3)
    observe reading[t] ~ Normal(temp[t], 1)
}
"""
FAMILIES = {"change point": (CHANGE_POINT, "count", (100, 1000, 10_000, 100_000, 1_000_000)),
            "thermostat": (HYSTERESIS, "reading", (20, 200, 2000))}  # fmt: skip


def peak_megabytes() -> float:
    """The most memory that this process has held. What getrusage says includes that of its parent, on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(x for x in status.read_text().splitlines() if x.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scale_one(family: str, n: int) -> dict[str, float]:
    """One size in this process: microseconds per gradient (16 draws, float32), seconds to bind and compile, peak MB."""
    source, field, _ = FAMILIES[family]
    rng = np.random.default_rng(0)
    values = rng.poisson(np.where(np.arange(n) < n // 2, 15, 20)) if field == "count" else 20 + np.sin(np.arange(n) / 5)
    base = peak_megabytes()
    began = time.perf_counter()
    model = ppl.compile(source)
    problem = model.bind({field: values})
    bind = time.perf_counter() - began
    out: dict[str, float] = {"bind_s": bind, "lines": float(model.source_code.count("\n"))}
    params = problem.init_params(dtype=jnp.float32)
    for estimator in ("interior", "combined"):
        found = times({estimator: (problem.elbo_and_grad(estimator=estimator, samples=16), params)}, rounds=5)[
            estimator
        ]
        out |= {f"{estimator}_us": found["us"], f"{estimator}_compile_s": found["compile_s"]}
    out["peak_mb"] = peak_megabytes()
    out["base_mb"] = base
    return out


def scaling(quick: bool) -> dict[str, Any]:
    """Every size in a process of its own, for its peak memory."""
    out: dict[str, Any] = {}
    for family, (_, _, sizes) in FAMILIES.items():
        out[family] = {}
        for n in sizes[: 2 if quick else None]:
            done = subprocess.run([sys.executable, __file__, "--one", family, str(n)], capture_output=True, text=True)
            out[family][str(n)] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-300:]}
    return out


# ------------------------------------------------------------------------------------------------------------ main


def machine() -> str:
    cpu = platform.processor()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        named = [x.split(":")[1].strip() for x in listing.read_text().splitlines() if x.startswith("model name")]
        cpu = next(iter(named), cpu)
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__} on the CPU"


def measure(names: list[str], parts: list[str], quick: bool, result: dict[str, Any], save: Callable[[], None]) -> None:
    """Enters the `parts` of these models into `result`, and saves after each."""
    draws, steps, seeds = (1600, 500, 2) if quick else (128_000, 50_000, 5)
    result["machine"] = machine()
    for name in names:
        model, row = MODELS[name](), result.setdefault("models", {}).setdefault(name, {})
        row["lines"] = ppl.load(str(LITERATURE / f"{name}.ppl")).source_code.count("\n")
        found = methods(model)
        check(model, found["combined"])
        if "time" in parts:
            row["time"] = price(model, found)
        if "spread" in parts:
            trained = train(found["combined"], min(steps, STEPS_BEFORE_TRAINED), 1)[0]
            row["spread"] = spread(model, found, trained, draws)
        if "trained" in parts:
            optimised = {k: m for k, m in found.items() if k != "score"}
            optimised |= {m.name: m for m in (decaying(model, t) for t in SMOOTH)}
            row["trained"] = trained_elbos(model, optimised, steps, seeds, 1000 if quick else 100_000)
        save()
        print(f"measured {name}", file=sys.stderr)
    if "numpyro" in parts:
        with jax.enable_x64(False):
            result["numpyro"] = numpyro_steps(names)
        save()
    if "scaling" in parts:
        result["scaling"] = scaling(quick)
        save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few draws and steps")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these, added to OUT.json")
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.json; without it the tables go to stdout")
    parser.add_argument("--one", nargs=2, metavar=("FAMILY", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    on_one_core()
    if options.one:
        print(json.dumps(scale_one(options.one[0], int(options.one[1]))))
        return
    jax.config.update("jax_enable_x64", True)
    kept = options.out.with_suffix(".json") if options.out is not None else None
    result = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}

    def save() -> None:
        if kept is not None:
            kept.write_text(json.dumps(result, indent=1) + "\n")

    measure(options.models, options.parts, options.quick, result, save)
    missing = sorted(p for p in PARTS if p not in result and not all(p in m for m in result["models"].values()))
    if missing:
        print(f"no tables yet: {', '.join(missing)} to be measured", file=sys.stderr)
    elif options.out is None:
        print(report.page(result))
    else:
        options.out.with_suffix(".md").write_text(report.page(result))


if __name__ == "__main__":
    main()
