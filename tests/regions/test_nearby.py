"""Which iterations the outcome of a discrete latent reaches: a few, where its element is read at fixed distances."""

from __future__ import annotations

import pytest

import ppl

HEAD = """
data n: int
data y: real[n]
data j: int[n]
w ~ Beta(3, 2)
var s: int[n]
"""
CHAIN = "s[t] ~ Bernoulli(if t == 0 then 0.5 else if s[t - 1] == 1 then w else 0.3)"
DRAW = "for t in 0..n { s[t] ~ Bernoulli(w) }\n"
FEW = {
    "a chain": (f"for t in 0..n {{ {CHAIN}; observe y[t] ~ Normal(s[t], 1) }}", 2),
    "beside state": (
        f"v = 0.1\nfor t in 0..n {{ {CHAIN}; v = 0.5 * v + w; observe y[t] ~ Normal(s[t] + v, 1) }}\nfactor v", 2,
    ),
    "two steps back": ("for t in 0..n { s[t] ~ Bernoulli(if t > 1 then 0.2 + 0.5 * s[t - 2] else w) }", 2),
    "by another name": (
        "for t in 0..n { s[t] ~ Bernoulli(w); k = t - 1; observe y[t] ~ Normal(if t > 0 then s[k] else 0, 1) }", 2,
    ),
    "in other loops": (
        "s[0] ~ Bernoulli(0.4)\nfor t in 1..n { s[t] ~ Bernoulli(if s[t - 1] == 1 then w else 0.3) }\n"
        "for t in 1..n - 1 { observe y[t] ~ Normal(s[t + 1] - s[t - 1], 1) }\nobserve 1 ~ Normal(s[0], 1)", 4,
    ),
    "on a grid": (
        "var g: int[n, 3]\nfor a in 0..n { for b in 0..3 {\n"
        " up = if a > 0 then g[a - 1, b] else 0\n left = if b > 0 then g[a, b - 1] else 0\n"
        " g[a, b] ~ Bernoulli(0.2 + 0.3 * up + 0.3 * w * left) } }", 3,
    ),
    "read by a report": (f"for t in 0..n {{ {CHAIN} }}\nreport total = sum(s)", 2),
}  # fmt: skip
MANY = {
    "by an index from data": f"{DRAW}for t in 0..n {{ observe y[t] ~ Normal(s[j[t]], 1) }}",
    "one element": f"{DRAW}for t in 0..n {{ observe y[t] ~ Normal(s[0], 1) }}",
    "one element behind the loop": f"for t in 0..n {{ {CHAIN} }}\nobserve 1 ~ Normal(s[2], 1)",
    "backwards": f"{DRAW}for t in 0..n {{ observe y[t] ~ Normal(s[n - 1 - t], 1) }}",
    "as a whole": f"{DRAW}observe 1 ~ Normal(sum(s), 1)",
    "state": f"v = 0.0\nfor t in 0..n {{ {CHAIN}; v = 0.5 * v + s[t]; observe y[t] ~ Normal(v, 1) }}",
    "a sum as well": f"v = 0\nfor t in 0..n {{ {CHAIN}; v = v + s[t] }}\nobserve 1 ~ Normal(v, 1)",
    "a recursion of elements": (
        "var x: real[n]\nfor t in 0..n { s[t] ~ Bernoulli(w); x[t] = s[t] + (if t > 0 then 0.5 * x[t - 1] else 0)\n"
        " observe y[t] ~ Normal(x[t], 1) }"
    ),
    "a latent that comes and goes": (
        "var z: real[n]\nfor t in 0..n { s[t] ~ Bernoulli(w); p = if t > 0 then s[t - 1] else 1\n"
        " if p == 1 { z[t] ~ Normal(w, 1) } else { z[t] = 0.3 }\n observe y[t] ~ Normal(z[t], 1) }"
    ),
    "state of a loop in the loop": (
        f"for t in 1..n {{ {CHAIN}; m = 0\n for k in 0..2 {{ m = m + k * s[t - 1]; observe y[k] ~ Normal(m, 1) }} }}"
    ),
    "through an array": (
        "var x: real[n]\nfor t in 0..n {\n s[t] ~ Bernoulli(w); x[t] = w * s[t]\n"
        " observe y[t] ~ Normal(if t > 0 then x[t - 1] else 0, 1) }"
    ),
    # The iteration that would assign x[4] does not take place, and x[0] is assigned elsewhere.
    "through an array that others assign too": (
        "var x: real[n + 1]\nx[n] = 3 * w\n"
        "for t in 0..n {\n s[t] ~ Bernoulli(w); x[t] = (if t > 0 then s[t - 1] else 0.4) }\n"
        "for i in 0..n + 1 { observe 0.5 ~ Normal(x[i], 0.5) }"
    ),
    "what a loop before the reader sums": (
        "s[0] ~ Bernoulli(0.4)\nfor t in 1..n { s[t] ~ Bernoulli(if s[t - 1] == 1 then w else 0.3) }\n"
        "for i in 1..n {\n r = 0.0\n for k in 0..2 { r = r + y[i] * w * k }\n observe y[i] ~ Normal(s[i - 1] + r, 1) }"
    ),
    "one loop inside the other": (
        "var g: int[n, 3]\nfor a in 0..n {\n for b in 0..3 { g[a, b] ~ Bernoulli(w) }\n"
        " observe y[a] ~ Normal(g[a, 2], 1) }"
    ),
}


def reached(body: str) -> tuple[str, str]:
    guards = ppl.compile(HEAD + body).explain()["guards"]
    (found,) = (g for g in guards if g["kind"] == "discrete" and "[" in g["direction"] and g["direction"] != "s[0]"
                and g["status"] == "boundary" and (g["direction"][0] == "g") == ("var g" in body))  # fmt: skip
    return found["effect"], found["reason"]


@pytest.mark.parametrize("name", FEW)
def test_a_jump_reaches_the_iterations_that_read_the_element(name: str) -> None:
    body, count = FEW[name]
    effect, reason = reached(body)
    assert effect == "nearby" and f"reaches {count} iterations" in reason


@pytest.mark.parametrize("name", MANY)
def test_a_jump_that_may_reach_any_iteration_takes_the_program(name: str) -> None:
    assert reached(MANY[name])[0] == "global"


def test_its_cost_does_not_grow_with_the_loop() -> None:
    model = ppl.compile(HEAD + FEW["a chain"][0])
    (plain,) = (g for g in model.explain()["guards"] if g["kind"] == "discrete")
    assert plain["jump"]["factors"] == "3"
    prices = [model.explain({"n": n, "y": [0.1] * n, "j": [0] * n})["work"]["price"] for n in (20, 200)]
    assert abs(prices[0] - prices[1]) < 0.2
