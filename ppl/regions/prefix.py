"""Terms of a loop that are sums over ranges of sorted thresholds.

Such a term observes data from an exponential family, ``log density = sum_k statistic_k(data) * coefficient_k(args)``,
and in every iteration its arguments are the same few values, chosen by guards that compare one number of the data,
the key, with something that is the same in all iterations. Sorted by the key, the iterations in which the guards have
given outcomes are a range, and what these add up to follows from prefix sums of the statistics, which the data alone
decide. What is proved here, for one term:

- its arguments, and what of its mask is random, read nothing of their iteration but outcomes of such guards;
- each of these guards has the normal form ``rest + c * key`` with a number c, and the same key for all of them;
- so it can be evaluated without an iteration, for any outcomes; where none has these, like a branch not taken.

Where its latents may be integrated out (`ppl.regions.marginal`) and nothing random but one latent is in each bound,
`lines` are these latents: then the average along each of them is taken with the others as they were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ppl.core import ir, poly
from ppl.core.rewrite import rebuild
from ppl.language.distributions import SUFFICIENT, Sufficient, named
from ppl.regions import lines
from ppl.regions.model import Cut, GuardInfo, Latent, Marginal, Regions, Sorted
from ppl.regions.monotone import POSITIVE_VALUES
from ppl.regions.scope import Scope

FEWEST = 8  # iterations, below which they are evaluated one by one
# So many where thresholds are averaged along several latents, one at a time: below, they have the joint average.
FEWEST_OF_SEVERAL = 512
MOST_GUARDS = 4  # of one term: all combinations of their outcomes are evaluated
MOST_NODES = 200  # of an expression of data


def sorted_sums(
    scope: Scope, infos: Sequence[GuardInfo], marginals: Sequence[Marginal], scored: frozenset[int]
) -> tuple[Sorted, ...]:
    """The terms that are sums over ranges of sorted thresholds; `scored` are those with an estimator of their own."""
    if "sorted" not in scope.optimize:
        return ()
    integrated = {m.term: m for m in marginals}
    out: list[Sorted] = []
    for around, s in ir.blocks(scope.program.body):
        if isinstance(s, ir.Term) and len(around) <= 1 and s.id not in scored:
            found = _Analysis(scope, infos, around[0] if around else None, s).sorted(integrated.get(s.id))
            if found is not None:
                out.append(found)
    return tuple(out)


def remark(regions: Regions, guard: int, count: int | None) -> str:
    """What `explain` adds about a guard of so many instances, if they are known."""
    sums = [s for s in regions.sums if any(c.guard == guard for c in s.cuts) and (count is None or count >= fewest(s))]
    if not sums:
        return ""
    found = ", ".join(str(x) for x in sorted({regions.term_lines[s.term] for s in sums}))
    where = f"line{'' if ',' not in found else 's'} {found}"
    few = "" if count is not None else f" where there are {max(map(fewest, sums))} or more"
    return f"; what is observed in {where} is summed over ranges of sorted thresholds{few}"


def fewest(s: Sorted) -> int:
    """The least number of iterations for which a term is evaluated from sums."""
    return FEWEST if len(s.lines) <= 1 else FEWEST_OF_SEVERAL


def parts_of(scope: Scope, mask: ir.Expr | None) -> tuple[ir.Expr | None, ir.Expr | None]:
    """A mask in two: what the data decide, and what is random."""
    of_data: ir.Expr | None = None
    random: ir.Expr | None = None
    queue = [] if mask is None else [mask]
    while queue:
        e = queue.pop(0)
        meaning = scope.definitions.get(e.name, e) if isinstance(e, ir.Var) else e
        if isinstance(meaning, ir.Op) and meaning.op == "and":
            queue[:0] = meaning.args
        elif e.random:
            random = ir.conjunction(random, e)
        else:
            of_data = ir.conjunction(of_data, e)
    return of_data, random


@dataclass
class _Analysis:
    """One term, of one loop or of none: then its iterations are the elements of an array that it observes."""

    scope: Scope
    infos: Sequence[GuardInfo]
    loop: ir.Loop | None
    term: ir.Term
    guards: dict[int, None] = field(default_factory=dict[int, None])  # those that tell iterations apart
    seen: dict[str, bool] = field(default_factory=dict[str, bool])

    def sorted(self, marginal: Marginal | None) -> Sorted | None:
        s = self.term
        form = self.form()
        if form is None or s.value.random or s.value.type.scalar != (self.loop is not None):
            return None
        of_data, random = parts_of(self.scope, s.mask)
        if random is not None and not self.alike(random):
            return None
        found = self.cuts()
        if found is None or len(self.guards) > MOST_GUARDS:
            return None
        key, cuts = found
        data = [key, s.value, *(s.args[k] for k in form.known), *(() if of_data is None else (of_data,))]
        resolved = [self.resolved(e) for e in data]
        if any(e is None for e in resolved):
            return None
        key, value, *more = (e for e in resolved if e is not None)
        known = tuple(more[: len(form.known)])
        mask = more[-1] if of_data is not None else None
        loop = None if self.loop is None else self.loop.id
        return Sorted(s.id, loop, form, key, value, known, mask, random, cuts, self.lines(cuts, marginal))

    def form(self) -> Sufficient | None:
        """The form of the distribution in which everything that differs between iterations is data."""
        name, args = self.term.distribution, self.term.args
        for form in SUFFICIENT.get(name or "", ()):
            own = [(a, p.domain) for k, (a, p) in enumerate(zip(args, named(name or "").params, strict=True))
                   if k not in form.known]  # fmt: skip
            known = [args[k] for k in form.known]
            if any(a.random for a in known) or not all(a.type.scalar for a, _ in own):
                continue
            if self.loop is not None and not all(a.type.scalar for a in known):
                continue
            self.guards, self.seen = {}, {}
            if all(self.alike(a) and not self.extreme(a, domain) for a, domain in own):
                return form
        return None

    # ---------------------------------------------------------------- arguments

    def alike(self, e: ir.Expr) -> bool:
        """Whether `e` has the same value in all iterations in which the guards have the same outcomes. The guards that
        it reads are noted."""
        match e:
            case ir.LoopVar():
                return False
            case ir.Var():
                if not self.inside(e.name):
                    return True
                if e.name not in self.seen:
                    definition = self.scope.definitions.get(e.name)
                    mask = parts_of(self.scope, self.scope.masks.get(e.name))[1]
                    known = definition is not None and self.alike(definition)
                    self.seen[e.name] = known and (mask is None or self.alike(mask))
                return self.seen[e.name]
            case ir.Cell():
                same = not self.fills(e.array) and not self.inside(e.array)  # inside: a vector that the loop carries on
                return same and all(self.alike(i) for i in e.indices)
            case ir.GuardRef():
                return self.is_cut(self.infos[e.index].representative)
            case _:
                return all(self.alike(x) for x in ir.children(e))

    def inside(self, name: str) -> bool:
        return self.loop is not None and self.loop.id in self.scope.home.get(name, ())

    def fills(self, array: str) -> bool:
        """Whether the loop makes elements of an array."""
        return self.loop is not None and any(
            (isinstance(s, ir.Fill) and s.array == array) or (isinstance(s, ir.Sample) and s.site == array)
            for _, s in ir.blocks(self.loop.body)
        )

    def is_cut(self, k: int) -> bool:
        info, loop = self.infos[k], self.loop
        if loop is None or loop.id not in info.loops:
            return True
        if info.guard.levels or info.guard.outcomes is not None or info.loops != (loop.id,):
            return False
        self.guards.setdefault(k)
        return True

    def extreme(self, e: ir.Expr, domain: str) -> bool:
        """Whether an argument may be a number at which the density is 0 for some values, not on a null set alone: its
        logarithm has no coefficients there."""
        match e:
            case _ if domain == "real":
                return False
            case ir.Lit():
                return e.value == 0 or (domain == "unit" and e.value == 1)
            case ir.Select():
                return self.extreme(e.then, domain) or self.extreme(e.orelse, domain)
            case ir.Op(op="to_real"):
                return self.extreme(e.args[0], domain)
            case ir.Var() if e.name in self.scope.definitions:
                return self.extreme(self.scope.definitions[e.name], domain)
            case ir.Op() if e.op in POSITIVE_VALUES:
                return False
            case ir.Op(op="mul"):
                return any(self.extreme(x, domain) for x in e.args)
            case _:
                return not e.random or lines.is_decided(self.scope, e)

    # --------------------------------------------------------------- thresholds

    def cuts(self) -> tuple[ir.Expr, tuple[Cut, ...]] | None:
        """The key, and for each guard the range of keys in which it holds."""
        common: poly.Poly | None = None
        out: list[Cut] = []
        for k in self.guards:
            parts = self.parts(self.infos[k].normal)
            if parts is None:
                return None
            rest, factor, key = parts
            if common is not None and key != common:
                return None
            common = key
            # rest + factor * key > 0
            bound = {m: -c / factor for m, c in rest.items()}
            out.append(Cut(k, factor < 0, poly.to_expr(bound), bound))
        if common is None:
            return ir.literal(0), ()
        # What the data alone decide in the first bound goes to the key: `t[i] - 1700000000 < c` has few digits of c
        # left in `c + 1700000000`.
        own = {m: -c for m, c in out[0].normal.items() if not any(a.random for a, _ in m)}
        if any(self.resolved(a) is None for a in poly.atoms(own)):
            own = {}
        bounds = [poly.add(c.normal, own) for c in out]
        cuts = tuple(Cut(c.guard, c.below, poly.to_expr(b), b) for c, b in zip(out, bounds, strict=True))
        return poly.to_expr(poly.add(common, own)), cuts

    def parts(self, normal: poly.Poly) -> tuple[poly.Poly, float, poly.Poly] | None:
        """``normal = rest + factor * key``: what is the same in all iterations, a number, and data."""
        rest: poly.Poly = {}
        own: poly.Poly = {}
        for m, c in normal.items():
            if all(self.is_alike(a) for a, _ in m):
                rest = {**rest, m: c}
            elif any(a.random for a, _ in m):
                return None
            else:
                own = {**own, m: c}
        if not own:
            return None
        factor = poly.ordered(own)[0][1]
        return rest, factor, {m: float(f"{c / factor:.15g}") for m, c in own.items()}

    def is_alike(self, e: ir.Expr) -> bool:
        """Whether an atom of a bound is the same in all iterations, on every path."""
        return not self.scope.loops_needed(e) and not (isinstance(e, ir.Cell) and self.fills(e.array))

    def lines(self, cuts: Sequence[Cut], marginal: Marginal | None) -> tuple[Latent, ...]:
        """The latents along which the term can be averaged; none if some bound moves with anything else."""
        if marginal is None or frozenset(c.guard for c in cuts) != marginal.guards():
            return ()
        latents = {v.latent.site: v.latent for v in marginal.variables}
        draws = {s.site: s for _, s in ir.blocks(self.scope.program.body) if isinstance(s, ir.Sample)}
        for site, latent in latents.items():
            if latent.indices or site not in draws or self.scope.site(site).noise or self.scope.site(site).joint:
                return ()
            d = named(draws[site].distribution)
            names = [p.name for p in d.params]
            bounds = [draws[site].args[names.index(b)] for b in d.support.bounds if isinstance(b, str)]
            if any(b.random for b in bounds):
                return ()
        for c in cuts:
            moving = [m for m in c.normal if any(a.random for a, _ in m)]
            if len(moving) != 1 or len(moving[0]) != 1 or moving[0][0][1] != 1:
                return ()
            atom = moving[0][0][0]
            if not isinstance(atom, ir.Var) or atom.name not in latents:
                return ()
        return tuple(latents.values())

    # --------------------------------------------------------------------- data

    def resolved(self, e: ir.Expr) -> ir.Expr | None:
        """An expression of data without variables of the program, if it is one and short."""
        nodes = 0

        def rule(x: ir.Expr) -> ir.Expr | None:
            nonlocal nodes
            nodes += 1
            if nodes <= MOST_NODES and isinstance(x, ir.Var) and x.name in self.scope.definitions:
                return rebuild(self.scope.definitions[x.name], rule)
            return None

        out = rebuild(e, rule)
        if nodes > MOST_NODES or any(isinstance(x, ir.Var | ir.Cell | ir.GuardRef | ir.Outcome) for x in ir.walk(out)):
            return None
        return out
