"""Every guard ends as a boundary, as a reason why it needs none, or as a diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ppl.core import ir, poly
from ppl.core.show import show
from ppl.diagnostics import Diagnostics
from ppl.elaborate.program import Elaborated
from ppl.record import record
from ppl.regions import continuity, lines, score, singular
from ppl.regions.absent import check_draws
from ppl.regions.batches import batch_loops
from ppl.regions.budget import with_repeats
from ppl.regions.choice import NORMAL, RANK, Choices, Wish, choices, is_named, least, normal_pays, rank, report_refused
from ppl.regions.effects import effect_of, reason_of
from ppl.regions.fills import check_fills
from ppl.regions.flow import analyse, influenced
from ppl.regions.hoist import hoist
from ppl.regions.marginal import marginals, with_statuses
from ppl.regions.mates import may_coincide, may_move
from ppl.regions.model import NOWHERE, Boundary, GuardInfo, Latent, Learned, Normal, Regions, Search
from ppl.regions.nearby import nearby
from ppl.regions.normals import normal_for, normal_of, with_normals
from ppl.regions.optimize import chosen
from ppl.regions.prefix import sorted_sums
from ppl.regions.reached import any_of, conditions_of_data, made_by_loops
from ppl.regions.scope import Scope, scope_of
from ppl.regions.search import searches
from ppl.regions.work import Nominal, Workload, coordinates, workload


@record
class Normalised:
    """A guard in canonical form: sign and positive scale are fixed, so that twins are equal."""

    normal: poly.Poly
    canonical: tuple[tuple[poly.Monomial, float], ...]
    flipped: bool  # the canonical form has the other sign
    loops: tuple[int, ...]
    hoisted: bool
    null: bool  # it is zero with probability zero
    kept: bool  # the canonical form is the value itself


NOTHING_LEARNED = Learned()


@dataclass(frozen=True)
class Plan:
    """What decides between lines: what is asked for, what work each would take, and what data say."""

    scope: Scope
    asked: Choices
    classes: Mapping[int, Mapping[int, bool]]
    learned: Learned

    @cached_property
    def work(self) -> Workload:
        return workload(self.scope)

    def takes_normal(self, info: GuardInfo, b: Boundary, normal: Normal) -> bool:
        """Whether a boundary is crossed along its normal."""
        whole = not info.loops or b.effect == "global"
        if info.asked:
            return whole and info.asked == NORMAL
        members = frozenset(self.classes[info.guard.index])
        apart = self.work.of(info.loops, b, members)
        along = self.work.of(info.loops, replace(b, normal=normal), members)
        moved = coordinates(self.scope, info.normal, normal, Nominal(self.scope))
        return normal_pays(whole, along, apart, moved)


def extract(
    elaborated: Elaborated, sink: Diagnostics, optimize: Iterable[str] | None = None, asked: Sequence[Wish] = (),
    file: str = "", learned: Learned = NOTHING_LEARNED,
) -> Regions:  # fmt: skip
    """Classifies every guard of a program. `sink` hears of branches that are unbounded at their own guard.

    `optimize`: see `ppl.regions.optimize`. `asked`: the lines that guards, of the program in `file`, shall have; those
    that they cannot have are reported. `learned`: what the data at hand say. Raises ValueError for an optimisation
    that is not there.
    """
    program, names = elaborated.program, chosen(optimize)
    check_fills(program, sink)
    flow = analyse(program.body, program.guards)
    scope = scope_of(program, elaborated.definitions, flow, names)
    check_draws(scope, sink)
    forms = {g.index: normalise(scope, g) for g in program.guards}
    where = conditions_of_data(scope, {k: f.loops for k, f in forms.items()})
    classes = twins(scope, forms, where)
    plan = Plan(scope, choices(asked, program.guards, file, sink), classes, learned)
    infos: dict[int, GuardInfo] = {}
    for representative, members in classes.items():
        for info in classify(plan, representative, members, forms, sink):
            infos[info.guard.index] = info
        first = infos[representative]
        data = any_of(where.get(k) for k in members)
        infos[representative] = replace(first, guard=replace(first.guard, where=data))
    classified = tuple(infos[g.index] for g in program.guards)
    scored = score.scored_terms(scope, classified)
    guards = with_repeats(scope, with_mates(scope, score.without(scope, classified, scored)))
    guards = with_normals(scope, guards, plan.takes_normal)
    integrable = marginals(scope, guards, scored)
    guards = with_statuses(scope, guards, integrable, scored)
    report_refused(plan.asked, guards, (s.name for s in program.sites), sink)
    body = hoist(program.body, {k: f.loops for k, f in forms.items() if f.hoisted})
    lines_of_terms = term_lines(program)
    sums = sorted_sums(scope, guards, [m for m in integrable if m.count is None], scored)
    loops = {s.id: s for _, s in ir.blocks(body) if isinstance(s, ir.Loop)}
    return Regions(program, body, elaborated.definitions, guards, loops, lines_of_terms, tuple(sorted(scored)),
                   names, integrable, sums, batch_loops(program, guards, scope.live))  # fmt: skip


def term_lines(program: ir.Program) -> dict[int, int]:
    return {s.id: s.span.line for _, s in ir.blocks(program.body) if isinstance(s, ir.Term | ir.Sample)}


def normalise(scope: Scope, g: ir.Guard) -> Normalised:
    p = scope.normal(g.value)
    items = poly.ordered(p)
    lead = items[0][1] if items else 1.0
    # Twins may be written with constants that differ in the last digit, 0.1 + 0.2 and 0.3: those whose digits are
    # not rounded alike are mates. Milliseconds since 1970 differ in the thirteenth.
    kept = g.levels or g.outcomes is not None  # neither sign nor scale is free
    scale = 1.0 if kept else lead
    canonical = tuple((m, float(f"{c / scale:.15g}")) for m, c in items)
    home = scope.decided.get(g.index, g.loops)
    read = [x for a in poly.atoms(p) for x in (scope.loops_needed(a), scope.loops_that_fill(a, home))]
    needed = max(read, key=len, default=())
    movable = len(needed) < len(home) and all(map(scope.is_simple, poly.atoms(p)))
    null = any(is_free(scope, p, a) for a in poly.atoms(p))
    return Normalised(p, canonical, lead < 0 and not kept, needed if movable else home, movable, null, kept)


def is_free(scope: Scope, p: poly.Poly, a: ir.Expr) -> bool:
    """Whether an atom is a coordinate that moves the value at a constant rate and that nothing else in it depends on:
    ``x[i] - x[j]`` has none, as i may be j. Then the value is zero with probability zero."""
    latent = lines.latent_of(scope, a)
    split = None if latent is None else poly.split_affine(p, a)
    if latent is None or split is None or not poly.is_constant(split[0]):
        return False
    return all(scope.independent(x, latent) for x in poly.atoms(split[1]))


def twins(scope: Scope, forms: Mapping[int, Normalised], where: Mapping[int, ir.Expr]) -> dict[int, dict[int, bool]]:
    """representative -> {guard: false where the representative is true}; guards in one place with one boundary.

    `where`: what data must say where guards are reached, which has to be known where the representative is decided.
    """
    made = {k: made_by_loops(where.get(k), scope.program) for k in forms}
    by_key: dict[tuple[object, ...], list[int]] = {}
    classes: dict[int, dict[int, bool]] = {}
    for k, f in forms.items():
        # `v > 0` and `v < 0` are one boundary only if v is zero with probability zero.
        key = (f.kept, f.loops, f.canonical, f.flipped and not f.null)
        known = by_key.setdefault(key, [])
        fits = (r for r in known if made[k] <= made[r] and (forms[r].hoisted or is_computed(scope, r, k)))
        first = next(fits, k)
        if first == k:
            known.append(k)
        classes.setdefault(first, {})[k] = f.flipped != forms[first].flipped
    return classes


def is_computed(scope: Scope, r: int, k: int) -> bool:
    """Whether guard `r` has a value of its own wherever guard `k` is asked, whatever branch `r` is in."""
    return not scope.flow.guard_values[r].masks or conditions(scope, r) <= conditions(scope, k)


def conditions(scope: Scope, k: int) -> frozenset[ir.Expr]:
    """What has to hold where a guard is asked."""
    mask = scope.program.guards[k].mask
    return frozenset(() if mask is None else conjuncts(mask))


def conjuncts(e: ir.Expr) -> tuple[ir.Expr, ...]:
    if isinstance(e, ir.Op) and e.op == "and":
        return tuple(c for x in e.args for c in conjuncts(x))
    return (e,)


def classify(
    plan: Plan, representative: int, members: dict[int, bool], forms: Mapping[int, Normalised], sink: Diagnostics
) -> list[GuardInfo]:
    """The class of one boundary: the representative's own entry, then its twins, merged into it."""
    scope = plan.scope
    first = decide(plan, representative, members, forms, sink)
    out = [first]
    line = first.guard.span.line
    for k, flipped in members.items():
        if k != representative:
            g = scope.program.guards[k]
            status = "merged" if first.status == "boundary" else first.status
            reason = f"the same boundary as `{first.guard.text}` at line {line}; both flip together"
            reason = reason if status == "merged" else first.reason
            twin = replace(first, guard=g, status=status, flipped=flipped, boundaries=(), value=g.value, reason=reason)
            out.append(twin)
    return out


