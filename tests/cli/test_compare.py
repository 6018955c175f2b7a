"""``pplc compare``, ``summary`` and ``rule``; ``infer --method``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ppl.cli.compare import _difference
from ppl.diagnostics import CODES
from ppl.infer import Fit, Posterior, Settings
from ppl.sample import Samples

from .conftest import STEP, Pplc

Pair = tuple[float, float]

pytestmark = pytest.mark.usefixtures("keep_settings")
N = 4000


def fit(path: Path, shift: float = 0.0, sd: float = 1.0, elbo: float = -3.0) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(shift, sd, N)
    Fit(
        name="m", latents=("x", "w"), settings=Settings(), params={"loc": {"x": np.zeros(()), "w": np.zeros(2)}},
        posterior=Posterior({"x": x, "w": rng.normal(0, 1, (N, 2))}, {"twice": 2 * x}, {}, rng.normal(elbo, 0.5, N),
                            np.zeros(N)),
        elbo=elbo, elbo_se=0.01, trace=np.zeros(5), starts=(elbo,), steps=5, rhat=1.0, nonfinite_steps=0,
        converged=True, stop_reason="converged", notes=(), seconds=1.0, compile_seconds=0.5, observed={},
    ).save(path)  # fmt: skip
    return path


def samples(path: Path) -> Path:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (4, 1000))
    Samples(
        name="m", method="smc", seed=0, warmup=0, latents=("x", "w"),
        values={"x": x, "w": rng.normal(0, 1, (4, 1000, 2))}, report_values={"twice": 2 * x}, unconstrained={},
        stats={"lp": x, "acceptance_rate": np.full((4, 1000), 0.8)}, log_evidence=(-2.5, -2.4, -2.6, -2.5),
        seconds=2.0, observed={},
    ).save(path)  # fmt: skip
    return path


def test_fits_that_agree(pplc: Pplc, tmp_path: Path) -> None:
    code, out, err = pplc("compare", fit(tmp_path / "a.nc"), samples(tmp_path / "b.nc"))
    assert (code, err) == (0, "")
    assert "They agree" in out and " *" not in out
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["x", "w[0]", "w[1]", "twice"]
    assert "log p(data) -2.50 +- 0.04: the ELBO is 0.50 +- 0.04 below" in out and "R-hat 1.00" in out


def test_an_elbo_is_no_higher_than_the_evidence(pplc: Pplc, tmp_path: Path) -> None:
    """Beside an estimate of log p(data) of -2.50 +- 0.04."""
    b = samples(tmp_path / "b.nc")
    out = pplc("compare", b, fit(tmp_path / "a.nc", elbo=-2.4)).out
    assert "log p(data) -2.50 +- 0.04: the ELBO is as high, as far as the errors tell" in out
    out = pplc("compare", fit(tmp_path / "c.nc", elbo=-1.5), b).out
    assert "the ELBO is 1.00 +- 0.04 above, which it cannot be" in out


@pytest.mark.parametrize(("mean", "sd", "differs"), [
    ((0.4, 0.0), (0.49, 0.0), True), ((0.0, 0.4), (0.0, 0.49), True),
    ((0.1, float(np.float32(0.1))), (0.0, 0.0), False),
    ((0.001, 0.0), (0.0316, 0.0), False), ((3.0, 4.0), (0.0, 0.0), True),
])  # fmt: skip
def test_a_constant_beside_what_varies(mean: Pair, sd: Pair, differs: bool) -> None:
    one, other = ({"mean": np.array(m), "sd": np.array(s), "q5": np.array(m), "q95": np.array(m),
                   "exists": np.array(1.0)} for m, s in zip(mean, sd, strict=True))  # fmt: skip
    assert (_difference("a", (), one, other, (np.array(1000.0),) * 2).size > 1) == differs


def test_fits_that_differ(pplc: Pplc, tmp_path: Path) -> None:
    a, b = fit(tmp_path / "a.nc", shift=0.5, sd=0.5, elbo=-4.0), fit(tmp_path / "b.nc")
    code, out, _ = pplc("compare", a, b)
    assert code == 0
    assert "x: in the first, its mean lies 0.51 sd higher and it is narrower, by a factor of 2." in out
    assert "w[0]: in" not in out and "ELBO, first minus second: -1.00 +- 0.01" in out
    got = json.loads(pplc("compare", a, b, "--json").out)
    assert [(d["name"], d["differs"]) for d in got["differences"]] == [
        ("x", True), ("w[0]", False), ("w[1]", False), ("twice", True)]  # fmt: skip
    assert got["differences"][0]["shift"] == pytest.approx(0.5, abs=0.05)


def test_refusals(pplc: Pplc, tmp_path: Path, step: Path) -> None:
    a = fit(tmp_path / "a.nc")
    assert pplc("compare", a).code == 2
    assert "--program" in pplc("compare", a, "--method", "nuts").err
    code, _, err = pplc("compare", a, "--method", "nuts", "--program", step)
    assert code == 2 and "latents differ" in err
    assert pplc("compare", a, tmp_path / "none.nc").code == 2
    assert "no use for it" in pplc("infer", step, "--method", "nuts", "--steps", 3).err


def test_summary_is_what_infer_printed(pplc: Pplc, tmp_path: Path, step: Path) -> None:
    out = tmp_path / "fit.nc"
    printed = pplc("infer", step, "--steps", 20, "--starts", 1, "--draws", 100, "--out", out, "--json").out
    assert json.loads(pplc("summary", out, "--json").out) == json.loads(printed)
    assert pplc("summary", out).out.startswith("latent")
    shown = pplc("summary", samples(tmp_path / "s.nc")).out
    assert shown.splitlines()[0].split() == ["latent", "mean", "sd", "5%", "50%", "95%", "rhat", "ess"]
    assert pplc("summary", step).code == 2


def test_infer_by_nuts(pplc: Pplc, tmp_path: Path, step: Path) -> None:
    out = tmp_path / "nuts.nc"
    code, text, _ = pplc("infer", step, "--method", "nuts", "--chains", 2, "--warmup", 200, "--draws", 500, "--out",
                         out, "--json")  # fmt: skip
    got = json.loads(text)
    assert code == 0 and STEP.startswith("x ~ Normal(0, 1)")
    assert got["method"] == "nuts" and got["diagnostics"]["chains"] == 2
    assert got["latents"]["x"]["ess"] > 50 and got["reports"]["twice"]["mean"] == pytest.approx(
        2 * got["latents"]["x"]["mean"])  # fmt: skip
    assert json.loads(pplc("summary", out, "--json").out) == got


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_rule(pplc: Pplc, code: str) -> None:
    status, out, err = pplc("rule", code)
    assert (status, err) == (0, "") and out.startswith(f"{code}: {CODES[code]}\n\n")
    assert max(map(len, out.splitlines())) <= 110


def test_unknown_codes(pplc: Pplc) -> None:
    assert pplc("rule", "209").out == pplc("rule", "ppl209").out
    code, out, err = pplc("rule", "PPL2099")
    assert (code, out) == (2, "") and "did you mean PPL209?" in err
