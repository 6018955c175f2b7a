"""Terms of long loops that are sums over ranges of sorted thresholds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ppl
from ppl.core.show import show
from ppl.regions.optimize import OPTIMIZATIONS
from ppl.runtime import families, functions, prefix
from ppl.runtime.point import Point

N = 1500
WITHOUT = tuple(x for x in OPTIMIZATIONS if x != "sorted")


def data(seed: int = 0) -> dict[str, Any]:
    """All fields that the programs here declare; days in no order, some of them equal."""
    rng = np.random.default_rng(seed)
    day = np.round(rng.uniform(0, 10, N), 2)
    early = day < 4
    return {
        "n": N, "day": day, "x": np.where(early, 1.0, 1.4) + 0.5 * rng.normal(size=N), "age": rng.uniform(20, 60, N),
        "count": rng.poisson(np.where(early, 2.0, 3.0)), "hit": rng.binomial(1, np.where(early, 0.3, 0.6)),
        "trials": rng.integers(1, 9, N), "open": rng.uniform(size=N) < 0.7, "sd": rng.uniform(0.3, 0.8, N),
        "wait": rng.exponential(np.where(early, 0.5, 0.3)),
    }  # fmt: skip


def short(n: int) -> dict[str, Any]:
    return {k: n if k == "n" else v[:n] for k, v in data().items()}


FIELDS = """
data n: int
data day: real[n]
data x: real[n]
data age: real[n]
data count: int[n]
data hit: int[n]
data trials: int[n]
data open: bool[n]
data sd: real[n]
data wait: real[n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
c ~ Normal(4, 1)
d ~ Normal(6, 1)
"""


def program(body: str, optimize: tuple[str, ...] | None = None) -> ppl.Model:
    return ppl.compile(f"{FIELDS}{body}\n", optimize=optimize)


def loop(body: str) -> str:
    return f"for i in 0..n {{ {body} }}"


def found(body: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Key, guards with their bounds, and lines of every sum."""
    sums = program(body)._compiled.regions.sums
    return [
        (
            show(s.key),
            tuple(f"{'<' if c.below else '>'} {show(c.bound)}" for c in s.cuts),
            tuple(x.site for x in s.lines),
        )
        for s in sums
    ]


# ---------------------------------------------------------------------------------------------------- what is proved


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("observe count[i] ~ Poisson(if day[i] < c then exp(a) else exp(b))", ("day[i]", ("< c",), ("c",))),
        (
            "observe count[i] ~ Poisson(if 2 * c - 1 > 4 * day[i] then exp(a) else 2)",
            ("day[i] + 0.25", ("< 0.5 * c",), ("c",)),
        ),
        ("observe x[i] ~ Normal(if day[i] + age[i] > c then a else b, 1)", ("age[i] + day[i]", ("> c",), ("c",))),
        ("observe x[i] ~ Normal(if i < c then a else b, sd[i])", ("i", ("< c",), ("c",))),
        ("if day[i] < c { observe x[i] ~ Normal(a, 1) }", ("day[i]", ("< c",), ("c",))),
        ("if open[i] and day[i] < c { observe x[i] ~ Normal(a, 1) }", ("day[i]", ("< c",), ("c",))),
        (
            "observe hit[i] ~ Binomial(trials[i], if day[i] < c then inv_logit(a) else 0.3)",
            ("day[i]", ("< c",), ("c",)),
        ),
        (
            "observe x[i] ~ Normal(if day[i] < c then 0 else if day[i] < d then a else b, 1)",
            ("day[i]", ("< c", "< d"), ("c", "d")),
        ),
        # a bound with two latents moves with the draw of each: a sum at the draw, no average along a line
        ("observe x[i] ~ Normal(if day[i] < c + d then a else b, 1)", ("day[i]", ("< c + d",), ())),
        ("observe x[i] ~ Normal(if day[i] < exp(c) then a else b, 1)", ("day[i]", ("< exp(c)",), ())),
        ("observe x[i] ~ Normal(a, exp(b))", ("0", (), ())),
        # refused
        ("observe x[i] ~ Normal(if day[i] < c then a * age[i] else b, 1)", None),  # arguments of their own
        ("observe x[i] ~ Normal(if day[i] < c * age[i] then a else b, 1)", None),  # the order moves with c
        ("observe x[i] ~ Normal(if day[i] < c then a else if age[i] < d then b else 0, 1)", None),  # two orders
        ("observe x[i] ~ Normal(if day[i] ^ 2 < c and day[i] < c then a else b, 1)", None),  # and two again
        ("observe x[i] ~ Cauchy(if day[i] < c then a else b, 1)", None),  # no exponential family
        ("observe hit[i] ~ Bernoulli(if day[i] < c then 0 else 0.5)", None),  # 0 has no logarithm
        ("p = if a > 0 then 0 else 0.5\nobserve hit[i] ~ Bernoulli(if day[i] < c then p else 0.5)", None),
        ("observe count[i] ~ Poisson(max(c, 0))", None),
        ("factor if day[i] < c then a else b", None),
    ],
)
def test_which_terms_are_sums(statement: str, expected: tuple[Any, ...] | None) -> None:
    assert found(loop(statement)) == ([] if expected is None else [expected])


