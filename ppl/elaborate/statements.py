"""Statements: assignment, branches, loops, factors."""

from __future__ import annotations

from collections.abc import Iterator

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.core.show import renewed, show
from ppl.diagnostics import Span, counted, did_you_mean
from ppl.elaborate import arrays, densities, discrete, draws, expressions, limits, samplers, whiles
from ppl.elaborate.context import (
    ERROR,
    ArrayBinding,
    Binding,
    Context,
    DataBinding,
    Local,
    LoopBinding,
    Partial,
    SiteBinding,
)
from ppl.language.limits import line_of
from ppl.syntax import ast


def is_data(b: Binding) -> bool:
    return isinstance(b, DataBinding)


def statement(ctx: Context, s: ast.Statement) -> None:
    ctx.count_statement(s.span)
    match s:
        case ast.Assign():
            assign(ctx, s)
        case ast.Sample() if ctx.drawing:
            samplers.draw(ctx, s)
        case ast.Sample():
            draws.sample(ctx, s)
        case ast.Var():
            var(ctx, s)
        case ast.Observe():
            draws.observe(ctx, s)
        case ast.Factor():
            factor(ctx, s)
        case ast.Scored():
            densities.scored(ctx, s)
        case ast.If():
            if_statement(ctx, s)
        case ast.For():
            for_loop(ctx, s)
        case ast.While():
            while_loop(ctx, s)
        case ast.Report():
            report(ctx, s)
        case ast.Return() if ctx.calls:
            ctx.error("PPL110", "`return` inside a loop is not supported", s.span, "assign, and return after the loop")
        case ast.Return():
            ctx.error("PPL110", "`return` outside a function", s.span, "use `report` to output a value")
        case ast.Data() | ast.Function() | ast.Use() | ast.Guide():
            ctx.error("PPL111", "this declaration is allowed at the top level only", s.span, "move it to the top")


def statements(ctx: Context, stmts: tuple[ast.Statement, ...]) -> None:
    for s in stmts:
        statement(ctx, s)


# ----------------------------------------------------------------- assignment


def assign(ctx: Context, s: ast.Assign) -> None:
    value = expressions.expression(ctx, s.value)
    name, span = s.target.name, s.target.span
    binding = ctx.env.get(name)
    if s.target.indices:
        fill(ctx, s, value, binding)
        return
    match binding:
        case DataBinding() | LoopBinding() | SiteBinding():
            what = {DataBinding: "data", LoopBinding: "a loop variable", SiteBinding: "a latent"}[type(binding)]
            ctx.error("PPL105", f"`{name}` is {what} and cannot be assigned", span, "use another name")
        case ArrayBinding():
            ctx.error("PPL105", f"`{name}` is an array filled element by element", span, f"write `{name}[i] = ...`")
        case Local():
            update(ctx, s, binding, value)
        case Partial() if name in ctx.sites:
            line = binding.span.line
            ctx.error("PPL105", f"`{name}` is a latent on some paths, from line {line}", span, "use another name")
        case Partial() | None:
            if value is ERROR:
                ctx.env[name] = Local(ERROR, span, (span,))
                return
            if span in ctx.facts.widened and value.type.base == "int":
                value = to_real(value)
            ctx.env[name] = Local(ctx.let(name, value, s.span), span, (span,))


def update(ctx: Context, s: ast.Assign, old: Local, value: ir.Expr) -> None:
    """A new value for a variable; an int variable that gets a real was real from the start."""
    if value is ERROR or old.value is ERROR:
        ctx.env[s.target.name] = Local(ERROR, old.declared, old.spans)
        return
    was, now = old.value.type, value.type
    if was.base == "int" and now.base == "real":
        ctx.facts.widen(*old.spans)
    elif was.base == "real" and now.base == "int":
        value = to_real(value)
    elif expressions.join(was.base, now.base) is None:
        ctx.error(
            "PPL201",
            f"`{s.target.name}` is {expressions.describe(was)}, assigned {expressions.describe(now)}",
            s.span,
            f"it got its type at line {old.declared.line}",
        )
        return
    if len(was.dims) != len(now.dims) or not all(
        ctx.same_size(a, b, s.span, f"`{s.target.name}`") for a, b in zip(was.dims, now.dims, strict=True)
    ):
        ctx.error(
            "PPL202",
            f"`{s.target.name}` is {expressions.describe(was)}, assigned {expressions.describe(now)}",
            s.span,
            "the shape of a variable is fixed",
        )
        return
    ctx.env[s.target.name] = Local(ctx.let(s.target.name, value, s.span), old.declared, old.spans)


def to_real(value: ir.Expr) -> ir.Expr:
    if isinstance(value, ir.Lit):
        return ir.literal(float(value.value))
    return ir.Op("to_real", (value,), value.type.with_base("real"), value.random)


