"""What all tests share: the switch that rewrites golden files, and quick compilation."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest

# Before jax starts, for subprocesses too: compiling takes longer than running in nearly every test, and code that is
# hardly optimised halves the time. What users get is run by `.ci/run` and by the benchmarks. Not level 0: with it some
# recorded gradients are wrong (jaxlib 0.10.2), which no other level shows.
QUICK = ["--xla_backend_optimization_level=1"]
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):  # later ones have no such flag, and stop at it
    QUICK.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(QUICK))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Several processes: each takes neighbouring tests, which share fixtures and compiled programs, and idle ones steal
    from others."""
    if config.getoption("numprocesses", None) and config.getoption("dist", "no") == "no":
        config.option.dist = "worksteal"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files anew instead of comparing")
