"""A program meets its data: static sizes, ragged extents, shapes and counts, and the checks that need data."""

from ppl.bind.model import Bound

__all__ = ["Bound"]
