"""A disk that is really full: a small file system, mounted in a name space of its own so that nothing is left of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOUNT = "mount -t tmpfs -o size=512k tmpfs {disk} && exec {command}"


def mounted(disk: Path, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command that alone sees a file system of 512 kB at `disk`."""
    script = MOUNT.format(disk=shlex.quote(str(disk)), command=shlex.join(command))
    own = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c", script]
    return subprocess.run(own, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("full")
    disk = folder / "disk"
    disk.mkdir()
    if shutil.which("unshare") is None or mounted(disk, ["true"]).returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu",
                   "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
                   "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
    command = [sys.executable, "-m", "tests.infer.full_disk", str(disk), str(folder / "found.json")]
    done = mounted(disk, command, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # of libraries that could not close their files
    return json.loads((folder / "found.json").read_text())


def test_a_checkpoint_that_finds_no_room_is_an_error_and_leaves_the_one_before_it(found: dict[str, Any]) -> None:
    assert found["first"]["code"] == 0
    full = found["full"]
    assert (full["code"], full["result"]) == (2, {})
    assert "error[PPL803]: cannot write the checkpoint" in full["err"] and "No space left on device" in full["err"]
    assert found["kept"] and found["files"] == ["filler", "run.ckpt"]


def test_the_run_goes_on_when_there_is_room_again(found: dict[str, Any]) -> None:
    assert found["resumed"]["code"] == 0
    assert found["resumed"]["result"] == found["whole"]["result"] and found["whole"]["result"]["steps"] == 400


@pytest.mark.parametrize("room", ["0", "4096", "65536"])
def test_a_fit_that_finds_no_room_is_printed_and_leaves_nothing_behind(found: dict[str, Any], room: str) -> None:
    out = found["out"][room]
    assert out["code"] == 2 and out["result"]["steps"] == 10
    assert out["err"].startswith("pplc: cannot write ") and out["err"].endswith("fit.nc: No space left on device\n")
