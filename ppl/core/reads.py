"""What a statement reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ppl.core import ir

Behind = Callable[[ir.Expr], tuple[str, Iterable[ir.Expr]] | None]


def reached(starts: Iterable[ir.Expr], behind: Behind) -> Iterator[ir.Expr]:
    """The subexpressions of `starts` and, once for each name, of what is behind them.

    `behind(x)` is the name of what `x` refers to and the expressions that it comes from; None if there is nothing.
    """
    seen: set[str] = set()
    queue = list(starts)
    while queue:
        for x in ir.walk(queue.pop()):
            yield x
            found = behind(x)
            if found is not None and found[0] not in seen:
                seen.add(found[0])
                queue.extend(found[1])


def assigned(definitions: Mapping[str, ir.Expr]) -> Behind:
    """Behind a variable is its definition, if it has one."""

    def behind(x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        return (x.name, (definitions[x.name],)) if isinstance(x, ir.Var) and x.name in definitions else None

    return behind


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
            g = guards[s.index]
            yield from (g.value,) if g.where is None else (g.value, g.where)
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


def handed_on(s: ir.Loop) -> tuple[ir.Expr, ...]:
    """What an iteration hands on: state at its end, what is added to sums, and elements of comprehensions."""
    return (*(c.out for c in s.carries), *(r.delta for r in s.reductions), *(c.element for c in s.collects))


def uses(e: ir.Expr, names: set[str]) -> bool:
    return any(isinstance(x, ir.Var) and x.name in names for x in ir.walk(e))


def leaf_sites(
    e: ir.Expr, definitions: Mapping[str, ir.Expr], guards: Sequence[ir.Guard], outcomes: bool = False
) -> frozenset[str]:
    """Names of the random variables without a definition (sites, arrays, carried state) that `e` depends on.

    `outcomes`: those of discrete latents too.
    """
    out: set[str] = set()

    def behind(x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        if isinstance(x, ir.GuardRef):
            return f"guard {x.index}", (guards[x.index].value,)
        if isinstance(x, ir.Outcome) and outcomes:
            out.add(x.site)
        if not isinstance(x, ir.Var | ir.Cell) or not x.random:
            return None
        name = x.name if isinstance(x, ir.Var) else x.array
        if name in definitions:
            return name, (definitions[name],)
        out.add(name)
        return None

    for _ in reached((e,), behind):
        pass
    return frozenset(out)


def live_expressions(
    body: Sequence[ir.Statement], guards: Sequence[ir.Guard]
) -> Iterator[tuple[ir.Expr, ir.Expr | None]]:
    """What a term of the density comes from, each expression with the condition under which it is computed."""
    live = live_variables(body, guards)
    for _, s in ir.blocks(tuple(body)):
        match s:
            case ir.Term() | ir.Sample():
                yield from ((e, s.mask) for e in expressions_of(s, guards))
            case ir.Decide():
                if f"guard {s.index}" in live:
                    yield guards[s.index].value, s.mask
            case ir.Report():
                pass
            case _:
                yield from ((e, s.mask) for name, e in sources_of(s) if name in live)


def live_variables(body: Sequence[ir.Statement], guards: Sequence[ir.Guard]) -> frozenset[str]:
    """Variables that reach a term of the density, through guards too (as ``guard 3``); what only a report reads is not
    among them."""
    sources: dict[str, list[ir.Expr]] = {}
    roots: list[ir.Expr] = []
    for _, s in ir.blocks(tuple(body)):
        if isinstance(s, ir.Term | ir.Sample):
            roots.extend(expressions_of(s, guards))
        for name, e in sources_of(s):
            sources.setdefault(name, []).append(e)
    live: set[str] = set()

    def behind(x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
        if isinstance(x, ir.GuardRef):
            name, more = f"guard {x.index}", [guards[x.index].value]
        elif isinstance(x, ir.Var | ir.Cell):
            name = x.name if isinstance(x, ir.Var) else x.array
            more = sources.get(name, [])
        else:
            return None
        live.add(name)
        return name, more

    for _ in reached(roots, behind):
        pass
    return frozenset(live)


def sources_of(s: ir.Statement) -> Iterator[tuple[str, ir.Expr]]:
    """The variables that a statement itself, without those in a loop, gives a value, and what the value comes from."""
    match s:
        case ir.Let():
            yield s.var.name, s.value
        case ir.Fill():
            yield s.array, s.value
            if s.mask is not None:
                yield s.array, s.mask
        case ir.Loop():
            for c in s.carries:
                yield from ((name, e) for name, e in ((c.entry.name, c.init), (c.entry.name, c.out),
                                                      (c.final.name, c.entry), (c.final.name, c.out)))  # fmt: skip
            for r in s.reductions:
                yield from ((r.final.name, e) for e in (r.init, r.delta))
            for c in s.collects:
                yield c.final.name, c.element
        case _:
            pass


def forms_of(body: tuple[ir.Statement, ...]) -> dict[str, list[tuple[ir.Expr, ir.Expr | None]]]:
    """What is assigned to arrays, under which condition, and what loops carry, sum and collect, by name. A loop counts
    as if it went round: one that does not leaves what was there before."""
    out: dict[str, list[tuple[ir.Expr, ir.Expr | None]]] = {}
    for _, s in ir.blocks(body):
        match s:
            case ir.Fill():
                out.setdefault(s.array, []).append((s.value, s.mask))
            case ir.Loop():
                for c in s.carries:
                    out |= {c.entry.name: [(c.init, None), (c.out, None)], c.final.name: [(c.out, None)]}
                for r in s.reductions:
                    out[r.final.name] = [(ir.Op("add", (r.init, r.delta), r.final.type, True), None)]
                for c in s.collects:
                    out[c.final.name] = [(c.element, None)]
            case _:
                pass
    return out
