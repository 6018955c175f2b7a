"""What the compiler knows about each distribution without running it: arguments, their domains, the support.

The densities themselves are in ``ppl/runtime/densities.py``, under `Distribution.function`; a test checks that the
two tables name the same functions with the same number of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ppl.record import record


@record
class Param:
    """An argument of a distribution. `domain`: real, positive, unit (closed [0, 1]), int_nonnegative, simplex."""

    name: str
    domain: str
    ndim: int = 0  # event dimensions of the argument: 1 for a vector of probabilities


@record
class Support:
    """Where the density is not zero. `kind`: real, lower, upper, interval, nonnegative_int, bounded_int, categories.

    `bounds` are argument names or numbers: the end of `lower` and `upper`, both ends of `interval` and `bounded_int`,
    the lower end of `nonnegative_int`.
    """

    kind: str
    bounds: tuple[str | float, ...] = ()


@record
class Distribution:
    name: str
    function: str
    params: tuple[Param, ...]
    support: Support
    noise: str = "inverse_cdf"  # how `noise` draws: "inverse_cdf" (moves with its arguments) or "sampler" (data only)

    @property
    def discrete(self) -> bool:
        return self.support.kind in ("nonnegative_int", "bounded_int", "categories")

    @property
    def family(self) -> str:
        """The name without a truncation."""
        return self.name.partition(" in ")[0]

    @property
    def truncated(self) -> bool:
        return self.family != self.name


_REAL, _POSITIVE = Support("real"), Support("lower", (0.0,))
_COUNT = Support("nonnegative_int", (0.0,))


def _params(text: str) -> tuple[Param, ...]:
    """``"mean, sd+"`` -> params; + positive, u unit interval, # non-negative int, [] vector of probabilities."""
    out: list[Param] = []
    for word in text.split(", "):
        name, mark = (word[:-1], word[-1]) if word[-1] in "+%#@" else (word, "")
        domain = {"": "real", "+": "positive", "%": "unit", "#": "int_nonnegative", "@": "simplex"}[mark]
        out.append(Param(name, domain, 1 if domain == "simplex" else 0))
    return tuple(out)


_TABLE = (
    Distribution("Normal", "normal", _params("mean, sd+"), _REAL),
    Distribution("LogNormal", "lognormal", _params("mu, sigma+"), _POSITIVE),
    Distribution("HalfNormal", "halfnormal", _params("sd+"), _POSITIVE),
    Distribution("Uniform", "uniform", _params("lo, hi"), Support("interval", ("lo", "hi"))),
    Distribution("Exponential", "exponential", _params("rate+"), _POSITIVE),
    Distribution("Gamma", "gamma", _params("shape+, rate+"), _POSITIVE, "sampler"),
    Distribution("InverseGamma", "inversegamma", _params("shape+, scale+"), _POSITIVE, "sampler"),
    Distribution("Beta", "beta", _params("a+, b+"), Support("interval", (0.0, 1.0)), "sampler"),
    Distribution("Cauchy", "cauchy", _params("loc, scale+"), _REAL),
    Distribution("HalfCauchy", "halfcauchy", _params("scale+"), _POSITIVE),
    Distribution("StudentT", "studentt", _params("df+, loc, scale+"), _REAL, "sampler"),
    Distribution("Laplace", "laplace", _params("loc, scale+"), _REAL),
    Distribution("Logistic", "logistic", _params("loc, scale+"), _REAL),
    Distribution("Weibull", "weibull", _params("shape+, scale+"), _POSITIVE),
    Distribution("Pareto", "pareto", _params("scale+, shape+"), Support("lower", ("scale",))),
    Distribution("Poisson", "poisson", _params("rate+"), _COUNT, "sampler"),
    Distribution("Bernoulli", "bernoulli", _params("p%"), Support("bounded_int", (0.0, 1.0)), "sampler"),
    Distribution("BernoulliLogit", "bernoullilogit", _params("logit"), Support("bounded_int", (0.0, 1.0)), "sampler"),
    Distribution("Binomial", "binomial", _params("n#, p%"), Support("bounded_int", (0.0, "n")), "sampler"),
    Distribution("NegativeBinomial", "negativebinomial", _params("mean+, dispersion+"), _COUNT, "sampler"),
    Distribution("Geometric", "geometric", _params("p%"), _COUNT, "sampler"),
    Distribution("Categorical", "categorical", _params("probs@"), Support("categories", ("probs",)), "sampler"),
)

DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType({d.name: d for d in _TABLE})

# Names of the ends in a truncated distribution, after the arguments of its own.
LOWER, UPPER = "lower", "upper"
_FORMS = {(True, True): "within", (True, False): "above", (False, True): "below"}


def truncated(d: Distribution, lower: bool, upper: bool) -> Distribution:
    """`d` cut off at the ends that are given, which are further arguments: ``Normal in (lower, inf)``."""
    name = f"{d.name} in ({LOWER if lower else '-inf'}, {UPPER if upper else 'inf'})"
    ends = [Param(n, "real") for n, on in ((LOWER, lower), (UPPER, upper)) if on]
    own = d.support
    first = LOWER if lower else own.bounds[0] if own.kind not in ("real", "upper", "categories") else None
    last = UPPER if upper else own.bounds[-1] if own.kind in ("upper", "interval", "bounded_int") else None
    if d.discrete:
        low = 0.0 if first is None else first
        support = Support("nonnegative_int", (low,)) if last is None else Support("bounded_int", (low, last))
    elif first is None or last is None:
        support = Support("lower", (first,)) if first is not None else Support("upper", (last or 0.0,))
    else:
        support = Support("interval", (first, last))
    return Distribution(name, f"{d.function}.{_FORMS[lower, upper]}", (*d.params, *ends), support, "sampler")


LAWS: Mapping[str, Distribution] = MappingProxyType(
    dict(DISTRIBUTIONS) | {t.name: t for d in _TABLE for ends in _FORMS for t in (truncated(d, *ends),)}
)
"""The distributions and, by names that no program can use, their truncated forms."""
