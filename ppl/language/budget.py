"""How many instances of a guard a gradient evaluates if each evaluates the program anew."""

from __future__ import annotations

# All up to here, and beyond a random subset of that size. With 16 to 128 of them a gradient of given accuracy took the
# least time from 200 instances on; below 100 all of them did. See benchmarks/scaling.py.
BOUNDARY_BUDGET = 64
