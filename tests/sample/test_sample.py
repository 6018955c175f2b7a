"""NUTS and SMC on densities that jump, against closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import integrate, stats

import ppl
from ppl.sample import Samples, sample
from ppl.sample.storage import load_samples

# A jump inside a branch that a discrete latent chooses, latents that do not always exist, and noise.
MIXED = """
k ~ Bernoulli(0.3)
z ~ Normal(0, 1)
noise e ~ Normal(0, 0.5)
if k == 1 {
    w ~ Exponential(1)
    c ~ Bernoulli(0.9)
    observe 2.0 ~ Normal(w, 1)
    observe 0 ~ Bernoulli(if c == 1 then 0.5 else 0.1)
} else {
    observe 2.0 ~ Normal((if z > 0 then 1 else -2) + e, 1)
}
report product = 2 * z
"""


@pytest.fixture(autouse=True)
def double() -> object:
    with jax.enable_x64(True):
        yield


def exact() -> dict[str, float]:
    one = integrate.quad(lambda w: math.exp(-w) * stats.norm.pdf(2, w, 1), 0, 30)[0] * (0.9 * 0.5 + 0.1 * 0.9)
    wide = stats.norm(0, math.sqrt(1.25))
    high, low = 0.5 * wide.pdf(1), 0.5 * wide.pdf(4)
    whole = 0.3 * one + 0.7 * (high + low)
    return {"k": 0.3 * one / whole, "log p": math.log(whole), "c": 0.45 / 0.54,
            "high": (0.3 * one * 0.5 + 0.7 * high) / whole}  # fmt: skip


@pytest.mark.parametrize("method", ["nuts", "smc"])
def test_against_closed_forms(method: str, tmp_path: Path) -> None:
    problem = ppl.compile(MIXED).bind()
    found = sample(problem, method, seed=1, chains=4, warmup=400, draws=1000)
    known, draws = exact(), found.draws
    assert found.diagnostics["rhat"] < 1.05
    assert draws["k"].mean() == pytest.approx(known["k"], abs=0.05)
    assert (draws["z"] > 0).mean() == pytest.approx(known["high"], abs=0.05)
    assert np.nanmean(draws["c"]) == pytest.approx(known["c"], abs=0.05)
    assert np.array_equal(np.isnan(draws["w"]), draws["k"] == 0)
    np.testing.assert_allclose(found.reports["product"], 2 * draws["z"])
    if method == "smc":
        assert found.diagnostics["log_evidence"] == pytest.approx(known["log p"], abs=0.03)
    else:
        assert found.stats["diverging"].shape == (4, 1000)
    found.save(tmp_path / "s.nc")
    again = load_samples(tmp_path / "s.nc", problem)
    assert again.to_json() == found.to_json()
    predicted = again.predict(0, 200, replicate=False)
    assert predicted.latents["z"].shape == (200,)


def test_smc_arrives_at_the_posterior_itself() -> None:
    """Of weak data, which one or two temperatures reach: the particles of the one before are not the posterior."""
    found = sample(ppl.compile("m ~ Normal(0, 1)\nobserve 1.5 ~ Normal(m, 1.5)\n").bind(), "smc", seed=1, chains=8,
                   draws=1000)  # fmt: skip
    m = found.draws["m"].reshape(8, 1000)
    se = m.mean(axis=1).std(ddof=1) / math.sqrt(8)
    assert se < 0.02 and abs(m.mean() - 1.5 / 3.25) < 4 * se
    assert m.std() == pytest.approx(math.sqrt(2.25 / 3.25), abs=0.025)  # one temperature before it is 0.88


def test_chains_that_disagree_on_what_exists_have_not_converged() -> None:
    """Each stays on the branch that it started on; on it, all is well."""
    x = np.random.default_rng(0).normal(size=(4, 500))
    stuck = np.where(np.arange(4)[:, None] < 2, x, np.nan)
    mixing = np.where(np.random.default_rng(1).random((4, 500)) < 0.5, x, np.nan)
    for e, converged in ((x, True), (stuck, False), (mixing, True)):
        found = Samples(
            name="m", method="nuts", seed=0, warmup=1, latents=("e",), values={"e": e}, report_values={},
            unconstrained={}, seconds=1.0, observed={}, log_evidence=(),
            stats={"lp": x, "acceptance_rate": np.full((4, 500), 0.8)},
        )  # fmt: skip
        assert found.diagnostics["converged"] == converged
    assert np.isfinite(found.diagnostics["ess"])


def test_refusals() -> None:
    many = ppl.compile(
        "k: int[9] ~ Bernoulli(0.5)\nx ~ Normal(0, 1)\nfor i in 0..9 { if k[i] == 1 { factor x } }"
    ).bind()
    with pytest.raises(ppl.PplError, match="512 combinations") as caught:
        sample(many)
    assert caught.value.diagnostics[0].code == "PPL821" and caught.value.diagnostics[0].span is not None
    drawn = ppl.compile("noise g ~ Gamma(2, 1)\nx ~ Normal(0, 1)\nobserve 1.0 ~ Normal(x * g, 1)").bind()
    with pytest.raises(ppl.PplError, match="`g` is drawn as it is"):
        sample(drawn)
    with pytest.raises(ppl.PplError, match="every latent is discrete"):
        sample(ppl.compile("k ~ Bernoulli(0.5)\nif k == 1 { factor 1.0 }").bind())
    with pytest.raises(ValueError, match="no method"):
        sample(drawn, "gibbs")


def test_the_density_is_proper_where_a_discrete_latent_does_not_exist() -> None:
    """It has equal probabilities there, as a real one has a standard normal."""
    problem = ppl.compile("x ~ Normal(0, 1)\nif x > 0 { c ~ Categorical([0.2, 0.3, 0.5]) factor 0.1 * c }".replace(
        " factor", "; factor")).bind()  # fmt: skip
    for x, total in ((-1.0, 1.0), (1.0, 0.2 + 0.3 * math.exp(0.1) + 0.5 * math.exp(0.2))):
        each = [float(problem.log_density({"x": x, "c": np.array(c)})) for c in range(3)]
        assert sum(map(math.exp, each)) == pytest.approx(total * stats.norm.pdf(x))
