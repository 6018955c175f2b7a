"""How the cost of a gradient grows: time and memory against the number of observations or of steps.

    python benchmarks/scaling.py [--quick] [--models NAME ...]

Prints a table. Time is processor time, the least of several runs in one process, of gradients one after the other in
one compiled call; memory is what the compiled gradient asks for beside its arguments. Batch 16, single precision, the
default estimator unless the name says otherwise.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ppl
from ppl.infer.hoist import compiled
from ppl.regions.optimize import OPTIMIZATIONS

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
TWO = """
data n: int
data t: real[n]
data y: int[n]
early ~ LogNormal(1, 0.5)
middle ~ LogNormal(1, 0.5)
late ~ LogNormal(1, 0.5)
first ~ Uniform(0, 1000)
second ~ Uniform(0, 1000)
for i in 0..n { observe y[i] ~ Poisson(if t[i] < first then early else if t[i] < second then middle else late) }
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
FEEDBACK = """
data n: int
data z: real[n]
a ~ Normal(0, 1)
var x: real[n]
for t in 0..n { x[t] ~ Normal(0, 1) }
s = 0.0
for t in 0..n {
    s = if x[t] + 0.3 * s > 0.2 * a then 0.8 * s + 0.5 else 0.6 * s - 0.4
    observe z[t] ~ Normal(s, 1)
}
"""


@dataclass(frozen=True)
class Family:
    source: str
    sizes: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    without: str = ""  # an optimisation that is left out

    def model(self) -> ppl.Model:
        kept = None if not self.without else tuple(x for x in OPTIMIZATIONS if x != self.without)
        return ppl.compile(self.source, optimize=kept)


DATA, STEPS = (10_000, 100_000, 1_000_000), (20, 200, 2_000)
FAMILIES = {
    "change point": Family(CHANGE, (1_000, *DATA)),
    "two change points": Family(TWO, (1_000, *DATA)),
    "change point, day by day": Family(CHANGE, (1_000, *DATA), without="sorted"),
    "change point, boundary terms": Family(CHANGE, DATA, {"marginalise": False}, without="sorted"),
    "regression with a guard": Family(REGRESSION, DATA),
    "regression without": Family(SMOOTH, DATA),
    "thermostat, steps": Family(THERMOSTAT, STEPS),
    "feedback, steps": Family(FEEDBACK, STEPS),
    "feedback, steps, all boundaries": Family(FEEDBACK, STEPS[:2], {"boundary_budget": None}),
}


def data(n: int) -> dict[str, Any]:
    """All fields that a program may declare."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 1000, n))
    return {"n": n, "t": t, "y": rng.poisson(np.where(t < 400, 2.0, 4.0)), "x": rng.normal(size=n),
            "z": rng.normal(size=n)}  # fmt: skip


def measure(family: Family, n: int, calls: int) -> dict[str, float]:
    """Microseconds, megabytes and compile seconds of a gradient at one size."""
    problem = family.model().bind(data(n))
    params = problem.init_params(dtype=jnp.float32)
    grad = jax.value_and_grad(problem.elbo_loss(samples=BATCH, **family.options))
    began = time.perf_counter()
    one = jax.jit(grad).lower(params, jax.random.key(0)).compile()
    seconds, memory = time.perf_counter() - began, one.memory_analysis().temp_size_in_bytes
    # As a fit does: many gradients in one call, which reads the data as arguments.
    jax.block_until_ready(one(params, jax.random.key(0)))
    at = time.process_time()
    jax.block_until_ready(one(params, jax.random.key(0)))
    number = max(1, min(1000, int(0.1 / (time.process_time() - at))))
    many = compiled(partial(steps, grad, number), params, jax.random.key(0))
    best = np.inf
    for k in range(calls + 1):
        at = time.process_time()
        jax.block_until_ready(many(params, jax.random.key(k)))
        best = min(best, time.process_time() - at) if k else best
    return {"us": best / number * 1e6, "MB": memory / 1e6, "compile": seconds}


def steps(grad: Any, number: int, params: Any, key: jax.Array) -> Any:
    """So many steps of descent."""

    def step(params: Any, key: jax.Array) -> tuple[Any, None]:
        return jax.tree.map(lambda p, g: p - 1e-9 * g, params, grad(params, key)[1]), None

    return jax.lax.scan(step, params, jax.random.split(key, number))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the two smaller sizes, few calls")
    parser.add_argument("--models", nargs="*", choices=list(FAMILIES), default=list(FAMILIES), metavar="NAME")
    args = parser.parse_args()
    print("| program | size | us per gradient | times the size before | MB | compile, s | lines of code |")
    print("|---|---|---|---|---|---|---|")
    for name in args.models:
        family, before = FAMILIES[name], None
        lines = family.model().source_code.count("\n")
        for n in family.sizes[: 2 if args.quick else None]:
            found = measure(family, n, 3 if args.quick else 7)
            ratio = "" if before is None else f"{found['us'] / before:.1f}"
            print(f"| {name} | {n} | {found['us']:.0f} | {ratio} | {found['MB']:.1f} | {found['compile']:.1f} "
                  f"| {lines} |", flush=True)  # fmt: skip
            before = found["us"]


if __name__ == "__main__":
    main()
