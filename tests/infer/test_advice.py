"""What a fit says of itself: importance weights, other optima, and when it may be believed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

import ppl
from ppl.infer import Fit, fit, load_fit
from ppl.infer.advice import NEAR, apart
from ppl.infer.weighing import WIDER, Moments, Regions, Weighing, look_beyond, mixture, moments, weigh

from .stand_in import gaussian, normal_prior
from .test_fit import two_modes

N = 20_000
FINE = Weighing(3000.0, 0, 0.0, "x", 0.1, "x", 1.1)


def optimum(mean: float, sd: float, share: float, seed: int, wide: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Draws (N, 1) from a guide at one mode of a mixture, `wide` times as wide as that, and their log weights."""
    draws = np.random.default_rng(seed).normal(mean, wide * sd, N)
    return draws[:, None], np.log(share) + norm.logpdf(draws, mean, sd) - norm.logpdf(draws, mean, wide * sd)


def test_weights_find_the_moments_that_a_guide_misses() -> None:
    x = np.random.default_rng(1).normal(size=N)
    found = weigh({"a": x, "b": np.stack([x, 2 * x], axis=1)}, norm.logpdf(x, 0.4, 1.1) - norm.logpdf(x))
    assert found.shift == pytest.approx(0.4 / 1.1, abs=0.05)
    assert found.stretch == pytest.approx(1.1, abs=0.04)
    assert found.shifted in ("a", "b[0]", "b[1]")
    assert (found.others, found.share) == (0, 0.0)
    too_wide = weigh({"a": x}, norm.logpdf(x, 0, 0.5) - norm.logpdf(x))
    assert too_wide.stretch == pytest.approx(0.5, abs=0.02)
    assert too_wide.effective_draws < N * 0.75


def test_what_rarely_exists_and_what_never_varies_says_nothing() -> None:
    x = np.random.default_rng(2).normal(size=N)
    rare = np.where(np.arange(N) < 10, 100 * x, np.nan)
    never = np.full(N, np.nan)
    found = weigh({"rare": rare, "never": never, "fixed": np.ones(N), "x": x}, np.zeros(N))
    assert (found.shift, found.stretch) == pytest.approx((0, 1), abs=1e-6)


@pytest.mark.parametrize("value", [0.1, 3.3, 41.0, 1e7 + 0.1])
def test_what_is_constant_does_not_move(value: float) -> None:
    """Its variance is that of its last digit, as is what weights make of its mean."""
    x = np.random.default_rng(4).normal(size=N)
    log_weight = norm.logpdf(x, 0.05, 1) - norm.logpdf(x)
    regions = Regions(np.stack([log_weight, log_weight]))
    regions.add({"fixed": np.full((2, N), value), "x": np.stack([x, x + 5])})
    others = regions.distinct({"fixed": np.full(N, value), "x": x})
    found = weigh({"fixed": np.full(N, value), "x": x}, log_weight, others)
    assert (found.others, found.shifted, found.stretched) == (1, "x", "x")


def test_moments_of_parts_add_up_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    values, weights = rng.normal(size=(600, 3)), rng.random(600)
    values[rng.random((600, 3)) < 0.3] = np.nan
    whole = moments(values, weights)
    parts = [
        dataclasses.replace(moments(values[i : i + 200], weights[i : i + 200]), log_weight=float(np.log(w)))
        for i in (0, 200, 400)
        for w in [weights[i : i + 200].sum()]
    ]
    for field in ("exists", "mean", "var"):
        np.testing.assert_allclose(getattr(mixture(parts), field), getattr(whole, field))


