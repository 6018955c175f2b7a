"""``pplc sample``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from .conftest import Pplc

pytestmark = pytest.mark.usefixtures("keep_settings")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.ppl"
    path.write_text(
        "data n: int\ndata k: int[n]\na ~ LogNormal(1, 1)\nb ~ Normal(0, 1)\n"
        "if b > 0 { c ~ Normal(0, 1); factor 0 * c }\n"
        "for i in 0..n { if i > 0 { observe k[i] ~ Poisson(a) } }\nreport twice = 2 * a\n"
    )
    (tmp_path / "m.data.json").write_text('{"k": [3, 1, 4, 1, 5]}')
    return path


def test_prior(pplc: Pplc, model: Path) -> None:
    code, out, err = pplc("sample", model, "--draws", 4000, "--json")
    assert (code, err) == (0, "")
    got = json.loads(out)
    assert (got["from"], got["draws"], got["seed"]) == ("prior", 4000, 0)
    assert got["latents"]["a"]["q50"] == pytest.approx(np.e, rel=0.1)
    assert got["latents"]["c"]["exists"] == pytest.approx(0.5, abs=0.03)
    assert got["reports"]["twice"]["mean"] == pytest.approx(2 * got["latents"]["a"]["mean"])
    assert "observations" not in got


def test_predictive_draws_in_every_format(pplc: Pplc, model: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "json", "nc"):
        code, out, err = pplc("sample", model, "--predictive", "--draws", 50, "--out", tmp_path / f"d.{suffix}")
        assert code == 0 and err == ""
    assert [line.split()[0] for line in out.splitlines()[-5:]] == [f"k[{i}]" for i in range(5)]
    assert out.splitlines()[-4].split()[-2:] == ["1.00", "1.000"]  # observed, exists
    rows = list(csv.DictReader((tmp_path / "d.csv").read_text().splitlines()))
    assert len(rows) == 50 and list(rows[0])[-5:] == [f"k[{i}]" for i in range(5)]
    whole = json.loads((tmp_path / "d.json").read_text())
    tree = xarray.open_datatree(tmp_path / "d.nc", engine="h5netcdf")
    k = tree["prior_predictive"]["k"]
    assert k.shape == (1, 50, 4) and k.k_dim_0.values.tolist() == [1, 2, 3, 4]  # no path observes the first
    assert tree["observed_data"]["k"].values.tolist() == [1, 4, 1, 5]
    assert tree["constant_data"]["k"].values.tolist() == [3, 1, 4, 1, 5]
    for j, row in enumerate(rows):
        assert float(row["a"]) == whole["a"][j] == tree["prior"]["a"].values[0, j]
        assert (row["c"] == "") == (whole["c"][j] is None) == bool(np.isnan(tree["prior"]["c"].values[0, j]))
        assert (row["k[0]"], whole["k"][j][0]) == ("", None)
        assert float(row["k[3]"]) == whole["k"][j][3] == k.sel(k_dim_0=3).values[0, j]


def test_posterior_from_a_saved_fit(pplc: Pplc, model: Path, tmp_path: Path) -> None:
    fit = tmp_path / "fit.nc"
    assert pplc("infer", model, "--steps", 300, "--starts", 1, "--draws", 100, "--out", fit).code == 0
    code, out, _ = pplc("sample", model, "--from", fit, "--predictive", "--json", "--out", tmp_path / "d.nc")
    got = json.loads(out)
    assert code == 0 and got["from"] == str(fit)
    assert 1.5 < got["observations"]["k"]["mean"][2] < 4.5
    assert got["observations"]["k"]["observed"] == [3, 1, 4, 1, 5]
    tree = xarray.open_datatree(tmp_path / "d.nc", engine="h5netcdf")
    assert tree["log_likelihood"]["k"].shape == (1, 1000, 4)
    other = tmp_path / "other.ppl"
    other.write_text("a ~ LogNormal(1, 1)\n")
    code, out, err = pplc("sample", other, "--from", fit)
    assert (code, out) == (2, "") and "latents differ" in err and "b, c" in err


def test_refusals(pplc: Pplc, model: Path, tmp_path: Path) -> None:
    code, _, err = pplc("sample", model, "--out", tmp_path / "d.xls")
    assert code == 2 and ".nc, .csv, .json" in err
    code, _, err = pplc("sample", model, "--from", tmp_path / "none.nc")
    assert code == 2 and "cannot open" in err
    code, _, err = pplc("sample", model, "--from", model)
    assert code == 2 and "PPL804" in err
    twice = tmp_path / "twice.ppl"
    twice.write_text("data y: real = 1\nx ~ Normal(0, 1)\nobserve y ~ Normal(x, 1)\nobserve y ~ Normal(x, 2)\n")
    code, out, err = pplc("sample", twice, "--predictive")
    assert code == 1 and out == "" and "PPL811" in err and "twice.ppl:3:1" in err
    assert pplc("sample", twice).code == 0


def test_log_likelihoods_are_saved_where_there_are_no_replicates(pplc: Pplc, tmp_path: Path) -> None:
    path, fit = tmp_path / "own.ppl", tmp_path / "fit.nc"
    path.write_text(
        "fn Pull_lpdf(y: real, m: real) -> real { return -2 * square(y - m) }\n"
        "data y: real[2] = [1, 3]\nx ~ Normal(0, 1)\nobserve y ~ Pull(x)\n"
    )
    assert pplc("infer", path, "--steps", 20, "--starts", 1, "--draws", 30, "--out", fit).code == 0
    run = pplc("sample", path, "--from", fit, "--predictive", "--out", tmp_path / "d.nc", "--draws", 20)
    assert run.code == 0 and "warning[PPL811]" in run.err and "own.ppl:4:1" in run.err
    tree = xarray.open_datatree(tmp_path / "d.nc", engine="h5netcdf")
    x = tree["posterior"]["x"].values
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values, -2 * (np.array([1, 3]) - x[..., None]) ** 2, 1e-4)
    assert "posterior_predictive" not in tree


def test_a_note_on_replicates_given_the_data(pplc: Pplc, tmp_path: Path) -> None:
    path = tmp_path / "ar.ppl"
    path.write_text(
        "data n: int = 3\ndata y: real[n] = [1, 2, 3]\na ~ Normal(0, 1)\n"
        "for t in 1..n { observe y[t] ~ Normal(a * y[t - 1], 1) }\n"
    )
    assert "note[PPL812]" in pplc("sample", path, "--predictive", "--draws", 5).err
    assert pplc("sample", path, "--predictive", "--draws", 5, "-q").err == ""
