"""``pplc infer``: what it prints where, and how it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ppl
from ppl.cli import main
from ppl.cli.console import UsageError
from ppl.cli.output import check_writable
from ppl.infer import Fit, Posterior, Settings

from .conftest import Pplc

pytestmark = pytest.mark.usefixtures("keep_settings")
SHORT = ("--steps", "20", "--starts", "1", "--draws", "100")
CANNED = Fit(
    name="canned",
    latents=("x", "w"),
    settings=Settings(seed=3),
    params={"loc": {"x": np.zeros(()), "w": np.zeros(40)}},
    posterior=Posterior(
        latents={"x": np.r_[np.nan, np.linspace(1, 2, 99)], "w": np.zeros((100, 40))},
        reports={"m": np.ones((100, 2, 2))},
        unconstrained={},
        log_weight=np.linspace(-1, 1, 100),
        log_q=np.zeros(100),
    ),
    elbo=-12.3456,
    elbo_se=0.01,
    trace=np.zeros(20),
    starts=(-12.3, -15.0, float("nan")),
    steps=20,
    rhat=1.05,
    nonfinite_steps=2,
    converged=False,
    stop_reason="steps: made the 20 steps asked for; not converged",
    notes=(),
    seconds=1.5,
    compile_seconds=0.5,
    observed={},
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the fit by a canned one and records how it was called."""
    seen: dict[str, Any] = {}

    def canned(problem: object, **options: Any) -> Fit:
        seen.update(options, problem=problem)
        return CANNED

    monkeypatch.setattr("ppl.infer.fit", canned)
    return seen


