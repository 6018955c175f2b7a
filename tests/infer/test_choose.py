"""The guide "auto": which guides are tried, which one is kept, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppl
from ppl.infer import CheckpointError, Fit, Progress, load_fit
from ppl.infer.choose import FULL, best_of, fit_best, in_words, richer

TIED = "x: real[3] ~ Normal(0, 1)\nobserve 1.0 ~ Normal(sum(x), 0.3)\n"  # correlated, and alike under the prior


@pytest.fixture(scope="module")
def chosen() -> Fit:
    return ppl.compile(TIED, "tied").infer(guide="auto", starts=2, steps=500, draws=500)


def test_the_richer_guide_is_kept_where_it_is_worth_it(chosen: Fit, tmp_path: Path) -> None:
    tried = {g["guide"]: g for g in chosen.guides}
    assert list(tried) == ["meanfield", "flow", "fullrank"]  # neighbours are independent under the prior: no chain
    assert chosen.settings.guide == "fullrank" and "tril" in chosen.params
    assert tried["fullrank"]["chosen"] and not tried["meanfield"]["chosen"]
    assert tried["fullrank"]["elbo"] == chosen.elbo
    # The gap is that between the posterior, of precision 1 + 1 1^T / 0.09, and the best independent Gaussians.
    precision = np.eye(3) + np.ones((3, 3)) / 0.09
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert chosen.elbo - tried["meanfield"]["elbo"] == pytest.approx(gap, abs=0.15)
    assert chosen.choice.startswith("fullrank, the highest ELBO: +")
    assert chosen.seconds == pytest.approx(sum(g["seconds"] for g in chosen.guides))
    chosen.save(tmp_path / "fit.nc")
    again = load_fit(tmp_path / "fit.nc")
    assert (again.guides, again.choice) == (chosen.guides, chosen.choice)
    timeless = [{k: v for k, v in g.items() if k != "seconds"} for g in chosen.guides]
    assert again.diagnostics["guides"] == timeless  # equal seeds give equal JSON, but for one number


def test_the_simpler_guide_is_kept_unless_another_is_clearly_better(chosen: Fit) -> None:
    def fit(guide: str, elbo: float, error: float = 0.01, converged: bool = True) -> Fit:
        settings = replace(chosen.settings, guide=guide)
        return replace(chosen, settings=settings, elbo=elbo, elbo_se=error, converged=converged)

    plain, better, noisy, lost = (
        fit("meanfield", -5.0),
        fit("chain", -4.0),
        fit("fullrank", -3.9, 0.2),
        fit("chain", -1),
    )
    assert best_of([plain, fit("fullrank", -4.95)]) is plain
    assert best_of([plain, better]) is better
    assert best_of([plain, better, noisy]) is better
    assert best_of([plain, replace(lost, converged=False)]) is plain
    assert in_words([plain, better, noisy], better).startswith("chain, the simplest that none beats clearly: +1.00 +- ")
    assert in_words([plain], plain) == "meanfield: there is nothing to compare it with"


def test_guides_follow_the_form_of_the_program(chosen: Fit) -> None:
    rng = np.random.default_rng(0)

    def plain(count: int, prior: np.ndarray) -> Fit:
        return replace(chosen, params={"loc": {"x": np.zeros(count)}}, prior={"x": prior})

    steps = rng.normal(size=(400, 6))
    assert richer(plain(6, steps)) == ["flow", "fullrank"]
    assert richer(plain(6, np.exp(np.cumsum(steps, axis=1)))) == ["flow", "chain", "fullrank"]
    assert richer(plain(FULL + 1, steps)) == ["flow", "lowrank"]
    assert richer(plain(1, steps[:, :1])) == ["flow"]
    absent = np.where(rng.random((400, 6)) < 0.5, np.nan, np.cumsum(steps, axis=1))
    assert richer(plain(6, absent)) == ["flow", "chain", "fullrank"]


@pytest.mark.parametrize(("worse", "gain"), [("", 0.0), ("flow", 0.05), ("lowrank", 0.05)])
def test_a_flow_over_dependence_is_tried_where_both_are_worth_it(chosen: Fit, worse: str, gain: float) -> None:
    """The fits are made up: what is tried, and from where."""
    gains = {"meanfield": 0.0, "flow": 0.5, "chain": 0.05, "lowrank": 2.0, "flow:lowrank": 2.6, worse: gain}
    prior = {"x": np.cumsum(np.random.default_rng(0).normal(size=(400, FULL + 1)), axis=1)}
    tried: list[tuple[str, str | None]] = []

    def one(guide: str, start: Fit | None) -> Fit:
        tried.append((guide, start.settings.guide if start else None))
        return replace(chosen, settings=replace(chosen.settings, guide=guide), elbo=-9 + gains[guide], elbo_se=0.01,
                       params={"loc": {"x": np.zeros(FULL + 1)}}, prior=prior, converged=True)  # fmt: skip

    best = fit_best(one).settings.guide
    first = [("meanfield", None), ("flow", "meanfield"), ("chain", "meanfield"), ("lowrank", "meanfield")]
    assert tried == (first if worse else [*first, ("flow:lowrank", "lowrank")])
    assert best == {"": "flow:lowrank", "flow": "lowrank", "lowrank": "flow"}[worse]


def test_a_program_without_continuous_latents_has_nothing_to_compare() -> None:
    model = ppl.compile("x ~ Bernoulli(0.5)\nobserve 1.0 ~ Normal(x, 1)\n")
    result = model.infer(guide="auto", starts=2, steps=50, draws=100)
    assert [g["guide"] for g in result.guides] == ["meanfield"]


def test_a_comparison_that_was_interrupted_goes_on(chosen: Fit, tmp_path: Path) -> None:
    model, path, calls = ppl.compile(TIED, "tied"), tmp_path / "run.ckpt", list[int]()
    asked: dict[str, Any] = {"guide": "auto", "starts": 2, "steps": 500, "draws": 500, "checkpoint": path}

    def interrupt(at: Progress) -> None:
        calls.append(at.step)
        if len(calls) == 7:  # the second guide has made 200 of its 500 steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.infer(progress=interrupt, **asked)
    del calls[:]
    again = model.infer(progress=lambda at: calls.append(at.step), resume=True, **asked)
    assert calls == [300, 400, 500, 100, 200, 300, 400, 500]  # and the third guide
    whole, continued = ({k: v for k, v in f.to_json().items() if k != "seconds"} for f in (chosen, again))
    assert continued == whole
    with pytest.raises(CheckpointError, match=r"made with guide auto \(now one guide\)"):
        model.infer(checkpoint=path, resume=True, starts=2)
    model.infer(checkpoint=path, starts=2, steps=1, draws=10)
    with pytest.raises(CheckpointError, match=r"made with guide meanfield \(now auto\)"):
        model.infer(resume=True, **asked)
