"""Every form of statement and its tree."""

from __future__ import annotations

import pytest
from reading import AT, codes, read

from ppl.syntax import ast

X, Y, N = ast.Name(AT, "x"), ast.Name(AT, "y"), ast.Name(AT, "n")
ZERO, ONE, TWO = ast.Number(AT, 0), ast.Number(AT, 1), ast.Number(AT, 2)
REAL, INT = ast.TypeExpr(AT, "real", ()), ast.TypeExpr(AT, "int", ())
SET_Y = ast.Assign(AT, ast.Target(AT, "y", ()), ONE)
RANGE = ast.Range(AT, ZERO, N)
UP = ast.Compare(AT, (X, ZERO), (">",))


def normal(*args: ast.Expr) -> ast.Call:
    return ast.Call(AT, "Normal", tuple(ast.Argument(AT, None, a) for a in args), AT)


def target(name: str, *indices: ast.Expr) -> ast.Target:
    return ast.Target(AT, name, indices)


FORMS: list[tuple[str, ast.Statement]] = [
    ("data n: int", ast.Data(AT, "n", INT, None, AT)),
    ("data n: int = 2", ast.Data(AT, "n", INT, TWO, AT)),
    ("data x: real[n, 2]", ast.Data(AT, "x", ast.TypeExpr(AT, "real", (N, TWO)), None, AT)),
    ("data b: bool[n]", ast.Data(AT, "b", ast.TypeExpr(AT, "bool", (N,)), None, AT)),
    (
        "data x: real[2] = [1, 2]",
        ast.Data(AT, "x", ast.TypeExpr(AT, "real", (TWO,)), ast.ArrayLiteral(AT, (ONE, TWO)), AT),
    ),
    ("use splines", ast.Use(AT, "splines", AT)),
    ("x ~ Normal(0, 1)", ast.Sample(AT, target("x"), None, normal(ZERO, ONE), False)),
    ("noise x ~ Normal(0, 1)", ast.Sample(AT, target("x"), None, normal(ZERO, ONE), True)),
    (
        "w: real[2] ~ Normal(0, 1)",
        ast.Sample(AT, target("w"), ast.TypeExpr(AT, "real", (TWO,)), normal(ZERO, ONE), False),
    ),
    (
        "noise w: real[n] ~ Normal(0, 1)",
        ast.Sample(AT, target("w"), ast.TypeExpr(AT, "real", (N,)), normal(ZERO, ONE), True),
    ),
    ("z[x, 0] ~ Normal(0, 1)", ast.Sample(AT, target("z", X, ZERO), None, normal(ZERO, ONE), False)),
    ("noise z[0] ~ Normal(0, 1)", ast.Sample(AT, target("z", ZERO), None, normal(ZERO, ONE), True)),
    (
        "x ~ Normal(mean=0, sd=1)",
        ast.Sample(
            AT,
            target("x"),
            None,
            ast.Call(AT, "Normal", (ast.Argument(AT, "mean", ZERO), ast.Argument(AT, "sd", ONE)), AT),
            False,
        ),
    ),
    ("var z: real[n]", ast.Var(AT, "z", ast.TypeExpr(AT, "real", (N,)), AT)),
    ("y = 1", SET_Y),
    ("z[x] = 1", ast.Assign(AT, target("z", X), ONE)),
    ("observe x ~ Normal(0, 1)", ast.Observe(AT, X, normal(ZERO, ONE))),
    ("observe x[0] ~ Normal(0, 1)", ast.Observe(AT, ast.Index(AT, X, (ZERO,)), normal(ZERO, ONE))),
    ("observe x + 1 ~ Normal(0, 1)", ast.Observe(AT, ast.Binary(AT, "+", X, ONE), normal(ZERO, ONE))),
    ("factor -x", ast.Factor(AT, ast.Unary(AT, "-", X))),
    ("report r = x", ast.Report(AT, "r", X, AT)),
    ("for i in 0..n { y = 1 }", ast.For(AT, "i", RANGE, None, (SET_Y,), AT)),
    ("for i in 0..n while x > 0 { y = 1 }", ast.For(AT, "i", RANGE, UP, (SET_Y,), AT)),
    ("for i in 0..n { }", ast.For(AT, "i", RANGE, None, (), AT)),
    ("while x > 0 limit 2 { y = 1 }", ast.While(AT, UP, TWO, (SET_Y,))),
    ("if x > 0 { y = 1 }", ast.If(AT, UP, (SET_Y,), ())),
    ("if x > 0 { y = 1 } else { factor x }", ast.If(AT, UP, (SET_Y,), (ast.Factor(AT, X),))),
    ("if x > 0 { } else if y { y = 1 }", ast.If(AT, UP, (), (ast.If(AT, Y, (SET_Y,), ()),))),
    (
        "if x > 0 { } else if y { y = 1 } else { factor x }",
        ast.If(AT, UP, (), (ast.If(AT, Y, (SET_Y,), (ast.Factor(AT, X),)),)),
    ),
    (
        "fn f(x: real, n: int[], y: real[,]) -> real[2] { return x }",
        ast.Function(
            AT,
            "f",
            (
                ast.Parameter(AT, "x", REAL),
                ast.Parameter(AT, "n", ast.TypeExpr(AT, "int", (None,))),
                ast.Parameter(AT, "y", ast.TypeExpr(AT, "real", (None, None))),
            ),
            ast.TypeExpr(AT, "real", (TWO,)),
            (ast.Return(AT, X),),
            AT,
        ),
    ),
    ("fn f() -> real { return 1 }", ast.Function(AT, "f", (), REAL, (ast.Return(AT, ONE),), AT)),
    ("limit = 1", ast.Assign(AT, target("limit"), ONE)),
    (
        "while limit limit limit { }",
        ast.While(AT, ast.Name(AT, "limit"), ast.Name(AT, "limit"), ()),
    ),
]


