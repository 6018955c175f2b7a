"""Guards that supports, or supports and data, keep from changing have no boundary, whatever is unbounded there."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np
import pytest

import ppl

LATENTS = "ded ~ Normal(250, 100) in (0, inf)\nx ~ Normal(0, 1)\nm ~ Normal(5, 1)\n"
DENSITY = "for i in 0..n {{ factor LogNormal_lpdf({}, m, 1) }}\n"
HEADER = f"data n: int\ndata paid: real[n]\n{LATENTS}"


def statuses(source: str, data: Mapping[str, object] | None = None) -> list[str]:
    """Of the guards that read latents; `explain` and `bind` have to agree."""
    model = ppl.compile(source)
    shown = [g["status"] for g in model.explain(data)["guards"]]
    if data is not None:
        assert [g.status for g in model.bind(data).guards] == shown
    return [s for s in shown if s not in ("data-only", "no-jump")]


@pytest.mark.parametrize("guard", [
    "5 + ded > 0", "ded > 0", "exp(x) + square(x) > 0", "0.5 * (x + 2 * ded) - 0.5 * x > 0", "-hypot(x, m) * ded > 0",
])  # fmt: skip
def test_supports_settle(guard: str) -> None:
    assert statuses(f"{LATENTS}factor if {guard} then log(ded) else 3 * m\n") == ["fixed"]


@pytest.mark.parametrize("guard", ["ded - 5 > 0", "ded + x > 0", "max(x, 1) - 1 > 0", "exp(x) - ded > 0"])
def test_supports_do_not_settle(guard: str) -> None:
    assert "fixed" not in statuses(f"{LATENTS}factor if {guard} then x else m\n")


@pytest.mark.parametrize("source", [
    "if x > 0 { y = x + sinh(x)\n factor if y > 0 then m else 1 }",
    "y = if x > 0 then x + sinh(x) else 1\nfactor if y > 0 then m else 1",
])  # fmt: skip
def test_what_a_condition_says_settles_nothing(source: str) -> None:
    """At the boundary of the condition, x is 0 and the condition is taken to hold."""
    assert "fixed" not in statuses(f"{LATENTS}{source}\n")


BROKEN = {"n": 3, "paid": [10.0, -20.0, 30.0]}
BY_DATA: dict[str, tuple[str, dict[str, object], dict[str, object] | None]] = {
    "all positive": (DENSITY.format("paid[i] + ded"), {"n": 2, "paid": [10.0, 20.0]}, BROKEN),
    "zero beside what is positive": (DENSITY.format("paid[i] + ded"), {"n": 2, "paid": [0.0, 20.0]}, BROKEN),
    "no iteration": (DENSITY.format("paid[i] + ded"), {"n": 0, "paid": []}, BROKEN),
    "one sign in each iteration": (
        "for i in 0..n { z = paid[i] + paid[i] * ded\nfactor if z > 0 then log(z) else m }\n", BROKEN, None,
    ),
    "what is cut": (
        "for i in 0..n { factor LogNormal_lpdf(paid[i] * (1 + ded) + exp(x), m, 1) }\n",
        {"n": 2, "paid": [10.0, 20.0]}, BROKEN,
    ),
    "under a condition on data": (
        "for i in 0..n { if paid[i] > 0 { factor LogNormal_lpdf(paid[i] + ded, m, 1) } }\n", BROKEN, None,
    ),
    "two loops": (DENSITY.format("paid[i] + ded") * 2, {"n": 2, "paid": [10.0, 20.0]}, BROKEN),
    "one of the same iteration": (
        "for i in 0..n {\n factor LogNormal_lpdf(paid[i] + ded, m, 1)\n"
        "if paid[i] > 0 { factor Exponential_lpdf(2 * paid[i] + 2 * ded, 1) } }\n",
        {"n": 2, "paid": [10.0, 20.0]}, BROKEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_DATA)
def test_data_settle(name: str) -> None:
    body, settling, other = BY_DATA[name]
    source = HEADER + body
    assert "score" in statuses(source)
    assert set(statuses(source, settling)) == {"fixed"}
    assert other is None or "score" in statuses(source, other)


def test_what_is_asked_once_a_guard_is_settled() -> None:
    """Another guard has its boundary again, and data say that one line does not cross it everywhere."""
    source = (
        "data paid: real[2]\ndata w: real[2]\nded ~ LogNormal(0, 1)\nz: real[2] ~ Normal(0, 1)\ny ~ Normal(0, 1)\n"
        "for i in 0..2 { t = w[i] * z[i] + (1 - w[i]) * y\n"
        "factor LogNormal_lpdf(paid[i] + ded, if t > 0.3 then z[i] else y, 1) }\n"
    )
    model = ppl.compile(source)
    found = [{g.status: g.direction for g in model.bind({"paid": [1, 2], "w": w}).guards} for w in ([0.4, 0.3], [1, 0])]
    assert found[1] == {"fixed": "-", "boundary": "z[i] and y"}
    assert found[0]["boundary"] in ("y", "z[i]")


def test_the_gradient_is_that_of_the_same_density_without_a_guard() -> None:
    guarded = HEADER + DENSITY.format("paid[i] + ded")
    plain = HEADER + "for i in 0..n { v = log(paid[i] + ded)\n factor Normal_lpdf(v, m, 1) - v }\n"
    with jax.enable_x64(True):
        gradients = []
        for source in (guarded, plain):
            problem = ppl.compile(source).bind({"n": 2, "paid": [10.0, 20.0]})
            params = problem.init_params()
            gradients.append(problem.elbo_and_grad("meanfield", samples=4)(params, jax.random.key(1)))
        assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-10), *gradients))


def test_data_retract_a_warning() -> None:
    model = ppl.compile(HEADER + DENSITY.format("paid[i] + ded"))
    said = {"settled": model.bind({"n": 1, "paid": [10.0]}), "not": model.bind(BROKEN)}
    assert [d.code for d in model.diagnostics] == ["PPL403"]
    assert {k: [d.code for d in p.diagnostics] for k, p in said.items()} == {"settled": [], "not": ["PPL403"]}


def test_observations_that_settle_a_guard_have_to_be_bound() -> None:
    source = (
        "fn Above_lpdf(y: real, d: real, m: real) -> real { return LogNormal_lpdf(y + d, m, 1) }\n"
        f"data n: int\ndata y: real[n]\ndata s: real[n]\n{LATENTS}"
        "for i in 0..n { observe y[i] ~ Above(ded, m)\n observe s[i] ~ Normal(x, 1) }\n"
    )
    problem = ppl.compile(source).bind({"n": 1, "y": [3.0], "s": [1.0]})
    problem.observing({"s": np.array([-5.0])})
    with pytest.raises(ValueError, match=r"keep `.*` from changing, so those of `y` have to be bound"):
        problem.observing({"y": np.array([-5.0])})


def test_a_value_that_is_read_twice_again_and_again_is_looked_at_once() -> None:
    chain = "".join(f"v{k + 1} = v{k} * v{k} + a\n" for k in range(40))
    source = f"data a: real\n{LATENTS}v0 = ded\n{chain}factor if v40 > 0 then log(v40) else 0\n"
    assert set(statuses(source, {"a": 1.0})) == {"fixed"}
