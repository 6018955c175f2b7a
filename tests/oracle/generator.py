"""Random well-typed programs with data, from a seed.

Values stay moderate by construction (small coefficients, bounded functions), so that the log density has moments
under any Gaussian guide of moderate width and the estimator has a finite variance. Programs are text: what the parser
reads is part of the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from generator_kinds import Kinds, kind_of
from generator_loops import WITHOUT_INDEX, Loops
from generator_words import Names


@dataclass(frozen=True)
class Program:
    """A program, its data, and the seed it came from. `budget` is the estimator's, of boundaries. `unbounded_at`: the
    lines of guards that a branch is unbounded at (0 for a line that is not known); None where that is not known."""

    text: str
    data: dict[str, Any]
    seed: int
    budget: int | None = 64
    unbounded_at: tuple[int, ...] | None = None


POLES_FROM = 41_000  # seeds below keep the programs that they had before there were poles in them
AT_POLES_FROM = 44_000  # likewise, before there were guards that flip where a pole is


def generate(seed: int) -> Program:
    """The program of a seed: the same one on every machine."""
    g = _Generator(np.random.default_rng([seed, 20181202]))
    # Apart, so that all other programs stay.
    g.discrete = bool(np.random.default_rng([seed, 3]).random() < 0.15)
    g.outcomes = bool(np.random.default_rng([seed, 4]).random() < 0.15)
    g.partial = bool(np.random.default_rng([seed, 5]).random() < 0.15)
    g.poles = bool(np.random.default_rng([seed, 7]).random() < (0.2 if seed >= POLES_FROM else 0))
    g.at_poles = seed >= AT_POLES_FROM
    kind = kind_of(seed)
    text = g.program() if kind is None else g.special(kind)
    lines = None if g.unbounded_at is None else tuple(g.unbounded_at)
    return Program(text, g.data, seed, g.budget_of_boundaries, lines)


class _Generator(Kinds, Loops):
    # -------------------------------------------------------------- statements

    def program(self) -> str:
        if self.chance(0.75):
            self.declare_data()
        special = self.curved or self.jumping or self.whiles  # dear to check, so short
        while self.chance(0.1 if special else 0.25) and len(self.functions) < 2:
            self.function()
        self.site()
        if self.discrete:
            self.discrete_site()
        if special:
            self.feature()
        if self.outcomes:
            self.outcomes_carried()
        if self.partial:
            self.partial_branch()
        if self.poles:
            self.with_poles()
        for _ in range(int(self.rng.integers(0, 3) if special else self.rng.integers(2, 7))):
            self.statement(1 if special else 2)
        for _ in range(1 if special else 6):
            if self.budget <= 0:
                break
            self.site()
            self.statement(1 if special else 2)
        if special and self.names.values:  # so that what they decide matters
            parts = list(dict.fromkeys(self.names.values[-2:]))
            parts += [f"(if {b} then {self.number()} else {self.number()})" for b in self.names.bools[-1:]]
            parts += [f"{self.number()} * {k}" for k in self.names.ints[-1:]]
            self.emit(f"observe {self.number()} ~ Normal({' + '.join(parts)}, {self.number(0.6, 1.4)})")
        elif self.terms == 0 or self.chance(0.6):
            self.observe()
        if self.chance(0.1):
            self.emit(f"report r = {self.expr(1)}")
        return "\n".join(self.lines) + "\n"

    def with_poles(self) -> None:
        """Values and guards with poles, so that what they decide matters."""
        if self.budget and self.chance(0.6):
            self.site()
        v = self.fresh("v")
        if self.chance(0.7):
            self.emit(f"{v} = {self.number(0.4, 1)} * {self.pole()}")
        else:
            self.emit(f"{v} = {self.atom()} + 0.0")
        self.names.values.append(v)
        if self.chance(0.6):
            guard = self.guard_at_pole() if self.at_poles and self.chance(0.5) else self.pole_guard()
            self.emit(f"if {guard} {{ {v} = {v} + {self.number(0.3, 0.9)} }}")
        self.terms += 1
        self.emit(f"observe {self.number()} ~ Normal({v} + {self.atom()}, {self.number(0.6, 1.4)})")

    def feature(self) -> None:
        """One statement for each kind that this program is about."""
        if self.budget and self.chance(0.6):
            self.site()
        if self.curved > 0.2:
            v = self.fresh("v")
            guard = f"{self.curve()} {self.pick('<>')} {self.number(0.1, 0.9)}"
            self.emit(f"{v} = if {guard} then {self.expr(1)} else {self.number()}")
            self.names.values.append(v)
        if self.jumping > 0.1:
            v = self.fresh("v")
            jump = self.weighted((2, self.level), (1, self.remainder), (2, lambda: self.entry() or self.level()))
            self.emit(f"{v} = 0.0 + {self.number(-0.8, 0.8)} * ({jump})")
            self.names.values.append(v)
        if self.whiles > 0.5:
            self.while_loop()

    def declare_data(self) -> None:
        n = int(self.rng.integers(2, 6))
        self.data["n"] = n
        self.emit("data n: int")
        grid = np.round(self.rng.uniform(-1, 1.5, 3), 1)
        tied = self.chance(0.4)
        self.data["t"] = [
            float(x) for x in (self.rng.choice(grid, n) if tied else np.round(self.rng.uniform(-1, 1.5, n), 2))
        ]
        self.emit("data t: real[n]")
        self.names.vectors.append(("t", "n"))
        if tied:
            self.met += [str(x) for x in self.data["t"] if x]
        if self.chance(0.7):
            self.data["y"] = [float(x) for x in np.round(self.rng.normal(0.3, 0.8, n), 2)]
            self.emit("data y: real[n]")
            self.names.vectors.append(("y", "n"))
        if self.chance(0.4):
            self.data["c"] = [int(x) for x in self.rng.integers(0, 4, n)]
            self.emit("data c: int[n]")
        if self.chance(0.4):
            self.data["level"] = float(np.round(self.rng.uniform(-0.8, 0.8), 1))
            self.emit(f"data level: real = {self.number(-0.5, 0.5)}")
            self.names.numbers.append("level")

    def function(self) -> None:
        name, arity = self.fresh("f"), int(self.rng.integers(1, 3))
        saved, self.names, guards = self.names, Names(), self.guards
        parameters = ["a", "b"][:arity]
        self.names.latents, self.names.vectors = list(parameters), list(saved.vectors)
        self.guards = []
        self.emit(f"fn {name}({', '.join(f'{p}: real' for p in parameters)}) -> real {{")
        self.indent += 1
        if self.chance(0.5):
            self.emit(f"return if {self.guard(0)} then {self.expr(1)} else {self.expr(1)}")
        elif self.chance(0.5):
            self.emit(f"if {self.guard(1)} {{ return {self.expr(1)} }}")
            self.emit(f"return {self.expr(1)}")
        else:
            local = self.fresh("k")
            self.emit(f"{local} = {self.affine()} + 0.0")
            self.emit(f"if {self.guard(0)} {{ {local} = {self.affine()} + 0.0 }}")
            self.names.values.append(local)
            self.names.affine.append(local)
            self.emit(f"return {self.expr(2)}")
        self.indent -= 1
        self.emit("}")
        self.names, self.guards = saved, guards
        self.functions.append((name, arity))

    def statement(self, depth: int) -> None:
        can_site = self.budget > 0 and self.loop is None
        has_data = "n" in self.data and self.loop is None
        can_repeat = bool(self.names.latents) and self.loop != WITHOUT_INDEX and depth > 0
        self.weighted(
            (3 if can_site else 0, self.site),
            (1.5, self.assign),
            (0.7 if self.names.values else 0, self.update),
            (0.4, self.bool_assign),
            (3 if depth > 0 else 0, lambda: self.branch(depth)),
            (2, self.observe),
            (1, self.factor),
            (2.5 if has_data and depth > 0 else 0, lambda: self.for_loop(depth)),
            (0.5 if has_data else 0, self.comprehension),
            (2 * self.whiles if can_repeat else 0, self.while_loop),
            (0.6 if has_data and self.budget >= 2 and not self.in_branch else 0, self.walk),
        )

    def site(self) -> None:
        if self.noise and self.names.latents and self.chance(0.4) and not self.in_branch:
            self.noise -= 1
            e = self.fresh("e")
            law = self.pick(("Normal(0, 1)", "Uniform(0, 1)", f"Normal({self.atom()}, {self.number(0.5, 1.2)})",
                             "Gamma(2, 1.5)", f"Exponential({self.positive()})",
                             f"Uniform(-1, {self.positive()})"))  # fmt: skip
            self.emit(f"noise {e} ~ {law}")
            self.names.latents.append(e)
            return
        if self.budget <= 0:
            return
        kind = self.pick(("real", "real", "real", "positive", "interval"))
        if self.budget >= 2 and self.chance(0.1) and not self.in_branch:
            w = self.fresh("w")
            self.emit(f"{w}: real[2] ~ {self.pick(('Normal(0, 1)', 'Exponential(1.2)', 'Uniform(-1, 1.4)'))}")
            self.names.latents += [f"{w}[0]", f"{w}[1]"]
            self.names.vectors.append((w, "2"))
            self.budget -= 2
            return
        self.budget -= 1
        x = self.fresh("x")
        self.emit(f"{x} ~ {self.law(kind)}")
        self.names.latents.append(x)
        if kind == "positive":
            self.names.positive.append(x)

    def discrete_site(self) -> None:
        """A latent with finitely many outcomes, which decides something."""
        k = self.fresh("k")
        p = f"0.1 + 0.8 * inv_logit({self.expr(1)})" if self.chance(0.5) else self.number(0.2, 0.8)
        law = self.pick((f"Bernoulli({p})", f"BernoulliLogit({self.expr(1)})", "Categorical([0.2, 0.5, 0.3])",
                         f"Binomial(2, {p})", f"Poisson({self.positive()}) in (0, 3)", f"Geometric({p}) in (1, 3)",
                         f"NegativeBinomial({self.positive()}, 1.5) in (0, 2)"))  # fmt: skip
        if self.chance(0.25):
            self.emit(f"{k}: int[2] ~ {law}")
            self.names.ints += [f"{k}[0]", f"{k}[1]"]
            return
        self.emit(f"{k} ~ {law}")
        self.names.ints += [k, k]
        if self.budget and self.chance(0.4):
            x = self.fresh("x")
            self.budget -= 1
            self.emit(f"if {k} > 0 {{ {x} ~ {self.law('real')} }} else {{ {x} = {self.expr(1)} + 0.0 }}")
            self.names.latents.append(x)
        v = self.fresh("v")
        self.emit(f"{v} = if {k} == 1 then {self.expr(1)} else {self.expr(1)}")
        self.names.values.append(v)

    def assign(self) -> None:
        v = self.fresh("v")
        affine = self.chance(0.5)
        self.emit(f"{v} = {self.affine() if affine else self.expr(2) + ' + 0.0'}")
        self.names.values.append(v)
        if affine:
            self.names.affine.append(v)

    def update(self) -> None:
        v = self.pick(self.names.values)
        self.emit(f"{v} = {self.affine() + ' + 0.0' if v in self.names.affine else self.expr(2) + ' + 0.0'}")

    def bool_assign(self) -> None:
        b = self.fresh("b")
        self.emit(f"{b} = {self.guard(1)}")
        self.names.bools.append(b)

    def observed(self) -> str:
        if self.loop and "y" in self.data and self.chance(0.8):
            return f"y[{self.loop}]"
        return self.number(-1, 1.5)

    def observe(self) -> None:
        self.terms += 1
        counts = f"c[{self.loop}]" if self.loop and "c" in self.data else str(int(self.rng.integers(0, 4)))
        self.weighted(
            (6, lambda: self.emit(f"observe {self.observed()} ~ Normal({self.expr(2)}, {self.positive()})")),
            (1.5, lambda: self.emit(f"observe {counts} ~ Poisson({self.positive()})")),
            (0.7, lambda: self.emit(f"observe {self.pick('01')} ~ BernoulliLogit({self.expr(1)})")),
            (0.5, lambda: self.emit(f"observe {self.pick('01')} ~ Bernoulli(0.1 + 0.8 * inv_logit({self.expr(1)}))")),
            (0.7, lambda: self.emit(f"observe {self.observed()} ~ StudentT(4, {self.expr(1)}, {self.positive()})")),
            (0.4, lambda: self.emit(f"observe {self.observed()} ~ Laplace({self.atom()}, {self.positive()})")),
            (0.4, lambda: self.emit(f"observe {self.number(0.2, 2)} ~ Gamma({self.positive()}, {self.positive()})")),
            (0.4, lambda: self.emit(f"observe {self.number(0.2, 2)} ~ Exponential({self.positive()})")),
            (0.3, lambda: self.emit(f"observe {counts} ~ NegativeBinomial({self.positive()}, {self.positive()})")),
            (0.3, lambda: self.emit(f"observe 2 ~ Binomial(4, 0.1 + 0.8 * inv_logit({self.expr(1)}))")),
            (0.3, lambda: self.emit(f"observe 0.4 ~ Logistic({self.expr(1)}, {self.positive()})")),
        )

    def factor(self) -> None:
        self.terms += 1
        self.emit(f"factor {self.number(-0.8, 0.8)} * {self.pick(('', 'tanh', 'sin'))}({self.expr(1)})")

    # ----------------------------------------------------- blocks of statements

    def branch(self, depth: int) -> None:
        arms = int(self.rng.choice([1, 2, 2, 2, 3]))
        joint = self.fresh("v") if arms > 1 and self.chance(0.6) else None
        affine = self.chance(0.5)
        shared = self.fresh("x") if arms > 1 and self.budget > 0 and self.loop is None and self.chance(0.15) else None
        kind = self.pick(("real", "positive"))
        if shared:
            self.budget -= 1
        outer, was, guards = self.names, self.in_branch, self.guards
        for k in range(arms):
            last = k == arms - 1 and arms > 1
            if k == 0:
                self.emit(f"if {self.guard(1)} {{")
            else:
                self.emit("} else {" if last else f"}} else if {self.guard(1)} {{")
            self.indent, self.in_branch, self.names = self.indent + 1, True, outer.copy()
            self.guards = list(guards)
            if shared:
                self.emit(f"{shared} ~ {self.law(kind)}")
                self.names.latents.append(shared)
            for _ in range(int(self.rng.integers(0 if joint or shared else 1, 3))):
                self.statement(depth - 1)
            if joint:
                self.emit(f"{joint} = {self.affine() if affine else self.expr(1)} + 0.0")
            self.indent, self.in_branch, self.names = self.indent - 1, was, outer
            self.guards = guards
        self.emit("}")
        if joint:
            self.names.values.append(joint)
            if affine:
                self.names.affine.append(joint)
        if shared:
            self.names.latents.append(shared)
            if kind == "positive":
                self.names.positive.append(shared)
