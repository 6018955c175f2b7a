"""A program with its data: densities, transforms, guides and gradient estimators, as pure functions of jax."""

from ppl.problem.observations import Observed
from ppl.problem.problem import Draws, Guard, Problem, Replay, Site

__all__ = ["Draws", "Guard", "Observed", "Problem", "Replay", "Site"]
