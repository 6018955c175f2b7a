"""Runs that die without warning, and disks that are full: the checkpoint is always a whole one, and continues."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppl.infer import CheckpointError, checkpoint, fit
from ppl.infer.checkpoint import load

from .stand_in import gaussian

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore",
                   "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
                   "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
    command = [sys.executable, "-m", "tests.infer.killed", str(folder / f"{name}.ckpt"), str(folder / f"{name}.json")]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def finish(folder: Path, name: str) -> str:
    process = start(folder, name)
    process.communicate(timeout=300)
    assert process.returncode == 0
    return (folder / f"{name}.json").read_text()


def kill_at(process: subprocess.Popen[str], line: int, wait: float) -> None:
    """SIGKILL `wait` seconds after the process has printed `line` lines (0: at once, while it imports or compiles)."""
    assert process.stdout is not None
    for _ in range(line):
        process.stdout.readline()
    time.sleep(wait)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = finish(tmp_path, "whole")
    rng = random.Random(7)
    moments = [(0, 0.5), *((rng.randrange(1, 5), rng.uniform(0, 0.05)) for _ in range(3))]
    for line, wait in moments:
        kill_at(start(tmp_path, "cut"), line, wait)
        if (tmp_path / "cut.ckpt").exists():
            load(tmp_path / "cut.ckpt")  # raises if it is not whole
    assert (tmp_path / "cut.ckpt").exists()
    assert finish(tmp_path, "cut") == whole


def test_what_a_killed_writer_left_is_removed_later(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    names = (".run.ckpt.abcd1234", ".run.ckpt.efgh5678", ".run.ckpt.mine", ".other.ckpt.abcd1234")
    for name in names:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / names[1])  # this one may still be written
    fit(gaussian([1.0], [0.5]), starts=2, steps=10, checkpoint=path)
    assert {p.name for p in tmp_path.iterdir()} == {"run.ckpt", *names[1:]}


def test_a_disk_that_fails_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, path = gaussian([1.0], [0.5]), tmp_path / "run.ckpt"
    fit(problem, starts=2, steps=100, checkpoint=path)
    before = path.read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left"):
            fit(problem, starts=2, steps=300, checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    assert fit(problem, starts=2, steps=300, checkpoint=path, resume=True).steps == 300