def test_state_and_elements_of_the_iteration_are_refused() -> None:
    assert found("s = 0.0; " + loop("s = 0.5 * s + x[i]; observe x[i] ~ Normal(if day[i] < c then s else b, 1)")) == []
    assert (
        found("var z: real[n]; " + loop("z[i] ~ Normal(0, 1); observe x[i] ~ Normal(if z[i] < c then a else b, 1)"))
        == []
    )


# ------------------------------------------------------------------------------------------------- the right numbers

SHIFT = {"a": 0.4, "b": 0.9, "c": 3.9, "d": 6.1}
SUMS = {
    "poisson": loop("observe count[i] ~ Poisson(if day[i] < c then exp(a) else exp(b))"),
    "above": loop("observe count[i] ~ Poisson(if day[i] > c then exp(a) else exp(b))"),
    "scaled": loop("observe count[i] ~ Poisson(if 3 * c - 1.5 >= 4 * day[i] then exp(a) else exp(b))"),
    "normal": loop("observe x[i] ~ Normal(if day[i] < c then a else b, if day[i] < c then 0.4 else 0.6)"),
    "known sd": loop("observe x[i] ~ Normal(if day[i] < c then a else b, sd[i])"),
    "exponential": loop("observe wait[i] ~ Exponential(if day[i] < c then exp(a) else exp(b))"),
    "gamma": loop("observe wait[i] ~ Gamma(1.3, if day[i] < c then exp(a) else exp(b))"),
    "bernoulli": loop("observe hit[i] ~ Bernoulli(if day[i] < c then inv_logit(a) else inv_logit(b))"),
    "binomial": loop("observe hit[i] ~ Binomial(trials[i], if day[i] < c then inv_logit(a) else 0.2)"),
    "in a branch": loop("if day[i] < c { observe x[i] ~ Normal(a, 0.5) } else { observe count[i] ~ Poisson(exp(b)) }"),
    "some days": loop("if open[i] and day[i] < c { observe x[i] ~ Normal(a, 0.5) }"),
    "two": loop("observe x[i] ~ Normal(if day[i] < c then a else if day[i] < d then 1.2 else b, 0.5)"),
    "two, nested": loop("if day[i] < d { if day[i] > c { level = a } else { level = 1.1 } } else { level = b }\n"
                        "observe x[i] ~ Normal(level, 0.5)"),
    "of one latent": loop("observe x[i] ~ Normal(if day[i] < c then a else if day[i] < c + 1 then 1.2 else b, 0.5)"),
    "of both": loop("observe x[i] ~ Normal(if 2 * day[i] < c + d then a else b, 0.5)"),
    "outside": loop("observe x[i] ~ Normal(if day[i] < c - 20 then a else b, 0.5)"),
    "level from outside": "level = if a > b then 1.3 else b\n"
                          + loop("observe x[i] ~ Normal(if day[i] < c then a else level, 0.5)"),
    "alike": loop("observe x[i] ~ Normal(a, exp(b))"),
    "whole array": "if c < 3.7 { observe x ~ Normal(a, 0.5) } else { observe x ~ Normal(a, sd) }",
}  # fmt: skip


