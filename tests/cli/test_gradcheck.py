"""``pplc gradcheck``: what it prints where, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest

import ppl
from ppl.testing import Component, GradientCheck

from .conftest import Pplc

pytestmark = pytest.mark.usefixtures("keep_settings")
SHORT = ("--draws", "3000")
AT = {"loc": {"x": 0.0}, "log_scale": {"x": 0.0}}


def canned(estimator: str, *verdicts: str, sites: int = 1) -> GradientCheck:
    """A check of `sites` times as many components as `verdicts`."""
    components = tuple(
        Component(
            site="x", kind="loc", index=(i,) if sites > 1 else (), estimate=1.5, se=0.01, reference=1.5,
            reference_se=0.02, z=float(i), p=0.6, visible=0.1, unit=1.0, method="differences", verdict=verdict,
        )
        for i, verdict in enumerate(verdicts * sites)
    )  # fmt: skip
    draws = {"differences": 70}
    return GradientCheck("canned", estimator, components, 70, draws, 0, -3.0, 0.1, 0, len(components))


@pytest.fixture
def jump(tmp_path: Path) -> Path:
    path = tmp_path / "jump.ppl"
    path.write_text("x ~ Normal(0, 1)\nobserve 0 ~ Normal(if x > 0 then 1 else -2, 1)\n")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the check by canned results, the entry `results`, and records how it was called."""
    seen: dict[str, Any] = {"results": (canned("combined", "agrees"), canned("interior", "biased"))}

    def stand_in(problem: Any, params: Any, estimators: Any, **options: Any) -> Any:
        seen.update(options, params=params, estimators=estimators)
        return seen["results"][: len(estimators)]

    monkeypatch.setattr("ppl.testing.compare_estimators", stand_in)
    return seen


def test_a_whole_run_shows_the_bias_and_ends_well(pplc: Pplc, jump: Path) -> None:
    code, out, err = pplc("gradcheck", jump, "--at", "init", *SHORT)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["gradient", "reference", "+-", "plain", "AD", "z", "combined", "z"]
    assert [line.split()[0] for line in lines[1:3]] == ["x.loc", "x.log_scale"]
    assert lines[1].split()[4].endswith("*")
    assert not lines[1].split()[6].endswith("*")
    assert any(line.startswith("Plain automatic differentiation is biased in ") for line in lines)
    assert any(line.startswith("The combined estimator agrees with the reference in all 2 gradients") for line in lines)
    assert any(line.split() == ["jumps", "1", "boundary"] for line in lines)


def test_json_has_every_gradient_of_the_estimator(pplc: Pplc, jump: Path) -> None:
    code, out, err = pplc("gradcheck", jump, "--json", "--estimator", "interior", "--seed", "2", *SHORT)
    found = json.loads(out)
    assert (code, err) == (5, "")
    assert (found["ok"], found["estimator"], found["seed"], found["boundaries"]) == (False, "interior", 2, 1)
    (component, other) = found["estimators"]["interior"]["components"]
    assert (component["name"], component["site"], component["kind"], component["index"]) == ("x.loc", "x", "loc", [])
    assert other["name"] == "x.log_scale"
    assert component["verdict"] == "biased"
    assert abs(component["z"]) > 10
    assert {"estimate", "se", "reference", "reference_se", "p", "visible", "method"} <= set(component)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("agrees", "agrees"), 0),
        (("agrees", "undecided"), 0),
        (("undecided", "undecided"), 4),
        (("agrees", "biased"), 5),
        (("undecided", "not finite"), 5),
    ],
)
def test_the_exit_code_is_the_verdict(
    pplc: Pplc, step: Path, asked: dict[str, Any], verdicts: tuple[str, ...], code: int
) -> None:
    asked["results"] = (canned("combined", *verdicts), canned("interior", *(["biased"] * len(verdicts))))
    result = pplc("gradcheck", step)
    assert result.code == code
    assert ("? undecided" in result.out) == ("undecided" in verdicts)


