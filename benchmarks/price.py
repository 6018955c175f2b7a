"""The price of unbiased gradients as `pplc explain` counts it, beside what it is.

    python benchmarks/price.py [FILE...]

For each program (default: the gallery, the walk and the randomised response): processor time of the ELBO of 64 draws
with the gradient that sees no boundaries, that of the unbiased one over it, and the price that is counted. Medians of
interleaved rounds in one process on one core. Each gradient moves the parameters a little, so that nothing is computed
once for all.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp

import ppl

ROOT = Path(__file__).resolve().parents[1]
MORE = ("cheating100", "walk15")
ROUNDS, STEPS, DRAWS = 9, 20, 64


def measured(problem: ppl.Problem) -> tuple[float, float]:
    """Seconds of the gradient without boundaries, and of the unbiased one."""
    params = problem.init_params()
    runs = {}
    for name in ("interior", "combined"):
        gradient = problem.elbo_and_grad(estimator=name, samples=DRAWS)

        def run(params, key, gradient=gradient):
            def step(p, k):
                value, grad = gradient(p, k)
                return jax.tree.map(lambda a, g: a - 1e-6 * jnp.nan_to_num(g) / (1 + jnp.abs(g)), p, grad), value

            return jax.lax.scan(step, params, jax.random.split(key, STEPS))

        runs[name] = jax.jit(run)
        jax.block_until_ready(runs[name](params, jax.random.key(0)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(ROUNDS):
        for name, run in runs.items():
            began = time.process_time()
            jax.block_until_ready(run(params, jax.random.key(k)))
            times[name].append((time.process_time() - began) / STEPS)
    interior, combined = (statistics.median(times[name]) for name in ("interior", "combined"))
    return interior, combined


def main() -> None:
    files = [Path(x) for x in sys.argv[1:]] or [
        *sorted((ROOT / "programs").glob("*.ppl")), *(ROOT / "benchmarks/literature" / f"{x}.ppl" for x in MORE)
    ]  # fmt: skip
    print("program              interior, us  price  counted")
    for file in files:
        beside = file.with_name(f"{file.stem}.data.json")
        data, model = (beside if beside.exists() else None), ppl.load(file)
        counted = model.explain(data)["work"]["price"]
        if counted > 1:
            interior, combined = measured(model.bind(data))
            print(f"{file.stem:20} {interior * 1e6:13.1f} {combined / interior:6.2f} {counted:8.2f}", flush=True)


if __name__ == "__main__":
    main()