def fill(ctx: Context, s: ast.Assign, value: ir.Expr, binding: Binding | None) -> None:
    name = s.target.name
    if binding is None or isinstance(binding, Partial):
        ctx.error(
            "PPL101", f"`{name}` is not declared", s.target.span,
            did_you_mean(name, ctx.env) or f"declare it first: `var {name}: real[n]`",
        )  # fmt: skip
        return
    if not isinstance(binding, ArrayBinding):
        ctx.error("PPL105", f"`{name}` is not a `var` array", s.target.span, _instead_of_fill(ctx, s, binding))
        return
    indices = target_indices(ctx, s.target, binding)
    if indices is None or value is ERROR:
        return
    if not value.type.scalar or expressions.join(value.type.base, binding.type.base) != binding.type.base:
        ctx.error(
            "PPL201",
            f"an element of `{name}` is {binding.type.base}, assigned {expressions.describe(value.type)}",
            s.value.span,
        )
        return
    ctx.block.append(ir.Fill(binding.name, indices, value, ctx.mask, s.span))
    if binding.type.base == "int":
        discrete.assigned(ctx, binding.name, indices, value, s.span)


def _instead_of_fill(ctx: Context, s: ast.Assign, binding: Binding) -> str:
    """What to write for an assigned element of what is no `var` array: of a variable, all of its elements anew."""
    name, nodes = s.target.name, s.target.indices
    dims = binding.value.type.dims if isinstance(binding, Local) and binding.value is not ERROR else ()
    if len(dims) != len(nodes) or any(isinstance(i, ast.Range) for i in nodes):
        return f"declare it: `var {name}: real[n]`"
    sizes = [show(n) for n in dims]
    return f"write `{renewed(name, [ctx.text(i.span) for i in nodes], sizes, ctx.text(s.value.span), ctx.env)}`"


def target_indices(ctx: Context, target: ast.Target, binding: ArrayBinding) -> tuple[ir.Expr, ...] | None:
    if len(target.indices) != len(binding.type.dims):
        given = counted(len(target.indices), "index is", "indices are")
        ctx.error(
            "PPL206",
            f"`{target.name}` has {counted(len(binding.type.dims), 'dimension')}, {given} given",
            target.span,
            "fill one element at a time",
        )
        return None
    return arrays.index_items(ctx, target.indices, binding.type, target=True)


def var(ctx: Context, s: ast.Var) -> None:
    if ctx.loops or ctx.mask is not None:
        ctx.error("PPL111", "`var` is declared outside loops and branches", s.span, "move it up")
        return
    if not draws.new_name(ctx, s.name, s.name_span):
        return
    t = type_of(ctx, s.type)
    if t is None:
        return
    if t.scalar:
        ctx.error("PPL206", f"`var {s.name}` needs a size", s.type.span, f"`var {s.name}: {t.base}[n]`")
        return
    ctx.env[s.name] = ArrayBinding(s.name, t, s.name_span)
    ctx.counters[s.name] = max(ctx.counters.get(s.name, 0), 1)
    ctx.arrays[s.name] = ir.FilledArray(s.name, t, False, s.span)


def type_of(ctx: Context, t: ast.TypeExpr) -> ir.Type | None:
    """The core type of a declaration; its sizes must come from data."""
    dims: list[ir.Expr] = []
    for node in t.dims:
        if node is None:
            ctx.error("PPL207", "a size is needed here; `[]` is for parameters of functions", t.span)
            return None
        if isinstance(node, ast.Name) and node.name not in ctx.env:
            hint = did_you_mean(node.name, ctx.env) or f"declare it first: `data {node.name}: int`"
            ctx.error("PPL101", f"`{node.name}` is not defined", node.span, hint)
            return None
        d = expressions.expression(ctx, node)
        if d is ERROR:
            return None
        if d.type != ir.INT:
            ctx.error("PPL206", f"a size is an int, this is {expressions.describe(d.type)}", node.span)
            return None
        if d.random or not arrays.known_at_bind(ctx, d) or arrays.depends_on_loop(ctx, d):
            ctx.error("PPL207", "a size must come from data and literals", node.span)
            return None
        if isinstance(d, ir.Lit) and d.value > arrays.MAX_ELEMENTS:
            ctx.error("PPL701", f"{d.value} elements are more than 10^8", node.span)
            return None
        if isinstance(d, ir.Lit) and d.value < 0:
            ctx.error("PPL206", "a size cannot be negative", node.span)
            return None
        ctx.mark_static(d)
        dims.append(d)
    return ir.Type(t.base, tuple(dims))


# --------------------------------------------------------------------- others


