"""Core expressions as JAX source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ppl.core import ir
from ppl.emit.writer import tuple_text
from ppl.language.distributions import DENSITY_FUNCTIONS
from ppl.language.functions import BOUNDED, GUARDED
from ppl.regions.model import Latent, Regions

_INFIX = {
    "or": ("|", 3),
    "and": ("&", 5),
    "lt": ("<", 2),
    "le": ("<=", 2),
    "gt": (">", 2),
    "ge": (">=", 2),
    "eq": ("==", 2),
    "ne": ("!=", 2),
    "add": ("+", 6),
    "sub": ("-", 6),
    "mul": ("*", 7),
    "div": ("/", 7),
    "floordiv": ("//", 7),
    "mod": ("%", 7),
}
_UNARY = 8
_CALL = 10


@dataclass(frozen=True)
class Moved:
    """Inside a slice, the element of an array that the line moves: read as the variable `name`."""

    latent: Latent
    name: str
    same: Callable[[tuple[ir.Expr, ...]], bool]
    different: Callable[[tuple[ir.Expr, ...]], bool]


@dataclass(frozen=True)
class Printer:
    """Prints expressions; `names` maps names of the core program to Python identifiers, `read` elements of arrays to
    those that hold them already."""

    regions: Regions
    names: Mapping[str, str]
    moved: tuple[Moved, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    read: Mapping[ir.Expr, str] = field(default_factory=dict[ir.Expr, str])
    on_boundary: str = ""  # Python that tells whether the values are those on a boundary, if they may be

    def name(self, name: str) -> str:
        return self.aliases[name] if name in self.aliases else self.names[name]

    def guard(self, index: int) -> str:
        representative, flipped = self.regions.resolve(index)
        return f"~g{representative}.on" if flipped else f"g{representative}.on"

    def expr(self, e: ir.Expr, mask: ir.Expr | None = None, level: int = 0) -> str:
        """`e` as Python, in parentheses if it binds looser than `level`; what is singular is guarded by `mask`."""
        match e:
            case ir.Lit():
                return self._literal(e, level)
            case ir.DataRef() | ir.Var() | ir.LoopVar():
                return self.name(e.name)
            case ir.GuardRef():
                return _wrap(self.guard(e.index), _UNARY if self.guard(e.index)[0] == "~" else _CALL, level)
            case ir.Outcome():
                raise AssertionError("an outcome is the value of a guard, and printed there")
            case ir.Cell() | ir.Index() if e in self.read:
                return self.read[e]
            case ir.Cell():
                return self._cell(e, mask)
            case ir.Index():
                return self._at(self.expr(e.base, mask, _CALL), e.indices, mask)
            case ir.Slice():
                return f"{self.expr(e.base, mask, _CALL)}[{self.expr(e.lo, mask)}:{self.expr(e.hi, mask)}]"
            case ir.Array():
                return f"control.stack({', '.join(self.expr(x, mask) for x in e.items)})"
            case ir.Select():
                then = self.expr(e.then, ir.conjunction(mask, e.condition))
                orelse = self.expr(e.orelse, ir.conjunction(mask, ir.negate(e.condition)))
                return f"jnp.where({self.expr(e.condition)}, {then}, {orelse})"
            case ir.Op():
                return self._op(e, mask, level)

    def _literal(self, e: ir.Lit, level: int) -> str:
        if isinstance(e.value, bool):
            return str(e.value)
        if e.value in (float("inf"), float("-inf")):
            return "jnp.inf" if e.value > 0 else _wrap("-jnp.inf", _UNARY, level)
        text = repr(float(e.value)) if e.type.base == "real" else repr(e.value)
        return _wrap(text, _UNARY if text.startswith("-") else _CALL, level)

    def _cell(self, e: ir.Cell, mask: ir.Expr | None) -> str:
        for m in self.moved:
            if e.array == m.latent.site and m.same(e.indices):
                return m.name
        for m in self.moved:
            if e.array == m.latent.site and not m.different(e.indices):
                mine = ", ".join(self.expr(i) for i in m.latent.indices)
                inside = ", ".join(self.expr(i, mask) for i in e.indices)
                return f"{self.name(e.array)}.at[{mine}].set({m.name})[{inside}]"
        return self._at(self.name(e.array), e.indices, mask)

    def _at(self, array: str, indices: tuple[ir.Expr, ...], mask: ir.Expr | None) -> str:
        return element(array, [self.place(i, mask) for i in indices], self.windows and of_loops(indices))

    @property
    def windows(self) -> bool:
        """Whether elements at the variables of loops are read as windows."""
        return "windows" in self.regions.optimize

    def place(self, index: ir.Expr, mask: ir.Expr | None = None) -> str:
        """An index, as a place of a loop if it is one."""
        match index:
            case _ if not self.windows:
                return self.expr(index, mask)
            case ir.Op(op=("add" | "sub") as op, args=(ir.LoopVar() as i, ir.Lit(value=int(by)))):
                return shift(self.name(i.name), by if op == "add" else -by)
            case ir.Op(op="add", args=(ir.Lit(value=int(by)), ir.LoopVar() as i)):
                return shift(self.name(i.name), by)
            case _:
                return self.expr(index, mask)

    def places(self, indices: tuple[ir.Expr, ...]) -> str:
        """Indices as a tuple."""
        return tuple_text([self.place(i) for i in indices])

    def _op(self, e: ir.Op, mask: ir.Expr | None, level: int) -> str:
        if e.op == "sided":
            return self.expr(e.args[0], mask, level)
        if any(x.type.base == "real" for x in (e, *e.args)):  # beside these, what does not fit into 32 bits may be one
            e = replace(e, args=tuple(_as_real(a) for a in e.args))
        if e.op == "not":
            inner = e.args[0]
            if isinstance(inner, ir.GuardRef):
                representative, flipped = self.regions.resolve(inner.index)
                return f"g{representative}.on" if flipped else _wrap(f"~g{representative}.on", _UNARY, level)
            return f"jnp.logical_not({self.expr(inner)})"
        if e.op in ("and", "or"):
            sign, own = _INFIX[e.op]
            inner_mask = e.args[0] if e.op == "and" else ir.negate(e.args[0])
            right = self.expr(e.args[1], ir.conjunction(mask, inner_mask), own + 1)
            return _wrap(f"{self.expr(e.args[0], mask, own)} {sign} {right}", own, level)
        if e.op == "neg":
            return _wrap(f"-{self.expr(e.args[0], mask, _UNARY)}", _UNARY, level)
        if e.op == "div" and mask is not None and not isinstance(e.args[1], ir.Lit):
            args = ", ".join(self.expr(a, mask) for a in e.args)
            return f"fn.divide({self.expr(mask)}, {args})"
        if e.op in _INFIX:
            sign, own = _INFIX[e.op]
            left, right = self.expr(e.args[0], mask, own), self.expr(e.args[1], mask, own + 1)
            return _wrap(f"{left} {sign} {right}", own, level)
        return self._call(e, mask)

    def _call(self, e: ir.Op, mask: ir.Expr | None) -> str:
        args = ", ".join(self.expr(a, mask) for a in e.args)
        if e.op == "largest":
            return f"control.largest({args})"
        if e.op.startswith(ir.TRANSFORM) and isinstance(e.args[0], ir.Var):
            return f'at.transformed("{e.args[0].name}", vectors.{e.op.removeprefix(ir.TRANSFORM)}, {args})'
        if e.op.startswith(ir.ELEMENT):
            return f"supports.{e.op.removeprefix(ir.ELEMENT)}.forward({args})"
        if e.op.startswith(ir.OFFSETS):
            return f"vectors.{e.op.removeprefix(ir.OFFSETS)}.offsets({args})"
        if e.op == "to_real":
            return f"fn.real({args})"
        if e.op == "to_int":
            return f"jnp.where({args}, 1, 0)"
        if e.op in DENSITY_FUNCTIONS:
            return self._density(e, mask, args)
        if e.op == "pow" and e.type.base == "int":
            return f"({self.expr(e.args[0], mask, _CALL)} ** {self.expr(e.args[1], mask, _CALL)})"
        if mask is not None and e.op in GUARDED:
            whole = e.op == "pow" and (e.args[1].type.base == "int" or _is_whole(e.args[1]))
            if self.on_boundary and mask.random and e.random and e.op in BOUNDED and not whole:
                args += f", on_boundary={self.on_boundary}"
            return f'fn.masked({self.expr(mask)}, "{e.op}", {args})'
        return f"fn.{e.op}({args})"

    def _density(self, e: ir.Op, mask: ir.Expr | None, args: str) -> str:
        f = DENSITY_FUNCTIONS[e.op]
        if mask is None:
            return f"{f.function}({args})"
        bounds, kind = f.distribution.support.bounds, f.distribution.support.kind
        if self.on_boundary and mask.random and e.random and f.part == "lpdf" and bounds:
            given = {p.name: a for p, a in zip(f.distribution.params, e.args[1:], strict=True)}
            first, last = (
                self.expr(given[b], mask) if isinstance(b, str) else repr(b) for b in (bounds[0], bounds[-1])
            )
            ends = f"{'None' if kind == 'upper' else first}, {'None' if kind == 'lower' else last}"
            y, rest = self.expr(e.args[0], mask), [self.expr(a, mask) for a in e.args[1:]]
            args = ", ".join([f"fn.in_support({y}, {ends}, on_boundary={self.on_boundary})", *rest])
        return f"{f.function}.masked({self.expr(mask)}, {args})"


def element(array: str, places: Sequence[str], by_loops: bool = True) -> str:
    """An element of an array, or the array. `by_loops`: at a fixed distance from the variable of each loop."""
    if not places:
        return array
    return f"fn.element({array}, {', '.join(places)})" if by_loops else f"{array}[{', '.join(places)}]"


def shift(place: str, by: int) -> str:
    return f"fn.shift({place}, {by})" if by else place


def of_loops(indices: Sequence[ir.Expr]) -> bool:
    """Whether each index is the variable of a loop or at a fixed distance from it."""
    return all(_steps(i) for i in indices)


def _steps(index: ir.Expr) -> bool:
    match index:
        case ir.LoopVar():
            return True
        case ir.Op(op="add" | "sub", args=(ir.LoopVar(), ir.Lit(value=int()))):
            return True
        case ir.Op(op="add", args=(ir.Lit(value=int()), ir.LoopVar())):
            return True
        case _:
            return False


def _as_real(e: ir.Expr) -> ir.Expr:
    if isinstance(e, ir.Lit) and e.type == ir.INT and abs(e.value) >= 2**31:
        return ir.Lit(float(e.value), ir.REAL)
    return e


def _is_whole(e: ir.Expr) -> bool:
    return isinstance(e, ir.Lit) and float(e.value).is_integer()


def _wrap(text: str, own: int, level: int) -> str:
    return f"({text})" if own < level else text