def test_a_whole_run_prints_one_json_object_and_saves_the_same(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    target = tmp_path / "fit.nc"
    code, out, err = pplc("infer", step, "--json", "--seed", "3", "--out", target, *SHORT)
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert set(result) == {"elbo", "elbo_se", "steps", "seed", "seconds", "latents", "reports", "diagnostics"}
    assert (result["steps"], result["seed"]) == (20, 3)
    assert result["reports"]["twice"]["mean"] == pytest.approx(2 * result["latents"]["x"]["mean"])
    assert result["diagnostics"]["precision"] == 64
    assert result["diagnostics"]["draws"] == 100
    assert ppl.load_fit(target).to_json() == result


def test_options_reach_the_fit(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    options = {"estimator": "score", "seed": 7, "steps": 9, "samples": 3, "lr": 0.5, "starts": 2, "draws": 11}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert pplc("infer", step, *words).code == 0
    assert options.items() <= asked.items()
    assert asked["checkpoint"] is None
    assert asked["progress"] is None  # stderr is no terminal here


def test_the_table_says_what_was_found_and_how_far_to_trust_it(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    code, out, _ = pplc("infer", step)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["latent", "mean", "sd", "5%", "50%", "95%", "exists"]
    assert lines[1].split() == ["x", "1.500", "0.293", "1.050", "1.500", "1.950", "0.990"]
    assert "ELBO     -12.3456 +- 0.0100" in lines
    assert "stopped  after 20 steps; steps: made the 20 steps asked for; not converged" in lines
    assert any(line.startswith("starts   1 of 3 reached the best ELBO; the worst ended at -15.00") for line in lines)
    assert any(line.startswith("skipped  2 gradients") for line in lines)
    assert any("k-hat" in line for line in lines)


def test_a_long_array_is_abbreviated_with_a_note(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    out = pplc("infer", step).out
    assert "w[0]" in out
    assert "w[39]" in out
    assert "w[20]" not in out
    assert "w has 40 elements" in out
    assert "m[1, 1]" in out


def test_json_has_null_for_what_is_not_a_number(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    result = json.loads(pplc("infer", step, "--json").out)
    assert result["diagnostics"]["starts"] == [-12.3, -15.0, None]
    assert np.shape(result["reports"]["m"]["q95"]) == (2, 2)


def test_precision_is_64_unless_asked_otherwise(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    pplc("infer", step)
    assert jax.config.jax_enable_x64
    pplc("infer", step, "--precision", "32")
    assert not jax.config.jax_enable_x64


def test_compiled_programs_are_kept_in_the_users_cache(
    pplc: Pplc, step: Path, tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pplc("infer", step)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache" / "pplc" / "jax")
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # cannot hold a folder: do without
    assert pplc("infer", step).code == 0
    assert jax.config.jax_compilation_cache_dir is None


def test_data_beside_the_program_are_used(pplc: Pplc, counts: Path, asked: dict[str, Any]) -> None:
    code, _, err = pplc("infer", counts)
    assert code == 3
    assert "`n`" in err or "`y`" in err
    counts.with_name("counts.data.json").write_text('{"n": 3, "y": [9, 9, 1]}')
    assert pplc("infer", counts).code == 0
    assert asked["problem"].data["y"].tolist() == [9, 9, 1]


@pytest.mark.parametrize("content", ['{"n": 2, "y": [1, -2.5]}', "{", '{"n": 2, "y": [1, NaN]}'])
def test_data_that_do_not_fit_are_3(pplc: Pplc, counts: Path, content: str) -> None:
    data = counts.with_name("d.json")
    data.write_text(content)
    code, out, err = pplc("infer", counts, "--data", data)
    assert (code, out) == (3, "")
    assert "error[PPL5" in err


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
    os.mkfifo(pipe := tmp_path / "pipe")
    check_writable(os.fspath(pipe))
    pipe.chmod(0o400)
    if not os.access(pipe, os.W_OK):  # it is, to root
        with pytest.raises(UsageError, match="cannot write"):
            check_writable(os.fspath(pipe))


def test_resume_continues_a_run_and_refuses_another(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    options = ("--json", "--checkpoint", path, *SHORT)
    first = json.loads(pplc("infer", step, *options).out)
    again = json.loads(pplc("infer", step, "--resume", *options).out)
    for result in (first, again):
        del result["seconds"]
    assert again == first
    code, out, err = pplc("infer", step, "--resume", "--seed", "9", *options)
    assert (code, out) == (2, "")
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


def test_starts_at_given_values(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    values, fitted = tmp_path / "values.json", tmp_path / "fit.nc"
    values.write_text('{"x": 1.25}')
    far = ("--starts", "1", "--lr", "1e-9", "--json", *SHORT)
    code, out, _ = pplc("infer", step, "--init", values, "--out", fitted, *far)
    assert code == 0
    assert ppl.load_fit(fitted).params["loc"]["x"] == pytest.approx(1.25)
    assert ppl.load_fit(fitted).settings.init == str(values)
    assert pplc("infer", step, "--init", fitted, *far).code == 0
    assert pplc("infer", step, "--init", "median", *far).code == 0
    values.write_text('{"z": 1.25}')
    code, out, err = pplc("infer", step, "--init", values, *far)
    assert (code, out) == (2, "") and "error[PPL806]" in err
    code, out, err = pplc("infer", step, "--init", tmp_path / "nowhere.nc", *far)
    assert (code, out) == (2, "") and "cannot open" in err
    assert pplc("infer", step, "--init", "median", "--method", "nuts").code == 2


def failing(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_fit_that_fails_is_4(pplc: Pplc, step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ppl.InferenceError([ppl.Diagnostic("PPL801", "no finite step")])
    monkeypatch.setattr("ppl.infer.fit", failing(error))
    assert pplc("infer", step) == (4, "", "error[PPL801]: no finite step\n")


def test_a_fit_that_has_not_converged_is_4_and_not_lost(
    pplc: Pplc, step: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    target = tmp_path / "fit.nc"
    code, out, err = pplc("infer", step, "--require-converged", "--json", "--out", target)
    assert code == 4 and err.startswith("error[PPL802]: the fit did not converge: steps: made the 20 steps asked for")
    assert json.loads(out) == CANNED.to_json() == ppl.load_fit(target).to_json()


def test_an_interrupted_fit_says_where_it_can_be_continued(
    pplc: Pplc, step: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppl.infer.fit", failing(KeyboardInterrupt()))
    code, out, err = pplc("infer", step, "--checkpoint", tmp_path / "run.ckpt")
    assert (code, out) == (130, "")
    assert "run.ckpt; --resume continues it" in err


def test_the_biased_estimator_says_so(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    assert "biased" in pplc("infer", step, "--estimator", "interior").err
    assert pplc("-q", "infer", step, "--estimator", "interior").err == ""


def test_a_fit_is_saved_although_nobody_reads_the_table(
    pplc: Pplc, step: Path, tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both streams were closed from the start; or stdout is full, which is an error, but the fit is saved."""
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdout", None)
        closed.setattr("sys.stderr", None)
        assert main(["infer", str(step), "--out", str(tmp_path / "a.nc")]) == 0
    assert ppl.load_fit(tmp_path / "a.nc").elbo == CANNED.elbo

    def full(text: str) -> None:
        raise UsageError("cannot write the output: full")

    monkeypatch.setattr("ppl.cli.infer.put", full)
    assert pplc("infer", step, "--out", tmp_path / "b.nc") == (2, "", "pplc: cannot write the output: full\n")
    assert ppl.load_fit(tmp_path / "b.nc").elbo == CANNED.elbo


@pytest.mark.parametrize("mean", ["m", "if i < 2 then m else m + 1"])
def test_a_program_whose_density_never_jumps_hears_nothing_of_boundaries(pplc: Pplc, tmp_path: Path, mean: str) -> None:
    path = tmp_path / "plain.ppl"
    path.write_text(f"m ~ Normal(0, 1)\nfor i in 0..3 {{ observe 0.5 ~ Normal({mean}, 1) }}\n")
    code, out, err = pplc("infer", path, *SHORT)
    assert code == 0 and "ELBO" in out
    assert not any(word in (out + err).lower() for word in ("boundar", "guard", "branch", "jump"))


def test_minibatches(pplc: Pplc, step: Path, counts: Path) -> None:
    code, out, err = pplc("infer", step, "--minibatch", "5")
    assert (code, out) == (2, "") and "error[PPL807]: no loop observes anything" in err
    counts.with_name("counts.data.json").write_text('{"n": 3, "y": [9, 9, 1]}')
    code, out, _ = pplc("infer", counts, "--minibatch", "2", "--json", *SHORT)
    assert code == 0 and json.loads(out)["diagnostics"]["minibatch"] == 2
    assert "can be taken in minibatches" in pplc("explain", counts).out
    for option in (("--minibatch", "2"), ("--guide", "fullrank")):
        code, out, err = pplc("infer", step, *option, "--method", "nuts")
        assert (code, out) == (2, "") and f"{option[0]} is for fits" in err


def test_the_guide_of_the_program(pplc: Pplc, tmp_path: Path) -> None:
    own = tmp_path / "own.ppl"
    own.write_text("x ~ Normal(0, 1)\ny ~ Normal(x, 1)\nobserve 1 ~ Normal(y, 1)\nguide { x, y ~ FullRank() }\n")
    code, out, _ = pplc("infer", own, "--json", *SHORT)
    assert code == 0 and json.loads(out)["diagnostics"]["guide"] == "x, y ~ FullRank()"
    code, _, err = pplc("infer", own, "--guide", "meanfield", *SHORT)
    assert code == 0 and "the `guide` block of the program is set aside for --guide meanfield" in err
    code, out, err = pplc("infer", own, "--guide", "x ~ Chain(); y ~ MeanField()")
    assert (code, out) == (1, "") and "guide:1:9: error[PPL311]" in err
    assert "guide x, y ~ FullRank()" in pplc("explain", own).out
