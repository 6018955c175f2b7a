"""Core expressions that depend on data alone, evaluated with numpy for many iterations at once.

A value has a leading axis: one entry per iteration of the space at hand, or a single one where it does not depend on
the iteration; the axes of its type follow. What depends on a latent, or on carried state, is unknown (None),
but all of its parts are visited, so that whoever watches sees every index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ppl.bind.functions import Array, apply
from ppl.bind.model import Value
from ppl.core import ir
from ppl.language.distributions import DENSITY_FUNCTIONS
from ppl.language.functions import FUNCTIONS, NEED_ELEMENTS

Mask = Array | None  # bool per iteration (or one for all): where something is evaluated; None: everywhere


@dataclass
class Space:
    """Iterations of a loop nest, in program order. `back` maps them to those of the enclosing loop, `parent`; `time`
    increases in the order of execution; `known` holds variables that have been evaluated here."""

    loops: tuple[ir.Loop, ...]
    size: int
    variables: Mapping[str, Array]
    time: Array
    parent: Space | None = None
    back: Array | None = None
    known: dict[str, Array | None] = field(default_factory=dict[str, "Array | None"])
    truths: dict[str, tuple[Array, Array]] = field(default_factory=dict[str, tuple[Array, Array]])


def top() -> Space:
    """The program outside loops: one iteration."""
    return Space((), 1, {}, np.zeros(1, np.int64))


def batched(values: Mapping[str, Value]) -> dict[str, Array]:
    """Data as the evaluator wants it, with a leading axis of length one."""
    return {name: np.asarray(v)[None] for name, v in values.items()}


def array_types(program: ir.Program) -> dict[str, ir.Type]:
    """The type of every variable that can be indexed."""
    out = {s.name: s.type for s in program.sites} | {a.name: a.type for a in program.arrays}
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Let):
            out[s.var.name] = s.var.type
        elif isinstance(s, ir.Loop):
            carried = [x for c in s.carries for x in (c.entry, c.final)]
            out.update({v.name: v.type for v in (*carried, *(x.final for x in (*s.reductions, *s.collects)))})
    return out


class Watcher(Protocol):
    """Is told of every array access that may be evaluated."""

    def index(self, e: ir.Cell | ir.Index, values: list[Array | None], sizes: list[int], active: Mask) -> None: ...

    def slice(self, e: ir.Slice, lo: int, hi: int, size: int, active: Mask) -> None: ...

    def whole(self, e: ir.Var, active: Mask) -> None: ...

    def zero_division(self, e: ir.Op, divisor: Array, active: Mask) -> None: ...

    def no_elements(self, e: ir.Op, active: Mask) -> None: ...

    def whole_number(self, e: ir.Op, values: Array, active: Mask) -> None: ...

    def unknown(self, e: ir.Op | ir.Select, active: Mask) -> None: ...


def both(a: Mask, b: Mask) -> Mask:
    return b if a is None else a if b is None else a & b


@dataclass
class Evaluator:
    """`types` are those of every array variable. `certain`: what a condition on data that are not known leads to is not
    looked at; else both of its branches are. `assumed`: values of what latents decide, to be taken for data."""

    data: Mapping[str, Array]
    definitions: Mapping[str, ir.Expr]
    types: Mapping[str, ir.Type]
    space: Space
    watcher: Watcher | None = None
    certain: bool = False
    assumed: Mapping[ir.Expr, Array] = field(default_factory=dict[ir.Expr, Array])

    def at(self, space: Space, watcher: Watcher | None = None) -> Evaluator:
        return Evaluator(self.data, self.definitions, self.types, space, watcher, self.certain, self.assumed)

    def number(self, e: ir.Expr) -> int | float | bool | None:
        """The value of a scalar that is the same in all iterations."""
        if isinstance(e, ir.Lit):
            return e.value
        found = self.value(e)
        return None if found is None or found.shape[0] == 0 else found.flat[0].item()

    def dims(self, t: ir.Type) -> tuple[int, ...] | None:
        """The shape of a type; the size of an empty range is 0."""
        out: list[int] = []
        for d in t.dims:
            n = self.quiet().number(d)
            if n is None:
                return None
            out.append(max(0, int(n)))
        return tuple(out)

    def is_empty(self, t: ir.Type) -> bool:
        return 0 in (self.dims(t) or ())

    def quiet(self) -> Evaluator:
        return self if self.watcher is None else self.at(self.space)

    # ------------------------------------------------------------- conditions

    def truth(self, e: ir.Expr, active: Mask = None) -> tuple[Array, Array]:
        """Where a condition may be true, and where it may be false; both where it depends on a latent."""
        match e:
            case ir.Op(op="not", args=(a,)):
                t, f = self.truth(a, active)
                return f, t
            case ir.Op(op="and", args=(a, b)):
                t, f = self.truth(a, active)
                t2, f2 = self.truth(b, both(active, t))
                return t & t2, f | f2
            case ir.Op(op="or", args=(a, b)):
                t, f = self.truth(a, active)
                t2, f2 = self.truth(b, both(active, f))
                return t | t2, f & f2
            case ir.Var() if e.random and e.name in self.definitions:
                if e.name not in self.space.truths:
                    self.space.truths[e.name] = self.quiet().truth(self.definitions[e.name])
                return self.space.truths[e.name]
            case _:
                v = self.value(e, active)
                either = np.full(1, e.random or not self.certain)
                return (either, either) if v is None else (v, ~v)

    def mask(self, e: ir.Expr | None) -> Mask:
        """Where a statement with this mask may be executed."""
        return None if e is None else self.quiet().truth(e)[0]

    # ----------------------------------------------------------------- values

    def value(self, e: ir.Expr, active: Mask = None) -> Array | None:
        """`e` where `active`; elsewhere anything of the right type."""
        if self.assumed and e in self.assumed:
            return self.assumed[e]
        match e:
            case ir.Lit():
                return np.asarray([e.value])
            case ir.DataRef():
                return self.data.get(e.name)
            case ir.LoopVar():
                return self.space.variables.get(e.name)
            case ir.GuardRef() | ir.Outcome():
                return None
            case ir.Var():
                if self.watcher is not None:
                    self.watcher.whole(e, active)
                return self.variable(e.name, self.space)
            case ir.Op(op="and" | "or"):
                t, f = self.truth(e, active)
                return None if e.random and bool((t & f).any()) else t
            case ir.Op():
                return self.operation(e, active)
            case ir.Select():
                return self.select(e, active)
            case ir.Cell() | ir.Index():
                return self.element(e, active)
            case ir.Slice():
                return self.slice(e, active)
            case ir.Array():
                return self.array(e, active)

    def variable(self, name: str, space: Space) -> Array | None:
        """A variable evaluated here or around, else its definition evaluated here."""
        if name in space.known:
            return space.known[name]
        outer, back = space.parent, space.back
        while outer is not None and name not in outer.known:
            back = outer.back if back is None or outer.back is None else outer.back[back]
            outer = outer.parent
        if outer is not None:
            found = outer.known[name]
            if found is not None and back is not None and found.shape[0] > 1:
                found = found[back]
        elif name in self.definitions:
            space.known[name] = None  # nothing defines itself; this only keeps a fault of ours from running for ever
            found = self.at(space).value(self.definitions[name])
        else:
            found = None
        space.known[name] = found
        return found

    def operation(self, e: ir.Op, active: Mask) -> Array | None:
        found = [self.value(a, active) for a in e.args]
        args = [x for x in found if x is not None]
        if self.watcher is not None and e.op in ("floordiv", "mod") and found[1] is not None:
            self.watcher.zero_division(e, found[1], active)
        if self.watcher is not None and e.op in NEED_ELEMENTS and len(e.args) == 1 and self.is_empty(e.args[0].type):
            self.watcher.no_elements(e, active)
        if len(args) < len(found) or e.op in DENSITY_FUNCTIONS:
            if self.watcher is not None and e.random:
                self.watcher.unknown(e, active)
            return None
        if e.op == "not":
            return ~args[0]
        if e.op in FUNCTIONS and FUNCTIONS[e.op].kind == "linear":
            return apply(e.op, args, e.type.base)
        rank = max(x.ndim for x in args)
        args = [x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:]) for x in args]
        out = apply(e.op, args, e.type.base)
        if self.watcher is not None and e.type.base == "int":
            self.watcher.whole_number(e, out, active)
        return out

    def select(self, e: ir.Select, active: Mask) -> Array | None:
        t, f = self.truth(e.condition, active)
        then, orelse = self.value(e.then, both(active, t)), self.value(e.orelse, both(active, f))
        if (e.condition.random and bool((t & f).any())) or then is None or orelse is None:
            if self.watcher is not None and e.random:
                self.watcher.unknown(e, active)
            return None
        rank = max(then.ndim, orelse.ndim)
        return np.where(t.reshape(t.shape + (1,) * (rank - 1)), then, orelse)

    def element(self, e: ir.Cell | ir.Index, active: Mask) -> Array | None:
        """``base[indices]``; an index outside is reported, and then moved inside."""
        if isinstance(e, ir.Cell):
            base, t = self.variable(e.array, self.space), self.types[e.array]
        elif isinstance(e.base, ir.Var):
            base, t = self.variable(e.base.name, self.space), e.base.type
        else:
            base, t = self.value(e.base, active), e.base.type
        indices = [self.value(i, active) for i in e.indices]
        shape = base.shape[1:] if base is not None else self.dims(t)
        if shape is None:
            return None
        if self.watcher is not None:
            self.watcher.index(e, indices, list(shape[: len(indices)]), active)
        known = [i for i in indices if i is not None]
        if base is None or len(known) < len(indices):
            return None
        rows = max(base.shape[0], *(i.shape[0] for i in known))
        if 0 in shape:
            return np.zeros((rows, *shape[len(known) :]), base.dtype)
        inside = tuple(np.clip(i, 0, n - 1) for i, n in zip(known, shape, strict=False))
        if base.shape[0] == 1:
            return base[0][inside]
        return base[(np.arange(base.shape[0]), *inside)]

    def slice(self, e: ir.Slice, active: Mask) -> Array | None:
        base = self.variable(e.base.name, self.space) if isinstance(e.base, ir.Var) else self.value(e.base, active)
        lo, hi = self.number(e.lo), self.number(e.hi)
        shape = self.dims(e.base.type)
        if lo is None or hi is None or shape is None:
            return None
        if self.watcher is not None:
            self.watcher.slice(e, int(lo), int(hi), shape[0], active)
        first = max(0, int(lo))
        return None if base is None else base[:, first : max(first, int(hi))]

    def array(self, e: ir.Array, active: Mask) -> Array | None:
        found = [self.value(x, active) for x in e.items]
        items = [x for x in found if x is not None]
        if len(items) < len(found):
            return None
        return np.stack(np.broadcast_arrays(*items), axis=1)
