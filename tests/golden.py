"""Golden files: text that a test compares with a file, which ``pytest --update`` writes anew."""

from __future__ import annotations

from pathlib import Path

import pytest


def check(path: Path, text: str, config: pytest.Config) -> None:
    """Fails unless `path` holds exactly `text`; with ``--update`` writes it, for review as a diff."""
    if config.getoption("--update"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    if not path.exists():
        pytest.fail(f"{path.name} is missing: run pytest --update and review the file", pytrace=False)
    assert text == path.read_text(encoding="utf-8")