def params_of(problem: ppl.Problem, log_scale: float, dtype: Any = jnp.float64) -> Any:
    params = problem.init_params(dtype=dtype)
    params["loc"] = {k: jnp.asarray(v, dtype) for k, v in SHIFT.items()}
    params["log_scale"] = {k: jnp.asarray(log_scale if k in "cd" else -2.0, dtype) for k in SHIFT}
    return params


def gradients(problem: ppl.Problem, params: Any, keys: int, **options: Any) -> np.ndarray:
    """ELBO and gradient of each of some keys, as rows."""
    fn = problem.elbo_and_grad(**options)
    draw = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))
    out = draw(jax.random.split(jax.random.key(5), keys))
    return np.concatenate([np.asarray(x, float).reshape(keys, -1) for x in jax.tree.leaves(out)], axis=1)


def both(body: str, fields: dict[str, Any] | None = None) -> tuple[ppl.Problem, ppl.Problem]:
    fields = data() if fields is None else fields
    return program(body).bind(fields), program(body, WITHOUT).bind(fields)


@pytest.mark.parametrize("name", SUMS)
def test_at_a_draw_sums_are_what_single_iterations_add_up_to(name: str) -> None:
    with jax.enable_x64(True), jax.disable_jit():
        problem, plain = both(SUMS[name])
        params = params_of(problem, -1.0)
        assert problem._prepared(params["loc"]).get("?")
        a, b = (jax.tree.leaves(p.elbo_and_grad(samples=2, estimator="interior")(params, jax.random.key(1)))
                for p in (problem, plain))  # fmt: skip
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-8), a, b)


def averages(name: str, log_scale: float, dtype: str, keys: int) -> tuple[np.ndarray, ...]:
    """Estimates at the same keys: from sums along latents, exactly integrated, and with boundary terms."""
    with jax.enable_x64(dtype == "float64"):
        problem, exact = both(SUMS[name])
        params = params_of(problem, log_scale, jnp.dtype(dtype))
        return (*(gradients(p, params, keys, samples=2) for p in (problem, exact)),
                gradients(exact, params, keys, samples=2, marginalise=False))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "log_scale", "dtype"),
    [
        ("poisson", -3.0, "float32"),
        ("above", 0.0, "float64"),
        ("scaled", -1.0, "float32"),
        ("in a branch", 0.0, "float32"),
        ("known sd", -3.0, "float64"),
    ],
)
def test_the_average_along_a_latent_is_unbiased(name: str, log_scale: float, dtype: str) -> None:
    """On the same draws of all other latents, it differs from the exact average by what a systematic sample leaves."""
    a, exact, plain = averages(name, log_scale, dtype, 200)
    difference = a - exact
    error = difference.std(0, ddof=1) / np.sqrt(len(a))
    rounding = (1e-9 if dtype == "float64" else 3e-6) * np.abs(exact).max()
    assert np.all(np.abs(difference.mean(0)) < 4.5 * error + rounding)
    assert np.all(difference.std(0) < 0.3 * plain.std(0) + 10 * rounding)  # little, beside the noise of one draw
    assert np.abs(exact.mean(0)[7]) > 30 * (error + rounding)[7]  # the location of c, all of it from boundaries


