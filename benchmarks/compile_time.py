"""Compile time, size of the emitted code and time per gradient of a change point with 100 and with 100,000 days.

    python benchmarks/compile_time.py

Loops stay loops in emitted code, so compiling must not depend on the number of observations. Both sizes are measured in
one process, interleaved, and the medians of five rounds are compared.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import numpy as np

import ppl
from ppl.infer.hoist import compiled

SOURCE = """
data n: int
data count: int[n]
early  ~ LogNormal(2.6, 0.8)
late   ~ LogNormal(2.6, 0.8)
change ~ Uniform(0, n)
for day in 0..n {
    rate = if day < change then early else late
    observe count[day] ~ Poisson(rate)
}
"""
SIZES = (100, 100_000)
ROUNDS = 5


def measure(n: int) -> dict[str, float]:
    """Seconds to compile a batch of 16 gradients for `n` days, and to run one."""
    jax.clear_caches()
    rng = np.random.default_rng(0)
    data = {"count": rng.poisson(np.where(np.arange(n) < n // 2, 15.0, 20.0))}
    start = time.perf_counter()
    problem = ppl.compile(SOURCE).bind(data)
    bound = time.perf_counter()
    params: Any = problem.init_params()
    fn = compiled(problem.elbo_and_grad(samples=16), params, jax.random.key(0))
    built = time.perf_counter()
    jax.block_until_ready(fn(params, jax.random.key(0)))
    first = time.perf_counter()
    jax.block_until_ready(fn(params, jax.random.key(1)))
    return {"bind": bound - start, "compile": built - bound, "gradient": time.perf_counter() - first}


def main() -> None:
    rows: dict[int, list[dict[str, float]]] = {n: [] for n in SIZES}
    for _ in range(ROUNDS):
        for n in SIZES:
            rows[n].append(measure(n))
    print("| days | bind, s | compile, s | one gradient of 16 draws, ms |")
    print("|---|---|---|---|")
    medians = {n: {k: statistics.median(r[k] for r in rows[n]) for k in rows[n][0]} for n in SIZES}
    for n, m in medians.items():
        print(f"| {n} | {m['bind']:.3f} | {m['compile']:.2f} | {m['gradient'] * 1e3:.2f} |")
    ratio = medians[SIZES[1]]["compile"] / medians[SIZES[0]]["compile"]
    print(f"\ncompile time, {SIZES[1]} days over {SIZES[0]}: {ratio:.2f}")


if __name__ == "__main__":
    main()
