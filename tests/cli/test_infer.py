"""``pplc infer``: what it prints where, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

import ppl

from .conftest import Pplc

SHORT = ("--steps", "20", "--starts", "1", "--draws", "100")


@pytest.fixture(autouse=True)
def keep_precision() -> Iterator[None]:
    """The command line chooses the precision of its process; here that is the test process."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def test_json_is_one_object_and_alone_on_stdout(pplc: Pplc, step: Path) -> None:
    code, out, err = pplc("infer", step, "--json", "--seed", "3", *SHORT)
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert set(result) == {"elbo", "elbo_se", "steps", "seed", "seconds", "latents", "reports", "diagnostics"}
    assert (result["steps"], result["seed"]) == (20, 3)
    assert result["reports"]["twice"]["mean"] == pytest.approx(2 * result["latents"]["x"]["mean"])
    assert result["diagnostics"]["precision"] == 64
    assert result["diagnostics"]["draws"] == 100


def test_the_table_says_what_was_found_and_how_far_to_trust_it(pplc: Pplc, step: Path) -> None:
    code, out, _ = pplc("infer", step, *SHORT)
    assert code == 0
    assert out.splitlines()[0].split() == ["latent", "mean", "sd", "5%", "50%", "95%"]
    for word in ("x ", "twice", "ELBO", "+-", "made the 20 steps asked for", "k-hat"):
        assert word in out


def test_a_long_array_is_abbreviated_with_a_note(pplc: Pplc, tmp_path: Path) -> None:
    path = tmp_path / "long.ppl"
    path.write_text("w: real[40] ~ Normal(0, 1)\nv: real[2, 2] ~ Normal(0, 1)\n")
    out = pplc("infer", path, *SHORT).out
    assert "w[0]" in out
    assert "w[39]" in out
    assert "w[20]" not in out
    assert "w has 40 elements" in out
    assert "v[1, 1]" in out


def test_precision_32_is_available(pplc: Pplc, step: Path) -> None:
    out = pplc("infer", step, "--json", "--precision", "32", *SHORT).out
    assert json.loads(out)["diagnostics"]["precision"] == 32


def test_equal_seeds_print_equal_json(pplc: Pplc, step: Path) -> None:
    first, second, other = (json.loads(pplc("infer", step, "--json", "--seed", s, *SHORT).out) for s in (1, 1, 2))
    for result in (first, second, other):
        del result["seconds"]
    assert first == second
    assert first["elbo"] != other["elbo"]


def test_data_beside_the_program_are_used(pplc: Pplc, counts: Path) -> None:
    code, _, err = pplc("infer", counts, *SHORT)
    assert code == 3
    assert "`n`" in err or "`y`" in err
    counts.with_name("counts.data.json").write_text('{"n": 3, "y": [9, 9, 1]}')
    assert pplc("infer", counts, *SHORT).code == 0


@pytest.mark.parametrize("content", ['{"n": 2, "y": [1, -2.5]}', "{", '{"n": 2, "y": [1, NaN]}'])
def test_data_that_do_not_fit_are_3(pplc: Pplc, counts: Path, content: str) -> None:
    data = counts.with_name("d.json")
    data.write_text(content)
    code, out, err = pplc("infer", counts, "--data", data)
    assert (code, out) == (3, "")
    assert "error[PPL5" in err


def test_a_fit_is_saved_and_loaded(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    target = tmp_path / "fit.nc"
    code, out, _ = pplc("infer", step, "--json", "--out", target, *SHORT)
    assert code == 0
    assert ppl.load_fit(target).to_json() == json.loads(out)


def test_a_place_that_cannot_be_written_is_refused_before_the_fit(
    pplc: Pplc, step: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: object, **__: object) -> None:
        raise AssertionError("the fit was started")

    monkeypatch.setattr("ppl.infer.fit", too_late)
    for option in ("--out", "--checkpoint"):
        for path in (tmp_path, tmp_path / "no" / "fit.nc"):
            code, out, err = pplc("infer", step, option, path)
            assert (code, out) == (2, "")
            assert f"cannot write {path}" in err


def test_resume_continues_a_run(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    options = ("--json", "--starts", "1", "--draws", "100", "--checkpoint", path)
    assert pplc("infer", step, "--steps", "30", *options).code == 0
    continued = json.loads(pplc("infer", step, "--steps", "60", "--resume", *options).out)
    whole = json.loads(pplc("infer", step, "--steps", "60", *options[:-2]).out)
    for result in (continued, whole):
        del result["seconds"]
    assert continued == whole
    code, _, err = pplc("infer", step, "--steps", "60", "--resume", "--seed", "9", *options)
    assert code == 2
    assert "error[PPL803]" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--steps", "0"),
        ("--steps", "many"),
        ("--lr", "-1"),
        ("--lr", "nan"),
        ("--seed", "-1"),
        ("--draws", "0"),
        ("--estimator", "best"),
        ("--guide", "best"),
        ("--resume",),
        ("--precision", "16"),
    ],
)
def test_options_that_make_no_sense_are_2(pplc: Pplc, step: Path, options: tuple[str, ...]) -> None:
    code, out, err = pplc("infer", step, *options)
    assert (code, out) == (2, "")
    assert options[0].lstrip("-") in err


def test_an_elbo_that_is_not_finite_is_4(pplc: Pplc, tmp_path: Path) -> None:
    path = tmp_path / "half.ppl"
    path.write_text("x ~ Normal(0, 1)\nobserve 1.0 ~ Normal(0, exp(exp(exp(9 + x))))\n")
    code, out, err = pplc("infer", path, *SHORT)
    assert (code, out) == (4, "")
    assert "error[PPL801]" in err


def test_not_converged_is_4_only_if_required(pplc: Pplc, step: Path) -> None:
    assert pplc("infer", step, *SHORT).code == 0
    code, _, err = pplc("infer", step, "--require-converged", *SHORT)
    assert code == 4
    assert "error[PPL802]" in err


def test_the_biased_estimator_says_so(pplc: Pplc, step: Path) -> None:
    assert "biased" in pplc("infer", step, "--estimator", "interior", *SHORT).err
    assert pplc("-q", "infer", step, "--estimator", "interior", *SHORT).err == ""
