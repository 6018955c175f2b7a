"""Indices that depend on a latent: what is certain before there is data, and what is left to binding."""

import pytest
from binding import bound

import ppl
from ppl.bind.indices import check_indices
from ppl.diagnostics import Diagnostics, PplError
from ppl.driver import compile_source

# Wrong whatever the data. With data, so that binding can say the same.
CERTAIN = {
    "unbounded": ("x ~ Normal(0, 1)\nr = [1.0, 2.0]\nobserve 1 ~ Normal(r[floor(x)], 1)", {}),
    "bounds that are too wide": ("x ~ Uniform(0, 3)\nr = [1.0, 2.0]\nobserve 1 ~ Normal(r[floor(x)], 1)", {}),
    "support whose ends data do not move": (
        "data m: real\nx ~ Normal(m, 1)\ndata y: real[2]\nobserve 1 ~ Normal(y[floor(x)], 1)",
        {"m": 1.0, "y": [1.0, 2.0]},
    ),
    "some iterations of a loop": (
        "data y: real[4]\nx ~ Uniform(0, 3)\nfor i in 0..4 { if i > 1 { observe y[i] ~ Normal(y[i - floor(x)], 1) } }\n"
        "for i in 0..4 { for j in 0..i { observe y[i] ~ Normal(y[j + floor(x)], 1) } }", {"y": [1.0, 2.0, 3.0, 4.0]},
    ),
    "what a comprehension reads": (
        "data y: real[4]\nx ~ Uniform(0, 3)\nobserve 1 ~ Normal(sum([y[i + floor(x)] for i in 0..3]), 1)",
        {"y": [1.0, 2.0, 3.0, 4.0]},
    ),
    "a discrete latent": (
        "m: real[3] ~ Normal(0, 1)\nvar k: int[5]\nfor i in 0..5 { k[i] ~ Categorical([0.1, 0.2, 0.3, 0.4])\n"
        "observe 1 ~ Normal(m[k[i]], 1) }", {},
    ),
    "an inner index": (
        "k ~ Binomial(2, 0.5)\nx ~ Uniform(0, 3)\ny = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]\nreport r = y[k, floor(x)]",
        {},
    ),
    "state that a loop carries": (
        "x: real[3] ~ Normal(0, 1)\nr = [1.0, 2.0]\nk = 0\nfor i in 0..3 { k = if x[i] > 0 then k + 1 else 0 }\n"
        "factor r[k]",
        {},
    ),
}  # fmt: skip

