"""Divisors that whole numbers decide: refused where they can be zero, and nowhere else."""

from collections.abc import Mapping

import pytest
from binding import bound

import ppl
from ppl.diagnostics import PplError

K = "k ~ Bernoulli(0.5)\nx ~ Normal(0, 1)\n"
COUNT = "var z: int[3]\nn = 0\nfor i in 0..3 { z[i] ~ Bernoulli(0.4); n = n + z[i] }\nx ~ Normal(0, 1)\n"
TIMES = "x: real[3] ~ Normal(0, 1)\nn = 0\nfor i in 0..3 { if x[i] > 0 { n = n + 1 } }\n"

# Can be zero whatever the data.
ZERO = {
    "in a comparison": K + "if 1 / k > 0.5 { factor -1 }",
    "in a clamp": K + "factor clamp(inv(k), 0, 3) * x",
    "in a function of the program": "fn third(a: int) -> real { return 3 / a }\n" + K + "factor clamp(third(k), 0, 1)",
    "a negative power": K + "if k ^ (-3) > 0.3 { factor -1 }",
    "a power that may be negative": K + "factor clamp(k ^ x, 0, 2)",
    "of whole numbers": K + "factor -(3 // k)",
    "a remainder": K + "if 3 % k == 1 { factor -1 }",
    "zero over zero": K + "factor clamp(k / k, 0, 2)",
    "in a report": K + "factor k * x\nreport r = clamp(1 / k, 0, 5)",
    "a difference": "k ~ Categorical([0.2, 0.3, 0.5])\nfactor clamp(1 / (k - 1), 0, 2)",
    "made real": K + "factor clamp(1 / (0.5 * k), 0, 2)",
    "a square root": K + "factor clamp(1 / sqrt(k), 0, 2)",
    "a factor": K + "if 1 / (k * x) > 0.5 { factor -1 }",
    "a factor of a sum": K + "y ~ Normal(0, 1)\nfactor clamp(1 / (k * x + k * y), -1, 1)",
    "a function without its argument": K + "factor clamp(1 / (exp(k * x) - 1), -1, 1)",
    "a branch": K + "y = if k > 0 then x else 0\nfactor clamp(1 / y, -1, 1)",
    "the wrong condition": K + "factor if k < 1 then clamp(1 / k, 0, 1) else 0",
    "a floor": "x ~ Normal(0, 1)\nif 1 / floor(x) > 0.5 { factor -1 }",
    "a condition that is not enough": "x ~ Normal(0, 1)\nfactor if x > 0 then clamp(1 / floor(x), 0, 1) else 0",
    "a step": "x ~ Normal(0, 1)\nfactor clamp(1 / step(x), 0, 1)",
    "noise": "noise k ~ Poisson(3)\nx ~ Normal(0, 1)\nfactor clamp(x / k, 0, 1)",
    "a sum that a loop makes": COUNT + "factor clamp(x / n, -1, 1)",
    "a sum less something": COUNT + "factor clamp(x / (n - 2), -1, 1)",
    "a real sum of whole numbers": COUNT.replace("n = 0\n", "n = 0.0\n") + "factor clamp(x / n, -1, 1)",
    "a count of branches": TIMES + "factor clamp(x[0] / n, -1, 1)",
    "an array": "k: int[3] ~ Bernoulli(0.5)\nfactor clamp(sum(1 / k), 0, 3)",
    "two latents": "j ~ Bernoulli(0.5)\n" + K + "factor clamp(1 / (k - j), 0, 3)",
    "a count of steps": (
        "x ~ LogNormal(0, 1)\nn = 0\nwhile n * x < 1 limit 5 { n = n + 1 }\nfactor clamp(1 / (n - 3), 0, 1)"
    ),
    "an element": "var k: int[3]\nfor i in 0..3 { k[i] ~ Bernoulli(0.4) }\nfactor clamp(1 / k[1], 0, 1)",
}  # fmt: skip

