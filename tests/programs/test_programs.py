"""The shipped programs: their data, and their compiled densities against densities written by hand."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import jax
import numpy as np
import pytest
import reference_gallery as gallery
import reference_posteriors as reference
import synthetic_data

import ppl

FIRST = tuple(reference.LOG_DENSITY)
GALLERY = tuple(gallery.LOG_JOINT)
NAMES = FIRST + GALLERY
FOLDER = reference.ROOT / "programs"
SITES = {name: {site: spec.shape for site, spec in sites.items()} for name, sites in gallery.SITES.items()} | {
    "one_if": {"z": ()},
    "textmsg": {"early": (), "late": (), "change": ()},
    "coal": {"early": (), "late": (), "change": ()},
    "temperature": {"temp": (21,)},
    "influenza": {"f": (133,), "v": (132,), "w": (132,)},
}
DECLARATION = re.compile(r"^data (\w+): (int|real)(?:\[([\w, ]+)\])?( =)?", re.MULTILINE)


def numbers(value: Any) -> list[float]:
    return [x for v in value for x in numbers(v)] if isinstance(value, list) else [value]


def test_every_program_has_a_reference() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ppl")) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "field", "length", "total"),
    [
        ("textmsg", "count", 74, 1461),
        ("coal", "count", 112, 191),
        ("temperature", "reading", 21, 429.029328687629),
        ("influenza", "mortality", 132, 38.5258215),
        ("nile", "flow", 100, 91935),  # mean 919.35
        ("lynx", "trapped", 114, 175334),  # mean 1538.0
        ("iris", "petal_length", 150, 563.7),
        ("iris", "petal_width", 150, 179.9),
        ("iris", "species", 150, 150),
        ("theoph", "hour", 11, 64.64),
        ("theoph", "conc", 11, 59.51),
        ("stagnant", "x", 29, 0.14),
        ("stagnant", "y", 29, 10.84),
        ("stackloss", "x", 63, 1269 + 443 + 1812),
        ("stackloss", "loss", 21, 368),
        ("school_flu", "in_bed", 14, 1557),
        ("sids", "births", 100, 329962),
        ("orings", "temperature", 23, 1600),
        ("orings", "damaged", 23, 7),
        ("discoveries", "count", 100, 310),
        ("sids", "deaths", 100, 667),
        ("sids", "east", 100, -93),
        ("sids", "north", 100, 1378),
        ("leading", "sales", 150, 34496.7),
        ("leading", "indicator", 150, 1777.01),
    ],
)
def test_data_are_complete(name: str, field: str, length: int, total: float) -> None:
    values = numbers(json.loads((FOLDER / f"{name}.data.json").read_text())[field])
    assert len(values) == length
    assert math.fsum(values) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_data_fields_are_the_declared_ones(name: str) -> None:
    declared = {m[1]: (m[2], m[3]) for m in DECLARATION.finditer((FOLDER / f"{name}.ppl").read_text())}
    path = FOLDER / f"{name}.data.json"
    if not declared:
        assert not path.exists()
        return
    fields = json.loads(path.read_text())
    assert len(fields.pop("source")) > 20
    assert set(fields) == set(declared)
    for field, (kind, size) in declared.items():
        values = numbers(fields[field])
        assert isinstance(fields[field], list) == (size is not None)
        assert size is None or len(values) == math.prod(fields[k.strip()] for k in size.split(","))
        assert all(isinstance(v, int if kind == "int" else int | float) and math.isfinite(v) for v in values)


def points(name: str, count: int = 4) -> list[dict[str, np.ndarray]]:
    """Unconstrained values with guards on both sides: small for the shocks, near the thresholds for the room."""
    rng = np.random.default_rng(11)
    centre, spread = ({"temp": 20.0}, {"temp": 3.0}) if name == "temperature" else ({}, {"v": 0.03, "w": 0.1})
    return [
        {
            site: centre.get(site, 0.3) + spread.get(site, 1.0) * rng.standard_normal(shape)
            for site, shape in SITES[name].items()
        }
        for _ in range(count)
    ]


def synthetic(name: str) -> dict[str, object]:
    return {"benefit": synthetic_data.benefit, "discount": synthetic_data.discount}[name]()


@pytest.mark.parametrize("name", ["benefit", "discount"])
def test_synthetic_data_are_those_of_the_script(name: str) -> None:
    assert json.loads((FOLDER / f"{name}.data.json").read_text()) == synthetic(name)


@pytest.mark.parametrize("name", FIRST)
def test_compiled_density_is_the_one_written_by_hand(name: str) -> None:
    data = reference.load_data(name)
    with jax.enable_x64(True):
        problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind({k: np.asarray(v).tolist() for k, v in data.items()})
        log_density = jax.jit(problem.log_density)
        for u in points(name):
            arrays = {site: jax.numpy.asarray(value, float) for site, value in u.items()}
            expected = reference.LOG_DENSITY[name](u, data)
            assert float(log_density(arrays)) == pytest.approx(expected, rel=1e-10, abs=1e-8)


def latents(name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of all latents inside their supports, on different sides of the guards from draw to draw."""
    z: dict[str, np.ndarray] = {}
    for site, spec in gallery.SITES[name].items():
        if spec.values:
            z[site] = rng.integers(0, spec.values, spec.shape)
            continue
        value = spec.centre + spec.spread * rng.standard_normal(spec.shape)
        width = min(spec.high - spec.low, 1.0) if math.isfinite(spec.low) else 0.0
        z[site] = np.clip(value, spec.low + 0.02 * width, spec.high - 0.02 * width)
    if name == "discoveries":
        z["change"] = np.sort(z["change"])
    if name == "inventory":
        z["demand"] = rng.poisson(20, 26)
    return z


