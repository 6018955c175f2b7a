"""Checking gradient estimators: is the average of what an estimator returns the gradient of the ELBO?

    from ppl.testing import check_gradient
    check_gradient(problem).assert_ok()

:func:`check_gradient` is for problems of this package, :func:`check_estimator` for estimators from anywhere that are
jax functions of parameters and a key. What they do, and how far to trust it, is in ``docs/gradcheck.md``.
"""

from ppl.testing.check import DRAWS, check_gradient, compare_estimators, starting_params
from ppl.testing.custom import check_estimator
from ppl.testing.result import Component, GradientCheck

__all__ = [
    "DRAWS",
    "Component",
    "GradientCheck",
    "check_estimator",
    "check_gradient",
    "compare_estimators",
    "starting_params",
]