def test_the_average_along_each_of_two_latents_is_unbiased() -> None:
    """The other latent is at its draw; of neither does a parameter move the mean elsewhere than through thresholds."""
    a, exact, plain = averages("two", -0.5, "float32", 400)
    difference = a - exact
    error = difference.std(0, ddof=1) / np.sqrt(len(a))
    assert np.all(np.abs(difference.mean(0)) < 4.5 * error + 3e-6 * np.abs(exact).max())
    assert np.all(a.std(0)[:7] < 1.1 * plain.std(0)[:7])
    assert np.abs(exact.mean(0)[7]) > 30 * error[7]


def test_a_weight_of_boundaries_is_respected() -> None:
    problem, exact = both(SUMS["poisson"])
    params = params_of(problem, -1.0, jnp.float32)
    key = jax.random.key(2)
    for weight in (0.0, 0.5):
        a, b = (p.elbo_and_grad(samples=2)(params, key, weight)[1]["loc"]["c"] for p in (problem, exact))
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("body", ["poisson", "some days"])
def test_of_few_thresholds_all_have_their_exact_probabilities(body: str) -> None:
    """Then the average is that of the joint form, draw by draw, and not only on average."""
    with jax.enable_x64(True):
        sums, plain = both(SUMS[body], short(60))
        params = params_of(sums, -0.5, jnp.float64)
        for weight in (1.0, 0.3):
            a, b = (p.elbo_and_grad(samples=3)(params, jax.random.key(4), weight) for p in (sums, plain))
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-8), a, b)
        assert abs(float(a[1]["loc"]["c"])) > 0.1


# ----------------------------------------------------------------------------------------------- where it is not done


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"n": 7}, "poisson"),  # few iterations
        ({"n": 500}, "two"),  # few for averages along one latent at a time
        ({"x": np.where(data()["day"] < 4, 0.0, 1e4) + data()["x"]}, "normal"),  # sums of 1e8 would hide what matters
        ({"open": np.arange(N) < 7}, "some days"),  # few that observe
    ],
)
def test_data_that_do_not_suit_it_get_no_table(change: dict[str, Any], body: str) -> None:
    fields = {**data(), **change}
    fields = {k: v[: fields["n"]] if k != "n" else v for k, v in fields.items()}
    problem = program(SUMS[body]).bind(fields)
    assert "?" not in problem._prepared({"": jnp.zeros((), jnp.float32)})
    estimate, _ = problem.elbo_and_grad(estimator="interior")(problem.init_params(), jax.random.key(0))
    assert np.isfinite(estimate)


def test_numbers_far_from_zero_keep_their_digits() -> None:
    """Levels of 1000 with a noise of 0.5, in single precision: the squares of the data have no digit of the noise."""
    fields = {**data(), "x": data()["x"] + 1000.0}
    body = loop("observe x[i] ~ Normal(1000 + (if day[i] < c then a else b), 0.5)")
    at = {k: np.float32(v) for k, v in SHIFT.items()}
    x = np.asarray(fields["x"], np.float32).astype(float)
    level = np.where(fields["day"] < at["c"], np.float32(1000) + at["a"], np.float32(1000) + at["b"]).astype(float)
    want = float(np.sum(stats.norm.logpdf(x, level, 0.5)))
    problem = program(body).bind(fields)
    table = problem._prepared({"": jnp.zeros((), jnp.float32)})["?"]
    assert table
    point = Point({k: jnp.asarray(v) for k, v in at.items()}, log_q={k: jnp.zeros(()) for k in at})
    code, sizes = problem._code, problem.sizes
    made = problem._prepared(at)
    found = code.summed(point, made, sizes, code.model(point, made, sizes), frozenset(code.SUMMED))
    assert abs(float(found) - want) < 2e-6 * abs(want) + 0.01


def densities(body: str, u: dict[str, float], **fields: Any) -> tuple[float, float]:
    """With and without sums, in single precision."""
    return tuple(float(jax.jit(program(body, how).bind({**data(), **fields}).log_density)(
        {k: jnp.float32(v) for k, v in u.items()})) for how in (None, WITHOUT))  # fmt: skip