@pytest.mark.parametrize("name", GALLERY)
def test_log_joint_is_the_density_written_by_hand(name: str) -> None:
    data = reference.load_data(name)
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(FOLDER / f"{name}.data.json"))
        log_joint = jax.jit(problem.log_joint)
        found, expected = [], []
        for _ in range(6):
            z = latents(name, rng)
            found.append(float(log_joint(z)))
            expected.append(float(gallery.LOG_JOINT[name](z, data)))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-8)
    assert len({round(x, 6) for x in expected}) == 6


# The three programs whose jumps take the whole program are compiled for tens of seconds: their gradients are covered by
# the fits of docs/gallery.md.
@pytest.mark.parametrize("name", [n for n in GALLERY if n not in ("pedestrian", "school_flu", "inventory")])
def test_combined_gradient_is_finite(name: str) -> None:
    with jax.enable_x64(True):
        problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(FOLDER / f"{name}.data.json"))
        elbo, grad = jax.jit(problem.elbo_and_grad())(problem.init_params("meanfield"), jax.random.key(0))
    assert math.isfinite(float(elbo))
    leaves = jax.tree.leaves(grad)
    assert all(np.all(np.isfinite(x)) for x in leaves)
    assert any(np.any(np.asarray(x) != 0) for x in leaves)


@pytest.mark.parametrize("name", NAMES)
def test_sites_have_the_expected_shapes(name: str) -> None:
    path = FOLDER / f"{name}.data.json"
    problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(path) if path.exists() else {})
    params = problem.init_params("meanfield")
    discrete = {site for site, spec in gallery.SITES.get(name, {}).items() if spec.values}
    for part in ("loc", "log_scale"):
        found = {site: np.shape(value) for site, value in params[part].items()}
        assert found == {site: shape for site, shape in SITES[name].items() if site not in discrete}
    assert set(params.get("logits", {})) == discrete


# The kind of a program's boundaries, how many there are at least and at most, and the other fates of its guards.
GUARDS: dict[str, tuple[str, int, int, set[str]]] = {
    "one_if": ("affine", 1, 1, set()),
    "textmsg": ("invertible", 73, 74, set()),
    "coal": ("invertible", 111, 112, set()),
    "temperature": ("affine", 40, 40, {"fixed"}),
    "influenza": ("affine", 133, 264, set()),
    "nile": ("discrete", 1, 100, {"fixed"}),
    "lynx": ("affine", 100, 112, {"fixed"}),
    "iris": ("invertible", 65, 300, {"fixed"}),  # 43 lengths and 22 widths differ
    "theoph": ("", 0, 0, {"no-jump"}),
    "stagnant": ("", 0, 0, {"no-jump"}),
    "stackloss": ("discrete", 3, 3, {"fixed"}),
    "pedestrian": ("invertible", 5, 6, {"no-jump"}),
    "school_flu": ("smooth", 14, 14, set()),
    "inventory": ("smooth", 25, 26, {"fixed"}),
    "sids": ("polynomial", 100, 100, set()),
    "leading": ("invertible", 1, 8, {"fixed", "merged"}),
    "benefit": ("invertible", 24, 24, set()),
    "discount": ("monotone", 30, 30, set()),
    "orings": ("affine", 16, 23, {"no-jump"}),  # 16 temperatures differ
    "discoveries": ("monotone", 200, 200, set()),
}


MOVING = ("boundary", "marginalised")


@pytest.mark.parametrize("name", NAMES)
def test_every_guard_is_accounted_for(name: str) -> None:
    path = FOLDER / f"{name}.data.json"
    problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(path) if path.exists() else {})
    kind, least, most, others = GUARDS[name]
    boundaries = [guard for guard in problem.guards if guard.status in MOVING]
    assert {guard.kind for guard in boundaries} == ({kind} if kind else set())
    assert least <= sum(guard.count for guard in boundaries) <= most
    assert {guard.status for guard in problem.guards} - set(MOVING) == others


def test_the_gallery_covers_every_kind_of_boundary() -> None:
    kinds = {kind for kind, *_ in GUARDS.values() if kind}
    assert kinds == {"affine", "invertible", "polynomial", "monotone", "smooth", "discrete"}
