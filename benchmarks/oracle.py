"""Runs the oracle over many generated programs: every density and gradient against an independent computation.

    python benchmarks/oracle.py --count 1000 --seed 0 --jobs 2 [--out FILE] [--shrink] [--classes]

One line per program goes to ``FILE`` (JSON lines, a run goes on where the last one with the same file stopped), the
summary to stdout. A program is ok, rejected (the compiler says why), or one of the faults crash, density, gradient,
and class (a branch that is unbounded at its guard is not seen, or seen where there is none);
one that has no verdict after LIMIT seconds of processor time is a crash too: gradients that are off take longest.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import gc
import json
import multiprocessing
import os
import pathlib
import signal
import statistics
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
FAULTS = ("crash", "density", "class", "gradient")
LIMIT = 1200


def run_one(task: tuple[int, bool, bool]) -> dict[str, object]:
    """Checks the program of one seed; runs in a worker."""
    seed, small, classes = task
    import compare
    import generator
    import jax
    import shrinker

    def late(*_: object) -> None:
        raise TimeoutError(f"no verdict after {LIMIT} seconds")

    start = time.process_time()
    program = generator.generate(seed)
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    verdict = compare.classify(program) if classes else compare.check(program)
    signal.setitimer(signal.ITIMER_PROF, 0)
    record: dict[str, object] = {k: v for k, v in dataclasses.asdict(verdict).items() if k != "components"}
    if verdict.status in FAULTS and small and not classes:
        tiny = shrinker.shrink(program, compare.same_fault(verdict))
        record |= {"text": tiny.text, "data": tiny.data}
    jax.clear_caches()
    gc.collect()
    return record | {"seconds": round(time.process_time() - start, 1)}


def prepare() -> None:
    """Makes the oracle importable in a worker, at low priority."""
    os.nice(max(0, 10 - os.nice(0)))
    gc.disable()  # tracing makes many objects and little garbage: a fifth of its time, so once per program
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.path[:0] = [str(ROOT / "tests" / "oracle"), str(ROOT)]


def records(seeds: list[int], options: argparse.Namespace) -> Iterator[dict[str, object]]:
    tasks = [(s, options.shrink, options.classes) for s in seeds]
    # Fresh processes now and then: jax keeps what it compiles.
    with multiprocessing.get_context("spawn").Pool(options.jobs, prepare, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(run_one, tasks)


def summary(found: list[dict[str, object]]) -> dict[str, object]:
    """Counts over all programs of a file."""
    codes = collections.Counter(str(r["code"]) for r in found if r["status"] == "rejected")
    status = collections.Counter(str(r["status"]) for r in found)
    jumping = [r for r in found if r["status"] == "ok" and r["jumps"]]
    compared = [r for r in jumping if r["interior_z"] is not None]
    told = sum(float(r["interior_z"]) > 10 for r in compared)  # type: ignore[arg-type]
    seeds = [int(r["seed"]) for r in found]  # type: ignore[call-overload]
    return {
        "programs": len(found), "first_seed": min(seeds, default=None), "last_seed": max(seeds, default=None),
        "status": dict(sorted(status.items())),
        "rejected": dict(sorted(codes.items())),
        "jumping": len(jumping), "interior_compared": len(compared), "interior_off_by_10_se": told,
        "boundaries": sum(int(r["boundaries"]) for r in found),  # type: ignore[call-overload]
        "stages": dict(sorted(collections.Counter(int(r["stage"]) for r in found if r["status"] == "ok").items())),  # type: ignore[call-overload]
        "median_power": statistics.median([float(r["power"]) for r in compared] or [0.0]),  # type: ignore[arg-type]
        "largest_z": max((float(r["z"]) for r in found if r["status"] == "ok"), default=0.0),  # type: ignore[arg-type]
        "faults": [{k: r[k] for k in ("seed", "status", "detail")} for r in found if r["status"] in FAULTS],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=None, help="JSON lines, appended to")
    parser.add_argument("--shrink", action="store_true", help="make failing programs small")
    parser.add_argument("--classes", action="store_true", help="only which guards take the score estimator: quick")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    if options.out is not None and options.out.exists():
        found = [json.loads(line) for line in options.out.read_text().splitlines()]
    done = {r["seed"] for r in found}
    seeds = [s for s in range(options.seed, options.seed + options.count) if s not in done]
    for record in records(seeds, options):
        found.append(record)
        if record["status"] in FAULTS:
            print(f"seed {record['seed']}: {record['status']}: {str(record['detail'])[-400:]}", file=sys.stderr)
        if options.out is not None:
            with options.out.open("a") as f:
                f.write(json.dumps(record) + "\n")
    result = summary(found)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
