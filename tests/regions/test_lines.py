"""Along which line a guard is crossed: the rule, what can be asked for instead, and what the cost is counted as."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ppl
from ppl.emit.search import MOST_ROOTS, MOST_ROOTS_OF_MODEL
from ppl.regions import work
from ppl.regions.choice import least, normal_pays, wishes

ROOT = pathlib.Path(__file__).resolve().parents[2]

PAIR = """x ~ Normal(0, 1)
y ~ Normal(0, 1)
z ~ LogNormal(0, 1)
if 2 * x - 3 * y > z { factor -z }
if x < 0.5 { factor 1 + z }
if x * y > 1 { factor z } ; if y > z { factor 2 * z }
"""
ROWS = """data n: int
data x: real[n]
data y: real[n]
a ~ Normal(0, 1)
b ~ Normal(0, 1)
for i in 0..n {
  observe y[i] ~ Normal(if a + b * x[i] > 0 then 1 + a else b, 1)
}
"""
HEAVY = """data n: int
data t: real[n]
data y: real[n]
k ~ Normal(0, 1)
x ~ Normal(0, 1)
for i in 0..n {
  m = exp(k * t[i]) + sin(k) * lgamma(3 + exp(k) * t[i])
  observe y[i] ~ Normal(if x + k > 0.3 then m else x, 1)
}
"""
WALK = (ROOT / "benchmarks/literature/walk15.ppl").read_text()
RESPONSE = (ROOT / "benchmarks/literature/cheating100.ppl").read_text()


def guards(source: str, lines: Any = None, data: Any = None) -> list[dict[str, Any]]:
    return ppl.compile(source, lines=lines).explain(data)["guards"]


def line(source: str, text: str, lines: Any = None) -> str:
    return next(g["lines"][0] for g in guards(source, lines) if g["text"] == text)


# --------------------------------------------------------------------------------------------------------------- rule


@pytest.mark.parametrize(("coordinates", "distance"), [(2, 1.0), (16, 1.0), (5, 0.0), (4, 2.0)])
def test_the_squared_weight_along_a_coordinate(coordinates: int, distance: float) -> None:
    """The formula that the rule stands on, against draws."""
    rng = np.random.default_rng(3)
    b = np.ones(coordinates)
    c = distance * math.sqrt(coordinates)
    s = -(c + rng.normal(size=(400_000, coordinates - 1)).sum(axis=1)) / b[0]
    along = math.exp(-(distance**2) / 2) / math.sqrt(2 * math.pi * coordinates)
    weight = np.exp(-(s**2) / 2) / math.sqrt(2 * math.pi) / b[0]
    assert abs(weight.mean() - along) < 5 * weight.std() / math.sqrt(len(weight))
    share = 1 / coordinates
    ratio = math.exp(distance**2 * (1 - share) / (2 - share)) / math.sqrt(share * (2 - share))
    squares = weight**2 / along**2
    assert abs(squares.mean() - ratio) < 5 * squares.std() / math.sqrt(len(squares))
    if distance == 1.0:
        assert normal_pays(True, 0.99 * ratio, 1.0, coordinates)
        assert not normal_pays(True, 1.01 * ratio, 1.0, coordinates)


def test_the_rule() -> None:
    assert normal_pays(True, 1.0, 1.0, 2.0)
    assert not normal_pays(False, 1.0, 1.0, 100.0)
    assert least([3.0, 2.0]) == 0 and least([5.0, 2.0, 1.0]) == 1 and least([0.0, 0.0]) == 0


def test_what_the_rule_chooses() -> None:
    assert line(WALK, "pos >= 0") == "normal"
    assert line(PAIR, "2 * x - 3 * y > z") == "normal"
    assert line(ROWS, "a + b * x[i] > 0") == "a"  # the slice is one term
    assert line(RESPONSE, "score[i] > thr") == "score[i]"  # along thr, all students would move
    assert line(HEAVY, "x + k > 0.3") == "x"  # where k stays, so does m


# ------------------------------------------------------------------------------------------------------- other choices


def test_a_line_can_be_asked_for() -> None:
    assert line(WALK, "pos >= 0", "coordinate") == "z[i - 1]"
    assert line(WALK, "pos >= 0", {"8": "z"}) == line(WALK, "pos >= 0", {8: "z[i-1]"}) == "z[i - 1]"
    assert line(PAIR, "2 * x - 3 * y > z", {"4:4": "y"}) == "y"
    assert line(PAIR, "2 * x - 3 * y > z", {"4": "y", "all": "normal"}) == "y"
    assert line(RESPONSE, "score[i] > thr", {"10:35": "thr"}) == "thr"
    (guard,) = guards(ROWS, "normal")
    assert guard["lines"] == ["normal", "a", "b"]
    boundaries = [b for i in ppl.compile(ROWS, lines="normal")._compiled.regions.guards for b in i.boundaries]
    assert [(b.effect, b.repeats, b.normal is not None) for b in boundaries] == [("global", True, True)]


def test_emitted_code_follows() -> None:
    codes = {ppl.compile(PAIR, lines=x).source_code for x in (None, "coordinate", {4: "x"}, {4: "y"}, {4: "z"})}
    assert len(codes) == 4  # of all coordinates, x is the first
    assert ppl.compile(PAIR, lines={4: "normal"}).source_code == ppl.compile(PAIR).source_code


def programs() -> Iterator[str]:
    yield from (PAIR, ROWS, HEAVY)
    for folder in ("programs", "tests/conformance", "benchmarks/literature", "tests/programs/cases"):
        yield from (p.read_text(encoding="utf-8") for p in sorted((ROOT / folder).glob("*.ppl")))


def test_every_line_that_is_offered_can_be_had() -> None:
    tried = 0
    for text in programs():
        try:
            found = guards(text)
        except ppl.PplError:
            continue
        for g in found:
            for name in g["lines"][1:]:
                model = ppl.compile(text, lines={f"{g['span']['line']}:{g['span']['column']}": name})
                assert name in [
                    x["lines"][0] for x in model.explain()["guards"] if x["lines"] and x["span"] == g["span"]
                ]
                assert model.source_code
                tried += 1
    assert tried > 20


REFUSED = [
    (PAIR, {"4": "q"}, (4, 4), "cannot be crossed along `q` alone", "its lines: x, y, z, normal"),
    (PAIR, {"4": "xx"}, (4, 4), "`xx`", "did you mean `x`? its lines: x, y, z, normal"),
    (PAIR, {"5:4": "normal"}, (5, 4), "cannot be crossed along a normal", "its lines: x"),
    (PAIR, {"5:4": "y"}, (5, 4), "`x < 0.5` cannot be crossed along `y` alone", "its lines: x"),
    (PAIR, {"3": "normal"}, (3, 1), "no guard is", "guards are at 4:4, "),
    (PAIR, {"5:400000000": "x"}, (5, 28), "no guard is", "5:4"),
    (PAIR, {"99": "x"}, None, "no guard is", "guards are at 6:"),
    (PAIR, {"6": "normal"}, (6, 4), "2 guards are", "say which: 6:4 or 6:32"),
    (PAIR, {"4": "x", "4:4": "normal"}, (4, 4), "two lines are asked for at 4:4", "give one"),
    (RESPONSE, {"10:17": "first"}, (10, 17), "has no boundary", "leave its line out"),
    (WALK, {"13": "start"}, (13, 4), "cannot be crossed along `start`", "its lines: z[steps - 1], normal"),
    ("x ~ Normal(0, 1)\nfactor x", {"2": "x"}, (2, 1), "no guard is", "no guard has a line"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "lines", "place", "message", "hint"), REFUSED)
def test_what_cannot_be(source: str, lines: Any, place: Any, message: str, hint: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(source, lines=lines)
    (d,) = caught.value.diagnostics
    assert d.code == "PPL406" and message in d.message and d.hint is not None and hint in d.hint
    assert place == (None if d.span is None else (d.span.line, d.span.column))
    assert len(str(caught.value)) < 1000


def test_a_line_for_all_is_for_those_that_have_it() -> None:
    assert [g["lines"][0] for g in guards(PAIR, "normal") if g["lines"]][:2] == ["normal", "x"]
    ppl.compile("x ~ Normal(0, 1)\nfactor x", lines="normal")


@pytest.mark.parametrize("asked", ["x", "x > 0", {"four": "x"}, {"0": "x"}, {"4:": "x"}, {"4:4": "x y"}, {"4": ""},
                                   {"4": "x[" + "9" * 300 + "]"}, {"all": "x"}, {"4": "x\n"[:1] + ";"}])  # fmt: skip
def test_what_is_no_line(asked: Any) -> None:
    with pytest.raises(ValueError, match=r"line|place"):
        ppl.compile(PAIR, lines=asked)
    assert wishes(None) == ()


# --------------------------------------------------------------------------------------------------------------- work


def test_factors_are_counted() -> None:
    n = {"n": 7, "x": [0.5] * 7, "y": [0.0] * 7}
    (guard,) = guards(ROWS, None, n)
    assert (guard["jump"]["factors"], guard["jump"]["of"]) == (1, 9)
    (guard,) = guards(ROWS, {7: "normal"}, n)
    assert (guard["jump"]["factors"], guard["jump"]["of"]) == (7, 9)
    (guard,) = guards(ROWS)
    assert guard["jump"] == {"factors": "1", "of": "n + 2", "work": None}
    walk = next(g for g in guards(WALK) if g["text"] == "pos >= 0")
    assert (walk["jump"]["factors"], walk["jump"]["of"]) == (17, 18)  # all but the draw of `start`


def test_factors_of_vectors_and_ragged_loops() -> None:
    text = "data n: int\ndata y: real[n]\nx ~ Normal(0, 1)\nw: real[n] ~ Normal(0, 1)\n"
    (guard,) = guards(text + "observe y ~ Normal(w + (if x > 0 then 1 else 2), 1)")
    assert guard["jump"]["factors"] == "n" and guard["jump"]["of"] == "2 * n + 1"
    text = "data n: int = 4\nx ~ Normal(0, 1)\nfor i in 0..n { for j in 0..i { if x > i { factor j } } }"
    (guard,) = guards(text)
    assert guard["jump"]["factors"] == 1.5 and guard["jump"]["of"] == 7  # 6 in 4 iterations
    (guard,) = guards(text.replace(" = 4", ""))
    assert guard["jump"] == {"factors": None, "of": None, "work": None}


def price(source: str, data: Any = None, **options: Any) -> dict[str, float]:
    return ppl.compile(source).explain(data, **options)["work"]


def test_work_follows_the_effect() -> None:
    def rows(n: int) -> dict[str, Any]:
        return {"n": n, "x": [0.5] * n, "y": [0.0] * n}

    local = [price(ROWS, rows(n))["boundaries"] for n in (100, 1000)]
    assert 1 < local[0] < 3 and abs(local[1] / local[0] - 1) < 0.1  # about one log density on either side
    whole = [
        ppl.compile(ROWS, lines="normal").explain(rows(n), boundary_budget=None)["guards"][0]["jump"]["work"]
        for n in (100, 1000)
    ]
    assert 8 < whole[1] / whole[0] < 12 and whole[0] > 50  # each instance takes the program
    along = ppl.compile(ROWS, lines="normal")
    few = along.explain(rows(1000), boundary_budget=64)["guards"][0]["jump"]["work"]
    assert abs(few / whole[1] - 64 / 1000) < 0.01
    (taken,) = along.bind(rows(1000)).budgets()
    assert taken is not None and 10 < taken < 64  # by default: more than a few, and far from all
    assert abs(along.explain(rows(1000))["guards"][0]["jump"]["work"] / whole[1] - taken / 1000) < 0.01
    thermostat = (ROOT / "programs/temperature.ppl").read_text()
    data = json.loads((ROOT / "programs/temperature.data.json").read_text())
    assert 1.3 < price(thermostat, {k: v for k, v in data.items() if k != "source"})["price"] < 3
    smooth = price("x ~ Normal(0, 1)\nfactor -x ^ 2")
    assert (smooth["boundaries"], smooth["integrated"], smooth["price"]) == (0, 0, 1)
    assert price(ROWS) == {"gradient": None, "boundaries": None, "integrated": None, "price": None}


def test_searches_are_counted_as_they_run() -> None:
    from ppl.runtime import crossings, lines

    assert (work.MOST_ROOTS, work.MOST_ROOTS_OF_MODEL) == (MOST_ROOTS, MOST_ROOTS_OF_MODEL)
    assert work.MOST_LEVELS == crossings.MOST_LEVELS and work.POINTS == lines.CELLS + 1


NEIGHBOURS = """data n: int
var x: real[n]
for t in 0..n { x[t] ~ Normal(0, 1) }
for t in 0..n {
  l = if t == 0 then x[t] else x[t - 1]
  r = if t == n - 1 then x[t] else x[t + 1]
  if x[t] > 0.3 * r { factor 0.1 * t }
  if l + r > 2 * x[t] { factor 0.4 }
}
"""


def test_the_slope_of_a_line_is_not_zero_at_the_ends_of_a_loop() -> None:
    """Where branches on data make some slopes zero, in some iterations, and others not."""
    model = ppl.compile(NEIGHBOURS)
    guards = [g for g in model.explain()["guards"] if g["status"] != "data-only"]
    assert [next(x for x in g["lines"] if x != "normal") for g in guards] == ["x[t_2]", "x[t_2]"]
    model.bind({"n": 5})
    model.bind({"n": 1})  # x[0] + x[0] > 2 * x[0]: nothing moves it, so it needs no line


COVARIATES = (
    "data n: int\ndata w: real[n]\ndata z: real[n]\na ~ Normal(0, 1)\nb ~ Normal(0, 1)\n"
    "for i in 0..n { if w[i] * a + z[i] * b > 0.3 { factor 0.5 } }"
)


@pytest.mark.parametrize(
    ("w", "z", "direction"),
    [
        ([1.0, 2.0], [0.5, 0.0], "a"),
        ([1.0, 0.0], [0.5, 0.0], "a"),  # where both are zero, nothing moves the guard
        ([1.0, 0.0], [0.5, 0.7], "a and b"),
        ([0.0, 1.0], [0.7, 0.0], "a and b"),
    ],
)
def test_all_coordinates_share_where_data_make_the_slope_of_one_zero(
    w: list[float], z: list[float], direction: str
) -> None:
    model = ppl.compile(COVARIATES, lines="coordinate")
    (guard,) = model.bind({"w": w, "z": z}).guards
    assert guard.direction == direction


def test_what_data_make_zero_does_not_stay_with_the_model() -> None:
    model = ppl.compile(COVARIATES, lines="coordinate")
    model.bind({"w": [0.0], "z": [1.0]})
    assert model.bind({"w": [1.0], "z": [1.0]}).guards[0].direction == "a"


def test_a_line_that_is_asked_for_has_to_cross_every_instance() -> None:
    model = ppl.compile(COVARIATES, lines={6: "a"})
    model.bind({"w": [1.0, 2.0], "z": [0.5, 0.0]})
    with pytest.raises(ppl.PplError) as caught:
        model.bind({"w": [1.0, 0.0], "z": [0.5, 0.7]})
    (found,) = caught.value.diagnostics
    assert found.code == "PPL402"
    assert "at i = 1 the factor `w[i]` of `a` is 0, so the line asked for crosses no boundary there" in found.headline()


def test_a_polynomial_in_one_latent_keeps_its_line() -> None:
    text = "data w: real\nx ~ Normal(0, 1)\nif w * x^2 + x > 0.5 { factor 0.1 }\nif x^2 - 0.3 * x > 1 { factor 0.3 }"
    assert {g.direction for g in ppl.compile(text).bind({"w": 0.0}).guards} == {"x"}


@pytest.mark.parametrize("index", ["t - 1", "j"])
def test_an_element_that_may_be_assigned_is_no_latent_whatever_its_index_is_called(index: str) -> None:
    """At t = 1 it is the number that t = 0 assigns: along it there is no line, and nothing to integrate out."""
    (guard,) = (g for g in ppl.compile(f"""
        data y: real[3]
        var z: real[3]
        for t in 0..3 {{
            j = t - 1
            if t == 0 {{ z[t] = 0.2 }} else {{ z[t] ~ Normal(0, 1) }}
            m = if t > 0 then (if z[{index}] > 0.1 then 1 else 0) else 0
            observe y[t] ~ Normal(m, 1)
        }}
    """).explain()["guards"] if g["text"].startswith("z["))  # fmt: skip
    assert (guard["status"], guard["kind"], guard["direction"]) == ("boundary", "smooth", "every z")
