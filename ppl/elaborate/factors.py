"""The factors of a value, with the parity of their powers: what its sign depends on."""

from __future__ import annotations

import math

from ppl.core import ir, poly, squarefree
from ppl.elaborate.context import Context
from ppl.record import record

MAX_STEPS = 200  # in looking for the factors of a value
MAX_POWER = 1000
PRODUCTS = ("mul", "div", "neg", "square", "pow", "inv", "to_real", "beside")


@record
class Signs:
    """A value that has the sign of the product of `odd` where none of `even` is zero, and else is zero."""

    odd: tuple[poly.Poly, ...]
    even: tuple[poly.Poly, ...]


def written(ctx: Context, value: ir.Expr) -> Signs | None:
    """The factors that a value is written as a product, quotient or power of; None if none of them is repeated.

    At a repeated root a value has no slope, so its boundary would be lost. What is written as a power need not be found
    again in a polynomial that was multiplied out, maybe with rounding.
    """
    powers: dict[tuple[tuple[poly.Monomial, float], ...], int] = {}
    found: dict[tuple[tuple[poly.Monomial, float], ...], poly.Poly] = {}
    sign, fixed = 1.0, poly.constant(1.0)
    for e, power in _powers(ctx, value):
        p = ctx.normal(e)
        if poly.is_constant(p):
            if not p:
                return None
            sign *= math.copysign(1.0, poly.value(p)) ** power
            continue
        if not any(squarefree.moves(a) for a in poly.atoms(p)):
            for _ in range(2 - power % 2):
                fixed = poly.mul(fixed, p)
            if len(fixed) > poly.MAX_MONOMIALS:
                return None
            continue
        terms = poly.ordered(p)
        key = tuple((m, c / terms[0][1]) for m, c in terms)
        if key in found and (found[key][terms[0][0]] > 0) != (terms[0][1] > 0) and power % 2:
            sign = -sign
        found.setdefault(key, p)
        powers[key] = powers.get(key, 0) + power
    if all(power == 1 for power in powers.values()):
        return None
    once = [found[key] for key, power in powers.items() if power == 1]
    odd = [found[key] for key, power in powers.items() if power % 2 and power > 1]
    rest = poly.mul(poly.constant(sign), fixed)
    for k, p in enumerate(once):
        if len(rest) * len(p) > poly.MAX_MONOMIALS:
            odd += once[k:]
            break
        rest = poly.mul(rest, p)
    if odd and len(rest) * len(odd[0]) <= len(odd[0]):  # a sign, or one datum
        odd[0], rest = poly.mul(rest, odd[0]), poly.constant(1.0)
    if rest != poly.constant(1.0) or not odd:
        odd.append(rest)
    return Signs(tuple(odd), tuple(found[key] for key, power in powers.items() if power % 2 == 0))


def _powers(ctx: Context, value: ir.Expr) -> list[tuple[ir.Expr, int]]:
    """The factors of a value as it is written, with their powers (without the signs of these, which do not matter)."""
    out: list[tuple[ir.Expr, int]] = []
    queue = [(value, 1)]
    steps = 0
    while queue:
        e, power = queue.pop()
        steps += 1
        match e:
            case _ if e.type.dims or steps > MAX_STEPS:
                out.append((e, power))
            case ir.Op(op="mul" | "div", args=(a, b)):
                queue += [(b, power), (a, power)]
            case ir.Op(op="neg", args=(a,)):
                queue += [(ir.literal(-1), power), (a, power)]
            case ir.Op(op="square", args=(a,)):
                queue.append((a, 2 * power))
            case ir.Op(op="pow", args=(a, ir.Lit(value=int() as n))) if n and abs(n) * power <= MAX_POWER:
                queue.append((a, abs(n) * power))
            case ir.Op(op="to_real" | "inv", args=(a,)) | ir.Op(op="beside", args=(a, _)):
                queue.append((a, power))
            case ir.Var() if e.name in ctx.definitions and _is_product(ctx.definitions[e.name]):
                queue.append((ctx.definitions[e.name], power))
            case _:
                out.append((e, power))
    return out


def _is_product(e: ir.Expr) -> bool:
    return isinstance(e, ir.Var) or (isinstance(e, ir.Op) and e.op in PRODUCTS)


def repeated(p: poly.Poly) -> Signs | None:
    """The factors of a polynomial; None if none is repeated, or to find out would take too long."""
    try:
        found = squarefree.decompose(p)
    except squarefree.TooMuch:
        return None
    if found is None:
        return None
    odd = [f for f, power in found.factors if power % 2]
    rest = found.rest
    if poly.is_constant(rest):
        rest = poly.constant(math.copysign(1.0, poly.value(rest)))
    odd = [poly.mul(rest, odd[0]), *odd[1:]] if odd else [rest]
    return Signs(tuple(odd), tuple(f for f, power in found.factors if power % 2 == 0))
