"""Makes ``benchmarks/`` importable: the hand-written densities live there."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))