@pytest.mark.parametrize(("text", "expected"), FORMS, ids=[t for t, _ in FORMS])
@pytest.mark.parametrize("end", ["\n", "", " # comment", ";"])
def test_form_has_its_tree(text: str, expected: ast.Statement, end: str) -> None:
    assert read(text + end) == (expected,)


@pytest.mark.parametrize(("text", "expected"), FORMS, ids=[t for t, _ in FORMS])
def test_form_stands_in_a_block_and_before_another_statement(text: str, expected: ast.Statement) -> None:
    assert read(f"if x > 0 {{ {text} }} else {{\n{text}\n}}\ny = 1") == (
        ast.If(AT, UP, (expected,), (expected,)),
        SET_Y,
    )


def test_a_different_tree_is_seen_as_different() -> None:
    assert read("x ~ Normal(0, 1)") != (ast.Sample(AT, target("x"), None, normal(ZERO, ONE), True),)


@pytest.mark.parametrize(
    "text",
    [
        "data n",
        "data n = 3",
        "fn f(x) -> real { return x }",
        "fn f(x: real) { return x }",
        "use a.b",
        "use 'a'",
        "noise e = 3",
        "w: real = 3",
        "var z",
        "var z = 3",
        "x ~ 3",
        "x ~ Normal",
        "x ~ Normal(0, 1) + 1",
        "observe x",
        "observe x = 3",
        "factor",
        "report x",
        "return",
        "for i in n { }",
        "for i in 0..n",
        "while x { }",
        "if x then y = 1",
        "if x { } else y = 1",
        "x = y = 1",
        "z[0][1] = 2",
        "x",
        "f(x)",
        "{ y = 1 }",
        "x, y = 1",
        "x: float ~ Normal(0, 1)",
    ],
)
def test_what_is_not_a_statement(text: str) -> None:
    assert codes(text)
