"""What becomes of each guard: class, line, effect and status."""

from __future__ import annotations

import pytest

import ppl

HEAD = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nr ~ Exponential(1)\n"


def guards(source: str) -> dict[str, tuple[str, str, str, str]]:
    found = ppl.compile(source).explain()["guards"]
    return {g["text"]: (g["status"], g["kind"], g["direction"], g["effect"]) for g in found}


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ("x < 0", ("boundary", "affine", "x", "local")),
        ("r < 1.5", ("boundary", "invertible", "r", "local")),
        ("2 * x - 3 * y + 0.5 > 0", ("boundary", "affine", "the normal in x, y", "local")),
        ("x * r > 1", ("boundary", "affine", "x", "local")),
        ("x / 2 - (y - 1) * 4 < r * 3", ("boundary", "affine", "the normal in x, y", "local")),
        ("x^2 + y^2 < 1", ("boundary", "polynomial", "x and y", "local")),
        ("x^3 + y^3 > x * y + 0.2", ("boundary", "polynomial", "x and y", "local")),
        ("exp(x) + exp(y) < 2", ("boundary", "monotone", "x", "local")),
        ("sin(3 * x) > 0.5", ("boundary", "smooth", "x", "local")),
        ("x^2 * y + y^2 * x > 1", ("boundary", "polynomial", "x and y", "local")),
    ],
)
def test_classes(guard: str, expected: tuple[str, str, str, str]) -> None:
    assert (
        guards(f"{HEAD}m = if {guard} then 1 else 0\nobserve 1.0 ~ Normal(m + 0 * (x + y + r), 1)\n")[guard] == expected
    )


def test_the_variable_of_a_comprehension_in_a_condition_is_free_after_it() -> None:
    source = "if sum([if x > i then 1.0 else 0.0 for i in 0..2]) > 0.6 { factor 1 }\nfor i in 0..3 { factor 0.1 * i }\n"
    assert ppl.compile(HEAD + source)


@pytest.mark.parametrize("twin", ["x >= 0", "-2 * x > 0", "3 * x < 0", "0 > x", "x + 1 < 1", "2 * (x - 1) + 2 <= 0"])
def test_twins_are_merged(twin: str) -> None:
    source = f"{HEAD}a = if x < 0 then 1 else 3\nb = if {twin} then 2 else -1\nobserve 2.0 ~ Normal(a * b + 0 * x, 1)\n"
    found = guards(source)
    assert found["x < 0"][0] == "boundary"
    assert found[twin][0] == "merged"


def test_a_guard_that_no_loop_variable_moves_is_decided_once() -> None:
    source = (
        f"{HEAD}a = if x < 0 then 1 else 3\nfor i in 0..5 {{ observe 2.0 ~ Normal(if x < 0 then a + x else i, 1) }}\n"
    )
    found = ppl.compile(source).bind().guards
    assert [g.count for g in found if g.status == "boundary"] == [1]
    assert [g.status for g in found] == ["boundary", "merged"]


@pytest.mark.parametrize(
    "expression",
    [
        "if x < 0 then -x else x",
        "if x < y then 0 else 2 * (x - y)",
        "if x < 1 then x else if x < 2 then 2 * x - 1 else 3 * x - 3",
        "if x > 1 and y < 5 then (x - 1)^2 else 0",
        "if x < 0 then x * x else x^3",
    ],
)
def test_continuous_branches_need_no_boundary(expression: str) -> None:
    found = guards(f"{HEAD}m = {expression}\nobserve 1.0 ~ Normal(m + 0 * (x + y + r), 1)\n")
    first = next(iter(found.values()))
    assert first[0] == "no-jump"


@pytest.mark.parametrize(
    "expression", ["if x < 0 then -x else x + 0.1", "if x < 1 then x else if x < 2 then 2 * x else 9"]
)
def test_what_jumps_is_not_called_continuous(expression: str) -> None:
    found = guards(f"{HEAD}m = {expression}\nobserve 1.0 ~ Normal(m + 0 * (x + y + r), 1)\n")
    assert all(g[0] == "boundary" for g in found.values())


@pytest.mark.parametrize(
    ("guard", "parts"),
    [
        ("x * y > 0", {"x > 0", "y > 0"}),
        ("x / y < 1", {"-x + y > 0", "y > 0"}),
        ("max(x, y) > 0.8", {"x - 0.8 > 0", "y - 0.8 > 0"}),
        ("abs(x) < 2 * y", {"-x + 2 * y > 0", "x + 2 * y > 0"}),
        ("x^2 - x < 0.75", {"x - 1.5 > 0", "x + 0.5 > 0"}),
        ("x^2 > 0", set()),
        ("exp(x) < 1", {"-x > 0"}),
        ("log(r) > 0", {"r - 1 > 0"}),
        ("inv_logit(x) > 1.5", set()),
    ],
)
def test_guards_with_several_components_or_behind_a_function_are_split(guard: str, parts: set[str]) -> None:
    source = f"{HEAD}m = if {guard} then 1 else 0\nobserve 1.0 ~ Normal(m + 0 * (x + y + r), 1)\n"
    found = [g for g in ppl.compile(source).explain()["guards"] if g["status"] == "boundary"]
    assert {g["text"].split(",")[0] for g in found} == parts


