"""Arrays: literals, comprehensions, indexing, slices, shapes."""

from __future__ import annotations

from collections.abc import Container, Sequence

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.elaborate import expressions
from ppl.elaborate.context import ERROR, Context, LoopBinding
from ppl.syntax import ast

MAX_ELEMENTS = 10**8


def broadcast(ctx: Context, types: Sequence[ir.Type], span: Span, what: str) -> tuple[ir.Expr, ...] | None:
    """The common shape of scalars and equally shaped arrays; None if reported."""
    dims: tuple[ir.Expr, ...] = ()
    for t in types:
        if t.scalar:
            continue
        if not dims:
            dims = t.dims
            continue
        if len(t.dims) != len(dims) or not all(
            ctx.same_size(a, b, span, what) for a, b in zip(dims, t.dims, strict=True)
        ):
            shapes = " and ".join(expressions.describe(x) for x in types if not x.scalar)
            ctx.error("PPL202", f"{what} needs equal shapes or a scalar, got {shapes}", span)
            return None
    return dims


def literal(ctx: Context, e: ast.ArrayLiteral) -> ir.Expr:
    items = [expressions.expression(ctx, x) for x in e.items]
    if any(x is ERROR for x in items):
        return ERROR
    if not items:
        return ctx.error("PPL202", "an empty array has no type", e.span, "use a comprehension over an empty range")
    base = items[0].type.base
    for x, node in zip(items, e.items, strict=True):
        joined = expressions.join(base, x.type.base)
        same = len(x.type.dims) == len(items[0].type.dims) and all(
            ctx.same_size(a, b, node.span, "the array") for a, b in zip(items[0].type.dims, x.type.dims, strict=True)
        )
        if joined is None or not same:
            return ctx.error(
                "PPL202",
                f"elements differ: {expressions.describe(items[0].type)} and {expressions.describe(x.type)}",
                node.span,
            )
        base = joined
    t = ir.Type(base, (ir.literal(len(items)), *items[0].type.dims))
    return ir.Array(tuple(items), t, any(x.random for x in items))


def range_bounds(ctx: Context, r: ast.Range) -> tuple[ir.Expr, ir.Expr] | None:
    """The bounds of a loop, comprehension or slice: ints from data, literals and loop variables."""
    bounds = [expressions.expression(ctx, x) for x in (r.lo, r.hi)]
    if any(b is ERROR for b in bounds):
        return None
    for b, node in zip(bounds, (r.lo, r.hi), strict=True):
        if b.type != ir.INT:
            ctx.error("PPL206", f"a bound is an int, this is {expressions.describe(b.type)}", node.span)
            return None
        if b.random or not known_at_bind(ctx, b):
            ctx.error(
                "PPL207",
                "a bound must come from data, literals and loop variables, so that it is known once data is bound",
                node.span,
                "loop over the whole range and put an `if` inside",
            )
            return None
    return bounds[0], bounds[1]


def known_at_bind(ctx: Context, e: ir.Expr) -> bool:
    """Whether `e` depends on data, literals and loop variables only, not on state that a loop carries."""
    return not any(
        isinstance(x, ir.Cell | ir.GuardRef) or (isinstance(x, ir.Var) and x.name not in ctx.definitions)
        for x in ctx.parts(e)
    )


def check_made_indices(ctx: Context, body: tuple[ir.Statement, ...]) -> None:
    """Reports indices that depend on state which loops of the finished program carry."""
    loops = [s for _, s in ir.blocks(body) if isinstance(s, ir.Loop)]
    carried = {v.name for s in loops for c in s.carries for v in (c.entry, c.final)}
    for i, span in ctx.made:
        if any(isinstance(x, ir.Var) and x.name in carried for x in ctx.parts(i)):
            hint = "use the loop variable, or a sum or comprehension that is finished before it is read"
            ctx.error("PPL207", "an index cannot depend on state that a loop carries", span, hint)


def extent(lo: ir.Expr, hi: ir.Expr) -> ir.Expr:
    """``hi - lo`` as a size (an empty range has size 0, which bind sees)."""
    if isinstance(lo, ir.Lit) and isinstance(hi, ir.Lit):
        return ir.literal(max(0, int(hi.value) - int(lo.value)))
    return hi if lo == ir.literal(0) else ir.Op("sub", (hi, lo), ir.INT, False)


def depends_on_loop(ctx: Context, e: ir.Expr) -> bool:
    return any(isinstance(x, ir.LoopVar) for x in ctx.parts(e))


def comprehension(ctx: Context, e: ast.Comprehension) -> ir.Expr:
    bounds = range_bounds(ctx, e.range)
    if bounds is None:
        return ERROR
    if any(depends_on_loop(ctx, b) for b in bounds):
        return ctx.error(
            "PPL207", "the size of this array would depend on a loop variable", e.range.span, "use a fixed size"
        )
    shadow(ctx, e.variable, e.variable_span)
    var = ir.LoopVar(ctx.fresh(e.variable))
    outer_env, outer_block, loop_id = ctx.env, ctx.block, ctx.new_id()
    ctx.env = {**outer_env, e.variable: LoopBinding(var, e.variable_span)}
    ctx.block, ctx.loops = [], (*ctx.loops, loop_id)
    element = expressions.expression(ctx, e.element)
    body, ctx.block, ctx.env, ctx.loops = tuple(ctx.block), outer_block, outer_env, ctx.loops[:-1]
    if element is ERROR:
        return ERROR
    for b in bounds:
        ctx.mark_static(b)
    t = ir.Type(element.type.base, (extent(*bounds), *element.type.dims))
    final = ir.Var(ctx.fresh("items"), t, element.random)
    collect = ir.Collect(element, final)
    ctx.count_statement(e.span)
    ctx.block.append(ir.Loop(loop_id, var, *bounds, body, (), (), (collect,), ctx.mask, e.span))
    return final


