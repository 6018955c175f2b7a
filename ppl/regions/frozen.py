"""Loops that stop: what is known where a guard is reached, and state that stays as it was once a condition fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ppl.core import ir, poly
from ppl.record import record
from ppl.regions.scope import Scope

Known = frozenset[ir.Expr]

NOTHING_KNOWN: Known = frozenset()


def conjuncts(scope: Scope, condition: ir.Expr) -> Known:
    """A condition and all that it implies by being a conjunction."""
    out: set[ir.Expr] = set()
    queue = [condition]
    while queue:
        e = queue.pop()
        if e in out:
            continue
        out.add(e)
        if isinstance(e, ir.Op) and e.op == "and":
            queue.extend(e.args)
        elif isinstance(e, ir.Var) and e.name in scope.definitions:
            queue.append(scope.definitions[e.name])
    return frozenset(out)


def known_before(scope: Scope, mask: ir.Expr | None, loop: ir.Loop) -> Known:
    """What held at the end of the previous iteration of `loop` if `mask` holds in this one."""
    if mask is None or "stopped" not in scope.optimize:
        return NOTHING_KNOWN
    outs = {c.entry.name: c.out for c in loop.carries}
    entering = [outs[e.name] for e in conjuncts(scope, mask) if isinstance(e, ir.Var) and e.name in outs]
    return NOTHING_KNOWN.union(*(conjuncts(scope, e) for e in entering))


def resolve(scope: Scope, e: ir.Expr, known: Known) -> ir.Expr:
    """`e` where the conditions in `known` hold."""
    match e:
        case ir.Var() if isinstance(scope.definitions.get(e.name), ir.Select):
            definition = scope.definitions[e.name]
            found = resolve(scope, definition, known)
            return e if found is definition else found
        case ir.Select() if e.condition in known:
            return resolve(scope, e.then, known)
        case ir.Select() if ir.negate(e.condition) in known:
            return resolve(scope, e.orelse, known)
        case ir.Op():
            args = tuple(resolve(scope, x, known) for x in e.args)
            return e if all(a is b for a, b in zip(args, e.args, strict=True)) else replace(e, args=args)
        case _:
            return e


@record
class Tested:
    """A guard after a loop that tests again what ended it: `going` says whether the last iteration took place, and
    `state` is what it left then in the variable `final`. `stopper` is the guard that ends the loop, by its outcome
    `stops`; at the end both have the same value or, with `opposite`, its negative."""

    loop: ir.Loop
    final: ir.Var
    init: ir.Expr
    going: ir.Var
    known: Known
    state: ir.Expr
    stopper: int
    stops: bool
    opposite: bool


def tested_again(scope: Scope, normal: poly.Poly) -> Iterator[Tested]:
    """The state of a stopped loop in a guard behind it, if the guard is the one that stops the loop.

    Where the loop stopped before its end the guard is zero only where the one that stopped it is, and both flip
    together: that is the other's boundary. What is left is where the last iteration took place.
    """
    for p in poly.atoms(normal) if "stopped" in scope.optimize else ():
        for loop in scope.loops.values() if isinstance(p, ir.Var) else ():
            carry = next((c for c in loop.carries if c.final == p), None)
            if carry is None or scope.home[loop.var.name] != (loop.id,):
                continue
            for k in loop.carries:
                known = conjuncts(scope, k.out)
                state = resolve(scope, carry.out, known)
                stays = resolve(scope, carry.out, frozenset({ir.negate(k.out)}))
                found = _stopper(scope, k, carry, normal)
                if found is not None and state is not carry.out and stays == carry.entry:
                    yield Tested(loop, carry.final, carry.init, k.final, known, state, *found)


def _stopper(scope: Scope, going: ir.Carry, state: ir.Carry, normal: poly.Poly) -> tuple[int, bool, bool] | None:
    """The guard on `state` until which a loop goes on, if it is, at the end, the one with this normal: its number, the
    outcome that stops, and whether it has the opposite sign."""
    parts = {e for e in conjuncts(scope, going.out) if not isinstance(e, ir.Op) or e.op != "and"} - {going.out}
    tests = parts - {going.entry}
    if going.entry not in parts or len(tests) != 1:
        return None
    test = tests.pop()
    stops = isinstance(test, ir.Op) and test.op == "not"
    inner = test.args[0] if isinstance(test, ir.Op) and stops else test
    if not isinstance(inner, ir.GuardRef):
        return None
    ends = poly.substitute(scope.normal(scope.program.guards[inner.index].value), {state.entry: poly.atom(state.final)})
    if ends == normal:
        return inner.index, stops, False
    return (inner.index, stops, True) if ends == {m: -c for m, c in normal.items()} else None
