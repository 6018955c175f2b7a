"""Terms that read noise through a count alone: the binomial distribution integrates it out.

A loop adds a number to a sum in the iterations in which a condition holds, and this is one of its own noise, so that
all iterations are alike and independent given the latents: ``for i in 0..n { if e[i] > x { k = k + 1 } }``. Then the
number of iterations in which it holds is Binomial(n, P(condition)), and the expectation of a term that reads the sum is
one over n + 1 counts: smooth in the parameters, so that the guards in the condition need no boundary there, and of
smaller variance than the term at a draw (Rao-Blackwell). What is proved here, for one term and one sum:

- the term reads the noise of the condition through this sum and in no other way;
- the condition is made of outcomes alone, of guards that are affine in an element of noise, which only this iteration
  has, with slopes and thresholds that are the same in all iterations;
- the noise has the same distribution in all iterations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.core.rewrite import rebuild
from ppl.regions.model import Counted, GuardInfo, Integrated, Latent, Marginal, Threshold
from ppl.regions.scope import Scope
from ppl.regions.search import can_move

MOST_OUTCOMES = 64  # of the guards in a condition, all of which are evaluated
_LOGIC = ("and", "or", "not")


def counts(scope: Scope, infos: Sequence[GuardInfo], term: ir.Term) -> Marginal | None:
    """What can be integrated out of a term that reads a count; None if there is no such thing in it."""
    read = {x for e in expressions_of(term, scope.program.guards) for x in _leaves(scope, infos, e)}
    for loop in (s for s in scope.program.body if isinstance(s, ir.Loop)):
        for r in loop.reductions:
            if r.final in read and loop.mask is None:
                found = _of_sum(scope, infos, loop, r)
                if found is not None and _alone(scope, read, r, found[1]):
                    return Marginal(term.id, (), found[1], found[0])
    return None


def _leaves(scope: Scope, infos: Sequence[GuardInfo], e: ir.Expr) -> Iterator[ir.Expr]:
    """What an expression reads, its definitions looked up: variables that have none, elements, and guards."""
    seen: set[str] = set()
    queue = [e]
    while queue:
        for x in ir.walk(queue.pop()):
            if isinstance(x, ir.Var) and x.random and x.name in scope.definitions:
                if x.name not in seen:
                    seen.add(x.name)
                    queue.append(scope.definitions[x.name])
            elif isinstance(x, ir.GuardRef):
                yield ir.GuardRef(infos[x.index].representative)
            elif isinstance(x, ir.Var | ir.Cell | ir.Outcome) and x.random:
                yield x


def _alone(scope: Scope, read: set[ir.Expr], r: ir.Reduction, variables: tuple[Integrated, ...]) -> bool:
    """Whether nothing that a term reads depends on the noise, but the sum."""
    noise = frozenset(v.latent.site for v in variables)
    others = [*(x for x in read if x != r.final), r.init]
    return not any(noise & scope.flow.of(x).sites for x in others)


def _of_sum(
    scope: Scope, infos: Sequence[GuardInfo], loop: ir.Loop, r: ir.Reduction
) -> tuple[Counted, tuple[Integrated, ...]] | None:
    """A sum as a count, with the noise behind it."""
    delta = _expanded(scope, r.delta)
    if isinstance(delta, ir.Op) and delta.op == "to_real":
        delta = delta.args[0]
    if not isinstance(delta, ir.Select) or not _is_logic(delta.condition):
        return None
    if not isinstance(delta.then, ir.Lit) or not isinstance(delta.orelse, ir.Lit):
        return None
    guards = dict.fromkeys(
        infos[x.index].representative for x in ir.walk(delta.condition) if isinstance(x, ir.GuardRef)
    )
    by_latent: dict[Latent, list[Threshold]] = {}
    for k in guards:
        found = _threshold(scope, infos[k], loop)
        if found is None:
            return None
        by_latent.setdefault(found[0], []).append(found[1])
    variables = tuple(Integrated(z, tuple(found)) for z, found in by_latent.items())
    paths = 1
    for v in variables:
        paths *= len(v.guards) + 1
    if not variables or paths > MOST_OUTCOMES or not all(_is_alike(scope, v, variables) for v in variables):
        return None
    return Counted(loop.id, r, delta.condition, delta.then, delta.orelse), variables


def _expanded(scope: Scope, e: ir.Expr) -> ir.Expr:
    """An expression with the definitions of variables in the place of these."""

    def definition(x: ir.Expr) -> ir.Expr | None:
        if isinstance(x, ir.Var) and x.random and x.name in scope.definitions and not x.type.dims:
            return _expanded(scope, scope.definitions[x.name])
        return None

    return rebuild(e, definition)


def _is_logic(e: ir.Expr) -> bool:
    """Whether a condition is made of outcomes of guards alone."""
    match e:
        case ir.GuardRef():
            return True
        case ir.Lit():
            return isinstance(e.value, bool)
        case ir.Op():
            return e.op in _LOGIC and all(_is_logic(x) for x in e.args)
        case ir.Select():
            return all(_is_logic(x) for x in (e.condition, e.then, e.orelse))
        case _:
            return False


def _threshold(scope: Scope, info: GuardInfo, loop: ir.Loop) -> tuple[Latent, Threshold] | None:
    """The element of noise that decides a guard in each iteration, at a threshold that is the same in all."""
    g = info.guard
    if g.levels or g.outcomes is not None or scope.decided.get(g.index) != (loop.id,) or g.where is not None:
        return None
    own = [a for a in poly.atoms(info.normal) if scope.loops_needed(a)]
    if len(own) != 1 or not isinstance(own[0], ir.Cell) or own[0].indices != (loop.var,):
        return None
    split = poly.split_affine(info.normal, own[0])
    if split is None or not split[0] or not poly.is_constant(split[0]):
        return None  # a slope of data may be zero, and the chance jump
    if g.mask is not None and g.mask.random and not all(map(scope.is_simple, poly.atoms(split[1]))):
        return None  # the threshold may be undefined where the guard is not asked
    slope, rest = map(poly.to_expr, split)
    return Latent(own[0].array, own[0].indices), Threshold(g.index, slope, rest)


def _is_alike(scope: Scope, v: Integrated, variables: tuple[Integrated, ...]) -> bool:
    """Whether `v` is noise with a law and thresholds that are the same in all iterations, whatever the `variables`."""
    noise = frozenset(x.latent.site for x in variables)
    draws = [s for _, s in ir.blocks(scope.program.body) if isinstance(s, ir.Sample) and s.site == v.latent.site]
    filled = any(isinstance(s, ir.Fill) and s.array == v.latent.site for _, s in ir.blocks(scope.program.body))
    if len(draws) != 1 or filled or not can_move(scope, v.latent.site):
        return False
    (draw,) = draws
    read = (*draw.args, *(e for t in v.guards for e in (t.slope, t.rest)))
    return (
        draw.noise and draw.mask is None and draw.custom is None and not draw.indices
        and all(not a.type.dims for a in draw.args)
        and not any(noise & scope.flow.of(e).sites for e in read)
    )  # fmt: skip
