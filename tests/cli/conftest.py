"""Running the command line inside the test process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from ppl.cli import main

STEP = """\
x ~ Normal(0, 1)
m = if x < 0 then -1 else 2
observe 0.5 ~ Normal(m, 1)
report twice = 2 * x
"""

BROKEN = """\
x ~ Normal(0, 1)
y = if x > then 1 else 2
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


Pplc = Callable[..., Result]


@pytest.fixture
def keep_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line chooses precision and cache of its process; here that is the test process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = {name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_compilation_cache_dir")}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def pplc(capfd: pytest.CaptureFixture[str], keep_settings: None) -> Iterator[Pplc]:
    """``pplc("check", path)`` runs the command and returns its exit code and what it wrote."""

    del keep_settings

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return Result(code, *capfd.readouterr())

    yield run


@pytest.fixture
def step(tmp_path: Path) -> Path:
    path = tmp_path / "step.ppl"
    path.write_text(STEP)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.ppl"
    path.write_text(BROKEN)
    return path


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """A program that needs data, without any beside it."""
    path = tmp_path / "counts.ppl"
    path.write_text(
        "data n: int\ndata y: int[n]\na ~ LogNormal(1, 1)\nc ~ Uniform(0, n)\n"
        "for i in 0..n { observe y[i] ~ Poisson(if i < c then a else 3.0) }\n"
    )
    return path