def test_other_optima_are_told_from_copies_and_weighed_by_their_evidence() -> None:
    """Modes at 0 and 10 with 70% and 30%: the guide shows the first, starts found either, and the first again."""
    modes = [
        optimum(0, 1, 0.7, 4),
        optimum(10, 0.5, 0.3, 5, wide=1.2),
        optimum(0.2, 1, 0.7, 6),
        optimum(10, 0.5, 0.3, 7),
    ]
    regions = Regions(np.stack([w for _, w in modes]))
    for first in range(0, N, N // 4):
        regions.add({"x": np.stack([x[first : first + N // 4] for x, _ in modes])})
    mine, log_weight = modes[0]
    others = regions.distinct({"x": mine})
    assert len(others) == 1
    found = weigh({"x": mine}, log_weight, others)
    assert found.share == pytest.approx(0.3, abs=0.01)
    sd = np.sqrt(0.7 * 1 + 0.3 * 0.25 + 0.21 * 100)
    assert found.stretch == pytest.approx(sd, rel=0.02)
    assert found.shift == pytest.approx(3 / sd, rel=0.03)


def test_optima_without_a_density_are_left_out() -> None:
    draws, log_weight = optimum(10, 1, 0.5, 8)
    broken = Regions(np.stack([np.full(N, np.nan), np.full(N, -np.inf), log_weight]))
    broken.add({"x": np.stack([draws] * 3)})
    (other,) = broken.distinct({"x": optimum(0, 1, 0.5, 9)[0]})
    assert isinstance(other, Moments)
    assert other.mean[0] == pytest.approx(10, abs=0.05)


def pieces(x: np.ndarray) -> np.ndarray:
    """Log density of a posterior in two pieces, 85% at 0 and 15% at 6, each of width 1: its sd is 2.36."""
    return np.logaddexp(np.log(0.85) + norm.logpdf(x), np.log(0.15) + norm.logpdf(x, 6))


def test_a_wider_guide_finds_pieces_that_no_draw_comes_to() -> None:
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=N), rng.normal(size=N)
    mine = {"x": x, "y": y}
    narrow = weigh(mine, pieces(x) - norm.logpdf(x))
    assert not narrow.moved  # though the posterior is 2.36 times as wide
    far, log_weight = WIDER * rng.normal(size=(2, 1000)), np.zeros((2, 1000))
    near = rng.normal(size=(2, 1000))
    log_weight[0] = pieces(far[0]) - norm.logpdf(far[0], 0, WIDER)
    log_weight[1] = norm.logpdf(far[1]) - norm.logpdf(far[1], 0, WIDER) + pieces(near[1]) - norm.logpdf(near[1])

    def wider(which: list[int]) -> Regions:
        regions = Regions(log_weight[which])
        draws = {"x": np.stack([far[0], near[1]])[which], "y": np.stack([near[0], far[1]])[which]}
        for first in range(0, 1000, 250):
            regions.add({name: v[:, first : first + 250] for name, v in draws.items()})
        return regions

    found = look_beyond(narrow, mine, wider([0, 1]), ["x", "y"])
    assert (found.beyond, found.stretched) == ("x", "x")
    assert found.stretch == pytest.approx(2.36, rel=0.1)
    assert look_beyond(narrow, mine, wider([1]), ["y"]) == narrow  # along y there is nothing
    log_weight[0] = np.where(np.arange(1000) < 50, log_weight[0], -np.inf)  # too few effective draws to tell
    assert look_beyond(narrow, mine, wider([0]), ["x"]) == narrow


def test_what_is_beyond_has_to_be_clear() -> None:
    """An estimate a little above the limit beside one a little below it is noise."""
    low, middle, high = (dataclasses.replace(FINE, stretch=x) for x in (1.18, 1.27, 1.5))
    assert not low.moved and middle.moved and high.moved
    assert not middle.exceeds(low) and high.exceeds(low) and middle.exceeds(FINE)
    assert not high.exceeds(middle) and dataclasses.replace(FINE, stretch=0.5).exceeds(middle)
    assert not FINE.exceeds(dataclasses.replace(FINE, shift=0.0, stretch=1.0))


def test_optima_differ_where_one_has_what_the_other_has_not() -> None:
    x = np.zeros((2, 100, 1))
    x[1] = np.nan
    regions = Regions(np.zeros((2, 100)))
    regions.add({"x": x})
    assert len(regions.distinct({"x": np.zeros((100, 1))})) == 1


@pytest.mark.parametrize(
    ("starts", "rhat", "expected"),
    [
        ((-3.0, -3.0 - NEAR / 2), 1.0, False),
        ((-3.0, -3.0 - 2 * NEAR), float("nan"), True),
        ((-3.0, -np.inf), 1.0, True),
        ((-3.0, -3.01), 1.5, True),
        ((-3.0,), float("nan"), False),
    ],
)
def test_starts_are_apart_by_their_elbo_or_by_where_they_are(
    starts: tuple[float, ...], rhat: float, expected: bool
) -> None:
    assert apart(starts, -3.0, rhat) == expected


def test_a_fit_of_one_of_two_modes_says_what_it_misses(tmp_path) -> None:
    """Its k-hat is good, as no draw from it sees the other mode; the standard deviation is 1.3, not 0.3."""
    result = fit(two_modes(3.0), starts=8, seed=1)
    assert result.khat < 0.5
    assert result.multimodal
    assert result.weighing is not None
    assert result.weighing.share == pytest.approx(0.05, abs=0.02)
    assert result.weighing.stretch == pytest.approx(np.sqrt(0.09 + 0.05 * 0.95 * 36) / 0.3, rel=0.2)
    said = " ".join(result.advice)
    assert "Believe" not in said
    assert "other optim" in said or "another optimum" in said
    assert "`x` would be" in said
    result.save(tmp_path / "fit.nc")
    assert load_fit(tmp_path / "fit.nc").advice == result.advice
    assert result.to_json()["diagnostics"]["multimodal"] is True


def test_a_fit_of_one_start_says_what_lies_beyond_its_draws() -> None:
    """No other start finds the second mode, and no draw comes to it: k-hat is good, and the sd is 0.66, not 0.3."""
    problem = dataclasses.replace(two_modes(1.35), prior_draw=normal_prior([1.35], [0.3]))
    result = fit(problem, starts=1, seed=2)
    assert result.khat < 0.5
    assert not result.multimodal
    assert result.weighed.beyond == "x"
    assert result.weighed.stretch == pytest.approx(np.sqrt(0.09 + 0.05 * 0.95 * 2.7**2) / 0.3, rel=0.2)
    assert not believed(result)
    assert "wider along `x`" in " ".join(result.advice)


def test_a_fit_that_is_the_posterior_is_believed() -> None:
    result = fit(gaussian([3.0, -1.0], [0.05, 2.0], prior_sd=4.0), seed=3)
    assert not result.multimodal
    assert result.weighed.shift < 0.1
    assert "Believe" in " ".join(result.advice) or np.isnan(result.khat)


@pytest.fixture(scope="module")
def shown(fitted: Fit) -> Fit:
    """A converged fit with small k-hat: x is the guide, and the weights are nearly equal."""
    rng = np.random.default_rng(10)
    draws = {"x": rng.normal(size=4000)}
    weights = 0.3 * rng.normal(size=4000)
    posterior = type(fitted.posterior)(draws, {}, {}, weights, np.zeros(4000))
    return dataclasses.replace(
        fitted, latents=("x",), posterior=posterior, converged=True, starts=(fitted.elbo,) * 4, weighing=FINE,
        starts_rhat=1.0,
    )  # fmt: skip


def believed(f: Fit) -> bool:
    return "elieve the" in " ".join(f.advice)


def test_belief_needs_everything_to_agree(shown: Fit) -> None:
    assert shown.khat < 0.5
    assert believed(shown)
    assert not believed(dataclasses.replace(shown, converged=False))
    heavy = dataclasses.replace(shown.posterior, log_weight=0.6 * np.random.default_rng(11).exponential(size=4000))
    narrow = dataclasses.replace(shown, posterior=heavy)
    assert 0.5 < narrow.khat < 0.7
    assert not believed(narrow)
    for change in ({"stretch": 1.4}, {"stretch": 0.6}, {"shift": 0.3}, {"effective_draws": 100.0}):
        assert not believed(dataclasses.replace(shown, weighing=dataclasses.replace(FINE, **change))), change
    others = dataclasses.replace(FINE, others=1, share=1e-9)
    assert not believed(dataclasses.replace(shown, weighing=others, starts=(shown.elbo, shown.elbo - 20)))
    assert believed(dataclasses.replace(shown, starts=(shown.elbo, shown.elbo - 20)))  # ... if it is no other optimum
    uneven = dataclasses.replace(FINE, others=2, share=0.4, stretch=0.01, effective_draws=1.5)
    said = " ".join(dataclasses.replace(shown, weighing=uneven, starts=(shown.elbo, shown.elbo - 20)).advice)
    assert "2 other optima" in said and "too uneven" in said and "times as wide" not in said
    unknown = dataclasses.replace(shown, weighing=None, starts=(shown.elbo, shown.elbo - 20))
    assert not believed(unknown)


def test_a_large_khat_of_weights_that_change_nothing() -> None:
    """A Gaussian in log odds has lighter tails than a Beta, and is right to 2 % wherever its draws come."""
    result = ppl.compile("a ~ Beta(2, 2)").infer({}, seed=0)
    assert result.khat > 1
    said = " ".join(result.advice)
    assert "Means and intervals are right" in said and "do not trust" not in said
    a = result.draws["a"]
    assert [a.std(), *np.quantile(a, [0.05, 0.95])] == pytest.approx([0.2236, 0.1354, 0.8646], abs=0.012)


def test_a_large_khat_is_held_against_a_fit_that_may_be_wrong(shown: Fit) -> None:
    """Even weights, smoothed or not, of a guide beyond which nothing was found: all of it is needed."""
    logits = np.random.default_rng(12).normal(0, 1.12, size=4000)
    share = 1 / (1 + np.exp(-logits))
    even = norm.logpdf(logits, 0, 1.12) - np.log(6 * (share * (1 - share)) ** 2)
    right = dataclasses.replace(shown, posterior=dataclasses.replace(shown.posterior, log_weight=-even))
    assert right.khat > 0.7 and "are right" in " ".join(right.advice)
    spikes = np.where(np.arange(4000) < 40, 4.0, 0.0) - even
    cases = [{"weighing": None}, {"posterior": dataclasses.replace(shown.posterior, log_weight=spikes)}]
    cases += [{"weighing": dataclasses.replace(FINE, **c)} for c in ({"stretch": 1.4}, {"shift": 0.3}, {"beyond": "x"})]
    for change in cases:
        assert "are right" not in " ".join(dataclasses.replace(right, **change).advice), change


def test_weights_that_rounding_made_equal_are_not_believed(shown: Fit) -> None:
    """The weights are equal, as when the guide is the posterior, because differences are lost in a huge log density."""
    equal = dataclasses.replace(shown.posterior, log_weight=np.full(4000, -7e20))
    lost = dataclasses.replace(shown, posterior=equal, elbo=-7e20)
    assert np.isnan(lost.khat)
    assert any("Nothing here can be believed" in sentence and "-7e+20" in sentence for sentence in lost.advice)
    exact = dataclasses.replace(lost, posterior=dataclasses.replace(equal, log_weight=np.full(4000, -7.0)), elbo=-7.0)
    assert not any("Nothing" in sentence for sentence in exact.advice)


def test_a_guide_that_cannot_follow_a_dependence_is_not_believed() -> None:
    """Correlation 0.65 under independent coordinates: each is 1.3 times as wide as its guide, k-hat is near 0.65."""
    text = "x ~ Normal(0, 1)\ny ~ Normal(0.855 * x, 1)\nobserve 0 ~ Normal(0, 1)"
    result = ppl.compile(text).infer({}, seed=0)
    assert result.weighed.stretch == pytest.approx(1.3, abs=0.2)
    assert not believed(result)
