"""The emitted module: the program as one function, its boundaries, its noise, and what the runtime must know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from ppl.core import ir
from ppl.diagnostics import printable
from ppl.emit import forks, samplers
from ppl.emit.boundaries import BoundaryEmitter, reads_of
from ppl.emit.marginal import MarginalEmitter, reads_of_term
from ppl.emit.modes import loops_with_modes, values_of_state, write_rest
from ppl.emit.names import identifiers
from ppl.emit.observed import groups
from ppl.emit.prefix import PrefixEmitter, reads_of_sum
from ppl.emit.printer import Printer
from ppl.emit.shape import Facts, facts_of
from ppl.emit.statements import Emitter, custom_name, tuple_text
from ppl.emit.writer import Writer
from ppl.language.distributions import named
from ppl.regions.flow import analyse
from ppl.regions.model import GuardInfo, Marginal, Regions
from ppl.regions.scope import Scope, scope_of


def emit(regions: Regions, file: str) -> str:
    """The JAX module of a program, byte for byte the same for the same program."""
    program = regions.program
    facts, names = facts_of(regions), identifiers(all_names(regions))
    scope = scope_of(program, regions.definitions, analyse(program.body, program.guards), regions.optimize)
    found = loops_with_modes(regions, scope)
    w = Writer()
    unpack = unpacking(program, names)
    active = [i for i in regions.guards if i.boundaries]
    read = {x for i in active for x in reads_of(facts, scope, i)}
    read |= {x for m in regions.marginals for x in reads_of_term(facts, scope, m)}
    read |= {x for found_sum in regions.sums for x in reads_of_sum(facts, scope, found_sum)}
    keep = frozenset(read) - {s.name for s in program.sites}
    for c in program.customs:
        if c.sampler is not None:
            samplers.write(w, facts, names, unpack, c.sampler)
    model(w, facts, names, unpack, keep)
    noise(w, facts, names, unpack)
    boundaries = BoundaryEmitter(facts, scope, names, w, unpack)
    for m in found.values():
        write_rest(boundaries, m)
    calls = [boundaries.function(i, b) for i in active for b in i.boundaries]
    for name, (info, fork) in boundaries.forks.items():
        forks.write(w, facts, names, unpack, info, fork, name)
    w.line("def boundary(at, data, size, main, integrated=frozenset()):")
    w.line('    """The boundary terms of one draw, as one scalar of which only the gradient has a meaning."""')
    for k in found:
        w.line(f"    rest_{k} = rest_of_loop_{k}(at, data, size, main)")
    w.line("    return " + (" + ".join(calls) or "jnp.asarray(0.0)"))
    if regions.marginals:
        MarginalEmitter(boundaries).write(regions.marginals)
    if regions.sums:
        PrefixEmitter(boundaries).write(regions.sums)
    top = Writer()
    constants = [values_of_state(m) for m in found.values()]
    if any(m.count is not None for m in regions.marginals):
        found_noise = table(integrated_noise(regions, scope))
        constants.insert(0, f"NOISE = {{{found_noise}}}  # noise that is not drawn where these terms are integrated")
    header(top, regions, file, names, constants, bool(boundaries.forks))
    return top.text() + w.text()


def all_names(regions: Regions) -> list[str]:
    program = regions.program
    drawing = [c.sampler for c in program.customs if c.sampler is not None]
    out = [d.name for d in program.data] + [s.name for s in program.sites] + [a.name for a in program.arrays]
    for _, s in ir.blocks((*program.body, *(s for f in drawing for s in f.body))):
        match s:
            case ir.Let():
                out.append(s.var.name)
            case ir.Sample() if s.noise:
                out.append(s.var.name)
            case ir.Loop():
                out.append(s.var.name)
                out.extend(x.name for c in s.carries for x in (c.entry, c.final))
                out.extend(r.final.name for r in s.reductions)
                out.extend(c.final.name for c in s.collects)
            case _:
                pass
    out += [name for f in drawing for name in (*(x for x, _, _ in f.lengths), *(p.name for p in f.params))]
    out.extend(x.name for i in regions.guards for b in i.boundaries if b.search is not None for x in b.search.element)
    return out


def header(
    w: Writer, regions: Regions, file: str, names: dict[str, str], constants: list[str], has_forks: bool
) -> None:
    program = regions.program
    title = printable(PurePath(file).name).replace("\\", "/").replace('"', "'")
    w.line(f'"""{title}, compiled by pplc. Numbers after `:` are lines of {title}.')
    w.line()
    w.line("`model` evaluates the program at a point: every term of the log density (t...), every guard (g...), and")
    w.line(
        "the values of latents and reports. `boundary` adds what differentiation cannot see: what jumps where a guard"
    )
    w.line("is zero.")
    w.line('"""')
    w.line()
    w.line("import jax")
    w.line("import jax.numpy as jnp")
    w.line()
    searched = any(b.search is not None for i in regions.guards for b in i.boundaries)
    uses_modes = any(b.effect == "modes" for i in regions.guards for b in i.boundaries)
    has_normals = any(b.normal is not None for i in regions.guards for b in i.boundaries)
    wanted = {"crossings": searched, "families": bool(regions.sums), "forks": has_forks,
              "marginal": bool(regions.marginals), "modes": uses_modes, "normals": has_normals,
              "prefix": bool(regions.sums)}  # fmt: skip
    used = [name for name, is_used in wanted.items() if is_used]
    joint = ", vectors" if any(s.joint for s in program.sites) else ""
    w.line(f"from ppl.runtime import {', '.join(['control', *used, 'samplers'])}, supports, surface{joint}")
    w.line("from ppl.runtime import densities as dist")
    w.line("from ppl.runtime import functions as fn")
    w.line()
    terms = [s.id for _, s in ir.blocks(regions.body) if isinstance(s, ir.Term | ir.Sample) and not is_noise(s)]
    w.line(f"TERMS = {tuple_text([f'{chr(34)}t{t}{chr(34)}' for t in terms])}")
    if regions.scored:
        listed = tuple_text([f'"t{t}"' for t in regions.scored])
        w.line(f"SCORED = {listed}  # terms behind a branch that is unbounded at its guard")
    if regions.marginals:
        latents = {m.term: tuple_text([f'"{v.latent.site}"' for v in m.variables]) for m in regions.marginals}
        listed = ", ".join(f'"t{t}": {x}' for t, x in latents.items())
        w.line(f"INTEGRABLE = {{{listed}}}  # terms with the latents that `expected` integrates out of them")
        if alone := [f'"t{m.term}"' for m in regions.marginals if is_alone(regions, m)]:
            w.line(f"ALONE = {tuple_text(alone)}  # those of one latent, that jump nowhere else")
    if regions.sums:
        listed = tuple_text([f'"t{s.term}"' for s in regions.sums])
        w.line(f"SUMMED = {listed}  # terms that `summed` has from prefix sums of the data")
    sites: dict[str, list[int]] = {s.name: [] for s in program.sites if not s.noise}
    for _, s in ir.blocks(regions.body):
        if isinstance(s, ir.Sample) and not s.noise:
            sites[s.site].append(s.id)
    w.line(f"SITES = {{{table(sites)}}}  # latents with the terms that draw them")
    w.line(f"OBSERVED = {{{table(groups(program, regions.body))}}}  # data with the terms that observe them")
    priors = [s.id for _, s in ir.blocks(regions.body) if isinstance(s, ir.Term) and s.custom and s.custom.site]
    if priors:
        listed = tuple_text([f'"t{t}"' for t in priors])
        w.line(f"PRIORS = {listed}  # terms with the density of latents that functions of the program give")
    if any(takes_subsets(i) for i in regions.guards):
        w.line("SUBSETS = True  # a random subset of boundaries may stand for all")
    for line in constants:
        w.line(line)
    w.line()
    w.line()
    outcomes(w, regions, names)
    loops(w, regions, names)


