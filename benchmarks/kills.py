"""Runs that are killed: `pplc infer --checkpoint` gets SIGKILL at a random moment, and goes on with --resume.

    python benchmarks/kills.py [--kills 20] [--seed 0] [PROGRAM [OPTION ...]]

Each time a new run is killed once, in one of four ways by turns: before its first checkpoint (imports, compilation),
after it, while a checkpoint is being written, or near the end, where the last one is written and the posterior is drawn
and printed. The JSON that the resumed run prints has to equal that of a run that was never interrupted, but for
`seconds`, and whatever file is there after the kill has to be a whole checkpoint. The first run fills a cache of
compiled programs, the second one is timed. OPTIONs go to `pplc infer`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ppl.infer.checkpoint import load

PROGRAM = Path(__file__).resolve().parents[1] / "programs" / "textmsg.ppl"
MAIN = "import sys; from ppl.cli import main; sys.exit(main(sys.argv[1:]))"
KINDS = ("start", "fit", "write", "end")
MOST = 4  # runs for each kill that is asked for: a run may end before its moment comes


def start(folder: Path, name: str, asked: list[str], resume: bool = False) -> subprocess.Popen[str]:
    options = [*asked, "--json", "--checkpoint", str(folder / f"{name}.ckpt"), *(["--resume"] if resume else [])]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", MAIN, "-q", "infer", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a run ended with exit code {process.returncode}")
    result = json.loads(out)
    del result["seconds"]
    return result


def wait_for_file(process: subprocess.Popen[str], folder: Path, begins: str, pause: float) -> None:
    """Until a file whose name begins so is there, or the process has ended."""
    while process.poll() is None and not any(e.name.startswith(begins) for e in os.scandir(folder)):
        time.sleep(pause)


def kill(process: subprocess.Popen[str], folder: Path, name: str, kind: str, rng: random.Random, times: Times) -> None:
    """SIGKILL at a moment of a kind, or nothing if the process is quicker."""
    if kind == "start":
        time.sleep(rng.uniform(0, times.first))
    else:
        wait_for_file(process, folder, f"{name}.ckpt", 0.01)
    if kind == "fit":
        time.sleep(rng.uniform(0, times.whole - times.first))
    elif kind == "end":
        time.sleep((times.whole - times.first) * rng.uniform(0.7, 1.0))
    elif kind == "write":
        wait_for_file(process, folder, f".{name}.ckpt.", 0.0)
        time.sleep(rng.uniform(0, 0.001))
    process.kill()
    process.communicate()


class Times:
    """Seconds from the start of an uninterrupted run to its first checkpoint, and to its end."""

    def __init__(self, folder: Path, asked: list[str]) -> None:
        began = time.monotonic()
        process = start(folder, "timed", asked)
        wait_for_file(process, folder, "timed.ckpt", 0.01)
        self.first = time.monotonic() - began
        self.result = finished(process)
        self.whole = time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="kill runs at random moments, and compare what comes of them")
    parser.add_argument("program", nargs="?", default=str(PROGRAM), help="NAME.ppl (default: textmsg)")
    parser.add_argument("--kills", type=int, default=20, help="default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    known, options = parser.parse_known_args()
    asked, rng = [known.program, *options], random.Random(known.seed)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        whole = finished(start(folder, "cold", asked))
        times = Times(folder, asked)
        if times.result != whole:
            raise SystemExit("two uninterrupted runs differ")
        print(f"uninterrupted: {times.whole:.1f} s, the first checkpoint after {times.first:.1f} s")
        print("kill  aimed at  after s  step saved  half a file  resumed")
        killed = done = same = 0
        while killed < known.kills and done < MOST * known.kills:
            name, kind = f"run{done}", KINDS[done % len(KINDS)]
            began = time.monotonic()
            process = start(folder, name, asked)
            kill(process, folder, name, kind, rng, times)
            after, path = time.monotonic() - began, folder / f"{name}.ckpt"
            step = step_in(path)
            half = any(e.name.startswith(f".{name}.ckpt.") for e in os.scandir(folder))
            equal = finished(start(folder, name, asked, resume=True)) == whole
            done, same, killed = done + 1, same + equal, killed + (process.returncode < 0)
            count = str(killed) if process.returncode < 0 else "-"
            print(f"{count:>4s}  {kind:8s}  {after:7.2f}  {step:>10s}  {'yes' if half else 'no':11s}  "
                  f"{'identical' if equal else 'DIFFERENT'}", flush=True)  # fmt: skip
    print(f"{killed} of {done} runs were killed; {same} of {done} resumed runs are identical to the uninterrupted one")
    sys.exit(same != done or killed < known.kills)


def step_in(path: Path) -> str:
    """The step of a checkpoint, of each run in it; raises if it is not a whole one."""
    if not path.exists():
        return "-"
    header, _ = load(path)
    runs = [header] if "step" in header else list(header["runs"].values())
    return "+".join(str(run["step"]) for run in runs)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
