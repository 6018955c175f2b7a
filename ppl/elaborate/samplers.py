"""Functions that draw: ``fn NAME_rng(...) -> real`` is how draws from NAME are made, whose density is ``NAME_lpdf``.

In its body ``x ~ D(...)`` assigns x a draw. Nothing in it is random to the compiler: it is no part of the density, so
comparisons are no guards. It is elaborated once, for arguments of any size, and called where a draw is wanted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.diagnostics import Span
from ppl.elaborate import densities, draws, expressions, functions, laws, statements
from ppl.elaborate.context import ERROR, Binding, Context, Local
from ppl.language.distributions import OF_VECTORS, SAMPLER, Distribution
from ppl.syntax import ast

MAX_CORNERS = 64


def is_sampler(f: ast.Function) -> bool:
    return f.name.endswith(SAMPLER)


def check_signature(ctx: Context, f: ast.Function) -> None:
    """Reports a sampler that does not match the density of its distribution."""
    name = f.name.removesuffix(SAMPLER)
    density = densities.of_program(ctx, name)
    if density is None or not density.parameters:
        built_in = name in laws.DISTRIBUTIONS or name in OF_VECTORS
        hint = (
            "it is built in, and so are its draws" if built_in else f"write `fn {name}_lpdf(y: real, ...) -> real` too"
        )
        ctx.error("PPL104", f"`{f.name}` draws from `{name}`, which has no density in the program", f.name_span, hint)
        return
    value, *wanted = density.parameters
    form = f"`{f.name}` takes the arguments of `{density.name}` but the first, and returns its value"
    if [types(p.type) for p in f.parameters] != [types(p.type) for p in wanted]:
        ctx.error("PPL203", f"the arguments of `{f.name}` are not those of `{density.name}`", f.name_span, form)
    elif types(f.result) != types(value.type):
        ctx.error("PPL201", f"`{f.name}` does not return what `{density.name}` is the density of", f.result.span, form)


def types(t: ast.TypeExpr) -> tuple[str, int]:
    return t.base, len(t.dims)


def sampler(ctx: Context, f: ast.Function) -> ir.Sampler | None:
    """The function as a core program of its own; None if it is wrong, which is reported."""
    failed, first = len(ctx.sink.errors), len(ctx.sizes)
    saved = list(ctx.guards), list(ctx.kinks), list(ctx.fixed), list(ctx.sizes), ctx.statements
    ctx.block, ctx.mask, ctx.loops, ctx.drawing = [], None, (), True
    params: list[ir.Var] = []
    env: dict[str, Binding] = {}
    for p in f.parameters:
        if p.name in env:
            ctx.error("PPL102", f"parameter `{p.name}` is declared twice", p.span)
        if any(d is not None for d in p.type.dims):
            ctx.error("PPL207", "an array parameter is written `real[]`: it takes any length", p.type.span)
        dims = [ir.DataRef(ctx.fresh(f"length_{k}_of_{p.name}"), ir.INT) for k in range(len(p.type.dims))]
        params.append(ir.Var(ctx.fresh(p.name), ir.Type(p.type.base, tuple(dims)), False))
        env[p.name] = Local(params[-1], p.span, (p.span,))
    value = functions.run(ctx, f, env, ast.Call(f.name_span, f.name, (), f.name_span))
    body, needs = tuple(ctx.block), [ir.Need(s.a, s.b, s.span, s.what) for s in ctx.sizes[first:]]
    ctx.guards, ctx.kinks, ctx.fixed, ctx.sizes, ctx.statements = saved
    ctx.drawing = False
    lengths = {d.name for p in params for d in p.type.dims if isinstance(d, ir.DataRef)}
    ctx.static -= lengths
    if value is ERROR or len(ctx.sink.errors) > failed:
        return None
    arrays = {v.name: v.type for v in (*params, *variables(body))}
    for loops, s in ir.blocks(body):
        if isinstance(s, ir.Loop):
            for bound in (s.lo, s.hi):
                check_size(ctx, bound, s.span)
        around = (*loops, s) if isinstance(s, ir.Loop) else loops
        for e in parts(s):
            for x in ir.walk(e):
                needs.extend(accesses(ctx, x, arrays, around, s.span))
    for x in ir.walk(value):
        needs.extend(accesses(ctx, x, arrays, (), f.name_span))
    arguments = tuple(p.name for p in f.parameters)
    return ir.Sampler(f.name, arguments, tuple(params), body, value, tuple(needs), f.name_span)


def parts(s: ir.Statement) -> Iterator[ir.Expr]:
    """What a statement evaluates, without the statements in it."""
    yield from expressions_of(replace(s, body=()) if isinstance(s, ir.Loop) else s, ())


def check_size(ctx: Context, e: ir.Expr, span: Span) -> None:
    """A size has to be known before the function runs: from literals, ints of the data and lengths of arguments."""
    for x in ctx.parts(e):
        fine = isinstance(x, ir.Lit | ir.DataRef) or (isinstance(x, ir.Var) and x.name in ctx.definitions)
        fine = fine and x.type == ir.INT
        if not fine and not (isinstance(x, ir.Op) and x.op in ("add", "sub", "mul", "floordiv", "mod", "neg")):
            message = "in a function that draws, sizes come from literals, numbers of the data and lengths of arguments"
            ctx.error("PPL207", message, span, "loop over the whole range and put an `if` inside")
            return
        if isinstance(x, ir.DataRef):
            ctx.mark_static(x)


def variables(body: tuple[ir.Statement, ...]) -> Iterator[ir.Var]:
    for _, s in ir.blocks(body):
        if isinstance(s, ir.Let | ir.Sample):
            yield s.var
        elif isinstance(s, ir.Loop):
            yield from (v for c in s.carries for v in (c.entry, c.final))
            yield from (c.final for c in s.collects)


def accesses(
    ctx: Context, e: ir.Expr, arrays: Mapping[str, ir.Type], loops: tuple[ir.Loop, ...], span: Span
) -> Iterator[ir.Need]:
    """What has to hold for the elements that an expression reads: every index at its smallest and largest."""
    if isinstance(e, ir.Index | ir.Cell):
        dims = e.base.type.dims if isinstance(e, ir.Index) else arrays[e.array].dims
        for i, size in zip(e.indices, dims, strict=False):
            yield from inside(ctx, i, size, loops, span)
    elif isinstance(e, ir.Slice):
        yield from within(e.lo, ir.Op("add", (e.base.type.dims[0], ir.literal(1)), ir.INT, False), loops, span)
        yield from within(e.hi, ir.Op("add", (e.base.type.dims[0], ir.literal(1)), ir.INT, False), loops, span)


def inside(ctx: Context, i: ir.Expr, size: ir.Expr, loops: tuple[ir.Loop, ...], span: Span) -> Iterator[ir.Need]:
    i = ctx.definitions.get(i.name, i) if isinstance(i, ir.Var) else i
    if isinstance(i, ir.Op) and i.op == "clamp":
        yield from within(i.args[1], size, loops, span)
        yield from within(i.args[2], size, loops, span)
        return
    normal = ctx.normal(i)
    own = [x for x in loops if x.var in poly.atoms(normal)]
    known = all(
        isinstance(x, ir.LoopVar) or (isinstance(x, ir.DataRef) and x.type == ir.INT) for x in poly.atoms(normal)
    )
    affine = all(poly.split_affine(normal, x.var) is not None for x in own)
    if not (known and affine) or 2 ** len(own) > MAX_CORNERS:
        ctx.error("PPL603", "in a function that draws, an index must be certain to stay inside its array", span,
                  "write `x[clamp(k, 0, length(x) - 1)]`")  # fmt: skip
        return
    for ends in itertools.product(*(((x.lo, 0), (x.hi, -1)) for x in own)):
        at: dict[ir.Expr, poly.Poly] = {}
        for x, (end, shift) in zip(own, ends, strict=True):
            at[x.var] = poly.add(ctx.normal(end), poly.constant(shift))
        yield from within(poly.to_expr(poly.substitute(normal, at), ir.INT), size, loops, span)


def within(i: ir.Expr, size: ir.Expr, loops: tuple[ir.Loop, ...], span: Span) -> Iterator[ir.Need]:
    yield ir.Need(i, size, span, "", tuple((x.lo, x.hi) for x in loops))


# ---------------------------------------------------------------------- draws


def draw(ctx: Context, s: ast.Sample) -> None:
    """``x ~ D(...)``: x is assigned a draw."""
    hidden = ast.Name(s.target.span, f"_draw_{s.span.line}_{s.span.column}")
    value = drawn(ctx, s)
    ctx.env[hidden.name] = Local(value, s.span, (s.span,))
    statements.statement(ctx, ast.Assign(s.span, s.target, hidden))
    ctx.env.pop(hidden.name, None)


def drawn(ctx: Context, s: ast.Sample) -> ir.Expr:
    name = s.distribution.name
    if s.noise:
        return ctx.error("PPL111", "every draw here is a random number as it is", s.span, "remove `noise`")
    if s.target.indices:
        return ctx.error("PPL111", "elements are not drawn one by one here", s.span,
                         f"draw the whole array, `{s.target.name}: real[n] ~ ...`")  # fmt: skip
    if s.type is not None and s.type.base not in ("real", "int"):
        return ctx.error("PPL606", f"a function cannot draw a `{s.type.base}`", s.type.span,
                         "`p ~ Dirichlet(a)` and `L ~ LKJCholesky(d, eta)` need no type")  # fmt: skip
    t = None if s.type is None else statements.type_of(ctx, s.type)
    if s.type is not None and t is None:
        return ERROR
    for d in () if t is None else t.dims:
        check_size(ctx, d, s.span)
    if name in OF_VECTORS and isinstance(s.distribution, ast.Call):
        return of_vector(ctx, s, OF_VECTORS[name], t)
    own = draws.program_density(ctx, s.distribution)
    if own is not None:
        return of_program(ctx, s, *own, t)
    found = laws.law(ctx, s.distribution)
    if found is None:
        return ERROR
    d, args = found
    t = t or (ir.INT if d.discrete else ir.REAL)
    if not draws.site_type(ctx, s, d, t) or not draws.shapes_fit(ctx, t, d, args, s.span):
        return ERROR
    return random(ctx, s, d, args, t)


def random(ctx: Context, s: ast.Sample, d: Distribution, args: tuple[ir.Expr, ...], t: ir.Type) -> ir.Expr:
    var = ir.Var(ctx.fresh(s.target.name), t, False)
    ctx.block.append(ir.Sample(ctx.new_id(), var.name, var, (), d.name, args, ctx.mask, True, s.span))
    return var


def of_vector(ctx: Context, s: ast.Sample, d: Distribution, t: ir.Type | None) -> ir.Expr:
    args = laws.arguments(ctx, d, ast.Call(s.span, d.name, s.distribution.args, s.span))  # pyright: ignore
    if args is None:
        return ERROR
    dims = args[0].type.dims if d.support.kind == "simplex" else (args[0], args[0])
    for size in dims:
        check_size(ctx, size, s.span)
    whole = ir.Type("real", dims)
    return random(ctx, s, d, args, whole) if fits(ctx, s, whole, t) else ERROR


def of_program(ctx: Context, s: ast.Sample, f: ast.Function, call: ast.Call, t: ir.Type | None) -> ir.Expr:
    """A draw by the sampler of another distribution, element by element where it draws single ones."""
    rng = ctx.functions.get(f"{call.name}{SAMPLER}")
    if rng is None:
        return ctx.error("PPL606", f"`{call.name}` has no function that draws from it", call.span,
                         f"write `fn {call.name}{SAMPLER}(...)`")  # fmt: skip
    own = densities.applied(ctx, f, call)
    if own is None:
        return ERROR
    loops = 0 if t is None else len(t.dims) - len(rng.result.dims)
    outside = dict(ctx.env)
    indices, args = densities.each(ctx, own, max(loops, 0), s.span)
    one: ast.Expr = ast.Call(call.span, rng.name, args, call.name_span)
    for k in reversed(range(len(indices))):
        assert t is not None
        one = ast.Comprehension(s.span, one, indices[k].name, densities.up_to(ctx, t.dims[k], k, s.span), s.span)
    value = expressions.expression(ctx, one)
    ctx.env = outside
    return value if value is ERROR or fits(ctx, s, value.type, t) else ERROR


def fits(ctx: Context, s: ast.Sample, found: ir.Type, t: ir.Type | None) -> bool:
    """Whether a draw has the type that is declared for it."""
    if t is None or (
        t.base == found.base and len(t.dims) == len(found.dims)
        and all(ctx.same_size(a, b, s.span, f"`{s.target.name}`") for a, b in zip(t.dims, found.dims, strict=True))
    ):  # fmt: skip
        return True
    ctx.error("PPL201", f"`{s.distribution.name}` draws {expressions.describe(found)}, `{s.target.name}` is "
              f"{expressions.describe(t)}", s.span)  # fmt: skip
    return False
