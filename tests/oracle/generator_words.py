"""Random expressions, guards and distributions of the generated programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REAL_SITES = ("Normal", "Normal", "Normal", "Normal", "Logistic", "Laplace", "StudentT", "Cauchy")
POSITIVE_SITES = ("LogNormal", "Exponential", "Gamma", "HalfNormal", "Weibull", "InverseGamma", "HalfCauchy")
BOUNDED_SITES = ("Uniform", "Beta", "Uniform")


@dataclass
class Names:
    """What an expression may use here. Every entry is the text of a scalar."""

    latents: list[str] = field(default_factory=list)
    positive: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)  # assigned variables: real
    affine: list[str] = field(default_factory=list)  # those of them that are affine in latents, branches included
    ints: list[str] = field(default_factory=list)  # int variables
    bools: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)  # data scalars
    vectors: list[tuple[str, str]] = field(default_factory=list)  # arrays of reals with their lengths

    def copy(self) -> Names:
        return Names(*(list(getattr(self, f.name)) for f in dataclasses.fields(self)))


class Words:
    """Draws text; what may be named here is in `names`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.wild = float(rng.choice([0.0, 0.0, 1.0]))  # weight of guards that are affine in no latent
        self.data: dict[str, Any] = {}
        self.lines: list[str] = []
        self.names = Names()
        self.budget = int(rng.choice([1, 2, 2, 3, 3, 4]))
        self.noise = 1 if rng.random() < 0.15 else 0
        self.count = 0
        self.indent = 0
        self.loop: str | None = None
        self.in_branch = False
        self.functions: list[tuple[str, int]] = []
        self.guards: list[tuple[str, str, str]] = []  # (left, op, right) seen at the top level, for twins
        self.terms = 0
        self.discrete = False  # whether there is a latent with finitely many outcomes
        self.partial = False  # whether a branch computes what is undefined or too large where it is not taken
        self.outcomes = False  # whether outcomes of guards on the elements of a walk are carried along
        self.poles = False  # whether values jump where something is divided by zero
        self.at_poles = False  # whether guards flip there too

    # ---------------------------------------------------------------- choices

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def weighted(self, *items: tuple[float, Callable[[], Any]]) -> Any:
        w = np.array([x[0] for x in items], float)
        return items[int(self.rng.choice(len(items), p=w / w.sum()))][1]()

    def number(self, lo: float = -1.5, hi: float = 1.5) -> str:
        x = round(float(self.rng.uniform(lo, hi)), 1 if self.chance(0.7) else 2)
        return f"{x if x != 0 else 0.3:g}" if "." in f"{x:g}" or self.chance(0.5) else f"{x if x else 0.3:.1f}"

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    # ------------------------------------------------------------ expressions

    def atom(self, random: float = 0.85) -> str:
        n = self.names
        pool = [(3, n.latents), (3, n.values), (0.7, n.ints), (1, n.numbers)]
        pool = [(w, items) for w, items in pool if items]
        if not pool or not self.chance(random):
            x = self.number()
            return f"({x})" if x.startswith("-") else x  # -1.5^2 is -(1.5^2)
        return str(self.weighted(*((w, lambda items=items: self.pick(items)) for w, items in pool)))

    def expr(self, depth: int = 2) -> str:
        """A real expression, moderate in size, safe as an operand."""
        if depth <= 0 or self.chance(0.2):
            return self.atom()
        sub = lambda: self.expr(depth - 1)  # noqa: E731
        return str(
            self.weighted(
                (4, lambda: f"({sub()} + {sub()})"),
                (3, lambda: f"({sub()} - {sub()})"),
                (3, lambda: f"{self.number()} * {self.atom()}"),
                (1, lambda: f"{self.atom()} * {self.atom()}"),
                (0.5, lambda: f"-{self.atom()}" if not self.atom().startswith("-") else self.atom()),
                (1, lambda: f"tanh({sub()})"),
                (0.7, lambda: f"sin({sub()})"),
                (0.5, lambda: f"inv_logit({sub()})"),
                (0.5, lambda: f"sqrt(1 + {self.atom()}^2)"),
                (0.4, lambda: f"{self.number(0.1, 0.4)} * square({self.atom()})"),
                (0.7, lambda: f"abs({sub()})"),
                (0.6, lambda: f"{self.pick(('min', 'max'))}({sub()}, {sub()})"),
                (0.3, lambda: f"relu({sub()})"),
                (0.3, lambda: f"clamp({sub()}, -1, {self.number(0.2, 1.5)})"),
                (0.3, lambda: f"{sub()} / (1 + {self.atom()}^2)"),
                (0.3, lambda: f"mean([{sub()}, {sub()}])"),
                (2, lambda: f"(if {self.guard(depth - 1)} then {sub()} else {sub()})"),
                (1.5 if self.functions else 0, lambda: self.call(depth)),
                (0.4 if self.names.positive else 0, lambda: f"log({self.pick(self.names.positive)})"),
            )
        )

    def call(self, depth: int) -> str:
        name, arity = self.pick(self.functions)
        return f"{name}({', '.join(self.expr(depth - 1) if self.wild else self.latent() for _ in range(arity))})"

    def positive(self) -> str:
        """A positive expression, for scales and rates."""
        return str(
            self.weighted(
                (6, lambda: self.number(0.5, 1.6)),
                (1, lambda: f"0.6 + 0.3 * {self.atom()}^2"),
                (1, lambda: f"exp(0.3 * tanh({self.expr(1)}))"),
                (1, lambda: f"(if {self.guard(0)} then {self.number(0.5, 0.9)} else {self.number(1.1, 1.8)})"),
                (0.5, lambda: f"0.5 + abs({self.atom()})"),
                (
                    1 if self.names.positive else 0,
                    lambda: f"{self.number(0.3, 0.6)} + {self.pick(self.names.positive)}",
                ),
            )
        )

    # ----------------------------------------------------------------- guards

    def latent(self) -> str:
        return str(self.pick(self.names.latents)) if self.names.latents else self.atom()

    def pair(self) -> tuple[str, str]:
        """Two latents, different ones but for a rare slip."""
        names = sorted(set(self.names.latents))
        if len(names) < 2:
            return (self.latent(), self.latent()) if self.chance(0.05) else (self.latent(), self.threshold())
        a, b = self.rng.choice(names, 2, replace=self.chance(0.02))
        return str(a), str(b)

    def join(self, template: str) -> str:
        a, b = self.pair()
        return template.format(a=a, b=b, k=self.number())

    def affine(self) -> str:
        """An expression that is affine in latents, with branches inside."""
        return str(
            self.weighted(
                (2, lambda: f"{self.latent()} + (if {self.guard(0)} then {self.number()} else {self.number()})"),
                (2, lambda: self.join("0.7 * {a} - {k} * {b}")),
                (1, lambda: f"if {self.guard(0)} then {self.latent()} else {self.latent()} + {self.number()}"),
                (1, lambda: f"{self.latent()} - {self.threshold()}"),
                (1, lambda: f"if {self.guard(0)} then {self.number()} else {self.number()}"),
                (1 if self.names.affine else 0, lambda: f"{self.pick(self.names.affine or ['1'])} - {self.latent()}"),
            )
        )

    def threshold(self) -> str:
        if self.names.numbers and self.chance(0.5):
            return str(self.pick(self.names.numbers))
        return self.number(-1, 1.2)

    def op(self) -> str:
        return str(self.pick(("<", ">", "<", ">", "<=", ">=")))

    def comparison(self) -> str:
        w, n = self.wild, self.names
        left, right = self.weighted(
            (5, lambda: (self.latent(), self.threshold())),
            (2, lambda: (f"{self.number()} * {self.latent()}", self.threshold())),
            (2, self.pair),
            (2, lambda: (self.join("{a} + {k} * {b}"), self.threshold())),
            (1, lambda: (self.join("{a} - {b}"), self.threshold())),
            (1, lambda: (self.join("{a} * {b}"), self.number(0.2, 0.9))),
            (1, lambda: (self.join("2 * {b} + {a} * {b}"), self.threshold())),
            (3 if n.affine else 0, lambda: (self.pick(n.affine), self.threshold())),
            (1 if n.affine else 0, lambda: (self.pick(n.affine), self.latent())),
            (0.7 if n.ints else 0, lambda: (self.pick(n.ints), self.pick(("0", "1", "1.5", "0.5")))),
            (1 if n.positive else 0, lambda: (f"log({self.pick(n.positive)})", self.threshold())),
            (w * 0.7, lambda: (f"abs({self.latent()} - {self.number()})", self.number(0.3, 1.0))),
            (w * 0.5, lambda: (f"{self.pick(('min', 'max'))}({self.latent()}, {self.atom()})", self.threshold())),
            (w * 2 if n.values else 0, lambda: (self.pick(n.values), self.threshold())),
            (w * 1 if n.values else 0, lambda: (self.pick(n.values), self.latent())),
            (w * 0.4, lambda: (f"exp({self.latent()})", self.number(0.4, 2.0))),
            (w * 0.3, lambda: (f"{self.latent()}^2", self.number(0.3, 1.2))),
            (w * 0.7, lambda: (self.expr(1), self.threshold())),
        )
        op = self.op()
        if self.chance(0.25):
            left, right = right, left
        if self.loop is None:
            self.guards.append((left, op, right))
        return f"{left} {op} {right}"

    def twin(self) -> str:
        """A guard whose boundary is one met before, written another way."""
        left, op, right = self.pick(self.guards)
        flip = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
        k = self.number(0.3, 2.5)
        return str(
            self.weighted(
                (1, lambda: f"{left} {op} {right}"),
                (1, lambda: f"{right} {op} {left}"),
                (1, lambda: f"{right} {flip[op]} {left}"),
                (1, lambda: f"{k} * ({left}) {op} {k} * ({right})"),
                (1, lambda: f"({left}) - ({right}) {flip[op]} 0"),
                (1, lambda: f"not ({left} {op} {right})"),
            )
        )

    def guard(self, depth: int = 1) -> str:
        if self.names.bools and self.chance(0.08):
            return str(self.pick(self.names.bools))
        if self.guards and self.visible_guards() and self.chance(0.15):
            return self.twin()
        if depth <= 0 or self.chance(0.75):
            return self.comparison()
        sub = lambda: self.guard(0)  # noqa: E731
        return str(
            self.weighted(
                (3, lambda: f"{sub()} and {sub()}"),
                (3, lambda: f"{sub()} or {sub()}"),
                (1, lambda: f"not ({sub()})"),
                (2, lambda: f"{self.number(-1, 0)} < {self.latent()} < {self.number(0.2, 1.2)}"),
                (0.7, lambda: f"({sub()} or {sub()}) and not ({sub()})"),
                (0.5, lambda: f"{self.latent()} < {self.threshold()} <= {self.latent()}"),
            )
        )

    def visible_guards(self) -> bool:
        """Twins repeat text, which only makes sense where all names are still visible: outside functions."""
        return bool(self.names.latents)

    def law(self, kind: str, site: bool = True) -> str:
        """A distribution for a latent."""
        name = self.pick({"real": REAL_SITES, "positive": POSITIVE_SITES, "interval": BOUNDED_SITES}[kind])
        mean = self.expr(1) if self.chance(0.6) else self.number(-0.8, 0.8)
        scale = self.positive() if self.chance(0.4) else self.number(0.6, 1.5)
        shape = self.number(1.2, 3)
        match name:
            case "StudentT":
                return f"StudentT({self.number(3, 6)}, {mean}, {scale})"
            case "LogNormal":
                return f"LogNormal(0.5 * tanh({mean}), {self.number(0.4, 0.9)})"
            case "Exponential" | "HalfNormal" | "HalfCauchy":
                return f"{name}({scale})"
            case "Gamma" | "InverseGamma" | "Beta":
                return f"{name}({shape}, {self.number(1.1, 2.5)})"
            case "Weibull":
                return f"Weibull({shape}, {scale})"
            case "Uniform":
                top = self.positive() if self.chance(0.5) else self.number(0.5, 2.5)
                return f"Uniform({self.number(-1.5, 0.2)}, {top})"
            case _:
                return f"{name}({mean}, {scale})"
