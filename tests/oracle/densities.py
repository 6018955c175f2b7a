"""Log densities, supports and quantiles written from textbook formulas with scipy, for the interpreter alone.

A test compares every formula with ``scipy.stats``; nothing here is shared with the compiler's runtime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special, stats

A = np.ndarray
LOG_2PI = np.log(2 * np.pi)

PARAMETERS: dict[str, tuple[str, ...]] = {
    "Normal": ("mean", "sd"), "LogNormal": ("mu", "sigma"), "HalfNormal": ("sd",), "Uniform": ("lo", "hi"),
    "Exponential": ("rate",), "Gamma": ("shape", "rate"), "InverseGamma": ("shape", "scale"), "Beta": ("a", "b"),
    "Cauchy": ("loc", "scale"), "HalfCauchy": ("scale",), "StudentT": ("df", "loc", "scale"),
    "Laplace": ("loc", "scale"), "Logistic": ("loc", "scale"), "Weibull": ("shape", "scale"),
    "Pareto": ("scale", "shape"), "Poisson": ("rate",), "Bernoulli": ("p",), "BernoulliLogit": ("logit",),
    "Binomial": ("n", "p"), "NegativeBinomial": ("mean", "dispersion"), "Geometric": ("p",),
    "Categorical": ("probs",), "Dirichlet": ("alpha",), "LKJCholesky": ("d", "eta"),
}  # fmt: skip


def _where(ok: A, value: A) -> A:
    return np.where(ok, value, -np.inf)


def _normal(x: A, m: A, s: A) -> A:
    return -0.5 * ((x - m) / s) ** 2 - np.log(s) - 0.5 * LOG_2PI


def _student(x: A, df: A, m: A, s: A) -> A:
    c = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(np.pi * df) - np.log(s)
    return c - (df + 1) / 2 * np.log1p(((x - m) / s) ** 2 / df)


def _logistic(x: A, m: A, s: A) -> A:
    y = (x - m) / s
    return -np.abs(y) - 2 * np.log1p(np.exp(-np.abs(y))) - np.log(s)


def _binomial(k: A, n: A, p: A) -> A:
    choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return _where((k >= 0) & (k <= n), choose + special.xlogy(k, p) + special.xlog1py(n - k, -p))


def _negative_binomial(k: A, m: A, d: A) -> A:
    c = special.gammaln(k + d) - special.gammaln(d) - special.gammaln(k + 1)
    return c + d * np.log(d / (d + m)) + special.xlogy(k, m / (d + m))


LOG_DENSITY: dict[str, Callable[..., A]] = {
    "Normal": _normal,
    "LogNormal": lambda x, m, s: _where(x > 0, _normal(np.log(x), m, s) - np.log(x)),
    "HalfNormal": lambda x, s: _where(x >= 0, _normal(x, 0.0, s) + np.log(2)),
    "Uniform": lambda x, a, b: _where((x >= a) & (x <= b), -np.log(b - a)),
    "Exponential": lambda x, r: _where(x >= 0, np.log(r) - r * x),
    "Gamma": lambda x, a, r: _where(x > 0, a * np.log(r) + (a - 1) * np.log(x) - r * x - special.gammaln(a)),
    "InverseGamma": lambda x, a, s: _where(x > 0, a * np.log(s) - special.gammaln(a) - (a + 1) * np.log(x) - s / x),
    "Beta": lambda x, a, b: _where(
        (x >= 0) & (x <= 1), special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b)
    ),
    "Cauchy": lambda x, m, s: -np.log(np.pi * s) - np.log1p(((x - m) / s) ** 2),
    "HalfCauchy": lambda x, s: _where(x >= 0, np.log(2 / np.pi / s) - np.log1p((x / s) ** 2)),
    "StudentT": _student,
    "Laplace": lambda x, m, s: -np.abs(x - m) / s - np.log(2 * s),
    "Logistic": _logistic,
    "Weibull": lambda x, k, s: _where(x >= 0, np.log(k / s) + (k - 1) * np.log(x / s) - (x / s) ** k),
    "Pareto": lambda x, m, a: _where(x >= m, np.log(a) + a * np.log(m) - (a + 1) * np.log(x)),
    "Poisson": lambda k, r: _where(k >= 0, special.xlogy(k, r) - r - special.gammaln(k + 1)),
    "Bernoulli": lambda k, p: np.where(k == 1, np.log(p), np.log1p(-p)),
    "BernoulliLogit": lambda k, t: special.log_expit(np.where(k == 1, t, -t)),
    "Binomial": _binomial,
    "NegativeBinomial": _negative_binomial,
    "Geometric": lambda k, p: _where(k >= 0, np.log(p) + special.xlog1py(k, -p)),
}

DISCRETE = frozenset(("Poisson", "Bernoulli", "BernoulliLogit", "Binomial", "NegativeBinomial", "Geometric",
                      "Categorical"))  # fmt: skip
SAMPLED = frozenset(("Gamma", "InverseGamma", "Beta", "StudentT")) | DISCRETE  # noise that is given as it is drawn
_POSITIVE = ("LogNormal", "HalfNormal", "Exponential", "Gamma", "InverseGamma", "HalfCauchy", "Weibull")


def support(name: str, args: tuple[A, ...]) -> tuple[str, tuple[A, ...]]:
    """(real, lower, interval or int; bounds)."""
    if name in DISCRETE:
        return "int", ()
    if name in _POSITIVE:
        return "lower", (np.zeros(1),)
    if name == "Pareto":
        return "lower", (args[0],)
    if name == "Uniform":
        return "interval", args
    if name == "Beta":
        return "interval", (np.zeros(1), np.ones(1))
    return "real", ()


def forward(kind: str, u: A, bounds: tuple[A, ...]) -> tuple[A, A]:
    """The latent and log |dT/du| at unconstrained u (the transforms of Stan's reference manual)."""
    match kind:
        case "real":
            return u, np.zeros_like(u)
        case "lower":
            return bounds[0] + np.exp(u), u
        case "upper":
            return bounds[0] - np.exp(u), u
        case "interval":
            lo, hi = bounds
            return lo + (hi - lo) * special.expit(u), np.log(hi - lo) + special.log_expit(u) + special.log_expit(-u)
        case _:
            raise NotImplementedError(f"no transform for support {kind}")


def frozen(name: str, args: tuple[A, ...]) -> stats.rv_continuous:
    """The same distribution of ``scipy.stats``, for quantiles and for the test of the formulas above."""
    a = args
    match name:
        case "Normal":
            return stats.norm(a[0], a[1])
        case "LogNormal":
            return stats.lognorm(a[1], scale=np.exp(a[0]))
        case "HalfNormal":
            return stats.halfnorm(scale=a[0])
        case "Uniform":
            return stats.uniform(a[0], a[1] - a[0])
        case "Exponential":
            return stats.expon(scale=1 / a[0])
        case "Gamma":
            return stats.gamma(a[0], scale=1 / a[1])
        case "InverseGamma":
            return stats.invgamma(a[0], scale=a[1])
        case "Beta":
            return stats.beta(a[0], a[1])
        case "Cauchy":
            return stats.cauchy(a[0], a[1])
        case "HalfCauchy":
            return stats.halfcauchy(scale=a[0])
        case "StudentT":
            return stats.t(a[0], a[1], a[2])
        case "Laplace":
            return stats.laplace(a[0], a[1])
        case "Logistic":
            return stats.logistic(a[0], a[1])
        case "Weibull":
            return stats.weibull_min(a[0], scale=a[1])
        case "Pareto":
            return stats.pareto(a[1], scale=a[0])
        case "Poisson":
            return stats.poisson(a[0])
        case "Bernoulli":
            return stats.bernoulli(a[0])
        case "BernoulliLogit":
            return stats.bernoulli(special.expit(a[0]))
        case "Binomial":
            return stats.binom(a[0], a[1])
        case "NegativeBinomial":
            return stats.nbinom(a[1], a[1] / (a[0] + a[1]))
        case "Geometric":
            return stats.geom(a[0], loc=-1)
        case _:
            raise NotImplementedError(name)


def between(name: str, args: tuple[A, ...], low: A, high: A) -> A:
    """The logarithm of the probability of the values from `low` to `high`."""
    law = frozen(name, tuple(a.astype(float) for a in args))
    if name in DISCRETE:
        if np.all(np.isfinite(low) & np.isfinite(high)):  # far from where the distribution lies, differences underflow
            values = np.arange(int(np.min(low)), int(np.max(high)) + 1)
            inside = (values >= low[..., None]) & (values <= high[..., None])
            spread = frozen(name, tuple(a.astype(float)[..., None] for a in args))
            return special.logsumexp(np.where(inside, spread.logpmf(values), -np.inf), axis=-1)
        low = low - 1
    return np.log(np.where(law.cdf(low) < 0.5, law.cdf(high) - law.cdf(low), law.sf(low) - law.sf(high)))


def from_normal(name: str, eps: A, args: tuple[A, ...]) -> A:
    """The quantile of the distribution at Phi(eps)."""
    if name == "Normal":
        return args[0] + args[1] * eps
    if name == "Uniform":
        return args[0] + (args[1] - args[0]) * special.ndtr(eps)
    return frozen(name, args).ppf(special.ndtr(eps))
