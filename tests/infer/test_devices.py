"""Several devices, and several processes: the answer is that of one device up to rounding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from ppl.cli import main; sys.exit(main(sys.argv[1:]))"
PROGRAM = "z ~ Normal(0, 1)\nobserve 1.5 ~ Normal(if z < 0.4 then -1 else 2, 1)\nreport twice = 2 * z\n"


def environment(cache: Path, devices: int = 1) -> dict[str, str]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags,
            "JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip


# ------------------------------------------------------------------ four devices


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("devices")
    command = [sys.executable, "-m", "tests.infer.on_devices", str(folder / "out.json")]
    subprocess.run(command, cwd=ROOT, env=environment(folder / "cache", 4), check=True, timeout=300)
    return json.loads((folder / "out.json").read_text())


def test_a_fit_on_four_devices_is_that_of_one(found: dict[str, Any]) -> None:
    one, four = found["one"], found["four"]
    assert (one["devices"], four["devices"]) == (1, 4)
    assert one["steps"] == four["steps"] and four["diagnostics"]["converged"]
    np.testing.assert_allclose(four["trace"], one["trace"], rtol=1e-6)
    assert four["elbo"] == pytest.approx(one["elbo"], abs=1e-7)
    for name, summary in one["latents"].items():
        for column in ("mean", "sd", "q5", "q95"):
            assert four["latents"][name][column] == pytest.approx(summary[column], rel=1e-6)


def test_starts_are_shared_first_then_samples_and_the_rest_of_the_devices_is_idle(found: dict[str, Any]) -> None:
    assert found["split"] == {
        "(16, 2)": [4, 1, 0], "(4, 3)": [4, 1, 0], "(2, 2)": [2, 2, 0], "(1, 8)": [1, 4, 0], "(3, 1)": [3, 1, 1],
        "(1, 1)": None, "(6, 5)": [3, 1, 1], "(5, 6)": [1, 3, 1],
    }  # fmt: skip
    assert found["default"]  # alone: jax.default_device says where


def test_devices_that_are_not_there_are_refused(found: dict[str, Any]) -> None:
    assert found["refused"] == [["PPL808", "5 devices asked for, and there are 4"], ["PPL808", "no devices are given"]]


def test_a_run_goes_on_on_another_number_of_devices(found: dict[str, Any]) -> None:
    assert found["resumed"]["devices"] == 1
    np.testing.assert_allclose(found["resumed"]["trace"], found["one"]["trace"][:300], rtol=1e-7)


def test_the_mean_over_parts_of_the_samples_is_the_estimate(found: dict[str, Any]) -> None:
    whole, shared = found["gradient"]
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(shared, whole, rtol=1e-12, atol=1e-13)


# ----------------------------------------------------------------- two processes


def together(folder: Path, options: list[list[str]], devices: int = 1) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of as many processes of one run as there are lists of options."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    join = ["--coordinator", address, "--processes", str(len(options)), "--process"]
    running = [
        subprocess.Popen([sys.executable, "-c", MAIN, "infer", "m.ppl", *own, *join, str(k)], cwd=folder, text=True,
                         env=environment(folder / "cache", devices), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for k, own in enumerate(options)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300) for process in running]
    return [(process.returncode, *texts) for process, texts in zip(running, outputs, strict=True)]


@pytest.mark.slow
def test_two_processes_with_several_devices_make_the_fit_of_one(tmp_path: Path) -> None:
    (tmp_path / "m.ppl").write_text(PROGRAM)
    options = ["--json", "--starts", "2", "--draws", "400", "--steps"]
    own = [*options, "240", "--out", "fit.nc", "--checkpoint", "run.ckpt"]
    (code, out, err), (other_code, other_out, other_err) = together(tmp_path, [own, own], devices=3)
    assert (code, other_code) == (0, 0), err + other_err
    assert "pplc: 2 devices idle: 2 starts and 2 samples share evenly among 4 at most\n" in err
    assert "idle" not in other_err and other_out == ""  # the first process prints, and writes the files
    assert {p.name for p in tmp_path.iterdir()} == {"m.ppl", "cache", "fit.nc", "run.ckpt"}
    command = [sys.executable, "-c", MAIN, "infer", "m.ppl", *options, "240"]
    alone = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path / "cache"), capture_output=True, text=True)
    four, one = json.loads(out), json.loads(alone.stdout)
    assert (four["diagnostics"]["devices"], one["diagnostics"]["devices"]) == (4, 1)
    assert four["elbo"] == pytest.approx(one["elbo"], abs=1e-9)
    for group, name in (("latents", "z"), ("reports", "twice")):
        for column, value in one[group][name].items():
            assert four[group][name][column] == pytest.approx(value, rel=1e-9)
    # The run goes on in both, from the file that only the first one has to have.
    more = [*options, "300", "--resume", "--checkpoint"]
    first, second = together(tmp_path, [[*more, "run.ckpt"], [*more, "not/here.ckpt"]])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert json.loads(first[1])["steps"] == 300


@pytest.mark.slow
def test_processes_that_disagree_or_fail_end_together(tmp_path: Path) -> None:
    (tmp_path / "m.ppl").write_text(PROGRAM)
    for code, _, err in together(tmp_path, [[], ["--seed", "1"]]):
        assert code == 2
        assert "error[PPL808]: process 1 was given another program, other data or other options than process 0" in err
    first, second = together(tmp_path, [[], ["--data", "missing.json"]])
    assert (first[0], second[0]) == (4, 3)
    assert "error[PPL809]: process 1 of this run has stopped: data file `missing.json`" in first[2]
    assert "PPL507" in second[2]


@pytest.mark.slow
def test_a_process_whose_peers_never_come_says_so(tmp_path: Path) -> None:
    """jax would abort it; process 0, which waits inside jax, and another one, which waits for process 0."""
    (tmp_path / "m.ppl").write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    join = ["--join-timeout", "3", "--coordinator", address, "--processes", "2", "--process"]
    for process, code, said in (
        ("0", 4, "error[PPL809]: not all processes of this run have joined it within 3 seconds"),
        ("1", 2, f"process 0 does not listen at {address}"),
    ):
        began = time.monotonic()
        command = [sys.executable, "-c", MAIN, "infer", "m.ppl", *join, process]
        done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path / "cache"), capture_output=True,
                              text=True, timeout=60)  # fmt: skip
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""
        assert time.monotonic() - began > 3
        if process == "0":
            assert "hint: start the same command on every host" in done.stderr
