"""Every command and snippet in the README and in `docs/`: run, and compared with the output shown.

Blocks marked ppl must compile, python blocks run, console blocks give the output below their command. The sh blocks set
an environment up; `.ci/run` runs those of the README on a clean copy.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ppl
from ppl.diagnostics import CODES
from ppl.language.distributions import DISTRIBUTIONS
from ppl.language.functions import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str) -> list[object]:
    """(page, block) of every fenced block in a language."""
    return [
        pytest.param(page, body, id=f"{page.stem}-{k}")
        for page in PAGES
        for k, (tag, body) in enumerate(FENCE.findall(text_of(page)))
        if tag == language
    ]


@pytest.mark.parametrize(("page", "body"), blocks("ppl"))
def test_programs_compile(page: Path, body: str) -> None:
    assert ppl.compile(body, page.stem).source_code


@pytest.mark.parametrize(("page", "body"), blocks("python"))
def test_python_runs(page: Path, body: str) -> None:
    # In a process of its own: a snippet starts with nothing imported and leaves nothing behind.
    done = subprocess.run([sys.executable, "-c", body], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(("page", "body"), blocks("console"))
def test_commands_print_what_is_shown(page: Path, body: str) -> None:
    first, shown = body.split("\n", 1)
    prompt, program, *arguments = shlex.split(first)
    assert (prompt, program) == ("$", "pplc")
    code = f"import sys\nfrom ppl.cli import main\nsys.exit(main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if arguments[0] == "infer":
        compare_fits(done.stdout, shown)
    elif arguments[0] == "gradcheck":
        compare_checks(done.stdout, shown)
    else:
        assert done.stdout.rstrip() == shown.rstrip()


def compare_fits(printed: str, shown: str) -> None:
    """The table and the ELBO agree to 0.1; how long it took and how the last steps went may differ."""

    def facts(text: str) -> list[str]:
        lines = text.strip().splitlines()
        return lines[: next(k for k, line in enumerate(lines) if line.startswith("ELBO")) + 1]

    a, b = facts(printed), facts(shown)
    assert [NUMBER.sub("", x).split() for x in a] == [NUMBER.sub("", x).split() for x in b]
    for x, y in zip(a, b, strict=True):
        assert [float(v) for v in NUMBER.findall(x)] == pytest.approx([float(v) for v in NUMBER.findall(y)], abs=0.1)


def compare_checks(printed: str, shown: str) -> None:
    """The same rows with the same marks, gradients that agree to 0.1, and the same verdicts."""

    def rows(text: str) -> list[list[str]]:
        return [line.split() for line in text.strip().split("\n\n")[0].splitlines()]

    (head, *a), (same, *b) = rows(printed), rows(shown)
    assert head == same
    for x, y in zip(a, b, strict=True):
        if x[0] == "*":
            assert x == y
            continue
        assert (x[0], [v[-1] == "*" for v in x]) == (y[0], [v[-1] == "*" for v in y])
        gradients = [[float(row[k]) for k in (1, 3, 5)] for row in (x, y)]
        assert gradients[0] == pytest.approx(gradients[1], abs=0.1)
    verdicts = [re.findall(r"biased in \d+ of \d+|agrees with the reference in all \d+", t) for t in (printed, shown)]
    assert verdicts[0] == verdicts[1] and verdicts[0]


# ------------------------------------------------------------------------------------------------------------- tables


def test_setup_commands_are_two_single_lines() -> None:
    readme = text_of(ROOT / "README.md")
    found = [body.strip() for tag, body in FENCE.findall(readme) if tag == "sh"]
    assert len(found) == 2 and not any("\n" in c for c in found)
    assert "pplc infer programs/textmsg.ppl" in found[0] and "pytest" in found[1]


def test_every_diagnostic_is_listed() -> None:
    rows = re.findall(r"^\| (PPL\d+) \| (.*) \|$", text_of(ROOT / "docs" / "diagnostics.md"), re.MULTILINE)
    assert rows == list(CODES.items())


def test_every_distribution_is_listed_with_its_arguments() -> None:
    rows = re.findall(r"^\| `(\w+\([\w, ]+\))` \|", text_of(ROOT / "docs" / "language.md"), re.MULTILINE)
    assert rows == [f"{d.name}({', '.join(p.name for p in d.params)})" for d in DISTRIBUTIONS.values()]


def test_every_function_is_listed() -> None:
    table = text_of(ROOT / "docs" / "language.md").split("| functions | |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)", table)) == set(FUNCTIONS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = text_of(page)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:ppl|tests|docs|programs|benchmarks|grammar|stdlib)/[\w./-]+)`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_codes_that_are_named_exist(page: Path) -> None:
    assert not set(re.findall(r"PPL\d{3}", text_of(page))) - set(CODES)


def test_refusals_are_as_the_reference_says() -> None:
    """The table of what is not supported yet, row by row."""
    examples = {
        "PPL602": "x ~ Normal(0, 1)\ny ~ Normal(0, 1)\nfactor x // y",
        "PPL604": "k ~ Poisson(2)",
        "PPL605": "x ~ Exponential(1)\nnoise e ~ Gamma(x, 1)\nfactor e",
        "PPL606": "data a: real[2, 2]\nx ~ Normal(0, 1)\nfactor sum(a[0..1, 0..1]) * x",
    }
    section = text_of(ROOT / "docs" / "language.md").split("## Not supported yet")[1]
    assert set(re.findall(r"PPL\d{3}", section)) == set(examples)
    for code, source in examples.items():
        with pytest.raises(ppl.PplError) as caught:
            ppl.compile(source)
        assert [d.code for d in caught.value.diagnostics] == [code]
