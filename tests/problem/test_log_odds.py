"""Probabilities that are written as `inv_logit` keep their digits where they round to 0 or 1."""

import jax
import jax.numpy as jnp
import pytest

import ppl

FORMS = {
    "an observation": ("observe 0 ~ Bernoulli(inv_logit(x))", -20.0),
    "a variable": ("p = inv_logit(x)\nobserve 0 ~ Bernoulli(p)", -20.0),
    "a complement": ("observe 1 ~ Bernoulli(1 - inv_logit(x))", -20.0),
    "a branch": ("p = if x > 5 then inv_logit(x) else inv_logit(2 * x)\nobserve 0 ~ Bernoulli(p)", -20.0),
    "a vector": ("v = [x, -x]\nobserve [0, 1] ~ Bernoulli(inv_logit(v))", -40.0),
    "a logarithm": ("factor log(1 - inv_logit(x))", -20.0),
    "log1m": ("factor log1m(inv_logit(x))", -20.0),
    "log": ("factor log(inv_logit(-x))", -20.0),
    "a density": ("factor Bernoulli_lpmf(0, inv_logit(x))", -20.0),
}


@pytest.mark.parametrize("form", FORMS)
def test_log_odds_in_single_precision(form: str) -> None:
    text, expected = FORMS[form]
    with jax.enable_x64(False):
        problem = ppl.compile(f"x ~ Uniform(-100, 100)\n{text}").bind()
        found = problem.log_joint({"x": jnp.asarray(20.0)}) + jnp.log(200.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "written",
    ["1 / (1 + exp(-x))", "1.0 / (exp(-x) + 1)", "1 - 1 / (1 + exp(x))", "exp(x) / (1 + exp(x))", "1 / d"],
)
def test_logistic_functions_written_out(written: str) -> None:
    """Their logarithm has the derivative 1 far below 0, where it was 0 or no number, and their value is 1 far above."""
    with jax.enable_x64(False):
        text = f"x ~ Uniform(-100, 100)\nd = 1 + exp(-x)\np = {written}\nfactor log(p)"
        problem = ppl.compile(text).bind()
        slope = jax.grad(lambda x: problem.log_joint({"x": x}))(jnp.asarray(-60.0))
        top = problem.log_joint({"x": jnp.asarray(95.0)}) + jnp.log(200.0)
    assert float(slope) == pytest.approx(1.0)
    assert float(top) == pytest.approx(0.0, abs=1e-5)


def test_quotients_that_are_no_logistic_function_stay() -> None:
    others = "1 / (2 + exp(-x)) + exp(2 * x) / (1 + exp(x)) + 2 / (1 + exp(x)) + 1 / (1 - exp(x - 9))"
    assert "inv_logit" not in ppl.compile(f"x ~ Normal(0, 1)\nfactor {others}").source_code


def test_messages_say_what_the_program_says() -> None:
    model = ppl.compile(
        "data y: int\nx ~ Normal(0, 1)\nk ~ Bernoulli(inv_logit(x))\nobserve y ~ Bernoulli(inv_logit(x))\n"
    )
    assert [s["distribution"] for s in model.explain({"y": 1})["sites"]] == ["Normal", "Bernoulli"]
    with pytest.raises(ppl.DataError, match="the observed `y` is 2, outside the support of `Bernoulli`:"):
        model.bind({"y": 2})
    with pytest.raises(ppl.PplError, match="`Bernoulli` observes ints"):
        ppl.compile("x ~ Normal(0, 1)\nobserve [1.5, 2] ~ Bernoulli(inv_logit(x))\n")
