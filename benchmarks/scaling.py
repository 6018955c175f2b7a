"""How the cost of a gradient grows: time and memory against the number of observations or of steps.

    python benchmarks/scaling.py [--quick] [--models NAME ...]

Prints a table. Time is processor time, the least of several calls in one process; memory is what the compiled gradient
asks for beside its arguments. Batch 16, single precision, the default estimator unless the name says otherwise.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ppl

BATCH = 16

CHANGE = """
data n: int
data t: real[n]
data y: int[n]
early ~ LogNormal(1, 0.5)
late ~ LogNormal(1, 0.5)
tau ~ Uniform(0, 1000)
for i in 0..n { observe y[i] ~ Poisson(if tau > t[i] then early else late) }
"""
REGRESSION = """
data n: int
data t: real[n]
data x: real[n]
data z: real[n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
c ~ Normal(0, 1)
tau ~ Normal(500, 100)
for i in 0..n { observe z[i] ~ Normal((if tau + c * x[i] > t[i] then a else b) * x[i], 1 + exp(c)) }
"""
SMOOTH = """
data n: int
data x: real[n]
data z: real[n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
s ~ LogNormal(0, 1)
for i in 0..n { observe z[i] ~ StudentT(4, a + b * x[i], s) }
"""
THERMOSTAT = """
data n: int
data z: real[n]
var x: real[n]
x[0] ~ Normal(0, 1)
mode = 1
for t in 1..n {
    if x[t-1] < -0.5 { mode = 0 } else if x[t-1] > 0.7 { mode = 2 }
    x[t] ~ Normal(0.5 * x[t-1] + mode, 1)
    observe z[t] ~ Normal(x[t], 1)
}
"""


@dataclass(frozen=True)
class Family:
    source: str
    sizes: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict[str, Any])


DATA, STEPS = (10_000, 100_000, 1_000_000), (20, 200, 2_000)
FAMILIES = {
    "change point": Family(CHANGE, DATA),
    "change point, boundary terms": Family(CHANGE, DATA, {"marginalise": False}),
    "regression with a guard": Family(REGRESSION, DATA),
    "regression without": Family(SMOOTH, DATA),
    "thermostat, steps": Family(THERMOSTAT, STEPS),
}


def data(n: int) -> dict[str, Any]:
    """All fields that a program may declare."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 1000, n))
    return {"n": n, "t": t, "y": rng.poisson(np.where(t < 400, 2.0, 4.0)), "x": rng.normal(size=n),
            "z": rng.normal(size=n)}  # fmt: skip


def measure(family: Family, n: int, calls: int) -> dict[str, float]:
    """Microseconds, megabytes and compile seconds of a gradient at one size."""
    problem = ppl.compile(family.source).bind(data(n))
    params = problem.init_params(dtype=jnp.float32)
    fn = jax.jit(jax.value_and_grad(problem.elbo_loss(samples=BATCH, **family.options)))
    began = time.perf_counter()
    compiled = fn.lower(params, jax.random.key(0)).compile()
    seconds = time.perf_counter() - began
    best = np.inf
    for k in range(calls + 1):
        at = time.process_time()
        jax.block_until_ready(compiled(params, jax.random.key(k)))
        best = min(best, time.process_time() - at) if k else best
    memory = compiled.memory_analysis().temp_size_in_bytes
    return {"us": best * 1e6, "MB": memory / 1e6, "compile": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the two smaller sizes, few calls")
    parser.add_argument("--models", nargs="*", choices=list(FAMILIES), default=list(FAMILIES), metavar="NAME")
    args = parser.parse_args()
    print("| program | size | us per gradient | times the size before | MB | compile, s | lines of code |")
    print("|---|---|---|---|---|---|---|")
    for name in args.models:
        family, before = FAMILIES[name], None
        lines = ppl.compile(family.source).source_code.count("\n")
        for n in family.sizes[: 2 if args.quick else None]:
            found = measure(family, n, 3 if args.quick else 7)
            ratio = "" if before is None else f"{found['us'] / before:.1f}"
            print(f"| {name} | {n} | {found['us']:.0f} | {ratio} | {found['MB']:.1f} | {found['compile']:.1f} "
                  f"| {lines} |", flush=True)  # fmt: skip
            before = found["us"]


if __name__ == "__main__":
    main()
