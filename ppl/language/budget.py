"""How many instances of a guard a gradient evaluates if each evaluates the program, or a loop of it, anew."""

from __future__ import annotations

# A number, None for all, or AUTO: what `ppl.regions.costs.budgets` finds to be best for each guard.
Budget = int | str | None

AUTO = "auto"
BOUNDARY_BUDGET: Budget = AUTO


def check_budget(budget: Budget) -> None:
    """Raises ValueError for what is no budget."""
    if budget is not None and budget != AUTO and (isinstance(budget, str) or budget < 1):
        raise ValueError(f'the boundary budget must be at least 1, "{AUTO}", or None for all, not {budget!r}')
