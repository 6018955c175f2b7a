"""What all tests share: the switch that rewrites golden files, and quick compilation."""

from __future__ import annotations

import os

import pytest

# Before jax starts, for subprocesses too: compiling takes longer than running in nearly every test, and code that is
# hardly optimised halves the time. What users get is run by `.ci/run` and by the benchmarks.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files anew instead of comparing")
