"""Expressions as polynomials over atoms: the normal form behind guard classes, twins and continuity proofs.

An atom is anything that is not arithmetic: a latent, a datum, a loop variable, a function value. Two expressions with
the same polynomial are equal; the converse fails only for identities of the atoms themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ppl.core.ir import (
    INT,
    REAL,
    Cell,
    DataRef,
    Expr,
    GuardRef,
    Index,
    Lit,
    LoopVar,
    Op,
    Select,
    Type,
    Var,
    literal,
    walk,
)
from ppl.core.show import show

Monomial = tuple[tuple[Expr, int], ...]  # atoms with their powers, in the order of their text
Poly = Mapping[Monomial, float]
Expand = Callable[[Var | Index], Expr | None]  # the definition of a variable, or of an element of one

_SAFE_OPS = ("add", "sub", "mul", "neg", "and", "or", "not", "lt", "le", "gt", "ge", "eq", "ne", "to_real")
MAX_NODES = 100  # of an expression that is divided by
MAX_MONOMIALS = 64  # beyond, an expression is an atom: the normal form must not explode on (a+b+c)^9
ONE: Monomial = ()


@dataclass
class Memo:
    """Normal forms of variables already expanded, and the names of variables and arrays that may be undefined where a
    branch not taken reads them."""

    forms: dict[str, Poly] = field(default_factory=dict[str, Poly])
    partial: frozenset[str] = frozenset()


def no_expand(_: Var | Index) -> Expr | None:
    return None


# A coefficient this small, compared with what it is the sum of, is rounding: ``0.1 + 0.2 - 0.3``.
CANCELLED = 8 * 2.0**-52


def constant(value: float) -> Poly:
    return {ONE: value} if value != 0 else {}


def atom(e: Expr) -> Poly:
    return {((e, 1),): 1.0}


def add(a: Poly, b: Poly, scale: float = 1.0) -> Poly:
    out = dict(a)
    for m, c in b.items():
        old, more = out.get(m, 0.0), scale * c
        total = old + more
        if abs(total) <= CANCELLED * (abs(old) + abs(more)):
            out.pop(m, None)
        else:
            out[m] = total
    return out


def mul(a: Poly, b: Poly) -> Poly:
    out: dict[Monomial, float] = {}
    sizes: dict[Monomial, float] = {}
    for m1, c1 in a.items():
        for m2, c2 in b.items():
            m = product(m1, m2)
            out[m] = out.get(m, 0.0) + c1 * c2
            sizes[m] = sizes.get(m, 0.0) + abs(c1 * c2)
    return {m: c for m, c in out.items() if abs(c) > CANCELLED * sizes[m]}


def product(a: Monomial, b: Monomial) -> Monomial:
    if not a or not b:
        return a or b
    powers: dict[Expr, int] = {}
    for e, p in (*a, *b):
        powers[e] = powers.get(e, 0) + p
    return tuple(sorted(powers.items(), key=lambda item: show(item[0]))) if len(powers) > 1 else tuple(powers.items())


def to_poly(e: Expr, expand: Expand = no_expand, memo: Memo | None = None) -> Poly:
    """The normal form of a numeric expression; variables are replaced by `expand(var)` where that is not None.

    Each variable is expanded once, so the work is linear in the program even where definitions repeat each other.
    """
    memo = Memo() if memo is None else memo
    match e:
        case Lit() if math.isfinite(e.value):
            return constant(float(e.value))
        case Var():
            if e.name not in memo.forms:
                definition = expand(e)
                memo.forms[e.name] = atom(e) if definition is None else to_poly(definition, expand, memo)
            return memo.forms[e.name]
        case Index(base=Var()):
            definition = expand(e)
            return atom(e) if definition is None else to_poly(definition, expand, memo)
        case Op(op="add" | "sub"):
            a, b = (to_poly(x, expand, memo) for x in e.args)
            return _bounded(add(a, b, 1.0 if e.op == "add" else -1.0), e)
        case Op(op="neg"):
            return add({}, to_poly(e.args[0], expand, memo), -1.0)
        case Op(op="mul"):
            a, b = (to_poly(x, expand, memo) for x in e.args)
            return _bounded(mul(a, b), e) if len(a) * len(b) <= 4 * MAX_MONOMIALS else atom(e)
        case Op(op="div"):
            a, b = (to_poly(x, expand, memo) for x in e.args)
            if set(b) == {ONE}:
                return {m: c / b[ONE] for m, c in a.items()}
            inverse = _inverse(b, e.args[1].random)
            return atom(e) if inverse is None else _bounded(mul(a, inverse), e)
        case Op(op="pow", args=(base, Lit(value=int() as n))) if 0 <= n <= 6 and not isinstance(n, bool):
            out = constant(1.0)
            p = to_poly(base, expand, memo)
            for _ in range(n):
                out = mul(out, p)
                if len(out) > MAX_MONOMIALS:
                    return atom(e)
            return out
        case Op(op="pow", args=(base, Lit(value=int() as n))) if -6 <= n < 0:
            inverse = _inverse(to_poly(base, expand, memo), base.random)
            if inverse is None:
                return atom(e)
            out = inverse
            for _ in range(-n - 1):
                out = mul(out, inverse)
            return out
        case Op(op="to_real", args=(inner,)) | Op(op="beside" | "sided" | "within", args=(inner, *_)):
            return to_poly(inner, expand, memo)
        case Select() if e.then.type.base != "bool":
            return _select(e, expand, memo)
        case Op(op="square", args=(base,)):
            p = to_poly(base, expand, memo)
            return _bounded(mul(p, p), e) if len(p) <= 8 else atom(e)
        case _:
            return atom(e)


def settle(e: Expr, expand: Expand, memo: Memo) -> None:
    """Finds the normal forms of the variables that `e` reads in the order of their definitions, which may be a chain
    of any length."""
    queue: list[tuple[Var, bool]] = [(x, False) for x in walk(e) if isinstance(x, Var)]
    while queue:
        v, ready = queue.pop()
        if v.name in memo.forms:
            continue
        definition = expand(v)
        if ready or definition is None:
            to_poly(v, expand, memo)
            continue
        queue.append((v, True))
        queue += [(x, False) for x in walk(definition) if isinstance(x, Var) and x.name not in memo.forms]


def _inverse(p: Poly, random: bool) -> Poly | None:
    """The inverse as an atom; None of zero, and of what is too long to be written into others over and over."""
    e = to_expr(p) if p else None
    if e is None or next(islice(walk(e), MAX_NODES, None), None) is not None:
        return None
    return atom(Op("inv", (e,), REAL, random))


def indicator(condition: Expr) -> Expr:
    """1 where the condition holds, else 0: the atom that makes a choice between polynomials a polynomial."""
    return Select(condition, literal(1), literal(0), INT, condition.random)


def _select(e: Select, expand: Expand, memo: Memo) -> Poly:
    if e.then == literal(1) and e.orelse == literal(0):
        return atom(indicator(e.condition))
    a, b = to_poly(e.then, expand, memo), to_poly(e.orelse, expand, memo)
    if not all(is_simple(x, memo.partial) for p in (a, b) for x in atoms(p)):
        return atom(e)  # a function value may be undefined on the side that is not taken
    return _bounded(add(b, mul(atom(indicator(e.condition)), add(a, b, -1.0))), e)


def is_simple(e: Expr, partial: frozenset[str]) -> bool:
    """Whether an atom is finite whatever branch is taken."""
    if reads(e, partial):
        return False
    return isinstance(e, Var | Cell | DataRef | LoopVar | GuardRef) or (
        isinstance(e, Index | Select) and all(not isinstance(x, Op) or x.op in _SAFE_OPS for x in walk(e))
    )


def reads(e: Expr, names: frozenset[str]) -> bool:
    """Whether an expression names one of some variables and arrays."""
    return any((x.name if isinstance(x, Var) else x.array if isinstance(x, Cell) else "") in names for x in walk(e))


def _bounded(p: Poly, e: Expr) -> Poly:
    return p if len(p) <= MAX_MONOMIALS else atom(e)


def ordered(p: Poly) -> list[tuple[Monomial, float]]:
    """Monomials in a deterministic order: non-constant ones by text, the constant last."""
    return sorted(p.items(), key=lambda item: (item[0] == ONE, [(show(e), k) for e, k in item[0]]))


def atoms(p: Poly) -> list[Expr]:
    seen: dict[Expr, None] = {}
    for m, _ in ordered(p):
        for e, _ in m:
            seen.setdefault(e)
    return list(seen)


def split_affine(p: Poly, x: Expr) -> tuple[Poly, Poly] | None:
    """(a, b) with ``p = a * x + b`` where neither contains the atom `x`; None if `p` is not affine in it."""
    a: dict[Monomial, float] = {}
    b: dict[Monomial, float] = {}
    for m, c in p.items():
        power = dict(m).get(x, 0)
        if power == 0:
            b[m] = c
        elif power == 1:
            a[tuple(item for item in m if item[0] != x)] = c
        else:
            return None
    return a, b


def coefficients(p: Poly, moves: Callable[[Expr], bool]) -> dict[Monomial, Poly]:
    """`p` as a polynomial in the atoms that move: its monomials in these, each with its coefficient."""
    out: dict[Monomial, Poly] = {}
    for m, c in p.items():
        moving = tuple(item for item in m if moves(item[0]))
        out[moving] = add(out.get(moving, {}), {tuple(item for item in m if item not in moving): c})
    return out


def may_vanish(p: Poly) -> bool:
    """Whether data may make a polynomial zero whatever its random atoms are, as far as its form tells."""
    return all(not is_constant(q) and not all(_is_inverse(a) for a in atoms(q))
               for q in coefficients(p, lambda a: a.random).values())  # fmt: skip


def _is_inverse(e: Expr) -> bool:
    return isinstance(e, Op) and e.op == "inv"


def to_expr(p: Poly, base: Type = REAL) -> Expr:
    """A compact expression with this normal form."""
    out: Expr | None = None
    for m, c in ordered(p):
        body: Expr | None = None
        for e, k in m:
            factor: Expr = e if k == 1 else Op("pow", (e, literal(k)), base, e.random)
            body = factor if body is None else Op("mul", (body, factor), base, body.random or factor.random)
        magnitude = abs(c)
        if body is None:
            body = number(magnitude)
        elif magnitude != 1:
            body = Op("mul", (number(magnitude), body), base, body.random)
        if out is None:
            out = body if c > 0 else Op("neg", (body,), base, body.random)
        else:
            out = Op("add" if c > 0 else "sub", (out, body), base, out.random or body.random)
    return literal(0) if out is None else out


def number(x: float) -> Lit:
    return Lit(int(x), INT) if float(x).is_integer() and abs(x) < 2**53 else Lit(x, REAL)


def substitute(p: Poly, replacements: Mapping[Expr, Poly]) -> Poly:
    """`p` with atoms replaced by polynomials."""
    out: Poly = {}
    for m, c in p.items():
        term: Poly = constant(c)
        for e, k in m:
            for _ in range(k):
                term = mul(term, replacements.get(e, atom(e)))
        out = add(out, term)
    return out


def is_constant(p: Poly) -> bool:
    return all(m == ONE for m in p)


def value(p: Poly) -> float:
    """The value of a constant polynomial."""
    return p.get(ONE, 0.0)
