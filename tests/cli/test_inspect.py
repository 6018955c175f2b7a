"""``check``, ``explain`` and ``emit``: exit codes, streams, and that they stay light."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import STEP, Pplc


def test_check_accepts_a_good_program(pplc: Pplc, step: Path) -> None:
    assert pplc("check", step) == (0, "", f"pplc: {step}: no errors\n")
    assert pplc("check", "-q", step) == (0, "", "")
    assert pplc("-q", "check", step) == (0, "", "")


def test_check_shows_diagnostics_on_stderr(pplc: Pplc, broken: Path) -> None:
    code, out, err = pplc("check", broken)
    assert (code, out) == (1, "")
    first, source, caret = err.splitlines()[:3]
    assert first.startswith(f"{broken}:2:")
    assert "error[PPL0" in first
    assert source.endswith("| y = if x > then 1 else 2")
    assert "^" in caret
    assert "\x1b" not in err


def test_check_goes_on_after_a_bad_file(pplc: Pplc, step: Path, broken: Path) -> None:
    code, _, err = pplc("check", broken, step)
    assert code == 1
    assert f"{step}: no errors" in err
    code, _, err = pplc("check", broken, "no-such-file.ppl", step)
    assert code == 2
    assert "cannot open no-such-file.ppl: No such file or directory" in err
    assert f"{step}: no errors" in err


def test_a_file_that_is_no_text_is_rejected_where_it_stops_being_one(pplc: Pplc, tmp_path: Path) -> None:
    path = tmp_path / "bytes.ppl"
    path.write_bytes(b"x ~ Normal(0, 1)\n# caf\xe9\n")
    code, _, err = pplc("check", path)
    assert code == 1
    assert f"{path}:2:6: error[PPL001]: " in err


def test_a_directory_cannot_be_opened(pplc: Pplc, tmp_path: Path) -> None:
    for command in ("check", "explain", "emit", "infer"):
        code, out, err = pplc(command, tmp_path)
        assert (code, out) == (2, "")
        assert "Is a directory" in err


def test_standard_input_is_a_program(pplc: Pplc, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    feed(STEP)
    assert pplc("check", "-").code == 0
    feed("x ~ Normal(0, 1")
    assert "stdin" in pplc("check", "-").err


def test_emit_prints_the_module(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    code, out, err = pplc("emit", step)
    assert (code, err) == (0, "")
    compile(out, "emitted", "exec")
    target = tmp_path / "out.py"
    assert pplc("emit", step, "-o", target) == (0, "", "")
    assert target.read_text() == out
    code, _, err = pplc("emit", step, "-o", tmp_path / "no" / "out.py")
    assert code == 2
    assert "cannot write" in err


def test_explain_json_has_the_fields_of_the_guards(pplc: Pplc, step: Path) -> None:
    code, out, err = pplc("explain", "--json", step)
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert [s["name"] for s in report["sites"]] == ["x"]
    (guard,) = report["guards"]
    assert {"text", "span", "kind", "direction", "effect", "count", "status", "reason"} <= set(guard)
    assert (guard["status"], guard["kind"], guard["count"]) == ("boundary", "affine", 1)
    assert (guard["span"]["line"], guard["span"]["column"]) == (2, 8)


def test_explain_for_people_names_every_guard_in_100_columns(pplc: Pplc, step: Path) -> None:
    code, out, _ = pplc("explain", step)
    assert code == 0
    assert "2:8  x < 0" in out
    assert "boundary" in out
    assert "1:1  latent x" in out
    # the first line holds the path, which is as long as it is
    assert max(map(len, out.splitlines()[1:])) <= 100


def test_explain_counts_boundaries_when_there_is_data(pplc: Pplc, counts: Path) -> None:
    assert json.loads(pplc("explain", "--json", counts).out)["guards"][0]["count"] is None
    counts.with_name("counts.data.json").write_text('{"n": 4, "y": [1, 2, 3, 4]}')
    beside = json.loads(pplc("explain", "--json", counts).out)["guards"][0]["count"]
    other = counts.with_name("other.json")
    other.write_text('{"n": 6, "y": [1, 2, 3, 4, 5, 6]}')
    given = json.loads(pplc("explain", "--json", "--data", other, counts).out)["guards"][0]["count"]
    assert given == beside + 2


def test_explain_refuses_data_that_do_not_fit(pplc: Pplc, counts: Path) -> None:
    bad = counts.with_name("bad.json")
    bad.write_text('{"n": 2, "y": [1, 2.5]}')
    code, out, err = pplc("explain", counts, "--data", bad)
    assert (code, out) == (3, "")
    assert "`y`" in err


@pytest.mark.parametrize("arguments", [[], ["fit"], ["infer"], ["check"], ["infer", "m.ppl", "--step", "3"]])
def test_wrong_usage_is_2_and_says_so_on_stderr(pplc: Pplc, arguments: list[str]) -> None:
    code, out, err = pplc(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: pplc")


def test_version_and_help(pplc: Pplc) -> None:
    assert pplc("--version").out.startswith("pplc ")
    code, out, err = pplc("--help")
    assert (code, err) == (0, "")
    assert all(command in out for command in ("infer", "check", "explain", "emit"))


def test_a_bug_is_one_line_and_a_traceback_on_request(pplc: Pplc, step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr("ppl.load", fail)
    monkeypatch.delenv("PPLC_TRACEBACK", raising=False)
    code, out, err = pplc("check", step)
    assert (code, out) == (70, "")
    assert err.count("\n") == 1
    assert "report" in err
    assert "ZeroDivisionError: first line second line" in err
    monkeypatch.setenv("PPLC_TRACEBACK", "1")
    assert "Traceback" in pplc("check", step).err


def test_an_interrupt_is_130(pplc: Pplc, step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ppl.load", interrupt)
    assert pplc("check", step) == (130, "", "pplc: interrupted\n")


@pytest.mark.parametrize("command", [["check"], ["explain"], ["explain", "--json"], ["emit"]])
def test_looking_at_a_program_does_not_import_jax(step: Path, command: list[str]) -> None:
    script = (
        "import sys; from ppl.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'jax', 'scipy', 'xarray', 'rich', 'pandas', 'optax'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command, step], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(step: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    script = "import sys; from ppl.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", script, "emit", step], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
