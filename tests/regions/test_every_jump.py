"""Everything in a program that can jump ends as a boundary, or with a reason why it needs no term, in `explain`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jumps import jumps_of

import ppl
from ppl.diagnostics import Diagnostics
from ppl.driver import imports
from ppl.syntax import parse

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "programs", "tests/conformance", "tests/programs/cases", "tests/syntax/programs", "tests/oracle/kinds",
    "tests/oracle/regressions", "benchmarks/literature", "benchmarks/calibration",
)  # fmt: skip
FENCE = re.compile(r"^```ppl\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUSES = ("boundary", "merged", "marginalised", "no-jump", "fixed", "data-only", "score")
KINDS = ("affine", "invertible", "polynomial", "monotone", "smooth", "discrete", "-")
EFFECTS = ("local", "nearby", "incremental", "modes", "global", "subset", "-")


def programs() -> Iterator[object]:
    for folder in FOLDERS:
        found = sorted((ROOT / folder).glob("*.ppl"))
        assert found, folder
        for path in found:
            yield pytest.param(path.read_text(encoding="utf-8"), path.parent, id=f"{folder}/{path.stem}")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for k, text in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(text, ROOT, id=f"{page.stem}-{k}")


def unaccounted(text: str, folder: Path = ROOT, without: str = "") -> list[str]:
    """What jumps in a program and is not in its `explain`; `without` the entries of that text."""
    guards = [g for g in ppl.compile(text, "m", folder).explain()["guards"] if g["text"] != without]
    for g in guards:
        assert g["status"] in STATUSES and g["kind"] in KINDS and g["effect"] in EFFECTS
        assert len(g["reason"]) > 15 and g["text"]
        if g["status"] in ("boundary", "marginalised"):
            assert "-" not in (g["kind"], g["direction"], g["effect"])
    starts = {(g["span"]["file"], g["span"]["line"], g["span"]["column"]) for g in guards}
    sink = Diagnostics({"m.ppl": text})
    tree = parse(text, "m.ppl", sink)
    missing = [j for j in jumps_of(tree, imports(tree, str(folder), sink))
               if (j.span.file, j.span.line, j.span.column) not in starts]  # fmt: skip
    return [f"{j.kind} at {j.span.file}:{j.span.line}:{j.span.column}" for j in missing]


@pytest.mark.parametrize(("text", "folder"), list(programs()))
def test_every_jump_is_accounted_for(text: str, folder: Path) -> None:
    assert not unaccounted(text, folder)


HEAD = "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nm: real[3] ~ Normal(0, 1)\n"
# One thing that jumps each: the program, what jumps, its text in `explain`.
JUMPS = {
    "comparison": ("if x + y > 1 { factor x }", "comparison", "x + y > 1"),
    "second comparison of a chain": ("if 0 < x < y { factor x }", "comparison", "x < y"),
    "comparison in a function": ("fn f(a: real) -> real { return if a > 2 then a else 0 }\nfactor f(x)", "comparison",
                                 "a > 2"),
    "comparison of ints": ("k = floor(x)\nif k == 1 { factor y }", "comparison", "k == 1"),
    "comparison of data": ("data n: int\nif n > 1 { factor y }", "comparison", "n > 1"),
    "floor": ("factor y * floor(x)", "function", "floor(x)"),
    "ceil": ("factor y * ceil(2 * x)", "function", "ceil(2 * x)"),
    "round": ("z = x + y\nfactor round(z)", "function", "round(z)"),
    "sign": ("factor y * sign(x)", "function", "sign(x)"),
    "step": ("factor y * step(x)", "function", "step(x)"),
    "step of an int": ("k = floor(x)\nfactor y * step(k)", "function", "step(k)"),
    "floor under a condition": ("k = 0\nif x > 0 { k = 1 }\nfactor y * sign(k)", "function", "sign(k)"),
    "integer division": ("z = x // 2\nfactor z", "division", "x // 2"),
    "modulo": ("z = x % 2\nfactor z", "division", "x % 2"),
    "integer division of an int": ("k = floor(x)\nz = k // 2\nfactor z", "division", "k // 2"),
    "modulo of an int": ("k = floor(x)\nz = k % 2\nfactor z", "division", "k % 2"),
    "index": ("factor m[clamp(floor(x), 0, 2)]", "index", "m[clamp(floor(x), 0, 2)]"),
    "index by a discrete latent": ("k ~ Binomial(2, 0.5)\nfactor m[k]", "index", "m[k]"),
    "discrete latent": ("k ~ Binomial(2, 0.5)\nfactor k * x", "latent", "k ~ Binomial(2, 0.5)"),
    "array of discrete latents": (
        "k: int[2] ~ Bernoulli(0.5)\nfactor k[0] * x", "latent", "k: int[2] ~ Bernoulli(0.5)",
    ),
    "truncated count": ("k ~ Poisson(2) in (0, 9)\nfactor k * x", "latent", "k ~ Poisson(2) in (0, 9)"),
    "while": ("z = 0.0\nwhile z < y limit 3 { z = z + 0.5 }\nfactor z", "while", "z < y"),
    "for while": ("z = 0.0\nfor i in 0..3 while z < y { z = z + 0.5 }\nfactor z", "while", "z < y"),
}  # fmt: skip


@pytest.mark.parametrize("name", JUMPS)
def test_what_explain_leaves_out_is_seen(name: str) -> None:
    text, kind, entry = JUMPS[name]
    assert unaccounted(HEAD + text) == []
    missing = unaccounted(HEAD + text, without=entry)
    assert [m.split()[0] for m in missing if m.startswith(kind)] == [kind], missing


def entries(text: str, budget: int | None = 64) -> list[tuple[str, str]]:
    return [(g["text"], g["status"]) for g in ppl.compile(HEAD + text).explain(boundary_budget=budget)["guards"]]


def test_a_comparison_has_one_entry_for_each_boundary() -> None:
    assert [t for t, _ in entries("if x / y < 1 { factor x }")] == [f"{p} > 0, of x / y < 1" for p in ("-x + y", "y")]
    assert [t for t, _ in entries("if x * y > 0 { factor x }")] == [f"{p} > 0, of x * y > 0" for p in "xy"]
    assert [t for t, _ in entries("factor y * sign(x)")] == ["sign(x)"]


def test_a_function_has_an_entry_for_each_boundary_of_its_calls() -> None:
    text = "fn f(a: real) -> real { return if a > 2 then a else 0 }\nfactor f(x) + f(y) + f(x)"
    assert entries(text) == [("a > 2", "boundary"), ("a > 2", "boundary")]


@pytest.mark.parametrize(("text", "reason"), [
    ("k ~ Binomial(2, 0.5)\nif k == 1 { factor x }", "its value changes only where other guards flip"),
    ("noise k ~ Binomial(2, 0.5)\nif k == 1 { factor x }", "it depends on noise alone, so no parameter moves it"),
    ("if x * x + 1 > 0 { factor x }", "its outcome is the same whatever the latents are"),
    ("data k: int\nif k == 1 { factor x }", "it depends on data alone"),
])  # fmt: skip
def test_conditions_without_a_boundary_have_their_reason(text: str, reason: str) -> None:
    assert ppl.compile(HEAD + text).explain()["guards"][-1]["reason"] == reason


def test_a_subset_is_one_of_lines() -> None:
    text = (
        "w: real[20] ~ Normal(0, 1)\ns = 0.0\n"
        "for i in 0..COUNT { if sin(sum(w)) + s > 0.1 * i { s = 0.5 * s + x } else { s = 0.9 * s } }\nfactor s"
    )
    (guard,) = ppl.compile(HEAD + text.replace("COUNT", "10")).explain()["guards"]
    assert guard["effect"] == "subset" and guard["count"] == 10
    assert "64 of its 200 lines, 20 for each instance, stand for all" in guard["reason"]
    (guard,) = ppl.compile(HEAD + text.replace("COUNT", "3")).explain()["guards"]
    assert guard["effect"] == "global"
    (guard,) = ppl.compile(HEAD + text.replace("COUNT", "90").replace("sum(w)", "x")).explain()["guards"]
    assert "64 of its" in guard["reason"] and guard["effect"] == "subset"
