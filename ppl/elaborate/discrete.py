"""Discrete latents: guards whose outcome the guide draws with probabilities of its own."""

from __future__ import annotations

from dataclasses import replace

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.elaborate import arrays, expressions
from ppl.elaborate.context import ArrayBinding, Binding, Context, Element, ElementKey, SiteBinding
from ppl.language.distributions import Distribution
from ppl.syntax import ast

MAX_OUTCOMES = 1000


def supported(ctx: Context, d: Distribution, args: tuple[ir.Expr, ...], span: Span) -> bool:
    """Whether a latent with this distribution has a number of outcomes that is known once data is bound."""
    if d.support.kind == "nonnegative_int":
        ctx.error(
            "PPL604", f"a latent from `{d.family}` has no largest value, so the guide cannot list its outcomes", span,
            f"bound it: `{d.family}(...) in (0, 50)`, or take the floor of a continuous latent",
        )  # fmt: skip
        return False
    n = outcomes(d, args)
    if not n.random and arrays.known_at_bind(ctx, n) and arrays.depends_on_loop(ctx, n):
        message = f"the number of outcomes of a latent from `{d.family}` depends on a loop variable"
        ctx.error("PPL604", message, span, "it has to be the same for all elements that one statement draws")
        return False
    if n.random or not arrays.known_at_bind(ctx, n):
        ctx.error("PPL604", f"the number of outcomes of a latent from `{d.family}` must come from data", span)
        return False
    if isinstance(n, ir.Lit) and n.value > MAX_OUTCOMES:
        ctx.error("PPL701", f"{n.value} outcomes are more than {MAX_OUTCOMES}", span)
        return False
    ctx.mark_static(n)
    return True


def outcomes(d: Distribution, args: tuple[ir.Expr, ...]) -> ir.Expr:
    """The number of outcomes, which follow each other from the lowest value on."""
    if d.support.kind == "categories":
        return args[0].type.dims[-1]
    low, high = (bound(d, b, args) for b in d.support.bounds)
    return arithmetic("add", arithmetic("sub", high, low), ir.literal(1))


def lowest(d: Distribution, args: tuple[ir.Expr, ...]) -> ir.Expr:
    """The value of outcome 0."""
    return ir.literal(0) if d.support.kind == "categories" else bound(d, d.support.bounds[0], args)


def bound(d: Distribution, b: str | float, args: tuple[ir.Expr, ...]) -> ir.Expr:
    return args[[p.name for p in d.params].index(b)] if isinstance(b, str) else ir.literal(int(b))


def arithmetic(op: str, a: ir.Expr, b: ir.Expr) -> ir.Expr:
    """``a + b`` or ``a - b`` of ints, folded where it is known."""
    if isinstance(a, ir.Lit) and isinstance(b, ir.Lit):
        return ir.literal(int(a.value) + int(b.value) * (1 if op == "add" else -1))
    return a if b == ir.literal(0) else ir.Op(op, (a, b), ir.INT, a.random or b.random)


def whole(ctx: Context, variable: ir.Var, d: Distribution, args: tuple[ir.Expr, ...], s: ast.Sample) -> Binding:
    """A scalar latent, or an array of independent ones, which is a loop over its elements."""
    if not variable.type.dims:
        outcome, value = decide(ctx, variable.name, (), d, args, s)
        ctx.definitions[variable.name] = value
        ctx.block.append(ir.Let(variable, value, None, s.span))
        draw(ctx, variable, (), d, args, outcome, s)
        return SiteBinding(variable, s.target.span)
    ctx.arrays[variable.name] = ir.FilledArray(variable.name, variable.type, False, s.span)
    around = ctx.block, ctx.loops
    loops: list[tuple[int, ir.LoopVar]] = [(ctx.new_id(), ir.LoopVar(ctx.fresh("i"))) for _ in variable.type.dims]
    ctx.block, ctx.loops = [], (*ctx.loops, *(i for i, _ in loops))
    indices = tuple(v for _, v in loops)
    fits = tuple(
        arrays.element(a, indices) if len(a.type.dims) > p.ndim else a for p, a in zip(d.params, args, strict=True)
    )
    element(ctx, variable, indices, d, fits, s)
    body = tuple(ctx.block)
    ctx.block, ctx.loops = around
    for (loop_id, v), size in zip(reversed(loops), reversed(variable.type.dims), strict=True):
        body = (ir.Loop(loop_id, v, ir.literal(0), size, body, (), (), (), ctx.mask, s.span),)
    ctx.block.extend(body)
    return ArrayBinding(variable.name, variable.type, s.target.span)


