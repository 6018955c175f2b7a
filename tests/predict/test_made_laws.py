"""Pointwise log likelihoods and replicates of distributions that functions make, of the library and of the program."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
import xarray
from scipy import stats

import ppl
from ppl.cli.draw_files import write
from ppl.predict import notes_on, predict_prior

COV = [[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]

MIXED = """
use multivariate
use counts
fn Skewed_lpdf(y: real, m: real, scale: real) -> real {
    return Normal_lpdf(y, m, if y < m then 1 else scale)
}
data rows: real[2, 3] = [[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]]
data k: int[3] = [0, 2, 1]
data part: real[4] = [0.1, 0.4, 0.2, 0.9]
data v: real[3] = [0.1, 0.4, 0.2]
data s: int[4] = [0, 1, 2, 0]
data plain: real[2] = [0.3, 0.9]
data cov: real[3, 3]
x ~ Normal(0, 1)
observe rows ~ MvNormal([x, x, x], cov)
for i in 0..3 { if x > 0 { observe k[i] ~ ZeroInflatedPoisson(0.2, exp(x) + i) } else { observe k[i] ~ Poisson(1) } }
observe part[0..2] ~ MvNormal([x, 0], [[1, 0], [0, 1]])
observe part[2..4] ~ Normal(x, 1)
if x > 0.5 { observe v ~ MvNormal([x, x, x], cov) } else { observe v ~ Normal(x, [1, 2, 3]) }
observe s[1..4] ~ ZeroInflatedPoisson([0.2, 0.3, 0.4], exp(x))
observe plain ~ Normal(x, 1)
observe 2 * plain[0] ~ Skewed(x, 2)
"""


@pytest.fixture(autouse=True)
def double() -> object:
    with jax.enable_x64(True):
        yield


def inflated(k: object, zero: object, rate: object) -> object:
    k, zero = np.asarray(k), np.asarray(zero)
    return np.log((1 - zero) * stats.poisson.pmf(k, rate) + np.where(k == 0, zero, 0))


def test_pointwise_log_likelihoods_against_scipy() -> None:
    problem = ppl.compile(MIXED).bind({"cov": COV})
    drawn = predict_prior(problem, jax.random.key(0), 60, replicate=False)
    found, rows = drawn.log_likelihood, np.array([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]])
    assert {k: v.shape[1:] for k, v in found.items()} == {
        "rows": (2,), "k": (3,), "part": (4,), "v": (), "s": (4,), "plain": (2,), "observe_17": (), "observe_22": ()
    }  # fmt: skip
    x = drawn.latents["x"]
    assert min(np.sum(x > 0.5), np.sum(x < 0)) > 5
    for d, z in enumerate(x):
        of_rows = stats.multivariate_normal(np.full(3, z), COV)
        want = {
            "rows": of_rows.logpdf(rows),
            "k": inflated([0, 2, 1], 0.2, np.exp(z) + np.arange(3)) if z > 0 else stats.poisson.logpmf([0, 2, 1], 1),
            "observe_17": stats.multivariate_normal([z, 0], np.eye(2)).logpdf([0.1, 0.4]),
            "part": [np.nan, np.nan, *stats.norm.logpdf([0.2, 0.9], z)],
            "v": of_rows.logpdf([0.1, 0.4, 0.2]) if z > 0.5
            else stats.norm.logpdf([0.1, 0.4, 0.2], z, [1, 2, 3]).sum(),
            "s": [np.nan, *inflated([1, 2, 0], [0.2, 0.3, 0.4], np.exp(z))],
            "plain": stats.norm.logpdf([0.3, 0.9], z),
            "observe_22": stats.norm.logpdf(0.6, z, 1 if z > 0.6 else 2),
        }  # fmt: skip
        for name, value in want.items():
            np.testing.assert_allclose(found[name][d], value, rtol=1e-9, err_msg=name)
        total = stats.norm.logpdf(z) + sum(np.nansum(v[d]) for v in found.values())
        np.testing.assert_allclose(problem.log_joint({"x": z}), total, rtol=1e-9)


def test_what_a_density_reads_of_its_own_value_is_not_read_elsewhere() -> None:
    problem = ppl.compile(MIXED).bind({"cov": COV})
    assert problem.read_elsewhere == {}
    used = ppl.compile(MIXED + "factor 0 * rows[0, 0]\n").bind({"cov": COV})
    assert {k: v.line for k, v in used.read_elsewhere.items()} == {"rows": 23}
    moved = problem.observing({"rows": np.zeros((2, 3))})
    change = moved.log_joint({"x": 0.3}) - problem.log_joint({"x": 0.3})
    law = stats.multivariate_normal(np.full(3, 0.3), COV)
    want = 2 * law.logpdf(np.zeros(3)) - law.logpdf([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]]).sum()
    np.testing.assert_allclose(change, want, rtol=1e-9)


ALONE = """
fn Pull_lpdf(y: real, m: real) -> real { return -2 * square(y - m) }
data y: real[2] = [0.3, 0.8]
data z: real = 1
x ~ Normal(0, 1)
observe y ~ Pull(x)
observe z ~ Normal(x, 1)
"""


def test_without_a_sampler_there_are_no_replicates_and_a_warning_says_so(tmp_path: Path) -> None:
    problem = ppl.compile(ALONE).bind()
    drawn = predict_prior(problem, jax.random.key(0), 7)
    assert set(drawn.observations) == {"z"} and set(drawn.log_likelihood) == {"y", "z"}
    np.testing.assert_allclose(
        drawn.log_likelihood["y"], -2 * (np.array([0.3, 0.8]) - drawn.latents["x"][:, None]) ** 2
    )
    (note,) = notes_on(problem)
    assert (note.code, note.severity) == ("PPL811", "warning") and "`y`" in note.message and note.span is not None
    assert note.span.line == 6
    fit = ppl.compile(ALONE).infer(steps=20, seed=0, starts=1, draws=30)
    assert set(fit.log_likelihood()) == {"y", "z"}
    with pytest.warns(UserWarning, match="`y` has no replicates"):
        tree = fit.to_inference_data(predictive=True)
    assert set(tree["log_likelihood"].data_vars) == {"y", "z"}
    assert set(tree["posterior_predictive"].data_vars) == {"z"} == set(tree["prior_predictive"].data_vars)
    posterior = fit.predict(0, replicate=False)
    write(posterior, problem.data, tmp_path / "d.nc", prior=False)
    saved = xarray.open_datatree(tmp_path / "d.nc", engine="h5netcdf")
    assert saved["log_likelihood"]["y"].dims == ("chain", "draw", "y_dim_0")
    np.testing.assert_array_equal(saved["log_likelihood"]["y"].values[0], posterior.log_likelihood["y"])
    assert "posterior_predictive" not in saved


def test_no_group_is_empty() -> None:
    fit = ppl.compile("x ~ Normal(0, 1)\nfactor -x^2\n").infer(steps=20, seed=0, starts=1, draws=30)
    tree = fit.to_inference_data(predictive=True)
    assert not [name for name in ("log_likelihood", "posterior_predictive", "prior_predictive") if name in tree]