def test_integers_far_from_zero_keep_their_digits() -> None:
    body = "data t: int[n]\n" + loop("observe x[i] ~ Normal(if t[i] - 1700000000 < c then a else b, 1)")
    t = 1_700_000_000 + np.random.default_rng(1).permutation(N)
    sums, plain = densities(body, {"a": 2.0, "b": -2.0, "c": 330.5, "d": 6.0}, t=t)
    assert abs(sums - plain) < 1e-4 * abs(plain)


def test_arguments_out_of_their_domain_are_not_hidden() -> None:
    for x, law in (
        ("count", "Poisson(if day[i] < c then a else 2)"),
        ("hit", "Bernoulli(if day[i] < c then b else a)"),
    ):
        sums, plain = densities(loop(f"observe {x}[i] ~ {law}"), {"a": -0.5, "b": 1.4, "c": 4.0, "d": 6.0})
        assert not np.isfinite(sums) and not np.isfinite(plain)


@pytest.mark.parametrize("name", ["two", "whole array"])
def test_the_density_for_samplers_is_summed_too(name: str) -> None:
    with jax.enable_x64(True), jax.disable_jit():
        sums, plain = both(SUMS[name])
        u = {k: jnp.asarray(v) for k, v in SHIFT.items()}
        assert sums._prepared(u)["?"]
        a, b = (jax.value_and_grad(p.log_density)(u) for p in (sums, plain))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9), a, b)


def test_explain_tells_of_long_loops() -> None:
    model = program(SUMS["poisson"])
    assert "summed over ranges of sorted thresholds" in model.explain()["guards"][0]["reason"]
    assert "summed over ranges of sorted thresholds" in model.explain(data())["guards"][0]["reason"]
    few = short(7)
    assert "sorted" not in model.explain(few)["guards"][0]["reason"]
    assert "sorted" not in program(SUMS["poisson"], WITHOUT).explain()["guards"][0]["reason"]
    assert "prefix" not in program(SUMS["poisson"], WITHOUT).source_code


def test_state_that_is_a_vector_differs_between_iterations() -> None:
    """`q[0]` of a carried vector was taken for the same in all of them, and the compiler stopped."""
    model = ppl.compile(
        "data r: real[9]\nrate ~ Beta(2, 2)\nq = [0.5, 0.5]\n"
        "for t in 0..9 {\n    observe r[t] ~ Normal(q[0], 1)\n"
        "    q = [if k == 0 then q[k] + rate * (r[t] - q[k]) else q[k] for k in 0..2]\n}"
    )
    assert not model._compiled.regions.sums
    r = np.linspace(-1, 2, 9)
    problem = model.bind({"r": r.tolist()})
    q, wanted = 0.5, float(stats.beta.logpdf(0.3, 2, 2))
    for x in r:
        wanted += float(stats.norm.logpdf(x, q, 1))
        q += 0.3 * (x - q)
    assert float(problem.log_joint({"rate": jnp.asarray(0.3)})) == pytest.approx(wanted, rel=1e-5)


def test_tables_take_no_compiled_function_for_each_array() -> None:
    """Inside of a function that is traced, where they are made."""
    compiled: list[str] = []

    def hear(event: str, _: float, **__: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    key = jnp.asarray([0.5, 0.25, 4.0, 1.0, 2.0, 8.0, 3.0, 9.0])
    counts = jnp.arange(8)

    def traced(x: jax.Array) -> jax.Array:
        def row(i: jax.Array) -> Any:
            return functions.element(key, i), functions.element(counts, i), (), True

        with jax.ensure_compile_time_eval():
            table = prefix.tables({"t": (4, row, families.poisson, 0, 8)}, jnp.float32)["t"]
        return x + table.keys[0]

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        jax.make_jaxpr(traced)(1.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
    assert len(compiled) <= 2  # the rows, and what is the same in all of them