def test_options_reach_the_check(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    pplc("gradcheck", step, "--draws", "99", "--seed", "5", "--estimator", "score")
    assert asked["estimators"] == ["score", "interior"]
    assert (asked["draws"], asked["seed"], asked["guide"], asked["params"]) == (99, 5, "meanfield", None)
    assert asked["progress"] is None  # stderr is no terminal here
    pplc("gradcheck", step, "--at", "init")
    assert asked["params"] == AT
    assert "draws" in asked


def test_the_fitted_parameters(pplc: Pplc, step: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    moved = {"loc": {"x": 0.7}, "log_scale": {"x": -0.1}}
    fitted = SimpleNamespace(params=moved, steps=17, converged=False)
    monkeypatch.setattr("ppl.infer.fit", lambda problem, **options: fitted)
    out = pplc("gradcheck", step, "--at", "fitted").out
    assert asked["params"] == moved
    assert "fitted now: 17 steps, not converged" in out


def test_the_parameters_of_a_saved_fit(pplc: Pplc, step: Path, asked: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "fit.nc"
    fit = ppl.load(step).infer(steps=3, starts=1, draws=10)
    fit.save(target)
    assert pplc("gradcheck", step, "--params", target).code == 0
    assert float(asked["params"]["loc"]["x"]) == float(fit.params["loc"]["x"])
    code, _, err = pplc("gradcheck", step, "--params", target, "--guide", "other")
    assert code == 2 and "has the guide meanfield, not other" in err
    code, _, err = pplc("gradcheck", step, "--params", tmp_path / "none.nc")
    assert code == 2 and "cannot open" in err
    code, _, err = pplc("gradcheck", step, "--params", step)
    assert code == 2 and "PPL804" in err


def test_parameters_of_another_program_are_refused(pplc: Pplc, step: Path, tmp_path: Path) -> None:
    target = tmp_path / "fit.nc"
    ppl.compile("y ~ Normal(0, 1)").infer(steps=3, starts=1, draws=10).save(target)
    code, out, err = pplc("gradcheck", step, "--params", target)
    assert (code, out) == (2, "")
    assert "params do not fit the problem" in err


def test_a_program_without_boundaries_is_checked_once(pplc: Pplc, tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "smooth.ppl"
    path.write_text("x ~ Normal(0, 1)\nobserve 1 ~ Normal(x, 1)\n")
    code, out, _ = pplc("gradcheck", path)
    assert code == 0
    assert asked["estimators"] == ["combined"]
    assert "No guard has a boundary term here" in " ".join(out.split())


def test_a_long_table_keeps_the_clearest(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    asked["results"] = tuple(canned(e, "agrees", sites=60) for e in ("combined", "interior"))
    out = pplc("gradcheck", step).out
    assert "x[59].loc" in out and "x[36].loc" in out
    assert "x[35].loc" not in out
    assert "36 more gradients have a smaller |z|; --json prints all" in out


def test_quiet_prints_the_result_alone(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    result = pplc("-q", "gradcheck", step)
    assert result.err == "" and result.out


@pytest.mark.parametrize(
    "options",
    [("--draws", "63"), ("--draws", "no"), ("--seed", "-1"), ("--guide", "best"), ("--estimator", "best"),
     ("--at", "home"), ("--at", "init", "--params", "x.nc")],
)  # fmt: skip
def test_options_that_make_no_sense_are_2(pplc: Pplc, step: Path, options: tuple[str, ...]) -> None:
    code, out, err = pplc("gradcheck", step, *options)
    assert (code, out) == (2, "")
    assert options[0].lstrip("-") in err


def test_a_density_that_is_not_finite_is_4(pplc: Pplc, tmp_path: Path) -> None:
    path = tmp_path / "log.ppl"
    path.write_text("x ~ Normal(0, 1)\nfactor log(x + 2)\n")
    code, out, err = pplc("gradcheck", path, "--at", "init", *SHORT)
    assert (code, out) == (4, "")
    assert f"{path}:2:1: error[PPL801]" in err


def test_data_that_are_missing_are_3_and_rejected_programs_1(pplc: Pplc, counts: Path, broken: Path) -> None:
    assert pplc("gradcheck", counts).code == 3
    assert pplc("gradcheck", broken).code == 1


def test_the_precision_is_64_unless_asked_otherwise(pplc: Pplc, step: Path, asked: dict[str, Any]) -> None:
    pplc("gradcheck", step, "--at", "init")
    assert jnp.asarray(asked["params"]["loc"]["x"]).dtype == jnp.float64
    pplc("gradcheck", step, "--at", "init", "--precision", "32")
    assert jnp.asarray(asked["params"]["loc"]["x"]).dtype == jnp.float32