def factor(ctx: Context, s: ast.Factor) -> None:
    value = expressions.expression(ctx, s.value)
    if value is ERROR or not expressions.numeric(ctx, value, s.value.span, "`factor`"):
        return
    if not value.type.scalar:
        ctx.error("PPL202", "a factor is one number, this is an array", s.value.span, "use `sum(...)`")
        return
    ctx.block.append(ir.Term(ctx.new_id(), None, value, (), ctx.mask, s.span))


def report(ctx: Context, s: ast.Report) -> None:
    value = expressions.expression(ctx, s.value)
    if ctx.loops or ctx.mask is not None:
        ctx.error(
            "PPL111", "`report` stands outside loops and branches", s.span, "assign a variable and report it after"
        )
        return
    if line_of(s.name) is not None:
        ctx.error(
            "PPL102", f"`{s.name}` is the name of a report that a loop with a limit makes", s.name_span,
            "use another name",
        )  # fmt: skip
        return
    name = f"report {s.name}"
    if name in ctx.counters or s.name in ctx.sites:
        latent = s.name in ctx.sites
        what = "is a latent, and latents are always reported" if latent else "is reported already"
        ctx.error("PPL102", f"`{s.name}` {what}", s.name_span, "use another name")
        return
    ctx.counters[name] = 1
    if value is not ERROR:
        ctx.block.append(ir.Report(s.name, value, s.span))


# ------------------------------------------------------------------- branches


def if_statement(ctx: Context, s: ast.If) -> None:
    """A chain of else-ifs of any length, without recursion along it."""
    conditions: list[ir.Expr] = []
    envs: list[dict[str, Binding]] = []
    saved_env, saved_mask = ctx.env, ctx.mask
    node = s
    while True:
        c = expressions.condition(ctx, node.condition)
        c = ir.TRUE if c is ERROR else c
        c = ctx.let("case", c, node.condition.span)
        conditions.append(c)
        with ctx.under(c):
            ctx.env = dict(saved_env)
            statements(ctx, node.then)
            envs.append(ctx.env)
        ctx.env = saved_env
        ctx.mask = ir.conjunction(ctx.mask, ir.negate(c))
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            node = node.orelse[0]
            continue
        break
    ctx.env = dict(saved_env)
    statements(ctx, node.orelse)
    merged = ctx.env
    ctx.env, ctx.mask = saved_env, saved_mask
    for c, env in zip(reversed(conditions), reversed(envs), strict=True):
        merged = merge(ctx, c, env, merged, s.span)
    ctx.env = merged


def merge(
    ctx: Context, c: ir.Expr, then: dict[str, Binding], orelse: dict[str, Binding], span: Span
) -> dict[str, Binding]:
    out: dict[str, Binding] = {}
    for name in [*then, *(n for n in orelse if n not in then)]:
        a, b = then.get(name), orelse.get(name)
        if a == b and a is not None:
            out[name] = a
        elif isinstance(a, Local | SiteBinding) and isinstance(b, Local | SiteBinding):
            out[name] = merge_values(ctx, name, c, a, b, span)
        else:
            present = a or b
            assert present is not None
            out[name] = Partial(present.declared if isinstance(present, Local) else binding_span(present))
    return out


def merge_values(
    ctx: Context, name: str, c: ir.Expr, a: Local | SiteBinding, b: Local | SiteBinding, span: Span
) -> Binding:
    x = a.value if isinstance(a, Local) else a.var
    y = b.value if isinstance(b, Local) else b.var
    declared = a.declared if isinstance(a, Local) else b.declared if isinstance(b, Local) else span
    spans = tuple(dict.fromkeys((a.spans if isinstance(a, Local) else ()) + (b.spans if isinstance(b, Local) else ())))
    if x is ERROR or y is ERROR:
        return Local(ERROR, declared, spans)
    if {x.type.base, y.type.base} == {"int", "real"}:
        ctx.facts.widen(*spans)
        x, y = (to_real(v) if v.type.base == "int" else v for v in (x, y))
    value = expressions.select(ctx, c, x, y, span)
    return Local(value if value is ERROR else ctx.let(name, value, span), declared, spans)


def binding_span(b: Binding) -> Span:
    match b:
        case Local():
            return b.declared
        case _:
            return b.span


# ---------------------------------------------------------------------- loops


def assigned_names(stmts: tuple[ast.Statement, ...]) -> Iterator[str]:
    """Names assigned (not element by element) anywhere in `stmts`, in order."""
    for s in stmts:
        match s:
            case ast.Assign() | ast.Sample():  # a function that draws assigns its draws
                if not s.target.indices:
                    yield s.target.name
            case ast.If():
                yield from assigned_names(s.then)
                yield from assigned_names(s.orelse)
            case ast.For() | ast.While():
                yield from assigned_names(s.body)
            case _:
                pass


