"""Words for guards that no formula in one latent solves, for functions that jump, and for indices from latents."""

from __future__ import annotations

import numpy as np
from generator_words import Words


class Curves(Words):
    """Adds to the words: curves and corners as guards, jumping functions and latent indices as expressions.

    Each kind has a weight that is drawn once per program, so that many programs have none of it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        about = rng.choice(["curves", "jumps", "whiles", "old"], p=[0.34, 0.33, 0.23, 0.1])
        also = float(rng.random() < 0.15)
        self.curved = float(rng.choice([0.3, 0.6])) if about == "curves" else 0.3 * also  # the part of all comparisons
        self.jumping = float(rng.choice([0.12, 0.25])) if about == "jumps" else 0.05 * also  # ... of all expressions
        self.whiles = 1.0 if about == "whiles" else 0.3 * also  # weight of loops that a condition ends
        if self.curved or self.jumping or self.whiles:
            self.budget = int(rng.choice([1, 1, 2, 2, 3]))
        self.met: list[str] = []  # thresholds written so far

    # ----------------------------------------------------------------- guards

    def threshold(self) -> str:
        """Now and then one that was met before: in another statement, or in a loop."""
        if self.met and self.chance(0.3):
            return str(self.pick(self.met))
        text = super().threshold()
        if "[" not in text:
            self.met.append(text)
        return text

    def comparison(self) -> str:
        if self.chance(self.jumping):
            left, op, right = self.jumping_comparison()
        elif self.chance(self.curved):
            left, op, right = self.curve(), self.pick("<>"), self.number(0.1, 0.9)
        else:
            return super().comparison()
        if self.loop is None and op not in ("==", "!="):
            self.guards.append((left, op, right))
        return f"{left} {op} {right}"

    def value(self, decided: float = 0.35) -> str:
        """A latent, or a value that earlier branches decided."""
        return str(self.pick(self.names.values)) if self.names.values and self.chance(decided) else self.latent()

    def curve(self) -> str:
        """The left side of a guard that is affine in no latent, or only in one whose line is long."""
        a, b = self.value(), self.value()
        k, c = self.number(0.4, 1.6), self.number(-0.6, 0.6)
        return str(
            self.weighted(
                (3, lambda: f"({a})^2 + {k} * ({b})^2"),
                (2, lambda: f"({a} - {c})^2 + ({b} + {c})^2"),
                (2, lambda: f"{a} * {b} + {a} * {a} - {b}"),
                (1, lambda: f"{a} * {b}"),
                (1, lambda: f"{a}^3 - {a} + {k} * {b}"),
                (2, lambda: f"sin({self.number(1, 3)} * {a})"),
                (1, lambda: f"sin({a} * {b})"),
                (1, lambda: f"cos({a} + {b}) - {c} * {a}"),
                (2, lambda: f"exp({c} * {a}) + exp({k} * {b}) - 2"),
                (1, lambda: f"exp({a}) - 1"),
                (1, lambda: f"tanh({a}) + {k} * {b} * {b}"),
                (1, lambda: f"log(1 + {a} * {a}) - {k} * {b}"),
                (1, lambda: f"inv_logit({a}) * {b}"),
                (1, lambda: f"sqrt(1 + ({a})^2) - {k} * {b} - {c}"),
                (1, lambda: f"({self.expr(1)})^2 - {k} * {a}"),
                (1, self.corner),
                (1, lambda: f"({a})^2 * {self.threshold()} + {b}"),
            )
        )

    def corner(self) -> str:
        """A boundary with corners."""
        a, b = self.pair()
        return str(
            self.weighted(
                (1, lambda: f"abs({a}) + abs({b}) - {self.number(0.2, 0.8)}"),
                (1, lambda: f"max({a}, {b})"),
                (1, lambda: f"min({a} * {a}, {b})"),
                (1, lambda: f"relu({a}) * {b}"),
                (1, lambda: f"(if {a} > {self.threshold()} then {b} else {a} * {b})"),
            )
        )

    # ------------------------------------------------------------------ poles

    def pole(self) -> str:
        """A value that jumps from one bound to another where something is divided by zero, or at a cut."""
        a, b = self.value(0.2), self.latent()
        k, u = self.number(-1.2, 1.2), f"({a} - {self.number(-0.6, 0.6)})"
        return str(
            self.weighted(
                (3, lambda: f"tanh({k} / {u})"),
                (1, lambda: f"inv_logit({b} / {u})"),
                (2, lambda: f"clamp({k} / {u}, -1, 0.8)"),
                (1, lambda: f"atan(1 / {u})"),
                (1, lambda: f"tanh(inv({u}) + {b})"),
                (1, lambda: f"tanh({u}^(-1))"),
                (1, lambda: f"tanh(pow({u}, -3))"),
                (1, lambda: f"tanh({k} / ({a} * {b} - 0.3))"),
                (1, lambda: f"tanh({k} / sin({u}))"),
                (1, lambda: f"tanh({b} * {u} / abs({u}))"),
                (1, lambda: f"tanh({u} / (({u})^2 + 0.2))"),
                (2, lambda: f"0.3 * atan2({u}, {b})"),
                (1, lambda: f"clamp(tan({u}), -1, 1)"),
                (1, lambda: f"tanh(tan({a} + {b}))"),
                (1, lambda: f"tanh(digamma({u}))"),
                (1, lambda: f"clamp(floor(0.5 / {u}), -1, 1)"),
                (1, lambda: f"(if {a} > {self.threshold()} then tanh(1 / {u}) else tanh({k} / {u}))"),
                (1, lambda: f"(if {u} > 0.2 then 0.2 / {u} else {self.number()})"),
            )
        )

    def pole_guard(self) -> str:
        """A comparison of a value with a pole."""
        a, b, c = self.value(0.2), self.latent(), self.number(-0.6, 0.6)
        u = f"({a} - {c})"
        left = self.weighted(
            (2, lambda: f"1 / {u}"),
            (1, lambda: f"{b} / {u}"),
            (1, lambda: f"{u}^(-1) + {b}"),
            (1, lambda: f"pow({u}, -3)"),
            (1, lambda: f"atan(1 / {u}) + {b}"),
            (1, lambda: f"tanh(1 / {u}) - {a}"),
            (1, lambda: f"tan({u})"),
            (1, lambda: f"tan({a}) + {b}"),
            (2, lambda: f"atan2({a}, {b})"),
            (1, lambda: f"digamma({u})"),
            (1, self.pole),
        )
        return f"{left} {self.pick('<>')} {self.number(0.1, 0.9)}"

    def guard_at_pole(self) -> str:
        """A comparison of a value that goes on where a pole or cut is, and is at its threshold there."""
        a, b, sign = self.value(0.2), self.latent(), self.pick("<>")
        u = f"({a} - {self.number(-0.6, 0.6)})"
        return str(
            self.weighted(
                (2, lambda: f"atan2({u}, {b}) {sign} 0"),
                (2, lambda: f"abs(atan2({u}, {b})) {sign} pi / 2"),
                (1, lambda: f"sin(2 * atan2({u}, {b})) {sign} 0"),
                (1, lambda: f"sign(atan2({u}, {b})) + {b} {sign} 0.4"),
                (1, lambda: f"tanh({b} / {u}) + tanh({u}) {sign} 0"),
                (1, lambda: f"1 / (1 / {u} + {b}) {sign} 0"),
                (1, lambda: f"cos(atan({b} / {u})) * {u} {sign} 0"),
                (1, lambda: f"{u} / (abs({u}) + abs({b})) {sign} 0"),
                (1, lambda: f"0.5 + floor(clamp({b} / {u}, -1.5, 1.5)) {sign} 0"),
            )
        )

    # ---------------------------------------------------- functions that jump

    def jumping_comparison(self) -> tuple[str, str, str]:
        return self.weighted(  # type: ignore[no-any-return]
            (3, lambda: (self.level(), self.pick(("==", "!=", ">", "<=")), self.pick("012"))),
            (1, lambda: (f"({self.level()}) % 2", "==", self.pick("01"))),
            (1, lambda: (self.remainder(), self.pick("<>"), self.number(0.2, 0.6))),
            (1, lambda: (self.entry() or self.level(), self.op(), self.threshold())),
            (1, lambda: (self.latent(), self.op(), self.entry() or self.remainder())),
        )

    def level(self) -> str:
        """An int that latents decide."""
        a, k = self.value(0.1), self.number(0.4, 2.2)  # all levels of a piecewise value are dear
        scale = f"{self.pick(self.names.numbers)} * " if self.names.numbers and self.chance(0.3) else ""
        return str(
            self.weighted(
                (4, lambda: f"floor({scale}{a})"),
                (2, lambda: f"floor({k} * {a} + {self.number(-0.5, 0.5)})"),
                (1, lambda: self.join("floor({a} + {k} * {b})")),
                (1, lambda: self.join("round({a} * {b})")),
                (0.5, lambda: f"floor({self.curve()})"),
                (2, lambda: f"ceil({scale}{a})"),
                (2, lambda: f"round({k} * {a})"),
                (1.5, lambda: f"sign({a} - {self.threshold()})"),
                (1.5, lambda: f"step({a} - {self.threshold()})"),
                (1, lambda: f"step({self.curve()} - 0.4)"),
                (1.5, lambda: f"({scale}{a}) // {self.number(0.6, 1.8)}"),
                (0.7, lambda: self.join("({a} - {b}) // 1.2")),
            )
        )

    def remainder(self) -> str:
        a = self.join("({a} + {b})") if self.chance(0.3) else self.value(0.1)
        scale = f" * {self.pick(self.names.numbers)}" if self.names.numbers and self.chance(0.3) else ""
        return f"(({a}{scale}) % {self.number(0.6, 1.8)})"

    def entry(self) -> str:
        """An element of an array at a place that latents decide, or nothing if there is no array."""
        if not self.names.vectors:
            return ""
        name, size = self.pick(self.names.vectors)
        index = str(
            self.weighted(
                (3, lambda: f"clamp({self.level()}, 0, {size} - 1)"),
                (1, lambda: f"clamp({self.level()}, -1, {size} - 2) + 1"),
                (2, lambda: f"({self.level()}) % {size}"),
            )
        )
        return f"{name}[{index}]"

    def expr(self, depth: int = 2) -> str:
        if depth > 0 and self.names.latents and self.chance(self.jumping):
            return str(
                self.weighted(
                    (3, lambda: f"{self.number(-0.6, 0.6)} * {self.level()}"),
                    (1, lambda: f"tanh({self.level()} + {self.atom()})"),
                    (1, self.remainder),
                    (2, lambda: self.entry() or self.remainder()),
                    (0.5, lambda: f"({self.level()} * {self.latent()})"),
                )
            )
        return super().expr(depth)
