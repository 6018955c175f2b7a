"""Functions that are kept between processes: a second fit neither traces nor compiles, and nothing stale is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ppl
from ppl.infer import fit, kept, machine

TEXT = """
data n: int
data t: real[n]
data y: real[n]
x ~ Normal(0, 1)
for i in 0..n { observe y[i] ~ Normal(if x < t[i] then 0.5 else x, 1) }
"""
DATA = {"n": 3, "t": [0.1, 0.4, 0.9], "y": [0.3, 0.2, 1.1]}
STEPS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """That of the functions, in a cache of its own, which is empty."""
    config: Any = jax.config
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(config, k) for k in names]
    for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
        config.update(name, value)
    jax.clear_caches()
    yield tmp_path / kept.FOLDER
    for name, value in zip(names, before, strict=True):
        config.update(name, value)


def fitted(data: dict[str, Any] = DATA, text: str = TEXT, **options: Any) -> Any:
    return fit(ppl.compile(text).bind(data), steps=STEPS, starts=2, draws=200, **options)


def same(a: Any, b: Any) -> bool:
    return a.elbo == b.elbo and np.array_equal(a.trace, b.trace) and np.array_equal(a.draws["x"], b.draws["x"])


def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, tracing a gradient is an error."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("traced")

    monkeypatch.setattr(machine, "gradient_of", refuse)
    monkeypatch.setattr(machine, "_drawing", refuse)


def test_a_second_fit_traces_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted()
    assert len(list(folder.glob("*.function"))) == 3 and len(list(folder.glob("*.program"))) == 3
    untraced(monkeypatch)
    assert same(first, fitted())
    assert not same(first, fitted(seed=5))  # an argument of the functions


@pytest.mark.parametrize(
    ("data", "options"),
    [({**DATA, "t": [0.1, 0.4, 0.8]}, {}), (DATA, {"samples": 4}), (DATA, {"estimator": "interior"})],
    ids=["data", "samples", "estimator"],
)
def test_other_data_and_options_are_other_functions(folder: Path, data: dict[str, Any], options: Any) -> None:
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        expected = fitted(data, **options)
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    fitted()
    assert same(expected, fitted(data, **options))


def test_other_programs_are_other_functions(folder: Path) -> None:
    first = fitted()
    other = fitted(text=TEXT.replace("0.5", "0.6"))
    assert not same(first, other)
    assert len(list(folder.glob("*.function"))) == 6


def test_what_cannot_be_read_is_made_anew(folder: Path) -> None:
    first = fitted()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert same(first, fitted())
    for path in folder.glob("*.program"):
        path.unlink()
    assert same(first, fitted())


def test_nothing_is_kept_without_a_cache(folder: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", None)
    fitted()
    assert not folder.exists()


def test_a_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr(kept.tempfile, "mkstemp", full)
    assert np.isfinite(fitted().elbo)
    assert not list(folder.glob("*"))


def test_the_oldest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted()
    before = {p: p.stat().st_size for p in folder.iterdir()}
    monkeypatch.setattr(kept, "MOST", sum(before.values()) * 5 // 4)
    fitted(text=TEXT.replace("0.5", "0.6"))
    after = {p: p.stat().st_size for p in folder.iterdir()}
    assert 0.7 * kept.MOST < sum(after.values()) <= kept.MOST
    assert len(after.keys() & before.keys()) < len(before) and after.keys() - before.keys()


def test_a_digest_tells_kinds_and_orders_apart() -> None:
    different = (1, 1.0, True, "1", None, (1,), (1, 1), ((1,), 1), {"a": 1}, [[1]], np.int32(1) * np.ones(1, np.int32),
                 np.ones(1), np.ones((1, 1)), b"1")  # fmt: skip
    found = {kept.digest(x) for x in different}
    assert len(found) == len(different)
    assert kept.digest({"a": 1, "b": 2}) == kept.digest({"b": 2, "a": 1})
