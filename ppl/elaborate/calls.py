"""Calls of built-in functions, and functions of the program, which are inlined."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import counted, did_you_mean
from ppl.elaborate import arrays, densities, expressions, functions, linear, logits, sides
from ppl.elaborate.context import ERROR, Context
from ppl.language.distributions import DENSITY_FUNCTIONS, DISTRIBUTIONS, SAMPLER
from ppl.language.functions import FUNCTIONS, NEED_ELEMENTS, Builtin
from ppl.syntax import ast

_CHOICE = "write `if c then a else b`; of arrays, `[if c[i] then a[i] else b[i] for i in 0..n]`"
_PLACE = "write a loop: `best = 0`, then `for k in 1..n {{ if x[k] {0} x[best] {{ best = k }} }}`"
ELSEWHERE = {  # functions of other languages, and the way that this one has
    **dict.fromkeys(("ifelse", "if_else", "where", "select", "cond", "ternary", "switch"), _CHOICE),
    **dict.fromkeys(("argmax", "which_max"), _PLACE.format(">")),
    **dict.fromkeys(("argmin", "which_min"), _PLACE.format("<")),
    **dict.fromkeys(
        ("sort", "sorted", "argsort", "order"), "latents are drawn in order as `x: ordered[n] ~ Normal(0, 1)`"
    ),
    "softmax": "write `exp(x - log_sum_exp(x))`",
    "log_softmax": "write `x - log_sum_exp(x)`",
}


def call(ctx: Context, e: ast.Call) -> ir.Expr:
    user, builtin = ctx.functions.get(e.name), FUNCTIONS.get(e.name)
    if user is not None and user.name.endswith(SAMPLER) and not ctx.drawing:
        name = user.name.removesuffix(SAMPLER)
        return ctx.error("PPL111", f"`{user.name}` draws, so it has no value here", e.span,
                         f"declare a latent: `x ~ {name}(...)`")  # fmt: skip
    if user is not None:
        return functions.inline(ctx, user, e)
    args = [expressions.expression(ctx, a.value) for a in e.args]
    if e.name in DENSITY_FUNCTIONS:
        return densities.call(ctx, DENSITY_FUNCTIONS[e.name], args, e)
    if builtin is None:
        if e.name in DISTRIBUTIONS:
            return ctx.error(
                "PPL103", f"`{e.name}` is a distribution", e.name_span, f"draw from it: `x ~ {e.name}(...)`"
            )
        hint = ELSEWHERE.get(e.name) or did_you_mean(e.name, [*FUNCTIONS, *ctx.functions, *DENSITY_FUNCTIONS])
        if e.name in ctx.env:
            hint = f"`{e.name}` is a variable; index it with `{e.name}[...]`"
        return ctx.error("PPL103", f"no function `{e.name}`", e.name_span, hint)
    for a in e.args:
        if a.name is not None:
            return ctx.error("PPL112", f"`{e.name}` has no named arguments", a.span)
    if any(a is ERROR for a in args):
        return ERROR
    if len(args) not in builtin.arity:
        *fewer, most = builtin.arity
        wanted = " or ".join([*map(str, fewer), counted(most, "argument")])
        return ctx.error("PPL203", f"`{e.name}` takes {wanted}, got {len(args)}", e.span)
    for a, node in zip(args, e.args, strict=True):
        if builtin.kind != "shape" and not expressions.numeric(ctx, a, node.span, f"`{e.name}`"):
            return ERROR
    return builtin_call(ctx, builtin, args, e)


def builtin_call(ctx: Context, f: Builtin, args: list[ir.Expr], e: ast.Call) -> ir.Expr:
    random = any(a.random for a in args)
    ints = f.keeps_int and all(a.type.base == "int" for a in args)
    reduces = f.kind == "reduce" or (f.name in ("min", "max", "log_sum_exp") and len(args) == 1)
    if f.kind == "jump" and random and not ints:
        return jump_call(ctx, f.name, args[0], e)
    if f.kind == "kink" and random and not ints:
        ctx.kinks.append(ir.Kink(ctx.text(e.span), ctx.loops, e.span))
    base = "int" if ints or (f.kind == "jump") else "real"
    if f.kind == "linear":
        return linear.call(ctx, f, args, e)
    if f.kind == "shape":
        return length(ctx, args[0], e)
    if reduces or f.kind in ("array", "dot"):
        return array_call(ctx, f, args, base, random, e, reduces)
    dims = arrays.broadcast(ctx, [a.type for a in args], e.span, f"`{f.name}`")
    if dims is None:
        return ERROR
    out = logits.of_function(ctx, ir.Op(f.name, tuple(args), ir.Type(base, dims), random, e.span))
    if f.kind == "jump" and random:
        ctx.decided(out, e.span)
    return sides.sided(ctx, out)


def jump_call(ctx: Context, name: str, x: ir.Expr, e: ast.Call) -> ir.Expr:
    """floor, ceil, round, sign and step of a value that depends on a latent: guards like any other."""
    if not x.type.scalar:
        return ctx.error(
            "PPL205", f"`{name}` jumps, so its argument is one number; this is an array that depends on a latent",
            e.span, f"use a comprehension: `[{name}(x[i]) for i in 0..n]`",
        )  # fmt: skip
    text, zero = ctx.text(e.span), ir.literal(0)
    match name:
        case "floor":
            return expressions.floor(ctx, x, text, e.span)
        case "round":
            shifted = ir.Op("add", (x, ir.literal(0.5)), ir.REAL, True)
            return expressions.floor(ctx, shifted, text, e.span)
        case "ceil":
            below = expressions.floor(ctx, ir.Op("neg", (x,), ir.REAL, True), text, e.span)
            return ir.Op("neg", (below,), ir.INT, True)
        case _:
            above = ctx.let("case", expressions.new_guard(ctx, ">", x, zero, e.span), e.span)
            if name == "step":
                return ir.Select(above, ir.literal(1), zero, ir.INT, True)
            under = ctx.let("case", expressions.new_guard(ctx, "<", x, zero, e.span), e.span)
            negative = ir.Select(under, ir.literal(-1), zero, ir.INT, True)
            return ir.Select(above, ir.literal(1), negative, ir.INT, True)


def array_call(
    ctx: Context, f: Builtin, args: list[ir.Expr], base: str, random: bool, e: ast.Call, reduces: bool
) -> ir.Expr:
    for a, node in zip(args, e.args, strict=True):
        if a.type.scalar:
            return ctx.error("PPL202", f"`{f.name}` takes an array, this is {a.type.base}", node.span)
    if f.name in NEED_ELEMENTS and any(d == ir.literal(0) for d in args[0].type.dims):
        return ctx.error("PPL212", f"`{f.name}` of an array without elements", e.span)
    if f.kind == "dot":
        if any(len(a.type.dims) != 1 for a in args) or not ctx.same_size(
            args[0].type.dims[0], args[1].type.dims[0], e.span, "`dot`"
        ):
            shapes = " and ".join(expressions.describe(a.type) for a in args)
            return ctx.error("PPL202", f"`dot` takes two vectors of one length, got {shapes}", e.span)
        base = "int" if all(a.type.base == "int" for a in args) else "real"
    if f.kind == "array" and len(args[0].type.dims) != 1:
        return ctx.error("PPL202", f"`{f.name}` takes a vector, got {expressions.describe(args[0].type)}", e.span)
    t = ir.Type(base) if reduces or f.kind == "dot" else args[0].type.with_base(base)
    return sides.sided(ctx, ir.Op(f.name, tuple(args), t, random, e.span))


def length(ctx: Context, a: ir.Expr, e: ast.Call) -> ir.Expr:
    if a.type.scalar:
        return ctx.error("PPL202", f"`length` takes an array, this is {expressions.describe(a.type)}", e.span)
    ctx.mark_static(a.type.dims[0])
    return a.type.dims[0]
