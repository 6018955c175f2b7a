"""Figures of fits: what is in them, and the command that writes them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppl.cli import main
from ppl.infer import Fit
from ppl.plot import KINDS, NothingToShow, figure


def axes(drawn: Any) -> dict[str, Any]:
    """Axes by title, those of all parts of a figure."""
    found = list(drawn.axes)
    return {ax.get_title(loc="left"): ax for ax in found if ax.get_title(loc="left")}


def test_an_overview_has_the_run_the_branches_and_every_quantity(fitted: Fit) -> None:
    found = axes(figure(fitted))
    share = np.isfinite(fitted.draws["y"]).mean()
    assert set(found) == {
        "ELBO, not converged after 300 steps", "probability of each condition", "x", f"y  (exists: {share:.0%})"
    }  # fmt: skip
    # Posterior bars are a density over all draws but the outermost.
    area = sum(p.get_width() * p.get_height() for p in found["x"].patches if hasattr(p, "get_width"))
    assert 0.98 < area <= 1.0 + 1e-9
    dots = [np.asarray(c.get_offsets())[:, 0] for c in found["probability of each condition"].collections[1:]]
    for have, key in zip(dots, ("prior", "posterior"), strict=True):
        np.testing.assert_allclose(have, [b[key] for b in fitted.branches])
    lines = [line.get_ydata() for line in found["ELBO, not converged after 300 steps"].lines]
    assert len(lines[0]) == 150 and set(lines[1]) == {fitted.elbo}


def test_arrays_integers_and_what_never_exists(fitted: Fit) -> None:
    rng = np.random.default_rng(1)
    latents = {
        "long": rng.normal(size=(200, 30)), "short": rng.normal(size=(200, 2)), "count": rng.poisson(3, 200),
        "still": np.ones(200), "never": np.full(200, np.nan),
    }  # fmt: skip
    posterior = replace(fitted.posterior, latents=latents, reports={})
    fit = replace(fitted, latents=tuple(latents), posterior=posterior, prior={"long": rng.normal(size=(90, 30))})
    found = axes(figure(fit, "posterior"))
    assert set(found) == {"long, by element", "short[0]", "short[1]", "count", "still", "never  (exists: 0%)"}
    bars = [p for p in found["count"].patches if p.get_height()]
    heights = {round(p.get_x() + p.get_width() / 2): p.get_height() for p in bars}
    assert heights == pytest.approx({k: (latents["count"] == k).mean() for k in heights}) and len(heights) > 5


def test_kinds(fitted: Fit) -> None:
    assert all(figure(fitted, kind).axes for kind in KINDS)
    with pytest.raises(NothingToShow):
        figure(replace(fitted, branches=()), "branches")
    with pytest.raises(ValueError, match="no kind of plot 'pie'"):
        figure(fitted, "pie")


def test_the_command_writes_pictures(
    fitted: Fit, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path / "a.nc")
    for options, name, start in (
        ([], "a.png", b"\x89PNG"), (["-o", str(tmp_path / "b.svg"), "--kind", "trace"], "b.svg", b"<?xml"),
    ):  # fmt: skip
        assert main(["plot", str(tmp_path / "a.nc"), *options]) == 0
        assert capfd.readouterr() == (f"{tmp_path / name}\n", "")
        assert (tmp_path / name).read_bytes().startswith(start)
    for options, message in (
        (["-o", "a.txt"], "pictures are"), (["-o", str(tmp_path / "no" / "a.png")], "cannot write"),
        (["--kind", "pie"], "invalid choice"),
    ):  # fmt: skip
        assert main(["plot", str(tmp_path / "a.nc"), *options]) == 2
        assert message in capfd.readouterr().err
    assert main(["plot", str(tmp_path / "none.nc")]) == 2
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    assert main(["plot", str(tmp_path / "a.nc")]) == 2
    assert "pip install 'pplc[plot]'" in capfd.readouterr().err
