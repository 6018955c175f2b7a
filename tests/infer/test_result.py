"""What a fit offers, and saving it."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray
from jax.scipy.stats import norm

import ppl
from ppl.diagnostics import PplError
from ppl.infer import Fit, fit, load_fit

from .stand_in import Site, StandIn, branch, normal_prior


def test_json_has_the_fields_that_scripts_rely_on(fitted: Fit) -> None:
    out = json.loads(json.dumps(fitted.to_json(), allow_nan=False))
    assert set(out) == {"elbo", "elbo_se", "steps", "seed", "seconds", "latents", "reports", "diagnostics"}
    assert set(out["latents"]) == {"x", "y"}
    assert set(out["latents"]["x"]) == {"mean", "sd", "q5", "q50", "q95", "exists"}
    assert out["steps"] == 300
    assert out["seed"] == 4
    x = fitted.draws["x"]
    assert out["latents"]["x"]["q5"] == pytest.approx(np.quantile(x, 0.05))
    assert out["latents"]["x"]["sd"] == pytest.approx(x.std(ddof=1), rel=1e-5)


def test_what_is_not_a_number_becomes_null(fitted: Fit) -> None:
    nowhere = {**fitted.posterior.latents, "y": np.full((1500, 2), np.nan)}
    posterior = type(fitted.posterior)(nowhere, {}, {}, fitted.log_weight, fitted.posterior.log_q)
    changed = dataclasses.replace(fitted, posterior=posterior)
    assert changed.to_json()["latents"]["y"]["mean"] == [None, None]
    assert changed.to_json()["latents"]["y"]["exists"] == [0.0, 0.0]


def test_arrays_keep_the_shape_of_their_site(fitted: Fit) -> None:
    posterior = type(fitted.posterior)({"x": np.zeros((5, 2, 3))}, {}, {}, np.zeros(5), np.zeros(5))
    changed = dataclasses.replace(fitted, posterior=posterior, latents=("x",))
    assert np.shape(changed.to_json()["latents"]["x"]["mean"]) == (2, 3)
    assert changed.summary()["latents"]["x"]["q95"].shape == (2, 3)


def test_sample_gives_fresh_draws(fitted: Fit) -> None:
    first, again, other = fitted.sample(1, 50), fitted.sample(jax.random.key(1), 50), fitted.sample(2, 50)
    assert first["x"].shape == (50,)
    np.testing.assert_array_equal(first["y"], again["y"])
    assert not np.array_equal(first["x"], other["x"])


def test_the_elbo_is_the_mean_log_weight_with_its_error(fitted: Fit) -> None:
    assert fitted.log_weight.shape == (1500,)
    assert abs(fitted.elbo - fitted.log_weight.mean()) < 3 * fitted.elbo_se
    assert 0 < fitted.elbo_se < 0.2


def test_inference_data_follows_the_arviz_schema(fitted: Fit) -> None:
    tree = fitted.to_inference_data()
    assert tree["posterior"]["y"].dims == ("chain", "draw")
    assert tree["posterior"]["y"].shape == (1, 1500)
    assert set(tree["sample_stats"].data_vars) == {"lp", "log_q", "log_weight"}
    np.testing.assert_allclose(
        tree["sample_stats"]["lp"] - tree["sample_stats"]["log_q"], tree["sample_stats"]["log_weight"], atol=1e-4
    )
    assert tree.attrs["inference_library"] == "pplc"


def test_groups_dims_and_coordinates_are_what_arviz_reads(tmp_path: Path) -> None:
    """What ArviZ 0.23 and 1.x were seen to open and plot: hold it."""
    text = "data y: real[3]\ndata s: real = 2\nx ~ Normal(0, 1)\nw: real[2, 3] ~ Normal(0, 1)\n"
    text += "observe y ~ Normal(x + w[0], s)\nreport far = x > 1\n"
    ppl.compile(text).infer({"y": [1.0, 2.0, 3.0]}, steps=20, starts=2, draws=50).save(tmp_path / "fit.nc")
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        groups = {"posterior", "prior", "unconstrained_posterior", "sample_stats", "observed_data", "constant_data"}
        assert groups <= set(tree.children)
        for group, draws in (("posterior", 50), ("prior", 512), ("unconstrained_posterior", 50), ("sample_stats", 50)):
            found = tree[group].dataset
            assert dict(found.sizes) | {"w_dim_0": 2, "w_dim_1": 3} == {
                "chain": 1, "draw": draws, "w_dim_0": 2, "w_dim_1": 3
            }  # fmt: skip
            for name, variable in found.data_vars.items():
                shape = ("w_dim_0", "w_dim_1") if name == "w" else ()
                assert variable.dims == ("chain", "draw", *shape)
            assert set(found.coords) == set(found.sizes)  # ArviZ 1.x selects by them
            for dim, size in found.sizes.items():
                np.testing.assert_array_equal(found.coords[dim], np.arange(size))
        assert set(tree["posterior"].data_vars) == {"x", "w", "far"} and set(tree["prior"].data_vars) == {"x", "w"}
        assert tree["observed_data"]["y"].dims == ("y_dim_0",) and set(tree["constant_data"].data_vars) == {"s"}
        assert list(tree.attrs["sample_dims"]) == ["chain", "draw"]


def test_the_saved_file_is_what_the_parts_of_arviz_read(tmp_path: Path) -> None:
    """ArviZ 1.x comes in parts, of which the tests have two (`arviz_base`, `arviz_stats`): opening and tables."""
    base = pytest.importorskip("arviz_base")
    stats = pytest.importorskip("arviz_stats")
    text = "data y: real[3]\nx ~ Normal(0, 1)\nw: real[3] ~ Normal(0, 1)\nobserve y ~ Normal(x + w, 1)\n"
    text += "report up = x > 0\n"
    found = ppl.compile(text).infer({"y": [1.0, 2.0, 3.0]}, steps=200, starts=2, draws=400)
    found.save(tmp_path / "fit.nc")
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        posterior = base.extract(tree, combined=True)
        assert posterior["w"].dims == ("w_dim_0", "sample") and posterior.sizes["sample"] == 400
        table = stats.summary(tree, kind="stats", round_to="none", ci_prob=0.9, ci_kind="eti")
        assert set(table.index) == {"w[0]", "w[1]", "w[2]", "x", "up"}
        np.testing.assert_allclose(table["mean"]["x"], found.draws["x"].mean(), rtol=1e-5)
        np.testing.assert_allclose(table["mean"]["w[2]"], found.draws["w"][:, 2].mean(), rtol=1e-5)
        assert table["mean"]["up"] == pytest.approx(found.reports["up"].mean())  # of truth values: as 0 and 1
        np.testing.assert_allclose(table["eti90_lb"]["x"], np.quantile(found.draws["x"], 0.05), atol=0.02)


def test_the_saved_file_opens_and_plots_in_the_whole_arviz(fitted: Fit, tmp_path: Path) -> None:
    """ArviZ 0.23 has one package with its own container, 1.x one that takes trees; the tests need neither installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports are not ours
        az: Any = pytest.importorskip("arviz")
        fitted.save(tmp_path / "fit.nc")
        opened = az.from_netcdf(str(tmp_path / "fit.nc"))
        groups = opened.groups() if callable(opened.groups) else opened.groups
        assert {"posterior", "prior", "sample_stats"} <= {str(group).strip("/") for group in groups}
        assert opened.posterior["x"].dims == ("chain", "draw")
        np.testing.assert_array_equal(opened.posterior["x"].values[0], fitted.draws["x"])
        assert az.summary(opened, var_names=["x"], kind="stats").shape[0] == 1
        az.plot_trace(opened, var_names=["x"])
        az.plot_forest(opened, var_names=["x"])


