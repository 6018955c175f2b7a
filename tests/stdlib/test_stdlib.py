"""The standard library against numpy, and what its guards become."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

import ppl
from ppl.diagnostics import Diagnostics
from ppl.syntax import ast, parse

STDLIB = Path(__file__).resolve().parents[2] / "stdlib"
X = np.array([-40.0, -3.5, -0.2, 0.0, 0.7, 1.0, 2.5, 60.0])
POSITIVE = np.array([1e-3, 0.2, 1.0, 2.5, 80.0])

COUNTS = np.array([0.0, 1.0, 4.0, 9.0])


def inflated(x: np.ndarray, law: Any) -> np.ndarray:
    return np.log(0.3 * (x == 0) + 0.7 * law.pmf(x))


def hurdle(x: np.ndarray, law: Any) -> np.ndarray:
    return np.log(np.where(x == 0, 0.3, 0.7 * law.pmf(x) / law.sf(0)))


def ordered(x: np.ndarray) -> np.ndarray:
    edges = np.array([-np.inf, -1, 0.5, 2, np.inf])
    shares = np.diff(stats.logistic.cdf(edges, 0.4))
    return np.array([np.log(shares[int(v)]) if 0 <= v < 4 else -np.inf for v in x])


MV_NORMAL = stats.multivariate_normal([0.1, -0.2], [[2, 0.5], [0.5, 1]])
POISSON, NEGATIVE_BINOMIAL = stats.poisson(2.5), stats.nbinom(1.5, 1.5 / 4)
REFERENCE: dict[str, tuple[str, np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
    "softplus": ("softplus(x[i])", X, lambda x: np.logaddexp(0.0, x)),
    "hinge": ("hinge(x[i], 0.7)", X, lambda x: np.maximum(0.0, x - 0.7)),
    "broken_line": ("broken_line(x[i], 0.5, -2, 3)", X, lambda x: np.interp(x, [-99.5, 0.5, 100.5], [200, 0, 300])),
    "logistic_curve": (
        "logistic_curve(x[i], -1, 3, 0.4, 2)", X, lambda x: -1 + 4 / (1 + np.exp(-(x - 0.4) / 2)),
    ),
    "hill": ("hill(x[i], 1.7, 2.2)", POSITIVE, lambda x: x**2.2 / (1.7**2.2 + x**2.2)),
    "ZeroInflatedPoisson_lpmf": (
        "ZeroInflatedPoisson_lpmf(round(x[i]), 0.3, 2.5)", COUNTS, lambda x: inflated(x, POISSON),
    ),
    "ZeroInflatedNegativeBinomial_lpmf": (
        "ZeroInflatedNegativeBinomial_lpmf(round(x[i]), 0.3, 2.5, 1.5)", COUNTS,
        lambda x: inflated(x, NEGATIVE_BINOMIAL),
    ),
    "HurdlePoisson_lpmf": ("HurdlePoisson_lpmf(round(x[i]), 0.3, 2.5)", COUNTS, lambda x: hurdle(x, POISSON)),
    "HurdleNegativeBinomial_lpmf": (
        "HurdleNegativeBinomial_lpmf(round(x[i]), 0.3, 2.5, 1.5)", COUNTS, lambda x: hurdle(x, NEGATIVE_BINOMIAL),
    ),
    "MvNormal_lpdf": (
        "MvNormal_lpdf([x[i], 0.3], [0.1, -0.2], [[2, 0.5], [0.5, 1]])", X,
        lambda x: MV_NORMAL.logpdf(np.stack([x, 0 * x + 0.3], axis=-1)),
    ),
    "MvNormalCholesky_lpdf": (
        "MvNormalCholesky_lpdf([x[i], 0.3], [0.1, -0.2], cholesky([[2, 0.5], [0.5, 1]]))", X,
        lambda x: MV_NORMAL.logpdf(np.stack([x, 0 * x + 0.3], axis=-1)),
    ),
    "Dirichlet_lpdf": (
        "Dirichlet_lpdf([x[i], 0.7 - x[i], 0.3], [0.5, 2, 3])", np.array([0.01, 0.3, 0.6]),
        lambda x: np.array([stats.dirichlet.logpdf([v, 0.7 - v, 0.3], [0.5, 2, 3]) for v in x]),
    ),
    "Multinomial_lpmf": (
        "Multinomial_lpmf([round(x[i]), 2, 0], 3, [0.2, 0.3, 0.5])", np.array([0.0, 1.0, 2.0]),
        lambda x: stats.multinomial.logpmf(np.stack([x, 0 * x + 2, 0 * x], axis=-1), 3, [0.2, 0.3, 0.5]),
    ),
    "OrderedLogistic_lpmf": (
        "OrderedLogistic_lpmf(round(x[i]), 0.4, [-1, 0.5, 2])", np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]), ordered,
    ),
    "seasonal": ("seasonal(x[i], 12, 1.5, 3)", X, lambda x: 1.5 * np.real(np.exp(2j * np.pi * (x - 3) / 12))),
}  # fmt: skip


@pytest.mark.parametrize(
    "program",
    [
        "use curves\ndata d: real[3] = [0, 1, 2]\nfor i in 0..3 { observe 0.2 ~ Normal(hill(d[i], h, k), 1) }\n",
        "use curves\nx ~ Normal(0, 1)\nobserve 0.2 ~ Normal(hill(max(x - 1, 0), h, k), 1)\n",
        "use counts\nobserve 0 ~ ZeroInflatedPoisson(0, h)\nobserve 0 ~ ZeroInflatedNegativeBinomial(1, h, k)\n"
        "observe 2 ~ HurdlePoisson(0, h)\nobserve 0 ~ HurdleNegativeBinomial(1, h, k)\n",
    ],
    ids=["data", "latents", "counts"],
)
def test_gradients_are_finite_at_the_ends_of_domains(program: str) -> None:
    first, _, rest = program.partition("\n")
    problem = ppl.compile(f"{first}\nh ~ LogNormal(0, 1)\nk ~ LogNormal(0, 0.5)\n{rest}").bind()
    params = problem.init_params()
    elbo, gradient = problem.elbo_and_grad(samples=64)(params, jax.random.key(0))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((elbo, gradient)))


def test_no_dose_has_no_response() -> None:
    model = ppl.compile("use curves\ndata d: real\nreport r = hill(d, 2, 0.5)\nz ~ Normal(0, 1)\n")
    problem = model.bind({"d": 0.0})
    assert float(problem.draw(problem.init_params(), jax.random.key(0), 1).reports["r"][0]) < 1e-18


def library() -> dict[str, str]:
    """function -> module"""
    out: dict[str, str] = {}
    for path in sorted(STDLIB.glob("*.ppl")):
        sink = Diagnostics()
        tree = parse(path.read_text(encoding="utf-8"), path.name, sink)
        assert not sink.items
        out |= {s.name: path.stem for s in tree.statements if isinstance(s, ast.Function)}
    return out


def values() -> set[str]:
    """The functions that have a value: all but those that draw, which tests/predict/test_samplers.py compares."""
    return {name for name in library() if not name.endswith("_rng")}


def use(name: str) -> str:
    module = library()[name]
    return "" if module == "prelude" else f"use {module}\n"


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with jax.enable_x64(True):
        yield


def test_every_function_has_a_reference_and_a_row_in_the_docs() -> None:
    assert values() == set(REFERENCE)
    table = (STDLIB.parent / "docs" / "stdlib.md").read_text(encoding="utf-8")
    assert not [name for name in values() if f"| `{name}(" not in table]


def test_every_distribution_can_be_drawn_from() -> None:
    made = {name.rpartition("_")[0] for name in library() if name.endswith(("_lpdf", "_lpmf"))}
    assert made == {name.removesuffix("_rng") for name in library() if name.endswith("_rng")}


def test_every_function_has_a_comment() -> None:
    for path in STDLIB.glob("*.ppl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [f for before, f in pairwise(lines) if f.startswith("fn ") and not before.startswith("#")]


@pytest.mark.parametrize("name", REFERENCE)
def test_values(name: str) -> None:
    call, x, exact = REFERENCE[name]
    source = f"{use(name)}data n: int\ndata x: real[n]\nz ~ Normal(0, 1)\nreport y = [{call} for i in 0..n]\n"
    problem = ppl.compile(source).bind({"x": x})
    draws = problem.draw(problem.init_params(), jax.random.key(0), 1)
    np.testing.assert_allclose(np.asarray(draws.reports["y"])[0], exact(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "call"), [("hinge", "hinge(x, knot)"), ("broken_line", "broken_line(x, knot, 1, 2)")])
def test_continuous_functions_make_no_boundary(name: str, call: str) -> None:
    source = f"data x: real\ndata y: real\nknot ~ Normal(0, 1)\nobserve y ~ Normal({call}, 1)\n"
    (guard,) = ppl.compile(use(name) + source).explain()["guards"]
    assert guard["status"] == "no-jump"


def test_a_program_may_define_a_function_of_the_prelude_itself() -> None:
    source = "fn hinge(x: real, knot: real) -> real { return 10 * x + knot }\nz ~ Normal(0, 1)\nfactor hinge(2, 1)\n"
    problem = ppl.compile(source).bind({})
    np.testing.assert_allclose(problem.log_joint({"z": 0.0}), 21 - 0.5 * np.log(2 * np.pi), rtol=1e-12)


def test_other_functions_stay_unique() -> None:
    with pytest.raises(ppl.PplError) as caught:
        ppl.compile("use curves\nfn hill(x: real) -> real { return x }\nz ~ Normal(0, 1)\n")
    assert [d.code for d in caught.value.diagnostics] == ["PPL102"]
