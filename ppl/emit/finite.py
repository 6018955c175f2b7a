"""Terms that are finite whatever the outcomes of guards."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.language.distributions import named

EVERYWHERE = frozenset({"Normal", "StudentT", "Cauchy", "Laplace", "Logistic"})  # densities that are nowhere zero
MOST = 200  # nodes looked at

Definitions = Mapping[str, ir.Expr]


def is_finite(s: ir.Sample | ir.Term, definitions: Definitions, sites: frozenset[str]) -> bool:
    """Whether the log density of a draw or an observation is finite by its form: its distribution has a density
    everywhere, and its arguments are sums and products of `sites`, latents of any real value, of numbers and data.
    False if that is not seen."""
    if s.distribution not in EVERYWHERE or (isinstance(s, ir.Sample) and s.outcome is not None):
        return False
    look = _Look(definitions, sites)
    domains = [p.domain for p in named(s.distribution).params]
    own = isinstance(s, ir.Sample) or look.finite(s.value)
    return own and all(
        look.positive(a) if domain == "positive" else look.finite(a) for domain, a in zip(domains, s.args, strict=True)
    )


class _Look:
    def __init__(self, definitions: Definitions, sites: frozenset[str]) -> None:
        self.definitions, self.sites, self.left = definitions, sites, MOST

    def finite(self, e: ir.Expr) -> bool:
        self.left -= 1
        if self.left < 0:
            return False
        if e.type.base != "real":
            return True
        match e:
            case ir.Lit():
                return e.value not in (float("inf"), float("-inf"))
            case ir.DataRef():
                return True
            case ir.Var():
                return e.name in self.sites or (e.name in self.definitions and self.finite(self.definitions[e.name]))
            case ir.Cell():
                return e.array in self.sites
            case ir.Index():
                return isinstance(e.base, ir.DataRef)
            case ir.Select():
                return self.finite(e.then) and self.finite(e.orelse)
            case ir.Op(op="add" | "sub" | "mul" | "neg" | "to_real" | "to_int" | "abs" | "min" | "max"):
                return all(map(self.finite, e.args))
            case ir.Op(op="div", args=(over, ir.Lit(value=under))) if under:
                return self.finite(over)
            case _:
                return False

    def positive(self, e: ir.Expr) -> bool:
        self.left -= 1
        if self.left < 0:
            return False
        match e:
            case ir.Lit():
                return 0 < e.value < float("inf")
            case ir.Var() if e.name in self.definitions:
                return self.positive(self.definitions[e.name])
            case ir.Select():
                return self.positive(e.then) and self.positive(e.orelse)
            case ir.Op(op="add" | "mul" | "to_real" | "max"):
                return all(map(self.positive, e.args))
            case _:
                return False
