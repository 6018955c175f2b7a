"""The abstract syntax tree: what the parser builds, before names and types are known.

Every node carries its span, and comparing nodes ignores spans. Nodes are immutable and their children are tuples.
"""

from __future__ import annotations

from dataclasses import field

from ppl.diagnostics import Span
from ppl.record import record


@record
class Node:
    span: Span = field(compare=False, repr=False)


# ---------------------------------------------------------------- expressions


@record
class Number(Node):
    value: int | float  # an int literal is an int, anything with a point or exponent a float


@record
class Boolean(Node):
    value: bool


@record
class Constant(Node):
    name: str  # "pi" or "inf"


@record
class Name(Node):
    name: str


@record
class Unary(Node):
    op: str  # "-", "+" or "not"
    operand: Expr


@record
class Binary(Node):
    op: str  # + - * / // % ^ and or
    left: Expr
    right: Expr


@record
class Compare(Node):
    """``a < b <= c``: operators between consecutive operands, all of which must hold."""

    operands: tuple[Expr, ...]
    ops: tuple[str, ...]  # < <= > >= == !=


@record
class IfExpr(Node):
    condition: Expr
    then: Expr
    orelse: Expr


@record
class Argument(Node):
    name: str | None
    value: Expr | Truncated


@record
class Call(Node):
    """A function call, or (as the right side of ``~``) a distribution with its arguments."""

    name: str
    args: tuple[Argument, ...]
    name_span: Span = field(compare=False, repr=False)


@record
class Truncated(Node):
    """``D(...) in (lower, upper)``: a distribution, given that its value lies there."""

    call: Call
    lower: Expr
    upper: Expr

    @property
    def name(self) -> str:
        return self.call.name


@record
class Range(Node):
    lo: Expr
    hi: Expr


@record
class Index(Node):
    """``base[i, j]`` or ``base[a..b]``; an item is an expression or a range."""

    base: Expr
    items: tuple[Expr | Range, ...]


@record
class ArrayLiteral(Node):
    items: tuple[Expr, ...]


@record
class Comprehension(Node):
    element: Expr
    variable: str
    range: Range
    variable_span: Span = field(compare=False, repr=False)


Expr = (
    Number | Boolean | Constant | Name | Unary | Binary | Compare | IfExpr | Call | Index | ArrayLiteral | Comprehension
)

Law = Call | Truncated


@record
class TypeExpr(Node):
    """``real``, ``int[n]``, ``real[n, 2]``; a dimension of None is the empty ``real[]`` of a parameter."""

    base: str  # "real", "int" or "bool"
    dims: tuple[Expr | None, ...]


# ----------------------------------------------------------------- statements


@record
class Data(Node):
    name: str
    type: TypeExpr
    default: Expr | None
    name_span: Span = field(compare=False, repr=False)


@record
class Parameter(Node):
    name: str
    type: TypeExpr


@record
class Function(Node):
    name: str
    parameters: tuple[Parameter, ...]
    result: TypeExpr
    body: tuple[Statement, ...]
    name_span: Span = field(compare=False, repr=False)


@record
class Use(Node):
    name: str
    name_span: Span = field(compare=False, repr=False)


@record
class Target(Node):
    """The left side of ``~`` and ``=``: a name, or an element ``z[t]`` (indices non-empty)."""

    name: str
    indices: tuple[Expr | Range, ...]


@record
class Sample(Node):
    """``x ~ D(...)``, ``w: real[2] ~ D(...)``, ``z[t] ~ D(...)``, each also with ``noise``."""

    target: Target
    type: TypeExpr | None
    distribution: Law
    noise: bool


@record
class Var(Node):
    """``var z: real[n]``"""

    name: str
    type: TypeExpr
    name_span: Span = field(compare=False, repr=False)


@record
class Assign(Node):
    target: Target
    value: Expr


@record
class For(Node):
    """``for i in a..b { }``, with an optional ``while c`` that leaves the loop for good."""

    variable: str
    range: Range
    condition: Expr | None
    body: tuple[Statement, ...]
    variable_span: Span = field(compare=False, repr=False)


@record
class While(Node):
    """``while c limit N { }``"""

    condition: Expr
    limit: Expr
    body: tuple[Statement, ...]


@record
class If(Node):
    """An if-statement; ``else if`` is an If as the only statement of `orelse`. No else: `orelse` is empty."""

    condition: Expr
    then: tuple[Statement, ...]
    orelse: tuple[Statement, ...]


@record
class Observe(Node):
    value: Expr
    distribution: Law


@record
class Factor(Node):
    value: Expr


@record
class Scored(Node):
    """The density that a function gives, ``NAME_lpdf(value, ...)``: elaboration makes it of an `observe`, or of a draw
    of `site`."""

    density: Call
    site: str = ""


@record
class Report(Node):
    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@record
class GuideEntry(Node):
    """``level, change ~ FullRank()``: latents that a family of the guide has together."""

    latents: tuple[Name, ...]
    family: Call


@record
class Guide(Node):
    """``guide { ... }``: what the program says of its own guide."""

    entries: tuple[GuideEntry, ...]


@record
class Return(Node):
    value: Expr


Statement = (
    Data | Function | Use | Sample | Var | Assign | For | While | If | Observe | Factor | Scored | Report | Guide
    | Return
)  # fmt: skip


@record
class Module(Node):
    """One parsed file."""

    statements: tuple[Statement, ...]
