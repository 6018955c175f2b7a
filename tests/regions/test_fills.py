"""Elements of `var` arrays filled on some paths of a branch."""

from __future__ import annotations

import pytest

import ppl

HEAD = "x ~ Normal(0, 1)\nvar z: real[3]\n"


@pytest.mark.parametrize(
    "fill",
    [
        "if x > 0 { z[0] = 1.0 }",
        "if x > 0 { z[0] = 1.0 } else if x > -1 { z[0] = 2.0 }",
        "for i in 0..3 { if x > i { z[i] = x } }",
        "if x > 0 { z[0] ~ Normal(0, 1) } else { z[1] = 2.0 }",
    ],
)
def test_an_element_without_a_value_on_some_path_is_refused(fill: str) -> None:
    with pytest.raises(ppl.PplError) as error:
        ppl.compile(f"{HEAD}{fill}\nfactor z[0]\n")
    assert {d.code for d in error.value.diagnostics} == {"PPL306"}


@pytest.mark.parametrize(
    "fill",
    [
        "z[0] = x",
        "if x > 0 { z[0] = 1.0 } else { z[0] = 2.0 }",
        "if x > 0 { z[0] = 1.0 } else if x > -1 { z[0] = 2.0 } else { z[0] = 3.0 }",
        "for i in 0..3 { if x > i { z[i] = x } else { z[i] = 0 } }",
        "if x > 0 { z[0] ~ Normal(0, 1) } else { z[0] = 2.0 }",
        "for i in 0..3 { if i < 1 { z[i] = x } }",
    ],
)
def test_an_element_with_a_value_on_every_path_is_accepted(fill: str) -> None:
    ppl.compile(f"{HEAD}{fill}\nfactor z[0]\n")
