"""What all tests share: the switch that rewrites golden files, and quick compilation."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests in ``slow.txt``: those that take long and have a quicker one beside them."""
    names = set((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in names:
            item.add_marker(pytest.mark.slow)
    if not any("::" in a for a in config.args):
        files = {item.nodeid.partition("::")[0] for item in items}
        gone = {n for n in names if n.partition("::")[0] in files} - {item.nodeid for item in items}
        if gone:
            raise pytest.UsageError(f"tests/slow.txt has tests that are not there: {', '.join(sorted(gone))}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files anew instead of comparing")
