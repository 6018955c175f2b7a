"""Programs as text again, with every operation in brackets: what the shrinker writes."""

from __future__ import annotations

from ppl.syntax import ast


def program(module: ast.Module) -> str:
    return block(module.statements, 0)


def block(stmts: tuple[ast.Statement, ...], depth: int) -> str:
    return "".join("    " * depth + statement(s, depth) + "\n" for s in stmts)


def braces(stmts: tuple[ast.Statement, ...], depth: int) -> str:
    return "{\n" + block(stmts, depth + 1) + "    " * depth + "}"


def type_(t: ast.TypeExpr) -> str:
    if not t.dims:
        return t.base
    return f"{t.base}[{', '.join('' if d is None else expr(d) for d in t.dims)}]"


def target(t: ast.Target) -> str:
    return t.name + (f"[{', '.join(item(i) for i in t.indices)}]" if t.indices else "")


def statement(s: ast.Statement, depth: int) -> str:
    match s:
        case ast.Data():
            return f"data {s.name}: {type_(s.type)}" + (f" = {expr(s.default)}" if s.default is not None else "")
        case ast.Function():
            parameters = ", ".join(f"{p.name}: {type_(p.type)}" for p in s.parameters)
            return f"fn {s.name}({parameters}) -> {type_(s.result)} {braces(s.body, depth)}"
        case ast.Use():
            return f"use {s.name}"
        case ast.Sample():
            typed = f"{target(s.target)}: {type_(s.type)}" if s.type else target(s.target)
            return f"{'noise ' if s.noise else ''}{typed} ~ {expr(s.distribution)}"
        case ast.Var():
            return f"var {s.name}: {type_(s.type)}"
        case ast.Assign():
            return f"{target(s.target)} = {expr(s.value)}"
        case ast.For():
            condition = f" while {expr(s.condition)}" if s.condition is not None else ""
            return f"for {s.variable} in {item(s.range)}{condition} {braces(s.body, depth)}"
        case ast.While():
            return f"while {expr(s.condition)} limit {expr(s.limit)} {braces(s.body, depth)}"
        case ast.If():
            text = f"if {expr(s.condition)} {braces(s.then, depth)}"
            if len(s.orelse) == 1 and isinstance(s.orelse[0], ast.If):
                return f"{text} else {statement(s.orelse[0], depth)}"
            return f"{text} else {braces(s.orelse, depth)}" if s.orelse else text
        case ast.Observe():
            return f"observe {expr(s.value)} ~ {expr(s.distribution)}"
        case ast.Factor():
            return f"factor {expr(s.value)}"
        case ast.Report():
            return f"report {s.name} = {expr(s.value)}"
        case ast.Return():
            return f"return {expr(s.value)}"


def item(e: ast.Expr | ast.Range) -> str:
    return f"{expr(e.lo)}..{expr(e.hi)}" if isinstance(e, ast.Range) else expr(e)


def expr(e: ast.Expr) -> str:
    match e:
        case ast.Number():
            return repr(e.value)
        case ast.Boolean():
            return "true" if e.value else "false"
        case ast.Constant() | ast.Name():
            return e.name
        case ast.Unary():
            return f"({e.op} {expr(e.operand)})"
        case ast.Binary():
            return f"({expr(e.left)} {e.op} {expr(e.right)})"
        case ast.Compare():
            words = [expr(e.operands[0])]
            for op, x in zip(e.ops, e.operands[1:], strict=True):
                words += [op, expr(x)]
            return f"({' '.join(words)})"
        case ast.IfExpr():
            return f"(if {expr(e.condition)} then {expr(e.then)} else {expr(e.orelse)})"
        case ast.Call():
            return f"{e.name}({', '.join((f'{a.name}=' if a.name else '') + expr(a.value) for a in e.args)})"
        case ast.Truncated():
            return f"{expr(e.call)} in ({expr(e.lower)}, {expr(e.upper)})"
        case ast.Index():
            return f"{expr(e.base)}[{', '.join(item(i) for i in e.items)}]"
        case ast.ArrayLiteral():
            return f"[{', '.join(expr(x) for x in e.items)}]"
        case ast.Comprehension():
            return f"[{expr(e.element)} for {e.variable} in {item(e.range)}]"
