"""The abstract syntax tree: what the parser builds, before names and types are known.

Every node carries its span, and comparing nodes ignores spans. Nodes are immutable and their children are tuples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ppl.diagnostics import Span


@dataclass(frozen=True, slots=True)
class Node:
    span: Span = field(compare=False, repr=False)


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: int | float  # an int literal is an int, anything with a point or exponent a float


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class Constant(Node):
    name: str  # "pi" or "inf"


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str  # "-", "+" or "not"
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: str  # + - * / // % ^ and or
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """``a < b <= c``: operators between consecutive operands, all of which must hold."""

    operands: tuple[Expr, ...]
    ops: tuple[str, ...]  # < <= > >= == !=


@dataclass(frozen=True, slots=True)
class IfExpr(Node):
    condition: Expr
    then: Expr
    orelse: Expr


@dataclass(frozen=True, slots=True)
class Argument(Node):
    name: str | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function call, or (as the right side of ``~``) a distribution with its arguments."""

    name: str
    args: tuple[Argument, ...]
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Range(Node):
    lo: Expr
    hi: Expr


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``base[i, j]`` or ``base[a..b]``; an item is an expression or a range."""

    base: Expr
    items: tuple[Expr | Range, ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    element: Expr
    variable: str
    range: Range
    variable_span: Span = field(compare=False, repr=False)


Expr = (
    Number | Boolean | Constant | Name | Unary | Binary | Compare | IfExpr | Call | Index | ArrayLiteral | Comprehension
)


@dataclass(frozen=True, slots=True)
class TypeExpr(Node):
    """``real``, ``int[n]``, ``real[n, 2]``; a dimension of None is the empty ``real[]`` of a parameter."""

    base: str  # "real", "int" or "bool"
    dims: tuple[Expr | None, ...]


# ----------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Data(Node):
    name: str
    type: TypeExpr
    default: Expr | None
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    name: str
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class Function(Node):
    name: str
    parameters: tuple[Parameter, ...]
    result: TypeExpr
    body: tuple[Statement, ...]
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Use(Node):
    name: str
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Target(Node):
    """The left side of ``~`` and ``=``: a name, or an element ``z[t]`` (indices non-empty)."""

    name: str
    indices: tuple[Expr | Range, ...]


@dataclass(frozen=True, slots=True)
class Sample(Node):
    """``x ~ D(...)``, ``w: real[2] ~ D(...)``, ``z[t] ~ D(...)``, each also with ``noise``."""

    target: Target
    type: TypeExpr | None
    distribution: Call
    noise: bool


@dataclass(frozen=True, slots=True)
class Var(Node):
    """``var z: real[n]``"""

    name: str
    type: TypeExpr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Assign(Node):
    target: Target
    value: Expr


@dataclass(frozen=True, slots=True)
class For(Node):
    """``for i in a..b { }``, with an optional ``while c`` that leaves the loop for good."""

    variable: str
    range: Range
    condition: Expr | None
    body: tuple[Statement, ...]
    variable_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class While(Node):
    """``while c limit N { }``"""

    condition: Expr
    limit: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class If(Node):
    """An if-statement; ``else if`` is an If as the only statement of `orelse`. No else: `orelse` is empty."""

    condition: Expr
    then: tuple[Statement, ...]
    orelse: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Observe(Node):
    value: Expr
    distribution: Call


@dataclass(frozen=True, slots=True)
class Factor(Node):
    value: Expr


@dataclass(frozen=True, slots=True)
class Report(Node):
    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Return(Node):
    value: Expr


Statement = Data | Function | Use | Sample | Var | Assign | For | While | If | Observe | Factor | Report | Return


@dataclass(frozen=True, slots=True)
class Module(Node):
    """One parsed file."""

    statements: tuple[Statement, ...]
