"""Guards become region boundaries: class, line, forward slice and status of each."""

from ppl.regions.extract import extract
from ppl.regions.model import Boundary, GuardInfo, Regions

__all__ = ["Boundary", "GuardInfo", "Regions", "extract"]