def decide(
    plan: Plan, k: int, members: dict[int, bool], forms: Mapping[int, Normalised], sink: Diagnostics
) -> GuardInfo:
    scope = plan.scope
    g, form = scope.program.guards[k], forms[k]
    value = g.value
    if form.hoisted:  # out of the reach of what its mask reads
        g, value = replace(g, mask=None), poly.to_expr(form.normal)
    base = GuardInfo(g, "fixed", "affine", form.loops, "-", "-", "", k, False, value, form.normal,
                     asked=plan.asked.of(members))  # fmt: skip
    if g.outcomes is not None:
        return discrete_latent(scope, base, frozenset(members))
    smooth = scope.flow.of(g.value).smooth
    if not smooth:
        return replace(base, reason="its value changes only where other guards flip")
    if all(scope.site(s).noise for s in smooth):
        return replace(base, reason="it depends on noise alone, so no parameter moves it")
    if all(scope.program.guards[m].steady for m in members):
        return replace(base, reason="the supports of what it reads keep it from changing", steady=True)
    if k in plan.learned.steady:
        reason = "the supports of what it reads and the data at hand keep it from changing"
        return replace(base, reason=reason, steady=True)
    normals = {i: f.normal for i, f in forms.items()}
    if not g.levels and continuity.is_continuous(scope, members, form.normal, normals):
        return replace(base, status="no-jump", reason="both branches agree where it is zero (proved)")
    keys = frozenset(members)
    terms = tuple(sorted({t for m in keys for t in influenced(scope.flow, m)}))
    if not terms:
        return replace(base, status="no-jump", reason="its outcome reaches no term of the density")
    bad, edges = singular.singular_at(scope, g, members, form.normal, normals)
    bad = g.span if bad is None and k in plan.learned.unbounded else bad
    if bad is not None:
        sink.warn(
            "PPL403",
            f"at the boundary of `{g.text}` this is unbounded: what it reaches takes the noisy score estimator",
            bad,
            "keep the singularity away from the guard, for example `if x > 0.01 then log(x) ...`",
        )
        return replace(base, status=score.SCORE, reason=score.reason(scope, terms, bad.line))
    direct = levels_for if g.levels else lines_for
    single = () if plan.learned.shared & keys else direct(plan, base, keys, terms)
    boundaries = single or searched(scope, base, keys, terms)
    boundaries = tuple(laid(scope, base, b, len(boundaries) > 1) for b in boundaries)
    chosen = boundaries[-1]
    effect = max((b.effect for b in boundaries), key=lambda e: RANK[e])
    kind, direction = kind_of(scope, boundaries), direction_of(scope, boundaries)
    return replace(
        base, status="boundary", kind=kind, direction=direction, effect=effect, boundaries=boundaries,
        reason=reason_of(scope, chosen, len(terms)), edges=edges,
    )  # fmt: skip


