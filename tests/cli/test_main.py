"""The entry point: what it does to a process of its own, and to one that it is called from."""

import gc
import sys
from collections.abc import Generator

import pytest

from ppl.cli.main import FINE, OBJECTS, main


@pytest.fixture(autouse=True)
def collector() -> Generator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_process_of_its_own_starts_and_ends_without_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pplc", "--version"])
    assert main() == FINE
    assert gc.get_threshold()[0] == OBJECTS and gc.get_freeze_count() > 0


def test_the_process_that_calls_it_collects_as_before() -> None:
    before = gc.get_threshold()
    assert main(["--version"]) == FINE
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