def for_loop(ctx: Context, s: ast.For) -> None:
    if s.condition is not None:
        statements(ctx, whiles.for_while(s))
        return
    bounds = arrays.range_bounds(ctx, s.range)
    if bounds is None:
        bounds = (ir.literal(0), ir.literal(1))  # go on, to find the errors in the body
    lo, hi = bounds
    if isinstance(lo, ir.Lit) and isinstance(hi, ir.Lit) and hi.value - lo.value > arrays.MAX_ELEMENTS:
        ctx.error("PPL701", f"{hi.value - lo.value} iterations are more than 10^8", s.range.span)
        return
    arrays.shadow(ctx, s.variable, s.variable_span)
    for b in bounds:
        ctx.mark_static(b)
    loop_id, var = ctx.new_id(), ir.LoopVar(ctx.fresh(s.variable))
    outer_env, outer_block = ctx.env, ctx.block
    entries = enter(ctx, s, outer_env)
    inner = dict(outer_env) | {name: Local(v, b.declared, b.spans) for name, (v, b) in entries.items()}
    inner[s.variable] = LoopBinding(var, s.variable_span)
    ragged = any(arrays.depends_on_loop(ctx, b) for b in bounds)
    ctx.env, ctx.block, ctx.loops = inner, [], (*ctx.loops, loop_id)
    if ragged:  # every iteration of the loops around runs as many steps as the longest; those past the end are masked
        inside = ir.Op("lt", (var, hi), ir.BOOL, False, s.range.span)
        with ctx.under(inside):
            ctx.env = dict(inner)
            statements(ctx, s.body)
        ctx.env = merge(ctx, inside, ctx.env, inner, s.span)
    else:
        statements(ctx, s.body)
    body, after = tuple(ctx.block), ctx.env
    ctx.env, ctx.block, ctx.loops = dict(outer_env), outer_block, ctx.loops[:-1]
    carries = leave(ctx, s, entries, after)
    body = (*unchanged(ctx, s, entries, carries, body), *body)
    for name, b in after.items():
        if name not in outer_env and isinstance(b, Local | Partial):
            ctx.env[name] = Partial(binding_span(b))
    ctx.block.append(ir.Loop(loop_id, var, lo, hi, body, carries, (), (), ctx.mask, s.span))


def unchanged(
    ctx: Context, s: ast.For, entries: dict[str, tuple[ir.Var, Local]], carries: tuple[ir.Carry, ...],
    body: tuple[ir.Statement, ...],
) -> Iterator[ir.Let]:  # fmt: skip
    """What the body may hand on and does not, but reads: where no path leads, as in ``if 1 > 2 { k = k + 1 }``."""
    carried = {c.entry for c in carries}
    read = {x.name for t in body for e in expressions_of(t, ctx.guards) for x in ir.walk(e) if isinstance(x, ir.Var)}
    for entry, before in entries.values():
        if entry not in carried and entry.name in read:
            ctx.definitions[entry.name] = before.value
            yield ir.Let(entry, before.value, None, s.span)


def while_loop(ctx: Context, s: ast.While) -> None:
    if isinstance(s.limit, ast.Number) and s.limit.value > whiles.MAX_LIMIT:
        ctx.error("PPL701", f"a limit of {s.limit.value} iterations is more than 10^4", s.limit.span)
        return
    statements(ctx, whiles.while_(s))
    going = ctx.env.get(whiles.flag_of(s.span))
    if isinstance(going, Local) and going.value is not ERROR:
        limits.note(ctx, s.span, going.value)


def enter(ctx: Context, s: ast.For, env: dict[str, Binding]) -> dict[str, tuple[ir.Var, Local]]:
    """Variables that the body may hand on, with their value at the start of an iteration."""
    out: dict[str, tuple[ir.Var, Local]] = {}
    for name in assigned_names(s.body):
        b = env.get(name)
        if isinstance(b, Local) and name not in out and b.value is not ERROR:
            random = b.value.random or (s.span, name) in ctx.facts.random or ctx.mask_random()
            out[name] = (ir.Var(ctx.fresh(f"{name}_in"), b.value.type, random), b)
    return out


def leave(
    ctx: Context, s: ast.For, entries: dict[str, tuple[ir.Var, Local]], after: dict[str, Binding]
) -> tuple[ir.Carry, ...]:
    carries: list[ir.Carry] = []
    for name, (entry, before) in entries.items():
        b = after.get(name)
        if not isinstance(b, Local) or b.value is ERROR:
            ctx.env[name] = Local(ERROR, before.declared, before.spans)
            continue
        if b.value == entry:
            continue
        if b.value.random and not entry.random:
            ctx.facts.make_random(s.span, name)
        final = ir.Var(ctx.fresh(name), entry.type, entry.random or b.value.random)
        carries.append(ir.Carry(name, entry, before.value, b.value, final))
        ctx.env[name] = Local(final, before.declared, before.spans)
    return tuple(carries)
