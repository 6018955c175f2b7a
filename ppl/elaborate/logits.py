"""Probabilities by their log odds: ``Bernoulli(inv_logit(x))`` and ``log(1 - inv_logit(x))`` lose all digits where the
probability rounds to 0 or 1 (in single precision from x = 17 on), their forms in x do not."""

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
    return ir.Op("neg", (x,), x.type.with_base("real"), x.random)