def jumps_of(regions: Regions, term: int) -> set[int]:
    """The guards at whose boundaries a term jumps."""
    return {b.guard for i in regions.guards for b in i.boundaries if term in b.terms}


def is_alone(regions: Regions, m: Marginal) -> bool:
    """Whether a term, of which one element of one latent is integrated out, has no boundary for another reason."""
    noises = {s.name for s in regions.program.sites if s.noise}
    latents = [v for v in m.variables if v.latent.site not in noises]
    return m.count is None and len(latents) == 1 and jumps_of(regions, m.term) <= m.guards()


def integrated_noise(regions: Regions, scope: Scope) -> dict[str, list[int]]:
    """Noise that is integrated out of all that it decides, these terms: no boundary is evaluated at a draw of it."""
    known = {m.term: m for m in regions.marginals}
    jumping = {t: jumps_of(regions, t) for t in known}
    out: dict[str, list[int]] = {}
    for site in (s.name for s in regions.program.sites if s.noise):
        terms = [t for t, d in scope.flow.terms.items() if site in d.sites]
        if all(t in known and jumping[t] <= known[t].guards() for t in terms):
            out[site] = terms
    return out


def table(terms: Mapping[str, Sequence[int]]) -> str:
    """The inside of a dict from names to the names of terms."""
    return ", ".join(f'"{k}": {tuple_text([f"{chr(34)}t{t}{chr(34)}" for t in ids])}' for k, ids in terms.items())


