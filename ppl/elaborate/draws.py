"""Draws and observations."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Span, did_you_mean
from ppl.elaborate import arrays, densities, discrete, expressions, laws, statements, vectors
from ppl.elaborate.context import ERROR, ArrayBinding, Context, Partial, SiteBinding
from ppl.language.distributions import LOWER, UPPER, Distribution, by_density
from ppl.syntax import ast


def new_name(ctx: Context, name: str, span: Span) -> bool:
    """Whether `name` is free on this path; reports it otherwise."""
    old = ctx.env.get(name)
    if old is not None and (not isinstance(old, Partial) or name in ctx.sites):
        line = statements.binding_span(old).line
        already = "on some paths already" if isinstance(old, Partial) else "already"
        ctx.error("PPL108", f"`{name}` has a value {already}, from line {line}", span, "use another name")
        return False
    if name in ctx.arrays or (name in ctx.sites and name not in ctx.env and ctx.mask is None):
        ctx.error("PPL102", f"`{name}` is declared already", span, "use another name")
        return False
    return True


# --------------------------------------------------------------------- sample


def sample(ctx: Context, s: ast.Sample) -> None:
    if vectors.is_joint(s):
        vectors.sample(ctx, s)
        return
    f = program_density(ctx, s.distribution)
    if f is None:
        place(ctx, s, laws.law(ctx, s.distribution))
        return
    own = densities.applied(ctx, *f) if densities.latent(ctx, *f, s) else None
    failed = len(ctx.sink.errors)
    place(ctx, s, None if own is None else (by_density(own.name), ()), own)
    if own is not None and len(ctx.sink.errors) == failed:
        add_density(ctx, own, s)


def program_density(ctx: Context, law: ast.Law) -> tuple[ast.Function, ast.Call] | None:
    """The function of the program, and the call, that stand for a distribution."""
    f = densities.of_program(ctx, law.name)
    return None if f is None or not f.parameters or isinstance(law, ast.Truncated) else (f, law)


def add_density(ctx: Context, own: densities.Applied, s: ast.Sample) -> None:
    """The density of a latent that a function of the program gives."""
    name: ast.Expr = ast.Name(s.target.span, s.target.name)
    t = ctx.sites[s.target.name].type
    if s.target.indices:
        name, t = ast.Index(s.target.span, name, s.target.indices), ir.Type(t.base)
    densities.add(ctx, own, name, t, s.span, s.target.name)


def place(
    ctx: Context, s: ast.Sample, found: tuple[Distribution, tuple[ir.Expr, ...]] | None,
    own: densities.Applied | None = None,
) -> None:  # fmt: skip
    """Enters the latent or noise that a statement draws from a distribution; `own`: what a density of the program is
    applied to."""
    law = None if own is None else ir.CustomLaw(own.name, own.args, None, s.target.name)
    if s.target.indices or isinstance(ctx.env.get(s.target.name), ArrayBinding):
        sample_element(ctx, s, found, law)
        return
    name, span = s.target.name, s.target.span
    if ctx.loops:
        ctx.error(
            "PPL302",
            f"`{name}` is one latent, but it is sampled in a loop",
            s.span,
            f"declare an array before the loop, `var {name}: real[n]`, and sample `{name}[i] ~ ...`",
        )
        ctx.env.setdefault(name, statements.Local(ERROR, span, (span,)))
        return
    if not new_name(ctx, name, span):
        return
    t = ir.REAL if s.type is None else statements.type_of(ctx, s.type)
    if found is None or t is None or not site_type(ctx, s, found[0], t):
        ctx.env[name] = statements.Local(ERROR, span, (span,))
        return
    d, args = found
    if d.discrete and s.type is None:
        t = ir.INT
    if not shapes_fit(ctx, t, d, args, s.span) or not supported(ctx, s, d, args):
        ctx.env[name] = statements.Local(ERROR, span, (span,))
        return
    variable = ir.Var(name, t, True)
    if not register(ctx, name, t, d, args, s, array=False):
        ctx.env[name] = statements.Local(ERROR, span, (span,))
        return
    ctx.counters[name] = max(ctx.counters.get(name, 0), 1)
    if d.discrete and not s.noise:
        ctx.env[name] = discrete.whole(ctx, variable, d, args, s)
        return
    draw = ir.Sample(ctx.new_id(), name, variable, (), d.name, args, ctx.mask, s.noise, s.span, custom=law)
    ctx.block.append(draw)
    ctx.env[name] = SiteBinding(variable, span)


def sample_element(
    ctx: Context, s: ast.Sample, found: tuple[Distribution, tuple[ir.Expr, ...]] | None, law: ir.CustomLaw | None
) -> None:
    """``z[t] ~ D(...)`` of a `var` array."""
    binding = ctx.env.get(s.target.name)
    if not isinstance(binding, ArrayBinding):
        name = s.target.name
        declare = f"declare it first: `var {name}: real[n]`"
        if binding is None:
            ctx.error("PPL101", f"`{name}` is not declared", s.target.span, did_you_mean(name, ctx.env) or declare)
        else:
            ctx.error(
                "PPL105", f"`{name}` is not a `var` array, so its elements cannot be sampled", s.target.span, declare
            )
        return
    if s.type is not None:
        ctx.error("PPL111", "an element has the type of its array", s.type.span, "remove the type")
        return
    indices = statements.target_indices(ctx, s.target, binding)
    if indices is None or found is None:
        return
    d, args = found
    if not site_type(ctx, s, d, binding.type.with_base(binding.type.base)):
        return
    if not shapes_fit(ctx, ir.Type(binding.type.base), d, args, s.span) or not supported(ctx, s, d, args):
        return
    if not register(ctx, binding.name, binding.type, d, args, s, array=True):
        return
    if d.discrete:
        discrete.element(ctx, ir.Var(binding.name, binding.type, True), indices, d, args, s)
    else:
        old = ctx.arrays[binding.name]
        ctx.arrays[binding.name] = ir.FilledArray(old.name, old.type, True, old.span)
        variable = ir.Var(binding.name, binding.type, True)
        where = ctx.new_id(), binding.name, variable, indices, d.name, args, ctx.mask, s.noise, s.span
        ctx.block.append(ir.Sample(*where, custom=law))


def site_type(ctx: Context, s: ast.Sample, d: Distribution, t: ir.Type) -> bool:
    if s.type is None and not s.target.indices:
        return True
    if t.base == "bool" or (t.base == "int") != d.discrete:
        kind = "ints" if d.discrete else "reals"
        ctx.error("PPL201", f"`{d.written}` draws {kind}, `{s.target.name}` is {expressions.describe(t)}", s.span)
        return False
    return True


def supported(ctx: Context, s: ast.Sample, d: Distribution, args: tuple[ir.Expr, ...]) -> bool:
    if d.discrete and not s.noise:
        return discrete.supported(ctx, d, args, s.span)
    if d.uneven and not s.noise:
        ctx.error(
            "PPL606", "the components of this mixture have different supports, so its density jumps inside", s.span,
            "choose with a discrete latent: `k ~ Categorical(w)`, then `if k == 0 { ... } else { ... }`",
        )  # fmt: skip
        return False
    if s.noise and (s.target.indices or (d.noise == "sampler" and any(a.random for a in args))):
        ctx.error(
            "PPL605",
            f"noise from `{d.written}` is declared as a whole"
            + (", with arguments from data" if d.noise == "sampler" else ""),
            s.span,
            "declare it as `noise e: real[n] ~ ...` with constant arguments, or as a latent",
        )
        return False
    return True


def register(
    ctx: Context, name: str, t: ir.Type, d: Distribution, args: tuple[ir.Expr, ...], s: ast.Sample, *, array: bool
) -> bool:
    """Enters the site, or checks that it agrees with its draw in another branch."""
    support, limits = laws.support_of(d, args)
    if d.discrete and not s.noise:
        limits = (discrete.lowest(d, args), discrete.outcomes(d, args))
    old = ctx.sites.get(name)
    if array and not all(
        arrays.known_at_bind(ctx, b) and not b.random and not arrays.depends_on_loop(ctx, b) for b in limits
    ):
        ctx.error(
            "PPL606",
            f"a support that differs from element to element of `{name}` is not supported yet",
            s.span,
            "draw from a fixed support and transform: `z[t] = lo + (hi - lo) * w[t]`",
        )
        return False
    if old is None:
        kind, form = ("real", support) if d.joint else (support, "")
        ctx.sites[name] = ir.Site(name, t, kind, s.noise, array, d.name, s.span, form)
        ctx.site_bounds[name], ctx.site_args[name] = limits, args
        return True
    if (old.joint or old.support) != support or limits != ctx.site_bounds[name]:
        ctx.error(
            "PPL303",
            f"`{name}` has another support here than at line {old.span.line}",
            s.span,
            "one site has one support: use two names, or distributions over the same range",
        )
        return False
    if old.noise != s.noise:
        ctx.error("PPL303", f"`{name}` is a latent at one place and noise at another", s.span, "use two names")
        return False
    if s.noise and (old.distribution != d.name or args != ctx.site_args[name]):
        ctx.error("PPL303", f"`{name}` is noise of another distribution than at line {old.span.line}", s.span,
                  "use two names")  # fmt: skip
        return False
    if not array and (
        len(old.type.dims) != len(t.dims)
        or not all(ctx.same_size(a, b, s.span, f"`{name}`") for a, b in zip(old.type.dims, t.dims, strict=True))
    ):
        ctx.error("PPL303", f"`{name}` has another shape than at line {old.span.line}", s.span, "use two names")
        return False
    return True


def shapes_fit(ctx: Context, t: ir.Type, d: Distribution, args: tuple[ir.Expr, ...], span: Span) -> bool:
    """Whether the arguments are scalars or of the shape of the draw."""
    for p, a in zip(d.params, args, strict=True):
        dims = a.type.dims[: len(a.type.dims) - p.ndim]
        if dims and (
            len(dims) != len(t.dims)
            or not all(ctx.same_size(x, y, span, f"`{p.name}`") for x, y in zip(dims, t.dims, strict=True))
        ):
            ctx.error(
                "PPL202",
                f"`{p.name}` of `{d.written}` is {expressions.describe(a.type)}, the draw is {expressions.describe(t)}",
                span,
                "arguments are scalars or have the shape of the draw",
            )
            return False
    return True


# -------------------------------------------------------------------- observe


def observe(ctx: Context, s: ast.Observe) -> None:
    value = expressions.expression(ctx, s.value)
    own = program_density(ctx, s.distribution)
    found = laws.law(ctx, s.distribution) if own is None else None
    if value is ERROR or (found is None and own is None):
        return
    if value.random:
        ctx.error(
            "PPL304",
            "what is observed must depend on data only",
            s.value.span,
            "to add a density of a latent quantity, use `factor`",
        )
        return
    if own is not None:
        densities.observe(ctx, own[0], own[1], s, value)
    elif found is not None:
        observe_law(ctx, s, value, *found)


def observe_law(ctx: Context, s: ast.Observe, value: ir.Expr, d: Distribution, args: tuple[ir.Expr, ...]) -> None:
    """An observation from a distribution of the tables."""
    if value.type.base == "bool" and d.family in ("Bernoulli", "BernoulliLogit"):
        value = to_int(value)
    if value.type.base == "bool" or (d.discrete and value.type.base != "int"):
        ctx.error(
            "PPL305", f"`{d.written}` observes {'ints' if d.discrete else 'numbers'}, this is "
            f"{expressions.describe(value.type)}", s.value.span,
            "declare the data as int" if d.discrete else None,
        )  # fmt: skip
        return
    if not shapes_fit(ctx, value.type, d, args, s.span):
        return
    if outside(ctx, s, d, args, value):
        return
    ctx.block.append(ir.Term(ctx.new_id(), d.name, value, args, ctx.mask, s.span))


def outside(ctx: Context, s: ast.Observe, d: Distribution, args: tuple[ir.Expr, ...], value: ir.Expr) -> bool:
    """Reports an observed constant outside a constant support, and a support whose ends are latent."""
    _, limits = laws.support_of(d, args)
    cuts = [a for p, a in zip(d.params, args, strict=True) if d.truncated and p.name in (LOWER, UPPER)]
    if any(b.random for b in (*limits, *cuts)):
        ctx.error(
            "PPL307",
            f"the support of this `{d.family}` moves with a latent, so the density is zero where the guide reaches: "
            "the ELBO would be -inf",
            s.distribution.span,
            "observe from a distribution whose support does not depend on latents",
        )
        return True
    if isinstance(value, ir.Lit):
        x = float(value.value)
        low, high = (end.value if isinstance(end, ir.Lit) else None for end in laws.own_ends(d, args))
        if (low is not None and x < low) or (high is not None and x > high):
            ctx.error("PPL308", f"{value.value} is outside the support of `{d.written}`", s.value.span)
            return True
    return False


def to_int(value: ir.Expr) -> ir.Expr:
    return (
        ir.Select(value, ir.literal(1), ir.literal(0), ir.INT, value.random)
        if value.type.scalar
        else ir.Op("to_int", (value,), value.type.with_base("int"), value.random)
    )
