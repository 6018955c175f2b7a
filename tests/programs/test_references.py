"""The reference answers are checked against each other: exact formulas, quadrature, sampling and the JSON file."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import gallery as gallery_page
import jax
import numpy as np
import pytest
import reference_enumeration as enumeration
import reference_gallery as gallery
import reference_mcmc as mcmc
import reference_meanfield as meanfield
import reference_posteriors as reference
import reference_regression as regression
import reference_switching as switching

NAMES = tuple(reference.LOG_DENSITY)
STORED = json.loads((reference.ROOT / "docs" / "reference_posteriors.json").read_text())


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_one_if_has_its_known_best_gaussian() -> None:
    best = STORED["one_if"]["meanfield"]
    assert best["elbo"] == pytest.approx(-1.981, abs=5e-4)
    assert best["latents"]["z"]["mean"] == pytest.approx(0.572, abs=5e-4)
    assert best["latents"]["z"]["sd"] == pytest.approx(0.820, abs=5e-4)


@pytest.mark.parametrize("name", NAMES)
def test_exact_elbo_is_the_mean_of_the_density_written_by_hand(name: str) -> None:
    """Closed form against plain Monte Carlo, at the optimum with narrow scales so that few draws decide."""
    stored = STORED[name]["meanfield"]["params"]
    loc = {k: np.asarray(v) for k, v in stored["loc"].items()}
    scale = {k: 0.7 * np.exp(v) for k, v in stored["log_scale"].items()}
    data = reference.load_data(name)
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(400):
        eps = {k: rng.standard_normal(np.shape(v)) for k, v in loc.items()}
        log_q = sum(np.sum(reference.normal_lpdf(e, 0, 1) - np.log(scale[k])) for k, e in eps.items())
        draws.append(reference.LOG_DENSITY[name]({k: loc[k] + scale[k] * eps[k] for k in loc}, data) - log_q)
    exact = meanfield.ELBO[name]({"loc": loc, "log_scale": jax.tree.map(np.log, scale)}, data)
    error = np.std(draws) / np.sqrt(len(draws))
    assert error < 0.02 * (1 + abs(float(exact)))
    assert abs(np.mean(draws) - float(exact)) < 5 * error


def test_exact_elbo_and_gradient_of_the_conformance_cases() -> None:
    """Two of those cases have the form of shipped programs; their values come from quadrature."""
    cases = json.loads((reference.ROOT / "tests" / "conformance" / "cases.json").read_text())
    objectives = {
        "changepoint": lambda p, data: meanfield.elbo_changepoint(
            p, data, lambda m, s: meanfield.log_normal_prior(m, s, 1.5, 0.8)
        ),
        "thermostat": lambda p, data: meanfield.elbo_temperature(p, data, first_mode=1.0),
    }
    for name, objective in objectives.items():
        case = cases[name]
        sites = case["loc"] if name == "changepoint" else {"temp": None}
        params = {
            part: {
                k: np.asarray(case[part][k] if v is not None else list(case[part].values())) for k, v in sites.items()
            }
            for part in ("loc", "log_scale")
        }
        value, grad = jax.value_and_grad(objective)(params, case["data"])
        assert float(value) == pytest.approx(case["elbo"], abs=1e-6)
        for part in ("loc", "log_scale"):
            found = [float(x) for k in sites for x in np.ravel(grad[part][k])]
            assert found == pytest.approx(list(case["grad_" + part].values()), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_stored_optimum_is_one(name: str) -> None:
    stored = STORED[name]["meanfield"]
    params = jax.tree.map(
        np.asarray,
        {part: dict(stored["params"][part]) for part in ("loc", "log_scale")},
        is_leaf=lambda x: isinstance(x, list),
    )
    value, grad = jax.value_and_grad(lambda p: meanfield.ELBO[name](p, reference.load_data(name)))(params)
    assert float(value) == pytest.approx(stored["elbo"], rel=1e-5)
    # One sd of the guide along any coordinate would gain no more than the rounding of the stored numbers.
    for site, slope in grad["loc"].items():
        assert np.all(np.abs(slope * np.exp(params["log_scale"][site])) < 2e-3)
    assert stored["elbo"] == max(optimum["elbo"] for optimum in stored["optima"])


@pytest.mark.parametrize("name", ["one_if", "textmsg", "coal", "temperature"])
def test_elbo_is_below_the_evidence(name: str) -> None:
    assert STORED[name]["meanfield"]["elbo"] < STORED[name]["posterior"]["log_evidence"]


def test_textmsg_has_a_second_optimum() -> None:
    optima = STORED["textmsg"]["meanfield"]["optima"]
    assert len(optima) > 1 and optima[0]["elbo"] - optima[1]["elbo"] > 1


@pytest.mark.parametrize("name", ["one_if", "textmsg", "coal"])
def test_stored_posterior_is_reproduced(name: str) -> None:
    data = reference.load_data(name)
    fresh = reference.posterior_one_if() if name == "one_if" else reference.posterior_changepoint(name, data, 0.004)
    stored = STORED[name]["posterior"]
    assert fresh["log_evidence"] == pytest.approx(stored["log_evidence"], rel=1e-6)
    for site, summary in (stored["latents"] | stored["reports"]).items():
        assert (fresh["latents"] | fresh["reports"])[site] == pytest.approx(summary, rel=1e-4)


def test_temperature_grid_is_fine_enough() -> None:
    coarse = reference.posterior_temperature(reference.load_data("temperature"), step=0.05)
    stored = STORED["temperature"]["posterior"]
    assert coarse["log_evidence"] == pytest.approx(stored["log_evidence"], abs=1e-3)
    for key in ("mean", "sd"):
        np.testing.assert_allclose(coarse["latents"]["temp"][key], stored["latents"]["temp"][key], atol=2e-3)


def test_gibbs_sampler_agrees_with_enumeration() -> None:
    """Seven months have 128 sign patterns, so their exact posterior is a sum."""
    deaths = reference.load_data("influenza")["mortality"][:7]
    patterns = np.array(list(itertools.product((0, 1), repeat=7)))
    mean, cov, score = np.zeros((128, 3)), np.zeros((128, 3, 3)), np.zeros(128)
    for t, seen in enumerate(deaths):
        mean, cov, log_p = switching.kalman(mean, cov, patterns[:, t], seen)
        score += log_p + (switching.LOG_SIGN[patterns[:, t - 1], patterns[:, t]] if t else 0)
    exact = np.exp(score - score.max()) @ patterns / np.sum(np.exp(score - score.max()))
    draws = switching.sample(deaths, chains=64, warmup=20, kept=100, thin=1, seed=0)
    np.testing.assert_allclose((draws["f"][..., 1:] > 0).mean(axis=(0, 1)), exact, atol=0.03)


def test_influenza_chains_agree() -> None:
    stored = STORED["influenza"]["posterior"]
    assert stored["max_split_rhat"] < 1.02
    assert stored["min_effective_sample_size"] > 1000


def assert_same(fresh: dict[str, Any], stored: dict[str, Any], rel: float) -> None:
    assert fresh["log_evidence"] == pytest.approx(stored["log_evidence"], abs=10 * rel)
    for part in ("latents", "reports"):
        for site, summary in stored[part].items():
            for key, value in summary.items():
                np.testing.assert_allclose(fresh[part][site][key], value, rtol=rel, atol=1e-9, err_msg=f"{site} {key}")


@pytest.mark.parametrize("name", ["nile", "lynx", "stagnant", "stackloss", "leading", "iris", "discount", "inventory"])
def test_exact_posteriors_are_reproduced(name: str) -> None:
    data = reference.load_data(name)
    fresh = {**regression.POSTERIOR, **enumeration.POSTERIOR}[name](data)
    assert_same(fresh, STORED[name]["posterior"], 1e-5)


def test_half_as_many_values_of_the_sd_are_enough() -> None:
    for name, points in (("nile", 81), ("stackloss", 81), ("leading", 81), ("lynx", 41)):
        fresh = regression.POSTERIOR[name](reference.load_data(name), points)
        for part in ("latents", "reports"):
            for site, summary in STORED[name]["posterior"][part].items():
                np.testing.assert_allclose(fresh[part][site]["mean"], summary["mean"], rtol=2e-3, err_msg=site)
                np.testing.assert_allclose(fresh[part][site]["sd"], summary["sd"], rtol=2e-2, atol=1e-9, err_msg=site)


def test_coarse_benefit_and_small_walk_agree() -> None:
    stored = STORED["benefit"]["posterior"]
    fresh = enumeration.benefit(reference.load_data("benefit"), points=401, cells=100)
    assert fresh["log_evidence"] == pytest.approx(stored["log_evidence"], abs=1e-3)
    for site in ("uptake", "leak", "a", "b"):
        np.testing.assert_allclose(fresh["latents"][site]["mean"], stored["latents"][site]["mean"], rtol=2e-3)
    stored = STORED["pedestrian"]["posterior"]
    fresh = enumeration.pedestrian(reference.load_data("pedestrian"), draws=400_000, chunk=400_000, seed=3)
    error = stored["latents"]["start"]["sd"] / np.sqrt(fresh["effective_sample_size"])
    assert abs(fresh["latents"]["start"]["mean"] - stored["latents"]["start"]["mean"]) < 4 * error


def test_inventory_costs_agree_with_simulation() -> None:
    data = reference.load_data("inventory")
    costs = enumeration.inventory_costs(data)
    rng = np.random.default_rng(1)
    for reorder in (10, 25):
        z = [{"reorder": reorder - 0.5, "demand": rng.poisson(20, 26)} for _ in range(3000)]
        found = [-40 * (gallery.LOG_JOINT["inventory"](x, data) + np.log(100)) for x in z]
        assert abs(np.mean(found) - costs[reorder - 1]) < 4 * np.std(found) / np.sqrt(len(found))


def test_sampled_posteriors_converged() -> None:
    for name in ("theoph", "school_flu"):
        assert STORED[name]["posterior"]["max_split_rhat"] < 1.01
        assert STORED[name]["posterior"]["min_effective_sample_size"] > 1000
        assert STORED[name]["posterior"]["log_evidence_se"] < 0.01
    assert STORED["sids"]["posterior"]["effective_sample_size"] > 4000
    assert STORED["pedestrian"]["posterior"]["effective_sample_size"] > 100_000


def test_chains_reproduce_an_exact_posterior() -> None:
    """The sampler on `stagnant`, whose posterior is known by quadrature."""
    data = reference.load_data("stagnant")
    sites = gallery.SITES["stagnant"]
    rng = np.random.default_rng(0)
    centre = np.array([mcmc.unconstrain(s.centre, s) for s in sites.values()])
    start = centre + 0.1 * rng.standard_normal((2, 20, len(centre)))
    draws = mcmc.sample(mcmc.log_density("stagnant", data), start, 2000, 300, 10, seed=1)
    evidence, error = mcmc.log_evidence(mcmc.log_density("stagnant", data), draws, 20_000, seed=2)
    assert error < 0.03
    assert abs(evidence - STORED["stagnant"]["posterior"]["log_evidence"]) < 4 * error
    for k, (site, spec) in enumerate(sites.items()):
        x = mcmc.constrain(draws[..., k], spec)[0]
        exact = STORED["stagnant"]["posterior"]["latents"][site]
        assert mcmc.split_rhat(x.reshape(-1, 300)) < 1.05
        assert abs(x.mean() - exact["mean"]) < 5 * exact["sd"] / np.sqrt(mcmc.effective_size(x))
        assert x.std() == pytest.approx(exact["sd"], rel=0.1)


FITS = json.loads(gallery_page.FITS.read_text())
SAME_ELBO = 0.1  # nats
OFF = (0.5, 1.5)  # a mean in standard deviations of the reference, a factor between standard deviations


@pytest.mark.parametrize("name", list(FITS))
def test_five_seeds_find_the_same_elbo_or_say_that_there_are_other_optima(name: str) -> None:
    """The fits' own word, `Fit.multimodal`. Of one that agrees with the best seed nothing is asked."""
    fits = FITS[name]["combined"]
    assert len(fits) == 5 and not any("failed" in x for x in fits)
    best = max(x["elbo"] for x in fits)
    for x in fits:
        assert x["elbo"] > best - SAME_ELBO or x["multimodal"]
        assert x["elbo_se"] < 0.021 or name in ("influenza", "school_flu")  # else the rule is about noise


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if "off" in f["combined"][0]])
def test_no_fit_that_says_believe_is_far_from_the_reference(name: str) -> None:
    for x in FITS[name]["combined"]:
        away, width = gallery_page.worst([x])
        assert not x["believe"] or (away < OFF[0] and width < OFF[1])


def test_the_gallery_is_measured() -> None:
    """The rules above are about nearly all programs, and about both outcomes."""
    assert sum("off" in f["combined"][0] for f in FITS.values()) >= len(STORED) - 1
    assert any(x["believe"] for f in FITS.values() for x in f["combined"] if "off" in x)
    assert {x["multimodal"] for f in FITS.values() for x in f["combined"] if "off" in x} == {True, False}


def test_documented_tables_are_those_of_the_stored_numbers() -> None:
    """`python benchmarks/gallery.py page` would change nothing, and every program has its section."""
    text = gallery_page.PAGE.read_text()
    assert gallery_page.render(text) == text
    assert re.findall(r"^## (\w+)$", text, flags=re.MULTILINE) == re.findall(r"<!-- table (\w+) -->", text)[2:]
    assert sorted(re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)) == sorted(STORED)