def discrete_latent(scope: Scope, base: GuardInfo, members: frozenset[int]) -> GuardInfo:
    """The boundary of a discrete latent: the exact difference between its outcomes, at the point of the draw."""
    terms = tuple(sorted({t for m in members for t in influenced(scope.flow, m)}))
    effect = effect_of(scope, members, base.loops, terms, NOWHERE)
    around = nearby(scope, base.loops, members, terms) if effect == "global" else ()
    effect = "nearby" if around else effect
    one, search = ir.literal(1), Search("outcomes", (), ())
    b = Boundary(base.guard.index, NOWHERE, one, None, None, "all", effect, terms, (), search, nearby=around)
    return replace(
        base, status="boundary", kind="discrete", direction=show(base.guard.value), effect=effect, boundaries=(b,),
        reason=reason_of(scope, b, len(terms)),
    )  # fmt: skip


def lines_for(plan: Plan, base: GuardInfo, members: frozenset[int], terms: tuple[int, ...]) -> tuple[Boundary, ...]:
    """One boundary for all instances, or one for the first iteration and one for the rest; empty if there is none."""
    scope = plan.scope
    found = [*lines.candidates(scope, base.normal), *lines.inside_sums(scope, base.normal, base.guard.index)]
    direct = best(plan, base, members, terms, found)
    if not found and not base.loops:
        return behind_loop(plan, base, members, terms)
    first = lines.at_first(scope, base.normal, base.loops)
    settled = direct is not None and (direct.effect != "global" or is_named(base.asked, direct.line))
    if first is None or settled:
        return () if direct is None else (direct,)
    through = list(lines.through_state(scope, base.normal, base.loops, base.guard.mask))
    rest = best(plan, base, members, terms, through)
    if rest is None:
        return () if direct is None else (direct,)
    if not any(a.random for a in poly.atoms(first)):
        return (rest,)  # in the first iteration no latent moves it
    start = best(plan, base, members, terms, [replace(c, part="first") for c in lines.candidates(scope, first)])
    return () if start is None else (start, rest)


