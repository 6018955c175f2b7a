"""Branches that are unbounded at their own guard are refused; those that only look like it are not."""

from __future__ import annotations

import pytest

import ppl


def codes(source: str) -> list[str]:
    try:
        ppl.compile(source)
    except ppl.PplError as refusal:
        return [d.code for d in refusal.diagnostics]
    return []


@pytest.mark.parametrize("value", [
    "log(x)", "log(2 * x)", "log(sqrt(x))", "1 / x", "1 / sqrt(x)", "1 / sin(x)", "x ^ (-1)", "x ^ (-0.5)",
    "pow(x, -2)", "inv(x)", "lgamma(x)", "log1m(1 - x)", "log1p(x - 1)", "logit(1 - x)", "inv_Phi(x)", "atanh(1 - x)",
])  # fmt: skip
def test_unbounded_at_the_guard(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\nfactor if x > 0 then {value} else 0\n") == ["PPL403"]
    assert codes(f"x ~ Normal(0, 1)\nif x > 0 {{ y = {value}\n factor y }}\n") == ["PPL403"]
    assert codes(f"w: real[3] ~ Normal(0, 1)\nfactor sum([if w[i] > 0 then {value.replace('x', 'w[i]')} else 0 "
                 "for i in 0..3])\n".replace("ew[i]p", "exp")) == ["PPL403"]  # fmt: skip


@pytest.mark.parametrize(
    "observed", ["1 ~ Poisson(x)", "0.5 ~ Normal(0, x)", "1 ~ Bernoulli(x)", "1 ~ Bernoulli(1 - x)"]
)
def test_distribution_degenerate_at_the_guard(observed: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\nif x > 0 {{ observe {observed} }}\n") == ["PPL403"]


@pytest.mark.parametrize("value", [
    "x", "sqrt(x)", "log(x + 1)", "1 / (x + 0.5)", "x ^ 2", "x ^ 0.5", "x * log(x)", "exp(-x)", "log(y)", "x ^ exp(y)",
])  # fmt: skip
def test_finite_at_the_guard(value: str) -> None:
    assert codes(f"x ~ Normal(0, 1)\ny ~ Exponential(1)\nfactor if x > 0 then {value} else 0\n") == []


def test_a_distance_from_the_guard_helps() -> None:
    assert codes("x ~ Normal(0, 1)\nfactor if x > 0.01 then log(x) else 0\n") == []
