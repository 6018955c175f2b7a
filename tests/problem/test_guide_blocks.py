"""Guides that a program describes: their gradients against closed forms, what is said of those that do not fit, fits.

The reference knows a guide by its mean and covariance alone. All that a program of the tests adds to its log density is
a normal density of a linear form of the latents, or a number where a linear form is positive, so that its expectation
under a Gaussian guide has a closed form: a quadratic, or a normal distribution function.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import ppl
from ppl.infer import SettingsError, fit, load_fit

Tree = Any


@pytest.fixture(autouse=True, scope="module")
def wide() -> Any:
    with jax.enable_x64(True):
        yield


PROGRAM = """
x ~ Normal(0, 1)
y ~ LogNormal(0.2, 0.7)
z: real[3] ~ Normal(0, 1)
w: real[2] ~ Normal(0, 2)
observe 0.5 ~ Normal(x + z[1], 1)
if 2 * x - log(y) + w[0] > 0.5 { factor 0.9 }
if z[0] - z[2] + 0.5 * x > 0.3 { factor -0.7 }
for t in 0..2 { if z[t + 1] > z[t] + w[t] { factor 0.6 } }
"""
SITES = {"x": (), "y": (), "z": (3,), "w": (2,)}
PLACES = {"x": 0, "y": 1, "z": 2, "w": 5}  # the first coordinate of each site among seven
# Linear forms: their coefficients by coordinate, and what is subtracted.
NORMAL = (({0: 1}, 0, 1), ({1: 1}, 0.2, 0.7), *(({i: 1}, 0, 1) for i in (2, 3, 4)), *(({i: 1}, 0, 2) for i in (5, 6)),
          ({0: 1, 3: 1}, 0.5, 1))  # fmt: skip
JUMPS = (({0: 2, 1: -1, 5: 1}, 0.5, 0.9), ({2: 1, 4: -1, 0: 0.5}, 0.3, -0.7),
         ({3: 1, 2: -1, 5: -1}, 0, 0.6), ({4: 1, 3: -1, 6: -1}, 0, 0.6))  # fmt: skip

GUIDES = {
    "program": "y, x ~ FullRank(); z ~ Chain(); w ~ LowRank(1)",
    "across": "z, x ~ FullRank(); w ~ MeanField(); y ~ MeanField()",
    "factors": "x, w ~ LowRank(2); z, y ~ LowRank(rank = 1)",
}


def rows(*names: str) -> list[int]:
    return [PLACES[k] + i for k in names for i in range(math.prod(SITES[k]))]


def moments(words: str, params: Tree) -> tuple[Any, Any]:
    """Mean and covariance of the seven coordinates, as the documentation says."""
    loc, scale = (jnp.concatenate([jnp.ravel(params[p][k]) for k in SITES]) for p in ("loc", "log_scale"))
    v = jnp.eye(7)
    for block in words.split("; "):
        names, family = block.split(" ~ ")
        sites = names.split(", ")
        own = rows(*sites)
        here = np.ix_(own, own)
        match family.partition("(")[0]:
            case "FullRank":
                root = jnp.eye(len(own)).at[np.tril_indices(len(own), -1)].set(params["tril"][sites[0]])
                v = v.at[here].set(root @ root.T)
            case "LowRank":
                f = jnp.concatenate([params["factor"][k].reshape(math.prod(SITES[k]), -1) for k in sites])
                v = v.at[here].set(jnp.eye(len(own)) + f @ f.T)
            case "Chain":
                root = jnp.linalg.inv(jnp.eye(3) - jnp.diag(params["coupling"][sites[0]], -1))
                v = v.at[here].set(root @ root.T)
            case _:
                pass
    scale = jnp.exp(scale)
    return loc, scale[:, None] * v * scale


def exact(words: str, params: Tree) -> Any:
    """The ELBO."""
    mean, covariance = moments(words, params)

    def form(coefficients: dict[int, float], less: float) -> tuple[Any, Any]:
        a = jnp.zeros(7).at[np.array(list(coefficients))].set(jnp.asarray(list(coefficients.values()), float))
        return a @ mean - less, a @ covariance @ a

    total = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * covariance)[1]
    for coefficients, centre, sd in NORMAL:
        m, var = form(coefficients, centre)
        total += -0.5 * math.log(2 * math.pi * sd**2) - 0.5 * (m**2 + var) / sd**2
    for coefficients, level, size in JUMPS:
        m, var = form(coefficients, level)
        total += size * norm.cdf(m / jnp.sqrt(var))
    return total


def shaken(tree: Tree, seed: int = 3, size: float = 0.25) -> Tree:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(size * rng.normal(size=x.shape)), tree)


def faults(words: str, guide: str, estimator: str = "combined") -> list[str]:
    """The components of the ELBO and its gradient that are not the exact ones."""
    problem = ppl.compile(PROGRAM + f"guide {{ {GUIDES['program']} }}\n").bind()
    params = shaken(problem.init_params(guide))
    params["log_scale"] = jax.tree.map(lambda x: x - 0.5, params["log_scale"])
    value, slope = jax.value_and_grad(lambda p: exact(words, p))(params)
    fn = problem.elbo_and_grad(guide, estimator, samples=400)
    elbo, grad = jax.jit(lambda ks: jax.lax.map(lambda k: fn(params, k), ks))(jax.random.split(jax.random.key(8), 60))
    found: list[str] = []
    paths = [("", "elbo"), *((part, site) for part, sites in grad.items() for site in sites)]
    for part, site in paths:
        x = np.asarray(grad[part][site] if part else elbo)
        want = np.asarray(slope[part][site] if part else value)
        se = x.std(axis=0, ddof=1) / math.sqrt(len(x))
        assert np.all(se < 0.1), (part, site, se)
        if np.any(np.abs(x.mean(axis=0) - want) > 5 * se):
            found.append(f"{part} {site}: {x.mean(axis=0)} +- {se}, exact {want}")
    return found


@pytest.mark.parametrize("name", GUIDES)
def test_gradient_is_exact(name: str) -> None:
    assert not faults(GUIDES[name], "program" if name == "program" else GUIDES[name])


def test_the_cases_have_teeth() -> None:
    assert faults(GUIDES["program"], "program", "interior")


def test_parameters_are_those_of_the_blocks() -> None:
    block = "guide { y, x ~ FullRank(); z, w ~ LowRank(2); k ~ MeanField() }"
    problem = ppl.compile(f"{PROGRAM}k ~ Bernoulli(0.4)\n{block}").bind()
    shapes = jax.tree.map(np.shape, problem.init_params("program"), is_leaf=lambda x: hasattr(x, "shape"))
    continuous = {k: SITES[k] for k in "xyzw"}
    assert shapes == {
        "loc": continuous, "log_scale": continuous, "tril": {"y": (1,)}, "factor": {"z": (3, 2), "w": (2, 2)},
        "logits": {"k": ()},
    }  # fmt: skip
    family = problem.guide("program")
    assert [family.independent(k) for k in "xyzw"] == [False, False, True, True]  # the latter given their factors
    assert all(family.conditional(k) for k in "xyzw")
    assert problem.guide("x, z ~ FullRank(); y, w, k ~ MeanField()").independent("y")


WORDS = {
    "x, y, z ~ MeanField()": ("PPL310", "`w` is not in the guide"),
    "x, y, z, w ~ LowRank(8)": ("PPL311", "the rank of `LowRank` is 8, and its latents have 7 coordinates"),
    "x, y, z, w ~ MeanField() } q = 1; guide {": ("PPL111", "a guide is described by lines"),
    "x, y, z, w ~": ("PPL", ""),
}


@pytest.mark.parametrize("words", WORDS)
def test_descriptions_that_do_not_fit_are_refused(words: str) -> None:
    code, message = WORDS[words]
    problem = ppl.compile(PROGRAM).bind()
    with pytest.raises(ppl.PplError) as caught:
        problem.init_params(words)
    first = caught.value.diagnostics[0]
    assert first.code.startswith(code) and message in first.message


def test_a_rank_may_come_from_data() -> None:
    source = "data k: int\nx: real[3] ~ Normal(0, 1)\nobserve 1 ~ Normal(x[0], 1)\nguide { x ~ LowRank(k + 1) }\n"
    model = ppl.compile(source)
    assert model.bind({"k": 1}).own_guide == "x ~ LowRank(2)"
    with pytest.raises(ppl.DataError, match="the rank of `LowRank` is 4"):
        model.bind({"k": 3})
    assert [s["guide"] for s in model.explain({"k": 1})["sites"]] == ["x ~ LowRank(k + 1)"]


# ------------------------------------------------------------------------- fits

CORRELATED = """
x ~ Normal(0, 1)
y ~ Normal(0, 1)
w ~ Normal(0, 1)
observe 1 ~ Normal(x + y, 0.3)
observe 0.5 ~ Normal(w, 1)
"""
OWN = "x, y ~ FullRank(); w ~ MeanField()"


def test_a_program_with_a_guide_is_fitted_with_it(tmp_path: Path) -> None:
    """The posterior is in the family, so the ELBO is the evidence."""
    problem = ppl.compile(f"{CORRELATED}guide {{ {OWN} }}\n").bind()
    found = fit(problem, starts=2, steps=1500, lr=0.1)
    evidence = norm.logpdf(1, 0, math.sqrt(2.09)) + norm.logpdf(0.5, 0, math.sqrt(2))
    assert found.settings.guide == OWN and abs(found.elbo - evidence) < 0.01
    saved = tmp_path / "fit.nc"
    found.save(saved)
    # The fit keeps its guide whatever the program says later.
    other = ppl.compile(f"{CORRELATED}guide {{ x, y, w ~ MeanField() }}\n").bind()
    draws = load_fit(saved, other).sample(jax.random.key(0), 4000)
    assert np.corrcoef(draws["x"], draws["y"])[0, 1] < -0.8


def test_a_checkpoint_is_of_one_guide(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(ppl.compile(f"{CORRELATED}guide {{ {OWN} }}\n").bind(), starts=1, steps=1, draws=10, checkpoint=path)
    with pytest.raises(ppl.PplError, match=r"was made with guide x, y ~ FullRank\(\); w ~ MeanField\(\) \(now x, y"):
        fit(ppl.compile(f"{CORRELATED}guide {{ x, y, w ~ FullRank() }}\n").bind(), starts=1, steps=1, draws=10,
            checkpoint=path, resume=True)  # fmt: skip
    with pytest.raises(SettingsError, match="has no `guide` block"):
        fit(ppl.compile(CORRELATED).bind(), guide="program")
