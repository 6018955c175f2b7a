"""A disk that is full, as `pplc infer` meets it: ``python full_disk.py DISK OUT``, DISK a small file system of its own.

Writes to OUT, as JSON, what test_full_disk.py looks at.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from ppl.cli import main as pplc

PROGRAM = "x: real[2] ~ Normal(0, 1)\nobserve 1.0 ~ Normal(sum(x), 0.5)\n"


def run(*options: str | Path) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = pplc([str(x) for x in ("infer", *options)])
    result = json.loads(out.getvalue()) if out.getvalue() else {}
    result.pop("seconds", None)
    return {"code": code, "err": err.getvalue(), "result": result}


def fill(disk: Path, room: int = 0) -> None:
    """Not a byte is left but `room`."""
    with (disk / "filler").open("ab", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        file.truncate(file.tell() - room)


def main(where: str, report: str) -> None:
    disk, elsewhere = Path(where), Path(report).parent
    program = elsewhere / "m.ppl"
    program.write_text(PROGRAM)
    options = (program, "--json", "--starts", "2", "--draws", "200")
    saved, found = disk / "run.ckpt", dict[str, Any]()
    found["first"] = run(*options, "--steps", "200", "--checkpoint", saved)
    before = saved.read_bytes()
    fill(disk)
    found["full"] = run(*options, "--steps", "400", "--checkpoint", saved, "--resume")
    found["out"] = {}
    for room in (0, 4096, 65536):  # the file may end anywhere
        fill(disk, room)
        found["out"][str(room)] = run(*options[:-1], "2000", "--steps", "10", "--out", disk / "fit.nc")
    found["kept"] = saved.read_bytes() == before
    found["files"] = sorted(p.name for p in disk.iterdir())
    (disk / "filler").unlink()
    found["resumed"] = run(*options, "--steps", "400", "--checkpoint", saved, "--resume")
    found["whole"] = run(*options, "--steps", "400")
    Path(report).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
