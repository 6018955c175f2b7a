"""Distributions with their arguments and, where they are truncated, their ends."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Span, counted, did_you_mean
from ppl.elaborate import arrays, densities, discrete, expressions, logits
from ppl.elaborate.context import ERROR, Context
from ppl.language.distributions import (
    DISTRIBUTIONS,
    IN_LIBRARY,
    MIXTURE,
    OF_VECTORS,
    Distribution,
    Param,
    mixture,
    truncated,
)
from ppl.syntax import ast


def distribution(ctx: Context, call: ast.Call) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """The distribution with its arguments in order, each checked as far as it is a constant; None if reported."""
    if call.name == MIXTURE:
        return mixture_of(ctx, call)
    d = DISTRIBUTIONS.get(call.name)
    if d is None:
        for a in call.args:
            expressions.expression(ctx, a.value)
        own = [f.rpartition("_")[0] for f in ctx.functions if f.endswith(("_lpdf", "_lpmf"))]
        hint = did_you_mean(call.name, [*DISTRIBUTIONS, *OF_VECTORS, MIXTURE, *own])
        if hint is None and call.name in ctx.functions:
            hint = f"`{call.name}` is a function; write `=` for `~`"
        if call.name in IN_LIBRARY:
            hint = f"it is in the standard library: write `use {IN_LIBRARY[call.name]}` above"
        ctx.error("PPL104", f"no distribution `{call.name}`", call.name_span, hint)
        return None
    args = arguments(ctx, d, call)
    if args is None:
        return None
    if d.name == "Uniform" and all(isinstance(a, ir.Lit) for a in args):
        lo, hi = (a.value for a in args if isinstance(a, ir.Lit))
        if not lo < hi:
            ctx.error("PPL301", f"`Uniform({lo}, {hi})` is empty: lo must be below hi", call.span)
            return None
    return logits.of_distribution(ctx, d, args)


def arguments(ctx: Context, d: Distribution, call: ast.Call) -> tuple[ir.Expr, ...] | None:
    """The arguments of a call of `d`, in order; None if reported."""
    values = [expressions.expression(ctx, a.value) for a in call.args]
    placed = place(ctx, d, call, values)
    if placed is None or any(v is ERROR for v in placed.values()):
        return None
    args: list[ir.Expr] = []
    for p in d.params:
        value, node = placed[p.name], next(a for a, v in zip(call.args, values, strict=True) if v is placed[p.name])
        if not argument(ctx, d, p, value, node.span):
            return None
        args.append(value)
    return tuple(args)


def mixture_of(ctx: Context, call: ast.Call) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """``Mixture(weights, D1(...), D2(...), ...)``"""
    signature = f"{MIXTURE}([0.3, 0.7], Normal(0, 1), Normal(4, 1))"
    named = next((a for a in call.args if a.name is not None), None)
    if named is not None:
        ctx.error("PPL112", f"`{MIXTURE}` has no named arguments", named.span, signature)
        return None
    if len(call.args) < 3:
        ctx.error("PPL203", f"`{MIXTURE}` takes weights and two distributions or more", call.span, signature)
        return None
    weights = expressions.expression(ctx, call.args[0].value)
    parts: list[Distribution] = []
    operands: list[ir.Expr] = []
    for a in call.args[1:]:
        if not isinstance(a.value, ast.Call | ast.Truncated):
            ctx.error("PPL104", f"a component of `{MIXTURE}` is a distribution", a.span, signature)
            return None
        if densities.of_program(ctx, a.value.name) is not None:
            name = a.value.name
            ctx.error(
                "PPL606", f"`{name}`, a density of the program, cannot be a component", a.span,
                f"write the mixture as a function too, with `log_sum_exp` of `log(w) + {name}_lpdf(...)`",
            )  # fmt: skip
            return None
        found = law(ctx, a.value)
        if found is None:
            return None
        if any(b.random for b in support_of(*found)[1]):
            ctx.error(
                "PPL307", f"the support of this `{found[0].family}` moves with a latent, so the density of the mixture "
                "jumps there", a.span, "use a distribution whose support does not depend on latents",
            )  # fmt: skip
            return None
        parts.append(found[0])
        operands.extend(found[1])
        if found[0].discrete != parts[0].discrete:
            ctx.error("PPL201", f"`{found[0].family}` and `{parts[0].family}` cannot be mixed: one draws ints", a.span)
            return None
    d = mixture(tuple(parts))
    if weights is ERROR or not argument(ctx, d, d.params[0], weights, call.args[0].span):
        return None
    size = weights.type.dims[-1]
    if not ctx.same_size(size, ir.literal(len(parts)), call.args[0].span, f"the weights of `{MIXTURE}`"):
        given = f"{expressions.show_size(size)} weights for {counted(len(parts), 'component')}"
        ctx.error("PPL202", f"`{MIXTURE}` has {given}", call.args[0].span)
        return None
    return d, (weights, *operands)


def law(ctx: Context, node: ast.Law) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """A distribution, perhaps truncated, with its arguments."""
    if isinstance(node, ast.Call):
        return distribution(ctx, node)
    if densities.of_program(ctx, node.name) is not None:
        ctx.error(
            "PPL606", f"`{node.name}` is known by its density alone, so it cannot be cut off", node.span,
            "subtract the log of what is left inside the function itself",
        )  # fmt: skip
        return None
    found = distribution(ctx, node.call)
    ends = [expressions.expression(ctx, e) for e in (node.lower, node.upper)]
    return None if found is None or any(e is ERROR for e in ends) else truncation(ctx, *found, node, ends)


def truncation(
    ctx: Context, d: Distribution, args: tuple[ir.Expr, ...], node: ast.Truncated, ends: list[ir.Expr]
) -> tuple[Distribution, tuple[ir.Expr, ...]] | None:
    """`d` cut off at those ends that lie inside its own support."""
    own = own_ends(d, args)
    kept: list[ir.Expr | None] = []
    for k, (end, span) in enumerate(zip(ends, (node.lower.span, node.upper.span), strict=True)):
        if not expressions.numeric(ctx, end, span, f"an end of `{d.name} in (...)`"):
            return None
        infinite = isinstance(end, ir.Lit) and abs(end.value) == float("inf")
        if d.discrete and end.type.base != "int" and not infinite:
            what = expressions.describe(end.type)
            ctx.error("PPL201", f"`{d.name}` draws ints, so its ends are ints, inf or -inf; this is {what}", span)
            return None
        open_end = infinite and isinstance(end, ir.Lit) and (end.value < 0) == (k == 0)
        one = None if open_end else tighter(ctx, k, end, own[k], d.discrete, span)
        if one is ERROR:
            return None
        kept.append(one)
    lower, upper = kept
    low, high = lower or own[0], upper or own[1]
    if isinstance(low, ir.Lit) and isinstance(high, ir.Lit):
        one = d.discrete and low.value == high.value < float("inf")
        if low.value >= high.value and not one:
            given = ctx.text(node.lower.span.to(node.upper.span))
            ctx.error("PPL301", f"`{d.name}` has no values in ({given})", node.span)
            return None
    if d.support.kind == "categories" and (lower or upper):
        lower, upper = low, high
    if lower is None and upper is None:
        return d, args
    return truncated(d, lower is not None, upper is not None), (*args, *(e for e in (lower, upper) if e is not None))


def own_ends(d: Distribution, args: tuple[ir.Expr, ...]) -> tuple[ir.Expr | None, ir.Expr | None]:
    """The ends of a support, None where it has none."""
    if d.support.kind == "categories":
        return ir.literal(0), discrete.arithmetic("sub", args[0].type.dims[-1], ir.literal(1))
    of = discrete.bound if d.discrete else bound
    bounds = [of(d, b, args) for b in d.support.bounds]
    match d.support.kind:
        case "lower" | "nonnegative_int":
            return bounds[0], None
        case "interval" | "bounded_int":
            return bounds[0], bounds[1]
        case _:
            return None, None


def tighter(ctx: Context, upper: int, end: ir.Expr, own: ir.Expr | None, discrete_: bool, span: Span) -> ir.Expr | None:
    """The end of a truncation, None where the support ends no later anyway."""
    if isinstance(end, ir.Lit) and not discrete_:
        end = ir.literal(float(end.value))
    if own is None:
        return end
    if isinstance(end, ir.Lit) and isinstance(own, ir.Lit):
        return end if (end.value < own.value if upper else end.value > own.value) else None
    dims = arrays.broadcast(ctx, (end.type, own.type), span, "an end of a truncation")
    base = "int" if discrete_ else "real"
    if dims is None:
        return ERROR
    return ir.Op("min" if upper else "max", (end, own), ir.Type(base, dims), end.random or own.random, span)


def place(ctx: Context, d: Distribution, call: ast.Call, values: list[ir.Expr]) -> dict[str, ir.Expr] | None:
    """Positional and named arguments by name."""
    signature = f"{d.name}({', '.join(p.name for p in d.params)})"
    placed: dict[str, ir.Expr] = {}
    names = [p.name for p in d.params]
    for k, (a, v) in enumerate(zip(call.args, values, strict=True)):
        name = a.name or (names[k] if k < len(names) else None)
        if name is None:
            message = f"`{d.name}` takes {counted(len(names), 'argument')}, got {len(values)}"
            ctx.error("PPL203", message, call.span, signature)
            return None
        if name not in names:
            ctx.error("PPL112", f"`{d.name}` has no argument `{name}`", a.span, did_you_mean(name, names) or signature)
            return None
        if name in placed:
            ctx.error("PPL112", f"argument `{name}` is given twice", a.span, signature)
            return None
        placed[name] = v
    missing = [n for n in names if n not in placed]
    if missing:
        ctx.error("PPL203", f"`{d.name}` misses {', '.join(f'`{m}`' for m in missing)}", call.span, signature)
        return None
    return placed


def argument(ctx: Context, d: Distribution, p: Param, value: ir.Expr, span: Span) -> bool:
    if not expressions.numeric(ctx, value, span, f"`{p.name}` of `{d.name}`"):
        return False
    if p.ndim and len(value.type.dims) < p.ndim:
        ctx.error("PPL202", f"`{p.name}` of `{d.name}` is a vector, got {expressions.describe(value.type)}", span)
        return False
    if p.domain in ("int_nonnegative", "int_positive") and value.type.base != "int":
        ctx.error("PPL201", f"`{p.name}` of `{d.name}` is an int, got {expressions.describe(value.type)}", span)
        return False
    x = value.value if isinstance(value, ir.Lit) else None
    if x is not None and not in_domain(p.domain, float(x)):
        wanted = {"positive": "above 0", "unit": "in [0, 1]", "int_nonnegative": "0 or more",
                  "int_positive": "1 or more", "real": "finite"}  # fmt: skip
        ctx.error("PPL301", f"`{p.name}` of `{d.name}` is {x}, it must be {wanted[p.domain]}", span)
        return False
    return True


def in_domain(domain: str, x: float) -> bool:
    """Whether a constant argument is allowed."""
    match domain:
        case "positive":
            return 0 < x < float("inf")
        case "unit":
            return 0 <= x <= 1
        case "int_nonnegative":
            return x >= 0
        case "int_positive":
            return x >= 1
        case _:
            return abs(x) < float("inf")


def support_of(d: Distribution, args: tuple[ir.Expr, ...]) -> tuple[str, tuple[ir.Expr, ...]]:
    """The kind of support and its bounds."""
    return ("int", ()) if d.discrete else (d.support.kind, tuple(bound(d, b, args) for b in d.support.bounds))


def bound(d: Distribution, b: str | float, args: tuple[ir.Expr, ...]) -> ir.Expr:
    return args[[p.name for p in d.params].index(b)] if isinstance(b, str) else ir.literal(float(b))
