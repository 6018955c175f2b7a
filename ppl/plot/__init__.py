"""Figures of fits, with matplotlib (the extra `pplc[plot]`). Importing this package does not import it."""

from ppl.plot.figures import KINDS, NothingToShow, figure

__all__ = ["KINDS", "NothingToShow", "figure"]
