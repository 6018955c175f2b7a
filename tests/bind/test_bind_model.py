"""What bind hands on: static sizes, ragged extents, other data, shapes, counts."""

import time

import numpy as np
import pytest
from binding import bound

from ppl.bind.blame import Findings
from ppl.bind.extents import varying_extents
from ppl.bind.measure import measure
from ppl.bind.numbers import Numbers
from ppl.data.bind import read_data
from ppl.diagnostics import Diagnostics
from ppl.driver import compile_source

RAGGED = """data n: int
data k: int[n]
m ~ Normal(0, 1)
for i in 0..n {
    for j in 0..k[i] { if m > j { factor 1 } }
}
"""


def loop_ids(text: str) -> list[int]:
    return sorted(compile_source(text, "m.ppl", "m").regions.loops)


def test_static_sizes_and_other_data() -> None:
    text = "data n: int\ndata s: real = 2\ndata y: int[n]\nx ~ Normal(0, s)\nobserve y ~ Poisson(exp(x))"
    b = bound(text, {"y": [1, 2]})
    assert b.static == {"n": 2}
    assert b.arrays["s"] == 2.0
    np.testing.assert_array_equal(b.arrays["y"], [1, 2])
    assert b.shapes == {"x": ()}


def test_an_int_that_is_no_size_is_not_static() -> None:
    b = bound("data n: int\ndata k: int\nx: real[n] ~ Normal(0, 1)\nfactor k * x[0]", {"n": 3, "k": 4})
    assert (b.static, b.arrays, b.shapes) == ({"n": 3}, {"k": 4}, {"x": (3,)})


def test_shapes_of_computed_sizes() -> None:
    text = (
        "data n: int\nvar z: real[n + 1, 2 * n]\nvar s: int[n // 2]\nz[0, 0] ~ Normal(0, 1)\n"
        "w: real[n - 3] ~ Normal(0, 1)"
    )
    assert bound(text, {"n": 3}).shapes == {"z": (4, 6), "s": (1,), "w": (0,)}


@pytest.mark.parametrize(("k", "longest"), [([2, 0, 3], 3), ([0, 0], 0), ([], 0), ([-4, 1], 1)])
def test_ragged_loops(k: list[int], longest: int) -> None:
    b = bound(RAGGED, {"n": len(k), "k": k})
    assert b.static == {"n": len(k), f"extent_{loop_ids(RAGGED)[1]}": longest}
    assert b.counts == {0: sum(max(x, 0) for x in k)}


def test_ragged_triangle_of_three_loops() -> None:
    text = (
        "data n: int\nm ~ Normal(0, 1)\n"
        "for i in 0..n { for j in i..n { for l in i..j { if m > l + i * j { factor 1 } } } }"
    )
    n = 7
    inner = [(i, j) for i in range(n) for j in range(i, n)]
    b = bound(text, {"n": n})
    _, second, third = loop_ids(text)
    assert b.static == {"n": n, f"extent_{second}": n, f"extent_{third}": n - 1}
    assert b.counts == {0: sum(j - i for i, j in inner)}


def test_a_condition_on_data_cuts_off_the_bounds_of_a_loop() -> None:
    text = (
        "data n: int\ndata k: int[n]\nm ~ Normal(0, 1)\n"
        "for i in 0..n { if i > 0 { for j in 0..k[i - 1] { if m > j { factor 1 } } } }"
    )
    b = bound(text, {"k": [2, 1, 9]})
    assert b.static[f"extent_{loop_ids(text)[1]}"] == 2
    assert b.counts == {0: 3}


def test_counts() -> None:
    text = (
        "data n: int\nvar z: real[n]\nm ~ Normal(0, 1)\n"
        "if m > 0 { factor 1 }\n"
        "for i in 0..n { z[i] ~ Normal(0, 1)\n for j in 0..3 { if z[i] > j { factor 1 } } }\n"
        "for i in 0..n { if m > i { factor 1 } }"
    )
    assert bound(text, {"n": 5}).counts == {0: 1, 1: 15, 2: 5}


def test_a_guard_on_carried_state_has_no_boundary_before_a_latent_enters() -> None:
    """In the first iteration `up` is a constant, so only the others have boundaries."""
    text = (
        "data n: int\nvar z: real[n]\nup = 0.0\n"
        "for t in 0..n { if up > 1 { factor 1 }\n z[t] ~ Normal(0, 1)\n up = z[t] }"
    )
    assert bound(text, {"n": 5}).counts == {0: 4}
    assert bound(text, {"n": 0}).counts == {0: 0}


