"""The shipped programs: their data, and their compiled densities against densities written by hand."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import jax
import numpy as np
import pytest
import reference_posteriors as reference

import ppl

NAMES = tuple(reference.LOG_DENSITY)
FOLDER = reference.ROOT / "programs"
SITES = {
    "one_if": {"z": ()},
    "textmsg": {"early": (), "late": (), "change": ()},
    "coal": {"early": (), "late": (), "change": ()},
    "temperature": {"temp": (21,)},
    "influenza": {"f": (133,), "v": (132,), "w": (132,)},
}
DECLARATION = re.compile(r"^data (\w+): (int|real)(?:\[(\w+)\])?( =)?", re.MULTILINE)


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
    ],
)
def test_data_are_complete(name: str, field: str, length: int, total: float) -> None:
    values = json.loads((FOLDER / f"{name}.data.json").read_text())[field]
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
        assert size is None or len(values) == fields[size]
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


@pytest.mark.parametrize("name", NAMES)
def test_compiled_density_is_the_one_written_by_hand(name: str) -> None:
    data = reference.load_data(name)
    with jax.enable_x64(True):
        problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind({k: np.asarray(v).tolist() for k, v in data.items()})
        log_density = jax.jit(problem.log_density)
        for u in points(name):
            arrays = {site: jax.numpy.asarray(value, float) for site, value in u.items()}
            expected = reference.LOG_DENSITY[name](u, data)
            assert float(log_density(arrays)) == pytest.approx(expected, rel=1e-10, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_sites_have_the_expected_shapes(name: str) -> None:
    path = FOLDER / f"{name}.data.json"
    problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(path) if path.exists() else {})
    params = problem.init_params("meanfield")
    for part in ("loc", "log_scale"):
        assert {site: np.shape(value) for site, value in params[part].items()} == SITES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_guard_is_accounted_for(name: str) -> None:
    """At least one boundary per crossable threshold: 73 days, 111 years, two for each of 20 steps, a sign per `f`.

    At most one per instance: the first day cannot be crossed, and most signs are tested by two guards.
    """
    path = FOLDER / f"{name}.data.json"
    problem = ppl.load(str(FOLDER / f"{name}.ppl")).bind(str(path) if path.exists() else {})
    found = sum(guard.count for guard in problem.guards if guard.status == "boundary")
    least, most = {
        "one_if": (1, 1),
        "textmsg": (73, 74),
        "coal": (111, 112),
        "temperature": (40, 40),
        "influenza": (133, 264),
    }[name]
    assert least <= found <= most