def behind_loop(plan: Plan, base: GuardInfo, members: frozenset[int], terms: tuple[int, ...]) -> tuple[Boundary, ...]:
    """One boundary for the last iteration of a loop that a guard follows, and one in case there is none."""
    scope = plan.scope
    for candidate, empty in lines.after_loop(scope, base.normal):
        last = best(plan, base, members, terms, [candidate])
        without = [replace(c, part="empty") for c in lines.candidates(scope, empty)]
        start = best(plan, base, members, terms, without)
        if last is not None and start is not None:
            return (start, last)
        if last is not None and not any(a.random for a in poly.atoms(empty)):
            return (last,)
    return ()


def best(
    plan: Plan, base: GuardInfo, members: frozenset[int], terms: tuple[int, ...], found: list[lines.Candidate]
) -> Boundary | None:
    """The candidate that comes first, see `ppl.regions.choice`, or that is asked for."""
    scope, wanted = plan.scope, suits(plan.scope, base)
    ranked: list[tuple[tuple[bool, tuple[int, float, bool]], Boundary]] = []
    for c in found:
        effect = "global" if c.through else effect_of(scope, members, base.loops, terms, c.latent)
        b = Boundary(base.guard.index, c.latent, c.slope, c.rest, c.through, c.part, effect, terms, ())
        curved = scope.site(c.latent.site).support != "real"
        ranked.append(((not wanted(c.latent), rank(effect, c.vanishes, curved)), b))
    if not ranked:
        return None
    first = min(key for key, _ in ranked)
    equal = [b for key, b in ranked if key == first]
    works = [plan.work.of(base.loops, b, members) for b in equal] if len(equal) > 1 else [0.0]
    chosen = equal[least(works)]
    return replace(chosen, others=tuple(dict.fromkeys(b.line for _, b in ranked if b.line != chosen.line)))


def suits(scope: Scope, base: GuardInfo) -> Callable[[Latent], bool]:
    """Whether a coordinate is one that is asked for; where that is the normal, one that it moves."""
    if base.asked != NORMAL:
        return lambda latent: not base.asked or is_named(base.asked, latent)
    normal = normal_of(scope, base.guard, base.normal, base.loops, "all")
    return lambda latent: normal is None or latent.site in normal.sites


def laid(scope: Scope, base: GuardInfo, b: Boundary, several: bool) -> Boundary:
    """A boundary for which the normal is asked for: that moves latents of other iterations, so its jump is global."""
    if base.asked != NORMAL or not base.loops or normal_for(scope, base, b, several) is None:
        return b
    return replace(b, effect="global")


