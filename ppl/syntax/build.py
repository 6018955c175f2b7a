"""From reductions of the grammar to nodes of the AST: one method per rule (or alias) of ``grammar/ppl.lark``.

The automaton calls these as it reduces, so nothing here recurses. The children of a rule are its tokens and the values
of its parts, all of them (the grammar is loaded with `keep_all_tokens`), so first and last child give the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ppl.diagnostics import Span
from ppl.record import record
from ppl.syntax import ast
from ppl.syntax.tokens import Lexeme

Children = Sequence[Any]


@record
class Block:
    """The statements between two braces; `span` includes the braces."""

    span: Span
    statements: tuple[ast.Statement, ...]


def _span(children: Children) -> Span:
    first, last = children[0], children[-1]
    return first.span if first is last else first.span.to(last.span)


def _nodes(children: Children) -> tuple[Any, ...]:
    """The children that are not punctuation."""
    return tuple(c for c in children if not isinstance(c, Lexeme))


class Builder:
    """Stateless; the methods are found by name."""

    def start(self, c: Children) -> tuple[ast.Statement, ...]:
        return tuple(c)

    def block(self, c: Children) -> Block:
        return Block(_span(c), tuple(c[1:-1]))

    # ------------------------------------------------------------ statements; a simple one ends in END

    def data(self, c: Children) -> ast.Data:
        default = c[5] if len(c) == 7 else None
        return ast.Data(_span(c[:-1]), c[1].text, c[3], default, c[1].span)

    def function(self, c: Children) -> ast.Function:
        _, name, _, parameters, _, _, result, body = c
        return ast.Function(_span(c), name.text, parameters, result, body.statements, name.span)

    def use(self, c: Children) -> ast.Use:
        return ast.Use(_span(c[:-1]), c[1].text, c[1].span)

    def sample(self, c: Children) -> ast.Sample:
        return ast.Sample(_span(c[:-1]), c[0], None, c[2], False)

    def typed_sample(self, c: Children) -> ast.Sample:
        name, _, type_, _, distribution, _ = c
        return ast.Sample(_span(c[:-1]), _whole(name), type_, distribution, False)

    def noise(self, c: Children) -> ast.Sample:
        return ast.Sample(_span(c[:-1]), c[1], None, c[3], True)

    def typed_noise(self, c: Children) -> ast.Sample:
        _, name, _, type_, _, distribution, _ = c
        return ast.Sample(_span(c[:-1]), _whole(name), type_, distribution, True)

    def var(self, c: Children) -> ast.Var:
        return ast.Var(_span(c[:-1]), c[1].text, c[3], c[1].span)

    def assign(self, c: Children) -> ast.Assign:
        return ast.Assign(_span(c[:-1]), c[0], c[2])

    def for_loop(self, c: Children) -> ast.For:
        condition = c[5] if len(c) == 7 else None
        return ast.For(_span(c), c[1].text, c[3], condition, c[-1].statements, c[1].span)

    def while_loop(self, c: Children) -> ast.While:
        return ast.While(_span(c), c[1], c[3], c[4].statements)

    def if_statement(self, c: Children) -> ast.If:
        orelse: tuple[ast.Statement, ...] = ()
        if len(c) == 5:
            orelse = c[4].statements if isinstance(c[4], Block) else (c[4],)
        return ast.If(_span(c), c[1], c[2].statements, orelse)

    def observe(self, c: Children) -> ast.Observe:
        return ast.Observe(_span(c[:-1]), c[1], c[3])

    def factor(self, c: Children) -> ast.Factor:
        return ast.Factor(_span(c[:-1]), c[1])

    def report(self, c: Children) -> ast.Report:
        return ast.Report(_span(c[:-1]), c[1].text, c[3], c[1].span)

    def guide(self, c: Children) -> ast.Guide:
        return ast.Guide(_span(c), tuple(c[2:-1]))

    def guide_entry(self, c: Children) -> ast.GuideEntry:
        return ast.GuideEntry(c[0][0].span.to(c[2].span), c[0], c[2])

    def guided(self, c: Children) -> tuple[ast.Name, ...]:
        return tuple(ast.Name(x.span, x.text) for x in c[::2])

    def return_statement(self, c: Children) -> ast.Return:
        return ast.Return(_span(c[:-1]), c[1])

    def target(self, c: Children) -> ast.Target:
        return ast.Target(_span(c), c[0].text, c[2] if len(c) == 4 else ())

    def parameters(self, c: Children) -> tuple[ast.Parameter, ...]:
        return _nodes(c)

    def parameter(self, c: Children) -> ast.Parameter:
        return ast.Parameter(_span(c), c[0].text, c[2])

    def type(self, c: Children) -> ast.TypeExpr:
        return ast.TypeExpr(_span(c), c[0].text, _nodes(c))

    def open_type(self, c: Children) -> ast.TypeExpr:
        return ast.TypeExpr(_span(c), c[0].text, (None,) * (len(c) - 2))  # one more than there are commas

    # ------------------------------------------------------------ expressions

    def range(self, c: Children) -> ast.Range:
        return ast.Range(_span(c), c[0], c[2])

    def if_expr(self, c: Children) -> ast.IfExpr:
        return ast.IfExpr(_span(c), c[1], c[3], c[5])

    def binary(self, c: Children) -> ast.Binary:
        return ast.Binary(_span(c), c[1].text, c[0], c[2])

    def unary(self, c: Children) -> ast.Unary:
        return ast.Unary(_span(c), c[0].text, c[1])

    def compare(self, c: Children) -> ast.Compare:
        return ast.Compare(_span(c), tuple(c[::2]), tuple(op.text for op in c[1::2]))

    def index(self, c: Children) -> ast.Index:
        return ast.Index(_span(c), c[0], c[2])

    def number(self, c: Children) -> ast.Number:
        token: Lexeme = c[0]
        return ast.Number(token.span, int(token.text) if token.type == "INT" else float(token.text))

    def boolean(self, c: Children) -> ast.Boolean:
        return ast.Boolean(c[0].span, c[0].type == "TRUE")

    def constant(self, c: Children) -> ast.Constant:
        return ast.Constant(c[0].span, c[0].text)

    def variable(self, c: Children) -> ast.Name:
        return ast.Name(c[0].span, c[0].text)

    def group(self, c: Children) -> ast.Expr:
        return replace(c[1], span=_span(c))  # parentheses leave no node, but a caret under them is under all of it

    def array(self, c: Children) -> ast.ArrayLiteral:
        return ast.ArrayLiteral(_span(c), _nodes(c))

    def comprehension(self, c: Children) -> ast.Comprehension:
        _, element, _, variable, _, range_, _ = c
        return ast.Comprehension(_span(c), element, variable.text, range_, variable.span)

    def items(self, c: Children) -> tuple[ast.Expr | ast.Range, ...]:
        return _nodes(c)

    def call(self, c: Children) -> ast.Call:
        return ast.Call(_span(c), c[0].text, c[2], c[0].span)

    def truncated(self, c: Children) -> ast.Truncated:
        call, _, _, lower, _, upper, _ = c
        return ast.Truncated(_span(c), call, lower, upper)

    def arguments(self, c: Children) -> tuple[ast.Argument, ...]:
        return _nodes(c)

    def argument(self, c: Children) -> ast.Argument:
        return ast.Argument(_span(c), c[0].text if len(c) == 3 else None, c[-1])

    def name(self, c: Children) -> Lexeme:
        return c[0]


def _whole(name: Lexeme) -> ast.Target:
    return ast.Target(name.span, name.text, ())
