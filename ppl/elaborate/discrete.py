"""Discrete latents: guards whose outcome the guide draws with probabilities of its own."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Span
from ppl.elaborate import arrays
from ppl.elaborate.context import ArrayBinding, Binding, Context, SiteBinding
from ppl.language.distributions import Distribution
from ppl.syntax import ast

MAX_OUTCOMES = 1000


def supported(ctx: Context, d: Distribution, args: tuple[ir.Expr, ...], span: Span) -> bool:
    """Whether a latent with this distribution has a number of outcomes that is known once data is bound."""
    if d.support.kind == "nonnegative_int":
        ctx.error(
            "PPL604", f"a latent from `{d.name}` has no largest value, so the guide cannot list its outcomes", span,
            "bound it: draw from `Categorical` or `Binomial`, or take the floor of a continuous latent",
        )  # fmt: skip
        return False
    n = outcomes(d, args)
    if n.random or not arrays.known_at_bind(ctx, n) or arrays.depends_on_loop(ctx, n):
        ctx.error("PPL604", f"the number of outcomes of a latent from `{d.name}` must come from data", span)
        return False
    if isinstance(n, ir.Lit) and n.value > MAX_OUTCOMES:
        ctx.error("PPL701", f"{n.value} outcomes are more than {MAX_OUTCOMES}", span)
        return False
    ctx.mark_static(n)
    return True


def outcomes(d: Distribution, args: tuple[ir.Expr, ...]) -> ir.Expr:
    """The number of outcomes, which are 0, 1, ..."""
    if d.support.kind == "categories":
        return args[0].type.dims[-1]
    if d.name == "Binomial":
        n = args[0]
        return ir.literal(n.value + 1) if isinstance(n, ir.Lit) else ir.Op("add", (n, ir.literal(1)), ir.INT, n.random)
    return ir.literal(2)


def whole(ctx: Context, variable: ir.Var, d: Distribution, args: tuple[ir.Expr, ...], s: ast.Sample) -> Binding:
    """A scalar latent, or an array of independent ones, which is a loop over its elements."""
    if not variable.type.dims:
        value = decide(ctx, variable.name, (), d, args, s)
        ctx.definitions[variable.name] = value
        ctx.block.append(ir.Let(variable, value, None, s.span))
        draw(ctx, variable, (), d, args, value, s)
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
    """One element of an array; it has a value on every path, whether or not the path draws it."""
    value = decide(ctx, variable.name, indices, d, args, s)
    ctx.block.append(ir.Fill(variable.name, indices, value, None, s.span))
    ctx.drawn[variable.name, indices] = value
    draw(ctx, variable, indices, d, args, value, s)


def decide(
    ctx: Context, name: str, indices: tuple[ir.Expr, ...], d: Distribution, args: tuple[ir.Expr, ...], s: ast.Sample
) -> ir.Expr:
    value = ir.Outcome(name, indices)
    guard = ir.Guard(len(ctx.guards), value, ctx.text(s.span), ctx.loops, ctx.mask, s.span, outcomes=outcomes(d, args))
    ctx.guards.append(guard)
    ctx.block.append(ir.Decide(guard.index, None, s.span))
    return ir.GuardRef(guard.index, ir.INT)


def draw(
    ctx: Context, variable: ir.Var, indices: tuple[ir.Expr, ...], d: Distribution, args: tuple[ir.Expr, ...],
    outcome: ir.Expr, s: ast.Sample,
) -> None:  # fmt: skip
    ctx.block.append(
        ir.Sample(ctx.new_id(), variable.name, variable, indices, d.name, args, ctx.mask, False, s.span, outcome)
    )