# Wrong for some data: they compile.
LEFT = {
    "the size": ("data n: int\ndata y: real[n]\nx ~ Normal(0, 1)\nfactor y[floor(x)]", {"y": [1.0]}),
    "the end of a support": (
        "data n: int\nx ~ Uniform(0, n)\nr = [1.0, 2.0]\nfactor r[floor(x)]", {"n": 3},
    ),
    "a number in the index": (
        "data n: int\nx ~ Uniform(0, 1)\nr = [1.0, 2.0]\nm = n + 1\nfactor r[m + floor(x)]", {"n": 3},
    ),
    "a sum in the index": (
        "data k: int[2]\nx ~ Uniform(0, 1)\nr = [1.0, 2.0]\nfactor r[sum(k) + floor(x)]", {"k": [1, 1]},
    ),
    "a count in the index": (
        "data k: int[2]\nc = 0\nfor i in 0..2 { if k[i] > 0 { c = c + 1 } }\nx ~ Uniform(0, 1)\nr = [1.0, 2.0]\n"
        "factor r[c + floor(x)]", {"k": [1, 1]},
    ),
    "how often a loop runs": (
        "data n: int\nx ~ Normal(0, 1)\nr = [1.0, 2.0]\nfor i in 0..n { factor r[floor(x)] }", {"n": 1},
    ),
    "a condition around it": (
        "data n: int\nx ~ Normal(0, 1)\nr = [1.0, 2.0]\nif n > 0 and x > 0 { factor r[floor(x)] }", {"n": 1},
    ),
    "a condition in the expression": (
        "data n: int\nx ~ Normal(0, 1)\nr = [1.0, 2.0]\nfactor if n > 0 then r[floor(x)] else x", {"n": 1},
    ),
    "a condition inside an index": (
        "data n: int\nx ~ Uniform(0, 1)\nr = [1.0, 2.0]\nfactor r[floor(x) + (if n > 0 then 2 else 0)]", {"n": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CERTAIN)
def test_found_before_there_is_data_in_the_words_of_binding(name: str) -> None:
    text, data = CERTAIN[name]
    with pytest.raises(PplError) as before:
        ppl.compile(text)
    assert {d.code for d in before.value.diagnostics} == {"PPL603"}
    with pytest.raises(PplError) as at_bind:
        bound(text, data)
    assert str(before.value).replace("model.ppl", "m.ppl") == str(at_bind.value)


@pytest.mark.parametrize("name", LEFT)
def test_what_data_decide_is_left_to_binding(name: str) -> None:
    text, data = LEFT[name]
    model = ppl.compile(text)
    with pytest.raises(PplError) as caught:
        model.bind(data)
    assert [d.code for d in caught.value.diagnostics] == ["PPL603"]


def test_long_loops_are_left_to_binding() -> None:
    compiled = compile_source(
        "x ~ Normal(0, 1)\nr = [1.0, 2.0]\nfor i in 0..100000000 { factor r[floor(x)] }", "m.ppl", "m"
    )
    sink = Diagnostics({})
    check_indices(compiled.regions.program, compiled.regions.definitions, sink)
    assert not sink.items


ARRAYS = "data n: int\ny ~ Normal(0, 1)\nw: real[2] ~ Normal(0, 1)\nr = [1.0, 2.0]\nvar z: real[3]\n"


@pytest.mark.parametrize(("statement", "said"), [
    ("for i in 0..3 { factor w[i] }", "`w[i]`: index 2 at i = 2 is outside an array of size 2"),
    ("for i in 0..2 { factor w[i] * r[i + 1] }", "`r[i + 1]`: index 2 at i = 1 is outside an array of size 2"),
    ("for i in 0..4 { z[i] ~ Normal(0, 1) }", "`z[i]`: index 3 at i = 3 is outside an array of size 3"),
    ("for i in 0..3 { if y > 3 { factor w[i] } }", "`w[i]`: index 2 at i = 2 is outside an array of size 2"),
    ("for i in 0..2 { for j in 0..2 { factor w[i + j] } }",
     "`w[i + j]`: index 2 at i = 1, j = 1 is outside an array of size 2"),
    ("factor sum([w[k - 1] for k in 0..2])", "`w[k - 1]`: index -1 at k = 0 is outside an array of size 2"),
])  # fmt: skip
def test_loops_with_constant_bounds(statement: str, said: str) -> None:
    with pytest.raises(PplError) as caught:
        ppl.compile(f"{ARRAYS}{statement}\n")
    assert [(d.code, d.message) for d in caught.value.diagnostics] == [("PPL208", said)]


@pytest.mark.parametrize("statement", [
    "for i in 0..3 { if i < 2 { factor w[i] } }", "for i in 0..3 { factor if i < 2 then w[i] else 0 }",
    "for i in 0..3 { if n > 3 { factor w[i] } }", "for i in 5..3 { factor w[i] }", "for i in 0..n { factor w[i] }",
    "for i in 0..2 { for j in i..2 { factor w[j - i] } }",
])  # fmt: skip
def test_what_conditions_keep_from_being_read(statement: str) -> None:
    assert ppl.compile(f"{ARRAYS}{statement}\n").source_code


COUNT = """data n: int
data b: real[n]
x ~ Normal(0, 1)
{count}
r = [0.0, 0.1, 0.2, 0.4]
factor r[{index}]
"""


@pytest.mark.parametrize("count", [
    "k = sum([if x > b[j] then 1 else 0 for j in 0..n])", "k = 0\nfor j in 0..n { if x > b[j] { k = k + 1 } }",
    "k = 0\nfor j in 0..n { if x > b[j] { if x > 1 { k = k + 1 } } }",
])  # fmt: skip
def test_a_count_stays_between_zero_and_the_length_of_its_loop(count: str) -> None:
    for index, rest in (("k", 0), ("k - 1", 1), ("3 - k", 0)):
        model = ppl.compile(COUNT.format(count=count, index=index if not rest else f"max({index}, 0)"))
        model.bind({"n": 3 + rest, "b": [0.1 * j for j in range(3 + rest)]})
        with pytest.raises(PplError) as caught:
            model.bind({"n": 4 + rest, "b": [0.1 * j for j in range(4 + rest)]})
        reach = {"k": "0 to 4", "k - 1": "0 to 4", "3 - k": "-1 to 3"}[index]
        assert f"reaches from {reach}, outside an array of size 4" in str(caught.value)


HELD = {
    "the place of the largest": "best = 0\nfor k in 1..3 { if u[k] > u[best] { best = k } }",
    "the same in two loops":
        "best = 0\nfor i in 0..2 { for k in 0..3 { if u[k] > i + u[best] { best = k } } }",
    "a counter after its loop": "best = 0\nfor k in 0..2 { if u[k] > 0 { best = best + 1 } }",
    "a counter downwards": "best = 2\nfor k in 0..2 { if u[k] > 0 { best = best - 1 } }",
    "a streak, before it grows":
        "best = 0\nfor k in 0..3 { factor u[best]\nbest = if u[k] > 0 then best + 1 else 0 }\nbest = 0",
    "steps of a while": "best = 0\nwhile u[best] > 0.3 limit 2 { best = best + 1 }",
    "a toggle": "best = 0\nfor k in 0..3 { if u[k] > 0 { best = 1 - best } }",
    "a toggle of two loops": "best = 0\nfor i in 0..2 { for k in 0..3 { if u[k] > i { best = 1 - best } } }",
    "a step below a limit": "best = 0\nfor k in 0..3 { if u[k] > 0 and best < 2 { best = best + 1 } }",
    "a step that starts again": "best = 0\nfor k in 0..3 { best = best + 1\nif best > 2 { best = 0 } }\n"
    "for k in 0..3 { if u[k] > 0 { best = best + 1 }\nif best > 2 { best = 0 } }",
    "a step round": "best = 0\nfor k in 0..3 { if u[k] > 0 { best = (best + 1) % 3 } }",
    "a step down to 0": "best = 2\nfor k in 0..3 { if u[k] > 0 { best = max(best - 1, 0) } }",
    "held in by itself":
        "best = 0\nfor k in 0..3 { factor u[best]\n"
        "best = if u[k] > 0 then clamp(best + 1, 0, 2) else clamp(best - 1, 0, 2) }",
    "data": "best = 0\nfor k in 0..3 { if u[k] > 0 { best = g[k] } }",
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_state_is_between_all_that_it_is_assigned(name: str) -> None:
    text = "data g: int[3]\nu: real[3] ~ Normal(0, 1)\n" + HELD[name] + "\nobserve 1 ~ Normal(u[best], 1)"
    ppl.compile(text).bind({"g": [2, 0, 1]})
    if name == "data":
        with pytest.raises(PplError, match="reaches from 0 to 3"):
            ppl.compile(text).bind({"g": [2, 0, 3]})


@pytest.mark.parametrize("text", [
    "best = 0\nfor k in 1..4 { if u[k - 1] > 0 { best = k } }",
    "best = 0\nfor k in 0..3 { if u[k] > 0 { best = best + 1 } }",
    "best = 0\nfor k in 0..3 { if u[k] > 0 { best = 2 * best + 1 } }",
    "best = 0\nfor i in 0..2 { for k in 0..2 { if u[k] > 0 { best = best + 1 } } }",
    "b: int[3] ~ Bernoulli(0.5)\nbest = sum([b for i in 0..2])",
    "best = 0\nfor k in 0..3 { if u[k] > 0 and best < 3 { best = best + 1 } }",
    "best = 0\nfor k in 0..3 { if u[k] > 0 or best < 2 { best = best + 1 } }",
    "best = 0\nc = 1\nfor k in 0..3 { if u[k] > 0 { best = c\nc = best + c } }",
])  # fmt: skip
def test_state_that_may_leave(text: str) -> None:
    with pytest.raises(PplError) as caught:
        ppl.compile("u: real[3] ~ Normal(0, 1)\n" + text + "\nobserve 1 ~ Normal(u[best], 1)").bind()
    assert [d.code for d in caught.value.diagnostics] == ["PPL603"]


def test_cases_that_data_cut_off_stay_so_where_a_comparison_is_split() -> None:
    ppl.compile(
        "x: real[2] ~ Normal(0, 1)\nfor i in 0..3 {\n  raw = if i < 2 then x[i] else 3\n"
        "  observe 1 ~ Normal(if abs(raw) < 1 then 0 else 1, 1)\n}"
    ).bind()
