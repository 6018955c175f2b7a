"""Guards without a boundary term leave no code for one in the emitted module."""

from __future__ import annotations

import pathlib
import re

import pytest

import ppl

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALIVE = ("boundary", "marginalised")

DEAD = """
data n: int = 4
data day: real[n] = [1, 2, 3, 4]
x ~ Normal(0, 1)
y ~ Normal(0, 1)
noise e ~ Normal(0, 1)
for i in 0..n {
    hinge = if y < day[i] then 0 else y - day[i]
    heads = if e > 0.1 * day[i] then e else 0
    early = if day[i] < 2.5 then 1 else 0
    observe day[i] ~ Normal(abs(x) + hinge + heads + early + max(x, y), 1)
}
"""
PROGRAMS = {"dead": DEAD} | {
    p.stem: p.read_text() for p in sorted((ROOT / "benchmarks" / "literature").glob("*.ppl"))
}  # fmt: skip


def functions(source: str) -> set[tuple[str, int]]:
    """Text and line of the guards that have a function `boundary_...`."""
    found = re.findall(r'^def boundary_.*\n    """(.*?) \(:(\d+)\)', ppl.compile(source).source_code, re.MULTILINE)
    return {(text, int(line)) for text, line in found}


def guards(source: str, alive: bool) -> set[tuple[str, int]]:
    found = ppl.compile(source).explain()["guards"]
    return {
        (g["text"], g["span"]["line"]) for g in found if (g["status"] in ALIVE) == alive and g["status"] != "merged"
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_are_those_of_guards_that_move(name: str) -> None:
    assert functions(PROGRAMS[name]) == guards(PROGRAMS[name], alive=True)


def test_programs_without_moving_guards_have_no_boundary_code() -> None:
    model = ppl.compile(DEAD)
    statuses = {g["status"] for g in model.explain()["guards"]}
    assert {"no-jump", "fixed"} <= statuses and not statuses & set(ALIVE)
    code = model.source_code
    assert "surface.total" not in code and "at.root" not in code and "surface.surface" not in code
    assert code.rstrip().endswith("return jnp.asarray(0.0)")


def test_the_dead_guards_of_the_literature_are_found() -> None:
    """Of `cheating` the two families that noise alone decides, of three; of `walk` that of abs, half of all guards."""
    assert len(guards(PROGRAMS["cheating100"], False)) == 2 and len(guards(PROGRAMS["cheating100"], True)) == 1
    assert [text for text, _ in guards(PROGRAMS["walk15"], False)] == ["abs(z[i])"]