def shadow(ctx: Context, name: str, span: Span) -> None:
    if name in ctx.env:
        ctx.error("PPL102", f"`{name}` is already defined; a loop variable needs a name of its own", span)


def index(ctx: Context, e: ast.Index) -> ir.Expr:
    base = expressions.expression(ctx, e.base)
    if base is ERROR:
        for item in e.items:
            if not isinstance(item, ast.Range):
                expressions.expression(ctx, item)
        return ERROR
    if base.type.scalar:
        what = expressions.describe(base.type)
        return ctx.error("PPL206", f"only arrays have indices, this is {what}", e.base.span)
    if len(e.items) > len(base.type.dims):
        return ctx.error(
            "PPL206", f"{len(e.items)} indices into {expressions.describe(base.type)}", e.span, "give fewer indices"
        )
    if any(isinstance(x, ast.Range) for x in e.items):
        return slice_(ctx, e, base)
    indices = index_items(ctx, e.items, base.type)
    if indices is None:
        return ERROR
    for i in [i for i in indices if i.random][:1]:
        ctx.decided(i, e.span)
    held = ctx.drawn.get(ctx.place(base.name, indices)) if isinstance(base, ir.Var) and ctx.drawn else None
    if held is not None and (value := held.at(ctx.loops)) is not None:
        return value
    return element(base, indices, ctx.definitions)


def index_items(
    ctx: Context, items: Sequence[ast.Expr | ast.Range], t: ir.Type, target: bool = False
) -> tuple[ir.Expr, ...] | None:
    """The indices of an element that is read or, as a `target`, filled: that one is known once data is bound."""
    out: list[ir.Expr] = []
    for node, size in zip(items, t.dims, strict=False):
        if isinstance(node, ast.Range):
            ctx.error("PPL206", "a range cannot stand here", node.span)
            return None
        i = expressions.expression(ctx, node)
        if i is ERROR:
            return None
        if not check_index(ctx, i, size, node.span, target):
            return None
        out.append(i)
    return tuple(out)


def check_index(ctx: Context, i: ir.Expr, size: ir.Expr, span: Span, target: bool) -> bool:
    if i.type != ir.INT:
        ctx.error("PPL206", f"an index is an int, this is {expressions.describe(i.type)}", span)
        return False
    if i.random and target:
        ctx.error(
            "PPL207", "which element is filled cannot depend on a latent", span,
            "fill every element, with an `if` on the right side",
        )  # fmt: skip
        return False
    if not i.random and not ctx.drawing and not known_at_bind(ctx, i):
        if any(isinstance(x, ir.Cell) and (x.array in ctx.arrays or x.array in ctx.sites) for x in ctx.parts(i)):
            hint = "make the indices with a comprehension, `g = [... for i in 0..n]`, or have them as data"
            ctx.error("PPL207", "an index cannot be read from a `var` array", span, hint)
            return False
        ctx.made.append((i, span))  # by loops: their sums and comprehensions are known once data is bound
    if isinstance(i, ir.Lit) and (i.value < 0 or (isinstance(size, ir.Lit) and i.value >= size.value)):
        hint = "indices count from 0 and are never negative" if i.value < 0 else "indices count from 0"
        ctx.error("PPL208", f"index {i.value} is outside an array of size {expressions.show_size(size)}", span, hint)
        return False
    return True


def element(base: ir.Expr, indices: tuple[ir.Expr, ...], definitions: Container[str] = frozenset[str]()) -> ir.Expr:
    """``base[indices]``, folded where `base` is itself an index or an elementwise expression.

    What moves and has a definition is read through it, so that it can be evaluated again.
    """
    t = base.type.element(len(indices))
    random = base.random or any(i.random for i in indices)
    match base:
        case ir.Index(base=inner, indices=first):
            return element(inner, (*first, *indices), definitions)
        case ir.Array(items=items) if isinstance(indices[0], ir.Lit) and 0 <= indices[0].value < len(items):
            item = items[int(indices[0].value)]
            return element(item, indices[1:], definitions) if len(indices) > 1 else item
        case ir.Var() if t.scalar and not (base.random and base.name in definitions):
            return ir.Cell(base.name, indices, t, random)
        case _:
            return ir.Index(base, indices, t, random)


def slice_(ctx: Context, e: ast.Index, base: ir.Expr) -> ir.Expr:
    first, *rest = e.items
    if not isinstance(first, ast.Range) or rest:
        return ctx.error(
            "PPL606",
            "only `x[a..b]`, a range as the one index, is supported",
            e.span,
            "of a matrix, write the elements: `[x[i, k] for k in a..b]`",
        )
    bounds = range_bounds(ctx, first)
    if bounds is None:
        return ERROR
    if any(depends_on_loop(ctx, b) for b in bounds):
        return ctx.error(
            "PPL606",
            "a slice whose bounds depend on a loop variable is not supported yet",
            first.span,
            "accumulate in a variable, or write the sum as a loop",
        )
    lo, hi = bounds
    if isinstance(lo, ir.Lit) and lo.value < 0:
        return ctx.error("PPL208", f"index {lo.value} is negative", first.span)
    size = base.type.dims[0]
    if isinstance(hi, ir.Lit) and isinstance(size, ir.Lit) and hi.value > size.value:
        return ctx.error("PPL208", f"index {hi.value} is outside an array of size {size.value}", first.span)
    for b in bounds:
        ctx.mark_static(b)
    t = ir.Type(base.type.base, (extent(lo, hi), *base.type.dims[1:]))
    return ir.Slice(base, lo, hi, t, base.random)
