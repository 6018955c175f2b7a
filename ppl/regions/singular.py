"""A branch that is unbounded at its own guard, such as ``if x > 0 then log(x)``: no boundary term exists there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from ppl.core import ir, poly, squarefree
from ppl.diagnostics import Span
from ppl.language.distributions import DENSITY_FUNCTIONS, DensityFunction, named
from ppl.regions.continuity import ROUNDING, AtRoot, Roots, at_root, expressions_of_value, is_equal, root_of
from ppl.regions.lines import latent_of
from ppl.regions.scope import Scope

# Where a function of one argument is infinite.
POLES: Mapping[str, tuple[float, ...]] = MappingProxyType({
    "log": (0.0,), "log2": (0.0,), "log10": (0.0,), "lgamma": (0.0,), "digamma": (0.0,), "inv": (0.0,),
    "log1m_exp": (0.0,), "logit": (0.0, 1.0), "inv_Phi": (0.0, 1.0), "log1p": (-1.0,),
    "log1m": (1.0,), "atanh": (-1.0, 1.0),
})  # fmt: skip
# Functions that are zero where their argument is.
ZERO_AT_ZERO = (
    "sqrt",
    "square",
    "abs",
    "sin",
    "tan",
    "sinh",
    "tanh",
    "asin",
    "atan",
    "asinh",
    "expm1",
    "erf",
    "neg",
)
# Functions that choose one of their arguments.
EXTREMES: Mapping[str, Callable[[Sequence[float]], float]] = MappingProxyType({
    "min": min, "max": max, "clamp": lambda x: min(max(x[0], x[1]), x[2]),
})  # fmt: skip
# Where the density of a distribution may be zero or infinite in an argument.
INFINITE_AT_ENDS = ("LogNormal", "Gamma", "InverseGamma", "Beta", "Weibull")  # log densities, at ends of the support
EDGES: Mapping[str, tuple[float, ...]] = MappingProxyType({"positive": (0.0,), "unit": (0.0, 1.0)})


Equals = Callable[
    [ir.Expr, float], bool
]  # whether an expression has a value on (part of) a boundary, but not beside it


def singular_at(scope: Scope, members: Mapping[int, bool], normal: poly.Poly) -> Span | None:
    """The statement with a log, quotient, power or scale in a branch that is singular on the branch's own boundary."""
    keys = frozenset(members)
    roots = root_of(scope, normal)

    def equals(e: ir.Expr, value: float) -> bool:
        return _equals(scope, e, value, roots, normal)

    for _, s in ir.blocks(scope.program.body):
        mask = None if isinstance(s, ir.Report) else s.mask
        inside = mask is not None and depends_on(scope, mask, keys)
        if isinstance(s, ir.Term | ir.Sample) and inside and s.distribution is not None:
            d = named(s.distribution)
            edges = ((EDGES.get(p.domain, ()), a) for p, a in zip(d.params, s.args, strict=True))
            if any(equals(a, edge) for points, a in edges for edge in points):
                return s.span
        if any(_singular_in(scope, e, keys, equals, inside) for e in _expressions(scope, s)):
            return s.span
    return None


def singular_at_level(scope: Scope, members: Mapping[int, bool], normal: poly.Poly) -> Span | None:
    """The same for a guard with levels: what is infinite where its value is a whole number, ``log(x - floor(x))``."""
    keys = frozenset(members)
    sides = [poly.add(normal, poly.constant(below), -1.0) for below in (0.0, 1.0)]  # the level, on either side

    def equals(e: ir.Expr, value: float) -> bool:
        if e.type.dims:
            return False
        if value == 0 and isinstance(e, ir.Op) and e.op in ZERO_AT_ZERO:
            return equals(e.args[0], 0.0)
        p = poly.add(scope.normal(e), poly.constant(value), -1.0)
        levels = [a for a in poly.atoms(p) if isinstance(a, ir.GuardRef) and a.index in keys]
        return bool(levels) and any(not poly.substitute(p, dict.fromkeys(levels, side)) for side in sides)

    for _, s in ir.blocks(scope.program.body):
        if not isinstance(s, ir.Report) and any(
            _singular_in(scope, e, keys, equals, True) for e in _expressions(scope, s)
        ):
            return s.span
    return None


def _expressions(scope: Scope, s: ir.Statement) -> Iterator[ir.Expr]:
    if isinstance(s, ir.Loop):
        yield from (c.out for c in s.carries)
        yield from (r.delta for r in s.reductions)
        yield from (c.element for c in s.collects)
    else:
        yield from expressions_of_value(scope, s)


