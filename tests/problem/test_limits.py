"""`limit_L`: whether a loop used all the iterations that its limit allows, wherever it stands."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

import ppl

PROGRAM = """data y: real[3] = [0.5, 2.0, 1.0]
fn passes(rate: real) -> int {
    level = 0.0
    steps = 0
    while level < 1 limit 5 { level = level + rate; steps = steps + 1 }
    return steps
}
r: real[3] ~ LogNormal(-1, 0.5)
a = 0.0; b = 0.0
while a < 1 limit 3 { a = a + r[0] }; while b < 1 limit 4 { b = b + r[0] }
observe 1 ~ Normal(a + b, 1)
if r[1] > 0.3 { c = 0.0; while c < 1 limit 2 { c = c + r[1] }; d = c } else { d = 0.0 }
observe 1 ~ Normal(d, 1)
for i in 0..3 {
    e = 0.0
    for j in 0..2 {
        if r[i] > 0.2 { while e < j + 1 limit 4 { e = e + r[i] } }
    }
    observe y[i] ~ Normal(e, 1)
}
observe 5 ~ Normal(passes(r[0]) + passes(2 * r[1]), 1)
report total = sum([1.0 * passes(0.5 * r[i]) for i in 1..3])
"""


def used(level: float, rate: float, below: float, limit: int) -> tuple[float, bool]:
    for _ in range(limit):
        if not level < below:
            return level, False
        level += rate
    return level, True


def test_each_draw_says_whether_a_loop_reached_its_limit() -> None:
    model = ppl.compile(PROGRAM)
    problem = model.bind()
    drawn = problem.prior_predictive(jax.random.key(0), 400)
    rates, reports = np.asarray(drawn.latents["r"], float), drawn.reports
    wanted: dict[str, list[bool]] = {k: [] for k in ("limit_10", "limit_10_39", "limit_12", "limit_17", "limit_5")}
    for r in rates:
        wanted["limit_10"].append(used(0.0, r[0], 1, 3)[1])
        wanted["limit_10_39"].append(used(0.0, r[0], 1, 4)[1])
        wanted["limit_12"].append(bool(r[1] > 0.3 and used(0.0, r[1], 1, 2)[1]))
        nested = False
        for rate in r:
            level = 0.0
            for j in range(2):
                if rate > 0.2:
                    level, full = used(level, rate, j + 1, 4)
                    nested |= full
        wanted["limit_17"].append(nested)
        calls = (r[0], 2 * r[1], 0.5 * r[1], 0.5 * r[2])
        wanted["limit_5"].append(any(used(0.0, x, 1, 5)[1] for x in calls))
    assert set(wanted) == {k for k in reports if k.startswith("limit")}
    for name, values in wanted.items():
        assert 0.02 < np.mean(values) < 0.98, name
        assert np.mean(np.asarray(reports[name]) != np.array(values)) < 0.005, name  # rates at a limit, to rounding


def test_counting_leaves_what_the_guards_cost_and_minibatches_alone() -> None:
    """The loop below hands on the count alone, which no density reads."""
    model = ppl.compile("""data n: int = 4
data y: real[n] = [1.0, 2.0, 0.5, 1.5]
m ~ Normal(0, 1)
for i in 0..n {
    s = 0.0
    while y[i] > s limit 2 { s = s + 1 }
    observe y[i] ~ Normal(s * m, 1)
}
""")
    (loop,) = model.explain()["loops"]
    assert loop["minibatch"], loop["reason"]
    problem = model.bind()
    draws = problem.prior_predictive(jax.random.key(0), 4)
    assert np.all(np.asarray(draws.reports["limit_6"]) == 1)  # at y = 2
    fn = problem.elbo_and_grad("meanfield", samples=8, minibatch=2)
    elbo, _ = jax.jit(fn)(problem.init_params("meanfield"), jax.random.key(1))
    assert np.isfinite(elbo)


def test_a_fit_says_in_words_that_a_limit_was_reached() -> None:
    model = ppl.compile("""rate ~ LogNormal(-1, 0.5)
for i in 0..1 {
    level = 0.0
    while level < 1 limit 2 { level = level + rate }
    observe 1.2 ~ Normal(level, 1)
}
""")
    fit = model.infer(steps=20, starts=1, draws=1000, seed=0, estimator="interior")
    share = float(np.mean(fit.reports["limit_4"]))
    assert 0.1 < share < 1
    words = f"The loop at line 4 used all the iterations that its limit allows in {share:.1%} of the draws"
    assert words in " ".join(fit.advice)
    never = replace(fit.posterior, reports={"limit_4": np.zeros(1000, int)})
    assert "used all the iterations" not in " ".join(replace(fit, posterior=never).advice)


@pytest.mark.parametrize("name", ["limit_3", "limit_12_4"])
def test_the_names_are_kept_for_these_reports(name: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(f"x ~ Normal(0, 1)\nreport {name} = x")
    assert [d.code for d in caught.value.diagnostics] == ["PPL102"]
    ppl.compile("x ~ Normal(0, 1)\nreport limit_x = x\nreport limit = x")
