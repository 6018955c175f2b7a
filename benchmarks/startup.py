"""Start-up of the command line: `pplc check` and `pplc explain` against `python -c "import lark"`.

    python benchmarks/startup.py [--python PYTHON] [--runs 20] [PROGRAM ...]

PYTHON is the interpreter of the environment to measure (default: this one), and the `pplc` beside it is what is run.
The commands take turns, so that a change of the machine's load meets all of them, and the fastest run of each counts:
what is slower than that is the machine, not the program. `cpu` is user and system time, which other processes disturb
less than they do the time on the clock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
DEFAULT = ("textmsg", "coal", "influenza", "temperature", "one_if")
LARK = "import lark"


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Seconds on the clock and seconds of processor of one run. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return wall, usage.ru_utime + usage.ru_stime


def fastest(commands: dict[str, list[str]], runs: int) -> dict[str, tuple[float, float]]:
    """The least clock time and the least processor time of each command, which take turns."""
    best = {name: (float("inf"), float("inf")) for name in commands}
    for k in range(runs + 1):
        for name, command in commands.items():
            wall, cpu = timed(command)
            if k > 0:  # the first round compiles the modules and fills the disk cache
                best[name] = (min(best[name][0], wall), min(best[name][1], cpu))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="start-up of `pplc check` and `pplc explain`")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="NAME.ppl (default: five of programs/)")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment to measure")
    parser.add_argument("--runs", type=int, default=20, help="runs of each command (default: 20)")
    options = parser.parse_args()
    pplc = str(Path(options.python).parent / "pplc")
    files = [Path(p) for p in options.programs] or [PROGRAMS / f"{name}.ppl" for name in DEFAULT]
    commands = {LARK: [options.python, "-c", LARK]}
    commands |= {f"{c} {f.stem}": [pplc, c, str(f)] for f in files for c in ("check", "explain")}
    best = fastest(commands, options.runs)
    wall, cpu = best[LARK]
    print("| command | ms | over import lark | cpu, ms | over import lark |")
    print("|---|---|---|---|---|")
    for name, (w, c) in best.items():
        print(f"| {name} | {w * 1e3:.1f} | {w / wall:.2f} | {c * 1e3:.1f} | {c / cpu:.2f} |")


if __name__ == "__main__":
    main()
