"""Guards that are strictly monotone in one latent: they have at most one root on its line."""

from __future__ import annotations

from ppl.core import ir, poly
from ppl.core.functions import KNOWN
from ppl.language.distributions import named
from ppl.language.functions import FUNCTIONS
from ppl.regions.model import Latent
from ppl.regions.scope import Scope

MOST_FACTORS = 5  # latents that another is multiplied by, of which every order may be looked at
MOST_TRIED = 16  # latents of which one that moves a value is looked for
POSITIVE_SUPPORTS = ("Exponential", "Gamma", "InverseGamma", "HalfNormal", "HalfCauchy", "LogNormal", "Weibull", "Beta")
BOUNDED = tuple(name for name, f in KNOWN.items() if f.bounded and f.rises)
ANALYTIC = tuple(name for name, f in FUNCTIONS.items() if f.kind == "elementwise" and f.arity == (1,))
POSITIVE_VALUES = tuple(name for name, f in KNOWN.items() if f.values.positive)


def direction(scope: Scope, p: poly.Poly, latent: Latent) -> int:
    """+1 or -1 where `p` certainly rises or falls strictly with `latent`; 0 where that is not known."""
    found: set[int] = set()
    for m, c in p.items():
        moving = [(a, k) for a, k in m if not scope.independent(a, latent)]
        if not moving:
            continue
        if len(moving) > 1 or moving[0][1] != 1:
            return 0
        sign = 1 if c > 0 else -1
        for a, k in m:
            if a != moving[0][0]:
                sign *= 1 if k % 2 == 0 and is_nonzero(scope, a) else sign_of(scope, a) ** k
        found.add(sign * _atom(scope, moving[0][0], latent))
    return found.pop() if len(found) == 1 else 0


def moves(scope: Scope, p: poly.Poly, latent: Latent) -> bool:
    """Whether the slope of `p` along `latent` is certainly zero on a null set only, whatever the data."""
    if direction(scope, p, latent):
        return True
    moving = {m: [(a, k) for a, k in m if not scope.independent(a, latent)] for m in p}
    moving = {m: found for m, found in moving.items() if found}
    atoms = {a for found in moving.values() for a, _ in found}
    if len(atoms) != 1:
        return False
    (a,) = atoms
    power = max(dict(m)[a] for m in moving)
    leading = {tuple(x for x in m if x[0] != a): p[m] for m in moving if dict(m)[a] == power}
    few = len(_coordinates(scope, leading)) <= MOST_FACTORS
    if not poly.is_constant(leading) and not (few and is_rarely_zero(scope, leading)):
        return False
    match a:
        case ir.Var() | ir.Cell():
            return bool(_atom(scope, a, latent))
        case ir.Op(args=(inner,)) if not inner.type.dims and (a.op in ANALYTIC or a.op == "abs"):
            return moves(scope, scope.normal(inner), latent)
        case _:
            return False


def is_rarely_zero(scope: Scope, p: poly.Poly) -> bool:
    """Whether `p` is certainly zero on a null set only, whatever the data: a coordinate moves it."""
    free = {m: c for m, c in p.items() if all(x.random for x, _ in m)}  # of data, which may be zero
    return any(moves(scope, p, a) for a in _coordinates(scope, free)[:MOST_TRIED])


def _coordinates(scope: Scope, p: poly.Poly) -> list[Latent]:
    """The coordinates of latents that are written in `p`."""
    sites = {s.name for s in scope.program.sites if s.support != "int"}
    found: dict[Latent, None] = {}
    seen: set[str] = set()
    queue = list(poly.atoms(p))
    while queue:
        for x in ir.walk(queue.pop()):
            if isinstance(x, ir.Var) and x.name in sites and not x.type.dims:
                found.setdefault(Latent(x.name, ()))
            elif isinstance(x, ir.Cell) and x.array in sites - scope.chained:
                if not any(i.random for i in x.indices) and not scope.may_be_assigned(x):
                    found.setdefault(Latent(x.array, x.indices))
            elif isinstance(x, ir.Var) and x.random and x.name in scope.definitions and x.name not in seen:
                seen.add(x.name)
                queue.append(scope.definitions[x.name])
    return list(found)


def _atom(scope: Scope, a: ir.Expr, latent: Latent) -> int:
    match a:
        case ir.Var():
            return 1 if a.name == latent.site and not latent.indices else 0
        case ir.Cell():
            return 1 if a.array == latent.site and scope.same_element(a.indices, latent.indices) else 0
        case ir.Op(args=(inner,)) if not inner.type.dims and a.op in FUNCTIONS and FUNCTIONS[a.op].monotone:
            return FUNCTIONS[a.op].monotone * direction(scope, scope.normal(inner), latent)
        case ir.Op(args=(inner, *limits)) if a.op.startswith(ir.ELEMENT):
            still = all(scope.independent(x, latent) for x in limits)
            return direction(scope, scope.normal(inner), latent) if still else 0
        case ir.Op(op="inv", args=(inner,)):
            p = scope.normal(inner)
            return -direction(scope, p, latent) if _sign(scope, p) else 0
        case _:
            return 0


def saturates(scope: Scope, p: poly.Poly, latent: Latent) -> bool:
    """Whether `p`, in which `direction` found a direction, may be so flat far out that the inverse of its slope has no
    mean square: if it is bounded there, or falls off as the exponential of a latent that is an exponential itself."""
    curved = scope.site(latent.site).support != "real"
    moving = (a for a in poly.atoms(p) if isinstance(a, ir.Op) and not scope.independent(a, latent))
    return any(
        a.op in BOUNDED or (a.op == "exp" and curved) or saturates(scope, scope.normal(a.args[0]), latent)
        for a in moving
    )


def sign_of(scope: Scope, a: ir.Expr) -> int:
    """The sign of an atom that is the same everywhere, else 0."""
    match a:
        case ir.Lit():
            return 1 if a.value > 0 else -1 if a.value < 0 else 0
        case ir.Op() if a.op in POSITIVE_VALUES:
            return 1
        case ir.Op(op="inv" | "sqrt", args=(inner,)):
            return _sign(scope, scope.normal(inner))
        case ir.Var() | ir.Cell():
            name = a.name if isinstance(a, ir.Var) else a.array
            site = next((s for s in scope.program.sites if s.name == name), None)
            return (
                1 if site is not None and named(site.distribution).family in POSITIVE_SUPPORTS and not site.array else 0
            )
        case _:
            return 0


def is_nonzero(scope: Scope, a: ir.Expr) -> bool:
    return sign_of(scope, a) != 0


def _sign(scope: Scope, p: poly.Poly) -> int:
    """The sign of a sum whose terms all have the same one, else 0."""
    signs: set[int] = set()
    for m, c in p.items():
        sign = 1 if c > 0 else -1
        for a, k in m:
            sign *= 1 if k % 2 == 0 and is_nonzero(scope, a) else sign_of(scope, a) ** k
        signs.add(sign)
    return signs.pop() if len(signs) == 1 else 0