def test_a_guard_on_a_value_decided_along_its_own_line_is_split_by_branch() -> None:
    source = "x ~ Normal(0, 1)\nz = if x < 0 then x + 1 else x - 2\nm = if z > 0.3 then 1 else 0\n"
    found = ppl.compile(source + "observe 1.0 ~ Normal(m, 1)\n").explain()["guards"]
    assert [g["text"].split(",")[0] for g in found] == ["x < 0", "x + 0.7 > 0", "x - 2.3 > 0"]


def test_effects() -> None:
    family = "data n: int = 4\nc ~ Uniform(0, n)\n"
    local = family + "for i in 0..n { observe 1.0 ~ Normal(if i < c then 1 else 2, 1) }\n"
    assert guards(local)["i < c"][3] == "local"
    total = "data n: int = 4\nt ~ Normal(0, 1)\nnoise a: real[n] ~ Normal(0, 1)\ns = 0\n"
    total += "for i in 0..n { if a[i] > t + i { s = s + 1 } }\nobserve 2 ~ Binomial(n, (s + 0.5) / (n + 1))\n"
    assert guards(total)["a[i] > t + i"][2:] == ("a[i] (noise)", "incremental")
    carried = "var z: real[4]\nz[0] ~ Normal(0, 1)\non = 1\nfor t in 1..4 { if z[t - 1] < 0 { on = 0 }\n"
    carried += "z[t] ~ Normal(on, 1) }\n"
    assert guards(carried)["z[t - 1] < 0"][3] == "modes"


def test_arrays_passed_from_loop_to_loop_stay_local() -> None:
    head = "data n: int = 4\ndata y: real[n] = [1, 2, 3, 4]\nc ~ Uniform(0, n)\n"
    vector = head + "mu = [if i < c then 1 else 2 for i in 0..n]\nobserve y ~ Normal(mu, 1)\n"
    assert guards(vector)["i < c"][3] == "local"
    filled = head + "var mu: real[n]\nfor i in 0..n { mu[i] = if i < c then 1 else 2 }\n"
    filled += "for i in 0..n { observe y[i] ~ Normal(mu[i], 1) }\nreport first = mu[0]\n"
    assert guards(filled)["i < c"][3] == "local"


def test_guards_that_no_parameter_moves() -> None:
    source = "x ~ Normal(0, 1)\nnoise e ~ Normal(0, 1)\nk = if x > 0 then 1.0 else 2.0\n"
    source += "a = if e > 0 then 1 else 2\nb = if k > 1.5 then 1 else 2\nobserve 1.0 ~ Normal(a * b + x + e, 1)\n"
    found = guards(source)
    assert found["e > 0"][0] == "fixed"
    assert found["k > 1.5"][0] == "fixed"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("m = x // y", "PPL602"),
        ("m = if x == 0 then 1 else 0", "PPL209"),
        ("b ~ Poisson(0.5)\nm = b", "PPL604"),
    ],
)
def test_what_is_not_supported_ends_in_a_diagnostic(program: str, code: str) -> None:
    with pytest.raises(ppl.PplError) as error:
        ppl.compile(f"{HEAD}{program}\nobserve 1.0 ~ Normal(m + 0 * (x + y + r), 1)\n")
    assert [d.code for d in error.value.diagnostics if d.severity == "error"] == [code]


def test_emitted_code_does_not_grow_with_the_data_and_names_the_model() -> None:
    source = "data n: int\ndata y: real[n]\nc ~ Uniform(0, n)\n"
    source += "for i in 0..n { observe y[i] ~ Normal(if i < c then 1 else 2, 1) }\n"
    model = ppl.compile(source)
    assert "if i < c" not in model.source_code  # the text is code, the comment says where it is from
    assert "i < c" in model.source_code
    assert model.source_code == ppl.compile(source).source_code
    model.bind({"y": [1.0] * 3})
    model.bind({"y": [1.0] * 3000})


def test_functions_that_jump_are_guards_with_levels() -> None:
    found = guards(f"{HEAD}m = floor(2 * x) + round(y) + ceil(r) + x // 2\nobserve 1.0 ~ Normal(m, 1)\n")
    assert {k: v[:3] for k, v in found.items()} == {
        "floor(2 * x)": ("boundary", "affine", "x"),
        "round(y)": ("boundary", "affine", "y"),
        "ceil(r)": ("boundary", "invertible", "r"),
        "x // 2": ("boundary", "affine", "x"),
    }


def test_an_index_that_can_leave_its_array_is_refused() -> None:
    head = "data n: int = 3\ndata y: real[n] = [1, 2, 3]\nt ~ Uniform(0, n)\nx ~ Normal(0, 1)\n"
    for index in ("floor(t)", "clamp(floor(x), 0, n - 1)", "floor(x) % n", "floor(x % n)", "n - 1 - floor(t)",
                  "if x > 0 then 1 else 2", "max(min(round(x), 2), 0)", "floor(n * inv_logit(x))"):  # fmt: skip
        ppl.compile(f"{head}observe 1.0 ~ Normal(y[{index}], 1)\n").bind()
    for index, reach in (("floor(x)", "any integer"), ("floor(t) + 1", "from 1 to 3"), ("ceil(t)", "from 1 to 3"),
                         ("round(t)", "from 0 to 3"), ("-floor(t)", "from -2 to 0")):  # fmt: skip
        with pytest.raises(ppl.PplError) as error:
            ppl.compile(f"{head}observe 1.0 ~ Normal(y[{index}], 1)\n").bind()
        (found,) = error.value.diagnostics
        assert found.code == "PPL603" and reach in found.message and found.hint is not None, index
