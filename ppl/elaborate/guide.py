"""The `guide` block of a program, checked against its latents."""

from __future__ import annotations

from dataclasses import replace

from ppl.core import ir
from ppl.diagnostics import counted, did_you_mean
from ppl.elaborate import arrays, expressions
from ppl.elaborate.context import ERROR, ArrayBinding, Context, DataBinding
from ppl.language.distributions import DISTRIBUTIONS
from ppl.language.guides import FAMILIES, FLOW, NO_DENSITY, PLAIN, POINTS, Family
from ppl.syntax import ast


def guide(ctx: Context, s: ast.Guide) -> tuple[ir.GuidePart, ...]:
    """The parts of a guide; called when all latents are known."""
    ctx.mask, ctx.loops = None, ()
    seen: dict[str, ast.Name] = {}
    out: list[ir.GuidePart] = []
    for entry in s.entries:
        flow = entry.family.name == FLOW
        call = below(ctx, entry.family) if flow else entry.family
        family = None if call is None else family_of(ctx, call)
        names = [x for x in entry.latents if is_latent(ctx, x) and is_new(ctx, x, seen)]
        if call is None or family is None:
            continue
        rank = rank_of(ctx, family, call)
        own = replace(family, discrete=False) if flow else family
        if all([suits(ctx, own, entry.family.name, x) for x in names]) and names and rank is not ERROR:
            out.append(ir.GuidePart(family.name, tuple(x.name for x in names), rank, entry.span, flow))
    missing = [k for k, site in ctx.sites.items() if not site.noise and k not in seen]
    if missing:
        listed = ", ".join(f"`{k}`" for k in missing)
        verb = "is not" if len(missing) == 1 else "are not"
        hint = f"every latent has its place in it: write `{', '.join(missing)} ~ MeanField()` for independent ones"
        ctx.error("PPL310", f"{listed} {verb} in the guide", s.span, hint)
    return tuple(out)


def below(ctx: Context, call: ast.Call) -> ast.Call | None:
    """The family that a flow is laid over."""
    if not call.args:
        return replace(call, name=PLAIN)
    node = call.args[0].value
    if len(call.args) == 1 and call.args[0].name is None and isinstance(node, ast.Call) and node.name != FLOW:
        return node
    text = f"`{FLOW}` takes no argument, or the family that it is laid over"
    ctx.error("PPL203", text, call.span, f"write `{FLOW}()` for independent latents, or `{FLOW}(FullRank())`")
    return None


def family_of(ctx: Context, call: ast.Call) -> Family | None:
    found = FAMILIES.get(call.name)
    if found is None and call.name.lower() in POINTS:
        hint = "write `MeanField()`: its widths are fitted, and become as small as the posterior is narrow"
        ctx.error("PPL311", f"`{call.name}` is a point: it {NO_DENSITY}", call.name_span, hint)
    elif found is None:
        hint = did_you_mean(call.name, FAMILIES) or f"there are {', '.join(FAMILIES)}"
        if call.name in DISTRIBUTIONS:
            hint = "a guide says which latents depend on each other; places and widths are fitted: write `MeanField()`"
        ctx.error("PPL311", f"no family of guides `{call.name}`", call.name_span, hint)
    return found


def is_latent(ctx: Context, x: ast.Name) -> bool:
    site = ctx.sites.get(x.name)
    if site is not None and not site.noise:
        return True
    latents = [k for k, s in ctx.sites.items() if not s.noise]
    if site is not None:
        ctx.error("PPL310", f"`{x.name}` is noise: it is drawn from its prior, and no guide is needed", x.span)
        return False
    binding = ctx.env.get(x.name)
    if binding is None:
        hint = did_you_mean(x.name, latents) or f"the latents are {', '.join(latents)}"
        ctx.error("PPL101", f"`{x.name}` is not defined", x.span, hint)
        return False
    if isinstance(binding, DataBinding):
        what = "data"
    else:
        what = "an array without latents" if isinstance(binding, ArrayBinding) else "a variable"
    ctx.error("PPL310", f"`{x.name}` is {what}, and a guide is for latents", x.span, did_you_mean(x.name, latents))
    return False


def is_new(ctx: Context, x: ast.Name, seen: dict[str, ast.Name]) -> bool:
    first = seen.setdefault(x.name, x)
    if first is not x:
        ctx.error("PPL310", f"`{x.name}` is in the guide already, at line {first.span.line}", x.span, "remove one")
    return first is x


def suits(ctx: Context, family: Family, name: str, x: ast.Name) -> bool:
    """Whether a latent can have this family, which goes by `name`."""
    site = ctx.sites[x.name]
    if site.type.base == "int" and not family.discrete:
        text = f"`{x.name}` is discrete, and `{name}` is for continuous latents"
        hint = f"discrete latents are independent of all others: write `{x.name} ~ MeanField()`"
        ctx.error("PPL311", text, x.span, hint)
        return False
    if family.arrays and not site.type.dims:
        text = f"`{x.name}` is one number, and `{family.name}` runs along an array"
        ctx.error("PPL311", text, x.span, f"write `{x.name} ~ MeanField()`")
        return False
    return True


def rank_of(ctx: Context, family: Family, call: ast.Call) -> ir.Expr | None:
    """The argument of a family that takes one. ERROR where something is wrong with the arguments."""
    wanted = family.parameters
    for a in call.args:
        if a.name is not None and a.name not in wanted:
            hint = did_you_mean(a.name, wanted)
            return ctx.error("PPL112", f"`{family.name}` has no argument `{a.name}`", a.span, hint)
    if len(call.args) != len(wanted):
        takes = counted(len(wanted), "argument") if wanted else "no arguments"
        hint = "`LowRank(2)` has two factors" if wanted else None
        return ctx.error("PPL203", f"`{family.name}` takes {takes}, got {len(call.args)}", call.span, hint)
    if not wanted:
        return None
    node = call.args[0]
    block, ctx.block = ctx.block, []  # what a call inlines is of no use to the program
    value = expressions.expression(ctx, node.value)
    ctx.block = block
    if value is ERROR:
        return ERROR
    if value.type != ir.INT:
        what = expressions.describe(value.type)
        return ctx.error("PPL201", f"the rank of `{family.name}` is an int, this is {what}", node.span)
    if value.random or not arrays.known_at_bind(ctx, value):
        return ctx.error("PPL207", f"the rank of `{family.name}` comes from data and literals", node.span)
    if isinstance(value, ir.Lit) and value.value < 1:
        return ctx.error("PPL311", f"the rank of `{family.name}` is at least 1, this is {value.value}", node.span)
    return value
