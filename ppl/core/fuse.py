"""Loops that hand arrays to each other become one loop, so that what an element decides stays in its iteration.

``mu = [if i < k then a else b for i in 0..n]; observe y ~ Normal(mu, s)`` is two loops over the same range. Fused, the
jump of a guard is one observation; apart, it would be all of them. An observation of a vector of data is a loop in any
case, so that it too is evaluated in blocks, in minibatches and as a sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ppl.core import ir, poly
from ppl.core.reads import expressions_of
from ppl.core.rewrite import Rule, rebuild, rebuild_statement
from ppl.language.distributions import named
from ppl.language.functions import FUNCTIONS

ELEMENTWISE = ("add", "sub", "mul", "div", "floordiv", "mod", "pow", "neg", "to_real", "to_int")


@dataclass(eq=False, repr=False)
class Fusion:
    """The program while it is rewritten."""

    guards: list[ir.Guard]
    definitions: dict[str, ir.Expr]
    next_id: int
    sites: frozenset[str]  # arrays of drawn elements: the program's result has them, whoever else reads them
    names: set[str] = field(default_factory=set[str])

    def fresh(self, base: str) -> str:
        k = 1
        while (name := base if k == 1 else f"{base}_{k}") in self.names:
            k += 1
        self.names.add(name)
        return name

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id


def fuse(program: ir.Program, definitions: Mapping[str, ir.Expr]) -> tuple[ir.Program, dict[str, ir.Expr]]:
    """The program with array-passing loops fused, and its definitions."""
    ids = [s.id for _, s in ir.blocks(program.body) if isinstance(s, ir.Loop | ir.Term | ir.Sample)]
    f = Fusion(list(program.guards), dict(definitions), max(ids, default=0), frozenset(s.name for s in program.sites))
    f.names = {*definitions, *(d.name for d in program.data), *(s.name for s in program.sites)}
    f.names |= {a.name for a in program.arrays}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Loop):
            f.names |= {s.var.name, *(v.name for c in s.carries for v in (c.entry, c.final))}
            f.names |= {r.final.name for r in s.reductions} | {c.final.name for c in s.collects}
    body = _split_vector_terms(f, program.body)
    body = _fuse_block(f, body)
    return replace(program, body=body, guards=tuple(f.guards)), f.definitions


# --------------------------------------------------------------- vector terms


def _split_vector_terms(f: Fusion, body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """Observations of a vector become loops of scalar observations, but for those that move with a vector of latents:
    an element of that would take the gradient of a loop to where it is in the vector."""
    made = {c.final.name for s in body if isinstance(s, ir.Loop) for c in s.collects}
    made |= {x.array for _, x in ir.blocks(body) if isinstance(x, ir.Fill)}
    out: list[ir.Statement] = []
    for s in body:
        loop = _as_loop(f, s, made) if isinstance(s, ir.Term) and len(s.value.type.dims) == 1 else None
        out.append(loop or s)
    return tuple(out)


def _as_loop(f: Fusion, s: ir.Term, made: set[str]) -> ir.Loop | None:
    d = None if s.distribution is None else named(s.distribution)
    if d is None or d.joint:
        return None
    # An argument with no more axes than that of a single observation is the same for all.
    own = [len(a.type.dims) > p.ndim for a, p in zip(s.args, d.params, strict=True)]
    read = [x for a, each in zip(s.args, own, strict=True) if each for x in _arrays(f, a)]
    if any(x.random for x in read) and not any(x.name in made for x in read):
        return None
    var = ir.LoopVar(f.fresh("i"))
    args = [_element(f, a, var) if each else a for a, each in zip(s.args, own, strict=True)]
    parts = [e for e in (_element(f, s.value, var), *args) if e is not None]
    if len(parts) <= len(args):
        f.names.discard(var.name)
        return None
    term = replace(s, value=parts[0], args=tuple(parts[1:]))
    return ir.Loop(f.new_id(), var, ir.literal(0), s.value.type.dims[0], (term,), (), (), (), s.mask, s.span)


def _arrays(f: Fusion, e: ir.Expr) -> Iterator[ir.Var]:
    """The arrays that an expression is computed from, those aside that are themselves assigned an expression."""
    for x in ir.walk(e):
        if isinstance(x, ir.Var) and x.type.dims:
            definition = f.definitions.get(x.name)
            yield from (x,) if definition is None else _arrays(f, definition)


def is_elementwise(e: ir.Op) -> bool:
    """Whether it takes arrays element by element."""
    if len(e.args) == 1 and e.op in ("min", "max", "log_sum_exp"):
        return False
    return e.op in ELEMENTWISE or (e.op in FUNCTIONS and FUNCTIONS[e.op].kind in ("elementwise", "kink"))


def _element(f: Fusion, e: ir.Expr, i: ir.Expr) -> ir.Expr | None:
    """Element `i` of a vector expression, None if it is not computed element by element; scalars are themselves."""
    if e.type.scalar:
        return e
    if len(e.type.dims) != 1:
        return None
    t = e.type.element()
    match e:
        case ir.DataRef():
            return ir.Index(e, (i,), t, False)
        case ir.Var():
            if e.name in f.definitions:
                return _element(f, f.definitions[e.name], i)
            return ir.Cell(e.name, (i,), t, e.random)
        case ir.Index():
            return replace(e, indices=(*e.indices, i), type=t)
        case ir.Slice():
            return _element(f, e.base, ir.Op("add", (e.lo, i), ir.INT, False))
        case ir.Select():
            a, b = _element(f, e.then, i), _element(f, e.orelse, i)
            return None if a is None or b is None else replace(e, then=a, orelse=b, type=t)
        case ir.Op() if is_elementwise(e):
            args = [_element(f, a, i) for a in e.args]
            return (
                None
                if any(a is None for a in args)
                else replace(e, args=tuple(a for a in args if a is not None), type=t)
            )
        case _:
            return None


# --------------------------------------------------------------------- fusion


def _fuse_block(f: Fusion, body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """Top-level loops, each merged into the next that reads its arrays element by element."""
    out = list(body)
    k = 0
    while k < len(out):
        first = out[k]
        target = _consumer(f, out, k) if isinstance(first, ir.Loop) else None
        if target is None:
            k += 1
            continue
        second = out[target]
        assert isinstance(first, ir.Loop) and isinstance(second, ir.Loop)
        rest = [*out[:k], *out[k + 1 : target], *out[target + 1 :]]
        out[target] = _merge(f, first, second, rest)
        del out[k]
    return tuple(out)


def _produced(loop: ir.Loop, places: Mapping[str, ir.Expr]) -> dict[str, tuple[ir.Expr, ir.Expr]]:
    """array -> (index, value) of what each iteration produces, unmasked and once."""
    made: dict[str, tuple[ir.Expr, ir.Expr]] = {
        c.final.name: (loop.var, c.element) for c in loop.collects if loop.lo == ir.literal(0)
    }
    fills: dict[str, list[ir.Fill]] = {}
    for _, s in ir.blocks(loop.body):
        if isinstance(s, ir.Fill):
            fills.setdefault(s.array, []).append(s)
    for name, found in fills.items():
        s = found[0]
        if len(found) == 1 and s.mask is None and name in places and s in loop.body:
            made[name] = (s.indices[0], s.value)
    return made


def _places(loop: ir.Loop) -> dict[str, ir.Expr]:
    """array -> index of the one element that each iteration assigns or draws."""
    found: dict[str, set[tuple[ir.Expr, ...]]] = {}
    for _, s in ir.blocks(loop.body):
        if isinstance(s, ir.Sample | ir.Fill):
            found.setdefault(s.site if isinstance(s, ir.Sample) else s.array, set()).add(s.indices)
    places: dict[str, ir.Expr] = {c.final.name: loop.var for c in loop.collects if loop.lo == ir.literal(0)}
    for name, indices in found.items():
        match list(indices):
            case [(index,)]:
                places[name] = index
            case _:
                pass
    return places


def _consumer(f: Fusion, body: Sequence[ir.Statement], k: int) -> int | None:
    """The next statement that reads what loop `k` makes, if it is a loop that can take it in."""
    first = body[k]
    assert isinstance(first, ir.Loop)
    places = _places(first)
    made = _produced(first, places)
    if not made or first.carries or any(_reads(f, first, name) for name in made):
        return None
    outputs = {*made, *(r.final.name for r in first.reductions), *(c.final.name for c in first.collects)}
    outputs |= {s.array for _, s in ir.blocks(first.body) if isinstance(s, ir.Fill)}
    outputs |= {s.site for _, s in ir.blocks(first.body) if isinstance(s, ir.Sample)}
    for j in range(k + 1, len(body)):
        s = body[j]
        if not any(_reads(f, s, name) for name in outputs):
            if any(isinstance(x, ir.Fill) and x.array in outputs for _, x in ir.blocks((s,))):
                return None
            continue
        if not isinstance(s, ir.Loop) or s.lo != first.lo or s.hi != first.hi or s.mask != first.mask:
            return None
        return j if _aligned(f, first, s, places, outputs) else None
    return None


def _aligned(f: Fusion, first: ir.Loop, second: ir.Loop, places: Mapping[str, ir.Expr], outputs: set[str]) -> bool:
    """Whether `second` reads only the elements that the same iteration of `first` makes."""
    found = False
    for e in expressions_of(second, f.guards):
        for x in ir.walk(e):
            if isinstance(x, ir.Var) and x.name in outputs:
                return False
            if isinstance(x, ir.Cell) and x.array in outputs:
                if x.array not in places or len(x.indices) != 1:
                    return False
                mine = rebuild(places[x.array], lambda v: second.var if v == first.var else None)
                difference = ir.Op("sub", (x.indices[0], mine), ir.INT, False)
                if poly.to_poly(difference, lambda v: f.definitions.get(v.name) if isinstance(v, ir.Var) else None):
                    return False
                found = True
    return found


def _reads(f: Fusion, s: ir.Statement, name: str) -> bool:
    return any(
        (isinstance(x, ir.Var) and x.name == name) or (isinstance(x, ir.Cell) and x.array == name)
        for e in expressions_of(s, f.guards)
        for x in ir.walk(e)
    )


def _merge(f: Fusion, first: ir.Loop, second: ir.Loop, rest: Sequence[ir.Statement]) -> ir.Loop:
    """One loop that runs the body of `first`, then that of `second`, in each iteration."""

    def renamed(e: ir.Expr) -> ir.Expr | None:
        return second.var if e == first.var else None

    moved = rebuild_statement(first, renamed)
    assert isinstance(moved, ir.Loop)
    _relocate(f, first, renamed, second.id)
    items: dict[str, ir.Expr] = {}
    body = list(moved.body)
    for name, (_, value) in _produced(moved, _places(moved)).items():
        item: ir.Expr = value
        if not isinstance(value, ir.Var | ir.Lit | ir.DataRef):
            item = ir.Var(f.fresh(f"{name}_item"), value.type, value.random)
            f.definitions[item.name] = value
            where = next((k for k, s in enumerate(body) if isinstance(s, ir.Fill) and s.array == name), len(body))
            body.insert(where, ir.Let(item, value, None, first.span))
        items[name] = item
    needed = {name for name in items if name in f.sites or any(_reads(f, s, name) for s in rest)}

    def forwarded(e: ir.Expr) -> ir.Expr | None:
        return items.get(e.array) if isinstance(e, ir.Cell) else None

    body = [
        replace(s, value=items[s.array]) if isinstance(s, ir.Fill) and s.array in items else s
        for s in body
        if not (isinstance(s, ir.Fill) and s.array in items and s.array not in needed)
    ]
    later = rebuild_statement(second, forwarded)
    assert isinstance(later, ir.Loop)
    for _, s in ir.blocks((second,)):
        if isinstance(s, ir.Decide):
            g = f.guards[s.index]
            mask, where = (None if x is None else rebuild(x, forwarded) for x in (g.mask, g.where))
            f.guards[s.index] = replace(g, value=rebuild(g.value, forwarded), mask=mask, where=where)
        elif isinstance(s, ir.Let):
            f.definitions[s.var.name] = rebuild(s.value, forwarded)
    collects = tuple(
        replace(c, element=items.get(c.final.name, c.element)) for c in moved.collects if c.final.name in needed
    )
    return replace(
        later,
        body=(*body, *later.body),
        reductions=(*moved.reductions, *later.reductions),
        collects=(*collects, *later.collects),
    )


def _relocate(f: Fusion, first: ir.Loop, renamed: Rule, target: int) -> None:
    """Guards and definitions of the first loop follow its body into the second."""

    for _, s in ir.blocks((first,)):
        if isinstance(s, ir.Decide):
            g = f.guards[s.index]
            loops = tuple(target if x == first.id else x for x in g.loops)
            mask = None if g.mask is None else rebuild(g.mask, renamed)
            f.guards[s.index] = replace(g, value=rebuild(g.value, renamed), loops=loops, mask=mask)
        elif isinstance(s, ir.Let):
            f.definitions[s.var.name] = rebuild(f.definitions[s.var.name], renamed)