def depends_on(scope: Scope, condition: ir.Expr, members: frozenset[int]) -> bool:
    """Whether one of the guards has a part in a condition, through variables, arrays and what loops carry too."""
    return bool(scope.flow.of(condition).guards & members)


def _singular_in(scope: Scope, e: ir.Expr, members: frozenset[int], equals: Equals, inside: bool) -> bool:
    match e:
        case ir.Select():
            within = inside or depends_on(scope, e.condition, members)
            return any(_singular_in(scope, x, members, equals, within) for x in (e.then, e.orelse))
        case ir.Op():
            if inside and _is_pole(e, equals):
                return True
            return any(_singular_in(scope, x, members, equals, inside) for x in e.args)
        case _:
            return False


def _is_pole(e: ir.Op, equals: Equals) -> bool:
    match e:
        case ir.Op(op="div", args=(_, below)):
            return equals(below, 0.0)
        case ir.Op(op="pow", args=(base, ir.Lit(value=power))):
            return power < 0 and equals(base, 0.0)
        case ir.Op(op="log_diff_exp", args=(a, b)):
            return equals(_difference(a, b), 0.0)
        case ir.Op(op="lbeta"):
            return any(equals(x, 0.0) for x in e.args)
        case ir.Op(op="lchoose", args=(n, k)):
            return any(equals(x, -1.0) for x in (n, k, _difference(n, k)))
        case _ if e.op in DENSITY_FUNCTIONS:
            return _density_is_unbounded(e, DENSITY_FUNCTIONS[e.op], equals)
        case _:
            return any(equals(e.args[0], pole) for pole in POLES.get(e.op, ()))


def _density_is_unbounded(e: ir.Op, f: DensityFunction, equals: Equals) -> bool:
    """Whether a log density, or the log of a tail, is infinite on the boundary."""
    d = f.distribution
    if any(equals(a, edge)
           for p, a in zip(d.params, e.args[1:], strict=True) for edge in EDGES.get(p.domain, ())):  # fmt: skip
        return True
    if f.part == "lpdf" and d.name not in INFINITE_AT_ENDS:
        return False
    arguments = {p.name: a for p, a in zip(d.params, e.args[1:], strict=True)}
    ends = (arguments[b] if isinstance(b, str) else b for b in d.support.bounds)
    return any(equals(_difference(e.args[0], b), 0.0) if isinstance(b, ir.Expr) else equals(e.args[0], b) for b in ends)


def _difference(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Op("sub", (a, b), ir.REAL, a.random or b.random)


def _equals(scope: Scope, e: ir.Expr, value: float, roots: Roots | None, normal: poly.Poly) -> bool:
    """Whether `e` moves with the latents of a boundary and has this value there. Where the boundary has no root in
    closed form, whether `e` less the value has a factor of the guard's own value."""
    if e.type.dims:
        return False
    if value == 0 and isinstance(e, ir.Op) and e.op in ZERO_AT_ZERO:
        return _equals(scope, e.args[0], 0.0, roots, normal)
    if isinstance(e, ir.Op) and e.op in EXTREMES:
        return _extreme_equals(scope, e, value, roots, normal)
    if roots is None:
        p = poly.add(scope.normal(e), poly.constant(value), -1.0)
        return bool(p) and squarefree.have_common_factor(p, normal)
    sites = {latent.site for a in roots if (latent := latent_of(scope, a)) is not None}
    if not scope.flow.of(e).smooth & sites:
        return False
    there = at_root(scope, scope.normal(e), roots, scope.expand, scope.memo)
    return there is not None and is_equal(there, AtRoot(poly.constant(value), poly.constant(abs(value))))


def _extreme_equals(scope: Scope, e: ir.Op, value: float, roots: Roots | None, normal: poly.Poly) -> bool:
    """Whether the smallest or largest of some values has this value: if they are not all numbers on the boundary, one
    that has it may be. A value that stays there has it beside the boundary too."""
    if any(isinstance(a, ir.Lit) and a.value == value for a in e.args):
        return False
    there = [
        None if roots is None else at_root(scope, scope.normal(a), roots, scope.expand, scope.memo) for a in e.args
    ]
    numbers = [poly.value(x.value) for x in there if x is not None and poly.is_constant(x.value)]
    if len(numbers) == len(e.args) and abs(EXTREMES[e.op](numbers) - value) > ROUNDING:
        return False
    return any(_equals(scope, a, value, roots, normal) for a in e.args)
