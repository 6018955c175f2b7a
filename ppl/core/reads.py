"""What a statement reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ppl.core import ir


def expressions_of(s: ir.Statement, guards: Sequence[ir.Guard]) -> Iterator[ir.Expr]:
    """Every expression a statement evaluates, those of inner loops included."""
    if isinstance(s, ir.Let | ir.Decide | ir.Sample | ir.Fill | ir.Term | ir.Loop) and s.mask is not None:
        yield s.mask
    if isinstance(s, ir.Sample | ir.Term) and s.custom is not None:
        yield from s.custom.args
        yield from () if s.custom.value is None else (s.custom.value,)
    match s:
        case ir.Let() | ir.Report():
            yield s.value
        case ir.Decide():
            yield guards[s.index].value
        case ir.Sample():
            yield from (*s.indices, *s.args, *(() if s.outcome is None else (s.outcome,)))
        case ir.Fill():
            yield from (*s.indices, s.value)
        case ir.Term():
            yield from (s.value, *s.args)
        case ir.Loop():
            yield from (s.lo, s.hi)
            yield from (c.init for c in s.carries)
            yield from (c.out for c in s.carries)
            yield from (r.init for r in s.reductions)
            yield from (r.delta for r in s.reductions)
            yield from (c.element for c in s.collects)
            for inner in s.body:
                yield from expressions_of(inner, guards)


def uses(e: ir.Expr, names: set[str]) -> bool:
    return any(isinstance(x, ir.Var) and x.name in names for x in ir.walk(e))


def leaf_sites(e: ir.Expr, definitions: Mapping[str, ir.Expr], guards: Sequence[ir.Guard]) -> frozenset[str]:
    """Names of the random variables without a definition (sites, arrays, carried state) that `e` depends on."""
    out: set[str] = set()
    seen: set[str] = set()
    queue = [e]
    while queue:
        for x in ir.walk(queue.pop()):
            if isinstance(x, ir.GuardRef):
                name, more = f"guard {x.index}", guards[x.index].value
            elif isinstance(x, ir.Var) and x.random:
                name, more = x.name, definitions.get(x.name)
            elif isinstance(x, ir.Cell) and x.random:
                name, more = x.array, definitions.get(x.array)
            else:
                continue
            if name in seen:
                continue
            seen.add(name)
            if more is None:
                out.add(name)
            else:
                queue.append(more)
    return frozenset(out)
