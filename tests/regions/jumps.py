"""What can jump in a program, read off its syntax tree alone: by names, without the compiler's analysis.

A name is *moved* if a latent or noise reaches it, through assignments or through the conditions around them. Everything
is taken for moved that may be, so what is found here is at least what jumps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass

from ppl.diagnostics import Span
from ppl.language.distributions import DISTRIBUTIONS
from ppl.syntax import ast

JUMPING = ("floor", "ceil", "round", "sign", "step")
FINITE = ("Bernoulli", "BernoulliLogit", "Binomial", "Categorical", "Poisson", "Geometric", "NegativeBinomial")


@dataclass(frozen=True)
class Jump:
    """`kind`: comparison, function, division, index, latent or while."""

    kind: str
    span: Span


def nodes(x: object) -> Iterator[object]:
    """Every node of a syntax tree below `x`, itself included."""
    if isinstance(x, tuple):
        for item in x:
            yield from nodes(item)
    elif is_dataclass(x) and not isinstance(x, Span):
        yield x
        for f in fields(x):
            yield from nodes(getattr(x, f.name))


@dataclass
class Reader:
    """Reads one program; `functions` are all that it can call. A name belongs to a function, or to "" outside."""

    functions: Mapping[str, ast.Function]
    moved: set[tuple[str, str]] = field(default_factory=set)
    called: set[str] = field(default_factory=set)

    def is_moved(self, e: object, scope: str) -> bool:
        match e:
            case ast.Name():
                return (scope, e.name) in self.moved
            case ast.Call(name="length"):
                return False
            case ast.Call() if e.name in self.functions:
                self.called.add(e.name)
                f = self.functions[e.name]
                for p, a in zip(f.parameters, e.args, strict=True):
                    if self.is_moved(a.value, scope):
                        self.moved.add((f.name, p.name))
                return any(self.is_moved(a.value, scope) for a in e.args)
            case _:
                children = [getattr(e, f.name) for f in fields(e)] if is_dataclass(e) else e
                found = False
                for c in children if isinstance(children, list | tuple) else ():
                    if isinstance(c, tuple) or (is_dataclass(c) and not isinstance(c, Span)):
                        found |= self.is_moved(c, scope)  # all of them, for the calls in them
                return found

    def follow(self, body: Sequence[ast.Statement], scope: str, under: bool) -> None:
        """Marks what the statements move, `under` a condition that is moved or not."""
        for s in body:
            match s:
                case ast.Sample():
                    self.is_moved((s.distribution,), scope)
                    self.moved.add((scope, s.target.name))
                case ast.Assign():
                    if self.is_moved(s.value, scope) or under:
                        self.moved.add((scope, s.target.name))
                case ast.If():
                    inner = self.is_moved(s.condition, scope) or under
                    self.follow(s.then, scope, inner)
                    self.follow(s.orelse, scope, inner)
                case ast.For() | ast.While():
                    ends = s.condition is not None and self.is_moved(s.condition, scope)
                    self.follow(s.body, scope, ends or under)
                case _:
                    self.is_moved((s,), scope)

    def run(self, module: ast.Module) -> None:
        size = -1
        while size != len(self.moved) + len(self.called):
            size = len(self.moved) + len(self.called)
            self.follow([s for s in module.statements if not isinstance(s, ast.Function)], "", False)
            for name in sorted(self.called):
                self.follow(self.functions[name].body, name, False)

    def jumps(self, body: object, scope: str) -> Iterator[Jump]:
        for x in nodes(body):
            match x:
                case ast.Compare():
                    yield from (Jump("comparison", a.span) for a in x.operands[:-1])
                case ast.Call() if x.name in JUMPING and self.is_moved(x.args, scope):
                    yield Jump("function", x.span)
                case ast.Binary(op="//" | "%") if self.is_moved((x.left, x.right), scope):
                    yield Jump("division", x.span)
                case ast.Index() if self.is_moved(x.items, scope):
                    yield Jump("index", x.span)
                case ast.Sample(noise=False) if law(x) in FINITE:
                    yield Jump("latent", x.span)
                case ast.While() | ast.For() if x.condition is not None and self.is_moved(x.condition, scope):
                    yield Jump("while", x.condition.span)
                case _:
                    pass


def law(s: ast.Sample) -> str:
    d = s.distribution
    return d.name if d.name in DISTRIBUTIONS else ""


def jumps_of(module: ast.Module, imported: Sequence[ast.Module]) -> list[Jump]:
    """Everything in a program that can jump, in the functions that it calls too; reports are left out."""
    functions = {s.name: s for m in (*imported, module) for s in m.statements if isinstance(s, ast.Function)}
    reader = Reader(functions)
    reader.run(module)
    own = tuple(s for s in module.statements if not isinstance(s, ast.Function | ast.Report | ast.Use))
    out = list(reader.jumps(own, ""))
    for name in sorted(reader.called):
        out.extend(reader.jumps(functions[name].body, name))
    return out