# Cannot, whatever the data.
FINE = {
    "a power of what a latent moves": K + "factor if x + k > 0 then 1 / (x + 0.3 * k)^0.3 else 0",
    "one more": K + "factor 1 / (k + 1)",
    "a condition": K + "factor if k > 0 then 1 / k else 0",
    "a condition on the other side": K + "factor if k == 0 then 0 else 1 / k",
    "a condition of a statement": K + "if k >= 1 { factor x / k }",
    "two conditions": "j ~ Bernoulli(0.5)\n" + K + "factor if k != j and x > 0 then 1 / (k - j) else 0",
    "a short circuit": K + "if k > 0 and 1 / k > 0.5 { factor -1 }",
    "another short circuit": K + "if k == 0 or 1 / k > 0.5 { factor -1 }",
    "a condition on more": "j ~ Bernoulli(0.5)\n" + K + "factor if k > j then x / k else 0",
    "a guard on whole numbers": "k ~ Binomial(3, 0.5)\nfactor if k > 0.5 then 1 / (2 * k * k - k) else 0",
    "a larger one": K + "factor x / max(k, 1)",
    "a clamp": K + "factor x / clamp(k, 1, 2)",
    "a replaced zero": K + "d = if k == 0 then 1 else k\nfactor x / d",
    "truncated": "k ~ Poisson(3) in (1, 9)\nfactor 1 / k",
    "truncated noise": "noise k ~ Poisson(3) in (1, inf)\nx ~ Normal(0, 1)\nfactor x / k",
    "between whole numbers": K + "factor 1 / (2 * k - 1)",
    "half a number": "k ~ Binomial(4, 0.5)\nx ~ Normal(0, 1)\nif x / (k - 1.5) > 0.1 { factor -1 }",
    "more than all": "k ~ Binomial(4, 0.5)\nfactor 1 / (5 - k)",
    "a sum with a real latent": K + "factor clamp(1 / (k + x), -1, 1)",
    "one of two": K + "y ~ Normal(0, 1)\nfactor clamp(1 / (k * x + (1 - k) * y), -1, 1)",
    "one of two branches": K + "factor clamp(1 / (if k > 0 then x else 2), -1, 1)",
    "an exponential": K + "factor 1 / exp(k * x)",
    "a positive power": K + "factor k ^ 2 + k ^ 0.5",
    "a power of a positive latent": K + "a ~ Gamma(2, 1)\nfactor k ^ a",
    "divided, not dividing": K + "factor x * k / 3 + k // 2 + k % 2",
    "a branch of whole numbers": "x ~ Normal(0, 1)\nfactor 1 / (if x > 0 then 1 else 2)",
    "a floor of a support": "x ~ Uniform(1, 5)\nfactor 1 / floor(x)",
    "a floor under a condition": "x ~ Normal(0, 1)\nfactor if x > 1 then 1 / floor(x) else 0",
    "a sum under a condition": COUNT + "factor if n > 0 then x / n else 0",
    "one more than a sum": COUNT + "factor x / (n + 1) + x / max(n, 1)",
    "a count of branches from one on": TIMES.replace("n = 0\n", "n = 1\n") + "factor x[0] / n",
    "an array with one more": "k: int[3] ~ Bernoulli(0.5)\nfactor sum(1 / (k + 1)) + sum(1 / (2 * k - 1))",
    "reals": "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor clamp(1 / x, -1, 1) + tanh(y / relu(x))",
}  # fmt: skip

# Data decide: with the first there can be a zero, with the second not.
DATA: Mapping[str, tuple[str, Mapping[str, object], Mapping[str, object]]] = {
    "the end of a truncation": ("data a: int\nk ~ Poisson(3) in (a, 9)\nfactor 1 / k", {"a": 0}, {"a": 1}),
    "the number of trials": ("data n: int\nk ~ Binomial(n, 0.5)\nfactor 1 / (4 - k)", {"n": 4}, {"n": 3}),
    "a summand": (K + "data a: real\nfactor 1 / (k + a)", {"a": -1.0}, {"a": -1.5}),
    "a summand of a sum": (COUNT + "data a: int\nfactor x / (n + a)", {"a": 0}, {"a": 1}),
    "a power": (K + "data a: real\nfactor k ^ a", {"a": -0.5}, {"a": 0.5}),
    "a condition": (K + "data a: bool\nif a { factor 1 / k }", {"a": True}, {"a": False}),
    "a condition on a latent": (K + "data a: int\nif k > a { factor x / k }", {"a": -1}, {"a": 0}),
    "an iteration": (
        "data a: int[3]\nk ~ Binomial(2, 0.5)\nfor i in 0..3 { factor 1 / (k + a[i]) }",
        {"a": [1, -2, 1]}, {"a": [1, 1, -3]},
    ),
    "a comprehension": (
        "data a: real[3]\nk ~ Binomial(2, 0.5)\nfactor sum([1 / (k + i + a[i]) for i in 0..3])",
        {"a": [1.0, -3.0, 1.0]}, {"a": [1.0, -0.5, 1.0]},
    ),
    "how often a loop runs": ("data n: int\nk ~ Bernoulli(0.5)\nfor i in 0..n { factor 1 / k }", {"n": 1}, {"n": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", ZERO)
def test_what_can_be_zero_is_refused_when_the_program_is_checked(name: str) -> None:
    with pytest.raises(PplError) as raised:
        ppl.compile(ZERO[name])
    found = raised.value.diagnostics
    assert [d.code for d in found if d.severity == "error"] == ["PPL407"]
    assert all(d.span is not None and d.hint for d in found)


@pytest.mark.parametrize("name", FINE)
def test_what_cannot_be_zero_is_not_refused(name: str) -> None:
    ppl.compile(FINE[name]).bind({})


@pytest.mark.parametrize("name", DATA)
def test_data_decide_when_they_are_bound(name: str) -> None:
    text, zero, fine = DATA[name]
    ppl.compile(text)
    bound(text, fine)
    with pytest.raises(PplError) as raised:
        bound(text, zero)
    assert [d.code for d in raised.value.diagnostics] == ["PPL407"]


def test_the_message_says_which_iteration() -> None:
    text, zero, _ = DATA["an iteration"]
    with pytest.raises(PplError, match=r"`1 / \(k \+ a\[i\]\)` divides by a whole number that can be 0 at i = 1"):
        bound(text, zero)