def test_saving_and_loading_restores_everything_the_json_shows(fitted: Fit, tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    fitted.save(path)
    loaded = load_fit(path)
    assert loaded.to_json() == fitted.to_json()
    assert loaded.settings == fitted.settings
    np.testing.assert_array_equal(loaded.draws["y"], fitted.draws["y"])
    np.testing.assert_array_equal(loaded.params["loc"]["x"], fitted.params["loc"]["x"])
    np.testing.assert_array_equal(loaded.trace, fitted.trace)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["posterior"]["x"].shape == (1, 1500)


def test_names_that_dimensions_have_are_read_back(tmp_path: Path) -> None:
    names = "chain", "draw", "x", "x_dim_0", "chain_", "step", "loc"
    shapes = {"draw": (2,), "x": (3,)}
    sites = tuple(Site(name, shapes.get(name, ())) for name in names)
    size = sum(int(np.prod(site.shape)) for site in sites)
    problem = StandIn(
        "names", sites, lambda u, g: norm.logpdf(u).sum(), normal_prior(np.zeros(size), np.ones(size)),
        report=lambda z: {"draw_dim_0": z["draw"][0]}, data={"draw": [1, 2], "draw_dim_0": 3, "draw_dim_1": 4},
    )  # fmt: skip
    fitted = fit(problem, steps=20, starts=2, draws=100)
    fitted.save(tmp_path / "fit.nc")
    loaded = load_fit(tmp_path / "fit.nc")
    for ours, theirs in (
        (fitted.draws, loaded.draws),
        (fitted.reports, loaded.reports),
        (fitted.posterior.unconstrained, loaded.posterior.unconstrained),
        (fitted.params["loc"], loaded.params["loc"]),
        (fitted.prior, loaded.prior),
        (fitted.observed, loaded.observed),
    ):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name])
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        np.testing.assert_array_equal(tree["posterior"]["chain__"][0], fitted.draws["chain"])
        assert tree["posterior"]["x"].dims == ("chain", "draw", "x_dim_0")


def test_a_loaded_fit_samples_only_with_its_problem(fitted: Fit, tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    fitted.save(path)
    with pytest.raises(ValueError, match="problem="):
        load_fit(path).sample(0, 3)
    np.testing.assert_array_equal(load_fit(path, problem=branch()).sample(0, 3)["x"], fitted.sample(0, 3)["x"])


def test_a_file_that_is_no_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    with pytest.raises(FileNotFoundError):
        load_fit(path)
    path.write_text("text")
    with pytest.raises(PplError, match="not a fit"):
        load_fit(path)
    xarray.Dataset({"a": 1}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(PplError, match="not a fit"):
        load_fit(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_failed_save_leaves_the_old_file(fitted: Fit, tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    path.write_text("old")
    tmp_path.chmod(0o500)
    with pytest.raises(OSError):
        fitted.save(path)
    tmp_path.chmod(0o700)
    assert path.read_text() == "old"
