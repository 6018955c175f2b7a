"""Fits of programs whose data leave a latent without elements."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import ppl

PLATES = {
    "normal": "data n: int\nx: real[n] ~ Normal(0, 1)\na ~ Normal(0, 1)\nfor i in 0..n { if x[i] > a { factor -0.1 } }",
    "matrix and discrete": (
        "data n: int\nx: real[n, 2] ~ Normal(0, 1)\nk: int[n] ~ Bernoulli(0.5)\na ~ Normal(0, 1)\n"
        "for i in 0..n { for j in 0..2 { if x[i, j] > a and k[i] == 1 { factor -0.2 } } }"
    ),
    "discrete, drawn in a loop": (
        "data n: int\na ~ Normal(0, 1)\nvar k: int[n]\n"
        "for i in 0..n { k[i] ~ Categorical([0.2, 0.3, 0.5]); if k[i] > a { factor 0.3 } }"
    ),
    "ordered": "data n: int\na ~ Normal(0, 1)\nc: ordered[n] ~ Normal(0, 1)\nif sum(c) > a { factor 0.3 }",
}


@pytest.mark.parametrize("name", PLATES)
def test_a_fit_goes_on_without_them(name: str) -> None:
    fit = ppl.compile(PLATES[name]).infer({"n": 0}, steps=20, seed=0)
    assert np.isfinite(fit.draws["a"]).all()
    for site in fit.draws:
        assert fit.draws[site].shape[0] == fit.draws["a"].shape[0]
        assert set(fit.summary()["latents"][site]) >= {"mean", "q5"}


def test_alone_they_are_a_fit_without_parameters() -> None:
    fit = ppl.compile("data n: int\nm: real[n] ~ Normal(0, 1)").infer({"n": 0}, steps=5)
    assert fit.draws["m"].shape[1:] == (0,)


@pytest.mark.skipif(find_spec("blackjax") is None, reason="needs BlackJAX")
def test_a_sampler_goes_on_without_them() -> None:
    from ppl.sample import sample

    problem = ppl.compile(PLATES["matrix and discrete"]).bind({"n": 0})
    found = sample(problem, "nuts", chains=2, warmup=50, draws=50, seed=0)
    assert found.values["k"].shape == (2, 50, 0)
    assert np.isfinite(found.values["a"]).all()


def test_a_count_has_its_ends_from_data() -> None:
    """The number of outcomes, ``n + 2 - max(n, 0) + 1``, is known where jax traces."""
    model = ppl.compile("data n: int\na ~ Normal(0, 1)\nj ~ Poisson(2) in (n, n + 2)\nif j > a { factor 0.3 }")
    draws = model.infer({"n": 1}, steps=20, seed=0).draws["j"]
    assert set(np.unique(draws)) == {1, 2, 3}
