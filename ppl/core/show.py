"""Core expressions as text: for `explain`, for comments in emitted code, and as a deterministic order of atoms."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ppl.core.ir import Array, Cell, DataRef, Expr, GuardRef, Index, Lit, LoopVar, Op, Outcome, Select, Slice, Var

_INFIX = {
    "or": ("or", 1),
    "and": ("and", 2),
    "lt": ("<", 4),
    "le": ("<=", 4),
    "gt": (">", 4),
    "ge": (">=", 4),
    "eq": ("==", 4),
    "ne": ("!=", 4),
    "add": ("+", 5),
    "sub": ("-", 5),
    "mul": ("*", 6),
    "div": ("/", 6),
    "floordiv": ("//", 6),
    "mod": ("%", 6),
    "pow": ("^", 8),
}


def show(e: Expr, tight: int = 0) -> str:
    """`e` in the notation of the language; `tight` is the binding strength of the context."""
    match e:
        case Lit():
            return str(e.value).lower() if isinstance(e.value, bool) else f"{e.value:g}"
        case DataRef() | Var() | LoopVar():
            return e.name
        case GuardRef():
            return f"level {e.index}" if e.type.base == "int" else f"guard {e.index}"
        case Outcome():
            return f"{e.site}[{', '.join(show(i) for i in e.indices)}]" if e.indices else e.site
        case Cell():
            return f"{e.array}[{', '.join(show(i) for i in e.indices)}]"
        case Index():
            return f"{show(e.base, 9)}[{', '.join(show(i) for i in e.indices)}]"
        case Slice():
            return f"{show(e.base, 9)}[{show(e.lo)}..{show(e.hi)}]"
        case Array():
            return f"[{', '.join(show(i) for i in e.items)}]"
        case Select():
            text = f"if {show(e.condition)} then {show(e.then)} else {show(e.orelse)}"
            return f"({text})" if tight else text
        case Op():
            return _show_op(e, tight)


def renewed(name: str, indices: Sequence[str], sizes: Sequence[str], value: str, taken: Collection[str]) -> str:
    """The statement that gives the vector or matrix `name` anew, with `value` for the element at `indices`; its loop
    variables have names that are not `taken`."""
    free = [v for v in (*"kjilmn", *(f"k{i}" for i in range(len(taken) + len(indices)))) if v not in taken]
    loops = free[: len(indices)]
    which = " and ".join(f"{v} == {i}" for v, i in zip(loops, indices, strict=True))
    text = f"if {which} then {value} else {name}[{', '.join(loops)}]"
    for v, size in reversed(list(zip(loops, sizes, strict=True))):
        text = f"[{text} for {v} in 0..{size}]"
    return f"{name} = {text}"


def _show_op(e: Op, tight: int) -> str:
    if e.op in ("beside", "sided", "within"):  # next to a pole, see ppl/elaborate/poles.py
        return show(e.args[0], tight)
    if e.op in _INFIX and len(e.args) == 2:
        sign, level = _INFIX[e.op]
        text = f"{show(e.args[0], level)} {sign} {show(e.args[1], level + 1)}"
        return f"({text})" if level < tight else text
    if e.op in ("neg", "not"):
        sign, level = ("-", 7) if e.op == "neg" else ("not ", 3)
        text = f"{sign}{show(e.args[0], level)}"
        return f"({text})" if level < tight else text
    return f"{e.op}({', '.join(show(a) for a in e.args)})"