def test_a_million_observations_take_well_under_a_second() -> None:
    n = 10**6
    rng = np.random.default_rng(1)
    data = {"y": rng.poisson(3.0, n), "g": rng.integers(0, 10, n), "x": rng.normal(size=n)}
    text = (
        "data n: int\ndata y: int[n]\ndata g: int[n]\ndata x: real[n]\nw: real[10] ~ Normal(0, 1)\n"
        "for i in 0..n { observe y[i] ~ Poisson(exp(w[g[i]] * x[i])) }"
    )
    start = time.process_time()
    bound(text, data)
    assert time.process_time() - start < 2.0  # 0.3 s alone on a core; the bound is for busy ones


MEASURED = {
    "sizes": ("data n: int\nm: real[n * 2 - 1] ~ Normal(0, 1)\nvar s: int[n // 2]\ns[0] = 1\nfactor sum(m)", {"n": 3}),
    "empty": ("data n: int\nm: real[n - 3] ~ Normal(0, 1)\nfor i in 4..n { if m[0] > i { factor 1 } }", {"n": 3}),
    "nested": (
        "data n: int\nm ~ Normal(0, 1)\n"
        "for i in 1..n { for j in 0..n ^ 2 % 4 { if m > i * j { factor 1 } } }", {"n": 5},
    ),
    "under conditions": (
        "data n: int\ndata b: bool = true\nm ~ Normal(0, 1)\n"
        "if n > 2 and not b { for i in 0..n { if m > i { factor 1 } } }\n"
        "if m > 0 and n > 2 { for i in 0..n { if m > i + 0.5 { factor 1 } } }\n"
        "if m > 0 and n < 2 { for i in 0..n { if m > i + 0.7 { factor 1 } } }\n"
        "if not (m > 0 or n > 2) { for i in 0..n { if m > i + 0.9 { factor 1 } } }", {"n": 4},
    ),
    "computed": (
        "data n: int\ndata r: real\nm ~ Normal(0, 1)\nk = if r > 0.5 then n else max(n, 3)\n"
        "for i in min(0, n)..abs(-k) + floor(r / 2) { if m > i { factor 1 } }", {"n": 2, "r": 3.5},
    ),
    "walk": (
        "data n: int\nvar z: real[n]\nz[0] ~ Normal(0, 1)\ns = 0.0\n"
        "for t in 1..n { if s > 0 { s = s - 1 } else { s = z[t - 1] }\nz[t] ~ Normal(s, 1) }", {"n": 6},
    ),
    "looked up": (RAGGED, {"n": 3, "k": [1, 0, 2]}),
    "overflow": ("data n: int\nm ~ Normal(0, 1)\nfor i in 0..n - n * n * n // (n * n) { factor m }", {"n": 3 * 10**6}),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_numbers_measure_as_arrays_do(name: str) -> None:
    """Without numpy a program has the shapes and extents that the evaluator of arrays finds."""
    text, data = MEASURED[name]
    c = compile_source(text, "m.ppl", "m")
    program, definitions = c.regions.program, c.regions.definitions
    numbers = Numbers(program, definitions, read_data(c.data, data, Diagnostics()))
    found = measure(c.regions, c.elaborated.sizes, numbers, Findings(program, definitions, Diagnostics()))
    assert found.extents == varying_extents(program.body, numbers.evaluator)
    assert found.shapes == {x.name: numbers.evaluator.dims(x.type) for x in (*program.sites, *program.arrays)}


@pytest.mark.parametrize("name", sorted(set(MEASURED) - {"looked up", "overflow"}))
def test_numbers_are_enough_for_most_programs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, data = MEASURED[name]

    def refuse(_: Numbers) -> None:
        raise AssertionError("numpy is not needed")

    monkeypatch.setattr(Numbers, "evaluator", property(refuse))
    c = compile_source(text, "m.ppl", "m")
    program, definitions = c.regions.program, c.regions.definitions
    numbers = Numbers(program, definitions, read_data(c.data, data, Diagnostics()))
    assert measure(c.regions, c.elaborated.sizes, numbers, Findings(program, definitions, Diagnostics()))
