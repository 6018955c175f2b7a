"""Where starts are put: at the prior's median, at values by name, at a fit; and what is refused, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppl
from ppl.diagnostics import PplError
from ppl.infer import Fit, fit
from ppl.infer.initial import LOG_ODDS, known_of
from ppl.infer.machine import prepare
from ppl.infer.settings import Settings
from ppl.problem import Problem
from ppl.sample import Samples

ALL = """\
t ~ LogNormal(0, 1)
x ~ Uniform(0, t)
b ~ Bernoulli(0.3)
c ~ Categorical([0.2, 0.3, 0.5])
k ~ Poisson(3) in (2, 9)
noise e ~ Normal(0, 1)
o: real[2] ~ Normal(0, 1)
if x > 0.5 {
    y ~ Normal(0, 1)
    observe 0.3 ~ Normal(y, 1)
}
observe 1.0 ~ Normal(x + e + b + c + k, 1)
"""
VALUES: dict[str, Any] = {"t": 1.0, "x": 0.7, "b": 1, "c": 2, "k": 3, "o": [0.0, 1.5], "y": 0.1}
TWO = "x ~ Normal(0, 1)\nobserve 5.0 ~ Normal(x * x, 0.3)\n"  # modes near -2.2 and 2.2


@pytest.fixture(scope="module")
def problem() -> Problem:
    return ppl.compile(ALL, "all").bind()


@pytest.fixture(scope="module")
def left() -> Fit:
    return ppl.compile(TWO, "two").infer(init={"x": -2.0}, starts=1, draws=200)


def test_values_become_places_and_logits(problem: Problem) -> None:
    params = known_of(problem, VALUES).params
    back = problem.constrain({**params["loc"], "b": 1, "c": 2, "k": 1, "e": 0.0})
    for name in ("t", "x", "o", "y"):
        np.testing.assert_allclose(back[name], VALUES[name], rtol=1e-5)
    assert params["logits"]["b"] == LOG_ODDS
    c, k = (np.exp(params["logits"][name]) for name in ("c", "k"))
    odds = np.exp(LOG_ODDS)
    assert (c.argmax(), k.argmax()) == (2, 1)  # 3 is the second outcome of k
    np.testing.assert_allclose([c[2] / c[:2].sum(), k[1] / np.delete(k, 1).sum()], odds, rtol=1e-6)


@pytest.mark.parametrize("given", [{"x": 0.2, "y": None}, {"x": 0.2, "y": 7.0}])
def test_a_latent_that_does_not_exist_needs_no_value(problem: Problem, given: dict[str, Any]) -> None:
    assert np.isnan(known_of(problem, {**VALUES, **given}).params["loc"]["y"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"t": -1}, "`t`, -1, is outside"),
        ({"x": 1.5}, "`x`, 1.5, is outside"),
        ({"x": 0.0}, "`x`, 0, is outside"),  # on the edge
        ({"t": float("inf")}, "`t`, inf, is outside"),
        ({"b": 2}, "`b`, 2, is outside"),
        ({"k": 1}, "`k`, 1, is outside"),
        ({"c": 1e300}, "`c`, 1e[+]300, is outside"),
        ({"c": 0.5}, "`c` is not an integer"),
        ({"o": [1.0]}, r"`o` is of shape \[1\]; the latent is of shape \[2\]"),
        ({"t": [1.0]}, r"`t` is of shape \[1\]; the latent is a single number"),
        ({"o": [[1.0], [2.0, 3.0]]}, "`o` is not made of numbers"),
        ({"o": ["1", "2"]}, "`o` is not made of numbers"),
        ({"o": [1.0, None]}, "`o` has no initial value"),
        ({"y": None}, "`y` has no initial value"),
        ({"e": 0.1}, "`e` has an initial value and is no latent"),
    ],
)
def test_values_that_cannot_be_are_refused(problem: Problem, given: dict[str, Any], message: str) -> None:
    with pytest.raises(PplError, match=message) as refused:
        known_of(problem, {**VALUES, **given})
    assert [d.code for d in refused.value.diagnostics] == ["PPL806"]


def test_a_missing_value_is_refused_and_a_misspelt_name_put_right(problem: Problem) -> None:
    with pytest.raises(PplError, match="`t` has no initial value"):
        known_of(problem, {k: v for k, v in VALUES.items() if k != "t"})
    with pytest.raises(PplError) as refused:
        known_of(ppl.compile("early ~ Normal(0, 1)\nfactor early").bind(), {"erly": 1.0})
    assert refused.value.diagnostics[0].hint == "did you mean `early`?"


@pytest.mark.parametrize("start", [-2.0, 2.0])
def test_one_start_finds_the_optimum_that_is_near(start: float) -> None:
    result = ppl.compile(TWO, "two").infer(init={"x": start}, starts=1, steps=600, draws=200)
    assert np.sign(result.draws["x"]).mean() == np.sign(start)
    assert result.settings.init == "values"


def test_a_fit_starts_where_another_one_ended(left: Fit, tmp_path: Path) -> None:
    left.save(tmp_path / "left.nc")
    problem = ppl.compile(TWO, "two").bind()
    for init in (left, tmp_path / "left.nc"):
        again = fit(problem, init=init, starts=1, steps=1, lr=1e-9, draws=200)
        np.testing.assert_allclose(again.params["loc"]["x"], left.params["loc"]["x"], rtol=1e-6)
        np.testing.assert_allclose(again.params["log_scale"]["x"], left.params["log_scale"]["x"], rtol=1e-6)


def test_a_richer_guide_starts_at_the_fit_of_a_poorer_one() -> None:
    model = ppl.compile("x: real[3] ~ Normal(0, 1)\nobserve 1.0 ~ Normal(sum(x), 0.5)\n")
    plain = model.infer(starts=2)
    start = model.infer(guide="fullrank", init=plain, steps=1, lr=1e-9, starts=2)
    assert start.starts[0] == pytest.approx(plain.elbo, abs=4 * plain.elbo_se + 1e-3)
    assert start.starts[1] < plain.elbo - 0.5  # narrower, in the same place


def sampled(rng: np.random.Generator) -> Samples:
    """2 chains of 200 draws of ALL, as a sampler could have made them: x in two places, y where x > 0.5."""
    real = {k: rng.normal(m, s, (2, 200)) for k, m, s in (("t", 0.3, 0.2), ("x", 0.0, 0.1), ("y", 2.0, 0.5))}
    real["x"] += np.where(rng.random((2, 200)) < 0.5, -2.0, 2.0)
    outcomes = {"b": rng.random((2, 200)) < 0.25, "c": rng.integers(0, 2, (2, 200)), "k": np.full((2, 200), 3)}
    u = {**real, "o": rng.normal(1, 3, (2, 200, 2)), "e": rng.normal(size=(2, 200)), **outcomes}
    values = {k: np.asarray(u[k], float) for k in ("t", "x", "b", "c", "k", "o")}
    values["y"] = np.where(real["x"] > 0, real["y"], np.nan)
    latents = ("t", "x", "b", "c", "k", "o", "y")
    return Samples("all", "nuts", 0, 0, latents, values, {}, u, {"lp": np.zeros((2, 200))}, (), 0.0, {})


@pytest.mark.slow
def test_starts_follow_the_draws_of_a_sampler(problem: Problem, tmp_path: Path) -> None:
    samples = sampled(np.random.default_rng(3))
    samples.save(tmp_path / "draws.nc")
    for init in (samples, tmp_path / "draws.nc"):
        known = known_of(problem, init)
        loc, scale, logits = (known.params[part] for part in ("loc", "log_scale", "logits"))
        assert "e" not in loc  # noise has no parameters
        np.testing.assert_allclose([loc["t"], np.exp(scale["t"])], [0.3, 0.2], atol=0.05)
        np.testing.assert_allclose([*loc["o"], *np.exp(scale["o"])], [1, 1, 3, 3], atol=0.6)
        np.testing.assert_allclose([loc["y"], np.exp(scale["y"])], [2.0, 0.5], atol=0.15)  # over draws where it exists
        assert logits["b"] == pytest.approx(np.log(1 / 3), abs=0.4)
        assert np.exp(logits["c"]) == pytest.approx([0.5, 0.5, 0.5 / 401.5], abs=0.1)
        assert np.argmax(logits["k"]) == 3
    _, run, _ = prepare(problem, Settings(starts=8, init="samples"), samples)
    u = [samples.unconstrained["x"].reshape(-1)[k * 50] for k in range(1, 8)]
    column = sorted(problem.init_params()["loc"]).index("x") + (1 if "o" < "x" else 0)  # `o` has two
    placed = np.asarray(run.loop.rows)[:, column]
    assert placed[0] == pytest.approx(np.mean(samples.unconstrained["x"]))
    np.testing.assert_allclose(placed[1:], u, rtol=1e-6)
    assert np.min(u) < -1 and np.max(u) > 1  # both modes have starts


def test_draws_of_another_program_are_refused(tmp_path: Path) -> None:
    sampled(np.random.default_rng(3)).save(tmp_path / "draws.nc")
    with pytest.raises(PplError, match=r"has draws of all, whose latents differ .* `b`, `c`") as refused:
        known_of(ppl.compile(TWO, "two").bind(), tmp_path / "draws.nc")
    assert refused.value.diagnostics[0].code == "PPL806"


def test_all_starts_at_the_median() -> None:
    model = ppl.compile("x ~ Normal(3, 2)\nobserve 0.0 ~ Normal(x, 100)\n")
    places: dict[str, Any] = {}
    for init in ("prior", "median"):
        _, run, _ = prepare(model.bind(), Settings(starts=8, init=init), init)
        seen = np.asarray(run.loop.rows)  # entries: loc, log_scale
        places[init] = seen[:, 0]
        assert len(set(seen[:, 1].tolist())) == 4  # widths in turn
    np.testing.assert_allclose(places["median"], 3, atol=0.4)
    assert np.std(places["median"]) == 0 and np.std(places["prior"]) > 0.5


def test_a_fit_of_another_program_is_refused(problem: Problem, left: Fit, tmp_path: Path) -> None:
    left.save(tmp_path / "left.nc")
    with pytest.raises(PplError, match=r"is a fit of two, whose latents differ .* `b`, `c`"):
        fit(problem, init=tmp_path / "left.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(PplError, match="not a fit"):
        fit(problem, init=tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError):
        fit(problem, init=tmp_path / "nowhere.json")
    (tmp_path / "values.json").write_text(json.dumps({**VALUES, "t": -1}))
    with pytest.raises(PplError, match="outside"):
        fit(problem, init=tmp_path / "values.json")
