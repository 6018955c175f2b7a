"""``pplc plot``: a saved fit as a picture."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ppl.cli.console import UsageError, put
from ppl.cli.main import FINE
from ppl.cli.output import check_writable, why
from ppl.cli.saved import open_saved

FORMATS = (".png", ".svg", ".pdf")


def plot(options: argparse.Namespace) -> int:
    """Draws, writes, and prints where to."""
    from ppl.infer import Fit
    from ppl.infer.checkpoint import replacing
    from ppl.plot import NothingToShow, figure

    target = options.output or f"{os.path.splitext(options.fit)[0]}.png"
    kind = os.path.splitext(target)[1].lower()
    if kind not in FORMATS:
        raise UsageError(f"cannot draw {target}: pictures are {', '.join(FORMATS)}")
    check_writable(target)
    saved = open_saved(options.fit)
    if not isinstance(saved, Fit):
        raise UsageError(f"{options.fit} has draws of a sampler: plot draws fits; ArviZ plots both")
    try:
        drawn: Any = figure(saved, options.kind)  # matplotlib leaves types open
    except ImportError as error:
        raise UsageError("plot needs matplotlib: pip install 'pplc[plot]'") from error
    except NothingToShow as error:
        raise UsageError(f"{options.fit}: {error}") from error
    try:
        with replacing(Path(target)) as temporary:
            drawn.savefig(temporary, format=kind[1:])
    except OSError as error:
        raise UsageError(f"cannot write {target}: {why(error)}") from error
    put(f"{target}\n")
    return FINE