def outcomes(w: Writer, regions: Regions, names: dict[str, str]) -> None:
    """How many outcomes each discrete latent has, if there are any."""
    found = {g.value.site: g.outcomes for g in regions.program.guards
             if g.outcomes is not None and isinstance(g.value, ir.Outcome)}  # fmt: skip
    if not found:
        return
    facts, printer = facts_of(regions), Printer(regions, names)
    with w.block("def outcomes(size):"):
        w.line('"""The number of outcomes of each discrete latent."""')
        for line in unpacking(regions.program, names):
            if line.endswith("]") and ' size["' in line:
                w.line(line)
        items = ", ".join(f'"{k}": {printer.expr(facts.inline(n))}' for k, n in found.items())
        w.line(f"return {{{items}}}")
    w.line()
    w.line()


def loops(w: Writer, regions: Regions, names: dict[str, str]) -> None:
    """How many iterations the loops have of which a subset can stand for all, if there are any."""
    found = [regions.loops[b.loop] for b in regions.batches if not b.reason]
    if not found:
        return
    emitter = Emitter(facts_of(regions), Printer(regions, names), w)
    with w.block("def loops(size):"):
        w.line('"""The number of iterations of each loop of which a random subset can stand for all."""')
        for line in unpacking(regions.program, names):
            if ' size["' in line:
                w.line(line)
        w.line(f"return {{{', '.join(f'{s.id}: {emitter.range(s)[1]}' for s in found)}}}")
    w.line()
    w.line()


def is_noise(s: ir.Statement) -> bool:
    return isinstance(s, ir.Sample) and s.noise


def unpacking(program: ir.Program, names: dict[str, str]) -> tuple[str, ...]:
    return tuple(f'{names[d.name]} = {"size" if d.static else "data"}["{d.name}"]' for d in program.data)


