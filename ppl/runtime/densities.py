"""Log densities of the language's distributions, under `Distribution.function` of ``ppl/language/distributions.py``.

``normal(x, mean, sd)`` is the elementwise log density, with full broadcasting and in the dtype of its inputs. Outside
the support it is -inf with zero gradient; at an edge where it is infinite the gradient is zero too, so no NaN arises
from ``0 * inf`` further up. A NaN operand, or an argument outside its domain, gives NaN (or an infinity, for a scale
of 0), never a plausible number. ``normal.masked(mask, x, mean, sd)`` is the log density where `mask` holds and 0
elsewhere, and nothing that the operands hold elsewhere reaches a value or a gradient.

`DENSITIES` maps each of these names to its density. Terms that grow with the arguments are
paired before they cancel (see `functions.stirling_error`), which keeps float32 usable at large counts and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ppl.runtime.densities_base import Custom, Density, Mixture, Ordered, Truncated, flat, mixture
from ppl.runtime.densities_continuous import (
    beta,
    cauchy,
    exponential,
    gamma,
    halfcauchy,
    halfnormal,
    inversegamma,
    laplace,
    logistic,
    lognormal,
    normal,
    pareto,
    studentt,
    uniform,
    weibull,
)
from ppl.runtime.densities_discrete import (
    bernoulli,
    bernoullilogit,
    binomial,
    categorical,
    geometric,
    negativebinomial,
    poisson,
)
from ppl.runtime.densities_vector import dirichlet, lkjcholesky

_TABLE = (
    normal,
    lognormal,
    halfnormal,
    uniform,
    exponential,
    gamma,
    inversegamma,
    beta,
    cauchy,
    halfcauchy,
    studentt,
    laplace,
    logistic,
    weibull,
    pareto,
    poisson,
    bernoulli,
    bernoullilogit,
    binomial,
    negativebinomial,
    geometric,
    categorical,
)

DENSITIES: Mapping[str, Density] = MappingProxyType({d.name: d for d in _TABLE})

__all__ = [
    "DENSITIES",
    "Custom",
    "Density",
    "Mixture",
    "Ordered",
    "Truncated",
    "bernoulli",
    "bernoullilogit",
    "beta",
    "binomial",
    "categorical",
    "cauchy",
    "dirichlet",
    "exponential",
    "flat",
    "gamma",
    "geometric",
    "halfcauchy",
    "halfnormal",
    "inversegamma",
    "laplace",
    "lkjcholesky",
    "logistic",
    "lognormal",
    "mixture",
    "negativebinomial",
    "normal",
    "pareto",
    "poisson",
    "studentt",
    "uniform",
    "weibull",
]
