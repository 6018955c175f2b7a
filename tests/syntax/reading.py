"""Helpers of the syntax tests: parse a text that must be right, or one that must be wrong, and show a tree as text."""

from __future__ import annotations

from ppl.diagnostics import Diagnostic, Diagnostics, Span, render
from ppl.syntax import ast, parse

AT = Span("", 1, 1, 1, 1)  # comparing nodes ignores spans


def read(text: str) -> tuple[ast.Statement, ...]:
    """The statements of a text without faults."""
    sink = Diagnostics()
    module = parse(text, "model.ppl", sink)
    assert not sink.items, render(sink.items, sink.sources)
    return module.statements


def faults(text: str) -> list[Diagnostic]:
    """The diagnostics of a text."""
    sink = Diagnostics()
    parse(text, "model.ppl", sink)
    return sink.items


def codes(text: str) -> list[str]:
    return [d.code for d in faults(text)]


def value(text: str) -> ast.Expr:
    """The tree of an expression."""
    (statement,) = read(f"x = {text}\n")
    assert isinstance(statement, ast.Assign)
    return statement.value


def shape(node: ast.Expr | ast.Range) -> str:
    """An expression with every grouping made explicit."""
    match node:
        case ast.Number():
            return repr(node.value)
        case ast.Boolean():
            return str(node.value).lower()
        case ast.Constant() | ast.Name():
            return node.name
        case ast.Unary():
            return f"({node.op} {shape(node.operand)})"
        case ast.Binary():
            return f"({shape(node.left)} {node.op} {shape(node.right)})"
        case ast.Compare():
            rest = (f" {op} {shape(e)}" for op, e in zip(node.ops, node.operands[1:], strict=True))
            return f"({shape(node.operands[0])}{''.join(rest)})"
        case ast.IfExpr():
            return f"(if {shape(node.condition)} then {shape(node.then)} else {shape(node.orelse)})"
        case ast.Call():
            args = (f"{a.name}={shape(a.value)}" if a.name else shape(a.value) for a in node.args)
            return f"{node.name}({', '.join(args)})"
        case ast.Index():
            return f"{shape(node.base)}[{', '.join(map(shape, node.items))}]"
        case ast.Range():
            return f"{shape(node.lo)}..{shape(node.hi)}"
        case ast.ArrayLiteral():
            return f"[{', '.join(map(shape, node.items))}]"
        case ast.Comprehension():
            return f"[{shape(node.element)} for {node.variable} in {shape(node.range)}]"