def element(
    ctx: Context, variable: ir.Var, indices: tuple[ir.Expr, ...], d: Distribution, args: tuple[ir.Expr, ...],
    s: ast.Sample,
) -> None:  # fmt: skip
    """One element of an array."""
    outcome, value = decide(ctx, variable.name, indices, d, args, s)
    ctx.block.append(ir.Fill(variable.name, indices, value, ctx.mask, s.span))
    key = ctx.place(variable.name, indices)
    ctx.drawn[key] = on_all_paths(ctx, key, value, s.span)
    draw(ctx, variable, indices, d, args, outcome, s)


def assigned(ctx: Context, name: str, indices: tuple[ir.Expr, ...], value: ir.Expr, span: Span) -> None:
    """Of an element of an int array that is assigned: it may be drawn on another path, before or after this."""
    key = ctx.place(name, indices)
    condition = ir.TRUE if ctx.mask is None else ctx.mask
    if key in ctx.drawn:
        ctx.drawn[key] = joined(ctx, key, condition, value, ctx.drawn[key].at(ctx.loops), span)
    else:
        ctx.written.setdefault(key, []).append((condition, Element(ctx.loops, value)))


def on_all_paths(ctx: Context, key: ElementKey, drawn: ir.Expr, span: Span) -> Element:
    """What an element is that is drawn on this path and may have been drawn or assigned on others."""
    if key in ctx.drawn:
        condition = ir.TRUE if ctx.mask is None else ctx.mask
        return joined(ctx, key, condition, drawn, ctx.drawn[key].at(ctx.loops), span)
    out = Element(ctx.loops, drawn)
    for condition, element in ctx.written.get(key, ()):
        out = joined(ctx, key, condition, element.at(ctx.loops), out.value, span)
    return out


def joined(
    ctx: Context, key: ElementKey, condition: ir.Expr, value: ir.Expr | None, other: ir.Expr | None, span: Span
) -> Element:
    """One value where a condition holds, else another; the array's, if one of them cannot be read here."""
    if value is None or other is None:
        return Element(ctx.loops, None)
    return Element(ctx.loops, ctx.let(key[0], expressions.select(ctx, condition, value, other, span), span))


def without_needless_masks(ctx: Context, body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """Elements that one statement alone fills, with draws of discrete latents, have a value on every path."""
    fills = [s.array for _, s in ir.blocks(body) if isinstance(s, ir.Fill)]
    once = {name for name, _ in ctx.drawn if fills.count(name) == 1}

    def block(body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
        return tuple(statement(s) for s in body)

    def statement(s: ir.Statement) -> ir.Statement:
        if isinstance(s, ir.Loop):
            return replace(s, body=block(s.body))
        return replace(s, mask=None) if isinstance(s, ir.Fill) and s.array in once else s

    return block(body) if once else body


def decide(
    ctx: Context, name: str, indices: tuple[ir.Expr, ...], d: Distribution, args: tuple[ir.Expr, ...], s: ast.Sample
) -> tuple[ir.Expr, ir.Expr]:
    """The outcome, counted from 0, and the latent's value."""
    low = lowest(d, args)
    value = ir.Outcome(name, indices, None if low == ir.literal(0) else low)
    guard = ir.Guard(len(ctx.guards), value, ctx.text(s.span), ctx.loops, ctx.mask, s.span, outcomes=outcomes(d, args))
    ctx.guards.append(guard)
    ctx.block.append(ir.Decide(guard.index, None, s.span))
    outcome = ir.GuardRef(guard.index, ir.INT)
    return outcome, outcome if low == ir.literal(0) else ir.Op("add", (outcome, low), ir.INT, True)


def draw(
    ctx: Context, variable: ir.Var, indices: tuple[ir.Expr, ...], d: Distribution, args: tuple[ir.Expr, ...],
    outcome: ir.Expr, s: ast.Sample,
) -> None:  # fmt: skip
    ctx.block.append(
        ir.Sample(ctx.new_id(), variable.name, variable, indices, d.name, args, ctx.mask, False, s.span, outcome)
    )
