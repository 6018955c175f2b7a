"""``check``, ``explain`` and ``emit``: exit codes, streams, and that they stay light."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import STEP, Pplc

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"


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


def test_a_wrong_file_is_named_with_the_right_one(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    code, _, err = pplc("check", step.with_suffix(""))
    assert code == 2 and f"did you mean {step}?" in err
    (tmp_path / "d.csv").write_text("x\n1\n")
    code, _, err = pplc("explain", tmp_path / "d.csv")
    assert code == 2 and err.count("\n") == 1 and "--data" in err


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
    assert (guard["status"], guard["kind"], guard["count"]) == ("marginalised", "affine", 1)
    assert (guard["span"]["line"], guard["span"]["column"]) == (2, 8)


def test_explain_for_people_names_every_guard_in_100_columns(pplc: Pplc, step: Path) -> None:
    code, out, _ = pplc("explain", step)
    assert code == 0
    assert "2:8  x < 0" in out
    assert "marginalised" in out
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
    def fail(path: str, lines: object) -> None:
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
    def interrupt(path: str, lines: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ppl.load", interrupt)
    assert pplc("check", step) == (130, "", "pplc: interrupted\n")


@pytest.mark.parametrize("command", [["check"], ["explain"], ["explain", "--json"], ["emit"]])
@pytest.mark.parametrize("program", ["step", "textmsg"])
def test_looking_at_a_program_stays_light(step: Path, program: str, command: list[str]) -> None:
    """Neither what only a fit needs nor what would take a good part of the start-up time is imported."""
    file = str(step) if program == "step" else str(PROGRAMS / "textmsg.ppl")
    heavy = ["jax", "lark", "numpy", "scipy", "xarray", "rich", "pandas", "optax", "importlib.metadata", "difflib"]
    script = (
        "import sys; before = set(sys.modules); from ppl.cli import main; code = main(sys.argv[1:]); "
        f"heavy = set({heavy}) & (set(sys.modules) - before); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_a_bound_that_is_looked_up_in_data_takes_numpy(tmp_path: Path) -> None:
    path = tmp_path / "ragged.ppl"
    path.write_text(
        "data n: int[3] = [1, 0, 2]\nx ~ Normal(0, 1)\n"
        "for i in 0..3 { for j in 0..n[i] { observe j ~ Normal(if x > i then 1 else 0, 1) } }\n"
    )
    script = "import sys; from ppl.cli import main; main(sys.argv[1:]); assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script, "explain", "--json", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["guards"][0]["count"] == 3


@pytest.mark.parametrize("command", ["check", "explain"])
def test_data_that_say_more_of_guards_take_no_jax(tmp_path: Path, command: str) -> None:
    path = tmp_path / "pole.ppl"
    path.write_text("data a: real = 0\nx ~ Normal(0, 1)\nfactor if x > 0 then log(x - a) else 0\n")
    script = "import sys; from ppl.cli import main; main(sys.argv[1:]); assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script, command, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "score, x1" in done.stdout if command == "explain" else f"{path}:3:11: warning[PPL403]" in done.stderr


def test_warnings_are_those_of_the_program_with_its_data(pplc: Pplc, tmp_path: Path) -> None:
    """`check` says what other data may bring; what binds says, once, what these bring."""
    path, data = tmp_path / "claims.ppl", tmp_path / "claims.json"
    path.write_text("data paid: real\nded ~ LogNormal(0, 1)\nfactor LogNormal_lpdf(paid + ded, 1, 1)\n")
    assert pplc("check", path).err.count("PPL403") == pplc("emit", path).err.count("PPL403") == 1
    assert pplc("explain", path).err.count("PPL403") == 1
    for paid, count in ((1, 0), (-1, 1)):
        data.write_text(json.dumps({"paid": paid}))
        for command in (["explain", path], ["sample", path, "--draws", "2"]):
            done = pplc(*command, "--data", data)
            assert (done.code, done.err.count("PPL403")) == (0, count), command
    data.write_text("{}")
    done = pplc("sample", path, "--data", data)
    assert (done.code, done.err.count("PPL403")) == (3, 1)


SCRIPT = "import sys; from ppl.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("how", ["pipe without a reader", "closed from the start"])
def test_a_stream_that_nobody_reads_changes_no_exit_code(step: Path, broken: Path, closed: str, how: str) -> None:
    """The reader has seen enough (``| head``), or there never was one (``2>&-``)."""
    for arguments, code in (
        (["check", step], 0),
        (["check", broken], 1),
        (["emit", step], 0),
        (["fit"], 2),
        (["--help"], 0),
    ):
        command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
        names = ["stdout", "stderr"] if closed == "both" else [closed]
        if how == "closed from the start":
            redirected = shlex.join(command) + "".join({"stdout": " >&-", "stderr": " 2>&-"}[n] for n in names)
            done = subprocess.run(["/bin/sh", "-c", redirected], capture_output=True, text=True)
        else:
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run(
                command,
                text=True,
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **dict.fromkeys(names, write)},
            )
            os.close(write)
        assert done.returncode == code, arguments
        if closed == "stdout" and code == 0 and arguments[0] != "check":
            assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_an_error(step: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", SCRIPT, "explain", str(step)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("pplc: cannot write the output: ")
        assert done.stderr.count("\n") == 1


def test_an_empty_name_is_wrong_usage(pplc: Pplc) -> None:
    for command in ("check", "explain", "emit", "infer"):
        assert pplc(command, "") == (2, "", "pplc: the name of a program is empty\n")


def test_a_closed_standard_input_is_wrong_usage() -> None:
    command = shlex.join([sys.executable, "-c", SCRIPT, "check", "-"])
    done = subprocess.run(["/bin/sh", "-c", f"{command} <&-"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "pplc: cannot read standard input: it is closed\n")


def test_names_that_no_terminal_can_show(tmp_path: Path, step: Path) -> None:
    """Control characters, bytes that are not UTF-8, and an output that takes ASCII only."""
    name = os.fsencode(tmp_path) + b"/\x1b[31m\xff\xc3\xa9.ppl"
    with open(name, "wb") as file:
        file.write(step.read_bytes())
    for arguments in ([b"check", name], [b"explain", name], [b"emit", name], [b"check", name + b".ppl"]):
        command = [os.fsencode(sys.executable), b"-c", SCRIPT.encode(), *arguments]
        done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == (2 if arguments[1] != name else 0), done.stderr
        assert b"\x1b" not in done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------------------- lines

TWO = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nobserve 0.3 ~ Normal(if x + 2 * y > 0 then x else y, 1)\n"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.ppl"
    path.write_text(TWO)
    return path


def test_explain_shows_the_line_its_cost_and_the_other_lines(pplc: Pplc, two: Path) -> None:
    out = " ".join(pplc("explain", two).out.split())
    assert "boundary, x1, affine, along the normal in x, y, effect local" in out
    assert "a jump evaluates 1 of 3 factors; it takes about" in out and "other lines: x, y" in out
    assert "a gradient that sees no boundaries takes about" in out
    report = json.loads(pplc("explain", "--json", two).out)
    (guard,) = report["guards"]
    assert guard["lines"] == ["normal", "x", "y"]
    assert set(guard["jump"]) == {"factors", "of", "work"}
    work = report["work"]
    assert set(work) == {"gradient", "boundaries", "integrated", "price"}
    assert work["boundaries"] == guard["jump"]["work"]
    assert work["price"] == pytest.approx(1 + work["boundaries"] / work["gradient"], rel=0.01)


def test_a_line_can_be_asked_for(pplc: Pplc, two: Path) -> None:
    assert "along y, effect" in pplc("explain", two, "--line", "3:25=y").out
    assert "along x, effect" in pplc("explain", two, "--line", "3=x", "--line", "normal").out
    normal, x, y = (pplc("emit", two, *words).out for words in ((), ("--line", "coordinate"), ("--line", "3=y")))
    assert len({normal, x, y}) == 3 and "normals" in normal and "normals" not in x + y
    done = pplc("gradcheck", two, "--line", "3=y", "--draws", "4000", "--json")
    assert done.code == 0 and json.loads(done.out)
    assert pplc("infer", two, "--line", "3=y", "--steps", "20", "--draws", "100", "--json").code == 0


def test_a_line_that_cannot_be_had(pplc: Pplc, two: Path) -> None:
    for command in ("explain", "emit", "infer", "gradcheck"):
        code, out, err = pplc(command, two, "--line", "3=z")
        assert (code, out) == (1, "")
        assert err.startswith(f"{two}:3:25: error[PPL406]: `x + 2 * y > 0` cannot be crossed along `z` alone")
        assert "hint: its lines: x, y, normal" in err
    for wrong in ("x", "3=", "=x", "3:0=x", "3=x y"):
        code, out, err = pplc("explain", two, "--line", wrong)
        assert (code, out) == (2, "") and "--line" in err and "Traceback" not in err
    code, _, err = pplc("infer", two, "--line", "3=x", "--method", "nuts")
    assert code == 2 and "--line is for fits" in err


def test_guards_of_libraries_are_shown_with_their_file(pplc: Pplc, tmp_path: Path) -> None:
    program = tmp_path / "zeros.ppl"
    program.write_text(
        "use counts\nr ~ LogNormal(0, 1)\nobserve 0 ~ ZeroInflatedPoisson(0.2, r)\nif r > 2 { factor 1 }\n"
    )
    code, out, _ = pplc("explain", program)
    assert code == 0
    assert re.search(r"^  counts\.ppl:\d+:\d+  y == 0$", out, re.MULTILINE)
    assert re.search(r"^  4:4  r > 2$", out, re.MULTILINE)
