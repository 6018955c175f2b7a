"""What the compiler knows about each distribution without running it: arguments, their domains, the support.

The densities themselves are in ``ppl/runtime/densities.py``, under `Distribution.function`; a test checks that the
two tables name the same functions with the same number of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from ppl.record import record


@record
class Param:
    """An argument of a distribution. `domain`: real, positive, unit (closed [0, 1]), int_nonnegative,
    int_positive, simplex."""

    name: str
    domain: str
    ndim: int = 0  # event dimensions of the argument: 1 for a vector of probabilities


@record
class Support:
    """Where the density is not zero. `kind`: real, lower, upper, interval, nonnegative_int, bounded_int, categories, or
    one of `JOINT`, whose elements do not vary freely.

    `bounds` are argument names or numbers: the end of `lower` and `upper`, both ends of `interval` and `bounded_int`,
    the lower end of `nonnegative_int`; of ordered vectors those of their elements.
    """

    kind: str
    bounds: tuple[str | float, ...] = ()


# Supports of whole vectors and matrices, with a word for them: the name of a type, of vectors.
JOINT: Mapping[str, str] = MappingProxyType(
    {"simplex": "simplex", "ordered": "ordered", "ordered_lower": "ordered", "ordered_interval": "ordered",
     "cholesky_corr": "cholesky"}
)  # fmt: skip


@record
class Distribution:
    name: str
    function: str
    params: tuple[Param, ...]
    support: Support
    base: str = ""  # of a truncated one: the name without the truncation
    noise: str = "inverse_cdf"  # how `noise` draws: "inverse_cdf" (moves with its arguments) or "sampler" (data only)

    uneven: bool = False  # a continuous mixture whose components have different supports: its density jumps inside

    @property
    def discrete(self) -> bool:
        return self.support.kind in ("nonnegative_int", "bounded_int", "categories")

    @property
    def joint(self) -> bool:
        """Whether its support is of whole vectors: a latent has other coordinates than elements."""
        return self.support.kind in JOINT

    @property
    def written(self) -> str:
        """The name as programs have it."""
        return self.name.replace(_BY_LOG_ODDS, "")

    @property
    def family(self) -> str:
        """The name, as programs have it, without a truncation."""
        return (self.base or self.name).replace(_BY_LOG_ODDS, "")

    @property
    def truncated(self) -> bool:
        return bool(self.base)


_REAL, _POSITIVE = Support("real"), Support("lower", (0.0,))
_COUNT, _BINARY = Support("nonnegative_int", (0.0,)), Support("bounded_int", (0.0, 1.0))


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
    Distribution("Gamma", "gamma", _params("shape+, rate+"), _POSITIVE, noise="sampler"),
    Distribution("InverseGamma", "inversegamma", _params("shape+, scale+"), _POSITIVE, noise="sampler"),
    Distribution("Beta", "beta", _params("a+, b+"), Support("interval", (0.0, 1.0)), noise="sampler"),
    Distribution("Cauchy", "cauchy", _params("loc, scale+"), _REAL),
    Distribution("HalfCauchy", "halfcauchy", _params("scale+"), _POSITIVE),
    Distribution("StudentT", "studentt", _params("df+, loc, scale+"), _REAL, noise="sampler"),
    Distribution("Laplace", "laplace", _params("loc, scale+"), _REAL),
    Distribution("Logistic", "logistic", _params("loc, scale+"), _REAL),
    Distribution("Weibull", "weibull", _params("shape+, scale+"), _POSITIVE),
    Distribution("Pareto", "pareto", _params("scale+, shape+"), Support("lower", ("scale",))),
    Distribution("Poisson", "poisson", _params("rate+"), _COUNT, noise="sampler"),
    Distribution("Bernoulli", "bernoulli", _params("p%"), _BINARY, noise="sampler"),
    Distribution("BernoulliLogit", "bernoullilogit", _params("logit"), _BINARY, noise="sampler"),
    Distribution("Binomial", "binomial", _params("n#, p%"), Support("bounded_int", (0.0, "n")), noise="sampler"),
    Distribution("NegativeBinomial", "negativebinomial", _params("mean+, dispersion+"), _COUNT, noise="sampler"),
    Distribution("Geometric", "geometric", _params("p%"), _COUNT, noise="sampler"),
    Distribution("Categorical", "categorical", _params("probs@"), Support("categories", ("probs",)), noise="sampler"),
)

_BY_LOG_ODDS = " (log odds)"
# What ``Bernoulli(inv_logit(x))`` is: `BernoulliLogit`, under the name that the program has for it.
LOG_ODDS = Distribution(
    f"Bernoulli{_BY_LOG_ODDS}", "bernoullilogit", (Param("log odds", "real"),), _BINARY, noise="sampler"
)

DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType({d.name: d for d in _TABLE})

# Distributions of latents whose elements do not vary freely.
OF_VECTORS: Mapping[str, Distribution] = MappingProxyType(
    {
        "Dirichlet": Distribution("Dirichlet", "dirichlet", (Param("alpha", "positive", 1),), Support("simplex")),
        "LKJCholesky": Distribution(
            "LKJCholesky", "lkjcholesky", (Param("d", "int_positive"), Param("eta", "positive")),
            Support("cholesky_corr"),
        ),
    }
)  # fmt: skip

# Distributions that the standard library makes, and the file that has them.
IN_LIBRARY: Mapping[str, str] = MappingProxyType(
    {n: "multivariate" for n in ("MvNormal", "MvNormalCholesky", "Dirichlet", "Multinomial", "OrderedLogistic")}
    | {f"{form}{d}": "counts" for form in ("ZeroInflated", "Hurdle") for d in ("Poisson", "NegativeBinomial")}
)

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
    function = f"{d.function}.{_FORMS[lower, upper]}"
    return Distribution(name, function, (*d.params, *ends), support, d.name, "sampler", d.uneven)


def mixture(parts: tuple[Distribution, ...]) -> Distribution:
    """A mixture: the weights, then the arguments of each component, numbered: ``mean 1, sd 1, mean 2, sd 2``.

    Its support is that of the components where they have the same one, else everything.
    """
    params = [Param(f"{p.name} {k + 1}", p.domain, p.ndim) for k, d in enumerate(parts) for p in d.params]
    functions = ", ".join(f"dist.{d.function}" for d in parts)
    same = all(d.support == parts[0].support for d in parts) and not any(
        isinstance(b, str) for b in parts[0].support.bounds
    )
    support = parts[0].support if same else _COUNT if parts[0].discrete else _REAL
    name = f"{MIXTURE}({', '.join(d.name for d in parts)})"
    weights = Param("weights", "simplex", 1)
    uneven = not same and not parts[0].discrete and any(d.support.kind != "real" for d in parts)
    return Distribution(name, f"mixture({functions})", (weights, *params), support, "", "sampler", uneven)


def ordered(d: Distribution) -> Distribution | None:
    """The elements of a vector drawn independently from `d`, in increasing order; None where no transform reaches
    that."""
    kind = {"real": "ordered", "lower": "ordered_lower", "interval": "ordered_interval"}.get(d.support.kind)
    if kind is None:
        return None
    return Distribution(_ORDERED + d.name, f"{d.function}.ordered", d.params, Support(kind, d.support.bounds))


MIXTURE = "Mixture"
_ORDERED = "ordered "
_BY_DENSITY = " (density)"
_ENDS = tuple((f" in ({LOWER if a else '-inf'}, {UPPER if b else 'inf'})", a, b) for a, b in _FORMS)


def by_density(name: str) -> Distribution:
    """What a latent is drawn from whose density is a function of the program: any real, with density 1."""
    return Distribution(name + _BY_DENSITY, "flat", (), _REAL, "", "sampler")


@cache
def named(name: str) -> Distribution:
    """The distribution of this name: one of the table, or made of these by `truncated` and `mixture`."""
    if name in DISTRIBUTIONS:
        return DISTRIBUTIONS[name]
    if name in OF_VECTORS:
        return OF_VECTORS[name]
    if name == LOG_ODDS.name:
        return LOG_ODDS
    if name.startswith(_ORDERED):
        found = ordered(named(name.removeprefix(_ORDERED)))
        assert found is not None
        return found
    if name.endswith(_BY_DENSITY):
        return by_density(name.removesuffix(_BY_DENSITY))
    for text, lower, upper in _ENDS:
        if name.endswith(text):
            return truncated(named(name.removesuffix(text)), lower, upper)
    return mixture(tuple(named(part) for part in _components(name)))


def _components(name: str) -> list[str]:
    """The names in ``Mixture(A, B in (lower, upper))``."""
    inside = name[len(MIXTURE) + 1 : -1]
    out, depth, start = list[str](), 0, 0
    for k, character in enumerate(inside):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            out.append(inside[start:k])
            start = k + 2
    return [*out, inside[start:]]


@record
class DensityFunction:
    """A log density, or a log probability below (`lcdf`) or above (`lccdf`) a value, as a function: ``Normal_lpdf``."""

    distribution: Distribution
    part: str  # lpdf, lpmf, lcdf, lccdf

    @property
    def function(self) -> str:
        """What it is called in emitted code."""
        suffix = "" if self.part in ("lpdf", "lpmf") else f".{self.part}"
        return f"dist.{self.distribution.function}{suffix}"


PARTS = ("lpdf", "lpmf", "lcdf", "lccdf")
SAMPLER = "_rng"  # what the name of a function that draws ends in
DENSITY_FUNCTIONS: Mapping[str, DensityFunction] = MappingProxyType(
    {
        f"{d.name}_{part}": DensityFunction(d, part)
        for d in _TABLE
        for part in ("lpmf" if d.discrete else "lpdf", "lcdf", "lccdf")
    }
)


@record
class Sufficient:
    """A form of a distribution as an exponential family: its log density is a sum of products, each of a statistic of
    the value and a function of the arguments. The arguments at `known` are data: they are part of the statistics.

    `family` names it in ``ppl/runtime/families.py``.
    """

    family: str
    known: tuple[int, ...] = ()


SUFFICIENT: Mapping[str, tuple[Sufficient, ...]] = MappingProxyType(
    {
        "Normal": (Sufficient("normal"), Sufficient("normal_of_known_sd", (1,))),
        "LogNormal": (Sufficient("lognormal"), Sufficient("lognormal_of_known_sigma", (1,))),
        "HalfNormal": (Sufficient("halfnormal"),),
        "Exponential": (Sufficient("exponential"),),
        "Gamma": (Sufficient("gamma"),),
        "Poisson": (Sufficient("poisson"),),
        "Bernoulli": (Sufficient("bernoulli"),),
        "BernoulliLogit": (Sufficient("bernoullilogit"),),
        LOG_ODDS.name: (Sufficient("bernoullilogit"),),
        "Binomial": (Sufficient("binomial", (0,)),),
        "Geometric": (Sufficient("geometric"),),
    }
)