def levels_for(plan: Plan, base: GuardInfo, members: frozenset[int], terms: tuple[int, ...]) -> tuple[Boundary, ...]:
    """One line for all levels of a guard that is affine along it."""
    found = [c for c in lines.candidates(plan.scope, base.normal) if c.rest is not None and not c.slope.random]
    direct = best(plan, base, members, terms, found)
    if direct is None or direct.rest is None:
        return ()
    search = Search("polynomial", (direct.line,), (), (direct.rest, direct.slope))
    return (replace(direct, slope=ir.literal(1), rest=None, search=search),)


def searched(scope: Scope, base: GuardInfo, members: frozenset[int], terms: tuple[int, ...]) -> tuple[Boundary, ...]:
    """The lines that share the boundary of a guard that no single coordinate crosses in closed form."""
    out: list[Boundary] = []
    for line, s in searches(scope, replace(base.guard, value=base.value), base.normal):
        effect = effect_of(scope, members, base.loops, terms, line)
        if not s.arguments and base.loops:
            effect = "global"
        out.append(Boundary(base.guard.index, line, ir.literal(1), None, None, "all", effect, terms, (), s))
    return tuple(out)


def kind_of(scope: Scope, boundaries: tuple[Boundary, ...]) -> str:
    searches = [b.search for b in boundaries if b.search is not None]
    site = scope.site(boundaries[-1].line.site)
    methods = {s.method for s in searches if len(s.arguments) != 1 or len(s.coefficients) != 2}
    if methods:
        return methods.pop() if len(methods) == 1 else "smooth"
    return "affine" if site.support == "real" or site.noise else "invertible"


def direction_of(scope: Scope, boundaries: tuple[Boundary, ...]) -> str:
    """The lines in words; those that share a boundary are joined."""
    used = boundaries if boundaries[-1].search is not None else boundaries[-1:]
    return " and ".join(dict.fromkeys(text_of(scope, b) for b in used))


def text_of(scope: Scope, b: Boundary) -> str:
    every = b.search is not None and b.search.element
    text = f"every {b.line.site}" if every else show(b.line.expr(ir.REAL))
    site = scope.site(b.line.site)
    return text + site.remark


def with_mates(scope: Scope, infos: tuple[GuardInfo, ...]) -> tuple[GuardInfo, ...]:
    """Adds to each boundary the guards that may flip at the same point and reach a term in common."""
    infos = spread(scope, infos)
    active = [i for i in infos if i.status == "boundary" and i.guard.outcomes is None]
    out: dict[int, GuardInfo] = {}
    for info in active:
        new: list[Boundary] = []
        for b in info.boundaries:
            mates = tuple(
                other.guard.index
                for other in active
                if set(b.terms) & set(other.boundaries[0].terms)
                and may_move(scope, other, b)
                and may_coincide(scope, info, other, b.effect)
            )
            new.append(replace(b, mates=mates))
        out[info.guard.index] = replace(info, boundaries=tuple(new))
    return tuple(out.get(i.guard.index, i) for i in infos)


def spread(scope: Scope, infos: tuple[GuardInfo, ...]) -> tuple[GuardInfo, ...]:
    """A jump that may take place together with a global one of another iteration is evaluated as that one is: on the
    whole program, where both guards flip, so that each takes its share of one jump."""
    out = {i.guard.index: i for i in infos}
    active = [i.guard.index for i in infos if i.status == "boundary" and i.guard.outcomes is None]
    wide = [k for k in active if any(b.effect == "global" for b in out[k].boundaries)]
    while wide:
        far = out[wide.pop()]
        for k in active:
            near = out[k]
            if near.loops and k != far.guard.index and may_coincide(scope, far, near, "global"):
                meets = [b.effect in ("local", "incremental") and _meets(b, far) for b in near.boundaries]
                if any(meets):
                    new = (replace(b, effect="global") if m else b for b, m in zip(near.boundaries, meets, strict=True))
                    out[k] = replace(near, boundaries=tuple(new), effect="global")
                    wide.append(k)
    return tuple(out[i.guard.index] for i in infos)


def _meets(b: Boundary, far: GuardInfo) -> bool:
    return any(f.line.site == b.line.site and set(f.terms) & set(b.terms) for f in far.boundaries)
