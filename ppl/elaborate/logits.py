"""Probabilities by their log odds, however they are written: ``Bernoulli(inv_logit(x))`` and ``log(1 - inv_logit(x))``
lose all digits where the probability rounds to 0 or 1 (in single precision from x = 17 on), their forms in x do not."""

from __future__ import annotations

from dataclasses import replace

from ppl.core import ir
from ppl.elaborate.context import Context
from ppl.language.distributions import LOG_ODDS, Distribution

MOST_STEPS = 20  # definitions and branches that are looked through


def of_distribution(
    ctx: Context, d: Distribution, args: tuple[ir.Expr, ...]
) -> tuple[Distribution, tuple[ir.Expr, ...]]:
    """`LOG_ODDS` for a `Bernoulli` whose probability is written as one of log odds."""
    logit = log_odds(ctx, args[0]) if d.name == "Bernoulli" else None
    return (d, args) if logit is None else (LOG_ODDS, (logit,))


def of_function(ctx: Context, e: ir.Op) -> ir.Op:
    """``log_inv_logit`` for the logarithm of a probability of log odds, or of its complement."""
    if e.op not in ("log", "log1m"):
        return e
    logit = log_odds(ctx, e.args[0])
    if logit is None:
        return e
    return replace(e, op="log_inv_logit", args=(logit if e.op == "log" else _minus(logit),))


def of_quotient(ctx: Context, e: ir.Op) -> ir.Op | None:
    """``inv_logit`` for ``1 / (1 + exp(-x))`` and ``exp(x) / (1 + exp(x))``, whose derivatives as they are written are
    0, or no numbers, where the exponential or its square overflows; else None."""
    if e.op != "div" or not e.random:
        return None
    above, below = (_meaning(ctx, x) for x in e.args)
    if not isinstance(below, ir.Op) or below.op != "add":
        return None
    for one, power in (below.args, reversed(below.args)):
        power = _meaning(ctx, power)
        if not _is_one(one) or not isinstance(power, ir.Op) or power.op != "exp" or power.type != e.type:
            continue
        if _is_one(above):
            return replace(e, op="inv_logit", args=(_minus(power.args[0]),))
        if isinstance(above, ir.Op) and above.op == "exp" and above.args == power.args:
            return replace(e, op="inv_logit", args=power.args)
    return None


def _meaning(ctx: Context, e: ir.Expr) -> ir.Expr:
    return ctx.definitions.get(e.name, e) if isinstance(e, ir.Var) else e


def _is_one(e: ir.Expr) -> bool:
    return isinstance(e, ir.Lit) and e.value == 1


def log_odds(ctx: Context, p: ir.Expr, steps: int = MOST_STEPS) -> ir.Expr | None:
    """The x of a probability that is ``inv_logit(x)``, through variables, complements and branches; else None."""
    match p:
        case _ if not steps or not p.random:
            return None
        case ir.Op(op="inv_logit", args=(x,)):
            return x
        case ir.Op(op="sub", args=(ir.Lit(value=1), q)):
            x = log_odds(ctx, q, steps - 1)
            return None if x is None else _minus(x)
        case ir.Var() if p.name in ctx.definitions:
            return log_odds(ctx, ctx.definitions[p.name], steps - 1)
        case ir.Select():
            then, orelse = (log_odds(ctx, x, steps // 2) for x in (p.then, p.orelse))
            return None if then is None or orelse is None else replace(p, then=then, orelse=orelse)
        case _:
            return None


def _minus(x: ir.Expr) -> ir.Expr:
    if isinstance(x, ir.Op) and x.op == "neg":
        return x.args[0]
    return ir.Op("neg", (x,), x.type.with_base("real"), x.random)
