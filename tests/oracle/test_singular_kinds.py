"""Programs with a branch that is unbounded at its own guard: what the generator knows of them, the oracle sees and the
compiler says; and latents that are drawn as a whole, which some of them have."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from compare import check, class_fault
from density import density_faults, random_guide, read
from exact import exact
from generator import Program, generate
from generator_kinds import SINGULAR, SINGULAR_SUBJECTS, kind_of
from interpreter import sites
from joints import joint_density, joint_forward
from scipy import stats

import ppl

KINDS = len(SINGULAR_SUBJECTS)


def sees(text: str, data: dict[str, object] | None = None, seed: int = 1) -> bool:
    """Whether the density grows without bound towards a change of path."""
    module = read(text)
    return exact(module, data or {}, random_guide(sites(module, data or {}), seed), lines=8, seed=seed).unbounded


@pytest.mark.parametrize("value", [
    "log(x - 0.2)", "(x - 0.2)^(-0.1)", "lgamma(x - 0.2)", "inv_Phi((x - 0.2) / (1 + x))", "log1p(1 / (x - 0.2))",
])  # fmt: skip
def test_oracle_sees_unbounded_branches(value: str) -> None:
    assert sees(f"x ~ Normal(0.3, 1)\nif x > 0.2 {{ factor 0.3 * {value} }}\n")


@pytest.mark.parametrize("value", [
    "sqrt(x - 0.2)", "log(x)", "(x - 0.2) * log(x - 0.2)", "(x - 0.2)^0.3", "1 / x", "tanh(1 / (x - 0.2))",
])  # fmt: skip
def test_oracle_sees_that_others_are_bounded(value: str) -> None:
    assert not sees(f"x ~ Normal(0.3, 1)\nif x > 0.2 {{ factor 0.3 * {value} }}\n")


@pytest.mark.parametrize("seed", range(SINGULAR, SINGULAR + 2 * KINDS))
def test_oracle_agrees_with_the_generator(seed: int) -> None:
    program = generate(seed)
    if program.unbounded_at is not None:
        assert sees(program.text, program.data, seed) == bool(program.unbounded_at)


@pytest.mark.parametrize("kind", range(KINDS))
def test_compiler_agrees_with_the_generator(kind: int) -> None:
    for seed in range(SINGULAR + kind, SINGULAR + 10 * KINDS, KINDS):
        program = generate(seed)
        assert not class_fault(program, ppl.compile(program.text).bind(program.data)), (kind_of(seed), program)


def test_a_wrong_class_is_found() -> None:
    text = "x ~ Normal(0.3, 1)\nif x > 0.2 {{ factor 0.3 * log({u}) }}\n"
    problems = {u: ppl.compile(text.format(u=u)).bind({}) for u in ("x - 0.2", "x")}
    for u, known, right in (("x - 0.2", (2,), True), ("x - 0.2", (), False), ("x", (), True), ("x", (2,), False)):
        program = Program(text.format(u=u), {}, 0, unbounded_at=known)
        assert (class_fault(program, problems[u]) == "") == right


def test_an_unbounded_branch_that_nobody_knows_of_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program("x ~ Normal(0.3, 1)\nif x > 0.2 { factor 0.3 * log(x - 0.2) }\n", {}, 3)
    monkeypatch.setattr("compare.scored_lines", lambda _: [])
    assert check(program, interior=False).status == "class"


# ------------------------------------------------------------------------------- latents that are drawn as a whole

JOINT = (
    ("Dirichlet", "real", (), (2,)), ("LKJCholesky", "real", (), (1,)), ("Normal", "real", (), (3,)),
    ("Uniform", "interval", (np.array([-0.4]), np.array([1.2])), (3,)), ("Exponential", "lower", (np.zeros(1),), (2,)),
)  # fmt: skip


@pytest.mark.parametrize(("law", "kind", "bounds", "free"), JOINT)
def test_jacobians_of_joint_latents(law: str, kind: str, bounds: tuple[np.ndarray, ...], free: tuple[int, ...]) -> None:
    """Against finite differences, in the elements that vary freely."""
    u, step = np.random.default_rng(4).normal(0, 0.6, (1, *free)), 1e-6
    value, log_jacobian = joint_forward(law, u, kind, bounds)
    free_elements = {"Dirichlet": (slice(None), slice(0, -1)), "LKJCholesky": (slice(None), 1, slice(0, 1))}
    at = free_elements.get(law, (slice(None),))
    moved = (joint_forward(law, u + step * e, kind, bounds)[0][at] - value[at] for e in np.eye(free[0]))
    slopes = np.array([m.ravel() / step for m in moved])
    np.testing.assert_allclose(np.log(abs(np.linalg.det(slopes))), log_jacobian[0], atol=1e-5)


def test_densities_of_joint_latents() -> None:
    p, a = np.array([[0.2, 0.5, 0.3]]), np.array([[1.5, 2.0, 0.7]])
    assert np.allclose(joint_density("Dirichlet", p, (a,)), stats.dirichlet.logpdf(p[0], a[0]))
    r = np.linspace(-1, 1, 20_001)[1:-1]
    factors = np.moveaxis(np.array([[np.ones_like(r), 0 * r], [r, np.sqrt(1 - r * r)]]), 2, 0)
    density = joint_density("LKJCholesky", factors, (np.array([2]), np.array([1.7])))
    assert density is not None and np.trapezoid(np.exp(density), r) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("text", [
    "p ~ Dirichlet([1.5, 2, 1.2])\nif p[0] > 0.3 { observe 0.3 ~ Normal(p[1], 1) }\n",
    "o: ordered[3] ~ Normal(0, 1.2)\nif o[1] > 0.3 { observe 0.3 ~ Normal(o[2], 1) }\n",
    "o: ordered[2] ~ Uniform(-0.5, 1.5)\nif o[1] - o[0] > 0.3 { observe 0.3 ~ Normal(o[0], 1) }\n",
    "l ~ LKJCholesky(2, 1.7)\nif l[1, 0] > 0.3 { observe 0.3 ~ Normal(l[1, 1], 1) }\n",
])  # fmt: skip
def test_density_of_joint_latents(text: str) -> None:
    with jax.enable_x64(True):
        problem = ppl.compile(text).bind({})
    module = read(text)
    assert not density_faults(module, {}, problem, random_guide(sites(module, {}), 5), 5)
