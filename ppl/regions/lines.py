"""The line along which a guard is crossed: one coordinate in which its value is affine, and on which everything else
that the value reads, branches included, stays constant."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from ppl.core import ir, poly
from ppl.core.cases import cases
from ppl.core.rewrite import rebuild
from ppl.record import record
from ppl.regions.frozen import known_before, resolve, tested_again
from ppl.regions.model import Latent
from ppl.regions.monotone import is_rarely_zero
from ppl.regions.scope import Scope

MOST_CASES = 4  # conditions in a slope, of which all combinations are looked at
RARELY = 0.01  # how likely a datum is taken to be zero, if only to prefer a slope that is no datum


@record
class Candidate:
    latent: Latent
    slope: ir.Expr
    rest: ir.Expr | None  # None where the guard reads the latent through carried state
    through: str | None
    part: str
    vanishes: float  # how likely the slope, which comes from data then, is zero: it must not be; 0 if it cannot


def latent_of(scope: Scope, e: ir.Expr) -> Latent | None:
    """The coordinate an atom stands for, if it is one."""
    names = {s.name for s in scope.program.sites if s.support != "int"}
    match e:
        case ir.Var() if e.name in names and not e.type.dims:
            return Latent(e.name, ())
        case ir.Cell() if e.array in names and not any(x.random for x in e.indices):
            if e.array in scope.chained or scope.may_be_assigned(e):
                return None
            return Latent(e.array, e.indices)
        case _:
            return None


def candidates(scope: Scope, normal: poly.Poly) -> Iterator[Candidate]:
    """Every coordinate along which a guard with this normal form can be crossed, for all iterations alike."""
    for a in poly.atoms(normal):
        latent = latent_of(scope, a)
        split = poly.split_affine(normal, a) if latent is not None else None
        if latent is None or split is None:
            continue
        slope, rest = split
        if all(scope.independent(x, latent) for p in (slope, rest) for x in poly.atoms(p)):
            ok, vanishes = sound(scope, slope, rest)
            if ok:
                yield Candidate(latent, poly.to_expr(slope), poly.to_expr(rest), None, "all", vanishes)


def inside_sums(scope: Scope, normal: poly.Poly, guard: int) -> Iterator[Candidate]:
    """A coordinate of a vector latent in ``dot(w, x)`` or ``sum(w)``, whatever the length."""
    for a in poly.atoms(normal):
        split = poly.split_affine(normal, a)
        if not isinstance(a, ir.Op) or a.op not in ("dot", "sum") or split is None or not poly.is_constant(split[0]):
            continue
        for k, w in enumerate(a.args):
            if not isinstance(w, ir.Var) or len(w.type.dims) != 1:
                continue
            factors = [*a.args[:k], *a.args[k + 1 :]]
            if any(x.random for x in factors):
                continue
            # The element with the largest factor: its slope vanishes only where all do.
            where = (ir.Op("largest", (factors[0],), ir.INT, False),) if factors else (ir.literal(0),)
            latent = latent_of(scope, ir.Cell(w.name, where, w.type.element(), True))
            others = [*factors, *poly.atoms(split[1])]
            if latent is None or not all(scope.independent(x, latent) for x in others):
                continue
            if not scope.is_computed_along(f"guard {guard}", latent):
                continue  # the root is found from the guard's value in the main evaluation
            slope: ir.Expr = poly.number(poly.value(split[0]))
            for x in factors:
                item = element(x, where[0])
                slope = item if slope == ir.literal(1) else ir.Op("mul", (slope, item), ir.REAL, x.random)
            yield Candidate(latent, slope, None, None, "all", RARELY if factors else 0.0)


def element(e: ir.Expr, index: ir.Expr) -> ir.Expr:
    if isinstance(e, ir.Index):
        return replace(e, indices=(*e.indices, index), type=e.type.element())
    return ir.Index(e, (index,), e.type.element(), e.random)


def sound(scope: Scope, slope: poly.Poly, rest: poly.Poly) -> tuple[bool, float]:
    """Whether the line crosses all of the boundary, and how likely the slope is zero once data is bound.

    ``slope * z + rest = 0`` is missed only where slope and rest vanish together. That is a null set of the boundary
    unless they have a common factor, which they cannot have if one is constant or they share no latent; and unless one
    of them is zero wherever some guard holds, as in ``max(y, 0) * z``, or for some data or indices, as ``w[i] - w[j]``
    where i is j. Data that make all of a slope zero are looked for once they are bound (ppl.regions.vanishing).
    """
    if poly.is_constant(slope):
        return True, 0.0
    slope_random = any(x.random for x in poly.atoms(slope))
    rest_random = any(x.random for x in poly.atoms(rest))
    if not slope_random:
        return True, vanishes(scope, slope) if rest_random else 0.0
    if not rest:
        return False, 0.0
    if poly.is_constant(rest):
        return True, 0.0
    if switched_off(scope, slope, rest):
        return False, 0.0
    sites = [frozenset[str]().union(*(scope.flow.of(x).sites for x in poly.atoms(p))) for p in (slope, rest)]
    return not sites[0] & sites[1] and both_nonzero(scope, slope, rest), 0.0


def both_nonzero(scope: Scope, slope: poly.Poly, rest: poly.Poly) -> bool:
    """Whether a slope that latents move and the rest are zero on null sets only, whatever guards and discrete latents
    decide in them: where the rest is zero, the guard is a product. Of a slope that is one product, data may still make
    the coefficient zero."""
    if len(outcomes_in(slope, rest)) > 2 * MOST_CASES:
        return False
    for a, b in zip(by_outcomes(slope, rest), by_outcomes(rest, slope), strict=True):
        if not any(x.random for x in poly.atoms(a)):
            continue  # such a slope is zero everywhere or, but for data that make it so, nowhere
        if not is_rarely_zero(scope, a):
            products = {tuple(x for x in m if x[0].random) for m in a} - {()}
            if len(products) > 1 or not is_rarely_zero(scope, dict.fromkeys(products, 1.0)):
                return False
        if not b or not (poly.is_constant(b) or is_rarely_zero(scope, b)):
            return False
    return True


def outcomes_in(*values: poly.Poly) -> list[ir.Expr]:
    """The outcomes of guards and discrete latents by which values are chosen, as 0 or 1."""
    atoms = dict.fromkeys(x for p in values for x in poly.atoms(p) if isinstance(x, ir.Select) and x.random)
    return [x for x in atoms if x == poly.indicator(x.condition)]


def by_outcomes(p: poly.Poly, *others: poly.Poly) -> Iterator[poly.Poly]:
    """`p` under every combination of the outcomes in it and in `others`."""
    decided = sorted(outcomes_in(p, *others), key=repr)
    for outcomes in itertools.product((0.0, 1.0), repeat=len(decided)):
        yield poly.substitute(p, {x: poly.constant(o) for x, o in zip(decided, outcomes, strict=True)})


def vanishes(scope: Scope, slope: poly.Poly) -> float:
    """How likely a slope of data is zero, as far as branches on these tell, whose outcomes are taken as even."""
    atoms = poly.atoms(slope)
    decided = [x for x in atoms if isinstance(x, ir.Select) and x == poly.indicator(x.condition)]
    if len(decided) > MOST_CASES:
        return 1.0
    keys: list[ir.Expr] = [*decided]
    possible = cases([x.condition for x in decided], scope.definitions)
    chosen = ({x: poly.constant(float(o)) for x, o in zip(keys, c, strict=True)} for c in possible)
    zeros = sum(not poly.substitute(slope, c) for c in chosen)
    return max(zeros / len(possible), RARELY if len(atoms) > len(decided) else 0.0)


def switched_off(scope: Scope, slope: poly.Poly, rest: poly.Poly) -> bool:
    """Whether a slope may be zero with positive probability where the rest is not a number: whether what guards and
    discrete latents decide in it can make it zero, for all that one knows."""
    decided = [
        x
        for x in poly.atoms(slope)
        if x.random and is_decided(scope, x) and not (len(slope) == 1 and is_size(scope, x))
    ]
    if len(decided) > MOST_CASES or any(
        not isinstance(x, ir.Select) or x != poly.indicator(x.condition) for x in decided
    ):
        return True
    for outcomes in itertools.product((0.0, 1.0), repeat=len(decided)):
        case = {x: poly.constant(o) for x, o in zip(decided, outcomes, strict=True)}
        if not poly.substitute(slope, case) and any(x.random for x in poly.atoms(poly.substitute(rest, case))):
            return True
    return False


def is_size(scope: Scope, e: ir.Expr) -> bool:
    """Whether a value is the size of one that guards have no say in: it is zero where that is."""
    return isinstance(e, ir.Op) and e.op == "abs" and not is_decided(scope, e.args[0])


def is_decided(scope: Scope, e: ir.Expr) -> bool:
    """Whether guards, kinks or discrete latents have a say in a value: then it may take one number for many draws."""
    d = scope.flow.of(e)
    return bool(d.guards) or d.kinks or any(scope.site(s).support == "int" for s in d.sites)


def through_state(
    scope: Scope, normal: poly.Poly, loops: tuple[int, ...], mask: ir.Expr | None
) -> Iterator[Candidate]:  # fmt: skip
    """Coordinates that a guard on carried state reads through the previous iteration, for all but the first, of the
    innermost of its `loops`; the guard is reached where `mask` holds."""
    for p in poly.atoms(normal):
        if not isinstance(p, ir.Var) or p.name not in scope.entries or not is_innermost(scope.entries[p.name], loops):
            continue
        loop = scope.entries[p.name]
        carry = next(c for c in loop.carries if c.entry.name == p.name)
        split = poly.split_affine(normal, p)
        if split is None or not poly.is_constant(split[0]):
            continue
        factor, others = poly.value(split[0]), split[1]
        known = known_before(scope, mask, loop)
        out = scope.normal(resolve(scope, carry.out, known))
        for a in poly.atoms(out):
            latent = latent_of(scope, a)
            inner = poly.split_affine(out, a) if latent is not None else None
            if latent is None or inner is None or not poly.is_constant(inner[0]) or not latent.indices:
                continue
            if is_made_in(scope, latent, loop):
                continue  # what its index was in another iteration is not known
            if not all(scope.independent(x, latent) for x in (*poly.atoms(inner[1]), *known)):
                continue
            before = Latent(latent.site, tuple(shift(i, loop.var) for i in latent.indices))
            if all(scope.independent(x, before) for x in poly.atoms(others)):
                slope = poly.number(factor * poly.value(inner[0]))
                yield Candidate(before, slope, None, p.name, "rest", 0.0)


def is_made_in(scope: Scope, latent: Latent, loop: ir.Loop) -> bool:
    """Whether which element a latent is depends on what an iteration of a loop makes anew, as a count."""
    read = (x for i in latent.indices for x in ir.walk(i) if isinstance(x, ir.Var | ir.Cell))
    return any(loop.id in scope.home.get(x.array if isinstance(x, ir.Cell) else x.name, ()) for x in read)


def shift(e: ir.Expr, var: ir.LoopVar) -> ir.Expr:
    """`e` as the previous iteration saw it."""
    return at_iteration(e, var, poly.add(poly.atom(var), poly.constant(-1.0)))


def at_iteration(e: ir.Expr, var: ir.LoopVar, value: poly.Poly) -> ir.Expr:
    """An index where a loop variable has a value, in an index of data such as ``k[t]`` too."""

    def rule(x: ir.Expr) -> ir.Expr | None:
        return poly.to_expr(value, ir.INT) if x == var else None

    return poly.to_expr(poly.to_poly(rebuild(e, rule)), ir.INT)


def after_loop(scope: Scope, normal: poly.Poly) -> Iterator[tuple[Candidate, poly.Poly]]:
    """Coordinates of the last iteration that a guard behind a loop reads, if it tests again what ends the loop; and the
    normal form for a loop without iterations."""
    for t in tested_again(scope, normal):
        split = poly.split_affine(normal, t.final)
        if split is None or not poly.is_constant(split[0]) or any(x.random for x in poly.atoms(split[1])):
            continue
        out = scope.normal(t.state)
        for a in poly.atoms(out):
            latent = latent_of(scope, a)
            inner = poly.split_affine(out, a) if latent is not None else None
            if latent is None or inner is None or not poly.is_constant(inner[0]) or not latent.indices:
                continue
            if is_made_in(scope, latent, t.loop):
                continue  # what its index was in another iteration is not known
            if not all(scope.independent(x, latent) for x in (*poly.atoms(inner[1]), *t.known)):
                continue
            last = poly.add(scope.normal(t.loop.hi), poly.constant(-1.0))
            where = tuple(at_iteration(i, t.loop.var, last) for i in latent.indices)
            slope = poly.number(poly.value(split[0]) * poly.value(inner[0]))
            taken = ir.Select(t.going, slope, ir.literal(0.0), ir.REAL, True)
            empty = poly.substitute(normal, {t.final: scope.normal(t.init)})
            yield Candidate(Latent(latent.site, where), taken, None, None, "last", 0.0), empty


def is_innermost(loop: ir.Loop, loops: tuple[int, ...]) -> bool:
    """Whether iterations of a guard in `loops` are the first or not as those of `loop` are."""
    return loops[-1:] == (loop.id,)


def at_first(scope: Scope, normal: poly.Poly, loops: tuple[int, ...]) -> poly.Poly | None:
    """The normal form in the first iteration of the innermost of `loops`; None if it reads no state of that loop."""
    for p in poly.atoms(normal):
        if isinstance(p, ir.Var) and p.name in scope.entries and is_innermost(scope.entries[p.name], loops):
            loop = scope.entries[p.name]
            replacements: dict[ir.Expr, poly.Poly] = {c.entry: scope.normal(c.init) for c in loop.carries}
            replacements[loop.var] = scope.normal(loop.lo)
            return poly.substitute(normal, replacements)
    return None
