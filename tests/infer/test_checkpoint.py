"""Interrupted runs: continuing one gives what an uninterrupted run gives."""

from __future__ import annotations

import io
import os
import signal
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppl.infer import CheckpointError, Fit, Progress, fit
from ppl.infer.checkpoint import load, replacing, save

from .stand_in import gaussian

PROBLEM = gaussian([1.0, 0.2], [0.5, 0.1])


def run(path: Path | None = None, **options: Any) -> Fit:
    return fit(PROBLEM, starts=2, seed=1, checkpoint=path, **options)


def comparable(result: Fit) -> dict[str, Any]:
    return {k: v for k, v in result.to_json().items() if k != "seconds"}


@pytest.fixture(scope="module")
def uninterrupted() -> Fit:
    return run()


@pytest.mark.parametrize("stop_at", [100, 700])
def test_a_run_stopped_anywhere_continues_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted: Fit, stop_at: int
) -> None:
    path = tmp_path / "run.ckpt"

    def interrupt(progress: Progress) -> None:
        if progress.step == stop_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(path, progress=interrupt)
    continued = run(path, resume=True)
    assert comparable(continued) == comparable(uninterrupted)
    np.testing.assert_array_equal(continued.trace, uninterrupted.trace)
    np.testing.assert_array_equal(continued.draws["x"], uninterrupted.draws["x"])


def test_more_steps_continue_a_finished_run_even_inside_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run(path, steps=333)
    assert comparable(run(path, steps=700, resume=True)) == comparable(run(steps=700))


def test_a_finished_run_is_shown_again_without_a_step(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    first = run(path, steps=300)
    seen: list[Progress] = []
    again = run(path, steps=300, resume=True, progress=seen.append)
    assert comparable(again) == comparable(first)
    assert not seen
    assert again.seconds > first.seconds


def test_resume_without_a_file_starts_afresh_and_leaves_one(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    assert comparable(run(path, steps=260, resume=True)) == comparable(run(steps=260))
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]


def test_without_resume_an_old_checkpoint_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    path.write_text("old")
    run(path, steps=10)
    assert run(path, steps=20, resume=True).steps == 20


def test_fewer_steps_than_were_made_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run(path, steps=300)
    with pytest.raises(CheckpointError, match="step 300, past the 200"):
        run(path, steps=200, resume=True)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run(path, steps=10)
    with pytest.raises(CheckpointError, match=r"samples 2 \(now 8\)"):
        run(path, steps=20, resume=True, samples=8)
    for other in (gaussian([1.0, 0.3], [0.5, 0.1]), gaussian([1.0], [0.5])):
        with pytest.raises(CheckpointError, match="another model"):
            fit(other, starts=2, seed=1, checkpoint=path, steps=20, resume=True)


def test_a_checkpoint_that_lacks_later_settings_is_of_a_run_without_them(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run(path, steps=200, boundary_budget=None)
    header, arrays = load(path)
    for later in ("minibatch", "init", "boundary_budget"):
        del header["settings"][later]
    del header["starts_rhat"]
    save(path, header, arrays)
    whole = run(steps=333, boundary_budget=None)
    assert comparable(run(path, steps=333, resume=True, boundary_budget=None)) == comparable(whole)
    save(path, header, arrays)
    with pytest.raises(CheckpointError, match=r"made with boundary_budget None \(now auto\)"):
        run(path, steps=333, resume=True)
    later = {**header, "settings": {**header["settings"], "momentum": 3}}
    for changed, why in ((later, "by a later version"), ({**header, "phase": "dance"}, "damaged")):
        save(path, changed, arrays)
        with pytest.raises(CheckpointError, match=why):
            run(path, steps=333, resume=True, boundary_budget=None)


def claiming(count: int) -> bytes:
    """An archive whose header promises so many numbers."""
    array, archive = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<f8", "fortran_order": False, "shape": (count,)})
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("header.npy", array.getvalue())
    return archive.getvalue()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut", claiming(10**13), claiming(10**30)])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        run(path, steps=20, resume=True)
    assert path.read_bytes() == content


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for target in (tmp_path / "runs" / "7.nc", tmp_path / "runs" / "new.nc"):
        link = tmp_path / f"latest-{target.name}"
        link.symlink_to(target)
        if target.name == "7.nc":
            target.write_text("old")
        with replacing(link) as temporary:
            assert temporary.parent == target.parent
            temporary.write_text("new")
        assert link.is_symlink() and target.read_text() == "new"
    assert sorted(p.name for p in target.parent.iterdir()) == ["7.nc", "new.nc"]


def test_a_pipe_is_written_to_and_is_no_checkpoint(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with replacing(pipe) as temporary:
        temporary.write_bytes(b"content")
    reader.join(10)
    assert pipe.is_fifo() and got == [b"content"]
    with pytest.raises(CheckpointError, match="no regular file"):
        run(pipe, steps=10_000)
    assert pipe.is_fifo()


def test_a_checkpoint_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "run.ckpt"):
        with pytest.raises(CheckpointError, match="cannot be written"):
            run(path, steps=10_000)