def model(w: Writer, facts: Facts, names: dict[str, str], unpack: tuple[str, ...], keep: frozenset[str]) -> None:
    regions = facts.regions
    overridable = frozenset(
        r.final.name
        for i in regions.guards
        for b in i.boundaries
        if b.effect == "incremental"
        for r in regions.loops[i.loops[-1]].reductions
    )
    emitter = Emitter(facts, Printer(regions, names, on_boundary="on_boundary"), w, keep, overridable, split=True)
    with w.block("def model(at, data, size, path=None):"):
        w.line(
            '"""The program at the point `at`, along `path` or, without one, along the path that its guards choose."""'
        )
        for line in unpack:
            w.line(line)
        for c in regions.program.customs:
            draws = "" if c.sampler is None else f", {samplers.function_name(c.sampler)}, data, size"
            events = tuple_text([str(n) for n in c.events])
            w.line(f'{custom_name(c.name)} = dist.Custom("{c.name}", {c.event}, {events}{draws})')
        w.line("out = {}")
        start = len(w.lines)
        emitter.arrays()
        emitter.block(regions.body)
        if any("on_boundary=" in line for line in w.lines[start:]):
            w.insert(start, "on_boundary = path is not None")
        for a in regions.program.arrays:
            if not a.site:
                emitter.kept(a.name)
        values = {s.name: s.name if s.value is None else s.value.name for s in regions.program.sites}
        sites = ", ".join(f'"{k}": {names[v]}' for k, v in values.items())
        w.line(f'out["z"] = {{{sites}}}')
        joint = ", ".join(f'"{s.name}": {names[s.name]}' for s in regions.program.sites if s.joint)
        if joint:
            w.line(f'out["u"] = {{{joint}}}')
        printer = emitter.printer
        reports = [s for s in regions.body if isinstance(s, ir.Report)]
        items = ", ".join(f'"{s.name}": jnp.asarray({printer.expr(s.value)})' for s in reports)
        w.line(f'out["report"] = {{{items}}}', ", ".join(f":{s.span.line}" for s in reports))
        w.line("return out")
    w.line()
    w.line()


def takes_subsets(info: GuardInfo) -> bool:
    """Whether a guard may have so many boundaries that a random subset of them is taken."""
    searches = [b.search for b in info.boundaries if b.search is not None]
    many = bool(searches) and (info.guard.levels or any(s.method == "smooth" for s in searches))
    return many or any(b.repeats for b in info.boundaries)


def noise(w: Writer, facts: Facts, names: dict[str, str], unpack: tuple[str, ...]) -> None:
    """The base draws of noise sites: standard normal, or from the distribution itself where its arguments are data."""
    draws = [s for _, s in ir.blocks(facts.regions.body) if isinstance(s, ir.Sample) and s.noise]
    first = {s.site: s for s in reversed(draws)}
    printer = Printer(facts.regions, names)
    with w.block("def noise(key, data, size, dtype):"):
        w.line('"""Draws of the noise sites, by name."""')
        sites = [s for s in facts.regions.program.sites if s.noise]
        if not sites:
            w.line("return {}")
        else:
            for line in unpack:
                w.line(line)
            w.line("out = {}")
        for k, site in enumerate(sites):
            s, shape = first[site.name], tuple_text([printer.expr(facts.inline(d)) for d in site.type.dims])
            d = named(s.distribution)
            key = f"jax.random.fold_in(key, {k})"
            if d.noise == "inverse_cdf":
                w.line(f'out["{site.name}"] = jax.random.normal({key}, {shape}, dtype)', f":{s.span.line}")
            else:
                args = tuple_text([printer.expr(facts.inline(a)) for a in s.args])
                w.line(f'out["{site.name}"] = samplers.draw(dist.{d.function}, {key}, {args}, {shape}, dtype)',
                       f":{s.span.line}")  # fmt: skip
        if sites:
            w.line("return out")
    w.line()
    w.line()
    with w.block("def noise_log_density(u, data, size):"):
        w.line('"""The log density of base draws `u` of the noise sites."""')
        if sites:
            for line in unpack:
                w.line(line)
        parts: list[str] = []
        for site in sites:
            s, d = first[site.name], named(first[site.name].distribution)
            args = "0.0, 1.0" if d.noise == "inverse_cdf" else ", ".join(printer.expr(facts.inline(a)) for a in s.args)
            parts.append(
                f'jnp.sum(dist.{"normal" if d.noise == "inverse_cdf" else d.function}(u["{site.name}"], {args}))'
            )
        w.line("return " + (" + ".join(parts) or "jnp.asarray(0.0)"))
    w.line()
    w.line()
