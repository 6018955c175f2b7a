"""The whole program: declarations first, then statements, repeated until types and randomness are stable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.diagnostics import Diagnostics
from ppl.elaborate import arrays, densities, discrete, functions, guide, poles, samplers, statements, steady
from ppl.elaborate.context import Binding, Context, DataBinding, Facts, Local, SameSize
from ppl.elaborate.limits import with_reports
from ppl.elaborate.loops import reductions
from ppl.language.distributions import DENSITY_FUNCTIONS, DISTRIBUTIONS, SAMPLER
from ppl.language.functions import FUNCTIONS
from ppl.record import record
from ppl.syntax import ast

MAX_ATTEMPTS = 64
LIBRARY = "stdlib/"
PRELUDE = "stdlib/prelude.ppl"  # its functions give way to those of the program


@record
class Elaborated:
    program: ir.Program
    sizes: tuple[SameSize, ...]  # to be compared once data is bound
    definitions: Mapping[str, ir.Expr]


def elaborate(name: str, module: ast.Module, imported: Sequence[ast.Module], sink: Diagnostics) -> Elaborated:
    """The core program of `module` with the functions of the `imported` ones.

    What is wrong is reported to `sink`; the result is meaningful only if there are no errors.
    """
    table = declared_functions(module, imported, sink)
    own = {id(s) for s in module.statements}
    library = frozenset(k for k, f in table.items() if id(f) not in own and f.span.file.startswith(LIBRARY))
    facts = Facts()
    found_before = list(sink.items)
    attempts = 0
    while True:
        attempts += 1
        facts.changed = False
        sink.items[:] = found_before
        # So that no variable of a function that is inlined before them has their names.
        counters = dict.fromkeys(drawn_names(module.statements), 1)
        ctx = Context(sink, facts, table, counters=counters, library=library)
        run(ctx, module, imported)
        facts.assign(ctx.trusted & {s.array for _, s in ir.blocks(tuple(ctx.block)) if isinstance(s, ir.Fill)})
        if not facts.changed and len(sink.items) == len(found_before):
            poles.look(ctx)
        if not facts.changed:
            break
        if attempts == MAX_ATTEMPTS:
            sink.error("PPL703", "types of variables that depend on each other through too many loops")
            break
    return Elaborated(assembled(name, ctx), tuple(ctx.sizes), ctx.definitions)


def drawn_names(body: Sequence[ast.Statement]) -> Iterator[str]:
    """The names of latents, noise and arrays, in the order of the program."""
    for s in body:
        match s:
            case ast.Sample():
                yield s.target.name
            case ast.Var():
                yield s.name
            case ast.If():
                yield from drawn_names((*s.then, *s.orelse))
            case ast.For() | ast.While():
                yield from drawn_names(s.body)
            case _:
                pass


def assembled(name: str, ctx: Context) -> ir.Program:
    body = reductions(discrete.without_needless_masks(ctx, tuple(ctx.block)), ctx.guards)
    arrays.check_made_indices(ctx, body)
    return ir.Program(
        name,
        tuple(ir.DataField(d.name, d.type, d.type == ir.INT and d.name in ctx.static, d.span) for d in ctx.data),
        tuple(ctx.sites.values()),
        tuple(ctx.arrays.values()),
        tuple(ctx.guards) if ctx.sink.errors else steady.with_steady(ctx),
        tuple(ctx.kinks),
        with_reports(ctx, body),
        tuple(ctx.fixed),
        ctx.guide,
        tuple(ctx.divisors),
        tuple(ctx.customs.values()),
    )


def declared_functions(
    module: ast.Module, imported: Sequence[ast.Module], sink: Diagnostics
) -> dict[str, ast.Function]:
    table: dict[str, ast.Function] = {}
    for m in (*imported, module):
        for s in m.statements:
            if not isinstance(s, ast.Function):
                if m is not module and not isinstance(s, ast.Use):
                    sink.error("PPL111", "a file that is used may hold functions only", s.span)
                continue
            if s.name in table and not (m is module and table[s.name].span.file == PRELUDE):
                line = table[s.name].span
                sink.error("PPL102", f"function `{s.name}` is declared already, at {line}", s.name_span)
            elif s.name in FUNCTIONS or s.name in DISTRIBUTIONS or s.name in DENSITY_FUNCTIONS:
                sink.error("PPL102", f"`{s.name}` is built in", s.name_span, "use another name")
            else:
                table[s.name] = s
    return table


def run(ctx: Context, module: ast.Module, imported: Sequence[ast.Module]) -> None:
    own: ast.Guide | None = None
    for s in module.statements:
        match s:
            case ast.Data():
                data(ctx, s)
            case ast.Function() | ast.Use():
                pass
            case ast.Guide():
                if own is not None:
                    line = own.span.line
                    ctx.error("PPL102", f"the program has a guide already, at line {line}", s.span, "remove one")
                own = own or s
            case _:
                statements.statement(ctx, s)
    if own is not None:
        ctx.guide = guide.guide(ctx, own)
    block, env = ctx.block, ctx.env
    for m in (*imported, module):
        for s in m.statements:
            if isinstance(s, ast.Function) and samplers.is_sampler(s):
                draws_from(ctx, s)
            elif isinstance(s, ast.Function):
                densities.check_signature(ctx, s)
                check_function(ctx, s)
    ctx.block, ctx.env = block, env


def data(ctx: Context, s: ast.Data) -> None:
    if s.name in ctx.env or s.name in ctx.sites or s.name in ctx.arrays:
        ctx.error("PPL102", f"`{s.name}` is declared already", s.name_span, "use another name")
        return
    t = statements.type_of(ctx, s.type)
    if t is None:
        t = ir.Type("error")
    for d in t.dims:
        for x in ir.walk(d):
            if isinstance(x, ir.Var | ir.Cell):
                ctx.error("PPL207", "the size of data comes from literals and earlier int data", s.type.span)
                t = ir.Type("error")
                break
    ref = ir.DataRef(s.name, t)
    ctx.counters[s.name] = 1
    ctx.data.append(ir.DataField(s.name, t, False, s.span))
    ctx.env[s.name] = (
        DataBinding(ref, s.name_span) if t.base != "error" else Local(ir.Lit(0.0, t), s.name_span, (s.name_span,))
    )


def draws_from(ctx: Context, f: ast.Function) -> None:
    """Checks a function that draws, and keeps it where the program uses its distribution."""
    failed = len(ctx.sink.errors)
    samplers.check_signature(ctx, f)
    found, name = samplers.sampler(ctx, f), f.name.removesuffix(SAMPLER)
    if len(ctx.sink.errors) == failed and name in ctx.customs:
        ctx.customs[name] = replace(ctx.customs[name], sampler=found)


def check_function(ctx: Context, f: ast.Function) -> None:
    """Checks a body once on its own, so that a function that is never called is checked too."""
    saved = (list(ctx.guards), list(ctx.kinks), list(ctx.fixed), list(ctx.sizes), set(ctx.static), ctx.statements)
    reached, made = list(ctx.reached), list(ctx.made)
    ctx.block, ctx.mask, ctx.loops = [], None, ()
    env: dict[str, Binding] = {}
    for p in f.parameters:
        if p.name in env:
            ctx.error("PPL102", f"parameter `{p.name}` is declared twice", p.span)
        dims: list[ir.Expr] = []
        for k, d in enumerate(p.type.dims):
            if d is not None:
                ctx.error("PPL207", "an array parameter is written `real[]`: it takes any length", p.type.span)
            dims.append(ir.DataRef(f"length {k} of {p.name}", ir.INT))
        # Data-only parameters: what needs that (a bound, an index) is checked again at each call.
        env[p.name] = Local(ir.Var(ctx.fresh(p.name), ir.Type(p.type.base, tuple(dims)), False), p.span, (p.span,))
        ctx.definitions[ctx_name(env[p.name])] = ir.DataRef(p.name, ir.Type(p.type.base, tuple(dims)))
    call = ast.Call(f.span, f.name, (), f.name_span)
    functions.run(ctx, f, env, call)
    arrays.check_made_indices(ctx, reductions(tuple(ctx.block), ctx.guards))
    ctx.guards, ctx.kinks, ctx.fixed, ctx.sizes, ctx.static, ctx.statements = saved
    ctx.reached, ctx.made = reached, made


def ctx_name(b: Binding) -> str:
    assert isinstance(b, Local) and isinstance(b.value, ir.Var)
    return b.value.name
