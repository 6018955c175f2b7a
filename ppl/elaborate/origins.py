"""What the values of a program come from, through variables, arrays and what loops carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ppl.core import ir, poly
from ppl.core.reads import forms_of
from ppl.elaborate.context import Context

STATE = "a value that is not written out"  # what loops carry or collect, and arrays that are filled
MOST_LEAVES = 64


@dataclass
class Origins:
    """What variables depend on, in the order of the program, so that long chains of them are gone through once.

    `leaves`: the sites that decide a variable or array, and `STATE`; `STATE` alone if they are many. `bents`: arrays
    whose elements may be zero other than where an affine form changes its sign. `forms`: what is not written out, with
    all that is assigned to it.
    """

    ctx: Context
    leaves: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    bents: set[str] = field(default_factory=set[str])
    forms: Mapping[str, list[ir.Expr]] = field(default_factory=dict[str, list[ir.Expr]])

    def add(self, body: tuple[ir.Statement, ...]) -> None:
        """Finds what variables and arrays depend on, starting from nothing, until what arrays hold is stable."""
        sources: list[tuple[str, ir.Expr, bool]] = []  # the last: an element of an array
        for _, s in ir.blocks(body):
            match s:
                case ir.Let():
                    sources.append((s.var.name, s.value, False))
                    self.bents |= {s.var.name} if s.var.type.dims else set()
                case ir.Fill():
                    sources.append((s.array, s.value, True))
                case ir.Decide():
                    sources.append((f"guard {s.index}", self.ctx.guards[s.index].value, False))
                case ir.Loop():
                    sources += [(c.final.name, c.element, True) for c in s.collects]
                case _:
                    pass
        self.forms = {name: [e for e, _ in found] for name, found in forms_of(body).items()}
        self.leaves = {name: frozenset({name} if name in self.ctx.sites else ()) for name, *_ in sources}
        changed = True
        while changed:
            changed = False
            for name, e, element in sources:
                before = self.leaves[name], name in self.bents
                if before[0] != frozenset({STATE}):
                    self.leaves[name] = _few(before[0] | self.of(e))
                if element and self.bent(e):
                    self.bents.add(name)
                changed |= before != (self.leaves[name], name in self.bents)

    def of(self, e: ir.Expr) -> frozenset[str]:
        """The sites that decide a value, and `STATE`; `STATE` alone if they are many."""
        out: frozenset[str] = frozenset()
        for x in ir.walk(e):
            match x:
                case ir.GuardRef():
                    out |= self.leaves.get(f"guard {x.index}", frozenset({STATE}))
                case ir.Outcome():
                    out |= {x.site}
                case ir.Var(random=True) | ir.Cell(random=True):
                    name = x.name if isinstance(x, ir.Var) else x.array
                    out |= self.leaves.get(name, frozenset({name if name in self.ctx.sites else STATE}))
                case _:
                    pass
        return _few(out)

    def together(self, a: ir.Expr, b: ir.Expr) -> bool:
        """Whether one latent may move both."""
        mine, other = self.of(a), self.of(b)
        return bool(mine and other) and (STATE in mine | other or bool(mine & other))

    def bent(self, e: ir.Expr) -> bool:
        """Whether a number may be zero other than where an affine form of latents changes its sign."""
        p = self.ctx.normal(e)
        if any(sum(k for _, k in m) > 1 for m in p):
            return True
        names = [name_of(x) for x in poly.atoms(p) if x.random]
        return any(n is None or n in self.bents or not (n in self.leaves or n in self.ctx.sites) for n in names)


def _few(leaves: frozenset[str]) -> frozenset[str]:
    return leaves if len(leaves) <= MOST_LEAVES else frozenset({STATE})


def name_of(e: ir.Expr) -> str | None:
    """The variable or array that a value is, or an element of."""
    match e:
        case ir.Var():
            return e.name
        case ir.Cell():
            return e.array
        case ir.Index():
            return name_of(e.base)
        case _:
            return None
