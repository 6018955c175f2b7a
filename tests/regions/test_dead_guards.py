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


FLIPS, SAME, NOISE = "its value changes only where other guards", "its outcome is the same", "it depends on noise alone"
UNMOVED = {
    "counts alone": ("k ~ Binomial(3, 0.5)\n", "0.5 * k > 1", "fixed", FLIPS),
    "an integer part": ("", "0.5 * floor(x) > 0.3", "fixed", FLIPS),
    "what a branch chose": ("", "(if x > 0 then 1 else 2) > 1.5", "fixed", FLIPS),
    "sampled noise": ("noise e ~ Gamma(2, 1)\n", "e > 1", "fixed", NOISE),
    "noise and data": ("data a: real = 2\nnoise e ~ StudentT(3, 0, 1)\n", "a * e > 1", "fixed", NOISE),
    "counts of noise": ("noise e ~ Poisson(2)\n", "e > 1", "fixed", NOISE),
    "what cancels": ("", "x - x > 1", "fixed", SAME),
    "a factor of zero": ("", "0 * x > 1", "fixed", SAME),
    "a square and more": ("", "x^2 + 1 > 0", "fixed", SAME),
    "a bound never passed": ("", "clamp(x, 0, 1) > 2", "fixed", SAME),
    "data": ("data a: real = 2\n", "a > 1", "data-only", "it depends on data alone"),
}


@pytest.mark.parametrize("name", UNMOVED)
def test_a_guard_that_no_coordinate_moves_is_accounted_for(name: str) -> None:
    """There is no diagnostic for it: nothing is wrong with it."""
    before, guard, status, reason = UNMOVED[name]
    model = ppl.compile(f"{before}x ~ Normal(0, 1)\nfactor if {guard} then 1 else x\n")
    found = [g for g in model.explain()["guards"] if g["text"] == guard]
    assert [g["status"] for g in found] == [status] and found[0]["reason"].startswith(reason)
    assert not model.diagnostics


def test_pieces_of_a_guard_are_named_in_the_words_of_the_program() -> None:
    model = ppl.compile("k ~ Bernoulli(0.5)\nx ~ Normal(0, 1)\nfactor if k * x > 0 then 1 else sign(x) / (x - k)\n")
    texts = " ".join(g["text"] for g in model.explain()["guards"])
    assert "k > 0, of k * x > 0" in texts and "x - k > 0, a pole of" in texts
    assert "level " not in texts and "guard " not in texts
