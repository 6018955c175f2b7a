"""Guards without a jump: both branches agree where the guard is zero (abs, hinges, splines), proved symbolically."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ppl.core import ir, poly
from ppl.core.functions import KNOWN
from ppl.record import record
from ppl.regions.flow import NOTHING
from ppl.regions.lines import latent_of
from ppl.regions.scope import Scope

Roots = Mapping[ir.Expr, poly.Poly]

# Functions that choose one of their arguments.
EXTREMES: Mapping[str, Callable[[Sequence[float]], float]] = MappingProxyType({
    "min": min, "max": max, "clamp": lambda x: min(max(x[0], x[1]), x[2]),
})  # fmt: skip
ROUNDING = 32 * 2.0**-52  # relative
MAX_CONDITION = 50  # nodes; a longer condition stays under its name


def root_of(scope: Scope, normal: poly.Poly) -> Roots | None:
    """``latent -> expression`` on the boundary, where the guard is affine in a latent with a constant slope."""
    for a in poly.atoms(normal):
        split = poly.split_affine(normal, a) if latent_of(scope, a) is not None else None
        if split is not None and poly.is_constant(split[0]):
            slope = poly.value(split[0])
            return {a: {m: -c / slope for m, c in split[1].items()}}
    return None


def aliases(scope: Scope, members: frozenset[int]) -> frozenset[str]:
    """Named conditions that a guard decides."""
    return frozenset(
        name
        for name, e in scope.definitions.items()
        if e.type.base == "bool" and bool(scope.flow.variables.get(name, NOTHING).guards & members)
    )


def occurrences(scope: Scope, members: frozenset[int], named: frozenset[str]) -> Iterator[tuple[ir.Expr, bool]]:
    """Every expression in which a guard appears, itself or by a condition's name, and whether it is a mask (which
    cannot be continuous)."""
    for _, s in ir.blocks(scope.program.body):
        if isinstance(s, ir.Let) and s.var.name in named:
            continue
        mask = None if isinstance(s, ir.Report) else s.mask
        if mask is not None and mentions(mask, members, named) and isinstance(s, ir.Term | ir.Sample | ir.Fill):
            yield mask, True
        own = (
            (
                *(c.init for c in s.carries),
                *(c.out for c in s.carries),
                *(r.init for r in s.reductions),
                *(r.delta for r in s.reductions),
                *(c.element for c in s.collects),
            )
            if isinstance(s, ir.Loop)
            else expressions_of_value(scope, s)
        )
        for e in own:
            if mentions(e, members, named):
                yield e, False


def expressions_of_value(scope: Scope, s: ir.Statement) -> tuple[ir.Expr, ...]:
    match s:
        case ir.Let() | ir.Report() | ir.Fill():
            return (s.value,)
        case ir.Decide():
            return (scope.program.guards[s.index].value,)
        case ir.Sample():
            return s.args
        case ir.Term():
            return (s.value, *s.args)
        case ir.Loop():
            return ()


def mentions(e: ir.Expr, members: frozenset[int], named: frozenset[str]) -> bool:
    return any(
        (isinstance(x, ir.GuardRef) and x.index in members) or (isinstance(x, ir.Var) and x.name in named)
        for x in ir.walk(e)
    )


def is_continuous(
    scope: Scope, members: Mapping[int, bool], normal: poly.Poly, normals: Mapping[int, poly.Poly]
) -> bool:
    """Whether nothing jumps where the guard class `members` (guard -> flipped) is zero."""
    roots = root_of(scope, normal)
    if roots is None:
        return False
    keys = frozenset(members)
    named = aliases(scope, keys)
    on = Side(scope, {k: not flipped for k, flipped in members.items()}, roots, normals)
    off = Side(scope, {k: flipped for k, flipped in members.items()}, roots, normals)
    memo = poly.Memo(partial=scope.memo.partial)
    for e, is_mask in occurrences(scope, keys, named):
        if is_mask or e.type.base == "bool" or e.type.dims:
            return False
        # Every expression with the guard in it is checked, so the variables it reads agree on the boundary: one side's
        # definitions serve for both.
        resolved = [side.resolve(e) for side in (on, off)]
        if any(mentions(x, keys, named) for x in resolved):
            return False  # decided in a way that `resolve` does not follow, such as `==` of two bools
        a, b = (at_root(scope, poly.to_poly(x, on.expand, memo), roots, on.expand, memo) for x in resolved)
        if a is None or b is None or not is_equal(a, b):
            return False
    return True


@record
class AtRoot:
    """A polynomial on a boundary, and how large the numbers were that its coefficients were added up from, which says
    what of them is rounding."""

    value: poly.Poly
    sizes: poly.Poly


def is_equal(a: AtRoot, b: AtRoot) -> bool:
    """Whether two polynomials are the same but for rounding."""
    sizes = poly.add(a.sizes, b.sizes)
    if not all(map(math.isfinite, sizes.values())):
        return False
    return all(abs(c) <= ROUNDING * sizes.get(m, 0.0) for m, c in poly.add(a.value, b.value, -1.0).items())


def absolute(p: poly.Poly) -> poly.Poly:
    return {m: abs(c) for m, c in p.items()}


def at_root(
    scope: Scope, p: poly.Poly, roots: Roots, expand: poly.Expand, memo: poly.Memo, within: bool = False
) -> AtRoot | None:
    """`p` on the boundary, also inside its functions: ``exp(a * (x - c))`` is 1 at ``x = c``.

    None where that is no number: in ``x / x`` and ``x * pow(x, -1.5)`` what vanishes would hide what is unbounded. A
    logarithm may stay where its coefficient vanishes, as the product does, but not `within` a function:
    ``x * exp(-log(x))`` does not.
    """
    sites = {latent.site for a in roots if (latent := latent_of(scope, a)) is not None}
    known: dict[ir.Expr, poly.Poly] = dict(roots)
    sizes = {a: absolute(q) for a, q in roots.items()}
    infinite: set[ir.Expr] = set()
    for a in poly.atoms(p):
        moved = scope.flow.of(a)
        if a in known or not moved.smooth & sites or not (isinstance(a, ir.Op) or moved.partial):
            continue
        if isinstance(a, ir.Op) and a.op in EXTREMES and not any(x.type.dims for x in a.args):
            ends = [at_root(scope, poly.to_poly(x, expand, memo), roots, expand, memo, True) for x in a.args]
            numbers = [x for x in ends if x is not None and poly.is_constant(x.value)]
            if len(numbers) < len(a.args):
                return None
            known[a] = poly.constant(EXTREMES[a.op]([poly.value(x.value) for x in numbers]))
            sizes[a] = poly.constant(max(poly.value(x.sizes) for x in numbers))
            continue
        if not isinstance(a, ir.Op) or len(a.args) != 1 or a.args[0].type.dims:
            return None
        inner = at_root(scope, poly.to_poly(a.args[0], expand, memo), roots, expand, memo, True)
        if inner is None:
            return None
        known[a] = sizes[a] = poly.atom(ir.Op(a.op, (poly.to_expr(inner.value),), a.type, a.random))
        stays = not within and a.op == "log" and is_equal(inner, AtRoot({}, {}))
        if stays:
            infinite.update(poly.atoms(known[a]))
        elif poly.is_constant(inner.value):
            folded = value_at(a.op, poly.value(inner.value))
            if folded is None:
                return None
            known[a] = poly.constant(folded)
            sizes[a] = poly.constant(max(abs(folded), poly.value(inner.sizes)))
    value = poly.substitute(p, known)
    if infinite.intersection(poly.atoms(value)):
        return None
    return AtRoot(value, poly.substitute(absolute(p), sizes))


def value_at(op: str, x: float) -> float | None:
    """A function of a number, where it is known and finite."""
    try:
        out = KNOWN[op].at(x) if op in KNOWN else math.nan
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return out if math.isfinite(out) else None


@dataclass(frozen=True)
class Side:
    """One side of a boundary: the guards of `outcomes` are decided, others where their sign on it is constant. Without
    `roots`, those whose value is a multiple of that of the boundary, `normal`, and a constant."""

    scope: Scope
    outcomes: Mapping[int, bool]
    roots: Roots
    normals: Mapping[int, poly.Poly]
    normal: poly.Poly = field(default_factory=dict[poly.Monomial, float])
    conditions: dict[str, ir.Expr] = field(default_factory=dict[str, ir.Expr])

    def expand(self, v: ir.Var | ir.Index) -> ir.Expr | None:
        definition = self.scope.expand(v)
        return None if definition is None else self.resolve(definition)

    def resolve(self, e: ir.Expr) -> ir.Expr:
        """`e` with its choices made; variables stay."""
        match e:
            case ir.Select():
                c = self.condition(e.condition)
                if isinstance(c, ir.Lit):
                    return self.resolve(e.then if c.value else e.orelse)
                return ir.Select(c, self.resolve(e.then), self.resolve(e.orelse), e.type, e.random)
            case ir.Op():
                return ir.Op(e.op, tuple(self.resolve(a) for a in e.args), e.type, e.random)
            case _:
                return e

    def _there(self, p: poly.Poly) -> poly.Poly:
        """The value of a guard on the boundary."""
        if self.roots or not self.normal:
            return poly.substitute(p, self.roots)
        m, c = poly.ordered(self.normal)[0]
        return poly.add(p, self.normal, -p.get(m, 0.0) / c)

    def condition(self, c: ir.Expr) -> ir.Expr:
        match c:
            case ir.GuardRef(index=k):
                if k in self.outcomes:
                    return ir.literal(self.outcomes[k])
                at_root = self._there(self.normals[k])
                if poly.is_constant(at_root) and poly.value(at_root) != 0:
                    return ir.literal(poly.value(at_root) > 0)
                return c
            case ir.Op(op="not", args=(a,)):
                return ir.negate(self.condition(a))
            case ir.Op(op="and" | "or", args=(a, b)):
                x, y = self.condition(a), self.condition(b)
                absorbing, neutral = (ir.FALSE, ir.TRUE) if c.op == "and" else (ir.TRUE, ir.FALSE)
                if absorbing in (x, y):
                    return absorbing
                return y if x == neutral else x if y == neutral else ir.Op(c.op, (x, y), c.type, c.random)
            case ir.Var() if c.name in self.scope.definitions:
                if c.name not in self.conditions:
                    out = self.condition(self.scope.definitions[c.name])
                    short = next(itertools.islice(ir.walk(out), MAX_CONDITION, None), None) is None
                    self.conditions[c.name] = out if short else c
                return self.conditions[c.name]
            case _:
                return c
