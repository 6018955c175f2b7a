"""A program with its data: densities, transforms, guides and gradient estimators, as pure functions of jax."""

from ppl.problem.problem import Draws, Guard, Problem, Site

__all__ = ["Draws", "Guard", "Problem", "Site"]
