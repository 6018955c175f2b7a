"""The oracle against itself and against the compiler: generated programs, planted errors, programs that once failed."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import printer
import pytest
from compare import LIMIT, Estimator, Stage, check, deviations
from densities import LOG_DENSITY, frozen
from density import Guide, density_faults, random_guide, read
from exact import Exact, exact
from generator import Program, generate
from generator_kinds import FIRST, FLAT, LAST, LATER, MEETING, NESTED, SINGULAR, SUBJECTS, kind_of
from interpreter import sites
from shrinker import shrink

import ppl
from ppl.model import Model

HERE = pathlib.Path(__file__).resolve().parent
CONFORMANCE = HERE.parent / "conformance"
TABLES: dict[str, dict[str, Any]] = {
    folder: json.loads((HERE / folder / "values.json").read_text()) for folder in ("kinds", "regressions")
}
DENSITY_SEEDS = range(30000, 30016)
# 50002 and 50021: discrete latents; from FIRST on: one of several kinds that the general generator leaves out.
GRADIENT_SEEDS = (
    *(31000, 31001, 31004, 31005, 31007, 31008, 31009, 50002, 50021), *(FIRST + k for k in (0, 1, 3, 4, 6)),
    *(LATER, LAST, LAST + 2, NESTED + 1, NESTED + 2, NESTED + 9, MEETING, MEETING + 4, FLAT + 4, FLAT + 7),
    SINGULAR + 1, SINGULAR + 8,
)  # fmt: skip
STAGES = (Stage(4_000, 32, 3.0, 3.0), Stage(40_000, 128, LIMIT))  # as in a long run, but for the last ones

# ------------------------------------------------------------------------------------------- the oracle itself

ARGUMENTS = {
    "Normal": (0.3, 1.2), "LogNormal": (0.2, 0.7), "HalfNormal": (1.3,), "Uniform": (-0.4, 1.9), "Exponential": (1.4,),
    "Gamma": (2.2, 1.7), "InverseGamma": (2.5, 1.1), "Beta": (1.6, 2.3), "Cauchy": (0.1, 0.8), "HalfCauchy": (0.9,),
    "StudentT": (3.5, 0.2, 1.1), "Laplace": (0.4, 0.9), "Logistic": (-0.2, 0.7), "Weibull": (1.8, 1.2),
    "Pareto": (0.8, 2.6), "Poisson": (2.3,), "Bernoulli": (0.3,), "BernoulliLogit": (-0.7,), "Binomial": (5, 0.4),
    "NegativeBinomial": (2.1, 1.7), "Geometric": (0.35,),
}  # fmt: skip


@pytest.mark.parametrize("law", LOG_DENSITY)
def test_densities_are_those_of_scipy(law: str) -> None:
    args = tuple(np.array([float(a)]) for a in ARGUMENTS[law])
    reference = frozen(law, args)
    x = reference.rvs(40, random_state=np.random.default_rng(3)).astype(float)
    want = reference.logpdf(x) if hasattr(reference.dist, "logpdf") else reference.logpmf(x)
    np.testing.assert_allclose(LOG_DENSITY[law](x, *args), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["step", "oblique", "nested", "branch_sample", "branch_state", "circle", "tied_data"])
def test_oracle_reproduces_known_gradients(name: str) -> None:
    """Values found by nested quadrature, a method of its own."""
    case = json.loads((CONFORMANCE / "cases.json").read_text())[name]
    module = read((CONFORMANCE / f"{name}.ppl").read_text())
    guide = Guide({k: np.asarray(v) for k, v in case["loc"].items()},
                  {k: np.asarray(v) for k, v in case["log_scale"].items()})  # fmt: skip
    truth = exact(module, case["data"], guide)
    known = {f"d/d{part} {k}": (v, 1e-4) for part in ("loc", "log_scale") for k, v in case["grad_" + part].items()}
    known["elbo"] = case["elbo"], 1e-4
    off = {k: c for k, c in deviations(known, truth).items() if c[0] > 4}
    assert not off
    assert max(float(e) for _, e in truth.loc.values()) < 0.02


def test_printed_programs_read_the_same() -> None:
    for seed in (*range(60), *range(FIRST, FIRST + 27), *range(SINGULAR, SINGULAR + 27)):
        module = read(generate(seed).text)
        assert read(printer.program(module)) == module


def test_generator_is_deterministic_and_varied() -> None:
    texts = [generate(s).text for s in range(200)]
    assert texts == [generate(s).text for s in range(200)]
    everything = "\n".join(texts)
    for feature in (
        "noise ",
        "var ",
        "for ",
        "else if",
        " and ",
        " or ",
        "not (",
        "fn ",
        "abs(",
        "max(",
        "real[2]",
        "observe c[",
    ):
        assert feature in everything, feature


def test_each_kind_is_about_its_subject() -> None:
    found: dict[str, set[tuple[str, str]]] = {k: set() for k in SUBJECTS}
    texts: dict[str, str] = dict.fromkeys(SUBJECTS, "")
    for seed in range(FIRST, FIRST + 5 * len(SUBJECTS)):
        kind, program = kind_of(seed), generate(seed)
        assert kind is not None and program == generate(seed)
        guards = ppl.compile(program.text).explain(program.data, program.budget)["guards"]
        found[kind] |= {(g["effect"], g["status"]) for g in guards}
        texts[kind] += program.text
    assert any(status == "score" for _, status in found["singular"])
    assert any(effect == "incremental" for effect, _ in found["incremental"])
    assert any(effect == "subset" for effect, _ in found["subset"])
    assert "use curves" in texts["library"] and "dot(" in texts["dot"] and "..3]" in texts["slices"]
    assert "    k ~ " in texts["discrete in a branch"] and "[k[i]]" in texts["coincident"]


# These generated programs take longer than the others, mostly to be compiled.
SLOW = (31000, 31001, 31007, 31008)


def marked(cases: Sequence[int]) -> list[Any]:
    assert set(SLOW) <= set(cases)
    return [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in cases]


def mostly_slow(names: Sequence[str]) -> list[Any]:
    """Every eighth of the recorded programs is checked by default, the others with `-m slow`."""
    return [pytest.param(x, marks=[pytest.mark.slow] * (k % 8 > 0)) for k, x in enumerate(names)]


# ------------------------------------------------------------------------------------------- generated programs


def acceptable(seeds: Sequence[int]) -> list[int]:
    """The seeds whose programs the compiler takes; the others must be refused with a reason."""
    taken: list[int] = []
    for seed in seeds:
        try:
            ppl.compile(generate(seed).text)
            taken.append(seed)
        except ppl.PplError as refusal:
            codes = {d.code for d in refusal.diagnostics if d.severity == "error"}
            assert all(c[3] in "46" for c in codes), (seed, codes)
    assert len(taken) > len(seeds) / 3
    return taken


@pytest.mark.parametrize("seed", acceptable(DENSITY_SEEDS))
def test_density(seed: int) -> None:
    program = generate(seed)
    with jax.enable_x64(True):
        problem = ppl.compile(program.text).bind(program.data)
    module = read(program.text)
    assert not density_faults(module, program.data, problem, random_guide(sites(module, program.data), seed), seed)


@pytest.mark.parametrize("seed", marked(acceptable(GRADIENT_SEEDS)))
def test_gradient(seed: int) -> None:
    verdict = check(generate(seed), stages=STAGES)
    assert verdict.status == "ok", verdict.detail


# ------------------------------------------------------------------------------------------------ planted errors

TWO = """
x ~ Normal(0, 1)
y ~ Normal(0.2, 1)
m = if x > 0.3 then 1 + 0.2 * x else -0.5
factor if y < x then 0.7 + 0.3 * x * y else -0.6
observe 0.4 ~ Normal(m, 1)
"""  # the branches read the latents, so that both guards have boundaries
TIED = """
data n: int
data knot: real[n]
x ~ Normal(0, 1)
total = 0
for i in 0..n {
    if x < knot[i] { total = total + 1 }
}
observe 2.0 ~ Normal(total * total, 2)
"""
TIED_DATA = {"n": 4, "knot": [0.5, -1.0, 0.5, 0.5]}


def planted(old: str, new: str) -> Callable[[str], Model]:
    """A compiler with a fault: the last `old` in the code it emits is `new`."""

    def build(text: str) -> Model:
        compiled = ppl.compile(text)._compiled
        head, found, tail = compiled.source_code.rpartition(old)
        assert found, f"the emitted code has no {old!r} any more: plant the error anew"
        faulty = dataclasses.replace(compiled)
        vars(faulty)["source_code"] = head + new + tail  # where the cached property looks first
        return Model(faulty)

    return build


@pytest.mark.parametrize(
    ("text", "data", "old", "new"),
    [
        (TWO, {}, " + boundary_1(at, data, size, main)", ""),
        (TWO, {}, "surface.surface(root, slope, rest, gap)", "surface.surface(root, slope, rest, -gap)"),
        (TIED, TIED_DATA, ', {"g0": ("t3",)})', ")"),
    ],
    ids=["dropped boundary", "wrong sign", "twin counted twice"],
)  # fmt: skip
def test_planted_errors_are_found(text: str, data: dict[str, Any], old: str, new: str) -> None:
    program = Program(text, data, 5)
    assert check(program, stages=STAGES).status == "ok"
    verdict = check(program, planted(old, new), stages=STAGES, interior=False)
    assert verdict.status == "gradient" and verdict.stage == 1
    assert verdict.z > 2 * LIMIT


def test_a_wrong_density_is_found() -> None:
    verdict = check(Program(TWO, {}, 5), planted("-0.5", "-0.50001"))
    assert verdict.status == "density" and "log_joint" in verdict.detail


def test_shrinker_keeps_the_fault_and_little_else() -> None:
    """A fault that any guard on x2 shows."""

    def fails(p: Program) -> bool:
        try:
            ppl.compile(p.text)
        except ppl.PplError:
            return False
        return "> 0.25" in p.text and "if " in p.text

    text = TWO + "z ~ Exponential(1)\nif z > 0.25 { factor 0.3 * x } else { observe 1 ~ Poisson(z + abs(x)) }\n"
    small = shrink(Program(text, {}, 0), fails, seconds=60)
    assert len(small.text.split("\n")) <= 5
    assert fails(small)


# --------------------------------------------------------------------------------------------------- regressions


RECORDED = sorted(f"{folder}/{name}" for folder, values in TABLES.items() for name in values)


@pytest.mark.parametrize("name", mostly_slow(RECORDED))
def test_recorded_gradient(name: str) -> None:
    """`regressions`: programs that were once compiled wrongly, or crashed. `kinds`: one for each kind of guard."""
    folder, stem = name.split("/")
    case = TABLES[folder][stem]
    parts = ("loc", "log_scale", "logits")
    params = ({k: np.asarray(v) for k, v in case.get(part, {}).items()} for part in parts)
    guide = Guide(*params, binary=frozenset(case.get("binary", ())))
    grads = ({k: tuple(np.asarray(x) for x in v) for k, v in case.get("grad_" + part, {}).items()} for part in parts)
    loc, log_scale, logits = grads
    truth = Exact(tuple(case["elbo"]), loc, log_scale, jumps=0.0, evaluations=0, logits=logits)
    text = (HERE / f"{name}.ppl").read_text()
    with jax.enable_x64(True):
        problem = ppl.compile(text).bind(case["data"])
    assert not density_faults(read(text), case["data"], problem, guide, 1)
    combined = Estimator(problem, guide, "combined")
    for draws, limit in ((4_000, 3.0), (40_000, LIMIT)):
        off = {k: c for k, c in deviations(combined(draws, draws), truth).items() if c[0] > limit}
        if not off:
            break
    assert not off


def test_every_recorded_program_is_there() -> None:
    on_disk = sorted(f"{p.parent.name}/{p.stem}" for folder in TABLES for p in (HERE / folder).glob("*.ppl"))
    assert on_disk == RECORDED
