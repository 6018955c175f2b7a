"""Carried state that is only ever added to becomes a sum, so that the iterations are independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of, uses


def reductions(body: tuple[ir.Statement, ...], guards: Sequence[ir.Guard]) -> tuple[ir.Statement, ...]:
    """`body` with every loop's additive carries turned into reductions, inner loops first."""
    return tuple(_loop(s, guards) if isinstance(s, ir.Loop) else s for s in body)


def _loop(loop: ir.Loop, guards: Sequence[ir.Guard]) -> ir.Loop:
    loop = replace(loop, body=reductions(loop.body, guards))
    for carry in loop.carries:
        found = _as_reduction(loop, carry, guards)
        if found is not None:
            loop = found
    return loop


def _as_reduction(loop: ir.Loop, carry: ir.Carry, guards: Sequence[ir.Guard]) -> ir.Loop | None:
    """`loop` with `carry` as a reduction; None if the running value is read."""
    chain = _Chain(carry.entry, loop.body)
    delta = chain.additive(carry.out)
    if delta is None or carry.entry.type.dims:
        return None
    kept: list[ir.Statement] = []
    for s in loop.body:
        if isinstance(s, ir.Let) and s.var.name in chain.used:
            continue
        if isinstance(s, ir.Loop) and any(r.final.name in chain.used for r in s.reductions):
            s = replace(
                s,
                reductions=tuple(
                    replace(r, init=_zero(r.init.type)) if r.final.name in chain.used else r for r in s.reductions
                ),
            )
        kept.append(s)
    gone = chain.used - chain.sums | {carry.entry.name}
    if any(_mentions(s, gone, guards) or _mentions_sum(s, chain.sums, guards) for s in kept):
        return None
    others = tuple(c for c in loop.carries if c is not carry)
    names = gone | chain.sums
    rest = [c.out for c in others] + [r.delta for r in loop.reductions] + [c.element for c in loop.collects]
    if any(uses(e, names) for e in rest):
        return None
    r = ir.Reduction(carry.name, carry.init, delta, carry.final)
    return replace(loop, body=tuple(kept), carries=others, reductions=(*loop.reductions, r))


def _zero(t: ir.Type) -> ir.Expr:
    return ir.literal(0) if t.base == "int" else ir.literal(0.0)


class _Chain:
    """Follows ``v = v_in + ...`` through single assignments; `used` are the variables on the way."""

    def __init__(self, entry: ir.Var, body: Sequence[ir.Statement]) -> None:
        self.entry = entry
        self.lets = {s.var.name: s.value for s in body if isinstance(s, ir.Let)}
        self.inner = {r.final.name: r for s in body if isinstance(s, ir.Loop) for r in s.reductions}
        self.used: set[str] = set()
        self.sums: set[str] = set()  # finals of inner loops, which stay, started from zero

    def reaches(self, e: ir.Expr) -> bool:
        for x in ir.walk(e):
            if isinstance(x, ir.Var):
                if x.name == self.entry.name:
                    return True
                if x.name in self.lets and self.reaches(self.lets[x.name]):
                    return True
                if x.name in self.inner and self.reaches(self.inner[x.name].init):
                    return True
        return False

    def additive(self, e: ir.Expr) -> ir.Expr | None:
        """`d` with ``e = entry + d`` and `d` free of `entry`; None if `e` has no such form."""
        match e:
            case ir.Var(name=name) if name == self.entry.name:
                return _zero(e.type)
            case ir.Var(name=name) if name in self.lets:
                self.used.add(name)
                return self.additive(self.lets[name])
            case ir.Var(name=name) if name in self.inner:
                self.used.add(name)
                self.sums.add(name)
                before = self.additive(self.inner[name].init)
                return None if before is None else _plus(before, e)
            case ir.Op(op="add", args=(a, b)):
                if self.reaches(a) and not self.reaches(b):
                    return _map(self.additive(a), lambda d: _plus(d, b))
                if self.reaches(b) and not self.reaches(a):
                    return _map(self.additive(b), lambda d: _plus(d, a))
                return None
            case ir.Op(op="sub", args=(a, b)) if self.reaches(a) and not self.reaches(b):
                return _map(self.additive(a), lambda d: ir.Op("sub", (d, b), _join(d, b), d.random or b.random))
            case ir.Op(op="to_real", args=(a,)):
                return self.additive(a)
            case ir.Select() if not self.reaches(e.condition):
                then, orelse = self.additive(e.then), self.additive(e.orelse)
                if then is None or orelse is None:
                    return None
                t = _join(then, orelse)
                return ir.Select(e.condition, then, orelse, t, e.condition.random or then.random or orelse.random)
            case _:
                return None


def _map(e: ir.Expr | None, f: Callable[[ir.Expr], ir.Expr]) -> ir.Expr | None:
    return None if e is None else f(e)


def _join(a: ir.Expr, b: ir.Expr) -> ir.Type:
    return ir.INT if a.type.base == b.type.base == "int" else ir.REAL


def _plus(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    if isinstance(a, ir.Lit) and a.value == 0:
        return b
    return ir.Op("add", (a, b), _join(a, b), a.random or b.random)


def _mentions(s: ir.Statement, names: set[str], guards: Sequence[ir.Guard]) -> bool:
    return any(uses(e, names) for e in expressions_of(s, guards))


def _mentions_sum(s: ir.Statement, sums: set[str], guards: Sequence[ir.Guard]) -> bool:
    """Whether a statement reads the running value after an inner loop."""
    return bool(sums) and any(uses(e, sums) for e in expressions_of(s, guards))
