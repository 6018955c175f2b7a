"""How deep a program may be, and which types there are: what the grammar alone does not say.

The phases after the parser recurse over the tree, so its depth must be bounded here, by a walk that does not recurse.
"""

from __future__ import annotations

from functools import cache
from typing import cast

from ppl.diagnostics import Span, did_you_mean
from ppl.syntax import ast
from ppl.syntax.tokens import Faults

MAX_NESTING = 200
MAX_TREE_DEPTH = 250  # also counts `a + a + a + ...` and `else if`, which nest in the tree but not in the text

_TYPES = ("real", "int", "bool")
_JOINT_TYPES = ("simplex", "ordered")  # of latents
_OTHER_TYPES = {"float": "real", "double": "real", "number": "real", "integer": "int", "boolean": "bool"}
_EXAMPLES = {"simplex": "p: simplex[3] ~ Dirichlet([1, 1, 1])", "ordered": "c: ordered[3] ~ Normal(0, 2)"}
_NO_LEVEL = (ast.Argument, ast.Parameter, ast.Target, ast.TypeExpr, ast.Range)


def is_sound(statement: ast.Statement, faults: Faults) -> bool:
    """False, with an error, if the statement is nested too deeply (PPL008); unknown types are errors too (PPL002)."""
    todo: list[tuple[ast.Node, int, int]] = [(statement, 0, 0)]  # a node, its nesting, its depth in the tree
    latent: ast.TypeExpr | None = None
    while todo:
        node, nesting, depth = todo.pop()
        if isinstance(node, ast.Sample):
            latent = node.type
        if nesting > MAX_NESTING or depth > MAX_TREE_DEPTH:
            faults.error("PPL008", *_too_deep(node, nesting))
            return False
        if isinstance(node, ast.TypeExpr) and not (node is latent and node.base in _JOINT_TYPES):
            _check_type(node, faults)
        below = depth if isinstance(node, _NO_LEVEL) else depth + 1
        for name in _child_fields(type(node)):
            value = getattr(node, name)
            inside = nesting + _nests(node, name)
            if isinstance(value, ast.Node):
                todo.append((value, inside, below))
            elif isinstance(value, tuple):
                children = cast(tuple[object, ...], value)
                todo.extend((v, inside, below) for v in children if isinstance(v, ast.Node))
    return True


@cache
def _child_fields(kind: type[ast.Node]) -> tuple[str, ...]:
    skipped = ("span", "name_span", "variable_span", "name", "variable", "op", "ops", "noise")
    return tuple(f for f in kind.__dataclass_fields__ if f not in skipped)


def _nests(node: ast.Node, name: str) -> bool:
    """Whether a child stands one level deeper in the text, as a reader counts."""
    match node:
        case ast.If():
            return name == "then" or (name == "orelse" and not _is_else_if(node))
        case ast.For() | ast.While() | ast.Function():
            return name == "body"
        case ast.Binary():
            return node.op == "^" and name == "right"
        case ast.Unary() | ast.IfExpr() | ast.Call() | ast.ArrayLiteral() | ast.Comprehension():
            return True
        case ast.Index():
            return name == "items"
        case _:
            return False


def _is_else_if(node: ast.If) -> bool:
    return len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)


def _too_deep(node: ast.Node, nesting: int) -> tuple[str, Span, str | None]:
    if nesting > MAX_NESTING:
        return f"nested deeper than {MAX_NESTING}", node.span, None
    if isinstance(node, ast.If):
        return f"more than {MAX_TREE_DEPTH} `else if` in a row", node.span, "index an array instead"
    hint = "write `sum([...])`, or assign parts of it to names"
    return f"an expression with more than {MAX_TREE_DEPTH} operations in a row", node.span, hint


def _check_type(node: ast.TypeExpr, faults: Faults) -> None:
    if node.base in _TYPES:
        return
    hint = did_you_mean(node.base, _TYPES) or "types are `real`, `int` and `bool`, and arrays such as `real[n]`"
    if node.base in _OTHER_TYPES:
        hint = f"write `{_OTHER_TYPES[node.base]}`"
    elif node.base in _JOINT_TYPES:
        hint = f"`{node.base}[n]` is the type of a latent, as in `{_EXAMPLES[node.base]}`; here write `real[n]`"
    elif node.base in ("vector", "matrix", "array"):
        hint = "write `real[n]` or `real[n, m]`"
    faults.error("PPL002", f"unknown type `{node.base}`", node.span, hint)
