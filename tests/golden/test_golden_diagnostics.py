"""What the compiler says about programs with one fault each, beyond syntax: ``tests/bad/semantic``."""

from __future__ import annotations

from pathlib import Path

import golden
import pytest

import ppl
from ppl.diagnostics import CODES

BAD = sorted((Path(__file__).parents[1] / "bad" / "semantic").glob("*.ppl"))
# Faults with more than one place, each worth a message of its own.
SEVERAL = {"functions_of_other_languages": 7, "mutual_recursion": 2, "several_faults": 5}


def refusal(path: Path) -> ppl.PplError:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile(path.read_text(encoding="utf-8"), path.stem, path.parent)
    return caught.value


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_wording(path: Path, pytestconfig: pytest.Config) -> None:
    found = refusal(path)
    for d in found.diagnostics:
        assert d.code in CODES and not d.code.startswith("PPL0")
        assert d.severity == "error" and d.span is not None
    assert len(found.diagnostics) == SEVERAL.get(path.stem, 1), "one fault, one message"
    golden.check(path.with_suffix(".expected"), f"{found}\n", pytestconfig)


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 100
    assert {p.stem for p in BAD} == {p.stem for p in BAD[0].parent.glob("*.expected")}


def test_every_code_of_the_checks_has_a_program() -> None:
    """Codes that `pplc check` can give without data. The others need data or an option, or are tested with the fit."""
    at_bind_only = {"PPL306", "PPL309", "PPL402", "PPL403", "PPL404"}
    with_option = {"PPL406"}
    wanted = {c for c in CODES if c[3] in "123467" and c not in at_bind_only | with_option}
    found = {d.code for path in BAD for d in refusal(path).diagnostics}
    assert wanted <= found, f"no program for {sorted(wanted - found)}"


def test_every_code_is_used_somewhere() -> None:
    package = Path(ppl.__file__).parent
    text = "".join(p.read_text(encoding="utf-8") for p in package.rglob("*.py") if p.name != "diagnostics.py")
    assert not [c for c in CODES if f'"{c}"' not in text]
