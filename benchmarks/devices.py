"""The same gradients on every kind of device that jax finds, and what they cost there.

    python benchmarks/devices.py [FILE...] [--draws N...] [--seconds-only | --equal-only] [--out FILE]

For each program (default: the gallery and the models of the literature):

- *difference*: the unbiased gradient and the ELBO of 256 draws from one key on the CPU and on jax's default device, in
  both precisions. The largest difference of a component, as a part of the largest component.
- *microseconds*: the gradient that sees no boundaries and the unbiased one in float32 on each of both, for each number
  of draws. Medians of interleaved rounds; each gradient moves the parameters a little, so that nothing is computed once
  for all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ppl

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from peers.models import MODELS  # noqa: E402

ROUNDS, STEPS = 5, 50
EQUAL_DRAWS = 256


def bound(file: Path) -> ppl.Problem:
    """The program with the data beside it, or with those of the literature."""
    beside = file.with_name(f"{file.stem}.data.json")
    data = beside if beside.exists() else MODELS[file.stem]().data if file.stem in MODELS else None
    return ppl.load(file).bind(data)


def difference(problem: ppl.Problem, dtype: Any, devices: list[Any]) -> float:
    """Between the first device and the last: of the ELBO and the gradient from one key."""
    gradient = jax.jit(problem.elbo_and_grad(samples=EQUAL_DRAWS))
    found = []
    for device in devices:
        given = jax.device_put((problem.init_params(dtype=dtype), jax.random.key(20)), device)
        found.append([np.asarray(x, dtype=float) for x in jax.tree.leaves(gradient(*given))])
    scale = max(float(np.max(np.abs(x))) for x in found[0])
    return max(float(np.max(np.abs(a - b))) for a, b in zip(*found, strict=True)) / scale


def steps(gradient: Callable[..., Any]) -> Callable[..., Any]:
    """A run of gradients, each at other parameters and from another key."""

    def run(params: Any, key: Any) -> Any:
        def step(p: Any, k: Any) -> Any:
            value, grad = gradient(p, k)
            return jax.tree.map(lambda a, g: a - 1e-6 * jnp.nan_to_num(g) / (1 + jnp.abs(g)), p, grad), value

        return jax.lax.scan(step, params, jax.random.split(key, STEPS))

    return jax.jit(run)


def microseconds(problem: ppl.Problem, draws: int, devices: list[Any]) -> dict[str, float]:
    """Of each estimator on each device, in float32."""
    params = problem.init_params(dtype=jnp.float32)
    runs = {
        (device, name): steps(problem.elbo_and_grad(estimator=name, samples=draws))
        for device in devices for name in ("interior", "combined")
    }  # fmt: skip
    took: dict[Any, list[float]] = {of: [] for of in runs}
    for k in range(ROUNDS + 1):  # the first compiles
        for of, run in runs.items():
            given = jax.block_until_ready(jax.device_put((params, jax.random.key(k)), of[0]))
            began = time.perf_counter()
            jax.block_until_ready(run(*given))
            took[of].append((time.perf_counter() - began) / STEPS * 1e6)
    return {f"{device.platform} {name}": statistics.median(t[1:]) for (device, name), t in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--draws", nargs="*", type=int, default=[256, 16384])
    parser.add_argument("--equal-only", action="store_true")
    parser.add_argument("--seconds-only", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    literature = [ROOT / "benchmarks/literature" / f"{name}.ppl" for name in MODELS]
    files = options.files or [*sorted((ROOT / "programs").glob("*.ppl")), *literature]
    cpu, default = jax.devices("cpu")[0], jax.devices()[0]
    devices = [cpu] if cpu == default else [cpu, default]
    table: dict[str, Any] = {"jax": jax.__version__, "devices": [d.device_kind for d in devices], "programs": {}}
    print(table["jax"], *table["devices"], flush=True)
    for file in files:
        row = table["programs"][file.stem] = {}
        if len(devices) > 1 and not options.seconds_only:
            with jax.enable_x64(True):
                row["float64"] = difference(bound(file), jnp.float64, devices)
            with jax.enable_x64(False):
                row["float32"] = difference(bound(file), jnp.float32, devices)
        if not options.equal_only:
            with jax.enable_x64(False):
                problem = bound(file)
                row |= {str(n): microseconds(problem, n, devices) for n in options.draws}
        print(file.stem, json.dumps(row), flush=True)
        if options.out:
            options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
