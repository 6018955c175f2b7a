"""Defaults and sizes that no data can mend are found when a program is checked, the others when it is bound."""

from __future__ import annotations

import pytest

import ppl

WRONG = [
    ("data x: real[3] = [1, 2]", "PPL210", "has 2 values, expected an array of 3 values"),
    ("data x: real[2, 2] = [1, 2]", "PPL210", "has shape [2], expected an array of shape [2, 2]"),
    ("data x: real[2, 2] = [[1, 2], [3]]", "PPL202", "element 1 has shape [1]"),
    ("data x: real[3] = 1", "PPL210", "is the single value 1, expected an array of 3 values"),
    ("data x: real = [1, 2]", "PPL210", "has shape [2], expected a finite number"),
    ("data x: int[3] = [i for i in 0..4]", "PPL210", "has 4 values"),
    ("data k: int = 2.5", "PPL210", "is 2.5, expected an int"),
    ("data k: int = true", "PPL210", "is true, expected an int"),
    ("data b: bool = 1", "PPL210", "is 1, expected true or false"),
    ("data x: int[2] = [1, 2.5]", "PPL210", "is an array of real, expected an array of int"),
    ("data k: real = inf", "PPL210", "is Infinity, expected a finite number"),
    ("data k: real = -exp(500) * exp(500)", "PPL210", "is -Infinity"),
    ("data k: real = 5 / 0", "PPL211", "a division by zero"),
    ("data k: int = 10 ^ 30", "PPL211", "an int beyond 64 bits"),
    ("data x: real[2 - 3] = [1]", "PPL211", "a size must not be negative"),
    ("data k: int = k", "PPL101", "`k` has no value here"),
    ("z ~ Normal(0, 1)\ndata k: real = z", "PPL101", "`z` has no value here"),
    ("data k: real = exp(x=3)", "PPL112", "`exp` takes no named arguments"),
    ("data k: real = exp(1, 2)", "PPL203", "`exp` with 2 arguments"),
    ("fn f(x: real) -> real { return x }\ndata k: real = f(3)", "PPL606", "`f` cannot be used"),
    # whatever the values of names
    ("data n: int\ndata k: int = n / 2", "PPL210", "is a real, expected an int"),
    ("data n: int\ndata k: int = (n + 0.5) * 2", "PPL210", "is a real, expected an int"),
    ("data n: int\ndata b: bool = n", "PPL210", "is an int, expected a bool"),
    ("data n: int\ndata k: int = n > 2", "PPL210", "is a bool, expected an int"),
    ("data x: real[3]\ndata k: real = x", "PPL210", "is an array of real, expected a real"),
    ("data x: real[3]\ndata k: int = x[0]", "PPL210", "is a real, expected an int"),
    ("data x: real[3, 2]\ndata k: real[2] = x", "PPL210", "real with 2 dimensions, expected an array of real"),
    ("data x: real[3]\ndata k: real = x[0..2]", "PPL210", "is an array of real, expected a real"),
    ("data n: int\ndata k: int = mean([n, 2])", "PPL210", "is a real, expected an int"),
    ("data n: int\ndata k: int[2] = [n, sqrt(n)]", "PPL210", "is an array of real, expected an array of int"),
    ("data n: int\ndata k: int = [i + n for i in 0..3]", "PPL210", "is an array of int, expected an int"),
    ("data n: int\ndata k: real = max(n, lgamma(n))", "PPL606", "`lgamma` cannot be used"),
]  # fmt: skip

RIGHT = [
    "data n: int = 3\ndata x: real[n] = [i * 1.0 for i in 0..n]",
    "data y: real = -2 ^ 2\ndata b: bool = not true\ndata s: real[2, 2] = [[1, 2], [3.5, 4]]",
    "data x: real[0] = []\ndata n: int = 0\ndata y: real[n] = []",
    "data n: int\ndata x: real[n] = [1, 2, 3]\ndata m: int = length(x) + n\ndata k: int = floor(n / 2)",
    "data b: bool\ndata x: real[2]\ndata h: real = if b then 1 else x[0]\ndata k: real = abs(-x[1]) + sum(x)",
    "data x: real[2] = [1, 2]\ndata y: real = x[5]",  # `y` may be given
    "data n: int = 2\ndata x: real[n] = [1, 2, 3]",  # right with n = 3
    "data n: int\ndata x: int[n]\ndata k: int = x[n // 2] % 3 + min(x) - max(n, 2)\ndata f: real = n",
]


@pytest.mark.parametrize(("source", "code", "said"), WRONG, ids=lambda x: None)
def test_what_no_data_can_mend_is_found_by_check(source: str, code: str, said: str) -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(f"{source}\nw ~ Normal(0, 1)\n")
    assert not isinstance(caught.value, ppl.DataError)
    (found,) = caught.value.diagnostics
    assert (found.code, found.severity) == (code, "error")
    assert said in found.message
    assert found.span is not None


@pytest.mark.parametrize("source", RIGHT)
def test_what_data_may_mend_is_left_to_binding(source: str) -> None:
    ppl.compile(f"{source}\nw ~ Normal(0, 1)\n")


def test_every_wrong_declaration_is_reported() -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile("data a: int = 1.5\ndata b: int\ndata c: real[2] = [1]\ndata d: bool = b\nw ~ Normal(0, 1)\n")
    assert [d.span.line for d in caught.value.diagnostics if d.span] == [1, 3, 4]
